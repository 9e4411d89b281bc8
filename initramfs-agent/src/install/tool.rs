//! Running programs: each with a deadline, and its words in the job's log. Here are those of our tools, which make
//! file systems and what they lie on, with nothing secret among their arguments; those of the target are
//! [`super::chroot`]'s.

use super::say;
use crate::runner::TASK_FOLDER;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take: the slowest makes ext4 on a disk of many terabytes.
const DEADLINE: Duration = Duration::from_secs(240);
/// Longest output that is kept, in bytes.
const MAX_OUTPUT: usize = 64 * 1_024;
const TICK: Duration = Duration::from_millis(20);
/// What programs find in their environment, and nothing else: none of them is to wait for udev, which boot images
/// do not have.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C"),
    ("DM_DISABLE_UDEV", "1"),
    ("MDADM_NO_UDEV", "1"),
    ("LVM_SUPPRESS_FD_WARNINGS", "1"),
];

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It cannot be started.
    #[error("cannot start {program}; it comes with the tools, which 'muster-agent fetch-tools' fetches")]
    Start {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It says that something went wrong.
    #[error("{program} fails on {device}: {words}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it worked on.
        device: PathBuf,
        /// Its last two lines, or how it ended.
        words: String,
    },
    /// It does not come to an end.
    #[error("{program} has not finished with {device} in {} seconds; look at the disk's SMART data", DEADLINE.as_secs())]
    Slow {
        /// The program.
        program: &'static str,
        /// What it worked on.
        device: PathBuf,
    },
}

/// One call of a program.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    program: &'static str,
    device: &'a Path,
    arguments: Vec<String>,
    input: Vec<u8>,
}

impl<'a> Tool<'a> {
    /// A program that works on `device`, which every failure names.
    pub(super) fn new(program: &'static str, device: &'a Path) -> Self {
        Self { program, device, arguments: Vec::new(), input: Vec::new() }
    }

    /// With these arguments more.
    pub(super) fn with<T: ToString>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.to_string()));
        self
    }

    /// With one argument more.
    pub(super) fn arg(self, argument: impl ToString) -> Self {
        self.with([argument.to_string()])
    }

    /// With the device as the next argument.
    pub(super) fn on_device(self) -> Self {
        let device = self.device.display().to_string();
        self.arg(device)
    }

    /// With something to read, such as a key.
    pub(super) fn reads(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Runs it to its end; what it said.
    ///
    /// # Errors
    /// [`ToolError`].
    pub(super) fn run(self) -> Result<String, ToolError> {
        say(&format!("# {} {}", self.program, self.arguments.join(" ")));
        let (text, status) = self.spawn()?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            say(&format!("  {}", crate::report::printable(line, 400)));
        }
        match status {
            Some(status) if status.success() => Ok(text),
            Some(status) => Err(self.failed(&text, status)),
            None => Err(ToolError::Slow { program: self.program, device: self.device.to_owned() }),
        }
    }

    fn failed(&self, text: &str, status: ExitStatus) -> ToolError {
        // The very last line may be no more than where to read about it.
        let mut last: Vec<&str> =
            text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
        last.reverse();
        let words = if last.is_empty() { status.to_string() } else { last.join("; ") };
        ToolError::Failed { program: self.program, device: self.device.to_owned(), words }
    }

    fn spawn(&self) -> Result<(String, Option<ExitStatus>), ToolError> {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).env_clear().envs(ENVIRONMENT);
        attend(command, &self.input, DEADLINE)
            .map_err(|source| ToolError::Start { program: self.program, source })
    }
}

/// Runs a program to its end, or ends it after `limit`, and then what it left running: what it said last, and its
/// status; none when it had to be ended.
///
/// # Errors
/// When it cannot be started.
pub(super) fn attend(
    command: Command,
    input: &[u8],
    limit: Duration,
) -> io::Result<(String, Option<ExitStatus>)> {
    attend_as(command, input, limit, Command::spawn)
}

/// The same for a program that `start` starts: on this thread, as the last thing before it is waited for.
///
/// # Errors
/// When it cannot be started.
pub(super) fn attend_as(
    mut command: Command,
    input: &[u8],
    limit: Duration,
    start: impl FnOnce(&mut Command) -> io::Result<Child>,
) -> io::Result<(String, Option<ExitStatus>)> {
    let (reader, writer) = io::pipe()?;
    let output = collect(reader)?;
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    // Who cancels the task finds its processes by this, whatever group they are in.
    command.envs(std::env::var_os(TASK_FOLDER).map(|folder| (TASK_FOLDER, folder)));
    let mut child = start(&mut command)?;
    // Its ends of the pipe are the program's alone from here on.
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it says itself why.
        drop(stdin.write_all(input));
    }
    let status = ended(&mut child, Instant::now() + limit);
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    // Where nothing is left there is no such group.
    group.map_or(Ok(()), |group| killpg(group, Signal::SIGKILL)).unwrap_or(());
    child.wait()?;
    let said = output.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    Ok((String::from_utf8_lossy(&said).into_owned(), status?))
}

/// How a program ended by itself; none when it did not in time.
fn ended(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(TICK);
    }
    Ok(None)
}

/// Reads what a program says, on a thread: it may say more than a pipe holds. The last of it is kept, which tells
/// why something failed.
fn collect(mut reader: impl Read + Send + 'static) -> io::Result<Receiver<Vec<u8>>> {
    let (tell, told) = channel();
    thread::Builder::new().name("output".to_owned()).spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 4_096]);
        // What was read until something broke is all there is.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
            kept.drain(..kept.len().saturating_sub(MAX_OUTPUT));
        }
        drop(tell.send(kept));
    })?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_reads_its_input_and_its_output_is_kept() {
        let device = Path::new("/dev/null");
        let said = Tool::new("cat", device).reads(b"a key").run().unwrap();
        assert_eq!(said, "a key");
        let said = Tool::new("sh", device).with(["-c", "seq 100000"]).run().unwrap();
        assert_eq!(said.len(), 65_536, "no more than is kept, and it ends all the same");
        assert!(said.ends_with("\n100000\n"), "the end of it");
    }

    #[test]
    fn program_that_does_not_end_is_ended_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 600 & sleep 600"]);
        let begun = Instant::now();
        let (said, status) = attend(command, &[], Duration::from_secs(3)).unwrap();
        assert_eq!((said.as_str(), status), ("begun\n", None));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo done"]);
        let (said, status) = attend(command, &[], Duration::from_secs(60)).unwrap();
        assert_eq!((said.as_str(), status.map(|status| status.success())), ("done\n", Some(true)));
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody waits for what it left running");
    }

    #[test]
    fn failure_names_program_device_and_the_last_words() {
        let device = Path::new("/dev/sdx");
        let told = |script: &str| Tool::new("sh", device).with(["-c", script]).run().unwrap_err().to_string();
        assert_eq!(
            told("echo one; echo two; echo no space >&2; exit 3"),
            "sh fails on /dev/sdx: two; no space"
        );
        assert_eq!(told("exit 3"), "sh fails on /dev/sdx: exit status: 3");
        let missing = Tool::new("mkfs.unheard-of", device).run().unwrap_err().to_string();
        assert!(missing.starts_with("cannot start mkfs.unheard-of; it comes with the tools"), "{missing}");
    }

    #[test]
    fn nothing_of_our_environment_reaches_a_program() {
        let said = Tool::new("env", Path::new("/dev/null")).run().unwrap();
        assert!(said.contains("DM_DISABLE_UDEV=1") && !said.contains("CARGO"), "{said}");
    }
}
