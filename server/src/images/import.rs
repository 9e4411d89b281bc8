//! Imports: a file comes by URL or upload, is held against its digest, converted, and kept under the
//! digest of what came out. What an image was imported as is on record in `images/imports`, so that it is
//! known after a restart.
//!
//! One import runs at a time: it uses every core.

use super::cache::{Cache, CacheError, Room, partial_name};
use super::convert::{Conversion, ConvertError, Converted};
use super::download::{DownloadError, Downloaded, Far, Source, Spool, Wanted, download};
use crate::keys::files;
use crate::report::chain;
use axum::body::Bytes;
use imaging::digest::Digest;
use protocol::install::{ImportPhase, ImportState, Way};
use protocol::model::ImageFormat;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an import that failed is not begun again by a run that needs it.
const TRY_AGAIN: Duration = Duration::from_secs(15);
/// Largest file that is imported where no limit is set, in bytes: 1 TiB.
const LARGEST: u64 = 1 << 40;

/// Why an image was not imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file did not come.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The file is nothing that can be installed.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// There is no room.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Another import of the same image runs.
    #[error("an import of {0} is under way; cancel it first, or wait for it")]
    Running(String),
    /// Somebody cancelled it.
    #[error("the import was cancelled")]
    Cancelled,
    /// A defect of ours.
    #[error("the import broke down")]
    Defect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::Cache(error.into())
    }
}

/// What is to be imported.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Name of the image.
    pub(crate) image: String,
    /// Its source, as it stands in the image.
    pub(crate) source: String,
    /// What it should be.
    pub(crate) format: ImageFormat,
    /// Digest that the file should have.
    pub(crate) digest: Option<Digest>,
    /// What is not dropped to make room.
    pub(crate) keep: HashSet<Digest>,
}

/// What an image was imported as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    image: String,
    source: String,
    source_digest: Digest,
    /// What machines download.
    pub(crate) digest: Digest,
    /// Digest of a block map's head and index.
    pub(crate) index: Option<Digest>,
    /// How it is installed.
    pub(crate) way: Way,
    /// Length of what machines download.
    pub(crate) size: u64,
    unpacked_size: u64,
    format: ImageFormat,
}

impl Record {
    /// Whether this is what the image is now.
    fn is_of(&self, source: &str, format: ImageFormat, digest: Option<Digest>) -> bool {
        self.source == source
            && self.format == format
            && digest.is_none_or(|digest| digest == self.source_digest)
    }

    fn state(&self) -> ImportState {
        ImportState {
            state: ImportPhase::Done,
            percent: 100,
            source_digest: self.source_digest.to_string(),
            digest: self.digest.to_string(),
            size: self.size,
            unpacked_size: self.unpacked_size,
            ..ImportState::default()
        }
    }
}

/// An import under way, or one that failed.
#[derive(Debug)]
struct Import {
    /// Source, format and digest of the image as it was when this began.
    of: (String, ImageFormat, Option<Digest>),
    state: Mutex<ImportState>,
    failed_at: Mutex<Option<Instant>>,
    far: watch::Receiver<Far>,
    cancel: CancellationToken,
}

impl Import {
    fn shown(&self) -> ImportState {
        let mut shown = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if shown.state.is_active() {
            let Far { bytes, total } = *self.far.borrow();
            let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or_default().min(100);
            shown.percent = u8::try_from(percent).unwrap_or(100);
            (shown.bytes, shown.total) = (bytes, total);
        }
        shown
    }

    fn is_in(&self, phase: ImportPhase, message: impl Into<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = ImportState { state: phase, message: message.into(), ..ImportState::default() };
    }
}

/// All imports of one server.
#[derive(Debug)]
pub(crate) struct Imports {
    cache: Arc<Cache>,
    folder: PathBuf,
    records: Mutex<HashMap<String, Record>>,
    imports: Mutex<HashMap<String, Arc<Import>>>,
    turn: Semaphore,
    number: AtomicU64,
    /// Counts what changed, for whoever tells of it.
    changes: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// An upload that is being received.
#[derive(Debug)]
pub(crate) struct Upload {
    spool: Spool,
    wish: Wish,
    import: Arc<Import>,
    far: watch::Sender<Far>,
    limit: u64,
    received: u64,
    _room: Room,
    pending: Pending,
}

/// What an upload leaves behind that is not received whole, whatever became of its sender.
#[derive(Debug)]
struct Pending {
    imports: Arc<Imports>,
    image: String,
    path: PathBuf,
    received: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.received {
            return;
        }
        lock(&self.imports.imports).remove(&self.image);
        self.imports.changed();
        if let Err(error) = files::remove(&self.path) {
            tracing::warn!(%error, image = self.image, "an upload that broke off was not cleared away");
        }
    }
}

impl Imports {
    /// Reads what was imported before.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) fn open(cache: Arc<Cache>, folder: PathBuf) -> io::Result<Self> {
        files::private_dir(&folder)?;
        let mut records = HashMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let read = files::read(&path)?.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
            match read {
                Some(record) => drop(records.insert(record.image.clone(), record)),
                None => {
                    tracing::warn!(path = %path.display(), "no record of an import; the image is imported again")
                }
            }
        }
        Ok(Self {
            cache,
            folder,
            records: Mutex::new(records),
            imports: Mutex::default(),
            turn: Semaphore::new(1),
            number: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// What an image was imported as, when that is still what it is and is there.
    pub(crate) fn record(
        &self,
        image: &str,
        source: &str,
        format: ImageFormat,
        digest: Option<Digest>,
    ) -> Option<Record> {
        let records = lock(&self.records);
        let record = records.get(image).filter(|record| record.is_of(source, format, digest))?;
        self.cache.has(&record.digest).then(|| record.clone())
    }

    /// How far the import of an image has come.
    pub(crate) fn state(
        &self,
        image: &str,
        source: &str,
        format: ImageFormat,
        digest: Option<Digest>,
    ) -> ImportState {
        if let Some(import) = lock(&self.imports).get(image) {
            let shown = import.shown();
            // What went wrong with another file says nothing of this one.
            let is_this = import.of.0 == source && import.of.1 == format && import.of.2 == digest;
            if shown.state.is_active() || is_this {
                return shown;
            }
        }
        self.record(image, source, format, digest).map(|record| record.state()).unwrap_or_default()
    }

    /// Whether an import that failed may be tried again: not at once, so that all who wait for it see that
    /// it failed.
    pub(crate) fn may_try_again(&self, image: &str) -> bool {
        let imports = lock(&self.imports);
        let failed_at = imports.get(image).and_then(|import| *lock(&import.failed_at));
        failed_at.is_none_or(|failed_at| failed_at.elapsed() > TRY_AGAIN)
    }

    /// Imports that are under way or failed.
    pub(crate) fn unfinished(&self) -> Vec<(String, ImportState)> {
        lock(&self.imports).iter().map(|(image, import)| (image.clone(), import.shown())).collect()
    }

    /// Changes whenever an import does.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Digests of what cannot be had again: nobody keeps an upload but we.
    pub(crate) fn uploaded(&self, upload: &str) -> HashSet<Digest> {
        lock(&self.records)
            .values()
            .filter(|record| record.source == upload)
            .map(|record| record.digest)
            .collect()
    }

    /// Forgets what images were imported as that are there no more.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn forget_others(&self, is_there: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut records = lock(&self.records);
        let gone: Vec<String> = records.keys().filter(|image| !is_there(image)).cloned().collect();
        for image in gone {
            files::remove(&self.record_path(&image))?;
            records.remove(&image);
        }
        lock(&self.imports).retain(|image, import| is_there(image) || import.shown().state.is_active());
        Ok(())
    }

    /// Begins to import what a source gives. One that is under way goes on.
    pub(crate) fn start(self: &Arc<Self>, wish: Wish, source: Source) {
        let (far, seen) = watch::channel(Far::default());
        let Ok(import) = self.register(&wish, seen) else { return };
        let imports = Arc::clone(self);
        self.tasks.spawn(async move {
            let result = imports.fetch_and_convert(&wish, source, &import, far).await;
            imports.ended(&wish, &import, result);
        });
    }

    /// Begins to receive an upload of so many bytes, where that is known.
    ///
    /// # Errors
    /// [`ImportError::Running`], or when there is no room.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        wish: Wish,
        length: Option<u64>,
    ) -> Result<Upload, ImportError> {
        let limit = self.cache.largest().min(LARGEST);
        if length.is_some_and(|length| length > limit) {
            return Err(DownloadError::TooLong { limit }.into());
        }
        let (far, seen) = watch::channel(Far { bytes: 0, total: length.unwrap_or_default() });
        let import = self.register(&wish, seen)?;
        import.is_in(ImportPhase::Downloading, "the file is uploaded");
        let path = self.cache.partial(&format!("upload-{}", self.next_number()));
        let (imports, image) = (Arc::clone(self), wish.image.clone());
        let pending = Pending { imports, image, path: path.clone(), received: false };
        let room = self.cache.make_room(length.unwrap_or_default(), &wish.keep)?;
        let wanted = Wanted { path, digest: wish.digest, size: None, limit };
        let (spool, _) = Spool::start(wanted, far.clone()).await?;
        Ok(Upload { spool, wish, import, far, limit, received: 0, _room: room, pending })
    }

    /// Goes on with an upload that was received whole: it is converted in its turn.
    ///
    /// # Errors
    /// When it is another file than the image's digest says, or the disk failed.
    pub(crate) async fn received(self: &Arc<Self>, upload: Upload) -> Result<ImportState, ImportError> {
        let Upload { spool, wish, import, far, mut pending, .. } = upload;
        let downloaded = spool.end().await?;
        if let Some(expected) = wish.digest.filter(|expected| *expected != downloaded.digest) {
            let (expected, got) = (expected.to_string(), downloaded.digest.to_string());
            return Err(DownloadError::Mismatch { expected, got }.into());
        }
        pending.received = true;
        let path = pending.path.clone();
        import.is_in(ImportPhase::Waiting, "other imports come first");
        let (imports, under_way) = (Arc::clone(self), Arc::clone(&import));
        self.tasks.spawn(async move {
            let result = match imports.turn.acquire().await {
                Ok(_turn) => imports.convert(&wish, downloaded, &path, &under_way, far).await,
                Err(error) => Err(ImportError::Defect(error.into())),
            };
            imports.ended(&wish, &under_way, result);
        });
        Ok(import.shown())
    }

    /// Cancels the import of an image; false when none is under way.
    pub(crate) fn cancel(&self, image: &str) -> bool {
        let imports = lock(&self.imports);
        let active = imports.get(image).filter(|import| import.shown().state.is_active());
        active.map(|import| import.cancel.cancel()).is_some()
    }

    /// Stops all of them; those by URL begin again when a run needs them.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn register(&self, wish: &Wish, far: watch::Receiver<Far>) -> Result<Arc<Import>, ImportError> {
        let mut imports = lock(&self.imports);
        if imports.get(&wish.image).is_some_and(|import| import.shown().state.is_active()) {
            return Err(ImportError::Running(wish.image.clone()));
        }
        let import = Arc::new(Import {
            of: (wish.source.clone(), wish.format, wish.digest),
            state: Mutex::default(),
            failed_at: Mutex::default(),
            far,
            cancel: self.stop.child_token(),
        });
        import.is_in(ImportPhase::Waiting, "other imports come first");
        imports.insert(wish.image.clone(), Arc::clone(&import));
        drop(imports);
        self.changed();
        Ok(import)
    }

    async fn fetch_and_convert(
        &self,
        wish: &Wish,
        source: Source,
        import: &Import,
        far: watch::Sender<Far>,
    ) -> Result<Record, ImportError> {
        let _turn = tokio::select! {
            turn = self.turn.acquire() => turn.map_err(|error| ImportError::Defect(error.into()))?,
            () = import.cancel.cancelled() => return Err(ImportError::Cancelled),
        };
        import.is_in(ImportPhase::Downloading, "the file is downloaded");
        self.changed();
        let name = match &wish.digest {
            Some(digest) => partial_name(digest),
            None => format!("import-{}", self.next_number()),
        };
        let path = self.cache.partial(&name);
        let limit = self.cache.largest().min(LARGEST);
        let wanted = Wanted { path: path.clone(), digest: wish.digest, size: None, limit };
        match download(wanted, source, far.clone(), import.cancel.clone()).await {
            Ok(downloaded) => self.convert(wish, downloaded, &path, import, far).await,
            // What is known by its digest is gone on with another time.
            Err(DownloadError::Stopped) if wish.digest.is_some() => Err(ImportError::Cancelled),
            Err(DownloadError::Stopped) => {
                files::remove(&path).map_err(ImportError::from).and(Err(ImportError::Cancelled))
            }
            Err(error) => files::remove(&path).map_err(ImportError::from).and(Err(error.into())),
        }
    }

    /// Converts a file that is whole, and puts the result into the cache and on record.
    async fn convert(
        &self,
        wish: &Wish,
        downloaded: Downloaded,
        path: &Path,
        import: &Import,
        far: watch::Sender<Far>,
    ) -> Result<Record, ImportError> {
        import.is_in(ImportPhase::Converting, "the image is converted");
        self.changed();
        let place = self.cache.partial(&format!("converted-{}", self.next_number()));
        let conversion = Conversion {
            source: downloaded.file,
            size: downloaded.size,
            declared: wish.format,
            place: place.clone(),
            limit: self.cache.largest().min(LARGEST),
            far,
            stop: import.cancel.clone(),
        };
        // What comes out, and what is packed before it is put in order, are no longer than the file, or
        // little so.
        let room = self.cache.make_room(downloaded.size, &wish.keep);
        let (cache, source) = (Arc::clone(&self.cache), path.to_owned());
        let converting = tokio::task::spawn_blocking(move || -> Result<Converted, ImportError> {
            let _room = room?;
            let converted = conversion.run()?;
            cache.adopt(&converted.path, &converted.file, &converted.digest)?;
            Ok(converted)
        });
        let converted = converting.await.map_err(|error| ImportError::Defect(error.into()));
        files::remove(&source)?;
        Conversion::clear(&place)?;
        let converted = match converted? {
            Err(_) if import.cancel.is_cancelled() => return Err(ImportError::Cancelled),
            converted => converted?,
        };
        Ok(Record {
            image: wish.image.clone(),
            source: wish.source.clone(),
            source_digest: downloaded.digest,
            digest: converted.digest,
            index: converted.index,
            way: converted.way,
            size: converted.size,
            unpacked_size: converted.unpacked_size,
            format: wish.format,
        })
    }

    fn ended(&self, wish: &Wish, import: &Import, result: Result<Record, ImportError>) {
        let recorded = result.and_then(|record| self.put_on_record(record));
        match recorded {
            Ok(()) => drop(lock(&self.imports).remove(&wish.image)),
            Err(error) => {
                tracing::warn!(image = wish.image, error = %chain(&error), "an image was not imported");
                *lock(&import.failed_at) = Some(Instant::now());
                import.is_in(ImportPhase::Failed, chain(&error));
            }
        }
        self.changed();
    }

    fn put_on_record(&self, record: Record) -> Result<(), ImportError> {
        let text = serde_json::to_vec(&record).map_err(|error| ImportError::Defect(error.into()))?;
        files::write(&self.record_path(&record.image), &text, 0o600)?;
        tracing::info!(image = record.image, digest = %record.digest, bytes = record.size, "an image was imported");
        lock(&self.records).insert(record.image.clone(), record);
        Ok(())
    }

    /// Names of images may have characters that names of files cannot.
    fn record_path(&self, image: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Digest::of(image.as_bytes()).hex()))
    }

    fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number = number.wrapping_add(1));
    }
}

impl Upload {
    /// Takes more of it.
    ///
    /// # Errors
    /// When it is longer than any image may be, was cancelled, or the disk failed.
    pub(crate) async fn more(mut self, bytes: Bytes) -> Result<Self, ImportError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.limit {
            return Err(DownloadError::TooLong { limit: self.limit }.into());
        }
        if self.import.cancel.is_cancelled() {
            return Err(ImportError::Cancelled);
        }
        match self.spool.more(bytes).await {
            Ok(()) => Ok(self),
            // Its end says why.
            Err(_) => Err(self.spool.end().await.err().unwrap_or(DownloadError::Stopped).into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
