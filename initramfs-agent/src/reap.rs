//! The only place that waits for processes.
//!
//! PID 1 inherits every orphan and must collect it, but a collector that takes any exited child
//! also takes those somebody else waits for. So every child is started here: exits of ours go to
//! whoever started them, exits of orphans are dropped. Do not use `tokio::process` beside this,
//! and do not wait on a `std::process::Child`. In any other process there are no orphans, and only
//! the exits of children that were started here are taken.

use crate::runtime::beside;
use crate::sys;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The shell of the image.
pub(crate) const SHELL: &str = "/bin/sh";
/// Where what people and scripts start is looked for.
pub(crate) const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Largest shell that is unpacked, in bytes.
const MAX_SHELL: u64 = 16 * 1_024 * 1_024;

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The terminal cannot be opened.
    #[error("cannot open the terminal {terminal}; name another one with muster.console=")]
    Terminal {
        /// Device file.
        terminal: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {program}; this image does not carry it")]
    Program {
        /// Program file.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The shell cannot be unpacked.
    #[error("cannot unpack the shell; the machine's memory may be full")]
    Shell(#[source] io::Error),
}

/// A process that was started here.
#[derive(Debug)]
pub(crate) struct Running {
    pid: u32,
    exit: oneshot::Receiver<ExitStatus>,
}

impl Running {
    /// Its process id, which nobody else gets before its exit was collected.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the process to end; `None` when the reaper has stopped and will never know.
    /// Cancel safe.
    pub(crate) async fn wait(&mut self) -> Option<ExitStatus> {
        (&mut self.exit).await.ok()
    }
}

type Waiting = HashMap<u32, oneshot::Sender<ExitStatus>>;

/// Collects exited children and tells those who wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reaper {
    // Held while a process starts and while exits are collected: no exit is seen before its
    // waiter is known, and `std` can look at a child that failed to exec undisturbed.
    waiting: Arc<Mutex<Waiting>>,
    /// Orphans are ours to collect, too.
    is_init: bool,
}

impl Reaper {
    /// Starts collecting. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel gives no signal handler.
    pub(crate) fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let reaper = Self { is_init: std::process::id() == 1, ..Self::default() };
        let mut exits = signal(SignalKind::child())?;
        let collector = reaper.clone();
        let task = beside(async move {
            // Children may have exited before the handler stood.
            collector.collect();
            while exits.recv().await.is_some() {
                collector.collect();
            }
        });
        Ok((reaper, task))
    }

    /// Starts a program.
    ///
    /// # Errors
    /// [`SpawnError::Program`].
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Running, SpawnError> {
        let mut waiting = self.lock();
        let child = command.spawn().map_err(|source| SpawnError::Program {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let (tell, exit) = oneshot::channel();
        waiting.insert(child.id(), tell);
        Ok(Running { pid: child.id(), exit })
    }

    /// Starts a login shell that owns a terminal such as `/dev/tty1`.
    ///
    /// # Errors
    /// [`SpawnError`] names the terminal or the shell.
    pub(crate) fn spawn_shell(&self, terminal: &Path) -> Result<Running, SpawnError> {
        let open =
            || OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NOCTTY).open(terminal);
        let failed = |source| SpawnError::Terminal { terminal: terminal.to_owned(), source };
        let (input, output, errors) =
            (open().map_err(failed)?, open().map_err(failed)?, open().map_err(failed)?);
        let serial = terminal.to_string_lossy().contains("ttyS");
        let mut command = Command::new(SHELL);
        command
            .arg0("-sh")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/")
            // What is typed here is nobody's to read later.
            .env("HISTFILE", "/dev/null")
            .env("TERM", if serial { "vt220" } else { "linux" })
            .env("PS1", "rescue# ")
            .current_dir("/")
            .stdin(input)
            .stdout(output)
            .stderr(errors);
        self.spawn(sys::with_controlling_terminal(&mut command))
    }

    /// Takes every exit there is.
    fn collect(&self) {
        let mut waiting = self.lock();
        let wanted: Vec<Option<u32>> =
            if self.is_init { vec![None] } else { waiting.keys().copied().map(Some).collect() };
        for only in wanted {
            // An error here is EINTR at most; the next SIGCHLD comes back to it.
            while let Ok(Some((pid, status))) = sys::reap_one(only) {
                if let Some(tell) = waiting.remove(&pid) {
                    // Whoever started it may have stopped caring; then nobody is told.
                    tell.send(status).unwrap_or(());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unpacks the shell, which the image carries compressed because few boots want it.
///
/// # Errors
/// [`SpawnError::Shell`] with what the file system says.
pub(crate) fn unpack_shell(folder: &Path) -> Result<(), SpawnError> {
    unpack(folder).map_err(SpawnError::Shell)
}

fn unpack(folder: &Path) -> io::Result<()> {
    let (packed, program) = (folder.join("busybox.zst"), folder.join("busybox"));
    if program.try_exists()? || !packed.try_exists()? {
        return Ok(());
    }
    let unpacked = folder.join(".busybox.new");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&unpacked)?;
    let decoder = zstd::Decoder::new(File::open(packed)?)?;
    io::copy(&mut decoder.take(MAX_SHELL), &mut file)?;
    std::fs::rename(unpacked, program)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A reaper for as long as the test's runtime.
    pub(crate) fn reaper() -> Reaper {
        Reaper::start().unwrap().0
    }

    /// A program of this text. Another process writes it: what this one has open for writing, one that a test beside
    /// starts just now has open too, and nobody can run it (`ETXTBSY`).
    pub(crate) fn program(path: &Path, text: &str) {
        let write = r#"printf '%s' "$1" > "$2" && chmod 755 "$2""#;
        let written = Command::new("/bin/sh").args(["-c", write, "sh", text]).arg(path).status().unwrap();
        assert!(written.success(), "{}", path.display());
    }

    #[test]
    fn shell_is_unpacked_once_and_may_be_run() {
        let folder = tempfile::tempdir().unwrap();
        unpack_shell(folder.path()).unwrap();
        assert!(!folder.path().join("busybox").exists());
        let packed = zstd::bulk::compress(b"program", 3).unwrap();
        std::fs::write(folder.path().join("busybox.zst"), packed).unwrap();
        for _ in 0..2 {
            unpack_shell(folder.path()).unwrap();
            assert_eq!(std::fs::read(folder.path().join("busybox")).unwrap(), b"program");
        }
        let mode = std::fs::metadata(folder.path().join("busybox")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[tokio::test]
    async fn exits_reach_whoever_started_the_process_and_a_bad_shell_is_named() {
        let (reaper, task) = Reaper::start().unwrap();
        let mut seven = reaper.spawn(Command::new("/bin/sh").args(["-c", "exit 7"])).unwrap();
        let mut eight = reaper.spawn(Command::new("/bin/sh").args(["-c", "exit 8"])).unwrap();
        assert_eq!(eight.wait().await.unwrap().code(), Some(8));
        assert_eq!(seven.wait().await.unwrap().code(), Some(7));

        let missing = reaper.spawn(&mut Command::new("/nonexistent/sh")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot start /nonexistent/sh; this image does not carry it");
        let no_terminal = reaper.spawn_shell(Path::new("/nonexistent/tty")).unwrap_err();
        assert!(no_terminal.to_string().contains("muster.console="));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
