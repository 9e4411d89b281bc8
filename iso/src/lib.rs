//! Hybrid boot images: laid out, read back, and patched while they are streamed.
//!
//! One image boots from an optical drive, a USB stick or a disk, by BIOS or UEFI, with Secure Boot on or off.
//! [`layout`] makes it from bytes with menus from `templates/`; [`reader`] is a bounded reader for images from
//! anywhere; [`region`] names the two windows that may be overwritten (configuration and kernel arguments) and
//! [`patch`] serves an image with those windows replaced, without a copy and without a rebuild.
//! [`manifest`] is the `manifest.json` that records where the windows are; without one, [`locate`] finds them by
//! the names of the files they lie in.
//!
//! The crate knows nothing of machines: configurations and command lines are the caller's.

pub mod layout;
pub mod locate;
pub mod manifest;
pub mod menu;
pub mod patch;
pub mod reader;
pub mod region;
