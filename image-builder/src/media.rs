//! Boot code and the image: EFI system partition, GRUB's BIOS image, and the ISO around them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use initrd::segment::{ConfigArchiveError, config_archive};
use iso::layout::{self, Layout, LayoutError};
use iso::manifest::Identity;
use iso::menu::{Marker, Menu, early_config, esp_config};
use iso::region::CONFIG_REGION_LEN;
use protocol::config::{AgentConfig, ConfigError};
use thiserror::Error;

use crate::apt::Listed;
use crate::packages::{Contents, PackageError, is_terms};
use crate::plan::{BUSYBOX, GRUB_BIOS, GRUB_EFI, MOK_MANAGER, SHIM};
use crate::publish::PublishError;
use crate::store::{Parts, Store};
use crate::tool::{Tool, ToolError};

/// What GRUB's BIOS image has built in: disks, the file system, the menu and its terminals, and what it takes to
/// find an installed system on a disk and start that disk.
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
    "regexp",
    "fat",
    "ext2",
    "xfs",
    "btrfs",
    "chain",
    "boot",
];
/// Single files: their package, their path in it, and the name under which they are kept.
const FILES: &[(&str, &str, &str)] = &[
    (BUSYBOX, "bin/busybox", BUSYBOX_PART),
    (SHIM, "usr/lib/shim/shimx64.efi.signed", SHIM_PART),
    (MOK_MANAGER, "usr/lib/shim/mmx64.efi.signed", MOK_MANAGER_PART),
    (GRUB_EFI, "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", GRUB_EFI_PART),
];
const BUSYBOX_PART: &str = "busybox";
const SHIM_PART: &str = "shim.efi";
const MOK_MANAGER_PART: &str = "mok-manager.efi";
const GRUB_EFI_PART: &str = "grub.efi";
const GRUB_BIOS_DIR: &str = "usr/lib/grub/i386-pc/";
const GRUB_BIOS_PARTS: &str = "grub-bios/";
const TERMS_PARTS: &str = "terms/";
const BOOT_SECTOR_FILE: &str = "boot_hybrid.img";
const SHELF: &str = "boot";
/// Changes whenever other files are taken from the packages, or under other names.
const REVISION: u32 = 1;

/// Volume serial number of the EFI system partition; any fixed one will do.
const ESP_SERIAL: &str = "4d555354";
/// Space for FAT tables, directories and half-filled clusters in the partition.
const ESP_SPARE: usize = 128 * 1024;
/// The partition's length is a multiple of this, so that any cluster size divides it.
const ESP_UNIT: usize = 32 * 1024;

/// Files of one directory of the EFI system partition, by name.
type EspFiles<'a> = &'a [(&'a str, &'a [u8])];

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
    /// A result could not be kept.
    #[error(transparent)]
    Keep(#[from] PublishError),
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

/// What an image says, beside what it boots.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) identity: Identity,
    pub(crate) marker: Marker,
    pub(crate) menu: Menu,
    /// Terms of everything in it.
    pub(crate) licenses: String,
}

/// The files needed from packages.
#[derive(Debug)]
pub(crate) struct BootFiles {
    pub(crate) busybox: Vec<u8>,
    boot_sector: Vec<u8>,
    shim: Vec<u8>,
    mok_manager: Vec<u8>,
    grub_efi: Vec<u8>,
    /// GRUB's modules and core for BIOS, by file name.
    grub_bios: Parts,
    /// Terms of the packages, by name.
    pub(crate) terms: BTreeMap<String, String>,
}

impl BootFiles {
    /// What was read of these packages before, if it is still there.
    pub(crate) fn kept(listed: &[Listed], store: &Store) -> Option<Self> {
        Self::from_parts(store.load(SHELF, &key(listed))?)
    }

    /// Whether a file of a package is needed.
    pub(crate) fn wants(package: &str, path: &str) -> bool {
        let single = FILES.iter().any(|(name, file, _)| *name == package && *file == path);
        single || is_grub_bios(package, path) || is_terms(path)
    }

    /// What the packages have, with their terms; it is kept.
    pub(crate) fn new(
        listed: &[Listed],
        contents: Vec<Contents>,
        terms: BTreeMap<String, String>,
        store: &Store,
    ) -> Result<Self, MediaError> {
        let mut parts = Parts::new();
        for mut contents in contents {
            let package = contents.package.clone();
            for (_, file, part) in FILES.iter().filter(|(name, _, _)| *name == package) {
                parts.insert((*part).to_owned(), contents.take(file)?);
            }
            for (path, bytes) in contents.files.into_iter().filter(|(path, _)| is_grub_bios(&package, path)) {
                let file = path.rsplit('/').next().unwrap_or(&path);
                parts.insert(format!("{GRUB_BIOS_PARTS}{file}"), bytes);
            }
        }
        for (name, text) in terms {
            parts.insert(format!("{TERMS_PARTS}{name}"), text.into_bytes());
        }
        store.keep(SHELF, &key(listed), &parts)?;
        let missing =
            PackageError::MissingFile { package: GRUB_BIOS.to_owned(), file: GRUB_BIOS_DIR.to_owned() };
        Ok(Self::from_parts(parts).ok_or(missing)?)
    }

    fn from_parts(mut parts: Parts) -> Option<Self> {
        let mut within = |prefix: &str| -> Parts {
            let names: Vec<String> = parts.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
            let taken = names.into_iter().filter_map(|name| parts.remove_entry(&name));
            taken.map(|(name, bytes)| (name.replacen(prefix, "", 1), bytes)).collect()
        };
        let (grub_bios, terms) = (within(GRUB_BIOS_PARTS), within(TERMS_PARTS));
        let terms = terms.into_iter().map(|(name, text)| (name, String::from_utf8_lossy(&text).into_owned()));
        Some(Self {
            busybox: parts.remove(BUSYBOX_PART)?,
            boot_sector: grub_bios.get(BOOT_SECTOR_FILE)?.clone(),
            shim: parts.remove(SHIM_PART)?,
            mok_manager: parts.remove(MOK_MANAGER_PART)?,
            grub_efi: parts.remove(GRUB_EFI_PART)?,
            grub_bios,
            terms: terms.collect(),
        })
    }

    /// The hybrid image.
    pub(crate) fn image(
        &self,
        content: Content,
        kernel: Vec<u8>,
        initrd: Vec<u8>,
    ) -> Result<Layout, MediaError> {
        let config = AgentConfig::unpersonalised().render()?;
        let Content { identity, marker, menu, licenses } = content;
        Ok(layout::build(layout::Parts {
            menu,
            kernel,
            initrd,
            config: config_archive(&config, CONFIG_REGION_LEN)?,
            eltorito: self.eltorito(&marker)?,
            esp: self.esp(&marker, identity.build_time)?,
            boot_sector: self.boot_sector.clone(),
            licenses: licenses.into_bytes(),
            identity,
            marker,
        })?)
    }

    /// GRUB for BIOS machines, with the search for this medium built in.
    fn eltorito(&self, marker: &Marker) -> Result<Vec<u8>, MediaError> {
        let dir = temp_dir()?;
        let modules = dir.path().join("grub");
        fs::create_dir(&modules).map_err(failed("create", &modules))?;
        for (name, bytes) in &self.grub_bios {
            write(&modules, name, bytes)?;
        }
        let config = write(dir.path(), "early.cfg", early_config(marker).as_bytes())?;
        let image = dir.path().join("eltorito.img");
        Tool::GRUB_MKIMAGE
            .command()
            .args(["--format", "i386-pc-eltorito", "--prefix", "/boot/grub"])
            .arg("--directory")
            .arg(modules)
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
        let dirs: [(&str, EspFiles<'_>); 2] = [
            (
                "::/EFI/BOOT",
                &[
                    ("BOOTX64.EFI", &self.shim),
                    ("grubx64.efi", &self.grub_efi),
                    ("mmx64.efi", &self.mok_manager),
                ],
            ),
            ("::/boot/grub", &[("grub.cfg", &config)]),
        ];
        let contents: usize = dirs.iter().flat_map(|(_, files)| *files).map(|(_, bytes)| bytes.len()).sum();
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
        for (target, files) in dirs {
            let paths: Result<Vec<PathBuf>, MediaError> =
                files.iter().map(|(name, bytes)| write(dir.path(), name, bytes)).collect();
            mtools(Tool::MCOPY).arg("-o").args(paths?).arg(target).run()?;
        }
        fs::read(&image).map_err(failed("read", &image))
    }
}

fn is_grub_bios(package: &str, path: &str) -> bool {
    package == GRUB_BIOS && path.starts_with(GRUB_BIOS_DIR)
}

/// Everything the files depend on.
fn key(listed: &[Listed]) -> String {
    let digests: Vec<&str> = listed.iter().map(|listed| listed.package.sha256.as_str()).collect();
    format!("{REVISION} {}", digests.join(" "))
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
