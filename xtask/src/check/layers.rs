//! Borders: which crate may use which, what the pure crates may be linked with, and which room
//! of the server may name which.

use super::{Finding, Tree};
use crate::files::SourceFile;
use crate::metadata::Graph;
use crate::rust;
use anyhow::Result;

/// The arrows of ARCHITECTURE.md: each crate of ours and the crates of ours it may use.
const ARROWS: [(&str, &[&str]); 15] = [
    ("protocol", &[]),
    ("template", &[]),
    ("initrd", &[]),
    ("iso", &[]),
    ("pxe", &[]),
    ("imaging", &[]),
    ("engine", &["protocol", "template"]),
    ("image-builder", &["protocol", "initrd", "iso"]),
    ("initramfs-agent", &["protocol", "initrd", "imaging"]),
    ("server", &["protocol", "engine", "initrd", "iso", "pxe", "imaging"]),
    ("cli", &["server", "image-builder", "protocol"]),
    (
        "tests",
        &[
            "protocol",
            "engine",
            "template",
            "initrd",
            "iso",
            "pxe",
            "imaging",
            "image-builder",
            "initramfs-agent",
            "server",
            "cli",
        ],
    ),
    ("bench", &["protocol", "initrd", "iso", "image-builder", "imaging", "server", "tests"]),
    (
        "fuzz",
        &["protocol", "engine", "template", "initrd", "iso", "pxe", "imaging", "initramfs-agent", "server"],
    ),
    ("xtask", &[]),
];

/// Crates that decide and never act.
const PURE: [&str; 3] = ["protocol", "engine", "template"];
/// What a pure crate is never linked with: I/O, clocks, randomness, cryptography.
const IMPURE_PACKAGES: [&str; 13] = [
    "axum", "chrono", "hyper", "josekit", "mio", "openssl", "rand", "reqwest", "ring", "rustls", "sqlx",
    "time", "tokio",
];
/// What a pure crate never names from the standard library.
const IMPURE_NAMES: [&str; 9] = [
    "SystemTime",
    "Instant",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
];

/// Rooms of the server and the rooms they must not name.
const ROOMS: [(&str, &[&str]); 5] = [
    ("http", &["store"]),
    ("app", &["http"]),
    ("store", &["http", "app", "keys", "hub"]),
    ("keys", &["http", "app", "store", "hub"]),
    ("hub", &["http", "app", "store", "keys"]),
];

pub(super) fn check_crates(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    let mut findings = arrows(&tree.graph);
    findings.extend(pure_packages(&tree.graph));
    findings.extend(tree.files.iter().flat_map(impure_names));
    Ok(findings)
}

fn arrows(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in graph.packages().filter(|package| package.is_ours()) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding {
                place: package.name.clone(),
                problem: "is not among the crates of the architecture".to_owned(),
                remedy: "add it to the arrows in xtask/src/check/layers.rs and to ARCHITECTURE.md, or make it a module",
            });
            continue;
        };
        let used = graph.named(&package.normal).filter(|used| used.is_ours() && used.name != package.name);
        findings.extend(used.filter(|used| !allowed.contains(&used.name.as_str())).map(|used| Finding {
            place: package.name.clone(),
            problem: format!("uses {}, which no arrow of the architecture allows", used.name),
            remedy: "arrows run down only: pass the value in, or move the type to a lower crate",
        }));
    }
    findings
}

fn pure_packages(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in PURE.iter().filter_map(|name| graph.ours(name)) {
        let linked = graph.linked(package);
        findings.extend(graph.named(&linked).filter(|far| IMPURE_PACKAGES.contains(&far.name.as_str())).map(
            |far| Finding {
                place: package.name.clone(),
                problem: format!("is linked with {}", far.name),
                remedy: "this crate decides and never acts: time and random bytes are arguments",
            },
        ));
    }
    findings
}

fn impure_names(file: &SourceFile) -> Vec<Finding> {
    let pure = PURE.iter().any(|name| file.path.starts_with(&format!("{name}/src/")));
    if !pure || !file.is_rust() {
        return Vec::new();
    }
    let blanked = rust::without_tests(&rust::blank(&file.text));
    let named = blanked.lines().enumerate().flat_map(|(index, line)| {
        IMPURE_NAMES.iter().filter(move |name| line.contains(**name)).map(move |name| (index + 1, *name))
    });
    named
        .map(|(line, name)| Finding {
            place: format!("{}:{line}", file.path),
            problem: format!("names {name}"),
            remedy: "this crate decides and never acts: take the value as an argument",
        })
        .collect()
}

pub(super) fn check_rooms(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(tree.files.iter().filter(|file| file.is_rust()).flat_map(rooms).collect())
}

fn rooms(file: &SourceFile) -> Vec<Finding> {
    let Some(inside) = file.path.strip_prefix("server/src/") else { return Vec::new() };
    let room = inside.split(['/', '.']).next().unwrap_or_default();
    let Some((_, forbidden)) = ROOMS.iter().find(|(name, _)| *name == room) else { return Vec::new() };
    rust::rooms_named(&rust::blank(&file.text))
        .into_iter()
        .filter(|(_, name)| forbidden.contains(&name.as_str()))
        .map(|(line, name)| Finding {
            place: format!("{}:{line}", file.path),
            problem: format!("{room} names {name}"),
            remedy: "http calls app; app calls engine, store, keys and hub; nobody calls http",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::graph;

    #[test]
    fn an_arrow_upwards_and_an_unknown_crate_are_found() {
        let graph =
            graph(&[("protocol", "", "", &["engine"]), ("engine", "", "", &[]), ("helpers", "", "", &[])]);
        let told: Vec<_> = arrows(&graph).into_iter().map(|f| format!("{} {}", f.place, f.problem)).collect();
        assert_eq!(
            told,
            [
                "helpers is not among the crates of the architecture",
                "protocol uses engine, which no arrow of the architecture allows"
            ]
        );
    }

    #[test]
    fn a_pure_crate_linked_with_io_is_found_however_far() {
        let graph = graph(&[
            ("engine", "", "", &["near"]),
            ("near", "MIT", "registry", &["tokio"]),
            ("tokio", "MIT", "registry", &[]),
        ]);
        assert_eq!(pure_packages(&graph).first().unwrap().problem, "is linked with tokio");
    }

    #[test]
    fn a_room_that_names_what_it_must_not_is_found() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let told = rooms(&file("server/src/http/machines.rs", "use crate::{app::App, store::Store};"));
        assert_eq!(told.first().unwrap().problem, "http names store");
        assert!(rooms(&file("server/src/app/enroll.rs", "use crate::store::Store;")).is_empty());
        let clock =
            impure_names(&file("engine/src/a.rs", "let now = std::time::SystemTime::now(); // Instant"));
        assert_eq!(clock.len(), 1);
    }
}
