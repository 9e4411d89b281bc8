//! Images of operating systems: fetched from registries and other servers, kept, and made into what
//! machines install.
//!
//! - [`guard`], [`fetch`]: where the server lets itself be sent
//! - [`registry`], [`challenge`]: OCI images in their registries
//! - [`cache`], [`download`], [`pull`]: files by their digests, and how they come
//! - [`import`], [`convert`]: what is no OCI image, made into what machines install

mod cache;
mod challenge;
mod convert;
mod download;
mod fetch;
mod guard;
mod import;
mod pull;
mod registry;

#[cfg(test)]
mod import_tests;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

pub(crate) use cache::CacheError;
pub(crate) use download::DownloadError;
pub(crate) use fetch::Trust;
pub(crate) use guard::{Lookup, check_literal, port_of, read_url, system_lookup};
pub(crate) use import::{ImportError, Imports, Upload, Wish};
pub(crate) use pull::Growing;
pub(crate) use registry::{Login, OciImage, Place, RegistryError};

use cache::Cache;
use download::Source;
use fetch::{Ask, Fetcher, shown_host};
use imaging::digest::Digest;
use imaging::oci::Platform;
use pull::Pulls;
use registry::Registries;
use reqwest::Url;
use reqwest::header::HeaderValue;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Folder with what images were imported as.
const RECORDS: &str = "imports";

/// Everything about images that one server has.
#[derive(Debug)]
pub(crate) struct Images {
    cache: Arc<Cache>,
    pulls: Arc<Pulls>,
    registries: Arc<Registries>,
    fetcher: Arc<Fetcher>,
    /// What was imported, and what is.
    pub(crate) imports: Arc<Imports>,
}

/// A file of an image, to be sent.
#[derive(Debug)]
pub(crate) enum Blob {
    /// It is there whole: the open file, and its length.
    Whole(File, u64),
    /// It is coming: the file as it grows, and the length that it will have.
    Growing(Growing, u64),
}

impl Images {
    /// Opens what is in a folder, of at most so many bytes.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) fn open(root: PathBuf, space: Option<u64>, lookup: Lookup) -> io::Result<Self> {
        let records = root.join(RECORDS);
        let cache = Arc::new(Cache::open(root, space)?);
        let imports = Arc::new(Imports::open(Arc::clone(&cache), records)?);
        let fetcher = Arc::new(Fetcher::new(lookup));
        let registries = Arc::new(Registries::new(Arc::clone(&fetcher)));
        Ok(Self { pulls: Arc::new(Pulls::new(Arc::clone(&cache))), cache, registries, fetcher, imports })
    }

    /// What an OCI image is now for a platform.
    ///
    /// # Errors
    /// [`RegistryError`] names registry, image and remedy.
    pub(crate) async fn resolve(
        &self,
        place: &Place,
        platform: &Platform,
    ) -> Result<OciImage, RegistryError> {
        self.registries.resolve(place, platform).await
    }

    /// The header with which a machine reads this blob by itself; none where everybody may.
    ///
    /// # Errors
    /// [`RegistryError`] names registry, image and remedy.
    pub(crate) async fn authorization(
        &self,
        place: &Place,
        blob: &Digest,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        self.registries.authorization(place, blob).await
    }

    /// A file that is there or on its way; none for any other. `verify` reads it whole before and drops
    /// it where the disk damaged it.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn held(&self, digest: &Digest, verify: bool) -> io::Result<Option<Blob>> {
        let (cache, wanted) = (Arc::clone(&self.cache), *digest);
        let look = move || if verify { cache.get_verified(&wanted) } else { cache.get(&wanted) };
        let whole = tokio::task::spawn_blocking(look).await.map_err(io::Error::other)??;
        if let Some((file, size)) = whole {
            return Ok(Some(Blob::Whole(file, size)));
        }
        Ok(self.pulls.running(digest).map(|pull| Blob::Growing(pull.read(), pull.size())))
    }

    /// A blob of an OCI image, which is fetched from its registry while it is read when it is not here.
    /// What is in `keep` is not dropped to make room.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    pub(crate) async fn pulled(
        &self,
        digest: &Digest,
        size: u64,
        place: &Place,
        keep: &HashSet<Digest>,
    ) -> Result<Option<Blob>, CacheError> {
        let room = self.cache.make_room(size, keep)?;
        let (registries, place, wanted) = (Arc::clone(&self.registries), place.clone(), *digest);
        let source: Source = Arc::new(move |from, _| {
            let (registries, place) = (Arc::clone(&registries), place.clone());
            Box::pin(async move { Ok(registries.blob(&place, &wanted, from).await?) })
        });
        match self.pulls.start(digest, size, room, source)? {
            Some(pull) => Ok(Some(Blob::Growing(pull.read(), pull.size()))),
            None => Ok(self.held(digest, false).await?),
        }
    }

    /// Begins to import the file behind a URL. The login is shown to its own host alone.
    pub(crate) fn import(&self, wish: Wish, url: &Url, login: Option<&Login>, trust: &Trust) {
        let authorization = login.filter(|login| login.is_for(&shown_host(url))).and_then(Login::basic);
        let (fetcher, trust, url) = (Arc::clone(&self.fetcher), trust.clone(), url.clone());
        let source: Source = Arc::new(move |from, etag| {
            let (fetcher, trust) = (Arc::clone(&fetcher), trust.clone());
            let mut ask = Ask::whole(url.clone());
            ask.authorization.clone_from(&authorization);
            ask.from = (from > 0).then_some((from, etag));
            Box::pin(async move { Ok(fetcher.ask(&ask, &trust).await?) })
        });
        self.imports.start(wish, source);
    }

    /// Stops what is under way.
    pub(crate) async fn stop(&self) {
        self.imports.stop().await;
        self.pulls.stop().await;
    }
}
