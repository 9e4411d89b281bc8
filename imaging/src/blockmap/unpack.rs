//! Frames in, pieces of a disk image out: one thread reads, some unpack, the caller writes.

use super::{Map, MapError};
use crate::digest::Digest;
use crate::fill::fill;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use zstd::bulk::Decompressor;

/// Most threads that unpack: each holds a frame, packed and unpacked.
const MAX_THREADS: usize = 4;
/// Frames beside those that are being unpacked: one is being read and one written.
const SPARE: usize = 2;
/// What direct I/O wants buffers to be aligned to, in bytes.
const ALIGNMENT: usize = 4_096;

/// Bytes for one place of the image.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Where they belong: a multiple of 64 KiB.
    pub offset: u64,
    /// The bytes, in memory aligned to 4,096. Their number is a multiple of 64 KiB, but at the end of an image that
    /// is none.
    pub bytes: &'a [u8],
    /// The frame that they come from.
    pub frame: usize,
    /// No more of this frame follows: once it is written, one can begin again at the next.
    pub ends_frame: bool,
}

/// Memory for one frame on its way; there are so many of them as frames are on their way.
#[derive(Default)]
struct Slot {
    frame: usize,
    packed: Vec<u8>,
    memory: Vec<u8>,
    /// Where in `memory` the unpacked bytes are.
    begin: usize,
    length: usize,
}

impl Slot {
    /// Room for unpacked bytes, aligned.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.memory.len() < length + ALIGNMENT {
            self.memory.resize(length + ALIGNMENT, 0);
        }
        let aligned = self.memory.as_ptr().align_offset(ALIGNMENT);
        // Alignment can always be reached in so many bytes; if not, writing tells.
        self.begin = if aligned < ALIGNMENT { aligned } else { 0 };
        self.length = length;
        self.memory.get_mut(self.begin..self.begin + length).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.begin..self.begin + self.length).unwrap_or_default()
    }
}

/// A frame's number, and what became of it.
type Done = (usize, Result<Slot, MapError>);

impl Map {
    /// Reads from `source` what follows [`Map::frame_start`] of `first`, and hands every piece to `sink`, in ascending
    /// order of offsets. A frame is unpacked only when its digest is right, and the source has to end behind
    /// the last one.
    ///
    /// Frames are read and unpacked while earlier ones are written, in up to 4 threads; memory is 4 MiB for each
    /// and 8 MiB beside.
    ///
    /// # Errors
    /// [`MapError`]; all pieces of the frames before were handed out, and right.
    pub fn unpack<R, F>(&self, source: R, first: usize, threads: usize, mut sink: F) -> Result<(), MapError>
    where
        R: Read + Send,
        F: FnMut(Piece<'_>) -> io::Result<()>,
    {
        if first > self.frames() {
            return Err(MapError::First { first, frames: self.frames() });
        }
        let threads = threads.clamp(1, MAX_THREADS);
        thread::scope(|scope| {
            let (free, slots) = channel();
            let (to_workers, jobs) = channel();
            let (done, finished) = channel();
            for _ in 0..threads + SPARE {
                give(&free, Slot::default());
            }
            let jobs = Arc::new(Mutex::new(jobs));
            for _ in 0..threads {
                let (jobs, done) = (jobs.clone(), done.clone());
                let decoder = Decompressor::new().map_err(MapError::Read)?;
                scope.spawn(move || self.work(decoder, &jobs, &done));
            }
            scope.spawn(move || self.feed(source, first, &slots, &to_workers, &done));
            self.hand_out(first, &free, &finished, &mut sink)
        })
    }

    /// Reads frames into free slots, until there are no more or nobody wants them.
    fn feed(
        &self,
        mut source: impl Read,
        first: usize,
        slots: &Receiver<Slot>,
        jobs: &Sender<Slot>,
        done: &Sender<Done>,
    ) {
        for frame in first..self.frames() {
            let Ok(mut slot) = slots.recv() else { return };
            slot.frame = frame;
            let length = self.packed(frame).map_or(0, |packed| packed.length);
            let length = usize::try_from(length).unwrap_or_default();
            slot.packed.resize(length, 0);
            let read = fill(&mut source, &mut slot.packed);
            let complete = read.and_then(|read| if read == length { Ok(()) } else { Err(early()) });
            if let Err(error) = complete {
                return give(done, (frame, Err(MapError::Read(error))));
            }
            if jobs.send(slot).is_err() {
                return;
            }
        }
        // A source that verifies itself has its say at its end.
        let end = match source.read(&mut [0]) {
            Ok(0) => Ok(Slot { frame: self.frames(), ..Slot::default() }),
            Ok(_) => Err(MapError::Trailing),
            Err(error) => Err(MapError::Read(error)),
        };
        give(done, (self.frames(), end));
    }

    /// Unpacks frames until there are no more.
    fn work(&self, mut decoder: Decompressor<'_>, jobs: &Mutex<Receiver<Slot>>, done: &Sender<Done>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut slot) = job else { return };
            give(done, (slot.frame, self.unpack_frame(&mut decoder, &mut slot).map(|()| slot)));
        }
    }

    fn unpack_frame(&self, decoder: &mut Decompressor<'_>, slot: &mut Slot) -> Result<(), MapError> {
        let frame = slot.frame;
        let expected = self.packed(frame).map(|packed| Digest::from_sha256(packed.digest));
        if expected != Some(Digest::of(&slot.packed)) {
            return Err(MapError::FrameDigest(frame));
        }
        let length = self.unpacked_len(frame);
        let packed = std::mem::take(&mut slot.packed);
        let unpacked = decoder.decompress_to_buffer(&packed, slot.room(length));
        slot.packed = packed;
        match unpacked {
            Ok(unpacked) if unpacked == length => Ok(()),
            Ok(_) | Err(_) => Err(MapError::Frame(frame)),
        }
    }

    /// Puts frames in order and hands out their pieces, and at its place what went wrong with one.
    fn hand_out(
        &self,
        first: usize,
        free: &Sender<Slot>,
        finished: &Receiver<Done>,
        sink: &mut impl FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Result<(), MapError> {
        let mut early_ones = BTreeMap::new();
        let mut frame = first;
        // Behind the last frame comes the end of the source.
        while frame <= self.frames() {
            let Some(slot) = early_ones.remove(&frame) else {
                let stopped = || MapError::Read(io::Error::other("a thread that unpacks has stopped"));
                let (number, slot) = finished.recv().map_err(|_| stopped())?;
                early_ones.insert(number, slot);
                continue;
            };
            let slot: Slot = slot?;
            let mut pieces = self.pieces(frame).peekable();
            while let Some((offset, range)) = pieces.next() {
                let bytes = slot.bytes().get(range).unwrap_or_default();
                let ends_frame = pieces.peek().is_none();
                sink(Piece { offset, bytes, frame, ends_frame }).map_err(MapError::Write)?;
            }
            give(free, slot);
            frame += 1;
        }
        Ok(())
    }
}

/// Hands on what nobody needs to take: whoever is gone has ended, with an error that was told, or at the end.
fn give<T>(to: &Sender<T>, what: T) {
    match to.send(what) {
        Ok(()) | Err(SendError(_)) => {}
    }
}

fn early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the image ends early")
}
