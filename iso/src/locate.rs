//! Finding the regions of an image that came without its manifest.
//!
//! The config region is the extent of `/boot/config.img`; the kernel-argument region lies at a fixed offset in
//! `/boot/grub/grub.cfg`. Both are looked up by name and held against their expected shape; image bytes are
//! never searched.

use std::io::{Read, Seek};

use thiserror::Error;

use crate::layout::{CONFIG_PATH, IDENTITY_PATH, MENU_PATH, regions};
use crate::manifest::Identity;
use crate::menu::{EXTRA_PREFIX, EXTRA_SUFFIX};
use crate::reader::{Image, ReadError};
use crate::region::{CONFIG_REGION_LEN, KERNEL_ARGS_REGION_LEN, Region};

/// Largest menu read.
const MAX_MENU_LEN: u64 = 64 * 1024;
/// Largest identity read.
const MAX_IDENTITY_LEN: u64 = 16 * 1024;

/// Why an image has no usable regions.
#[derive(Debug, Error)]
pub enum LocateError {
    /// The image cannot be read, or has no such file: it is not one of ours.
    #[error("this is not a Muster boot image")]
    Read(#[from] ReadError),
    /// The config archive has another length than this version's.
    #[error(
        "the image's config region has {0} bytes and this program expects {CONFIG_REGION_LEN}: use the version that built it"
    )]
    ConfigLength(u64),
    /// The menu does not start with the kernel-argument region.
    #[error("the image's boot menu has no kernel-argument region of {KERNEL_ARGS_REGION_LEN} bytes")]
    Menu,
    /// `/.disk/muster.json` is not readable.
    #[error("the image does not say what it is")]
    Identity(#[from] serde_json::Error),
}

/// The regions of an image, as its manifest would name them.
///
/// # Errors
/// [`LocateError`] when the image is not one of ours or of another shape.
pub fn locate<R: Read + Seek>(image: &mut Image<R>) -> Result<Vec<Region>, LocateError> {
    let config = image.find(CONFIG_PATH)?.extent;
    if config.length != CONFIG_REGION_LEN as u64 {
        return Err(LocateError::ConfigLength(config.length));
    }
    let menu = image.find(MENU_PATH)?;
    let text = image.read(&menu, MAX_MENU_LEN)?;
    let after = text
        .strip_prefix(EXTRA_PREFIX.as_bytes())
        .and_then(|rest| rest.get(KERNEL_ARGS_REGION_LEN..))
        .unwrap_or_default();
    if !after.starts_with(EXTRA_SUFFIX.as_bytes()) {
        return Err(LocateError::Menu);
    }
    Ok(regions(config.offset, menu.extent.offset))
}

/// The kernel arguments that are in the image's region now, without their padding.
///
/// # Errors
/// [`LocateError`] as for [`locate`].
pub fn kernel_args<R: Read + Seek>(image: &mut Image<R>) -> Result<String, LocateError> {
    let menu = image.find(MENU_PATH)?;
    let text = image.read(&menu, MAX_MENU_LEN)?;
    let region = text
        .get(EXTRA_PREFIX.len()..)
        .and_then(|rest| rest.get(..KERNEL_ARGS_REGION_LEN))
        .ok_or(LocateError::Menu)?;
    Ok(String::from_utf8_lossy(region).trim_matches(' ').to_owned())
}

/// What the image says it is.
///
/// # Errors
/// [`LocateError`] when it does not say so in `/.disk/muster.json`.
pub fn identity<R: Read + Seek>(image: &mut Image<R>) -> Result<Identity, LocateError> {
    let entry = image.find(IDENTITY_PATH)?;
    Ok(serde_json::from_slice(&image.read(&entry, MAX_IDENTITY_LEN)?)?)
}
