//! The flow against every server it may meet: chosen courses by name, and random ones.

use super::*;
use crate::api::scripted::{access_token, approved, heartbeat, peer, pending, refused};
use crate::api::{Answer, CallError, ConnectError};
use proptest::prelude::*;
use protocol::agent_api::RefusalKind;

const START: Duration = Duration::from_secs(5);

fn plan(token: TokenPlan) -> Plan {
    Plan { servers: 2, pins: vec![SpkiPin([1; 32])], token }
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
    assert_eq!(answer(&mut flow, START, Ok(pending(None))), [], "polls keep their interval");
    let due = flow.wake();
    assert_eq!(due, START + Duration::from_secs(5));
    let polled = flow.step(due, 0, Observation::Tick);
    assert!(matches!(polled.as_slice(), [Action::Send(Ask::Poll { .. })]));
    let token = answer(&mut flow, due, Ok(approved("db-07")));
    assert_eq!(token, [Action::Send(Ask::AccessToken { nonce: Some("e".to_owned()) })]);
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
        let mut flow = Flow::new(Plan { servers, pins, token: TokenPlan::Ready }, START);
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
fn a_token_is_tried_first_and_once() {
    let (mut flow, actions) = connected(TokenPlan::Ready);
    assert_eq!(actions, [Action::Send(Ask::Register)]);
    let next = answer(&mut flow, START, Err(refused(RefusalKind::TokenExpired, None)));
    assert_eq!(next, [Action::Send(Ask::Enroll)]);
    answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    assert_eq!(flow.notes().iter().map(Fault::code).collect::<Vec<_>>(), ["E40"]);
}

#[test]
fn every_refusal_of_a_token_leads_to_a_code() {
    for error in [
        RefusalKind::InvalidRequest,
        RefusalKind::InvalidProof,
        RefusalKind::UseNonce,
        RefusalKind::InvalidAccessToken,
        RefusalKind::InvalidToken,
        RefusalKind::TokenExpired,
        RefusalKind::TokenRevoked,
        RefusalKind::ConstraintFailed,
        RefusalKind::UnknownRequest,
        RefusalKind::ExpiredToken,
        RefusalKind::TooLarge,
        RefusalKind::Other,
    ] {
        let (mut flow, _) = connected(TokenPlan::Ready);
        let next = answer(&mut flow, START, Err(refused(error, None)));
        assert_eq!(next, [Action::Send(Ask::Enroll)], "{error:?}");
        let expected = if error == RefusalKind::TokenExpired { "E40" } else { "E42" };
        assert_eq!(flow.notes().first().map(Fault::code), Some(expected), "{error:?}");
    }
}

#[test]
fn a_full_server_keeps_the_token_for_later() {
    let (mut flow, _) = connected(TokenPlan::Ready);
    assert_eq!(answer(&mut flow, START, Err(refused(RefusalKind::SlowDown, Some(40)))), []);
    assert_eq!(flow.trouble().map(Fault::code), Some("E31"));
    let due = flow.wake();
    assert!(due >= START + Duration::from_secs(40));
    assert_eq!(flow.step(due, 0, Observation::Tick), [Action::Send(Ask::Register)]);
}

#[test]
fn a_cut_token_is_named_and_a_code_is_shown() {
    let (flow, actions) = connected(TokenPlan::Cut);
    assert_eq!(actions, [Action::Send(Ask::Enroll)]);
    assert_eq!(flow.notes(), [Fault::TokenCut]);
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
    assert_eq!(flow.trouble().map(Fault::code), Some("E20"));
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

#[test]
fn a_dead_clock_is_set_under_the_pin_and_then_checked() {
    let mut flow = ready(TokenPlan::Absent);
    let doubtful = Peer { time_problem: Some("certificate is not valid yet".to_owned()), ..peer() };
    flow.step(START, 0, Observation::Connected(Ok(doubtful)));
    assert_eq!(flow.notes().first().map(Fault::code), Some("E22"));
    let actions = answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    assert_eq!(
        actions,
        [Action::SetClock(1_800_000_000), Action::Connect { server: 0, clock: ClockTrust::Set }]
    );
    assert!(code_of(&flow).is_some(), "the code stays while the connection is made again");
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
    flow.step(START, 0, Observation::Connected(Err(ConnectError::Pin { got })));
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
        RefusalKind::AccessDenied,
        RefusalKind::UnknownRequest,
        RefusalKind::ExpiredToken,
        RefusalKind::TooLarge,
        RefusalKind::UnsupportedProtocol,
        RefusalKind::SlowDown,
        RefusalKind::TemporarilyUnavailable,
        RefusalKind::Other,
    ];
    match usize::from(choice) % 24 {
        index @ 0..16 => Err(refused(kinds[index], (choice > 128).then_some(u64::from(choice)))),
        16 => Err(CallError::Malformed("x".to_owned())),
        17 => Err(CallError::Connection(ConnectError::Unreachable("x".to_owned()))),
        18 => Ok(pending(Some("K7P3XB"))),
        19 => Ok(pending(None)),
        20 => Ok(approved("a")),
        21 => Ok(access_token()),
        22 => Ok(heartbeat("a")),
        _ => Ok(Answer::Cancelled),
    }
}

fn connection(choice: u8) -> Result<Peer, ConnectError> {
    match choice % 5 {
        0 => Err(ConnectError::Name { host: "h".to_owned(), cause: "x".to_owned() }),
        1 => Err(ConnectError::Unreachable("x".to_owned())),
        2 => Err(ConnectError::Pin { got: None }),
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
}

impl World {
    fn observe(&mut self, random: u64, observed: Observation) {
        if matches!(observed, Observation::Connected(_) | Observation::Answered(_)) {
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
                Action::SetClock(_) | Action::KeepKey => {}
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
            let told = self.flow.trouble().is_some();
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
            Some(Ask::Register) => approved("a"),
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
        token in prop_oneof![Just(TokenPlan::Absent), Just(TokenPlan::Cut), Just(TokenPlan::Ready)],
    ) {
        let mut world =
            World { flow: Flow::new(plan(token), START), now: START, errand: Errand::None, last: None };
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
