//! The initial ramdisk: the agent as `/init`, busybox for the rescue shell, the module index, the modules.
//!
//! Configuration is not in it: that is a ramdisk of its own, so that one ramdisk serves every machine.

use std::io::{self, Read as _};

use initrd::cpio::{Kind, ReadError, Reader, Tree, WriteError};
use initrd::segment::{Compression, Segments, compress};
use protocol::module_index::{self, IndexError, ModuleIndex};
use protocol::tools::TICKET_PATH;
use thiserror::Error;

use crate::digest::sha256;
use crate::firmware::Firmware;
use crate::kernel::{Kernel, PACKED_SUFFIX};
use crate::publish::PublishError;
use crate::store::{Parts, Store};

/// How the initial ramdisk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A small compressed segment with programs and the index, and each module compressed by itself in a plain
    /// one: the kernel copies that as it is, and the agent unpacks the few modules that the machine needs.
    Single,
    /// Everything, modules as they are, in one xz segment: the smallest medium, but the kernel unpacks all of it
    /// at every boot.
    Solid,
}

/// Chosen by measured time from power-on to the agent (generic profile, QEMU without KVM, three runs a path): the
/// kernel reaches `/init` in 1.8 to 3.6 s against 3.6 to 5.0 s with one zstd segment. Reading 3.5 MB more (23.3
/// against 19.8 MB) eats a part of that: the whole boot is sooner in six of nine pairs, on CD in all three. A build
/// with nothing new takes seconds instead of a minute.
const DEFAULT: Storage = Storage::Single;

impl Default for Storage {
    fn default() -> Self {
        DEFAULT
    }
}

/// Where the kernel mounts things, and the few directories programs expect.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];
/// Devices that must be there before the agent mounts `/dev`: path, mode, major and minor number. The kernel
/// opens the console for init; without a console, Rust's runtime opens `/dev/null` in its place or aborts.
const DEVICES: &[(&str, u32, u32, u32)] = &[("dev/console", 0o600, 5, 1), ("dev/null", 0o666, 1, 3)];
/// The agent under the names people type, by itself and to fetch the tools, and under the one that the kernel runs
/// when it wants a module.
const COMMANDS: &[&str] = &["usr/bin/muster-agent", "usr/bin/tools", "sbin/modprobe"];
const BUSYBOX: &str = "bin/busybox";
/// The same as the agent finds it when it starts a rescue shell.
const BUSYBOX_PACKED: &str = "bin/busybox.zst";
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;
const SHELF: &str = "segment";
const PACKED: &str = "packed";

/// Why the ramdisk cannot be made.
#[derive(Debug, Error)]
pub enum RamdiskError {
    /// An entry does not fit the archive.
    #[error(transparent)]
    Archive(#[from] WriteError),
    /// The compressor failed.
    #[error("compress the initial ramdisk")]
    Compress(#[from] io::Error),
    /// The packed modules are not what was packed.
    #[error("unpack the modules")]
    Modules(#[from] ReadError),
    /// The index of the modules is not what was made.
    #[error("read the module index")]
    Index(#[from] IndexError),
    /// A result could not be kept.
    #[error(transparent)]
    Keep(#[from] PublishError),
}

/// What goes into the ramdisk.
#[derive(Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) agent: &'a [u8],
    pub(crate) busybox: &'a [u8],
    pub(crate) kernel: &'a Kernel,
    pub(crate) firmware: &'a Firmware,
    /// What it takes to fetch the tools.
    pub(crate) ticket: &'a [u8],
}

/// Puts the ramdisk together. It depends on its input alone; all dates in it are 1970.
pub(crate) fn build(parcel: &Parcel<'_>, storage: Storage, store: &Store) -> Result<Vec<u8>, RamdiskError> {
    let mut tree = base(parcel)?;
    let kernel = parcel.kernel;
    let in_modules = |file: &str| format!("lib/modules/{}/{file}", kernel.release);
    let path = in_modules(module_index::FILE_NAME);
    let mut segments = Segments::new();
    match storage {
        Storage::Single => {
            tree.file(&path, FILE, kernel.index.as_bytes())?;
            if !kernel.dictionary.is_empty() {
                tree.file(&in_modules(module_index::DICTIONARY_NAME), FILE, kernel.dictionary.as_slice())?;
            }
            segments.push_packed(&pack(&tree.to_bytes(0)?, Compression::Zstd, store)?);
            // Wanted by a rescue shell alone: every boot would pay for unpacking it.
            let mut seldom = Tree::new();
            seldom.file(BUSYBOX_PACKED, FILE, pack(parcel.busybox, Compression::Zstd, store)?)?;
            segments.push(&seldom.to_bytes(0)?, Compression::None)?;
            segments.push(&kernel.modules, Compression::None)?;
        }
        Storage::Solid => {
            let index = ModuleIndex::parse(&kernel.index)?.rename_paths(|path| plain(path).to_owned())?;
            tree.file(&path, FILE, index.render().into_bytes())?;
            tree.file(BUSYBOX, PROGRAM, parcel.busybox)?;
            add_modules(&mut tree, kernel)?;
            segments.push_packed(&pack(&tree.to_bytes(0)?, Compression::Xz, store)?);
        }
    }
    Ok(segments.into_bytes())
}

fn base<'a>(parcel: &Parcel<'a>) -> Result<Tree<'a>, RamdiskError> {
    let mut base = Tree::new();
    for (path, permissions) in DIRECTORIES {
        base.directory(path, *permissions)?;
    }
    for (path, permissions, major, minor) in DEVICES {
        base.char_device(path, *permissions, *major, *minor)?;
    }
    base.file("init", PROGRAM, parcel.agent)?;
    base.symlink("bin/sh", "busybox")?;
    // The first line of many a task's script asks it for its interpreter.
    base.symlink("usr/bin/env", "/bin/busybox")?;
    parcel.firmware.add_to(&mut base)?;
    base.file(TICKET_PATH, FILE, parcel.ticket)?;
    for command in COMMANDS {
        base.symlink(command, "/init")?;
    }
    Ok(base)
}

/// What compressing gives; kept, because the same comes again.
fn pack(bytes: &[u8], compression: Compression, store: &Store) -> Result<Vec<u8>, RamdiskError> {
    let key = format!("{} {}", sha256(bytes), compression.settings());
    if let Some(packed) = store.load(SHELF, &key).and_then(|mut parts| parts.remove(PACKED)) {
        return Ok(packed);
    }
    let packed = compress(bytes, compression)?;
    store.keep(SHELF, &key, &Parts::from([(PACKED.to_owned(), packed.clone())]))?;
    Ok(packed)
}

/// Adds the modules as they were before they were compressed.
fn add_modules(tree: &mut Tree<'_>, kernel: &Kernel) -> Result<(), RamdiskError> {
    for entry in Reader::new(&kernel.modules) {
        let entry = entry?;
        if let Kind::File(packed) = entry.kind {
            let mut module = Vec::new();
            zstd::Decoder::with_dictionary(packed, &kernel.dictionary)?.read_to_end(&mut module)?;
            tree.file(plain(entry.path), FILE, module)?;
        }
    }
    Ok(())
}

fn plain(path: &str) -> &str {
    path.strip_suffix(PACKED_SUFFIX).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "6.1-test";
    const NIC: &str = "kernel/drivers/net/nic.ko";

    fn kernel() -> Kernel {
        let dictionary = b"what drivers have in common".to_vec();
        let mut packer = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
        let mut modules = Tree::new();
        let path = format!("lib/modules/{RELEASE}/{NIC}{PACKED_SUFFIX}");
        modules.file(&path, FILE, packer.compress(b"a driver in common").unwrap()).unwrap();
        Kernel {
            image: Vec::new(),
            release: RELEASE.to_owned(),
            modules: modules.to_bytes(0).unwrap(),
            dictionary,
            index: format!("muster-modules 1 {RELEASE}\nm nic {NIC}{PACKED_SUFFIX} - - -\n"),
            terms: None,
        }
    }

    fn build_as(storage: Storage) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, firmware) = (kernel(), Firmware::default());
        let parcel = Parcel {
            agent: b"agent",
            busybox: b"busybox",
            kernel: &kernel,
            firmware: &firmware,
            ticket: b"{}",
        };
        let store = Store::new(dir.path());
        let made = build(&parcel, storage, &store).unwrap();
        assert_eq!(made, build(&parcel, storage, &store).unwrap(), "what was kept is what was made");
        made
    }

    #[test]
    fn a_solid_ramdisk_is_one_xz_segment_with_the_modules_as_they_were() {
        let made = build_as(Storage::Solid);
        // Stream header and flags: the CRC32 check is the only one the kernel knows.
        assert_eq!(made.get(..8), Some([0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1].as_slice()));
        let mut archive = Vec::new();
        xz2::read::XzDecoder::new(made.as_slice()).read_to_end(&mut archive).unwrap();
        let entries: Vec<_> = Reader::new(&archive).map(Result::unwrap).collect();
        let file = |path: &str| entries.iter().find(|entry| entry.path == path).map(|entry| entry.kind);
        let in_modules = |name: &str| format!("lib/modules/{RELEASE}/{name}");
        assert_eq!(file(&in_modules(NIC)), Some(Kind::File(b"a driver in common")));
        assert_eq!(file("init"), Some(Kind::File(b"agent")));
        assert_eq!(file(&in_modules(module_index::DICTIONARY_NAME)), None);
        let Some(Kind::File(index)) = file(&in_modules(module_index::FILE_NAME)) else {
            panic!("{entries:?}")
        };
        let index = ModuleIndex::parse(std::str::from_utf8(index).unwrap()).unwrap();
        assert_eq!(index.module("nic").unwrap().path, NIC);
    }

    #[test]
    fn the_default_ramdisk_has_each_module_by_itself_in_a_plain_archive() {
        let made = build_as(Storage::default());
        let kernel = kernel();
        let end = made.len().checked_sub(kernel.modules.len()).unwrap();
        assert_eq!(made.get(end..), Some(kernel.modules.as_slice()));
    }
}
