//! Limits that carry the load which the short code cannot (`spec/security.md` 2.6, 6).

use std::net::Ipv4Addr;

use protocol::agent_api::{ENROLLMENTS_PATH, Refusal, RefusalKind};
use serde_json::json;
use tests::machine::Machine;
use tests::operator::approval;

use crate::Site;

#[test]
fn ten_wrong_codes_stop_the_guessing_and_nothing_else() {
    let mut site = Site::start("limits-guesses");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let real = pending.code.unwrap();
    let preview = site.operator.lookup(&real.to_string()).unwrap();
    let near = real.neighbours();
    for wrong in near.iter().take(10) {
        assert_eq!(site.operator.try_lookup(&wrong.to_string()).unwrap().status, 404);
    }
    let stopped = site.operator.try_lookup(&near[10].to_string()).unwrap();
    assert_eq!((stopped.status, stopped.error_kind().unwrap().as_str()), (429, "too_many_attempts"));
    assert!(matches!(stopped.retry_after, Some(1..=360)), "{:?}", stopped.retry_after);
    // Neither machines nor the list, nor approval from the list, are locked by it.
    assert_eq!(site.operator.enrollments().unwrap().len(), 1);
    let mut request = approval("", &preview);
    request.code = None;
    let approved = site.operator.try_approve(pending.id, &request).unwrap();
    assert_eq!(approved.status, 200, "{}", approved.text());
    machine.collect(pending.id).unwrap();
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}

#[test]
fn malformed_codes_are_not_counted_as_guesses() {
    let site = Site::start("limits-malformed");
    for _ in 0..15 {
        assert_eq!(site.operator.try_lookup("K7P-3XO").unwrap().status, 400);
    }
    assert_eq!(site.operator.try_lookup("K7P-3XB").unwrap().status, 404);
}

#[test]
fn one_flooding_source_is_held_back_and_others_are_not() {
    let mut site = Site::start("limits-flood");
    let flooder = Ipv4Addr::new(127, 9, 0, 1);
    let mut answers = Vec::new();
    for number in 0..24 {
        let mut machine = Machine::calling_from(&site.target, 10_000 + number, flooder).unwrap();
        answers.push(machine.try_enroll().unwrap());
    }
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && answers.len() - refused.len() >= 16, "{} refused", refused.len());
    for answer in refused {
        assert_eq!(answer.json::<Refusal>().unwrap().error, RefusalKind::SlowDown);
        assert!(answer.retry_after.is_some_and(|seconds| seconds >= 1));
    }
    site.machine().enroll().unwrap();
}

#[test]
fn a_machine_that_polls_too_fast_is_told_to_slow_down() {
    let mut site = Site::start("limits-polls");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let first = machine.try_poll(pending.id, std::time::Duration::ZERO).unwrap();
    let second = machine.try_poll(pending.id, std::time::Duration::ZERO).unwrap();
    let told: Refusal = [first, second].iter().find(|answer| answer.status == 429).unwrap().json().unwrap();
    assert_eq!(told.error, RefusalKind::SlowDown);
    assert_eq!(told.interval, Some(10));
}

#[test]
fn bodies_that_are_too_large_or_no_json_are_refused() {
    let mut site = Site::start("limits-bodies");
    let mut machine = site.machine();
    let mut send = |body: &[u8]| {
        machine.call_with(ENROLLMENTS_PATH, body, std::time::Duration::ZERO, &Default::default()).unwrap()
    };
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    let texts = ["", "{", "[]", "null", "{\"inventory\":7}", deep.as_str()];
    for text in texts {
        assert_eq!(send(text.as_bytes()).status, 400, "{text}");
    }
    let huge = json!({ "inventory": { "Vendor": "x".repeat(70_000) } }).to_string();
    let answer = send(huge.as_bytes());
    assert_eq!((answer.status, answer.json::<Refusal>().unwrap().error), (413, RefusalKind::TooLarge));
    let login = json!({ "Username": "admin", "Password": "x".repeat(5_000) });
    assert_eq!(site.operator.post("/api/v3/session", &login).unwrap().status, 413);
}
