//! Documents that must not lie: generated pages are as the program writes them, and every file
//! that ARCHITECTURE.md walks through exists.

use super::{Finding, Tree};
use crate::docs;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const MAP: &str = "ARCHITECTURE.md";
/// Where the agent gives each obstacle its code, and where people look codes up.
const FAULTS: &str = "initramfs-agent/src/state/fault.rs";
const CODES: &str = "docs/console-codes.md";

pub(super) fn check(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    let mut findings = walkthroughs(tree);
    findings.extend(console_codes(text_of(tree, FAULTS), text_of(tree, CODES)));
    findings.extend(generated(tree)?);
    Ok(findings)
}

/// Paths in backquotes whose first part is a folder of the tree must exist.
fn walkthroughs(tree: &Tree<'_>) -> Vec<Finding> {
    let Some(map) = tree.files.iter().find(|file| file.path == MAP) else {
        return vec![Finding {
            place: MAP.to_owned(),
            problem: "is missing".to_owned(),
            remedy: "write the map of the crates and flows",
        }];
    };
    // What git knows, not what lies about: an empty folder is not in anybody's clone.
    let known = |path: &str| {
        tree.files
            .iter()
            .any(|file| file.path == path || (path.ends_with('/') && file.path.starts_with(path)))
    };
    let mut findings = Vec::new();
    for (index, line) in map.text.lines().enumerate() {
        for path in quoted_paths(line).filter(|path| !known(path)) {
            findings.push(Finding {
                place: format!("{MAP}:{}", index + 1),
                problem: format!("names {path}, which does not exist"),
                remedy: "follow the code: name the file that does this now",
            });
        }
    }
    findings
}

/// `a/b.rs` and `a/b/` in backquotes; words with spaces, routes and commands are none.
fn quoted_paths(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        !word.starts_with('/')
            && word.contains('/')
            && (word.ends_with('/') || word.rsplit('/').next().is_some_and(|name| name.contains('.')))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    line.split('`').skip(1).step_by(2).filter(is_path)
}

fn text_of<'a>(tree: &'a Tree<'_>, path: &str) -> &'a str {
    tree.files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
}

/// The table names exactly the codes the agent shows.
fn console_codes(faults: &str, table: &str) -> Vec<Finding> {
    let shown: BTreeSet<&str> = faults
        .lines()
        .filter_map(|line| line.split_once("=> \"E")?.1.get(..2))
        .filter(|code| is_number(code))
        .collect();
    let told: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| E")?.get(..2))
        .filter(|code| is_number(code))
        .collect();
    let mut findings = Vec::new();
    if shown.is_empty() {
        findings.push(Finding {
            place: FAULTS.to_owned(),
            problem: "gives no codes".to_owned(),
            remedy: "the agent's codes moved: name their file in xtask/src/check/documents.rs",
        });
    }
    findings.extend(shown.symmetric_difference(&told).map(|code| Finding {
        place: CODES.to_owned(),
        problem: format!(
            "E{code} is in {} and not in {}",
            pick(&shown, code, FAULTS, CODES),
            pick(&shown, code, CODES, FAULTS)
        ),
        remedy: "every code on a console has one line in the table, and no other has",
    }));
    findings
}

fn pick<'a>(set: &BTreeSet<&str>, code: &str, yes: &'a str, no: &'a str) -> &'a str {
    if set.contains(code) { yes } else { no }
}

fn is_number(code: &str) -> bool {
    code.bytes().all(|byte| byte.is_ascii_digit())
}

fn generated(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    let Some(muster) = docs::find_muster(tree.root) else {
        return Ok(vec![Finding {
            place: "docs/".to_owned(),
            problem: "cannot be compared: muster is not built".to_owned(),
            remedy: "cargo build --locked -p cli, as make check does",
        }]);
    };
    let fresh = std::env::temp_dir().join(format!("muster-docs-{}", std::process::id()));
    std::fs::create_dir_all(&fresh).with_context(|| format!("{} cannot be made", fresh.display()))?;
    docs::generate(&muster, &fresh)?;
    let findings = compare(&fresh, &tree.root.join("docs"));
    std::fs::remove_dir_all(&fresh).with_context(|| format!("{} cannot be removed", fresh.display()))?;
    findings
}

fn compare(fresh: &Path, committed: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files_under(fresh)? {
        let name = file.strip_prefix(fresh).context("a page outside its folder")?;
        let now = std::fs::read(&file)?;
        if std::fs::read(committed.join(name)).ok().as_ref() != Some(&now) {
            findings.push(Finding {
                place: format!("docs/{}", name.display()),
                problem: "differs from what the program says".to_owned(),
                remedy: "make docs writes it anew; commit it with the change",
            });
        }
    }
    Ok(findings)
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_under(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_line_and_a_line_without_a_code_are_found() {
        let faults = "Self::A => \"E10\",\nSelf::B | Self::C => \"E21\",";
        let told: Vec<_> = console_codes(faults, "| code |\n| E10 | a |\n| E99 | b |")
            .into_iter()
            .map(|f| f.problem)
            .collect();
        assert_eq!(
            told,
            [
                format!("E21 is in {FAULTS} and not in {CODES}"),
                format!("E99 is in {CODES} and not in {FAULTS}")
            ]
        );
        assert!(console_codes(faults, "| E10 |\n| E21 |").is_empty());
        assert_eq!(console_codes("", "").len(), 1);
    }

    #[test]
    fn paths_are_told_from_other_quoted_words() {
        let line = "`server/src/app/enroll.rs` calls `engine/` at `/api/v3/info` with `a b/c.rs` and `x/y`";
        assert_eq!(quoted_paths(line).collect::<Vec<_>>(), ["server/src/app/enroll.rs", "engine/"]);
    }
}
