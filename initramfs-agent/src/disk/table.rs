//! Partition tables: GPT (UEFI 2.10 section 5.3) with its checksums and its backup, and MBR with the chain of
//! logical partitions.

use super::Window;
use super::bytes::{field, guid, is, le};
use protocol::install::MAX_PARTITIONS;
use protocol::inventory::clean_text;
use std::io;

const SECTOR: u64 = 512;
/// Sizes of logical blocks that disks have.
const BLOCKS: [u64; 2] = [512, 4_096];
const GPT_HEADER: usize = 92;
/// Bytes of a header that its checksum may be over.
const MAX_GPT_HEADER: usize = 512;
const GPT_ENTRY: usize = 128;
/// Longest array of entries that is read, in bytes: eight times the usual one.
const MAX_GPT_ENTRIES: usize = 128 * 1_024;
const MBR_TYPE_EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const MBR_TYPE_PROTECTIVE: u8 = 0xee;
const FIRST_LOGICAL: u32 = 5;
const DAMAGED: &str = "the GPT is damaged";
const OUTSIDE: &str = "partitions reach beyond the end of the disk";

/// A partition table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// `gpt` or `mbr`.
    pub(super) kind: &'static str,
    /// In the order of their numbers.
    pub(super) entries: Vec<Entry>,
    /// What is wrong with it; empty for nothing.
    pub(super) problem: &'static str,
}

/// One partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u32,
    /// In bytes.
    pub(super) start: u64,
    /// In bytes.
    pub(super) size: u64,
    pub(super) name: String,
    pub(super) kind: String,
}

impl Table {
    fn new(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Adds a partition that is within the disk.
    fn add(&mut self, disk: &Window<'_>, entry: Entry) {
        let end = entry.start.checked_add(entry.size);
        if entry.size > 0 && end.is_some_and(|end| end <= disk.size) {
            self.entries.push(entry);
        } else {
            self.problem = OUTSIDE;
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_PARTITIONS
    }
}

/// The table of a disk.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn read(disk: &Window<'_>) -> io::Result<Option<Table>> {
    let first = disk.take(0, 512)?;
    for block in BLOCKS {
        let header = disk.take(block, MAX_GPT_HEADER)?;
        if is(&header, 0, b"EFI PART") {
            return gpt(disk, block, &header).map(Some);
        }
    }
    let Some(primary) = primary_entries(&first) else { return Ok(None) };
    if primary.iter().any(|entry| entry.kind == MBR_TYPE_PROTECTIVE) {
        // The primary GPT is gone; the backup is all that is left.
        let table = gpt_at_end(disk)?;
        return Ok(Some(table.unwrap_or_else(|| Table { problem: DAMAGED, ..Table::new("gpt") })));
    }
    mbr(disk, &primary)
}

fn gpt(disk: &Window<'_>, block: u64, header: &[u8]) -> io::Result<Table> {
    if let Some(table) = gpt_of(disk, block, header, 1)? {
        return Ok(table);
    }
    Ok(gpt_at_end(disk)?.unwrap_or_else(|| Table { problem: DAMAGED, ..Table::new("gpt") }))
}

/// The backup, in the last block.
fn gpt_at_end(disk: &Window<'_>) -> io::Result<Option<Table>> {
    for block in BLOCKS {
        let Some(at) = disk.size.checked_sub(block) else { continue };
        let header = disk.take(at, MAX_GPT_HEADER)?;
        if let Some(table) = gpt_of(disk, block, &header, at / block)? {
            return Ok(Some(Table { problem: "the first GPT is damaged, this is its backup", ..table }));
        }
    }
    Ok(None)
}

/// The GPT with its header at block `own`; `None` where a checksum or a limit does not hold.
fn gpt_of(disk: &Window<'_>, block: u64, header: &[u8], own: u64) -> io::Result<Option<Table>> {
    let Some((at, count, size, checksum)) = gpt_header(block, header, own) else { return Ok(None) };
    let entries = disk.take(at, count.saturating_mul(size))?;
    if entries.len() < count.saturating_mul(size) || crc32(&entries) != checksum {
        return Ok(None);
    }
    let mut table = Table::new("gpt");
    for (number, entry) in (1..).zip(entries.chunks_exact(size)) {
        if table.is_full() {
            break;
        }
        if let Some(entry) = gpt_entry(block, number, entry) {
            table.add(disk, entry);
        }
    }
    Ok(Some(table))
}

/// Where the entries are, how many, how long, and their checksum.
fn gpt_header(block: u64, header: &[u8], own: u64) -> Option<(u64, usize, usize, u32)> {
    let length = usize::try_from(le::<4>(header, 12)?).ok()?;
    let mut summed = header.get(..length).filter(|_| length >= GPT_HEADER)?.to_vec();
    summed.get_mut(16..20)?.fill(0);
    let good = is(header, 0, b"EFI PART")
        && le::<4>(header, 16)? == u64::from(crc32(&summed))
        && le::<8>(header, 24)? == own;
    let count = usize::try_from(le::<4>(header, 80)?).ok()?;
    let size = usize::try_from(le::<4>(header, 84)?).ok()?;
    let fits = size >= GPT_ENTRY && size % 8 == 0 && count.checked_mul(size)? <= MAX_GPT_ENTRIES;
    let checksum = u32::try_from(le::<4>(header, 88)?).ok()?;
    (good && fits).then_some((le::<8>(header, 72)?.checked_mul(block)?, count, size, checksum))
}

fn gpt_entry(block: u64, number: u32, entry: &[u8]) -> Option<Entry> {
    let kind = guid(entry, 0).filter(|kind| !kind.is_nil())?;
    let (first, last) = (le::<8>(entry, 32)?, le::<8>(entry, 40)?);
    let units = entry
        .get(56..GPT_ENTRY)?
        .chunks_exact(2)
        .filter_map(|unit| Some(u16::from_le_bytes(field(unit, 0)?)));
    let name: String = char::decode_utf16(units.take_while(|unit| *unit != 0)).flatten().collect();
    Some(Entry {
        number,
        start: first.saturating_mul(block),
        // One that ends before it begins has no size, and is told as a problem.
        size: last.saturating_add(1).saturating_sub(first).saturating_mul(block),
        name: clean_text(&name),
        kind: kind.to_string(),
    })
}

/// One of the four entries of a boot record.
#[derive(Debug, Clone, Copy)]
struct Slot {
    kind: u8,
    /// In sectors.
    start: u64,
    /// In sectors.
    size: u64,
}

/// The entries of a boot record; `None` when it is none.
fn slots(record: &[u8]) -> Option<[Slot; 4]> {
    if !is(record, 510, &[0x55, 0xaa]) {
        return None;
    }
    let slot = |at: usize| {
        let [status] = field(record, at)?;
        let [kind] = field(record, at + 4)?;
        let slot = Slot { kind, start: le::<4>(record, at + 8)?, size: le::<4>(record, at + 12)? };
        // A boot sector of something else has code or text here.
        (status & 0x7f == 0).then_some(slot)
    };
    Some([slot(446)?, slot(462)?, slot(478)?, slot(494)?])
}

/// The primary entries; `None` when nothing is in them.
fn primary_entries(record: &[u8]) -> Option<[Slot; 4]> {
    slots(record).filter(|slots| slots.iter().any(|slot| slot.kind != 0))
}

fn mbr(disk: &Window<'_>, primary: &[Slot; 4]) -> io::Result<Option<Table>> {
    let mut table = Table::new("mbr");
    let mut extended = None;
    for (number, slot) in (1..).zip(primary) {
        if slot.kind == 0 {
            continue;
        }
        if MBR_TYPE_EXTENDED.contains(&slot.kind) {
            extended = extended.or(Some(*slot));
        } else {
            table.add(disk, entry(number, slot, 0));
        }
    }
    if let Some(extended) = extended {
        logical(disk, &extended, &mut table)?;
    }
    Ok(Some(table))
}

/// Follows the chain of logical partitions. Each link is further on than the one before, so that a chain that
/// bites its tail ends.
fn logical(disk: &Window<'_>, extended: &Slot, table: &mut Table) -> io::Result<()> {
    let end = extended.start.saturating_add(extended.size);
    let mut at = extended.start;
    for number in FIRST_LOGICAL.. {
        let record = disk.take(at.saturating_mul(SECTOR), 512)?;
        let Some([own, next, ..]) = slots(&record) else {
            table.problem = "the chain of logical partitions is broken";
            break;
        };
        if own.kind != 0 {
            table.add(disk, entry(number, &own, at));
        }
        let further = extended.start.saturating_add(next.start);
        if next.kind == 0 || next.start == 0 || table.is_full() {
            break;
        }
        if further <= at || further >= end {
            table.problem = "the chain of logical partitions is broken";
            break;
        }
        at = further;
    }
    Ok(())
}

fn entry(number: u32, slot: &Slot, base: u64) -> Entry {
    Entry {
        number,
        start: base.saturating_add(slot.start).saturating_mul(SECTOR),
        size: slot.size.saturating_mul(SECTOR),
        name: String::new(),
        kind: format!("{:02x}", slot.kind),
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: some 16 KiB a disk are summed.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 }
            },
        )
    })
}
