//! When to try again: full jitter, so that a thousand machines behind one switch do not come
//! back in step (`spec/security.md` 2.5: base 1 s, cap 60 s).

use std::time::Duration;

const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(60);
/// Shortest pause, so that a zero drawn at random is not a busy loop.
const FLOOR: Duration = Duration::from_millis(250);
/// Longest pause a server can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// Pause before try number `attempt` (from 0), drawn from `random`: between 250 ms and the
/// smaller of 1 s doubled `attempt` times and 60 s.
pub(crate) fn pause(attempt: u32, random: u64) -> Duration {
    let ceiling = BASE.saturating_mul(1 << attempt.min(6)).min(CAP);
    part_of(ceiling, random).max(FLOOR)
}

/// The seconds a server asked for (at most an hour), plus up to a quarter so that those it asked do
/// not come back together. As [`pause`] when it asked for none.
pub(crate) fn asked_pause(attempt: u32, random: u64, asked: Option<u64>) -> Duration {
    let Some(seconds) = asked.filter(|seconds| *seconds > 0) else { return pause(attempt, random) };
    let asked = Duration::from_secs(seconds).min(LONGEST_ASKED);
    asked + part_of(asked / 4, random)
}

/// An interval spread evenly over 80 % to 120 % of `interval`.
pub(crate) fn spread(interval: Duration, random: u64) -> Duration {
    interval * 4 / 5 + part_of(interval * 2 / 5, random)
}

/// An interval spread evenly over 100 % to 120 % of `interval`, for what may not come early.
pub(crate) fn spread_late(interval: Duration, random: u64) -> Duration {
    interval + part_of(interval / 5, random)
}

/// Between nothing and `whole`, as `random` chooses among a thousand steps.
fn part_of(whole: Duration, random: u64) -> Duration {
    whole * u32::try_from(random % 1_001).unwrap_or_default() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_are_bounded(attempt: u32, random: u64) {
            let pause = pause(attempt, random);
            prop_assert!(pause >= FLOOR && pause <= CAP);
            prop_assert!(pause <= BASE.saturating_mul(1 << attempt.min(20)).max(FLOOR));
        }

        #[test]
        fn a_server_that_asks_for_no_pause_is_not_stormed(attempt: u32, random: u64) {
            prop_assert_eq!(asked_pause(attempt, random, Some(0)), pause(attempt, random));
        }

        #[test]
        fn what_the_server_asks_is_kept_within_reason(attempt: u32, random: u64, asked: u64) {
            let pause = asked_pause(attempt, random, Some(asked));
            prop_assert!(pause >= Duration::from_secs(asked).min(LONGEST_ASKED));
            prop_assert!(pause <= LONGEST_ASKED * 5 / 4);
        }

        #[test]
        fn intervals_spread_around_what_was_asked(random: u64, seconds in 1u64..3_600) {
            let interval = Duration::from_secs(seconds);
            let spread = spread(interval, random);
            prop_assert!(spread >= interval * 4 / 5 && spread <= interval * 6 / 5);
            let late = spread_late(interval, random);
            prop_assert!(late >= interval && late <= interval * 6 / 5);
        }
    }
}
