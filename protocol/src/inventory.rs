//! What a machine says it is made of. Hints for people and for matching, never identity
//! (`spec/security.md` 0.8).
//!
//! Every string comes from firmware or a switch that may be hostile: it is cut to [`MAX_TEXT`]
//! characters of printable ASCII, or fewer, wherever it enters ([`Inventory::clean`]). What does
//! not fit a body is left out list by list, and said so ([`Inventory::fit`]).

mod fit;

use crate::ids::MacAddr;
use crate::install::Contents;
use serde::{Deserialize, Serialize};

/// Largest inventory at enrollment and registration, in bytes of JSON.
pub const MAX_INVENTORY: usize = 32 * 1_024;
/// Largest inventory in a heartbeat, in bytes of JSON (`spec/security.md` 6).
pub const MAX_OBSERVED: usize = 256 * 1_024;
/// Longest text value, in characters.
pub const MAX_TEXT: usize = 128;
/// Most disks and links, each.
pub const MAX_ENTRIES: usize = 64;
/// Most memory modules: eight sockets of sixteen slots.
pub const MAX_MODULES: usize = 128;
/// Most PCI functions: two sockets of today's processors show some 350.
pub const MAX_PCI: usize = 384;
/// Longest text about a memory module, in characters; SMBIOS modules use some 20.
const MAX_MODULE_TEXT: usize = 64;
/// Longest kernel name of a link, in characters (`IFNAMSIZ` without its NUL).
const MAX_LINK_NAME: usize = 15;
/// Longest name of a driver, in characters (`MODULE_NAME_LEN`, `include/linux/moduleparam.h`).
const MAX_DRIVER: usize = 56;
/// Longest address of any kind, in characters: an IPv6 address with its prefix length.
const MAX_ADDRESS: usize = 49;
/// Most names of a disk in `/dev/disk/by-id`.
pub const MAX_BY_ID: usize = 8;
/// Longest name of a way to a disk, in characters.
const MAX_TRANSPORT: usize = 16;

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
    /// Memory modules that are plugged in, in SMBIOS order; empty where firmware lists none.
    pub memory_modules: Vec<MemoryModule>,
    /// Whole disks, in the kernel's order.
    pub disks: Vec<Disk>,
    /// Network links, physical ones only.
    pub links: Vec<Link>,
    /// PCI functions, by address.
    pub pci: Vec<PciDevice>,
    /// Trusted platform module.
    pub tpm: Tpm,
    /// Baseboard management controller.
    pub bmc: Bmc,
    /// Whether the kernel offers BTF and the bpf system call.
    pub ebpf: bool,
    /// Host name by DHCP, or empty.
    pub host_name: String,
    /// Lists were left out or cut to fit: what is not in them may be there all the same. What a
    /// request left out comes with a later heartbeat.
    pub abridged: bool,
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
    /// The kernel does not write to it: a switch on a card, a disk at its end.
    pub read_only: bool,
    /// Names in `/dev/disk/by-id`, without the folder; at most 8.
    pub by_id: Vec<String>,
    /// `nvme`, `sata`, `sas`, `usb`, `virtio`, `mmc` and such, or empty.
    pub transport: String,
    /// Where it is plugged in, from the kernel's tree of devices, such as `pci0000:00/0000:00:04.0/virtio1`.
    pub path: String,
    /// The medium that the machine booted from.
    pub boot_medium: bool,
    /// What it holds.
    pub contents: Contents,
}

/// One memory module (SMBIOS type 17).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MemoryModule {
    /// Name of its slot as on the board, such as `DIMM_A1`.
    pub slot: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Kind, such as `DDR5`.
    pub kind: String,
    /// Speed it runs at, else the one it is made for, in megatransfers a second; 0 when unknown.
    pub speed_mts: u32,
    /// Manufacturer.
    pub manufacturer: String,
    /// Part number.
    pub part_number: String,
    /// Serial number.
    pub serial: String,
}

/// One PCI function. Ids are four hexadecimal digits in lower case, as `pci.ids` lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PciDevice {
    /// Domain, bus, device and function: `0000:3b:00.0`.
    pub address: String,
    /// Vendor id.
    pub vendor: String,
    /// Device id.
    pub device: String,
    /// Class, subclass and programming interface: six hexadecimal digits.
    pub class: String,
    /// Subsystem vendor id.
    pub subsystem_vendor: String,
    /// Subsystem device id.
    pub subsystem_device: String,
    /// Kernel driver at work, or empty.
    pub driver: String,
}

/// Trusted platform module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Tpm {
    /// Whether the kernel found one.
    pub present: bool,
    /// Version of its specification: `1.2` or `2.0`; empty when unknown.
    pub version: String,
}

/// Baseboard management controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Bmc {
    /// Whether firmware or the kernel tells of one.
    pub present: bool,
    /// IPv4 address of its LAN channel, or empty.
    pub address: String,
    /// IPv6 address of its LAN channel, or empty.
    pub address_v6: String,
    /// Hardware address of its LAN channel, or empty.
    pub mac: String,
}

/// What the switch on the other end of a link says about itself (IEEE 802.1AB).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Lldp {
    /// The switch, often by hardware address.
    pub chassis_id: String,
    /// Its port, often by name, such as `Eth1/7`.
    pub port_id: String,
    /// What an operator called the port.
    pub port_description: String,
    /// The switch's name.
    pub system_name: String,
    /// Its make and software.
    pub system_description: String,
    /// Address under which it is managed.
    pub management_address: String,
    /// Untagged VLAN of the port; absent when the switch does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
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
    /// Negotiated speed in megabits a second; 0 when unknown, as on many virtual cards.
    #[serde(default)]
    pub speed_mbps: u32,
    /// The switch it is plugged into; absent as long as none was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lldp: Option<Lldp>,
}

impl Link {
    /// A link of which nothing more is known.
    pub fn new(name: &str, mac: MacAddr) -> Self {
        Self {
            name: name.to_owned(),
            mac,
            driver: String::new(),
            carrier: false,
            addresses: Vec::new(),
            speed_mbps: 0,
            lldp: None,
        }
    }
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
    cut(text, MAX_TEXT)
}

/// Makes one line of what a task or a machine says, in whatever script, of at most `limit` bytes: control
/// characters are left out, and those that turn the direction of reading round (Unicode TR 9).
pub fn clean_line(text: &mut String, limit: usize) {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let blank = |c| if matches!(c, '\n' | '\t' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
    // Limits come before the work.
    text.truncate(text.floor_char_boundary(limit));
    let kept: String = text.chars().map(blank).filter(|c| !c.is_control() && !turns(*c)).collect();
    kept.trim().clone_into(text);
}

fn cut(text: &str, limit: usize) -> String {
    let printable: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(limit).collect();
    printable.trim().to_owned()
}

fn cut_all<const N: usize>(texts: [&mut String; N], limit: usize) {
    for text in texts {
        *text = cut(text, limit);
    }
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
        cut_all(texts, MAX_TEXT);
        self.system_uuid.make_ascii_lowercase();
        let Bmc { present: _, address, address_v6, mac } = &mut self.bmc;
        cut_all([&mut self.tpm.version, address, address_v6, mac], MAX_ADDRESS);
        self.abridged |= self.memory_modules.len() > MAX_MODULES
            || self.disks.len() > MAX_ENTRIES
            || self.links.len() > MAX_ENTRIES
            || self.pci.len() > MAX_PCI;
        self.memory_modules.truncate(MAX_MODULES);
        self.memory_modules.iter_mut().for_each(MemoryModule::clean);
        self.disks.truncate(MAX_ENTRIES);
        self.disks.iter_mut().for_each(Disk::clean);
        self.links.truncate(MAX_ENTRIES);
        self.links.iter_mut().for_each(Link::clean);
        self.pci.truncate(MAX_PCI);
        self.pci.iter_mut().for_each(PciDevice::clean);
    }

    /// Hardware addresses of the physical links.
    pub fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.links.iter().map(|link| link.mac)
    }
}

impl Disk {
    fn clean(&mut self) {
        let Self { name, model, serial, wwn, by_id, transport, path, contents, .. } = self;
        cut_all([name, model, serial, wwn, path], MAX_TEXT);
        cut_all([transport], MAX_TRANSPORT);
        by_id.truncate(MAX_BY_ID);
        for name in by_id {
            *name = cut(name, MAX_TEXT);
        }
        contents.clean();
    }
}

impl MemoryModule {
    fn clean(&mut self) {
        let Self { slot, size_bytes: _, kind, speed_mts: _, manufacturer, part_number, serial } = self;
        cut_all([slot, kind, manufacturer, part_number, serial], MAX_MODULE_TEXT);
    }
}

impl PciDevice {
    fn clean(&mut self) {
        let Self { address, vendor, device, class, subsystem_vendor, subsystem_device, driver } = self;
        cut_all([vendor, device, subsystem_vendor, subsystem_device], 4);
        cut_all([class], 6);
        cut_all([address], 16);
        cut_all([driver], MAX_DRIVER);
    }
}

impl Link {
    fn clean(&mut self) {
        cut_all([&mut self.name], MAX_LINK_NAME);
        cut_all([&mut self.driver], MAX_DRIVER);
        self.addresses.truncate(8);
        for address in &mut self.addresses {
            *address = cut(address, MAX_ADDRESS);
        }
        if let Some(lldp) = &mut self.lldp {
            lldp.clean();
        }
    }
}

impl Lldp {
    fn clean(&mut self) {
        let Self {
            chassis_id,
            port_id,
            port_description,
            system_name,
            system_description,
            management_address,
            vlan: _,
        } = self;
        let texts =
            [chassis_id, port_id, port_description, system_name, system_description, management_address];
        cut_all(texts, MAX_TEXT);
    }

    /// The switch and its port in one line, such as `sw-3 port Eth1/7`.
    pub fn summary(&self) -> String {
        let switch = if self.system_name.is_empty() { &self.chassis_id } else { &self.system_name };
        format!("{switch} port {}", self.port_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tasks_say_becomes_one_line_in_its_own_script() {
        for (said, line) in [
            ("plain", "plain"),
            ("  zwei\nZeilen\t und \u{1b}[31mFarbe\r\n", "zwei Zeilen  und [31mFarbe"),
            ("safe\u{202e}gnp.exe\u{2066}\u{200f}", "safegnp.exe"),
            ("\u{7f}\u{85}\u{0}", ""),
            ("<img src=x>", "<img src=x>"),
        ] {
            let mut text = said.to_owned();
            clean_line(&mut text, 64);
            assert_eq!(text, line, "{said:?}");
        }
        let mut long = "\u{4e2d}".repeat(40);
        clean_line(&mut long, 64);
        assert_eq!(long.len(), 63, "cut at a character's end");
    }

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
        for key in ["SystemUuid", "MemoryBytes", "MemoryModules", "Pci", "Tpm", "Bmc", "Abridged"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert!(json.pointer("/Bmc/AddressV6").is_some());
    }

    #[test]
    fn inventories_of_older_agents_are_read() {
        let old = r#"{"Links":[{"Name":"eth0","Mac":"52:54:00:12:34:56"}],"MemoryBytes":1}"#;
        let inventory: Inventory = serde_json::from_str(old).unwrap();
        let link = Link::new("eth0", "52:54:00:12:34:56".parse().unwrap());
        assert_eq!(inventory, Inventory { memory_bytes: 1, links: vec![link], ..Inventory::default() });
    }

    #[test]
    fn what_a_switch_says_is_cut_like_firmware() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let lldp =
            Lldp { system_name: "sw-3\u{1b}[2J".to_owned(), port_id: "Eth1/7".repeat(99), ..Lldp::default() };
        let mut inventory = Inventory {
            links: vec![Link { lldp: Some(lldp), ..Link::new("a-name-too-long-for-a-link", mac) }],
            ..Inventory::default()
        };
        inventory.clean();
        let link = inventory.links.first().unwrap();
        let lldp = link.lldp.as_ref().unwrap();
        assert_eq!((link.name.len(), lldp.port_id.len()), (MAX_LINK_NAME, MAX_TEXT));
        assert_eq!(lldp.system_name, "sw-3[2J");
    }

    #[test]
    fn a_switch_without_a_name_goes_by_its_chassis() {
        let mut lldp =
            Lldp { chassis_id: "02:00:00:00:00:01".into(), port_id: "7".into(), ..Lldp::default() };
        assert_eq!(lldp.summary(), "02:00:00:00:00:01 port 7");
        lldp.system_name = "sw-3".into();
        assert_eq!(lldp.summary(), "sw-3 port 7");
    }
}
