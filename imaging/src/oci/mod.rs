//! OCI references, manifests and indexes (image-spec 1.1, distribution-spec 1.1), and Docker's of the
//! second schema, which say the same in other media types.

mod config;
mod document;
mod platform;
mod reference;

pub use config::{Config, MAX_CONFIG};
pub use document::{ACCEPT, Descriptor, Document, Index, MAX_LAYERS, MAX_MANIFEST, MAX_MANIFESTS, Manifest};
pub use platform::Platform;
pub use reference::{Reference, ReferenceError};

use crate::digest::Digest;
use thiserror::Error;

/// Why an image is not taken.
#[derive(Debug, Error)]
pub enum OciError {
    /// A document is too large.
    #[error("the image's {what} has {length} bytes; at most {limit} are read")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// Most bytes.
        limit: usize,
    },
    /// A document is no JSON, or not of the kind.
    #[error("the image's {what} is not understood")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Docker's first schema.
    #[error(
        "the image has a manifest of Docker's schema 1, which has no digest to trust: push it again with a current tool"
    )]
    Schema1,
    /// Neither manifest nor index.
    #[error("`{0}` is neither an image manifest nor an image index")]
    MediaType(String),
    /// The registry says one media type and the document another one, or the document is two things at once.
    #[error("the image's manifest is called `{said}` and looks like {looks}: one of them is wrong")]
    Confused {
        /// The media type.
        said: String,
        /// What is in it.
        looks: &'static str,
    },
    /// Something that is no system, such as a chart or a signature.
    #[error("`{0}` is not the configuration of a container image: this is another kind of artifact")]
    NotAnImage(String),
    /// A layer that is no archive we know.
    #[error(
        "layer {digest} is of type `{media_type}`; tar, gzip and zstd layers with their bytes in the registry can be unpacked"
    )]
    Layer {
        /// The layer.
        digest: Box<Digest>,
        /// Its media type.
        media_type: String,
    },
    /// Too many of something.
    #[error("the image has {found} {what}; at most {limit} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No layer, hence no system.
    #[error("the image has no layers")]
    Empty,
    /// For other machines.
    #[error("the image has nothing for {wanted}; it has {found}")]
    Platform {
        /// The platform asked for.
        wanted: Box<Platform>,
        /// Those in the image.
        found: String,
    },
    /// Manifest and configuration do not fit.
    #[error("the image's configuration names {diff_ids} layers and its manifest {layers}")]
    Layers {
        /// In the configuration.
        diff_ids: usize,
        /// In the manifest.
        layers: usize,
    },
}

#[cfg(test)]
mod tests;
