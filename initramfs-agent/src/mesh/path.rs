//! Which place of a peer is tried when. Pure: what the kernel shows goes in, the endpoint to set comes out.
//!
//! A peer with a session is left alone: where its packets come from is where it is, and the kernel follows it. Without
//! one its places are tried in turn, the likeliest first, each for [`TRY`]: as long as the kernel waits before it greets
//! again. A place that was not known before is tried at once, because it may be the hole that the other side has
//! just made.
//!
//! Handshakes are told apart by the kernel's wall clock, which may jump. Their age is therefore counted by ours from when
//! a new one is first seen.

use protocol::mesh::SESSION;
use std::net::SocketAddr;

/// How long one place is tried, in milliseconds (`REKEY_TIMEOUT` of WireGuard).
pub(super) const TRY: u64 = 5_000;
/// The same at first with a peer that never had a session, which the kernel greets anew each time: of a greeting that
/// came before the other side knew the peer nothing is left, and of two that crossed neither (each side forgets its own
/// over the other's, `wg_noise_handshake_consume_initiation` of the kernel's `noise.c`).
pub(super) const FIRST_TRY: u64 = 1_000;
/// How many tries are this short, at least.
const FIRST_TRIES: usize = 3;

/// A peer as the kernel shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// When the last handshake was, by the wall clock, in nanoseconds since 1970; none before the first.
    pub(super) handshake: Option<i128>,
    /// Where its packets go.
    pub(super) endpoint: Option<SocketAddr>,
}

/// How a tunnel is doing. All times are milliseconds of a clock that never jumps.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    /// The last handshake: the kernel's word for it, and when it was.
    handshake: Option<(i128, u64)>,
    was_seen: bool,
    /// Since when there is no session.
    trying: Option<u64>,
    /// What is tried now, since when.
    current: Option<(SocketAddr, u64)>,
    /// How many places were tried since there was no session.
    tries: usize,
    /// What there was to try the last time.
    known: Vec<SocketAddr>,
    is_up: bool,
}

impl Path {
    /// Takes in what the kernel shows at `now`, when the wall clock says `wall` (nanoseconds since 1970). Whether
    /// a session came or went.
    pub(super) fn see(&mut self, sight: Sight, now: u64, wall: i128) -> bool {
        if let Some(stamp) = sight.handshake
            && self.handshake.is_none_or(|(known, _)| known != stamp)
        {
            // Of one that was there before we looked, the wall clock is all there is to go by.
            let age = if self.was_seen { 0 } else { (wall - stamp).max(0) / 1_000_000 };
            let age = u64::try_from(age).unwrap_or(u64::MAX);
            self.handshake = Some((stamp, now.saturating_sub(age)));
        }
        self.was_seen = true;
        let was_up = self.is_up;
        self.is_up = self.age(now).is_some_and(|age| age < SESSION);
        if self.is_up {
            self.trying = None;
            self.current = None;
            self.tries = 0;
        } else {
            self.trying.get_or_insert(now);
        }
        was_up != self.is_up
    }

    /// The place to set now, out of these; none when all stays as it is.
    pub(super) fn next(&mut self, places: &[SocketAddr], sight: Sight, now: u64) -> Option<SocketAddr> {
        let new = places.iter().find(|place| !self.known.contains(place)).copied();
        if self.known != places {
            self.known = places.to_vec();
        }
        if self.is_up {
            return None;
        }
        let (was, is_first_round) = (self.current, self.is_first_round(places));
        let place = match was {
            None => *places.first()?,
            Some((current, since)) => {
                let at = places.iter().position(|place| *place == current);
                match (new, at) {
                    (Some(new), _) => new,
                    (None, Some(_)) if now.saturating_sub(since) < self.patience(places) => return None,
                    (None, Some(at)) => *places.get(at + 1).or(places.first())?,
                    (None, None) => *places.first()?,
                }
            }
        };
        self.current = Some((place, now));
        self.tries = self.tries.saturating_add(1);
        let greets_anew = is_first_round && was.is_some();
        (sight.endpoint != Some(place) || greets_anew).then_some(place)
    }

    /// How long a place is tried.
    fn patience(&self, places: &[SocketAddr]) -> u64 {
        if self.is_first_round(places) { FIRST_TRY } else { TRY }
    }

    /// Whether tries are short yet.
    fn is_first_round(&self, places: &[SocketAddr]) -> bool {
        self.never_met() && self.tries <= places.len().max(FIRST_TRIES)
    }

    /// Whether there never was a session: nothing is lost with what the kernel has of it.
    pub(super) const fn never_met(&self) -> bool {
        self.handshake.is_none()
    }

    /// Whether there is a session.
    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// Seconds since the last handshake.
    pub(super) fn age(&self, now: u64) -> Option<u64> {
        self.handshake.map(|(_, at)| now.saturating_sub(at) / 1_000)
    }

    /// Seconds for which it was tried in vain; 0 while there is a session.
    pub(super) fn tried(&self, now: u64) -> u64 {
        self.trying.map_or(0, |since| now.saturating_sub(since) / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i128 = 1_000_000_000;
    const WALL: i128 = 1_800_000_000 * SECOND;

    fn place(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 51_820))
    }

    fn at(endpoint: u8) -> Sight {
        Sight { handshake: None, endpoint: Some(place(endpoint)) }
    }

    #[test]
    fn places_are_tried_in_turn_the_likeliest_first() {
        let (mut path, places) = (Path::default(), [place(1), place(2)]);
        path.see(Sight::default(), 0, WALL);
        assert_eq!(path.next(&places, Sight::default(), 0), Some(place(1)));
        assert_eq!(path.next(&places, at(1), FIRST_TRY - 1), None);
        assert_eq!(path.next(&places, at(1), FIRST_TRY), Some(place(2)));
        assert_eq!(path.next(&places, at(2), 2 * FIRST_TRY), Some(place(1)));
        assert_eq!(path.next(&places, at(1), 3 * FIRST_TRY), Some(place(2)));
        // From then on each has as long as the kernel waits.
        let begun = 3 * FIRST_TRY;
        assert_eq!(path.next(&places, at(2), begun + TRY - 1), None);
        assert_eq!(path.next(&places, at(2), begun + TRY), Some(place(1)));
        assert_eq!(path.next(&places, at(1), begun + 2 * TRY), Some(place(2)));
        assert_eq!(path.tried(2 * TRY), 10);
    }

    #[test]
    fn the_only_place_of_a_peer_that_was_never_met_is_greeted_anew_and_not_for_ever() {
        let (mut path, only) = (Path::default(), [place(1)]);
        path.see(Sight::default(), 0, WALL);
        for time in 0..=3 {
            assert_eq!(
                path.next(&only, at(1), time * FIRST_TRY + time.min(1)),
                (time > 0).then_some(place(1)),
                "{time}"
            );
        }
        assert_eq!(path.next(&only, at(1), 3 * FIRST_TRY + TRY), None, "the kernel greets by itself");
        let mut met = Path::default();
        met.see(Sight { handshake: Some(WALL - 200 * SECOND), endpoint: None }, 1_000_000, WALL);
        assert!(!met.is_up());
        for time in [0, FIRST_TRY, TRY] {
            assert_eq!(met.next(&only, at(1), 1_000_000 + time), None, "what it had is not lost");
        }
    }

    #[test]
    fn new_place_is_tried_at_once() {
        let mut path = Path::default();
        path.see(Sight::default(), 0, WALL);
        path.next(&[place(1)], Sight::default(), 0);
        assert_eq!(path.next(&[place(7), place(1)], at(1), 100), Some(place(7)));
        assert_eq!(path.next(&[place(7), place(1)], at(7), 200), None);
        assert_eq!(path.next(&[place(1)], at(7), 300), Some(place(1)), "the other is none any more");
    }

    #[test]
    fn the_only_place_is_set_again_when_the_kernel_went_elsewhere() {
        let (mut path, met) =
            (Path::default(), |sight| Sight { handshake: Some(WALL - 200 * SECOND), ..sight });
        path.see(met(Sight::default()), 1_000_000, WALL);
        let mut next = |sight, since| path.next(&[place(1)], met(sight), 1_000_000 + since);
        assert_eq!(next(Sight::default(), 0), Some(place(1)));
        assert_eq!(next(at(1), TRY), None);
        assert_eq!(next(at(9), 2 * TRY), Some(place(1)));
    }

    #[test]
    fn without_a_place_the_time_counts_all_the_same() {
        let mut path = Path::default();
        path.see(Sight::default(), 1_000, WALL);
        assert_eq!(path.next(&[], Sight::default(), 1_000), None);
        assert_eq!(path.tried(17_000), 16);
    }

    #[test]
    fn session_ends_three_minutes_after_its_handshake_and_comes_back_with_the_next() {
        let mut path = Path::default();
        path.see(at(1), 0, WALL);
        let shaken = Sight { handshake: Some(WALL + SECOND), endpoint: Some(place(1)) };
        assert!(path.see(shaken, 1_000, WALL + SECOND));
        assert!(path.is_up() && path.tried(1_000) == 0);
        // The date is put right meanwhile.
        assert!(!path.see(shaken, 2_000, WALL + 90_000 * SECOND));
        assert!(!path.see(shaken, 180_999, WALL));
        assert!(path.see(shaken, 181_000, WALL));
        assert_eq!(path.next(&[place(1), place(2)], shaken, 181_000), None, "that one is set");
        let again = Sight { handshake: Some(WALL), ..shaken };
        assert!(path.see(again, 182_000, WALL) && path.is_up());
        assert_eq!(path.age(183_000), Some(1));
    }

    #[test]
    fn session_of_the_process_before_counts_by_the_wall_clock() {
        let shaken = Sight { handshake: Some(WALL - 100 * SECOND), endpoint: None };
        let mut path = Path::default();
        assert!(path.see(shaken, 500_000, WALL));
        assert_eq!(path.age(500_000), Some(100));
        let old = Sight { handshake: Some(WALL - 200 * SECOND), endpoint: None };
        assert!(!Path::default().see(old, 500_000, WALL));
        let future = Sight { handshake: Some(WALL + 100 * SECOND), endpoint: None };
        assert!(Path::default().see(future, 500_000, WALL));
    }

    proptest! {
        #[test]
        fn every_place_is_tried_and_no_other(count in 1..8_u8, step in 1..4_000_u64) {
            let places: Vec<SocketAddr> = (0..count).map(place).collect();
            let (mut path, mut sight, mut tried) = (Path::default(), Sight::default(), Vec::new());
            let (mut now, mut last) = (0, None::<u64>);
            while now <= u64::from(count) * (TRY + step) {
                path.see(sight, now, WALL);
                if let Some(next) = path.next(&places, sight, now) {
                    prop_assert!(places.contains(&next));
                    let least = if tried.len() <= places.len().max(FIRST_TRIES) { FIRST_TRY } else { TRY };
                    prop_assert!(last.is_none_or(|last| now - last >= least), "each has its time");
                    last = Some(now);
                    tried.push(next);
                    sight.endpoint = Some(next);
                }
                now += step;
            }
            tried.truncate(places.len());
            prop_assert_eq!(tried, places);
        }

        #[test]
        fn peer_with_a_session_is_left_alone(
            lists in prop::collection::vec(prop::collection::vec(0..9_u8, 0..8), 1..20), gap in 1..8_000_u64,
        ) {
            let sight = Sight { handshake: Some(WALL), endpoint: Some(place(200)) };
            let mut path = Path::default();
            for (list, round) in lists.iter().zip(0_u64..) {
                let now = round * gap;
                path.see(sight, now, WALL);
                let places: Vec<SocketAddr> = list.iter().copied().map(place).collect();
                prop_assert_eq!(path.next(&places, sight, now), None);
                prop_assert_eq!(path.tried(now), 0);
            }
        }

        #[test]
        fn without_a_session_some_place_is_tried_as_long_as_there_is_one(
            lists in prop::collection::vec(prop::collection::vec(0..9_u8, 1..8), 1..20), gap in 1..8_000_u64,
        ) {
            let (mut path, mut sight) = (Path::default(), Sight::default());
            for (list, round) in lists.iter().zip(0_u64..) {
                let now = round * gap;
                path.see(sight, now, WALL);
                let places: Vec<SocketAddr> = list.iter().copied().map(place).collect();
                if let Some(next) = path.next(&places, sight, now) {
                    sight.endpoint = Some(next);
                }
                prop_assert!(places.contains(&sight.endpoint.unwrap()), "{:?} of {:?}", sight, places);
            }
        }
    }
}
