//! What is chosen for a machine, by whom, and what is refused in which words.

use super::*;
use crate::content::sample::{and, builtin as built_in, cause, create, with};
use crate::machine::Machine;
use crate::machine::tests::machine as blank;
use protocol::install::{Pick, SourceKind};
use protocol::model::Kind;
use serde_json::json;

fn role(name: &str, priority: i64, params: Value) -> (Kind, Value) {
    let mut params = params;
    params[MERGE_PRIORITY] = json!(priority);
    (Kind::Profiles, json!({"Name": name, "Meta": {"muster-role": "true"}, "Params": params}))
}

fn uploaded(name: &str) -> (Kind, Value) {
    (Kind::Images, json!({"Name": name, "Source": "upload"}))
}

fn machine(params: Value, profiles: &[&str]) -> Machine {
    let mut machine = blank();
    machine.fields.params = serde_json::from_value(params).unwrap();
    machine.fields.profiles = profiles.iter().map(ToString::to_string).collect();
    machine
}

#[test]
fn image_is_that_of_request_then_machine_then_roles_by_priority_then_default() {
    let content = with(&[
        uploaded("one"),
        uploaded("two"),
        uploaded("three"),
        uploaded("four"),
        role("low", 10, json!({IMAGE: "one"})),
        role("high", 200, json!({IMAGE: "two"})),
    ]);
    let prefs = json!({"defaultImage": "four"});
    let content = content.set_prefs(prefs.as_object().unwrap(), &cause()).unwrap().content;
    let named = |machine: &Machine, request: &str| {
        let chosen = image(&content, machine, request).unwrap();
        (chosen.value, chosen.from.to_string())
    };
    let told = |name: &str, from: &str| (name.to_owned(), from.to_owned());
    let both = machine(json!({}), &["low", "high"]);
    assert_eq!(named(&both, ""), told("two", "role high"));
    assert_eq!(named(&both, "one"), told("one", "the request"));
    assert_eq!(named(&machine(json!({IMAGE: "three"}), &["high"]), ""), told("three", "the machine"));
    assert_eq!(named(&machine(json!({}), &[]), ""), told("four", "the preference defaultImage"));
    let mut by_token = machine(json!({}), &["low"]);
    by_token.placement.roles = vec!["high".to_owned()];
    assert_eq!(named(&by_token, ""), told("two", "role high"));
}

#[test]
fn image_that_is_not_there_is_told_with_who_wants_it() {
    let credential = json!({"Name": "web", "Source": "r.example/web:1", "Credential": "ci"});
    let content = with(&[(Kind::Images, credential), role("web", 100, json!({IMAGE: "missing"}))]);
    let error = |machine: &Machine, request: &str| image(&content, machine, request).unwrap_err();
    assert!(
        error(&machine(json!({}), &[]), "").starts_with("no image is chosen for machine alpha: set param")
    );
    assert_eq!(error(&machine(json!({}), &["web"]), ""), "image missing of role web does not exist");
    assert_eq!(
        error(&machine(json!({}), &[]), "web"),
        "image web of the request is not available: registry credential ci does not exist"
    );
    assert_eq!(
        error(&machine(json!({IMAGE: 5}), &[]), ""),
        "param muster/image of the machine: must be the name of an image"
    );
}

#[test]
fn role_without_a_profile_is_named_and_equal_priorities_keep_their_order() {
    let content = with(&[role("a1", 100, json!({})), role("b1", 100, json!({})), role("c1", 300, json!({}))]);
    let plain = and(&content, &[(Kind::Profiles, json!({"Name": "site"}))]);
    let mut machine = machine(json!({}), &["b1", "site", "a1", "c1", "b1"]);
    machine.placement.roles = vec!["gone".to_owned(), "a1".to_owned()];
    let roles = roles(&plain, &machine);
    let named: Vec<(&str, bool)> = roles.iter().map(|role| (role.name.as_str(), role.exists)).collect();
    assert_eq!(named, [("c1", true), ("gone", false), ("a1", true), ("b1", true)]);
    assert_eq!(roles[1].priority, DEFAULT_PRIORITY);
}

#[test]
fn values_that_are_none_are_told_with_param_and_place() {
    let content = with(&[role("db", 100, json!({}))]);
    let with = |key: &str, value: Value| machine(json!({key: value}), &[]);
    for (error, wanted) in [
        (
            disk_rule(&content, &with(DISK, json!({"Size": 1}))).unwrap_err(),
            "param muster/disk of the machine: unknown field `Size`",
        ),
        (
            layout(&content, &with(DISK_LAYOUT, json!({"Raid1": 9}))).unwrap_err(),
            "param muster/disk-layout of the machine: Raid1 is 9",
        ),
        (
            network(&content, &with(NETWORK, json!("addr=10.0.0.5"))).unwrap_err(),
            "param muster/network of the machine: addr=10.0.0.5 must be",
        ),
        (network(&content, &with(NETWORK, json!("ask"))).unwrap_err(), "nobody can be asked"),
        (network(&content, &with(NETWORK, json!({}))).unwrap_err(), "must be a text"),
        (ssh_keys(&content, &with(SSH_KEYS, json!(["no key"]))).unwrap_err(), "each must be one public key"),
        (
            ssh_keys(&content, &with(SSH_KEYS, json!(["ssh-rsa AAAA\ncommand"]))).unwrap_err(),
            "each must be one public key",
        ),
        (
            kernel_args(&content, &with(KERNEL_ARGS, json!("a;b"))).unwrap_err(),
            "param muster/kernel-args of the machine: must not contain ';'",
        ),
        (inject_agent(&content, &with(INJECT_AGENT, json!("no"))).unwrap_err(), "must be true or false"),
        (
            agent_hosts(&content, &with(AGENT_HOSTS, json!(["http://x"]))).unwrap_err(),
            "param muster/agent-hosts of the machine: ",
        ),
    ] {
        assert!(error.contains(wanted), "{error} lacks {wanted}");
    }
}

#[test]
fn values_that_are_fine_become_types() {
    let content =
        with(&[role("db", 100, json!({DISK: {"Pick": "smallest"}, KERNEL_ARGS: " quiet  splash "}))]);
    let machine = machine(json!({NETWORK: "if=52:54:00:12:34:56,addr=10.0.0.5/24,gw=10.0.0.1"}), &["db"]);
    assert_eq!(disk_rule(&content, &machine).unwrap().pick, Pick::Smallest);
    assert_eq!(layout(&content, &machine).unwrap(), Layout::default());
    assert_eq!(kernel_args(&content, &machine).unwrap(), "quiet splash");
    assert!(matches!(network(&content, &machine).unwrap(), NetPlan::Static(specs) if specs.len() == 1));
    assert!(inject_agent(&content, &machine).unwrap() && firmware_order(&content, &machine).unwrap());
    assert!(agent_hosts(&content, &machine).unwrap().is_empty());
}

#[test]
fn ssh_keys_of_every_source_come_together() {
    let key = |name: &str| format!("ssh-ed25519 AAAAC3Nz{name} {name}");
    let content = with(&[role("base", 1, json!({SSH_KEYS: [key("ops"), key("eve")]}))]);
    let machine = machine(json!({SSH_KEYS: [key("eve"), key("bob")]}), &["base"]);
    assert_eq!(ssh_keys(&content, &machine).unwrap(), [key("eve"), key("bob"), key("ops")]);
}

#[test]
fn machine_with_a_system_of_its_own_is_protected_until_its_own_param_says_otherwise() {
    let content = with(&[
        role("wipe", 100, json!({WRITE_PROTECTED: false})),
        role("keep", 100, json!({WRITE_PROTECTED: true})),
    ]);
    let protected = |mut machine: Machine, origin: Origin| {
        machine.origin = origin;
        write_protected(&content, &machine).unwrap()
    };
    assert!(protected(machine(json!({}), &["wipe"]), Origin::Cli));
    assert!(!protected(machine(json!({WRITE_PROTECTED: false}), &[]), Origin::Cli));
    assert!(!protected(machine(json!({}), &[]), Origin::Iso));
    assert!(protected(machine(json!({}), &["keep"]), Origin::Iso));
    assert!(write_protected(&content, &machine(json!({WRITE_PROTECTED: 1}), &[])).is_err());
}

#[test]
fn schemas_of_the_built_in_params_take_what_the_types_take_and_no_more() {
    let content = built_in();
    let profile = |params: Value| create(&content, Kind::Profiles, &json!({"Name": "pr", "Params": params}));
    for params in [
        json!({DISK: {"Serial": "S1", "Pick": "first-nvme"}}),
        json!({DISK_LAYOUT: {"Lvm": {"Group": "vg"}, "Raid1": 2, "Luks": true, "Filesystem": "xfs",
                             "Volumes": [{"Name": "data", "Mount": "/data", "SizeMib": 1000}]}}),
        json!({STEP_DEADLINES: {"first-boot": 60}, MERGE_PRIORITY: -5, REQUIRES_MESH: true}),
    ] {
        assert!(profile(params.clone()).is_ok(), "{params}");
    }
    for params in [
        json!({DISK: {"Path": "/dev/sda"}}),
        json!({DISK_LAYOUT: {"Filesystem": "ntfs"}}),
        json!({STEP_DEADLINES: {"reboot": 60}}),
        json!({STEP_DEADLINES: {"write": 0}}),
        json!({MERGE_PRIORITY: "high"}),
        json!({SSH_KEYS: "ssh-rsa AAAA"}),
        json!({NETWORK: ["dhcp"]}),
    ] {
        assert!(profile(params.clone()).is_err(), "{params}");
    }
}

#[test]
fn setup_says_of_every_param_who_says_what_and_what_is_wrong() {
    let content = with(&[
        uploaded("debian"),
        role("low", 10, json!({IMAGE: "debian", "site/rack": "low", KERNEL_ARGS: "a;b"})),
        role("high", 200, json!({NETWORK: "dhcp", "site/rack": "high", CLOUD_INIT: "#".repeat(20_000)})),
        (Kind::Params, json!({"Name": "site/row", "Schema": {"type": "integer", "default": 3}})),
    ]);
    let setup = setup(&content, &machine(json!({NETWORK: "if=eth0,vlan=99999"}), &["low", "high"]));
    let roles: Vec<_> = setup.roles.iter().map(|role| (role.name.as_str(), role.priority)).collect();
    assert_eq!(roles, [("high", 200), ("low", 10)]);
    assert_eq!((setup.image.as_str(), setup.image_from.name.as_str()), ("debian", "low"));
    let sources = |name: &str| {
        let param = setup.params.iter().find(|param| param.name == name).unwrap();
        param.sources.iter().map(|it| (it.kind, it.name.as_str(), it.value.clone())).collect::<Vec<_>>()
    };
    // Roles win by priority where params are ours, by the machine's order where they are not.
    assert_eq!(
        sources(NETWORK),
        [(SourceKind::Machine, "", json!("if=eth0,vlan=99999")), (SourceKind::Role, "high", json!("dhcp"))]
    );
    assert_eq!(
        sources("site/rack"),
        [(SourceKind::Role, "low", json!("low")), (SourceKind::Role, "high", json!("high"))]
    );
    assert_eq!(
        params::lookup(&content, Some(&machine(json!({}), &["low", "high"])), "site/rack"),
        Some(json!("low"))
    );
    assert_eq!(sources("site/row"), [(SourceKind::Default, "", json!(3))]);
    let template = setup.params.iter().find(|param| param.name == CLOUD_INIT).unwrap();
    assert_eq!((&template.sources[0].value, template.sources[0].cut), (&Value::Null, 20_002));
    assert!(setup.errors[KERNEL_ARGS].contains("of role low: must not contain ';'"), "{:?}", setup.errors);
    assert!(setup.errors[NETWORK].contains("of the machine: "), "{:?}", setup.errors);
    assert!(!setup.errors.contains_key(IMAGE) && !setup.write_protected);
}

#[test]
fn setup_without_an_image_says_how_one_is_chosen() {
    let content = with(&[]);
    let setup = setup(&content, &machine(json!({WRITE_PROTECTED: "yes"}), &[]));
    assert_eq!(setup.image, "");
    assert!(setup.errors[IMAGE].contains("set param muster/image of a role"), "{:?}", setup.errors);
    // What cannot be read protects.
    assert!(setup.write_protected && setup.errors.contains_key(WRITE_PROTECTED));
}
