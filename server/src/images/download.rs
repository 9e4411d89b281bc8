//! Brings one file into the cache's folder for what is being written, held against its digest while it
//! comes. Goes on where it stopped: after a connection that broke, and after a restart of the server
//! where the digest is known.

use super::cache::CacheError;
use super::fetch::{Answer, FetchError};
use super::registry::RegistryError;
use axum::body::Bytes;
use imaging::digest::{Algorithm, Digest, Hasher};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Parts that wait for the disk.
const WAITING: usize = 32;
/// Tries in a row that bring nothing.
const TRIES: u32 = 5;
/// Time before the second try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Slowest download that goes on, in bytes a second, beyond a first minute.
const SLOWEST: u64 = 16 * 1_024;
const FIRST_MINUTE: Duration = Duration::from_secs(60);
const CHUNK: usize = 256 * 1_024;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another server.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The disk here.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Damaged on the way, or another file.
    #[error("the file has the digest {got}, and {expected} was asked for: it was changed or damaged")]
    Mismatch {
        /// What was asked for.
        expected: String,
        /// What came.
        got: String,
    },
    /// Longer than it should be.
    #[error("the file is longer than {limit} bytes")]
    TooLong {
        /// At most.
        limit: u64,
    },
    /// Shorter than it should be.
    #[error("the file ended after {got} of {expected} bytes")]
    TooShort {
        /// How long it should be.
        expected: u64,
        /// How long it was.
        got: u64,
    },
    /// It would take forever.
    #[error("the file comes at less than {SLOWEST} bytes a second")]
    TooSlow,
    /// Somebody stopped it, or the server stops.
    #[error("it was stopped")]
    Stopped,
    /// A defect of ours.
    #[error("the download broke down")]
    Defect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DownloadError {
    /// Whether another try may end otherwise.
    fn may_pass(&self) -> bool {
        match self {
            Self::Registry(error) => error.may_pass(),
            Self::Fetch(error) => error.may_pass(),
            Self::TooShort { .. } => true,
            Self::Cache(_)
            | Self::Mismatch { .. }
            | Self::TooLong { .. }
            | Self::TooSlow
            | Self::Stopped
            | Self::Defect(_) => false,
        }
    }
}

impl From<io::Error> for DownloadError {
    fn from(error: io::Error) -> Self {
        Self::Cache(error.into())
    }
}

/// An answer on its way.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Answer, DownloadError>> + Send>>;
/// Asks for a file from a byte on, if it still has this entity tag.
pub(crate) type Source = Arc<dyn Fn(u64, Option<HeaderValue>) -> Opening + Send + Sync>;

/// What is expected.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Where it is written; what is there already is its beginning.
    pub(crate) path: PathBuf,
    /// Its digest, where it is known.
    pub(crate) digest: Option<Digest>,
    /// Its exact length, where it is known.
    pub(crate) size: Option<u64>,
    /// Most bytes.
    pub(crate) limit: u64,
}

/// How far it has come, in bytes; and of how many, where that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Far {
    /// Bytes that are written.
    pub(crate) bytes: u64,
    /// Bytes of the whole; 0 when not known.
    pub(crate) total: u64,
}

/// A file that came whole.
#[derive(Debug)]
pub(crate) struct Downloaded {
    /// Open at its end.
    pub(crate) file: File,
    /// Digest of what it holds.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
}

/// Brings a file. It is left lying when it broke off and may be gone on with, and removed when it is
/// another one than was asked for.
///
/// # Errors
/// [`DownloadError`] says whose fault it is.
pub(crate) async fn download(
    wanted: Wanted,
    source: Source,
    far: watch::Sender<Far>,
    stop: CancellationToken,
) -> Result<Downloaded, DownloadError> {
    match download_once(&wanted, &source, &far, &stop).await {
        // What was lying there may have been damaged: once more, from the beginning.
        Err((DownloadError::Mismatch { .. }, true)) => {
            download_once(&wanted, &source, &far, &stop).await.map_err(|(error, _)| error)
        }
        ended => ended.map_err(|(error, _)| error),
    }
}

/// One pass, and with an error whether it went on with what was lying there.
async fn download_once(
    wanted: &Wanted,
    source: &Source,
    far: &watch::Sender<Far>,
    stop: &CancellationToken,
) -> Result<Downloaded, (DownloadError, bool)> {
    let fresh = |error| (error, false);
    let (spool, at) = Spool::start(wanted.clone(), far.clone()).await.map_err(fresh)?;
    let (spool, brought) = bring(wanted, source, at, spool, far, stop).await;
    let resumed = at > 0;
    let written = spool.end().await;
    let downloaded = match (brought, written) {
        (Err(Failed::Source(error)), _) => return Err((error, resumed)),
        (Ok(()) | Err(Failed::Spool), written) => written.map_err(fresh)?,
    };
    match &wanted.digest {
        Some(expected) if *expected != downloaded.digest => {
            let (expected, got) = (expected.to_string(), downloaded.digest.to_string());
            // Emptied and not removed: others may have it open.
            downloaded.file.set_len(0).map_err(|error| fresh(error.into()))?;
            Err((DownloadError::Mismatch { expected, got }, resumed))
        }
        Some(_) | None => Ok(downloaded),
    }
}

/// Why nothing more is handed on.
enum Failed {
    /// The source says why.
    Source(DownloadError),
    /// The spool does, at its end.
    Spool,
}

impl From<DownloadError> for Failed {
    fn from(error: DownloadError) -> Self {
        Self::Source(error)
    }
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Source(error.into())
    }
}

/// Hands on what the source gives, from `at` on, through as many connections as it takes.
async fn bring(
    wanted: &Wanted,
    source: &Source,
    mut at: u64,
    spool: Spool,
    far: &watch::Sender<Far>,
    stop: &CancellationToken,
) -> (Spool, Result<(), Failed>) {
    let mut bringing = Bringing { etag: None, spool, pace: Pace::new(at) };
    let mut tries = 0;
    while wanted.size != Some(at) {
        let before = at;
        let ended = tokio::select! {
            ended = bringing.connection(wanted, source, &mut at, far) => ended,
            () = stop.cancelled() => Err(DownloadError::Stopped.into()),
        };
        tries = if at > before { 0 } else { tries + 1 };
        match ended {
            Err(Failed::Source(error)) if error.may_pass() && tries < TRIES => {
                tracing::info!(error = %crate::report::chain(&error), at, "a download broke off; it goes on");
            }
            ended => return (bringing.spool, ended),
        }
        tokio::select! {
            () = tokio::time::sleep(FIRST_PAUSE * 2_u32.saturating_pow(tries)) => {}
            () = stop.cancelled() => return (bringing.spool, Err(DownloadError::Stopped.into())),
        }
    }
    (bringing.spool, Ok(()))
}

struct Bringing {
    etag: Option<HeaderValue>,
    spool: Spool,
    pace: Pace,
}

impl Bringing {
    /// One connection's worth.
    async fn connection(
        &mut self,
        wanted: &Wanted,
        source: &Source,
        at: &mut u64,
        far: &watch::Sender<Far>,
    ) -> Result<(), Failed> {
        let mut answer = source(*at, self.etag.clone()).await?;
        if !answer.status().is_success() {
            return Err(answer.refusal().into());
        }
        if *at > 0 && !goes_on(&answer, *at) {
            self.spool.again().await?;
            *at = 0;
            self.pace = Pace::new(0);
        }
        self.etag = answer.headers().get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")).cloned();
        let announced = answer.length().map(|rest| rest.saturating_add(*at));
        let limit = wanted.size.unwrap_or(wanted.limit);
        if announced.is_some_and(|announced| announced > limit) {
            return Err(DownloadError::TooLong { limit }.into());
        }
        far.send_modify(|far| far.total = wanted.size.or(announced).unwrap_or_default());
        while let Some(chunk) = answer.chunk().await? {
            *at = at.saturating_add(chunk.len() as u64);
            if *at > limit {
                return Err(DownloadError::TooLong { limit }.into());
            }
            self.spool.more(chunk).await?;
            self.pace.check(*at)?;
        }
        match wanted.size.or(announced) {
            Some(expected) if *at < expected => Err(DownloadError::TooShort { expected, got: *at }.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether an answer is the part from a byte on.
fn goes_on(answer: &Answer, at: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    answer.status() == StatusCode::PARTIAL_CONTENT && first == Some(at)
}

/// A file that is being written by a thread of its own, which reckons its digest.
#[derive(Debug)]
pub(crate) struct Spool {
    parts: mpsc::Sender<Part>,
    writing: JoinHandle<io::Result<Downloaded>>,
}

/// The thread ended: its end says why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpoolEnded;

impl From<SpoolEnded> for Failed {
    fn from(_: SpoolEnded) -> Self {
        Self::Spool
    }
}

impl Spool {
    /// Begins behind what is in the file; tells how much that is.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) async fn start(wanted: Wanted, far: watch::Sender<Far>) -> Result<(Self, u64), DownloadError> {
        let (parts, incoming) = mpsc::channel(WAITING);
        let (ready, began) = oneshot::channel();
        let writing = tokio::task::spawn_blocking(move || write(&wanted, incoming, ready, &far));
        let spool = Self { parts, writing };
        match began.await {
            Ok(at) => Ok((spool, at)),
            Err(_) => Err(spool.end().await.err().unwrap_or(DownloadError::Stopped)),
        }
    }

    /// Writes these bytes behind the others.
    pub(crate) async fn more(&self, bytes: Bytes) -> Result<(), SpoolEnded> {
        self.parts.send(Part::More(bytes)).await.map_err(|_| SpoolEnded)
    }

    async fn again(&self) -> Result<(), SpoolEnded> {
        self.parts.send(Part::Again).await.map_err(|_| SpoolEnded)
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn end(self) -> Result<Downloaded, DownloadError> {
        drop(self.parts);
        Ok(self.writing.await.map_err(|error| DownloadError::Defect(error.into()))??)
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Part {
    /// Behind what is there.
    More(Bytes),
    /// From the beginning: the server does not go on in the middle.
    Again,
}

/// How fast it has to come.
struct Pace {
    began: Instant,
    from: u64,
}

impl Pace {
    fn new(from: u64) -> Self {
        Self { began: Instant::now(), from }
    }

    fn check(&self, at: u64) -> Result<(), DownloadError> {
        let allowed = FIRST_MINUTE + Duration::from_secs(at.saturating_sub(self.from) / SLOWEST);
        if self.began.elapsed() > allowed { Err(DownloadError::TooSlow) } else { Ok(()) }
    }
}

/// Writes what comes, behind what is there. Blocks on the disk.
fn write(
    wanted: &Wanted,
    mut incoming: mpsc::Receiver<Part>,
    ready: oneshot::Sender<u64>,
    far: &watch::Sender<Far>,
) -> io::Result<Downloaded> {
    let algorithm = wanted.digest.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let (mut file, mut hasher, mut size) = continued(&wanted.path, algorithm, wanted.size)?;
    let tell = |size| far.send_modify(|far| far.bytes = size);
    tell(size);
    if ready.send(size).is_err() {
        return Err(io::Error::other("nobody waits for the download"));
    }
    while let Some(part) = incoming.blocking_recv() {
        match part {
            Part::More(bytes) => {
                file.write_all(&bytes)?;
                hasher.update(&bytes);
                size = size.saturating_add(bytes.len() as u64);
            }
            Part::Again => {
                file.set_len(0)?;
                file.rewind()?;
                (hasher, size) = (Hasher::new(algorithm), 0);
            }
        }
        tell(size);
    }
    Ok(Downloaded { file, digest: hasher.finish(), size })
}

/// The file at its end, with the digest so far. One that is too long cannot be the beginning.
fn continued(path: &Path, algorithm: Algorithm, size: Option<u64>) -> io::Result<(File, Hasher, u64)> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let found = file.metadata()?.len();
    if size.is_some_and(|size| found > size) {
        file.set_len(0)?;
    }
    let (mut hasher, mut chunk, mut len) = (Hasher::new(algorithm), vec![0; CHUNK], 0_u64);
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
        len = len.saturating_add(count as u64);
    }
    file.seek(SeekFrom::Start(len))?;
    Ok((file, hasher, len))
}
