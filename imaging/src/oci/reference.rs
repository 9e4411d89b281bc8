//! References to images: `registry/repository:tag@digest`, as people and Docker write them.

use crate::digest::{Digest, DigestError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Docker Hub, as it is written.
const DOCKER_HUB: &str = "docker.io";
/// Docker Hub, as it is dialled.
const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// Where Docker Hub keeps what has no owner.
const DOCKER_LIBRARY: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Longest reference in bytes: a host name, a repository, a tag and a digest.
const MAX_REFERENCE: usize = 768;
const MAX_REGISTRY: usize = 255 + 6;
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// Names an image. What is not said is Docker Hub, and the tag `latest` where there is no digest either.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why something names no image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing, or too much.
    #[error("the name of an image has 1 to {MAX_REFERENCE} bytes")]
    Length,
    /// With a scheme.
    #[error("the name of an image has no `{0}://` before it: write registry/repository:tag")]
    Scheme(String),
    /// The host.
    #[error("`{0}` is not the host name of a registry, with a port where it is not 443")]
    Registry(String),
    /// The repository.
    #[error(
        "`{0}` is not the name of a repository: lower-case letters and digits, with single `.` `_` `-` between them, in parts divided by `/`"
    )]
    Repository(String),
    /// The tag.
    #[error(
        "`{0}` is not a tag: up to {MAX_TAG} letters, digits, `.` `_` `-`, not beginning with `.` or `-`"
    )]
    Tag(String),
    /// The digest.
    #[error("behind `@` stands the image's digest")]
    Digest(#[source] DigestError),
}

impl Reference {
    /// Host, and port where there is one, of the registry's API.
    pub fn registry(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_API } else { &self.registry }
    }

    /// The repository, in full.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where one is said or meant. With a digest it tells people something and nobody else.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one is said.
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image by its digest: what the tag is now.
    #[must_use]
    pub fn with_digest(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// What stands behind `/manifests/`: the digest, else the tag.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() || text.len() > MAX_REFERENCE {
            return Err(ReferenceError::Length);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(ReferenceError::Scheme(shown(scheme)));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let registry = canonical_registry(registry)?;
        let library = registry == DOCKER_HUB && !repository.contains('/');
        let repository = format!("{}{repository}", if library { DOCKER_LIBRARY } else { "" });
        if !is_repository(&repository) {
            return Err(ReferenceError::Repository(shown(&repository)));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(shown(tag)));
        }
        let tag = tag.or(digest.is_none().then_some(DEFAULT_TAG)).map(str::to_owned);
        Ok(Self { registry, repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Text from outside in an error: short, and no control characters.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// As Docker decides: what could be a host is one, everything else belongs to Docker Hub.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
}

fn canonical_registry(text: &str) -> Result<String, ReferenceError> {
    let wrong = || ReferenceError::Registry(shown(text));
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of an address in brackets may be one of its own.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| {
        !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    if text.len() > MAX_REGISTRY || !port.is_none_or(is_port) || !(is_name(host) || is_address(host)) {
        return Err(wrong());
    }
    let lower = text.to_ascii_lowercase();
    Ok(match lower.as_str() {
        DOCKER_HUB | "index.docker.io" | DOCKER_HUB_API => DOCKER_HUB.to_owned(),
        // A capital alone may tell that it is a host: without it, it would be read as Docker Hub's.
        _ if is_host(&lower) => lower,
        _ => text.to_owned(),
    })
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label)
}

fn is_address(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_repository(name: &str) -> bool {
    name.len() <= MAX_REPOSITORY && name.split('/').all(is_component)
}

/// Letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let mut separator = String::new();
    let mut inside = false;
    for character in component.chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            let follows = separator.is_empty() || (inside && is_separator(&separator));
            if !follows {
                return false;
            }
            separator.clear();
            inside = true;
        } else {
            separator.push(character);
        }
    }
    inside && separator.is_empty()
}

fn is_separator(text: &str) -> bool {
    matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-')
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}
