//! The generated pages: `docs/cli/*.md` (help of every command) and `docs/openapi.json`, as
//! the program itself writes them.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The `muster` that was built last, debug before release.
pub(crate) fn find_muster(root: &Path) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    ["debug/muster", "release/muster"].iter().map(|name| target.join(name)).find(|path| path.is_file())
}

/// Writes the pages into the tree.
pub(crate) fn write(root: &Path, muster: Option<PathBuf>) -> Result<()> {
    crate::crates::write(root)?;
    let muster =
        muster.or_else(|| find_muster(root)).context("muster is not built; run cargo build -p cli")?;
    generate(&muster, &root.join("docs"))
}

/// Lets `muster` write its pages into a folder.
pub(crate) fn generate(muster: &Path, folder: &Path) -> Result<()> {
    let output = Command::new(muster)
        .arg("docs")
        .arg(folder)
        .output()
        .with_context(|| format!("{} did not start", muster.display()))?;
    if !output.status.success() {
        bail!("muster docs failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
