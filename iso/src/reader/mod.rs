//! A bounded reader for ISO 9660 images with Rock Ridge names (ECMA-119, SUSP 1.12, RRIP 1.12).
//!
//! Images come from operators, so nothing in them is believed: every extent must lie inside the image,
//! directories are read a sector at a time, and depth, records and continuation areas have ceilings. A
//! directory that is reached twice is a loop and ends the reading.
//!
//! Joliet, multi-session images and files in pieces that do not touch are outside its scope; the last are an
//! error and never half a file.

mod directory;
mod susp;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

use directory::Record;

/// Bytes of a sector, the only block size optical images use.
pub const SECTOR: u64 = 2_048;
/// Deepest directory below the root.
pub const MAX_DEPTH: u32 = 16;
/// Most directory records read from one image.
pub const MAX_RECORDS: u32 = 1_000_000;
/// Volume descriptors start after the 32 KiB system area.
const FIRST_DESCRIPTOR: u64 = 16;
/// Most volume descriptors looked at.
const MAX_DESCRIPTORS: u64 = 64;

/// Why an image, or a file of it, cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file itself cannot be read.
    #[error("read the image")]
    Input(#[from] io::Error),
    /// No primary volume descriptor where ECMA-119 puts it.
    #[error("not an ISO 9660 image: {0}")]
    NotIso(&'static str),
    /// A structure that contradicts the format.
    #[error("malformed directory record in the sector at byte {0}")]
    Record(u64),
    /// An extent that is not inside the image.
    #[error("{what} lies outside the image of {image_len} bytes")]
    Outside {
        /// What the extent belongs to.
        what: String,
        /// Length of the image in bytes.
        image_len: u64,
    },
    /// Directories below [`MAX_DEPTH`].
    #[error("directories are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_RECORDS`].
    #[error("more than {MAX_RECORDS} directory records")]
    TooManyRecords,
    /// A directory that contains itself or appears twice.
    #[error("the directory `{0}` is reached twice")]
    Loop(String),
    /// A name that could leave the directory it is unpacked in.
    #[error("a name in the directory `{0}` holds a slash, a backslash, a control character or is `..`")]
    Name(String),
    /// A file in several extents that do not touch.
    #[error("the file `{0}` is stored in pieces, which is not supported")]
    Fragmented(String),
    /// No such file.
    #[error("the image has no file `{0}`")]
    NotFound(String),
    /// The file is larger than the caller allows.
    #[error("the file `{path}` has {len} bytes, more than the {limit} expected")]
    TooLarge {
        /// Its path.
        path: String,
        /// Its length in bytes.
        len: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
}

/// A byte range of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, device or anything else Rock Ridge knows.
    Special,
}

/// A file or directory of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a leading slash; safe to join to a directory.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Where its bytes are, always inside the image.
    pub extent: Extent,
}

/// An image whose root directory has been found.
#[derive(Debug)]
pub struct Image<R> {
    source: R,
    len: u64,
    volume: String,
    root: Extent,
    /// Bytes to leave out at the start of every system use area, as the root directory says.
    skip: usize,
}

impl<R: Read + Seek> Image<R> {
    /// Finds the primary volume descriptor and the root directory.
    ///
    /// # Errors
    /// [`ReadError::NotIso`] for anything else than an ISO 9660 image.
    pub fn open(mut source: R) -> Result<Self, ReadError> {
        let len = source.seek(SeekFrom::End(0))?;
        let root = Extent { offset: 0, length: 0 };
        let mut image = Self { source, len, volume: String::new(), root, skip: 0 };
        for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
            if len < (number + 1) * SECTOR {
                return Err(ReadError::NotIso("it ends before a volume descriptor"));
            }
            let sector = image.sector(number * SECTOR)?;
            if sector.get(1..6) != Some(b"CD001") {
                return Err(ReadError::NotIso("no volume descriptor after the system area"));
            }
            match sector.first() {
                Some(1) => return image.with_primary(&sector),
                Some(255) => break,
                _ => {}
            }
        }
        Err(ReadError::NotIso("no primary volume descriptor"))
    }

    /// Length of the image file in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the image has no byte; an opened image never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Volume identifier, such as `MUSTER`.
    #[must_use]
    pub fn volume_id(&self) -> &str {
        &self.volume
    }

    /// Everything below the root, in the order of directories, breadth first.
    ///
    /// # Errors
    /// [`ReadError`] at the first thing that is wrong anywhere in the tree.
    pub fn entries(&mut self) -> Result<Vec<Entry>, ReadError> {
        let mut budget = MAX_RECORDS;
        let mut entries = Vec::new();
        let mut seen = BTreeSet::from([self.root.offset]);
        let mut waiting = VecDeque::from([(String::new(), self.root, 0_u32)]);
        while let Some((path, extent, depth)) = waiting.pop_front() {
            for record in self.directory(&path, extent, &mut budget)? {
                let entry = record.into_entry(&path);
                if entry.kind == Kind::Directory {
                    if depth >= MAX_DEPTH {
                        return Err(ReadError::TooDeep);
                    }
                    if !seen.insert(entry.extent.offset) {
                        return Err(ReadError::Loop(entry.path));
                    }
                    waiting.push_back((entry.path.clone(), entry.extent, depth + 1));
                }
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The entry at `path` (components joined by `/`, a leading slash is allowed).
    ///
    /// # Errors
    /// [`ReadError::NotFound`] when there is none, others when the image is broken on the way.
    pub fn find(&mut self, path: &str) -> Result<Entry, ReadError> {
        let wanted = path.trim_matches('/');
        let not_found = || ReadError::NotFound(wanted.to_owned());
        let mut budget = MAX_RECORDS;
        let mut at = Entry { path: String::new(), kind: Kind::Directory, extent: self.root };
        for (depth, name) in (0_u32..).zip(wanted.split('/')) {
            if at.kind != Kind::Directory {
                return Err(not_found());
            }
            if depth > MAX_DEPTH {
                return Err(ReadError::TooDeep);
            }
            let records = self.directory(&at.path, at.extent, &mut budget)?;
            let record = records.into_iter().find(|record| record.name == name).ok_or_else(not_found)?;
            at = record.into_entry(&at.path);
        }
        Ok(at)
    }

    /// The bytes of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] before anything is read, [`ReadError::Input`] when reading fails.
    pub fn read(&mut self, entry: &Entry, limit: u64) -> Result<Vec<u8>, ReadError> {
        let len = entry.extent.length;
        if len > limit {
            return Err(ReadError::TooLarge { path: entry.path.clone(), len, limit });
        }
        let mut bytes = Vec::new();
        self.open_file(entry)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A file's bytes as a stream.
    ///
    /// # Errors
    /// [`ReadError::Input`] when the image cannot be positioned.
    pub fn open_file(&mut self, entry: &Entry) -> Result<io::Take<&mut R>, ReadError> {
        self.source.seek(SeekFrom::Start(entry.extent.offset))?;
        Ok(self.source.by_ref().take(entry.extent.length))
    }

    fn with_primary(mut self, sector: &[u8]) -> Result<Self, ReadError> {
        const SHORT: ReadError = ReadError::NotIso("the primary volume descriptor is cut off");
        if directory::u16_at(sector, 128) != Some(2_048) {
            return Err(ReadError::NotIso("its blocks are not of 2,048 bytes"));
        }
        let volume = sector.get(40..72).ok_or(SHORT)?;
        self.volume = String::from_utf8_lossy(volume).trim_end_matches([' ', '\0']).to_owned();
        let record = sector.get(156..190).ok_or(SHORT)?;
        let root = directory::extent(record).ok_or(SHORT)?;
        self.root = self.inside("the root directory", root)?;
        Ok(self)
    }

    /// The records of one directory, without `.` and `..`, pieces of a file joined.
    fn directory(&mut self, path: &str, extent: Extent, budget: &mut u32) -> Result<Vec<Record>, ReadError> {
        let mut records: Vec<Record> = Vec::new();
        let end = extent.offset + extent.length;
        let mut at = extent.offset;
        while at < end {
            let sector = self.sector(at)?;
            for bytes in directory::split(&sector) {
                let bytes = bytes.map_err(|directory::Malformed| ReadError::Record(at))?;
                *budget = budget.checked_sub(1).ok_or(ReadError::TooManyRecords)?;
                let raw = directory::parse(bytes).ok_or(ReadError::Record(at))?;
                if raw.is_self() && path.is_empty() {
                    self.skip = susp::bytes_to_skip(raw.system_use);
                }
                if raw.is_self() || raw.is_parent() {
                    continue;
                }
                let system_use = raw.system_use.get(self.skip..).unwrap_or_default();
                let names = susp::read(system_use, |area| self.bytes("a continuation area", area))?;
                if names.relocated_child {
                    continue;
                }
                let record = Record::new(&raw, names, path)?;
                self.inside(&record.name, record.extent)?;
                match records.last_mut() {
                    Some(last) if last.continues => last.join(record, path)?,
                    _ => records.push(record),
                }
            }
            at += SECTOR;
        }
        Ok(records)
    }

    fn inside(&self, what: &str, extent: Extent) -> Result<Extent, ReadError> {
        match extent.offset.checked_add(extent.length) {
            Some(end) if end <= self.len => Ok(extent),
            _ => Err(ReadError::Outside { what: format!("`{what}`"), image_len: self.len }),
        }
    }

    fn sector(&mut self, offset: u64) -> Result<Vec<u8>, ReadError> {
        self.bytes("a sector", Extent { offset, length: SECTOR })
    }

    /// A small structure; the caller bounds `extent.length`.
    fn bytes(&mut self, what: &str, extent: Extent) -> Result<Vec<u8>, ReadError> {
        let extent = self.inside(what, extent)?;
        self.source.seek(SeekFrom::Start(extent.offset))?;
        let mut bytes = Vec::new();
        self.source.by_ref().take(extent.length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == extent.length {
            Ok(bytes)
        } else {
            Err(ReadError::Input(io::ErrorKind::UnexpectedEof.into()))
        }
    }
}
