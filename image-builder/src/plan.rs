//! The plan: everything about a build that can be decided without touching anything.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use iso::menu::{Entry, Menu, MenuError};
use protocol::cmdline::{CONSOLE, NET};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use crate::modules::profile::{Profile, UnknownProfile};
pub use crate::ramdisk::Storage;

/// The hybrid image in the media directory.
pub const ISO_FILE: &str = iso::manifest::ISO_FILE;
/// The kernel, for network boot and `qemu -kernel`.
pub const KERNEL_FILE: &str = "vmlinuz";
/// The initial ramdisk, without any configuration.
pub const INITRD_FILE: &str = "initrd";
/// The agent, for machines that have an operating system.
pub const AGENT_FILE: &str = "muster-agent";
/// The program that installs operating systems; it comes with the tools.
pub const INSTALLER_FILE: &str = "muster-installer";
/// Under which terms everything is, and where its source is.
pub const LICENSES_FILE: &str = "licenses.txt";
/// What everything is made of, as SPDX 2.3.
pub const SBOM_FILE: &str = "sbom.spdx.json";
/// What the directory holds.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Digests of all other files, for `sha256sum --check`.
pub const CHECKSUMS_FILE: &str = "SHA256SUMS";

/// Arguments of every entry. The kernel's messages go to the serial port and the screen; the screen is last and
/// so the one that `/dev/console` means. A machine whose first program died starts again after 30 seconds.
const COMMON_ARGS: &str = "panic=30 console=ttyS0,115200n8 console=tty0";
/// Errors only: the agent draws the screen.
const QUIET_ARGS: &str = "quiet loglevel=3";

/// Debian packages every image is made from, beside the kernel's.
pub(crate) const SHIM: &str = "shim-signed";
pub(crate) const MOK_MANAGER: &str = "shim-helpers-amd64-signed";
pub(crate) const GRUB_EFI: &str = "grub-efi-amd64-signed";
pub(crate) const GRUB_BIOS: &str = "grub-pc-bin";
pub(crate) const BUSYBOX: &str = "busybox-static";
/// Has the terms of [`GRUB_BIOS`].
pub(crate) const GRUB_COMMON: &str = "grub-common";

/// What a machine's processor is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit PC.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
}

/// An architecture nobody builds media for yet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an architecture media can be built for: use `x86_64`")]
pub struct UnknownArch(String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            other => Err(UnknownArch(other.to_owned())),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
        })
    }
}

/// Where the kernel comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KernelSource {
    /// Debian's newest signed kernel of the profile.
    #[default]
    Debian,
    /// Files of any other kernel; with Secure Boot on it must be signed by a key the machine trusts.
    Files {
        /// The kernel image (`vmlinuz`).
        kernel: PathBuf,
        /// A directory with `lib/modules/VERSION`, or that directory itself.
        modules: PathBuf,
    },
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// Which drivers, and which of Debian's kernels.
    pub profile: Profile,
    /// For which processor.
    pub arch: Arch,
    /// The media directory; written whole or not at all, replacing an older one.
    pub out: PathBuf,
    /// The agent, a static program.
    pub agent: PathBuf,
    /// The installer, another one.
    pub installer: PathBuf,
    /// The kernel.
    pub kernel: KernelSource,
    /// A folder laid out as `/lib/firmware`, for hardware whose firmware Debian's kernel package does not hold.
    pub firmware: Option<PathBuf>,
    /// Whether Debian's boot loaders for network boot are put beside the media.
    pub loaders: bool,
    /// A folder of boot loaders that are put there too; they replace Debian's of the same name.
    pub own_loaders: Option<PathBuf>,
    /// How the initial ramdisk is stored.
    pub storage: Storage,
    /// Date of everything in the media, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub build_time: u64,
    /// Where packages and packed modules are kept between builds; see [`cache_dir`].
    pub cache: PathBuf,
}

/// The per-user cache directory: `$XDG_CACHE_HOME/muster`, else `$HOME/.cache/muster`; `None` without either.
#[must_use]
pub fn cache_dir(xdg_cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = xdg_cache_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")));
    base.map(|base| base.join("muster"))
}

/// What a build will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Packages to fetch beside the kernel's, sorted.
    pub packages: Vec<&'static str>,
    /// The boot menu.
    pub menu: Menu,
}

/// Why a request cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A file system's root or nothing at all.
    #[error("{0} cannot be a media directory: name a directory of its own")]
    Out(PathBuf),
    /// The menu does not render.
    #[error("make the boot menu")]
    Menu(#[from] MenuError),
}

impl Plan {
    /// Decides what the request means.
    ///
    /// # Errors
    /// [`PlanError`] when the output cannot be a directory of its own.
    pub fn new(request: &BuildRequest) -> Result<Self, PlanError> {
        if request.out.file_name().is_none() {
            return Err(PlanError::Out(request.out.clone()));
        }
        let mut packages = vec![SHIM, MOK_MANAGER, GRUB_EFI, GRUB_BIOS, BUSYBOX];
        packages.sort_unstable();
        Ok(Self { packages, menu: menu()? })
    }
}

/// The four ways to start.
fn menu() -> Result<Menu, MenuError> {
    let entry = |title: &str, hotkey, args: String| Entry { title: title.to_owned(), hotkey, args };
    Menu::new(vec![
        entry("Muster", 'm', format!("{QUIET_ARGS} {COMMON_ARGS}")),
        entry("Muster, all messages", 'v', format!("loglevel=7 {COMMON_ARGS} {CONSOLE}=verbose")),
        entry("Set up the network by hand", 'n', format!("{QUIET_ARGS} {COMMON_ARGS} {NET}=ask")),
        entry("Rescue shell", 'r', format!("{QUIET_ARGS} {COMMON_ARGS} {CONSOLE}=rescue")),
    ])
}

/// Names the parent directory of a path that has a name, `.` for a bare name.
pub(crate) fn parent_dir(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> BuildRequest {
        BuildRequest {
            profile: Profile::Generic,
            arch: Arch::X86_64,
            out: "target/media".into(),
            agent: "muster-agent".into(),
            installer: "muster-installer".into(),
            kernel: KernelSource::Debian,
            firmware: None,
            loaders: true,
            own_loaders: None,
            storage: Storage::default(),
            build_time: 0,
            cache: "cache".into(),
        }
    }

    #[test]
    fn a_plan_names_the_packages_and_four_ways_to_start() {
        let plan = Plan::new(&request()).unwrap();
        assert!(plan.packages.is_sorted());
        assert!(plan.packages.contains(&"shim-signed"));
        assert_eq!(plan.menu, menu().unwrap());
        assert!(format!("{:?}", plan.menu).contains("muster.net=ask"));
    }

    #[test]
    fn a_root_directory_is_not_written_to() {
        for out in ["/", "..", ""] {
            let request = BuildRequest { out: out.into(), ..request() };
            assert_eq!(Plan::new(&request), Err(PlanError::Out(out.into())));
        }
    }

    #[test]
    fn the_cache_is_the_users() {
        let os = |text: &str| Some(OsString::from(text));
        assert_eq!(cache_dir(os("/x"), os("/home/a")), Some("/x/muster".into()));
        assert_eq!(cache_dir(None, os("/home/a")), Some("/home/a/.cache/muster".into()));
        assert_eq!(cache_dir(os("relative"), os("/home/a")), Some("/home/a/.cache/muster".into()));
        assert_eq!(cache_dir(None, None), None);
    }
}
