//! What cargo knows about the workspace and the packages it is built from.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// One package of the resolved graph, for the platform Muster is built for.
#[derive(Debug)]
pub(crate) struct Package {
    /// Cargo's identifier, unique in the graph.
    pub(crate) id: String,
    /// Name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// SPDX expression, or empty.
    pub(crate) license: String,
    /// Where it comes from; empty for our own.
    pub(crate) source: String,
    /// The folder of its sources.
    pub(crate) folder: String,
    /// Packages that it is linked with, by id: not those of its tests or its build script.
    pub(crate) normal: BTreeSet<String>,
    /// Packages it needs in any way, by id.
    pub(crate) all: BTreeSet<String>,
}

impl Package {
    /// Whether it lies in this tree.
    pub(crate) fn is_ours(&self) -> bool {
        self.source.is_empty()
    }
}

/// The resolved graph.
#[derive(Debug)]
pub(crate) struct Graph {
    packages: BTreeMap<String, Package>,
}

impl Graph {
    /// Asks cargo, offline and with the lock file as it is.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--offline", "--locked", "--format-version", "1"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(root)
            .output()
            .context("cargo metadata did not start")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed; build once so that the packages are here: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
        Self::parse(&value)
    }

    /// Reads cargo's JSON.
    pub(crate) fn parse(value: &Value) -> Result<Self> {
        let mut described = BTreeMap::new();
        for package in list(value, "packages")? {
            described.insert(text(package, "id"), package);
        }
        let resolve = value.get("resolve").context("cargo metadata has no resolve")?;
        let mut packages = BTreeMap::new();
        for node in list(resolve, "nodes")? {
            let id = text(node, "id");
            let package = described.get(&id).context("cargo metadata names an unknown package")?;
            let (mut normal, mut all) = (BTreeSet::new(), BTreeSet::new());
            for dependency in list(node, "deps")? {
                let target = text(dependency, "pkg");
                let is_normal =
                    list(dependency, "dep_kinds")?.iter().any(|kind| text(kind, "kind").is_empty());
                if is_normal {
                    normal.insert(target.clone());
                }
                all.insert(target);
            }
            let name = text(package, "name");
            let version = text(package, "version");
            let license = text(package, "license");
            let source = text(package, "source");
            let folder = text(package, "manifest_path").trim_end_matches("/Cargo.toml").to_owned();
            packages.insert(id.clone(), Package { id, name, version, license, source, folder, normal, all });
        }
        Ok(Self { packages })
    }

    /// Every package.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// One of our own crates.
    pub(crate) fn ours(&self, name: &str) -> Option<&Package> {
        self.packages().find(|package| package.is_ours() && package.name == name)
    }

    /// The packages behind ids.
    pub(crate) fn named<'a>(&'a self, ids: &'a BTreeSet<String>) -> impl Iterator<Item = &'a Package> {
        ids.iter().filter_map(|id| self.packages.get(id))
    }

    /// Everything a crate is linked with, near and far.
    pub(crate) fn linked(&self, package: &Package) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&Package> = vec![package];
        while let Some(package) = waiting.pop() {
            for next in self.named(&package.normal) {
                if seen.insert(next.id.clone()) {
                    waiting.push(next);
                }
            }
        }
        seen
    }

    /// Who needs a package directly, by name.
    pub(crate) fn users(&self, id: &str) -> BTreeSet<&str> {
        self.packages()
            .filter(|package| package.all.contains(id))
            .map(|package| package.name.as_str())
            .collect()
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("cargo metadata has no {key}"))
}

/// A text field; absent and null are empty.
fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A graph of `(name, license, source, normal dependencies)`.
    pub(crate) fn graph(packages: &[(&str, &str, &str, &[&str])]) -> Graph {
        let described: Vec<Value> = packages
            .iter()
            .map(|(name, license, source, _)| {
                json!({"id": name, "name": name.split('@').next(), "version": name.split('@').nth(1).unwrap_or("1.0.0"),
                       "license": license, "source": if source.is_empty() { Value::Null } else { json!(source) }})
            })
            .collect();
        let nodes: Vec<Value> = packages
            .iter()
            .map(|(name, _, _, normal)| {
                let deps: Vec<Value> =
                    normal.iter().map(|id| json!({"pkg": id, "dep_kinds": [{"kind": null}]})).collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        Graph::parse(&json!({"packages": described, "resolve": {"nodes": nodes}})).unwrap()
    }

    #[test]
    fn far_dependencies_are_found_and_test_dependencies_are_not_linked() {
        let value = json!({
            "packages": [{"id": "a", "name": "a", "version": "1"}, {"id": "b", "name": "b", "version": "1"},
                         {"id": "c", "name": "c", "version": "1"}],
            "resolve": {"nodes": [
                {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": null}]}, {"pkg": "c", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "b", "deps": []}, {"id": "c", "deps": []}]}
        });
        let graph = Graph::parse(&value).unwrap();
        let a = graph.ours("a").unwrap();
        assert_eq!(graph.linked(a).into_iter().collect::<Vec<_>>(), ["b"]);
        assert_eq!(graph.users("c").into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
