//! The real server: `muster serve` in a folder of its own, on a port of its own.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tests::muster::Server;
//! let mut server = Server::builder("my-test").start()?;
//! let operator = server.operator()?;
//! assert!(operator.machines()?.is_empty());
//! server.kill()?;      // SIGKILL
//! server.start_again()?; // same data, same port
//! # Ok(())
//! # }
//! ```

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::lab::Host;
use crate::operator::Operator;
use crate::process::{Process, Spec};
use crate::qemu::HOST_FROM_GUEST;
use crate::{output, wait};

/// First line of a server that accepts connections, up to the address.
const READY: &str = "ready https://";
/// Line that says where boot files are, up to the URL.
const BOOT_FILES: &str = "boot files http";
/// First starts make keys and hash a password; TCG machines may hold the processor meanwhile.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longest graceful stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Lines of a log that a failure shows.
const SHOWN_LINES: usize = 30;
/// Debian's libfaketime for programs with threads (package `faketime`).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Ports of a server that has a host of its own.
const HTTPS_PORT: u16 = 8_092;
const HTTP_PORT: u16 = 8_091;
/// Ports that servers under test listen on.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Tries to find a port that stays free until the server binds it.
const PORT_TRIES: usize = 5;

/// A server to be.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    name: String,
    media: Option<PathBuf>,
    data: Option<PathBuf>,
    database: Option<String>,
    advertise: Vec<String>,
    extra: Vec<String>,
    host: Option<Host>,
    /// Seconds from the real time at first, when the clock is movable.
    clock: Option<i64>,
}

impl ServerBuilder {
    /// Media directory to serve.
    #[must_use]
    pub fn media(mut self, folder: &Path) -> Self {
        self.media = Some(folder.to_path_buf());
        self
    }

    /// Data directory; `data` in the server's own folder unless given.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_path_buf());
        self
    }

    /// Database; embedded SQLite unless given.
    #[must_use]
    pub fn database_url(mut self, url: &str) -> Self {
        self.database = Some(url.to_owned());
        self
    }

    /// Runs it on a host of a lab, whose ports it has to itself: HTTPS at 8092, boot files by HTTP at
    /// 8091. Machines are told the address they came to, unless [`ServerBuilder::advertise`] says
    /// otherwise.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Addresses that machines are told, with `{port}` for the chosen port. Unless given, the
    /// one under which QEMU's user network shows the host's loopback.
    #[must_use]
    pub fn advertise(mut self, url: &str) -> Self {
        self.advertise.push(url.to_owned());
        self
    }

    /// Lets [`Server::move_clock`] move the time this server sees.
    #[must_use]
    pub fn movable_clock(self) -> Self {
        self.clock_at(0)
    }

    /// The same, with the time of the first start `seconds` from the real one.
    #[must_use]
    pub fn clock_at(mut self, seconds: i64) -> Self {
        self.clock = Some(seconds);
        self
    }

    /// Further arguments of `muster serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Starts it and waits until it accepts: on a free port of the loopback address, unless it has a
    /// host of its own.
    ///
    /// # Errors
    /// When it does not get ready; with what it logged.
    pub fn start(self) -> Result<Server> {
        let folder = output::folder(&self.name)?;
        let data = self.data.clone().unwrap_or_else(|| folder.join("data"));
        let binary = output::muster_binary()?;
        let on_host = self.host.is_some();
        let mut server = Server { binary, folder, data, port: HTTPS_PORT, settings: self, process: None };
        if on_host {
            server.start_again()?;
            return Ok(server);
        }
        // Machines are told the port before the server binds it, so it is chosen here; another
        // program may take it in between.
        let mut refusal = None;
        for _ in 0..PORT_TRIES {
            server.port = free_port()?;
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(error) if format!("{error:#}").contains("in use") => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.context("no free port")?)
    }
}

/// A port that nobody listens on, below those the kernel gives to clients (32,768 and up): a
/// server that was killed finds its port free when it starts again.
fn free_port() -> Result<u16> {
    let mut random = [0; 2];
    for _ in 0..PORT_TRIES * 10 {
        SystemRandom::new().fill(&mut random).ok().context("no randomness")?;
        let port = FIRST_PORT + u16::from_ne_bytes(random) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on the loopback address")
}

/// A server; ended with SIGKILL when dropped.
#[derive(Debug)]
pub struct Server {
    settings: ServerBuilder,
    binary: PathBuf,
    folder: PathBuf,
    data: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Server {
    /// Describes a server; `name` also names its folder under `target/e2e-output/`.
    #[must_use]
    pub fn builder(name: &str) -> ServerBuilder {
        ServerBuilder {
            name: name.to_owned(),
            media: None,
            data: None,
            database: None,
            advertise: Vec::new(),
            extra: Vec::new(),
            host: None,
            clock: None,
        }
    }

    /// Port of HTTPS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where people and tests reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.address(), self.port)
    }

    /// The address it listens on.
    fn address(&self) -> Ipv4Addr {
        self.settings.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address)
    }

    /// Where a machine on QEMU's user network reaches it.
    #[must_use]
    pub fn guest_url(&self) -> String {
        format!("https://{HOST_FROM_GUEST}:{}", self.port)
    }

    /// Where firmware on the host's loopback finds boot files; another port after each start.
    ///
    /// # Errors
    /// When the server did not say where, or its logs cannot be read.
    pub fn boot_url(&self) -> Result<String> {
        let logs = self.logs()?;
        let told = logs.lines().rev().find_map(|line| line.strip_prefix(BOOT_FILES));
        Ok(format!("http{}", told.context("the server did not say where its boot files are")?.trim()))
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Folder with its logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File with its CA's certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    /// Its CA's certificate.
    ///
    /// # Errors
    /// When the server never wrote it.
    pub fn ca_pem(&self) -> Result<Vec<u8>> {
        let path = self.ca_file();
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Password of `admin`, from the file of the first start.
    ///
    /// # Errors
    /// When the server never wrote it.
    pub fn admin_password(&self) -> Result<String> {
        let path = self.data.join("admin-password");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// The environment by which `muster` speaks to it as `admin`.
    ///
    /// # Errors
    /// As [`Server::admin_password`].
    pub fn as_admin(&self) -> Result<[(&'static str, OsString); 4]> {
        Ok([
            ("MUSTER_ENDPOINT", self.url().into()),
            ("MUSTER_CA", self.ca_file().into()),
            ("MUSTER_USERNAME", "admin".into()),
            ("MUSTER_PASSWORD", self.admin_password()?.into()),
        ])
    }

    /// Everything it logged so far: standard output, then standard error.
    ///
    /// # Errors
    /// When the logs cannot be read.
    pub fn logs(&self) -> Result<String> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(read("serve.out")? + &read("serve.err")?)
    }

    /// A REST client logged in as `admin`.
    ///
    /// # Errors
    /// When it cannot log in.
    pub fn operator(&self) -> Result<Operator> {
        let (url, ca, password) = (self.url(), self.ca_pem()?, self.admin_password()?);
        let login = move || Operator::login(&url, &ca, "admin", &password);
        match &self.settings.host {
            // The client's connections are made by a thread that is born here.
            Some(host) => host.namespace().inside(login)?,
            None => login(),
        }
    }

    /// Moves the time this server sees to `seconds` from the real one, forward or back. Its
    /// monotonic clock, and so its timers, go on as they were.
    ///
    /// # Errors
    /// When it was not built with [`ServerBuilder::movable_clock`].
    pub fn move_clock(&self, seconds: i64) -> Result<()> {
        if self.settings.clock.is_none() {
            bail!("this server's clock is the system's");
        }
        // Written whole: the server reads it at any moment.
        let (path, new) = (self.clock_file(), self.folder.join("clock.new"));
        std::fs::write(&new, format!("{seconds:+}\n")).context("cannot write the server's clock")?;
        std::fs::rename(&new, &path).context("cannot write the server's clock")
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.join("clock")
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// SIGKILL: what a power cut is to a process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the server does not run")?.kill()
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// When it does not run, does not end in time, or ends with a failure.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server does not run")?;
        let status = process.terminate(STOP_WITHIN)?;
        if !status.success() {
            bail!("the server ended with {status}:\n{}", output::tail(&self.logs()?, SHOWN_LINES));
        }
        Ok(())
    }

    /// Starts it again with the same data on the same port.
    ///
    /// # Errors
    /// When it does not get ready; with what it logged.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("the server runs already");
        }
        let out = self.folder.join("serve.out");
        let seen = std::fs::read(&out).map_or(0, |bytes| bytes.len());
        let mut spec = Spec::new(&self.binary, &self.folder, "serve").args(self.args());
        if let Some(host) = &self.settings.host {
            spec = spec.in_network(host.namespace().path());
        }
        if let Some(at_first) = self.settings.clock {
            spec = self.with_movable_clock(spec, at_first)?;
        }
        let mut process = spec.start()?;
        let port = wait::until("the server's ready line", READY_WITHIN, || {
            let bytes = std::fs::read(&out).context("cannot read the server's output")?;
            if let Some(port) = ready_port(&String::from_utf8_lossy(bytes.get(seen..).unwrap_or_default())) {
                return Ok(Some(port));
            }
            match process.ended()? {
                Some(status) => bail!("the server ended with {status}"),
                None => Ok(None),
            }
        });
        let port = match port {
            Ok(port) => port,
            Err(error) => bail!("{error:#}; it logged:\n{}", output::tail(&self.logs()?, SHOWN_LINES)),
        };
        if port != self.port {
            bail!("the server was asked for port {} and says it listens on {port}", self.port);
        }
        self.process = Some(process);
        Ok(())
    }

    fn with_movable_clock(&self, spec: Spec, at_first: i64) -> Result<Spec> {
        if !Path::new(FAKETIME).is_file() {
            bail!("{FAKETIME} does not exist: install the package faketime");
        }
        if !self.clock_file().exists() {
            self.move_clock(at_first)?;
        }
        Ok(spec
            .env("LD_PRELOAD", FAKETIME)
            .env("FAKETIME_TIMESTAMP_FILE", self.clock_file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }

    fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["serve".into(), "--data-dir".into(), (&self.data).into()];
        args.extend(["--listen".into(), format!("{}:{}", self.address(), self.port).into()]);
        // Servers on one computer run beside each other: each takes any free port for its boot files.
        let http_port = if self.settings.host.is_some() { HTTP_PORT } else { 0 };
        args.extend(["--http-listen".into(), format!("{}:{http_port}", self.address()).into()]);
        if let Some(media) = &self.settings.media {
            args.extend(["--media-dir".into(), media.into()]);
        }
        if let Some(url) = &self.settings.database {
            args.extend(["--database-url".into(), url.into()]);
        }
        let advertised = match self.settings.advertise.as_slice() {
            [] if self.settings.host.is_some() => Vec::new(),
            [] => vec![self.guest_url()],
            given => given.iter().map(|url| url.replace("{port}", &self.port.to_string())).collect(),
        };
        for url in advertised {
            args.extend(["--advertise".into(), url.into()]);
        }
        args.extend(self.settings.extra.iter().map(OsString::from));
        args
    }
}

fn ready_port(out: &str) -> Option<u16> {
    let line = out.lines().find(|line| line.starts_with(READY))?;
    // The last word of an address is its port.
    line.trim_end().trim_end_matches('/').rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_port() {
        assert_eq!(ready_port("ready https://127.0.0.1:40123\n"), Some(40_123));
        assert_eq!(ready_port("log\nready https://[::1]:8092/\n"), Some(8_092));
        assert_eq!(ready_port("not ready https://127.0.0.1:1\n"), None);
    }
}
