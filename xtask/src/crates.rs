//! What is linked into the agent: `image-builder/src/agent-crates.json`, from which every medium's SBOM and
//! licence list are made. Written by `docs`, held against the lock file by `check`.

use crate::check::Finding;
use crate::metadata::{Graph, Package};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where the list is kept.
const FILE: &str = "image-builder/src/agent-crates.json";
/// The licence whose text every medium carries once. Crates under it need no text of their own.
const OURS: &str = "Apache-2.0";
/// Beginnings of the names of files with terms.
const TERMS: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// How Apache's own text begins, which many crates carry beside another.
const APACHE_TITLE: &str = "Apache License";

/// Writes the list into the tree.
pub(crate) fn write(root: &Path) -> Result<()> {
    let path = root.join(FILE);
    fs::write(&path, render(root, &Graph::load(root)?)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Whether the list is that of the lock file.
pub(crate) fn check(root: &Path, graph: &Graph) -> Result<Vec<Finding>> {
    let current = fs::read_to_string(root.join(FILE)).unwrap_or_default();
    if current == render(root, graph)? {
        return Ok(Vec::new());
    }
    Ok(vec![Finding {
        place: FILE.to_owned(),
        problem: "does not list the crates that are linked into the agent".to_owned(),
        remedy: "make docs",
    }])
}

fn render(root: &Path, graph: &Graph) -> Result<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let checksums = checksums(&lock);
    let mut texts: BTreeMap<String, usize> = BTreeMap::new();
    let mut crates = Vec::new();
    for (name, version) in linked(root)? {
        let package = graph
            .packages()
            .find(|package| package.name == name && package.version == version)
            .with_context(|| format!("cargo metadata does not know {name} {version}"))?;
        let mut own = Vec::new();
        for text in terms(package)? {
            let next = texts.len();
            own.push(*texts.entry(text).or_insert(next));
        }
        let checksum = checksums.get(&(name.clone(), version.clone()));
        crates.push(json!({
            "name": name, "version": version, "license": spdx(&package.license), "checksum": checksum, "texts": own,
        }));
    }
    let mut ordered: Vec<(usize, String)> = texts.into_iter().map(|(text, number)| (number, text)).collect();
    ordered.sort();
    let texts: Vec<String> = ordered.into_iter().map(|(_, text)| text).collect();
    let value: Value = json!({ "crates": crates, "texts": texts });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Names and versions of what a release build of the agent links, sorted.
fn linked(root: &Path) -> Result<BTreeSet<(String, String)>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "initramfs-agent",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .args(["-e", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cargo tree did not start")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("cargo tree is not UTF-8")?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next(), words.next().and_then(|word| word.strip_prefix('v')));
            let pair = name.zip(version).with_context(|| format!("cargo tree says {line:?}"))?;
            Ok((pair.0.to_owned(), pair.1.to_owned()))
        })
        .collect()
}

/// Checksums of a lock file by name and version; our own crates have none.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |block: &str, key: &str| {
        let prefix = format!("{key} = \"");
        block.lines().find_map(|line| Some(line.strip_prefix(&prefix)?.strip_suffix('"')?.to_owned()))
    };
    let blocks = lock.split("[[package]]").skip(1);
    let entries = blocks.filter_map(|block| {
        Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?))
    });
    entries.collect()
}

/// `/` is the old way to write OR.
fn spdx(license: &str) -> String {
    license.replace('/', " OR ")
}

/// The texts that a crate's licence wants to be carried along: none where Apache's own is enough.
fn terms(package: &Package) -> Result<Vec<String>> {
    let license = spdx(&package.license);
    let ours = license.split(" OR ").any(|one| one == OURS);
    let folder = Path::new(&package.folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let upper = name.to_uppercase();
        let wanted =
            TERMS.iter().any(|begin| upper.starts_with(begin)) && (!ours || upper.starts_with("NOTICE"));
        if wanted && entry.file_type()?.is_file() {
            names.push(name);
        }
    }
    names.sort();
    let mut texts = Vec::new();
    for name in names {
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        if !text.trim_start().starts_with(APACHE_TITLE) {
            texts.push(text.trim().to_owned());
        }
    }
    if texts.is_empty() && !ours && !package.is_ours() {
        // The crate names its licence and leaves out the text; the name stands for it.
        texts.push(format!("{} {}: {license}, without a text of its own", package.name, package.version));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\n\
                    checksum = \"00ff\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found.get(&("a".to_owned(), "1.0.0".to_owned())).unwrap(), "00ff");
    }

    #[test]
    fn the_old_way_to_write_or_is_made_new() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
    }
}
