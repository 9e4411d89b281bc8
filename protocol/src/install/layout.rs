//! How a system disk is divided: the param `muster/disk-layout`.

use serde::{Deserialize, Serialize};

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
