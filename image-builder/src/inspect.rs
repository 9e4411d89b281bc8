//! What is in an image: who built it, what it would tell a machine, and its files.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use initrd::segment::{ConfigArchiveError, config_json};
use iso::layout::CONFIG_PATH;
use iso::locate::{self, LocateError};
use iso::manifest::Identity;
use iso::reader::{Image, Kind, ReadError};
use iso::region::{CONFIG_REGION_LEN, Region};
use protocol::config::{AgentConfig, ConfigError, ProxyUrl};
use protocol::token::redact;
use serde::Serialize;
use thiserror::Error;

/// Stands for a secret.
const REDACTED: &str = "[redacted]";

/// Why an image cannot be looked into or customised.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The image is not there.
    #[error("open the image {path}")]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The image is not one of ours, or broken.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Its files cannot be listed.
    #[error("read the image")]
    Read(#[from] ReadError),
    /// The region holds no config archive.
    #[error(transparent)]
    Archive(#[from] ConfigArchiveError),
    /// The configuration in the image is not readable.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedFile {
    /// Path from the root.
    pub path: String,
    /// First byte in the image.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// What an image holds. Tokens are not shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// Length of the image in bytes.
    pub size: u64,
    /// Volume identifier.
    pub volume: String,
    /// What was built.
    pub identity: Identity,
    /// Whether the image names a server; without one it contacts nobody.
    pub personalised: bool,
    /// The configuration for the agent.
    pub config: AgentConfig,
    /// Extra kernel arguments.
    pub kernel_args: String,
    /// The windows that may be overwritten.
    pub regions: Vec<Region>,
    /// All files, in the order of directories.
    pub files: Vec<InspectedFile>,
}

/// Looks into an image.
///
/// # Errors
/// [`ImageError`] when it is not a Muster image or broken.
pub fn inspect(path: &Path) -> Result<Inspection, ImageError> {
    let mut image = open(path)?;
    let regions = locate::locate(&mut image)?;
    let identity = locate::identity(&mut image)?;
    let kernel_args = redact(&locate::kernel_args(&mut image)?);
    let archive = image.find(CONFIG_PATH)?;
    let archive = image.read(&archive, CONFIG_REGION_LEN as u64)?;
    let mut config = AgentConfig::parse(config_json(&archive)?)?;
    config.token = config.token.map(|_| REDACTED.to_owned());
    // A proxy that cannot be used may hold a password all the same.
    let shown = |proxy: String| proxy.parse::<ProxyUrl>().map_or(REDACTED.to_owned(), |url| url.to_string());
    config.proxy = config.proxy.map(shown);
    let entries = image.entries()?.into_iter().filter(|entry| entry.kind == Kind::File);
    let files = entries.map(|entry| InspectedFile {
        path: entry.path,
        offset: entry.extent.offset,
        length: entry.extent.length,
    });
    Ok(Inspection {
        size: image.len(),
        volume: image.volume_id().to_owned(),
        personalised: !config.server.is_empty() || kernel_args.contains(protocol::cmdline::SERVER),
        identity,
        config,
        kernel_args,
        regions,
        files: files.collect(),
    })
}

pub(crate) fn open(path: &Path) -> Result<Image<BufReader<File>>, ImageError> {
    let file = File::open(path).map_err(|source| ImageError::Open { path: path.to_owned(), source })?;
    Ok(Image::open(BufReader::new(file))?)
}
