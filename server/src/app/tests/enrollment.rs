//! What a machine that shows a code is answered.

use super::*;
use protocol::rest::DenyRequest;

#[tokio::test]
async fn machine_that_asks_again_keeps_its_id_and_code() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let first = app.enroll(&machine.caller(), machine.request()).await.unwrap();
    app.pass(30);
    let again = app.enroll(&machine.caller(), machine.request()).await.unwrap();
    assert_eq!((first.created, again.created), (true, false));
    let (first, again) = (still_waiting(first.answer), still_waiting(again.answer));
    assert_eq!((first.id, first.code), (again.id, again.code));
    assert_eq!((first.code_expires_in, again.code_expires_in, first.interval), (600, 570, 5));
    assert_eq!(app.count(AuditKind::EnrollmentCreated).await, 1);
}

#[tokio::test]
async fn same_key_asking_many_times_at_once_waits_once() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (app, machine) = (std::sync::Arc::clone(&app), Bare::number(1));
            tokio::spawn(async move { app.enroll(&machine.caller(), machine.request()).await.unwrap() })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    let mut created = 0;
    for call in calls {
        let enrolled = call.await.unwrap();
        created += u32::from(enrolled.created);
        ids.insert(still_waiting(enrolled.answer).id);
    }
    assert_eq!((created, ids.len()), (1, 1));
}

#[tokio::test]
async fn poll_brings_a_new_code_after_ten_minutes_and_the_old_one_selects_a_minute_more() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let first = app.wait_with_code(&machine).await;
    app.pass(599);
    let poll = still_waiting(app.poll(&machine.caller(), first.id, NO_WAIT).await.unwrap());
    assert_eq!((poll.code, poll.code_expires_in), (None, 1));
    app.pass(5);
    let rotated = still_waiting(app.poll(&machine.caller(), first.id, NO_WAIT).await.unwrap());
    let fresh = rotated.code.expect("a new code");
    assert_ne!(Some(fresh), first.code);
    assert_eq!(rotated.code_expires_in, 600);
    app.pass(59);
    assert_eq!(app.look_up(&first).await.id, first.id);
    assert_eq!(app.look_up(&rotated).await.id, first.id);
    app.pass(1);
    let old = first.code.unwrap().to_string();
    assert_eq!(refusal(app.lookup(&admin(), &old).await), AppErrorKind::CodeNotFound);
    assert_eq!(app.count(AuditKind::EnrollmentRotated).await, 1);
}

#[tokio::test]
async fn held_poll_answers_at_once_when_the_machine_is_approved() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    let caller = machine.caller();
    let poll = app.poll(&caller, pending.id, Duration::from_secs(25));
    let operator = admin();
    let approve = async {
        // The poll is first: it registers its wait, then looks, then yields here.
        tokio::task::yield_now().await;
        app.approve(&operator, pending.id, request).await.unwrap()
    };
    let both = async { tokio::join!(poll, approve) };
    let (answer, approved) =
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("woken, not waited");
    let welcome = welcomed(answer.unwrap());
    assert_eq!(welcome.machine.uuid, approved.uuid);
    assert_eq!(welcome.machine.name, "m-520000000001".replace("5200", "5254"));
}

#[tokio::test]
async fn approved_machine_is_told_so_until_and_after_it_collects() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    let approved = app.approve(&admin(), pending.id, request).await.unwrap();
    for _ in 0..3 {
        let welcome = welcomed(app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap());
        assert_eq!(welcome.machine.uuid, approved.uuid);
        app.access_token(&machine.caller()).await.unwrap();
    }
    assert_eq!(app.count(AuditKind::EnrollmentEnrolled).await, 1);
    assert_eq!(app.count(AuditKind::EnrollmentApproved).await, 1);
    let again = app.enroll(&machine.caller(), machine.request()).await.unwrap();
    assert_eq!(welcomed(again.answer).machine.uuid, approved.uuid);
}

#[tokio::test]
async fn nobody_polls_or_cancels_with_another_key() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let thief = Bare::number(2).caller();
    let invalid = refused_as(RefusalKind::InvalidProof);
    assert_eq!(refusal(app.poll(&thief, pending.id, NO_WAIT).await), invalid);
    assert_eq!(refusal(app.cancel(&thief, pending.id).await), invalid);
    let nowhere = protocol::ids::EnrollmentId(uuid::Uuid::nil());
    assert_eq!(refusal(app.poll(&thief, nowhere, NO_WAIT).await), refused_as(RefusalKind::UnknownRequest));
    assert_eq!(refusal(app.access_token(&thief).await), refused_as(RefusalKind::AccessDenied));
}

#[tokio::test]
async fn early_poll_slows_this_request_down() {
    let app = TestApp::start().await;
    let (hasty, calm) = (Bare::number(1), Bare::number(2));
    let (first, second) = (app.wait_with_code(&hasty).await, app.wait_with_code(&calm).await);
    for (machine, pending) in [(&hasty, &first), (&calm, &second)] {
        app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap();
    }
    app.pass(1);
    let error = app.poll(&hasty.caller(), first.id, NO_WAIT).await.unwrap_err();
    assert_eq!((error.kind, error.interval), (refused_as(RefusalKind::SlowDown), Some(10)));
    app.pass(4);
    assert_eq!(still_waiting(app.poll(&calm.caller(), second.id, NO_WAIT).await.unwrap()).interval, 5);
    app.pass(6);
    assert_eq!(still_waiting(app.poll(&hasty.caller(), first.id, NO_WAIT).await.unwrap()).interval, 10);
}

#[tokio::test]
async fn silent_machine_expires_after_fifteen_minutes() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    app.pass(899);
    app.sweep().await.unwrap();
    assert_eq!(app.enrollments(&admin()).await.unwrap().len(), 1);
    app.pass(1);
    app.sweep().await.unwrap();
    assert!(app.enrollments(&admin()).await.unwrap().is_empty());
    let poll = app.poll(&machine.caller(), pending.id, NO_WAIT).await;
    assert_eq!(refusal(poll), refused_as(RefusalKind::ExpiredToken));
    let next = app.wait_with_code(&machine).await;
    assert_ne!(next.id, pending.id);
}

#[tokio::test]
async fn request_that_polls_for_a_day_ends_and_starts_anew() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    for _ in 0..143 {
        app.pass(600);
        still_waiting(app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap());
        app.sweep().await.unwrap();
    }
    app.pass(600);
    app.sweep().await.unwrap();
    let poll = app.poll(&machine.caller(), pending.id, NO_WAIT).await;
    assert_eq!(refusal(poll), refused_as(RefusalKind::ExpiredToken));
}

#[tokio::test]
async fn denied_key_waits_longer_each_time_and_other_keys_do_not() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    for minutes in [10, 20, 40] {
        let pending = app.wait_with_code(&machine).await;
        let reason = DenyRequest { reason: Some("not ours".into()) };
        app.deny(&admin(), pending.id, reason).await.unwrap();
        let poll = app.poll(&machine.caller(), pending.id, NO_WAIT).await.unwrap_err();
        assert_eq!(poll.kind, refused_as(RefusalKind::AccessDenied));
        assert_eq!(poll.message, "an operator denied this machine: not ours");
        let asked = app.enroll(&machine.caller(), machine.request()).await.unwrap_err();
        assert_eq!(
            (asked.kind, asked.retry_after),
            (refused_as(RefusalKind::AccessDenied), Some(minutes * 60))
        );
        app.pass(minutes * 60);
    }
    let pending = app.wait_with_code(&machine.reset()).await;
    let preview = app.look_up(&pending).await;
    assert!(preview.warnings.iter().any(|warning| warning.kind == "denied_before"), "{:?}", preview.warnings);
}

#[tokio::test]
async fn machine_takes_its_request_back() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    app.cancel(&machine.caller(), pending.id).await.unwrap();
    app.cancel(&machine.caller(), pending.id).await.unwrap();
    assert_eq!(app.count(AuditKind::EnrollmentCancelled).await, 1);
    let poll = app.poll(&machine.caller(), pending.id, NO_WAIT).await;
    assert_eq!(refusal(poll), refused_as(RefusalKind::ExpiredToken));
}

#[tokio::test]
async fn approval_nobody_collects_marks_the_machine_and_forgets_its_key() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    let approved = app.approve(&admin(), pending.id, request).await.unwrap();
    app.pass(899);
    app.sweep().await.unwrap();
    assert!(app.machine(&admin(), &approved.uuid.to_string()).await.unwrap().envelope.available);
    app.pass(1);
    app.sweep().await.unwrap();
    let marked = app.machine(&admin(), &approved.uuid.to_string()).await.unwrap();
    assert!(!marked.envelope.available && marked.envelope.errors.len() == 1);
    let poll = app.poll(&machine.caller(), pending.id, NO_WAIT).await;
    assert_eq!(refusal(poll), refused_as(RefusalKind::ExpiredToken));
    assert_eq!(refusal(app.access_token(&machine.caller()).await), refused_as(RefusalKind::AccessDenied));
    let next = app.wait_with_code(&machine).await;
    let preview = app.look_up(&next).await;
    assert_eq!(preview.matches.first().unwrap().uuid, approved.uuid);
    assert_eq!(app.count(AuditKind::EnrollmentUnclaimed).await, 1);
}

#[tokio::test]
async fn inventory_is_bounded_and_cleaned() {
    let app = TestApp::start().await;
    let mut machine = Bare::number(1);
    machine.inventory.serial = "\u{1b}]0;x\u{7}<b>".into();
    let pending = app.wait_with_code(&machine).await;
    assert_eq!(app.look_up(&pending).await.serial, "]0;x<b>");
    machine.inventory.product = "A".repeat(33_000);
    let error = app.enroll(&machine.caller(), machine.request()).await.unwrap_err();
    assert_eq!(error.kind, refused_as(RefusalKind::TooLarge));
    assert!(error.message.ends_with("at most 32768 are accepted"), "{}", error.message);
}

#[tokio::test]
async fn watchers_learn_of_enrollments_and_machines_and_never_a_code() {
    let app = TestApp::start().await;
    let mut watcher = app.hub.subscribe();
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let code = pending.code.unwrap();
    let request = approval(&pending, &app.look_up(&pending).await);
    app.approve(&admin(), pending.id, request).await.unwrap();
    app.access_token(&machine.caller()).await.unwrap();
    let mut seen = Vec::new();
    for event in told(&mut watcher).await {
        let text = serde_json::to_string(&event).unwrap();
        assert!(!text.contains(code.as_str()) && !text.contains(&code.to_string()), "{text}");
        if event.kind != "audit" {
            seen.push((event.kind, event.action, event.principal));
        }
    }
    let key = format!("key:{}", machine.key);
    let event = |kind: &str, action: &str, by: &str| (kind.to_owned(), action.to_owned(), by.to_owned());
    assert_eq!(
        seen,
        [
            event("enrollments", "create", &key),
            event("machines", "create", "user:admin"),
            event("enrollments", "update", "user:admin"),
            event("enrollments", "update", &key),
            event("machines", "update", &key),
        ]
    );
}
