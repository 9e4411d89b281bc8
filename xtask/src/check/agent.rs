//! The agent rides in every boot image: its size and its dependencies are budgets, and what only the
//! installer needs is not in it.

use super::{Finding, Tree};
use anyhow::{Context, Result};
use std::fs;

/// Bytes of the stripped static binary.
const AGENT_BYTES: u64 = 4_500_000;
/// The last two speak with the kernel about tunnels; only the installer has them in it.
const AGENT_DEPENDENCIES: usize = 26;
const AGENT: &str = "x86_64-unknown-linux-gnu/release/muster-agent";
const INSTALLER: &str = "x86_64-unknown-linux-gnu/release/muster-installer";
/// Words of crate `imaging` (`imaging/src/blockmap/mod.rs`), which are in whatever it is linked into.
const IMAGING: &[u8] = b"the image's block map is not valid";

pub(super) fn check(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let agent = tree.graph.ours("initramfs-agent").context("the workspace has no initramfs-agent")?;
    let direct = agent.normal.len();
    if direct > AGENT_DEPENDENCIES {
        findings.push(Finding {
            place: "initramfs-agent/Cargo.toml".to_owned(),
            problem: format!("{direct} direct dependencies, at most {AGENT_DEPENDENCIES}"),
            remedy: "drop one, or do without the newest",
        });
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tree.root.join("target"), Into::into);
    // Built by `make media` only; before that there is nothing to weigh.
    if let Ok(meta) = target.join(AGENT).metadata() {
        findings.extend(weigh(meta.len()));
    }
    if let (Ok(agent), Ok(installer)) = (fs::read(target.join(AGENT)), fs::read(target.join(INSTALLER))) {
        findings.extend(apart(&agent, &installer));
    }
    Ok(findings)
}

fn weigh(bytes: u64) -> Option<Finding> {
    (bytes > AGENT_BYTES).then(|| Finding {
        place: format!("target/{AGENT}"),
        problem: format!("{bytes} bytes, at most {AGENT_BYTES}"),
        remedy: "cargo tree -p initramfs-agent -e features shows what it is made of",
    })
}

/// Process 1 knows nothing of images; the installer does.
fn apart(agent: &[u8], installer: &[u8]) -> Option<Finding> {
    let has = |program: &[u8]| program.windows(IMAGING.len()).any(|words| words == IMAGING);
    let (problem, remedy) = match (has(agent), has(installer)) {
        (true, _) => ("carries crate imaging", "what needs imaging belongs into initramfs-agent/src/install"),
        (false, false) => (
            "cannot be told from the installer",
            "imaging's words changed: name new ones in xtask/src/check/agent.rs",
        ),
        (false, true) => return None,
    };
    Some(Finding { place: format!("target/{AGENT}"), problem: problem.to_owned(), remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_agent_is_found() {
        assert!(weigh(AGENT_BYTES).is_none());
        assert_eq!(weigh(4_500_001).unwrap().problem, "4500001 bytes, at most 4500000");
    }

    #[test]
    fn an_agent_that_carries_the_installers_crate_is_found() {
        let with = [b"\x7fELF", IMAGING, b"\0"].concat();
        assert!(apart(b"\x7fELF", &with).is_none());
        assert_eq!(apart(&with, &with).unwrap().problem, "carries crate imaging");
        assert_eq!(apart(b"\x7fELF", b"\x7fELF").unwrap().problem, "cannot be told from the installer");
    }
}
