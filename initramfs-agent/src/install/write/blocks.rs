//! A disk image, over the whole disk.
//!
//! The order knows the digest of the image's index, and the index that of each frame, so no byte is unpacked
//! or written that is not the image's. What is on the disk for good is noted now and then: called again, the
//! verb goes on there.

use super::held::Held;
use super::{WriteError, fetch_error};
use crate::install::direct::Disk;
use crate::install::fetch::{Download, Fetcher};
use crate::install::state::{self, Blocks, State};
use crate::install::{Install, say};
use crate::report::chain;
use imaging::blockmap::{Map, MapError, Piece};
use imaging::digest::Digest;
use protocol::install::{ImageOrder, Layer};
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::available_parallelism;

/// Most threads that unpack.
const THREADS: usize = 4;
/// Bytes written between notes of what is on the disk for good.
const NOTE_EVERY: u64 = 256 * 1_024 * 1_024;
/// Bytes at the disk's beginning and end that are erased first, with every table and loader that was there.
const ENDS: u64 = 1_024 * 1_024;
/// Holds the image's index for the next call of the verb.
const INDEX_FILE: &str = "index";

/// Writes the image onto the permitted disk; gives back what is held back.
///
/// # Errors
/// [`WriteError`].
pub(super) fn write(
    install: &Install,
    fetcher: &Fetcher,
    image: &ImageOrder,
    state: &mut State,
) -> Result<Vec<state::Held>, WriteError> {
    let [file] = image.layers.as_slice() else { return Err(WriteError::Files(image.layers.len())) };
    let index: Digest = file.index.parse().map_err(|_| WriteError::Unknown)?;
    let path = state.partitioned.as_ref().and_then(|made| made.disks.first());
    let disk = Disk::open(path.ok_or(WriteError::NotPartitioned)?)?;
    let mut writer =
        Writer { install, fetcher, file, index, map: None, disk, state, held: None, next: 0, unnoted: 0 };
    // Each source may send something else once.
    let mut again = file.sources.len().max(1);
    let mut attempt = 0;
    loop {
        match writer.attempt(attempt) {
            Ok(held) => return Ok(held),
            Err(WriteError::Image { source, .. }) if again > 0 => {
                say(&format!("{}; asking once more", chain(&source)));
                again -= 1;
                attempt += 1;
            }
            Err(error) => {
                writer.leave(&error);
                return Err(error);
            }
        }
    }
}

/// A download whose bytes are kept. Readers of an index are bounded by its own length.
struct Keeping {
    download: Download,
    kept: Vec<u8>,
}

impl Read for Keeping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.download.read(buffer)?;
        self.kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

struct Writer<'a> {
    install: &'a Install,
    fetcher: &'a Fetcher,
    file: &'a Layer,
    index: Digest,
    /// None before it was read.
    map: Option<Arc<Map>>,
    disk: Disk,
    state: &'a mut State,
    /// None before the disk was prepared.
    held: Option<Held>,
    /// The frame to go on with.
    next: usize,
    /// Bytes that were written since it was noted what is on the disk for good.
    unnoted: u64,
}

impl Writer<'_> {
    /// The image from where it stands to its end, from the sources in another order with each attempt.
    fn attempt(&mut self, attempt: usize) -> Result<Vec<state::Held>, WriteError> {
        let (map, rest) = self.map(attempt)?;
        if self.held.is_none() {
            self.prepare(&map)?;
        }
        let download = match rest.filter(|_| self.next == 0) {
            Some(rest) => rest,
            None => {
                let from = map.frame_start(self.next).unwrap_or_default();
                self.fetcher.open(self.file, from, attempt)?
            }
        };
        self.install.progress.doing(&format!("writing {} MiB", map.data() / 1_024 / 1_024))?;
        self.unpack(&map, download)?;
        self.note()?;
        self.held.as_ref().map_or(Ok(Vec::new()), |held| Ok(held.store(&self.install.folder)?))
    }

    /// The image's map, as it was kept or else as it comes, and then what follows it.
    fn map(&mut self, attempt: usize) -> Result<(Arc<Map>, Option<Download>), WriteError> {
        if let Some(map) = &self.map {
            return Ok((map.clone(), None));
        }
        let kept = self.install.folder.bytes(INDEX_FILE)?.unwrap_or_default();
        let kept = Map::read(&mut kept.as_slice()).ok().filter(|map| *map.digest() == self.index);
        let (map, rest) = match kept {
            Some(map) => (map, None),
            None => {
                let mut source =
                    Keeping { download: self.fetcher.open(self.file, 0, attempt)?, kept: Vec::new() };
                let map = Map::read(&mut source).map_err(|error| self.wrong(error))?;
                if *map.digest() != self.index {
                    return Err(self.wrong(MapError::IndexDigest));
                }
                self.install.folder.keep_bytes(INDEX_FILE, &source.kept)?;
                (map, Some(source.download))
            }
        };
        let map = Arc::new(map);
        self.map = Some(map.clone());
        Ok((map, rest))
    }

    /// Makes the disk one on which nothing is left of what was there, or finds how far this image was
    /// written before.
    fn prepare(&mut self, map: &Map) -> Result<(), WriteError> {
        self.disk.fits(map.size())?;
        let noted = self.state.blocks.as_ref().filter(|blocks| blocks.index == self.file.index);
        let before = noted.map(|blocks| blocks.next).filter(|next| *next <= map.frames());
        let held = Held::load(&self.install.folder, map.size())?;
        if let (Some(next), Some(held)) = (before, held) {
            say(&format!("going on at frame {next} of {}", map.frames()));
            self.fetcher.count(map.frame_start(next).unwrap_or_default());
            (self.next, self.held) = (next, Some(held));
            return Ok(());
        }
        say(&format!("an image of {} bytes, {} of them data", map.size(), map.data()));
        self.install.progress.doing("erasing")?;
        let go_on = || Ok::<(), WriteError>(self.install.progress.check()?);
        let end = self.disk.size();
        self.disk.zero(0, ENDS, go_on)?;
        self.disk.zero(end.saturating_sub(ENDS), ENDS, go_on)?;
        for hole in map.holes() {
            self.disk.zero(hole.offset, hole.length, go_on)?;
        }
        self.held = Some(Held::new(map.size()));
        self.note()
    }

    fn unpack(&mut self, map: &Map, download: Download) -> Result<(), WriteError> {
        let threads = available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
        let (stopper, first) = (download.stopper(), self.next);
        let mut failure = None;
        let unpacked = map.unpack(download, first, threads, |piece| {
            self.take(&piece).map_err(|error| {
                failure = Some(error);
                // Else the thread that reads would wait for a server that may be away.
                stopper.abort();
                io::Error::other("not written")
            })
        });
        match (failure, unpacked) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(self.wrong(error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn take(&mut self, piece: &Piece<'_>) -> Result<(), WriteError> {
        self.install.progress.check()?;
        let Some(held) = &mut self.held else { return Ok(()) };
        let (offset, bytes) = held.sift(piece.offset, piece.bytes);
        if !bytes.is_empty() {
            self.disk.write(offset, bytes)?;
        }
        self.unnoted = self.unnoted.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if piece.ends_frame {
            self.next = piece.frame.saturating_add(1);
            if self.unnoted >= NOTE_EVERY {
                self.note()?;
            }
        }
        Ok(())
    }

    /// Leaves what was written to the next call of the verb, where the disk was not at fault.
    fn leave(&mut self, error: &WriteError) {
        if self.held.is_some() && !matches!(error, WriteError::Disk(_)) {
            // What was noted before counts otherwise.
            self.note().unwrap_or(());
        }
    }

    /// Has what was written on the disk for good, and notes it.
    fn note(&mut self) -> Result<(), WriteError> {
        self.disk.sync()?;
        if let Some(held) = &self.held {
            held.store(&self.install.folder)?;
        }
        self.unnoted = 0;
        self.state.blocks = Some(Blocks { index: self.file.index.clone(), next: self.next });
        Ok(self.install.folder.keep_state(self.state)?)
    }

    /// What is wrong with what came, unless it did not come.
    fn wrong(&self, error: MapError) -> WriteError {
        if let MapError::Read(cause) = &error
            && let Some(error) = fetch_error(cause)
        {
            return error.into();
        }
        WriteError::Image { digest: self.file.digest.clone(), source: Box::new(error) }
    }
}
