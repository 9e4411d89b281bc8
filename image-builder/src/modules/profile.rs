//! Which drivers an image carries: tables of directories and names in the kernel's module tree.
//!
//! Names that a kernel does not have are no error: kernels differ, and some have built in what others load.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Changes whenever the tables or the way of selecting change, so that no cached selection outlives them.
pub(crate) const REVISION: u32 = 2;

/// The kind of machine an image is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Any machine, with Debian's generic kernel.
    #[default]
    Generic,
    /// Virtual machines, with Debian's cloud kernel: smaller, and sooner up.
    Cloud,
}

/// Neither `generic` nor `cloud`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a profile: use `generic` or `cloud`")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "generic" => Ok(Self::Generic),
            "cloud" => Ok(Self::Cloud),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "generic",
            Self::Cloud => "cloud",
        })
    }
}

impl Profile {
    /// Debian's meta package for the newest kernel of this profile.
    #[must_use]
    pub fn kernel_package(self) -> &'static str {
        match self {
            Self::Generic => "linux-image-amd64",
            Self::Cloud => "linux-image-cloud-amd64",
        }
    }

    /// Whether a module is wanted for itself; dependencies come on top.
    ///
    /// `path` is relative to the module directory and starts with `kernel/`; `name` is canonical.
    pub(crate) fn wants(self, path: &str, name: &str) -> bool {
        let Some(path) = path.strip_prefix("kernel/") else { return false };
        let within = |dirs: &[&str]| {
            dirs.iter().any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
        };
        let here = within(DIRECTORIES) || (self == Self::Generic && within(GENERIC_DIRECTORIES));
        let named = NAMES.contains(&name) || (self == Self::Generic && GENERIC_NAMES.contains(&name));
        (here || named)
            && !within(EXCLUDED_DIRECTORIES)
            && !EXCLUDED_NAMES.contains(&name)
            && !is_pcmcia(name)
    }
}

/// Drivers for cards in PCMCIA slots: machines that have them do not run this kernel.
fn is_pcmcia(name: &str) -> bool {
    name.ends_with("_cs")
}

/// Whole directories, below `kernel/`, in every profile.
const DIRECTORIES: &[&str] = &[
    // Network cards and what they need to have a link.
    "drivers/net/ethernet",
    "drivers/net/phy",
    "drivers/net/mdio",
    "drivers/net/pcs",
    "drivers/net/hyperv",
    "drivers/net/vmxnet3",
    "drivers/net/bonding",
    "drivers/net/team",
    "drivers/net/wireguard",
    "net/8021q",
    // Disks and the layers on them.
    "drivers/ata",
    "drivers/nvme/host",
    "drivers/nvdimm",
    "drivers/acpi/nfit",
    "drivers/scsi",
    "drivers/cdrom",
    "drivers/md",
    "fs/btrfs",
    "fs/exfat",
    "fs/ext4",
    "fs/fat",
    "fs/isofs",
    "fs/overlayfs",
    "fs/squashfs",
    "fs/udf",
    "fs/xfs",
    // Virtual machines.
    "drivers/virtio",
    "drivers/hv",
    "drivers/xen",
    "drivers/pci/controller",
    // Firmware, entropy and trust.
    "drivers/char/hw_random",
    "drivers/char/tpm",
    "fs/efivarfs",
];

/// Whole directories for machines that are not virtual.
const GENERIC_DIRECTORIES: &[&str] = &[
    "drivers/message/fusion",
    "drivers/mmc/core",
    "drivers/mmc/host",
    "drivers/net/usb",
    "drivers/ufs",
    "drivers/usb/core",
    "drivers/usb/host",
    "drivers/usb/storage",
    "drivers/char/ipmi",
    "drivers/hid/usbhid",
];

/// Directories inside the above that are left out.
const EXCLUDED_DIRECTORIES: &[&str] = &[
    "drivers/scsi/pcmcia",
    // Back ends, for machines that host others.
    "drivers/xen/xen-pciback",
];

/// Single modules in every profile.
const NAMES: &[&str] = &[
    // Network.
    "dummy",
    "macvlan",
    "net_failover",
    "tun",
    "veth",
    "virtio_net",
    "xen_netfront",
    // Block devices.
    "loop",
    "nbd",
    "virtio_blk",
    "xen_blkfront",
    "zram",
    // Ciphers of encrypted disks (LUKS 2: AES in XTS), in the kernel and for cryptsetup.
    "aesni_intel",
    "af_alg",
    "algif_hash",
    "algif_skcipher",
    "essiv",
    "sha512_generic",
    "xts",
    // Character sets of FAT and ISO 9660 names.
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_utf8",
    // Keyboards, the power button, the console of virtual machines.
    "button",
    "evdev",
    "hyperv_keyboard",
    "virtio_console",
    "virtio_input",
    "xen_kbdfront",
    // Data handed over by firmware.
    "qemu_fw_cfg",
];

/// Single modules for machines that are not virtual.
const GENERIC_NAMES: &[&str] = &[
    // A keyboard whose special driver is missing works with hid_generic.
    "hid",
    "hid_apple",
    "hid_cherry",
    "hid_generic",
    "hid_lenovo",
    "hid_logitech",
    "hid_logitech_dj",
    "hid_microsoft",
    "iscsi_ibft",
    "mtip32xx",
];

/// Modules that must not be there although their directory is wanted.
const EXCLUDED_NAMES: &[&str] = &[
    // Makes disks out of memory, for tests.
    "scsi_debug",
    // Hosts' side of virtual devices.
    "xen_scsiback",
    // Takes over disks that another program may own.
    "md_cluster",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_image_has_what_a_virtual_machine_needs_and_more() {
        let cases = [
            ("kernel/drivers/net/ethernet/intel/e1000/e1000.ko", "e1000", true, true),
            ("kernel/drivers/net/virtio_net.ko", "virtio_net", true, true),
            ("kernel/drivers/usb/host/xhci-pci.ko", "xhci_pci", true, false),
            ("kernel/drivers/hid/hid-generic.ko", "hid_generic", true, false),
            ("kernel/drivers/md/raid1.ko", "raid1", true, true),
            ("kernel/drivers/md/dm-crypt.ko", "dm_crypt", true, true),
            ("kernel/fs/xfs/xfs.ko", "xfs", true, true),
            ("kernel/crypto/xts.ko", "xts", true, true),
            ("kernel/crypto/serpent_generic.ko", "serpent_generic", false, false),
            ("kernel/drivers/gpu/drm/i915/i915.ko", "i915", false, false),
            ("kernel/drivers/net/ethernet/8390/pcnet_cs.ko", "pcnet_cs", false, false),
            ("kernel/drivers/scsi/pcmcia/aha152x_cs.ko", "aha152x_cs", false, false),
            ("kernel/drivers/scsi/scsi_debug.ko", "scsi_debug", false, false),
            ("kernel/drivers/net/ethernetx/y.ko", "y", false, false),
            ("updates/dkms/virtio_net.ko", "virtio_net", false, false),
        ];
        for (path, name, generic, cloud) in cases {
            assert_eq!(Profile::Generic.wants(path, name), generic, "{path}");
            assert_eq!(Profile::Cloud.wants(path, name), cloud, "{path}");
        }
    }

    #[test]
    fn profiles_are_written_as_they_are_read() {
        for profile in [Profile::Generic, Profile::Cloud] {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "server".parse::<Profile>().unwrap_err().to_string();
        assert_eq!(error, "`server` is not a profile: use `generic` or `cloud`");
    }
}
