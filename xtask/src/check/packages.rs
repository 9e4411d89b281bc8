//! What the project is built from: licences, sources, bans, duplicates.

use super::{Finding, Tree};
use crate::metadata::Graph;
use crate::spdx;
use anyhow::Result;
use std::collections::BTreeMap;

/// The one place packages come from, as Cargo.lock spells it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that must not be linked, with the reason.
const BANNED: [(&str, &str); 3] = [
    ("aws-lc-rs", "one cryptographic provider: ring"),
    ("aws-lc-sys", "one cryptographic provider: ring"),
    ("native-tls", "one TLS implementation: rustls"),
];

/// Packages present in two versions, with who keeps the older one.
const DUPLICATES: [(&str, &str); 19] = [
    ("base64", "hyper-util, pem and reqwest are on 0.23; axum, josekit and sqlx on 0.22"),
    ("bit-set", "fancy-regex (jsonschema) is on 0.8; proptest on 0.11"),
    ("bit-vec", "follows bit-set; yasna (rcgen) is on 0.9"),
    ("block-buffer", "follows digest"),
    ("cpufeatures", "follows digest"),
    ("crypto-common", "follows digest"),
    ("digest", "axum's websocket and sqlx-core are on 0.10; argon2 and sqlx-postgres on 0.11"),
    ("getrandom", "ring is on 0.2, rand 0.9 on 0.3, the rest on 0.4"),
    ("hashbrown", "sqlx's hashlink is on 0.16; indexmap on 0.17"),
    ("rand", "mozim and tungstenite are on 0.9; hickory and our own code on 0.10"),
    ("rand_core", "follows rand"),
    ("sha1", "axum's websocket is on 0.10; sqlx's unused MySQL half on 0.11"),
    ("sha2", "sqlx-core is on 0.10; rust-embed on 0.11"),
    ("spin", "flume (sqlx) is on 0.9; hadris on 0.12"),
    ("syn", "proc macros half way from 2 to 3"),
    ("synstructure", "follows syn"),
    ("quote", "follows syn"),
    ("thiserror", "macros half way from 1 to 2"),
    ("thiserror-impl", "follows thiserror"),
];

pub(super) fn check_licences(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(licences(&tree.graph))
}

fn licences(graph: &Graph) -> Vec<Finding> {
    let refused = graph.packages().filter(|package| !spdx::is_accepted(&package.license));
    refused
        .map(|package| Finding {
            place: format!("{} {}", package.name, package.version),
            problem: format!("has licence {:?}, accepted are {}", package.license, spdx::ACCEPTED.join(", ")),
            remedy: "use another package; a licence joins the list in xtask/src/spdx.rs only after a review",
        })
        .collect()
}

pub(super) fn check_sources(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(sources(&tree.graph))
}

fn sources(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in graph.packages().filter(|package| !package.is_ours()) {
        let place = format!("{} {}", package.name, package.version);
        if package.source != REGISTRY {
            findings.push(Finding {
                place: place.clone(),
                problem: format!("comes from {}", package.source),
                remedy: "packages come from crates.io only, pinned by Cargo.lock",
            });
        }
        if let Some((_, reason)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            let users: Vec<&str> = graph.users(&package.id).into_iter().collect();
            findings.push(Finding {
                place,
                problem: format!("is banned ({reason}), and {} brings it in", users.join(", ")),
                remedy: "switch off the feature that brings it in (default-features = false)",
            });
        }
    }
    findings
}

pub(super) fn check_duplicates(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(duplicates(&tree.graph))
}

fn duplicates(graph: &Graph) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in graph.packages() {
        let users: Vec<&str> = graph.users(&package.id).into_iter().collect();
        let told = format!("{} for {}", package.version, users.join(", "));
        versions.entry(&package.name).or_default().push(told);
    }
    versions
        .into_iter()
        .filter(|(name, versions)| versions.len() > 1 && !DUPLICATES.iter().any(|(known, _)| known == name))
        .map(|(name, versions)| Finding {
            place: name.to_owned(),
            problem: format!("is built in {} versions: {}", versions.len(), versions.join("; ")),
            remedy: "choose versions that agree, or list it with its reason in xtask/src/check/packages.rs",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::graph;

    #[test]
    fn foreign_sources_licences_bans_and_duplicates_are_found() {
        let graph = graph(&[
            ("ours", "Apache-2.0", "", &["aws-lc-rs", "copyleft"]),
            ("aws-lc-rs", "ISC", REGISTRY, &[]),
            ("copyleft", "GPL-3.0-only", "git+https://example.org/x", &[]),
            ("twice@1.0.0", "MIT", REGISTRY, &[]),
            ("twice@2.0.0", "MIT", REGISTRY, &[]),
        ]);
        assert_eq!(licences(&graph).iter().map(|f| f.place.as_str()).collect::<Vec<_>>(), ["copyleft 1.0.0"]);
        let told: Vec<_> = sources(&graph).into_iter().map(|f| f.problem).collect();
        assert_eq!(
            told,
            [
                "is banned (one cryptographic provider: ring), and ours brings it in",
                "comes from git+https://example.org/x"
            ]
        );
        assert_eq!(duplicates(&graph).first().unwrap().place, "twice");
    }
}
