//! A clock that never runs before the image was made (`spec/security.md` 4, Clock).
//!
//! The kernel has set the system clock from the RTC before PID 1 starts. Batteries die, and
//! dead RTCs say 1970 as well as 2099; both would make every certificate invalid. So time
//! below the build of the medium is raised to it, and time ten years beyond is not believed.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clock may be off before it is corrected: an answer is not older on any network.
const TOLERANCE: Duration = Duration::from_secs(5);
/// How far past the build of the medium a clock is believed: ten years.
const CREDIBLE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// What became of the clock at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The RTC is credible.
    Kept,
    /// The RTC was behind the medium; the clock now says when the medium was made.
    Raised,
    /// The RTC was absurdly ahead; the clock now says when the medium was made.
    Distrusted,
    /// The medium does not say when it was made, so the RTC is all there is.
    NoFloor,
}

/// Why the clock cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClockError {
    /// A time no clock can hold.
    #[error("time {0} s since 1970 is out of range; check the server's clock")]
    Range(u64),
    /// This process is not the machine's init, as in a test run by root.
    #[error("the clock is only set by the boot image's init, process 1")]
    NotInit,
    /// The kernel refuses.
    #[error("cannot set the system clock")]
    Refused(#[source] Errno),
}

/// Judges the clock against the build time of the medium: pure, so that tests can move `now`.
pub(crate) fn judge(now: SystemTime, built_at: Option<u64>) -> Verdict {
    let Some(built) = built_at.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s))) else {
        return Verdict::NoFloor;
    };
    if now < built {
        Verdict::Raised
    } else if built.checked_add(CREDIBLE).is_some_and(|end| now > end) {
        Verdict::Distrusted
    } else {
        Verdict::Kept
    }
}

/// Judges the system clock and corrects it where needed.
///
/// # Errors
/// [`ClockError`] when the kernel refuses the new time.
pub(crate) fn apply_floor(built_at: Option<u64>) -> Result<Verdict, ClockError> {
    let verdict = judge(SystemTime::now(), built_at);
    if let (Verdict::Raised | Verdict::Distrusted, Some(built)) = (verdict, built_at) {
        set(built)?;
    }
    Ok(verdict)
}

/// Corrects the system clock by `server_time` of an authenticated answer, in seconds since 1970,
/// when it is off by more than an answer's way explains.
///
/// # Errors
/// As [`set`].
pub(crate) fn correct(server_time: u64) -> Result<(), ClockError> {
    if is_off(SystemTime::now(), server_time) { set(server_time) } else { Ok(()) }
}

fn is_off(now: SystemTime, server_time: u64) -> bool {
    let Some(told) = UNIX_EPOCH.checked_add(Duration::from_secs(server_time)) else { return true };
    let apart = now.duration_since(told).unwrap_or_else(|error| error.duration());
    apart > TOLERANCE
}

/// Sets the system clock, in seconds since 1970. Only as process 1: nowhere else is the machine
/// ours.
///
/// # Errors
/// [`ClockError`] names the value or carries the kernel's reason.
fn set(unix_seconds: u64) -> Result<(), ClockError> {
    let seconds = i64::try_from(unix_seconds).map_err(|_| ClockError::Range(unix_seconds))?;
    if std::process::id() != 1 {
        return Err(ClockError::NotInit);
    }
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, 0)).map_err(ClockError::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: u64 = 1_790_000_000;

    #[test]
    fn only_init_sets_the_clock() {
        let before = SystemTime::now();
        assert!(matches!(set(BUILT), Err(ClockError::NotInit)));
        assert!(SystemTime::now() >= before);
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dead_clocks_of_both_kinds_are_found_out() {
        for (now, verdict) in [
            (0, Verdict::Raised),
            (BUILT - 1, Verdict::Raised),
            (BUILT, Verdict::Kept),
            (BUILT + 86_400 * 365, Verdict::Kept),
            (4_102_444_799, Verdict::Distrusted),
        ] {
            assert_eq!(judge(at(now), Some(BUILT)), verdict, "{now}");
        }
    }

    #[test]
    fn only_a_clock_that_is_off_is_corrected() {
        for (now, off) in [(BUILT - 6, true), (BUILT - 5, false), (BUILT + 5, false), (BUILT + 6, true)] {
            assert_eq!(is_off(at(now), BUILT), off, "{now}");
        }
        assert!(is_off(at(BUILT), u64::MAX), "so that its absurdity is told");
    }

    #[test]
    fn medium_without_a_build_time_proves_nothing() {
        assert_eq!(judge(at(BUILT), None), Verdict::NoFloor);
        assert_eq!(judge(at(BUILT), Some(u64::MAX)), Verdict::NoFloor);
    }

    #[test]
    fn absurd_time_is_refused_by_name() {
        let error = set(u64::MAX).unwrap_err();
        assert_eq!(
            error.to_string(),
            "time 18446744073709551615 s since 1970 is out of range; check the server's clock"
        );
    }
}
