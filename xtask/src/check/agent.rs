//! The agent rides in every boot image: its size and its dependencies are budgets.

use super::{Finding, Tree};
use anyhow::{Context, Result};

/// Bytes of the stripped static binary.
const AGENT_BYTES: u64 = 4_500_000;
const AGENT_DEPENDENCIES: usize = 25;
const AGENT: &str = "x86_64-unknown-linux-gnu/release/muster-agent";

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
    Ok(findings)
}

fn weigh(bytes: u64) -> Option<Finding> {
    (bytes > AGENT_BYTES).then(|| Finding {
        place: format!("target/{AGENT}"),
        problem: format!("{bytes} bytes, at most {AGENT_BYTES}"),
        remedy: "cargo tree -p initramfs-agent -e features shows what it is made of",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_agent_is_found() {
        assert!(weigh(AGENT_BYTES).is_none());
        assert_eq!(weigh(4_500_001).unwrap().problem, "4500001 bytes, at most 4500000");
    }
}
