//! Numbers of tar headers, and maps of sparse files: GNU's own, and those of pax 0.0, 0.1 and 1.0.

use super::LayerError;
use super::archive::BLOCK;

/// Most fragments of a file.
const MAX_FRAGMENTS: usize = 1 << 18;
/// Digits of the largest number in a map.
const MAX_DIGITS: usize = 20;

/// Data of a sparse file, and where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A number in a header: octal digits, or base 256 where the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    signed(field).and_then(|number| u64::try_from(number).ok())
}

/// The same where it may be negative, in base 256.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    match field.split_first() {
        Some((0x80, rest)) => base_256(0, rest),
        Some((0xff, rest)) => base_256(-1, rest),
        _ => octal(field),
    }
}

fn base_256(start: i64, bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(start, |number, &byte| number.checked_mul(256)?.checked_add(byte.into()))
}

fn octal(field: &[u8]) -> Option<i64> {
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    text.iter().try_fold(0_i64, |number, &byte| match byte {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// A decimal number of pax.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Adds the pairs of a header of GNU's own format: 12 bytes each, until one is empty.
pub(super) fn old_gnu(pairs: &[u8], into: &mut Vec<Fragment>) -> Result<(), LayerError> {
    let (numbers, _) = pairs.as_chunks::<12>();
    for pair in numbers.chunks_exact(2) {
        let [offset, length] = pair else { continue };
        if offset.first() == Some(&0) {
            return Ok(());
        }
        let fragment = number(offset).zip(number(length)).map(|(offset, length)| Fragment { offset, length });
        into.push(fragment.ok_or(wrong())?);
        if into.len() > MAX_FRAGMENTS {
            return Err(wrong());
        }
    }
    Ok(())
}

/// Pairs of numbers in a row.
pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<Fragment>, LayerError> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > MAX_FRAGMENTS {
        return Err(wrong());
    }
    Ok(pairs.iter().map(|&[offset, length]| Fragment { offset, length }).collect())
}

/// Checks that fragments are in order, inside the file, and as many bytes as there are.
pub(super) fn check(fragments: &[Fragment], size: u64, stored: u64) -> Result<(), LayerError> {
    let (mut free, mut data) = (0, 0_u64);
    for fragment in fragments {
        if fragment.offset < free {
            return Err(wrong());
        }
        free = fragment.offset.checked_add(fragment.length).filter(|&end| end <= size).ok_or(wrong())?;
        data = data.checked_add(fragment.length).ok_or(wrong())?;
    }
    if data == stored && i64::try_from(size).is_ok() { Ok(()) } else { Err(wrong()) }
}

/// Reads the map in the data of pax 1.0: the number of fragments, then offset and length of each, every number on a
/// line of its own, and zeros up to the end of the block.
#[derive(Default)]
pub(super) struct MapReader {
    digits: Vec<u8>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Takes a block; answers the map when it ends there.
    pub(super) fn take(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Fragment>>, LayerError> {
        for &byte in block {
            if byte != b'\n' {
                self.digits.push(byte);
                if self.digits.len() > MAX_DIGITS {
                    return Err(wrong());
                }
                continue;
            }
            self.numbers.push(decimal(&self.digits).ok_or(wrong())?);
            self.digits.clear();
            let Some((&count, numbers)) = self.numbers.split_first() else { continue };
            let count = usize::try_from(count).ok().filter(|&count| count <= MAX_FRAGMENTS).ok_or(wrong())?;
            if numbers.len() == count * 2 {
                return pairs(numbers).map(Some);
            }
        }
        Ok(None)
    }
}

pub(super) fn wrong() -> LayerError {
    LayerError::Archive("the map of a sparse file is wrong")
}
