//! Partition tables, superblocks and a permit, by hand: disks as the targets take them, in pieces.

use super::{Seed, seed};
use protocol::install::{Permit, PermittedDisk};
use protocol::proof;
use uuid::Uuid;

const SECTOR: usize = 512;
/// Where the second partition of the GPT begins, in sectors.
const SECOND: usize = 20;

/// A piece of a disk: its place and its bytes.
type Piece = (usize, Vec<u8>);

pub(super) fn all() -> Vec<Seed> {
    let fat_end = (510, b"\x55\xaa".as_slice());
    let superblocks: [(&'static str, Vec<Piece>); 11] = [
        ("ext4", ext4(0)),
        ("xfs", xfs()),
        ("fat32", fat32()),
        ("luks2", pieces(&[(0, b"LUKS\xba\xbe\0\x02"), (24, b"data"), (168, UUID.as_bytes())])),
        ("swap", pieces(&[(4_086, b"SWAPSPACE2"), (1_052, b"swap")])),
        ("lvm2", lvm()),
        ("md", pieces(&[(4_096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"), (4_128, b"host:root")])),
        ("btrfs", pieces(&[(65_600, b"_BHRfS_M"), (65_568, &[7; 16]), (65_835, b"data")])),
        ("zfs", zfs()),
        ("iso9660", pieces(&[(32_768, b"\x01CD001"), (32_808, b"MUSTER")])),
        ("ntfs", pieces(&[(3, b"NTFS    "), (72, &[1, 2, 3, 4, 5, 6, 7, 8]), fat_end])),
    ];
    let superblocks = superblocks.into_iter().map(|(name, disk)| seed("superblock", name, input(&disk)));
    let tables =
        [seed("gpt", "two-partitions", input(&gpt())), seed("gpt", "mbr-with-logical", input(&mbr()))];
    tables.into_iter().chain(superblocks).chain([seed("permit", "two-disks", permit())]).collect()
}

const UUID: &str = "6f2d7bd5-4d0a-4f8e-9b6c-3a1f0e5d7c11";

fn pieces(parts: &[(usize, &[u8])]) -> Vec<Piece> {
    parts.iter().map(|(at, bytes)| (*at, bytes.to_vec())).collect()
}

/// The input that makes such a disk.
fn input(disk: &[Piece]) -> Vec<u8> {
    let piece = |(at, bytes): &Piece| {
        let at = u32::try_from(*at).unwrap_or_default().to_le_bytes();
        let length = u16::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
        [&at[..], &length, bytes].concat()
    };
    disk.iter().flat_map(piece).collect()
}

/// Its checksums are put right by the target.
fn gpt() -> Vec<Piece> {
    let kind =
        [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
    let name: Vec<u8> = "root".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let entry = |at: usize, first: usize, last: usize| {
        let number = |number: usize| u64::try_from(number).unwrap_or_default().to_le_bytes().to_vec();
        [(at, kind.to_vec()), (at + 32, number(first)), (at + 40, number(last)), (at + 56, name.clone())]
    };
    let mut disk = pieces(&[
        (SECTOR, b"EFI PART\0\0\x01\0\x5c\0\0\0"),
        (SECTOR + 24, &1_u64.to_le_bytes()),
        (SECTOR + 72, &2_u64.to_le_bytes()),
        (SECTOR + 80, &4_u32.to_le_bytes()),
        (SECTOR + 84, &128_u32.to_le_bytes()),
    ]);
    disk.extend(entry(2 * SECTOR, 5, 12));
    disk.extend(entry(2 * SECTOR + 128, SECOND, 100));
    disk.extend(ext4(SECOND * SECTOR));
    disk
}

fn mbr() -> Vec<Piece> {
    let slot = |at: usize, kind: u8, start: u32, size: u32| {
        let (start, size) = (start.to_le_bytes().to_vec(), size.to_le_bytes().to_vec());
        [(at + 4, vec![kind]), (at + 8, start), (at + 12, size)]
    };
    let mut disk: Vec<Piece> =
        [0, 20, 40].into_iter().map(|sector| (sector * SECTOR + 510, b"\x55\xaa".to_vec())).collect();
    disk.extend(slot(446, 0x83, 8, 8));
    disk.extend(slot(462, 0x05, 20, 60));
    disk.extend(slot(20 * SECTOR + 446, 0x82, 1, 8));
    disk.extend(slot(20 * SECTOR + 462, 0x05, 20, 10));
    disk.extend(slot(40 * SECTOR + 446, 0x82, 1, 8));
    disk
}

/// ext4 in a partition that begins at this byte.
fn ext4(start: usize) -> Vec<Piece> {
    let block = pieces(&[
        (1_028, &256_u32.to_le_bytes()),
        (1_036, &100_u32.to_le_bytes()),
        (1_080, b"\x53\xef"),
        (1_116, &4_u32.to_le_bytes()),
        (1_120, &0x42_u32.to_le_bytes()),
        (1_128, &[7; 16]),
        (1_144, b"root"),
        (1_160, b"/"),
    ]);
    block.into_iter().map(|(at, bytes)| (start + at, bytes)).collect()
}

fn xfs() -> Vec<Piece> {
    let (block, total, free) = (4_096_u32.to_be_bytes(), 100_u64.to_be_bytes(), 60_u64.to_be_bytes());
    pieces(&[(0, b"XFSB"), (4, &block), (8, &total), (32, &[7; 16]), (108, b"data"), (144, &free)])
}

fn fat32() -> Vec<Piece> {
    pieces(&[
        (11, &512_u16.to_le_bytes()),
        (13, &[1]),
        (14, &2_u16.to_le_bytes()),
        (16, &[2]),
        (21, &[0xf8]),
        (32, &500_u32.to_le_bytes()),
        (36, &4_u32.to_le_bytes()),
        (48, &1_u16.to_le_bytes()),
        (67, &[0xcd, 0xab, 0x34, 0x12]),
        (71, b"ESP        FAT32   "),
        (510, b"\x55\xaa"),
        (512, b"RRaA"),
        (996, b"rrAa"),
        (1_000, &400_u32.to_le_bytes()),
    ])
}

fn lvm() -> Vec<Piece> {
    pieces(&[
        (512, b"LABELONE"),
        (532, &32_u32.to_le_bytes()),
        (536, b"LVM2 001"),
        (544, b"AOlSt9ZsJQ2tOGHPtfoZA5QYsHDw2jhY"),
        (584, &1_048_576_u64.to_le_bytes()),
        (616, &4_096_u64.to_le_bytes()),
        (624, &4_096_u64.to_le_bytes()),
        (4_100, b" LVM2 x[5A%r0N*>"),
        (4_136, &512_u64.to_le_bytes()),
        (4_608, b"vgdata {\n"),
    ])
}

fn zfs() -> Vec<Piece> {
    pieces(&[
        (16_384, b"\x01\x01\0\0\0\0\0\0\0\0\0\x01"),
        (16_400, b"\0\0\0\x04name\0\0\0\x09\0\0\0\x01\0\0\0\x04tank"),
        (16_440, b"\0\0\0\x09pool_guid\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0\x2a"),
    ])
}

fn permit() -> String {
    let disk = |wwn: &str, serial: &str| PermittedDisk {
        wwn: wwn.to_owned(),
        serial: serial.to_owned(),
        size: 480_103_981_056,
        ..PermittedDisk::default()
    };
    let permit = Permit {
        uuid: Uuid::from_u128(1),
        jkt: "A".repeat(43),
        run: Uuid::from_u128(2),
        job: Uuid::from_u128(3),
        epoch: 4,
        disks: vec![disk("naa.5000c500a1b2c3d4", ""), disk("", "S45NNA0M")],
        image: format!("sha256:{}", "0".repeat(64)),
        exp: 1_800_000_000,
    };
    proof::finish(&permit.signing_input(b"leaf", b"ca"), &[7; 64])
}
