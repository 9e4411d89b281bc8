//! Patched images: the base image with some regions replaced, as a stream.
//!
//! Nothing is copied or searched for. Whether the patches are right is known before the first byte leaves; from
//! then on the length equals the base's by construction, and any range can be served.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use thiserror::Error;

use crate::region::Region;

/// Why patches do not fit an image.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The contents are not exactly as long as the region.
    #[error("the region `{name}` holds exactly {expected} bytes and was given {len}")]
    Length {
        /// The region's name.
        name: String,
        /// Bytes given.
        len: u64,
        /// Bytes of the region.
        expected: u64,
    },
    /// Two patches touch the same byte.
    #[error("the regions `{first}` and `{second}` overlap")]
    Overlap {
        /// The region that starts first.
        first: String,
        /// The one that starts inside it.
        second: String,
    },
    /// The region goes past the end of the image.
    #[error("the region `{name}` ends outside the image of {image_len} bytes")]
    Outside {
        /// The region's name.
        name: String,
        /// Length of the image in bytes.
        image_len: u64,
    },
    /// The base image cannot be measured.
    #[error("measure the base image")]
    Base(#[from] io::Error),
}

/// A region and what to put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    region: Region,
    /// Shared: the same patch serves many downloads.
    contents: Arc<[u8]>,
}

impl Patch {
    /// Replaces a whole region.
    ///
    /// # Errors
    /// [`PatchError::Length`] unless `contents` has exactly the region's length.
    pub fn new(region: &Region, contents: Vec<u8>) -> Result<Self, PatchError> {
        let len = contents.len() as u64;
        if len != region.length {
            let expected = region.length;
            return Err(PatchError::Length { name: region.name.clone(), len, expected });
        }
        Ok(Self { region: region.clone(), contents: contents.into() })
    }

    /// The bytes to serve from `position` on, when it lies inside this patch.
    fn bytes_from(&self, position: u64) -> Option<&[u8]> {
        let within = usize::try_from(position.checked_sub(self.region.offset)?).ok()?;
        self.contents.get(within..).filter(|bytes| !bytes.is_empty())
    }
}

/// An image with patches applied while it is read.
#[derive(Debug)]
pub struct PatchedImage<B> {
    base: B,
    len: u64,
    position: u64,
    /// Where the base's own cursor is, to spare a seek per read.
    base_position: u64,
    /// Sorted by offset, not overlapping, inside the image.
    patches: Vec<Patch>,
}

impl<B: Read + Seek> PatchedImage<B> {
    /// Checks the patches against the base image and starts at its first byte.
    ///
    /// # Errors
    /// [`PatchError`] when patches overlap, leave the image, or the base cannot be measured.
    pub fn new(mut base: B, mut patches: Vec<Patch>) -> Result<Self, PatchError> {
        let len = base.seek(SeekFrom::End(0))?;
        patches.retain(|patch| !patch.contents.is_empty());
        patches.sort_by_key(|patch| patch.region.offset);
        for patch in &patches {
            if patch.region.end().is_none_or(|end| end > len) {
                let name = patch.region.name.clone();
                return Err(PatchError::Outside { name, image_len: len });
            }
        }
        for pair in patches.windows(2) {
            let [first, second] = pair else { continue };
            if first.region.end().is_none_or(|end| end > second.region.offset) {
                return Err(PatchError::Overlap {
                    first: first.region.name.clone(),
                    second: second.region.name.clone(),
                });
            }
        }
        Ok(Self { base, len, position: 0, base_position: len, patches })
    }

    /// Length of the image in bytes: the base's.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the image has no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the reader is, and how many bytes from there on are the base's own: up to the next patch or
    /// the end. None inside a patch.
    #[must_use]
    pub fn unpatched(&self) -> (u64, u64) {
        let next = self.next_patch().map_or(self.len, |patch| patch.region.offset);
        (self.position, next.saturating_sub(self.position))
    }

    /// The base image; whoever reads it leaves its cursor where it is.
    #[must_use]
    pub fn base(&self) -> &B {
        &self.base
    }

    /// The patch at or after the position; those before it are behind us.
    fn next_patch(&self) -> Option<&Patch> {
        let next =
            self.patches.partition_point(|patch| patch.region.end().is_some_and(|end| end <= self.position));
        self.patches.get(next)
    }

    fn read_base(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.base_position != self.position {
            self.base_position = self.base.seek(SeekFrom::Start(self.position))?;
        }
        let count = self.base.read(buf)?;
        self.base_position += count as u64;
        if count == 0 && !buf.is_empty() {
            // A shorter stream than announced must never look like a complete one.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the base image ended at byte {} of {}", self.position, self.len),
            ));
        }
        Ok(count)
    }
}

impl<B: Read + Seek> Read for PatchedImage<B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let patch = self.next_patch();
        let count = match patch.and_then(|patch| patch.bytes_from(self.position)) {
            Some(bytes) => {
                let count = bytes.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..count), bytes.get(..count)) {
                    to.copy_from_slice(from);
                }
                count
            }
            None => {
                let until =
                    patch.map_or(left, |patch| patch.region.offset.saturating_sub(self.position).min(left));
                let count = usize::try_from(until).unwrap_or(usize::MAX).min(buf.len());
                match buf.get_mut(..count) {
                    Some(window) if count > 0 => self.read_base(window)?,
                    _ => 0,
                }
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl<B> Seek for PatchedImage<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.len.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start of the image")
        })?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn region(name: &str, offset: u64, length: u64) -> Region {
        Region { name: name.to_owned(), offset, length }
    }

    fn patch(name: &str, offset: u64, contents: &[u8]) -> Patch {
        Patch::new(&region(name, offset, contents.len() as u64), contents.to_vec()).unwrap()
    }

    #[test]
    fn only_the_regions_differ() {
        let base = vec![0_u8; 32];
        let patches = vec![patch("b", 20, &[2; 5]), patch("a", 3, &[1; 4])];
        let mut image = PatchedImage::new(Cursor::new(base), patches).unwrap();
        let mut out = Vec::new();
        image.read_to_end(&mut out).unwrap();
        let mut expected = vec![0_u8; 32];
        expected[3..7].fill(1);
        expected[20..25].fill(2);
        assert_eq!(out, expected);
    }

    #[test]
    fn contents_of_another_length_than_the_region_are_refused() {
        let error = Patch::new(&region("config", 0, 8), vec![0; 9]).unwrap_err();
        assert_eq!(error.to_string(), "the region `config` holds exactly 8 bytes and was given 9");
    }

    #[test]
    fn overlapping_patches_are_refused_before_the_first_byte() {
        let patches = vec![patch("b", 7, &[0; 4]), patch("a", 4, &[0; 4])];
        let error = PatchedImage::new(Cursor::new(vec![0; 64]), patches).unwrap_err();
        assert_eq!(error.to_string(), "the regions `a` and `b` overlap");
    }

    #[test]
    fn patches_outside_the_image_are_refused() {
        for offset in [61, 64, u64::MAX - 1] {
            let error = PatchedImage::new(Cursor::new(vec![0; 64]), vec![patch("a", offset, &[0; 4])]);
            assert!(matches!(error, Err(PatchError::Outside { image_len: 64, .. })), "{offset}");
        }
    }

    #[test]
    fn a_base_that_shrinks_is_an_error_and_not_a_short_image() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mut image = PatchedImage::new(file.try_clone().unwrap(), Vec::new()).unwrap();
        file.set_len(50).unwrap();
        let error = image.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Lengths of gap and patch, alternating: patches that never overlap.
    fn layouts() -> impl Strategy<Value = (Vec<u8>, Vec<(u64, Vec<u8>)>)> {
        let pieces =
            proptest::collection::vec((0_u64..40, proptest::collection::vec(any::<u8>(), 1..40)), 0..8);
        (pieces, 0_usize..64).prop_map(|(pieces, tail)| {
            let mut position = 0;
            let mut patches = Vec::new();
            for (gap, contents) in pieces {
                position += gap;
                let end = position + contents.len() as u64;
                patches.push((position, contents));
                position = end;
            }
            let len = usize::try_from(position).unwrap() + tail;
            ((0..len).map(|i| u8::try_from(i % 251).unwrap()).collect(), patches)
        })
    }

    proptest! {
        #[test]
        fn every_range_reads_as_if_the_image_had_been_rewritten(
            (base, patches) in layouts(),
            ranges in proptest::collection::vec((0_u64..700, 0_usize..700), 1..20),
        ) {
            let mut expected = base.clone();
            for (offset, contents) in &patches {
                let start = usize::try_from(*offset).unwrap();
                expected[start..start + contents.len()].copy_from_slice(contents);
            }
            let patched: Vec<_> =
                patches.iter().map(|(offset, contents)| *offset..*offset + contents.len() as u64).collect();
            let patches = patches.iter().map(|(offset, contents)| patch("p", *offset, contents)).collect();
            let mut image = PatchedImage::new(Cursor::new(base), patches).unwrap();
            prop_assert_eq!(image.len(), expected.len() as u64);
            for (start, count) in ranges {
                image.seek(SeekFrom::Start(start)).unwrap();
                let (position, own) = image.unpatched();
                prop_assert_eq!(position, start);
                let stop = start + own;
                let stopped = patched.iter().any(|range| range.contains(&stop)) || stop >= image.len();
                prop_assert!(stopped, "nothing but a patch or the end stops it");
                let window = usize::try_from(start).unwrap()..usize::try_from(stop).unwrap();
                prop_assert_eq!(image.base().get_ref().get(window.clone()), expected.get(window));
                let mut got = Vec::new();
                image.by_ref().take(count as u64).read_to_end(&mut got).unwrap();
                let start = usize::try_from(start).unwrap().min(expected.len());
                let end = (start + count).min(expected.len());
                prop_assert_eq!(&got, &expected[start..end]);
            }
            image.seek(SeekFrom::Start(0)).unwrap();
            let mut all = Vec::new();
            image.read_to_end(&mut all).unwrap();
            prop_assert_eq!(all, expected);
        }
    }
}
