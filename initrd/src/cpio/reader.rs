//! Reading: a bounded iterator over a slice, for archives from anywhere.

use std::str;

use thiserror::Error;

use super::path::{PathError, check_path};
use super::{HEADER_LEN, MAGIC, TRAILER, mode, padding};

/// Most entries read from one archive (`tar/zip/cpio` row of the input limits).
pub const MAX_ENTRIES: u32 = 1_000_000;
/// Longest name field: `PATH_MAX` with its NUL.
const MAX_NAME_FIELD: usize = 4_096;
/// Words of a header after the magic.
const WORDS: usize = 13;

/// Why an archive cannot be read further. The offset counts from the start of the slice.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// A header, name or file goes past the end.
    #[error("cpio entry at offset {0} is cut off")]
    Truncated(usize),
    /// No `070701` where a header belongs.
    #[error("no cpio newc header at offset {0}")]
    Magic(usize),
    /// A header word that is not eight hexadecimal digits.
    #[error("cpio header at offset {0} holds something else than hexadecimal digits")]
    Number(usize),
    /// A name field that is empty, over 4,096 bytes, not UTF-8 or not NUL-terminated.
    #[error("cpio entry at offset {0} has a malformed name")]
    Name(usize),
    /// A name that could be unpacked somewhere else.
    #[error("cpio entry at offset {offset} has an unsafe name")]
    Path {
        /// Where the entry starts.
        offset: usize,
        /// What is wrong with its name.
        #[source]
        source: PathError,
    },
    /// A symbolic link whose target is not UTF-8.
    #[error("cpio link at offset {0} has a malformed target")]
    Target(usize),
    /// More than [`MAX_ENTRIES`].
    #[error("cpio archive has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
}

/// What an entry is. Data is borrowed from the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A regular file and its bytes. Hard links other than the last have none.
    File(&'a [u8]),
    /// A symbolic link and its target, as written.
    Symlink(&'a str),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO, a socket or something unknown.
    Other,
}

/// One entry of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Relative path, already checked by [`check_path`]; a leading `./` is removed.
    pub path: &'a str,
    /// Permission bits (`mode & 0o7777`).
    pub permissions: u32,
    /// Modification time, seconds since 1970.
    pub mtime: u32,
    /// Inode number, meaningful within one archive only.
    pub inode: u32,
    /// What it is.
    pub kind: Kind<'a>,
}

/// Iterates over the entries of one archive up to its trailer.
///
/// Nothing is allocated; every length is held against the slice before use. After an error the iterator ends.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    entries: u32,
    done: bool,
}

impl<'a> Reader<'a> {
    /// Reads the archive at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, entries: 0, done: false }
    }

    /// What follows the last entry read: after the trailer, padding or the next segment.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    fn read(&mut self) -> Result<Option<Entry<'a>>, ReadError> {
        loop {
            let start = self.offset;
            let header = Header::parse(self.take(HEADER_LEN)?, start)?;
            let name = self.name(&header, start)?;
            let data_len = usize::try_from(header.size).map_err(|_| ReadError::Truncated(start))?;
            let data = self.take(data_len)?;
            self.skip(padding(data_len))?;
            if name == TRAILER {
                return Ok(None);
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(ReadError::TooManyEntries);
            }
            // `find . | cpio -o` writes the root itself and a `./` before every name.
            if name == "." {
                continue;
            }
            let name = name.strip_prefix("./").unwrap_or(name);
            let path = check_path(name).map_err(|source| ReadError::Path { offset: start, source })?;
            return Ok(Some(Entry {
                path,
                permissions: header.mode & mode::PERMISSIONS,
                mtime: header.mtime,
                inode: header.inode,
                kind: header.kind(data, start)?,
            }));
        }
    }

    fn name(&mut self, header: &Header, start: usize) -> Result<&'a str, ReadError> {
        let len = usize::try_from(header.name_len).map_err(|_| ReadError::Name(start))?;
        if !(2..=MAX_NAME_FIELD).contains(&len) {
            return Err(ReadError::Name(start));
        }
        let field = self.take(len)?;
        self.skip(padding(HEADER_LEN + len))?;
        let (name, nul) = field.split_at(len - 1);
        if nul != [0] {
            return Err(ReadError::Name(start));
        }
        str::from_utf8(name).map_err(|_| ReadError::Name(start))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let cut_off = ReadError::Truncated(self.offset);
        let Some(end) = self.offset.checked_add(len) else {
            return Err(cut_off);
        };
        let bytes = self.bytes.get(self.offset..end).ok_or(cut_off)?;
        self.offset = end;
        Ok(bytes)
    }

    fn skip(&mut self, len: usize) -> Result<(), ReadError> {
        self.take(len).map(|_| ())
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Entry<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[derive(Debug)]
struct Header {
    inode: u32,
    mode: u32,
    mtime: u32,
    size: u32,
    device: (u32, u32),
    name_len: u32,
}

impl Header {
    fn parse(bytes: &[u8], start: usize) -> Result<Self, ReadError> {
        let digits = bytes.strip_prefix(MAGIC).ok_or(ReadError::Magic(start))?;
        let mut words = [0_u32; WORDS];
        for (word, digits) in words.iter_mut().zip(digits.chunks_exact(8)) {
            *word = hexadecimal(digits).ok_or(ReadError::Number(start))?;
        }
        let [inode, mode, _, _, _, mtime, size, _, _, major, minor, name_len, _] = words;
        Ok(Self { inode, mode, mtime, size, device: (major, minor), name_len })
    }

    fn kind<'a>(&self, data: &'a [u8], start: usize) -> Result<Kind<'a>, ReadError> {
        let (major, minor) = self.device;
        Ok(match self.mode & mode::TYPE {
            mode::DIRECTORY => Kind::Directory,
            mode::REGULAR => Kind::File(data),
            mode::SYMLINK => Kind::Symlink(str::from_utf8(data).map_err(|_| ReadError::Target(start))?),
            mode::CHARACTER => Kind::CharDevice { major, minor },
            mode::BLOCK => Kind::BlockDevice { major, minor },
            _ => Kind::Other,
        })
    }
}

/// Eight digits, of either case and without a sign, as the kernel reads them.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}
