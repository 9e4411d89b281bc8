//! Guessers and flooders are slowed down, and nobody else is.

use super::*;

/// Codes of the right shape that nobody waits with.
fn wrong_codes() -> impl Iterator<Item = String> {
    let alphabet = protocol::code::ALPHABET;
    alphabet
        .iter()
        .flat_map(move |a| alphabet.iter().map(move |b| format!("{}99-99{}", char::from(*a), char::from(*b))))
}

#[tokio::test]
async fn eleventh_wrong_code_of_an_account_waits_and_other_accounts_do_not() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    let right = pending.code.unwrap().to_string();
    let eve = user("eve", Claims::all());
    for code in wrong_codes().take(10) {
        assert_eq!(refusal(app.lookup(&eve, &code).await), AppErrorKind::CodeNotFound);
    }
    let error = app.lookup(&eve, &right).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (AppErrorKind::TooManyAttempts, Some(360)));
    let mut request = approval(&pending, &app.look_up(&pending).await);
    assert_eq!(refusal(app.approve(&eve, pending.id, request.clone()).await), AppErrorKind::TooManyAttempts);
    // From the list nothing is guessed, so nothing is slowed down.
    request.code = None;
    app.approve(&eve, pending.id, request).await.unwrap();
    assert_eq!(app.count(AuditKind::LookupMiss).await, 10);
}

#[tokio::test]
async fn malformed_codes_are_neither_counted_nor_looked_up() {
    let app = TestApp::start().await;
    for _ in 0..50 {
        for text in ["", "K7P", "K7P-3X0", "K7P-3XBB", "far too long to be looked at"] {
            assert_eq!(refusal(app.lookup(&admin(), text).await), AppErrorKind::MalformedCode);
        }
    }
    assert_eq!(app.audit_kinds().await, []);
}

#[tokio::test]
async fn right_codes_cost_nothing() {
    let app = TestApp::start().await;
    let pending = app.wait_with_code(&Bare::number(1)).await;
    for _ in 0..40 {
        app.look_up(&pending).await;
    }
}

#[tokio::test]
async fn sixty_misses_ask_everybody_who_missed_for_the_password() {
    let app = TestApp::start().await;
    let mut codes = wrong_codes();
    for account in 0..6 {
        let guesser = user(&format!("u{account}"), Claims::all());
        for code in codes.by_ref().take(10) {
            assert_eq!(refusal(app.lookup(&guesser, &code).await), AppErrorKind::CodeNotFound);
        }
    }
    assert_eq!(app.count(AuditKind::RateLimitTripped).await, 1);
    let pending = app.wait_with_code(&Bare::number(1)).await;
    app.look_up(&pending).await;
    app.pass(3_600);
    app.poll(&Bare::number(1).caller(), pending.id, NO_WAIT).await.unwrap();
    let right = app.enrollments(&admin()).await.unwrap();
    assert_eq!(right.len(), 1);
    let guesser = user("u1", Claims::all());
    let code = codes.next().unwrap();
    assert_eq!(refusal(app.lookup(&guesser, &code).await), AppErrorKind::StepUp);
    app.password_entered("u1");
    assert_eq!(refusal(app.lookup(&guesser, &code).await), AppErrorKind::CodeNotFound);
}

#[tokio::test]
async fn one_address_has_a_burst_of_sixteen_and_another_is_served() {
    let app = TestApp::start().await;
    let source = IpAddr::from([10, 0, 0, 1]);
    for number in 0..16 {
        app.wait_with_code(&Bare { source, ..Bare::number(number) }).await;
    }
    let seventeenth = Bare { source, ..Bare::number(16) };
    let error = app.enroll(&seventeenth.caller(), seventeenth.request()).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (refused_as(RefusalKind::SlowDown), Some(2)));
    app.wait_with_code(&Bare::number(17)).await;
    app.pass(2);
    app.wait_with_code(&seventeenth).await;
}

#[tokio::test]
async fn one_address_has_64_places() {
    let app = TestApp::start().await;
    let source = IpAddr::from([10, 0, 0, 1]);
    for number in 0..64 {
        app.pass(2);
        app.wait_with_code(&Bare { source, ..Bare::number(number) }).await;
    }
    app.pass(60);
    let last = Bare { source, ..Bare::number(64) };
    let refused = app.enroll(&last.caller(), last.request()).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::SlowDown));
}

#[tokio::test]
async fn address_that_takes_every_code_back_gets_one_a_minute() {
    let app = TestApp::start().await;
    let source = IpAddr::from([10, 0, 0, 1]);
    let mut given = 0;
    for number in 0..300_u16 {
        app.pass(2);
        let [high, low] = number.to_be_bytes();
        let mut machine = Bare { source, ..Bare::number(low) };
        machine.key.0[0] = high;
        let Ok(enrolled) = app.enroll(&machine.caller(), machine.request()).await else { continue };
        app.cancel(&machine.caller(), still_waiting(enrolled.answer).id).await.unwrap();
        given += 1;
    }
    // 256 at once, and one for each minute between the first and the last, 598 seconds later.
    assert_eq!(given, 256 + 9);
    assert_eq!(app.liveness.waiting(), 0);
    app.pass(86_401);
    app.clean_up().await.unwrap();
    let key = Bare::number(1).key;
    assert!(app.store.enrollments_of_key(key).await.unwrap().is_empty());
    app.wait_with_code(&Bare { source, ..Bare::number(1) }).await;
}

#[tokio::test]
async fn failed_proofs_leave_a_trace_that_cannot_be_flooded() {
    let app = TestApp::start().await;
    let call = |request_id| crate::keys::Call {
        proof: "eyJ.not.a-proof",
        method: "POST",
        path: "/api/v3/agent/heartbeat",
        access_token: None,
        source: IpAddr::from([10, 20, 4, 7]),
        request_id,
    };
    for _ in 0..50 {
        assert_eq!(app.prove_head(&call("r1")).await.unwrap_err().kind.refusal(), RefusalKind::InvalidProof);
    }
    assert_eq!(app.count(AuditKind::ProofFailed).await, 5);
    app.pass(60);
    assert!(app.prove_head(&call("r2")).await.is_err());
    assert_eq!(app.count(AuditKind::ProofFailed).await, 6);
}
