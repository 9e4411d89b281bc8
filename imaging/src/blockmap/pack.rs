//! Disk images in, block maps out.

use super::map::Packed;
use super::{BLOCK, Extent, FRAME, MAX_EXTENTS, MAX_FRAMES, MAX_SIZE, Map, MapError};
use crate::digest::{Algorithm, Digest, Hashing};
use crate::fill::fill;
use crate::qcow2::{Image, Qcow2Error};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use thiserror::Error;
use zstd::bulk::Compressor;

const BLOCK_LEN: usize = 64 * 1_024;
const FRAME_LEN: usize = 2 * 1_024 * 1_024;
const _: () = assert!(BLOCK_LEN as u64 == BLOCK && FRAME_LEN as u64 == FRAME);
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
const READ_LEN: usize = 1_024 * 1_024;
/// Most threads that pack: each holds two frames.
const MAX_THREADS: usize = 8;

/// How an image is packed.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// zstd's level; 3 is its default.
    pub level: i32,
    /// Threads that pack; the result is the same.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { level: 3, threads }
    }
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of the whole file.
    pub digest: Digest,
    /// Length of the file in bytes.
    pub length: u64,
    /// Size of the disk image in bytes.
    pub size: u64,
    /// Bytes of it that hold data.
    pub data: u64,
    /// Number of frames.
    pub frames: usize,
}

/// Why an image is not packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The image could not be read.
    #[error("the disk image could not be read")]
    Read(#[source] io::Error),
    /// The image is no qcow2 that we take.
    #[error(transparent)]
    Qcow2(#[from] Qcow2Error),
    /// Scratch file or result could not be written.
    #[error("the packed image could not be written")]
    Write(#[source] io::Error),
    /// zstd failed.
    #[error("the image could not be packed")]
    Pack(#[source] io::Error),
    /// Bytes for a place before one that was told already.
    #[error("parts of the image come out of order")]
    Order,
    /// Too large, empty or too scattered.
    #[error(
        "the disk image is empty, larger than 16 TiB, or holds more than 512 GiB of data or a million pieces"
    )]
    Limits,
    /// The map is not right, which would be our mistake.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Makes a block map of parts of an image in ascending order. Frames wait in a scratch file until the
/// index, which comes before them, is complete.
#[derive(Debug)]
pub struct Writer<S> {
    scratch: S,
    begin: u64,
    packers: Packers,
    extents: Vec<Extent>,
    frames: Vec<Packed>,
    sent: usize,
    frame: Vec<u8>,
    /// The block that is not complete yet, and where it begins.
    block: Vec<u8>,
    block_offset: u64,
    /// Behind what was told.
    position: u64,
}

impl<S: Read + Write + Seek> Writer<S> {
    /// Begins, with scratch space from the current position of `scratch` on.
    ///
    /// # Errors
    /// [`PackError::Write`] when there is no position or no thread.
    pub fn new(mut scratch: S, options: Options) -> Result<Self, PackError> {
        let begin = scratch.stream_position().map_err(PackError::Write)?;
        Ok(Self {
            scratch,
            begin,
            packers: Packers::start(options)?,
            extents: Vec::new(),
            frames: Vec::new(),
            sent: 0,
            frame: Vec::with_capacity(FRAME_LEN),
            block: Vec::with_capacity(BLOCK_LEN),
            block_offset: 0,
            position: 0,
        })
    }

    /// Takes what stands at `offset`. What is never told is zero.
    ///
    /// # Errors
    /// [`PackError`], also of earlier parts.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), PackError> {
        if offset < self.position {
            return Err(PackError::Order);
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= MAX_SIZE);
        let end = end.ok_or(PackError::Limits)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = end - rest.len() as u64;
            let start = at - at % BLOCK;
            if start != self.block_offset {
                self.end_block(BLOCK_LEN)?;
                self.block_offset = start;
            }
            let inside = usize::try_from(at - start).unwrap_or_default();
            let (now, later) = rest.split_at(rest.len().min(BLOCK_LEN - inside));
            if now.len() == BLOCK_LEN {
                self.push_block(start, now)?;
            } else {
                self.block.resize(inside, 0);
                self.block.extend_from_slice(now);
            }
            rest = later;
        }
        self.position = end;
        Ok(())
    }

    /// Ends the block that is not complete: `length` bytes of it are in the image.
    fn end_block(&mut self, length: usize) -> Result<(), PackError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        block.resize(length, 0);
        self.push_block(self.block_offset, &block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn push_block(&mut self, offset: u64, bytes: &[u8]) -> Result<(), PackError> {
        if ZEROS.get(..bytes.len()) == Some(bytes) {
            return Ok(());
        }
        let length = bytes.len() as u64;
        let full = self.extents.len() >= MAX_EXTENTS;
        match self.extents.last_mut() {
            Some(last) if last.end() == offset => last.length += length,
            Some(_) | None if full => return Err(PackError::Limits),
            Some(_) | None => self.extents.push(Extent { offset, length }),
        }
        self.frame.extend_from_slice(bytes);
        if self.frame.len() >= FRAME_LEN { self.end_frame() } else { Ok(()) }
    }

    fn end_frame(&mut self) -> Result<(), PackError> {
        if self.sent >= MAX_FRAMES {
            return Err(PackError::Limits);
        }
        if self.packers.busy() {
            self.store_next()?;
        }
        let spare = self.packers.spare.pop().unwrap_or_else(|| Vec::with_capacity(FRAME_LEN));
        let frame = std::mem::replace(&mut self.frame, spare);
        self.packers.send(self.sent, frame)?;
        self.sent += 1;
        Ok(())
    }

    /// Waits for the next frame in order and stores it.
    fn store_next(&mut self) -> Result<(), PackError> {
        let (packed, digest) = self.packers.next(self.frames.len())?;
        let length = u32::try_from(packed.len()).map_err(|_| PackError::Limits)?;
        self.scratch.write_all(&packed).map_err(PackError::Write)?;
        self.frames.push(Packed { length, digest });
        Ok(())
    }

    /// Writes the block map of an image of `size` bytes to `out`, and gives the scratch space back.
    ///
    /// # Errors
    /// [`PackError`]; what was written then is worth nothing.
    pub fn finish(mut self, size: u64, out: impl Write) -> Result<(S, Summary), PackError> {
        if size == 0 || size > MAX_SIZE || size < self.position {
            return Err(PackError::Limits);
        }
        let left = usize::try_from(size - self.block_offset.min(size)).unwrap_or(BLOCK_LEN);
        self.end_block(left.min(BLOCK_LEN))?;
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        while self.frames.len() < self.sent {
            self.store_next()?;
        }
        let Self { mut scratch, begin, extents, frames, .. } = self;
        let (map, head) = Map::lay_out(size, extents, frames)?;
        let mut out = Hashing::new(out, Algorithm::Sha256);
        out.write_all(&head).map_err(PackError::Write)?;
        scratch.seek(SeekFrom::Start(begin)).map_err(PackError::Write)?;
        let packed = map.file_len() - map.head_len();
        let copied =
            io::copy(&mut Read::by_ref(&mut scratch).take(packed), &mut out).map_err(PackError::Write)?;
        if copied != packed {
            return Err(PackError::Write(io::ErrorKind::UnexpectedEof.into()));
        }
        out.flush().map_err(PackError::Write)?;
        let length = out.length();
        let (_, digest) = out.finish();
        Ok((scratch, Summary { digest, length, size, data: map.data(), frames: map.frames() }))
    }
}

/// Packs a raw image, read to its end.
///
/// # Errors
/// [`PackError`].
pub fn pack_raw<S: Read + Write + Seek>(
    mut image: impl Read,
    scratch: S,
    out: impl Write,
    options: Options,
) -> Result<Summary, PackError> {
    let mut writer = Writer::new(scratch, options)?;
    let mut buffer = vec![0; READ_LEN];
    loop {
        let read = fill(&mut image, &mut buffer).map_err(PackError::Read)?;
        if read == 0 {
            let size = writer.position;
            return writer.finish(size, out).map(|(_, summary)| summary);
        }
        writer.put(writer.position, buffer.get(..read).unwrap_or_default())?;
    }
}

/// Packs a qcow2 image.
///
/// # Errors
/// [`PackError`].
pub fn pack_qcow2<R: Read + Seek, S: Read + Write + Seek>(
    image: &mut Image<R>,
    scratch: S,
    out: impl Write,
    options: Options,
) -> Result<Summary, PackError> {
    let mut writer = Writer::new(scratch, options)?;
    let mut buffer = Vec::new();
    while let Some(offset) = image.next_extent(&mut buffer)? {
        writer.put(offset, &buffer)?;
    }
    writer.finish(image.size(), out).map(|(_, summary)| summary)
}

/// A frame to pack with its number; and what became of it: the bytes packed, their digest, and the room that is
/// free again.
type Job = (usize, Vec<u8>);
type Done = (usize, io::Result<Vec<u8>>, [u8; 32], Vec<u8>);

/// Threads that pack frames.
#[derive(Debug)]
struct Packers {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    /// Frames that are packed before their turn.
    early: BTreeMap<usize, (Vec<u8>, [u8; 32])>,
    /// Frames sent and not stored.
    under_way: usize,
    spare: Vec<Vec<u8>>,
}

impl Packers {
    fn start(options: Options) -> Result<Self, PackError> {
        let (jobs, from_writer) = channel();
        let (to_writer, done) = channel();
        let from_writer = Arc::new(Mutex::new(from_writer));
        let start = |_| {
            let (jobs, done) = (from_writer.clone(), to_writer.clone());
            thread::Builder::new()
                .name("pack".to_owned())
                .spawn(move || pack_all(&jobs, &done, options.level))
                .map_err(PackError::Pack)
        };
        let threads = (0..options.threads.clamp(1, MAX_THREADS)).map(start).collect::<Result<_, _>>()?;
        let (early, spare) = (BTreeMap::new(), Vec::new());
        Ok(Self { jobs: Some(jobs), done, threads, early, under_way: 0, spare })
    }

    fn busy(&self) -> bool {
        self.under_way > self.threads.len()
    }

    fn send(&mut self, number: usize, frame: Vec<u8>) -> Result<(), PackError> {
        self.under_way += 1;
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send((number, frame)).is_ok());
        if sent { Ok(()) } else { Err(stopped()) }
    }

    fn next(&mut self, number: usize) -> Result<(Vec<u8>, [u8; 32]), PackError> {
        loop {
            if let Some(packed) = self.early.remove(&number) {
                self.under_way -= 1;
                return Ok(packed);
            }
            let (number, packed, digest, mut room) = self.done.recv().map_err(|_| stopped())?;
            room.clear();
            self.spare.push(room);
            self.early.insert(number, (packed.map_err(PackError::Pack)?, digest));
        }
    }
}

impl Drop for Packers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            match thread.join() {
                // One that panicked has said so, and whoever waited for its frame had an error.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

fn stopped() -> PackError {
    PackError::Pack(io::Error::other("a thread that packs has stopped"))
}

fn pack_all(jobs: &Mutex<Receiver<Job>>, done: &Sender<Done>, level: i32) {
    let mut packer = Compressor::new(level);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, frame)) = job else { return };
        let packed = match &mut packer {
            Ok(packer) => packer.compress(&frame),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        let mut digest = [0; 32];
        if let Ok(packed) = &packed {
            let made = Digest::of(packed);
            digest.iter_mut().zip(made.as_bytes()).for_each(|(to, from)| *to = *from);
        }
        if done.send((number, packed, digest, frame)).is_err() {
            return;
        }
    }
}
