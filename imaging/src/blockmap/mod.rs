//! Disk images in our form: which blocks hold data, and these blocks in frames of zstd, each with its digest.
//!
//! ```text
//! head    48 bytes: magic, version, length of the index, SHA-256 of the index
//! index   size of the image, size of a frame, number of extents and frames,
//!         extents (offset, length), frames (packed length, SHA-256 of the packed bytes)
//! frames  one after another
//! ```
//!
//! Extents are what is not zero, in blocks of 64 KiB; joined they are the image's data, which is cut into frames
//! of one size. So who has head and index can begin at any frame, write each as soon as it is there, and
//! trust it by its digest before it is unpacked; and every byte that must become zero is known as well. Numbers
//! are little-endian. The same data makes the same file, whatever the number of threads.

mod map;
mod pack;
mod unpack;

pub use map::{Extent, Map};
pub use pack::{Options, PackError, Summary, Writer, pack_qcow2, pack_raw};
pub use unpack::Piece;

use std::io;
use thiserror::Error;

/// Granularity of holes, in bytes: finer ones save little and make many small writes.
pub const BLOCK: u64 = 64 * 1_024;
/// Bytes of data in a frame: what zstd looks back at by default, so that little is lost at its ends.
pub const FRAME: u64 = 2 * 1_024 * 1_024;
/// Largest disk image, in bytes.
pub const MAX_SIZE: u64 = 16 * 1_024 * 1_024 * 1_024 * 1_024;
/// Most extents.
pub const MAX_EXTENTS: usize = 1 << 20;
/// Most frames: 512 GiB of data.
pub const MAX_FRAMES: usize = 1 << 18;

/// Why a block map cannot be read or written from.
#[derive(Debug, Error)]
pub enum MapError {
    /// The source failed or ended early.
    #[error("the image could not be read")]
    Read(#[source] io::Error),
    /// The sink failed.
    #[error("the image could not be written")]
    Write(#[source] io::Error),
    /// Another kind of file.
    #[error("this is no block map of version 1")]
    Magic,
    /// The index says something that cannot be.
    #[error("the image's block map is not valid: {0}")]
    Index(&'static str),
    /// The index is not the one that the head names.
    #[error("the index of the image's block map is damaged")]
    IndexDigest,
    /// A frame is not the one that the index names.
    #[error("frame {0} of the image is damaged")]
    FrameDigest(usize),
    /// A frame holds something else than its bytes.
    #[error("frame {0} of the image does not unpack to what its block map says")]
    Frame(usize),
    /// More follows behind the last frame.
    #[error("something follows behind the image's last frame")]
    Trailing,
    /// There is no such frame.
    #[error("the image has {frames} frames and cannot begin at frame {first}")]
    First {
        /// The frame asked for.
        first: usize,
        /// How many there are.
        frames: usize,
    },
}

#[cfg(test)]
mod tests;
