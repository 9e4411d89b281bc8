//! Tables: the same for the terminal and for `docs/performance.md`, drawn from the record alone.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::record::{CALM, Metric, Outcome, Record, Suite};
use crate::statistics::{median, range};

/// Lines between which a page holds the tables.
const BEGIN: &str = "<!-- bench: begin (make bench-report writes this block) -->";
const END: &str = "<!-- bench: end -->";

/// Everything of a record.
pub(crate) fn document(record: &Record) -> String {
    let machine = &record.machine;
    let mut text = format!(
        "{} processors ({}), {} GiB, QEMU {} without KVM (`-accel tcg -cpu max`, one processor, 1 GiB).\n",
        machine.processors, machine.processor, machine.memory_gib, machine.qemu
    );
    for (name, measured) in &record.suites {
        text.push('\n');
        text.push_str(&suite(name, measured));
    }
    text
}

/// One suite: what was given, rows, ratios, targets, who did not run.
pub(crate) fn suite(name: &str, suite: &Suite) -> String {
    let inputs: Vec<String> = suite.inputs.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let mut text = format!(
        "### {name}\n\n{}, `{}`, highest load {:.1}; {}.\n\n",
        suite.taken_on,
        suite.command,
        suite.load,
        inputs.join(", ")
    );
    text.push_str(&rows(suite));
    if !suite.ratios.is_empty() {
        text.push('\n');
        text.push_str(&ratios(suite));
    }
    text.push('\n');
    text.push_str(&targets(suite));
    for not in &suite.not_run {
        line(&mut text, &format!("\nnot run: {}: {}", not.contender, not.reason));
    }
    text
}

fn rows(suite: &Suite) -> String {
    let mut metrics: Vec<Metric> = suite.rows.iter().map(|row| row.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let mut contenders: Vec<&str> = Vec::new();
    for row in &suite.rows {
        if !contenders.contains(&row.contender.as_str()) {
            contenders.push(&row.contender);
        }
    }
    let mut text = String::new();
    let titles: Vec<&str> = metrics.iter().map(|metric| metric.title()).collect();
    line(&mut text, &format!("| | {} |", titles.join(" | ")));
    line(&mut text, &format!("|---|{}", "---|".repeat(metrics.len())));
    for contender in contenders {
        let cells: Vec<String> =
            metrics.iter().map(|metric| cell(suite, suite.samples(contender, *metric), *metric)).collect();
        line(&mut text, &format!("| {contender} | {} |", cells.join(" | ")));
    }
    text
}

/// Median, range and number of samples.
fn cell(suite: &Suite, samples: Option<&[f64]>, metric: Metric) -> String {
    let Some(samples) = samples else { return "-".to_owned() };
    let (Some(middle), Some((low, high))) = (median(samples), range(samples)) else { return "-".to_owned() };
    let [middle, low, high] = [middle, low, high].map(|value| metric.show(value));
    let mut text = match low == high {
        true => middle,
        false => format!("{middle} [{low} - {high}]"),
    };
    if samples.len() > 1 {
        text.push_str(&format!(" n={}", samples.len()));
    }
    if metric.needs_calm() && suite.load > CALM {
        text.push_str(&format!(" (load {:.1}: a bound only)", suite.load));
    }
    text
}

fn ratios(suite: &Suite) -> String {
    let mut text =
        String::from("| ratio | of | median | 95 % interval | rounds | |\n|---|---|---|---|---|---|\n");
    for ratio in &suite.ratios {
        let claim = if ratio.metric.needs_calm() && !suite.was_calm() {
            format!("no claim under load {:.1}", suite.load)
        } else {
            ratio.verdict().to_owned()
        };
        line(
            &mut text,
            &format!(
                "| {} / {} | {} | {:.3} | {:.3} - {:.3} | {} | {claim} |",
                ratio.of,
                ratio.to,
                ratio.metric.title(),
                ratio.median,
                ratio.low,
                ratio.high,
                ratio.rounds
            ),
        );
    }
    text
}

fn targets(suite: &Suite) -> String {
    let mut text = String::from("| target | measured | |\n|---|---|---|\n");
    for target in &suite.targets {
        let outcome = match &target.outcome {
            Outcome::Reached => "reached".to_owned(),
            Outcome::NotReached { because } => format!("**not reached**: {because}"),
            Outcome::Unknown { because } => format!("not known: {because}"),
        };
        line(&mut text, &format!("| {} | {} | {outcome} |", target.text, target.value));
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    if writeln!(text, "{line}").is_err() {
        text.push('\n');
    }
}

/// The page with the block between its two marks replaced.
pub(crate) fn replace_block(page: &str, block: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", block.trim_end()))
}
