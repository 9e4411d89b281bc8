//! Connections of a program that blocks: a thread of its own drives them, and whoever has something to ask
//! waits for it.

use super::settings::Settings;
use crate::api::rest::{Call, LEASE, Reply};
use crate::runner::{AskError, ask};
use std::io;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Why there are no connections at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread for connections")]
pub(crate) struct NetworkError(#[from] io::Error);

/// What drives connections. They end with the value.
#[derive(Debug)]
pub(crate) struct Network {
    handle: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub(crate) fn start() -> Result<Self, NetworkError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("network".to_owned()).spawn(move || {
            // An error is how it hears that the sender is gone.
            runtime.block_on(stopped).unwrap_or(());
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where work for the thread goes in.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for `work`. Never called by the thread itself.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    /// One call to our server under the job's token and lease. A server that is away is waited for.
    ///
    /// # Errors
    /// [`AskError`].
    pub(crate) fn ask(&self, settings: &Settings, call: Call) -> Result<Reply, AskError> {
        self.wait(ask(&settings.runner, &call.header(LEASE, settings.epoch)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread that panicked has said so itself.
        self.thread.take().map_or(Ok(()), JoinHandle::join).unwrap_or(());
    }
}
