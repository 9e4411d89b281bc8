//! qcow2 disk images, read (versions 2 and 3, QEMU's `docs/interop/qcow2.txt`).
//!
//! A file that leads elsewhere (backing file, external data) or hides something (encryption) is refused.
//! Tables are read piece by piece, and since every table and cluster belongs to one place only, what comes
//! out is bounded by what is in the file. Internal snapshots are left alone.

mod header;

use crate::compress::{Excess, Limits};
use flate2::{Decompress, FlushDecompress, Status};
use header::{Compression, Header};
use std::io::{self, Read, Seek, SeekFrom};
use thiserror::Error;
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

/// Largest virtual size, in bytes.
pub const MAX_SIZE: u64 = crate::blockmap::MAX_SIZE;
/// Entries of the first table that are read at once.
const L1_CHUNK: u64 = 8_192;
/// Bits 9 to 55 of an entry: an offset in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
const SECTOR: u64 = 512;
/// What compressed clusters may unpack to.
const LIMITS: Limits = Limits { total: MAX_SIZE, ratio: 200, floor: 1 << 30 };

/// Why a qcow2 image is not read.
#[derive(Debug, Error)]
pub enum Qcow2Error {
    /// The file could not be read, or ends early.
    #[error("the qcow2 image could not be read")]
    Read(#[source] io::Error),
    /// Another kind of file.
    #[error("this is no qcow2 image of version 2 or 3")]
    Magic,
    /// A part of it lies elsewhere.
    #[error("the qcow2 image has a backing file: convert it to one without (qemu-img convert)")]
    BackingFile,
    /// The data lie elsewhere.
    #[error(
        "the qcow2 image keeps its data in another file: convert it to one that does not (qemu-img convert)"
    )]
    ExternalData,
    /// Encrypted.
    #[error("the qcow2 image is encrypted")]
    Encrypted,
    /// QEMU found it damaged.
    #[error("the qcow2 image is marked as corrupt")]
    Corrupt,
    /// Something that has to be understood.
    #[error(
        "the qcow2 image needs features that are not known here (incompatible bits {0:#x}): convert it (qemu-img convert)"
    )]
    Features(u64),
    /// A number that cannot be.
    #[error("the qcow2 image is not valid: {0}")]
    Invalid(&'static str),
    /// A compressed cluster does not unpack.
    #[error("a compressed cluster of the qcow2 image is damaged (at byte {0} of the disk)")]
    Cluster(u64),
    /// Compressed clusters unpack to too much.
    #[error("the qcow2 image is refused")]
    Excess(#[from] Excess),
}

/// A qcow2 image, read from its first cluster to its last.
pub struct Image<R> {
    file: R,
    file_len: u64,
    header: Header,
    /// The part of the first table that is in memory: number of its first entry, and entries.
    l1: (u64, Vec<u64>),
    /// The second table in memory.
    l2: Vec<u8>,
    /// Number of the next cluster, and whether `l2` is the table that it is in.
    next: u64,
    l2_loaded: bool,
    tables: u64,
    plain: u64,
    unpacked: u64,
    packed: Vec<u8>,
    zstd: Option<ZstdDecoder<'static>>,
}

impl<R> std::fmt::Debug for Image<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("header", &self.header)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What a cluster is, by its entry in the second table.
enum Cluster {
    Hole,
    Plain { offset: u64 },
    Packed { offset: u64, length: u64 },
}

impl<R: Read + Seek> Image<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`Qcow2Error`].
    pub fn open(mut file: R) -> Result<Self, Qcow2Error> {
        let file_len = file.seek(SeekFrom::End(0)).map_err(Qcow2Error::Read)?;
        file.rewind().map_err(Qcow2Error::Read)?;
        let header = Header::read(&mut file, file_len)?;
        Ok(Self {
            file,
            file_len,
            header,
            l1: (0, Vec::new()),
            l2: Vec::new(),
            next: 0,
            l2_loaded: false,
            tables: 0,
            plain: 0,
            unpacked: 0,
            packed: Vec::new(),
            zstd: None,
        })
    }

    /// Virtual size in bytes.
    pub const fn size(&self) -> u64 {
        self.header.size
    }

    /// The next cluster that holds data: its bytes into `buffer`, and its place on the disk. None behind the last.
    ///
    /// # Errors
    /// [`Qcow2Error`].
    pub fn next_extent(&mut self, buffer: &mut Vec<u8>) -> Result<Option<u64>, Qcow2Error> {
        let cluster_size = self.header.cluster_size();
        while let Some(offset) = self.next.checked_mul(cluster_size).filter(|&at| at < self.size()) {
            if !self.l2_loaded && !self.load_l2()? {
                // A table that is not there is a hole of many clusters.
                self.next = self.next.saturating_add(self.per_table() - self.next % self.per_table());
                continue;
            }
            let entry = self.l2_entry()?;
            self.next += 1;
            self.l2_loaded = !self.next.is_multiple_of(self.per_table());
            match self.header.classify(entry)? {
                Cluster::Hole => continue,
                Cluster::Plain { offset: at } => self.read_plain(at, offset, buffer)?,
                Cluster::Packed { offset: at, length } => self.read_packed(at, length, offset, buffer)?,
            }
            return Ok(Some(offset));
        }
        Ok(None)
    }

    /// Clusters for each second table.
    const fn per_table(&self) -> u64 {
        self.header.cluster_size() / 8
    }

    fn l2_entry(&self) -> Result<u64, Qcow2Error> {
        let number = usize::try_from(self.next % self.per_table()).unwrap_or(usize::MAX);
        let entry = self.l2.chunks_exact(8).nth(number).and_then(|bytes| bytes.try_into().ok());
        entry.map(u64::from_be_bytes).ok_or(Qcow2Error::Invalid("a table is too short"))
    }

    /// Reads the second table for the next cluster; false when there is none.
    fn load_l2(&mut self) -> Result<bool, Qcow2Error> {
        let entry = self.l1_entry(self.next / self.per_table())?;
        let offset = entry & OFFSET;
        if offset == 0 {
            return Ok(false);
        }
        let cluster_size = self.header.cluster_size();
        self.tables = self.tables.saturating_add(cluster_size);
        if !offset.is_multiple_of(cluster_size) || self.tables > self.file_len {
            return Err(Qcow2Error::Invalid("its tables overlap"));
        }
        let mut table = std::mem::take(&mut self.l2);
        self.read_at(offset, cluster_size, &mut table)?;
        self.l2 = table;
        self.l2_loaded = true;
        Ok(true)
    }

    fn l1_entry(&mut self, number: u64) -> Result<u64, Qcow2Error> {
        let (first, entries) = &self.l1;
        let found = number.checked_sub(*first).and_then(|at| entries.get(usize::try_from(at).ok()?));
        if let Some(&entry) = found {
            return Ok(entry);
        }
        let count = L1_CHUNK.min(self.header.l1_entries().saturating_sub(number));
        let mut bytes = Vec::new();
        self.read_at(self.header.l1_offset.saturating_add(number * 8), count * 8, &mut bytes)?;
        let entries: Vec<u64> = bytes.as_chunks().0.iter().copied().map(u64::from_be_bytes).collect();
        let entry = entries.first().copied();
        self.l1 = (number, entries);
        entry.ok_or(Qcow2Error::Invalid("its first table is too short"))
    }

    /// Reads bytes that have to be in the file; their number is bounded by the size of a cluster or of a
    /// piece of a table.
    fn read_at(&mut self, offset: u64, length: u64, into: &mut Vec<u8>) -> Result<(), Qcow2Error> {
        if offset.checked_add(length).is_none_or(|end| end > self.file_len) {
            return Err(Qcow2Error::Invalid("it leads beyond its end, or was cut off"));
        }
        self.file.seek(SeekFrom::Start(offset)).map_err(Qcow2Error::Read)?;
        into.clear();
        let read = self.file.by_ref().take(length).read_to_end(into).map_err(Qcow2Error::Read)?;
        if read as u64 == length {
            Ok(())
        } else {
            Err(Qcow2Error::Read(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    /// Bytes of the cluster at a place of the disk: all, but for the last one.
    fn inside(&self, offset: u64) -> u64 {
        self.header.cluster_size().min(self.size().saturating_sub(offset))
    }

    fn read_plain(&mut self, at: u64, offset: u64, into: &mut Vec<u8>) -> Result<(), Qcow2Error> {
        let length = self.inside(offset);
        self.plain = self.plain.saturating_add(length);
        if self.plain > self.file_len {
            return Err(Qcow2Error::Invalid("its clusters overlap"));
        }
        self.read_at(at, length, into)
    }

    fn read_packed(
        &mut self,
        at: u64,
        length: u64,
        offset: u64,
        into: &mut Vec<u8>,
    ) -> Result<(), Qcow2Error> {
        let cluster_size = self.header.cluster_size();
        self.unpacked = self.unpacked.saturating_add(cluster_size);
        LIMITS.check(self.file_len, self.unpacked)?;
        // Counted in sectors, the last one may lie behind the end of the file.
        let length = length.min(self.file_len.saturating_sub(at));
        let mut packed = std::mem::take(&mut self.packed);
        self.read_at(at, length, &mut packed)?;
        let size =
            usize::try_from(cluster_size).map_err(|_| Qcow2Error::Invalid("its clusters are large"))?;
        into.clear();
        into.resize(size, 0);
        let unpacked = match self.header.compression {
            Compression::Deflate => inflate(&packed, into),
            Compression::Zstd => self.unpack_zstd(&packed, into),
        };
        self.packed = packed;
        if !unpacked {
            return Err(Qcow2Error::Cluster(offset));
        }
        into.truncate(usize::try_from(self.inside(offset)).unwrap_or(size));
        Ok(())
    }

    /// Whether one frame fills the cluster exactly.
    fn unpack_zstd(&mut self, packed: &[u8], into: &mut [u8]) -> bool {
        let mut decoder = match self.zstd.take().map_or_else(ZstdDecoder::new, Ok) {
            Ok(decoder) => decoder,
            Err(_) => return false,
        };
        let size = into.len();
        let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(into));
        let mut done = decoder.reinit().is_ok();
        let mut filled = false;
        while done && !filled {
            let (before_in, before_out) = (input.pos(), output.pos());
            match decoder.run(&mut input, &mut output) {
                Ok(0) => filled = true,
                Ok(_) => done = (input.pos(), output.pos()) != (before_in, before_out),
                Err(_) => done = false,
            }
        }
        let complete = filled && output.pos() == size;
        self.zstd = Some(decoder);
        complete
    }
}

/// Whether a raw deflate stream fills the cluster; what may follow in the last sector is somebody else's.
fn inflate(packed: &[u8], into: &mut [u8]) -> bool {
    let mut decoder = Decompress::new(false);
    match decoder.decompress(packed, into, FlushDecompress::Finish) {
        Ok(Status::StreamEnd | Status::BufError | Status::Ok) => decoder.total_out() == into.len() as u64,
        Err(_) => false,
    }
}

impl Header {
    /// What an entry of a second table says.
    fn classify(&self, entry: u64) -> Result<Cluster, Qcow2Error> {
        if entry & COMPRESSED != 0 {
            let bits = 62 - (self.cluster_bits - 8);
            let offset = entry & ((1 << bits) - 1);
            let more = (entry & (COMPRESSED - 1)) >> bits;
            return Ok(Cluster::Packed { offset, length: (more + 1) * SECTOR - offset % SECTOR });
        }
        let offset = entry & OFFSET;
        let zero = self.version >= 3 && entry & ZERO != 0;
        if zero || offset == 0 {
            return Ok(Cluster::Hole);
        }
        if !offset.is_multiple_of(self.cluster_size()) {
            return Err(Qcow2Error::Invalid("a cluster is not aligned"));
        }
        Ok(Cluster::Plain { offset })
    }
}

#[cfg(test)]
pub(crate) mod tests;
