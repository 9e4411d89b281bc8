//! Machines that lost their key and come back with the token they came by: the same hardware is the
//! same machine, and nobody else is (`spec/security.md` 5, "Re-registration").

use std::time::Duration;

use protocol::agent_api::{Approved, HEARTBEAT_PATH, HeartbeatRequest, RefusalKind};
use protocol::ids::MachineId;
use protocol::rest::Token;
use tests::machine::Machine;

use crate::clock::Ahead;
use crate::source;
use crate::tokens::refusal;

const YEAR: u64 = 31_536_000;

/// The same hardware at the same place, with a key that was made just now.
fn boot(ahead: &Ahead, number: u32) -> Machine {
    Machine::calling_from(&ahead.site.target, number, source(number)).unwrap()
}

/// Registers and goes on duty.
fn on_duty(machine: &mut Machine, token: &str) -> MachineId {
    let approved: Approved = machine.try_register(token).unwrap().expect(201).unwrap();
    machine.acknowledge(&approved).unwrap();
    machine.heartbeat().unwrap();
    approved.machine.uuid
}

#[test]
fn a_machine_rebooted_twenty_times_in_discovery_mode_is_one_machine() {
    let mut ahead = Ahead::start("reboots-twenty");
    let token = ahead.site.operator.create_token(YEAR).unwrap();
    let first = on_duty(&mut boot(&ahead, 1), &token.token);
    for number in 1..=20 {
        ahead.advance(61);
        let mut machine = boot(&ahead, 1);
        assert_eq!(on_duty(&mut machine, &token.token), first, "boot {number}");
    }
    assert_eq!(ahead.site.operator.machines().unwrap().len(), 1);
    let tokens: Vec<Token> = ahead.site.operator.get("/api/v3/bootstrap/tokens").unwrap().json().unwrap();
    assert_eq!(tokens[0].uses, 1);
}

#[test]
fn a_machine_that_reboots_faster_than_its_silence_is_asked_to_wait() {
    let mut ahead = Ahead::start("reboots-early");
    let token = ahead.site.operator.create_token(YEAR).unwrap();
    let first = on_duty(&mut boot(&ahead, 1), &token.token);
    let mut again = boot(&ahead, 1);
    let early = again.try_register(&token.token).unwrap();
    assert_eq!(refusal(&early), (429, RefusalKind::SlowDown));
    let wait = early.retry_after.unwrap();
    assert!((30..=60).contains(&wait), "{wait}");
    ahead.advance(i64::try_from(wait).unwrap());
    assert_eq!(on_duty(&mut again, &token.token), first);
}

#[test]
fn a_machine_whose_likeness_is_alive_shows_a_code() {
    let mut ahead = Ahead::start("reboots-twin");
    let token = ahead.site.operator.create_token(YEAR).unwrap();
    let (mut machine, mut twin) = (boot(&ahead, 1), boot(&ahead, 1));
    let first = on_duty(&mut machine, &token.token);
    assert_eq!(refusal(&twin.try_register(&token.token).unwrap()), (429, RefusalKind::SlowDown));
    ahead.advance(30);
    machine.heartbeat().unwrap();
    ahead.advance(31);
    assert_eq!(refusal(&twin.try_register(&token.token).unwrap()), (403, RefusalKind::ConstraintFailed));
    let pending = twin.enroll().unwrap();
    let preview = ahead.site.operator.lookup(&pending.code.unwrap().to_string()).unwrap();
    assert_eq!(preview.matches[0].uuid, first);
    assert!(preview.matches[0].score >= 100 && preview.matches[0].online);
    machine.heartbeat().unwrap();
}

#[test]
fn whoever_comes_by_another_token_is_left_to_an_operator() {
    let mut ahead = Ahead::start("reboots-other-token");
    let (token, other) =
        (ahead.site.operator.create_token(YEAR).unwrap(), ahead.site.operator.create_token(YEAR).unwrap());
    let first = on_duty(&mut boot(&ahead, 1), &token.token);
    ahead.advance(120);
    let mut again = boot(&ahead, 1);
    assert_eq!(refusal(&again.try_register(&other.token).unwrap()), (403, RefusalKind::ConstraintFailed));
    let pending = again.enroll().unwrap();
    let preview = ahead.site.operator.lookup(&pending.code.unwrap().to_string()).unwrap();
    let found = &preview.matches[0];
    assert!(found.uuid == first && found.score >= 100 && !found.online, "{found:?}");
}

#[test]
fn a_machine_that_said_goodbye_comes_back_at_once() {
    let ahead = Ahead::start("reboots-goodbye");
    let token = ahead.site.operator.create_token(YEAR).unwrap();
    let mut machine = boot(&ahead, 1);
    let first = on_duty(&mut machine, &token.token);
    let goodbye = HeartbeatRequest::goodbye();
    assert_eq!(machine.call(HEARTBEAT_PATH, &goodbye, Duration::ZERO).unwrap().status, 200);
    assert_eq!(on_duty(&mut boot(&ahead, 1), &token.token), first);
}
