//! Whole disks, from `/sys/block`.

use super::Tree;
use protocol::inventory::Disk;

/// A sector of the `size` attribute, in bytes, whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// SCSI peripheral device types of CD and DVD drives (`include/scsi/scsi_proto.h`).
const TYPE_ROM: &str = "5";
/// Longest page of SCSI vital product data that is read, in bytes.
const MAX_PAGE: u64 = 256;
/// Head of such a page: type, code, two bytes of length.
const PAGE_HEAD: usize = 4;

/// The disks of the tree.
pub(super) fn read(tree: &Tree) -> Vec<Disk> {
    tree.names("sys/block").into_iter().filter_map(|name| disk(tree, name)).collect()
}

/// A disk, `None` for what is none: loop, ram, zram, dm and md devices have no `device`, CD
/// drives and floppies hold media of others, empty card readers have no size.
fn disk(tree: &Tree, name: String) -> Option<Disk> {
    let base = format!("sys/block/{name}");
    let at = |attribute: &str| format!("{base}/{attribute}");
    let is_medium_of_others =
        tree.text(&at("device/type")) == TYPE_ROM || name.starts_with("fd") || name.starts_with("nbd");
    // The paths behind an NVMe multipath disk.
    let hidden = tree.number(&at("hidden")) == 1;
    let size_bytes = tree.number(&at("size")).checked_mul(SECTOR)?;
    if !tree.exists(&at("device")) || is_medium_of_others || hidden || size_bytes == 0 {
        return None;
    }
    let first = |attributes: &[&str]| {
        attributes.iter().map(|a| tree.text(&at(a))).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let model = match (tree.text(&at("device/vendor")), first(&["device/model", "device/name"])) {
        // Disks behind ATA, and PCI ids of virtio and NVMe, carry no vendor worth showing.
        (vendor, model) if vendor.is_empty() || vendor == "ATA" || vendor.starts_with("0x") => model,
        (vendor, model) => format!("{vendor} {model}"),
    };
    let serial = match first(&["serial", "device/serial"]) {
        serial if serial.is_empty() => unit_serial(tree, &at("device/vpd_pg80")),
        serial => serial,
    };
    Some(Disk {
        model,
        serial,
        wwn: world_wide_name(first(&["wwid", "device/wwid"])),
        size_bytes,
        rotational: tree.number(&at("queue/rotational")) == 1,
        removable: tree.number(&at("removable")) == 1,
        name,
        ..Disk::default()
    })
}

/// The identifier when it is one that no two disks share. `t10.` is vendor, model and serial
/// number once more (SPC-4 7.8.6.4), which tells nothing new.
fn world_wide_name(identifier: String) -> String {
    if identifier.starts_with("t10.") { String::new() } else { identifier }
}

/// The serial number in SCSI's page 0x80 (SPC-4 7.8.14), which libata makes for ATA disks too.
fn unit_serial(tree: &Tree, path: &str) -> String {
    let page = tree.bytes(path, MAX_PAGE).unwrap_or_default();
    let serial = page.get(PAGE_HEAD..).unwrap_or_default();
    String::from_utf8_lossy(serial).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    fn names(disks: &[Disk]) -> Vec<&str> {
        disks.iter().map(|disk| disk.name.as_str()).collect()
    }

    #[test]
    fn only_whole_disks_with_a_size_are_listed() {
        let fixture = Fixture::new(&[
            ("sys/block/sda/size", "41943040"),
            ("sys/block/sda/device/type", "0"),
            ("sys/block/sr0/size", "71234"),
            ("sys/block/sr0/device/type", "5"),
            ("sys/block/loop0/size", "8"),
            ("sys/block/dm-0/size", "8"),
            ("sys/block/md0/size", "8"),
            ("sys/block/zram0/size", "8"),
            ("sys/block/fd0/size", "8"),
            ("sys/block/fd0/device/x", ""),
            ("sys/block/sdb/size", "0"),
            ("sys/block/sdb/device/type", "0"),
            ("sys/block/sdc/size", "18446744073709551615"),
            ("sys/block/sdc/device/type", "0"),
            ("sys/block/nvme0c0n1/size", "8"),
            ("sys/block/nvme0c0n1/hidden", "1"),
            ("sys/block/nvme0c0n1/device/x", ""),
        ]);
        assert_eq!(names(&read(&fixture.tree())), ["sda"]);
    }

    #[test]
    fn ata_disk_has_its_serial_in_page_80() {
        let fixture = Fixture::new(&[
            ("sys/block/sda/size", "41943040\n"),
            ("sys/block/sda/device/vendor", "ATA     \n"),
            ("sys/block/sda/device/model", "QEMU HARDDISK   \n"),
            ("sys/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n"),
            ("sys/block/sda/queue/rotational", "1\n"),
            ("sys/block/sda/removable", "0\n"),
        ]);
        fixture.bytes("sys/block/sda/device/vpd_pg80", b"\x00\x80\x00\x14  QM00001           \x00");
        let disk = Disk {
            name: "sda".to_owned(),
            model: "QEMU HARDDISK".to_owned(),
            serial: "QM00001".to_owned(),
            wwn: "naa.5000c500a1b2c3d4".to_owned(),
            size_bytes: 20 * 1_024 * 1_024 * 1_024,
            rotational: true,
            removable: false,
            ..Disk::default()
        };
        assert_eq!(read(&fixture.tree()), [disk]);
    }

    #[test]
    fn nvme_virtio_and_usb_disks_say_who_they_are() {
        let fixture = Fixture::new(&[
            ("sys/block/nvme0n1/size", "8"),
            ("sys/block/nvme0n1/wwid", "eui.0025385b71b1c2d3"),
            ("sys/block/nvme0n1/device/serial", "S4EVNX0R"),
            ("sys/block/nvme0n1/device/model", "Samsung SSD 970"),
            ("sys/block/vda/size", "8"),
            ("sys/block/vda/serial", "disk-1"),
            ("sys/block/vda/device/vendor", "0x1af4"),
            ("sys/block/sdb/size", "8"),
            ("sys/block/sdb/removable", "1"),
            ("sys/block/sdb/device/wwid", "t10.SanDisk Ultra Fit  4C53"),
            ("sys/block/sdb/device/vendor", "SanDisk "),
            ("sys/block/sdb/device/model", "Ultra Fit "),
        ]);
        let disks = read(&fixture.tree());
        let told: Vec<_> = disks
            .iter()
            .map(|d| (d.model.as_str(), d.serial.as_str(), d.wwn.as_str(), d.removable))
            .collect();
        assert_eq!(
            told,
            [
                ("Samsung SSD 970", "S4EVNX0R", "eui.0025385b71b1c2d3", false),
                ("SanDisk Ultra Fit", "", "", true),
                ("", "disk-1", "", false),
            ]
        );
    }
}
