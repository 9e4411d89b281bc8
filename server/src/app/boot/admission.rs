//! How many downloads of boot files run at once.

use crate::app::{AppError, AppErrorKind};
use crate::places::{Place, Places};
use std::net::IpAddr;
use std::sync::Arc;

/// Files up to this length, in bytes, are on their way in no time.
const SMALL: u64 = 1_024 * 1_024;
/// Downloads of small files at once.
const SMALL_AT_ONCE: usize = 1_024;
/// Downloads of one source at once, of either kind.
const PER_SOURCE: usize = 64;
/// Seconds after which a refused download should be tried again.
const RETRY_AFTER: u64 = 5;

/// The places for downloads.
#[derive(Debug)]
pub(super) struct Admission {
    large: Arc<Places>,
    small: Arc<Places>,
}

impl Admission {
    /// So many large files at once.
    pub(super) fn new(downloads: usize) -> Self {
        Self { large: Places::new(downloads, PER_SOURCE), small: Places::new(SMALL_AT_ONCE, PER_SOURCE) }
    }

    /// A place for a file of so many bytes.
    ///
    /// # Errors
    /// `Unavailable` when all, or all of its source, are taken.
    pub(super) fn admit(&self, len: u64, source: IpAddr) -> Result<Place, AppError> {
        let places = if len > SMALL { &self.large } else { &self.small };
        let busy = "too many boot files are on their way; try again";
        places.take(source).ok_or_else(|| AppError::new(AppErrorKind::Unavailable, busy).after(RETRY_AFTER))
    }
}
