//! What machines boot: boot environments and templates.

use super::{Envelope, Meta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A text to render, in one namespace with all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Template {
    /// Its name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Go text/template.
    pub contents: String,
    /// Instead of `{{`; empty for that.
    pub start_delimiter: String,
    /// Instead of `}}`; empty for that.
    pub end_delimiter: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A template's use in a bootenv, stage or task. Exactly one of `ID`, `Contents` and `Link`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct TemplateInfo {
    /// Unique in its list.
    pub name: String,
    /// Where the rendered text is served or written: itself a template. Empty in a task: a script.
    pub path: String,
    /// A [`Template`] to render.
    #[serde(rename = "ID")]
    pub id: String,
    /// The text itself.
    pub contents: String,
    /// URL of a file to hand on as it is: itself a template.
    pub link: String,
    /// Labels, such as `OS` and `Interpreter` of a task's scripts.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub meta: Meta,
    /// Instead of `{{`; empty for that.
    pub start_delimiter: String,
    /// Instead of `}}`; empty for that.
    pub end_delimiter: String,
}

/// What a machine boots from the network, and the files that are rendered for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct BootEnv {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// The operating system.
    #[serde(rename = "OS")]
    pub os: OsInfo,
    /// Files rendered per machine.
    pub templates: Vec<TemplateInfo>,
    /// Kernel, relative to the boot tree of the OS; empty boots no kernel.
    pub kernel: String,
    /// Initial ramdisks.
    pub initrds: Vec<String>,
    /// Kernel command line: a template.
    pub boot_params: String,
    /// Params without which rendering fails.
    pub required_params: Vec<String>,
    /// Params that it looks at.
    pub optional_params: Vec<String>,
    /// For machines that are not known only.
    pub only_unknown: bool,
    /// Boot loaders by architecture and firmware: `386-pcbios`, `amd64-uefi`, `arm64-uefi`.
    pub loaders: BTreeMap<String, String>,
    /// Instead of `{{`; empty for that.
    pub start_delimiter: String,
    /// Instead of `}}`; empty for that.
    pub end_delimiter: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// An operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct OsInfo {
    /// `FAMILY-VERSION`.
    pub name: String,
    /// Family, where the name does not begin with it.
    pub family: String,
    /// Code name.
    pub codename: String,
    /// Version, where the name does not have it.
    pub version: String,
    /// Installation medium.
    pub iso_file: String,
    /// Its SHA-256 in hexadecimal.
    pub iso_sha256: String,
    /// Where to get it.
    pub iso_url: String,
    /// What differs by architecture; empty means amd64 only.
    pub supported_architectures: BTreeMap<String, ArchInfo>,
}

/// An operating system on one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ArchInfo {
    /// Installation medium.
    pub iso_file: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where to get it.
    pub iso_url: String,
    /// Boot loader.
    pub loader: String,
    /// Kernel; empty for the bootenv's.
    pub kernel: String,
    /// Initial ramdisks; empty for the bootenv's.
    pub initrds: Vec<String>,
    /// Kernel command line; empty for the bootenv's.
    pub boot_params: String,
}
