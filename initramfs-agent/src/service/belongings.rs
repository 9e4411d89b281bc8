//! What an installed system keeps for its agent: configuration, key, the earlier key's statement, and when it
//! last tried to come back into our image.

use crate::handover::put;
use crate::state::Voucher;
use protocol::config::{AgentConfig, ConfigError, MAX_CONFIG_LEN};
use protocol::installed::{CONFIG_FILE, KEY_FILE, MESH_FOLDER, STATEMENT_FILE};
use protocol::proof::MAX_PROOF_LEN;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the system restarted to come back into our image, in seconds since 1970, one a line.
const RETURNS: &str = "/var/lib/muster/returns";
/// Where runners work. In the memory of an installed system, `/run`, nothing may be started.
const WORKSHOP: &str = "/var/lib/muster/runner";
/// Where this program stands while a kernel is loaded that the shutdown is to enter.
pub(super) const SHUTDOWN_HOOK: &str = "/usr/lib/systemd/system-shutdown/muster-kexec";
/// So many returns within [`RECENT`] that ended here again are enough.
const MAX_RETURNS: usize = 3;
const RECENT: Duration = Duration::from_secs(3_600);
/// Longest file of returns, in bytes.
const MAX_RETURNS_LEN: u64 = 4 * 1_024;

/// Why something is not kept, or not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BelongingsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The configuration is none.
    #[error("{path} cannot be used")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ConfigError,
    },
}

/// Files of the agent, beneath a root.
#[derive(Debug, Clone)]
pub(crate) struct Belongings {
    root: PathBuf,
}

impl Belongings {
    /// Where runners work, without what those of another start left there.
    ///
    /// # Errors
    /// [`BelongingsError::Write`].
    pub(crate) fn workshop(&self) -> Result<PathBuf, BelongingsError> {
        let path = self.path(WORKSHOP);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(BelongingsError::Write { path, source })
            }
            Ok(()) | Err(_) => Ok(path),
        }
    }

    /// Those of the system beneath `root`.
    pub(crate) fn beneath(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// An absolute path, beneath the root.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`BelongingsError`]: without it there is nobody to talk to.
    pub(crate) fn config(&self) -> Result<AgentConfig, BelongingsError> {
        let path = self.path(CONFIG_FILE);
        let limit = u64::try_from(MAX_CONFIG_LEN).unwrap_or(u64::MAX).saturating_add(1);
        let bytes = read(&path, limit)?.ok_or_else(|| BelongingsError::Read {
            path: path.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        AgentConfig::parse(&bytes).map_err(|source| BelongingsError::Config { path, source })
    }

    /// The earlier key's statement, until it was used.
    ///
    /// # Errors
    /// [`BelongingsError::Read`].
    pub(crate) fn statement(&self) -> Result<Option<String>, BelongingsError> {
        let limit = u64::try_from(MAX_PROOF_LEN).unwrap_or(u64::MAX);
        let bytes = read(&self.path(STATEMENT_FILE), limit)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// Where the machine keeps what it is in a mesh network.
    pub(crate) fn mesh(&self) -> PathBuf {
        self.path(MESH_FOLDER)
    }

    /// The same where it was in one when it was last told.
    pub(crate) fn known_mesh(&self) -> Option<PathBuf> {
        Some(self.mesh()).filter(|folder| folder.join("state.json").exists())
    }

    /// Where the key is.
    pub(crate) fn key(&self) -> PathBuf {
        self.path(KEY_FILE)
    }

    /// It is of no more use: the next start does without.
    ///
    /// # Errors
    /// [`BelongingsError`]: it stays on the disk.
    pub(crate) fn forget(&self, voucher: Voucher) -> Result<(), BelongingsError> {
        let path = match voucher {
            Voucher::Statement => return remove(&self.path(STATEMENT_FILE)),
            Voucher::Token | Voucher::Nonce => self.path(CONFIG_FILE),
        };
        let config = AgentConfig { token: None, nonce: None, ..self.config()? };
        let bytes =
            config.render().map_err(|source| BelongingsError::Config { path: path.clone(), source })?;
        put(&path, &bytes).map_err(|source| BelongingsError::Write { path, source })
    }

    /// Removes everything but the program and its unit.
    ///
    /// # Errors
    /// [`BelongingsError::Write`] names the first file that stays.
    pub(crate) fn clear(&self) -> Result<(), BelongingsError> {
        [STATEMENT_FILE, KEY_FILE, CONFIG_FILE, RETURNS, SHUTDOWN_HOOK]
            .iter()
            .try_for_each(|file| remove(&self.path(file)))?;
        match fs::remove_dir_all(self.mesh()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(BelongingsError::Write { path: self.mesh(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes back what was put in place for a shutdown that led back here.
    ///
    /// # Errors
    /// [`BelongingsError::Write`].
    pub(crate) fn unhook(&self) -> Result<(), BelongingsError> {
        remove(&self.path(SHUTDOWN_HOOK))
    }

    /// The machine is where the server wants it: whatever it tried before is over.
    ///
    /// # Errors
    /// [`BelongingsError::Write`].
    pub(crate) fn is_home(&self) -> Result<(), BelongingsError> {
        remove(&self.path(RETURNS))
    }

    /// How often the system tried to come back into our image within the hour, and ended here again.
    pub(crate) fn returns(&self) -> usize {
        // Unreadable is as good as never.
        let text = read(&self.path(RETURNS), MAX_RETURNS_LEN).ok().flatten().unwrap_or_default();
        let since = now().saturating_sub(RECENT.as_secs());
        let times = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.parse::<u64>().ok())
            .collect::<Vec<_>>();
        times.into_iter().filter(|time| (since..=now()).contains(time)).count()
    }

    /// Notes that it is about to try.
    ///
    /// # Errors
    /// [`BelongingsError::Write`].
    pub(crate) fn note_return(&self) -> Result<(), BelongingsError> {
        let path = self.path(RETURNS);
        let text = format!("{}\n", now()).repeat(self.returns() + 1);
        put(&path, text.as_bytes()).map_err(|source| BelongingsError::Write { path, source })
    }

    /// Why the system does not restart although a job wants it to: it did, again and again, and never came
    /// into our image.
    pub(crate) fn why_it_stays(&self) -> Option<String> {
        (self.returns() >= MAX_RETURNS).then(|| {
            format!(
                "the machine was restarted {MAX_RETURNS} times within the hour and came back to this system each \
                 time: boot it from its medium or network by hand, or wait an hour"
            )
        })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// At most so many bytes of a file; none where there is none.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, BelongingsError> {
    let failed = |source| BelongingsError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Removes a file, whether it is there or not.
pub(super) fn remove(path: &Path) -> Result<(), BelongingsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BelongingsError::Write { path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chain;
    use std::os::unix::fs::PermissionsExt;

    fn belongings() -> (tempfile::TempDir, Belongings) {
        let root = tempfile::tempdir().unwrap();
        let belongings = Belongings::beneath(root.path());
        let config = AgentConfig {
            server: vec!["https://10.0.2.2:8092".parse().unwrap()],
            token: Some("a..b.c.d".to_owned()),
            ..AgentConfig::unpersonalised()
        };
        put(&belongings.path(CONFIG_FILE), &config.render().unwrap()).unwrap();
        put(&belongings.path(STATEMENT_FILE), b"a.b.c\n").unwrap();
        (root, belongings)
    }

    #[test]
    fn what_was_used_once_is_gone_at_the_next_start_and_the_rest_stays() {
        let (_root, belongings) = belongings();
        assert_eq!(belongings.statement().unwrap().as_deref(), Some("a.b.c"));
        belongings.forget(Voucher::Statement).unwrap();
        belongings.forget(Voucher::Statement).unwrap();
        assert_eq!(belongings.statement().unwrap(), None);
        belongings.forget(Voucher::Token).unwrap();
        let config = belongings.config().unwrap();
        assert_eq!((config.server.len(), config.token), (1, None));
        let mode = fs::metadata(belongings.path(CONFIG_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(belongings.known_mesh(), None);
        put(&belongings.mesh().join("key"), &[7; 32]).unwrap();
        put(&belongings.mesh().join("state.json"), b"{}").unwrap();
        assert_eq!(belongings.known_mesh(), Some(belongings.path(MESH_FOLDER)));
        belongings.clear().unwrap();
        assert!(!belongings.path(CONFIG_FILE).exists() && !belongings.mesh().exists());
        let missing = chain(&belongings.config().unwrap_err());
        assert!(missing.contains("agent.json"), "{missing}");
    }

    #[test]
    fn a_system_that_always_comes_back_here_stays_for_an_hour() {
        let (_root, belongings) = belongings();
        for count in 0..MAX_RETURNS {
            assert_eq!((belongings.returns(), belongings.why_it_stays()), (count, None));
            belongings.note_return().unwrap();
        }
        assert!(belongings.why_it_stays().unwrap().contains("by hand"));
        belongings.is_home().unwrap();
        assert_eq!(belongings.returns(), 0, "the server wanted it here");
        let old = format!("{}\n", now() - RECENT.as_secs() - 1).repeat(9);
        put(&belongings.path(RETURNS), old.as_bytes()).unwrap();
        assert_eq!(belongings.why_it_stays(), None);
        put(&belongings.path(RETURNS), b"nonsense\n-1\n").unwrap();
        assert_eq!(belongings.returns(), 0);
    }
}
