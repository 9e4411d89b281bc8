//! Reads until a buffer is full: with large reads, unlike `Read::read_to_end`, which begins with small ones.

use std::io::{ErrorKind, Read, Result};

/// Reads into a buffer until it is full or the source ends; answers how many bytes there are.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
