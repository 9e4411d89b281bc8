//! `make bench`: Muster and its peers, measured side by side.
//!
//! A suite lets contenders do the same work in alternating rounds, checks every result before a
//! number counts, and says what became of the promises. What is not there is said, not skipped.
//! Numbers go into one JSON document; the tables of `docs/performance.md` are drawn from it.

mod boot;
mod computer;
mod contest;
mod downloads;
mod guest;
mod install;
mod judge;
mod measure;
mod meter;
mod modules;
mod peers;
mod record;
mod report;
mod room;
mod stage;
mod statistics;
mod subject;
mod suites;
mod tftp_client;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::record::{Record, Suite};
use crate::stage::Stage;

/// Measures Muster beside its peers
#[derive(Debug, Parser)]
#[command(name = "bench", disable_help_subcommand = true)]
enum Args {
    /// Bytes: initial ramdisks on one module list, the ISO's overhead, the agent
    Size(Run),
    /// Seconds to /init, and to a code on the screen
    Boot(Run),
    /// Cost of building media, warm and cold
    Build(Run),
    /// Cost of personalising a download
    Personalise(Run),
    /// Creating, finding and listing 100,000 machines through the API
    Model(Run),
    /// The Machines page with 100,000 machines, in Chromium
    Dashboard(Run),
    /// Boot files over plain HTTP, to 1, 8 and 64 clients
    Http(Run),
    /// Boot files over TFTP, at every block size, window and number of clients
    Tftp(Run),
    /// Images onto disks and layers into folders
    Image(Run),
    /// All of these
    All(Run),
    /// Draws the tables of a JSON document, or checks a page that holds them
    Report(Report),
    /// Runs a program and writes what it cost into a file
    #[command(hide = true)]
    Measure {
        file: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// A piece of our code, for callgrind
    #[command(hide = true, subcommand)]
    Subject(subject::Piece),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Peers that take part; all unless named
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    peers: Vec<String>,
    /// Rounds of what is cheap; boots and cold builds take fewer
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Media directory under test; the one that `make media` writes unless named
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// JSON document to put the results into, beside suites that it already holds
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Report {
    /// JSON document of a run
    record: PathBuf,
    /// Page whose table block is written anew
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

type RunSuite = fn(&Stage) -> Result<Suite>;
const SUITES: [(&str, RunSuite); 9] = [
    ("size", suites::size::run),
    ("build", suites::build::run),
    ("personalise", suites::personalise::run),
    ("boot", suites::boot::run),
    ("model", suites::model::run),
    ("dashboard", suites::dashboard::run),
    ("tftp", suites::tftp::run),
    ("http", suites::http::run),
    ("image", suites::image::run),
];

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            if let Err(deaf) = writeln!(std::io::stderr(), "bench: {error:#}") {
                // Nobody is listening any more; the exit code still tells.
                drop(deaf);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<ExitCode> {
    match args {
        Args::Size(run) => measure_suites(&["size"], run),
        Args::Boot(run) => measure_suites(&["boot"], run),
        Args::Build(run) => measure_suites(&["build"], run),
        Args::Personalise(run) => measure_suites(&["personalise"], run),
        Args::Model(run) => measure_suites(&["model"], run),
        Args::Dashboard(run) => measure_suites(&["dashboard"], run),
        Args::Http(run) => measure_suites(&["http"], run),
        Args::Tftp(run) => measure_suites(&["tftp"], run),
        Args::Image(run) => measure_suites(&["image"], run),
        Args::All(run) => measure_suites(&SUITES.map(|(name, _)| name), run),
        Args::Report(Report { record, into }) => draw(&record, into.as_deref()),
        Args::Measure { file, command } => measure::stand_by(&file, &command),
        Args::Subject(piece) => subject::run(&piece).map(|()| ExitCode::SUCCESS),
    }
}

fn measure_suites(names: &[&str], run: Run) -> Result<ExitCode> {
    let stage = Stage::new(usize::from(run.rounds), run.peers, run.media)?;
    let machine = computer::describe()?;
    for (name, suite) in SUITES.iter().filter(|(name, _)| names.contains(name)) {
        stage.tell(&format!("=== {name} (load {:.1})", computer::load()?))?;
        let measured = suite(&stage).with_context(|| format!("the suite {name}"))?;
        stage.tell(&report::suite(name, &measured))?;
        let mut record = Record::new(machine.clone());
        record.suites.insert((*name).to_owned(), measured);
        if let Some(path) = &run.json {
            record.merge_into(path)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn draw(record: &Path, page: Option<&Path>) -> Result<ExitCode> {
    let record = Record::read(record)?.with_context(|| format!("there is no {}", record.display()))?;
    let block = report::document(&record);
    match page {
        None => writeln!(std::io::stdout().lock(), "{block}")?,
        Some(path) => {
            let text = String::from_utf8(stage::read(path)?).context("the page is not UTF-8")?;
            stage::write(path, report::replace_block(&text, &block)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
