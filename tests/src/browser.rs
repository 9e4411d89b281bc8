//! The dashboard in a real Chromium: runs the scripts of `dashboard/e2e/` with Node.
//!
//! A script looks at pages only. What happens in the world behind them, machines that call and are
//! switched off, servers that restart, it asks the test for while it runs ([`Script::play`]).

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lab::Host;
use crate::muster::Server;
use crate::process::{Process, Spec};
use crate::{output, wait};

/// Lines of a script's output that a failure shows.
const SHOWN_LINES: usize = 60;
/// Longest question of a script, in bytes.
const MAX_QUESTION: usize = 1024 * 1024;

/// Runs `dashboard/e2e/SCRIPT` against a server, logged in as `admin`, and gives back what it
/// printed. Screenshots go to `shots` in the server's folder.
///
/// `settings` are passed as environment variables beside `MUSTER_URL`, `MUSTER_USERNAME`,
/// `MUSTER_PASSWORD` and `MUSTER_SHOTS`.
///
/// # Errors
/// When the script fails or takes longer than `within`; with what it printed.
pub fn run(server: &Server, script: &str, settings: &[(&str, &str)], within: Duration) -> Result<String> {
    let script =
        settings.iter().fold(Script::of(server, script)?, |script, (key, value)| script.set(key, value));
    let mut process = script.spec.start()?;
    let ended = process.wait(within);
    script.name.told(&process, ended)
}

/// What a script wants of the world: `what`, and whatever belongs to it.
#[derive(Debug, Deserialize)]
pub struct Question {
    /// What is wanted.
    pub what: String,
    /// The rest of it.
    #[serde(default)]
    pub with: Value,
}

/// A script about to be run against a server.
#[derive(Debug)]
pub struct Script {
    name: Name,
    spec: Spec,
}

#[derive(Debug)]
struct Name(String);

impl Script {
    /// `dashboard/e2e/SCRIPT`, logged in as `admin`.
    ///
    /// # Errors
    /// When there is no such script, or the server has no password file.
    pub fn of(server: &Server, script: &str) -> Result<Self> {
        let shots = server.folder().join("shots");
        std::fs::create_dir_all(&shots).with_context(|| format!("cannot make {}", shots.display()))?;
        let path = output::workspace().join("dashboard/e2e").join(script);
        if !path.is_file() {
            bail!("{} does not exist", path.display());
        }
        let log = script.replace('/', "-");
        let spec = Spec::new(&node(), server.folder(), &log)
            .args(["--test-reporter=spec".into(), path.into_os_string()])
            .env("MUSTER_URL", server.url())
            .env("MUSTER_USERNAME", "admin")
            .env("MUSTER_PASSWORD", server.admin_password()?)
            .env("MUSTER_CA", server.ca_file())
            .env("MUSTER_SHOTS", &shots);
        Ok(Self { name: Name(script.to_owned()), spec })
    }

    /// Sets an environment variable of the script.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.spec = self.spec.env(key, value);
        self
    }

    /// Runs it and its browser on a host of a lab: they reach what that host reaches.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.spec = self.spec.in_network(host.namespace().path());
        self
    }

    /// Runs it to its end, and gives back what it printed. What it asks for meanwhile, `answer` does; an
    /// error is told to the script, which fails where it stands.
    ///
    /// # Errors
    /// When the script fails or takes longer than `within`; with what it printed.
    pub fn play(
        self,
        within: Duration,
        mut answer: impl FnMut(&Question) -> Result<Value>,
    ) -> Result<String> {
        let folder =
            tempfile::Builder::new().prefix("muster-script").tempdir().context("cannot make a folder")?;
        let mut door = Door::open(&folder.path().join("world"))?;
        let mut process = self.spec.env("MUSTER_WORLD", &door.path).start()?;
        let ended = wait::until(&format!("{} to end", self.name.0), within, || {
            while let Some(question) = door.question()? {
                door.answer(&match answer(&question) {
                    Ok(value) => json!({ "value": value }),
                    Err(error) => json!({ "error": format!("{}: {error:#}", question.what) }),
                })?;
            }
            process.ended()
        });
        self.name.told(&process, ended)
    }
}

impl Name {
    /// What an ended script printed.
    fn told(&self, process: &Process, ended: Result<std::process::ExitStatus>) -> Result<String> {
        let read = |path| std::fs::read_to_string(path).context("cannot read a script's output");
        let (out, err) = (read(process.stdout())?, read(process.stderr())?);
        let name = &self.0;
        match ended {
            Ok(status) if status.success() => Ok(out),
            Ok(status) => bail!("{name} ended with {status}:\n{}", output::tail(&(out + &err), SHOWN_LINES)),
            Err(error) => bail!("{name}: {error:#}:\n{}", output::tail(&(out + &err), SHOWN_LINES)),
        }
    }
}

/// Where a script asks: a socket, a line of JSON for each question and each answer.
struct Door {
    path: PathBuf,
    listener: UnixListener,
    script: Option<UnixStream>,
    heard: Vec<u8>,
}

impl Door {
    fn open(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path).context("cannot make a script's socket")?;
        listener.set_nonblocking(true).context("cannot make a script's socket")?;
        Ok(Self { path: path.to_path_buf(), listener, script: None, heard: Vec::new() })
    }

    /// The next question, when there is a whole one.
    fn question(&mut self) -> Result<Option<Question>> {
        if self.script.is_none() {
            self.script = when_ready(self.listener.accept())?.map(|(stream, _)| stream);
            if let Some(script) = &self.script {
                script.set_nonblocking(true).context("cannot listen to a script")?;
            }
        }
        let Some(script) = &mut self.script else { return Ok(None) };
        let mut bytes = [0; 4096];
        while let Some(count) = when_ready(script.read(&mut bytes))?.filter(|count| *count > 0) {
            self.heard.extend_from_slice(bytes.get(..count).unwrap_or_default());
            if self.heard.len() > MAX_QUESTION {
                bail!("a script asks for more than {MAX_QUESTION} bytes say");
            }
        }
        let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        serde_json::from_slice(&line).context("a script asks what nobody understands").map(Some)
    }

    fn answer(&mut self, answer: &Value) -> Result<()> {
        let script = self.script.as_mut().context("no script asked")?;
        script.set_nonblocking(false).context("cannot answer a script")?;
        script.write_all(format!("{answer}\n").as_bytes()).context("cannot answer a script")?;
        script.set_nonblocking(true).context("cannot listen to a script")
    }
}

/// What came, or nothing where nothing came yet.
fn when_ready<T>(came: std::io::Result<T>) -> Result<Option<T>> {
    match came {
        Ok(came) => Ok(Some(came)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("a script's socket broke"),
    }
}

/// Node: `NODE`, else the one on the path.
fn node() -> PathBuf {
    std::env::var_os("NODE").map_or_else(|| "node".into(), PathBuf::from)
}
