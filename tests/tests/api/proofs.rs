//! Every machine call is signed by the machine's key, and nothing else counts
//! (`spec/security.md` 1 T3, 2.4).

use std::time::Duration;

use protocol::ProtocolVersion;
use protocol::agent_api::{ENROLLMENTS_PATH, HEARTBEAT_PATH, Refusal, RefusalKind, poll_path};
use reqwest::Method;
use serde_json::json;
use tests::machine::{Machine, Tamper};
use tests::operator::{Answer, Operator};

use crate::Site;

fn refusal(answer: &Answer) -> (u16, RefusalKind) {
    let refusal: Refusal = answer.json().unwrap();
    (answer.status, refusal.error)
}

#[test]
fn a_photo_of_the_console_is_worth_nothing() {
    let mut site = Site::start("proofs-photo");
    let (mut machine, mut thief) = (site.machine(), site.machine());
    let pending = machine.enroll().unwrap();
    let code = pending.code.unwrap().to_string();

    // Id and code, no key: not for a stranger's key, not without any, not for anonymous REST.
    let foreign = thief.try_poll(pending.id, Duration::ZERO).unwrap();
    assert_eq!(refusal(&foreign), (401, RefusalKind::InvalidProof));
    let unsigned = Tamper { no_proof: true, ..Tamper::default() };
    let answer = thief.call_with(&poll_path(pending.id), b"{}", Duration::ZERO, &unsigned).unwrap();
    assert_eq!(refusal(&answer), (401, RefusalKind::UseNonce));
    let anonymous = Operator::anonymous(&site.server.url(), &site.target.ca_pem).unwrap();
    assert_eq!(anonymous.try_lookup(&code).unwrap().status, 401);
    assert_eq!(anonymous.try_deny(pending.id, "").unwrap().status, 401);
    let path = format!("/api/v3/bootstrap/enrollments/{}/approve", pending.id);
    let approve = json!({ "code": code, "fingerprint": machine.fingerprint().unwrap() });
    assert_eq!(anonymous.post(&path, &approve).unwrap().status, 401);
    for path in ["/api/v3/machines", "/api/v3/bootstrap/enrollments", "/api/v3/users/admin/token"] {
        assert_eq!(anonymous.get(path).unwrap().status, 401, "{path}");
    }
    // After approval, neither.
    site.operator.approve(&code).unwrap();
    let foreign = thief.try_poll(pending.id, Duration::ZERO).unwrap();
    assert_eq!(refusal(&foreign), (401, RefusalKind::InvalidProof));
    machine.collect(pending.id).unwrap();
}

#[test]
fn tampered_proofs_are_refused() {
    let mut site = Site::start("proofs-tampered");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let path = poll_path(pending.id);
    let some = |text: &str| Some(text.to_owned());
    let cases: [(&str, Tamper); 6] = [
        ("broken signature", Tamper { break_signature: true, ..Tamper::default() }),
        ("another method", Tamper { htm: some("GET"), ..Tamper::default() }),
        ("another target", Tamper { htu: some("https://x.agent.internal/"), ..Tamper::default() }),
        ("another server", Tamper { sid: some("somebody"), ..Tamper::default() }),
        ("another body", Tamper { body: Some(b"{\"a\":1}".to_vec()), ..Tamper::default() }),
        ("empty jti", Tamper { jti: some(""), ..Tamper::default() }),
    ];
    for (what, tamper) in cases {
        let answer = machine.call_with(&path, b"{}", Duration::ZERO, &tamper).unwrap();
        assert_eq!(refusal(&answer), (401, RefusalKind::InvalidProof), "{what}");
    }
    for nonce in ["", "forged", &"A".repeat(600)] {
        let tamper = Tamper { nonce: some(nonce), ..Tamper::default() };
        let answer = machine.call_with(&path, b"{}", Duration::ZERO, &tamper).unwrap();
        let (status, kind) = refusal(&answer);
        assert!(
            status == 401 && matches!(kind, RefusalKind::UseNonce | RefusalKind::InvalidProof),
            "{nonce}"
        );
    }
    // None of it cost the real machine anything.
    machine.enroll().unwrap();
}

#[test]
fn a_machine_that_says_nothing_is_told_the_time_and_nothing_else() {
    let mut site = Site::start("proofs-time");
    let mut machine = site.machine();
    let silent = Tamper { no_proof: true, ..Tamper::default() };
    let answer = machine.call_with(ENROLLMENTS_PATH, b"", Duration::ZERO, &silent).unwrap();
    assert_eq!(refusal(&answer), (401, RefusalKind::UseNonce));
    let told = answer.json::<Refusal>().unwrap().server_time.unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(told) < 60, "{told} is not now");
    let forged = Tamper { break_signature: true, ..Tamper::default() };
    let answer = machine.call_with(ENROLLMENTS_PATH, b"", Duration::ZERO, &forged).unwrap();
    assert_eq!(answer.json::<Refusal>().unwrap().server_time, None);
    assert!(site.operator.enrollments().unwrap().is_empty());
}

#[test]
fn a_proof_is_good_for_one_request() {
    let mut site = Site::start("proofs-replay");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let replayed = Tamper { jti: Some("AAAAAAAAAAAAAAAAAAAAAA".to_owned()), ..Tamper::default() };
    let body = serde_json::to_vec(&machine.enrollment_request()).unwrap();
    let call = |machine: &mut Machine| {
        machine.call_with(ENROLLMENTS_PATH, &body, Duration::ZERO, &replayed).unwrap()
    };
    assert_eq!(call(&mut machine).status, 200);
    assert_eq!(refusal(&call(&mut machine)), (401, RefusalKind::InvalidProof));
    assert_eq!(machine.enroll().unwrap().id, pending.id);
}

#[test]
fn an_access_token_needs_the_key_it_was_given_to() {
    let mut site = Site::start("proofs-bound");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    site.operator.approve(&pending.code.unwrap().to_string()).unwrap();
    machine.collect(pending.id).unwrap();
    machine.heartbeat().unwrap();
    let token = machine.access_token().unwrap().to_owned();

    // As bearer, in REST and on the machine's own route.
    let anonymous = Operator::anonymous(&site.server.url(), &site.target.ca_pem).unwrap();
    for (method, path) in [(Method::GET, "/api/v3/machines"), (Method::POST, HEARTBEAT_PATH)] {
        for scheme in ["Bearer", "DPoP"] {
            let request = anonymous.request(method.clone(), path);
            let request = request.header("authorization", format!("{scheme} {token}")).json(&json!({}));
            let status = anonymous.send(request).unwrap().status;
            assert!(matches!(status, 401 | 403), "{scheme} on {path}: {status}");
        }
    }
    // A machine that was never approved has no token at all.
    let mut stranger = site.machine();
    let refused = stranger.try_renew().unwrap();
    assert!(matches!(refused.status, 401 | 403), "{}", refused.text());
}

#[test]
fn another_protocol_version_is_refused_by_name() {
    let mut site = Site::start("proofs-version");
    let mut machine = site.machine();
    machine.protocol = ProtocolVersion(99);
    let answer = machine.try_enroll().unwrap();
    assert_eq!(refusal(&answer), (426, RefusalKind::UnsupportedProtocol));
    machine.protocol = ProtocolVersion::CURRENT;
    machine.enroll().unwrap();
}
