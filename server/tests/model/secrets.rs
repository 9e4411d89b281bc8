//! Secrets, variables, credentials and images: what is shown, what is kept, and what nobody ever sees.

use crate::site::{Site, basic, request};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SECRET: &str = "hunter2-and-then-some";
const PASSWORD: &str = "registry-pass-4711";

/// Everything that is logged in this thread, as text.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Files below a folder that have a text in them.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn role(name: &str, template: &str) -> Value {
    json!({"Name": name, "Meta": {"muster-role": "true"}, "Params": {"muster/cloud-init": template}})
}

#[tokio::test]
async fn value_of_a_secret_is_set_kept_and_replaced_and_never_shown() {
    let site = Site::start().await;
    let made = site.post("secrets", json!({"Name": "db_password", "Value": SECRET})).await.ok();
    assert_eq!((&made["Value"], &made["HasValue"]), (&json!(""), &json!(true)));
    site.make("profiles", json!([role("web", "a: {{.secrets.db_password}}")])).await;
    let machine = site.machine(json!({"Name": "m1", "Profiles": ["web"]})).await;
    let renders = || async {
        let preview = site.get(&format!("{}/cloud-init", site.path(&machine))).await.ok();
        assert_eq!(preview["Errors"], json!([]));
        assert!(preview["UserData"].as_str().unwrap().contains("a: \"(hidden)\""), "{preview}");
    };
    renders().await;
    let again = site.put("secrets/db_password", json!({"Name": "db_password", "Description": "new"})).await;
    assert_eq!(again.ok()["HasValue"], true);
    renders().await;
    let patch = json!([{"op": "replace", "path": "/Value", "value": "another-value-9"}]);
    assert_eq!(site.patch("secrets/db_password", patch).await.ok()["Value"], "");
    site.patch("secrets/db_password", json!({"Value": "a-third-value-9"})).await.ok();
    renders().await;
    for path in ["secrets/db_password", "secrets", "secrets?Name=db_password", "contents/BackingStore"] {
        let text = site.get(path).await.text();
        for value in [SECRET, "another-value-9", "a-third-value-9"] {
            assert!(!text.contains(value), "{path}");
        }
    }
    let decoded = json!([{"op": "replace", "path": "/Params/muster~1cloud-init", "value": "a: {{index (.secrets.list | fromJson) 0}}"}]);
    site.patch("profiles/web", decoded).await.ok();
    site.post("secrets", json!({"Name": "list", "Value": "[\"one\"]"})).await.ok();
    let preview = site.get(&format!("{}/cloud-init", site.path(&machine))).await.ok();
    assert_eq!(preview["Errors"], json!([]));
    assert!(preview["UserData"].as_str().unwrap().starts_with("# not shown: "), "{preview}");
    let back = json!([{"op": "replace", "path": "/Params/muster~1cloud-init", "value": "a: {{.secrets.db_password}}"}]);
    site.patch("profiles/web", back).await.ok();
    site.delete("secrets/db_password").await.ok();
    let preview = site.get(&format!("{}/cloud-init", site.path(&machine))).await.ok();
    assert_eq!(
        preview["Errors"],
        json!(["template \"role web\", line 1: .secrets.db_password: secret db_password does not exist"])
    );
}

#[tokio::test]
async fn no_operation_of_a_patch_finds_a_value_out() {
    let site = Site::start().await;
    site.post("secrets", json!({"Name": "db", "Value": SECRET})).await.ok();
    let test = |value: &str| json!([{"op": "test", "path": "/Value", "value": value}]);
    site.patch("secrets/db", test(SECRET)).await.refused(409);
    site.patch("secrets/db", test("")).await.ok();
    for op in ["copy", "move"] {
        let patch = json!([{"op": op, "from": "/Value", "path": "/Description"}]);
        let answer = site.patch("secrets/db", patch).await;
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    }
    let kept = site.get("secrets/db").await.ok();
    assert_eq!((&kept["HasValue"], &kept["Description"]), (&json!(true), &json!("")));
}

#[tokio::test]
async fn what_is_wrong_with_a_value_is_told_without_it() {
    let site = Site::start().await;
    for (value, told) in [(json!(471_147), "must be a text"), (json!(["hunter2"]), "must be a text")] {
        let answer = site.post("secrets", json!({"Name": "pin", "Value": value})).await;
        assert_eq!(answer.refused(422)["Messages"], json!([format!("Value: {told}")]));
    }
    let long = site.post("secrets", json!({"Name": "pin", "Value": "x".repeat(65_537)})).await.refused(422);
    assert!(long["Messages"][0].as_str().unwrap().contains("at most 65536"));
    site.post("secrets", json!({"Name": "pin"})).await.refused(422);
    site.post("secrets", json!({"Name": "no-name", "Value": "x"})).await.refused(422);
}

#[tokio::test]
async fn secrets_are_nowhere_but_in_what_a_machine_is_given() {
    let (logged, guard) = Logged::begin();
    let site = Site::start().await;
    let mut events = site.events("*.*.*").await;
    site.post("secrets", json!({"Name": "db", "Value": SECRET})).await.ok();
    let credential =
        json!({"Name": "ci", "Registry": "r.example:5000", "Username": "u", "Password": PASSWORD});
    let shown = site.post("registry_credentials", credential).await.ok();
    assert_eq!((&shown["Password"], &shown["HasPassword"]), (&json!(""), &json!(true)));
    site.make("images", json!([{"Name": "os", "Source": "r.example:5000/os:1", "Credential": "ci"}])).await;
    let bad = "a: {{fail .secrets.db}}\n";
    site.make("profiles", json!([role("good", "a: {{.secrets.db}}"), role("bad", bad)])).await;
    let machine = site.machine(json!({"Name": "m1", "Profiles": ["good"]})).await;
    site.patch("secrets/db", json!({"Description": "of the database"})).await.ok();
    site.patch("registry_credentials/ci", json!({"Username": "other"})).await.ok();
    let mut told = String::new();
    for path in [
        "secrets".to_owned(),
        "secrets/db".to_owned(),
        "registry_credentials/ci".to_owned(),
        "contents".to_owned(),
        "contents/BackingStore".to_owned(),
        "images/os".to_owned(),
        format!("{}/cloud-init", site.path(&machine)),
        format!("{}/cloud-init?role=bad", site.path(&machine)),
    ] {
        told.push_str(&site.get(&path).await.text());
    }
    let rendered = request("POST", &format!("{}/render", site.path(&machine)), "{{.secrets.db}}");
    told.push_str(&site.send(rendered).await.text());
    site.delete("registry_credentials/ci").await.ok();
    site.delete("secrets/db").await.ok();
    loop {
        let event = events.next().await;
        told.push_str(&event.to_string());
        if event["Type"] == "secrets" && event["Action"] == "delete" {
            break;
        }
    }
    drop(guard);
    for secret in [SECRET, PASSWORD, "hunter2"] {
        assert!(!told.contains(secret), "an answer or event has it");
        assert!(!logged.text().contains(secret), "the log has it");
        assert_eq!(files_with(&site.data(""), secret), [""; 0], "the data directory has it");
    }
    assert!(told.contains("fail .secrets.db: (hidden)"), "{told}");
}

#[tokio::test]
async fn preview_tells_nothing_that_a_template_made_of_a_secret() {
    let site = Site::start().await;
    site.post("secrets", json!({"Name": "db", "Value": SECRET})).await.ok();
    let web = json!({"Name": "web", "Meta": {"muster-role": "true"}, "Params": {}});
    site.make("profiles", json!([web])).await;
    let machine = site.machine(json!({"Name": "m1", "Profiles": ["web"]})).await;
    let path = format!("{}/cloud-init", site.path(&machine));
    let disguised = ["hunter2", "HUNTER2", "aHVudGVyMi1", "hunt", "NTER2"];
    let only_with_its_value = "role web: cannot be rendered with the values of its secrets; why is not shown, since it could tell them";
    let hidden = "(hidden)";
    for (template, told) in [
        ("\"{{.secrets.db}}\": 1", hidden),
        ("\"{{.secrets.db | upper}}\": 1", "(HIDDEN)"),
        ("a: {{fail .secrets.db}}", hidden),
        ("a: {{fail (b64enc .secrets.db)}}", "KGhpZGRlbik="),
        ("a: {{fail (upper .secrets.db)}}", "(HIDDEN)"),
        ("a: {{fail (trunc 4 .secrets.db)}}", "(hid"),
        ("a: !{{.secrets.db | trunc 4}} x", "role web: its rendered template"),
        ("muster_merge: {\"{{.secrets.db | upper}}\": x}", "(HIDDEN)"),
        ("{{if contains \"hunt\" .secrets.db}}{{fail (upper .secrets.db)}}{{end}}a: 1", only_with_its_value),
        ("{{if contains \"hunt\" .secrets.db}}a: [1{{else}}a: 1{{end}}", only_with_its_value),
        (
            "{{if contains \"hunt\" .secrets.db}}muster_merge: {\"{{.secrets.db | b64enc}}\": x}{{end}}",
            only_with_its_value,
        ),
    ] {
        site.post("profiles/web/params/muster%2Fcloud-init", json!(template)).await.ok();
        let preview = site.get(&path).await.text();
        for part in disguised {
            assert!(!preview.contains(part), "{template}: {part} in {preview}");
        }
        assert!(preview.contains(told), "{template}: {preview}");
    }
}

#[tokio::test]
async fn sealed_value_of_another_object_opens_nowhere() {
    let site = Site::start().await;
    site.make("secrets", json!([{"Name": "one", "Value": SECRET}, {"Name": "two", "Value": "x"}])).await;
    let role = role("web", "a: {{.secrets.two}}");
    site.make("profiles", json!([role])).await;
    let machine = site.machine(json!({"Name": "m1", "Profiles": ["web"]})).await;
    let sealed = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    site.patch("secrets/two", json!({"Value": sealed})).await.ok();
    let preview = site.get(&format!("{}/cloud-init", site.path(&machine))).await.ok();
    assert_eq!(preview["Errors"], json!([]), "what looks sealed is a value like any other");
}

#[tokio::test]
async fn secrets_are_for_those_whose_roles_say_so() {
    let site = Site::start().await;
    let claims = json!([{"scope": "machines,profiles", "action": "list,get", "specific": "*"}]);
    site.post("roles", json!({"Name": "reader", "Claims": claims})).await.ok();
    site.post("users", json!({"Name": "eve", "Roles": ["reader"]})).await.ok();
    site.put("users/eve/password", json!({"Password": "correct horse battery"})).await.ok();
    let eve = basic("eve", "correct horse battery");
    site.post("secrets", json!({"Name": "db", "Value": SECRET})).await.ok();
    let machine = site.machine(json!({"Name": "m1"})).await;
    for (method, path) in
        [("GET", "secrets"), ("GET", "secrets/db"), ("PATCH", "secrets/db"), ("DELETE", "secrets/db")]
    {
        site.call_as(&eve, method, path, &json!({"Value": "x"})).await.refused(403);
    }
    site.call_as(&eve, "GET", &format!("{}/cloud-init", site.path(&machine)), &Value::Null).await.ok();
    let token = site.get(&format!("{}/token", site.path(&machine))).await.ok();
    let token = format!("Bearer {}", token["Token"].as_str().unwrap());
    let preview = format!("{}/cloud-init", site.path(&machine));
    for path in ["secrets", "secrets/db", "registry_credentials", "variables", "images", preview.as_str()] {
        site.call_as(&token, "GET", path, &Value::Null).await.refused(403);
    }
}

#[tokio::test]
async fn preview_tells_which_role_gave_what_and_what_other_roles_would() {
    let site = Site::start().await;
    let mut base = role("base", "packages: [curl]\n");
    base["Params"]["muster/merge-priority"] = json!(10);
    let web = role("web", "packages: [nginx]\nwrong: {{.vars.nothing}}\n");
    site.make("profiles", json!([base, web])).await;
    let machine = site
        .machine(
            json!({"Name": "m1", "Profiles": ["base"], "Params": {"muster/network": "addr=10.0.0.5/24"}}),
        )
        .await;
    let path = format!("{}/cloud-init", site.path(&machine));
    let own = site.get(&path).await.ok();
    assert_eq!(own["Sources"], json!({"hostname": ["machine settings"], "packages": ["role base"]}));
    assert_eq!(own["UserData"], "#cloud-config\nhostname: m1\npackages:\n- curl\n");
    assert_eq!(
        own["Errors"],
        json!(["param muster/network: no link is known of the machine; name one by its hardware address"])
    );
    let other = site.get(&format!("{path}?role=web&role=gone")).await.ok();
    let errors = other["Errors"].to_string();
    assert!(
        errors.contains("variable nothing does not exist") && errors.contains("role gone of machine m1"),
        "{errors}"
    );
    site.make("variables", json!([{"Name": "nothing", "Value": "something: else"}])).await;
    let quoted = json!([{"op": "replace", "path": "/Params/muster~1cloud-init", "value": "right: {{.vars.nothing | quote}}\n"}]);
    site.patch("profiles/web", quoted).await.ok();
    let right = site.get(&format!("{path}?role=web")).await.ok();
    assert!(right["UserData"].as_str().unwrap().contains("right: \"something: else\"\n"), "{right}");
    site.get("machines/00000000-0000-0000-0000-000000000009/cloud-init").await.refused(404);
}
