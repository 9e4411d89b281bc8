//! Making an inventory fit a body: long lists go first, in a fixed order, and never silently.

use super::{Disk, Inventory};

/// Most commas, and so members and elements, of an inventory's JSON: bodies with more than 4,096
/// are refused (`spec/security.md` 6), and the rest of a body needs some.
const MAX_COMMAS: usize = 4_000;

/// What is left out, in this order. Names and hardware addresses of links always stay: machines
/// are matched by them.
const STEPS: [fn(&mut Inventory); 6] = [
    |inventory| inventory.pci.clear(),
    |inventory| inventory.memory_modules.clear(),
    |inventory| inventory.links.iter_mut().for_each(|link| link.lldp = None),
    |inventory| inventory.links.iter_mut().for_each(|link| link.addresses.clear()),
    |inventory| inventory.disks.iter_mut().for_each(|disk| disk.contents.leave_out()),
    |inventory| inventory.disks.clear(),
];

impl Inventory {
    /// The inventory, cleaned, in at most `limit` bytes of JSON. Lists that do not fit are left
    /// out (PCI functions first, then memory modules, neighbours, addresses, what disks hold, disks), and
    /// [`Inventory::abridged`] says so. Any `limit` from [`super::MAX_INVENTORY`] up is kept.
    #[must_use]
    pub fn fit(mut self, limit: usize) -> Self {
        self.clean();
        for leave_out in STEPS {
            if self.fits(limit) {
                break;
            }
            leave_out(&mut self);
            self.abridged = true;
        }
        self
    }

    /// The inventory as one of thousands: without its PCI functions, memory modules and the partitions of its
    /// disks, which are most of it.
    #[must_use]
    pub fn in_a_list(mut self) -> Self {
        let partitions = |disk: &Disk| !disk.contents.partitions.is_empty();
        self.abridged |=
            !self.pci.is_empty() || !self.memory_modules.is_empty() || self.disks.iter().any(partitions);
        self.disks.iter_mut().for_each(|disk| disk.contents.partitions.clear());
        self.pci.clear();
        self.memory_modules.clear();
        self
    }

    fn fits(&self, limit: usize) -> bool {
        // Plain data always serialises; if it ever did not, no list would be worth keeping.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let commas = json.iter().filter(|&&byte| byte == b',').count();
        !json.is_empty() && json.len() <= limit && commas <= MAX_COMMAS
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Link, Lldp, MAX_INVENTORY, MAX_OBSERVED, MemoryModule, PciDevice};
    use super::*;
    use crate::ids::MacAddr;
    use crate::install::{Contents, PartitionFound};
    use proptest::prelude::*;

    fn pci() -> PciDevice {
        PciDevice {
            address: "0000:3b:00.0".into(),
            vendor: "8086".into(),
            device: "1592".into(),
            class: "020000".into(),
            subsystem_vendor: "8086".into(),
            subsystem_device: "0002".into(),
            driver: "ice".into(),
        }
    }

    fn module(text: &str) -> MemoryModule {
        let text = || text.to_owned();
        MemoryModule {
            slot: text(),
            kind: text(),
            manufacturer: text(),
            part_number: text(),
            serial: text(),
            size_bytes: u64::MAX,
            speed_mts: u32::MAX,
        }
    }

    fn link(text: &str) -> Link {
        let text = || text.to_owned();
        let lldp = Lldp {
            chassis_id: text(),
            port_id: text(),
            port_description: text(),
            system_name: text(),
            system_description: text(),
            management_address: text(),
            vlan: Some(4_094),
        };
        Link {
            driver: text(),
            addresses: vec![text(); 9],
            speed_mbps: u32::MAX,
            lldp: Some(lldp),
            ..Link::new(&text(), MacAddr([255; 6]))
        }
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let inventory = Inventory { pci: vec![pci(); 40], ..Inventory::default() };
        assert_eq!(inventory.clone().fit(MAX_INVENTORY), inventory);
    }

    #[test]
    fn pci_goes_first_and_the_server_is_told() {
        let large = Inventory {
            pci: vec![pci(); 350],
            memory_modules: vec![module("DIMM"); 48],
            links: vec![link("eth0")],
            ..Inventory::default()
        };
        let fitted = large.clone().fit(MAX_INVENTORY);
        assert!(fitted.pci.is_empty() && fitted.abridged);
        assert_eq!(fitted.memory_modules, large.memory_modules);
        let whole = large.fit(MAX_OBSERVED);
        assert_eq!((whole.pci.len(), whole.abridged), (350, false), "a heartbeat carries it all");
    }

    #[test]
    fn in_a_list_the_long_lists_are_left_out_and_it_is_said() {
        let bare = Inventory { serial: "7XK21M3".into(), links: vec![link("eth0")], ..Inventory::default() };
        assert_eq!(bare.clone().in_a_list(), bare);
        let long = Inventory { pci: vec![pci()], ..bare.clone() };
        assert_eq!(long.in_a_list(), Inventory { abridged: true, ..bare });
    }

    #[test]
    fn partitions_that_are_left_out_leave_a_word_so_that_no_disk_looks_empty() {
        let contents = Contents { partitions: vec![PartitionFound::default(); 128], ..Contents::default() };
        let disks = vec![Disk { contents, ..Disk::default() }; 64];
        let fitted = Inventory { disks, ..Inventory::default() }.fit(MAX_OBSERVED);
        let told = &fitted.disks.first().unwrap().contents;
        assert!(fitted.abridged && told.partitions.is_empty());
        assert_eq!(told.error, "128 partitions, too many to tell");
    }

    proptest! {
        // Large inventories: a few dozen say as much as hundreds, in a second.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_inventory_fits_and_keeps_its_hardware_addresses(
            text in "[ -~]{0,140}", quotes in 0usize..140, lists in proptest::array::uniform4(0usize..400),
            whole: bool, partitions in 0usize..40,
        ) {
            // Quotes and backslashes are twice as long in JSON.
            let text = "\"".repeat(quotes) + &text;
            let [disks, links, modules, functions] = lists;
            let partition = PartitionFound { name: text.clone(), label: text.clone(), filesystem: text.clone(),
                uuid: text.clone(), last_mounted: text.clone(), ..PartitionFound::default() };
            let contents = Contents { table: text.clone(), error: text.clone(),
                partitions: vec![partition; partitions], ..Contents::default() };
            let disk = Disk { name: text.clone(), model: text.clone(), serial: text.clone(), wwn: text.clone(),
                by_id: vec![text.clone(); 9], contents, ..Disk::default() };
            let given = Inventory {
                vendor: text.clone(), product: text.clone(), serial: text.clone(), kernel: text.clone(),
                firmware: text.clone(), host_name: text.clone(), board_serial: text.clone(),
                disks: vec![disk; disks], links: vec![link(&text); links],
                memory_modules: vec![module(&text); modules],
                pci: vec![PciDevice { driver: text.clone(), ..pci() }; functions],
                ..Inventory::default()
            };
            let mut cleaned = given.clone();
            cleaned.clean();
            let limit = if whole { MAX_OBSERVED } else { MAX_INVENTORY };
            let fitted = given.fit(limit);
            prop_assert!(fitted.fits(limit));
            prop_assert_eq!(fitted.macs().count(), cleaned.macs().count());
            // Nothing is missing without a word, and a word is said only when something is.
            let is_whole = !cleaned.abridged && cleaned == Inventory { abridged: false, ..fitted.clone() };
            prop_assert_eq!(fitted.abridged, !is_whole);
        }
    }
}
