//! The initial ramdisk: the agent as `/init`, busybox for the rescue shell, the module index, the modules.
//!
//! Two segments. The first is small and compressed: programs and the index. The second holds the modules, as
//! [`crate::kernel::MODULE_STORAGE`] says. Configuration is not in it: that is a ramdisk of its own, so that
//! one ramdisk serves every machine.

use std::io;

use initrd::cpio::{Tree, WriteError};
use initrd::segment::{Compression, Segments};
use protocol::module_index;
use thiserror::Error;

use crate::kernel::{Kernel, MODULE_STORAGE, ModuleStorage, ZSTD_LEVEL};

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
const PROGRAM: u32 = 0o755;

/// Why the ramdisk cannot be made.
#[derive(Debug, Error)]
pub enum RamdiskError {
    /// An entry does not fit the archive.
    #[error(transparent)]
    Archive(#[from] WriteError),
    /// The compressor failed.
    #[error("compress the initial ramdisk")]
    Compress(#[from] io::Error),
}

/// Puts the ramdisk together. It depends on its input alone; all dates in it are 1970.
pub(crate) fn build(agent: &[u8], busybox: &[u8], kernel: &Kernel) -> Result<Vec<u8>, RamdiskError> {
    let mut base = Tree::new();
    for (path, permissions) in DIRECTORIES {
        base.directory(path, *permissions)?;
    }
    for (path, permissions, major, minor) in DEVICES {
        base.char_device(path, *permissions, *major, *minor)?;
    }
    base.file("init", PROGRAM, agent)?;
    base.file("bin/busybox", PROGRAM, busybox)?;
    base.symlink("bin/sh", "busybox")?;
    let index = format!("lib/modules/{}/{}", kernel.release, module_index::FILE_NAME);
    base.file(&index, 0o644, kernel.index.as_bytes())?;
    let zstd = Compression::Zstd { level: ZSTD_LEVEL };
    let mut segments = Segments::new();
    segments.push(&base.to_bytes(0)?, zstd)?;
    let modules = match MODULE_STORAGE {
        ModuleStorage::Single => Compression::None,
        ModuleStorage::Solid => zstd,
    };
    segments.push(&kernel.modules, modules)?;
    Ok(segments.into_bytes())
}
