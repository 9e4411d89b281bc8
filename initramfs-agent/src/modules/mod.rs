//! Loads kernel modules: for the devices that are there, for those that come later, and by name.
//!
//! The image carries `/lib/modules/VERSION/muster.index`, made when the image was built
//! ([`protocol::module_index`]). Coldplug walks every `modalias` below `/sys/devices`, loads what
//! the index knows for it, and walks again until no new alias appears: a bus driver makes new
//! devices. Loading blocks (probing a controller takes a second or more) and a bad driver may
//! never return, so all of it happens on one thread of its own; PID 1 waits with a deadline.

mod loader;
pub(crate) mod on_demand;
#[cfg(test)]
mod tests;

pub(crate) use loader::{LoadError, Loader, Progress, Summary};

use crate::sys;
use crate::uevents::{Heard, Listener, UeventError};
use protocol::module_index::IndexError;
use std::io;
use std::sync::mpsc as thread_mpsc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Why no module can be loaded at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModulesError {
    /// The kernel's version is unknown.
    #[error("cannot read the kernel's version from /proc/sys/kernel/osrelease; is /proc mounted?")]
    Version(#[source] io::Error),
    /// There is no index, or none for this kernel.
    #[error("no modules for kernel {kernel} in this image; boot it with the kernel it was built with")]
    Missing {
        /// The running kernel.
        kernel: String,
        /// What the kernel said about the index.
        #[source]
        source: io::Error,
    },
    /// The index is damaged.
    #[error("the module index of this image is damaged; build the medium again")]
    Index(#[source] IndexError),
    /// The thread cannot be started.
    #[error("cannot start the module loader's thread")]
    Thread(#[source] io::Error),
    /// A driver did not return in time.
    #[error("loading drivers takes longer than {} s, going on without waiting", .0.as_secs())]
    Slow(Duration),
    /// The thread is gone.
    #[error("the module loader has stopped; reboot the machine")]
    Stopped,
    /// One module asked for by name.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Work for the loader's thread.
enum Request {
    Coldplug(oneshot::Sender<Summary>),
    Alias(String),
    Name(&'static str, oneshot::Sender<Result<(), LoadError>>),
    Rescan,
}

/// The loader on its thread; clones share it. The thread ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Modules {
    requests: thread_mpsc::Sender<Request>,
    progress: watch::Receiver<Progress>,
}

impl Modules {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ModulesError::Thread`].
    pub(crate) fn start(mut loader: Loader) -> Result<Self, ModulesError> {
        let (requests, work) = thread_mpsc::channel();
        let progress = loader.progress.subscribe();
        std::thread::Builder::new()
            .name("modules".to_owned())
            .spawn(move || {
                while let Ok(request) = work.recv() {
                    serve(&mut loader, request);
                }
            })
            .map_err(ModulesError::Thread)?;
        Ok(Self { requests, progress })
    }

    /// How far loading has come; changes while [`Modules::coldplug`] runs.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Loads drivers for everything that is there.
    ///
    /// # Errors
    /// [`ModulesError::Slow`] after the deadline: the thread goes on by itself.
    pub(crate) async fn coldplug(&self, deadline: Duration) -> Result<Summary, ModulesError> {
        let (answer, summary) = oneshot::channel();
        self.send(Request::Coldplug(answer))?;
        wait(summary, deadline).await
    }

    /// Loads a module that no device asks for by itself.
    ///
    /// # Errors
    /// [`ModulesError::Load`] says why not.
    pub(crate) async fn load(&self, name: &'static str, deadline: Duration) -> Result<(), ModulesError> {
        let (answer, outcome) = oneshot::channel();
        self.send(Request::Name(name, answer))?;
        Ok(wait(outcome, deadline).await??)
    }

    /// Loads drivers for devices that appear, for ever.
    ///
    /// # Errors
    /// When device events can no longer be read, or the thread is gone.
    pub(crate) async fn follow(&self, mut listener: Listener) -> Result<(), FollowError> {
        loop {
            let request = match listener.next().await? {
                Heard::Overrun => Request::Rescan,
                Heard::Event(event) => match event.modalias {
                    Some(alias) if event.action == "add" => Request::Alias(alias),
                    Some(_) | None => continue,
                },
            };
            self.send(request)?;
        }
    }

    fn send(&self, request: Request) -> Result<(), ModulesError> {
        self.requests.send(request).map_err(|_| ModulesError::Stopped)
    }
}

/// Why drivers for new devices are no longer loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// No more events.
    #[error(transparent)]
    Events(#[from] UeventError),
    /// No more loader.
    #[error(transparent)]
    Modules(#[from] ModulesError),
}

fn serve(loader: &mut Loader, request: Request) {
    match request {
        // Whoever asked may have given up waiting; the work is done all the same.
        Request::Coldplug(answer) => {
            let summary = loader.coldplug();
            sys::release_free_memory();
            drop(answer.send(summary));
        }
        Request::Alias(alias) => loader.load_alias(&alias),
        Request::Name(name, answer) => drop(answer.send(loader.load(name))),
        Request::Rescan => drop(loader.coldplug()),
    }
}

async fn wait<T>(answer: oneshot::Receiver<T>, deadline: Duration) -> Result<T, ModulesError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_closed)) => Err(ModulesError::Stopped),
        Err(_elapsed) => Err(ModulesError::Slow(deadline)),
    }
}
