//! What a run of the benchmarks leaves behind: one JSON document that says what was measured,
//! where, and what came out. Tables are drawn from it and from nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::statistics::{Interval, median, paired_ratio};

/// Version of the document.
const SCHEMA: u32 = 1;
/// Highest load average (one minute) at which a wall time is more than an upper bound.
const CALM: f64 = 1.5;
/// The same of processors that others keep busy: a load average of [`CALM`] while one of ours works.
const CALM_OTHERS: f64 = 0.5;

/// What is measured, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Bytes of an initial ramdisk.
    Initrd,
    /// Bytes of a program.
    Program,
    /// Bytes that are neither kernel nor initial ramdisk.
    Overhead,
    /// Seconds of processor time, children included.
    Cpu,
    /// Seconds on the wall.
    Wall,
    /// Seconds until the kernel starts `/init`, on a clock that counts the machine's
    /// instructions, one a nanosecond.
    ToInit,
    /// Seconds on the same clock until a person sees a code, or a peer's first hook runs.
    ToSign,
    /// Instructions in user space.
    Instructions,
    /// Bytes of memory at the peak, of the largest process.
    PeakMemory,
    /// Bytes of memory in use at rest.
    IdleMemory,
    /// Bytes written to files.
    Written,
    /// Megabytes (10^6) a second.
    Rate,
    /// Milliseconds of processor time for a megabyte, client and server together.
    CpuPerMegabyte,
    /// The same of the server alone, with all that it starts.
    ServerCpuPerMegabyte,
    /// Requests answered a second.
    RequestRate,
    /// Milliseconds of processor time for a request, client and server together.
    CpuPerRequest,
    /// Share of the time in which the clients' processor had work, in percent.
    ClientBusy,
    /// Objects created a second.
    CreateRate,
    /// Milliseconds of the server's processor time for an object.
    CpuPerObject,
    /// Milliseconds until a whole answer is there, the median of many.
    Answer,
    /// Milliseconds from a navigation to the first row on the page.
    FirstRows,
    /// Milliseconds of processor time of the page's main thread.
    MainThread,
    /// Bytes of the scripts that the first page needs, compressed.
    InitialScript,
}

impl Metric {
    /// What a table's column calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Initrd => "initrd, bytes",
            Self::Program => "program, bytes",
            Self::Overhead => "ISO beside kernel and initrd, bytes",
            Self::Cpu => "CPU, s",
            Self::Wall => "wall, s",
            Self::ToInit => "to /init, s of the machine",
            Self::ToSign => "to code or hook, s of the machine",
            Self::Instructions => "instructions",
            Self::PeakMemory => "peak memory, bytes",
            Self::IdleMemory => "memory at rest, bytes",
            Self::Written => "bytes written",
            Self::Rate => "MB/s",
            Self::CpuPerMegabyte => "CPU, ms/MB",
            Self::ServerCpuPerMegabyte => "server's CPU, ms/MB",
            Self::ClientBusy => "clients' processor busy, %",
            Self::RequestRate => "requests a second",
            Self::CpuPerRequest => "CPU, ms a request",
            Self::CreateRate => "created a second",
            Self::CpuPerObject => "server's CPU, ms each",
            Self::Answer => "answer, ms",
            Self::FirstRows => "to the first rows, ms",
            Self::MainThread => "main thread, ms",
            Self::InitialScript => "initial JavaScript, bytes gzipped",
        }
    }

    /// Whether a busy computer changes it.
    pub(crate) fn needs_calm(self) -> bool {
        matches!(
            self,
            Self::Wall | Self::Rate | Self::RequestRate | Self::CreateRate | Self::Answer | Self::FirstRows
        )
    }

    /// A value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Initrd
            | Self::Program
            | Self::Overhead
            | Self::Instructions
            | Self::PeakMemory
            | Self::IdleMemory
            | Self::Written
            | Self::InitialScript => thousands(value),
            Self::Cpu
            | Self::Wall
            | Self::ToInit
            | Self::ToSign
            | Self::CpuPerMegabyte
            | Self::ServerCpuPerMegabyte
            | Self::CpuPerRequest
            | Self::CpuPerObject
            | Self::Answer
            | Self::FirstRows
            | Self::MainThread => format!("{value:.*}", if value < 10.0 { 3 } else { 1 }),
            Self::Rate | Self::ClientBusy | Self::RequestRate | Self::CreateRate => format!("{value:.0}"),
        }
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < -0.5 { format!("-{grouped}") } else { grouped }
}

/// What one run of one contender gave.
pub(crate) type Sample = BTreeMap<Metric, f64>;

/// All samples of a contender for one metric, in the order of the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) contender: String,
    pub(crate) metric: Metric,
    pub(crate) samples: Vec<f64>,
}

/// A ratio of two rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) of: String,
    pub(crate) to: String,
    pub(crate) metric: Metric,
    pub(crate) rounds: usize,
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// What the interval allows to say.
    pub(crate) fn verdict(&self) -> &'static str {
        if self.low > 1.0 {
            "more"
        } else if self.high < 1.0 {
            "less"
        } else {
            "no difference"
        }
    }
}

/// A contender that did not run, or failed in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotRun {
    pub(crate) contender: String,
    pub(crate) reason: String,
}

/// What became of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum Outcome {
    /// Met.
    Reached,
    /// Missed, with where it goes.
    NotReached { because: String },
    /// Not measured well enough to say.
    Unknown { because: String },
}

/// A target and the value that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// What was promised, in words.
    pub(crate) text: String,
    /// What came out, in words.
    pub(crate) value: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What the load of a suite is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoadOf {
    /// The load average before each run, our own work included.
    #[default]
    Everything,
    /// Processors that anything but the measured kept busy meanwhile; for suites that keep all
    /// processors busy themselves.
    Others,
}

impl LoadOf {
    /// Highest load at which a wall time is more than a bound.
    pub(crate) fn calm(self) -> f64 {
        match self {
            Self::Everything => CALM,
            Self::Others => CALM_OTHERS,
        }
    }

    /// Its name in sentences.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Everything => "load",
            Self::Others => "load of others",
        }
    }
}

/// How the rows of a suite are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    /// One table: contenders below each other, metrics beside each other.
    #[default]
    List,
    /// A table for each metric. Contenders are named `WHO, TASK`: tasks stand below each other.
    Grid,
}

/// One suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Suite {
    /// UTC date, `YYYY-MM-DD`.
    pub(crate) taken_on: String,
    /// The command that does it again.
    pub(crate) command: String,
    /// The highest load before or during any run.
    pub(crate) load: f64,
    #[serde(default)]
    pub(crate) load_of: LoadOf,
    #[serde(default)]
    pub(crate) layout: Layout,
    /// What both sides were given: names and digests.
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
    /// What a reader must know of a contender's numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) remarks: BTreeMap<String, String>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) targets: Vec<Target>,
    pub(crate) not_run: Vec<NotRun>,
}

impl Suite {
    /// The samples of a contender.
    pub(crate) fn samples(&self, contender: &str, metric: Metric) -> Option<&[f64]> {
        let row = self.rows.iter().find(|row| row.contender == contender && row.metric == metric)?;
        Some(&row.samples)
    }

    /// The median of a contender.
    pub(crate) fn median(&self, contender: &str, metric: Metric) -> Option<f64> {
        median(self.samples(contender, metric)?)
    }

    /// Adds one sample.
    pub(crate) fn add(&mut self, contender: &str, metric: Metric, value: f64) {
        let known = self.rows.iter_mut().find(|row| row.contender == contender && row.metric == metric);
        match known {
            Some(row) => row.samples.push(value),
            None => {
                let (contender, samples) = (contender.to_owned(), vec![value]);
                self.rows.push(Row { contender, metric, samples });
            }
        }
    }

    /// Adds the ratio of two contenders, when both have been measured.
    pub(crate) fn compare(&mut self, of: &str, to: &str, metric: Metric) {
        let (Some(ours), Some(theirs)) = (self.samples(of, metric), self.samples(to, metric)) else { return };
        let rounds = ours.len().min(theirs.len());
        let Some(Interval { median, low, high }) = paired_ratio(ours, theirs) else { return };
        self.ratios.push(Ratio { of: of.to_owned(), to: to.to_owned(), metric, rounds, median, low, high });
    }

    /// A ratio added before.
    pub(crate) fn ratio(&self, of: &str, to: &str, metric: Metric) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.of == of && ratio.to == to && ratio.metric == metric)
    }

    /// Whether the computer had nothing else to do.
    pub(crate) fn was_calm(&self) -> bool {
        self.load <= self.load_of.calm()
    }

    /// The load in words: `load 2.1`.
    pub(crate) fn shown_load(&self) -> String {
        format!("{} {:.1}", self.load_of.title(), self.load)
    }
}

/// The computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: u64,
    pub(crate) qemu: String,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schema: u32,
    pub(crate) machine: Machine,
    pub(crate) suites: BTreeMap<String, Suite>,
}

impl Record {
    /// An empty one.
    pub(crate) fn new(machine: Machine) -> Self {
        Self { schema: SCHEMA, machine, suites: BTreeMap::new() }
    }

    /// Reads a document.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let record: Self = serde_json::from_str(text).context("this is no record of measurements")?;
        if record.schema != SCHEMA {
            bail!("the record has schema {} and this program reads {SCHEMA}", record.schema);
        }
        Ok(record)
    }

    /// Reads a file; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Puts these suites into a file beside those it holds. Suites of one file were all measured
    /// on one computer.
    pub(crate) fn merge_into(&self, path: &Path) -> Result<()> {
        let mut all = Self::read(path)?.unwrap_or_else(|| Self::new(self.machine.clone()));
        if all.machine != self.machine {
            bail!("{} was measured on another computer: name another file", path.display());
        }
        all.suites.extend(self.suites.clone());
        let mut text = serde_json::to_string_pretty(&all)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn machine() -> Machine {
        Machine {
            processors: 2,
            processor: "Example CPU".to_owned(),
            memory_gib: 24,
            qemu: "7.2.22".to_owned(),
        }
    }

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(Metric::Initrd.show(24_845_108.0), "24,845,108");
        assert_eq!(Metric::Instructions.show(-1_200.0), "-1,200");
        assert_eq!(Metric::Written.show(0.0), "0");
        assert_eq!(Metric::Cpu.show(0.0421), "0.042");
        assert_eq!(Metric::Wall.show(17.44), "17.4");
        assert_eq!(Metric::Rate.show(612.4), "612");
    }

    #[test]
    fn a_ratio_says_no_difference_when_its_interval_spans_one() {
        let mut suite = Suite::default();
        for (ours, theirs) in [(1.0, 2.0), (1.1, 2.0), (0.9, 2.0)] {
            suite.add("ours", Metric::Cpu, ours);
            suite.add("peer", Metric::Cpu, theirs);
            suite.add("twin", Metric::Cpu, ours);
        }
        suite.compare("ours", "peer", Metric::Cpu);
        suite.compare("ours", "twin", Metric::Cpu);
        suite.compare("ours", "absent", Metric::Cpu);
        assert_eq!(suite.ratios.len(), 2);
        let ratio = suite.ratio("ours", "peer", Metric::Cpu).unwrap();
        assert_eq!((ratio.median, ratio.rounds, ratio.verdict()), (0.5, 3, "less"));
        assert_eq!(suite.ratio("ours", "twin", Metric::Cpu).unwrap().verdict(), "no difference");
    }

    #[test]
    fn a_record_keeps_other_suites_and_refuses_another_computer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let mut first = Record::new(machine());
        first.suites.insert("size".to_owned(), Suite { load: 0.5, ..Suite::default() });
        first.merge_into(&path).unwrap();
        let mut second = Record::new(machine());
        let targets = vec![Target {
            text: "small".to_owned(),
            value: "1".to_owned(),
            outcome: Outcome::NotReached { because: "large".to_owned() },
        }];
        second.suites.insert("build".to_owned(), Suite { targets, ..Suite::default() });
        second.merge_into(&path).unwrap();
        let both = Record::read(&path).unwrap().unwrap();
        assert_eq!(both.suites.keys().collect::<Vec<_>>(), ["build", "size"]);
        assert_eq!(both.suites["build"], second.suites["build"]);
        let elsewhere = Record::new(Machine { processors: 64, ..machine() });
        assert!(elsewhere.merge_into(&path).unwrap_err().to_string().ends_with("name another file"));
        assert!(Record::parse("{}").is_err());
        assert_eq!(Record::read(&dir.path().join("none")).unwrap(), None);
    }
}
