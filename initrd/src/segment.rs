//! Segments: several archives, plain or compressed, one after another in one initial ramdisk.
//!
//! The kernel looks for the next segment on a multiple of four bytes. A compressed segment of another length
//! without padding makes it ignore what follows, silently, so every segment is padded here.

use std::io;
#[cfg(feature = "xz")]
use std::io::Read;

use thiserror::Error;
#[cfg(feature = "xz")]
use xz2::{
    read::XzEncoder,
    stream::{Check, Stream},
};

use crate::cpio::{self, Kind, Reader, Tree, padding};

/// Path of the configuration in the config archive, and so in the machine's root file system.
pub const CONFIG_PATH: &str = "muster/config.json";
/// Only root reads the configuration.
const CONFIG_PERMISSIONS: u32 = 0o400;
/// Segments are packed once a build and unpacked at every boot. Over 19 needs windows that cost the machine memory.
const ZSTD_LEVEL: i32 = 19;
/// The smallest output. The kernel's decoder takes a dictionary of any size and needs that much memory for it.
#[cfg(feature = "xz")]
const XZ_PRESET: u32 = 9;

/// How a segment is stored. All of these are unpacked by Debian's kernels; lz4 is left out because a plain
/// archive after an lz4 one is lost ("Decoding failed").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// zstd: quick to unpack.
    Zstd,
    /// xz with the CRC32 check, the only one the kernel's decoder knows.
    #[cfg(feature = "xz")]
    Xz,
}

impl Compression {
    /// What the output depends on beside the input, in a word for names of kept results.
    #[must_use]
    pub fn settings(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Zstd => format!("zstd {} {ZSTD_LEVEL}", zstd::zstd_safe::version_number()),
            #[cfg(feature = "xz")]
            Self::Xz => format!("xz {} {XZ_PRESET}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Compresses one archive.
///
/// # Errors
/// What the compressor reports.
pub fn compress(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
        #[cfg(feature = "xz")]
        Compression::Xz => {
            let stream = Stream::new_easy_encoder(XZ_PRESET, Check::Crc32)?;
            let mut packed = Vec::new();
            XzEncoder::new_stream(bytes, stream).read_to_end(&mut packed)?;
            Ok(packed)
        }
    }
}

/// An initial ramdisk under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments {
    bytes: Vec<u8>,
}

impl Segments {
    /// No segment yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one archive and pads it, so that another may follow.
    ///
    /// # Errors
    /// What the compressor reports.
    pub fn push(&mut self, archive: &[u8], compression: Compression) -> io::Result<()> {
        self.push_packed(&compress(archive, compression)?);
        Ok(())
    }

    /// Appends what [`compress`] gave for one archive, and pads it.
    pub fn push_packed(&mut self, packed: &[u8]) {
        self.bytes.extend_from_slice(packed);
        self.bytes.resize(self.bytes.len() + padding(self.bytes.len()), 0);
    }

    /// The ramdisk.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Why a configuration cannot be put into, or read from, a region.
#[derive(Debug, Error)]
pub enum ConfigArchiveError {
    /// The configuration does not fit.
    #[error(
        "the configuration has {len} bytes and the region holds {max}: shorten it, for example by naming fewer servers"
    )]
    TooLong {
        /// Bytes of the configuration.
        len: usize,
        /// Bytes a configuration may have in this region.
        max: usize,
    },
    /// The region is not a multiple of four bytes, so what follows it would be lost.
    #[error("a region of {0} bytes cannot hold an archive: use a multiple of 4")]
    RegionLength(usize),
    /// The region holds no readable archive.
    #[error("the region holds no config archive")]
    Unreadable(#[from] cpio::ReadError),
    /// The archive holds no `muster/config.json`.
    #[error("the config archive has no {CONFIG_PATH}")]
    Missing,
    /// The archive could not be written.
    #[error("write the config archive")]
    Archive(#[from] cpio::WriteError),
}

/// The config archive: `muster/config.json` (mode 0400) in a plain archive, zero padded to exactly `region_len`.
///
/// It is dated 1970 whatever the build, so a personalised image depends on nothing but the base and `json`.
///
/// # Errors
/// [`ConfigArchiveError::TooLong`] with both numbers when `json` does not fit.
pub fn config_archive(json: &[u8], region_len: usize) -> Result<Vec<u8>, ConfigArchiveError> {
    if padding(region_len) != 0 {
        return Err(ConfigArchiveError::RegionLength(region_len));
    }
    let max = config_capacity(region_len)?;
    if json.len() > max {
        return Err(ConfigArchiveError::TooLong { len: json.len(), max });
    }
    let mut bytes = archive_of(json)?;
    bytes.resize(region_len, 0);
    Ok(bytes)
}

/// The configuration inside a config region: the opposite of [`config_archive`].
///
/// # Errors
/// [`ConfigArchiveError::Unreadable`] or [`ConfigArchiveError::Missing`].
pub fn config_json(region: &[u8]) -> Result<&[u8], ConfigArchiveError> {
    for entry in Reader::new(region) {
        let entry = entry?;
        if let (CONFIG_PATH, Kind::File(json)) = (entry.path, entry.kind) {
            return Ok(json);
        }
    }
    Err(ConfigArchiveError::Missing)
}

/// Bytes of JSON that fit: the region less the frame, down to a multiple of four.
fn config_capacity(region_len: usize) -> Result<usize, ConfigArchiveError> {
    let frame = archive_of(&[])?.len();
    Ok(region_len.saturating_sub(frame))
}

fn archive_of(json: &[u8]) -> Result<Vec<u8>, ConfigArchiveError> {
    let mut tree = Tree::new();
    tree.file(CONFIG_PATH, CONFIG_PERMISSIONS, json)?;
    Ok(tree.to_bytes(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: usize = 65_536;

    #[test]
    fn a_config_region_has_exactly_its_length_and_gives_the_config_back() {
        let region = config_archive(br#"{"version":1}"#, REGION).unwrap();
        assert_eq!(region.len(), REGION);
        assert_eq!(config_json(&region).unwrap(), br#"{"version":1}"#);
    }

    #[test]
    fn the_largest_config_fits_and_one_byte_more_is_refused_with_both_numbers() {
        let max = config_capacity(REGION).unwrap();
        assert!(config_archive(&vec![b'x'; max], REGION).is_ok());
        let error = config_archive(&vec![b'x'; max + 1], REGION).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "the configuration has {} bytes and the region holds {max}: shorten it, for example by naming fewer servers",
                max + 1
            )
        );
    }

    #[test]
    fn a_region_that_would_hide_the_next_segment_is_refused() {
        assert!(matches!(config_archive(b"{}", 1_023), Err(ConfigArchiveError::RegionLength(1_023))));
        assert!(matches!(config_archive(b"{}", 4), Err(ConfigArchiveError::TooLong { max: 0, .. })));
    }

    #[test]
    fn a_region_without_a_config_says_so() {
        assert!(matches!(config_json(&[0; 512]), Err(ConfigArchiveError::Unreadable(_))));
        let other = Tree::new().to_bytes(0).unwrap();
        assert!(matches!(config_json(&other), Err(ConfigArchiveError::Missing)));
    }

    #[test]
    fn every_segment_ends_on_a_multiple_of_four() {
        let archive = Tree::new().to_bytes(0).unwrap();
        for compression in [
            Compression::None,
            Compression::Zstd,
            #[cfg(feature = "xz")]
            Compression::Xz,
        ] {
            let mut segments = Segments::new();
            segments.push(&archive, compression).unwrap();
            assert_eq!(segments.into_bytes().len() % 4, 0, "{compression:?}");
        }
    }

    #[cfg(feature = "xz")]
    #[test]
    fn xz_segments_carry_the_only_check_the_kernel_knows() {
        let packed = compress(b"data", Compression::Xz).unwrap();
        // Stream header: magic FD 37 7A 58 5A 00, then the stream flags 00 <check id>; 1 is CRC32.
        assert_eq!(packed.get(..8), Some([0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1].as_slice()));
    }
}
