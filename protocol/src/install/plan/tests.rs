use super::super::{Contents, PartitionFound};
use super::*;
use proptest::prelude::*;

const GB: u64 = 1_000_000_000;

fn disk(name: &str, gb: u64) -> Disk {
    Disk {
        name: name.to_owned(),
        model: "SAMSUNG MZ7LH480".to_owned(),
        serial: format!("S-{name}"),
        wwn: format!("naa.5002538e{name}"),
        size_bytes: gb * GB,
        transport: if name.starts_with("nvme") { "nvme" } else { "sata" }.to_owned(),
        path: format!("pci0000:00/{name}"),
        by_id: vec![format!("wwn-0x5002538e{name}")],
        ..Disk::default()
    }
}

fn erased(plan: &DiskPlan) -> Vec<&str> {
    plan.erased().map(|planned| planned.disk.name.as_str()).collect()
}

fn planned(disks: &[Disk], rule: DiskRule) -> Result<Vec<String>, String> {
    let plan = plan(disks, &rule, &Layout::default()).map_err(|error| error.to_string())?;
    Ok(erased(&plan).into_iter().map(str::to_owned).collect())
}

#[test]
fn one_good_disk_is_chosen_without_a_rule_and_several_are_refused_with_their_list() {
    assert_eq!(planned(&[disk("sda", 480)], DiskRule::default()), Ok(vec!["sda".to_owned()]));
    let told = planned(&[disk("sda", 480), disk("sdb", 960)], DiskRule::default()).unwrap_err();
    assert_eq!(
        told,
        "2 disks fit the disk rule (sda (480 GB, S/N S-sda), sdb (960 GB, S/N S-sdb)): name one by serial \
         number, WWN or by-id, or say which to pick"
    );
    assert_eq!(planned(&[], DiskRule::default()).unwrap_err(), "the machine has told of no disk");
}

#[test]
fn boot_media_removable_read_only_and_small_disks_are_never_chosen() {
    let unfit = [
        (Disk { boot_medium: true, ..disk("sda", 480) }, "the machine booted from it"),
        (Disk { removable: true, ..disk("sda", 480) }, "it is removable"),
        (Disk { read_only: true, ..disk("sda", 480) }, "it is read-only"),
        (disk("sda", 1), "it is smaller than 1.6 GB"),
    ];
    for (unfit, reason) in unfit {
        let by_name = DiskRule { serial: "S-sda".to_owned(), ..DiskRule::default() };
        let told = planned(std::slice::from_ref(&unfit), by_name).unwrap_err();
        assert_eq!(told, format!("no disk of the machine fits the disk rule: sda: {reason}"));
        assert_eq!(planned(&[unfit, disk("sdb", 480)], DiskRule::default()), Ok(vec!["sdb".to_owned()]));
    }
}

#[test]
fn every_field_of_a_rule_must_hold() {
    let disks = [disk("sda", 480), disk("sdb", 960), disk("nvme0n1", 1_920), disk("nvme1n1", 480)];
    let rule = DiskRule::default;
    let cases = [
        (DiskRule { by_id: "wwn-0x5002538esdb".to_owned(), ..rule() }, "sdb"),
        (DiskRule { wwn: "naa.5002538esda".to_owned(), ..rule() }, "sda"),
        (DiskRule { wwn: "5002538ESDA".to_owned(), ..rule() }, "sda"),
        (DiskRule { serial: "S-nvme1n1".to_owned(), ..rule() }, "nvme1n1"),
        (DiskRule { min_size: 1_000 * GB, ..rule() }, "nvme0n1"),
        (DiskRule { min_size: 500 * GB, max_size: 1_000 * GB, ..rule() }, "sdb"),
        (DiskRule { pick: Pick::Largest, ..rule() }, "nvme0n1"),
        (DiskRule { pick: Pick::FirstNvme, ..rule() }, "nvme0n1"),
        (DiskRule { pick: Pick::Smallest, min_size: 500 * GB, ..rule() }, "sdb"),
    ];
    for (rule, name) in cases {
        assert_eq!(planned(&disks, rule.clone()), Ok(vec![name.to_owned()]), "{rule:?}");
    }
    let told = planned(&disks, DiskRule { pick: Pick::Smallest, ..rule() }).unwrap_err();
    assert!(told.starts_with("4 disks fit"), "two are the smallest: {told}");
    let both = DiskRule { serial: "S-sda".to_owned(), model: "another".to_owned(), ..rule() };
    assert!(planned(&disks, both).unwrap_err().contains("sda: its model is not another"));
}

#[test]
fn mirrors_take_as_many_disks_as_they_want_or_none() {
    let disks = [disk("sda", 480), disk("sdb", 480), disk("sdc", 9_600)];
    let layout = Layout { raid1: 2, ..Layout::default() };
    let rule = DiskRule { max_size: 500 * GB, ..DiskRule::default() };
    assert_eq!(erased(&plan(&disks, &rule, &layout).unwrap()), ["sda", "sdb"]);
    let smallest = DiskRule { pick: Pick::Smallest, ..DiskRule::default() };
    assert_eq!(erased(&plan(&disks, &smallest, &layout).unwrap()), ["sda", "sdb"]);
    let told = plan(&disks, &DiskRule::default(), &layout).unwrap_err().to_string();
    assert!(told.starts_with("3 disks fit"), "{told}");
    let four = Layout { raid1: 4, ..Layout::default() };
    let told = plan(&disks, &rule, &four).unwrap_err().to_string();
    assert_eq!(
        told,
        "4 disks are to mirror each other, and only 2 fit the disk rule: sdc: it is larger than 500 GB"
    );
}

#[test]
fn disks_that_nothing_tells_apart_are_not_erased() {
    let twin = Disk { name: "sdb".to_owned(), ..disk("sda", 480) };
    let rule = DiskRule { pick: Pick::FirstNvme, ..DiskRule::default() };
    let twins = [Disk { transport: "nvme".to_owned(), ..disk("sda", 480) }, twin];
    assert!(planned(&twins, rule).unwrap_err().starts_with("sda and sdb go by the same"));
    let nameless =
        Disk { serial: String::new(), wwn: String::new(), path: String::new(), ..disk("vda", 480) };
    assert!(planned(&[nameless], DiskRule::default()).unwrap_err().contains("no permit can name it"));
}

#[test]
fn who_looks_sees_every_disk_and_why_none_is_chosen() {
    let plan = shown(
        &[disk("sda", 480), disk("sdb", 1)],
        &DiskRule { pick: Pick::FirstNvme, ..DiskRule::default() },
        &Layout::default(),
    );
    assert!(plan.error.contains("sda: it is no NVMe disk; sdb: it is smaller"), "{}", plan.error);
    assert!(plan.disks.iter().all(|planned| planned.fate == Fate::Keep && !planned.reason.is_empty()));
    let bad = Layout { raid1: 9, ..Layout::default() };
    let plan = shown(&[disk("sda", 480)], &DiskRule::default(), &bad);
    assert!(plan.error.starts_with("the disk layout cannot be: Raid1 is 9"), "{}", plan.error);
}

#[test]
fn what_will_be_lost_is_said_in_words() {
    let partition = |filesystem: &str, label: &str, size, used, last: &str| PartitionFound {
        filesystem: filesystem.to_owned(),
        label: label.to_owned(),
        size,
        used,
        last_mounted: last.to_owned(),
        ..PartitionFound::default()
    };
    let mut full = disk("sda", 480);
    full.contents = Contents {
        table: "gpt".to_owned(),
        partitions: vec![
            partition("vfat", "ESP", 536_870_912, None, ""),
            partition("ext4", "root", 100 * GB, Some(12 * GB), "/"),
            PartitionFound { name: "data".to_owned(), size: 300 * GB, ..PartitionFound::default() },
        ],
        ..Contents::default()
    };
    let plan = plan(&[full], &DiskRule::default(), &Layout::default()).unwrap();
    assert!(plan.loses_something());
    assert_eq!(
        plan.losses(),
        [
            "sda: 480 GB SAMSUNG MZ7LH480, S/N S-sda, GPT, 3 partitions: vfat 'ESP' of 536 MB, ext4 'root' of 100 GB \
          12 GB used, last mounted at /, unknown 'data' of 300 GB"
        ]
    );
    assert_eq!(disk("sdb", 1_920).summary(), "sdb: 1.9 TB SAMSUNG MZ7LH480, S/N S-sdb, empty");
    let mut unread = disk("sdc", 480);
    unread.contents.error = "input/output error".to_owned();
    assert!(!unread.contents.is_empty(), "nobody knows what is on it");
    assert!(unread.summary().ends_with("not all of it could be read: input/output error"));
}

fn any_disk() -> impl Strategy<Value = Disk> {
    let flags = proptest::array::uniform3(proptest::bool::weighted(0.15));
    (0u8..40, 1u64..2_000, flags, proptest::bool::ANY).prop_map(|(number, gb, flags, nvme)| {
        let [boot_medium, removable, read_only] = flags;
        let name = if nvme { format!("nvme{number}n1") } else { format!("sd{number}") };
        Disk { boot_medium, removable, read_only, ..disk(&name, gb) }
    })
}

fn any_rule() -> impl Strategy<Value = DiskRule> {
    let pick =
        prop_oneof![Just(Pick::Only), Just(Pick::Smallest), Just(Pick::Largest), Just(Pick::FirstNvme)];
    (pick, 0u64..3, 0u64..4, proptest::option::of(0u8..40)).prop_map(|(pick, min, max, serial)| DiskRule {
        pick,
        min_size: min * 300 * GB,
        max_size: max * 700 * GB,
        serial: serial.map(|number| format!("S-sd{number}")).unwrap_or_default(),
        ..DiskRule::default()
    })
}

proptest! {
    #[test]
    fn a_disk_that_is_not_chosen_is_never_erased(
        disks in proptest::collection::vec(any_disk(), 0..8), rule in any_rule(), raid1 in 0u32..5,
    ) {
        let layout = Layout { raid1, ..Layout::default() };
        let shown = shown(&disks, &rule, &layout);
        prop_assert_eq!(shown.disks.len(), disks.len());
        prop_assert!(shown.disks.iter().all(|planned| !planned.reason.is_empty()));
        match plan(&disks, &rule, &layout) {
            Ok(plan) => {
                prop_assert_eq!(&plan, &shown);
                prop_assert_eq!(plan.erased().count(), layout.disks());
                for planned in plan.erased() {
                    let disk = &planned.disk;
                    prop_assert!(!disk.boot_medium && !disk.removable && !disk.read_only);
                    prop_assert!(disk.size_bytes >= layout.smallest_disk().max(rule.min_size));
                    prop_assert!(rule.max_size == 0 || disk.size_bytes <= rule.max_size);
                    prop_assert!(rule.serial.is_empty() || disk.serial == rule.serial);
                    // The permit for it names no other disk.
                    let named = PermittedDisk::of(disk).unwrap();
                    prop_assert_eq!(disks.iter().filter(|disk| named.is(disk)).count(), 1);
                }
            }
            Err(error) => {
                prop_assert_eq!(shown.error, error.to_string());
                prop_assert!(shown.disks.iter().all(|planned| planned.fate == Fate::Keep));
            }
        }
    }

    #[test]
    fn a_permuted_inventory_gives_the_same_choice(
        (disks, permuted) in proptest::collection::vec(any_disk(), 0..8)
            .prop_flat_map(|disks| (Just(disks.clone()), Just(disks).prop_shuffle())),
        rule in any_rule(), raid1 in 0u32..4,
    ) {
        let layout = Layout { raid1, ..Layout::default() };
        let chosen = |disks: &[Disk]| {
            let mut names: Vec<String> = plan(disks, &rule, &layout)
                .map(|plan| plan.erased().map(|planned| planned.disk.name.clone()).collect())
                .unwrap_or_default();
            names.sort();
            names
        };
        prop_assert_eq!(chosen(&disks), chosen(&permuted));
    }
}

/// A disk with one partition of something that may be on several disks.
fn part_of(name: &str, filesystem: &str, uuid: &str, label: &str) -> Disk {
    let text = str::to_owned;
    let part = PartitionFound {
        filesystem: text(filesystem),
        uuid: text(uuid),
        label: text(label),
        ..PartitionFound::default()
    };
    let contents = Contents { table: text("gpt"), partitions: vec![part], ..Contents::default() };
    Disk { contents, ..disk(name, 480) }
}

#[test]
fn a_disk_that_shares_an_array_group_or_file_system_with_a_kept_one_is_not_chosen() {
    let first = DiskRule { serial: "S-sda".to_owned(), ..DiskRule::default() };
    for (filesystem, uuid, label, what) in [
        ("linux_raid_member", "1:2:3:4", "any:0", "the array 1:2:3:4"),
        ("btrfs", "aaaa", "", "the Btrfs file system aaaa"),
        ("zfs_member", "77", "tank", "the ZFS pool 77"),
        ("LVM2_member", "", "vg0", "the volume group vg0"),
    ] {
        let disks = [part_of("sda", filesystem, uuid, label), part_of("sdb", filesystem, uuid, label)];
        let told = planned(&disks, first.clone()).unwrap_err();
        let both = "is on sda, which would be erased, and on sdb, which is kept: choose both";
        assert!(told.starts_with(what) && told.contains(both), "{told}");
        assert_eq!(shown(&disks, &first, &Layout::default()).error, told, "who looks is told the same");
        let mirror = Layout { raid1: 2, ..Layout::default() };
        assert_eq!(erased(&plan(&disks, &DiskRule::default(), &mirror).unwrap()), ["sda", "sdb"]);
        let another = [part_of("sda", filesystem, uuid, label), part_of("sdb", filesystem, "9", "other")];
        assert_eq!(planned(&another, first.clone()), Ok(vec!["sda".to_owned()]));
    }
    let bare = |name: &str| {
        let contents =
            Contents { filesystem: "btrfs".to_owned(), uuid: "aaaa".to_owned(), ..Contents::default() };
        Disk { contents, ..disk(name, 480) }
    };
    let told = planned(&[bare("sda"), part_of("sdb", "btrfs", "aaaa", "")], first.clone()).unwrap_err();
    assert!(told.starts_with("the Btrfs file system aaaa is on sda"), "a whole disk is a part, too: {told}");
    let alike = [part_of("sda", "ext4", "aaaa", "root"), part_of("sdb", "ext4", "aaaa", "root")];
    assert!(planned(&alike, first).is_ok(), "what is on one disk alone may be there twice");
}
