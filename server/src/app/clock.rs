//! The server's clock: wall time that never runs backwards.
//!
//! Expired and revoked things must stay so when the system clock jumps back, within a run and
//! over restarts (`spec/security.md` 7, R11). So a jump forward is followed, a jump back is
//! not: time then goes on from where it was, and the store keeps the latest time of any commit
//! as a floor for the next start.

use engine::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A system clock this far behind the last commit is worth a warning.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Tells the time. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<Hand>>);

#[derive(Debug)]
struct Hand {
    /// What the system's clock or the floor said when it was last believed.
    time: Timestamp,
    /// When that was; none for a clock that is moved by hand.
    read: Option<Instant>,
}

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self::starting(system_time(), Some(Instant::now()))
    }

    /// A clock that stands still until [`Clock::advance`].
    #[cfg(test)]
    pub(crate) fn manual(start: Timestamp) -> Self {
        Self::starting(start, None)
    }

    fn starting(time: Timestamp, read: Option<Instant>) -> Self {
        Self(Arc::new(Mutex::new(Hand { time, read })))
    }

    /// Now; never earlier than any time told before.
    pub(crate) fn now(&self) -> Timestamp {
        let mut hand = self.hand();
        let Some(read) = hand.read else { return hand.time };
        // Counted from one moment: a clock that is asked every few microseconds would never gain a
        // millisecond otherwise.
        let goes_on = hand.time.plus(read.elapsed());
        let system = system_time();
        if system > goes_on {
            *hand = Hand { time: system, read: Some(Instant::now()) };
        }
        goes_on.max(system)
    }

    /// Moves a clock that stands still.
    #[cfg(test)]
    pub(crate) fn advance(&self, by: Duration) {
        let mut hand = self.hand();
        hand.time = hand.time.plus(by);
    }

    /// Tells no time before `floor`, the last commit's, from now on.
    pub(crate) fn go_on_from(&self, floor: Timestamp) {
        let behind = floor.since(self.now());
        if behind > Duration::ZERO {
            let mut hand = self.hand();
            let read = hand.read.map(|_| Instant::now());
            *hand = Hand { time: floor, read };
        }
        if behind > TOLERANCE {
            let seconds = behind.as_secs();
            tracing::warn!(
                seconds,
                "the system's clock is behind the last commit: set it; time goes on from there"
            );
        }
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        // A panic elsewhere leaves a whole value behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_never_runs_behind_its_floor_and_keeps_going() {
        let clock = Clock::system();
        let ten_years_on = clock.now().plus(Duration::from_secs(315_360_000));
        clock.go_on_from(ten_years_on);
        clock.go_on_from(Timestamp::EPOCH);
        let first = clock.now();
        assert!(first >= ten_years_on);
        assert!(clock.now() >= first);
        assert!(clock.now().since(ten_years_on) < Duration::from_secs(60));
    }

    #[test]
    fn clock_ahead_of_the_systems_goes_on_however_often_it_is_asked() {
        let clock = Clock::system();
        clock.go_on_from(clock.now().plus(Duration::from_secs(315_360_000)));
        let (began, first) = (Instant::now(), clock.now());
        while began.elapsed() < Duration::from_millis(50) {
            clock.now();
        }
        assert!(clock.now().since(first) >= Duration::from_millis(49));
    }

    #[test]
    fn manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let twin = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(twin.now(), Timestamp::from_seconds(105));
    }
}
