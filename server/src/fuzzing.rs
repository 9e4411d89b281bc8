//! Doors for the fuzz targets (crate `fuzz`): readers of bytes from anybody that have no public way
//! in. Nothing else uses them.

use crate::app::{accepted, kernel_line, names_in_path};
use crate::http::body::{MACHINE_BODY, parse};
use crate::http::json::{OBJECT, parse_value};
use crate::images::{check_literal, port_of, read_url};
use crate::keys::{KeysError, MasterKey, TokenKeys};
use engine::admission::BootstrapClaims;
use engine::image_hosts::ImageHosts;
use protocol::agent_api::EnrollmentRequest;
use std::net::IpAddr;
use std::path::Path;

/// The body of an enrollment as the server would keep it; `None` when it is refused.
pub fn enrollment(body: &[u8]) -> Option<EnrollmentRequest> {
    let request = (body.len() <= MACHINE_BODY).then(|| parse(body).ok()).flatten()?;
    accepted(request).ok()
}

/// A body of an object's route as JSON; `None` when it is refused.
pub fn strict_json(body: &[u8]) -> Option<serde_json::Value> {
    parse_value(body, OBJECT).ok()
}

/// The kernel's line of a boot file: the agent's arguments behind those of a site, for loaders that
/// load from the URL `base`; or why no loader would hand it on.
///
/// # Errors
/// As a fragment.
pub fn boot_line(further: &str, args: &str, base: &str) -> Result<String, String> {
    kernel_line(further, args, base)
}

/// How many things in the path of a boot file may name a machine.
pub fn machines_named(path: &str) -> usize {
    names_in_path(path)
}

/// Where the server lets itself be sent by the URL of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUrl {
    /// The URL, as it is asked.
    pub url: String,
    /// Its host, without the brackets of an address.
    pub host: String,
    /// The host, where it is an address.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// The URL of an image, with these hosts excepted; or why it is not fetched.
///
/// # Errors
/// As a fragment.
pub fn image_url(text: &str, hosts: &ImageHosts) -> Result<ImageUrl, String> {
    let url = read_url(text).map_err(|error| error.to_string())?;
    check_literal(&url, hosts).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(ImageUrl { address: host.parse().ok(), port: port_of(&url), host, url: url.into() })
}

/// Keys of bootstrap tokens.
#[derive(Debug)]
pub struct Tokens(TokenKeys);

impl Tokens {
    /// Makes keys in a folder.
    ///
    /// # Errors
    /// As the server's own.
    pub fn make(folder: &Path) -> Result<Self, KeysError> {
        TokenKeys::open(&folder.join("kids.json"), &MasterKey::new([7; 32]), 0).map(Self)
    }

    /// Seals any bytes, as only the holder of the keys can.
    pub fn seal(&self, payload: &[u8]) -> Option<String> {
        self.0.encrypt(&self.0.current(), payload).ok()
    }

    /// What a token says; `None` when it is not one of ours.
    pub fn open(&self, text: &str) -> Option<BootstrapClaims> {
        self.0.open_token(text).ok().map(|opened| opened.claims)
    }
}
