//! The machine as a member of a mesh network, as the flow sees it: a process that is started while the server says that
//! the machine is in one, and again when it ends before that. Without it the tunnels stay as they are.

use super::work::Work;
use super::{Action, Duration, Flow, Stage};
use protocol::agent_api::RunnerTicket;

impl Flow {
    /// What a member needs has come.
    pub(super) fn see_member_ticket(&mut self, now: Duration, ticket: RunnerTicket) -> Option<Action> {
        let (Work::Resting { short_lived, .. }, Stage::Run(running)) = (self.member, &self.stage) else {
            return None;
        };
        self.attempt = 0;
        self.member = Work::Running { since: now, short_lived };
        let machine = running.approved.machine.uuid;
        Some(Action::StartMember { server: self.server(), machine, ticket })
    }

    /// It ended. Unless that is because the machine left, another one is wanted before the server says so again; whether
    /// it joined once more while this one took its leave is asked now.
    pub(super) fn see_member_end(&mut self, now: Duration, random: u64, left: bool) {
        self.member = if left { Work::resting(now) } else { self.member.ended(now, random, false) };
        self.member.want(!left);
        self.ask_anew(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::scripted::{heartbeat, in_a_mesh, refused, ticket};
    use crate::api::{Answer, CallError};
    use crate::state::work::tests::{START, answered, asks_to_beat, on_duty};
    use crate::state::{Ask, Observation};
    use protocol::agent_api::RefusalKind;

    fn is_started(actions: &[Action]) -> bool {
        matches!(actions.first(), Some(Action::StartMember { server: 0, .. }))
    }

    /// A machine with a member at work.
    fn member() -> Flow {
        let mut flow = on_duty();
        assert_eq!(answered(&mut flow, START, Ok(in_a_mesh("a"))), [Action::Send(Ask::Member)], "at once");
        assert!(is_started(&answered(&mut flow, START, Ok(ticket()))));
        flow
    }

    /// What follows the next heartbeat, when it is answered so; one may be under way.
    fn beats(flow: &mut Flow, answer: Result<Answer, CallError>) -> Vec<Action> {
        let at = if flow.calling.is_some() { START } else { flow.wake() };
        flow.step(at, 0, Observation::Tick);
        answered(flow, at, answer)
    }

    #[test]
    fn member_is_started_once_while_the_machine_is_in_a_network() {
        let mut flow = on_duty();
        assert!(asks_to_beat(&answered(&mut flow, START, Ok(heartbeat("a"))), false), "and for nothing else");
        let mut flow = member();
        for _ in 0..3 {
            assert_eq!(beats(&mut flow, Ok(in_a_mesh("a"))), [], "it is at it");
        }
    }

    #[test]
    fn member_whose_token_ended_is_started_with_another() {
        let mut flow = member();
        let later = START + Duration::from_secs(60);
        let again = flow.step(later, 500, Observation::MemberEnded { left: false });
        assert_eq!(again, [Action::Send(Ask::Member)], "before anything else");
    }

    #[test]
    fn member_that_dies_is_started_again_with_growing_pauses() {
        let mut flow = member();
        let (mut now, mut pauses) = (START, Vec::new());
        for _ in 0..5 {
            now += Duration::from_secs(1);
            let died = now;
            let mut actions = flow.step(now, 500, Observation::MemberEnded { left: false });
            while actions != [Action::Send(Ask::Member)] {
                if matches!(actions.last(), Some(Action::Send(Ask::Heartbeat { .. }))) {
                    actions = answered(&mut flow, now, Ok(in_a_mesh("a")));
                } else {
                    now = flow.wake();
                    actions = flow.step(now, 500, Observation::Tick);
                }
            }
            pauses.push(now - died);
            assert!(is_started(&answered(&mut flow, now, Ok(ticket()))));
        }
        assert_eq!(pauses.first(), Some(&Duration::ZERO));
        assert!(pauses.is_sorted() && pauses.last() > pauses.get(1), "{pauses:?}");
    }

    #[test]
    fn machine_that_left_starts_none_until_it_joins_again() {
        let mut flow = member();
        let asked = flow.step(START, 0, Observation::MemberEnded { left: true });
        assert!(asks_to_beat(&asked, false), "it may have joined meanwhile: {asked:?}");
        assert!(
            asks_to_beat(&answered(&mut flow, START, Ok(heartbeat("a"))), false),
            "to hear when it joins"
        );
        assert_eq!(beats(&mut flow, Ok(in_a_mesh("a"))), [Action::Send(Ask::Member)]);
    }

    #[test]
    fn machine_that_joined_again_while_its_member_took_its_leave_has_another_one() {
        let mut flow = member();
        assert_eq!(beats(&mut flow, Ok(in_a_mesh("a"))), [], "told while the old one is at it");
        let asked = flow.step(START, 0, Observation::MemberEnded { left: true });
        let [Action::Send(Ask::Heartbeat { wait, .. })] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(*wait, Duration::ZERO, "nothing that changes would answer it");
        assert_eq!(answered(&mut flow, START, Ok(in_a_mesh("a"))), [Action::Send(Ask::Member)]);
    }

    #[test]
    fn ticket_that_is_refused_is_asked_for_again_later() {
        let mut flow = on_duty();
        answered(&mut flow, START, Ok(in_a_mesh("a")));
        let refusal = Err(refused(RefusalKind::Other, None));
        assert!(asks_to_beat(&answered(&mut flow, START, refusal), false));
        assert_eq!(beats(&mut flow, Ok(in_a_mesh("a"))), [], "wanted still, but later");
        assert!(flow.wake() > START);
        assert_eq!(flow.step(flow.wake(), 0, Observation::Tick), [Action::Send(Ask::Member)]);
    }
}
