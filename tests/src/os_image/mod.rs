//! Operating systems to install: real Debian, built from its packages, as root archive, OCI image and disk image.
//!
//! Building takes a minute or two, so archives are kept in the cache, under a name that changes with what
//! goes into them. Nothing of them is in the repository.

mod disk;
mod registry;
mod tiny;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use ring::digest::{SHA256, digest};

use crate::output;

pub use disk::Disk;
pub use registry::Registry;

/// Packages of the system: a kernel for virtual machines, an init, cloud-init with what applies its
/// network configuration, a log-in, and boot loaders for BIOS and UEFI, signed and not.
const PACKAGES: &[&str] = &[
    "linux-image-cloud-amd64",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "kmod",
    "initramfs-tools",
    "cloud-init",
    "netplan.io",
    "iproute2",
    "openssh-server",
    "e2fsprogs",
    "ca-certificates",
    "busybox-static",
    "curl",
    "sudo",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "shim-signed",
];
/// What nobody reads in a test.
const LEFT_OUT: &[&str] =
    &["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
/// The archive has no locale but one.
const LOCALE: &str = r#"--customize-hook=echo "locale: C.UTF-8" > "$1/etc/cloud/cloud.cfg.d/90_locale.cfg""#;
/// Debian's release.
const RELEASE: &str = "bookworm";
/// Changes when what the small system is made of does.
const REVISION: u32 = 9;

/// A Debian as tar archive of its root.
#[derive(Debug, Clone)]
pub struct Debian {
    archive: PathBuf,
}

impl Debian {
    /// Builds it with mmdebstrap, or takes it from the cache.
    ///
    /// # Errors
    /// When mmdebstrap fails; with what it said.
    pub fn build() -> Result<Self> {
        Self::with(&[])
    }

    /// The same with more packages.
    ///
    /// # Errors
    /// As [`Debian::build`].
    pub fn with(more: &[&str]) -> Result<Self> {
        let packages: Vec<&str> = PACKAGES.iter().chain(more).copied().collect();
        let recipe = format!("{RELEASE} {packages:?} {LEFT_OUT:?} {LOCALE}");
        let folder = output::cache_dir()?.join("os-images");
        let archive = folder.join(format!("debian-{}.tar", &hex(recipe.as_bytes())[..16]));
        let _alone = building();
        if archive.is_file() {
            return Ok(Self { archive });
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let half = archive.with_extension(format!("{}.tar", std::process::id()));
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=apt", "--aptopt=Apt::Install-Recommends \"false\""]);
        command.arg(format!("--include={}", packages.join(",")));
        command.args(LEFT_OUT.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
        run(command.args([LOCALE, RELEASE]).arg(&half))?;
        fs::rename(&half, &archive).with_context(|| format!("cannot rename {}", half.display()))?;
        Ok(Self { archive })
    }

    /// The archive.
    #[must_use]
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    /// The same with more files over it, as a second archive that is a layer: path without a leading
    /// slash, and content. A path that ends in `.wh.NAME` takes NAME away, as in OCI layers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn layer(path: &Path, files: &[(&str, &str)]) -> Result<()> {
        let folder = path.with_extension("d");
        for (name, content) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap_or(&folder)).context("cannot make a folder")?;
            fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let names = files.iter().map(|(name, _)| *name);
        run(Command::new("tar")
            .arg("-C")
            .arg(&folder)
            .arg("-cf")
            .arg(path)
            .args(["--owner=0", "--group=0"])
            .args(names))
    }

    /// The system as OCI image layout in `folder`, under the tag `tag`: the archive, and `layers` over it.
    ///
    /// # Errors
    /// When umoci fails; with what it said.
    pub fn oci(&self, folder: &Path, tag: &str, layers: &[&Path]) -> Result<()> {
        let image = format!("{}:{tag}", folder.display());
        if !folder.exists() {
            run(Command::new("umoci").arg("init").arg("--layout").arg(folder))?;
        }
        run(Command::new("umoci").args(["new", "--image", &image]))?;
        for layer in std::iter::once(self.archive()).chain(layers.iter().copied()) {
            run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(layer))?;
        }
        Ok(())
    }
}

/// One test at a time builds; the others find what it built.
fn building() -> MutexGuard<'static, ()> {
    static BUILDING: Mutex<()> = Mutex::new(());
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a program to its end.
///
/// # Errors
/// When it fails; with what it said.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program} (run scripts/setup)"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} ended with {}:\n{}", output.status, output::tail(&said, 15));
    }
    Ok(())
}
