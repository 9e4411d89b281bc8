//! The Machines page with a hundred thousand machines, in Debian's Chromium: how soon the first rows are
//! there, and what scrolling, filtering, searching and a live update cost its main thread.
//!
//! The page is the one that the server hands out, the numbers are those of Chromium's own trace
//! (`dashboard/e2e/real/rows.mjs`). No peer takes part.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::browser;
use harness::muster::Server;
use serde::Deserialize;

use super::model::{MACHINES, fill};
use super::{MUSTER, begin};
use crate::judge::value_at_most;
use crate::record::{Metric, Suite};
use crate::stage::Stage;

/// Longest time that all rounds take.
const WITHIN: Duration = Duration::from_secs(900);

const SCROLL: &str = "muster, scroll by a hundred rows";
const FILTER: &str = "muster, filter";
const SEARCH: &str = "muster, search";
const LIVE: &str = "muster, live update";

/// What the script prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    machines: u64,
    first_rows: Vec<f64>,
    scroll: Vec<f64>,
    filter: Vec<f64>,
    search: Vec<f64>,
    live: Vec<f64>,
    initial_js_kilobytes: f64,
}

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let mut suite = begin("dashboard")?;
    suite.inputs.insert("machines".to_owned(), MACHINES.to_string());
    let server = Server::builder("bench-dashboard-server").start()?;
    fill(&server)?;
    let rounds = stage.rounds.to_string();
    let told = browser::run(&server, "real/rows.mjs", &[("ROUNDS", &rounds)], WITHIN)?;
    let line = told.lines().find(|line| line.starts_with('{')).context("the script told nothing")?;
    let measured: Measured = serde_json::from_str(line).context("the script told something else")?;
    ensure!(measured.machines == MACHINES, "the page shows {} machines", measured.machines);
    record(&mut suite, &measured);
    judge(&mut suite);
    Ok(suite)
}

fn record(suite: &mut Suite, measured: &Measured) {
    let Measured { machines: _, first_rows, scroll, filter, search, live, initial_js_kilobytes } = measured;
    for value in first_rows {
        suite.add(MUSTER, Metric::FirstRows, *value);
    }
    for (name, values) in [(SCROLL, scroll), (FILTER, filter), (SEARCH, search), (LIVE, live)] {
        for value in values {
            suite.add(name, Metric::MainThread, *value);
        }
    }
    suite.add(MUSTER, Metric::InitialScript, initial_js_kilobytes * 1e3);
}

fn judge(suite: &mut Suite) {
    let because = "Chromium, server and bench share the processors";
    let first =
        value_at_most(suite, "first rows within 1 s (median)", (MUSTER, Metric::FirstRows), 1e3, because);
    suite.targets.push(first);
    for name in [SCROLL, FILTER, SEARCH, LIVE] {
        let text =
            format!("{} within 100 ms of the main thread (median)", name.trim_start_matches("muster, "));
        let target = value_at_most(suite, &text, (name, Metric::MainThread), 100.0, because);
        suite.targets.push(target);
    }
    let text = "initial JavaScript of at most 250 kB, compressed";
    let because = "see the list of files that `npm run build` prints";
    let script = value_at_most(suite, text, (MUSTER, Metric::InitialScript), 250e3, because);
    suite.targets.push(script);
}
