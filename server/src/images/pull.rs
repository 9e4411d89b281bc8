//! Files that come into the cache because a machine asks for them. Who asks for the same file while it
//! comes shares the one download, and is sent what is there already: nobody waits for the whole.

use super::cache::{Cache, Room, partial_name};
use super::download::{DownloadError, Far, Source, Wanted, download};
use axum::body::Bytes;
use imaging::digest::Digest;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes that are read at a time.
const CHUNK: u64 = 64 * 1_024;

/// Downloads into the cache that are under way.
#[derive(Debug)]
pub(crate) struct Pulls {
    cache: Arc<Cache>,
    running: Mutex<HashMap<Digest, Arc<Pull>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Pull {
    size: u64,
    /// As it grows. It stays readable when it is put in its place.
    file: Arc<File>,
    far: watch::Receiver<Far>,
    ended: watch::Receiver<Option<Arc<Result<(), DownloadError>>>>,
}

impl Pulls {
    /// Into this cache.
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        let (running, tasks, stop) = (Mutex::default(), TaskTracker::new(), CancellationToken::new());
        Self { cache, running, tasks, stop }
    }

    /// The download of a file, when it is under way.
    pub(crate) fn running(&self, digest: &Digest) -> Option<Arc<Pull>> {
        self.lock().get(digest).cloned()
    }

    /// The download of a file of this length, begun when none is under way; none when it has come
    /// meanwhile. `room` is for all of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn start(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
        room: Room,
        source: Source,
    ) -> io::Result<Option<Arc<Pull>>> {
        let mut running = self.lock();
        if let Some(pull) = running.get(digest) {
            return Ok(Some(Arc::clone(pull)));
        }
        if self.cache.has(digest) {
            return Ok(None);
        }
        let path = self.cache.partial(&partial_name(digest));
        let mut open = OpenOptions::new();
        let open = open.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let ((far, seen), (end, ended)) = (watch::channel(Far::default()), watch::channel(None));
        let pull = Arc::new(Pull { size, file: Arc::new(open), far: seen, ended });
        running.insert(*digest, Arc::clone(&pull));
        let wanted = Wanted { path, digest: Some(*digest), size: Some(size), limit: size };
        let (pulls, stop) = (Arc::clone(self), self.stop.clone());
        self.tasks.spawn(async move {
            let result = pulls.bring(&wanted, source, far, stop).await;
            if let Err(error) = &result {
                tracing::warn!(error = %crate::report::chain(error), digest = ?wanted.digest, "a file of an image did not come");
            }
            if let Some(digest) = &wanted.digest {
                pulls.lock().remove(digest);
            }
            end.send_replace(Some(Arc::new(result)));
            drop(room);
        });
        Ok(Some(pull))
    }

    async fn bring(
        &self,
        wanted: &Wanted,
        source: Source,
        far: watch::Sender<Far>,
        stop: CancellationToken,
    ) -> Result<(), DownloadError> {
        let downloaded = download(wanted.clone(), source, far, stop).await?;
        let (cache, path) = (Arc::clone(&self.cache), wanted.path.clone());
        let adopted =
            tokio::task::spawn_blocking(move || cache.adopt(&path, &downloaded.file, &downloaded.digest));
        Ok(adopted.await.map_err(|error| DownloadError::Defect(error.into()))??)
    }

    /// Stops what is under way; it goes on when somebody asks again.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Pull>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pull {
    /// How long the file is.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Why it did not come.
    pub(crate) async fn end(&self) -> Arc<Result<(), DownloadError>> {
        let mut ended = self.ended.clone();
        let result = match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        result.unwrap_or_else(|| Arc::new(Err(DownloadError::Stopped)))
    }

    /// Waits until the byte at a place is there.
    ///
    /// # Errors
    /// When the download ends before.
    pub(crate) async fn reaches(&self, place: u64) -> io::Result<()> {
        let mut far = self.far.clone();
        // Its sender goes with the download; then the end says how it went.
        if far.wait_for(|far| far.bytes > place).await.is_ok() {
            return Ok(());
        }
        match self.end().await.as_ref() {
            Ok(()) if far.borrow().bytes > place => Ok(()),
            Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(io::Error::other(crate::report::chain(error))),
        }
    }

    /// A reader of it from its beginning.
    pub(crate) fn read(self: &Arc<Self>) -> Growing {
        Growing { pull: Arc::clone(self), at: 0, left: self.size }
    }
}

/// A reader of a file that grows.
#[derive(Debug)]
pub(crate) struct Growing {
    /// Its download.
    pub(crate) pull: Arc<Pull>,
    /// The next byte.
    pub(crate) at: u64,
    /// Bytes that are still wanted.
    pub(crate) left: u64,
}

impl Growing {
    /// Waits until something of the file is there.
    ///
    /// # Errors
    /// Why nothing comes.
    pub(crate) async fn begins(&self) -> io::Result<()> {
        if self.pull.size == 0 { Ok(()) } else { self.pull.reaches(0).await }
    }

    /// The next bytes, as soon as some are there; none at the end.
    ///
    /// # Errors
    /// When the download failed or the disk does.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.pull.reaches(self.at).await?;
        let there = self.pull.far.borrow().bytes.saturating_sub(self.at);
        let count = there.min(self.left).min(CHUNK);
        let (file, at) = (Arc::clone(&self.pull.file), self.at);
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; usize::try_from(count).map_err(io::Error::other)?];
            file.read_exact_at(&mut chunk, at)?;
            Ok::<_, io::Error>(Bytes::from(chunk))
        });
        let chunk = read.await.map_err(io::Error::other)??;
        self.at = self.at.saturating_add(count);
        self.left = self.left.saturating_sub(count);
        Ok(Some(chunk))
    }
}
