//! Child processes that never outlive us.
//!
//! They are started through `setpriv --pdeathsig KILL` (util-linux), so that the kernel ends
//! them when the test process is killed and no destructor runs. That signal is tied to the
//! *thread* that started the child, so one thread that lives as long as the process starts
//! them all.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

type Started = std::io::Result<Child>;
/// A command, and where its child is wanted.
type Order = (Command, Sender<Started>);

static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, reply) in receiver {
            // A caller that went away has no use for the child; dropping it would leak it.
            if let Err(unwanted) = reply.send(command.spawn())
                && let Ok(mut child) = unwanted.0
                && child.kill().is_ok()
            {
                drop(child.wait());
            }
        }
    });
    Mutex::new(sender)
});

/// What to start.
#[derive(Debug)]
pub struct Spec {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    network: Option<PathBuf>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Spec {
    /// `program` with its output appended to `NAME.out` and `NAME.err` in `folder`.
    #[must_use]
    pub fn new(program: &Path, folder: &Path, name: &str) -> Self {
        Self {
            program: program.to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            network: None,
            stdout: folder.join(format!("{name}.out")),
            stderr: folder.join(format!("{name}.err")),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Starts it in another network namespace, named by its file (see [`crate::lab`]).
    #[must_use]
    pub fn in_network(mut self, namespace: &Path) -> Self {
        self.network = Some(namespace.to_path_buf());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When a log file cannot be opened or the program cannot be started.
    pub fn start(self) -> Result<Process> {
        let name = self.program.display().to_string();
        let open = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))
        };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(namespace) = &self.network {
            let mut within = OsString::from("--net=");
            within.push(namespace);
            command.arg("nsenter").arg(within).arg("--");
        }
        command.arg(&self.program).args(&self.args);
        command.envs(self.env).stdin(Stdio::null());
        command.stdout(open(&self.stdout)?).stderr(open(&self.stderr)?);
        let (reply, answer) = channel();
        let starter = STARTER.lock().map_err(|_| anyhow!("the thread that starts processes is gone"))?;
        starter.send((command, reply)).context("the thread that starts processes is gone")?;
        drop(starter);
        let child = answer.recv().context("the thread that starts processes is gone")?;
        let child = child.with_context(|| format!("cannot start {name} (through setpriv of util-linux)"))?;
        Ok(Process { child, name, stdout: self.stdout, stderr: self.stderr })
    }
}

/// A running child; killed and awaited when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// File its standard output goes to.
    #[must_use]
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// File its standard error goes to.
    #[must_use]
    pub fn stderr(&self) -> &Path {
        &self.stderr
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask for the state of {}", self.name))
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot await {}", self.name))?;
        Ok(())
    }

    /// SIGTERM, and waits for the exit status.
    ///
    /// # Errors
    /// When it has not ended `within`.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        let pid = Pid::from_raw(self.pid().try_into().context("impossible process id")?);
        kill(pid, Signal::SIGTERM).with_context(|| format!("cannot signal {}", self.name))?;
        wait::until(&format!("{} to stop after SIGTERM", self.name), within, || self.ended())
    }

    /// Waits for the exit status.
    ///
    /// # Errors
    /// When it has not ended `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until(&what, within, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing a child that ended already is no error, and a destructor has nobody to tell.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
