//! The flow against every server it may meet: chosen courses by name, and random ones.

mod vouchers;

use super::*;
use crate::api::scripted::{access_token, approved, heartbeat, peer, pending, refused, ticket, work};
use crate::api::{Answer, CallError, ConnectError};
use proptest::prelude::*;
use protocol::agent_api::RefusalKind;

const START: Duration = Duration::from_secs(5);
/// When the medium was made; scripted servers live a good year later.
const BUILT: u64 = 1_760_000_000;

fn plan(token: TokenPlan) -> Plan {
    let pins = vec![SpkiPin([1; 32])];
    Plan {
        servers: 2,
        pins,
        has_authorities: false,
        built_at: BUILT,
        token,
        has_nonce: false,
        has_statement: false,
    }
}

fn ready(token: TokenPlan) -> Flow {
    let mut flow = Flow::new(plan(token), START);
    let actions = flow.step(START, 0, Observation::Net(NetView::Ready));
    assert_eq!(actions, [Action::Connect { server: 0, clock: ClockTrust::Doubtful }]);
    flow
}

fn connected(token: TokenPlan) -> (Flow, Vec<Action>) {
    let mut flow = ready(token);
    let actions = flow.step(START, 0, Observation::Connected(Ok(peer())));
    (flow, actions)
}

fn answer(flow: &mut Flow, now: Duration, result: Result<Answer, CallError>) -> Vec<Action> {
    flow.step(now, 0, Observation::Answered(result))
}

fn code_of(flow: &Flow) -> Option<String> {
    match flow.stage() {
        Stage::Show(shown) => Some(shown.code.to_string()),
        Stage::Ask { .. } | Stage::Enrol { .. } | Stage::Run(_) | Stage::Denied { .. } => None,
    }
}

#[test]
fn a_machine_goes_from_no_network_to_duty() {
    let mut flow = Flow::new(plan(TokenPlan::Absent), START);
    assert_eq!(flow.step(START, 0, Observation::Tick), []);
    assert_eq!(flow.trouble().map(Fault::code), Some("E10"));
    flow.step(START, 0, Observation::Net(NetView::NoAddress));
    assert_eq!(flow.trouble().map(Fault::code), Some("E12"));
    flow.step(START, 0, Observation::Net(NetView::Ready));
    let asked = flow.step(START, 0, Observation::Connected(Ok(peer())));
    assert_eq!(asked, [Action::Send(Ask::Enroll)]);
    let shown = answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    assert!(
        matches!(shown.as_slice(), [Action::SetClock(1_800_000_000), Action::Send(Ask::Poll { wait, .. })] if *wait == POLL_WAIT),
        "{shown:?}"
    );
    assert_eq!(code_of(&flow).as_deref(), Some("K7P-3XB"));
    let kept = answer(&mut flow, START, Ok(pending(None)));
    assert_eq!(kept, [Action::SetClock(1_800_000_000)], "polls keep their interval");
    let due = flow.wake();
    assert_eq!(due, START + Duration::from_secs(5));
    let polled = flow.step(due, 0, Observation::Tick);
    assert!(matches!(polled.as_slice(), [Action::Send(Ask::Poll { .. })]));
    let token = answer(&mut flow, due, Ok(approved("db-07")));
    let asks = Action::Send(Ask::AccessToken { nonce: Some("e".to_owned()) });
    assert_eq!(token, [Action::SetClock(1_800_000_000), asks]);
    let beat = answer(&mut flow, due, Ok(access_token()));
    assert!(matches!(beat.as_slice(), [Action::KeepKey, Action::Send(Ask::Heartbeat { .. })]), "{beat:?}");
    answer(&mut flow, due, Ok(heartbeat("db-08")));
    assert!(matches!(flow.stage(), Stage::Run(running) if running.approved.machine.name == "db-08"));
    assert_eq!(flow.trouble(), None);
}

#[test]
fn a_medium_that_names_nobody_contacts_nobody() {
    for (servers, pins, code) in [(0, vec![], "E11"), (0, vec![SpkiPin([1; 32])], "E11"), (1, vec![], "E21")]
    {
        let mut flow = Flow::new(Plan { servers, pins, ..plan(TokenPlan::Ready) }, START);
        let mut now = START;
        for observed in [Observation::Net(NetView::Ready), Observation::Tick, Observation::AskAgain] {
            assert_eq!(flow.step(now, 7, observed), []);
            assert!(flow.wake() > now);
            now = flow.wake();
        }
        assert_eq!(flow.trouble().map(Fault::code), Some(code));
    }
}

#[test]
fn a_code_survives_its_servers_restart() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    let due = START + Duration::from_secs(20);
    let lost = CallError::Connection(ConnectError::Unreachable("connection reset".to_owned()));
    let next = answer(&mut flow, due, Err(lost));
    assert_eq!(next, [Action::Connect { server: 1, clock: ClockTrust::Set }]);
    assert_eq!(code_of(&flow).as_deref(), Some("K7P-3XB"));
    assert_eq!(flow.trouble(), None, "the next one may answer");
    let away = ConnectError::Unreachable("refused".to_owned());
    flow.step(due, 0, Observation::Connected(Err(away)));
    assert_eq!(flow.trouble().map(Fault::code), Some("E20"));
    assert!(flow.trouble().unwrap().to_string().contains("(tried 2 URLs)"));
    let due = flow.wake();
    flow.step(due, 0, Observation::Tick);
    let polls = flow.step(due, 0, Observation::Connected(Ok(peer())));
    assert!(matches!(polls.as_slice(), [Action::Send(Ask::Poll { .. })]));
    assert_eq!(flow.trouble(), None, "not only when a held poll is answered");
    answer(&mut flow, due, Ok(pending(None)));
    assert_eq!(code_of(&flow).as_deref(), Some("K7P-3XB"));
}

#[test]
fn a_rotated_code_replaces_the_old_one() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    answer(&mut flow, START, Ok(pending(None)));
    let late = START + Duration::from_secs(595);
    let polled = flow.step(late, 0, Observation::Tick);
    assert!(
        matches!(polled.as_slice(), [Action::Send(Ask::Poll { wait, .. })] if *wait == Duration::from_secs(6)),
        "the poll ends when the code does"
    );
    answer(&mut flow, late, Ok(pending(Some("QM4T9H"))));
    assert_eq!(code_of(&flow).as_deref(), Some("QM4-T9H"));
}

#[test]
fn an_enrollment_that_ended_starts_anew() {
    for error in [RefusalKind::UnknownRequest, RefusalKind::ExpiredToken] {
        let (mut flow, _) = connected(TokenPlan::Absent);
        answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
        let due = START + Duration::from_secs(25);
        answer(&mut flow, due, Err(refused(error, None)));
        let again = flow.wake();
        assert!(again > due && again <= due + Duration::from_secs(1));
        assert_eq!(flow.step(again, 0, Observation::Tick), [Action::Send(Ask::Enroll)]);
    }
}

#[test]
fn a_denied_machine_asks_again_when_told_to_and_the_wait_is_over() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    assert_eq!(answer(&mut flow, START, Err(refused(RefusalKind::AccessDenied, Some(600)))), []);
    assert!(matches!(flow.stage(), Stage::Denied { .. }));
    assert_eq!(flow.step(START + Duration::from_secs(10), 0, Observation::AskAgain), []);
    let open = START + Duration::from_secs(600);
    assert_eq!(flow.step(open, 0, Observation::AskAgain), [Action::Send(Ask::Enroll)]);
}

#[test]
fn a_denied_machine_left_alone_asks_after_a_day() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    answer(&mut flow, START, Err(refused(RefusalKind::AccessDenied, Some(600))));
    assert_eq!(flow.wake(), START + DENIED_AT_MOST);
    assert_eq!(flow.step(flow.wake(), 0, Observation::Tick), [Action::Send(Ask::Enroll)]);
}

fn out_of_its_time() -> Result<Peer, ConnectError> {
    Ok(Peer { time_problem: Some("it is valid from 2026-01-01 on".to_owned()), ..peer() })
}

#[test]
fn a_dead_clock_is_set_before_anything_is_said_and_then_checked() {
    let mut flow = ready(TokenPlan::Ready);
    let asked = flow.step(START, 0, Observation::Connected(out_of_its_time()));
    assert_eq!(asked, [Action::Send(Ask::Time)], "not the token");
    assert_eq!((flow.notes(), flow.doing()), (&[][..], "asking the server for the time"));
    let told = answer(&mut flow, START, Ok(Answer::Time(1_800_000_000)));
    assert_eq!(flow.notes().iter().map(Fault::code).collect::<Vec<_>>(), ["E22"]);
    assert!(flow.notes().first().unwrap().to_string().ends_with("; the clock was set from the server"));
    let strictly = Action::Connect { server: 0, clock: ClockTrust::Set };
    assert_eq!(told, [Action::SetClock(1_800_000_000), strictly]);
    let asked = flow.step(START, 0, Observation::Connected(Ok(peer())));
    assert_eq!(asked, [Action::Send(Ask::Register(Voucher::Token))]);
    assert_eq!(flow.notes().len(), 1, "told once");
}

#[test]
fn no_server_sets_the_clock_before_the_medium_was_made() {
    let mut flow = ready(TokenPlan::Absent);
    flow.step(START, 0, Observation::Connected(out_of_its_time()));
    let told = answer(&mut flow, START, Ok(Answer::Time(5)));
    assert_eq!(told.first(), Some(&Action::SetClock(BUILT)));
}

#[test]
fn a_certificate_that_really_expired_stays_a_fault_and_the_clock_is_left_alone() {
    let mut flow = Flow::new(Plan { servers: 1, ..plan(TokenPlan::Ready) }, START);
    flow.step(START, 0, Observation::Net(NetView::Ready));
    flow.step(START, 0, Observation::Connected(out_of_its_time()));
    answer(&mut flow, START, Ok(Answer::Time(1_800_000_000)));
    let mut now = START;
    for _ in 0..5 {
        let expired = ConnectError::CertificateTime("it was valid until 2026-01-01".to_owned());
        assert_eq!(flow.step(now, 0, Observation::Connected(Err(expired))), []);
        assert_eq!((flow.trouble().map(Fault::code), flow.notes()), (Some("E22"), &[][..]));
        assert!(flow.wake() > now);
        now = flow.wake();
        let again = flow.step(now, 0, Observation::Tick);
        assert_eq!(again, [Action::Connect { server: 0, clock: ClockTrust::Set }]);
    }
    // Its operator restarts it, which renews the certificate.
    let asked = flow.step(now, 0, Observation::Connected(Ok(peer())));
    assert_eq!(
        (asked.as_slice(), flow.trouble()),
        (&[Action::Send(Ask::Register(Voucher::Token))][..], None)
    );
}

#[test]
fn a_server_that_does_not_tell_the_time_is_told_nothing() {
    let mut flow = Flow::new(Plan { servers: 1, ..plan(TokenPlan::Ready) }, START);
    flow.step(START, 0, Observation::Net(NetView::Ready));
    let mut now = START;
    for outcome in [
        Err(refused(RefusalKind::AccessDenied, None)),
        Err(refused(RefusalKind::TemporarilyUnavailable, None)),
        Err(refused(RefusalKind::SlowDown, None)),
        Err(CallError::Malformed("x".to_owned())),
        Ok(pending(Some("K7P3XB"))),
    ] {
        let asked = flow.step(now, 0, Observation::Connected(out_of_its_time()));
        assert_eq!(asked, [Action::Send(Ask::Time)], "{outcome:?}");
        assert_eq!(answer(&mut flow, now, outcome), []);
        assert!(matches!(flow.stage(), Stage::Ask { .. }), "no code is shown on such an answer");
        assert!(flow.trouble().is_some() && flow.wake() > now);
        now = flow.wake();
        let again = flow.step(now, 0, Observation::Tick);
        assert_eq!(again, [Action::Connect { server: 0, clock: ClockTrust::Doubtful }]);
    }
}

#[test]
fn the_clock_follows_every_answer_that_tells_the_time() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    for code in [Some("K7P3XB"), None] {
        let actions = answer(&mut flow, START, Ok(pending(code)));
        assert_eq!(actions.first(), Some(&Action::SetClock(1_800_000_000)));
    }
}

#[test]
fn every_fault_on_the_way_to_the_server_ends_with_its_cause() {
    let away = || "10.0.0.5:8092 does not answer".to_owned();
    for (error, code) in [
        (ConnectError::Name { host: "muster".to_owned(), cause: away() }, "E13"),
        (ConnectError::NoRoute(away()), "E14"),
        (ConnectError::Proxy(away()), "E15"),
        (ConnectError::Unreachable(away()), "E20"),
        (ConnectError::Pin { got: None, authority: None }, "E21"),
        (ConnectError::CertificateTime(away()), "E22"),
    ] {
        for stage in [None, Some(pending(Some("K7P3XB"))), Some(approved("db-07"))] {
            let mut flow = Flow::new(Plan { servers: 1, ..plan(TokenPlan::Absent) }, START);
            flow.step(START, 0, Observation::Net(NetView::Ready));
            flow.step(START, 0, Observation::Connected(Ok(peer())));
            if let Some(answered) = stage.clone() {
                answer(&mut flow, START, Ok(answered));
            }
            // The server restarts, and meets the machine with this error first.
            let lost = CallError::Connection(ConnectError::Unreachable("reset".to_owned()));
            answer(&mut flow, START, Err(lost));
            let mut now = flow.wake();
            flow.step(now, 0, Observation::Tick);
            for _ in 0..8 {
                flow.step(now, 0, Observation::Connected(Err(error.clone())));
                assert_eq!(flow.trouble().map(Fault::code), Some(code));
                assert!(flow.wake() > now && flow.wake() <= now + Duration::from_secs(75), "{code}");
                now = flow.wake();
                flow.step(now, 0, Observation::Tick);
            }
            let asked = flow.step(now, 0, Observation::Connected(Ok(peer())));
            let goes_on = matches!(asked.as_slice(), [Action::Send(_)]);
            assert!(goes_on || code_of(&flow).is_some(), "{code}: {asked:?}");
            assert_eq!(flow.trouble(), None, "{code}");
        }
    }
}

#[test]
fn the_next_server_is_used_and_why_stays_readable() {
    let mut flow = ready(TokenPlan::Absent);
    let away = ConnectError::NoRoute("10.9.9.9:8092 cannot be reached from this network".to_owned());
    let next = flow.step(START, 0, Observation::Connected(Err(away)));
    assert_eq!(next, [Action::Connect { server: 1, clock: ClockTrust::Doubtful }]);
    let told = |flow: &Flow| flow.failures().map(|(at, fault)| (at, fault.code())).collect::<Vec<_>>();
    assert_eq!((flow.trouble(), told(&flow)), (None, vec![(0, "E14")]));
    flow.step(START, 0, Observation::Connected(Ok(peer())));
    answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    assert_eq!((flow.trouble(), told(&flow)), (None, vec![(0, "E14")]));
    // It comes back, and the other one goes.
    let lost = CallError::Connection(ConnectError::Unreachable("reset".to_owned()));
    let now = START + Duration::from_secs(20);
    answer(&mut flow, now, Err(lost));
    flow.step(flow.wake(), 0, Observation::Tick);
    flow.step(flow.wake(), 0, Observation::Connected(Ok(peer())));
    assert_eq!((flow.server(), told(&flow)), (0, vec![(1, "E20")]));
}

#[test]
fn a_cable_that_was_just_plugged_in_is_no_fault_of_the_network() {
    let mut flow = Flow::new(plan(TokenPlan::Absent), START);
    let code = |flow: &Flow| flow.trouble().map(Fault::code);
    flow.step(START, 0, Observation::Net(NetView::NoAddress));
    assert_eq!(code(&flow), Some("E12"), "the boot has waited already");
    flow.step(START, 0, Observation::Net(NetView::NoLink));
    assert_eq!(code(&flow), Some("E10"));
    flow.step(START, 0, Observation::Net(NetView::NoAddress));
    assert_eq!((code(&flow), flow.doing()), (None, "waiting for a network address"));
    let due = flow.wake();
    assert_eq!(due, START + ADDRESS_PATIENCE);
    flow.step(due, 0, Observation::Net(NetView::NoAddress));
    assert_eq!(code(&flow), Some("E12"));
    let asked = flow.step(due, 0, Observation::Net(NetView::Ready));
    assert!(matches!(asked.as_slice(), [Action::Connect { .. }]) && code(&flow).is_none());
}

#[test]
fn medium_with_authorities_and_without_pins_is_not_hopeless() {
    let mut flow = Flow::new(Plan { pins: vec![], has_authorities: true, ..plan(TokenPlan::Absent) }, START);
    let actions = flow.step(START, 0, Observation::Net(NetView::Ready));
    assert_eq!(actions, [Action::Connect { server: 0, clock: ClockTrust::Doubtful }]);
}

#[test]
fn a_deleted_machine_asks_for_a_code() {
    let (mut flow, _) = connected(TokenPlan::Ready);
    answer(&mut flow, START, Ok(approved("db-07")));
    answer(&mut flow, START, Ok(access_token()));
    answer(&mut flow, START, Err(refused(RefusalKind::InvalidAccessToken, None)));
    let due = flow.wake();
    assert_eq!(flow.step(due, 0, Observation::Tick), [Action::Send(Ask::AccessToken { nonce: None })]);
    answer(&mut flow, due, Err(refused(RefusalKind::AccessDenied, None)));
    let due = flow.wake();
    assert_eq!(flow.step(due, 0, Observation::Tick), [Action::Send(Ask::Enroll)], "and not the token again");
}

#[test]
fn the_inventory_follows_at_once_when_asked_for() {
    let (mut flow, _) = connected(TokenPlan::Absent);
    answer(&mut flow, START, Ok(approved("db-07")));
    answer(&mut flow, START, Ok(access_token()));
    let Answer::Heartbeat(mut wants) = heartbeat("db-07") else { unreachable!() };
    wants.send_inventory = true;
    let next = answer(&mut flow, START, Ok(Answer::Heartbeat(wants)));
    assert!(matches!(next.as_slice(), [Action::Send(Ask::Heartbeat { inventory: true, .. })]), "{next:?}");
}

#[test]
fn an_impostor_outweighs_a_server_that_is_away() {
    let mut flow = ready(TokenPlan::Absent);
    let got = Some(SpkiPin([9; 32]));
    flow.step(START, 0, Observation::Connected(Err(ConnectError::Pin { got, authority: None })));
    flow.step(START, 0, Observation::Connected(Err(ConnectError::Unreachable("refused".to_owned()))));
    assert_eq!(flow.trouble().map(Fault::code), Some("E21"));
    assert!(flow.next_try().is_some_and(|at| at > START));
}

#[test]
fn servers_that_fail_differently_do_not_take_turns_on_the_console() {
    let mut flow = ready(TokenPlan::Absent);
    let mut now = START;
    for _ in 0..3 {
        let away = ConnectError::Unreachable("refused".to_owned());
        flow.step(now, 0, Observation::Connected(Err(away)));
        let unknown = ConnectError::Name { host: "h".to_owned(), cause: "no such name".to_owned() };
        flow.step(now, 0, Observation::Connected(Err(unknown)));
        assert_eq!(flow.trouble().map(Fault::code), Some("E13"));
        now = flow.wake();
        flow.step(now, 0, Observation::Tick);
        assert_eq!(flow.trouble().map(Fault::code), Some("E13"));
    }
}

#[test]
fn r_ends_a_pause() {
    let mut flow = ready(TokenPlan::Absent);
    for _ in 0..2 {
        let away = ConnectError::Unreachable("refused".to_owned());
        flow.step(START, 999, Observation::Connected(Err(away)));
    }
    assert!(flow.wake() > START);
    let again = flow.step(START, 0, Observation::AskAgain);
    assert_eq!(again, [Action::Connect { server: 0, clock: ClockTrust::Doubtful }]);
}

/// What a random world may do next, chosen by one number.
fn outcome(choice: u8) -> Result<Answer, CallError> {
    let kinds = [
        RefusalKind::InvalidRequest,
        RefusalKind::InvalidProof,
        RefusalKind::UseNonce,
        RefusalKind::InvalidAccessToken,
        RefusalKind::InvalidToken,
        RefusalKind::TokenExpired,
        RefusalKind::TokenRevoked,
        RefusalKind::ConstraintFailed,
        RefusalKind::ApprovalRequired,
        RefusalKind::AccessDenied,
        RefusalKind::UnknownRequest,
        RefusalKind::ExpiredToken,
        RefusalKind::TooLarge,
        RefusalKind::UnsupportedProtocol,
        RefusalKind::SlowDown,
        RefusalKind::TemporarilyUnavailable,
        RefusalKind::Other,
    ];
    match usize::from(choice) % 28 {
        index @ 0..17 => Err(refused(kinds[index], (choice > 128).then_some(u64::from(choice)))),
        17 => Err(CallError::Malformed("x".to_owned())),
        18 => Err(CallError::Connection(ConnectError::Unreachable("x".to_owned()))),
        19 => Ok(pending(Some("K7P3XB"))),
        20 => Ok(pending(None)),
        21 => Ok(approved("a")),
        22 => Ok(access_token()),
        23 => Ok(heartbeat("a")),
        24 => Ok(Answer::Time(1_800_000_000)),
        25 => Ok(work("a")),
        26 => Ok(ticket()),
        _ => Ok(Answer::Cancelled),
    }
}

fn connection(choice: u8) -> Result<Peer, ConnectError> {
    match choice % 7 {
        5 => Err(ConnectError::NoRoute("x".to_owned())),
        6 => Err(ConnectError::Proxy("x".to_owned())),
        0 => Err(ConnectError::Name { host: "h".to_owned(), cause: "x".to_owned() }),
        1 => Err(ConnectError::Unreachable("x".to_owned())),
        2 => Err(ConnectError::Pin { got: None, authority: None }),
        3 => Ok(Peer { time_problem: Some("x".to_owned()), ..peer() }),
        _ => Ok(peer()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    None,
    Connecting,
    Calling,
}

/// A flow, the time and what its driver is busy with.
struct World {
    flow: Flow,
    now: Duration,
    errand: Errand,
    last: Option<Ask>,
    has_runner: bool,
    has_member: bool,
}

impl World {
    fn observe(&mut self, random: u64, observed: Observation) {
        if matches!(observed, Observation::Connected(_) | Observation::Answered(_)) {
            self.errand = Errand::None;
        }
        let is_beat = self.errand == Errand::Calling && matches!(self.last, Some(Ask::Heartbeat { .. }));
        let is_end = matches!(observed, Observation::RunnerEnded { .. } | Observation::MemberEnded { .. });
        if is_end && is_beat {
            // Given up for a new one.
            self.errand = Errand::None;
        }
        for action in self.flow.step(self.now, random, observed) {
            match action {
                Action::Connect { .. } => {
                    assert_eq!(self.errand, Errand::None, "two errands at once");
                    self.errand = Errand::Connecting;
                }
                Action::Send(ask) => {
                    assert_eq!(self.errand, Errand::None, "two errands at once");
                    self.errand = Errand::Calling;
                    self.last = Some(ask);
                }
                Action::StartRunner { .. } => {
                    assert!(!self.has_runner, "two runners at once");
                    self.has_runner = true;
                }
                Action::StartMember { .. } => {
                    assert!(!self.has_member, "two members at once");
                    self.has_member = true;
                }
                Action::SetClock(_) | Action::Forget(_) | Action::KeepKey => {}
            }
        }
        self.check();
    }

    fn check(&self) {
        let wait = self.flow.wake().checked_sub(self.now).expect("woken in the past");
        assert!(wait <= DENIED_AT_MOST, "no wait is longer than a denied machine's day");
        assert!(!self.flow.doing().is_empty());
        if self.errand == Errand::None {
            let quiet = matches!(self.flow.stage, Stage::Show(_) | Stage::Run(_) | Stage::Denied { .. });
            let told = self.flow.trouble().is_some() || self.flow.quiet;
            assert!(quiet || told, "waits without a reason: {:?}", self.flow);
        }
    }

    fn meet(&mut self, event: (u8, u8, u64)) {
        let (kind, choice, random) = event;
        match kind % 8 {
            0 => {
                let views = [NetView::NoLink, NetView::NoAddress, NetView::Ready, NetView::Ready];
                let view = views[usize::from(choice) % views.len()];
                self.observe(random, Observation::Net(view));
            }
            1 => self.observe(random, Observation::AskAgain),
            2 if self.has_runner => {
                self.has_runner = false;
                self.observe(random, Observation::RunnerEnded { useful: choice > 128 });
            }
            3 if self.has_member && choice % 2 == 0 => {
                self.has_member = false;
                self.observe(random, Observation::MemberEnded { left: choice > 128 });
            }
            _ => match self.errand {
                Errand::Connecting => self.observe(random, Observation::Connected(connection(choice))),
                Errand::Calling => self.observe(random, Observation::Answered(outcome(choice))),
                Errand::None => {
                    self.now = self.flow.wake();
                    self.observe(random, Observation::Tick);
                }
            },
        }
    }

    /// A server that grants every wish, approval excepted.
    fn healthy_answer(&self) -> Answer {
        match self.last {
            Some(Ask::AccessToken { .. }) => access_token(),
            Some(Ask::Heartbeat { .. }) => heartbeat("a"),
            Some(Ask::Runner | Ask::Member) => ticket(),
            Some(Ask::Register(_)) => approved("a"),
            Some(Ask::Time) => Answer::Time(1_800_000_000),
            Some(Ask::Enroll | Ask::Poll { .. }) | None => pending(Some("K7P3XB")),
        }
    }

    /// Whether a healthy world has the machine where it belongs.
    fn arrived(&self) -> bool {
        let settled = matches!(self.flow.stage, Stage::Show(_) | Stage::Run(_));
        settled && self.flow.trouble().is_none() && self.flow.peer().is_some()
    }
}

proptest! {
    #[test]
    fn no_course_of_events_leaves_a_machine_stuck(
        events in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u64>()), 0..120),
        token in prop_oneof![
            Just(TokenPlan::Absent),
            Just(TokenPlan::Cut),
            Just(TokenPlan::TooLong(Overlong::Token(1_100))),
            Just(TokenPlan::Ready),
        ],
        has_nonce: bool,
    ) {
        let flow = Flow::new(Plan { has_nonce, ..plan(token) }, START);
        let mut world = World { flow, now: START, errand: Errand::None, last: None, has_runner: false, has_member: false };
        for event in events {
            world.meet(event);
        }
        // From wherever that led, a healthy world brings a code or duty in a few steps.
        world.observe(3, Observation::Net(NetView::Ready));
        for _ in 0..12 {
            if world.arrived() {
                break;
            }
            match world.errand {
                Errand::Connecting => world.observe(3, Observation::Connected(Ok(peer()))),
                Errand::Calling => {
                    let answer = world.healthy_answer();
                    world.observe(3, Observation::Answered(Ok(answer)));
                }
                Errand::None => {
                    world.now = world.flow.wake();
                    world.observe(3, Observation::Tick);
                }
            }
        }
        prop_assert!(world.arrived(), "stuck at {:?}", world.flow);
    }
}
