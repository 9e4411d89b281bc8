//! Runs a program and says what it cost.
//!
//! The program is started by a second copy of this one (`bench measure`), which has no other
//! child: what the kernel counts for its children is then the program's, with everything that it
//! started and waited for. Instructions are counted by valgrind's callgrind, in user space only
//! and without children.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use harness::output;
use harness::process::Spec;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::ClockId;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::record::{Metric, Sample};
use crate::stage::read;

/// Lines of a program's output that a failure shows.
const SHOWN_LINES: usize = 20;
/// Bytes of a block in the kernel's count of written blocks.
const BLOCK: f64 = 512.0;
const KIB: f64 = 1_024.0;

/// A program to run.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    within: Duration,
}

impl Call {
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        let within = Duration::from_secs(600);
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), within }
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn arg(self, arg: impl Into<OsString>) -> Self {
        self.args([arg])
    }

    pub(crate) fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Longest time it may take; ten minutes unless given.
    pub(crate) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Runs it and gives back what it printed to standard output.
    pub(crate) fn output(&self, folder: &Path, name: &str) -> Result<String> {
        let out = folder.join(format!("{name}.out"));
        remove(&out)?;
        self.measured(folder, name)?;
        let bytes = fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs it; its output goes to `NAME.out` and `NAME.err` in `folder`.
    ///
    /// # Errors
    /// When it cannot be started, takes too long or fails: with the end of what it said.
    pub(crate) fn measured(&self, folder: &Path, name: &str) -> Result<Sample> {
        let usage = folder.join(format!("{name}.usage"));
        remove(&usage)?;
        let this = std::env::current_exe().context("where this program lies is not known")?;
        let mut spec =
            Spec::new(&this, folder, name).args(["measure".into(), usage.clone().into_os_string()]);
        spec = spec.args([&self.program]).args(&self.args);
        for (key, value) in &self.env {
            spec = spec.env(key, value);
        }
        let mut process = spec.start()?;
        let status = process.wait(self.within)?;
        if !status.success() {
            let said = |path: &Path| {
                let bytes = fs::read(path).unwrap_or_default();
                output::tail(&String::from_utf8_lossy(&bytes), SHOWN_LINES)
            };
            let program = self.program.display();
            bail!("{program} ended with {status}:\n{}{}", said(process.stdout()), said(process.stderr()));
        }
        let text = fs::read(&usage).with_context(|| format!("cannot read {}", usage.display()))?;
        let usage: Usage = serde_json::from_slice(&text).context("what a program cost")?;
        Ok(usage.into())
    }

    /// Runs it under callgrind and gives back the number of instructions.
    ///
    /// # Errors
    /// As [`Call::measured`], or when valgrind says no number.
    pub(crate) fn instructions(&self, folder: &Path, name: &str) -> Result<f64> {
        let counts = folder.join(format!("{name}.callgrind"));
        remove(&counts)?;
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(&counts);
        let mut call = Self::new("valgrind").arg("--tool=callgrind").arg(file).arg(&self.program);
        call = call.args(&self.args).within(self.within);
        call.env.clone_from(&self.env);
        call.measured(folder, name)?;
        let text =
            fs::read_to_string(&counts).with_context(|| format!("cannot read {}", counts.display()))?;
        instructions_of(&text).with_context(|| format!("{} says no total", counts.display()))
    }
}

/// Whether a program is there.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The total of a callgrind file: the number after `summary:` or `totals:`.
fn instructions_of(text: &str) -> Option<f64> {
    let total = |word| text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    total("totals:").or_else(|| total("summary:"))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What the second copy writes down.
#[derive(Debug, Serialize, Deserialize)]
struct Usage {
    wall: f64,
    cpu: f64,
    peak_kib: f64,
    blocks_written: f64,
}

impl From<Usage> for Sample {
    fn from(usage: Usage) -> Self {
        Self::from([
            (Metric::Wall, usage.wall),
            (Metric::Cpu, usage.cpu),
            (Metric::PeakMemory, usage.peak_kib * KIB),
            (Metric::Written, usage.blocks_written * BLOCK),
        ])
    }
}

/// `bench measure FILE PROGRAM ARGS...`: runs the program and writes what it cost into the file.
pub(crate) fn stand_by(file: &Path, command: &[OsString]) -> Result<ExitCode> {
    // The program must not outlive a harness that is killed; this process dies with it.
    let mut words = command.iter();
    let program = PathBuf::from(words.next().context("name a program")?);
    let begun = Instant::now();
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&program)
        .args(words)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let wall = begun.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("what the children cost")?;
    let usage = Usage {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak_kib: precise(usage.max_rss()),
        blocks_written: precise(usage.block_writes()),
    };
    fs::write(file, serde_json::to_vec(&usage)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bytes that a process, and those below it, have caused to be written to disks so far.
pub(crate) fn written_by(pid: u32) -> Result<f64> {
    family(pid)?.into_iter().map(written_by_one).sum()
}

fn written_by_one(pid: u32) -> Result<f64> {
    let text = read(Path::new(&format!("/proc/{pid}/io")))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|count| count.trim().parse().ok()).with_context(|| format!("/proc/{pid}/io"))
}

/// Processor time of a process, and of those below it, so far, in seconds: to the nanosecond, and
/// with threads that have ended.
pub(crate) fn cpu_of_family(pid: u32) -> Result<f64> {
    let of_one = |pid: u32| -> Result<f64> {
        let pid = Pid::from_raw(pid.try_into().context("impossible process id")?);
        let now = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
        let now = now.with_context(|| format!("the processor time of process {pid}"))?;
        Ok(precise(now.tv_sec()) + precise(now.tv_nsec()) / 1e9)
    };
    family(pid)?.into_iter().map(of_one).sum()
}

/// A process and what descends from it.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        next += 1;
    }
    Ok(family)
}

/// Processor time of this process so far, in seconds.
pub(crate) fn own_cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("what this process costs")?;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn seconds(time: TimeVal) -> f64 {
    precise(time.tv_sec()) + precise(time.tv_usec()) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of the kernel stay far below 2^53")]
fn precise(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_total_is_found() {
        let text = "# callgrind format\nevents: Ir\nfn=(1) main\n1 5\ntotals: 8220145\n";
        assert_eq!(instructions_of(text), Some(8_220_145.0));
        assert_eq!(instructions_of("summary: 12\n"), Some(12.0));
        assert_eq!(instructions_of("fn=(1) main\n"), None);
    }
}
