//! Tells the server how far a verb has come, and hears from it that the run was cancelled.
//!
//! At most one call a second, always with what is true then. A server that is away holds nobody up: what it
//! missed it hears with the next call.

use super::network::Network;
use super::order::path;
use super::settings::Settings;
use crate::api::rest::{Call, LEASE, Rest};
use crate::runner::task_token;
use hyper::Method;
use protocol::install::{Progress, ProgressAnswer, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Pause between calls.
const PAUSE: Duration = Duration::from_secs(1);
/// Without news the server is asked whether the run was cancelled as often as this.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the last call may take before the verb ends without it.
const LAST_CALL: Duration = Duration::from_secs(3);
/// Longest message, in bytes.
const MAX_MESSAGE: usize = 256;

/// Somebody cancelled the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run was cancelled; nothing more is written")]
pub(crate) struct Cancelled;

/// Tells the server in the background. Its last news is told before the value is gone.
#[derive(Debug)]
pub(crate) struct Reporter {
    news: Option<watch::Sender<Progress>>,
    cancelled: Arc<AtomicBool>,
    task: Option<(tokio::runtime::Handle, JoinHandle<()>)>,
}

impl Reporter {
    /// Begins to tell of `step`.
    pub(crate) fn start(network: &Network, settings: &Settings, step: Step) -> Self {
        let (news, heard) = watch::channel(Progress { step, ..Progress::default() });
        let cancelled = Arc::new(AtomicBool::new(false));
        let teller = Teller { settings: settings.clone(), news: heard, cancelled: cancelled.clone() };
        let task = network.handle().spawn(teller.tell());
        Self { news: Some(news), cancelled, task: Some((network.handle().clone(), task)) }
    }

    /// What is done now, and how much of the step, in percent.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn tell(&self, percent: u8, message: &str) -> Result<(), Cancelled> {
        self.change(|progress| {
            progress.percent = percent.min(100);
            progress.message =
                message.get(..message.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default().to_owned();
        })
    }

    /// How many bytes have come, of how many; 0 when that is not known. The percentage follows.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn bytes(&self, bytes: u64, total: u64) -> Result<(), Cancelled> {
        self.change(|progress| {
            (progress.bytes, progress.total) = (bytes, total);
            let percent = bytes.saturating_mul(100).checked_div(total);
            progress.percent = percent.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0).min(100);
        })
    }

    /// Whether the run goes on.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) -> Result<(), Cancelled> {
        if let Some(news) = &self.news {
            news.send_modify(change);
        }
        self.check()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        drop(self.news.take());
        if let Some((handle, task)) = self.task.take() {
            // It has a limit of its own, and whatever it met is no news to anybody.
            handle.block_on(task).unwrap_or(());
        }
    }
}

/// The background's part.
struct Teller {
    settings: Settings,
    news: watch::Receiver<Progress>,
    cancelled: Arc<AtomicBool>,
}

impl Teller {
    async fn tell(mut self) {
        let mut rest = Rest::new(self.settings.runner.place.clone());
        let mut missed = true;
        loop {
            let ended = match timeout(if missed { PAUSE } else { SILENCE }, self.news.changed()).await {
                Ok(changed) => changed.is_err(),
                Err(_) => false,
            };
            if ended {
                drop(timeout(LAST_CALL, self.call(&mut rest)).await);
                return;
            }
            // A call that hangs may not keep the verb from ending.
            missed = tokio::select! {
                heard = self.call(&mut rest) => !heard,
                () = closed(&self.news) => continue,
            };
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = closed(&self.news) => {}
            }
        }
    }

    /// One call; `false` where the server did not hear it.
    async fn call(&self, rest: &mut Rest) -> bool {
        let progress = self.news.borrow().clone();
        let Ok(body) = serde_json::to_vec(&progress) else { return true };
        let call = Call::new(Method::POST, format!("{}/progress", path(self.settings.run)))
            .header(LEASE, self.settings.epoch)
            .body(body);
        let Ok(reply) = rest.send(&call, &task_token(&self.settings.runner)).await else { return false };
        let answer: Option<ProgressAnswer> = serde_json::from_slice(&reply.body).ok();
        if reply.status.is_success() && answer.is_some_and(|answer| answer.cancelled) {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        reply.status.is_success()
    }
}

/// Ends when the sender is gone.
async fn closed(news: &watch::Receiver<Progress>) {
    let mut news = news.clone();
    while news.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
