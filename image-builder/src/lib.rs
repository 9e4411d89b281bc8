//! Boot media from Debian's packages: `muster media build | inspect | customize`.
//!
//! [`build()`] makes a [`Plan`] (pure), fetches the signed kernel, shim and GRUB packages through apt without
//! installing anything, selects kernel modules and indexes them, and writes a media directory whole or not at
//! all: `muster.iso vmlinuz initrd muster-agent tools.cpio.zst licenses.txt sbom.spdx.json manifest.json
//! SHA256SUMS`, and the folder `loaders` with what firmware fetches for network boot.
//! [`verify()`] holds a directory against its manifest; [`inspect()`] says what an image holds; [`customize()`]
//! writes a copy with another configuration or other kernel arguments.
//!
//! Output is sorted, dated by the request and compressed at a fixed level, so the same input gives the same
//! bytes.

mod apt;
mod build;
mod crates;
mod customize;
mod digest;
mod firmware;
mod inspect;
mod kernel;
mod licenses;
mod loaders;
mod media;
mod modules;
mod needed;
mod packages;
mod plan;
mod progress;
mod publish;
mod ramdisk;
mod sbom;
mod store;
mod terms;
mod tool;
mod tools;
mod verify;

pub use build::{BuildError, build};
pub use customize::{CustomizeError, CustomizeRequest, customize, overlay};
pub use firmware::FirmwareError;
pub use inspect::{ImageError, InspectedFile, Inspection, inspect};
pub use iso::manifest::Manifest;
pub use kernel::KernelError;
pub use loaders::LoaderError;
pub use media::MediaError;
pub use modules::ModuleError;
pub use packages::PackageError;
pub use plan::{
    AGENT_FILE, Arch, BuildRequest, CHECKSUMS_FILE, INITRD_FILE, INSTALLER_FILE, ISO_FILE, KERNEL_FILE,
    KernelSource, LICENSES_FILE, MANIFEST_FILE, Plan, PlanError, Profile, SBOM_FILE, Storage, UnknownArch,
    UnknownProfile, cache_dir,
};
pub use progress::Progress;
pub use publish::PublishError;
pub use ramdisk::RamdiskError;
pub use tool::ToolError;
pub use tools::ToolsError;
pub use verify::{FileState, Verification, VerifiedFile, VerifyError, verify};
