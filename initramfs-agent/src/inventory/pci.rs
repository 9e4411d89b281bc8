//! PCI functions, from `/sys/bus/pci/devices`.

use super::Tree;
use protocol::inventory::PciDevice;

/// Where they live, by address.
const DEVICES: &str = "sys/bus/pci/devices";

/// Every function, with or without a driver.
pub(super) fn read(tree: &Tree) -> Vec<PciDevice> {
    let device = |address: String| {
        let id = |name: &str| {
            let text = tree.text(&format!("{DEVICES}/{address}/{name}"));
            text.strip_prefix("0x").unwrap_or(&text).to_owned()
        };
        PciDevice {
            vendor: id("vendor"),
            device: id("device"),
            class: id("class"),
            subsystem_vendor: id("subsystem_vendor"),
            subsystem_device: id("subsystem_device"),
            driver: tree.link_name(&format!("{DEVICES}/{address}/driver")),
            address,
        }
    };
    tree.names(DEVICES).into_iter().map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    #[test]
    fn functions_are_told_as_pci_ids_lists_them() {
        let fixture = Fixture::new(&[
            ("sys/bus/pci/devices/0000:3b:00.0/vendor", "0x8086\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/device", "0x1592\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/subsystem_vendor", "0x1028\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/subsystem_device", "0x0002\n"),
            ("sys/bus/pci/devices/0000:00:1f.0/vendor", "0x8086\n"),
        ]);
        fixture.link("sys/bus/pci/devices/0000:3b:00.0/driver", "../../../bus/pci/drivers/ice");
        let found = read(&fixture.tree());
        let addresses: Vec<&str> = found.iter().map(|device| device.address.as_str()).collect();
        assert_eq!(addresses, ["0000:00:1f.0", "0000:3b:00.0"]);
        let expected = PciDevice {
            address: "0000:3b:00.0".to_owned(),
            vendor: "8086".to_owned(),
            device: "1592".to_owned(),
            class: "020000".to_owned(),
            subsystem_vendor: "1028".to_owned(),
            subsystem_device: "0002".to_owned(),
            driver: "ice".to_owned(),
        };
        assert_eq!(found.last(), Some(&expected));
    }
}
