//! Whole disks, from `/sys/block`, and what they hold.

use super::Tree;
use crate::disk::{Holdings, Mark};
use protocol::inventory::Disk;
use std::collections::BTreeSet;
use std::time::Instant;

/// A sector of the `size` attribute, in bytes, whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// SCSI peripheral device types of CD and DVD drives (`include/scsi/scsi_proto.h`).
const TYPE_ROM: &str = "5";
/// Longest page of SCSI vital product data that is read, in bytes.
const MAX_PAGE: u64 = 256;
/// Head of such a page: type, code, two bytes of length.
const PAGE_HEAD: usize = 4;

/// Label of the ISO 9660 volume on our media (crate `iso`).
const MEDIUM: &str = "MUSTER";
const BY_ID: &str = "dev/disk/by-id";
/// Buses by what stands for them in the kernel's tree of devices; the nearest to the disk counts.
const TRANSPORTS: [(&str, &str); 10] = [
    ("/nvme", "nvme"),
    ("/usb", "usb"),
    ("/virtio", "virtio"),
    ("/ata", "sata"),
    ("/end_device-", "sas"),
    ("/mmc_host", "mmc"),
    ("/vbd-", "xen"),
    ("/rport-", "fc"),
    ("/session", "iscsi"),
    ("/VMBUS:", "hyper-v"),
];

/// The disks of the tree, and what they hold.
pub(super) fn read(tree: &Tree, holdings: &Holdings) -> Vec<Disk> {
    let mut disks: Vec<Disk> =
        tree.names("sys/block").into_iter().filter_map(|name| disk(tree, name)).collect();
    let marks: Vec<(String, Mark)> = disks.iter().map(|disk| (disk.name.clone(), mark(tree, disk))).collect();
    let held = holdings.look(&tree.path("dev"), &marks, Instant::now());
    for (disk, contents) in disks.iter_mut().zip(held) {
        disk.boot_medium = contents.filesystem == "iso9660" && contents.label == MEDIUM;
        disk.contents = contents;
    }
    disks
}

/// By what a disk is known to be the same: its counters of writes and discards among it
/// (`Documentation/block/stat.rst`).
fn mark(tree: &Tree, disk: &Disk) -> Mark {
    const WRITES: [usize; 2] = [4, 6];
    const DISCARDS: [usize; 2] = [11, 13];
    let counters = tree.text(&format!("sys/block/{}/stat", disk.name));
    let counters: Vec<u64> = counters.split_whitespace().map(|n| n.parse().unwrap_or_default()).collect();
    let written = WRITES.iter().chain(&DISCARDS).filter_map(|at| counters.get(*at).copied()).collect();
    let serial = format!("{} {} {}", disk.wwn, disk.serial, disk.path);
    Mark { size: disk.size_bytes, serial, written }
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
    let path = place(tree, &base, &name);
    let mut disk = Disk {
        model,
        serial,
        wwn: world_wide_name(first(&["wwid", "device/wwid"])),
        size_bytes,
        rotational: tree.number(&at("queue/rotational")) == 1,
        removable: tree.number(&at("removable")) == 1,
        read_only: tree.number(&at("ro")) == 1,
        transport: transport(&path).to_owned(),
        path,
        name,
        ..Disk::default()
    };
    disk.by_id = by_id(tree, &disk);
    Some(disk)
}

/// Where it is in the kernel's tree of devices, without what stands for the disk itself.
fn place(tree: &Tree, base: &str, name: &str) -> String {
    let target = tree.link(base);
    let path = target.rsplit_once("devices/").map_or("", |(_, path)| path);
    let path = path.strip_suffix(name).unwrap_or(path).trim_end_matches('/');
    path.strip_suffix("/block").unwrap_or(path).to_owned()
}

fn transport(path: &str) -> &'static str {
    let path = format!("/{path}");
    let nearest = TRANSPORTS.iter().filter_map(|(mark, name)| Some((path.rfind(mark)?, *name))).max();
    nearest.map_or("", |(_, name)| name)
}

/// Its names in `/dev/disk/by-id`: those that are there, and those that udev would give it, since nothing in a
/// boot image makes them (systemd, `60-persistent-storage.rules`).
fn by_id(tree: &Tree, disk: &Disk) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
    let (model, serial) = (words(&disk.model), words(&disk.serial));
    let known = !model.is_empty() && !serial.is_empty();
    let mut names = BTreeSet::new();
    match (disk.transport.as_str(), disk.wwn.split_once('.')) {
        ("nvme", _) => {
            names.extend((!disk.wwn.is_empty()).then(|| format!("nvme-{}", disk.wwn)));
            names.extend(known.then(|| format!("nvme-{model}_{serial}")));
        }
        (transport, wwn) => {
            if let Some(("naa", hex)) = wwn {
                names.insert(format!("wwn-0x{hex}"));
                names.extend((!matches!(transport, "sata" | "usb")).then(|| format!("scsi-3{hex}")));
            }
            names.extend((transport == "sata" && known).then(|| format!("ata-{model}_{serial}")));
            names.extend((transport == "usb" && known).then(|| format!("usb-{model}_{serial}-0:0")));
            names.extend((transport == "virtio" && !serial.is_empty()).then(|| format!("virtio-{serial}")));
        }
    }
    let own = |name: &String| tree.link_name(&format!("{BY_ID}/{name}")) == disk.name;
    names.extend(tree.names(BY_ID).into_iter().filter(own));
    names.into_iter().collect()
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
    use protocol::install::Contents;

    /// Without what they hold: no tree of a test has devices.
    fn found(fixture: &Fixture) -> Vec<Disk> {
        let mut disks = read(&fixture.tree(), &Holdings::default());
        for disk in &mut disks {
            assert!(disk.contents.error.starts_with("it cannot be opened"));
            disk.contents = Contents::default();
        }
        disks
    }

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
        assert_eq!(names(&found(&fixture)), ["sda"]);
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
            by_id: vec!["scsi-35000c500a1b2c3d4".to_owned(), "wwn-0x5000c500a1b2c3d4".to_owned()],
            ..Disk::default()
        };
        assert_eq!(found(&fixture), [disk]);
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
        let disks = found(&fixture);
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

    #[test]
    fn disk_has_its_place_its_bus_and_the_names_udev_would_give_it() {
        let pci = "../devices/pci0000:00/0000:00";
        let cases = [
            (
                "sda",
                ":1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda",
                "sata",
                "ata-Samsung_SSD_S1 wwn-0x5002",
            ),
            (
                "sdb",
                ":14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
                "usb",
                "usb-Samsung_SSD_S1-0:0 wwn-0x5002",
            ),
            (
                "sdc",
                ":03.0/0000:01:00.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0/block/sdc",
                "sas",
                "scsi-35002 wwn-0x5002",
            ),
            ("vda", ":04.0/virtio1/block/vda", "virtio", "scsi-35002 virtio-S1 wwn-0x5002"),
            (
                "sdd",
                ":05.0/virtio2/host3/target3:0:0/3:0:0:0/block/sdd",
                "virtio",
                "scsi-35002 virtio-S1 wwn-0x5002",
            ),
            ("nvme0n1", ":1d.0/0000:3b:00.0/nvme/nvme0/nvme0n1", "nvme", "nvme-Samsung_SSD_S1 nvme-naa.5002"),
        ];
        for (name, device, transport, by_id) in cases {
            let device = format!("{pci}{device}");
            let fixture = Fixture::new(&[]);
            let folder = device.strip_prefix("../").unwrap();
            for (attribute, value) in [
                ("size", "8"),
                ("serial", "S1"),
                ("wwid", "naa.5002"),
                ("ro", "1"),
                ("device/model", "Samsung  SSD"),
            ] {
                fixture.bytes(&format!("sys/{folder}/{attribute}"), value.as_bytes());
            }
            fixture.link(&format!("sys/block/{name}"), &device);
            fixture.link("dev/disk/by-id/lvm-of-another", "../../sdz");
            let disks = found(&fixture);
            let disk = disks.first().unwrap();
            assert_eq!(
                (disk.transport.as_str(), disk.by_id.join(" ")),
                (transport, by_id.to_owned()),
                "{name}"
            );
            assert!(disk.path.starts_with("pci0000:00/") && !disk.path.contains(name), "{}", disk.path);
            assert!(disk.read_only);
        }
    }
}
