//! Which machines an image is for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A platform, in Go's words as the image-spec has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64` and such.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Linux on an architecture, by Go's name, the kernel's, or Debian's; `arm/v7` names a variant.
    pub fn linux(architecture: &str) -> Self {
        let (architecture, variant) = architecture.split_once('/').unwrap_or((architecture, ""));
        let platform = Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        };
        platform.canonical()
    }

    /// The same in Go's words, without a variant that means the architecture itself.
    fn canonical(&self) -> Self {
        let (architecture, implied) = match self.architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" => ("amd64".to_owned(), ""),
            "i386" | "i486" | "i586" | "i686" | "386" => ("386".to_owned(), ""),
            "aarch64" | "arm64" => ("arm64".to_owned(), ""),
            "armhf" | "armv7l" => ("arm".to_owned(), "v7"),
            "armel" => ("arm".to_owned(), "v6"),
            "ppc64el" | "ppc64le" => ("ppc64le".to_owned(), ""),
            other => (other.to_owned(), ""),
        };
        let variant = match (architecture.as_str(), self.variant.as_str()) {
            (_, "") => implied,
            ("amd64", "v1") | ("arm64", "v8" | "v8.0") => "",
            (_, variant) => variant,
        };
        Self { os: self.os.to_ascii_lowercase(), variant: variant.to_owned(), architecture }
    }

    /// How well what is for `self` runs on `machine`: none when it does not, and more is better.
    ///
    /// Baseline code runs on every variant of an architecture, code for a variant only where that was asked for.
    pub(super) fn fits(&self, machine: &Self) -> Option<u8> {
        let (image, machine) = (self.canonical(), machine.canonical());
        if (&image.os, &image.architecture) != (&machine.os, &machine.architecture) {
            return None;
        }
        match image.variant.as_str() {
            variant if variant == machine.variant => Some(2),
            "" => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &str| -> String { text.chars().take(32).flat_map(char::escape_debug).collect() };
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", part(&self.variant)) }
    }
}
