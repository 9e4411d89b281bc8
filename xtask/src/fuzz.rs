//! `make fuzz`: builds the fuzz targets with libFuzzer and runs them, two at a time.
//!
//! The compiler's own coverage pass is all that libFuzzer needs, so the stable toolchain does. What
//! an input may cost is the targets' own business (`fuzz/src/bounds.rs`); libFuzzer's limits only end
//! what hangs or grows for ever. What it learnt is kept in `target/fuzz/corpus/` for the next run, but for
//! a hunt with a seed, which begins from the committed inputs every time and so decides alike.

use crate::report;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// How rustc puts libFuzzer's counters and comparisons into the code.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Targets that run at once.
const JOBS: usize = 2;
/// Longest input, in bytes: the largest body a stranger may send.
const MAX_LEN: usize = 65_536;
/// Seconds after which one input counts as one that never ends.
const TIMEOUT: u32 = 10;
/// Memory of one program, with all it has learnt, in MiB.
const RSS_LIMIT: u32 = 1_024;
/// Lines of a log that tell a finding.
const SHOWN_LINES: usize = 12;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Seconds for each target.
    time: u32,
    /// One target, or all.
    target: Option<String>,
    /// The same hunt every time: from the committed seeds alone, with this number for luck.
    seed: Option<u32>,
}

impl Options {
    /// Reads `[--time SECONDS] [--target NAME] [--seed NUMBER]`; `None` for anything else.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self { time: 60, target: None, seed: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next()?;
            match *word {
                "--time" => options.time = value.parse().ok().filter(|seconds| *seconds > 0)?,
                "--target" => options.target = Some((*value).to_owned()),
                "--seed" => options.seed = Some(value.parse().ok().filter(|seed| *seed > 0)?),
                _ => return None,
            }
        }
        Some(options)
    }
}

/// How a target did.
struct Outcome {
    line: String,
    executed: u64,
    finding: Option<String>,
}

/// Builds and runs; fails when there is a finding.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let begun = Instant::now();
    let targets = targets(root, options.target.as_deref())?;
    build(root, &targets)?;
    let waiting = Mutex::new(targets.iter());
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = next(&waiting) {
            let outcome = hunt(root, target, options).with_context(|| format!("target {target}"));
            if let Ok(outcome) = &outcome {
                report(&outcome.line);
            }
            outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(outcome);
        }
    };
    thread::scope(|scope| (0..JOBS).for_each(|_| drop(scope.spawn(work))));
    let outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let outcomes = outcomes.into_iter().collect::<Result<Vec<Outcome>>>()?;
    let findings: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.finding.as_ref()).collect();
    findings.iter().for_each(|finding| report(finding));
    let executed: u64 = outcomes.iter().map(|outcome| outcome.executed).sum();
    let (count, seconds) = (outcomes.len(), begun.elapsed().as_secs());
    report(&format!("fuzz: {count} targets, {executed} inputs, {} findings in {seconds} s", findings.len()));
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn next<'a>(waiting: &Mutex<std::slice::Iter<'a, String>>) -> Option<&'a String> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next()
}

/// Names of the programs in `fuzz/targets`, sorted.
fn targets(root: &Path, wanted: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(root.join("fuzz/targets")).context("fuzz/targets cannot be read")? {
        let path = file?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort_unstable();
    match wanted {
        None => Ok(names),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no fuzz target {name}; there are {}", names.join(", ")),
    }
}

fn build(root: &Path, targets: &[String]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).env("RUSTFLAGS", COVERAGE);
    cargo.args(["build", "--locked", "-p", "fuzz", "--features", "libfuzzer"]);
    cargo.args(["--profile", "fuzz", "--target", TRIPLE]);
    for target in targets {
        cargo.args(["--bin", &format!("fuzz_{target}")]);
    }
    let status = cargo.status().context("cargo did not start")?;
    if !status.success() {
        bail!("the fuzz targets cannot be built");
    }
    Ok(())
}

fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs one target.
fn hunt(root: &Path, target: &str, options: &Options) -> Result<Outcome> {
    let (place, seconds) = (target_dir(root).join("fuzz"), options.time);
    let learnt = place.join(if options.seed.is_some() { "seeded" } else { "corpus" }).join(target);
    let findings = place.join("findings").join(target);
    if options.seed.is_some() && learnt.exists() {
        fs::remove_dir_all(&learnt).with_context(|| format!("{} cannot be emptied", learnt.display()))?;
    }
    for folder in [&learnt, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let log = place.join(format!("{target}.log"));
    let written = fs::File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let program = target_dir(root).join(TRIPLE).join("fuzz").join(format!("fuzz_{target}"));
    let status = Command::new(&program)
        .args([&learnt, &root.join("fuzz/corpus").join(target)])
        .arg(format!("-seed={}", options.seed.unwrap_or(0)))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-rss_limit_mb={RSS_LIMIT}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(written)
        .status()
        .with_context(|| format!("{} did not start", program.display()))?;
    // The words of a panic may be of any bytes.
    let log = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let executed = statistic(&log, "number_of_executed_units");
    let line = format!(
        "fuzz: {target:<13} {executed:>9} inputs, {:>6}/s, {:>4} MiB{}",
        statistic(&log, "average_exec_per_sec"),
        statistic(&log, "peak_rss_mb"),
        if status.success() { "" } else { ", FOUND SOMETHING" }
    );
    let finding = (!status.success()).then(|| told(target, &log));
    Ok(Outcome { line, executed, finding })
}

/// A number of libFuzzer's closing statistics.
fn statistic(log: &str, name: &str) -> u64 {
    let wanted = format!("stat::{name}:");
    log.lines().rev().find_map(|line| line.strip_prefix(&wanted)?.trim().parse().ok()).unwrap_or(0)
}

/// What was found, and how to keep it.
fn told(target: &str, log: &str) -> String {
    let begins = |line: &str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let start = log.lines().position(begins).unwrap_or(0);
    let words: Vec<&str> = log.lines().skip(start).take(SHOWN_LINES).collect();
    let input =
        log.lines().rev().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
    let input = input.unwrap_or("(no input was kept)");
    format!(
        "fuzz: {target}: {}\n  input: {input}\n  keep it: cp {input} fuzz/corpus/{target}/finding-WHAT, then cargo test -p fuzz",
        words.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_values_and_times_are_not_zero() {
        let parsed = Options::parse(&["--time", "10", "--target", "jwe", "--seed", "1"]).unwrap();
        assert_eq!(parsed, Options { time: 10, target: Some("jwe".to_owned()), seed: Some(1) });
        assert_eq!(Options::parse(&[]).unwrap().time, 60);
        for wrong in
            [&["--time"][..], &["--time", "0"], &["--time", "x"], &["--seed", "0"], &["jwe"], &["--all", "1"]]
        {
            assert_eq!(Options::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn finding_is_told_with_its_input_and_the_way_to_keep_it() {
        let log = "INFO: Seed: 1\nthread '<unnamed>' panicked at fuzz/src/text.rs:19:5:\na sentence\n\
                   artifact_prefix='x/'; Test unit written to target/fuzz/findings/net/crash-1\n\
                   stat::number_of_executed_units: 42\n";
        assert_eq!(statistic(log, "number_of_executed_units"), 42);
        assert_eq!(statistic(log, "peak_rss_mb"), 0);
        let told = told("net", log);
        assert!(
            told.starts_with("fuzz: net: thread '<unnamed>' panicked at fuzz/src/text.rs:19:5:"),
            "{told}"
        );
        assert!(told.contains("cp target/fuzz/findings/net/crash-1 fuzz/corpus/net/finding-WHAT"), "{told}");
    }
}
