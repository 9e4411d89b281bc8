//! How many boot files are on their way at once.
//!
//! A rack that is switched on asks for its kernels in the same second. Sent to everybody at once they
//! come late to all, and loaders give up; so the large ones go to a number of machines at a time,
//! and the others are told when to ask again, each at another moment. Small files are never in the
//! way: a machine that waits for its turn still finds out what to boot.

use crate::app::{AppError, AppErrorKind};
use crate::places::{Place, Places};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest file that is not counted among the large ones, in bytes.
const SMALL: u64 = 1_024 * 1_024;
/// Small ones on their way at once: more than there should ever be.
const SMALL_AT_ONCE: usize = 1_024;
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
    /// Who was turned away so far: whose turn is when.
    turned_away: AtomicU64,
}

impl Admission {
    /// Lets so many large files go at once.
    pub(super) fn new(large: usize) -> Self {
        Self {
            large: Places::new(large, PER_SOURCE),
            small: Places::new(SMALL_AT_ONCE, PER_SOURCE),
            turned_away: AtomicU64::new(0),
        }
    }

    /// A place for a file of `len` bytes on its way to this source, to be kept while it is.
    ///
    /// # Errors
    /// `Unavailable` with the time to ask again, when all places are taken, or all of the source's.
    pub(super) fn admit(&self, len: u64, source: IpAddr) -> Result<Place, AppError> {
        let places = if len > SMALL { &self.large } else { &self.small };
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

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn who_finds_no_place_is_told_another_moment_each_time() {
        let admission = Admission::new(1);
        let place = admission.admit(SMALL + 1, address(1)).unwrap();
        let told: Vec<AppError> =
            (2..24).map(|last| admission.admit(SMALL + 1, address(last)).unwrap_err()).collect();
        assert!(told.iter().all(|refused| refused.kind == AppErrorKind::Unavailable));
        let moments: Vec<u64> = told.iter().filter_map(|refused| refused.retry_after).collect();
        assert_eq!(moments.get(..3), Some([5, 6, 7].as_slice()));
        assert_eq!(moments.get(19..), Some([24, 5, 6].as_slice()));
        drop(place);
        assert!(admission.admit(SMALL + 1, address(2)).is_ok());
    }

    #[test]
    fn small_files_go_while_the_large_ones_wait() {
        let admission = Admission::new(0);
        assert!(admission.admit(SMALL + 1, address(1)).is_err());
        let places: Vec<Place> =
            (0..PER_SOURCE).map(|_| admission.admit(SMALL, address(1)).unwrap()).collect();
        assert!(admission.admit(SMALL, address(1)).is_err(), "one source has no more than its share");
        assert!(admission.admit(SMALL, address(2)).is_ok());
        drop(places);
    }
}
