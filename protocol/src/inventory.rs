//! What a machine says it is made of. Hints for people and for matching, never identity
//! (`spec/security.md` 0.8).
//!
//! Every string comes from firmware that may be hostile: it is cut to [`MAX_TEXT`] characters of
//! printable ASCII wherever it enters ([`Inventory::clean`]).

use crate::ids::MacAddr;
use serde::{Deserialize, Serialize};

/// Longest inventory body, in bytes, at enrollment and registration.
pub const MAX_INVENTORY: usize = 32 * 1_024;
/// Longest text value, in characters.
pub const MAX_TEXT: usize = 128;
/// Most disks, links, processors' flags and so on, each.
pub const MAX_ENTRIES: usize = 64;

/// One machine's hardware and firmware.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Inventory {
    /// SMBIOS system manufacturer.
    pub vendor: String,
    /// SMBIOS product name.
    pub product: String,
    /// SMBIOS serial number of the system.
    pub serial: String,
    /// SMBIOS serial number of the board.
    pub board_serial: String,
    /// SMBIOS system UUID, lower case, as text: boards ship nonsense here.
    pub system_uuid: String,
    /// Firmware vendor and version.
    pub firmware: String,
    /// How the machine was started.
    pub firmware_mode: FirmwareMode,
    /// Whether Secure Boot is enforced.
    pub secure_boot: bool,
    /// Processor architecture as Go and Debian write it: `amd64`, `arm64`.
    pub arch: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Processors.
    pub cpu: Cpu,
    /// Usable memory in bytes.
    pub memory_bytes: u64,
    /// Whole disks, in the kernel's order.
    pub disks: Vec<Disk>,
    /// Network links, physical ones only.
    pub links: Vec<Link>,
    /// Whether the kernel offers BTF and the bpf system call.
    pub ebpf: bool,
    /// Host name by DHCP, or empty.
    pub host_name: String,
}

/// How firmware started the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FirmwareMode {
    /// Legacy BIOS.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
}

/// Processors of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Cpu {
    /// Model name of the first processor.
    pub model: String,
    /// Logical processors.
    pub threads: u32,
    /// Physical cores.
    pub cores: u32,
    /// Packages.
    pub sockets: u32,
}

/// One whole disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Disk {
    /// Kernel name such as `nvme0n1`: not stable, for display.
    pub name: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// World-wide name, or empty.
    pub wwn: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Spinning platters.
    pub rotational: bool,
    /// Removable medium (the stick the machine booted from, often).
    pub removable: bool,
}

/// One physical network link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Link {
    /// Kernel name such as `eth0`.
    pub name: String,
    /// Permanent hardware address.
    pub mac: MacAddr,
    /// Kernel driver.
    #[serde(default)]
    pub driver: String,
    /// Whether a carrier was seen.
    #[serde(default)]
    pub carrier: bool,
    /// Addresses in use, as `10.0.0.5/24`.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// Prefix of SMBIOS values that manufacturers leave in place of real ones.
const PLACEHOLDERS: [&str; 9] = [
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "not specified",
    "not available",
    "none",
    "n/a",
    "0",
    "0123456789",
];

/// UUIDs that boards ship by the thousand.
const WORTHLESS_UUIDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
];

/// Whether a serial number can tell machines apart.
pub fn is_useful_serial(serial: &str) -> bool {
    let text = serial.trim().to_ascii_lowercase();
    !text.is_empty()
        && !PLACEHOLDERS.contains(&text.as_str())
        && text.bytes().any(|b| b != b'0' && b != b'f' && b != b'-')
}

/// Whether an SMBIOS UUID can tell machines apart.
pub fn is_useful_uuid(uuid: &str) -> bool {
    let text = uuid.trim().to_ascii_lowercase();
    text.len() == 36 && !WORTHLESS_UUIDS.contains(&text.as_str())
}

/// Cuts outside text to [`MAX_TEXT`] printable ASCII characters and trims it: hostile bytes
/// in firmware tables end here.
pub fn clean_text(text: &str) -> String {
    let printable: String =
        text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_TEXT).collect();
    printable.trim().to_owned()
}

impl Inventory {
    /// Cleans every text and cuts every list: called by the agent before it sends and by the
    /// server on what it receives.
    pub fn clean(&mut self) {
        let texts = [
            &mut self.vendor,
            &mut self.product,
            &mut self.serial,
            &mut self.board_serial,
            &mut self.system_uuid,
            &mut self.firmware,
            &mut self.arch,
            &mut self.kernel,
            &mut self.host_name,
            &mut self.cpu.model,
        ];
        for text in texts {
            *text = clean_text(text);
        }
        self.system_uuid.make_ascii_lowercase();
        self.disks.truncate(MAX_ENTRIES);
        self.links.truncate(MAX_ENTRIES);
        for disk in &mut self.disks {
            for text in [&mut disk.name, &mut disk.model, &mut disk.serial, &mut disk.wwn] {
                *text = clean_text(text);
            }
        }
        for link in &mut self.links {
            link.addresses.truncate(8);
            link.addresses
                .iter_mut()
                .chain([&mut link.name, &mut link.driver])
                .for_each(|text| *text = clean_text(text));
        }
    }

    /// Hardware addresses of the physical links.
    pub fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.links.iter().map(|link| link.mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_firmware_strings_lose_their_teeth() {
        let mut inventory = Inventory {
            serial: "\u{1b}]0;x\u{7} <b>\u{202e}7XK\n".to_owned() + &"A".repeat(500),
            ..Inventory::default()
        };
        inventory.clean();
        assert!(inventory.serial.starts_with("]0;x <b>7XK"));
        assert_eq!(inventory.serial.len(), MAX_TEXT);
    }

    #[test]
    fn placeholders_tell_no_machines_apart() {
        for serial in ["", "To be filled by O.E.M.", "Default string", "00000000", "0"] {
            assert!(!is_useful_serial(serial), "{serial}");
        }
        assert!(is_useful_serial("7XK21M3"));
        assert!(!is_useful_uuid("03000200-0400-0500-0006-000700080009"));
        assert!(is_useful_uuid("4c4c4544-0058-4b10-8032-b7c04f4d3333"));
    }

    #[test]
    fn objects_are_pascal_case_on_the_wire() {
        let json = serde_json::to_value(Inventory::default()).unwrap();
        assert!(json.get("SystemUuid").is_some() && json.get("MemoryBytes").is_some());
    }
}
