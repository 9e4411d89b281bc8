//! What a killed server comes back with.

use super::*;

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
    assert!(app.machine(&admin(), &key).await.unwrap().online);
    app.pass(30);
    assert!(!app.machine(&admin(), &key).await.unwrap().online);
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
