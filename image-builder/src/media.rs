//! Boot code and the image: EFI system partition, GRUB's BIOS image, and the ISO around them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use initrd::segment::{ConfigArchiveError, config_archive};
use iso::layout::{self, Layout, LayoutError, Parts};
use iso::manifest::{Identity, Package};
use iso::menu::{Marker, Menu, early_config, esp_config};
use iso::region::CONFIG_REGION_LEN;
use protocol::config::{AgentConfig, ConfigError};
use thiserror::Error;

use crate::packages::{Deb, PackageError};
use crate::plan::{BUSYBOX, GRUB_BIOS, GRUB_EFI, MOK_MANAGER, SHIM};
use crate::tool::{Tool, ToolError};

/// What GRUB's BIOS image has built in: disks, the file system, the menu and its terminals.
const GRUB_MODULES: &[&str] = &[
    "biosdisk",
    "iso9660",
    "part_msdos",
    "part_gpt",
    "normal",
    "search",
    "search_fs_file",
    "linux",
    "serial",
    "terminal",
    "echo",
    "test",
    "configfile",
    "minicmd",
    "keystatus",
    "sleep",
];
/// Files of the packages, by what they are used for.
const SHIM_FILE: &str = "usr/lib/shim/shimx64.efi.signed";
const MOK_MANAGER_FILE: &str = "usr/lib/shim/mmx64.efi.signed";
const GRUB_EFI_FILE: &str = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed";
const GRUB_BIOS_DIR: &str = "usr/lib/grub/i386-pc";
const BOOT_SECTOR_FILE: &str = "usr/lib/grub/i386-pc/boot_hybrid.img";
const BUSYBOX_FILE: &str = "bin/busybox";

/// Volume serial number of the EFI system partition; any fixed one will do.
const ESP_SERIAL: &str = "4d555354";
/// Space for FAT tables, directories and half-filled clusters in the partition.
const ESP_SPARE: usize = 128 * 1024;
/// The partition's length is a multiple of this, so that any cluster size divides it.
const ESP_UNIT: usize = 32 * 1024;

/// Why the image cannot be made.
#[derive(Debug, Error)]
pub enum MediaError {
    /// A package lacks something.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The image cannot be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The empty configuration cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The config archive cannot be made.
    #[error(transparent)]
    ConfigArchive(#[from] ConfigArchiveError),
    /// A temporary file cannot be read or written.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The files needed from packages.
#[derive(Debug)]
pub(crate) struct BootFiles {
    pub(crate) busybox: Vec<u8>,
    boot_sector: Vec<u8>,
    shim: Vec<u8>,
    mok_manager: Vec<u8>,
    grub_efi: Vec<u8>,
    /// Keeps the unpacked GRUB modules for `grub-mkimage`.
    root: tempfile::TempDir,
    pub(crate) packages: Vec<Package>,
}

impl BootFiles {
    /// Unpacks what is needed from the packages.
    pub(crate) fn unpack(debs: &[Deb]) -> Result<Self, MediaError> {
        let root = temp_dir()?;
        let find = |name: &'static str| {
            debs.iter()
                .find(|deb| deb.package.name == name)
                .ok_or_else(|| PackageError::Unknown(name.to_owned()))
        };
        let read = |name, file: &str| -> Result<Vec<u8>, MediaError> {
            let deb = find(name)?;
            deb.unpack(root.path(), |path| path == file)?;
            Ok(deb.read(root.path(), file)?)
        };
        find(GRUB_BIOS)?.unpack(root.path(), |path| path.starts_with(GRUB_BIOS_DIR))?;
        Ok(Self {
            busybox: read(BUSYBOX, BUSYBOX_FILE)?,
            boot_sector: read(GRUB_BIOS, BOOT_SECTOR_FILE)?,
            shim: read(SHIM, SHIM_FILE)?,
            mok_manager: read(MOK_MANAGER, MOK_MANAGER_FILE)?,
            grub_efi: read(GRUB_EFI, GRUB_EFI_FILE)?,
            packages: debs.iter().map(|deb| deb.package.clone()).collect(),
            root,
        })
    }

    /// The hybrid image.
    pub(crate) fn image(
        &self,
        identity: Identity,
        marker: Marker,
        menu: Menu,
        kernel: Vec<u8>,
        initrd: Vec<u8>,
    ) -> Result<Layout, MediaError> {
        let config = AgentConfig::unpersonalised().render()?;
        Ok(layout::build(Parts {
            menu,
            kernel,
            initrd,
            config: config_archive(&config, CONFIG_REGION_LEN)?,
            eltorito: self.eltorito(&marker)?,
            esp: self.esp(&marker, identity.build_time)?,
            boot_sector: self.boot_sector.clone(),
            identity,
            marker,
        })?)
    }

    /// GRUB for BIOS machines, with the search for this medium built in.
    fn eltorito(&self, marker: &Marker) -> Result<Vec<u8>, MediaError> {
        let dir = temp_dir()?;
        let config = write(dir.path(), "early.cfg", early_config(marker).as_bytes())?;
        let image = dir.path().join("eltorito.img");
        Tool::GRUB_MKIMAGE
            .command()
            .args(["--format", "i386-pc-eltorito", "--prefix", "/boot/grub"])
            .arg("--directory")
            .arg(self.root.path().join(GRUB_BIOS_DIR))
            .arg("--config")
            .arg(config)
            .arg("--output")
            .arg(&image)
            .args(GRUB_MODULES)
            .run()?;
        fs::read(&image).map_err(failed("read", &image))
    }

    /// The EFI system partition: shim, GRUB, the key manager, and where to find the rest.
    fn esp(&self, marker: &Marker, build_time: u64) -> Result<Vec<u8>, MediaError> {
        let config = esp_config(marker).into_bytes();
        let files: [(&str, &[u8]); 4] = [
            ("EFI/BOOT/BOOTX64.EFI", &self.shim),
            ("EFI/BOOT/grubx64.efi", &self.grub_efi),
            ("EFI/BOOT/mmx64.efi", &self.mok_manager),
            ("boot/grub/grub.cfg", &config),
        ];
        let contents: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let len = (contents + ESP_SPARE).next_multiple_of(ESP_UNIT);
        let dir = temp_dir()?;
        let image = write(dir.path(), "esp.img", &vec![0; len])?;
        let epoch = build_time.to_string();
        Tool::MKFS_VFAT
            .command()
            .args(["-F", "12", "-S", "512", "-i", ESP_SERIAL, "-n", "MUSTER-ESP", "--invariant"])
            .arg(&image)
            .run()?;
        // mtools dates files by this variable and in local time.
        let mtools = |tool: Tool| {
            tool.command().env("SOURCE_DATE_EPOCH", &epoch).env("TZ", "UTC").arg("-i").arg(&image)
        };
        mtools(Tool::MMD).args(["::/EFI", "::/EFI/BOOT", "::/boot", "::/boot/grub"]).run()?;
        for (path, bytes) in files {
            let file = write(dir.path(), "file", bytes)?;
            mtools(Tool::MCOPY).arg("-o").arg(file).arg(format!("::/{path}")).run()?;
        }
        fs::read(&image).map_err(failed("read", &image))
    }
}

fn temp_dir() -> Result<tempfile::TempDir, MediaError> {
    tempfile::Builder::new()
        .prefix("muster-media-")
        .tempdir()
        .map_err(failed("create a directory in", &std::env::temp_dir()))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, MediaError> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(failed("write", &path))?;
    Ok(path)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MediaError {
    let path = path.to_owned();
    move |source| MediaError::File { action, path, source }
}
