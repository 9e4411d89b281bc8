//! Tables: the same for the terminal and for `docs/performance.md`, drawn from the record alone.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::record::{Layout, Metric, Outcome, Record, Suite};
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
        "### {name}\n\n{}, `{}`, highest {}; {}.\n\n",
        suite.taken_on,
        suite.command,
        suite.shown_load(),
        inputs.join(", ")
    );
    text.push_str(&match suite.layout {
        Layout::List => list(suite),
        Layout::Grid => grid(suite),
    });
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

fn metrics(suite: &Suite) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = suite.rows.iter().map(|row| row.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    metrics
}

fn list(suite: &Suite) -> String {
    let metrics = metrics(suite);
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

fn grid(suite: &Suite) -> String {
    let (mut names, mut tasks): (Vec<&str>, Vec<&str>) = Default::default();
    for (name, task) in suite.rows.iter().filter_map(|row| row.contender.split_once(", ")) {
        if !names.contains(&name) {
            names.push(name);
        }
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }
    let mut tables = Vec::new();
    for metric in metrics(suite) {
        let mut text = String::new();
        line(&mut text, &format!("| {}{} | {} |", metric.title(), doubt(suite, metric), names.join(" | ")));
        line(&mut text, &format!("|---|{}", "---|".repeat(names.len())));
        for task in &tasks {
            let contenders = || names.iter().map(|name| format!("{name}, {task}"));
            if !contenders().any(|contender| suite.samples(&contender, metric).is_some()) {
                continue;
            }
            let cells = contenders().map(|contender| {
                let remark = suite.remarks.get(&contender).map(|remark| format!(" ({remark})"));
                value(suite.samples(&contender, metric), metric) + remark.as_deref().unwrap_or_default()
            });
            line(&mut text, &format!("| {task} | {} |", cells.collect::<Vec<_>>().join(" | ")));
        }
        tables.push(text);
    }
    tables.join("\n")
}

/// A cell of a list: the value, and what is to be thought of it.
fn cell(suite: &Suite, samples: Option<&[f64]>, metric: Metric) -> String {
    let text = value(samples, metric);
    if samples.is_some() { text + &doubt(suite, metric) } else { text }
}

/// Whether numbers of this kind are bounds only.
fn doubt(suite: &Suite, metric: Metric) -> String {
    match metric.needs_calm() && !suite.was_calm() {
        true => format!(" ({}: a bound only)", suite.shown_load()),
        false => String::new(),
    }
}

/// Median, range and number of samples.
fn value(samples: Option<&[f64]>, metric: Metric) -> String {
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
    text
}

fn ratios(suite: &Suite) -> String {
    let mut text =
        String::from("| ratio | of | median | 95 % interval | rounds | |\n|---|---|---|---|---|---|\n");
    for ratio in &suite.ratios {
        let claim = if ratio.metric.needs_calm() && !suite.was_calm() {
            format!("no claim under {}", suite.shown_load())
        } else {
            ratio.verdict().to_owned()
        };
        line(
            &mut text,
            &format!(
                "| {} | {} | {:.3} | {:.3} - {:.3} | {} | {claim} |",
                pair(&ratio.of, &ratio.to),
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

/// The names of a ratio. What both are said to do is said once.
fn pair(of: &str, to: &str) -> String {
    match (of.split_once(", "), to.split_once(", ")) {
        (Some((of, task)), Some((to, same))) if task == same => format!("{of} / {to}, {task}"),
        _ => format!("{of} / {to}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::machine;
    use crate::record::{LoadOf, NotRun, Target};
    use std::path::PathBuf;

    fn sample() -> Suite {
        let mut suite = Suite {
            taken_on: "2026-11-22".to_owned(),
            command: "make bench SUITE=build".to_owned(),
            load: 4.25,
            ..Suite::default()
        };
        suite.inputs.insert("kernel".to_owned(), "6.1.0-56-amd64".to_owned());
        for (cpu, wall) in [(0.5, 1.0), (0.7, 3.0), (0.6, 2.0)] {
            suite.add("muster", Metric::Cpu, cpu);
            suite.add("muster", Metric::Wall, wall);
            suite.add("dracut", Metric::Cpu, 20.0);
        }
        suite.compare("muster", "dracut", Metric::Cpu);
        let (text, value) = ("build <= 0.5 s CPU".to_owned(), "0.600".to_owned());
        let outcome = Outcome::NotReached { because: "hashing".to_owned() };
        suite.targets.push(Target { text, value, outcome });
        let (contender, reason) = ("booster".to_owned(), "not in Debian".to_owned());
        suite.not_run.push(NotRun { contender, reason });
        suite
    }

    #[test]
    fn a_suite_is_told_with_its_doubts() {
        let expected = "\
### build

2026-11-22, `make bench SUITE=build`, highest load 4.2; kernel 6.1.0-56-amd64.

| | CPU, s | wall, s |
|---|---|---|
| muster | 0.600 [0.500 - 0.700] n=3 | 2.000 [1.000 - 3.000] n=3 (load 4.2: a bound only) |
| dracut | 20.0 n=3 | - |

| ratio | of | median | 95 % interval | rounds | |
|---|---|---|---|---|---|
| muster / dracut | CPU, s | 0.030 | 0.025 - 0.035 | 3 | less |

| target | measured | |
|---|---|---|
| build <= 0.5 s CPU | 0.600 | **not reached**: hashing |

not run: booster: not in Debian
";
        assert_eq!(suite("build", &sample()), expected);
    }

    #[test]
    fn a_grid_has_a_table_for_each_metric_and_a_column_for_each_contender() {
        let mut suite =
            Suite { layout: Layout::Grid, load_of: LoadOf::Others, load: 0.75, ..Suite::default() };
        for (contender, rate, cpu) in [
            ("muster, 1 client", 900.0, 0.4),
            ("peer, 1 client", 450.0, 1.2),
            ("peer, 8 clients", 400.0, 1.3),
        ] {
            suite.add(contender, Metric::Rate, rate);
            suite.add(contender, Metric::Rate, rate + 100.0);
            suite.add(contender, Metric::ServerCpuPerMegabyte, cpu);
        }
        suite.add("peer, 64 clients apart", Metric::Rate, 300.0);
        suite.remarks.insert("peer, 8 clients".to_owned(), "window 1".to_owned());
        let expected = "\
| MB/s (load of others 0.8: a bound only) | muster | peer |
|---|---|---|
| 1 client | 950 [900 - 1000] n=2 | 500 [450 - 550] n=2 |
| 8 clients | - | 450 [400 - 500] n=2 (window 1) |
| 64 clients apart | - | 300 |

| server's CPU, ms/MB | muster | peer |
|---|---|---|
| 1 client | 0.400 | 1.200 |
| 8 clients | - | 1.300 (window 1) |
";
        assert_eq!(grid(&suite), expected);
    }

    #[test]
    fn what_two_contenders_both_do_is_said_once() {
        assert_eq!(pair("muster, 1 client", "peer, 1 client"), "muster / peer, 1 client");
        assert_eq!(pair("muster, cold", "peer"), "muster, cold / peer");
        assert_eq!(pair("muster, static file", "peer, file"), "muster, static file / peer, file");
    }

    #[test]
    fn a_block_is_replaced_between_its_marks_and_nowhere_else() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nAfter.\n");
        let new = replace_block(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter.\n"));
        assert_eq!(replace_block(&new, "new\n").unwrap(), new);
        assert!(replace_block("# Title\n", "new").is_err());
    }

    #[test]
    fn the_page_shows_the_newest_record() {
        let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        let records = std::fs::read_dir(root.join("results")).unwrap().map(|entry| entry.unwrap().path());
        let newest =
            records.filter(|path| path.extension().is_some_and(|kind| kind == "json")).max().unwrap();
        let block = document(&Record::read(&newest).unwrap().unwrap());
        let page = std::fs::read_to_string(root.join("../docs/performance.md")).unwrap();
        assert!(
            replace_block(&page, &block).unwrap() == page,
            "run make bench-report: {newest:?} is not shown"
        );
    }

    #[test]
    fn a_record_begins_with_its_computer() {
        let mut record = Record::new(machine());
        record.suites.insert("build".to_owned(), sample());
        let text = document(&record);
        assert!(text.starts_with("2 processors (Example CPU), 24 GiB, QEMU 7.2.22 without KVM"), "{text}");
        assert!(text.contains("\n### build\n"));
    }
}
