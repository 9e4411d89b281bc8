//! Objects of the content under several writers: tasks of one server, and two servers on one
//! database.

use super::*;
use engine::patch::Patch;
use futures_util::future::join_all;

async fn stage(app: &App, name: &str) -> bool {
    let found = app.get(&admin(), Kind::Stages, name, &[], &Known::default()).await;
    found.is_ok_and(|shown| shown.is_some())
}

#[tokio::test]
async fn servers_on_one_database_see_and_keep_each_others_changes() {
    let one = TestApp::start().await;
    let other = TestApp::open(&one.directory, &one.clock).await;
    one.create(&admin(), Kind::Stages, &[], json!({"Name": "from-one"})).await.unwrap();
    assert!(!stage(&other, "from-one").await, "not followed yet");
    // A change that was decided on what was before is decided again.
    other.create(&admin(), Kind::Stages, &[], json!({"Name": "from-other"})).await.unwrap();
    assert!(stage(&other, "from-one").await && stage(&other, "from-other").await);
    assert!(!stage(&one, "from-other").await);
    one.refresh_content().await.unwrap();
    assert!(stage(&one, "from-other").await);
    let again = other.create(&admin(), Kind::Stages, &[], json!({"Name": "from-one"})).await;
    assert_eq!(again.unwrap_err().kind, AppErrorKind::Exists);
}

#[tokio::test]
async fn machine_is_held_to_the_content_of_another_server() {
    let one = TestApp::start().await;
    let other = TestApp::open(&one.directory, &one.clock).await;
    one.create(&admin(), Kind::Profiles, &[], json!({"Name": "fleeting"})).await.unwrap();
    other.refresh_content().await.unwrap();
    one.delete(&admin(), Kind::Profiles, "fleeting", &[]).await.unwrap();
    let body = json!({"Name": "alpha", "Profiles": ["fleeting"]});
    let refused = other.create(&admin(), Kind::Machines, &[], body).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Invalid);
}

#[tokio::test]
async fn changes_at_once_are_all_kept() {
    let app = TestApp::start().await;
    app.create(&admin(), Kind::Profiles, &[], json!({"Name": "shared"})).await.unwrap();
    app.create(&admin(), Kind::Machines, &[], json!({"Name": "alpha"})).await.unwrap();
    let set = |kind: Kind, key: &'static str, number: usize| {
        let patch = Patch::parse(json!({"Params": {format!("p{number}"): number}})).unwrap();
        let app = &app;
        async move { app.patch(&admin(), kind, key, &[], None, &patch).await.map(drop) }
    };
    let profiles = join_all((0..12).map(|number| set(Kind::Profiles, "shared", number))).await;
    let machines = join_all((0..12).map(|number| set(Kind::Machines, "Name:alpha", number))).await;
    for done in profiles.into_iter().chain(machines) {
        done.unwrap();
    }
    for (kind, key) in [(Kind::Profiles, "shared"), (Kind::Machines, "Name:alpha")] {
        let shown = app.get(&admin(), kind, key, &[], &Known::default()).await.unwrap().unwrap();
        assert_eq!(shown.value["Params"].as_object().unwrap().len(), 12, "{kind}");
    }
}

#[tokio::test]
async fn content_survives_a_restart() {
    let app = TestApp::start().await;
    app.create(&admin(), Kind::Stages, &[], json!({"Name": "kept"})).await.unwrap();
    app.set_prefs(&admin(), json!({"defaultStage": "kept"})).await.unwrap();
    let again = TestApp::open(&app.directory, &app.clock).await;
    assert!(stage(&again, "kept").await);
    assert_eq!(again.prefs(&admin()).unwrap()["defaultStage"], "kept");
    let gone = again.delete(&admin(), Kind::Stages, "kept", &[]).await.unwrap_err();
    assert_eq!(gone.kind, AppErrorKind::InUse, "a preference names it");
}
