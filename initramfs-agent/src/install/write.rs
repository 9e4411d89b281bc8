//! The verb `write`: the image, from the network to the disk in one pass, and nothing that could be booted
//! before its digest was right.
//!
//! Layers and root tars go into the file systems that `partition` made, on a disk without a loader. A disk
//! image goes over the whole disk but for its first and last bytes, which `boot` writes.

mod blocks;
mod held;
mod tree;

use super::direct::DiskError;
use super::fetch::{FetchError, Fetcher, Patience};
use super::mount::MountError;
use super::progress::Cancelled;
use super::state::{State, StateError, Written};
use super::{Install, InstallError, permit, say};
use crate::inventory::disks_now;
use imaging::blockmap::MapError;
use imaging::layer::LayerError;
use protocol::install::{ImageOrder, InstallOrder, Way};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

/// Why the image is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The verb before this one did not run.
    #[error("the disk is not partitioned; start the run again")]
    NotPartitioned,
    /// The permit names other disks.
    #[error(
        "E60: the wipe permit does not name the disk {0}; nothing more is written to it, start the run again"
    )]
    NotPermitted(PathBuf),
    /// An image of no file, or of many where there must be one.
    #[error("the order's image has {0} files, which is none that can be written; import the image again")]
    Files(usize),
    /// A file without what it is known by.
    #[error("the order's image has no usable digest; import the image again")]
    Unknown,
    /// The image does not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The disk does not take it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its file systems are not there.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What came is not the image, or not one that can be written.
    #[error(
        "the image {digest} is damaged, and was so again when it was asked for once more; import it again"
    )]
    Image {
        /// The file.
        digest: String,
        /// What is wrong with it.
        #[source]
        source: Box<MapError>,
    },
    /// What came is not the layer, or one that is not unpacked.
    #[error("the image's file {digest} cannot be unpacked, also when it was asked for once more")]
    Layer {
        /// The file.
        digest: String,
        /// What is wrong with it.
        #[source]
        source: Box<LayerError>,
    },
    /// A file system is full.
    #[error(
        "{device} is full; give it more room in the param muster/disk-layout, or take a larger disk by muster/disk"
    )]
    Full {
        /// The device.
        device: PathBuf,
        /// What was to be written.
        #[source]
        source: Box<LayerError>,
    },
    /// A file system does not take a file.
    #[error(
        "{device} does not take what the image has; if the disk fails, look at its SMART data and take another one by the param muster/disk"
    )]
    Refused {
        /// The device.
        device: PathBuf,
        /// What was to be written.
        #[source]
        source: Box<LayerError>,
    },
    /// What was done cannot be noted.
    #[error(transparent)]
    State(#[from] StateError),
    /// Somebody cancelled the run.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// The verb.
pub(super) fn write(install: &Install) -> Result<(), InstallError> {
    let order = install.order()?;
    let mut state = install.state()?;
    if state.written.as_ref().is_some_and(|written| written.digest == order.image.digest) {
        say("the image is written already");
        return Ok(());
    }
    permitted(install, &order, &state)?;
    let begun = Instant::now();
    let written = image(install, &order.image, &mut state, Patience::default())?;
    say(&format!("written in {} s", begun.elapsed().as_secs()));
    say(&format!("downloaded {} bytes of {}", written.downloaded, size(&order.image)));
    state.written = Some(written);
    install.keep(&state)
}

/// Holds the disks that were partitioned against a wipe permit of this very job.
///
/// # Errors
/// [`InstallError`] without a permit, and where it names other disks.
pub(super) fn permitted(install: &Install, order: &InstallOrder, state: &State) -> Result<(), InstallError> {
    let made = state.partitioned.as_ref().ok_or(WriteError::NotPartitioned)?;
    let (granted, present) = (permit::obtain(install, order)?, disks_now());
    let named: Vec<PathBuf> = granted.disks(&present)?.into_iter().map(permit::device).collect();
    match made.disks.iter().find(|disk| !named.contains(disk)) {
        Some(disk) => Err(WriteError::NotPermitted(disk.clone()).into()),
        None => Ok(()),
    }
}

/// Writes an image onto what `partition` made.
fn image(
    install: &Install,
    image: &ImageOrder,
    state: &mut State,
    patience: Patience,
) -> Result<Written, WriteError> {
    let fetcher = Fetcher::new(install, patience, size(image));
    let held = match image.way {
        Way::Layers | Way::Tar => {
            let made = state.partitioned.as_ref().ok_or(WriteError::NotPartitioned)?;
            tree::write(install, &fetcher, image, &made.mounts)?;
            Vec::new()
        }
        Way::BlockMap => blocks::write(install, &fetcher, image, state)?,
    };
    Ok(Written { digest: image.digest.clone(), downloaded: fetcher.received(), held })
}

/// Bytes to download; 0 when that is not known of all files.
fn size(image: &ImageOrder) -> u64 {
    let sizes = image.layers.iter().map(|file| Some(file.size).filter(|size| *size > 0));
    sizes.sum::<Option<u64>>().unwrap_or(0)
}

/// What a download failed with, where that is inside an error of who read it.
fn fetch_error(error: &io::Error) -> Option<FetchError> {
    error.get_ref()?.downcast_ref::<FetchError>().cloned()
}

#[cfg(test)]
mod tests;
