//! What a build is doing, for whoever waits for it.

use std::fmt;

/// One step of a build; its text is a line for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A package is there.
    Package {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Whether it was in the cache.
        cached: bool,
    },
    /// A package is being unpacked.
    Unpacking {
        /// Its name.
        package: String,
    },
    /// The kernel has been packed before.
    KernelKept {
        /// Its release.
        release: String,
    },
    /// The modules for the image are known.
    Selected {
        /// How many go into the image.
        modules: usize,
        /// How many the kernel has.
        of: usize,
    },
    /// Modules are being compressed.
    Packing {
        /// How many are done.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// The tools are packed.
    Tools {
        /// The archive's length in bytes.
        bytes: usize,
        /// How many packages they come from.
        packages: usize,
    },
    /// The boot loaders for network boot are there.
    Loaders {
        /// How many files.
        files: usize,
        /// Their bytes altogether.
        bytes: usize,
    },
    /// The initial ramdisk is made.
    Initrd {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The image is made.
    Image {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { name, version, cached } => {
                let how = if *cached { "kept" } else { "downloaded" };
                write!(f, "package {name} {version} ({how})")
            }
            Self::Unpacking { package } => write!(f, "unpacking {package}"),
            Self::KernelKept { release } => write!(f, "kernel {release}, packed before"),
            Self::Selected { modules, of } => write!(f, "{modules} of {of} kernel modules"),
            Self::Packing { done, total } => write!(f, "packed {done} of {total} modules"),
            Self::Tools { bytes, packages } => write!(f, "tools: {bytes} bytes from {packages} packages"),
            Self::Loaders { files, bytes } => write!(f, "boot loaders: {bytes} bytes in {files} files"),
            Self::Initrd { bytes } => write!(f, "initial ramdisk: {bytes} bytes"),
            Self::Image { bytes } => write!(f, "image: {bytes} bytes"),
        }
    }
}
