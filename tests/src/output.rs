//! Where things are: the workspace, the binaries under test, and a folder for what a test
//! leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Root of the workspace this crate was built in.
#[must_use]
pub fn workspace() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, else `target/`.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// What outlives the clone: `muster` in `XDG_CACHE_HOME`, else in `.cache` of the home.
///
/// # Errors
/// When there is no home.
pub fn cache_dir() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(cache.join("muster"))
}

/// The server's and operator's binary: `MUSTER_BIN`, else the release build.
///
/// # Errors
/// When it does not exist, with the command that makes it.
pub fn muster_binary() -> Result<PathBuf> {
    let path =
        std::env::var_os("MUSTER_BIN").map_or_else(|| target_dir().join("release/muster"), PathBuf::from);
    if !path.is_file() {
        bail!("{} does not exist: run `make media`, or name a binary in MUSTER_BIN", path.display());
    }
    Ok(path)
}

/// An empty folder for one test's logs and screenshots: `target/e2e-output/NAME`. What an
/// earlier run left there is removed.
///
/// # Errors
/// When the folder cannot be made.
pub fn folder(name: &str) -> Result<PathBuf> {
    let path = target_dir().join("e2e-output").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("cannot empty {}", path.display()))?;
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// The last `count` lines of a text, each indented, for failure messages.
#[must_use]
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).map(|line| format!("    {line}\n")).collect()
}
