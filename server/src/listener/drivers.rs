//! Threads that drive plain connections.
//!
//! The threads of the server's runtime help each other: whoever wakes up and finds something to do
//! wakes another one to look for more. A connection that sends a file has nothing more, and would pay
//! for it each time its peer took something. So these connections are spread over threads with a
//! runtime each, one for every processor. What is asked over them is answered by the server's runtime
//! as ever, which then has nothing to do with a rack's kernels: they cannot keep it from the heartbeats.

use std::io;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Threads for one driver that wait for disks, at most.
const WAITING_FOR_DISKS: usize = 64;

/// The drivers of a listener.
#[derive(Debug)]
pub(super) struct Drivers {
    /// At least one.
    handles: Vec<Handle>,
    threads: Vec<thread::JoinHandle<()>>,
    next: usize,
    over: CancellationToken,
}

impl Drivers {
    /// Starts one for every processor. Where there can be none, the runtime of the caller is the only
    /// one.
    pub(super) fn start() -> Self {
        let mut drivers =
            Self { handles: Vec::new(), threads: Vec::new(), next: 0, over: CancellationToken::new() };
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            if let Err(error) = drivers.add() {
                tracing::warn!(%error, "a thread for connections cannot be started");
            }
        }
        if drivers.handles.is_empty() {
            drivers.handles.push(Handle::current());
        }
        drivers
    }

    fn add(&mut self) -> io::Result<()> {
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(WAITING_FOR_DISKS).build()?;
        let (handle, over) = (runtime.handle().clone(), self.over.clone());
        let drive = move || {
            runtime.block_on(over.cancelled());
            // Who still waits for a disk is not waited for.
            runtime.shutdown_background();
        };
        self.threads.push(thread::Builder::new().name("connections".to_owned()).spawn(drive)?);
        self.handles.push(handle);
        Ok(())
    }

    /// The driver of the next connection.
    pub(super) fn next(&mut self) -> &Handle {
        self.next = (self.next + 1) % self.handles.len();
        &self.handles[self.next]
    }

    /// Ends them all, with what they still drive.
    pub(super) async fn end(self) {
        self.over.cancel();
        let joined = tokio::task::spawn_blocking(move || {
            self.threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        match joined.await {
            Ok(0) => {}
            Ok(failed) => tracing::error!(failed, "threads for connections failed"),
            Err(error) => tracing::error!(%error, "threads for connections were not awaited"),
        }
    }
}
