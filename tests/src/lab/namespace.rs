//! A network namespace without a name: it lives as long as the thread that keeps it and the processes
//! in it, so nothing is left behind, whatever happens to the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getpid, gettid};

/// Something to do inside the namespace.
type Job = Box<dyn FnOnce() + Send>;

/// A network of its own, with nothing but a loopback link. Gone with its last handle.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Keeper>);

/// The thread that keeps the namespace.
#[derive(Debug)]
struct Keeper {
    path: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    pub(super) fn new() -> Result<Self> {
        let (jobs, work) = channel::<Job>();
        let (made, namespace) = channel();
        let thread = std::thread::spawn(move || {
            let entered = unshare(CloneFlags::CLONE_NEWNET).map(|()| (getpid(), gettid()));
            let ours = entered.is_ok();
            if made.send(entered).is_ok() && ours {
                work.into_iter().for_each(|job| job());
            }
        });
        let (process, keeper) = namespace.recv().context("the network's thread is gone")?.context(
            "cannot make a network of its own: run this as root or through `make e2e`, on a system that \
             allows network namespaces",
        )?;
        let path = PathBuf::from(format!("/proc/{process}/task/{keeper}/ns/net"));
        let namespace = Self(Arc::new(Keeper { path, jobs: Some(jobs), thread: Some(thread) }));
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// File that stands for it, for `nsenter --net=`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Does something inside: sockets made there stay there, and threads that are started there are
    /// born there.
    ///
    /// # Errors
    /// When the thread that keeps the namespace is gone.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, result) = channel();
        let job = Box::new(move || {
            // Whoever asked waits for it.
            drop(done.send(work()));
        });
        let jobs = self.0.jobs.as_ref().context("the network is closed")?;
        jobs.send(job).ok().context("the network's thread is gone")?;
        result.recv().context("the network's thread is gone")
    }

    /// Runs `ip` (iproute2) inside.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        let output = self.run(Command::new("ip").args(args)).context("install iproute2")?;
        if !output.status.success() {
            bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs a program inside to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, command: &mut Command) -> Result<Output> {
        let name = command.get_program().to_string_lossy().into_owned();
        // `nsenter` and not the keeper's own thread: that one has other things to do meanwhile.
        let mut within = Command::new("nsenter");
        within.arg(format!("--net={}", self.path().display())).arg("--");
        within.arg(command.get_program()).args(command.get_args());
        within.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if let Some(folder) = command.get_current_dir() {
            within.current_dir(folder);
        }
        within.output().with_context(|| format!("cannot run {name}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The thread ends when there is nothing more to do, and takes the namespace along.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
