//! Programs that make file systems and what they lie on: each with a deadline, its words in the job's log, and
//! nothing secret among its arguments.

use super::say;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take: the slowest makes ext4 on a disk of many terabytes.
const DEADLINE: Duration = Duration::from_secs(240);
/// Longest output that is kept, in bytes.
const MAX_OUTPUT: u64 = 64 * 1_024;
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
        let (output, status) = self.spawn()?;
        let text = String::from_utf8_lossy(&output).into_owned();
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

    /// Output and status; none when it had to be ended.
    fn spawn(&self) -> Result<(Vec<u8>, Option<ExitStatus>), ToolError> {
        let start = |source| ToolError::Start { program: self.program, source };
        let (reader, writer) = io::pipe().map_err(start)?;
        let mut command = Command::new(self.program);
        command.args(&self.arguments).env_clear().envs(ENVIRONMENT).stdin(Stdio::piped());
        command.stdout(writer.try_clone().map_err(start)?).stderr(writer);
        let mut child = command.spawn().map_err(start)?;
        // Its ends of the pipe are the program's alone from here on.
        drop(command);
        let output = collect(reader).map_err(start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it says itself why.
            drop(stdin.write_all(&self.input));
        }
        let (output, status) = attend(&mut child, &output).map_err(start)?;
        Ok((output, status))
    }
}

/// Reads what a program says, on a thread: it may say more than a pipe holds.
fn collect(reader: impl Read + Send + 'static) -> io::Result<Receiver<Vec<u8>>> {
    let (tell, told) = channel();
    thread::Builder::new().name("output".to_owned()).spawn(move || {
        let mut kept = Vec::new();
        let mut reader = reader.take(MAX_OUTPUT);
        // What was read until something broke is all there is.
        drop(reader.read_to_end(&mut kept));
        drop(tell.send(kept));
        drop(io::copy(&mut reader.into_inner(), &mut io::sink()));
    })?;
    Ok(told)
}

/// Waits for the end of a program, or ends it.
fn attend(child: &mut Child, output: &Receiver<Vec<u8>>) -> io::Result<(Vec<u8>, Option<ExitStatus>)> {
    let end = Instant::now() + DEADLINE;
    let mut kept = Vec::new();
    while Instant::now() < end {
        match output.recv_timeout(TICK) {
            Ok(bytes) => kept = bytes,
            Err(RecvTimeoutError::Timeout) => {}
            // Everything was said; the end is near.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
        }
        if let Some(status) = child.try_wait()? {
            if kept.is_empty() {
                kept = output.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
            }
            return Ok((kept, Some(status)));
        }
    }
    child.kill()?;
    child.wait()?;
    Ok((kept, None))
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
