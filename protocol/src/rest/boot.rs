//! Bodies about what a machine boots.

use serde::{Deserialize, Serialize};

/// What a machine would boot from the network now, and why. Never a token or a nonce: what the machine is
/// let in by stands in its own files alone, and only when it asks for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct BootPreview {
    /// Boot environment.
    pub boot_env: String,
    /// Its description, or empty.
    pub description: String,
    /// Why it is this one.
    pub reason: String,
    /// Whether it can be booted.
    pub available: bool,
    /// Why it cannot.
    pub errors: Vec<String>,
    /// Kernel in the boot tree; empty when it boots none.
    pub kernel: String,
    /// Initial ramdisks in the boot tree.
    pub initrds: Vec<String>,
    /// What its firmware loads first, from the network; empty when nothing.
    pub loader: String,
    /// Why its firmware loads nothing, or empty.
    pub no_loader: String,
    /// Where loaders load from: a URL without a slash at its end.
    pub from: String,
    /// Whether it gets the image for UEFI HTTP Boot; or why not.
    pub http_image: HttpImage,
    /// Files that are rendered for it, in the order in which its boot environment and its stage name them.
    pub files: Vec<BootFileShown>,
    /// Files that were left out, for there are so many.
    pub further_files: u32,
}

/// Whether a machine gets the image for UEFI HTTP Boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct HttpImage {
    /// It does.
    pub given: bool,
    /// Why not, or empty.
    pub reason: String,
}

/// A file that is rendered for a machine, as it is shown. One of text, link and error is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct BootFileShown {
    /// Where it is served; empty when not even that can be rendered.
    pub path: String,
    /// What is in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// How many bytes it has: more than the text when that was cut.
    pub size: u64,
    /// Another file, or a URL, that is served in its place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// Why it cannot be rendered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
