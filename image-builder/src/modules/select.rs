//! The closure: what a profile wants, what that needs, and the index over it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::module_index::{Module, ModuleIndex, canonical_name};

use super::profile::Profile;
use super::tree::{Found, ModuleError, ModuleTree};

/// Wishes by alias (`softdep: pre: sha256`) are for an algorithm; the software that has it lies here. Drivers
/// for accelerators have the same aliases and are not meant.
const SOFTWARE: &[&str] = &["kernel/crypto/", "kernel/arch/", "kernel/lib/"];

/// Modules for an image, and what the agent has to know about them.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) index: ModuleIndex,
    /// Canonical names, sorted.
    pub(crate) names: Vec<String>,
}

/// Selects what `profile` wants from `tree`. Paths in the index get `suffix` behind `.ko`.
pub(crate) fn select(tree: &ModuleTree, profile: Profile, suffix: &str) -> Result<Selection, ModuleError> {
    let wanted = tree.modules.iter().filter(|(name, found)| profile.wants(&plain_path(found), name));
    let mut names: BTreeSet<String> = wanted.map(|(name, _)| name.clone()).collect();
    if !names.iter().any(|name| is_network(tree, name)) {
        return Err(ModuleError::NoNetwork { path: tree.dir.clone() });
    }
    let wishes = Wishes::new(tree);
    let mut waiting: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = waiting.pop() {
        let Some(found) = tree.modules.get(&name) else { continue };
        let mut needed = hard(tree, &name, found)?;
        needed.extend(wishes.resolve_all(&found.info.pre));
        needed.extend(wishes.resolve_all(&found.info.post));
        for other in needed {
            if names.insert(other.clone()) {
                waiting.push(other);
            }
        }
    }
    let index = index(tree, &names, &wishes, suffix)?;
    Ok(Selection { index, names: names.into_iter().collect() })
}

/// The modules a module cannot be loaded without.
fn hard(tree: &ModuleTree, user: &str, found: &Found) -> Result<Vec<String>, ModuleError> {
    let mut needed = Vec::new();
    for name in &found.info.depends {
        let name = canonical_name(name);
        if tree.modules.contains_key(&name) {
            needed.push(name);
        } else if !tree.builtin.contains_key(&name) {
            let path = tree.dir.clone();
            return Err(ModuleError::Missing { user: user.to_owned(), name, path });
        }
    }
    Ok(needed)
}

fn index(
    tree: &ModuleTree,
    names: &BTreeSet<String>,
    wishes: &Wishes<'_>,
    suffix: &str,
) -> Result<ModuleIndex, ModuleError> {
    let mut index = ModuleIndex::new(&tree.release)?;
    for name in tree.builtin.keys() {
        index.add_builtin(name)?;
    }
    let chosen = || names.iter().filter_map(|name| tree.modules.get_key_value(name));
    for (name, found) in chosen() {
        index.add_module(Module {
            name: name.clone(),
            path: format!("{}{suffix}", plain_path(found)),
            depends: hard(tree, name, found)?,
            pre: wishes.resolve_all(&found.info.pre),
            post: wishes.resolve_all(&found.info.post),
        })?;
    }
    for (name, found) in chosen() {
        for alias in &found.info.aliases {
            index.add_alias(alias, name)?;
        }
    }
    index.check()?;
    Ok(index)
}

/// Path without the suffix of its compression.
pub(crate) fn plain_path(found: &Found) -> String {
    let path = &found.path;
    match path.rfind(".ko") {
        Some(at) => path.chars().take(at + 3).collect(),
        None => path.clone(),
    }
}

fn is_network(tree: &ModuleTree, name: &str) -> bool {
    tree.modules.get(name).is_some_and(|found| found.path.starts_with("kernel/drivers/net/"))
}

/// Resolves the words of softdeps: names of modules, or aliases of software.
#[derive(Debug)]
struct Wishes<'a> {
    tree: &'a ModuleTree,
    /// Exact aliases of software modules.
    aliases: BTreeMap<String, BTreeSet<&'a str>>,
}

impl<'a> Wishes<'a> {
    fn new(tree: &'a ModuleTree) -> Self {
        let mut aliases: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (name, found) in &tree.modules {
            if SOFTWARE.iter().any(|dir| found.path.starts_with(dir)) {
                for alias in &found.info.aliases {
                    aliases.entry(canonical_name(alias)).or_default().insert(name);
                }
            }
        }
        Self { tree, aliases }
    }

    fn resolve_all(&self, words: &[String]) -> Vec<String> {
        let names: BTreeSet<&str> = words.iter().flat_map(|word| self.resolve(word)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Nothing for what is built in or not there: it is only a wish.
    fn resolve(&self, word: &str) -> Vec<&'a str> {
        let word = canonical_name(word);
        if let Some((name, _)) = self.tree.modules.get_key_value(&word) {
            return vec![name];
        }
        self.aliases.get(&word).into_iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::modinfo::elf_with_modinfo;
    use super::*;
    use std::fs;
    use std::path::Path;

    fn add(root: &Path, path: &str, modinfo: &str) {
        let path = root.join("lib/modules/6.1-test").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, elf_with_modinfo(modinfo.as_bytes())).unwrap();
    }

    fn sample() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        add(
            root,
            "kernel/drivers/net/virtio_net.ko",
            "alias=virtio:d00000001v*\0depends=net-failover,unix\0",
        );
        add(root, "kernel/drivers/net/net_failover.ko", "depends=\0");
        add(root, "kernel/fs/xfs/xfs.ko", "alias=fs-xfs\0depends=libcrc32c\0");
        add(root, "kernel/lib/libcrc32c.ko", "softdep=pre: crypto-crc32c gone\0");
        add(root, "kernel/crypto/crc32c_generic.ko", "alias=crypto-crc32c\0");
        add(root, "kernel/drivers/crypto/accelerator.ko", "alias=crypto-crc32c\0");
        add(root, "kernel/sound/beep.ko", "");
        let lists = root.join("lib/modules/6.1-test");
        fs::write(lists.join("modules.builtin"), "kernel/net/unix/unix.ko\n").unwrap();
        dir
    }

    #[test]
    fn the_closure_follows_needs_and_software_wishes_only() {
        let dir = sample();
        let tree = ModuleTree::read(dir.path()).unwrap();
        let selection = select(&tree, Profile::Cloud, ".zst").unwrap();
        assert_eq!(selection.names, ["crc32c_generic", "libcrc32c", "net_failover", "virtio_net", "xfs"]);
        let index = selection.index;
        assert_eq!(index.kernel(), "6.1-test");
        assert_eq!(index.matching("fs-xfs"), ["xfs"]);
        let order: Vec<&str> = index.load_order("xfs").iter().map(|step| step.module.name.as_str()).collect();
        assert_eq!(order, ["crc32c_generic", "libcrc32c", "xfs"]);
        assert_eq!(index.module("virtio-net").unwrap().path, "kernel/drivers/net/virtio_net.ko.zst");
        assert!(index.is_builtin("unix"));
    }

    #[test]
    fn a_missing_dependency_names_both_modules() {
        let dir = sample();
        add(dir.path(), "kernel/fs/ext4/ext4.ko", "depends=jbd2\0");
        let tree = ModuleTree::read(dir.path()).unwrap();
        let error = select(&tree, Profile::Cloud, "").unwrap_err().to_string();
        assert!(error.starts_with("the module `ext4` needs `jbd2`, which is neither in "), "{error}");
    }

    #[test]
    fn a_tree_without_network_drivers_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        add(dir.path(), "kernel/fs/xfs/xfs.ko", "");
        let tree = ModuleTree::read(dir.path()).unwrap();
        assert!(matches!(select(&tree, Profile::Generic, ""), Err(ModuleError::NoNetwork { .. })));
    }

    #[test]
    fn compressed_modules_are_read_through_their_compression() {
        let dir = sample();
        let elf = elf_with_modinfo(b"alias=pci:v1*\0");
        let nic = dir.path().join("lib/modules/6.1-test/kernel/drivers/net/ethernet/nic.ko.zst");
        fs::create_dir_all(nic.parent().unwrap()).unwrap();
        fs::write(&nic, zstd::bulk::compress(&elf, 3).unwrap()).unwrap();
        let tree = ModuleTree::read(dir.path()).unwrap();
        assert_eq!(tree.bytes(tree.modules.get("nic").unwrap()).unwrap(), elf);
        let selection = select(&tree, Profile::Cloud, "").unwrap();
        assert_eq!(selection.index.module("nic").unwrap().path, "kernel/drivers/net/ethernet/nic.ko");
    }

    #[test]
    fn what_is_no_module_is_named() {
        let dir = sample();
        let bad = dir.path().join("lib/modules/6.1-test/kernel/bad.ko");
        fs::write(&bad, "text").unwrap();
        let error = ModuleTree::read(dir.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a kernel module for x86-64", bad.display()));
    }
}
