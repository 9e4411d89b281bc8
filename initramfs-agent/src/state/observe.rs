//! How an observation changes the flow: the transitions of `spec/security.md` 2.5, seen from
//! the machine.

use super::{
    ADDRESS_PATIENCE, Ask, ClockTrust, DENIED_AT_MOST, Duration, Fault, Flow, INTERVAL, Link, NetView, Peer,
    Running, Shown, Stage, TOKEN_PATIENCE, TokenPlan, Voucher, retry,
};
use crate::api::{Answer, CallError, ConnectError};
use crate::state::Action;
use protocol::agent_api::{EnrollmentAnswer, Pending, Refusal, RefusalKind};

/// Longest interval between polls that a server can ask for (`spec/security.md` 2.5).
const POLL_INTERVAL_CAP: Duration = Duration::from_secs(30);
/// Wait after a denial that names none: the server's first step.
const DENIED_WAIT: u64 = 600;

impl Flow {
    pub(super) fn see_network(&mut self, now: Duration, view: NetView) {
        if view == NetView::Ready && self.net != NetView::Ready {
            // A new address is news: do not sit out an old pause.
            if let Link::Down { at, .. } = &mut self.link {
                *at = now;
            }
        }
        // A cable that was plugged in just now is no fault of the network's. The boot has waited.
        if view == NetView::NoAddress && self.net != view && self.net_seen {
            self.quiet_until = now + ADDRESS_PATIENCE;
        }
        self.net_seen = true;
        self.net = view;
    }

    /// `R`: try now instead of waiting; after a denial only once the wait is over.
    pub(super) fn ask_again(&mut self, now: Duration) {
        match &mut self.stage {
            Stage::Denied { open_at, .. } if now >= *open_at => self.stage = Stage::Ask { at: now },
            Stage::Ask { at } => *at = now,
            Stage::Denied { .. } | Stage::Show(_) | Stage::Enrol { .. } | Stage::Run(_) => {}
        }
        if let Link::Down { at, .. } = &mut self.link {
            *at = now;
        }
    }

    /// An errand that outlived its limit counts as a lost connection. The client has time
    /// limits of its own: this is the net below them.
    pub(super) fn give_up_overdue(&mut self, now: Duration, random: u64) {
        let overdue = match (&self.link, &self.calling) {
            (Link::Connecting { until, .. }, _) | (_, Some((_, _, until))) => now >= *until,
            (Link::Down { .. } | Link::Up { .. }, None) => false,
        };
        if overdue {
            self.calling = None;
            let cause = "no answer in time".to_owned();
            self.leave_server(now, random, Fault::Unreachable { tried: 1, cause }, None);
        }
    }

    pub(super) fn see_connection(&mut self, now: Duration, random: u64, result: Result<Peer, ConnectError>) {
        let Link::Connecting { server, .. } = self.link else { return };
        match result {
            Ok(peer) => {
                self.trouble.take_if(|fault| fault.is_of_connecting());
                if let Some(failure) = self.failures.get_mut(server) {
                    *failure = None;
                }
                self.link = Link::Up { server, peer };
            }
            Err(error) => {
                let fault = self.connection_fault(error);
                self.leave_server(now, random, fault, None);
            }
        }
    }

    pub(super) fn see_answer(
        &mut self,
        now: Duration,
        random: u64,
        result: Result<Answer, CallError>,
        actions: &mut Vec<Action>,
    ) {
        let Some((ask, sent, _)) = self.calling.take() else { return };
        match result {
            Ok(answer) => self.see_success(now, random, (&ask, sent), answer, actions),
            Err(CallError::Connection(error)) => {
                match &mut self.stage {
                    // The server may have counted the poll that was lost.
                    Stage::Show(shown) => {
                        shown.poll_at = sent + retry::spread_late(shown.interval, random);
                    }
                    Stage::Run(running) if ask.is_a_heartbeat() => running.hurry(now, random),
                    Stage::Run(_) | Stage::Ask { .. } | Stage::Enrol { .. } | Stage::Denied { .. } => {}
                }
                let fault = self.connection_fault(error);
                self.leave_server(now, random, fault, None);
            }
            Err(CallError::Malformed(message)) => {
                self.leave_server(now, random, Fault::NotUnderstood { message }, None);
            }
            Err(CallError::Refused(refusal)) => self.see_refusal(now, random, &ask, refusal),
        }
    }

    fn see_success(
        &mut self,
        now: Duration,
        random: u64,
        (ask, sent): (&Ask, Duration),
        answer: Answer,
        actions: &mut Vec<Action>,
    ) {
        self.trouble = None;
        self.round = None;
        match (answer, ask) {
            (Answer::Time(server_time), Ask::Time) => {
                if let Link::Up { peer: Peer { time_problem: Some(cause), .. }, .. } = &self.link {
                    self.note(Fault::ClockSet { cause: cause.clone() });
                }
                actions.push(self.learn_time(server_time));
                // The same server again, now strictly. When its certificate fails on time even by
                // its own clock, that is its operator's to mend: E22 stays.
                self.link = Link::Down { next: self.server(), at: now };
            }
            (Answer::Enrollment(answer), Ask::Enroll | Ask::Register(_) | Ask::Poll { .. }) => {
                let server_time = match answer {
                    EnrollmentAnswer::AuthorizationPending(pending) => {
                        let server_time = pending.server_time;
                        self.see_pending(now, random, (ask, sent), &pending);
                        server_time
                    }
                    EnrollmentAnswer::Approved(approved) => {
                        let server_time = approved.server_time;
                        self.stage = Stage::Enrol { approved };
                        server_time
                    }
                };
                // Registered by one of them, the machine needs none any more: when an operator deletes
                // it, it does not come back by itself.
                if matches!(ask, Ask::Register(_)) {
                    Voucher::ALL.into_iter().for_each(|voucher| self.spend(voucher));
                }
                actions.push(self.learn_time(server_time));
            }
            (Answer::AccessToken { lasts }, Ask::AccessToken { .. }) => {
                actions.extend(self.see_access_token(now, random, lasts));
            }
            (Answer::Heartbeat(answer), Ask::Heartbeat { wait, inventory, .. }) => {
                self.see_heartbeat(now, random, (sent, *wait, *inventory), answer);
            }
            (Answer::Runner(ticket), Ask::Runner) => actions.extend(self.see_ticket(now, ticket)),
            (Answer::Runner(ticket), Ask::Member) => actions.extend(self.see_member_ticket(now, ticket)),
            (
                Answer::Time(_)
                | Answer::Enrollment(_)
                | Answer::AccessToken { .. }
                | Answer::Heartbeat(_)
                | Answer::Runner(_)
                | Answer::Cancelled,
                _,
            ) => {
                let message = "an answer to another question".to_owned();
                self.leave_server(now, random, Fault::NotUnderstood { message }, None);
            }
        }
    }

    fn see_pending(&mut self, now: Duration, random: u64, (ask, sent): (&Ask, Duration), pending: &Pending) {
        let known = match &self.stage {
            Stage::Show(shown) if shown.id == pending.id => Some(shown.code),
            Stage::Ask { .. }
            | Stage::Show(_)
            | Stage::Enrol { .. }
            | Stage::Run(_)
            | Stage::Denied { .. } => None,
        };
        let Some(code) = pending.code.or(known) else {
            let message = "an enrollment without a code".to_owned();
            self.leave_server(now, random, Fault::NotUnderstood { message }, None);
            return;
        };
        self.attempt = 0;
        let interval = Duration::from_secs(pending.interval).clamp(Duration::from_secs(1), POLL_INTERVAL_CAP);
        // RFC 8628 counts from poll to poll: the first one comes at once, and so does one after
        // a poll that was held.
        let poll_at = match ask {
            Ask::Poll { .. } => (sent + retry::spread_late(interval, random)).max(now),
            Ask::Time
            | Ask::Enroll
            | Ask::Register(_)
            | Ask::AccessToken { .. }
            | Ask::Heartbeat { .. }
            | Ask::Runner
            | Ask::Member => now,
        };
        let expires_at = now + Duration::from_secs(pending.code_expires_in.min(86_400));
        self.stage = Stage::Show(Shown { id: pending.id, code, expires_at, interval, poll_at });
    }

    fn see_access_token(&mut self, now: Duration, random: u64, lasts: Duration) -> Option<Action> {
        // Renewed when two thirds of its life are over, spread so that fleets do not renew in step.
        let renew_at = now + retry::spread(lasts * 2 / 3, random).max(Duration::from_secs(10));
        match &mut self.stage {
            Stage::Enrol { approved } => {
                self.attempt = 0;
                self.notes.clear();
                self.approval_required = false;
                let seconds =
                    approved.agent_config.heartbeat_interval.clamp(*INTERVAL.start(), *INTERVAL.end());
                self.stage = Stage::Run(Running {
                    approved: approved.clone(),
                    interval: Duration::from_secs(seconds),
                    beat_at: now,
                    renew_at,
                    send_inventory: false,
                    is_heard: false,
                    hurried: 0,
                });
                Some(Action::KeepKey)
            }
            Stage::Run(running) => {
                running.renew_at = renew_at;
                None
            }
            Stage::Ask { .. } | Stage::Show(_) | Stage::Denied { .. } => None,
        }
    }

    /// What a refusal means depends on the question; every branch leads on.
    fn see_refusal(&mut self, now: Duration, random: u64, ask: &Ask, refusal: Refusal) {
        let Refusal { error, message, nonce: _, interval, retry_after, server_time: _ } = refusal;
        let busy = matches!(error, RefusalKind::SlowDown | RefusalKind::TemporarilyUnavailable);
        // A statement is all that makes an installed system the machine that it is: it waits.
        if let (true, Ask::Register(voucher @ (Voucher::Nonce | Voucher::Token))) = (busy, ask)
            && self.voucher_waited_enough(now)
        {
            return self.give_up(*voucher, now, Fault::Busy { message });
        }
        if *ask == Ask::Time && error != RefusalKind::UnsupportedProtocol {
            // There is nothing else to ask over such a connection.
            let why = if busy { Fault::Busy { message } } else { Fault::NotUnderstood { message } };
            return self.leave_server(now, random, why, retry_after);
        }
        match error {
            RefusalKind::UnsupportedProtocol => {
                self.leave_server(now, random, Fault::Protocol { message }, retry_after);
            }
            RefusalKind::TemporarilyUnavailable => {
                self.leave_server(now, random, Fault::Busy { message }, retry_after);
            }
            RefusalKind::SlowDown if ask.is_for_a_ticket() => self.see_no_ticket(ask, now, random),
            RefusalKind::SlowDown => self.slow_down(now, random, message, interval, retry_after),
            RefusalKind::AccessDenied => self.see_denial(now, random, ask, message, retry_after),
            RefusalKind::ApprovalRequired if *ask == Ask::Register(Voucher::Token) => {
                // No fault: the token did all it was made for.
                self.approval_required = true;
                self.spend(Voucher::Token);
                self.stage = Stage::Ask { at: now };
            }
            RefusalKind::UnknownRequest | RefusalKind::ExpiredToken if matches!(ask, Ask::Poll { .. }) => {
                self.start_over(now, random, message);
            }
            RefusalKind::InvalidAccessToken if ask.is_for_a_ticket() || ask.is_a_heartbeat() => {
                self.renew_token(now, random, message);
            }
            RefusalKind::InvalidRequest
            | RefusalKind::InvalidProof
            | RefusalKind::UseNonce
            | RefusalKind::InvalidAccessToken
            | RefusalKind::InvalidToken
            | RefusalKind::TokenExpired
            | RefusalKind::TokenRevoked
            | RefusalKind::ConstraintFailed
            | RefusalKind::ApprovalRequired
            | RefusalKind::UnknownRequest
            | RefusalKind::ExpiredToken
            | RefusalKind::TooLarge
            | RefusalKind::Other => match ask {
                Ask::Register(Voucher::Statement) => {
                    self.give_up(Voucher::Statement, now, Fault::StatementRefused { message });
                }
                Ask::Register(Voucher::Nonce) => {
                    self.give_up(Voucher::Nonce, now, Fault::NonceRefused { message });
                }
                Ask::Register(Voucher::Token) => {
                    self.give_up(Voucher::Token, now, token_fault(error, message));
                }
                // The server no longer knows this key, or the approval's nonce is too old:
                // asking anew answers both.
                Ask::AccessToken { .. } => self.start_over(now, random, message),
                Ask::Runner | Ask::Member => self.see_no_ticket(ask, now, random),
                Ask::Time | Ask::Enroll | Ask::Poll { .. } | Ask::Heartbeat { .. } => {
                    self.leave_server(now, random, Fault::NotUnderstood { message }, retry_after);
                }
            },
        }
    }

    fn slow_down(
        &mut self,
        now: Duration,
        random: u64,
        message: String,
        interval: Option<u64>,
        retry_after: Option<u64>,
    ) {
        let pause = retry::asked_pause(self.attempt, random, retry_after);
        match &mut self.stage {
            Stage::Show(shown) => {
                let asked = interval.map_or(shown.interval + Duration::from_secs(5), Duration::from_secs);
                shown.interval = asked.clamp(Duration::from_secs(1), POLL_INTERVAL_CAP);
                let polite = retry::spread_late(shown.interval, random);
                shown.poll_at = now + retry_after.map_or(polite, |_| pause.max(polite));
            }
            Stage::Run(running) => {
                running.beat_at = now + pause.max(running.interval);
                running.renew_at = running.renew_at.max(now + pause);
            }
            Stage::Ask { .. } | Stage::Enrol { .. } | Stage::Denied { .. } => {
                self.attempt = self.attempt.saturating_add(1);
                self.trouble = Some(Fault::Busy { message });
                self.stage = Stage::Ask { at: self.before_patience_ends(now, now + pause) };
            }
        }
    }

    /// Whether servers have had no time for nonce and token for as long as they are kept.
    fn voucher_waited_enough(&mut self, now: Duration) -> bool {
        now >= *self.voucher_waits_since.get_or_insert(now) + TOKEN_PATIENCE
    }

    /// `at`, or when they are given up if that comes first: a code is asked for then.
    fn before_patience_ends(&self, now: Duration, at: Duration) -> Duration {
        let ends = self.voucher_waits_since.map(|since| since + TOKEN_PATIENCE);
        match ends.filter(|ends| self.voucher().is_some() && *ends > now) {
            Some(ends) => at.min(ends),
            None => at,
        }
    }

    fn see_denial(
        &mut self,
        now: Duration,
        random: u64,
        ask: &Ask,
        message: String,
        retry_after: Option<u64>,
    ) {
        match ask {
            // A machine that was removed while it ran, or between approval and duty.
            Ask::Heartbeat { .. } | Ask::AccessToken { .. } | Ask::Runner | Ask::Member => {
                self.start_over(now, random, message);
            }
            Ask::Time | Ask::Enroll | Ask::Register(_) | Ask::Poll { .. } => {
                if let Ask::Register(voucher) = ask {
                    self.spend(*voucher);
                }
                let wait = retry::asked_pause(0, random, Some(retry_after.unwrap_or(DENIED_WAIT)));
                self.stage =
                    Stage::Denied { message, open_at: now + wait, asks_at: now + DENIED_AT_MOST.max(wait) };
            }
        }
    }

    /// It is of no use: on with the next, and why beside it.
    fn give_up(&mut self, voucher: Voucher, now: Duration, why: Fault) {
        self.spend(voucher);
        self.trouble = None;
        self.note(why);
        self.stage = Stage::Ask { at: now };
    }

    /// Used or refused, it is not sent again in this boot.
    const fn spend(&mut self, voucher: Voucher) {
        match voucher {
            Voucher::Statement => self.plan.has_statement = false,
            Voucher::Nonce => self.plan.has_nonce = false,
            Voucher::Token => self.plan.token = TokenPlan::Absent,
        }
    }

    /// Back to asking, after a pause that grows while nothing succeeds.
    fn start_over(&mut self, now: Duration, random: u64, message: String) {
        self.trouble = Some(Fault::Forgotten { message });
        let pause = retry::pause(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        self.stage = Stage::Ask { at: now + pause };
    }

    fn renew_token(&mut self, now: Duration, random: u64, message: String) {
        self.trouble = Some(Fault::NotUnderstood { message });
        let pause = retry::pause(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        if let Stage::Run(running) = &mut self.stage {
            running.renew_at = now + pause;
            running.beat_at = running.renew_at;
        }
        self.work.not_before(now + pause);
        self.member.not_before(now + pause);
    }

    /// From the first answer of a trusted server on, the clock is right and certificates' times
    /// count. No server makes it earlier than the medium.
    fn learn_time(&mut self, server_time: u64) -> Action {
        self.clock = ClockTrust::Set;
        Action::SetClock(server_time.max(self.plan.built_at))
    }

    /// Tries the next server; after the last one, pauses. The gravest fault of the round is
    /// what the console shows.
    fn leave_server(&mut self, now: Duration, random: u64, fault: Fault, asked: Option<u64>) {
        let server = self.server();
        let next = server.saturating_add(1);
        self.tried = self.tried.saturating_add(1);
        if let Some(failure) = self.failures.get_mut(server) {
            *failure = Some(fault.clone());
        }
        if matches!(fault, Fault::CertificateTime { .. }) {
            // It was not the clock, then.
            self.notes.retain(|note| !matches!(note, Fault::ClockSet { .. }));
        }
        let graver = self.round.as_ref().is_none_or(|known| fault.gravity() >= known.gravity());
        if graver {
            self.round = Some(fault);
        }
        if next < self.plan.servers {
            self.link = Link::Down { next, at: now };
        } else {
            // Told when the round is over: one of the next servers may answer, and servers that
            // fail in different ways do not take turns on the console.
            if let Some(Fault::Unreachable { tried, .. }) = &mut self.round {
                *tried = self.tried;
            }
            self.trouble.clone_from(&self.round);
            self.tried = 0;
            let pause = retry::asked_pause(self.attempt, random, asked);
            self.attempt = self.attempt.saturating_add(1);
            self.round = None;
            self.link = Link::Down { next: 0, at: self.before_patience_ends(now, now + pause) };
        }
    }

    fn connection_fault(&self, error: ConnectError) -> Fault {
        match error {
            ConnectError::Name { cause, .. } => Fault::NameNotResolved { cause },
            ConnectError::Unreachable(cause) => Fault::Unreachable { tried: 1, cause },
            ConnectError::NoRoute(cause) => Fault::NoRoute { cause },
            ConnectError::Proxy(cause) => Fault::Proxy { cause },
            ConnectError::Pin { got, authority } => {
                Fault::PinMismatch { expected: self.plan.pins.clone(), got, authority }
            }
            ConnectError::CertificateTime(cause) => Fault::CertificateTime { cause },
        }
    }

    fn note(&mut self, fault: Fault) {
        self.notes.retain(|known| known.code() != fault.code());
        self.notes.push(fault);
    }
}

/// What the refusal of a token is called.
fn token_fault(error: RefusalKind, message: String) -> Fault {
    match error {
        RefusalKind::TokenExpired => Fault::TokenExpired,
        RefusalKind::TokenRevoked => Fault::TokenRevoked,
        RefusalKind::ConstraintFailed => Fault::TokenNotForThis { message },
        RefusalKind::InvalidRequest
        | RefusalKind::InvalidProof
        | RefusalKind::UseNonce
        | RefusalKind::InvalidAccessToken
        | RefusalKind::InvalidToken
        | RefusalKind::ApprovalRequired
        | RefusalKind::AccessDenied
        | RefusalKind::UnknownRequest
        | RefusalKind::ExpiredToken
        | RefusalKind::TooLarge
        | RefusalKind::UnsupportedProtocol
        | RefusalKind::SlowDown
        | RefusalKind::TemporarilyUnavailable
        | RefusalKind::Other => Fault::TokenRefused { message },
    }
}
