//! Compressed streams, known by their first bytes and bounded in memory and ratio.
//!
//! Several members, streams or frames one after another are one stream, as for gzip, xz and zstd
//! themselves. A stream that ends in the middle, or has something else behind it, is an error.

mod ahead;

pub use ahead::Ahead;

use crate::digest::invalid;
use flate2::bufread::MultiGzDecoder;
use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, Read};
use thiserror::Error;
use xz2::bufread::XzDecoder;
use xz2::stream::{CONCATENATED, Stream};

/// First bytes that tell every format.
pub const MAGIC_LEN: usize = 6;
/// Most memory for xz: enough for its level 9 (`xz -9` needs 65 MiB to decode with what is beside the
/// dictionary of 64 MiB).
const XZ_MEMORY: u64 = 66 * 1_024 * 1_024;
/// Largest zstd window: 2^27 bytes are 128 MiB, what `zstd -d` takes without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;
const INPUT_BUFFER: usize = 128 * 1_024;
const MIB: u64 = 1_024 * 1_024;
const GIB: u64 = 1_024 * MIB;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// The format of what begins with these bytes; [`MAGIC_LEN`] of them are enough.
pub fn detect(first: &[u8]) -> Format {
    match first {
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
        // A frame, or one that is to be skipped (as pzstd begins).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        _ => Format::None,
    }
}

/// How much may come out of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes in all.
    pub total: u64,
    /// Most bytes for each byte that went in,
    pub ratio: u64,
    /// once more than so many came out.
    pub floor: u64,
}

impl Limits {
    /// For archives of files: 200:1 beyond 256 MiB, 1 TiB at most.
    pub const ARCHIVE: Self = Self { total: 1_024 * GIB, ratio: 200, floor: 256 * MIB };
    /// For disk images, where what is empty packs to nothing: 200:1 beyond 64 GiB, 16 TiB at most.
    /// Emptiness is never stored, so that a bomb costs some processor time alone.
    pub const DISK: Self = Self { total: 16 * 1_024 * GIB, ratio: 200, floor: 64 * GIB };

    /// The same with another total, such as the size of what is written to.
    #[must_use]
    pub const fn with_total(self, total: u64) -> Self {
        Self { total, ..self }
    }

    pub(crate) fn check(self, consumed: u64, produced: u64) -> Result<(), Excess> {
        if produced > self.total {
            return Err(Excess::Total(self.total));
        }
        if produced > self.floor && produced > consumed.saturating_mul(self.ratio) {
            return Err(Excess::Ratio { produced, consumed, limit: self.ratio });
        }
        Ok(())
    }
}

/// More came out of a stream than may.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Excess {
    /// In all.
    #[error("it unpacks to more than {0} bytes, which is the limit")]
    Total(u64),
    /// For what went in.
    #[error("{consumed} bytes unpack to {produced} or more: more than {limit}:1 is taken for a bomb")]
    Ratio {
        /// Bytes that came out.
        produced: u64,
        /// Bytes that went in.
        consumed: u64,
        /// Most for each.
        limit: u64,
    },
}

/// A compressed stream that cannot be unpacked.
#[derive(Debug, Error)]
#[error("{format} data is damaged, cut off, or needs more memory than is allowed")]
pub struct Damaged {
    format: Format,
    source: io::Error,
}

/// Where the bytes come from, the peeked ones first.
type Input<R> = BufReader<Chain<Cursor<Vec<u8>>, Counting<R>>>;

/// Counts what is read and keeps apart what its source had to complain of.
#[derive(Debug)]
struct Counting<R> {
    inner: R,
    read: u64,
    failed: bool,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.read = self.read.saturating_add(read as u64);
                Ok(read)
            }
            Err(error) => {
                self.failed = error.kind() != io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }
}

/// Unpacks a stream of any [`Format`] within [`Limits`].
pub struct Decoder<R: Read> {
    inner: Inner<R>,
    limits: Limits,
    produced: u64,
}

enum Inner<R: Read> {
    None(Input<R>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Xz(Box<XzDecoder<Input<R>>>),
    Zstd(Box<zstd::Decoder<'static, Input<R>>>),
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format())
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Decoder<R> {
    /// Reads the first bytes and decides by them.
    ///
    /// # Errors
    /// Of the source, and where a decoder has no memory.
    pub fn open(source: R, limits: Limits) -> io::Result<Self> {
        let mut source = Counting { inner: source, read: 0, failed: false };
        let mut first = Vec::with_capacity(MAGIC_LEN);
        source.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut first)?;
        let format = detect(&first);
        let input = BufReader::with_capacity(INPUT_BUFFER, Cursor::new(first).chain(source));
        let inner = match format {
            Format::None => Inner::None(input),
            Format::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(input))),
            Format::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Inner::Xz(Box::new(XzDecoder::new_stream(input, stream)))
            }
            Format::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { inner, limits, produced: 0 })
    }

    /// How the stream is compressed.
    pub const fn format(&self) -> Format {
        match self.inner {
            Inner::None(_) => Format::None,
            Inner::Gzip(_) => Format::Gzip,
            Inner::Xz(_) => Format::Xz,
            Inner::Zstd(_) => Format::Zstd,
        }
    }

    /// Bytes read from the source.
    pub fn consumed(&self) -> u64 {
        self.source().read
    }

    /// Bytes unpacked.
    pub const fn produced(&self) -> u64 {
        self.produced
    }

    fn source(&self) -> &Counting<R> {
        let input = match &self.inner {
            Inner::None(input) => input,
            Inner::Gzip(decoder) => decoder.get_ref(),
            Inner::Xz(decoder) => decoder.get_ref(),
            Inner::Zstd(decoder) => decoder.get_ref(),
        };
        input.get_ref().get_ref().1
    }

    /// What the source itself says is passed on as it is; the rest is about the format.
    fn explained(&self, error: io::Error) -> io::Error {
        let format = self.format();
        if self.source().failed || format == Format::None || error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        invalid(Damaged { format, source: error })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::None(input) => input.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
        };
        let read = read.map_err(|error| self.explained(error))?;
        self.produced = self.produced.saturating_add(read as u64);
        self.limits.check(self.consumed(), self.produced).map_err(invalid)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
