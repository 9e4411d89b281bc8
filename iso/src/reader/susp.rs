//! System use entries (SUSP) that carry Rock Ridge names and modes.

use super::directory::u32_at;
use super::{Extent, ReadError, SECTOR};

/// Most continuation areas followed for one record; a writer needs one or two.
const MAX_CONTINUATIONS: u32 = 8;
/// Longest name, as in the file systems such images are made from.
const MAX_NAME: usize = 255;
/// Flag of `NM`: the name goes on in the next `NM`.
const NAME_CONTINUES: u8 = 0x01;
/// Flags of `NM` that mean `.` and `..` instead of a name.
const NAME_IS_SPECIAL: u8 = 0x02 | 0x04;
/// `S_IFMT` and the type of a regular file and a directory.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// What Rock Ridge says about a record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RockRidge {
    /// The real name.
    pub(super) name: Option<Vec<u8>>,
    /// Neither a regular file nor a directory.
    pub(super) special: bool,
    /// A directory that is listed at its real place elsewhere (`RE`), or a stand-in for one (`CL`).
    pub(super) relocated_child: bool,
}

/// Bytes that every record's system use area starts with, from the `SP` entry of the root's `.`.
pub(super) fn bytes_to_skip(system_use: &[u8]) -> usize {
    match system_use {
        [b'S', b'P', 7, 1, 0xbe, 0xef, skip, ..] => usize::from(*skip),
        _ => 0,
    }
}

/// Reads the entries of a record, fetching continuation areas with `fetch`.
pub(super) fn read(
    system_use: &[u8],
    mut fetch: impl FnMut(Extent) -> Result<Vec<u8>, ReadError>,
) -> Result<RockRidge, ReadError> {
    let mut found = RockRidge::default();
    let mut next = scan(system_use, &mut found);
    for _ in 0..MAX_CONTINUATIONS {
        let Some(extent) = next else { break };
        let area = fetch(extent)?;
        next = scan(&area, &mut found);
    }
    Ok(found)
}

/// Goes through one area; gives back where it continues.
fn scan(mut area: &[u8], found: &mut RockRidge) -> Option<Extent> {
    let mut continuation = None;
    while let &[first, second, len, _version, ..] = area {
        let Some((entry, rest)) = area.split_at_checked(usize::from(len)) else { break };
        if len < 4 {
            break;
        }
        match &[first, second] {
            b"NM" => add_name(entry, found),
            b"PX" => {
                let mode = u32_at(entry, 4).unwrap_or(REGULAR) & TYPE;
                found.special = !matches!(mode, REGULAR | DIRECTORY);
            }
            b"RE" | b"CL" => found.relocated_child = true,
            b"CE" => continuation = continuation_area(entry),
            b"ST" => return continuation,
            _ => {}
        }
        area = rest;
    }
    continuation
}

fn add_name(entry: &[u8], found: &mut RockRidge) {
    let (Some(&flags), Some(part)) = (entry.get(4), entry.get(5..)) else { return };
    if flags & NAME_IS_SPECIAL != 0 {
        return;
    }
    let name = found.name.get_or_insert_default();
    // An overlong name is cut here and refused by nobody else: it stays a plain name.
    let room = MAX_NAME.saturating_sub(name.len());
    name.extend(part.iter().take(room));
    if flags & NAME_CONTINUES == 0 && name.is_empty() {
        found.name = None;
    }
}

fn continuation_area(entry: &[u8]) -> Option<Extent> {
    let block = u64::from(u32_at(entry, 4)?);
    let offset = u64::from(u32_at(entry, 12)?);
    let length = u64::from(u32_at(entry, 20)?).min(SECTOR);
    Some(Extent { offset: (block * SECTOR).checked_add(offset)?, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_continuation(_: Extent) -> Result<Vec<u8>, ReadError> {
        panic!("nothing continues")
    }

    #[test]
    fn names_are_joined_over_several_entries() {
        let area = b"NM\x08\x01\x01mus\x4eM\x09\x01\x00ter!";
        let found = read(area, no_continuation).unwrap();
        assert_eq!(found.name.as_deref(), Some(b"muster!".as_slice()));
    }

    #[test]
    fn a_name_may_lie_in_a_continuation_area() {
        let mut area = b"CE\x1c\x01".to_vec();
        for word in [19_u32, 100, 9] {
            area.extend_from_slice(&word.to_le_bytes());
            area.extend_from_slice(&word.to_be_bytes());
        }
        let found = read(&area, |extent| {
            assert_eq!(extent, Extent { offset: 19 * 2_048 + 100, length: 9 });
            Ok(b"NM\x09\x01\x00name".to_vec())
        });
        assert_eq!(found.unwrap().name.as_deref(), Some(b"name".as_slice()));
    }

    #[test]
    fn an_area_that_continues_in_itself_ends() {
        let mut area = b"CE\x1c\x01".to_vec();
        area.extend_from_slice(&[0; 24]);
        let mut fetched = 0;
        let found = read(&area, |_| {
            fetched += 1;
            Ok(area.clone())
        });
        assert_eq!(found.unwrap(), RockRidge::default());
        assert_eq!(fetched, MAX_CONTINUATIONS);
    }

    #[test]
    fn broken_lengths_end_an_area() {
        for area in [b"NM\x00\x01\x00".as_slice(), b"NM\xff\x01\x00a", b"NM\x03\x01", b"N", b""] {
            assert_eq!(read(area, no_continuation).unwrap(), RockRidge::default(), "{area:?}");
        }
    }
}
