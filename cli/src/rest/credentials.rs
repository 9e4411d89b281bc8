//! What `muster login` keeps: one server's address, CA and API token, readable by its owner only.

use anyhow::{Context, Result};
use protocol::config::ServerUrl;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes: a token, an address and a few certificates.
const MAX_LEN: u64 = 256 * 1_024;

/// A login. Debug hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Credentials {
    /// The server.
    pub(crate) endpoint: ServerUrl,
    /// PEM of the CA the server was recognised by; without one, the system's CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
    /// Who logged in.
    pub(crate) username: String,
    /// The API token.
    pub(crate) token: String,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("endpoint", &self.endpoint)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// `$XDG_CONFIG_HOME/muster/credentials.json`, else below `~/.config`.
    pub(crate) fn default_path() -> Result<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = set("XDG_CONFIG_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".config")))
            .context("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for credentials")?;
        Ok(config.join("muster").join("credentials.json"))
    }

    /// Reads a login; `None` when nobody logged in.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_LEN), &mut text)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged; run `muster login` again", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// Writes the login whole or not at all, mode 0600.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let told = || format!("{} cannot be written", path.display());
        let folder = path.parent().with_context(told)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(told)?;
        let fresh = folder.join(format!(".credentials-{}", std::process::id()));
        let written = self.write_new(&fresh).and_then(|()| Ok(fs::rename(&fresh, path)?));
        if written.is_err() && fresh.exists() {
            fs::remove_file(&fresh).with_context(told)?;
        }
        written.with_context(told)
    }

    /// Forgets it.
    pub(crate) fn remove(path: &Path) -> Result<()> {
        fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))
    }

    fn write_new(&self, path: &Path) -> Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        Ok(file.sync_all()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn sample() -> Credentials {
        Credentials {
            endpoint: "https://10.0.0.5:8092".parse().unwrap(),
            ca: Some("pem".into()),
            username: "admin".into(),
            token: "s3cret".into(),
            expires_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn a_login_is_kept_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster").join("credentials.json");
        assert_eq!(Credentials::load(&path).unwrap(), None);
        sample().save(&path).unwrap();
        sample().save(&path).unwrap();
        assert_eq!(Credentials::load(&path).unwrap(), Some(sample()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_login_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        fs::write(&path, "{").unwrap();
        let told = format!("{:#}", Credentials::load(&path).unwrap_err());
        assert!(told.contains("is damaged; run `muster login` again"), "{told}");
    }

    #[test]
    fn the_token_stays_out_of_debug() {
        assert!(!format!("{:?}", sample()).contains("s3cret"));
    }
}
