//! Files by their digests, in the data directory: `images/sha256/HEX`. What is there is whole: it is
//! written under another name, held against its digest, synced and renamed, so that neither a crash nor
//! a power cut leaves half a file. What is being written lies in `images/partial` and is gone on with
//! after a restart.
//!
//! Where space ends, what was not used for longest goes first, and never what an installation that is
//! under way needs. All calls block on the disk.

use crate::keys::files;
use imaging::digest::{Algorithm, Digest, Hasher};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Left free on the disk for everything else, in bytes: the database, for one.
const RESERVE: u64 = 512 * 1_024 * 1_024;
/// How long a file that nobody goes on with is kept.
const KEEP_PARTIAL: Duration = Duration::from_secs(7 * 86_400);
/// Bytes that are read at a time.
const CHUNK: usize = 256 * 1_024;
const PARTIAL: &str = "partial";
/// Folders of finished files, by the algorithms of digests.
const FOLDERS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// There is no room.
    #[error("{needed} bytes are needed for images, and {free} are free: {remedy}")]
    Full {
        /// Bytes that are wanted.
        needed: u64,
        /// Bytes that there are.
        free: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The disk became full meanwhile.
    #[error("the server's disk is full: {DISK_FULL}")]
    DiskFull,
    /// The disk fails.
    #[error("the image cache cannot be used")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for CacheError {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull;
        }
        Self::Disk(error)
    }
}

const DISK_FULL: &str = "make room on the server's disk";
const SPACE_FULL: &str = "give `muster serve` more --image-space; what installations use now is not dropped";

/// The files.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Most bytes that it takes; none for as much as the disk has.
    space: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Digest, Held>,
    /// Bytes promised to files that are being written.
    reserved: u64,
}

impl State {
    fn total(&self) -> u64 {
        self.held.values().map(|held| held.size).fold(self.reserved, u64::saturating_add)
    }
}

#[derive(Debug, Clone, Copy)]
struct Held {
    size: u64,
    used: SystemTime,
}

/// Room for a file that is being written; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    cache: Arc<Cache>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.reserved = state.reserved.saturating_sub(self.bytes);
    }
}

impl Cache {
    /// Opens the cache in a folder, which is made where there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or made.
    pub(crate) fn open(root: PathBuf, space: Option<u64>) -> io::Result<Self> {
        files::private_dir(&root.join(PARTIAL))?;
        let mut state = State::default();
        for algorithm in FOLDERS {
            let folder = root.join(algorithm.name());
            files::private_dir(&folder)?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let digest = format!("{}:{}", algorithm.name(), name.to_string_lossy()).parse::<Digest>();
                match (digest, entry.metadata()?) {
                    (Ok(digest), found) if found.is_file() => {
                        let used = found.modified()?;
                        state.held.insert(digest, Held { size: found.len(), used });
                    }
                    _ => {
                        tracing::warn!(path = %entry.path().display(), "no file of the image cache; it is left alone")
                    }
                }
            }
        }
        let cache = Self { root, space, state: Mutex::new(state) };
        cache.drop_old_partials()?;
        Ok(cache)
    }

    /// A file that is there whole, and its length. It counts as used now.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub(crate) fn get(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock().held.remove(digest);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (size, used) = (file.metadata()?.len(), SystemTime::now());
        // Kept in the file, so that the order of use outlives this process.
        file.set_modified(used)?;
        self.lock().held.insert(*digest, Held { size, used });
        Ok(Some((file, size)))
    }

    /// The same, read whole and held against its digest; one that was damaged on the disk is dropped.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn get_verified(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let Some((file, size)) = self.get(digest)? else { return Ok(None) };
        let found = digest_of(File::open(self.path(digest))?, digest.algorithm())?;
        if found == *digest {
            return Ok(Some((file, size)));
        }
        tracing::error!(%digest, %found, "a file of the image cache was damaged on the disk; it is dropped");
        self.remove(digest)?;
        Ok(None)
    }

    /// Where a file is written until it is whole. `name` is one part of a path.
    pub(crate) fn partial(&self, name: &str) -> PathBuf {
        self.root.join(PARTIAL).join(name)
    }

    /// Makes room for so many more bytes, by dropping what was not used for longest and is not in `keep`.
    ///
    /// # Errors
    /// [`CacheError::Full`] when there is not enough to drop; then nothing was dropped for nothing.
    pub(crate) fn make_room(
        self: &Arc<Self>,
        bytes: u64,
        keep: &HashSet<Digest>,
    ) -> Result<Room, CacheError> {
        let mut state = self.lock();
        let mut dropped = Vec::new();
        let mut candidates: Vec<(Digest, Held)> =
            state.held.iter().map(|(digest, held)| (*digest, *held)).collect();
        candidates.retain(|(digest, _)| !keep.contains(digest));
        candidates.sort_by_key(|(_, held)| std::cmp::Reverse(held.used));
        let on_disk = self.free_on_disk()?;
        let mut freed = 0_u64;
        loop {
            let (free, remedy) = self.free(&state, on_disk, freed);
            if bytes <= free {
                break;
            }
            let Some((digest, held)) = candidates.pop() else {
                return Err(CacheError::Full { needed: bytes, free, remedy });
            };
            freed = freed.saturating_add(held.size);
            dropped.push(digest);
        }
        for digest in dropped {
            tracing::info!(%digest, "dropped from the image cache to make room");
            files::remove(&self.path(&digest))?;
            state.held.remove(&digest);
        }
        state.reserved = state.reserved.saturating_add(bytes);
        Ok(Room { cache: Arc::clone(self), bytes })
    }

    /// Puts a file that is whole and was held against its digest in its place.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub(crate) fn adopt(&self, partial: &Path, file: &File, digest: &Digest) -> io::Result<()> {
        file.sync_all()?;
        let (path, size) = (self.path(digest), file.metadata()?.len());
        fs::rename(partial, &path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.lock().held.insert(*digest, Held { size, used: SystemTime::now() });
        Ok(())
    }

    /// Drops a file, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self, digest: &Digest) -> io::Result<()> {
        files::remove(&self.path(digest))?;
        self.lock().held.remove(digest);
        Ok(())
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.lock().held.contains_key(digest)
    }

    /// Most bytes of one file.
    pub(crate) fn largest(&self) -> u64 {
        self.space.unwrap_or(u64::MAX)
    }

    /// Bytes that are free for images by the limit and by the disk, whichever is less, and what to do
    /// where that is not enough.
    fn free(&self, state: &State, on_disk: u64, freed: u64) -> (u64, &'static str) {
        let of_disk = on_disk.saturating_add(freed).saturating_sub(RESERVE.saturating_add(state.reserved));
        let of_space = self.space.map(|space| space.saturating_add(freed).saturating_sub(state.total()));
        match of_space {
            Some(of_space) if of_space < of_disk => (of_space, SPACE_FULL),
            Some(_) | None => (of_disk, DISK_FULL),
        }
    }

    fn free_on_disk(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.algorithm().name()).join(digest.hex())
    }

    /// What a crash left and nobody went on with since.
    fn drop_old_partials(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(PARTIAL))? {
            let entry = entry?;
            let resumable = entry.file_name().to_string_lossy().starts_with(RESUMABLE);
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if !resumable || age > KEEP_PARTIAL {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the names of files begin that are gone on with after a restart: their digests are known.
const RESUMABLE: &str = "blob-";

/// The name of the partial file of a digest.
pub(crate) fn partial_name(digest: &Digest) -> String {
    format!("{RESUMABLE}{}-{}", digest.algorithm().name(), digest.hex())
}

/// Reads a file to its end.
pub(crate) fn digest_of(mut file: impl Read, algorithm: Algorithm) -> io::Result<Digest> {
    let (mut hasher, mut chunk) = (Hasher::new(algorithm), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(chunk.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn cache(folder: &Path, space: Option<u64>) -> Arc<Cache> {
        Arc::new(Cache::open(folder.to_owned(), space).unwrap())
    }

    fn add(cache: &Cache, bytes: &[u8], age: u64) -> Digest {
        let digest = Digest::of(bytes);
        let partial = cache.partial(&partial_name(&digest));
        let mut file = File::create(&partial).unwrap();
        file.write_all(bytes).unwrap();
        cache.adopt(&partial, &file, &digest).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age);
        file.set_modified(used).unwrap();
        cache.lock().held.get_mut(&digest).unwrap().used = used;
        digest
    }

    #[test]
    fn file_is_there_after_a_restart_and_by_its_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let digest = add(&cache(folder.path(), None), b"layer", 0);
        let cache = cache(folder.path(), None);
        let (mut file, size) = cache.get(&digest).unwrap().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), ("layer", 5));
        assert!(cache.get(&Digest::of(b"other")).unwrap().is_none());
        cache.remove(&digest).unwrap();
        assert!(cache.get(&digest).unwrap().is_none() && !cache.has(&digest));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_in_use_never() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), Some(300));
        let (old, middle, new) =
            (add(&cache, &[1; 100], 30), add(&cache, &[2; 100], 20), add(&cache, &[3; 100], 10));
        let keep = HashSet::from([old]);
        let room = cache.make_room(80, &keep).unwrap();
        assert!(cache.has(&old) && !cache.has(&middle) && cache.has(&new));
        // 100 + 100 + 80 of 300 are taken: 20 are left.
        let full = cache.make_room(200, &keep).unwrap_err();
        assert!(matches!(full, CacheError::Full { needed: 200, free: 120, .. }), "{full}");
        assert!(full.to_string().contains("--image-space"));
        assert!(cache.has(&new), "nothing is dropped where it does not help");
        drop(room);
        cache.make_room(200, &keep).unwrap();
        assert!(cache.has(&old) && !cache.has(&new));
    }

    #[test]
    fn using_a_file_keeps_it_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path(), Some(250));
        let (old, new) = (add(&first, &[1; 100], 30), add(&first, &[2; 100], 20));
        first.get(&old).unwrap().unwrap();
        let second = cache(folder.path(), Some(250));
        second.make_room(100, &HashSet::new()).unwrap();
        assert!(second.has(&old) && !second.has(&new));
    }

    #[test]
    fn each_flipped_bit_is_found_and_the_file_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), None);
        let bytes: Vec<u8> = (0..=255).cycle().take(4_096).collect();
        let digest = Digest::of(&bytes);
        for flip in 0..1_000 {
            let mut damaged = bytes.clone();
            let bit = flip * 32_767 / 999;
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(cache.path(&digest), &damaged).unwrap();
            assert!(cache.get_verified(&digest).unwrap().is_none(), "bit {bit}");
            assert!(cache.get(&digest).unwrap().is_none(), "bit {bit}");
        }
        add(&cache, &bytes, 0);
        assert!(cache.get_verified(&digest).unwrap().is_some());
    }

    #[test]
    fn restart_keeps_what_can_be_gone_on_with_and_drops_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path(), None);
        let digest = Digest::of(b"layer");
        let (whole, half) = (first.partial(&partial_name(&digest)), first.partial("upload-1"));
        fs::write(&whole, b"lay").unwrap();
        fs::write(&half, b"lay").unwrap();
        let old = first.partial(&partial_name(&Digest::of(b"old")));
        let written = SystemTime::now() - KEEP_PARTIAL - Duration::from_secs(1);
        File::create(&old).unwrap().set_modified(written).unwrap();
        let second = cache(folder.path(), None);
        assert!(whole.exists() && !half.exists() && !old.exists());
        assert!(!second.has(&digest) && second.get(&digest).unwrap().is_none(), "half a file is none");
    }
}
