//! Imports of images: begun, watched, cancelled.

use super::{Origin, invalid, is_oci, of_import};
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::error::{AppError, AppErrorKind};
use crate::app::events::{Did, Happening};
use crate::hub;
use crate::images::Upload;
use axum::body::Bytes;
use protocol::install::ImportState;
use protocol::model::{Image, Kind, UPLOAD};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// How often those who watch are told of an import's progress.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// An upload that is received.
#[derive(Debug)]
pub(crate) struct ImageUpload {
    image: String,
    upload: Upload,
}

impl App {
    /// Imports an image from its URL.
    ///
    /// # Errors
    /// Without the claim to change the image; `Invalid` where it has no URL.
    pub(crate) async fn import_image(&self, actor: &Actor, name: &str) -> Result<ImportState, AppError> {
        let image = self.image_to_import(actor, name)?;
        if image.source == UPLOAD {
            let message = format!("image {name} is uploaded: send the file as the body of this request");
            return Err(invalid(name, message));
        }
        self.begin_import(&image).await?;
        self.import_state(&image)
    }

    /// Begins to receive the file of an image whose Source is `upload`.
    ///
    /// # Errors
    /// Without the claim to change the image; `Conflict` while another import of it runs; `StorageFull`.
    pub(crate) async fn begin_upload(
        &self,
        actor: &Actor,
        name: &str,
        length: Option<u64>,
    ) -> Result<ImageUpload, AppError> {
        let image = self.image_to_import(actor, name)?;
        if image.source != UPLOAD {
            let message =
                format!("image {name} comes from {}: set its Source to {UPLOAD} to upload it", image.source);
            return Err(invalid(name, message));
        }
        let wish = self.import_wish(&image).await?;
        let upload =
            self.images.imports.receive(wish, length).await.map_err(|error| of_import(name, error))?;
        Ok(ImageUpload { image: image.name, upload })
    }

    /// Takes more of an upload; an error is its end, and so is its drop.
    ///
    /// # Errors
    /// `TooLarge`, `StorageFull`, or `Conflict` when it was cancelled.
    pub(crate) async fn go_on_with_upload(
        &self,
        upload: ImageUpload,
        bytes: Bytes,
    ) -> Result<ImageUpload, AppError> {
        let ImageUpload { image, upload } = upload;
        match upload.more(bytes).await {
            Ok(upload) => Ok(ImageUpload { image, upload }),
            Err(error) => Err(of_import(&image, error)),
        }
    }

    /// Has an upload that was received whole converted.
    ///
    /// # Errors
    /// `Invalid` when it is not the file that the image's digest names; `StorageFull`.
    pub(crate) async fn end_upload(&self, upload: ImageUpload) -> Result<ImportState, AppError> {
        let ImageUpload { image, upload } = upload;
        self.images.imports.received(upload).await.map_err(|error| of_import(&image, error))
    }

    /// Cancels the import of an image.
    ///
    /// # Errors
    /// Without the claim to change the image; `Conflict` when none is under way.
    pub(crate) async fn cancel_import(&self, actor: &Actor, name: &str) -> Result<ImportState, AppError> {
        let image = self.image_to_import(actor, name)?;
        if !self.images.imports.cancel(name) {
            let message = format!("no import of image {name} is under way");
            return Err(AppError::new(AppErrorKind::Conflict, message).about(Kind::Images.prefix(), name));
        }
        self.import_state(&image)
    }

    /// How far the import of an image has come.
    pub(in crate::app) fn import_state(&self, image: &Image) -> Result<ImportState, AppError> {
        let digest = super::declared_digest(image)?;
        Ok(self.images.imports.state(&image.name, &image.source, image.format, digest))
    }

    /// Puts into an image as REST shows it how far its import has come.
    pub(in crate::app) fn show_import(&self, name: &str, shown: &mut Value) -> Result<(), AppError> {
        let content = self.content();
        let (Some(image), Some(shown)) = (content.images.get(name), shown.as_object_mut()) else {
            return Ok(());
        };
        let state = serde_json::to_value(self.import_state(image)?).map_err(AppError::internal)?;
        shown.insert("Import".to_owned(), state);
        Ok(())
    }

    /// The images as lists show them, each with how far its import has come.
    pub(in crate::app) fn list_images(&self) -> Result<Vec<Value>, AppError> {
        let mut images = self.content().list(Kind::Images);
        for image in &mut images {
            let name = image["Name"].as_str().unwrap_or_default().to_owned();
            self.show_import(&name, image)?;
        }
        Ok(images)
    }

    /// Tells who watches how imports go, until `stop` is done, and forgets those of images that are gone.
    pub(crate) async fn follow_imports(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut changes = self.images.imports.changes();
        let mut told = HashMap::new();
        loop {
            let under_way = told.values().any(|state: &ImportState| state.state.is_active());
            let pause = async {
                if under_way { tokio::time::sleep(TELL_EVERY).await } else { std::future::pending().await }
            };
            tokio::select! {
                () = &mut stop => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = pause => {}
            }
            self.tell_imports(&mut told);
        }
    }

    fn tell_imports(&self, told: &mut HashMap<String, ImportState>) {
        let now: HashMap<String, ImportState> = self.images.imports.unfinished().into_iter().collect();
        let mut names: Vec<&String> = now.keys().chain(told.keys()).collect();
        names.sort();
        names.dedup();
        let content = self.content();
        let mut changed = false;
        for name in names.into_iter().filter(|name| now.get(*name) != told.get(*name)) {
            changed = true;
            let Some(mut image) = content.show(Kind::Images, name) else { continue };
            match self.show_import(name, &mut image) {
                Ok(()) => self.tell(Happening::content(Did::Save, "", Kind::Images, name, image, None)),
                Err(error) => tracing::error!(%error, name, "the progress of an import is not told"),
            }
        }
        if changed {
            self.hub.wake(hub::CONTENT);
        }
        *told = now;
    }

    /// Forgets what images were imported as that are there no more.
    pub(in crate::app) async fn forget_imports(&self) -> Result<(), AppError> {
        let (images, content) = (self.images.clone(), self.content());
        let forgotten = tokio::task::spawn_blocking(move || {
            images.imports.forget_others(|name| content.images.has(name))
        });
        forgotten.await.map_err(AppError::internal)?.map_err(AppError::internal)
    }

    pub(super) async fn begin_import(&self, image: &Image) -> Result<(), AppError> {
        let Origin::Url(url) = self.image_origin(image)? else { return Ok(()) };
        let (wish, login, trust) =
            (self.import_wish(image).await?, self.image_login(image)?, self.image_trust(image)?);
        self.images.import(wish, &url, login.as_ref(), &trust);
        Ok(())
    }

    fn image_to_import(&self, actor: &Actor, name: &str) -> Result<Image, AppError> {
        actor.may(Kind::Images.prefix(), "update", name)?;
        let content = self.content();
        let image =
            content.images.get(name).ok_or_else(|| AppError::not_found(Kind::Images.prefix(), name))?;
        if is_oci(image) {
            let message = format!(
                "image {name} is an OCI image: machines pull it through this server, nothing is imported"
            );
            return Err(invalid(name, message));
        }
        Ok(Image::clone(image))
    }
}
