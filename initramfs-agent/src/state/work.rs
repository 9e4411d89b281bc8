//! The runner of the machine's jobs as the flow sees it: started when the server has work, started
//! again when it dies, with pauses that grow while it does not live long.

use super::{Action, Ask, Duration, Flow, Stage, retry};
use protocol::agent_api::RunnerTicket;

/// A runner that lived this long was worth starting.
const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// The runner of the machine's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There is none.
    Resting {
        /// The server has work.
        wanted: bool,
        /// One is not started before this time.
        not_before: Duration,
        /// How many ended soon after they were started, in a row.
        short_lived: u32,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Duration,
        /// As above.
        short_lived: u32,
    },
}

impl Work {
    /// None yet.
    pub(super) const fn resting(now: Duration) -> Self {
        Self::Resting { wanted: false, not_before: now, short_lived: 0 }
    }

    /// None is asked for before this time.
    pub(super) fn not_before(&mut self, until: Duration) {
        if let Self::Resting { not_before, .. } = self {
            *not_before = until.max(*not_before);
        }
    }

    /// The same after it ended: how long it rests at least depends on how long it and those before it lived.
    pub(super) fn ended(self, now: Duration, random: u64, useful: bool) -> Self {
        let short_lived = match self {
            Self::Running { .. } if useful => 0,
            Self::Running { since, short_lived } if now.saturating_sub(since) < LONG_ENOUGH => {
                short_lived.saturating_add(1)
            }
            Self::Running { .. } => 0,
            Self::Resting { short_lived, .. } => short_lived,
        };
        // The first one that dies is replaced at once.
        let pause = match short_lived {
            0 | 1 => Duration::ZERO,
            more => retry::pause(more - 1, random),
        };
        Self::Resting { wanted: false, not_before: now + pause, short_lived }
    }

    /// Takes in whether one is wanted.
    pub(super) const fn want(&mut self, is_wanted: bool) {
        match self {
            Self::Resting { wanted, .. } => *wanted = is_wanted,
            Self::Running { .. } => {}
        }
    }

    /// The server gives no ticket: later, when one is still wanted then.
    pub(super) fn put_off(&mut self, now: Duration, random: u64) {
        if let Self::Resting { wanted, not_before, short_lived } = self {
            *wanted = false;
            *not_before = now + retry::pause(*short_lived, random);
            *short_lived = short_lived.saturating_add(1);
        }
    }

    /// Whether the server need not tell that one is wanted.
    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Resting { wanted: true, .. } | Self::Running { .. })
    }

    /// When a runner is to be started; none when there is one, or nothing to do.
    pub(super) fn starts_at(self) -> Option<Duration> {
        match self {
            Self::Resting { wanted: true, not_before, .. } => Some(not_before),
            Self::Resting { wanted: false, .. } | Self::Running { .. } => None,
        }
    }
}

impl Flow {
    /// Takes in the server's word on whether there is work.
    pub(super) fn see_work(&mut self, is_there: bool) {
        self.work.want(is_there);
    }

    /// What a runner needs has come.
    pub(super) fn see_ticket(&mut self, now: Duration, ticket: RunnerTicket) -> Option<Action> {
        let (Work::Resting { short_lived, .. }, Stage::Run(running)) = (self.work, &self.stage) else {
            return None;
        };
        self.attempt = 0;
        self.work = Work::Running { since: now, short_lived };
        let machine = running.approved.machine.uuid;
        Some(Action::StartRunner { server: self.server(), machine, ticket })
    }

    /// The server gives no ticket: later, when it still has work then.
    pub(super) fn see_no_ticket(&mut self, ask: &Ask, now: Duration, random: u64) {
        let work = if *ask == Ask::Member { &mut self.member } else { &mut self.work };
        work.put_off(now, random);
    }

    /// The runner ended: whether there is more work is asked now.
    pub(super) fn see_runner_end(&mut self, now: Duration, random: u64, useful: bool) {
        self.work = self.work.ended(now, random, useful);
        self.ask_anew(now);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::scripted::{access_token, approved, heartbeat, peer, refused, ticket, work};
    use crate::api::{Answer, CallError};
    use crate::state::{NetView, Observation, Plan, TokenPlan};
    use protocol::agent_api::RefusalKind;
    use protocol::ids::SpkiPin;

    pub(in crate::state) const START: Duration = Duration::from_secs(5);

    pub(in crate::state) fn answered(
        flow: &mut Flow,
        at: Duration,
        result: Result<Answer, CallError>,
    ) -> Vec<Action> {
        flow.step(at, 0, Observation::Answered(result))
    }

    /// A machine on duty that waits for the answer to its first heartbeat.
    pub(in crate::state) fn on_duty() -> Flow {
        let pins = vec![SpkiPin([1; 32])];
        let token = TokenPlan::Ready;
        let plan = Plan {
            servers: 1,
            pins,
            has_authorities: false,
            built_at: 0,
            token,
            has_nonce: false,
            has_statement: false,
        };
        let mut flow = Flow::new(plan, START);
        flow.step(START, 0, Observation::Net(NetView::Ready));
        flow.step(START, 0, Observation::Connected(Ok(peer())));
        answered(&mut flow, START, Ok(approved("a")));
        let beat = answered(&mut flow, START, Ok(access_token()));
        assert!(asks_to_beat(&beat, false), "{beat:?}");
        flow
    }

    pub(in crate::state) fn asks_to_beat(actions: &[Action], is_working: bool) -> bool {
        matches!(actions.last(), Some(Action::Send(Ask::Heartbeat { working, .. })) if *working == is_working)
    }

    fn starts(actions: &[Action]) -> bool {
        matches!(actions.first(), Some(Action::StartRunner { server: 0, .. }))
    }

    /// The same with a runner at work.
    fn at_work() -> Flow {
        let mut flow = on_duty();
        let asked = answered(&mut flow, START, Ok(work("a")));
        assert_eq!(asked, [Action::Send(Ask::Runner)], "at once");
        let started = answered(&mut flow, START, Ok(ticket()));
        assert!(starts(&started) && asks_to_beat(&started, true), "and a heartbeat is held: {started:?}");
        flow
    }

    fn ended(flow: &mut Flow, at: Duration, useful: bool) -> Vec<Action> {
        flow.step(at, 500, Observation::RunnerEnded { useful })
    }

    #[test]
    fn a_runner_is_started_for_work_and_for_nothing_else() {
        let mut idle = on_duty();
        assert!(asks_to_beat(&answered(&mut idle, START, Ok(heartbeat("a"))), false), "and for nothing else");
        let mut flow = at_work();
        assert_eq!(answered(&mut flow, START, Ok(work("a"))), [], "it works already");
    }

    #[test]
    fn the_server_is_asked_at_once_when_a_runner_ends() {
        let mut flow = at_work();
        let later = START + Duration::from_secs(9);
        // The heartbeat under way is given up: it would be answered when something changes.
        assert!(asks_to_beat(&ended(&mut flow, later, true), false));
        assert!(asks_to_beat(&answered(&mut flow, later, Ok(heartbeat("a"))), false));
        assert_eq!(answered(&mut flow, later, Ok(work("a"))), [Action::Send(Ask::Runner)]);
    }

    #[test]
    fn runners_that_die_are_started_again_with_growing_pauses() {
        let mut flow = at_work();
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            now += Duration::from_secs(1);
            let mut actions = ended(&mut flow, now, false);
            let died = now;
            assert!(asks_to_beat(&actions, false));
            while actions != [Action::Send(Ask::Runner)] {
                if flow.calling.is_some() {
                    actions = answered(&mut flow, now, Ok(work("a")));
                } else {
                    now = flow.wake();
                    actions = flow.step(now, 500, Observation::Tick);
                }
            }
            pauses.push(now - died);
            assert!(starts(&answered(&mut flow, now, Ok(ticket()))));
        }
        assert_eq!(pauses.first(), Some(&Duration::ZERO));
        assert!(pauses.is_sorted() && pauses.last() > pauses.get(1), "{pauses:?}");
        assert!(asks_to_beat(&ended(&mut flow, now + LONG_ENOUGH, false), false));
        let again = answered(&mut flow, now + LONG_ENOUGH, Ok(work("a")));
        assert_eq!(again, [Action::Send(Ask::Runner)], "this one lived long enough");
    }

    #[test]
    fn a_ticket_that_is_refused_is_not_asked_for_in_a_loop() {
        let refusals = [RefusalKind::Other, RefusalKind::InvalidRequest, RefusalKind::SlowDown];
        for refusal in refusals.into_iter().chain([RefusalKind::InvalidAccessToken]) {
            let mut flow = on_duty();
            assert_eq!(answered(&mut flow, START, Ok(work("a"))), [Action::Send(Ask::Runner)]);
            answered(&mut flow, START, Err(refused(refusal, None)));
            if flow.calling.is_some() {
                answered(&mut flow, START, Ok(work("a")));
            }
            assert!(flow.wake() > START && flow.calling.is_none(), "{refusal:?}");
        }
        let mut flow = on_duty();
        answered(&mut flow, START, Ok(work("a")));
        answered(&mut flow, START, Err(refused(RefusalKind::AccessDenied, None)));
        assert!(!matches!(flow.stage(), Stage::Run(_)), "the machine was deleted");
    }
}
