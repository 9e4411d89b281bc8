//! External programs: run with their output captured, and an error that says what to install.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use thiserror::Error;

/// Most bytes of a program's error output that an error repeats, from its end.
const MAX_COMPLAINT: usize = 4_096;

/// Why an external program did not do its work.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The program is not there.
    #[error("`{program}` is not installed: install the Debian package `{package}`")]
    Missing {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// The program is there and cannot be started or read from.
    #[error("run `{program}`")]
    Run {
        /// The program.
        program: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program said no.
    #[error("`{program}` failed ({status}): {complaint}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// The end of its error output.
        complaint: String,
    },
}

/// A program and the Debian package it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

impl Tool {
    pub(crate) const APT_CACHE: Self = Self::new("apt-cache", "apt");
    pub(crate) const APT_GET: Self = Self::new("apt-get", "apt");
    pub(crate) const DPKG_DEB: Self = Self::new("dpkg-deb", "dpkg");
    pub(crate) const GRUB_MKIMAGE: Self = Self::new("grub-mkimage", "grub-common");
    pub(crate) const MKFS_VFAT: Self = Self::new("mkfs.vfat", "dosfstools");
    pub(crate) const MMD: Self = Self::new("mmd", "mtools");
    pub(crate) const MCOPY: Self = Self::new("mcopy", "mtools");

    pub(crate) const fn new(program: &'static str, package: &'static str) -> Self {
        Self { program, package }
    }

    /// A run of this program. It speaks English and plain text whoever runs it.
    pub(crate) fn command(self) -> Run {
        let mut command = Command::new(self.program);
        // mkfs.vfat lives in a directory that is not on everybody's path.
        if let Some(path) = std::env::var_os("PATH") {
            let mut dirs: Vec<_> = std::env::split_paths(&path).collect();
            dirs.extend(["/usr/sbin".into(), "/sbin".into()]);
            if let Ok(path) = std::env::join_paths(dirs) {
                command.env("PATH", path);
            }
        }
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        Run { tool: self, command }
    }

    fn error(self, source: io::Error) -> ToolError {
        if source.kind() == io::ErrorKind::NotFound {
            return ToolError::Missing { program: self.program, package: self.package };
        }
        ToolError::Run { program: self.program, source }
    }
}

/// A program about to run.
#[derive(Debug)]
pub(crate) struct Run {
    tool: Tool,
    command: Command,
}

impl Run {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs to the end and gives back what was printed.
    pub(crate) fn output(mut self) -> Result<String, ToolError> {
        let output = self.command.output().map_err(|error| self.tool.error(error))?;
        self.tool.check(output.status, &output.stderr)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> Result<(), ToolError> {
        self.output().map(|_| ())
    }

    /// Starts the program to read its output as a stream; [`Stream::finish`] must follow.
    pub(crate) fn stream(mut self) -> Result<Stream, ToolError> {
        let failed = |error| self.tool.error(error);
        // A file takes any amount of complaints without blocking the program.
        let complaints = tempfile::tempfile().map_err(failed)?;
        let stderr = complaints.try_clone().map_err(failed)?;
        let mut child = self.command.stdout(Stdio::piped()).stderr(stderr).spawn().map_err(failed)?;
        let stdout = child.stdout.take();
        Ok(Stream { tool: self.tool, child, stdout, complaints })
    }
}

impl Tool {
    fn check(self, status: ExitStatus, stderr: &[u8]) -> Result<(), ToolError> {
        if status.success() {
            return Ok(());
        }
        let start = stderr.len().saturating_sub(MAX_COMPLAINT);
        let complaint = String::from_utf8_lossy(stderr.get(start..).unwrap_or_default());
        Err(ToolError::Failed { program: self.program, status, complaint: complaint.trim().to_owned() })
    }
}

/// A running program whose output is read while it runs.
#[derive(Debug)]
pub(crate) struct Stream {
    tool: Tool,
    child: Child,
    stdout: Option<ChildStdout>,
    complaints: std::fs::File,
}

impl Stream {
    /// What the program prints.
    pub(crate) fn stdout(&mut self) -> impl Read {
        let piped = self.stdout.as_mut();
        let stream: Box<dyn Read + '_> = match piped {
            Some(stdout) => Box::new(stdout),
            None => Box::new(io::empty()),
        };
        stream
    }

    /// Closes the output, waits for the program and checks how it ended.
    pub(crate) fn finish(mut self) -> Result<(), ToolError> {
        drop(self.stdout.take());
        let failed = |error| self.tool.error(error);
        let status = self.child.wait().map_err(failed)?;
        let mut complaint = Vec::new();
        self.complaints.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.complaints.read_to_end(&mut complaint).map_err(failed)?;
        self.tool.check(status, &complaint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Tool::new("muster-no-such-program", "muster-tools").command().run();
        assert_eq!(
            error.unwrap_err().to_string(),
            "`muster-no-such-program` is not installed: install the Debian package `muster-tools`"
        );
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let run = Tool::new("sh", "dash").command().args(["-c", "echo no such thing >&2; exit 3"]);
        let error = run.run().unwrap_err().to_string();
        assert_eq!(error, "`sh` failed (exit status: 3): no such thing");
    }

    #[test]
    fn a_stream_that_ends_badly_is_an_error_after_its_output() {
        let run = Tool::new("sh", "dash").command().args(["-c", "echo out; echo bad >&2; exit 1"]);
        let mut stream = run.stream().unwrap();
        let mut text = String::new();
        stream.stdout().read_to_string(&mut text).unwrap();
        assert_eq!(text, "out\n");
        assert_eq!(stream.finish().unwrap_err().to_string(), "`sh` failed (exit status: 1): bad");
    }
}
