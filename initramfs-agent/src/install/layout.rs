//! A layout as partitions and what lies on them: pure, so that everything is decided before anything is written.
//!
//! On each disk: a small partition for GRUB under BIOS, the ESP, `/boot` where the root is nothing that every boot
//! loader reads, then root, swap and volumes, those with a size first. Or in their place one partition, which is
//! what they are volumes of. Disks that mirror each other are divided alike.

use super::state::Role;
use protocol::install::{BOOT_MIB, Filesystem, Layout};

/// Size of GRUB's own partition, in MiB.
const BIOS_MIB: u64 = 1;
/// Types of GPT partitions.
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
const RAID: &str = "A19D880F-05FC-4D3B-A006-743F0F84911E";
const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
const LUKS: &str = "CA7D7CCB-63ED-4C53-861C-1742536059CC";

/// What is made, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Partitions of each disk, in their order; the first has number 1.
    pub(super) slices: Vec<Slice>,
    /// Volumes of the group, in the order in which they are made; empty without one.
    pub(super) volumes: Vec<Vessel>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    /// Its name in the table.
    pub(super) name: String,
    /// Its type.
    pub(super) kind: &'static str,
    /// In MiB; 0 for what is left.
    pub(super) mib: u64,
    pub(super) role: Role,
    pub(super) holds: Holds,
}

/// What is on a partition, or on the array that it is half of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// GRUB writes it.
    Nothing,
    /// FAT, one for each disk.
    Esp,
    /// A file system or swap that is not encrypted.
    Plain(Vessel),
    /// The root by itself, encrypted.
    Sealed(Vessel),
    /// The volume group; encrypted if the layout is.
    Group {
        /// Whether a cipher is below it.
        sealed: bool,
    },
}

/// A file system, or swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vessel {
    /// `root`, `boot`, `swap`, or the volume's name.
    pub(super) name: String,
    /// Where it is mounted.
    pub(super) place: String,
    /// What it is; none for swap.
    pub(super) filesystem: Option<Filesystem>,
    /// In MiB; 0 for what is left.
    pub(super) mib: u64,
}

/// Where `fstab` mounts swap.
pub(super) const NOWHERE: &str = "none";

/// What a layout comes to.
pub(super) fn scheme(layout: &Layout) -> Scheme {
    let mirrors = layout.raid1 > 1;
    let slice = |name: &str, kind, mib, role, holds| Slice { name: name.to_owned(), kind, mib, role, holds };
    let mut slices = vec![
        slice("muster-bios", BIOS_BOOT, BIOS_MIB, Role::BiosBoot, Holds::Nothing),
        slice("muster-esp", ESP, layout.esp(), Role::Esp, Holds::Esp),
    ];
    if layout.has_boot() {
        let boot = Vessel {
            name: "boot".to_owned(),
            place: "/boot".to_owned(),
            filesystem: Some(Filesystem::Ext4),
            mib: BOOT_MIB,
        };
        let kind = if mirrors { RAID } else { LINUX };
        slices.push(slice("muster-boot", kind, BOOT_MIB, Role::Boot, Holds::Plain(boot)));
    }
    let mut vessels = vessels(layout);
    if layout.has_group() {
        let kind = if mirrors {
            RAID
        } else if layout.luks {
            LUKS
        } else {
            LVM
        };
        slices.push(slice("muster-system", kind, 0, Role::Root, Holds::Group { sealed: layout.luks }));
        return Scheme { slices, volumes: vessels };
    }
    for vessel in vessels.drain(..) {
        let (role, kind) = match vessel.place.as_str() {
            "/" => (Role::Root, LINUX),
            NOWHERE => (Role::Swap, SWAP),
            _ => (Role::Volume, LINUX),
        };
        let (name, mib) = (own_name(&vessel, role), vessel.mib);
        let (kind, holds) = match (mirrors, layout.luks) {
            (true, false) => (RAID, Holds::Plain(vessel)),
            (true, true) => (RAID, Holds::Sealed(vessel)),
            (false, true) => (LUKS, Holds::Sealed(vessel)),
            (false, false) => (kind, Holds::Plain(vessel)),
        };
        slices.push(slice(&name, kind, mib, role, holds));
    }
    Scheme { slices, volumes: Vec::new() }
}

/// Ours go by our name, the layout's by theirs.
fn own_name(vessel: &Vessel, role: Role) -> String {
    if role == Role::Volume { vessel.name.clone() } else { format!("muster-{}", vessel.name) }
}

/// Root, swap and volumes: what takes the rest comes last.
fn vessels(layout: &Layout) -> Vec<Vessel> {
    let root = Vessel {
        name: "root".to_owned(),
        place: "/".to_owned(),
        filesystem: Some(layout.filesystem),
        mib: layout.root_mib,
    };
    let swap = (layout.swap_mib != 0).then(|| Vessel {
        name: "swap".to_owned(),
        place: NOWHERE.to_owned(),
        filesystem: None,
        mib: layout.swap_mib,
    });
    let volumes = layout.volumes.iter().map(|volume| Vessel {
        name: volume.name.clone(),
        place: volume.mount.clone(),
        filesystem: Some(volume.filesystem),
        mib: volume.size_mib,
    });
    let mut vessels: Vec<Vessel> = [root].into_iter().chain(swap).chain(volumes).collect();
    vessels.sort_by_key(|vessel| vessel.mib == 0);
    vessels
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::install::{Lvm, Volume};

    fn told(layout: &Layout) -> Vec<String> {
        layout.check().unwrap();
        let scheme = scheme(layout);
        let slices = scheme.slices.iter().map(|slice| {
            let holds = match &slice.holds {
                Holds::Nothing => "-".to_owned(),
                Holds::Esp => "esp".to_owned(),
                Holds::Plain(vessel) => vessel.place.clone(),
                Holds::Sealed(vessel) => format!("sealed {}", vessel.place),
                Holds::Group { sealed } => format!("group{}", if *sealed { " sealed" } else { "" }),
            };
            format!("{} {} {holds}", slice.name, slice.mib)
        });
        let volumes = scheme.volumes.iter().map(|vessel| format!("  {} {}", vessel.name, vessel.mib));
        slices.chain(volumes).collect()
    }

    fn data(size_mib: u64) -> Volume {
        Volume { name: "data".to_owned(), mount: "/srv".to_owned(), size_mib, ..Volume::default() }
    }

    #[test]
    fn default_is_esp_and_root() {
        assert_eq!(told(&Layout::default()), ["muster-bios 1 -", "muster-esp 512 esp", "muster-root 0 /"]);
    }

    #[test]
    fn what_takes_the_rest_is_last() {
        let layout = Layout { swap_mib: 2_048, volumes: vec![data(4_096)], ..Layout::default() };
        let expected = [
            "muster-bios 1 -",
            "muster-esp 512 esp",
            "muster-swap 2048 none",
            "data 4096 /srv",
            "muster-root 0 /",
        ];
        assert_eq!(told(&layout), expected);
        let layout = Layout { root_mib: 8_192, volumes: vec![data(0)], ..Layout::default() };
        assert_eq!(told(&layout)[2..], ["muster-root 8192 /", "data 0 /srv"]);
    }

    #[test]
    fn groups_arrays_and_ciphers_lie_beside_a_boot_partition() {
        let lvm = Layout { lvm: Some(Lvm::default()), swap_mib: 2_048, ..Layout::default() };
        assert_eq!(
            told(&lvm)[2..],
            ["muster-boot 1024 /boot", "muster-system 0 group", "  swap 2048", "  root 0"]
        );
        let sealed = Layout { luks: true, ..lvm };
        assert_eq!(told(&sealed)[3], "muster-system 0 group sealed");
        let alone = Layout { luks: true, raid1: 2, ..Layout::default() };
        assert_eq!(told(&alone)[2..], ["muster-boot 1024 /boot", "muster-root 0 sealed /"]);
        assert!(scheme(&alone).slices[2..].iter().all(|slice| slice.kind == RAID));
        let mirror = Layout { raid1: 2, ..Layout::default() };
        assert_eq!(told(&mirror)[3], "muster-root 0 /");
    }
}
