//! The hybrid image: one file system, four ways to boot it.
//!
//! ```text
//! /boot/vmlinuz  /boot/initrd.img  /boot/config.img  /boot/boot.cat
//! /boot/grub/grub.cfg  /boot/grub/i386-pc/eltorito.img
//! /.disk/info  /.disk/muster.json  /.disk/MUSTER-<unique>  /licenses.txt
//! ```
//!
//! BIOS boots the El Torito image from a CD, and GRUB's `boot_hybrid.img` in the first sector from a disk,
//! which loads the same El Torito image. UEFI boots the EFI system partition, stored once behind the files and
//! named both by El Torito and by the GPT. The output depends on nothing but its input: no clock, no random
//! GUID, no host file times.

use hadris_fs::{Content, DateTime, DateTimeError, Node, PathError, Tree};
use hadris_iso::{
    AppendedPartition, BootEntry, BootInfo, ElTorito, Hybrid, IsoId, IsoLevel, IsoOptions, NameCase,
};
use thiserror::Error;

use crate::manifest::Identity;
use crate::menu::{EXTRA_PREFIX, EXTRA_SUFFIX, Marker, Menu};
use crate::region::{
    CONFIG_REGION, CONFIG_REGION_LEN, KERNEL_ARGS_REGION, KERNEL_ARGS_REGION_LEN, KernelArgs, Region,
};

/// Path of the kernel in the image.
pub const KERNEL_PATH: &str = "boot/vmlinuz";
/// Path of the initial ramdisk.
pub const INITRD_PATH: &str = "boot/initrd.img";
/// Path of the config archive, the second initial ramdisk; its extent is the config region.
pub const CONFIG_PATH: &str = "boot/config.img";
/// Path of the menu; the kernel-argument region lies in its first line.
pub const MENU_PATH: &str = "boot/grub/grub.cfg";
/// Path of the [`Identity`] of the build, as JSON.
pub const IDENTITY_PATH: &str = ".disk/muster.json";

/// Path of the terms of everything in the image.
pub const LICENSES_PATH: &str = "licenses.txt";

const ELTORITO_PATH: &str = "boot/grub/i386-pc/eltorito.img";
const CATALOG_PATH: &str = "boot/boot.cat";
const INFO_PATH: &str = ".disk/info";
/// 512-byte sectors the BIOS loads of the El Torito image; GRUB loads the rest itself.
const ELTORITO_LOAD: u16 = 4;
/// Bytes of an image beside its three large files, as far as it matters for reserving memory.
const SPARE: usize = 2 * 1024 * 1024;
/// Code bytes of a master boot record, before the disk signature and the partition table.
const BOOT_CODE_LEN: usize = 440;
/// Where `boot_hybrid.img` keeps the sector it loads (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const KERNEL_SECTOR_AT: usize = 0x1b0;
/// GRUB's code starts this many 512-byte sectors into the El Torito image.
const ELTORITO_CODE_SECTOR: u64 = 4;

/// Why an image cannot be laid out.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// The config archive has another length than its region.
    #[error("the config archive has {len} bytes, its region {CONFIG_REGION_LEN}")]
    ConfigLength {
        /// Bytes given.
        len: usize,
    },
    /// The boot sector is shorter than its code.
    #[error("boot_hybrid.img has {len} bytes, at least {BOOT_CODE_LEN} are needed")]
    BootSector {
        /// Bytes given.
        len: usize,
    },
    /// The build time is not a date.
    #[error("the build time is outside the dates an image can hold")]
    BuildTime(#[from] DateTimeError),
    /// The identity cannot be written as JSON.
    #[error("write the identity")]
    Identity(#[from] serde_json::Error),
    /// The writer refused the tree.
    #[error("lay out the image: {0}")]
    Writer(PathError),
    /// The writer lost, cut or moved something; what it said.
    #[error("the image would not hold everything as it is: {0}")]
    Warning(String),
    /// A region is not where the writer reported it.
    #[error("the region `{0}` is not where the writer put it")]
    Region(&'static str),
}

/// What goes into an image.
#[derive(Debug)]
pub struct Parts {
    /// What is built; becomes `/.disk/muster.json`.
    pub identity: Identity,
    /// The file that GRUB searches for.
    pub marker: Marker,
    /// The menu.
    pub menu: Menu,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// The initial ramdisk.
    pub initrd: Vec<u8>,
    /// The config archive of exactly [`CONFIG_REGION_LEN`] bytes.
    pub config: Vec<u8>,
    /// GRUB's BIOS image, made by `grub-mkimage -O i386-pc-eltorito`.
    pub eltorito: Vec<u8>,
    /// The EFI system partition, a FAT file system.
    pub esp: Vec<u8>,
    /// GRUB's `boot_hybrid.img`.
    pub boot_sector: Vec<u8>,
    /// Terms of everything in the image.
    pub licenses: Vec<u8>,
}

/// A finished image.
#[derive(Debug)]
pub struct Layout {
    /// Its bytes.
    pub image: Vec<u8>,
    /// Its regions, sorted by name.
    pub regions: Vec<Region>,
}

/// Lays the parts out.
///
/// # Errors
/// [`LayoutError`] when a part has the wrong length or the writer cannot store it exactly.
pub fn build(parts: Parts) -> Result<Layout, LayoutError> {
    if parts.config.len() != CONFIG_REGION_LEN {
        return Err(LayoutError::ConfigLength { len: parts.config.len() });
    }
    let build_time = i64::try_from(parts.identity.build_time).unwrap_or(i64::MAX);
    let time = DateTime::from_unix_seconds(build_time)?;
    let boot_code = parts.boot_sector.get(..BOOT_CODE_LEN);
    let boot_code = boot_code.ok_or(LayoutError::BootSector { len: parts.boot_sector.len() })?.to_vec();
    let len = parts.kernel.len() + parts.initrd.len() + parts.esp.len() + SPARE;
    let options = options(Content::bytes(parts.esp), &boot_code, time);
    let files = [
        (INFO_PATH, info(&parts.identity).into_bytes()),
        (IDENTITY_PATH, identity_json(&parts.identity)?),
        (LICENSES_PATH, parts.licenses),
        (MENU_PATH, parts.menu.render().into_bytes()),
        (ELTORITO_PATH, parts.eltorito),
        (CONFIG_PATH, parts.config),
        (KERNEL_PATH, parts.kernel),
        (INITRD_PATH, parts.initrd),
    ];
    let marker_path = format!(".disk/{}", parts.marker.file_name());
    let mut tree = Tree::new();
    tree.insert(&marker_path, Node::file(Content::bytes(marker_text(&parts.marker))))
        .map_err(LayoutError::Writer)?;
    for (path, bytes) in files {
        tree.insert(path, Node::file(Content::bytes(bytes))).map_err(LayoutError::Writer)?;
    }
    let mut image = Vec::with_capacity(len);
    let report = hadris_iso::sync::write(&mut image, &tree, &options).map_err(LayoutError::Writer)?;
    if let Some(warning) = report.warnings().iter().find(|warning| !is_harmless(warning)) {
        return Err(LayoutError::Warning(warning.to_string()));
    }
    point_boot_sector_at_code(&mut image)?;
    let offset = |path: &str, name| {
        let extents = report.extents(path).unwrap_or_default();
        extents.first().map(|extent| extent.offset()).ok_or(LayoutError::Region(name))
    };
    let config = offset(CONFIG_PATH, CONFIG_REGION)?;
    let menu = offset(MENU_PATH, KERNEL_ARGS_REGION)?;
    let regions = regions(config, menu);
    check_regions(&image, &regions)?;
    Ok(Layout { image, regions })
}

/// The regions of an image whose config archive and menu start at these bytes.
pub(crate) fn regions(config: u64, menu: u64) -> Vec<Region> {
    vec![
        Region { name: CONFIG_REGION.to_owned(), offset: config, length: CONFIG_REGION_LEN as u64 },
        Region {
            name: KERNEL_ARGS_REGION.to_owned(),
            offset: menu.saturating_add(EXTRA_PREFIX.len() as u64),
            length: KERNEL_ARGS_REGION_LEN as u64,
        },
    ]
}

fn options(esp: Content, boot_code: &[u8], time: DateTime) -> IsoOptions {
    let el_torito = ElTorito::new()
        .with_entry(
            BootEntry::bios(ELTORITO_PATH).with_load_size(ELTORITO_LOAD).with_boot_info(BootInfo::Grub2),
        )
        .with_entry(BootEntry::uefi_appended(0))
        .with_catalog_path(CATALOG_PATH);
    IsoOptions::new()
        .with_id(IsoId::Volume, "MUSTER")
        .with_id(IsoId::Application, "MUSTER")
        .with_level(IsoLevel::L2)
        .with_name_case(NameCase::Upper)
        .with_rock_ridge()
        .with_time(time)
        .with_el_torito(el_torito)
        .with_hybrid(
            Hybrid::gpt_hybrid_mbr().with_bootstrap(boot_code).with_appended(AppendedPartition::esp(esp)),
        )
}

/// Primary names are upper case and short; Rock Ridge beside them holds the real ones.
fn is_harmless(warning: &hadris_fs::Warning) -> bool {
    matches!(warning.kind(), hadris_fs::WarningKind::Renamed | hadris_fs::WarningKind::Truncated)
}

fn info(identity: &Identity) -> String {
    format!(
        "Muster {} {} boot medium, kernel {}, profile {}\n",
        identity.version, identity.arch, identity.kernel, identity.profile
    )
}

fn identity_json(identity: &Identity) -> Result<Vec<u8>, LayoutError> {
    let mut json = serde_json::to_vec(identity)?;
    json.push(b'\n');
    Ok(json)
}

fn marker_text(marker: &Marker) -> Vec<u8> {
    format!("{marker}\n").into_bytes()
}

/// The writer stores where the El Torito image starts, as isohybrid boot code wants it; GRUB's wants the sector
/// where its own code starts, four further on.
fn point_boot_sector_at_code(image: &mut [u8]) -> Result<(), LayoutError> {
    let field = image.get_mut(KERNEL_SECTOR_AT..KERNEL_SECTOR_AT + 8);
    let field: &mut [u8; 8] =
        field.and_then(|bytes| bytes.try_into().ok()).ok_or(LayoutError::Region("boot sector"))?;
    let sector = u64::from_le_bytes(*field).saturating_add(ELTORITO_CODE_SECTOR);
    *field = sector.to_le_bytes();
    Ok(())
}

/// Holds the reported offsets against the finished bytes.
fn check_regions(image: &[u8], regions: &[Region]) -> Result<(), LayoutError> {
    let empty = KernelArgs::parse("").map(|args| args.to_region()).unwrap_or_default();
    for region in regions {
        let bytes = usize::try_from(region.offset).ok().and_then(|start| image.get(start..));
        let right = bytes.is_some_and(|bytes| match region.name.as_str() {
            CONFIG_REGION => bytes.starts_with(b"070701"),
            _ => bytes
                .strip_prefix(empty.as_slice())
                .is_some_and(|rest| rest.starts_with(EXTRA_SUFFIX.as_bytes())),
        });
        if !right {
            let config = region.name == CONFIG_REGION;
            return Err(LayoutError::Region(if config { CONFIG_REGION } else { KERNEL_ARGS_REGION }));
        }
    }
    Ok(())
}
