//! What time does to codes, tokens, machines and logins: the server's clock is moved while it
//! runs. Its timers go on as they were, so nothing here waits.

use std::time::Duration;

use protocol::agent_api::{Pending, Refusal, RefusalKind};
use tests::muster::Server;
use tests::operator::approval;

use crate::Site;

/// A site and how far ahead its clock is.
pub(crate) struct Ahead {
    pub(crate) site: Site,
    seconds: i64,
}

impl Ahead {
    pub(crate) fn start(name: &str) -> Self {
        let server = Server::builder(name).movable_clock().start().unwrap();
        Self { site: Site::of(server), seconds: 0 }
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.site.server.move_clock(self.seconds).unwrap();
    }

    fn lookup(&self, code: &str) -> (u16, String) {
        let answer = self.site.operator.try_lookup(code).unwrap();
        if answer.status == 200 {
            (200, String::new())
        } else {
            (answer.status, answer.error_kind().unwrap())
        }
    }
}

fn code(pending: &Pending) -> String {
    pending.code.unwrap().to_string()
}

fn not_found() -> (u16, String) {
    (404, "code_not_found".to_owned())
}

#[test]
fn a_code_is_replaced_after_ten_minutes_and_the_old_one_ends_a_minute_later() {
    let mut ahead = Ahead::start("clock-rotation");
    let mut machine = ahead.site.machine();
    let first = machine.enroll().unwrap();
    for _ in 0..7 {
        ahead.advance(80);
        assert_eq!(machine.poll_pending(first.id, Duration::ZERO).unwrap().code, None);
    }
    ahead.advance(50);
    let second = machine.poll_pending(first.id, Duration::ZERO).unwrap();
    assert!(second.code.is_some_and(|new| Some(new) != first.code) && second.id == first.id);
    assert!((590..=600).contains(&second.code_expires_in), "{second:?}");
    // An operator in the middle of typing is not thrown out.
    assert_eq!(ahead.lookup(&code(&first)), (200, String::new()));
    ahead.advance(61);
    assert_eq!(ahead.lookup(&code(&first)), not_found());
    machine.poll_pending(first.id, Duration::ZERO).unwrap();
    ahead.site.operator.approve(&code(&second)).unwrap();
    machine.collect(first.id).unwrap();
}

#[test]
fn a_code_of_a_machine_that_went_away_is_dead() {
    let mut ahead = Ahead::start("clock-gone");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    let preview = ahead.site.operator.lookup(&code(&pending)).unwrap();
    ahead.advance(91);
    let late = ahead.site.operator.try_approve(pending.id, &approval(&code(&pending), &preview)).unwrap();
    assert_eq!((late.status, late.error_kind().unwrap().as_str()), (410, "machine_gone"));
    // It was only away: one poll, and it may be approved.
    machine.poll_pending(pending.id, Duration::ZERO).unwrap();
    ahead.site.operator.approve(&code(&pending)).unwrap();
}

#[test]
fn a_request_that_is_not_polled_expires_and_the_machine_asks_anew() {
    let mut ahead = Ahead::start("clock-expires");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    ahead.advance(16 * 60);
    // The server looks for such requests every few seconds.
    let gone = || Ok((ahead.lookup(&code(&pending)) == not_found()).then_some(()));
    tests::wait::until("the code to end", Duration::from_secs(30), gone).unwrap();
    let answer = machine.try_poll(pending.id, Duration::ZERO).unwrap();
    assert_eq!((answer.status, answer.json::<Refusal>().unwrap().error), (410, RefusalKind::ExpiredToken));
    let again = machine.enroll().unwrap();
    assert!(again.id != pending.id && again.code != pending.code);
}

#[test]
fn a_token_ends_on_time_and_stays_dead_when_the_clock_is_set_back() {
    let mut ahead = Ahead::start("clock-token");
    let token = ahead.site.operator.create_token(600).unwrap().token;
    ahead.advance(590);
    assert_eq!(ahead.site.machine().try_register(&token).unwrap().status, 201);
    let expired = |ahead: &mut Ahead| {
        let answer = ahead.site.machine().try_register(&token).unwrap();
        assert_eq!(
            (answer.status, answer.json::<Refusal>().unwrap().error),
            (401, RefusalKind::TokenExpired)
        );
    };
    ahead.advance(11);
    expired(&mut ahead);
    // Ten years back, running and after a crash.
    ahead.advance(-315_360_000);
    expired(&mut ahead);
    ahead.site.server.kill().unwrap();
    ahead.site.server.start_again().unwrap();
    expired(&mut ahead);
}

#[test]
fn a_proof_that_was_used_stays_used_when_the_clock_is_set_back_before_a_restart() {
    let mut ahead = Ahead::start("clock-replay");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    let path = protocol::agent_api::poll_path(pending.id);
    let tamper = tests::machine::Tamper {
        nonce: Some(pending.nonce.clone()),
        jti: Some("once".to_owned()),
        ..Default::default()
    };
    let first = machine.call_with(&path, b"{}", Duration::ZERO, &tamper).unwrap();
    assert_eq!(first.status, 202, "{}", first.text());
    ahead.site.server.kill().unwrap();
    ahead.advance(-315_360_000);
    ahead.site.server.start_again().unwrap();
    let again = machine.call_with(&path, b"{}", Duration::ZERO, &tamper).unwrap();
    assert_eq!((again.status, again.json::<Refusal>().unwrap().error), (401, RefusalKind::UseNonce));
    machine.poll_pending(pending.id, Duration::ZERO).unwrap();
}

#[test]
fn a_machine_is_online_for_sixty_seconds_after_its_heartbeat() {
    let mut ahead = Ahead::start("clock-online");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    let uuid = ahead.site.operator.approve(&code(&pending)).unwrap().uuid.to_string();
    machine.collect(pending.id).unwrap();
    machine.heartbeat().unwrap();
    let online = |ahead: &Ahead| ahead.site.operator.machine(&uuid).unwrap().own.online;
    ahead.advance(57);
    assert!(online(&ahead));
    ahead.advance(5);
    assert!(!online(&ahead));
    machine.heartbeat().unwrap();
    assert!(online(&ahead));
}

#[test]
fn an_access_token_ends_after_fifteen_minutes_and_is_renewed_by_key() {
    let mut ahead = Ahead::start("clock-access");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    ahead.site.operator.approve(&code(&pending)).unwrap();
    machine.collect(pending.id).unwrap();
    machine.heartbeat().unwrap();
    ahead.advance(16 * 60);
    let answer = machine.try_heartbeat().unwrap();
    assert_eq!(
        (answer.status, answer.json::<Refusal>().unwrap().error),
        (401, RefusalKind::InvalidAccessToken)
    );
    machine.renew().unwrap();
    machine.heartbeat().unwrap();
}

#[test]
fn an_approval_nobody_collects_is_marked_and_the_machine_asks_anew() {
    let mut ahead = Ahead::start("clock-unclaimed");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    ahead.site.operator.approve(&code(&pending)).unwrap();
    ahead.advance(16 * 60);
    let answer = tests::wait::until("the approval to end", Duration::from_secs(30), || {
        let answer = machine.try_poll(pending.id, Duration::ZERO)?;
        Ok((answer.status != 200).then_some(answer))
    });
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.json::<Refusal>().unwrap().error), (410, RefusalKind::ExpiredToken));
}

#[test]
fn an_operators_token_and_guesses_recover_with_time() {
    let mut ahead = Ahead::start("clock-guesses");
    let mut machine = ahead.site.machine();
    let near = machine.enroll().unwrap().code.unwrap().neighbours();
    let tried = |ahead: &Ahead, index: usize| ahead.lookup(&near[index].to_string()).0;
    for index in 0..10 {
        assert_eq!(tried(&ahead, index), 404);
    }
    assert_eq!(tried(&ahead, 10), 429);
    ahead.advance(361);
    assert_eq!(tried(&ahead, 11), 404, "one guess is given back every six minutes");
    assert_eq!(tried(&ahead, 12), 429);
    // The API token was asked for with a life of one hour.
    ahead.advance(3_600);
    assert_eq!(ahead.site.operator.get("/api/v3/machines").unwrap().status, 403);
}

#[test]
fn a_stolen_nonce_is_old_after_five_minutes() {
    let mut ahead = Ahead::start("clock-nonce");
    let mut machine = ahead.site.machine();
    let pending = machine.enroll().unwrap();
    let stolen = pending.nonce.clone();
    ahead.advance(301);
    let tamper = tests::machine::Tamper { nonce: Some(stolen), ..Default::default() };
    let path = protocol::agent_api::poll_path(pending.id);
    let answer = machine.call_with(&path, b"{}", Duration::ZERO, &tamper).unwrap();
    assert_eq!((answer.status, answer.json::<Refusal>().unwrap().error), (401, RefusalKind::UseNonce));
}
