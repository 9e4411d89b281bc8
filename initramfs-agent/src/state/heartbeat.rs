//! Heartbeats as the flow sees them: the server holds each until there is something to tell, so one is to be with it
//! nearly always. Whatever ends one early is followed by the next one soon, by pauses that grow while no heartbeat
//! is held for long: a server that never holds any is asked in the regular interval.

use super::work::Work;
use super::{Ask, Duration, Flow, INTERVAL, Running, Stage, retry};
use protocol::agent_api::HeartbeatAnswer;

/// Longest time the server is asked to hold a heartbeat's answer.
const HEARTBEAT_WAIT: Duration = Duration::from_secs(20);
/// Shortest time that it is asked for, and by how much it may answer before its time: it counts whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// A heartbeat that was held this long shows that the server does hold them.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// How many in a row may be followed by another one before its time. The last of them waits up to 32 seconds, which is
/// the regular interval for most.
const MOST_HURRIED: u32 = 5;

impl Running {
    /// The heartbeat that is due, with what there is to start and when.
    pub(super) fn beat(&mut self, now: Duration, random: u64, (work, member): (Work, Work)) -> Ask {
        let period = retry::spread(self.interval, random);
        self.beat_at = now + period;
        let starts_at = [work, member].into_iter().filter_map(Work::starts_at).min();
        let left = starts_at.map_or(HEARTBEAT_WAIT, |at| at.saturating_sub(now));
        // Who was told nothing, or may have missed the answer, asks how things stand: held is what asks for changes.
        let wait = if std::mem::take(&mut self.is_heard) {
            period.min(HEARTBEAT_WAIT).min(left).max(SECOND)
        } else {
            Duration::ZERO
        };
        Ask::Heartbeat { wait, inventory: self.send_inventory, working: work.is_known() }
    }

    /// The heartbeat ended before its time: another one soon.
    pub(super) fn hurry(&mut self, now: Duration, random: u64) {
        if self.hurried < MOST_HURRIED {
            self.hurried += 1;
            self.beat_at = self.beat_at.min(now + retry::pause(self.hurried, random));
        }
    }
}

impl Flow {
    /// Takes in the answer to a heartbeat: when it was sent, how long it was to be held, and whether it had the inventory.
    pub(super) fn see_heartbeat(
        &mut self,
        now: Duration,
        random: u64,
        (sent, wait, sent_inventory): (Duration, Duration, bool),
        answer: HeartbeatAnswer,
    ) {
        self.attempt = 0;
        if let Stage::Run(running) = &mut self.stage {
            let held = now.saturating_sub(sent);
            let regular = running.beat_at.saturating_sub(sent).min(HEARTBEAT_WAIT);
            let is_over = held + SECOND >= regular;
            if is_over || held >= LONG_ENOUGH {
                running.hurried = 0;
            }
            if wait.is_zero() || answer.send_inventory && !sent_inventory {
                running.beat_at = now;
            } else if !is_over {
                running.hurry(now, random);
            }
            running.is_heard = true;
            running.interval = Duration::from_secs(answer.interval.clamp(*INTERVAL.start(), *INTERVAL.end()));
            running.send_inventory = answer.send_inventory;
            if !answer.name.is_empty() {
                running.approved.machine.name = answer.name;
            }
        }
        self.see_work(answer.work);
        self.member.want(answer.mesh);
    }

    /// What the server said so far is no news any more: how things stand is asked now, and not when a heartbeat under
    /// way is answered because something changes.
    pub(super) fn ask_anew(&mut self, now: Duration) {
        self.calling.take_if(|(ask, _, _)| ask.is_a_heartbeat());
        if let Stage::Run(running) = &mut self.stage {
            running.beat_at = now;
            running.is_heard = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::scripted::{access_token, heartbeat, in_a_mesh, peer, refused, terminal, ticket, work};
    use crate::api::{Answer, CallError, ConnectError};
    use crate::state::work::tests::{START, answered, on_duty};
    use crate::state::{Action, Link, Observation};
    use proptest::prelude::*;
    use protocol::agent_api::RefusalKind;

    const HOUR: Duration = Duration::from_secs(3_600);
    /// Longest time without a held heartbeat after news.
    const SOON: Duration = Duration::from_secs(2);

    /// How long the server is to hold the heartbeat among these actions.
    fn wait_of(actions: &[Action]) -> Option<Duration> {
        actions.iter().find_map(|action| match action {
            Action::Send(Ask::Heartbeat { wait, .. }) => Some(*wait),
            Action::Send(_)
            | Action::Connect { .. }
            | Action::SetClock(_)
            | Action::Forget(_)
            | Action::KeepKey
            | Action::StartRunner { .. }
            | Action::StartMember { .. } => None,
        })
    }

    /// A machine on duty with a heartbeat that is held.
    fn held() -> Flow {
        let mut flow = on_duty();
        assert!(wait_of(&answered(&mut flow, START, Ok(heartbeat("a")))) > Some(SOON));
        flow
    }

    /// Goes on, with tickets for whatever asks for one, until a heartbeat is sent; when, and how long it is held.
    fn next_beat(flow: &mut Flow, mut now: Duration, mut actions: Vec<Action>) -> (Duration, Duration) {
        loop {
            if let Some(wait) = wait_of(&actions) {
                return (now, wait);
            }
            actions = if flow.calling.is_some() {
                answered(flow, now, Ok(ticket()))
            } else {
                now = flow.wake();
                flow.step(now, 1_000, Observation::Tick)
            };
        }
    }

    /// The heartbeat that was sent now is answered so after this time: when the next one is sent, and how long it is held.
    fn told_after(flow: &mut Flow, now: Duration, held: Duration, answer: Answer) -> (Duration, Duration) {
        let at = now + held;
        let actions = flow.step(at, 1_000, Observation::Answered(Ok(answer)));
        next_beat(flow, at, actions)
    }

    #[test]
    fn first_heartbeat_asks_how_things_stand_and_the_next_one_is_held() {
        let mut flow = on_duty();
        assert!(matches!(&flow.calling, Some((Ask::Heartbeat { wait, .. }, _, _)) if wait.is_zero()));
        for (news, answer) in [("nothing", heartbeat("a")), ("a mesh network", in_a_mesh("a"))] {
            let mut flow = on_duty();
            let (at, wait) = told_after(&mut flow, START, Duration::ZERO, answer);
            assert!(at == START && wait > SOON, "told of {news}: {wait:?}");
        }
        let full = wait_of(&answered(&mut flow, START, Ok(heartbeat("a")))).unwrap();
        let (at, _) = told_after(&mut flow, START, full, heartbeat("a"));
        assert_eq!(at, START + Duration::from_secs(16), "the regular time, of 16 to 24 seconds");
    }

    #[test]
    fn heartbeats_follow_later_each_time_and_soon_again_after_a_quiet_while() {
        let mut flow = held();
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (at, _) = told_after(&mut flow, now, Duration::ZERO, heartbeat("b"));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses.get(..4), Some([2, 4, 8, 16].as_slice()), "{pauses:?}");
        assert!(pauses.iter().skip(4).all(|pause| (16..=24).contains(pause)), "{pauses:?}");
        let (at, _) = told_after(&mut flow, now, LONG_ENOUGH, heartbeat("c"));
        assert_eq!(at, now + LONG_ENOUGH + SOON);
    }

    #[test]
    fn lost_heartbeat_is_asked_again_soon_and_held_only_once_it_was_answered() {
        let mut flow = held();
        let now = START + Duration::from_secs(3);
        let lost = CallError::Connection(ConnectError::Unreachable("reset".to_owned()));
        assert_eq!(flow.step(now, 1_000, Observation::Answered(Err(lost))), []);
        let at = flow.wake();
        assert_eq!(flow.step(at, 0, Observation::Tick).len(), 1);
        let connected = flow.step(at, 0, Observation::Connected(Ok(peer())));
        let (at, wait) = next_beat(&mut flow, at, connected);
        assert!(at <= now + SOON && wait.is_zero(), "{at:?} {wait:?}");
        assert!(wait_of(&answered(&mut flow, at, Ok(heartbeat("a")))) > Some(SOON));
    }

    #[test]
    fn work_that_cannot_be_begun_yet_keeps_no_heartbeat_from_being_held() {
        let (mut flow, later) = (held(), START + Duration::from_secs(10));
        flow.work.not_before(later);
        let (at, wait) = told_after(&mut flow, START, Duration::ZERO, work("a"));
        assert!(matches!(&flow.calling, Some((Ask::Heartbeat { working: true, .. }, _, _))), "it knows");
        assert_eq!(at + wait, later, "until it can be begun");
        assert_eq!(answered(&mut flow, later, Ok(work("a"))), [Action::Send(Ask::Runner)]);
    }

    /// How many heartbeats a machine sends within an hour to a server that answers so, each after this time.
    fn beats_within_an_hour(answer: &Answer, hold: Duration, randoms: &[u64]) -> usize {
        let (mut flow, mut now, mut beats) = (on_duty(), START, 1);
        for random in randoms.iter().cycle() {
            let actions = if flow.calling.is_some() {
                let outcome = match &flow.calling {
                    Some((Ask::Heartbeat { .. }, sent, _)) => {
                        now = *sent + hold;
                        Ok(answer.clone())
                    }
                    Some((Ask::AccessToken { .. }, _, _)) => Ok(access_token()),
                    Some(_) | None => Err(refused(RefusalKind::Other, None)),
                };
                flow.step(now, *random, Observation::Answered(outcome))
            } else {
                now = flow.wake();
                flow.step(now, *random, Observation::Tick)
            };
            if now > START + HOUR {
                break;
            }
            beats += usize::from(wait_of(&actions).is_some());
        }
        assert!(matches!(flow.link, Link::Up { .. }));
        beats
    }

    #[test]
    fn proxy_that_cuts_what_is_held_is_met_once_in_a_regular_interval() {
        let (mut flow, mut now, mut lost) = (on_duty(), START, 0);
        while now < START + HOUR {
            let observed = match &flow.calling {
                Some((Ask::Heartbeat { wait, .. }, sent, _)) if !wait.is_zero() => {
                    now = *sent + SECOND;
                    lost += 1;
                    Observation::Answered(Err(ConnectError::Unreachable("cut".to_owned()).into()))
                }
                Some((Ask::Heartbeat { .. }, _, _)) => Observation::Answered(Ok(heartbeat("a"))),
                Some(_) => Observation::Answered(Ok(access_token())),
                None if matches!(flow.link, Link::Connecting { .. }) => Observation::Connected(Ok(peer())),
                None => {
                    now = flow.wake();
                    Observation::Tick
                }
            };
            flow.step(now, 0, observed);
        }
        assert!(lost <= 3_600 / 16 + 1 + MOST_HURRIED, "{lost} times");
    }

    proptest! {
        #[test]
        fn server_that_never_holds_is_asked_in_the_regular_interval(
            answer in prop_oneof![
                Just(heartbeat("a")), Just(work("a")), Just(in_a_mesh("a")), Just(terminal("a")),
            ],
            randoms in proptest::collection::vec(any::<u64>(), 1..40),
            hold in 0u64..3,
        ) {
            // One in 16 to 24 seconds, the first of them, and those that follow soon.
            let most = 3_600 / 16 + 2 + usize::try_from(MOST_HURRIED).unwrap();
            let beats = beats_within_an_hour(&answer, Duration::from_secs(hold), &randoms);
            prop_assert!(beats <= most, "{beats} heartbeats");
        }

        #[test]
        fn news_at_any_moment_leaves_no_machine_without_a_held_heartbeat_for_long(
            millis in 0u64..15_000,
            answer in prop_oneof![
                Just(heartbeat("b")), Just(work("a")), Just(in_a_mesh("a")), Just(terminal("a")),
            ],
        ) {
            let mut flow = held();
            let early = Duration::from_millis(millis);
            let (at, wait) = told_after(&mut flow, START, early, answer);
            prop_assert!(at <= START + early + SOON && wait > SOON, "after {:?}, held {wait:?}", at - START);
        }
    }
}
