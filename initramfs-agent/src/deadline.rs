//! Time as the agent counts it: since the kernel started, and no phase without a limit.

use nix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A clock that began with the kernel. It never jumps, whatever is done to the date.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uptime {
    base: Duration,
    since: Instant,
}

impl Uptime {
    /// Reads the kernel's clock once; from then on tokio's counts. Where the kernel has none,
    /// time begins now.
    pub(crate) fn begin() -> Self {
        Self { base: since_boot(), since: Instant::now() }
    }

    /// Time since the kernel started.
    pub(crate) fn now(&self) -> Duration {
        self.base + self.since.elapsed()
    }

    /// The moment at which [`Uptime::now`] will say `at`.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.since + at.saturating_sub(self.base)
    }
}

/// Time since the kernel started, that of the machine's sleep and of this process's included. Zero
/// where the kernel has no such clock.
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// A named part of the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    /// As the console shows it.
    pub(crate) name: &'static str,
    /// When the boot goes on without it.
    pub(crate) limit: Duration,
}

impl Phase {
    /// Does `work`, or gives up waiting for it at the limit.
    ///
    /// # Errors
    /// [`Overdue`] names the phase.
    pub(crate) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, Overdue> {
        timeout(self.limit, work).await.map_err(|_| Overdue(self))
    }
}

/// A phase that took longer than it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("phase {} is not done after {} s, the boot goes on without it", .0.name, .0.limit.as_secs())]
pub(crate) struct Overdue(pub(crate) Phase);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_hangs_is_left_at_its_limit_and_named() {
        let phase = Phase { name: "modules", limit: Duration::from_secs(30) };
        let uptime = Uptime::begin();
        let begun = uptime.now();
        let overdue = phase.bound(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(overdue.to_string(), "phase modules is not done after 30 s, the boot goes on without it");
        assert_eq!((uptime.now() - begun).as_secs(), 30);
        assert_eq!(phase.bound(async { 5 }).await, Ok(5));
    }
}
