//! The server's clock: wall time that never runs backwards.
//!
//! Expired and revoked things must stay so when the system clock jumps back, within a run and
//! over restarts (`spec/security.md` 7, R11). So a jump forward is followed, a jump back is
//! not: time then goes on from where it was, and the store keeps the latest time of any commit
//! as a floor for the next start.

use engine::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Clones share it.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Hand>>);

#[derive(Debug)]
enum Hand {
    /// The system's time, as it was at an instant.
    System { time: Timestamp, at: Instant },
    /// Moves only when told to.
    Manual(Timestamp),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Hand::System { time: system_time(), at: Instant::now() })))
    }

    /// A clock that stands still until [`Clock::advance`], for tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Hand::Manual(start))))
    }

    /// Now; never earlier than any time told before.
    pub fn now(&self) -> Timestamp {
        match &mut *self.hand() {
            Hand::System { time, at } => {
                *time = system_time().max(time.plus(at.elapsed()));
                *at = Instant::now();
                *time
            }
            Hand::Manual(time) => *time,
        }
    }

    /// Moves a manual clock. The system's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Hand::Manual(time) = &mut *self.hand() {
            *time = time.plus(by);
        }
    }

    /// Tells no time before `floor` from now on.
    pub fn not_before(&self, floor: Timestamp) {
        match &mut *self.hand() {
            Hand::System { time, .. } | Hand::Manual(time) => *time = floor.max(*time),
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
        clock.not_before(ten_years_on);
        let first = clock.now();
        assert!(first >= ten_years_on);
        assert!(clock.now() >= first);
        assert!(clock.now().since(ten_years_on) < Duration::from_secs(60));
    }

    #[test]
    fn manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let twin = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(twin.now(), Timestamp::from_seconds(105));
    }
}
