//! Checks of the whole tree. Each finding says what is wrong, where, which limit it passes and
//! what to do about it.

mod agent;
mod documents;
mod layers;
mod packages;
mod sizes;
mod words;

use crate::files::{self, SourceFile};
use crate::metadata::Graph;
use crate::report;
use anyhow::Result;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Something to mend.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File and line, or package.
    pub(crate) place: String,
    /// What is wrong, with the limit.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.problem, self.remedy)
    }
}

/// What the checks look at.
pub(crate) struct Tree<'a> {
    /// The workspace's folder.
    pub(crate) root: &'a Path,
    /// Its text files.
    pub(crate) files: Vec<SourceFile>,
    /// Its packages.
    pub(crate) graph: Graph,
}

type Check = fn(&Tree<'_>) -> Result<Vec<Finding>>;

const CHECKS: [(&str, Check); 11] = [
    ("file, function and handler sizes", sizes::check),
    ("borders between crates", layers::check_crates),
    ("borders between the server's rooms", layers::check_rooms),
    ("unsafe code in one file", words::check_unsafe),
    ("words that must not be committed", words::check_words),
    ("licences", packages::check_licences),
    ("sources and banned packages", packages::check_sources),
    ("duplicate packages", packages::check_duplicates),
    ("agent's size and dependencies", agent::check),
    ("list of the agent's crates", |tree| crate::crates::check(tree.root, &tree.graph)),
    ("documents", documents::check),
];

/// Runs every check, prints the findings, and says how it went.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    let tree = Tree { root, files: files::load(root)?, graph: Graph::load(root)? };
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS {
        let findings = check(&tree)?;
        if findings.is_empty() {
            passed += 1;
            continue;
        }
        failed += 1;
        report(&format!("{name}: {} to mend", findings.len()));
        for finding in findings {
            report(&format!("  {finding}"));
        }
    }
    let seconds = begun.elapsed().as_secs_f32();
    report(&format!("tree checks: {passed} passed, {failed} failed in {seconds:.1} s"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
