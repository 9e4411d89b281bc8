//! Manifests, and indexes of manifests.

use super::{OciError, Platform};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a manifest or index: what registries take.
pub const MAX_MANIFEST: usize = 4 * 1_024 * 1_024;
/// Most layers of an image; Docker itself stops at 127.
pub const MAX_LAYERS: usize = 512;
/// Most manifests of an index.
pub const MAX_MANIFESTS: usize = 1_024;
/// `Accept` header for `/manifests/`: everything that [`Document::parse`] understands.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
application/vnd.docker.distribution.manifest.v2+json";

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's first schema; `+json` or `+prettyjws` behind it.
const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+";
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// How layers are called that we unpack. Those called `nondistributable`, `foreign` and `encrypted` are not
/// among them.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];
/// What BuildKit marks its attestations with.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Says what a blob is, how long, and by which digest it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Which machines it is for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where else it is to be had; never used, since nobody vouches for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it is an index, which is to be chosen from once more.
    pub fn is_index(&self) -> bool {
        kind_of(&self.media_type) == Some(Kind::Index)
    }

    fn is_attestation(&self) -> bool {
        let unknown = |p: &Platform| p.os == "unknown" || p.architecture == "unknown";
        self.annotations.contains_key(REFERENCE_TYPE) || self.platform.as_ref().is_some_and(unknown)
    }
}

/// What a registry answers to a request for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Images for several platforms.
    Index(Index),
}

/// An image: its configuration and its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration's blob.
    pub config: Descriptor,
    /// The layers' blobs, lowest first.
    pub layers: Vec<Descriptor>,
}

/// The same image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Those of machines, in the document's order: attestations are left out.
    pub manifests: Vec<Descriptor>,
}

/// All that is read of either document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Index,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Manifest => "a manifest",
            Self::Index => "an index",
        }
    }
}

fn kind_of(media_type: &str) -> Option<Kind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(Kind::Manifest),
        OCI_INDEX | DOCKER_LIST => Some(Kind::Index),
        _ => None,
    }
}

impl Document {
    /// Reads a body under the `Content-Type` it came with, where it came with one.
    ///
    /// # Errors
    /// [`OciError`]: what is too large, of the first schema, two things at once, or no system.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, OciError> {
        let what = "manifest";
        if body.len() > MAX_MANIFEST {
            return Err(OciError::TooLarge { what, length: body.len(), limit: MAX_MANIFEST });
        }
        let header = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        if header.is_some_and(|text| text.starts_with(DOCKER_SCHEMA1)) {
            return Err(OciError::Schema1);
        }
        refuse_schema1(body)?;
        let raw: Raw = serde_json::from_slice(body).map_err(|source| OciError::Json { what, source })?;
        let looks = looks(&raw)?;
        // Registries that do not know send something general; the document's own word counts as much.
        let general = ["", "application/json", "application/octet-stream", "text/plain"];
        let header = header.filter(|text| !general.contains(text));
        for said in header.into_iter().chain(raw.media_type.as_deref()) {
            let kind = kind_of(said).ok_or_else(|| OciError::MediaType(shown(said)))?;
            if kind != looks {
                return Err(OciError::Confused { said: shown(said), looks: looks.words() });
            }
        }
        match (raw.config, raw.layers, raw.manifests) {
            (Some(config), Some(layers), _) => {
                Manifest::checked(config, layers).map(|manifest| Self::Manifest(Box::new(manifest)))
            }
            (_, _, Some(manifests)) => Index::checked(manifests).map(Self::Index),
            _ => Err(OciError::MediaType("JSON without layers and manifests".to_owned())),
        }
    }
}

/// Schema 1 has other fields, so that it would not be recognised by its version otherwise.
fn refuse_schema1(body: &[u8]) -> Result<(), OciError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u64,
    }
    match serde_json::from_slice::<Version>(body) {
        Ok(Version { schema_version: 2 }) => Ok(()),
        Ok(Version { schema_version: 1 }) => Err(OciError::Schema1),
        Ok(Version { schema_version }) => {
            Err(OciError::MediaType(format!("a manifest of schema version {schema_version}")))
        }
        Err(source) => Err(OciError::Json { what: "manifest", source }),
    }
}

fn looks(raw: &Raw) -> Result<Kind, OciError> {
    debug_assert_eq!(raw.schema_version, 2);
    match (raw.layers.is_some() || raw.config.is_some(), raw.manifests.is_some()) {
        (true, false) => Ok(Kind::Manifest),
        (false, true) => Ok(Kind::Index),
        (true, true) => {
            let said = raw.media_type.as_deref().map_or_else(|| "nothing".to_owned(), shown);
            Err(OciError::Confused { said, looks: "both a manifest and an index" })
        }
        (false, false) => Err(OciError::MediaType("JSON without layers and manifests".to_owned())),
    }
}

impl Manifest {
    fn checked(config: Descriptor, layers: Vec<Descriptor>) -> Result<Self, OciError> {
        if !CONFIGS.contains(&config.media_type.as_str()) {
            return Err(OciError::NotAnImage(shown(&config.media_type)));
        }
        let (what, found) = ("layers", layers.len());
        if found > MAX_LAYERS {
            return Err(OciError::TooMany { what, found, limit: MAX_LAYERS });
        }
        if found == 0 {
            return Err(OciError::Empty);
        }
        match layers.iter().find(|l| !LAYERS.contains(&l.media_type.as_str()) || !l.urls.is_empty()) {
            Some(layer) => {
                Err(OciError::Layer { digest: Box::new(layer.digest), media_type: shown(&layer.media_type) })
            }
            None => Ok(Self { config, layers }),
        }
    }

    /// Bytes of all layers, as they are downloaded.
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

impl Index {
    fn checked(mut manifests: Vec<Descriptor>) -> Result<Self, OciError> {
        let (what, found) = ("manifests", manifests.len());
        if found > MAX_MANIFESTS {
            return Err(OciError::TooMany { what, found, limit: MAX_MANIFESTS });
        }
        manifests.retain(|manifest| !manifest.is_attestation());
        Ok(Self { manifests })
    }

    /// The manifest, or index, for a machine: the one that fits best, and of several the first.
    ///
    /// # Errors
    /// [`OciError::Platform`] with what there is.
    pub fn choose(&self, machine: &Platform) -> Result<&Descriptor, OciError> {
        let fits = |d: &Descriptor| match &d.platform {
            Some(platform) => platform.fits(machine),
            // One that says nothing is judged by its configuration.
            None => Some(0),
        };
        let known = |d: &&Descriptor| kind_of(&d.media_type).is_some();
        let mut best = None;
        for descriptor in self.manifests.iter().filter(known) {
            let fit = fits(descriptor);
            if fit > best.and_then(fits) {
                best = Some(descriptor);
            }
        }
        best.ok_or_else(|| OciError::Platform { wanted: Box::new(machine.clone()), found: self.platforms() })
    }

    fn platforms(&self) -> String {
        const SHOWN: usize = 12;
        let names: Vec<String> =
            self.manifests.iter().filter_map(|m| m.platform.as_ref().map(Platform::to_string)).collect();
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        match names.get(..names.len().min(SHOWN)).unwrap_or_default() {
            [] => "none that says what it is for".to_owned(),
            names => format!("{}{more}", names.join(", ")),
        }
    }
}

/// Text from outside in an error: short, and no control characters.
fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
