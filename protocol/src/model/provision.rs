//! What installations refer to by name: images, the credentials of registries, secrets and variables.
//!
//! What is secret is stored sealed and shown as nothing: a further field says whether it is set.

use super::Envelope;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The [`Image::source`] of an image that somebody uploads.
pub const UPLOAD: &str = "upload";

/// An operating system image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Where it is: an OCI reference, an `https://` or `http://` URL, or `upload`.
    pub source: String,
    /// What it is.
    pub format: ImageFormat,
    /// `sha256:` and 64 hexadecimal digits of what the source gives: the manifest of an OCI image, the file
    /// of the others. Empty takes what is there.
    pub digest: String,
    /// Architecture of its machines in Go's words; empty for that of the machine.
    pub architecture: String,
    /// Name of the [`RegistryCredential`] that opens the source; empty for none.
    pub credential: String,
    /// From where machines get it.
    pub pull: Pull,
    /// The registry speaks no TLS.
    pub plain_http: bool,
    /// PEM of the CA to trust at the source; empty for those that are publicly trusted.
    pub ca: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// What an image is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// An OCI image where the source is a reference, else what the file says of itself.
    #[default]
    Auto,
    /// An OCI image.
    Oci,
    /// A disk, byte by byte; may be compressed.
    Raw,
    /// A disk of QEMU's.
    Qcow2,
    /// A tar of a root file system; may be compressed.
    Tar,
}

/// From where machines get an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// From our server, which keeps it.
    #[default]
    Server,
    /// From its registry, with our server as the second choice.
    Direct,
}

/// What opens a registry, or a server of image files. The password is write-only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct RegistryCredential {
    /// Its name.
    pub name: String,
    /// The only host that it is shown to: `registry.example.com` or `registry.example.com:5000`.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token; shown as empty. An empty one keeps what is there.
    pub password: String,
    /// Whether there is a password.
    pub has_password: bool,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A value for templates that nobody is shown: `.secrets.NAME`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Secret {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// The value; shown as empty. An empty one keeps what is there.
    pub value: String,
    /// Whether there is a value.
    pub has_value: bool,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A value for templates: `.vars.NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Variable {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// The value.
    pub value: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

impl fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredential")
            .field("name", &self.name)
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_no_secret() {
        let secret = Secret { name: "db".into(), value: "hunter2".into(), ..Secret::default() };
        let credential =
            RegistryCredential { username: "ci".into(), password: "hunter2".into(), ..Default::default() };
        let told = format!("{secret:?} {credential:?}");
        assert!(told.contains("db") && told.contains("ci") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn words_of_images_are_lower_case() {
        let image: Image =
            serde_json::from_str(r#"{"Name":"d","Format":"qcow2","Pull":"direct","PlainHttp":true}"#)
                .unwrap();
        assert_eq!((image.format, image.pull, image.plain_http), (ImageFormat::Qcow2, Pull::Direct, true));
    }
}
