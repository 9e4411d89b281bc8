//! The "new ASCII" (newc, magic `070701`) cpio format of initial ramdisks.
//!
//! An archive is a list of entries: a 110-byte header of hexadecimal words, the NUL-terminated name padded
//! to four bytes, the data padded to four bytes; it ends with an entry named `TRAILER!!!`. There is no
//! checksum in this variant, which is what makes patching a file's bytes in place possible.
//!
//! [`Tree`] writes: sorted, parents first, inode = position, one date for all. [`Reader`] reads from a slice
//! and borrows from it, so a header that promises four gigabytes costs nothing.

mod path;
mod reader;
mod tree;

pub use path::{MAX_NAME_LEN, MAX_PATH_LEN, PathError, check_path};
pub use reader::{Entry, Kind, MAX_ENTRIES, ReadError, Reader};
pub use tree::{Tree, WriteError};

/// First six bytes of every header: newc without checksums.
const MAGIC: &[u8] = b"070701";
/// Bytes of a header: the magic and thirteen words of eight hexadecimal digits.
const HEADER_LEN: usize = 110;
/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Headers, names and data each end on a multiple of this many bytes.
pub(crate) const ALIGNMENT: usize = 4;

/// File type bits of `mode` (`stat(2)`).
mod mode {
    pub(super) const TYPE: u32 = 0o170_000;
    pub(super) const PERMISSIONS: u32 = 0o7_777;
    pub(super) const DIRECTORY: u32 = 0o040_000;
    pub(super) const REGULAR: u32 = 0o100_000;
    pub(super) const SYMLINK: u32 = 0o120_000;
    pub(super) const CHARACTER: u32 = 0o020_000;
    pub(super) const BLOCK: u32 = 0o060_000;
}

/// Bytes needed after `len` to reach the next multiple of four.
pub(crate) const fn padding(len: usize) -> usize {
    (ALIGNMENT - len % ALIGNMENT) % ALIGNMENT
}
