//! What an operator is answered.

use super::*;
use crate::app::Action;
use engine::patch::Patch;
use protocol::model::Kind;
use protocol::rest::{DenyRequest, ProvisionState};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

#[tokio::test]
async fn approved_machine_appears_in_discovery_mode() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let approved = app.registered(&machine).await;
    assert_eq!(approved.own.provision_state, ProvisionState::Discovery);
    let listed = app.machines(&admin()).await.unwrap();
    let [one] = listed.as_slice() else { panic!("{listed:?}") };
    assert!(one.own.online && one.envelope.available && one.envelope.validated);
    assert_eq!(one.name, "m-525400000001");
    assert_eq!(one.fields.hardware_addrs, ["52:54:00:00:00:01"]);
    for key in ["Name:m-525400000001".to_owned(), format!("Uuid:{}", one.uuid), format!("Key:{}", one.uuid)] {
        assert_eq!(app.machine(&admin(), &key).await.unwrap().uuid, one.uuid);
    }
    for key in ["m-525400000001", "Name:other", "Nonsense:x", ""] {
        assert_eq!(refusal(app.machine(&admin(), key).await), AppErrorKind::NotFound, "{key}");
    }
}

#[tokio::test]
async fn of_two_operators_one_wins_and_the_other_learns_who() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let mut request = approval(&pending, &app.look_up(&pending).await);
    request.name = Some("db-07".into());
    let (eve, adam) = (user("eve", Claims::all()), user("adam", Claims::all()));
    let (first, second) = tokio::join!(
        app.approve(&eve, pending.id, request.clone()),
        app.approve(&adam, pending.id, request.clone())
    );
    let (winners, losers): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_ok);
    assert_eq!((winners.len(), losers.len()), (1, 1));
    let error = losers.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind, AppErrorKind::AlreadyDecided);
    assert!(error.message.starts_with("this request was already decided: approved by user:"), "{error}");
    assert_eq!(app.count(AuditKind::EnrollmentApproved).await, 1);
    let denied = app.deny(&adam, pending.id, DenyRequest::default()).await;
    assert_eq!(refusal(denied), AppErrorKind::AlreadyDecided);
}

#[tokio::test]
async fn code_is_single_use() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    app.approve(&admin(), pending.id, request).await.unwrap();
    let code = pending.code.unwrap().to_string();
    assert_eq!(refusal(app.lookup(&admin(), &code).await), AppErrorKind::CodeNotFound);
}

#[tokio::test]
async fn fingerprint_of_another_machine_approves_nothing() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let mut request = approval(&pending, &app.look_up(&pending).await);
    for fingerprint in ["BBBB-BBBB-BBBB", "", "no fingerprint at all, and far too long for one"] {
        request.fingerprint = fingerprint.into();
        let refused = app.approve(&admin(), pending.id, request.clone()).await;
        assert_eq!(refusal(refused), AppErrorKind::FingerprintMismatch, "{fingerprint}");
    }
    assert!(app.machines(&admin()).await.unwrap().is_empty());
}

#[tokio::test]
async fn code_of_another_machine_approves_nothing() {
    let app = TestApp::start().await;
    let first = app.wait_with_code(&Bare::number(1)).await;
    let second = app.wait_with_code(&Bare::number(2)).await;
    let mut request = approval(&first, &app.look_up(&first).await);
    request.code = second.code.map(|code| code.to_string());
    assert_eq!(refusal(app.approve(&admin(), first.id, request).await), AppErrorKind::CodeNotFound);
}

#[tokio::test]
async fn dead_console_cannot_be_approved() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    app.pass(90);
    let refused = app.approve(&admin(), pending.id, request.clone()).await;
    assert_eq!(refusal(refused), AppErrorKind::MachineGone);
    app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap();
    app.approve(&admin(), pending.id, request).await.unwrap();
}

#[tokio::test]
async fn list_approval_needs_the_right_to_list() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let mut request = approval(&pending, &app.look_up(&pending).await);
    request.code = None;
    let narrow = user("eve", only(&[Action::BootstrapLookup, Action::BootstrapApprove]));
    assert_eq!(refusal(app.enrollments(&narrow).await), AppErrorKind::Forbidden);
    assert_eq!(refusal(app.approve(&narrow, pending.id, request.clone()).await), AppErrorKind::Forbidden);
    assert_eq!(app.enrollments(&admin()).await.unwrap().len(), 1);
    app.approve(&admin(), pending.id, request).await.unwrap();
}

#[tokio::test]
async fn every_use_case_asks_for_its_right() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let key = registered.uuid.to_string();
    let id = protocol::ids::EnrollmentId(uuid::Uuid::nil());
    let request = ApproveRequest {
        code: None,
        fingerprint: String::new(),
        name: None,
        merge: None,
        fingerprint_confirmed: false,
    };
    let lifetime = protocol::rest::TokenCreate { lifetime: 600, ..Default::default() };
    for nobody in [user("eve", only(&[])), machine.actor(&registered)] {
        let refused = [
            refusal(app.lookup(&nobody, "K7P-3XB").await),
            refusal(app.enrollments(&nobody).await),
            refusal(app.approve(&nobody, id, request.clone()).await),
            refusal(app.deny(&nobody, id, DenyRequest::default()).await),
            refusal(app.machines(&nobody).await),
            refusal(app.machine(&nobody, &key).await),
            refusal(app.forget(&nobody, &key).await),
            refusal(app.create_token(&nobody, lifetime.clone()).await),
        ];
        assert_eq!(refused, [AppErrorKind::Forbidden; 8]);
    }
    let as_machine = app.heartbeat(&admin(), heartbeat(AgentState::Discovery), NO_WAIT).await;
    assert_eq!(refusal(as_machine), AppErrorKind::Forbidden);
}

#[tokio::test]
async fn name_is_checked_unique_and_the_approvers_to_choose() {
    let app = TestApp::start().await;
    let named = |name: &str, request: ApproveRequest| ApproveRequest { name: Some(name.into()), ..request };
    let first = app.wait_with_code(&Bare::number(1)).await;
    let request = approval(&first, &app.look_up(&first).await);
    let refused = app.approve(&admin(), first.id, named("a/b", request.clone())).await;
    assert_eq!(refusal(refused), AppErrorKind::Invalid);
    let approved = app.approve(&admin(), first.id, named("db-07.example.org", request)).await.unwrap();
    assert_eq!(approved.name, "db-07.example.org");
    let second = app.wait_with_code(&Bare::number(2)).await;
    let request = approval(&second, &app.look_up(&second).await);
    let taken = app.approve(&admin(), second.id, named("db-07.example.org", request.clone())).await;
    assert_eq!(refusal(taken), AppErrorKind::Conflict);
    app.approve(&admin(), second.id, named(" db-08 ", request)).await.unwrap();
}

#[tokio::test]
async fn default_name_that_is_taken_gets_a_suffix() {
    let app = TestApp::start().await;
    let names = ["db-07.example.org", "db-07.example.org-2", "db-07.example.org-3"];
    for (number, expected) in (1..).zip(names) {
        let mut machine = Bare::number(number);
        machine.inventory.host_name = "db-07.example.org".into();
        assert_eq!(app.registered(&machine).await.name, expected);
    }
}

#[tokio::test]
async fn any_number_of_machines_with_one_default_name_is_approved() {
    let app = TestApp::start().await;
    let mut names = BTreeSet::new();
    for number in 1..=60 {
        let mut machine = Bare::number(number);
        machine.inventory.host_name = "localhost.localdomain".into();
        names.insert(app.registered(&machine).await.name);
    }
    assert_eq!(names.len(), 60);
    assert!(names.contains("m-52540000003c"), "{names:?}");
}

#[tokio::test]
async fn known_hardware_under_a_new_key_warns_and_merge_keeps_its_uuid() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let old = app.registered(&machine).await;
    app.pass(240);
    let reset = machine.reset();
    let pending = app.wait_with_code(&reset).await;
    let preview = app.look_up(&pending).await;
    assert_eq!(preview.warnings.first().unwrap().kind, "known_machine");
    let found = preview.matches.first().unwrap();
    assert_eq!((found.uuid, found.online, found.score), (old.uuid, false, 125));
    let mut request = approval(&pending, &preview);
    request.merge = Some(old.uuid);
    let unconfirmed = app.approve(&admin(), pending.id, request.clone()).await;
    assert_eq!(refusal(unconfirmed), AppErrorKind::Invalid);
    request.fingerprint_confirmed = true;
    let merged = app.approve(&admin(), pending.id, request).await.unwrap();
    assert_eq!(
        (merged.uuid, &merged.name, &merged.envelope.created_at),
        (old.uuid, &old.name, &old.envelope.created_at)
    );
    assert_eq!(app.machines(&admin()).await.unwrap().len(), 1);
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 1);
    app.access_token(&reset.caller()).await.unwrap();
    assert_eq!(refusal(app.access_token(&machine.caller()).await), refused_as(RefusalKind::AccessDenied));
    let stale = app.heartbeat(&machine.actor(&old), heartbeat(AgentState::Discovery), NO_WAIT).await;
    assert_eq!(refusal(stale), refused_as(RefusalKind::AccessDenied));
}

#[tokio::test]
async fn merge_with_unlike_hardware_needs_the_fingerprint_compared() {
    let app = TestApp::start().await;
    let old = app.registered(&Bare::number(1)).await;
    app.pass(240);
    let pending = app.wait_with_code(&Bare::number(2)).await;
    let preview = app.look_up(&pending).await;
    assert_eq!((preview.warnings.len(), preview.matches.len()), (0, 0));
    let mut request = approval(&pending, &preview);
    request.merge = Some(old.uuid);
    let refused = app.approve(&admin(), pending.id, request.clone()).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Invalid);
    let opening = format!("machine {} has no hardware in common", old.name);
    assert!(refused.message.starts_with(&opening), "{refused}");
    request.fingerprint_confirmed = true;
    assert_eq!(app.approve(&admin(), pending.id, request).await.unwrap().uuid, old.uuid);
}

#[tokio::test]
async fn machine_that_is_online_is_not_merged_with() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let old = app.registered(&machine).await;
    app.pass(10);
    let pending = app.wait_with_code(&machine.reset()).await;
    let preview = app.look_up(&pending).await;
    assert_eq!(preview.warnings.first().unwrap().kind, "machine_online");
    let mut request = approval(&pending, &preview);
    request.fingerprint_confirmed = true;
    request.merge = Some(old.uuid);
    let refused = app.approve(&admin(), pending.id, request.clone()).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Conflict);
    request.merge = None;
    let new = app.approve(&admin(), pending.id, request).await.unwrap();
    assert_ne!(new.uuid, old.uuid);
}

#[tokio::test]
async fn locked_machine_is_not_merged_with() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let old = app.registered(&machine).await;
    app.pass(300);
    let uuid = old.uuid.to_string();
    let lock = |locked: bool| Patch::Fields(Map::from_iter([("Locked".to_owned(), Value::Bool(locked))]));
    app.patch(&admin(), Kind::Machines, &uuid, &[], None, &lock(true)).await.unwrap();
    let pending = app.wait_with_code(&machine.reset()).await;
    let preview = app.look_up(&pending).await;
    let mut request = approval(&pending, &preview);
    request.fingerprint_confirmed = true;
    request.merge = Some(old.uuid);
    let refused = app.approve(&admin(), pending.id, request.clone()).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Locked);
    assert_eq!(
        refused.to_string(),
        format!(
            "machine {} is locked, so nobody takes its place: unlock it first, or approve without merge",
            old.name
        )
    );
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 0);
    app.patch(&admin(), Kind::Machines, &uuid, &[], None, &lock(false)).await.unwrap();
    assert_eq!(app.approve(&admin(), pending.id, request).await.unwrap().uuid, old.uuid);
}

#[tokio::test]
async fn same_hardware_waiting_twice_is_told() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    app.wait_with_code(&machine).await;
    let second = app.wait_with_code(&machine.reset()).await;
    let preview = app.look_up(&second).await;
    let kinds: Vec<_> = preview.warnings.iter().map(|warning| warning.kind.as_str()).collect();
    assert_eq!(kinds, ["same_hardware_waiting"]);
}

#[tokio::test]
async fn deleted_machine_is_refused_and_asks_with_a_new_code() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let deleted = app.forget(&admin(), &registered.uuid.to_string()).await.unwrap();
    assert_eq!(deleted.uuid, registered.uuid);
    assert!(app.machines(&admin()).await.unwrap().is_empty());
    let again = app.forget(&admin(), &registered.uuid.to_string()).await;
    assert_eq!(refusal(again), AppErrorKind::NotFound);
    let beat = app.heartbeat(&machine.actor(&registered), heartbeat(AgentState::Discovery), NO_WAIT).await;
    assert_eq!(refusal(beat), refused_as(RefusalKind::AccessDenied));
    assert!(app.wait_with_code(&machine).await.code.is_some());
    assert_eq!(app.count(AuditKind::MachineDeleted).await, 1);
}
