//! Project chores too long for a shell line. `cargo xtask` is spelled `cargo run -p xtask --`.
//!
//! `check` holds the tree to the budgets and borders of ARCHITECTURE.md, offline and in
//! seconds; `docs` writes the generated pages under `docs/` and the list of the agent's crates anew;
//! `fuzz` builds the fuzz targets and runs them.

mod check;
mod crates;
mod docs;
mod files;
mod fuzz;
mod metadata;
mod rust;
mod spdx;

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: xtask check | docs [--muster FILE] | fuzz [--time SECONDS] [--target NAME]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            report(&format!("xtask: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: Vec<String>) -> Result<ExitCode> {
    let root = workspace_root()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check::run(&root),
        ["docs"] => docs::write(&root, None).map(|()| ExitCode::SUCCESS),
        ["docs", "--muster", program] => {
            docs::write(&root, Some(PathBuf::from(program))).map(|()| ExitCode::SUCCESS)
        }
        ["fuzz", options @ ..] => match fuzz::Options::parse(options) {
            Some(options) => fuzz::run(&root, &options),
            None => bail!("{USAGE}"),
        },
        _ => bail!("{USAGE}"),
    }
}

/// The folder of the workspace's `Cargo.toml`: the parent of this crate's. Asked for at run time,
/// since clones that share a target directory share this program.
fn workspace_root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.context("start it with cargo run -p xtask")?;
    manifest.parent().map(PathBuf::from).context("this crate lies in no workspace")
}

/// One line for people, on standard error.
fn report(line: &str) {
    if let Err(error) = writeln!(std::io::stderr(), "{line}") {
        // Nobody is listening any more; the exit code still tells.
        drop(error);
    }
}
