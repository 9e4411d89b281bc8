//! Files of an image as readers: downloaded by the network's thread while who reads decodes and writes.
//!
//! A file is known by its digest, so a download that was cut goes on where it was at any of its sources. A
//! server that is away or busy is asked again, for as long as [`Patience`] lasts; one that has not got the
//! file, or is not who it should be, is asked no more.

use super::progress::Reporter;
use super::settings::Settings;
use crate::api::blob::{self, BlobError, Wanted};
use crate::api::rest::Place;
use crate::api::tls::{ExtraCa, Trust};
use crate::jitter::random;
use crate::report::chain;
use crate::runner::settings::certificates;
use crate::runner::task_token;
use crate::state::retry;
use hyper::body::Bytes;
use protocol::config::ServerUrl;
use protocol::install::{Layer, Source};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Pieces that wait for a reader. Those of a connection have at most 16 KiB: 8 MiB together.
const WAITING: usize = 512;
/// A connection that brought at least so many bytes is made again at once.
const WORTH_IT: u64 = 64 * 1_024;

/// Why a file does not come.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FetchError {
    /// Nobody has it.
    #[error(
        "cannot download {digest}; see that the server runs and has the image ('muster image show'), and start the run again"
    )]
    Failed {
        /// The file.
        digest: String,
        /// What the last source did.
        #[source]
        cause: Arc<BlobError>,
    },
    /// A source that cannot be asked.
    #[error("cannot download {digest}: {cause}")]
    Source {
        /// The file.
        digest: String,
        /// Why not, and what to do.
        cause: String,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(#[from] super::progress::Cancelled),
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Longest silence of a server, before the answer and within it.
    pub(super) silence: Duration,
    /// Longest time without a new byte from anybody. The server ends a step that takes longer than its
    /// deadline; this is for a server that never comes back.
    pub(super) fruitless: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), fruitless: Duration::from_secs(1_800) }
    }
}

/// Where files of one image are downloaded.
pub(super) struct Fetcher {
    settings: Settings,
    handle: Handle,
    progress: Reporter,
    patience: Patience,
    /// Bytes that came so far, of all files.
    received: Arc<AtomicU64>,
    /// Bytes to come in all; 0 when not known.
    total: u64,
}

impl Fetcher {
    /// For files of `total` bytes together; 0 when that is not known.
    pub(super) fn new(install: &super::Install, patience: Patience, total: u64) -> Self {
        Self {
            settings: install.settings.clone(),
            handle: install.network.handle().clone(),
            progress: install.progress.clone(),
            patience,
            received: Arc::default(),
            total,
        }
    }

    /// Bytes that came so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Begins to download a file at its byte `from`. Of its sources the one at `first` (counted around) is
    /// asked first.
    ///
    /// # Errors
    /// [`FetchError::Source`] where none can be asked.
    pub(super) fn open(&self, file: &Layer, from: u64, first: usize) -> Result<Download, FetchError> {
        let wrong = |cause: String| FetchError::Source { digest: file.digest.clone(), cause };
        let mut origins = Vec::new();
        let mut problem = "the order names no place to get it from".to_owned();
        for source in &file.sources {
            match Origin::new(source, &self.settings) {
                Ok(origin) => origins.push(origin),
                Err(cause) => problem = cause,
            }
        }
        if origins.is_empty() {
            return Err(wrong(problem));
        }
        let turns = first % origins.len();
        origins.rotate_left(turns);
        let (out, pieces) = mpsc::channel(WAITING);
        let delivery = Delivery {
            settings: self.settings.clone(),
            digest: file.digest.clone(),
            size: Some(file.size).filter(|size| *size > 0),
            origins,
            at: from,
            patience: self.patience,
            progress: self.progress.clone(),
            received: self.received.clone(),
            total: self.total,
        };
        let task = self.handle.spawn(delivery.run(out)).abort_handle();
        Ok(Download { pieces, piece: Bytes::new(), task })
    }

    /// Counts bytes that came before.
    pub(super) fn count(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A file as it comes. An error of [`FetchError`] is inside the `io::Error`.
#[derive(Debug)]
pub(super) struct Download {
    pieces: mpsc::Receiver<Result<Bytes, FetchError>>,
    piece: Bytes,
    task: AbortHandle,
}

impl Download {
    /// Ends it from elsewhere: who waits for its bytes finds that there are no more.
    pub(super) fn stopper(&self) -> AbortHandle {
        self.task.clone()
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !buffer.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        let piece = self.piece.split_to(count);
        if let Some(to) = buffer.get_mut(..count) {
            to.copy_from_slice(&piece);
        }
        Ok(count)
    }
}

/// A source that can be asked.
struct Origin {
    place: Place,
    path: String,
    /// Whose token is sent.
    authorization: Authorization,
    /// What it called the file.
    tag: Option<String>,
}

enum Authorization {
    /// The job's, as it is when the call is made.
    Job,
    /// A foreign server's own; empty for none.
    Given(String),
}

impl Origin {
    /// # Errors
    /// Why it cannot be asked, in words.
    fn new(source: &Source, settings: &Settings) -> Result<Self, String> {
        let ours = &settings.runner.place;
        if source.url.starts_with('/') {
            let (path, authorization) = (source.url.clone(), Authorization::Job);
            return Ok(Self { place: ours.clone(), path, authorization, tag: None });
        }
        let Some(rest) = source.url.strip_prefix("https://") else {
            return Err(
                "its address begins with neither https:// nor /; set Pull to server in the Image".to_owned()
            );
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let server: ServerUrl = format!("https://{authority}").parse().map_err(|error| format!("{error}"))?;
        if source.ca.is_empty() {
            return Err(format!(
                "nobody vouches for {server}: give the Image its CA (PEM), or set Pull to server in it"
            ));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let ca = certificates(&source.ca).map_err(|error| chain(&error))?;
        // No Muster server is behind it, so its id stands for nothing.
        let extra = ExtraCa::new(&ca, Some("")).map_err(|error| error.to_string())?;
        if extra.is_none() {
            return Err(format!("the CA for {server} holds no certificate; give the Image its CA (PEM)"));
        }
        let trust = Trust { pins: Vec::new(), extra };
        let place = Place { server, trust, proxy: ours.proxy.clone() };
        Ok(Self { place, path, authorization: Authorization::Given(source.authorization.clone()), tag: None })
    }
}

/// One file under way.
struct Delivery {
    settings: Settings,
    digest: String,
    size: Option<u64>,
    /// The first one is asked next.
    origins: Vec<Origin>,
    /// The next byte.
    at: u64,
    patience: Patience,
    progress: Reporter,
    received: Arc<AtomicU64>,
    total: u64,
}

impl Delivery {
    /// Delivers until the file, an error, or the last reader ends it.
    async fn run(mut self, out: mpsc::Sender<Result<Bytes, FetchError>>) {
        let progress = self.progress.clone();
        let ended = tokio::select! {
            ended = self.deliver(&out) => ended,
            cancelled = progress.cancelled() => Err(cancelled.into()),
            () = out.closed() => return,
        };
        if let Err(error) = ended {
            // Without a reader nobody wants to know.
            out.send(Err(error)).await.unwrap_or(());
        }
    }

    async fn deliver(&mut self, out: &mpsc::Sender<Result<Bytes, FetchError>>) -> Result<(), FetchError> {
        let mut attempt = 0;
        let mut fruitful = Instant::now();
        loop {
            let before = self.at;
            let Err(error) = self.stretch(out).await else { return Ok(()) };
            if self.at > before {
                (attempt, fruitful) = (0, Instant::now());
            }
            let is_worth_it = self.at.saturating_sub(before) >= WORTH_IT;
            let failed = |error| FetchError::Failed { digest: self.digest.clone(), cause: Arc::new(error) };
            if !error.passes() {
                if self.origins.len() <= 1 {
                    return Err(failed(error));
                }
                super::say(&format!("{}; asking another source", chain(&error)));
                self.origins.remove(0);
                continue;
            }
            if fruitful.elapsed() > self.patience.fruitless {
                return Err(failed(error));
            }
            if attempt == 1 {
                super::say(&format!("{}; trying again", chain(&error)));
            }
            self.origins.rotate_left(1);
            if !is_worth_it {
                sleep(retry::asked_pause(attempt, random(), error.retry_after())).await;
                attempt = attempt.saturating_add(1);
            }
        }
    }

    /// As much as one connection brings.
    async fn stretch(&mut self, out: &mpsc::Sender<Result<Bytes, FetchError>>) -> Result<(), BlobError> {
        let Some(origin) = self.origins.first_mut() else { return Ok(()) };
        let authorization = match &origin.authorization {
            Authorization::Job => format!("Bearer {}", task_token(&self.settings.runner)),
            Authorization::Given(given) => given.clone(),
        };
        let wanted = Wanted {
            path: &origin.path,
            authorization: &authorization,
            from: self.at,
            size: self.size,
            tag: origin.tag.as_deref(),
            silence: self.patience.silence,
        };
        let mut coming = blob::ask(&origin.place, wanted).await?;
        origin.tag = coming.tag.take();
        self.size = self.size.or(coming.size);
        while let Some(piece) = coming.next().await? {
            let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if out.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
            self.at = self.at.saturating_add(count);
            let received = self.received.fetch_add(count, Ordering::Relaxed).saturating_add(count);
            // Whether it was cancelled is looked at elsewhere.
            self.progress.bytes(received, self.total).unwrap_or(());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
