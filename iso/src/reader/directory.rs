//! Directory records (ECMA-119 9.1): splitting a sector, parsing a record, joining the pieces of a file.

use super::susp::RockRidge;
use super::{Entry, Extent, Kind, ReadError, SECTOR};

/// Bytes of a record before its name.
const FIXED: usize = 33;
/// File flag: a directory.
const DIRECTORY: u8 = 0x02;
/// File flag: the next record continues this file.
const CONTINUES: u8 = 0x80;

/// A record that contradicts its own lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A record as stored.
#[derive(Debug)]
pub(super) struct Raw<'a> {
    extent: Extent,
    flags: u8,
    name: &'a [u8],
    pub(super) system_use: &'a [u8],
}

impl Raw<'_> {
    pub(super) fn is_self(&self) -> bool {
        self.name == [0]
    }

    pub(super) fn is_parent(&self) -> bool {
        self.name == [1]
    }
}

/// A named entry of a directory.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) extent: Extent,
    pub(super) continues: bool,
    kind: Kind,
}

impl Record {
    pub(super) fn new(raw: &Raw<'_>, names: RockRidge, parent: &str) -> Result<Self, ReadError> {
        let bytes = names.name.unwrap_or_else(|| plain_name(raw.name));
        let name = String::from_utf8(bytes).map_err(|_| ReadError::Name(parent.to_owned()))?;
        let unsafe_char = |c: char| c == '/' || c == '\\' || c.is_control();
        if matches!(name.as_str(), "" | "." | "..") || name.chars().any(unsafe_char) {
            return Err(ReadError::Name(parent.to_owned()));
        }
        let kind = match (raw.flags & DIRECTORY != 0, names.special) {
            (true, _) => Kind::Directory,
            (false, true) => Kind::Special,
            (false, false) => Kind::File,
        };
        Ok(Self { name, extent: raw.extent, continues: raw.flags & CONTINUES != 0, kind })
    }

    /// Adds the next piece of the same file, which must start where this one ends.
    pub(super) fn join(&mut self, next: Self, parent: &str) -> Result<(), ReadError> {
        let end = self.extent.offset.checked_add(self.extent.length);
        if next.name != self.name || end != Some(next.extent.offset) {
            return Err(ReadError::Fragmented(join(parent, &self.name)));
        }
        // Both ends were held against the image, so their sum fits.
        self.extent.length = self.extent.length.saturating_add(next.extent.length);
        self.continues = next.continues;
        Ok(())
    }

    pub(super) fn into_entry(self, parent: &str) -> Entry {
        Entry { path: join(parent, &self.name), kind: self.kind, extent: self.extent }
    }
}

/// The records of a directory sector. A zero length ends the sector: records never cross it.
pub(super) fn split(sector: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut rest = sector;
    std::iter::from_fn(move || {
        let len = usize::from(*rest.first()?);
        if len == 0 {
            return None;
        }
        let Some((record, tail)) = rest.split_at_checked(len) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        rest = tail;
        Some(Ok(record))
    })
}

/// Takes a record apart.
pub(super) fn parse(record: &[u8]) -> Option<Raw<'_>> {
    let name_len = usize::from(*record.get(32)?);
    let name = record.get(FIXED..FIXED.checked_add(name_len)?)?;
    if name.is_empty() {
        return None;
    }
    // The name is padded so that the system use area starts on an even byte.
    let after = FIXED + name_len + usize::from(name_len.is_multiple_of(2));
    Some(Raw {
        extent: extent(record)?,
        flags: *record.get(25)?,
        name,
        system_use: record.get(after..).unwrap_or_default(),
    })
}

/// Location and length of what a record describes, read from the little-endian halves.
pub(super) fn extent(record: &[u8]) -> Option<Extent> {
    let extended = u64::from(*record.get(1)?);
    let block = u64::from(u32_at(record, 2)?) + extended;
    Some(Extent { offset: block * SECTOR, length: u64::from(u32_at(record, 10)?) })
}

/// Little-endian word.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

/// Little-endian half word.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(word.try_into().ok()?))
}

/// A name without Rock Ridge: the version goes, and the dot of an empty extension.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let without_version = name.split(|&byte| byte == b';').next().unwrap_or_default();
    without_version.strip_suffix(b".").unwrap_or(without_version).to_vec()
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_longer_than_its_sector_is_malformed() {
        let mut sector = vec![0_u8; 2_048];
        sector[0] = 34;
        sector[34] = 255;
        let short = sector.get(..100).unwrap();
        let records: Vec<_> = split(short).collect();
        assert_eq!(records.len(), 2);
        assert!(records[0].is_ok());
        assert_eq!(records[1], Err(Malformed));
    }

    #[test]
    fn a_record_too_short_for_its_name_is_none() {
        let mut record = vec![0_u8; 34];
        record[0] = 34;
        record[32] = 2;
        assert!(parse(&record).is_none());
        record[32] = 0;
        assert!(parse(&record).is_none());
        for len in 0..34 {
            assert!(parse(record.get(..len).unwrap()).is_none());
        }
    }

    #[test]
    fn plain_names_lose_their_version() {
        assert_eq!(plain_name(b"README.TXT;1"), b"README.TXT");
        assert_eq!(plain_name(b"VMLINUZ.;1"), b"VMLINUZ");
    }
}
