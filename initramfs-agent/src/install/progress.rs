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
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
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

/// The run is over for the server: somebody cancelled it, or a step took longer than its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run was cancelled, or a step took too long; nothing more is written")]
pub(crate) struct Cancelled;

/// Where news go in, and whether the run goes on.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    news: watch::Sender<Progress>,
    cancelled: watch::Receiver<bool>,
}

impl Reporter {
    /// What is done now, and how much of the step, in percent.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn tell(&self, percent: u8, message: &str) -> Result<(), Cancelled> {
        let message = message.get(..message.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default();
        self.news.send_modify(|progress| {
            progress.percent = percent.min(100);
            message.clone_into(&mut progress.message);
        });
        self.check()
    }

    /// What is done now; the percentage stays.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn doing(&self, message: &str) -> Result<(), Cancelled> {
        let percent = self.news.borrow().percent;
        self.tell(percent, message)
    }

    /// How many bytes have come, of how many; 0 when that is not known. The percentage follows.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn bytes(&self, bytes: u64, total: u64) -> Result<(), Cancelled> {
        let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
        self.news.send_modify(|progress| {
            (progress.bytes, progress.total) = (bytes, total);
            progress.percent = u8::try_from(percent).unwrap_or(100);
        });
        self.check()
    }

    /// Whether the run goes on.
    ///
    /// # Errors
    /// [`Cancelled`]: the verb ends.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        if *self.cancelled.borrow() { Err(Cancelled) } else { Ok(()) }
    }

    /// Waits until the run is cancelled.
    pub(super) async fn cancelled(&self) -> Cancelled {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // Nobody asks the server any more.
            std::future::pending::<()>().await;
        }
        Cancelled
    }
}

/// Tells the server in the background. The last news are told before the value is gone.
#[derive(Debug)]
pub(super) struct Telling {
    handle: Handle,
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Telling {
    /// Begins to tell of `step`.
    pub(super) fn start(network: &Network, settings: &Settings, step: Step) -> (Reporter, Self) {
        let (news, heard) = watch::channel(Progress { step, ..Progress::default() });
        let (say_cancelled, cancelled) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let teller = Teller { settings: settings.clone(), news: heard, cancelled: say_cancelled };
        let handle = network.handle().clone();
        let task = handle.spawn(teller.tell(stopped));
        (Reporter { news, cancelled }, Self { handle, stop: Some(stop), task: Some(task) })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // It has a limit of its own, and whatever it met is no news to anybody.
            self.handle.block_on(task).unwrap_or(());
        }
    }
}

/// The background's part.
struct Teller {
    settings: Settings,
    news: watch::Receiver<Progress>,
    cancelled: watch::Sender<bool>,
}

impl Teller {
    async fn tell(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut rest = Rest::new(self.settings.runner.place.clone());
        // An error is how the end is heard, by every wait here.
        tokio::select! {
            () = self.go_on(&mut rest) => {}
            _ = &mut stopped => {}
        }
        drop(timeout(LAST_CALL, self.call(&mut rest)).await);
    }

    async fn go_on(&mut self, rest: &mut Rest) {
        let mut is_heard = false;
        loop {
            let wait = if is_heard { SILENCE } else { PAUSE };
            // With or without news.
            drop(timeout(wait, self.news.changed()).await);
            is_heard = self.call(rest).await;
            sleep(PAUSE).await;
        }
    }

    /// One call; `false` where the server did not hear it.
    async fn call(&mut self, rest: &mut Rest) -> bool {
        let progress = self.news.borrow_and_update().clone();
        let Ok(body) = serde_json::to_vec(&progress) else { return true };
        let call = Call::new(Method::POST, format!("{}/progress", path(self.settings.run)))
            .header(LEASE, self.settings.epoch)
            .body(body);
        let Ok(reply) = rest.send(&call, &task_token(&self.settings.runner)).await else { return false };
        let answer: Option<ProgressAnswer> = serde_json::from_slice(&reply.body).ok();
        if reply.status.is_success() && answer.is_some_and(|answer| answer.cancelled) {
            self.cancelled.send_replace(true);
        }
        reply.status.is_success()
    }
}

#[cfg(test)]
mod tests;
