//! What a machine gets of its roles, and what keeps it from being installed.

use super::*;
use crate::content::Content;
use crate::content::sample::{and, with};
use crate::machine::Machine;
use crate::machine::tests::machine as blank;
use crate::mesh::Membership;
use crate::provision::params::{CLOUD_INIT, MERGE_PRIORITY, NETWORK, REQUIRES_MESH, SSH_KEYS};
use crate::render::{Addresses, Facts, Nowhere, Peer, Scene, Surroundings};
use protocol::model::Kind;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

const SECRET: &str = "hunter2-is-no-password";

#[derive(Debug)]
struct OneSecret;

impl Surroundings for OneSecret {
    fn peers(&self) -> Result<Vec<Peer>, String> {
        let membership =
            Membership { addresses: vec![IpAddr::from([10, 20, 0, 2])], ..Membership::default() };
        let peer = Peer { hostname: "db-2".into(), roles: vec!["db".into()], ..Peer::default() };
        Ok(vec![Peer { mesh_network: "home".into(), membership, ..peer }])
    }

    fn secret(&self, name: &str) -> Result<String, String> {
        match name {
            "db_password" => Ok(SECRET.to_owned()),
            other => Err(format!("secret {other} does not exist")),
        }
    }
}

fn role(name: &str, priority: i64, template: &str) -> (Kind, Value) {
    let params = json!({MERGE_PRIORITY: priority, CLOUD_INIT: template});
    (Kind::Profiles, json!({"Name": name, "Meta": {"muster-role": "true"}, "Params": params}))
}

fn made(content: Content, machine: Machine) -> Draft {
    let scene = Scene {
        machine: Some(Arc::new(machine)),
        content: Arc::new(content),
        addresses: Arc::new(Addresses {
            ip: IpAddr::from([10, 0, 0, 2]),
            host: "muster".to_owned(),
            http_port: 8091,
            http_open: true,
            https_port: 8092,
        }),
        outside: Arc::new(Nowhere),
    };
    draft(&scene, &Facts::new(Arc::new(OneSecret)), "run-1")
}

fn machine(roles: &[&str]) -> Machine {
    let mut machine = blank();
    machine.fields.profiles = roles.iter().map(ToString::to_string).collect();
    machine
}

fn user_data(draft: &Draft) -> Value {
    assert_eq!(draft.errors, [""; 0]);
    assert!(draft.seed.user_data.starts_with("#cloud-config\n"));
    Value::Object(read(&draft.seed.user_data).unwrap())
}

#[test]
fn roles_are_rendered_and_merged_and_the_machine_has_the_last_word() {
    let content = with(&[
        role("base", 10, "#cloud-config\npackages: [curl]\nhostname: wrong\ntimezone: UTC\n"),
        role(
            "web",
            100,
            "packages: [nginx]\ntimezone: {{.vars.zone}}\nwrite_files:\n- path: /etc/db\n  content: {{.secrets.db_password}}\n\
             bootcmd:\n{{range .peers}}- echo {{.hostname}} {{join \",\" .roles}} {{.mesh.name}} {{.mesh.ip}}{{.mesh.ip6}}\n{{end}}\
             final_message: {{.machine.hostname}} {{.machine.roles | join \"+\"}} {{.Machine.Name}} {{.machine.mesh.ip}} {{.machine.mesh.ip6}}\n",
        ),
        (Kind::Variables, json!({"Name": "zone", "Value": "Europe/Berlin"})),
    ]);
    let mut machine = machine(&["web", "base"]);
    machine.membership.addresses = vec!["10.20.0.1".parse().unwrap(), "fd00:20::1".parse().unwrap()];
    machine.fields.params.insert(CLOUD_INIT.to_owned(), json!("timezone: Asia/Tokyo"));
    machine.fields.params.insert(SSH_KEYS.to_owned(), json!(["ssh-ed25519 AAAAC3 ops"]));
    let draft = made(content, machine);
    assert_eq!(
        user_data(&draft),
        json!({
            "packages": ["curl", "nginx"],
            "timezone": "Asia/Tokyo",
            "hostname": "alpha",
            "ssh_authorized_keys": ["ssh-ed25519 AAAAC3 ops"],
            "write_files": [{"path": "/etc/db", "content": SECRET}],
            "bootcmd": ["echo db-2 db home 10.20.0.2"],
            "final_message": "alpha web+base alpha 10.20.0.1 fd00:20::1",
        })
    );
    assert_eq!(draft.sources["packages"], ["role base", "role web"]);
    assert_eq!(draft.sources["timezone"], ["role base", "role web", "machine alpha"]);
    assert_eq!(draft.sources["hostname"], ["role base", "machine settings"]);
    assert_eq!(draft.seed.meta_data, "instance-id: run-1\nlocal-hostname: alpha\n");
    assert_eq!(draft.seed.network_config, "");
}

#[test]
fn everything_that_is_wrong_is_told_with_role_and_line() {
    let content = with(&[
        role("r1", 1, "a: 1\nb: {{.secrets.missing}}\n"),
        role("r2", 2, "b: {{.vars.missing}}"),
        role("r3", 3, "a: [1\nb: 2"),
        role("r4", 4, "just text"),
        role("r5", 5, "{{.machine.colour}}: 1"),
        role("r6", 6, "{{if}}"),
        role("r7", 7, "muster_merge: {a: append}"),
    ]);
    // A template that does not parse is refused nowhere else: profiles hold any text.
    let mut machine = machine(&["r1", "r2", "r3", "r4", "r5", "r6", "r7"]);
    machine.placement.roles = vec!["gone".to_owned()];
    machine.fields.params.insert(NETWORK.to_owned(), json!("if=eth9,addr=10.0.0.5/24"));
    let draft = made(content, machine);
    for told in [
        "template \"role r1\", line 2: .secrets.missing: secret missing does not exist",
        "template \"role r2\", line 1: .vars.missing: variable missing does not exist",
        "role r3: its rendered template, line ",
        "role r4: its rendered template, the document is no map",
        "template \"role r5\", line 1: .machine.colour",
        "template \"role r6\", line 1",
        "role r7: muster_merge: \"a\": the only word",
        "role gone of machine alpha does not exist",
        "param muster/network: there is no link eth9",
    ] {
        assert!(draft.errors.iter().any(|error| error.contains(told)), "{told}: {:#?}", draft.errors);
    }
    assert_eq!(draft.seed.user_data, "");
}

#[test]
fn errors_tell_nothing_that_was_made_of_a_secret() {
    let content = with(&[
        role("r1", 1, "a: {{fail .secrets.db_password}}"),
        role("r2", 2, "{{.secrets.db_password}}: 1\n{{.secrets.db_password}}: 2"),
        role("r3", 3, "a: {{fail (printf \"%s%s\" (repeat 490 \"x\") .secrets.db_password)}}"),
        role("r4", 4, "a: !{{.secrets.db_password}} x"),
        role("r5", 5, "a: {{fail (upper .secrets.db_password)}}"),
        role("r6", 6, "{{if contains \"hunter\" .secrets.db_password}}{{fail \"it is so\"}}{{end}}"),
        role("r7", 7, "b: {{fail \"of no secret\"}}"),
        role("r8", 8, "c: {{index (fromJson (printf \"[%s]\" (quote .secrets.db_password))) 0}}"),
        role(
            "r9",
            9,
            "d: {{if eq .secrets.db_password \"(hidden)\"}}{{fail \"only while it is hidden\"}}{{end}}",
        ),
    ]);
    let roles = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"];
    let draft = made(content, machine(&roles));
    assert_eq!(draft.errors.len(), 7, "{:?}", draft.errors);
    for error in &draft.errors {
        assert!(!error.to_lowercase().contains("hunter") && !error.contains("it is so"), "{error}");
    }
    for told in [
        ": (hidden)",
        ": (HIDDEN)",
        ": of no secret",
        "role r6: cannot be rendered with the values of its secrets; why is not shown, since it could tell them",
    ] {
        assert!(draft.errors.iter().any(|error| error.ends_with(told)), "{told}: {:?}", draft.errors);
    }
    assert!(!format!("{draft:?}").contains(SECRET));
}

#[test]
fn secrets_are_in_no_other_template_and_never_all_at_once() {
    let content = with(&[
        role("r1", 1, "a: {{.secrets | toJson}}"),
        role("r2", 2, "{{range $k, $v := .secrets}}{{$v}}{{end}}"),
        role("r3", 3, "a: {{index .secrets \"db_password\"}}"),
    ]);
    let draft = made(content, machine(&["r1", "r2", "r3"]));
    assert!(draft.errors.len() >= 2, "{:?}", draft.errors);
    assert!(!draft.seed.user_data.contains("hunter2"), "{}", draft.seed.user_data);
    let scene = Scene {
        machine: Some(Arc::new(blank())),
        content: Arc::new(with(&[])),
        addresses: Arc::new(Addresses {
            ip: IpAddr::from([10, 0, 0, 2]),
            host: String::new(),
            http_port: 1,
            http_open: true,
            https_port: 2,
        }),
        outside: Arc::new(Nowhere),
    };
    for text in ["{{.secrets.db_password}}", "{{.vars.zone}}", "{{.peers}}"] {
        assert!(scene.text(text).is_err(), "{text}");
    }
}

#[test]
fn role_that_needs_a_mesh_network_has_one() {
    let needs = json!({"Name": "db", "Meta": {"muster-role": "true"}, "Params": {REQUIRES_MESH: true}});
    let content = with(&[(Kind::Profiles, needs)]);
    let errors = made(content.clone(), machine(&["db"])).errors;
    assert_eq!(errors, ["role db needs a mesh network, and machine alpha is in none"]);
    let mut placed = machine(&["db"]);
    placed.placement.mesh_network = "home".to_owned();
    placed.membership.addresses = vec!["10.20.0.1".parse().unwrap()];
    assert!(made(content, placed).errors.is_empty());
}

#[test]
fn templates_that_yield_too_much_end() {
    let lines =
        "{{range $i := until 1000}}{{range $j := until 1000}}k{{$i}}x{{$j}}: 0123456789\n{{end}}{{end}}";
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let content = with(&[role("r1", 1, lines), role("r2", 2, bomb)]);
    let errors = made(content, machine(&["r1", "r2"])).errors;
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn names_become_host_names() {
    for (name, host) in [
        ("web-1", "web-1"),
        ("Web 1.Example.COM", "web-1.example.com"),
        ("db_07", "db-07"),
        ("größe", "gr--e"),
        ("12.", "12"),
    ] {
        let mut machine = blank();
        machine.name = name.parse().unwrap();
        assert_eq!(hostname(&machine), host, "{name}");
    }
    let mut machine = machine(&[]);
    machine.name = "web-1.example.com".parse().unwrap();
    let draft = made(with(&[]), machine);
    let said = user_data(&draft);
    assert_eq!((&said["hostname"], &said["fqdn"]), (&json!("web-1"), &json!("web-1.example.com")));
}

#[test]
fn role_of_a_token_counts_and_one_that_is_made_of_another_has_its_template() {
    let content = with(&[role("base", 100, "timezone: UTC")]);
    let web = json!({"Name": "web", "Meta": {"muster-role": "true"}, "Profiles": ["base"]});
    let content = and(&content, &[(Kind::Profiles, web)]);
    let mut machine = machine(&[]);
    machine.placement.roles = vec!["web".to_owned()];
    assert_eq!(user_data(&made(content, machine))["timezone"], "UTC");
}
