//! What a disk holds, read from partition tables and superblocks alone: some dozen short reads, nothing
//! mounted, no other program asked.
//!
//! Everything here comes from whoever wrote the disk last and may be hostile: readers take bytes, look nowhere
//! beyond what they were given, and answer nothing rather than half of something.

mod bytes;
mod holdings;
mod superblock;
mod table;

pub(crate) use holdings::{Holdings, Mark};

use protocol::install::{Contents, PartitionFound};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes in use are told with this many significant bits.
const USED_BITS: u32 = 3;

/// Something with blocks.
pub(crate) trait Blocks {
    /// Fills `into` from the byte `at` on.
    ///
    /// # Errors
    /// The kernel's; also where the end is nearer.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl Blocks for File {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, at)
    }
}

impl Blocks for &[u8] {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).ok();
        let part = start.and_then(|start| self.get(start..)?.get(..into.len()));
        into.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A disk, or one partition of it.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    blocks: &'a dyn Blocks,
    start: u64,
    size: u64,
}

impl<'a> Window<'a> {
    /// A whole disk of so many bytes.
    pub(crate) fn new(blocks: &'a dyn Blocks, size: u64) -> Self {
        Self { blocks, start: 0, size }
    }

    /// A part of it, as far as it is within.
    fn part(&self, start: u64, size: u64) -> Self {
        let start = start.min(self.size);
        Self {
            blocks: self.blocks,
            start: self.start.saturating_add(start),
            size: size.min(self.size - start),
        }
    }

    /// Up to `length` bytes from `at` on: fewer at the end.
    fn take(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        if !bytes.is_empty() {
            self.blocks.read(self.start.saturating_add(at), &mut bytes)?;
        }
        Ok(bytes)
    }
}

/// What a disk holds.
pub(crate) fn contents(disk: &Window<'_>) -> Contents {
    let mut contents = Contents::default();
    if let Err(error) = look(disk, &mut contents) {
        contents.error = format!("it cannot be read: {error}");
    }
    contents
}

fn look(disk: &Window<'_>, contents: &mut Contents) -> io::Result<()> {
    if let Some(found) = superblock::probe(disk)? {
        contents.filesystem = found.filesystem.to_owned();
        contents.label = found.label;
        contents.uuid = found.uuid;
        // Their first sector ends as that of a partition table does.
        if superblock::FILLS_DISK.contains(&found.filesystem) {
            return Ok(());
        }
    }
    let Some(table) = table::read(disk)? else { return Ok(()) };
    contents.table = table.kind.to_owned();
    contents.error = table.problem.to_owned();
    for entry in table.entries {
        let mut partition = PartitionFound {
            number: entry.number,
            start: entry.start,
            size: entry.size,
            name: entry.name,
            kind: entry.kind,
            ..PartitionFound::default()
        };
        match superblock::probe(&disk.part(entry.start, entry.size)) {
            Ok(Some(found)) => partition = told(found, partition),
            Ok(None) => {}
            Err(error) => contents.error = format!("partition {} cannot be read: {error}", entry.number),
        }
        contents.partitions.push(partition);
    }
    Ok(())
}

/// What a partition holds, without its place in a table; `None` where nothing is recognised. For fuzz targets.
pub(crate) fn found(window: &Window<'_>) -> Option<PartitionFound> {
    let found = superblock::probe(window).ok().flatten()?;
    Some(told(found, PartitionFound::default()))
}

/// A partition with what was found on it.
fn told(found: superblock::Found, partition: PartitionFound) -> PartitionFound {
    PartitionFound {
        filesystem: found.filesystem.to_owned(),
        label: found.label,
        uuid: found.uuid,
        used: found.used.map(coarse),
        last_mounted: found.last_mounted,
        ..partition
    }
}

/// Bytes in use, rounded up: what a disk holds is no news with every byte written.
fn coarse(used: u64) -> u64 {
    let spare = (u64::BITS - used.leading_zeros()).saturating_sub(USED_BITS);
    let step = 1_u64 << spare;
    used.checked_next_multiple_of(step).unwrap_or(used)
}

#[cfg(test)]
mod tests;
