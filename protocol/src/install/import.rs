//! How far the import of an image has come: `Import` of an Image as REST shows it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImportPhase {
    /// Nothing was imported, or it is an OCI image, which needs no import.
    #[default]
    None,
    /// Other imports come first.
    Waiting,
    /// The file comes to the server.
    Downloading,
    /// It is made into what machines install.
    Converting,
    /// Machines can install it.
    Done,
    /// It did not go.
    Failed,
}

impl ImportPhase {
    /// Whether it is under way.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Waiting | Self::Downloading | Self::Converting => true,
            Self::None | Self::Done | Self::Failed => false,
        }
    }
}

impl fmt::Display for ImportPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Waiting => "waiting",
            Self::Downloading => "downloading",
            Self::Converting => "converting",
            Self::Done => "done",
            Self::Failed => "failed",
        })
    }
}

/// An import of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ImportState {
    /// Where it is.
    pub state: ImportPhase,
    /// How much of the phase is done, in percent; 0 also where nobody knows.
    pub percent: u8,
    /// Bytes of the phase that are done.
    pub bytes: u64,
    /// Bytes of the phase; 0 when not known.
    pub total: u64,
    /// What is done now, or what went wrong, in words.
    pub message: String,
    /// Digest of the file that was imported, as it was downloaded or uploaded.
    pub source_digest: String,
    /// Digest of what machines download.
    pub digest: String,
    /// Length of what machines download, in bytes.
    pub size: u64,
    /// Size of the disk image in bytes; of a tar, of all its files.
    pub unpacked_size: u64,
}
