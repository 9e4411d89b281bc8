//! The member's half of virtual addresses: what it may hold at this moment, and when it lets go.
//!
//! The server gives a lease in the answer to a report. It counts here from when that report was SENT, so that however
//! long either was on its way, it ends here before the server, which counts from when the report came, gives the same to
//! somebody else. Whoever hears nothing lets go by itself. `now` is milliseconds of a clock that goes on while the
//! machine sleeps (`CLOCK_BOOTTIME`): a machine that was suspended has lost what it held.
//!
//! A report says under which epoch something is held, and which was the highest that was taken off. Only
//! [`Leases::lost`] says the latter, once the address is really gone from the kernel.

use super::VipGrant;
use std::collections::BTreeMap;

/// What a member holds.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    standings: BTreeMap<String, Standing>,
    /// When the report was sent that was answered last: an answer that comes late says nothing any more.
    answered: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Epoch under which it is held until then.
    held: Option<(u64, u64)>,
    /// Epoch under which it was held, while the kernel may still have it.
    leaving: Option<u64>,
    /// The highest epoch that it was taken off of.
    released: u64,
}

/// What an answer asks for, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// Names to take off now; then [`Leases::lost`].
    pub let_go: Vec<String>,
    /// Names to put on.
    pub take: Vec<String>,
}

impl Leases {
    /// An answer to the report that was sent at `sent`: its grants are all that is held from now on.
    pub fn answered(&mut self, sent: u64, grants: &[VipGrant], now: u64) -> Steps {
        let mut steps = Steps { let_go: self.tick(now), take: Vec::new() };
        if sent < self.answered {
            return steps;
        }
        self.answered = sent;
        let granted: BTreeMap<&str, &VipGrant> =
            grants.iter().map(|grant| (grant.name.as_str(), grant)).collect();
        for (name, standing) in &mut self.standings {
            let same = granted.get(name.as_str()).is_some_and(|grant| standing.holds(grant.epoch));
            if !same && standing.leave() {
                steps.let_go.push(name.clone());
            }
        }
        for grant in grants {
            let until = sent.saturating_add(grant.lease);
            let standing = self.standings.entry(grant.name.clone()).or_default();
            if standing.take(grant.epoch, until, now) {
                steps.take.push(grant.name.clone());
            }
        }
        steps
    }

    /// What has ended by now, to be taken off; then [`Leases::lost`].
    pub fn tick(&mut self, now: u64) -> Vec<String> {
        let over = |standing: &Standing| standing.held.is_some_and(|(_, until)| now >= until);
        let ended = self.standings.iter_mut().filter(|(_, standing)| over(standing));
        ended.filter_map(|(name, standing)| standing.leave().then(|| name.clone())).collect()
    }

    /// It is not healthy here any more: whether it is to be taken off; then [`Leases::lost`].
    pub fn unhealthy(&mut self, name: &str) -> bool {
        self.standings.get_mut(name).is_some_and(Standing::leave)
    }

    /// It is not in the kernel any more.
    pub fn lost(&mut self, name: &str) {
        if let Some(standing) = self.standings.get_mut(name)
            && let Some(epoch) = standing.leaving.take()
        {
            standing.released = standing.released.max(epoch);
        }
    }

    /// These are all that it may be given from now on: what to take off; then [`Leases::lost`].
    pub fn only(&mut self, names: &[&str]) -> Vec<String> {
        let stays = |name: &str| names.contains(&name);
        self.standings.retain(|name, standing| stays(name) || !standing.is_over());
        let others = self.standings.iter_mut().filter(|(name, _)| !stays(name));
        others.filter_map(|(name, standing)| standing.leave().then(|| name.clone())).collect()
    }

    /// What a report says of it: the epoch under which it is held, and the highest one that was taken off.
    pub fn report(&self, name: &str) -> (u64, u64) {
        let standing = self.standings.get(name).copied().unwrap_or_default();
        // While the kernel may have it, it is neither held nor given back.
        (standing.held.map_or(0, |(epoch, _)| epoch), standing.released)
    }

    /// Whether it is held at this moment.
    pub fn holds(&self, name: &str, now: u64) -> bool {
        self.standings.get(name).and_then(|standing| standing.held).is_some_and(|(_, until)| now < until)
    }

    /// Names of what is held or not yet taken off.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        self.standings.iter().filter(|(_, standing)| !standing.is_over()).map(|(name, _)| name.as_str())
    }

    /// When [`Leases::tick`] is due next.
    pub fn next_end(&self) -> Option<u64> {
        self.standings.values().filter_map(|standing| standing.held).map(|(_, until)| until).min()
    }
}

impl Standing {
    fn holds(&self, epoch: u64) -> bool {
        self.held.is_some_and(|(held, _)| held == epoch)
    }

    /// Neither held nor about to be taken off.
    const fn is_over(&self) -> bool {
        self.held.is_none() && self.leaving.is_none()
    }

    /// Ends what is held; whether it was.
    fn leave(&mut self) -> bool {
        match self.held.take() {
            None => false,
            Some((epoch, _)) => {
                self.leaving = Some(epoch);
                true
            }
        }
    }

    /// Takes or renews a grant; whether it is new here.
    fn take(&mut self, epoch: u64, until: u64, now: u64) -> bool {
        match &mut self.held {
            Some((held, end)) if *held == epoch => {
                *end = until.max(*end);
                false
            }
            Some(_) => false,
            None => {
                // One epoch is held once: what was let go comes back under a later one only.
                let fits = now < until && self.leaving.is_none() && epoch > self.released;
                if fits {
                    self.held = Some((epoch, until));
                }
                fits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, epoch: u64, lease: u64) -> VipGrant {
        VipGrant { name: name.to_owned(), epoch, lease }
    }

    fn taken(names: &[&str]) -> Steps {
        Steps { let_go: Vec::new(), take: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn lease_counts_from_when_the_report_was_sent() {
        let mut leases = Leases::default();
        assert_eq!(leases.answered(1_000, &[grant("a", 1, 5_000)], 4_000), taken(&["a"]));
        assert_eq!(leases.next_end(), Some(6_000));
        assert!(leases.holds("a", 5_999) && leases.tick(5_999).is_empty());
        assert!(!leases.holds("a", 6_000));
        assert_eq!((leases.tick(6_000), leases.tick(6_000)), (vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn answer_that_comes_after_its_lease_gives_nothing() {
        let mut leases = Leases::default();
        assert_eq!(leases.answered(1_000, &[grant("a", 1, 5_000)], 6_000), Steps::default());
        assert_eq!(leases.report("a"), (0, 0));
    }

    #[test]
    fn renewed_lease_goes_on_and_an_older_answer_shortens_nothing() {
        let mut leases = Leases::default();
        leases.answered(1_000, &[grant("a", 1, 5_000)], 1_100);
        assert_eq!(leases.answered(3_000, &[grant("a", 1, 5_000)], 3_100), Steps::default());
        assert_eq!(leases.next_end(), Some(8_000));
        assert_eq!(leases.answered(2_000, &[], 3_200), Steps::default());
        assert_eq!((leases.report("a"), leases.next_end()), ((1, 0), Some(8_000)));
    }

    #[test]
    fn what_is_not_granted_again_is_let_go() {
        let mut leases = Leases::default();
        leases.answered(0, &[grant("a", 1, 5_000), grant("b", 4, 5_000)], 10);
        let steps = leases.answered(1_000, &[grant("b", 4, 5_000)], 1_010);
        assert_eq!(steps, Steps { let_go: vec!["a".to_owned()], take: Vec::new() });
        assert_eq!(leases.present().collect::<Vec<_>>(), ["a", "b"]);
        leases.lost("a");
        assert_eq!((leases.report("a"), leases.report("b")), ((0, 1), (4, 0)));
        assert_eq!(leases.present().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn given_back_is_only_what_was_really_taken_off() {
        let mut leases = Leases::default();
        leases.answered(0, &[grant("a", 3, 5_000)], 10);
        assert!(leases.unhealthy("a"));
        assert!(!leases.unhealthy("a"));
        assert_eq!(leases.report("a"), (0, 0));
        // Nothing new is put on before that.
        assert_eq!(leases.answered(100, &[grant("a", 4, 5_000)], 110), Steps::default());
        leases.lost("a");
        assert_eq!(leases.report("a"), (0, 3));
        assert_eq!(leases.answered(200, &[grant("a", 3, 5_000)], 210), Steps::default());
        assert_eq!(leases.answered(300, &[grant("a", 4, 5_000)], 310), taken(&["a"]));
    }

    #[test]
    fn later_epoch_is_taken_after_the_earlier_was_let_go() {
        let mut leases = Leases::default();
        leases.answered(0, &[grant("a", 1, 5_000)], 10);
        let steps = leases.answered(100, &[grant("a", 2, 5_000)], 110);
        assert_eq!(steps, Steps { let_go: vec!["a".to_owned()], take: Vec::new() });
        leases.lost("a");
        assert_eq!(leases.answered(200, &[grant("a", 2, 5_000)], 210), taken(&["a"]));
    }

    #[test]
    fn what_it_may_not_be_given_any_more_is_let_go_and_forgotten() {
        let mut leases = Leases::default();
        leases.answered(0, &[grant("a", 1, 5_000), grant("b", 1, 5_000)], 10);
        assert_eq!(leases.only(&["b"]), ["a"]);
        leases.lost("a");
        assert!(leases.only(&["b"]).is_empty());
        assert_eq!((leases.report("a"), leases.report("b")), ((0, 0), (1, 0)));
    }
}
