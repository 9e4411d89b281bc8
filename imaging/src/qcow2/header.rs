//! The header: what the image is, and whether we take it.

use super::{MAX_SIZE, Qcow2Error};
use std::io::Read;

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Bytes of the header of version 2.
const V2_LEN: usize = 72;
/// Bytes of the header of version 3 up to the kind of compression.
const V3_LEN: usize = 104;
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
/// Largest first table, in bytes: QEMU's own limit.
const MAX_L1: u64 = 32 * 1_024 * 1_024;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Raw deflate.
    Deflate,
    /// One zstd frame each.
    Zstd,
}

/// What is needed of a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    pub(super) compression: Compression,
}

/// Takes numbers from the front of bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Qcow2Error> {
        let (first, rest): (&'a [u8; N], _) = self.0.split_first_chunk().ok_or(Qcow2Error::Magic)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32, Qcow2Error> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Qcow2Error> {
        self.array().map(u64::from_be_bytes)
    }
}

impl Header {
    pub(super) fn read(file: &mut impl Read, file_len: u64) -> Result<Self, Qcow2Error> {
        let mut bytes = Vec::with_capacity(V3_LEN + 1);
        file.take(V3_LEN as u64 + 1).read_to_end(&mut bytes).map_err(Qcow2Error::Read)?;
        let mut fields = Fields(&bytes);
        let (magic, version) = (fields.array()?, fields.u32()?);
        if magic != MAGIC || !(2..=3).contains(&version) || bytes.len() < V2_LEN {
            return Err(Qcow2Error::Magic);
        }
        let (backing_offset, backing_len) = (fields.u64()?, fields.u32()?);
        if backing_offset != 0 || backing_len != 0 {
            return Err(Qcow2Error::BackingFile);
        }
        let (cluster_bits, size) = (fields.u32()?, fields.u64()?);
        if fields.u32()? != 0 {
            return Err(Qcow2Error::Encrypted);
        }
        let (l1_entries, l1_offset) = (u64::from(fields.u32()?), fields.u64()?);
        let compression = if version == 3 { features(&bytes)? } else { Compression::Deflate };
        if !(9..=21).contains(&cluster_bits) {
            return Err(Qcow2Error::Invalid("its clusters have less than 512 bytes or more than 2 MiB"));
        }
        if size == 0 || size > MAX_SIZE {
            return Err(Qcow2Error::Invalid("it is empty, or larger than 16 TiB"));
        }
        let header = Self { version, cluster_bits, size, l1_offset, compression };
        let l1_len = l1_entries * 8;
        let inside = l1_offset.checked_add(l1_len).is_some_and(|end| end <= file_len);
        if l1_entries < header.l1_entries() || l1_len > MAX_L1 || !inside {
            return Err(Qcow2Error::Invalid("its first table is too small, too large, or beyond its end"));
        }
        if !l1_offset.is_multiple_of(header.cluster_size()) {
            return Err(Qcow2Error::Invalid("its first table is not aligned"));
        }
        Ok(header)
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of the first table that the size needs.
    pub(super) const fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.cluster_size() * (self.cluster_size() / 8))
    }
}

/// What version 3 adds: features that have to be understood, and the kind of compression.
fn features(bytes: &[u8]) -> Result<Compression, Qcow2Error> {
    let mut fields = Fields(bytes.get(V2_LEN..).unwrap_or_default());
    let incompatible = fields.u64()?;
    let (_compatible, _autoclear, _refcount_order) = (fields.u64()?, fields.u64()?, fields.u32()?);
    let header_len = fields.u32()?;
    if incompatible & EXTERNAL_DATA != 0 {
        return Err(Qcow2Error::ExternalData);
    }
    if incompatible & CORRUPT != 0 {
        return Err(Qcow2Error::Corrupt);
    }
    // A dirty image has wrong reference counts, which nobody reads here.
    let unknown = incompatible & !(DIRTY | COMPRESSION_TYPE);
    if unknown != 0 {
        return Err(Qcow2Error::Features(unknown));
    }
    let has_type = usize::try_from(header_len).is_ok_and(|length| length > V3_LEN);
    match if has_type { fields.array::<1>()? } else { [0] } {
        [0] => Ok(Compression::Deflate),
        [1] => Ok(Compression::Zstd),
        _ => Err(Qcow2Error::Invalid("its clusters are compressed in an unknown way")),
    }
}
