//! Contents of files, written as they come, with holes where nothing but zeros is.

use super::archive::Archive;
use super::sparse::Fragment;
use super::{LayerError, Problem};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

const BUFFER: usize = 256 * 1_024;
const PAGE: usize = 4_096;
/// Zeros that are worth a hole, in bytes: fewer only scatter the file.
const HOLE: usize = 32 * 1_024;
static ZEROS: [u8; PAGE] = [0; PAGE];

/// Where writing went wrong.
pub(super) enum Failure {
    Archive(LayerError),
    Disk(io::Error),
    /// There are more bytes than may be.
    Bytes,
}

impl Failure {
    /// The same for a path and a limit in bytes.
    pub(super) fn of(self, path: &[u8], limit: u64) -> LayerError {
        match self {
            Self::Archive(error) => error,
            Self::Disk(error) => LayerError::at(path, Problem::Io(error)),
            Self::Bytes => LayerError::Bytes(limit),
        }
    }
}

/// Writes files by way of one buffer.
#[derive(Debug)]
pub(super) struct Contents {
    buffer: Vec<u8>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER] }
    }
}

impl Contents {
    /// Writes an entry's data into a new file of `size` bytes, and answers how many were stored in the archive.
    pub(super) fn write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        file: &File,
        size: u64,
        fragments: Option<&[Fragment]>,
        limit: u64,
    ) -> Result<u64, Failure> {
        let dense = [Fragment { offset: 0, length: size }];
        let (mut stored, mut end) = (0, 0);
        for fragment in fragments.unwrap_or(&dense) {
            if fragment.length > limit.saturating_sub(stored) {
                return Err(Failure::Bytes);
            }
            let mut done = 0;
            while done < fragment.length {
                let wanted = usize::try_from(fragment.length - done).unwrap_or(BUFFER).min(BUFFER);
                let room = self.buffer.get_mut(..wanted).unwrap_or_default();
                let read = archive.data(room).map_err(Failure::Archive)?;
                if read == 0 {
                    return Err(Failure::Archive(LayerError::Archive("it ends in the middle of a file")));
                }
                let at = fragment.offset + done;
                let bytes = self.buffer.get(..read).unwrap_or_default();
                end = write_data(file, at, bytes).map_err(Failure::Disk)?.unwrap_or(end);
                done += read as u64;
            }
            stored += done;
        }
        if end < size {
            file.set_len(size).map_err(Failure::Disk)?;
        }
        Ok(stored)
    }
}

/// Writes bytes but for long runs of zeros; answers where the last ones end.
fn write_data(file: &File, offset: u64, bytes: &[u8]) -> io::Result<Option<u64>> {
    let mut end = None;
    let mut write = |from: usize, to: usize| {
        let Some(data) = bytes.get(from..to).filter(|data| !data.is_empty()) else { return Ok(()) };
        file.write_all_at(data, offset + from as u64)?;
        end = Some(offset + to as u64);
        Ok::<_, io::Error>(())
    };
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() && bytes.len() >= HOLE {
        let zeros = zeros_at(bytes, at);
        if zeros >= HOLE {
            write(from, at)?;
            from = at + zeros;
        }
        at += zeros.max(PAGE);
    }
    write(from, bytes.len())?;
    Ok(end)
}

/// Bytes of zero from a place on, in whole pages.
fn zeros_at(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.chunks_exact(PAGE).take_while(|&page| page == ZEROS).count() * PAGE
}
