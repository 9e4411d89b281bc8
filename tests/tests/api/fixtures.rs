//! Bodies of every released protocol version, replayed against this server.
//!
//! `fixtures/protocol-v1/` holds what agents of version 1 send, byte for byte, and what they
//! were answered. A medium made today may be booted in a year: its requests must still be
//! accepted, and every member its agent reads must still be there with its JSON type. Set
//! `MUSTER_RECORD=1` to write the answers anew after an additive change.

use std::path::PathBuf;
use std::time::Duration;

use protocol::agent_api::{
    Approved, ENROLLMENTS_PATH, EnrollmentAnswer, HEARTBEAT_PATH, HeartbeatAnswer, REGISTER_PATH, Refusal,
    RegisterRequest, TOKEN_PATH, TokenAnswer, poll_path,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tests::machine::{Machine, Tamper};
use tests::operator::Answer;
use tests::output;

use crate::{Site, nonces};

fn folder() -> PathBuf {
    output::workspace().join("tests/fixtures/protocol-v1")
}

fn bytes(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sends a recorded request as it is, with a fresh proof.
fn send(machine: &mut Machine, path: &str, body: &[u8]) -> Answer {
    machine.call_with(path, body, Duration::ZERO, &Tamper::default()).unwrap()
}

/// Compares a live answer with the recorded one, and both with today's types.
fn compare<T: DeserializeOwned>(name: &str, status: u16, answer: &Answer) -> T {
    assert_eq!(answer.status, status, "{name}: {}", answer.text());
    if std::env::var_os("MUSTER_RECORD").is_some() {
        let value: Value = answer.json().unwrap();
        let mut text = serde_json::to_vec_pretty(&masked(value)).unwrap();
        text.push(b'\n');
        std::fs::write(folder().join(name), text).unwrap();
    }
    let recorded: Value = serde_json::from_slice(&bytes(name)).unwrap();
    same_shape(name, &recorded, &answer.json().unwrap());
    serde_json::from_value::<T>(recorded).unwrap_or_else(|error| panic!("{name} as recorded: {error}"));
    answer.json().unwrap()
}

/// Every recorded member is there with its type; more members are welcome.
fn same_shape(place: &str, recorded: &Value, live: &Value) {
    match (recorded, live) {
        (Value::Object(recorded), Value::Object(live)) => {
            for (key, value) in recorded {
                let now = live.get(key).unwrap_or_else(|| panic!("{place}: {key} is gone"));
                same_shape(&format!("{place}/{key}"), value, now);
            }
        }
        (Value::Array(recorded), Value::Array(live)) => {
            for (one, now) in recorded.iter().zip(live) {
                same_shape(place, one, now);
            }
        }
        // Words that agents act on are compared, not only their type.
        (Value::String(word), Value::String(now))
            if place.ends_with("/error") || place.ends_with("/status") =>
        {
            assert_eq!(word, now, "{place}");
        }
        _ => assert_eq!(
            std::mem::discriminant(recorded),
            std::mem::discriminant(live),
            "{place}: {recorded} became {live}"
        ),
    }
}

/// Puts placeholders where a recorded answer would hold a credential.
fn masked(mut value: Value) -> Value {
    for key in ["access_token", "nonce", "enrol_nonce"] {
        if let Some(secret) = value.get_mut(key) {
            *secret = Value::String(format!("recorded-{key}"));
        }
    }
    value
}

#[test]
fn requests_of_version_1_are_accepted_and_answered_as_then() {
    let mut site = Site::start("fixtures-enrol");
    let mut machine = site.machine();
    let request = bytes("enrollment-request.json");
    let created = send(&mut machine, ENROLLMENTS_PATH, &request);
    let answer = compare::<EnrollmentAnswer>("enrollment-answer.json", 201, &created);
    let EnrollmentAnswer::AuthorizationPending(pending) = answer else { panic!("approved at once") };

    let polled = send(&mut machine, &poll_path(pending.id), &bytes("poll-request.json"));
    compare::<EnrollmentAnswer>("poll-answer-pending.json", 202, &polled);
    let early = send(&mut machine, &poll_path(pending.id), &bytes("poll-request.json"));
    compare::<Refusal>("refusal-slow-down.json", 429, &early);

    site.operator.approve(&pending.code.unwrap().to_string()).unwrap();
    let polled = send(&mut machine, &poll_path(pending.id), &bytes("poll-request.json"));
    let answer = compare::<EnrollmentAnswer>("poll-answer-approved.json", 200, &polled);
    let EnrollmentAnswer::Approved(approved) = answer else { panic!("still pending") };

    machine.acknowledge(&approved).unwrap();
    let token = machine.try_renew().unwrap();
    compare::<TokenAnswer>("token-answer.json", 200, &token);
    machine.renew().unwrap();
    let beat = send(&mut machine, HEARTBEAT_PATH, &bytes("heartbeat-request.json"));
    compare::<HeartbeatAnswer>("heartbeat-answer.json", 200, &beat);
    let beat = send(&mut machine, HEARTBEAT_PATH, &bytes("heartbeat-request-with-inventory.json"));
    compare::<HeartbeatAnswer>("heartbeat-answer.json", 200, &beat);
    let shown = site.operator.machine(&approved.machine.uuid.to_string()).unwrap();
    assert_eq!(shown.own.inventory.serial, "FIXTURE-1");
}

#[test]
fn tokens_of_version_1_register() {
    let mut site = Site::start("fixtures-register");
    let token = site.operator.create_token(600).unwrap().token;
    let mut machine = site.machine();
    let request = String::from_utf8(bytes("register-request.json")).unwrap();
    let registered = send(&mut machine, REGISTER_PATH, request.replace("@TOKEN@", &token).as_bytes());
    let approved = compare::<Approved>("register-answer.json", 201, &registered);
    machine.acknowledge(&approved).unwrap();
    let refused = send(&mut site.machine(), REGISTER_PATH, request.replace("@TOKEN@", "a.b.c").as_bytes());
    compare::<Refusal>("refusal-invalid-token.json", 401, &refused);
}

#[test]
fn nonces_of_version_1_bring_a_machine_back() {
    let mut ahead = nonces::start("fixtures-nonce");
    let token = ahead.site.operator.create_token(600).unwrap().token;
    let mut machine = ahead.site.machine();
    let request = String::from_utf8(bytes("register-request.json")).unwrap().replace("@TOKEN@", &token);
    let first: Approved = send(&mut machine, REGISTER_PATH, request.as_bytes()).expect(201).unwrap();
    let recorded: RegisterRequest = serde_json::from_str(&request).unwrap();
    ahead.advance(61);
    let nonce = nonces::given(&ahead, &recorded.inventory);
    let request = String::from_utf8(bytes("register-request-nonce.json")).unwrap().replace("@NONCE@", &nonce);
    let back = send(&mut ahead.site.machine(), REGISTER_PATH, request.as_bytes());
    let approved = compare::<Approved>("register-answer.json", 201, &back);
    assert_eq!(approved.machine, first.machine);
}

#[test]
fn refusals_of_version_1_have_their_words() {
    let mut site = Site::start("fixtures-refusals");
    let (mut machine, mut other) = (site.machine(), site.machine());
    let first_call = Tamper { nonce: Some(String::new()), ..Tamper::default() };
    let body = bytes("token-request.json");
    let asked = machine.call_with(TOKEN_PATH, &body, Duration::ZERO, &first_call).unwrap();
    compare::<Refusal>("refusal-use-nonce.json", 401, &asked);
    let pending = machine.enroll().unwrap();
    other.enroll().unwrap();
    let foreign = send(&mut other, &poll_path(pending.id), &bytes("poll-request.json"));
    compare::<Refusal>("refusal-invalid-proof.json", 401, &foreign);
    site.operator.try_deny(pending.id, "recorded").unwrap();
    let denied = send(&mut machine, &poll_path(pending.id), &bytes("poll-request.json"));
    compare::<Refusal>("refusal-access-denied.json", 403, &denied);
    let unknown = protocol::ids::EnrollmentId(uuid::Uuid::new_v4());
    let unknown = send(&mut other, &poll_path(unknown), &bytes("poll-request.json"));
    compare::<Refusal>("refusal-unknown-request.json", 404, &unknown);
    other.protocol = protocol::ProtocolVersion(99);
    let version = send(&mut other, ENROLLMENTS_PATH, &bytes("enrollment-request.json"));
    compare::<Refusal>("refusal-unsupported-protocol.json", 426, &version);
}

#[test]
fn the_index_names_every_fixture() {
    let index = String::from_utf8(bytes("INDEX")).unwrap();
    let mut named: Vec<&str> = index
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut there: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "INDEX")
        .collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}
