//! Images of operating systems, for runs and their operators: what an Image is now, where its files are,
//! and how its import goes.

mod import;
mod serve;

pub(crate) use serve::{BlobDoor, ImageFile};

use super::App;
use super::error::{AppError, AppErrorKind};
use crate::images::{
    CacheError, DownloadError, ImportError, Login, Place, RegistryError, Trust, Wish, read_url,
};
use crate::report::chain;
use engine::image_hosts::ImageHosts;
use engine::names;
use imaging::digest::Digest;
use imaging::oci::{Platform, Reference};
use protocol::install::{ImageOrder, ImportPhase, Layer, Source, Way};
use protocol::model::{Image, ImageFormat, Kind, Pull, UPLOAD};
use std::collections::HashSet;

/// The path under which machines get files of images.
const BLOBS: &str = "/api/v3/images/blobs/";
/// Seconds after which a registry that did not answer is asked again.
const ASK_AGAIN: u64 = 10;

/// What an image is for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// It can be installed.
    Ready(ResolvedImage),
    /// It is being imported: ask again.
    Importing {
        /// How much is done.
        percent: u8,
        /// What is done now.
        message: String,
    },
}

/// An image that can be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedImage {
    /// What is installed, with this server as the source of all files, and without secrets.
    pub(crate) order: ImageOrder,
}

/// Where an image comes from.
enum Origin {
    Registry(Box<Place>),
    Url(reqwest::Url),
    Upload,
}

impl App {
    /// What an image is now for machines of an architecture: of an OCI image the manifest that its tag
    /// names, of others what they were imported as. An import that is needed begins.
    ///
    /// # Errors
    /// `Invalid` with what is wrong with the image, `Unavailable` where the registry may answer later.
    pub(crate) async fn resolve_image(&self, name: &str, arch: &str) -> Result<Resolved, AppError> {
        let image = self.image_named(name)?;
        let arch = names::canonical_arch(arch).unwrap_or(arch);
        if !image.architecture.is_empty() && image.architecture != arch {
            let message = format!("image {name} is for {}, and the machine is {arch}", image.architecture);
            return Err(invalid(name, message));
        }
        match self.image_origin(&image)? {
            Origin::Registry(place) => {
                let found = self.images.resolve(&place, &Platform::linux(arch)).await;
                let found = found.map_err(|error| of_registry(name, &error))?;
                let layers = found.layers.into_iter().map(from_here).collect();
                let order = ImageOrder { way: Way::Layers, digest: found.digest.to_string(), layers };
                Ok(Resolved::Ready(ResolvedImage { order }))
            }
            Origin::Url(_) | Origin::Upload => self.resolve_imported(&image).await,
        }
    }

    /// The same image with the sources that its machines may use besides, and what opens them: secrets,
    /// for the machine that installs it alone.
    ///
    /// # Errors
    /// As [`App::resolve_image`].
    pub(crate) async fn image_sources(&self, order: ImageOrder, name: &str) -> Result<ImageOrder, AppError> {
        let image = self.image_named(name)?;
        if image.pull != Pull::Direct || order.way != Way::Layers {
            return Ok(order);
        }
        let Origin::Registry(place) = self.image_origin(&image)? else { return Ok(order) };
        // Without TLS nobody sends a machine anywhere.
        let Some(first) = order.layers.first().filter(|_| !place.is_plain()) else { return Ok(order) };
        let failed = |error| of_registry(name, &error);
        let digest = digest(&first.digest)?;
        let authorization = self.images.authorization(&place, &digest).await.map_err(failed)?;
        let authorization =
            authorization.as_ref().and_then(|header| header.to_str().ok()).unwrap_or_default();
        let mut order = order;
        for layer in &mut order.layers {
            let url = place.blob_url(&self::digest(&layer.digest)?).map_err(failed)?;
            let direct =
                Source { url: url.into(), authorization: authorization.to_owned(), ca: image.ca.clone() };
            layer.sources.insert(0, direct);
        }
        Ok(order)
    }

    /// What was imported, or how far the import has come, which begins where there is none.
    async fn resolve_imported(&self, image: &Image) -> Result<Resolved, AppError> {
        let declared = declared_digest(image)?;
        let record = self.images.imports.record(&image.name, &image.source, image.format, declared);
        if let Some(record) = record {
            let file = Layer {
                digest: record.digest.to_string(),
                size: record.size,
                index: record.index.map(|index| index.to_string()).unwrap_or_default(),
                ..Layer::default()
            };
            let layers = vec![from_here(file)];
            let order = ImageOrder { way: record.way, digest: record.digest.to_string(), layers };
            return Ok(Resolved::Ready(ResolvedImage { order }));
        }
        let state = self.import_state(image)?;
        if state.state == ImportPhase::Failed && !self.images.imports.may_try_again(&image.name) {
            return Err(invalid(
                &image.name,
                format!("image {} was not imported: {}", image.name, state.message),
            ));
        }
        if state.state.is_active() {
            let message = format!("image {} is imported: {}, {} %", image.name, state.message, state.percent);
            return Ok(Resolved::Importing { percent: state.percent, message });
        }
        if image.source == UPLOAD {
            let message =
                format!("image {0} was not uploaded: run `muster image import {0} FILE`", image.name);
            return Err(invalid(&image.name, message));
        }
        self.begin_import(image).await?;
        Ok(Resolved::Importing { percent: 0, message: format!("image {} is imported", image.name) })
    }

    fn image_named(&self, name: &str) -> Result<Image, AppError> {
        let content = self.content();
        let image = content.images.get(name).map(|image| Image::clone(image));
        image.ok_or_else(|| invalid(name, format!("image {name} does not exist")))
    }

    /// Where an image comes from, with what opens it.
    fn image_origin(&self, image: &Image) -> Result<Origin, AppError> {
        if image.source == UPLOAD {
            return Ok(Origin::Upload);
        }
        if image.source.contains("://") {
            let url = read_url(&image.source).map_err(|error| invalid(&image.name, error.to_string()))?;
            if url.scheme() == "http" && image.digest.is_empty() {
                let message = "an image by http:// can be changed by anybody on the way: give its Digest";
                return Err(invalid(&image.name, message.to_owned()));
            }
            return Ok(Origin::Url(url));
        }
        let reference: Reference =
            image.source.parse().map_err(|error| invalid(&image.name, format!("Source: {error}")))?;
        let reference = match declared_digest(image)? {
            Some(digest) => reference.with_digest(digest),
            None => reference,
        };
        let place =
            Place::new(reference, self.image_login(image)?, self.image_trust(image)?, image.plain_http);
        place.map(|place| Origin::Registry(Box::new(place))).map_err(|error| of_registry(&image.name, &error))
    }

    fn image_login(&self, image: &Image) -> Result<Option<Login>, AppError> {
        if image.credential.is_empty() {
            return Ok(None);
        }
        let credential = self.registry_credential(&image.credential)?.ok_or_else(|| {
            invalid(&image.name, format!("registry credential {} does not exist", image.credential))
        })?;
        Ok(Some(Login {
            registry: credential.registry,
            username: credential.username,
            password: credential.password,
        }))
    }

    fn image_trust(&self, image: &Image) -> Result<Trust, AppError> {
        let hosts = self.content().pref("imageHosts").parse::<ImageHosts>();
        let hosts = hosts.map_err(|error| invalid(&image.name, format!("preference imageHosts: {error}")))?;
        Ok(Trust { hosts: hosts.into(), ca: image.ca.as_str().into() })
    }

    /// What is not dropped to make room: what active runs install, and what nobody could bring again.
    async fn kept_images(&self) -> Result<HashSet<Digest>, AppError> {
        let in_use = self.images_in_use().await?;
        let mut keep = self.images.imports.uploaded(UPLOAD);
        keep.extend(in_use.iter().filter_map(|digest| digest.parse::<Digest>().ok()));
        Ok(keep)
    }

    async fn import_wish(&self, image: &Image) -> Result<Wish, AppError> {
        Ok(Wish {
            image: image.name.clone(),
            source: image.source.clone(),
            format: image.format,
            digest: declared_digest(image)?,
            keep: self.kept_images().await?,
        })
    }
}

/// Whether an image is one of a registry.
fn is_oci(image: &Image) -> bool {
    match image.format {
        ImageFormat::Oci => true,
        ImageFormat::Auto => image.source != UPLOAD && !image.source.contains("://"),
        ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::Tar => false,
    }
}

fn declared_digest(image: &Image) -> Result<Option<Digest>, AppError> {
    if image.digest.is_empty() {
        return Ok(None);
    }
    let wrong = |error| invalid(&image.name, format!("Digest: {error}"));
    image.digest.parse().map(Some).map_err(wrong)
}

fn digest(text: &str) -> Result<Digest, AppError> {
    text.parse().map_err(AppError::internal)
}

/// The same file, from this server.
fn from_here(mut layer: Layer) -> Layer {
    layer.sources = vec![Source { url: format!("{BLOBS}{}", layer.digest), ..Source::default() }];
    layer
}

fn invalid(image: &str, message: String) -> AppError {
    AppError::new(AppErrorKind::Invalid, message).about(Kind::Images.prefix(), image)
}

fn of_registry(image: &str, error: &RegistryError) -> AppError {
    let kind = if error.may_pass() { AppErrorKind::Unavailable } else { AppErrorKind::Invalid };
    let told = AppError::new(kind, chain(error)).about(Kind::Images.prefix(), image);
    if error.may_pass() { told.after(ASK_AGAIN) } else { told }
}

fn of_cache(error: CacheError) -> AppError {
    match &error {
        CacheError::Full { .. } | CacheError::DiskFull => {
            AppError::new(AppErrorKind::StorageFull, error.to_string())
        }
        CacheError::Disk(_) => AppError::internal(error),
    }
}

fn of_import(image: &str, error: ImportError) -> AppError {
    match error {
        ImportError::Cache(error) | ImportError::Download(DownloadError::Cache(error)) => of_cache(error),
        ImportError::Running(_) | ImportError::Cancelled => {
            AppError::new(AppErrorKind::Conflict, error.to_string()).about(Kind::Images.prefix(), image)
        }
        ImportError::Download(DownloadError::TooLong { .. }) => {
            AppError::new(AppErrorKind::TooLarge, error.to_string()).about(Kind::Images.prefix(), image)
        }
        ImportError::Download(_) | ImportError::Convert(_) => invalid(image, chain(&error)),
        ImportError::Defect(_) => AppError::internal(error),
    }
}
