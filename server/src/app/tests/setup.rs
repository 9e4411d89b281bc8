//! What an installation would be made of, as it is and as it would be after a change; and roles that operators
//! give and take.

use super::*;
use engine::patch::Patch;
use protocol::install::SourceKind;
use protocol::model::Claim;
use serde_json::Value;

async fn site() -> (TestApp, String) {
    let app = TestApp::start().await;
    for (name, priority) in [("web", 200), ("base", 10)] {
        let params = json!({"muster/merge-priority": priority, "muster/kernel-args": name});
        let role = json!({"Name": name, "Meta": {"muster-role": "true"}, "Params": params});
        app.create(&admin(), Kind::Profiles, &[], role).await.unwrap();
    }
    let machine = app.create(&admin(), Kind::Machines, &[], json!({"Name": "alpha"})).await.unwrap();
    (app, machine.value["Uuid"].as_str().unwrap().to_owned())
}

fn patch(body: Value) -> Patch {
    Patch::parse(body).unwrap()
}

/// A user who may do this with machines and nothing else.
fn mia(action: &str) -> Actor {
    let claim = Claim { scope: "machines".into(), action: action.into(), specific: "*".into() };
    user("mia", Claims::of_list(vec![claim]))
}

async fn change(app: &TestApp, actor: &Actor, key: &str, body: Value) -> Result<Value, AppError> {
    let patched = app.patch(actor, Kind::Machines, key, &[], None, &patch(body)).await;
    patched.map(|shown| shown.value)
}

#[tokio::test]
async fn roles_are_shown_by_priority_and_written_by_who_may() {
    let (app, key) = site().await;
    let changed = change(&app, &admin(), &key, json!({"Roles": ["base", "web"]})).await.unwrap();
    assert_eq!((&changed["Roles"], &changed["Profiles"]), (&json!(["web", "base"]), &json!(["base", "web"])));
    let fewer = json!([{"op": "test", "path": "/Roles", "value": ["web", "base"]}, {"op": "remove", "path": "/Roles/0"}]);
    let changed = change(&app, &admin(), &key, fewer).await.unwrap();
    assert_eq!((&changed["Roles"], &changed["Profiles"]), (&json!(["base"]), &json!(["base"])));
    let refused = change(&app, &mia("get"), &key, json!({"Roles": []})).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Forbidden);
    assert_eq!(
        change(&app, &mia("update:/Roles"), &key, json!({"Roles": []})).await.unwrap()["Roles"],
        json!([])
    );
    // Who puts a whole object without them changes none.
    change(&app, &admin(), &key, json!({"Roles": ["web"]})).await.unwrap();
    let whole = json!({"Name": "alpha", "Description": "put", "Profiles": ["web"]});
    let put = app.replace(&admin(), Kind::Machines, &key, &[], None, whole).await.unwrap();
    assert_eq!(put.value["Roles"], json!(["web"]));
}

#[tokio::test]
async fn setup_is_shown_as_it_is_and_as_it_would_be() {
    let (app, key) = site().await;
    change(&app, &admin(), &key, json!({"Roles": ["base"]})).await.unwrap();
    let now = app.show_setup(&admin(), &key).await.unwrap();
    assert_eq!(now.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["base"]);
    let wanted = json!([
        {"op": "replace", "path": "/Roles", "value": ["base", "web"]},
        {"op": "add", "path": "/Params/muster~1network", "value": "if=eth0,vlan=99999"},
    ]);
    let then = app.rehearse_setup(&admin(), &key, &patch(wanted)).await.unwrap();
    assert_eq!(then.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["web", "base"]);
    let args = then.params.iter().find(|param| param.name == "muster/kernel-args").unwrap();
    let said: Vec<_> = args.sources.iter().map(|from| (from.kind, from.name.as_str())).collect();
    assert_eq!(said, [(SourceKind::Role, "web"), (SourceKind::Role, "base")]);
    assert!(then.errors["muster/network"].contains("vlan=99999"), "{:?}", then.errors);
    assert_eq!(then.disk_plan.error, app.show_disk_plan(&admin(), &key).await.unwrap().error);
    // Nothing of it was stored, and what a change would refuse is refused here.
    assert_eq!(app.show_setup(&admin(), &key).await.unwrap(), now);
    let wrong = patch(json!({"Params": {"muster/inject-agent": "yes"}}));
    let refused = app.rehearse_setup(&admin(), &key, &wrong).await.unwrap_err();
    assert!(refused.to_string().contains("muster/inject-agent"), "{refused}");
    assert_eq!(app.show_setup(&mia("list"), &key).await.unwrap_err().kind, AppErrorKind::Forbidden);
}
