//! What a partition, or a disk without a table, holds: file systems, swap, and members of groups, arrays and
//! ciphers, named as blkid names them.
//!
//! Layouts are those of the kernel's headers and of each format's own documents; what is read is three stretches
//! (the first 72 KiB, which hold all but the ends of md arrays, and the two places of those), and the head of an
//! LVM metadata area where there is one.

use super::Window;
use super::bytes::{be, is, le, text, uuid};
use protocol::inventory::clean_text;
use std::io;

/// Bytes at the beginning: the superblock of Btrfs, at 64 KiB, is the last in them.
const HEAD: usize = 72 * 1_024;
/// What fills a disk from its first sector on, with a boot sector that looks like a partition table.
pub(super) const FILLS_DISK: [&str; 4] = ["vfat", "exfat", "ntfs", "BitLocker"];
/// What has nothing but a magic number that is worth telling: name, place, number.
const MAGICS: [(&str, usize, &[u8]); 9] = [
    ("BitLocker", 3, b"-FVE-FS-"),
    ("exfat", 3, b"EXFAT   "),
    ("ReFS", 3, b"ReFS\0\0\0\0"),
    ("apfs", 32, b"NXSB"),
    ("squashfs", 0, b"hsqs"),
    ("ceph_bluestore", 0, b"bluestore block device"),
    ("f2fs", 1_024, &[0x10, 0x20, 0xf5, 0xf2]),
    ("erofs", 1_024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    ("hfsplus", 1_024, b"H+\0\x04"),
];
const READERS: [Reader; 13] =
    [luks, md_at_start, lvm, zfs, bcache, xfs, ext, btrfs, iso9660, swap, ntfs, fat, by_magic];

/// Recognises one format in the first bytes.
type Reader = fn(&[u8]) -> Option<Found>;

/// What was recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// As blkid calls it.
    pub(crate) filesystem: &'static str,
    pub(crate) label: String,
    pub(crate) uuid: String,
    /// Bytes in use.
    pub(crate) used: Option<u64>,
    pub(crate) last_mounted: String,
}

/// What is in a window; `None` where nothing is recognised.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn probe(window: &Window<'_>) -> io::Result<Option<Found>> {
    let head = window.take(0, HEAD)?;
    // An array's superblock at the end speaks for the whole, whatever its beginning looks like.
    if let Some(found) = md_at_end(window)? {
        return Ok(Some(found));
    }
    let mut found = READERS.iter().find_map(|read| read(&head));
    if let Some(group) = found.as_mut().filter(|found| found.filesystem == LVM) {
        group.label = group_name(window, &head)?.unwrap_or_default();
    }
    Ok(found)
}

fn by_magic(head: &[u8]) -> Option<Found> {
    let (filesystem, ..) = MAGICS.iter().find(|(_, at, magic)| is(head, *at, magic))?;
    Some(Found { filesystem, ..Found::default() })
}

/// ext2, ext3 and ext4 (`fs/ext4/ext4.h`).
fn ext(head: &[u8]) -> Option<Found> {
    const JOURNAL: u64 = 0x4;
    const JOURNAL_DEVICE: u64 = 0x8;
    /// Extents, 64 bit, flexible groups and later ones.
    const INCOMPAT_EXT4: u64 = !0x1f;
    /// Huge files, checksums and later ones.
    const RO_COMPAT_EXT4: u64 = !0x7;
    let block = head.get(1_024..2_048)?;
    if le::<2>(block, 56)? != 0xef53 {
        return None;
    }
    let (compat, incompat, ro_compat) = (le::<4>(block, 92)?, le::<4>(block, 96)?, le::<4>(block, 100)?);
    let filesystem = if incompat & JOURNAL_DEVICE != 0 {
        "jbd"
    } else if incompat & INCOMPAT_EXT4 != 0 || ro_compat & RO_COMPAT_EXT4 != 0 {
        "ext4"
    } else if compat & JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    let high = |at| if incompat & 0x80 == 0 { Some(0) } else { Some(le::<4>(block, at)? << 32) };
    let (total, free) = (le::<4>(block, 4)? | high(336)?, le::<4>(block, 12)? | high(344)?);
    let size = 1_024_u64.checked_shl(u32::try_from(le::<4>(block, 24)?).ok()?)?;
    Some(Found {
        filesystem,
        label: text(block, 120, 16),
        uuid: uuid(block, 104),
        used: total.checked_sub(free)?.checked_mul(size),
        last_mounted: text(block, 136, 64),
    })
}

/// XFS (`fs/xfs/libxfs/xfs_format.h`).
fn xfs(head: &[u8]) -> Option<Found> {
    if !is(head, 0, b"XFSB") {
        return None;
    }
    let (block, total, free) = (be::<4>(head, 4)?, be::<8>(head, 8)?, be::<8>(head, 144)?);
    Some(Found {
        filesystem: "xfs",
        label: text(head, 108, 12),
        uuid: uuid(head, 32),
        used: total.checked_sub(free).and_then(|blocks| blocks.checked_mul(block)),
        ..Found::default()
    })
}

/// Btrfs (`include/uapi/linux/btrfs_tree.h`).
fn btrfs(head: &[u8]) -> Option<Found> {
    let block = head.get(64 * 1_024..)?;
    if !is(block, 64, b"_BHRfS_M") {
        return None;
    }
    Some(Found {
        filesystem: "btrfs",
        label: text(block, 299, 256),
        uuid: uuid(block, 32),
        used: le::<8>(block, 120),
        ..Found::default()
    })
}

/// FAT 12, 16 and 32 (Microsoft, FAT specification 1.03).
fn fat(head: &[u8]) -> Option<Found> {
    let (sector, cluster, fats) = (le::<2>(head, 11)?, le::<1>(head, 13)?, le::<1>(head, 16)?);
    let sane = is(head, 510, &[0x55, 0xaa])
        && matches!(sector, 512 | 1_024 | 2_048 | 4_096)
        && cluster.is_power_of_two()
        && matches!(fats, 1 | 2)
        && le::<2>(head, 14)? > 0
        && le::<1>(head, 21)? >= 0xf0;
    if !sane {
        return None;
    }
    let is_32 = is(head, 82, b"FAT32   ");
    if !is_32 && !is(head, 54, b"FAT") {
        return None;
    }
    let (serial, label) = if is_32 { (67, 71) } else { (39, 43) };
    let serial = le::<4>(head, serial)?;
    Some(Found {
        filesystem: "vfat",
        label: Some(text(head, label, 11)).filter(|label| label != "NO NAME").unwrap_or_default(),
        uuid: format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff),
        used: if is_32 { fat32_used(head, sector, cluster, fats) } else { None },
        ..Found::default()
    })
}

/// By the count of free clusters that FAT 32 keeps in a sector of its own.
fn fat32_used(head: &[u8], sector: u64, cluster: u64, fats: u64) -> Option<u64> {
    let info = usize::try_from(le::<2>(head, 48)?.checked_mul(sector)?).ok()?;
    let info = head.get(info..)?;
    if !is(info, 0, b"RRaA") || !is(info, 484, b"rrAa") {
        return None;
    }
    let total = match le::<2>(head, 19)? {
        0 => le::<4>(head, 32)?,
        total => total,
    };
    let meta = le::<2>(head, 14)?.checked_add(fats.checked_mul(le::<4>(head, 36)?)?)?;
    let clusters = total.checked_sub(meta)? / cluster;
    clusters.checked_sub(le::<4>(info, 488)?)?.checked_mul(cluster)?.checked_mul(sector)
}

/// NTFS: no more than its serial number, the label is in a file.
fn ntfs(head: &[u8]) -> Option<Found> {
    if !is(head, 3, b"NTFS    ") {
        return None;
    }
    Some(Found { filesystem: "ntfs", uuid: format!("{:016X}", le::<8>(head, 72)?), ..Found::default() })
}

/// Swap: its magic number ends the first page, whose size is the machine's that made it.
fn swap(head: &[u8]) -> Option<Found> {
    let is_swap = |page: usize| is(head, page - 10, b"SWAPSPACE2") || is(head, page - 10, b"SWAP-SPACE");
    [4_096, 8_192, 16_384, 65_536].into_iter().any(is_swap).then(|| Found {
        filesystem: "swap",
        label: text(head, 1_052, 16),
        uuid: uuid(head, 1_036),
        ..Found::default()
    })
}

/// LUKS 1 and 2 (cryptsetup, on-disk formats).
fn luks(head: &[u8]) -> Option<Found> {
    if !is(head, 0, b"LUKS\xba\xbe") {
        return None;
    }
    let label = if be::<2>(head, 6)? == 2 { text(head, 24, 48) } else { String::new() };
    Some(Found { filesystem: "crypto_LUKS", label, uuid: text(head, 168, 40), ..Found::default() })
}

const LVM: &str = "LVM2_member";
/// Longest beginning of an LVM metadata text that is read, in bytes: its first word is the group's name.
const GROUP_NAME: usize = 256;

/// A physical volume of LVM 2: its label is in one of the first four sectors.
fn lvm(head: &[u8]) -> Option<Found> {
    let (_, header) = lvm_header(head)?;
    // Thirty-two letters, shown in groups of 6-4-4-4-4-4-6.
    let letters = text(header, 0, 32);
    let mut rest = letters.as_str();
    let mut groups = Vec::new();
    for length in [6, 4, 4, 4, 4, 4, 6] {
        let (group, more) = rest.split_at_checked(length)?;
        groups.push(group);
        rest = more;
    }
    Some(Found { filesystem: LVM, uuid: groups.join("-"), ..Found::default() })
}

/// Place and bytes of the header that a physical volume's label leads to.
fn lvm_header(head: &[u8]) -> Option<(usize, &[u8])> {
    let at = (0..4)
        .map(|sector| sector * 512)
        .find(|at| is(head, *at, b"LABELONE") && is(head, at + 24, b"LVM2 001"))?;
    let at = at.checked_add(usize::try_from(le::<4>(head, at + 20)?).ok()?)?;
    Some((at, head.get(at..)?))
}

/// Name of the volume group, from the text that the first metadata area leads to.
fn group_name(window: &Window<'_>, head: &[u8]) -> io::Result<Option<String>> {
    let Some(area) = metadata_area(head) else { return Ok(None) };
    let header = window.take(area, 512)?;
    let text_at = || is(&header, 4, b" LVM2 x[5A%r0N*>").then(|| area.checked_add(le::<8>(&header, 40)?))?;
    let Some(at) = text_at() else { return Ok(None) };
    let words = window.take(at, GROUP_NAME)?;
    let name = words.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    Ok(Some(clean_text(&String::from_utf8_lossy(name))))
}

/// Place of the first metadata area: behind the list of data areas, which ends with zeroes.
fn metadata_area(head: &[u8]) -> Option<u64> {
    let (_, header) = lvm_header(head)?;
    let pairs = header.get(40..)?.get(..1_024)?;
    let pair = |pair: &[u8]| Some((le::<8>(pair, 0)?, le::<8>(pair, 8)?));
    let mut pairs = pairs.chunks_exact(16).filter_map(pair);
    pairs.by_ref().find(|pair| *pair == (0, 0))?;
    pairs.next().map(|(at, _)| at).filter(|at| *at != 0)
}

const MD_MAGIC: u64 = 0xa92b_4efc;

/// md, version 1.1 and 1.2: 4 KiB or nothing before the superblock (`include/uapi/linux/raid/md_p.h`).
fn md_at_start(head: &[u8]) -> Option<Found> {
    md_1(head).or_else(|| md_1(head.get(4_096..)?))
}

fn md_1(block: &[u8]) -> Option<Found> {
    let is_md = le::<4>(block, 0)? == MD_MAGIC && le::<4>(block, 4)? == 1;
    is_md.then(|| Found {
        filesystem: "linux_raid_member",
        label: text(block, 32, 32),
        uuid: uuid(block, 16),
        ..Found::default()
    })
}

/// md, version 1.0 (8 KiB before the end) and 0.90 (64 KiB before it, both rounded down).
fn md_at_end(window: &Window<'_>) -> io::Result<Option<Found>> {
    if let Some(at) = window.size.checked_sub(8 * 1_024)
        && let Some(found) = md_1(&window.take(at / 4_096 * 4_096, 256)?)
    {
        return Ok(Some(found));
    }
    let Some(at) = (window.size / 65_536).checked_sub(1) else { return Ok(None) };
    let block = window.take(at * 65_536, 256)?;
    if le::<4>(&block, 0) != Some(MD_MAGIC) || le::<4>(&block, 4) != Some(0) {
        return Ok(None);
    }
    // Four words of the machine's that made it, in two places.
    let words = [20, 52, 56, 60].into_iter().filter_map(|at| le::<4>(&block, at));
    let words: Vec<String> = words.map(|word| format!("{word:08x}")).collect();
    Ok(Some(Found { filesystem: "linux_raid_member", uuid: words.join(":"), ..Found::default() }))
}

/// A device of a ZFS pool: the list of names and values in its first label (XDR).
fn zfs(head: &[u8]) -> Option<Found> {
    let list = head.get(16 * 1_024..)?.get(..8 * 1_024)?;
    // XDR, from a machine of either byte order; version 0, unique names.
    let is_list = matches!(list, [1, 0 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, ..]);
    let value = |name: &[u8]| {
        // A name, padded to words, its type, a count of one, and the value.
        let at = list.windows(name.len()).position(|window| window == name)?;
        Some(at + name.len().next_multiple_of(4) + 8)
    };
    let guid = value(b"pool_guid").filter(|_| is_list)?;
    // `name` stands in other names, too: with its length before it, it does not.
    let name = list.windows(8).position(|window| window == b"\0\0\0\x04name").map(|at| at + 16);
    let name =
        name.and_then(|at| Some(text(list, at + 4, usize::try_from(be::<4>(list, at)?).ok()?.min(64))));
    Some(Found {
        filesystem: "zfs_member",
        label: name.unwrap_or_default(),
        uuid: be::<8>(list, guid)?.to_string(),
        ..Found::default()
    })
}

/// bcache (`drivers/md/bcache/bcache_ondisk.h`).
fn bcache(head: &[u8]) -> Option<Found> {
    const MAGIC: [u8; 16] =
        [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];
    is(head, 4_096 + 24, &MAGIC).then(|| Found {
        filesystem: "bcache",
        uuid: uuid(head, 4_096 + 40),
        label: text(head, 4_096 + 72, 32),
        ..Found::default()
    })
}

/// ISO 9660: the label of the primary volume.
fn iso9660(head: &[u8]) -> Option<Found> {
    is(head, 32 * 1_024, b"\x01CD001").then(|| Found {
        filesystem: "iso9660",
        label: text(head, 32 * 1_024 + 40, 32),
        ..Found::default()
    })
}
