//! The machine's key: who it is to a server (`spec/security.md` 2.2 and 5).
//!
//! Ed25519, never in the image. It comes from the EFI variable of an earlier boot, else it is
//! made now and lives in memory; it is written to the variable only once the machine is
//! registered, so that machines that were merely looked at leave no trace in their firmware.

use crate::efivar::{EfivarError, KeyBytes, KeyStore, MAX_KEY};
use crate::handover::put;
use protocol::code::Fingerprint;
use protocol::ids::KeyThumbprint;
use protocol::proof;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The kernel gives no randomness, or ring refuses what it gave.
    #[error("cannot make a machine key")]
    Make,
    /// The stored bytes are not a key.
    #[error("the stored machine key is damaged; a new key is made and an operator must merge the machine")]
    Damaged,
    /// The key's file is another's.
    #[error("cannot use the key in {path}; it must be a file of this program, or absent")]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes).as_ref().first_chunk::<32>().unwrap_or(&[0; 32]));
    value
}

/// A machine's key and where it is kept.
pub(crate) struct Identity {
    pair: Ed25519KeyPair,
    secret: KeyBytes,
    public: [u8; 32],
    store: Option<KeyStore>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

impl Identity {
    /// The key kept in `store`, or a new one. Blocks until the kernel has gathered
    /// randomness. The second value is a sentence for the console when a stored key could not
    /// be used.
    ///
    /// # Errors
    /// [`IdentityError::Make`]: then there is no way to go on.
    pub(crate) fn establish(store: Option<KeyStore>) -> Result<(Self, Option<String>), IdentityError> {
        // Asks the kernel itself, which then gathers randomness if it has to. Libraries in a
        // static binary wait on /dev/random instead, and the kernel does nothing for them.
        SystemRandom::new().fill(&mut [0; 32]).map_err(|_| IdentityError::Make)?;
        let mut problem = None;
        if let Some(kept) = &store {
            match kept.load() {
                Ok(Some(secret)) => match Self::from_secret(secret, store.clone()) {
                    Ok(identity) => return Ok((identity, None)),
                    Err(error) => problem = Some(error.to_string()),
                },
                Ok(None) => {}
                Err(error) => problem = Some(error.to_string()),
            }
        }
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| IdentityError::Make)?;
        let secret = KeyBytes::new(document.as_ref().to_vec()).map_err(|_| IdentityError::Make)?;
        Ok((Self::from_secret(secret, store).map_err(|_| IdentityError::Make)?, problem))
    }

    /// The key in a file that root alone may read, made where there is none. `store` keeps it beside that,
    /// once the machine is registered. The second value tells whether it was made now.
    ///
    /// # Errors
    /// [`IdentityError`]: a file that is there is never replaced.
    pub(crate) fn from_file(path: &Path, store: Option<KeyStore>) -> Result<(Self, bool), IdentityError> {
        match read_key(path)? {
            Some(secret) => Ok((Self::from_secret(secret, store)?, false)),
            None => {
                let (made, _) = Self::establish(None)?;
                put(path, made.secret.reveal()).map_err(|source| keep_error(path, source))?;
                Ok((Self { store, ..made }, true))
            }
        }
    }

    /// The key that was handed over in a file, which is removed; none where there is no such file.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub(crate) fn handed_over(path: &Path, store: Option<KeyStore>) -> Result<Option<Self>, IdentityError> {
        let Some(secret) = read_key(path)? else { return Ok(None) };
        std::fs::remove_file(path).map_err(|source| keep_error(path, source))?;
        Self::from_secret(secret, store).map(Some)
    }

    fn from_secret(secret: KeyBytes, store: Option<KeyStore>) -> Result<Self, IdentityError> {
        let pair = Ed25519KeyPair::from_pkcs8(secret.reveal()).map_err(|_| IdentityError::Damaged)?;
        let public = *pair.public_key().as_ref().first_chunk::<32>().ok_or(IdentityError::Damaged)?;
        Ok(Self { pair, secret, public, store })
    }

    /// Writes the key where the next boot finds it; nothing happens without an EFI variable.
    ///
    /// # Errors
    /// When firmware refuses.
    pub(crate) fn keep(&self) -> Result<(), EfivarError> {
        self.store.as_ref().map_or(Ok(()), |store| store.store(&self.secret))
    }

    /// Removes the key from where it was kept beside its file.
    ///
    /// # Errors
    /// When firmware refuses.
    pub(crate) fn discard(&self) -> Result<(), EfivarError> {
        self.store.as_ref().map_or(Ok(()), |store| store.discard(&self.secret))
    }

    /// The key itself, for whoever comes after this program.
    pub(crate) fn secret(&self) -> &KeyBytes {
        &self.secret
    }

    /// The raw public key.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What the server calls this key.
    pub(crate) fn thumbprint(&self) -> KeyThumbprint {
        KeyThumbprint(sha256(proof::thumbprint_preimage(&self.public).as_bytes()))
    }

    /// What the operator compares with the dashboard.
    pub(crate) fn fingerprint(&self, server_id: &str) -> Fingerprint {
        Fingerprint::from_digest(sha256(&Fingerprint::preimage(&self.thumbprint(), server_id)))
    }

    /// Ed25519 over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The key in a file; none where there is no file.
fn read_key(path: &Path) -> Result<Option<KeyBytes>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(keep_error(path, source)),
    };
    let limit = u64::try_from(MAX_KEY + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|source| keep_error(path, source))?;
    let bytes = KeyBytes::new(bytes).map_err(|error| keep_error(path, io::Error::other(error)))?;
    Ok(Some(bytes))
}

fn keep_error(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Kept { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_machine_is_the_same_after_a_reboot() {
        let firmware = tempfile::tempdir().unwrap();
        let store = || Some(KeyStore::in_directory(firmware.path()));
        let (first, _) = Identity::establish(store()).unwrap();
        let (stranger, _) = Identity::establish(store()).unwrap();
        assert_ne!(first.public(), stranger.public(), "nothing is kept before registration");
        first.keep().unwrap();
        let (second, problem) = Identity::establish(store()).unwrap();
        assert_eq!(first.public(), second.public());
        assert_eq!(problem, None);
        assert_eq!(first.fingerprint("dc1"), second.fingerprint("dc1"));
        assert_ne!(first.fingerprint("dc1"), second.fingerprint("dc2"));
    }

    #[test]
    fn a_damaged_key_is_replaced_and_said() {
        let firmware = tempfile::tempdir().unwrap();
        let store = KeyStore::in_directory(firmware.path());
        store.store(&KeyBytes::new(vec![7; 64]).unwrap()).unwrap();
        let (_, problem) = Identity::establish(Some(store)).unwrap();
        assert_eq!(
            problem.unwrap(),
            "the stored machine key is damaged; a new key is made and an operator must merge the machine"
        );
    }

    #[test]
    fn a_key_in_a_file_stays_and_one_that_is_handed_over_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.key");
        assert!(Identity::handed_over(&path, None).unwrap().is_none());
        let (first, is_new) = Identity::from_file(&path, None).unwrap();
        let (second, is_new_again) = Identity::from_file(&path, None).unwrap();
        assert_eq!((first.public(), is_new, is_new_again), (second.public(), true, false));
        let taken = Identity::handed_over(&path, None).unwrap().unwrap();
        assert_eq!(taken.public(), first.public());
        assert!(!path.exists());
        std::fs::write(&path, [7; 64]).unwrap();
        assert!(Identity::from_file(&path, None).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), [7; 64], "what somebody keeps there is not replaced");
    }

    #[test]
    fn the_key_is_never_shown() {
        let (identity, _) = Identity::establish(None).unwrap();
        let shown = format!("{identity:?}");
        assert!(shown.contains("thumbprint") && !shown.contains("secret"), "{shown}");
    }
}
