//! Longer than every change can wait for (`FULL=1`): the disk of an installation at a hundred of its flushes, as it would
//! be had the power gone there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use tests::flushes::Log;
use tests::os_image;
use tests::qemu::{Boot, Disk, Firmware, Vm};
use tests::wait;

use crate::cuts::{RUNS, TINY};
use crate::site::{CODE_WITHIN, Site};

/// Flushes that are looked at; all of them where there are less.
const POINTS: usize = 100;
/// Of these, booted.
const BOOTED: usize = 3;
const MIB: u64 = 1_024 * 1_024;
/// Partition of the root.
const ROOT: u32 = 3;
/// Where ext4 says in the partition what it is, and what it says (`struct ext2_super_block`, `s_magic`). mke2fs writes
/// that block last, after a flush of all the others: from then on there is a file system.
const EXT4: (u64, [u8; 2]) = (1_024 + 56, [0x53, 0xef]);

/// Bytes from which a partition begins, where the disk has a table with it by now.
fn partition(disk: &Path, number: u32) -> Option<(u64, u64)> {
    let output = Command::new("sgdisk").arg(format!("--info={number}")).arg(disk).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let sector = |label: &str| {
        let line = text.lines().find(|line| line.starts_with(label))?;
        line.split_whitespace().nth(2)?.parse::<u64>().ok()
    };
    let (first, last) = sector("First sector:").zip(sector("Last sector:"))?;
    Some((first * 512, (last + 1 - first) * 512))
}

/// Whether the boot entry is there, which is the last write.
fn is_bootable(disk: &Path) -> bool {
    let Some((start, _)) = partition(disk, 2) else { return false };
    let output = Command::new("mdir")
        .args(["-b", "-i"])
        .arg(format!("{}@@{start}", disk.display()))
        .arg("::/muster")
        .output();
    output.unwrap().status.success()
}

/// Whether the root has a file system by now.
fn has_root(disk: &Path) -> bool {
    let Some((start, _)) = partition(disk, ROOT) else { return false };
    let mut magic = [0; 2];
    File::open(disk).and_then(|file| file.read_exact_at(&mut magic, start + EXT4.0)).unwrap();
    magic == EXT4.1
}

/// The root is what a journal makes good: nothing is left that somebody would have to be asked about, and then nothing at
/// all.
fn root_is_sound(disk: &Path, point: usize) {
    let (start, size) = partition(disk, ROOT).unwrap();
    let root = disk.with_extension("root");
    let block = |bytes: u64| bytes.div_ceil(MIB).to_string();
    let copied = Command::new("dd")
        .arg(format!("if={}", disk.display()))
        .arg(format!("of={}", root.display()))
        .args(["bs=1M", "conv=sparse", "status=none"])
        .arg(format!("skip={}", block(start)))
        .arg(format!("count={}", block(size)))
        .status();
    assert!(copied.unwrap().success());
    // 1: the journal was played back. Not -y, which would make good what no journal does, and hide it.
    for (how, ends) in [("-fp", &[0, 1][..]), ("-fn", &[0])] {
        let checked = Command::new("e2fsck").arg(how).arg(&root).output().unwrap();
        let is_sound = checked.status.code().is_some_and(|code| ends.contains(&code));
        assert!(is_sound, "flush {point}, {how}: {}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn power_cut_at_each_of_a_hundred_flushes_leaves_a_disk_that_boots_or_none_that_claims_to() {
    let site = Site::start("flushes");
    site.with_tiny();
    let log = site.path("writes.log");
    File::create(&log).unwrap();
    let image = site.path("noted.raw");
    File::create(&image).and_then(|file| file.set_len(4_096 * MIB)).unwrap();
    let builder =
        site.machine("flushes", Firmware::Uefi).only_disk(Disk::new(&image, "SYSTEM-1").noted_in(&log));
    let mut guest = site.approve(builder);
    let run = site.provision(&guest, "tiny");
    site.installed(&mut guest, &run);
    guest.vm.cut_power().unwrap();
    wait::until("the log", CODE_WITHIN, || Ok(Log::open(&log).ok().map(|_| ()))).unwrap();

    let log = Log::open(&log).unwrap();
    let flushes = log.flushes();
    assert!(flushes > BOOTED, "the installer flushed {flushes} times");
    let disk = site.path("replayed.raw");
    let file = File::create(&disk).unwrap();
    file.set_len(4_096 * MIB).unwrap();
    let points: Vec<usize> =
        (1..=POINTS.min(flushes)).map(|point| point * flushes / POINTS.min(flushes)).collect();
    let (mut at, mut early, mut bootable) = (0, 0, Vec::new());
    for point in points {
        log.replay(at, point, &file).unwrap();
        at = point;
        let (has_root, is_bootable) = (has_root(&disk), is_bootable(&disk));
        if has_root {
            root_is_sound(&disk, point);
        }
        if !is_bootable {
            early += usize::from(has_root);
        } else {
            assert!(has_root, "flush {point} has a boot entry and no root");
            bootable.push(point);
            if bootable.len() <= BOOTED {
                boots(&disk, bootable.len());
            }
        }
    }
    assert_eq!(at, flushes, "the last flush is looked at");
    assert!(early > 0, "no flush of {flushes} has a root and no boot entry yet");
    assert!(!bootable.is_empty(), "the last flush left a disk that boots");
}

/// A copy of the disk comes up without our medium.
fn boots(disk: &Path, number: usize) {
    let copy = disk.with_extension(format!("{number}.raw"));
    let copied = Command::new("cp").arg("--sparse=always").arg(disk).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut vm = Vm::builder(&format!("flush-{number}"))
        .firmware(if number.is_multiple_of(2) { Firmware::Bios } else { Firmware::Uefi })
        .boot(Boot::Disk)
        .disk(Disk::new(&copy, "SYSTEM-1"))
        .start()
        .unwrap();
    vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
}

/// What the other tests install boots by itself, before anything of ours has touched it.
#[test]
fn disk_images_of_others_boot_on_bios_and_uefi() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = &*TINY;
    let image = os_image::Disk::of(tiny, &folder.path().join("tiny.raw"), 512).unwrap();
    for (name, firmware) in [("image-bios", Firmware::Bios), ("image-uefi", Firmware::Uefi)] {
        let disk = Disk::new(image.path(), "IMAGE-1");
        let mut vm = Vm::builder(name).firmware(firmware).boot(Boot::Disk).disk(disk).start().unwrap();
        vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
    }
}
