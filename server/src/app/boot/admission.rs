//! How many boot files are on their way at once.
//!
//! A rack that is switched on asks for its kernels in the same second. Sent to everybody at once they
//! come late to all, and loaders give up; so the large ones go to a number of machines at a time,
//! and the others are told when to ask again, each at another moment. Small files are never in the
//! way: a machine that waits for its turn still finds out what to boot.
//!
//! By TFTP nobody waits: its firmware takes a refusal for the end, and its door has limits of its own
//! (`pxe::tftp::Limits`). Nor does it take what is there for downloads, for anybody may ask by TFTP
//! under as many names as there are places.

use super::{Door, Requester};
use crate::app::{AppError, AppErrorKind};
use crate::places::{Place, Places};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest file that is not counted among the large ones, in bytes.
const SMALL: u64 = 1_024 * 1_024;
/// Small ones on their way at once: more than there should ever be.
const SMALL_AT_ONCE: usize = 1_024;
/// Files on their way by TFTP: more than its door begins.
const BY_TFTP: usize = 4_096;
/// Files on their way to one source, small and large ones each.
const PER_SOURCE: usize = 64;
/// Seconds after which the first who was turned away should ask again, and over how many seconds
/// from then on the others are spread.
const RETRY_AFTER: u64 = 5;
const SPREAD: u64 = 20;

/// Lets files go.
#[derive(Debug)]
pub(super) struct Admission {
    large: Arc<Places>,
    small: Arc<Places>,
    by_tftp: Arc<Places>,
    /// Who was turned away so far: whose turn is when.
    turned_away: AtomicU64,
}

impl Admission {
    /// Lets so many large files go at once.
    pub(super) fn new(large: usize) -> Self {
        Self {
            large: Places::new(large, PER_SOURCE),
            small: Places::new(SMALL_AT_ONCE, PER_SOURCE),
            by_tftp: Places::new(BY_TFTP, BY_TFTP),
            turned_away: AtomicU64::new(0),
        }
    }

    /// A place for a file of `len` bytes on its way to whoever asks, to be kept while it is.
    ///
    /// # Errors
    /// `Unavailable` with the time to ask again, when all places are taken, or all of the source's.
    pub(super) fn admit(&self, len: u64, requester: Requester) -> Result<Place, AppError> {
        let source = requester.address;
        let places = match requester.door {
            Door::Tftp => &self.by_tftp,
            Door::Http if len > SMALL => &self.large,
            Door::Http => &self.small,
        };
        places.take(source).ok_or_else(|| {
            let position = self.turned_away.fetch_add(1, Ordering::Relaxed);
            let (seconds, running) = (RETRY_AFTER + position % SPREAD, places.taken());
            tracing::info!(%source, len, running, seconds, "too many boot files are on their way");
            let message = format!("{running} boot files are on their way; try again in {seconds} seconds");
            AppError::new(AppErrorKind::Unavailable, message).after(seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_http(last: u8) -> Requester {
        Requester { door: Door::Http, address: [10, 0, 0, last].into(), reached: None }
    }

    #[test]
    fn who_finds_no_place_is_told_another_moment_each_time() {
        let admission = Admission::new(1);
        let place = admission.admit(SMALL + 1, by_http(1)).unwrap();
        let told: Vec<AppError> =
            (2..24).map(|last| admission.admit(SMALL + 1, by_http(last)).unwrap_err()).collect();
        assert!(told.iter().all(|refused| refused.kind == AppErrorKind::Unavailable));
        let moments: Vec<u64> = told.iter().filter_map(|refused| refused.retry_after).collect();
        assert_eq!(moments.get(..3), Some([5, 6, 7].as_slice()));
        assert_eq!(moments.get(19..), Some([24, 5, 6].as_slice()));
        drop(place);
        assert!(admission.admit(SMALL + 1, by_http(2)).is_ok());
    }

    #[test]
    fn small_files_go_while_the_large_ones_wait() {
        let admission = Admission::new(0);
        assert!(admission.admit(SMALL + 1, by_http(1)).is_err());
        let places: Vec<Place> =
            (0..PER_SOURCE).map(|_| admission.admit(SMALL, by_http(1)).unwrap()).collect();
        assert!(admission.admit(SMALL, by_http(1)).is_err(), "one source has no more than its share");
        assert!(admission.admit(SMALL, by_http(2)).is_ok());
        drop(places);
    }

    #[test]
    fn whoever_asks_by_tftp_under_many_names_takes_no_place_of_downloads() {
        let admission = Admission::new(1);
        let by_tftp = |last| Requester { door: Door::Tftp, ..by_http(last) };
        let places: Vec<Place> =
            (0..=255).map(|last| admission.admit(SMALL + 1, by_tftp(last)).unwrap()).collect();
        let download = admission.admit(SMALL + 1, by_http(1)).unwrap();
        assert!(admission.admit(SMALL + 1, by_http(2)).is_err());
        assert!(admission.admit(SMALL + 1, by_tftp(2)).is_ok(), "firmware does not ask again");
        drop((places, download));
    }
}
