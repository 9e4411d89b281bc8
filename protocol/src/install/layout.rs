//! How a system disk is divided: the param `muster/disk-layout`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Most disks that mirror each other.
pub const MAX_RAID: u32 = 4;
/// Most volumes beside the root.
pub const MAX_VOLUMES: usize = 16;
/// Size of an ESP that the layout does not tell, in MiB: room for two unified kernel images.
const ESP_MIB: u64 = 512;
/// Smallest ESP, in MiB: FAT 32 wants 65,525 clusters.
const MIN_ESP_MIB: u64 = 36;
/// Size of `/boot` where the root is nothing that every boot loader reads, in MiB.
pub const BOOT_MIB: u64 = 1_024;
/// Smallest root and volume, in MiB: `mkfs.xfs` refuses less than 300.
const MIN_ROOT_MIB: u64 = 1_024;
const MIN_VOLUME_MIB: u64 = 300;
/// What GPT, alignment, GRUB's partition and the heads of md, LUKS and LVM take, in MiB.
const OVERHEAD_MIB: u64 = 64;
/// Longest name of a volume: a GPT name has 36 characters.
const MAX_NAME: usize = 32;
/// Longest mount point, in bytes.
const MAX_MOUNT: usize = 255;
/// Largest size of anything, in MiB (8 EiB): sums stay far from overflow.
const MAX_MIB: u64 = 1 << 43;
const MIB: u64 = 1 << 20;
/// Name of the volume group when the layout tells none.
const GROUP: &str = "muster";
/// Names that partitions of ours have.
const RESERVED: [&str; 5] = ["root", "swap", "esp", "bios", "boot"];
/// Where the system itself, or the loader, has its files.
const RESERVED_MOUNTS: [&str; 7] = ["/boot", "/boot/efi", "/efi", "/dev", "/proc", "/sys", "/run"];

/// A layout. What it does not say is the default: the whole disk, an ESP of 512 MiB, a small partition for
/// GRUB under BIOS, and the rest as one root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Layout {
    /// Size of the ESP in MiB; 0 for 512.
    pub esp_mib: u64,
    /// File system of the root.
    pub filesystem: Filesystem,
    /// Size of the root in MiB; 0 for what is left.
    pub root_mib: u64,
    /// Size of swap in MiB; 0 for none.
    pub swap_mib: u64,
    /// More file systems.
    pub volumes: Vec<Volume>,
    /// Root, swap and volumes are logical volumes of a group.
    pub lvm: Option<Lvm>,
    /// Number of disks that mirror each other (RAID 1, at most 4); 0 or 1 for none. ESPs are kept
    /// on each.
    pub raid1: u32,
    /// Root, swap and volumes are encrypted (LUKS 2); the key is escrowed to the server first.
    pub luks: bool,
}

/// A file system beside the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Volume {
    /// Name of the partition or logical volume.
    pub name: String,
    /// Where it is mounted.
    pub mount: String,
    /// Its file system.
    pub filesystem: Filesystem,
    /// Size in MiB; 0 for what is left, of one volume at most, and then the root has a size.
    pub size_mib: u64,
}

/// A volume group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Lvm {
    /// Its name; `muster` when empty.
    pub group: String,
}

/// File systems that we make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Filesystem {
    /// Its name, as `mount` knows it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// Why nobody can divide a disk so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// Too many volumes.
    #[error("{0} volumes are more than {MAX_VOLUMES}")]
    Volumes(usize),
    /// Too many mirrors.
    #[error("Raid1 is {0}: at most {MAX_RAID} disks mirror each other")]
    Raid(u32),
    /// A name that cannot be one.
    #[error(
        "`{0}` is no name for a {1}: letters, digits, - and _, at most {MAX_NAME}, beginning with a letter"
    )]
    Name(String, &'static str),
    /// Two volumes of a name, or one of ours.
    #[error("the volume name `{0}` is taken")]
    NameTaken(String),
    /// A mount point that cannot be one.
    #[error("volume `{0}` cannot be mounted at `{1}`: an absolute path without `.`, `..` or blanks")]
    Mount(String, String),
    /// Two volumes at one place, or one of the system's.
    #[error("the mount point `{0}` is taken")]
    MountTaken(String),
    /// Something is too small or too large.
    #[error("{0} has {1} MiB: at least {2} and less than 2^43 are possible")]
    Size(String, u64, u64),
    /// More than one takes what is left.
    #[error("only one of root and volumes takes what is left (size 0): `{0}` and `{1}` do")]
    TwoRests(String, String),
}

impl Layout {
    /// Checks everything that can be without a disk.
    ///
    /// # Errors
    /// [`LayoutError`], the first found.
    pub fn check(&self) -> Result<(), LayoutError> {
        if self.volumes.len() > MAX_VOLUMES {
            return Err(LayoutError::Volumes(self.volumes.len()));
        }
        if self.raid1 > MAX_RAID {
            return Err(LayoutError::Raid(self.raid1));
        }
        if !is_name(self.group()) {
            return Err(LayoutError::Name(self.group().to_owned(), "volume group"));
        }
        size("the ESP", self.esp(), MIN_ESP_MIB)?;
        if self.root_mib != 0 {
            size("the root", self.root_mib, MIN_ROOT_MIB)?;
        }
        size("swap", self.swap_mib, 0)?;
        let mut names: BTreeSet<&str> = RESERVED.into();
        let mut mounts: BTreeSet<&str> = RESERVED_MOUNTS.into();
        let mut rest = (self.root_mib == 0).then_some("root");
        for volume in &self.volumes {
            volume.check()?;
            if !names.insert(&volume.name) {
                return Err(LayoutError::NameTaken(volume.name.clone()));
            }
            if !mounts.insert(&volume.mount) {
                return Err(LayoutError::MountTaken(volume.mount.clone()));
            }
            if volume.size_mib == 0
                && let Some(other) = rest.replace(&volume.name)
            {
                return Err(LayoutError::TwoRests(other.to_owned(), volume.name.clone()));
            }
        }
        Ok(())
    }

    /// Size of the ESP in MiB.
    pub const fn esp(&self) -> u64 {
        if self.esp_mib == 0 { ESP_MIB } else { self.esp_mib }
    }

    /// Number of disks it takes.
    pub fn disks(&self) -> usize {
        usize::try_from(self.raid1.max(1)).unwrap_or(1)
    }

    /// Name of the volume group, where there is one.
    pub fn group(&self) -> &str {
        let told = self.lvm.as_ref().map(|lvm| lvm.group.as_str()).unwrap_or_default();
        if told.is_empty() { GROUP } else { told }
    }

    /// Whether root, swap and volumes are logical volumes: asked for, or needed since one array or one encrypted
    /// device holds more than one of them.
    pub fn has_group(&self) -> bool {
        let several = self.swap_mib != 0 || !self.volumes.is_empty();
        self.lvm.is_some() || (several && (self.luks || self.raid1 > 1))
    }

    /// Whether `/boot` is a partition of its own: boot loaders find their files without knowing of groups, arrays
    /// and ciphers.
    pub fn has_boot(&self) -> bool {
        self.luks || self.has_group() || self.raid1 > 1
    }

    /// Smallest disk that it fits, in bytes.
    pub fn smallest_disk(&self) -> u64 {
        let boot = if self.has_boot() { BOOT_MIB } else { 0 };
        let volumes: u64 = self.volumes.iter().map(|volume| volume.size_mib.max(MIN_VOLUME_MIB)).sum();
        let mib =
            OVERHEAD_MIB + self.esp() + boot + self.root_mib.max(MIN_ROOT_MIB) + self.swap_mib + volumes;
        mib.saturating_mul(MIB)
    }
}

impl Volume {
    fn check(&self) -> Result<(), LayoutError> {
        if !is_name(&self.name) {
            return Err(LayoutError::Name(self.name.clone(), "volume"));
        }
        if !is_mount(&self.mount) {
            return Err(LayoutError::Mount(self.name.clone(), self.mount.clone()));
        }
        if self.size_mib == 0 { Ok(()) } else { size(&self.name, self.size_mib, MIN_VOLUME_MIB) }
    }
}

fn size(what: &str, mib: u64, least: u64) -> Result<(), LayoutError> {
    if (least..MAX_MIB).contains(&mib) { Ok(()) } else { Err(LayoutError::Size(what.to_owned(), mib, least)) }
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether a path can stand in `fstab` as it is.
fn is_mount(path: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.len() <= MAX_MOUNT && path.strip_prefix('/').is_some_and(|path| path.split('/').all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, mount: &str, size_mib: u64) -> Volume {
        Volume { name: name.to_owned(), mount: mount.to_owned(), size_mib, ..Volume::default() }
    }

    fn layout(volumes: Vec<Volume>) -> Layout {
        Layout { volumes, root_mib: 4_096, ..Layout::default() }
    }

    #[test]
    fn default_layout_is_good_and_fits_small_disks() {
        assert_eq!(Layout::default().check(), Ok(()));
        assert_eq!(Layout::default().smallest_disk(), 1_600 * MIB);
        assert!(!Layout::default().has_boot() && !Layout::default().has_group());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_volume() {
        let cases = [
            (layout(vec![volume("data", "/srv", 0), volume("logs", "/var/log", 0)]), "`data` and `logs` do"),
            (Layout { root_mib: 0, ..layout(vec![volume("data", "/srv", 0)]) }, "`root` and `data` do"),
            (layout(vec![volume("data", "/srv", 512), volume("data", "/opt", 512)]), "name `data` is taken"),
            (layout(vec![volume("root", "/srv", 512)]), "name `root` is taken"),
            (layout(vec![volume("a", "/srv", 512), volume("b", "/srv", 512)]), "point `/srv` is taken"),
            (layout(vec![volume("a", "/boot/efi", 512)]), "point `/boot/efi` is taken"),
            (layout(vec![volume("a", "srv", 512)]), "cannot be mounted at `srv`"),
            (layout(vec![volume("a", "/srv/../etc", 512)]), "cannot be mounted"),
            (layout(vec![volume("a", "/", 512)]), "cannot be mounted"),
            (layout(vec![volume("a", "/x y", 512)]), "cannot be mounted"),
            (layout(vec![volume("-a", "/srv", 512)]), "`-a` is no name for a volume"),
            (layout(vec![volume("a;b", "/srv", 512)]), "is no name for a volume"),
            (layout(vec![volume("a", "/srv", 3)]), "a has 3 MiB: at least 300"),
            (layout(vec![volume("a", "/srv", u64::MAX)]), "less than 2^43"),
            (Layout { swap_mib: u64::MAX, ..Layout::default() }, "swap has"),
            (Layout { esp_mib: 8, ..Layout::default() }, "the ESP has 8 MiB"),
            (Layout { root_mib: 10, ..Layout::default() }, "the root has 10 MiB"),
            (Layout { raid1: 5, ..Layout::default() }, "at most 4 disks"),
            (Layout { lvm: Some(Lvm { group: "../x".to_owned() }), ..Layout::default() }, "a volume group"),
        ];
        for (layout, words) in cases {
            let told = layout.check().unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn arrays_and_ciphers_with_several_file_systems_get_a_group_and_a_boot_partition() {
        let several = layout(vec![volume("data", "/srv", 0)]);
        assert!(!several.has_group());
        for several in [Layout { luks: true, ..several.clone() }, Layout { raid1: 2, ..several }] {
            assert!(several.has_group() && several.has_boot());
            assert_eq!((several.check(), several.group()), (Ok(()), "muster"));
        }
        let alone = Layout { luks: true, ..Layout::default() };
        assert!(!alone.has_group() && alone.has_boot());
    }
}
