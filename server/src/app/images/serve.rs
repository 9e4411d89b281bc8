//! Files of images on their way to machines: from the cache, or from the registry through it.

use super::{Origin, of_cache};
use crate::app::App;
use crate::app::actor::{Actor, MachineTokenActor};
use crate::app::error::{AppError, AppErrorKind};
use crate::app::media::Download;
use crate::images::{Blob, Growing};
use crate::places::{Place, Places};
use imaging::digest::Digest;
use protocol::model::Kind;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files on their way at once, altogether and to one machine, which fetches a few at a time.
const AT_ONCE: usize = 512;
const PER_SOURCE: usize = 16;
/// Seconds after which the first who was turned away should ask again, and over how many seconds
/// from then on the others are spread.
const RETRY_AFTER: u64 = 5;
const SPREAD: u64 = 20;

/// Lets files go.
#[derive(Debug)]
pub(crate) struct BlobDoor {
    places: Arc<Places>,
    turned_away: AtomicU64,
}

impl BlobDoor {
    /// With all places free.
    pub(crate) fn new() -> Self {
        Self { places: Places::new(AT_ONCE, PER_SOURCE), turned_away: AtomicU64::new(0) }
    }

    fn admit(&self, source: IpAddr) -> Result<Place, AppError> {
        self.places.take(source).ok_or_else(|| {
            let seconds = RETRY_AFTER + self.turned_away.fetch_add(1, Ordering::Relaxed) % SPREAD;
            let running = self.places.taken();
            let message =
                format!("{running} files of images are on their way; try again in {seconds} seconds");
            AppError::new(AppErrorKind::Unavailable, message).after(seconds)
        })
    }
}

/// A file of an image, about to be sent.
#[derive(Debug)]
pub(crate) enum ImageFile {
    /// It is here.
    Whole(Box<Download>),
    /// It is still coming.
    Growing {
        /// As it grows.
        file: Growing,
        /// Its length.
        len: u64,
        /// Entity tag, quoted.
        etag: String,
        /// Its place among those that are sent.
        place: Place,
    },
}

impl App {
    /// A file of an image: for the job of a machine whose active run installs it, and for users who may
    /// read images, as far as it is here. With `verify` it is read whole before: for who got it damaged.
    ///
    /// # Errors
    /// Not found, whoever else may have it; `Unavailable` when too many are on their way; `StorageFull`.
    pub(crate) async fn image_file(
        &self,
        actor: &Actor,
        key: &str,
        verify: bool,
        source: IpAddr,
    ) -> Result<ImageFile, AppError> {
        let unknown = || AppError::not_found("blobs", key);
        let digest: Digest = key.parse().map_err(|_| unknown())?;
        let needed = match actor {
            Actor::MachineToken(token) => Some(self.needed_by(token, &digest).await?.ok_or_else(unknown)?),
            Actor::User(_) | Actor::Machine(_) => {
                actor.may(Kind::Images.prefix(), "get", key)?;
                None
            }
        };
        let place = self.blob_door.admit(source)?;
        let mut held = self.images.held(&digest, verify).await.map_err(AppError::internal)?;
        if let (None, Some((image, size))) = (&held, needed) {
            held = self.pull_blob(&image, &digest, size).await?;
        }
        let etag = format!("\"{digest}\"");
        match held.ok_or_else(unknown)? {
            Blob::Whole(file, len) => {
                Ok(ImageFile::Whole(Box::new(Download::of_file(file, len, etag, place)?)))
            }
            Blob::Growing(file, len) => Ok(ImageFile::Growing { file, len, etag, place }),
        }
    }

    /// The image whose file a machine's active run installs, and how long that is; none for other files.
    async fn needed_by(
        &self,
        token: &MachineTokenActor,
        digest: &Digest,
    ) -> Result<Option<(String, u64)>, AppError> {
        let Some((run, order)) = self.active_run_of(token.machine).await? else { return Ok(None) };
        let named = order.layers.iter().find(|layer| layer.digest.parse() == Ok(*digest));
        Ok(named.map(|layer| (run.image, layer.size)))
    }

    async fn pull_blob(&self, image: &str, digest: &Digest, size: u64) -> Result<Option<Blob>, AppError> {
        let image = self.image_named(image)?;
        let Origin::Registry(place) = self.image_origin(&image)? else {
            let message = format!(
                "image {0} is not in this server's cache any more: run `muster image import {0}`, then \
                 provision the machine again",
                image.name
            );
            return Err(
                AppError::new(AppErrorKind::NotFound, message).about(Kind::Images.prefix(), image.name)
            );
        };
        let keep = self.kept_images().await?;
        let blob = self.images.pulled(digest, size, &place, &keep).await.map_err(of_cache)?;
        // A registry that refuses is told in words, and not by a body that breaks off.
        if let Some(Blob::Growing(file, _)) = &blob {
            file.begins().await.map_err(|why| {
                AppError::new(AppErrorKind::Unavailable, format!("image {}: {why}", image.name))
                    .after(RETRY_AFTER)
            })?;
        }
        Ok(blob)
    }
}
