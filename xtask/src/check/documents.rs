//! Documents that must not lie: generated pages are as the program writes them, and every file
//! that ARCHITECTURE.md walks through exists.

use super::{Finding, Tree};
use crate::docs;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const MAP: &str = "ARCHITECTURE.md";

pub(super) fn check(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    let mut findings = walkthroughs(tree);
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
    let known = |path: &str| tree.root.join(path).exists();
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
    fn paths_are_told_from_other_quoted_words() {
        let line = "`server/src/app/enroll.rs` calls `engine/` at `/api/v3/info` with `a b/c.rs` and `x/y`";
        assert_eq!(quoted_paths(line).collect::<Vec<_>>(), ["server/src/app/enroll.rs", "engine/"]);
    }
}
