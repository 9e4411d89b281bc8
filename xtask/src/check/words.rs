//! Words that have no place in the tree: `unsafe` outside its one file, paths of somebody's
//! machine, addresses of somebody's package mirror.

use super::{Finding, Tree};
use crate::files::SourceFile;
use crate::rust;
use anyhow::Result;

/// The one file that may hold `unsafe` blocks.
const UNSAFE_FILE: &str = "initramfs-agent/src/sys.rs";

/// Paths that only exist on one machine. Written in halves so that this file passes its own check.
const PRIVATE_PATHS: [&str; 3] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

pub(super) fn check_unsafe(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(tree.files.iter().filter(|file| file.is_rust()).flat_map(unsafe_words).collect())
}

fn unsafe_words(file: &SourceFile) -> Vec<Finding> {
    if file.path == UNSAFE_FILE {
        return Vec::new();
    }
    let blanked = rust::blank(&file.text);
    let has_word = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe");
    blanked
        .lines()
        .enumerate()
        .filter(|(_, line)| has_word(line))
        .map(|(index, _)| Finding {
            place: format!("{}:{}", file.path, index + 1),
            problem: format!("unsafe outside {UNSAFE_FILE}"),
            remedy: "use a safe interface (nix, std), or give the agent's sys.rs a small safe function",
        })
        .collect()
}

pub(super) fn check_words(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(tree.files.iter().flat_map(private_words).collect())
}

fn private_words(file: &SourceFile) -> Vec<Finding> {
    let is_npm_lock = file.path.ends_with("package-lock.json");
    let mut findings = Vec::new();
    // Unit tests may make paths up.
    let text = if file.is_rust() { rust::without_tests(&file.text) } else { file.text.clone() };
    for (index, line) in text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        if let Some(path) = PRIVATE_PATHS.iter().find(|path| names_path(line, path)) {
            findings.push(Finding {
                place: place.clone(),
                problem: format!("names {path}, which exists on one machine only"),
                remedy: "take the path from a flag, the environment or the file's own place",
            });
        }
        if is_npm_lock && line.contains("\"resolved\": \"http") {
            findings.push(Finding {
                place,
                problem: "names the registry a package was fetched from".to_owned(),
                remedy: "set omit-lockfile-registry-resolved=true in dashboard/.npmrc and run npm install again",
            });
        }
    }
    findings
}

/// Whether a line holds the path as an absolute one: not as the tail of a longer path or URL.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | ')' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn unsafe_is_found_in_code_and_not_in_words_about_it() {
        assert_eq!(unsafe_words(&file("a.rs", "fn f() {\n    unsafe { g() }\n}")).len(), 1);
        assert!(unsafe_words(&file("a.rs", "// unsafe\n#![deny(unsafe_code)]")).is_empty());
        assert!(unsafe_words(&file(UNSAFE_FILE, "unsafe {}")).is_empty());
    }

    #[test]
    fn private_paths_and_mirrors_are_found() {
        let path = format!("dir = {}me\"", PRIVATE_PATHS.first().unwrap());
        assert_eq!(private_words(&file("a.sh", &path)).len(), 1);
        assert!(
            private_words(&file("a.rs", &format!("sysroot{}x", PRIVATE_PATHS.first().unwrap()))).is_empty()
        );
        let lock = r#""resolved": "https://mirror.example/x.tgz""#;
        assert_eq!(private_words(&file("dashboard/package-lock.json", lock)).len(), 1);
    }
}
