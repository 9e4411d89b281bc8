//! The runner as process 1 keeps it: a child that does the work, so that what goes wrong there does
//! not take the machine down, and that is gone while there is none.

use super::Ending;
use super::settings::{FOLDER, MESH_FOLDER, Reach, TERMINAL_ID};
use crate::net::resolv_conf;
use crate::net::resolve::Dns;
use crate::reap::{Reaper, SEARCH, SHELL, SpawnError, unpack_shell};
use crate::report::{chain, printable};
use crate::runtime::beside;
use crate::sys;
use protocol::config::MAX_SERVERS;
use protocol::ids::SpkiPin;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// This very program.
const PROGRAM: &str = "/proc/self/exe";
const NAME: &str = "muster-agent";
/// Starts the machine's side of a terminal: a program of the tools in the boot image, beside the agent on an
/// installed system.
const TERMINAL: &str = "command -v muster-installer >/dev/null || muster-agent fetch-tools || exit; \
                        exec muster-installer terminal";
/// Starts the machine as a member of a mesh network: the same program.
const MEMBER: &str = "command -v muster-installer >/dev/null || muster-agent fetch-tools || exit; \
                      exec muster-installer mesh";
/// Where a member in a boot image keeps what it keeps: memory.
pub(crate) const MESH: &str = "/run/muster/mesh";
/// Where runners of the boot image work: memory.
const WORKSHOP: &str = "/run/muster/runner";
/// Where the image's shell is, packed.
const PROGRAMS: &str = "/bin";
/// Longest line of a runner that is shown, in bytes.
const MAX_LINE: usize = 400;
/// Most lines that wait to be shown; a runner that says more is kept waiting.
const MAX_WAITING: usize = 32;
/// How long the last words of a runner that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a runner told.
#[derive(Debug)]
pub(crate) enum Report {
    /// A line.
    Said(String),
    /// It has ended.
    Ended(Ended),
}

/// How a runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it should.
    Well {
        /// What it wants.
        ending: Ending,
        /// Whether it had anything to say.
        has_spoken: bool,
    },
    /// It died, or never lived.
    Badly(String),
}

impl Ended {
    /// Whether it did something.
    pub(crate) fn was_useful(&self) -> bool {
        matches!(self, Self::Well { has_spoken: true, ending } if *ending != Ending::Refused)
    }
}

/// The runner, when there is one.
#[derive(Debug)]
pub(crate) struct Child {
    /// Starts and collects it; none where children cannot be collected.
    reaper: Option<Reaper>,
    program: PathBuf,
    workshop: PathBuf,
    reports: Option<mpsc::Receiver<Report>>,
    /// Pins that the server told since the boot.
    pins: Vec<SpkiPin>,
    /// The name servers that programs were told last.
    published: Option<String>,
}

impl Child {
    /// Nobody at work.
    pub(crate) fn new(reaper: Option<Reaper>) -> Self {
        Self {
            reaper,
            program: PROGRAM.into(),
            workshop: WORKSHOP.into(),
            reports: None,
            pins: Vec::new(),
            published: None,
        }
    }

    /// The same where runners work in another folder.
    pub(crate) fn working_in(self, workshop: PathBuf) -> Self {
        Self { workshop, ..self }
    }

    /// The same with another program as the runner.
    #[cfg(test)]
    pub(crate) fn with_program(reaper: Reaper, program: &Path) -> Self {
        Self { program: program.to_owned(), ..Self::new(Some(reaper)) }
    }

    /// Nobody at work, of the same process.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.reaper.clone())
    }

    /// Notes the pins that the server tells.
    pub(crate) fn trust(&mut self, pins: &[SpkiPin]) {
        if !pins.is_empty() {
            self.pins = pins.iter().take(MAX_SERVERS).copied().collect();
        }
    }

    /// Those pins beside the ones the machine booted with.
    pub(crate) fn pins(&self, booted_with: &[SpkiPin]) -> Vec<SpkiPin> {
        let mut pins = booted_with.to_vec();
        pins.extend(self.pins.iter().filter(|pin| !booted_with.contains(pin)));
        pins
    }

    /// Tells the programs of the image whom to ask for names.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn publish_names(&mut self, dns: &Dns) -> Result<(), PublishError> {
        let text = dns.to_resolv_conf();
        // Outside of a boot image the file is somebody else's.
        if std::process::id() != 1 || self.published.as_ref() == Some(&text) {
            return Ok(());
        }
        std::fs::write(resolv_conf::PATH, &text).map_err(PublishError)?;
        self.published = Some(text);
        Ok(())
    }

    /// Starts a runner for a machine that booted `booted_env`. Whether that works is a report, too.
    pub(crate) fn start(&mut self, reach: &Reach<'_>, booted_env: &str) {
        let mut command = Command::new(&self.program);
        command.arg0(NAME).args(["run", "--oneshot", "--booted-env", booted_env]);
        self.begin(Some(reach), (FOLDER, self.workshop.clone()), command);
    }

    /// Starts the machine's side of a terminal, unless there is one.
    pub(crate) fn start_terminal(&mut self, reach: &Reach<'_>, id: String) {
        if self.reports.is_none() {
            let mut command = Command::new(SHELL);
            command.args(["-c", TERMINAL]);
            self.begin(Some(reach), (TERMINAL_ID, id.into()), command);
        }
    }

    /// Starts the machine as a member of a mesh network; without a way to the server as one that knows what it knew
    /// last. One that is at it already gives way to this one, and is not heard of again.
    pub(crate) fn start_member(&mut self, reach: Option<&Reach<'_>>, folder: PathBuf) {
        let mut command = Command::new(SHELL);
        command.args(["-c", MEMBER]);
        self.begin(reach, (MESH_FOLDER, folder), command);
    }

    fn begin(&mut self, reach: Option<&Reach<'_>>, (name, value): (&str, PathBuf), mut command: Command) {
        let (tell, reports) = mpsc::channel(MAX_WAITING);
        self.reports = Some(reports);
        command
            .env_clear()
            .envs(reach.map(Reach::variables).unwrap_or_default())
            .env("PATH", SEARCH)
            .env(name, value)
            .current_dir("/")
            .stdin(Stdio::null());
        let reaper = self.reaper.clone();
        beside(async move {
            let ended = match attend(reaper, command, &tell).await {
                Ok(ended) => ended,
                Err(error) => Ended::Badly(chain(&error)),
            };
            // A driver that has stopped wants to know nothing more.
            drop(tell.send(Report::Ended(ended)).await);
        });
    }

    /// What the runner tells next; nothing while there is none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Report {
        let Some(reports) = &mut self.reports else { return pending().await };
        match reports.recv().await {
            Some(Report::Said(line)) => Report::Said(line),
            Some(Report::Ended(ended)) => {
                self.reports = None;
                Report::Ended(ended)
            }
            None => {
                self.reports = None;
                Report::Ended(Ended::Badly("nobody attends to it any more".to_owned()))
            }
        }
    }
}

/// Programs cannot be told whom to ask for names.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}; tasks look up no names", resolv_conf::PATH)]
pub(crate) struct PublishError(#[source] io::Error);

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("this kernel does not tell of children that end")]
    NoReaper,
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("cannot make a pipe")]
    Pipe(#[source] io::Error),
}

/// Starts the runner, passes its lines on, and tells how it ended.
async fn attend(
    reaper: Option<Reaper>,
    mut command: Command,
    tell: &mpsc::Sender<Report>,
) -> Result<Ended, StartError> {
    let reaper = reaper.ok_or(StartError::NoReaper)?;
    // Tasks are scripts; the image carries the shell packed, because few boots want it. Where there
    // is another, or no thread to unpack it on, the task's log says what is missing.
    if let Ok(unpacked) = spawn_blocking(|| unpack_shell(Path::new(PROGRAMS))).await {
        unpacked?;
        sys::release_free_memory();
    }
    let (output, input) = io::pipe().map_err(StartError::Pipe)?;
    let output = Receiver::from_owned_fd(OwnedFd::from(output)).map_err(StartError::Pipe)?;
    command.stdout(input.try_clone().map_err(StartError::Pipe)?).stderr(input);
    let mut running = reaper.spawn(&mut command)?;
    // Its ends of the pipe are the runner's alone from here on.
    drop(command);
    let (mut lines, mut has_spoken) = (Lines::new(output), false);
    let status = loop {
        tokio::select! {
            status = running.wait() => break status,
            Some(line) = lines.next() => {
                has_spoken = true;
                drop(tell.send(Report::Said(line)).await);
            }
        }
    };
    while let Ok(Some(line)) = timeout(LAST_WORDS, lines.next()).await {
        has_spoken = true;
        drop(tell.send(Report::Said(line)).await);
    }
    Ok(judged(status, has_spoken))
}

fn judged(status: Option<ExitStatus>, has_spoken: bool) -> Ended {
    let Some(status) = status else { return Ended::Badly("nobody knows how".to_owned()) };
    match (status.code(), status.signal()) {
        (Some(code), _) => match Ending::of_code(code) {
            Some(ending) => Ended::Well { ending, has_spoken },
            None => Ended::Badly(format!("exit code {code}")),
        },
        (None, signal) => Ended::Badly(format!("signal {}", signal.unwrap_or_default())),
    }
}

/// Lines of a pipe, each cut to [`MAX_LINE`], printable whatever was in them.
struct Lines {
    pipe: Receiver,
    buffer: Vec<u8>,
    is_open: bool,
}

impl Lines {
    fn new(pipe: Receiver) -> Self {
        Self { pipe, buffer: Vec::new(), is_open: true }
    }

    /// The next line; none at the end. Cancel safe.
    async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.iter().position(|&byte| byte == b'\n');
            let whole = end.filter(|end| *end < MAX_LINE).map(|end| end + 1);
            let whole = whole.or((self.buffer.len() >= MAX_LINE).then_some(MAX_LINE));
            let whole = whole.or((!self.is_open && !self.buffer.is_empty()).then_some(self.buffer.len()));
            if let Some(count) = whole {
                let line: Vec<u8> = self.buffer.drain(..count).collect();
                let line = printable(String::from_utf8_lossy(&line).trim(), MAX_LINE);
                if line.is_empty() {
                    continue;
                }
                return Some(line);
            }
            if !self.is_open {
                return None;
            }
            let mut piece = [0; 512];
            let count = self.pipe.read(&mut piece).await.unwrap_or(0);
            self.is_open = count > 0;
            self.buffer.extend(piece.iter().take(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reap::tests::reaper;

    /// What a runner that is this script tells, to its end.
    async fn told(script: &str) -> (Vec<String>, Ended) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runner");
        crate::reap::tests::program(&program, &format!("#!/bin/sh\n{script}\n"));
        let mut child = Child::with_program(reaper(), &program);
        let server = "https://10.0.2.2:8092".parse().unwrap();
        let machine = uuid::Uuid::from_u128(1);
        let reach = Reach { machine, token: "secret", server: &server, pins: &[], ca: None, proxy: None };
        child.start(&reach, "e1");
        let mut said = Vec::new();
        loop {
            match child.next().await {
                Report::Said(line) => said.push(line),
                Report::Ended(ended) => return (said, ended),
            }
        }
    }

    #[tokio::test]
    async fn a_runner_is_told_what_it_needs_and_its_lines_are_passed_on() {
        let (said, ended) = told("echo $*; echo $RS_TOKEN $RS_UUID >&2; printf 'last words'; exit 64").await;
        assert_eq!(
            said,
            ["run --oneshot --booted-env e1", "secret 00000000-0000-0000-0000-000000000001", "last words"]
        );
        assert_eq!(ended, Ended::Well { ending: Ending::Reboot, has_spoken: true });
    }

    #[tokio::test]
    async fn one_terminal_is_started_at_a_time() {
        let mut child = Child::with_program(reaper(), Path::new("/bin/false")).another();
        let server = "https://10.0.2.2:8092".parse().unwrap();
        let machine = uuid::Uuid::from_u128(1);
        let reach = Reach { machine, token: "secret", server: &server, pins: &[], ca: None, proxy: None };
        for _ in 0..3 {
            child.start_terminal(&reach, "9".to_owned());
        }
        let mut ends = 0;
        // Neither the program nor the tools are here: the shell says so.
        while child.reports.is_some() {
            if let Report::Ended(ended) = child.next().await {
                assert_eq!(ended, Ended::Badly("exit code 127".to_owned()));
                ends += 1;
            }
        }
        assert_eq!(ends, 1);
    }

    #[tokio::test]
    async fn member_takes_the_place_of_the_one_before() {
        let mut child = Child::with_program(reaper(), Path::new("/bin/false")).another();
        let folder = tempfile::tempdir().unwrap();
        child.start_member(None, folder.path().to_owned());
        child.start_member(None, folder.path().to_owned());
        let mut ends = 0;
        // The program is not here: the shell says so, of the later one alone.
        while child.reports.is_some() {
            if let Report::Ended(ended) = child.next().await {
                assert_eq!(ended, Ended::Badly("exit code 127".to_owned()));
                ends += 1;
            }
        }
        assert_eq!(ends, 1);
    }

    #[tokio::test]
    async fn every_end_of_a_runner_is_understood() {
        let well = |ending| Ended::Well { ending, has_spoken: false };
        for (script, expected) in [
            ("exit 0", well(Ending::Idle)),
            ("exit 3", well(Ending::Refused)),
            ("exit 16", well(Ending::Stop)),
            ("exit 32", well(Ending::PowerOff)),
            ("exit 1", Ended::Badly("exit code 1".to_owned())),
            ("kill -9 $$", Ended::Badly("signal 9".to_owned())),
        ] {
            assert_eq!(told(script).await.1, expected, "{script}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_and_nothing_in_it_moves_the_cursor() {
        let (said, _) = told("printf '\\033[2J'; head -c 900 /dev/zero | tr '\\0' x; echo").await;
        assert!(said.iter().all(|line| line.len() <= MAX_LINE && !line.contains('\u{1b}')), "{said:?}");
        assert_eq!(said.concat().matches('x').count(), 900);
    }

    #[test]
    fn pins_that_the_server_told_count_beside_those_of_the_medium() {
        let mut child = Child::new(None);
        let [a, b, c] = [1, 2, 3].map(|byte| SpkiPin([byte; 32]));
        assert_eq!(child.pins(&[a]), [a]);
        child.trust(&[a, b]);
        child.trust(&[]);
        assert_eq!(child.pins(&[a]), [a, b]);
        child.trust(&[b, c]);
        assert_eq!(child.pins(&[a]), [a, b, c]);
    }
}
