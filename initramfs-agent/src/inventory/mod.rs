//! What this machine is made of, read from `/sys` and `/proc`.
//!
//! A value that cannot be read is left empty: an inventory is a hint for people, and half of
//! one is better than none. Every function takes the root of the tree, so that tests bring
//! trees of their own; only what no tree can hold (permanent hardware addresses, addresses in
//! use, the bpf system call) is asked of the kernel itself.
//!
//! [`Hardware`] is read in two parts: once what cannot change while the machine runs, and for
//! each inventory what can (disks, links, cards). What is [`Learnt`] later joins there too.

pub(crate) mod bmc;
mod cpu;
mod disks;
mod firmware;
mod learnt;
mod links;
mod pci;
pub(crate) mod smbios;

pub(crate) use learnt::Learnt;

use crate::disk::Holdings;
use crate::sys;
use protocol::inventory::{Disk, Inventory, MAX_OBSERVED};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest attribute that is read, in bytes; `/proc/cpuinfo` has its own limit.
const MAX_ATTRIBUTE: u64 = 4_096;

/// What this machine is made of.
#[derive(Debug, Clone)]
pub(crate) struct Hardware {
    lasting: Inventory,
    learnt: watch::Receiver<Learnt>,
    holdings: Holdings,
}

impl Hardware {
    /// Looks at the machine. Blocks for some milliseconds.
    pub(crate) fn survey(learnt: watch::Receiver<Learnt>) -> Self {
        let mut lasting = lasting(&Tree::of_this_machine());
        lasting.ebpf = lasting.ebpf && sys::bpf_works();
        lasting.clean();
        Self { lasting, learnt, holdings: Holdings::default() }
    }

    /// Hardware of which nothing is known.
    pub(crate) fn unknown(learnt: watch::Receiver<Learnt>) -> Self {
        Self { lasting: Inventory::default(), learnt, holdings: Holdings::default() }
    }

    /// What cannot change while the machine runs: no disks, links, cards or addresses.
    pub(crate) fn lasting(&self) -> &Inventory {
        &self.lasting
    }

    /// The inventory of this moment. Blocks for some milliseconds, and for two seconds where a disk does not
    /// answer. The host name is left empty: the network knows it.
    pub(crate) fn inventory(&self) -> Inventory {
        let mut inventory = changing(&Tree::of_this_machine(), self.lasting.clone(), &self.holdings);
        links::ask_kernel(&mut inventory.links);
        self.learnt.borrow().join(&mut inventory, Instant::now());
        inventory.fit(MAX_OBSERVED)
    }

    /// The switches heard, one a link, such as `sw-3 port Eth1/7 (eth0)`.
    pub(crate) fn switches(&self) -> Vec<String> {
        self.learnt.borrow().switches(Instant::now())
    }
}

/// What cannot change, as far as a tree with `sys` and `proc` tells it.
fn lasting(tree: &Tree) -> Inventory {
    Inventory {
        cpu: cpu::read(tree),
        memory_bytes: memory_bytes(tree),
        ebpf: tree.exists("sys/kernel/btf/vmlinux"),
        arch: arch(std::env::consts::ARCH).to_owned(),
        kernel: tree.text("proc/sys/kernel/osrelease"),
        ..firmware::read(tree)
    }
}

/// An inventory with what can change.
fn changing(tree: &Tree, lasting: Inventory, holdings: &Holdings) -> Inventory {
    let disks = disks::read(tree, holdings);
    Inventory { disks, links: links::read(tree), pci: pci::read(tree), ..lasting }
}

/// The machine's disks and what they hold at this moment, cleaned as in an inventory.
pub(crate) fn disks_now() -> Vec<Disk> {
    let disks = disks::read(&Tree::of_this_machine(), &Holdings::default());
    let mut inventory = Inventory { disks, ..Inventory::default() };
    inventory.clean();
    inventory.disks
}

/// Names of the links that stand for hardware.
pub(crate) fn hardware_links() -> Vec<String> {
    links::read(&Tree::of_this_machine()).into_iter().map(|link| link.name).collect()
}

/// `MemTotal` in bytes.
fn memory_bytes(tree: &Tree) -> u64 {
    tree.text("proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1_024))
        .unwrap_or_default()
}

/// Rust's name of an architecture as Go and Debian write it.
fn arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        other => other,
    }
}

/// A tree of kernel attributes.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn of_this_machine() -> Self {
        Self { root: PathBuf::from("/") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The first bytes of an attribute; `None` when it is not there or does not want to be read
    /// (`carrier` of a link that is down).
    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(path)).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// An attribute as trimmed text, empty when there is none.
    fn text(&self, path: &str) -> String {
        let bytes = self.bytes(path, MAX_ATTRIBUTE).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// An attribute as a number, zero when it is none.
    fn number(&self, path: &str) -> u64 {
        self.text(path).parse().unwrap_or_default()
    }

    /// A link's target, empty when there is none.
    fn link(&self, path: &str) -> String {
        fs::read_link(self.path(path)).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Last part of a link's target, such as a driver's name.
    fn link_name(&self, path: &str) -> String {
        fs::read_link(self.path(path))
            .ok()
            .and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_default()
    }

    /// Names in a directory, in the kernel's order: `sda` to `sdz` before `sdaa`, `eth2`
    /// before `eth10`.
    fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by_key(|name| {
            let family: String = name.chars().take_while(|c| c.is_ascii_alphabetic()).take(2).collect();
            (family, name.len(), name.clone())
        });
        names
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Trees of attributes for tests.

    use super::Tree;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree in a temporary directory.
    pub(crate) struct Fixture {
        folder: tempfile::TempDir,
    }

    impl Fixture {
        /// A tree of these files and their contents.
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            let fixture = Self { folder: tempfile::tempdir().unwrap() };
            for (path, content) in files {
                fixture.bytes(path, content.as_bytes());
            }
            fixture
        }

        /// Adds a file.
        pub(crate) fn bytes(&self, path: &str, content: &[u8]) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        /// Adds a symbolic link.
        pub(crate) fn link(&self, path: &str, target: &str) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        /// Where it is.
        pub(crate) fn root(&self) -> &std::path::Path {
            self.folder.path()
        }

        /// As the reader wants it.
        pub(super) fn tree(&self) -> Tree {
            Tree { root: self.root().to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;
    use protocol::inventory::FirmwareMode;

    fn from_fixture(fixture: &Fixture) -> Inventory {
        let tree = fixture.tree();
        let mut inventory = changing(&tree, lasting(&tree), &Holdings::default());
        inventory.clean();
        inventory
    }

    #[test]
    fn empty_tree_gives_an_empty_inventory() {
        let inventory = from_fixture(&Fixture::new(&[]));
        let expected = Inventory { arch: arch(std::env::consts::ARCH).to_owned(), ..Inventory::default() };
        assert_eq!(inventory, expected);
    }

    #[test]
    fn machine_is_described_from_its_tree() {
        let fixture = Fixture::new(&[
            ("proc/meminfo", "MemTotal:        2014020 kB\nMemFree:  1 kB\n"),
            ("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n"),
            ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
            ("sys/class/dmi/id/product_serial", "7XK21M3\n"),
            ("sys/kernel/btf/vmlinux", "\u{9f}\u{eb}"),
        ]);
        let inventory = from_fixture(&fixture);
        assert_eq!(inventory.memory_bytes, 2_014_020 * 1_024);
        assert_eq!(inventory.kernel, "6.1.0-56-amd64");
        assert_eq!((inventory.vendor.as_str(), inventory.serial.as_str()), ("QEMU", "7XK21M3"));
        assert_eq!(inventory.firmware_mode, FirmwareMode::Bios);
        assert!(inventory.ebpf);
    }

    #[test]
    fn hostile_memory_sizes_are_not_believed() {
        for text in ["MemTotal: 99999999999999999999 kB", "MemTotal: 18446744073709551615 kB", "MemTotal:"] {
            assert_eq!(memory_bytes(&Fixture::new(&[("proc/meminfo", text)]).tree()), 0, "{text}");
        }
    }

    #[test]
    fn names_come_in_the_kernels_order() {
        let fixture = Fixture::new(&[
            ("d/sdaa", ""),
            ("d/sdb", ""),
            ("d/sda", ""),
            ("d/nvme1n1", ""),
            ("d/nvme0n1", ""),
            ("d/nvme10n1", ""),
        ]);
        let names = fixture.tree().names("d");
        assert_eq!(names, ["nvme0n1", "nvme1n1", "nvme10n1", "sda", "sdb", "sdaa"]);
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let inventory = Hardware::survey(watch::channel(Learnt::default()).1).inventory();
        assert!(inventory.cpu.threads >= 1 && inventory.memory_bytes > 64 * 1_024 * 1_024);
        assert!(!inventory.kernel.is_empty());
    }
}
