//! Head and index.

use super::{BLOCK, FRAME, MAX_EXTENTS, MAX_FRAMES, MAX_SIZE, MapError};
use crate::digest::{Algorithm, Digest, Hasher};
use std::io::Read;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"MUSTERBM";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 48;
const COUNTS_LEN: usize = 20;
const EXTENT_LEN: usize = 16;
const FRAME_LEN: usize = 36;
const MAX_INDEX: usize = COUNTS_LEN + EXTENT_LEN * MAX_EXTENTS + FRAME_LEN * MAX_FRAMES;
const SMALLEST_FRAME: u64 = BLOCK;
const LARGEST_FRAME: u64 = 4 * 1_024 * 1_024;

/// A stretch of a disk image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

impl Extent {
    /// The byte behind it. Extents end within [`MAX_SIZE`].
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// A frame as it lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) length: u32,
    pub(super) digest: [u8; 32],
}

/// Which parts of a disk image hold data, and where in the file they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    size: u64,
    frame_size: u64,
    extents: Vec<Extent>,
    /// Where in the data each extent begins.
    starts: Vec<u64>,
    data: u64,
    frames: Vec<Packed>,
    /// Where in the file each frame begins, and the last ends.
    positions: Vec<u64>,
    digest: Digest,
}

/// Takes numbers and digests from the front of bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MapError> {
        let (first, rest): (&'a [u8; N], _) =
            self.0.split_first_chunk().ok_or(MapError::Index("it is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32, MapError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, MapError> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, limit: usize, too_many: &'static str) -> Result<usize, MapError> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count <= limit { Ok(count) } else { Err(MapError::Index(too_many)) }
    }
}

impl Map {
    /// Reads head and index, and leaves the source at the first frame.
    ///
    /// # Errors
    /// [`MapError`] when the source fails, or anything of it cannot be.
    pub fn read(source: &mut impl Read) -> Result<Self, MapError> {
        let mut head = [0; HEAD_LEN];
        source.read_exact(&mut head).map_err(MapError::Read)?;
        let mut fields = Fields(&head);
        if fields.array()? != *MAGIC || fields.u32()? != VERSION {
            return Err(MapError::Magic);
        }
        let length = fields.count(MAX_INDEX, "it is too long")?;
        let mut index = Vec::new();
        source.by_ref().take(length as u64).read_to_end(&mut index).map_err(MapError::Read)?;
        if index.len() < length || Digest::of(&index).as_bytes() != fields.array::<32>()? {
            return Err(MapError::IndexDigest);
        }
        Self::parse(&head, &index)
    }

    fn parse(head: &[u8], index: &[u8]) -> Result<Self, MapError> {
        let mut fields = Fields(index);
        let (size, frame_size) = (fields.u64()?, u64::from(fields.u32()?));
        let extents = fields.count(MAX_EXTENTS, "it has too many extents")?;
        let frames = fields.count(MAX_FRAMES, "it has too many frames")?;
        if fields.0.len() != extents * EXTENT_LEN + frames * FRAME_LEN {
            return Err(MapError::Index("its length does not fit"));
        }
        let extents = (0..extents)
            .map(|_| Ok(Extent { offset: fields.u64()?, length: fields.u64()? }))
            .collect::<Result<Vec<_>, MapError>>()?;
        let frames = (0..frames)
            .map(|_| Ok(Packed { length: fields.u32()?, digest: fields.array()? }))
            .collect::<Result<Vec<_>, MapError>>()?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(head);
        hasher.update(index);
        Self::checked(size, frame_size, extents, frames, hasher.finish())
    }

    fn checked(
        size: u64,
        frame_size: u64,
        extents: Vec<Extent>,
        frames: Vec<Packed>,
        digest: Digest,
    ) -> Result<Self, MapError> {
        if size == 0 || size > MAX_SIZE {
            return Err(MapError::Index("the image is empty, or larger than 16 TiB"));
        }
        if !frame_size.is_power_of_two() || !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&frame_size) {
            return Err(MapError::Index("its frames have an odd size"));
        }
        let starts = data_positions(&extents, size)?;
        let data = extents.iter().map(|extent| extent.length).sum::<u64>();
        if frames.len() as u64 != data.div_ceil(frame_size) {
            return Err(MapError::Index("it has not as many frames as its extents need"));
        }
        // As zstd's own bound for what does not pack.
        let largest = frame_size + (frame_size >> 8) + 64;
        if frames.iter().any(|frame| frame.length == 0 || u64::from(frame.length) > largest) {
            return Err(MapError::Index("a frame is empty or too long"));
        }
        let head = (HEAD_LEN + COUNTS_LEN + extents.len() * EXTENT_LEN + frames.len() * FRAME_LEN) as u64;
        let mut positions = Vec::with_capacity(frames.len() + 1);
        positions.push(head);
        let mut position = head;
        for frame in &frames {
            position += u64::from(frame.length);
            positions.push(position);
        }
        Ok(Self { size, frame_size, extents, starts, data, frames, positions, digest })
    }

    /// Lays out head and index of an image whose frames are packed.
    pub(super) fn lay_out(
        size: u64,
        extents: Vec<Extent>,
        frames: Vec<Packed>,
    ) -> Result<(Self, Vec<u8>), MapError> {
        let number = |count: usize| u32::try_from(count).map_err(|_| MapError::Index("it is too long"));
        let mut index = Vec::new();
        index.extend(size.to_le_bytes());
        index.extend(number(usize::try_from(FRAME).unwrap_or(usize::MAX))?.to_le_bytes());
        index.extend(number(extents.len())?.to_le_bytes());
        index.extend(number(frames.len())?.to_le_bytes());
        for extent in &extents {
            index.extend(extent.offset.to_le_bytes());
            index.extend(extent.length.to_le_bytes());
        }
        for frame in &frames {
            index.extend(frame.length.to_le_bytes());
            index.extend(frame.digest);
        }
        let mut bytes = Vec::with_capacity(HEAD_LEN + index.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(number(index.len())?.to_le_bytes());
        bytes.extend(Digest::of(&index).as_bytes());
        bytes.extend(index);
        let map = Self::checked(size, FRAME, extents, frames, Digest::of(&bytes))?;
        Ok((map, bytes))
    }

    /// Size of the disk image in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of it that hold data.
    pub const fn data(&self) -> u64 {
        self.data
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of head and index.
    pub fn head_len(&self) -> u64 {
        self.positions.first().copied().unwrap_or_default()
    }

    /// Bytes of the whole file.
    pub fn file_len(&self) -> u64 {
        self.positions.last().copied().unwrap_or_default()
    }

    /// Where in the file a frame begins, and behind the last one where the file ends: from there on is what
    /// [`Map::unpack`] reads when it begins at that frame.
    pub fn frame_start(&self, frame: usize) -> Option<u64> {
        self.positions.get(frame).copied()
    }

    /// Digest of head and index, and so by the digests in the index of everything.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What holds data, in ascending order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// What is zero, in ascending order.
    pub fn holes(&self) -> impl Iterator<Item = Extent> + '_ {
        let ends = std::iter::once(0).chain(self.extents.iter().map(Extent::end));
        let begins = self.extents.iter().map(|extent| extent.offset).chain(std::iter::once(self.size));
        ends.zip(begins)
            .map(|(offset, end)| Extent { offset, length: end.saturating_sub(offset) })
            .filter(|hole| hole.length > 0)
    }

    pub(super) fn packed(&self, frame: usize) -> Option<Packed> {
        self.frames.get(frame).copied()
    }

    /// Bytes of data in a frame: only the last one is short.
    pub(super) fn unpacked_len(&self, frame: usize) -> usize {
        let rest = self.data.saturating_sub(self.frame_size.saturating_mul(frame as u64));
        usize::try_from(rest.min(self.frame_size)).unwrap_or_default()
    }

    /// Where in the image the bytes of a frame belong: offsets, and which of its bytes.
    pub(super) fn pieces(&self, frame: usize) -> impl Iterator<Item = (u64, Range<usize>)> + '_ {
        let begin = self.frame_size.saturating_mul(frame as u64);
        let end = begin + self.unpacked_len(frame) as u64;
        let first = self.starts.partition_point(|&start| start <= begin).saturating_sub(1);
        let extents = self.extents.iter().zip(&self.starts).skip(first);
        extents.take_while(move |&(_, &start)| start < end).filter_map(move |(extent, &start)| {
            let (from, to) = (begin.max(start), end.min(start + extent.length));
            let place = |at: u64| usize::try_from(at - begin).ok();
            if from < to { Some((extent.offset + (from - start), place(from)?..place(to)?)) } else { None }
        })
    }
}

/// Checks that extents are what a writer makes of an image, and answers where in the data each begins.
fn data_positions(extents: &[Extent], size: u64) -> Result<Vec<u64>, MapError> {
    let mut starts = Vec::with_capacity(extents.len());
    let (mut data, mut free) = (0, 0);
    for extent in extents {
        let end = extent.offset.checked_add(extent.length).filter(|&end| end <= size);
        let end = end.ok_or(MapError::Index("an extent ends outside of the image"))?;
        let whole = end.is_multiple_of(BLOCK) || end == size;
        if extent.length == 0 || !extent.offset.is_multiple_of(BLOCK) || !whole {
            return Err(MapError::Index("an extent is not made of blocks"));
        }
        if extent.offset < free {
            return Err(MapError::Index("its extents are not in order"));
        }
        starts.push(data);
        data += extent.length;
        // At least one block is between two of them.
        free = end.saturating_add(1);
    }
    Ok(starts)
}
