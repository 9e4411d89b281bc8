//! What is on disks, whoever wrote it, and the permit without which no disk is written.

use crate::text::is_tame;
use initramfs_agent::fuzzing;
use protocol::install::{Contents, MAX_PARTITIONS, PartitionFound, Permit, ReceivedPermit};
use protocol::inventory::{Disk, Inventory, MAX_TEXT};

/// Size of the disk that an input is put on, in bytes.
const DISK: usize = 256 * 1_024;
const SECTOR: usize = 512;

/// A disk of zeros but for the pieces of the input: each its place and its length, in four and two bytes, and then
/// its bytes. A place counts from the beginning again where the disk ends.
fn disk(mut data: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    while let Some((head, rest)) = data.split_first_chunk::<6>() {
        let [a, b, c, d, e, f] = *head;
        let at = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0) % DISK;
        let length = usize::from(u16::from_le_bytes([e, f])).min(rest.len()).min(DISK - at);
        let (piece, rest) = rest.split_at(length);
        disk[at..at + length].copy_from_slice(piece);
        data = rest;
    }
    disk
}

/// Puts right what nobody guesses: the checksums of a GPT.
fn seal(disk: &mut [u8]) {
    let number = |disk: &[u8], at: usize| {
        disk.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field))
    };
    let size = |disk: &[u8], at: usize| usize::try_from(number(disk, at)).unwrap_or(usize::MAX);
    let entries = size(disk, SECTOR + 72).saturating_mul(SECTOR);
    let length = size(disk, SECTOR + 80).saturating_mul(size(disk, SECTOR + 84));
    if let Some(entries) = disk.get(entries..).and_then(|rest| rest.get(..length)) {
        let sum = crc32(entries);
        disk[SECTOR + 88..SECTOR + 92].copy_from_slice(&sum.to_le_bytes());
    }
    disk[SECTOR + 16..SECTOR + 20].fill(0);
    let header = size(disk, SECTOR + 12);
    if let Some(header) = disk.get(SECTOR..).and_then(|rest| rest.get(..header)) {
        let sum = crc32(header);
        disk[SECTOR + 16..SECTOR + 20].copy_from_slice(&sum.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// Every text is short and no terminal obeys it.
fn is_shown(texts: &[&String]) {
    for text in texts {
        assert!(text.len() <= MAX_TEXT, "{text}");
        is_tame(text);
    }
}

fn is_told(found: &PartitionFound) {
    is_shown(&[&found.name, &found.kind, &found.filesystem, &found.label, &found.uuid, &found.last_mounted]);
    // Whoever keeps it cuts it as it is.
    let contents = Contents { partitions: vec![found.clone()], ..Contents::default() };
    let given = Inventory { disks: vec![Disk { contents, ..Disk::default() }], ..Inventory::default() };
    let mut kept = given.clone();
    kept.clean();
    assert_eq!(kept, given);
}

/// A disk with a partition table: what it holds is within it, and numbers are told once.
pub fn gpt(data: &[u8]) -> bool {
    let mut disk = disk(data);
    if disk[SECTOR..].starts_with(b"EFI PART") {
        seal(&mut disk);
    }
    let contents = fuzzing::disk(&disk);
    is_shown(&[&contents.table, &contents.filesystem, &contents.label, &contents.error]);
    assert!(contents.partitions.len() <= MAX_PARTITIONS);
    let size = u64::try_from(DISK).unwrap_or(u64::MAX);
    for found in &contents.partitions {
        assert!(found.number > 0 && found.size > 0);
        assert!(found.start.checked_add(found.size).is_some_and(|end| end <= size), "{found:?}");
        is_told(found);
    }
    assert!(contents.partitions.windows(2).all(|pair| pair[0].number < pair[1].number));
    !contents.table.is_empty()
}

/// A file system, or a member of something.
pub fn superblock(data: &[u8]) -> bool {
    let Some(found) = fuzzing::superblock(&disk(data)) else { return false };
    assert!(!found.filesystem.is_empty());
    is_told(&found);
    true
}

/// A permit as it arrives: read within limits, and worth nothing but under a pinned key.
pub fn permit(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let refused = fuzzing::permit(&text, &[]).expect_err("nobody is trusted");
    assert!(refused.starts_with("E60: "), "{refused}");
    is_tame(&refused);
    let Ok(received) = ReceivedPermit::parse(&text) else { return false };
    let ReceivedPermit { leaf, ca, permit, signature, .. } = &received;
    let again = protocol::proof::finish(&permit.signing_input(leaf, ca), signature);
    let read = ReceivedPermit::parse(&again).expect("what we write is read");
    assert_eq!((&read.permit, &read.leaf, &read.ca), (permit, leaf, ca));
    is_bounded(permit);
    true
}

fn is_bounded(permit: &Permit) {
    assert!((1..=protocol::install::MAX_PERMITTED).contains(&permit.disks.len()));
}
