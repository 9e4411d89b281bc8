//! What registers a machine without a person: boot nonce and token, in their order, and what follows
//! when they are of no use.

use super::*;

#[test]
fn a_token_is_tried_first_and_once() {
    let (mut flow, actions) = connected(TokenPlan::Ready);
    assert_eq!(actions, [Action::Send(Ask::Register(Voucher::Token))]);
    let next = answer(&mut flow, START, Err(refused(RefusalKind::TokenExpired, None)));
    assert_eq!(next, [Action::Forget(Voucher::Token), Action::Send(Ask::Enroll)]);
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
        assert_eq!(next, [Action::Forget(Voucher::Token), Action::Send(Ask::Enroll)], "{error:?}");
        let told = [
            (RefusalKind::TokenExpired, "E40"),
            (RefusalKind::TokenRevoked, "E43"),
            (RefusalKind::ConstraintFailed, "E44"),
        ];
        let expected = told.iter().find(|(kind, _)| *kind == error).map_or("E42", |(_, code)| code);
        assert_eq!(flow.notes().first().map(Fault::code), Some(expected), "{error:?}");
    }
}

/// A machine with a boot nonce that has asked with it.
fn with_nonce(token: TokenPlan) -> Flow {
    let mut flow = Flow::new(Plan { has_nonce: true, ..plan(token) }, START);
    flow.step(START, 0, Observation::Net(NetView::Ready));
    let asked = flow.step(START, 0, Observation::Connected(Ok(peer())));
    assert_eq!(asked, [Action::Send(Ask::Register(Voucher::Nonce))]);
    flow
}

#[test]
fn a_nonce_comes_before_the_token_and_spares_it() {
    let mut flow = with_nonce(TokenPlan::Ready);
    let next = answer(&mut flow, START, Ok(approved("db-07")));
    let forgotten = [Action::Forget(Voucher::Nonce), Action::Forget(Voucher::Token)];
    assert_eq!(next.get(1..3).unwrap(), forgotten, "{next:?}");
    answer(&mut flow, START, Ok(access_token()));
    assert!(matches!(flow.stage(), Stage::Run(_)));
}

#[test]
fn a_refused_nonce_is_told_and_leads_on() {
    for error in [RefusalKind::InvalidToken, RefusalKind::ConstraintFailed, RefusalKind::ApprovalRequired] {
        let mut flow = with_nonce(TokenPlan::Absent);
        let next = answer(&mut flow, START, Err(refused(error, None)));
        assert_eq!(next, [Action::Forget(Voucher::Nonce), Action::Send(Ask::Enroll)], "{error:?}");
        answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
        assert_eq!(flow.notes().iter().map(Fault::code).collect::<Vec<_>>(), ["E46"]);
        let mut flow = with_nonce(TokenPlan::Ready);
        let next = answer(&mut flow, START, Err(refused(error, None)));
        assert_eq!(next, [Action::Forget(Voucher::Nonce), Action::Send(Ask::Register(Voucher::Token))]);
        answer(&mut flow, START, Ok(approved("db-07")));
        answer(&mut flow, START, Ok(access_token()));
        assert_eq!(flow.notes(), [], "it has led to duty");
    }
}

#[test]
fn a_busy_server_keeps_a_machine_with_a_nonce_from_its_code_for_three_minutes_at_most() {
    let mut flow = Flow::new(Plan { servers: 1, has_nonce: true, ..plan(TokenPlan::Ready) }, START);
    flow.step(START, 0, Observation::Net(NetView::Ready));
    let mut actions = flow.step(START, 0, Observation::Connected(Ok(peer())));
    let mut now = START;
    while actions.last() != Some(&Action::Send(Ask::Enroll)) {
        assert!(now - START <= TOKEN_PATIENCE);
        actions = match actions.last() {
            Some(Action::Send(_)) => answer(&mut flow, now, Err(refused(RefusalKind::SlowDown, Some(50)))),
            Some(_) | None => {
                now = flow.wake();
                flow.step(now, 0, Observation::Tick)
            }
        };
    }
    assert_eq!(now - START, TOKEN_PATIENCE);
}

#[test]
fn a_busy_server_keeps_the_token_for_three_minutes_altogether() {
    for busy in [RefusalKind::SlowDown, RefusalKind::TemporarilyUnavailable] {
        let mut flow = Flow::new(Plan { servers: 1, ..plan(TokenPlan::Ready) }, START);
        flow.step(START, 0, Observation::Net(NetView::Ready));
        let mut actions = flow.step(START, 0, Observation::Connected(Ok(peer())));
        let mut now = START;
        let mut tries = 0;
        while actions == [Action::Send(Ask::Register(Voucher::Token))] {
            tries += 1;
            actions = answer(&mut flow, now, Err(refused(busy, Some(40))));
            if !actions.is_empty() {
                break;
            }
            assert_eq!(flow.trouble().map(Fault::code), Some("E31"), "{busy:?}");
            now = flow.wake();
            actions = flow.step(now, 0, Observation::Tick);
            if matches!(actions.as_slice(), [Action::Connect { .. }]) {
                actions = flow.step(now, 0, Observation::Connected(Ok(peer())));
            }
        }
        assert_eq!(actions, [Action::Forget(Voucher::Token), Action::Send(Ask::Enroll)], "{busy:?}");
        assert_eq!((tries, now - START), (6, TOKEN_PATIENCE), "{busy:?}");
        assert_eq!(flow.notes().iter().map(Fault::code).collect::<Vec<_>>(), ["E31"]);
    }
}

#[test]
fn a_server_that_goes_away_after_it_was_busy_is_not_called_without_a_pause() {
    let (mut flow, _) = connected(TokenPlan::Ready);
    answer(&mut flow, START, Err(refused(RefusalKind::SlowDown, Some(1))));
    let mut now = START + 2 * TOKEN_PATIENCE;
    let away = || ConnectError::Unreachable("refused".to_owned());
    flow.step(now, 0, Observation::Tick);
    answer(&mut flow, now, Err(away().into()));
    for _ in 0..3 {
        flow.step(now, 0, Observation::Connected(Err(away())));
        assert!(flow.wake() > now || matches!(flow.link, Link::Connecting { .. }));
        now = flow.wake();
        flow.step(now, 0, Observation::Tick);
    }
    assert_eq!(flow.plan.token, TokenPlan::Ready, "the token was not refused");
}

#[test]
fn a_token_that_wants_an_operator_leads_to_a_code_without_a_fault() {
    let (mut flow, _) = connected(TokenPlan::Ready);
    let next = answer(&mut flow, START, Err(refused(RefusalKind::ApprovalRequired, None)));
    assert_eq!(next, [Action::Forget(Voucher::Token), Action::Send(Ask::Enroll)]);
    answer(&mut flow, START, Ok(pending(Some("K7P3XB"))));
    assert!(flow.approval_required());
    assert_eq!((flow.notes(), flow.trouble()), (&[][..], None));
    answer(&mut flow, START, Ok(approved("db-07")));
    answer(&mut flow, START, Ok(access_token()));
    assert!(!flow.approval_required(), "over once it is registered");
}

#[test]
fn what_was_too_long_is_named_with_its_number() {
    let settings = |line: &str| {
        let args = protocol::cmdline::KernelArgs::parse(line);
        TokenPlan::of(&Settings::combine(&args, None), line)
    };
    assert_eq!(settings("quiet"), TokenPlan::Absent);
    assert_eq!(settings("muster.token=eyJh.."), TokenPlan::Cut);
    let long = format!("muster.token={}", "x".repeat(1_100));
    assert_eq!(settings(&long), TokenPlan::TooLong(Overlong::Token(1_100)));
    // A line as long as loaders carry: the token was cut, or is gone altogether.
    let full = format!("{} muster.token=eyJh", "x".repeat(2_029));
    assert_eq!(full.len(), 2_047);
    assert_eq!(settings(&full), TokenPlan::TooLong(Overlong::CommandLine(2_047)));
    let told = |what| Flow::new(plan(TokenPlan::TooLong(what)), START).notes().first().unwrap().to_string();
    assert!(told(Overlong::CommandLine(2_047)).contains("2047 bytes"));
    assert!(told(Overlong::Token(1_100)).contains("1100 characters, at most 1024"));
    let (_, actions) = connected(TokenPlan::TooLong(Overlong::Token(1_100)));
    assert_eq!(actions, [Action::Send(Ask::Enroll)]);
}

#[test]
fn a_cut_token_is_named_and_a_code_is_shown() {
    let (flow, actions) = connected(TokenPlan::Cut);
    assert_eq!(actions, [Action::Send(Ask::Enroll)]);
    assert_eq!(flow.notes(), [Fault::TokenCut]);
}

#[test]
fn the_earlier_keys_word_comes_first_and_waits_as_long_as_it_takes() {
    let plan = Plan { servers: 1, has_statement: true, has_nonce: true, ..plan(TokenPlan::Ready) };
    let mut flow = Flow::new(plan, START);
    flow.step(START, 0, Observation::Net(NetView::Ready));
    let asked = flow.step(START, 0, Observation::Connected(Ok(peer())));
    assert_eq!(asked, [Action::Send(Ask::Register(Voucher::Statement))]);
    let mut now = START;
    for _ in 0..20 {
        assert_eq!(answer(&mut flow, now, Err(refused(RefusalKind::SlowDown, Some(60)))), []);
        now = flow.wake();
        assert_eq!(flow.step(now, 0, Observation::Tick), [Action::Send(Ask::Register(Voucher::Statement))]);
    }
    let next = answer(&mut flow, now, Err(refused(RefusalKind::InvalidToken, None)));
    assert_eq!(next, [Action::Forget(Voucher::Statement), Action::Send(Ask::Register(Voucher::Nonce))]);
    assert_eq!(flow.notes().iter().map(Fault::code).collect::<Vec<_>>(), ["E47"]);
}
