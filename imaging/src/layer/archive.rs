//! Reads tar archives: V7, ustar, pax and GNU, as streams.
//!
//! Ours and not crate `tar`, which takes a sparse file of pax for a directory, a device for an empty file, and
//! keeps extended headers of any length in memory. Here the caller gets every kind of entry or an error.

use super::pax::{Pax, Time};
use super::sparse::{self, Fragment};
use super::{LayerError, MAX_NAME};
use crate::fill::fill;
use std::io::{self, BufReader, Read};

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;
const READ_BUFFER: usize = 128 * 1_024;
/// Longest extended header of pax, in bytes.
const MAX_PAX: u64 = 1_024 * 1_024;
/// Most extended headers before one entry.
const MAX_EXTENSIONS: u32 = 16;

/// An entry, without its data.
#[derive(Debug)]
pub(super) struct Entry {
    /// As the archive names it.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// So many bytes long; where its data belong, for a sparse one.
    File {
        size: u64,
        fragments: Option<Vec<Fragment>>,
    },
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Directory,
}

/// A tar archive as it comes.
pub(super) struct Archive<R> {
    source: BufReader<R>,
    /// Data of the current entry that were not read yet, and what fills its last block.
    left: u64,
    padding: u64,
    global: Pax,
}

/// What came before an entry and belongs to it.
#[derive(Default)]
struct Extensions {
    pax: Pax,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    count: u32,
}

type Block = [u8; BLOCK];

impl<R: Read> Archive<R> {
    pub(super) fn new(source: R) -> Self {
        let source = BufReader::with_capacity(READ_BUFFER, source);
        Self { source, left: 0, padding: 0, global: Pax::default() }
    }

    /// The next entry; its data are read by [`Archive::data`] before the next call. None at the end of the archive, and
    /// then the source was read to its own end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(block) = self.header()? else {
                return match extensions.count {
                    0 => Ok(None),
                    _ => Err(LayerError::Archive("it ends behind an extended header")),
                };
            };
            let size = sparse::number(field(&block, 124, 12)).ok_or(damaged("size"))?;
            let Some(kind) = self.extension(&block, size, &mut extensions)? else {
                return self.entry(&block, size, extensions).map(Some);
            };
            extensions.count += kind;
            if extensions.count > MAX_EXTENSIONS {
                return Err(LayerError::Archive("an entry has too many extended headers"));
            }
        }
    }

    /// Bytes of data of the current entry that were not read yet.
    pub(super) const fn stored(&self) -> u64 {
        self.left
    }

    /// Reads the next data of the current entry; 0 at their end.
    pub(super) fn data(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        if fill(&mut self.source, room).map_err(LayerError::Source)? < wanted {
            return Err(LayerError::Archive("it ends in the middle of a file"));
        }
        self.left -= wanted as u64;
        Ok(wanted)
    }

    /// A header, or none at the end.
    fn header(&mut self) -> Result<Option<Block>, LayerError> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|&byte| byte != 0) {
            check_sum(&block)?;
            return Ok(Some(block));
        }
        // Two blocks of zeros are the end; what follows fills a record of a tape.
        match self.block()? {
            Some(second) if second.iter().any(|&byte| byte != 0) => {
                Err(LayerError::Archive("a block of zeros is in its midst"))
            }
            Some(_) | None => {
                io::copy(&mut self.source, &mut io::sink()).map_err(LayerError::Source)?;
                Ok(None)
            }
        }
    }

    /// A block, or none where the source ends instead.
    fn block(&mut self) -> Result<Option<Block>, LayerError> {
        let mut block = [0; BLOCK];
        match fill(&mut self.source, &mut block).map_err(LayerError::Source)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(LayerError::Archive("it ends in the middle of a block")),
        }
    }

    /// Passes over what is left of the current entry.
    fn skip(&mut self) -> Result<(), LayerError> {
        let mut nowhere = [0; 4 * BLOCK];
        while self.left > 0 {
            self.data(&mut nowhere)?;
        }
        self.left = std::mem::take(&mut self.padding);
        while self.left > 0 {
            self.data(&mut nowhere)?;
        }
        Ok(())
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        let block = BLOCK as u64;
        self.padding = (block - size % block) % block;
    }

    /// All data of an extended header.
    fn read_all(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, LayerError> {
        if size > limit {
            return Err(LayerError::Archive("an extended header is too long"));
        }
        self.begin(size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.data(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes an extended header; none when this is an entry.
    fn extension(
        &mut self,
        block: &Block,
        size: u64,
        extensions: &mut Extensions,
    ) -> Result<Option<u32>, LayerError> {
        // With the zero that ends it.
        let name_limit = MAX_NAME as u64 + 1;
        match kind(block) {
            b'x' => extensions.pax.extend(&self.read_all(size, MAX_PAX)?)?,
            b'g' => {
                let records = self.read_all(size, MAX_PAX)?;
                self.global.extend(&records)?;
                self.global.forget_sparse();
            }
            b'L' => extensions.name = Some(text(&self.read_all(size, name_limit)?)),
            b'K' => extensions.link = Some(text(&self.read_all(size, name_limit)?)),
            // The name of a volume.
            b'V' => self.begin(0),
            _ => return Ok(None),
        }
        Ok(Some(1))
    }

    fn entry(&mut self, block: &Block, size: u64, before: Extensions) -> Result<Entry, LayerError> {
        let pax = self.global.overlaid(before.pax);
        let path = pax.path.clone().or(before.name).unwrap_or_else(|| path(block));
        let link = pax.link.clone().or(before.link).unwrap_or_else(|| text(field(block, 157, 100)));
        let number = |at, length, what| sparse::number(field(block, at, length)).ok_or(damaged(what));
        let id = |given: Option<u64>, at, what| {
            let id = given.map_or_else(|| number(at, 8, what), Ok)?;
            // The last one means `leave it as it is`.
            u32::try_from(id).ok().filter(|&id| id != u32::MAX).ok_or(damaged(what))
        };
        let (uid, gid) = (id(pax.uid, 108, "owner")?, id(pax.gid, 116, "group")?);
        let mode = u32::try_from(number(100, 8, "mode")? & 0o7777).unwrap_or_default();
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => Time::seconds(sparse::signed(field(block, 136, 12)).ok_or(damaged("time"))?),
        };
        let size = pax.size.unwrap_or(size);
        let mut sparse_path = None;
        let kind = match kind(block) {
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => {
                self.begin(size);
                let (kind, name) = self.file(block, size, &pax)?;
                sparse_path = name;
                kind
            }
            b'1' => Kind::HardLink(link),
            b'2' => Kind::Symlink(link),
            b'3' | b'4' => {
                let part = |at| number(at, 8, "device").map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                let (major, minor) = (part(329)?, part(337)?);
                if kind(block) == b'3' {
                    Kind::CharDevice { major, minor }
                } else {
                    Kind::BlockDevice { major, minor }
                }
            }
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(LayerError::Kind { entry: super::shown(&path), kind: char::from(other) }),
        };
        let path = sparse_path.unwrap_or(path);
        Ok(Entry { path, kind, mode, uid, gid, mtime, xattrs: pax.xattrs })
    }

    /// A file, with a name of its own when it is a sparse one of pax.
    fn file(&mut self, block: &Block, size: u64, pax: &Pax) -> Result<(Kind, Option<Vec<u8>>), LayerError> {
        let dense = |size| Kind::File { size, fragments: None };
        let wrong = LayerError::Archive("the map of a sparse file is wrong");
        let (real, fragments, name) = if kind(block) == b'S' {
            let real = sparse::number(field(block, 483, 12)).ok_or(damaged("size"))?;
            (real, self.old_gnu_map(block)?, None)
        } else if let Some(sparse) = &pax.sparse {
            let real = sparse.real_size.ok_or(wrong)?;
            let fragments = if sparse.map_in_data { self.map_in_data()? } else { sparse.fragments()? };
            (real, fragments, sparse.name.clone())
        } else {
            return Ok((dense(size), None));
        };
        sparse::check(&fragments, real, self.left)?;
        Ok((Kind::File { size: real, fragments: Some(fragments) }, name))
    }

    /// The map of GNU's own format: in the header, and in blocks between header and data.
    fn old_gnu_map(&mut self, block: &Block) -> Result<Vec<Fragment>, LayerError> {
        let mut fragments = Vec::new();
        sparse::old_gnu(field(block, 386, 96), &mut fragments)?;
        let mut more = field(block, 482, 1) != [0];
        while more {
            // These blocks are not counted in the size.
            let next = self.block()?.ok_or(LayerError::Archive("it ends in the map of a sparse file"))?;
            sparse::old_gnu(field(&next, 0, 504), &mut fragments)?;
            more = field(&next, 504, 1) != [0];
        }
        Ok(fragments)
    }

    /// The map of pax 1.0: in the first blocks of the data.
    fn map_in_data(&mut self) -> Result<Vec<Fragment>, LayerError> {
        let mut reader = sparse::MapReader::default();
        loop {
            let mut block = [0; BLOCK];
            if self.data(&mut block)? < BLOCK {
                return Err(LayerError::Archive("the map of a sparse file is wrong"));
            }
            if let Some(fragments) = reader.take(&block)? {
                return Ok(fragments);
            }
        }
    }
}

fn kind(block: &Block) -> u8 {
    field(block, 156, 1).first().copied().unwrap_or_default()
}

fn field(block: &Block, at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

/// Bytes up to a zero.
fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

/// The name in a header, with the prefix where the format has one.
fn path(block: &Block) -> Vec<u8> {
    let name = text(field(block, 0, 100));
    let is_ustar = field(block, 257, 6) == b"ustar\0";
    let prefix = if is_ustar { text(field(block, 345, 155)) } else { Vec::new() };
    if prefix.is_empty() { name } else { [&prefix[..], b"/", &name].concat() }
}

/// The sum of all bytes, with blanks in its own place; some old writers took bytes for signed.
fn check_sum(block: &Block) -> Result<(), LayerError> {
    let stored = sparse::number(field(block, 148, 8));
    let counted = |number: usize, byte: u8| if (148..156).contains(&number) { b' ' } else { byte };
    let bytes = || block.iter().enumerate().map(|(number, &byte)| counted(number, byte));
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    if stored == Some(unsigned) || stored.map(u64::cast_signed) == Some(signed) {
        Ok(())
    } else {
        Err(LayerError::Archive("a header is damaged, or this is no tar archive"))
    }
}

fn damaged(what: &'static str) -> LayerError {
    LayerError::Field(what)
}
