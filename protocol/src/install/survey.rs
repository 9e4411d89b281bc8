//! What is on a disk, and how a disk is chosen.

use crate::inventory::clean_text;
use serde::{Deserialize, Serialize};

/// What a disk holds, read from its first and last blocks and from superblocks alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Contents {
    /// `gpt`, `mbr`, or empty.
    pub table: String,
    /// What fills the whole disk where there is no table: as [`PartitionFound::filesystem`].
    pub filesystem: String,
    /// Label of that file system.
    pub label: String,
    /// Its UUID.
    pub uuid: String,
    /// Partitions in the order of their numbers; at most 128.
    pub partitions: Vec<PartitionFound>,
    /// The disk could not be read, in words; empty when it could.
    pub error: String,
}

/// A partition, and what its superblock says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PartitionFound {
    /// Its number, from 1.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Its name in the table, or empty.
    pub name: String,
    /// Type: a GUID, or an MBR type in two hexadecimal digits.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `ext4`, `xfs`, `btrfs`, `vfat`, `swap`, `LVM2_member`, `linux_raid_member`, `crypto_LUKS`, `ntfs` and
    /// such, as blkid calls them; empty when nothing is recognised.
    pub filesystem: String,
    /// Label of the file system.
    pub label: String,
    /// Its UUID.
    pub uuid: String,
    /// Bytes in use, where the superblock tells; rounded up to three significant bits, since what is on a disk
    /// is no news with every byte written.
    pub used: Option<u64>,
    /// Where it was last mounted, where the superblock tells.
    pub last_mounted: String,
}

/// Most partitions of a disk (`spec/security.md` 6).
pub const MAX_PARTITIONS: usize = 128;

impl Contents {
    /// Cuts texts and list as every other part of an inventory.
    pub(crate) fn clean(&mut self) {
        let Self { table, filesystem, label, uuid, partitions, error } = self;
        partitions.truncate(MAX_PARTITIONS);
        for text in [table, filesystem, label, uuid, error] {
            *text = clean_text(text);
        }
        for PartitionFound { name, kind, filesystem, label, uuid, last_mounted, .. } in partitions {
            for text in [name, kind, filesystem, label, uuid, last_mounted] {
                *text = clean_text(text);
            }
        }
    }

    /// Leaves the partitions out and says so: a disk with contents must not look empty.
    pub(crate) fn leave_out(&mut self) {
        if !self.partitions.is_empty() {
            self.error = format!("{} partitions, too many to tell", self.partitions.len());
            self.partitions.clear();
        }
    }

    /// Whether the disk was read and holds nothing that anybody would miss.
    pub fn is_empty(&self) -> bool {
        self.error.is_empty()
            && self.table.is_empty()
            && self.filesystem.is_empty()
            && self.partitions.is_empty()
    }
}

/// Which disk is the system disk. Every field that is set must hold; more than one disk that fits is
/// refused unless `pick` chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct DiskRule {
    /// A name in `/dev/disk/by-id`, without the folder.
    pub by_id: String,
    /// World-wide name.
    pub wwn: String,
    /// Serial number.
    pub serial: String,
    /// Model.
    pub model: String,
    /// Smallest size in bytes; 0 for any.
    pub min_size: u64,
    /// Largest size in bytes; 0 for any.
    pub max_size: u64,
    /// What is done where several fit.
    pub pick: Pick,
}

/// What is done where several disks fit a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// Nothing is chosen: the rule is ambiguous.
    #[default]
    Only,
    /// The smallest; several of that size are ambiguous.
    Smallest,
    /// The largest; several of that size are ambiguous.
    Largest,
    /// The first NVMe disk by its place on the bus.
    FirstNvme,
}
