//! Layers of an OCI image or a root tar, into the target's file systems in one pass: what comes is hashed,
//! unpacked and written at once, and no archive ever lies on the disk.
//!
//! A layer's digest is known to be right only at its end. Until then its files are on a disk that nothing
//! boots from, and an attempt that failed is removed before the next.

use super::{WriteError, fetch_error};
use crate::install::fetch::Fetcher;
use crate::install::mount::{MountError, Target, Volumes};
use crate::install::state::Mount;
use crate::install::{Install, say};
use crate::report::chain;
use imaging::compress::{self, Ahead, Decoder};
use imaging::digest::{Digest, Verifying};
use imaging::layer::{LayerError, Limits, Unpacker, Whiteouts};
use protocol::install::{ImageOrder, Layer, Way};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often what was written is brought to the disk: a disk that fails is known within this time, and little
/// is left to write at the end.
const SYNC_EVERY: Duration = Duration::from_secs(8);

/// Writes the image into these file systems, which are unmounted afterwards.
///
/// # Errors
/// [`WriteError`].
pub(super) fn write(
    install: &Install,
    fetcher: &Fetcher,
    image: &ImageOrder,
    mounts: &[Mount],
) -> Result<(), WriteError> {
    if image.layers.is_empty() || (image.way == Way::Tar && image.layers.len() > 1) {
        return Err(WriteError::Files(image.layers.len()));
    }
    // Each source may send something else once.
    let sources = image.layers.iter().map(|file| file.sources.len()).max();
    let mut again = sources.unwrap_or(0).max(1);
    let mut attempt = 0;
    loop {
        install.progress.doing("emptying the file systems")?;
        Target::empty(&install.target, mounts)?;
        let target = Target::mount(&install.target, mounts)?;
        let volumes = target.volumes()?;
        match unpack(install, fetcher, image, attempt, &volumes) {
            Ok(()) => {
                install.progress.doing("bringing it to the disk")?;
                volumes.sync()?;
                drop(volumes);
                return Ok(target.unmount()?);
            }
            Err(WriteError::Layer { source, .. }) if again > 0 => {
                say(&format!("{}; beginning once more", chain(&source)));
                again -= 1;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Unpacks all layers, the lowest first, while what is there is brought to the disk.
pub(super) fn unpack(
    install: &Install,
    fetcher: &Fetcher,
    image: &ImageOrder,
    attempt: usize,
    volumes: &Volumes,
) -> Result<(), WriteError> {
    let root = volumes.root().ok_or(WriteError::NotPartitioned)?;
    let root = root.try_clone_to_owned().map_err(|error| MountError::Point(install.target.clone(), error))?;
    let whiteouts = match image.way {
        Way::Layers => Whiteouts::Apply,
        Way::Tar | Way::BlockMap => Whiteouts::Plain,
    };
    let mut unpacker = Unpacker::beneath(root, Limits::default());
    let syncer = Syncer::default();
    thread::scope(|scope| {
        let (_done, ended) = channel::<()>();
        scope.spawn(|| syncer.work(volumes, ended));
        for (number, file) in image.layers.iter().enumerate() {
            let message = format!("layer {} of {}", number.saturating_add(1), image.layers.len());
            install.progress.doing(&message)?;
            let outcome = layer(fetcher, file, attempt, &syncer, |source| unpacker.layer(source, whiteouts));
            if let Some(error) = syncer.failure() {
                return Err(error.into());
            }
            outcome?.map_err(|error| explained(error, file, volumes))?;
        }
        Ok(())
    })
}

/// One layer, with what its unpacking said.
fn layer<T>(
    fetcher: &Fetcher,
    file: &Layer,
    attempt: usize,
    syncer: &Syncer,
    unpack: impl FnOnce(Ahead) -> Result<T, LayerError>,
) -> Result<Result<T, LayerError>, WriteError> {
    let digest: Digest = file.digest.parse().map_err(|_| WriteError::Unknown)?;
    let download = fetcher.open(file, 0, attempt)?;
    syncer.watch(download.stopper());
    let proven = Verifying::new(download, digest, Some(file.size).filter(|size| *size > 0));
    let source = Decoder::open(proven, compress::Limits::ARCHIVE).and_then(Ahead::start);
    Ok(source.map_err(LayerError::Source).and_then(unpack))
}

/// What is to be done about it: a disk that is full or fails is named, and a download that ended tells why.
fn explained(error: LayerError, file: &Layer, volumes: &Volumes) -> WriteError {
    if let LayerError::Source(source) = &error
        && let Some(error) = fetch_error(source)
    {
        return error.into();
    }
    match error.io().map(io::Error::kind) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            WriteError::Full { device: volumes.fullest(), source: Box::new(error) }
        }
        Some(_) => WriteError::Refused { device: volumes.fullest(), source: Box::new(error) },
        None => WriteError::Layer { digest: file.digest.clone(), source: Box::new(error) },
    }
}

/// Brings to the disk what was written, all along.
#[derive(Debug, Default)]
struct Syncer {
    failure: Mutex<Option<MountError>>,
    /// Ends the download that is under way.
    stopper: Mutex<Option<AbortHandle>>,
}

impl Syncer {
    /// Works until its channel's other end is gone, or the disk fails; then there is no more to read.
    fn work(&self, volumes: &Volumes, ended: Receiver<()>) {
        while ended.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = volumes.sync() {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                if let Some(stopper) = &*self.stopper.lock().unwrap_or_else(PoisonError::into_inner) {
                    stopper.abort();
                }
                return;
            }
        }
    }

    fn watch(&self, stopper: AbortHandle) {
        *self.stopper.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopper);
    }

    fn failure(&self) -> Option<MountError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
