//! Customising: a copy of an image with its regions rewritten, or the config alone as an overlay for boot servers.
//! Nothing is rebuilt.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use initrd::segment::{ConfigArchiveError, config_archive};
use iso::locate;
use iso::patch::{Patch, PatchError, PatchedImage};
use iso::region::{
    CONFIG_REGION, CONFIG_REGION_LEN, KERNEL_ARGS_REGION, KernelArgs, KernelArgsError, Region,
};
use protocol::agent_api::Origin;
use protocol::config::{AgentConfig, ConfigError};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::inspect::{ImageError, open};
use crate::publish::{PRIVATE, PublishError, publish_file};

/// What to change, and where the copy goes.
#[derive(Debug, Clone, Default)]
pub struct CustomizeRequest {
    /// The image to start from.
    pub image: PathBuf,
    /// The agent's configuration as JSON; `None` leaves what is there.
    pub config: Option<Vec<u8>>,
    /// Extra kernel arguments; `None` leaves what is there.
    pub kernel_args: Option<String>,
    /// The copy; replaced whole. It may be the image itself.
    pub out: PathBuf,
}

/// Why an image was not customised.
#[derive(Debug, Error)]
pub enum CustomizeError {
    /// The image is not usable.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The configuration is not one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key that no agent knows, most likely a misspelt one.
    #[error("the configuration has an unknown key `{0}`")]
    UnknownKey(String),
    /// The configuration does not fit.
    #[error(transparent)]
    Archive(#[from] ConfigArchiveError),
    /// The kernel arguments do not fit or would not survive.
    #[error(transparent)]
    KernelArgs(#[from] KernelArgsError),
    /// The regions do not fit the image.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The copy cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Writes the customised copy and gives back its length in bytes.
///
/// # Errors
/// [`CustomizeError`]; the output is then as it was.
pub fn customize(request: &CustomizeRequest) -> Result<u64, CustomizeError> {
    let mut image = open(&request.image)?;
    let regions = locate::locate(&mut image).map_err(ImageError::from)?;
    let config = request.config.as_deref().map(config_region).transpose()?;
    let present = locate::kernel_args(&mut image).map_err(ImageError::from)?;
    let args = request.kernel_args.as_deref().map(|args| KernelArgs::parse(&with_server(args, &present)));
    let args = args.transpose()?;
    let args = args.map(|args| args.to_region());
    let contents = [(CONFIG_REGION, config), (KERNEL_ARGS_REGION, args)];
    let mut patches = Vec::new();
    for (name, contents) in contents {
        if let (Some(region), Some(contents)) = (region(&regions, name), contents) {
            patches.push(Patch::new(region, contents)?);
        }
    }
    let open_error = |source| ImageError::Open { path: request.image.clone(), source };
    let base = File::open(&request.image).map_err(open_error)?;
    let mut patched = PatchedImage::new(base, patches)?;
    publish_file(&request.out, PRIVATE, |file| io::copy(&mut patched, file).map(|_| ()))?;
    Ok(patched.len())
}

/// Arguments with the word by which the image names its server: without it the boot loader would not find disks that
/// this server installed.
fn with_server(args: &str, present: &str) -> String {
    let names = |word: &&str| word.split('=').next() == Some(protocol::cmdline::LOCAL);
    match present.split(' ').find(names) {
        Some(word) if !args.split(' ').any(|word| names(&word)) => format!("{args} {word}"),
        Some(_) | None => args.to_owned(),
    }
}

/// Writes a configuration as an archive that boot loaders load beside the initial ramdisk (`initrd=initrd,overlay.cpio`)
/// and gives back its length in bytes. A configuration that names no origin says that a boot server was used.
///
/// # Errors
/// [`CustomizeError`]; the output is then as it was.
pub fn overlay(json: &[u8], out: &Path) -> Result<u64, CustomizeError> {
    let mut config = checked(json)?;
    config.origin.get_or_insert(Origin::Pxe);
    let archive = config_archive(&config.render()?, CONFIG_REGION_LEN)?;
    publish_file(out, PRIVATE, |file| file.write_all(&archive))?;
    Ok(archive.len() as u64)
}

fn region<'a>(regions: &'a [Region], name: &str) -> Option<&'a Region> {
    regions.iter().find(|region| region.name == name)
}

fn config_region(json: &[u8]) -> Result<Vec<u8>, CustomizeError> {
    Ok(config_archive(&checked(json)?.render()?, CONFIG_REGION_LEN)?)
}

fn checked(json: &[u8]) -> Result<AgentConfig, CustomizeError> {
    let config = AgentConfig::parse(json)?;
    match unknown_key(json, &config)? {
        Some(key) => Err(CustomizeError::UnknownKey(key)),
        None => Ok(config),
    }
}

/// A key that makes no difference: agents ignore what they do not know, but whoever wrote it meant something.
fn unknown_key(json: &[u8], config: &AgentConfig) -> Result<Option<String>, ConfigError> {
    let map: Map<String, Value> = serde_json::from_slice(json).map_err(ConfigError::Json)?;
    for (key, value) in &map {
        let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        let mut without = map.clone();
        without.remove(key);
        let without = serde_json::to_vec(&without).map_err(ConfigError::Json)?;
        if !says_nothing && AgentConfig::parse(&without).is_ok_and(|parsed| parsed == *config) {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_named() {
        let error = config_region(br#"{"version":1,"servers":["https://10.0.0.1"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "the configuration has an unknown key `servers`");
        assert!(config_region(br#"{"version":1,"server":["https://10.0.0.1"],"net":null}"#).is_ok());
        assert!(config_region(br#"{"version":1,"ca-hash":[]}"#).is_ok());
    }

    #[test]
    fn other_arguments_leave_the_image_its_server() {
        assert_eq!(with_server("muster.net=ask", "muster.local=dc1"), "muster.net=ask muster.local=dc1");
        assert_eq!(with_server("muster.local=dc2", "quiet muster.local=dc1"), "muster.local=dc2");
        assert_eq!(with_server("quiet", "muster.localx=1"), "quiet");
    }

    #[test]
    fn an_overlay_holds_the_config_and_says_that_a_boot_server_was_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("overlay.cpio");
        let json = br#"{"version":1,"server":["https://10.0.0.1"]}"#;
        let length = overlay(json, &path).unwrap();
        let archive = std::fs::read(&path).unwrap();
        assert_eq!(archive.len() as u64, length);
        let config = AgentConfig::parse(initrd::segment::config_json(&archive).unwrap()).unwrap();
        assert_eq!(config, AgentConfig { origin: Some(Origin::Pxe), ..AgentConfig::parse(json).unwrap() });
        assert!(overlay(br#"{"version":1,"servers":["x"]}"#, &path).is_err());
        assert_eq!(archive, std::fs::read(&path).unwrap());
    }

    #[test]
    fn an_oversize_config_is_refused_with_both_numbers() {
        let json = format!("{{\"version\":1,\"proxy\":\"{}\"}}", "x".repeat(61_440));
        let error = config_region(json.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "embedded config has 61464 bytes, at most 61440 are read; shorten it");
    }
}
