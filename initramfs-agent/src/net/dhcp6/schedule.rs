//! When a DHCPv6 client asks again (RFC 8415 7.6, 14.2, 15). Pure.

use super::message::{Answer, Given};
use std::time::Duration;
use tokio::time::Instant;

/// "For ever" as DHCPv6 writes it (RFC 8415 7.7).
const FOR_EVER: u32 = u32::MAX;
/// Soonest renewal: a server that says less would have us do nothing else.
const MIN_RENEWAL: u32 = 5;
/// Bounds of the pause before name servers are asked for again (RFC 8415 21.23), in seconds.
const REFRESH: std::ops::RangeInclusive<u32> = 600..=86_400;

/// How long to wait for an answer before the question is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// `SOL_TIMEOUT`; the attempt as a whole is shorter than `SOL_MAX_RT`.
    pub(super) const SOLICIT: Self = Self::new(1, 3_600);
    /// `REQ_TIMEOUT`, `REQ_MAX_RT`.
    pub(super) const REQUEST: Self = Self::new(1, 30);
    /// `REN_TIMEOUT`, `REN_MAX_RT`, the same as for rebinding.
    pub(super) const RENEW: Self = Self::new(10, 600);
    /// `INF_TIMEOUT`, `INF_MAX_RT`.
    pub(super) const INFORMATION: Self = Self::new(1, 3_600);

    const fn new(first: u64, longest: u64) -> Self {
        Self { first: Duration::from_secs(first), longest: Duration::from_secs(longest) }
    }

    /// The first pause, a tenth more or less by `random`.
    pub(super) fn first(self, random: u16) -> Duration {
        spread(self.first, random)
    }

    /// The pause after `last`: about twice as long, up to the longest.
    pub(super) fn next(self, last: Duration, random: u16) -> Duration {
        spread((last * 2).min(self.longest), random)
    }
}

/// 0.9 to 1.1 times a duration.
fn spread(duration: Duration, random: u16) -> Duration {
    duration * 9 / 10 + duration * u32::from(random) / (5 * u32::from(u16::MAX))
}

/// What is left of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// T1; `None` when the lease is for ever.
    pub(super) renew_at: Option<Instant>,
    /// T2.
    pub(super) rebind_at: Instant,
    /// When the address may no longer be used.
    pub(super) ends_at: Instant,
}

impl Lifetime {
    /// The times of an answer that came `now`. What a server leaves open or says against all
    /// sense (T2 before T1, T1 after the end) is 0.5 and 0.8 of the preferred lifetime.
    pub(super) fn new(answer: &Answer, given: &Given, now: Instant) -> Self {
        let preferred = if given.preferred > 0 { given.preferred } else { given.valid };
        let in_order = answer.t1 > 0 && answer.t1 <= answer.t2 && answer.t2 <= given.valid;
        let (t1, t2) = match preferred {
            _ if in_order => (answer.t1, answer.t2),
            FOR_EVER => (FOR_EVER, FOR_EVER),
            preferred => (preferred / 2, preferred / 5 * 4),
        };
        let t1 = t1.max(MIN_RENEWAL);
        let after = |seconds: u32| now + Duration::from_secs(seconds.into());
        Self {
            renew_at: (t1 != FOR_EVER).then(|| after(t1)),
            rebind_at: after(t2.max(t1)),
            ends_at: after(given.valid.max(t1)),
        }
    }
}

/// When to ask for name servers again.
pub(super) fn refresh_after(told: Option<u32>) -> Duration {
    let seconds = told.unwrap_or(*REFRESH.end()).clamp(*REFRESH.start(), *REFRESH.end());
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(t1: u32, t2: u32, preferred: u32, valid: u32) -> (Option<u64>, u64, u64) {
        let now = Instant::now();
        let answer = Answer { t1, t2, ..Answer::default() };
        let given = Given { address: "fd00::5".parse().unwrap(), preferred, valid };
        let life = Lifetime::new(&answer, &given, now);
        let seconds = |at: Instant| at.duration_since(now).as_secs();
        (life.renew_at.map(seconds), seconds(life.rebind_at), seconds(life.ends_at))
    }

    #[test]
    fn times_of_the_server_are_taken_when_they_make_sense() {
        assert_eq!(times(60, 90, 120, 240), (Some(60), 90, 240));
        assert_eq!(times(0, 0, 120, 240), (Some(60), 96, 240), "left to the client");
        assert_eq!(times(90, 60, 120, 240), (Some(60), 96, 240), "T2 before T1");
        assert_eq!(times(500, 600, 120, 240), (Some(60), 96, 240), "after the end");
        assert_eq!(times(0, 0, 0, 240), (Some(120), 192, 240), "deprecated from the start");
        assert_eq!(times(1, 1, 1, 1), (Some(5), 5, 5), "nothing but renewals");
        let for_ever = u64::from(FOR_EVER);
        assert_eq!(times(0, 0, FOR_EVER, FOR_EVER), (None, for_ever, for_ever));
    }

    #[test]
    fn pauses_grow_to_the_longest_and_are_spread() {
        let backoff = Backoff::REQUEST;
        assert_eq!(backoff.first(0), Duration::from_millis(900));
        assert_eq!(backoff.first(u16::MAX), Duration::from_millis(1_100));
        let mut pause = backoff.first(32_768);
        for _ in 0..10 {
            pause = backoff.next(pause, 32_768);
        }
        assert!((29..=31).contains(&pause.as_secs()), "{pause:?}");
    }

    #[test]
    fn refresh_is_neither_a_storm_nor_never() {
        for (told, seconds) in
            [(None, 86_400), (Some(1), 600), (Some(7_200), 7_200), (Some(u32::MAX), 86_400)]
        {
            assert_eq!(refresh_after(told).as_secs(), seconds);
        }
    }
}
