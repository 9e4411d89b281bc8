//! Configurations of images.

use super::{Manifest, OciError, Platform};
use crate::digest::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most bytes of a configuration; a long history makes it large.
pub const MAX_CONFIG: usize = 8 * 1_024 * 1_024;

/// What is read of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    platform: Platform,
    rootfs: RootFs,
    #[serde(default)]
    config: Option<Execution>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Reads the configuration that belongs to a manifest.
    ///
    /// # Errors
    /// [`OciError`]: what is too large, no configuration, or names another number of layers.
    pub fn parse(body: &[u8], manifest: &Manifest) -> Result<Self, OciError> {
        let what = "configuration";
        if body.len() > MAX_CONFIG {
            return Err(OciError::TooLarge { what, length: body.len(), limit: MAX_CONFIG });
        }
        let config: Self = serde_json::from_slice(body).map_err(|source| OciError::Json { what, source })?;
        let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if diff_ids == layers { Ok(config) } else { Err(OciError::Layers { diff_ids, layers }) }
    }

    /// Whether the image runs on a machine.
    ///
    /// # Errors
    /// [`OciError::Platform`].
    pub fn check(&self, machine: &Platform) -> Result<(), OciError> {
        let mismatch =
            || OciError::Platform { wanted: Box::new(machine.clone()), found: self.platform.to_string() };
        self.platform.fits(machine).map(|_| ()).ok_or_else(mismatch)
    }

    /// What the image says that it is for.
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Digests of the layers unpacked, lowest first: one for each layer of the manifest.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// A label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
    }
}
