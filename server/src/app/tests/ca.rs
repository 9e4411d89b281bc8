//! Rolling the CA, as operators and running agents see it.

use super::*;
use crate::app::Action;
use protocol::rest::CaRoll;

const ONCE: CaRoll = CaRoll { force: false };
const FORCED: CaRoll = CaRoll { force: true };

#[tokio::test]
async fn roll_is_audited_and_told_to_whoever_asks_from_then_on() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let before = app.keys.pins();
    let rolled = app.roll_ca(&admin(), ONCE).await.unwrap();
    let pins = app.keys.pins();
    assert_eq!(rolled.ca_hash, pins.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!((pins.first(), rolled.previous_roll), (before.last(), None));
    let answer =
        app.heartbeat(&machine.actor(&registered), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    assert_eq!(answer.ca_hash, pins);
    let welcome = app.access_token(&machine.caller()).await;
    assert!(welcome.is_ok(), "a machine that is registered stays so");
    let rows = app.store.audit(0, 10_000).await.unwrap();
    let row = rows.iter().find(|entry| entry.row.kind == AuditKind::KeyRotated).unwrap();
    assert_eq!(row.row.principal, "user:admin");
    assert_eq!(row.row.reason, "CA a gives way to the next");
}

#[tokio::test]
async fn second_roll_within_a_year_names_the_first_and_wants_force() {
    let app = TestApp::start().await;
    app.roll_ca(&admin(), ONCE).await.unwrap();
    app.pass(364 * 86_400);
    let pins = app.keys.pins();
    let error = app.roll_ca(&admin(), ONCE).await.unwrap_err();
    assert_eq!(error.kind, AppErrorKind::Conflict);
    assert!(error.message.starts_with(&format!("the CA was rolled on {START}: ")), "{}", error.message);
    assert_eq!(app.keys.pins(), pins);
    let rolled = app.roll_ca(&admin(), FORCED).await.unwrap();
    assert_eq!(rolled.previous_roll, Some(START.to_string()));
    app.pass(365 * 86_400);
    app.roll_ca(&admin(), ONCE).await.unwrap();
    assert_eq!(app.count(AuditKind::KeyRotated).await, 3);
}

#[tokio::test]
async fn roll_that_fails_says_so_in_the_audit_log_and_changes_nothing() {
    let app = TestApp::start().await;
    let pins = app.keys.pins();
    std::fs::remove_file(app.directory.path().join("keys/leaf.key.pem")).unwrap();
    assert_eq!(refusal(app.roll_ca(&admin(), ONCE).await), AppErrorKind::Internal);
    assert_eq!(app.keys.pins(), pins);
    assert_eq!(app.count(AuditKind::KeyRotated).await, 2);
}

#[tokio::test]
async fn only_who_may_roll_keys_does() {
    let app = TestApp::start().await;
    let reader = user("eve", only(&[Action::InfoRead]));
    assert_eq!(refusal(app.roll_ca(&reader, ONCE).await), AppErrorKind::Forbidden);
}
