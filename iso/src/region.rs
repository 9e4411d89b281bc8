//! Regions: the windows of an image that may be overwritten, and nothing else may.
//!
//! A region is recorded once, when the image is made; nobody ever searches an image for a marker. Writing into
//! a region never changes a length, a checksum or a signature: neither ISO 9660, newc nor GRUB has one over
//! these bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Name of the region that holds the config archive (`/boot/config.img`).
pub const CONFIG_REGION: &str = "config";
/// Bytes of the config region: far more than any configuration, far less than a machine notices.
pub const CONFIG_REGION_LEN: usize = 65_536;
/// Name of the region that holds extra kernel arguments (in `/boot/grub/grub.cfg`).
pub const KERNEL_ARGS_REGION: &str = "kernel-args";
/// Bytes of the kernel-argument region: half of the kernel's 2,047.
pub const KERNEL_ARGS_REGION_LEN: usize = 1_024;
/// Longest command line the kernel takes on x86 (`COMMAND_LINE_SIZE` less its NUL).
pub const MAX_COMMAND_LINE: usize = 2_047;

/// A window of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// [`CONFIG_REGION`] or [`KERNEL_ARGS_REGION`]; later versions may add others.
    pub name: String,
    /// Bytes from the start of the image.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Region {
    /// First byte after the region; `None` when that is beyond what 64 bits count.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

/// Why text cannot be kernel arguments.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KernelArgsError {
    /// More than the region holds.
    #[error(
        "the kernel arguments have {len} bytes and the region holds {KERNEL_ARGS_REGION_LEN}: put long values into the configuration"
    )]
    TooLong {
        /// Bytes given.
        len: usize,
    },
    /// A character that GRUB would read as something else than itself.
    #[error(
        "the kernel arguments hold {character:?}, which the boot loader would not pass on as it is: leave out quotes, $ \\ ; {{ }} * ? and everything that is not printable ASCII"
    )]
    Character {
        /// The first offender.
        character: char,
    },
}

/// Kernel arguments that reach the kernel exactly as written.
///
/// They stand between double quotes in GRUB's menu and are expanded unquoted, so everything GRUB could read as
/// syntax or as a file name pattern is refused.
#[derive(Clone, PartialEq, Eq)]
pub struct KernelArgs(String);

impl KernelArgs {
    /// Accepts arguments separated by spaces, possibly none.
    ///
    /// # Errors
    /// [`KernelArgsError`] when they are too long for the region or would not survive the boot loader.
    pub fn parse(text: &str) -> Result<Self, KernelArgsError> {
        let text = text.trim_matches(' ');
        if text.len() > KERNEL_ARGS_REGION_LEN {
            return Err(KernelArgsError::TooLong { len: text.len() });
        }
        let plain =
            |character: &char| matches!(character, ' '..='~') && !r#""'`$\;{}*?"#.contains(*character);
        match text.chars().find(|character| !plain(character)) {
            Some(character) => Err(KernelArgsError::Character { character }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The arguments, without surrounding spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region's bytes: the arguments, then spaces, which GRUB drops.
    #[must_use]
    pub fn to_region(&self) -> Vec<u8> {
        let mut bytes = self.0.clone().into_bytes();
        bytes.resize(KERNEL_ARGS_REGION_LEN, b' ');
        bytes
    }
}

/// Arguments may carry a bootstrap token, so only their length is shown.
impl fmt::Debug for KernelArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KernelArgs({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_arguments_pass_and_fill_the_region() {
        for text in [
            "",
            "muster.server=https://10.0.2.2:8092 muster.ca-hash=sha256:Zm9v,sha256:YmFy",
            "muster.server=https://[fd00::1]:8092 muster.net=eth0:10.0.0.5/24",
            "muster.token=eyJhbGciOiJkaXIi..a-b_c.d.e console=ttyS1,115200n8",
        ] {
            let region = KernelArgs::parse(text).unwrap().to_region();
            assert_eq!(region.len(), 1_024);
            assert_eq!(String::from_utf8(region).unwrap().trim_end(), text);
        }
    }

    #[test]
    fn what_grub_would_read_as_syntax_is_refused() {
        for character in ['"', '\'', '`', '$', '\\', ';', '{', '}', '*', '?', '\n', '\t', '\0', '\u{7f}', 'é']
        {
            let text = format!("quiet a{character}b");
            assert_eq!(KernelArgs::parse(&text), Err(KernelArgsError::Character { character }));
        }
    }

    #[test]
    fn too_many_arguments_are_refused_with_both_numbers() {
        assert!(KernelArgs::parse(&"x".repeat(1_024)).is_ok());
        let error = KernelArgs::parse(&"x".repeat(1_025)).unwrap_err().to_string();
        assert_eq!(
            error,
            "the kernel arguments have 1025 bytes and the region holds 1024: put long values into the configuration"
        );
    }

    #[test]
    fn debug_output_keeps_a_token_to_itself() {
        let args = KernelArgs::parse("muster.token=secret").unwrap();
        assert_eq!(format!("{args:?}"), "KernelArgs(19 bytes)");
    }
}
