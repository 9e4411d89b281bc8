//! What a member keeps on its disk, or in the memory of a boot image: its private key, and what it knew last of the
//! network, so that tunnels come back before the server is reached. Files of root alone, written whole or not at all.

use super::plan::Known;
use crate::handover::put;
use protocol::mesh::{MAX_NEWS, MeshReadError, read_news};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const KEY: &str = "key";
/// What the server told last: [`protocol::mesh::MeshNews`] of everything.
const STATE: &str = "state.json";
const KEY_LEN: usize = 32;

/// A WireGuard private key. It is shown nowhere, and overwritten when it is let go.
pub(super) struct PrivateKey([u8; KEY_LEN]);

impl PrivateKey {
    /// Its bytes, for the kernel.
    pub(super) const fn reveal(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A key of these random bytes. Like `wg genkey` it says the bits that every key of Curve25519 has (RFC 7748 5):
    /// by them the kernel knows that it has this key already, and keeps its sessions.
    fn of(mut bytes: [u8; KEY_LEN]) -> Self {
        bytes[0] &= 248;
        bytes[KEY_LEN - 1] = (bytes[KEY_LEN - 1] & 127) | 64;
        Self(bytes)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.fill(0);
        // Whoever may look at the bytes needs them written: the compiler cannot leave it out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Why something is not kept, or not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written, or removed.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What was kept is no such thing.
    #[error("{path} cannot be used; the server will tell anew")]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MeshReadError,
    },
    /// There is no randomness for a key.
    #[error("this machine has no randomness for a key yet")]
    Randomness,
}

/// The folder where a member keeps what it keeps.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// This one.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The machine's key, made when there is none, or none that can be used.
    ///
    /// # Errors
    /// [`StateError`]: without a key that is kept, others would know another one after each start.
    pub(super) fn key(&self) -> Result<PrivateKey, StateError> {
        let path = self.file(KEY);
        let kept =
            read(&path, KEY_LEN + 1).map_err(|source| StateError::Read { path: path.clone(), source })?;
        if let Some(bytes) = kept.and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok())
            && bytes != [0; KEY_LEN]
        {
            return Ok(PrivateKey::of(bytes));
        }
        let mut bytes = [0; KEY_LEN];
        SystemRandom::new().fill(&mut bytes).map_err(|_| StateError::Randomness)?;
        let key = PrivateKey::of(bytes);
        put(&path, key.reveal()).map_err(|source| StateError::Write { path, source })?;
        Ok(key)
    }

    /// What was known last; nothing where nothing is kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub(super) fn known(&self) -> Result<Known, StateError> {
        let path = self.file(STATE);
        let limit = MAX_NEWS.saturating_add(1);
        let bytes = read(&path, limit).map_err(|source| StateError::Read { path: path.clone(), source })?;
        let mut known = Known::default();
        if let Some(bytes) = bytes {
            known.learn(read_news(&bytes).map_err(|source| StateError::Odd { path, source })?);
        }
        Ok(known)
    }

    /// Keeps what is known.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(super) fn keep(&self, known: &Known) -> Result<(), StateError> {
        let path = self.file(STATE);
        let write = || {
            let bytes = serde_json::to_vec(&known.to_news()).map_err(io::Error::other)?;
            put(&path, &bytes)
        };
        write().map_err(|source| StateError::Write { path: path.clone(), source })
    }

    /// Forgets what is known, and the key: a machine that joins again makes another.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(super) fn forget(&self) -> Result<(), StateError> {
        self.forget_key()?;
        self.remove(STATE)
    }

    /// Forgets the key alone: somebody else has the same.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(super) fn forget_key(&self) -> Result<(), StateError> {
        self.remove(KEY)
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Write { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// At most so many bytes of a file; none where there is none.
fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A text that a key is known by, for tests.
#[cfg(test)]
pub(super) fn forms(key: &[u8; KEY_LEN]) -> [String; 3] {
    let hex = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = key.iter().map(u8::to_string).collect();
    [protocol::mesh::PublicKey(*key).to_string(), hex, numbers.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::plan::tests::{known, own, peer};
    use crate::report::chain;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("lib/mesh"));
        (root, folder)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn key_is_made_once_and_is_roots_alone() {
        let (_root, folder) = folder();
        let made = folder.key().unwrap();
        assert_eq!(folder.key().unwrap().reveal(), made.reveal());
        assert_eq!((mode(&folder.file(KEY)), mode(folder.path())), (0o600, 0o700));
        assert_eq!((made.reveal()[0] & 7, made.reveal()[31] >> 6), (0, 1), "a key of Curve25519");
        folder.forget_key().unwrap();
        assert_ne!(folder.key().unwrap().reveal(), made.reveal());
    }

    #[test]
    fn key_that_is_none_is_made_anew() {
        let (_root, folder) = folder();
        for bytes in [[].as_slice(), &[1; 31], &[1; 33], &[0; 32]] {
            put(&folder.file(KEY), bytes).unwrap();
            let made = folder.key().unwrap();
            assert_eq!(fs::read(folder.file(KEY)).unwrap(), made.reveal());
        }
    }

    #[test]
    fn what_is_known_is_kept_without_a_secret() {
        let (_root, folder) = folder();
        assert_eq!(folder.known().unwrap(), Known::default());
        let key = folder.key().unwrap();
        let all = known(own(), &[peer(2), peer(3)]);
        folder.keep(&all).unwrap();
        assert_eq!(folder.known().unwrap(), all);
        assert_eq!(mode(&folder.file(STATE)), 0o600);
        let text = fs::read_to_string(folder.file(STATE)).unwrap();
        assert!(forms(key.reveal()).iter().all(|form| !text.contains(form)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half written is left");
        folder.forget().unwrap();
        folder.forget().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn private_key_is_shown_nowhere() {
        let key = PrivateKey::of([7; 32]);
        let shown = format!("{key:?} {:?}", Some(&key));
        assert!(forms(key.reveal()).iter().all(|form| !shown.contains(form)), "{shown}");
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    }

    #[test]
    fn odd_state_is_named_and_nothing_of_it_is_used() {
        let (_root, folder) = folder();
        for text in ["", "[7]", "{\"own\":{\"port\":0}}", "\0\0", &"[".repeat(100_000)] {
            put(&folder.file(STATE), text.as_bytes()).unwrap();
            let error = chain(&folder.known().unwrap_err());
            assert!(error.contains("state.json cannot be used; the server will tell anew"), "{error}");
        }
        fs::remove_file(folder.file(STATE)).unwrap();
        fs::create_dir(folder.file(STATE)).unwrap();
        assert!(matches!(folder.known(), Err(StateError::Read { .. })));
    }

    proptest! {
        #[test]
        fn no_state_file_brings_it_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_root, folder) = folder();
            put(&folder.file(STATE), &bytes).unwrap();
            drop(folder.known());
        }
    }
}
