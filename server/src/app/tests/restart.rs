//! What a killed server comes back with.

use super::*;
use crate::store::first_release;
use std::path::Path;

#[tokio::test]
async fn waiting_consoles_survive_a_restart() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    app.pass(85);
    let app = app.killed_and_started().await;
    app.pass(80);
    // The restart counted as a poll: still approvable with the code on the console.
    let request = approval(&pending, &app.look_up(&pending).await);
    let approved = app.approve(&admin(), pending.id, request).await.unwrap();
    let app = app.killed_and_started().await;
    let welcome = welcomed(app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap());
    assert_eq!(welcome.machine.uuid, approved.uuid);
}

#[tokio::test]
async fn restart_counts_as_a_poll_once_and_not_for_ever() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let app = app.killed_and_started().await;
    app.pass(90);
    let request = approval(&pending, &app.look_up(&pending).await);
    let refused = app.approve(&admin(), pending.id, request).await;
    assert_eq!(refusal(refused), AppErrorKind::MachineGone);
}

#[tokio::test]
async fn online_is_still_right_after_a_restart() {
    let app = TestApp::start().await;
    let registered = app.registered(&Bare::number(1)).await;
    app.sweep().await.unwrap();
    app.pass(30);
    let app = app.killed_and_started().await;
    let key = registered.uuid.to_string();
    assert!(app.machine(&admin(), &key).await.unwrap().own.online);
    app.pass(30);
    assert!(!app.machine(&admin(), &key).await.unwrap().own.online);
}

#[tokio::test]
async fn retired_codes_rest_over_a_restart() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    app.cancel(&machine.caller(), pending.id).await.unwrap();
    let app = app.killed_and_started().await;
    let code = pending.code.unwrap().to_string();
    assert_eq!(refusal(app.lookup(&admin(), &code).await), AppErrorKind::CodeNotFound);
    app.store.verify_audit().await.unwrap();
}

#[tokio::test]
async fn data_directory_of_the_first_release_is_taken_over() {
    let app = TestApp::start().await;
    let (token, machine) = (app.token().await, Bare::number(1));
    let id = app.try_register(&machine, &token.token).await.unwrap().machine.uuid;
    app.access_token(&machine.caller()).await.unwrap();
    let pins = app.keys.pins();
    let TestApp { app, clock, directory } = app;
    app.store.close().await;
    drop(app);
    first_release::turn_back(&directory.path().join("muster.db")).await;
    turn_keys_back(directory.path());
    let app = TestApp::start_in(directory, clock).await;
    assert_eq!(app.keys.pins(), pins);
    let shown = app.machine(&admin(), &id.to_string()).await.unwrap();
    assert_eq!((shown.uuid, shown.own.roles), (id, Vec::<String>::new()));
    // Its token goes on, for others and for itself, is listed and can be revoked.
    app.try_register(&Bare::number(2), &token.token).await.unwrap();
    app.pass(61);
    assert_eq!(app.try_register(&machine.reset(), &token.token).await.unwrap().machine.uuid, id);
    let listed = app.tokens(&admin(), None, None).await.unwrap();
    assert_eq!(listed.iter().map(|one| (one.id.as_str(), one.uses)).collect::<Vec<_>>(), [(&*token.id, 2)]);
    assert_eq!(app.revoke_token(&admin(), &token.id).await.unwrap().ended, 1);
    assert!(app.roll_token_key(&admin()).await.unwrap().current);
    app.roll_ca(&admin(), protocol::rest::CaRoll { force: false }).await.unwrap();
    assert_eq!(app.keys.pins().first(), pins.last());
    app.store.verify_audit().await.unwrap();
}

/// Keys as the first release left them: no roll of the CA, one certificate, no history of token keys.
fn turn_keys_back(data_dir: &Path) {
    let keys = data_dir.join("keys");
    std::fs::remove_file(keys.join("ca-b.pem")).unwrap();
    std::fs::copy(keys.join("ca-a.pem"), data_dir.join("ca.pem")).unwrap();
    assert!(!keys.join("ca.json").exists());
    for (file, since) in [("leaf.json", "ca"), ("kids.json", "last")] {
        let path = keys.join(file);
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json.as_object_mut().unwrap().remove(since).unwrap();
        std::fs::write(&path, json.to_string()).unwrap();
    }
}
