//! What a disk was told in which order, as QEMU's `blklogwrites` noted it (the format of the kernel's
//! `Documentation/admin-guide/device-mapper/log-writes.rst`), and the disk as it would be had the power gone at one
//! of its flushes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
/// Bytes that are copied at once.
const CHUNK: usize = 1_024 * 1_024;

/// A log of writes.
#[derive(Debug)]
pub struct Log {
    file: File,
    sector: u64,
    entries: Vec<Entry>,
}

/// One thing the disk was told; the data of a write lies at `data` in the log.
#[derive(Debug, Clone, Copy)]
struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    data: u64,
}

impl Log {
    /// Reads the order of a log.
    ///
    /// # Errors
    /// When it is no such log, or ends early.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let head = Words::at(&file, 0).context("cannot read the log's head")?;
        ensure!(head.word(0) == MAGIC && head.word(1) == VERSION, "{} is no log of writes", path.display());
        // After three words of eight bytes, the size of a sector has four.
        let (count, sector) = (head.word(2), head.word(3) & u64::from(u32::MAX));
        ensure!((512..=65_536).contains(&sector), "sectors of {sector} bytes");
        let mut entries = Vec::new();
        let mut at = sector;
        for _ in 0..count {
            let words = Words::at(&file, at).context("the log ends early")?;
            let entry = Entry {
                sector: words.word(0),
                sectors: words.word(1),
                flags: words.word(2),
                data: at + sector,
            };
            let has_data = entry.flags & DISCARD == 0;
            at = entry.data + if has_data { entry.sectors * sector } else { 0 };
            entries.push(entry);
        }
        Ok(Self { file, sector, entries })
    }

    /// How often the disk was flushed.
    #[must_use]
    pub fn flushes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.flags & FLUSH != 0).count()
    }

    /// Goes on with a disk from the flush `from` (0: an empty disk) to the flush `to`: what was written by then is
    /// there, and nothing after it.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn replay(&self, from: usize, to: usize, disk: &File) -> Result<()> {
        let mut seen = 0;
        for entry in &self.entries {
            if seen >= from && seen < to {
                self.apply(*entry, disk).context("cannot write the disk")?;
            }
            if entry.flags & FLUSH != 0 {
                seen += 1;
            }
        }
        Ok(())
    }

    fn apply(&self, entry: Entry, disk: &File) -> io::Result<()> {
        let (mut from, mut to) = (entry.data, entry.sector * self.sector);
        let mut left = usize::try_from(entry.sectors * self.sector).map_err(io::Error::other)?;
        let is_data = entry.flags & DISCARD == 0;
        let mut chunk = vec![0; left.min(CHUNK)];
        while left > 0 {
            let part = left.min(CHUNK);
            if is_data {
                self.file.read_exact_at(&mut chunk[..part], from)?;
            }
            disk.write_all_at(&chunk[..part], to)?;
            left -= part;
            from += part as u64;
            to += part as u64;
        }
        Ok(())
    }
}

/// Four little-endian words.
struct Words([u8; 32]);

impl Words {
    fn at(file: &File, position: u64) -> io::Result<Self> {
        let mut bytes = [0; 32];
        file.read_exact_at(&mut bytes, position)?;
        Ok(Self(bytes))
    }

    fn word(&self, index: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[index * 8..index * 8 + 8]);
        u64::from_le_bytes(word)
    }
}
