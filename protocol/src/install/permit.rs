//! The wipe permit (`spec/security.md` 5): signed by the server for one job, without it no disk is
//! opened for writing.

use crate::inventory::{Disk, is_useful_serial};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest permit as it is sent, in bytes: a JWS in compact form with the server's chain.
pub const MAX_PERMIT_LEN: usize = 8 * 1_024;

/// What a permit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The machine.
    pub uuid: Uuid,
    /// Thumbprint of its key.
    pub jkt: String,
    /// The run.
    pub run: Uuid,
    /// The job that writes.
    pub job: Uuid,
    /// The job's lease.
    pub epoch: i64,
    /// The disks that may be erased.
    pub disks: Vec<PermittedDisk>,
    /// Digest of the image that is written.
    pub image: String,
    /// Seconds since 1970 after which it is nothing; at most an hour ahead.
    pub exp: i64,
}

/// A disk by what does not change when cables do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermittedDisk {
    /// World-wide name, or empty.
    #[serde(default)]
    pub wwn: String,
    /// Serial number, or empty.
    #[serde(default)]
    pub serial: String,
    /// Where it is plugged in: how a disk with neither of those is known, as many virtual ones are.
    #[serde(default)]
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// Longest life of a permit, in seconds.
pub const MAX_PERMIT_LIFE: i64 = 3_600;
/// Most disks of a permit: the most of a RAID 1.
pub const MAX_PERMITTED: usize = 4;

impl PermittedDisk {
    /// The disk as a permit names it: by its world-wide name, else its serial number, else its place; none when
    /// it has none of the three.
    pub fn of(disk: &Disk) -> Option<Self> {
        let mut named = Self { wwn: disk.wwn.clone(), size: disk.size_bytes, ..Self::default() };
        if named.wwn.is_empty() && is_useful_serial(&disk.serial) {
            named.serial.clone_from(&disk.serial);
        } else if named.wwn.is_empty() {
            named.path.clone_from(&disk.path);
        }
        named.has_name().then_some(named)
    }

    /// Whether this is that disk.
    pub fn is(&self, disk: &Disk) -> bool {
        self.has_name() && Self::of(disk).as_ref() == Some(self)
    }

    fn has_name(&self) -> bool {
        [&self.wwn, &self.serial, &self.path].iter().any(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(wwn: &str, serial: &str) -> Disk {
        let path = "pci0000:00/0000:00:04.0/virtio1".to_owned();
        Disk { wwn: wwn.to_owned(), serial: serial.to_owned(), path, size_bytes: 1 << 40, ..Disk::default() }
    }

    #[test]
    fn disk_is_known_again_by_wwn_else_serial_else_place_and_always_by_size() {
        let by_wwn = PermittedDisk::of(&disk("naa.5000c500a1b2c3d4", "S1")).unwrap();
        assert!(by_wwn.is(&Disk { path: "moved".to_owned(), ..disk("naa.5000c500a1b2c3d4", "S1") }));
        assert!(!by_wwn.is(&disk("naa.5000c500a1b2c3d5", "S1")) && !by_wwn.is(&disk("", "S1")));
        let by_serial = PermittedDisk::of(&disk("", "S1")).unwrap();
        assert!(by_serial.is(&disk("", "S1")) && !by_serial.is(&disk("", "S2")));
        let by_place = PermittedDisk::of(&disk("", "0")).unwrap();
        assert!(by_place.is(&disk("", "")) && !by_place.is(&disk("", "S1")));
        for known in [by_wwn, by_serial, by_place] {
            for (wwn, serial) in [("naa.5000c500a1b2c3d4", "S1"), ("", "S1"), ("", "")] {
                assert!(!known.is(&Disk { size_bytes: 1, ..disk(wwn, serial) }));
            }
        }
    }

    #[test]
    fn disk_without_any_name_gets_no_permit_and_an_empty_permit_names_no_disk() {
        let nameless = Disk { path: String::new(), ..disk("", "") };
        assert_eq!(PermittedDisk::of(&nameless), None);
        let empty = PermittedDisk { size: 1 << 40, ..PermittedDisk::default() };
        assert!(!empty.is(&nameless));
    }
}
