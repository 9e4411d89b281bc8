//! What is stored and never shown: keys of bootstrap tokens, values of secrets, passwords of registries,
//! keys of encrypted disks. Sealed by AES-256-GCM under a key derived from the master key, which is in the
//! data directory and not in the database: a stolen dump opens nothing (`spec/security.md` T21).
//!
//! Each value is bound to what it is about, so that a row copied over another one opens neither.

use super::{KeysError, MasterKey, random};
use protocol::token::{base64url, from_base64url};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

/// A sealed value that this server cannot open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was sealed under another master key, for something else, or is damaged; set it again, or restore \
     keys/master.key from a backup"
)]
pub(crate) struct UnsealError;

/// Seals and opens values for one purpose.
pub(crate) struct Sealer(LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// With a key of its own for this purpose.
    ///
    /// # Errors
    /// When the cipher does not take the key, which it always does.
    pub(super) fn new(master: &MasterKey, purpose: &str) -> Result<Self, KeysError> {
        let key = UnboundKey::new(&AES_256_GCM, &master.derive(purpose));
        Ok(Self(LessSafeKey::new(key.map_err(|_| KeysError::Damaged("master.key"))?)))
    }

    /// Seals a value: base64url of nonce, ciphertext and tag. `about` says what it is of, and is needed to
    /// open it.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn seal(&self, about: &str, plain: &[u8]) -> Result<String, KeysError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(about.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| KeysError::Random)?;
        Ok(base64url(&[nonce.as_slice(), &sealed].concat()))
    }

    /// Opens a value that was sealed about the same.
    ///
    /// # Errors
    /// [`UnsealError`], whatever the reason.
    pub(crate) fn open(&self, about: &str, sealed: &str) -> Result<Vec<u8>, UnsealError> {
        let bytes = from_base64url(sealed).ok_or(UnsealError)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain =
            self.0.open_in_place(nonce, Aad::from(about.as_bytes()), &mut sealed).map_err(|_| UnsealError)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8, purpose: &str) -> Sealer {
        Sealer::new(&MasterKey::new([byte; 32]), purpose).unwrap()
    }

    #[test]
    fn value_opens_under_its_key_purpose_and_subject_alone() {
        let own = sealer(1, "values");
        let sealed = own.seal("secrets/db", b"hunter2").unwrap();
        assert_eq!(own.open("secrets/db", &sealed), Ok(b"hunter2".to_vec()));
        assert_eq!(own.open("secrets/other", &sealed), Err(UnsealError));
        assert_eq!(sealer(2, "values").open("secrets/db", &sealed), Err(UnsealError));
        assert_eq!(sealer(1, "other").open("secrets/db", &sealed), Err(UnsealError));
    }

    #[test]
    fn value_is_sealed_differently_each_time_and_not_readable() {
        let own = sealer(1, "values");
        let (one, other) = (own.seal("a", b"hunter2").unwrap(), own.seal("a", b"hunter2").unwrap());
        assert_ne!(one, other);
        assert!(!from_base64url(&one).unwrap().windows(7).any(|part| part == b"hunter2"));
    }

    #[test]
    fn damaged_value_does_not_open() {
        let own = sealer(1, "values");
        let bytes = from_base64url(&own.seal("a", b"x").unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(own.open("a", &base64url(&damaged)), Err(UnsealError), "byte {at}");
        }
        for text in ["", "AAAA", "no base64!"] {
            assert_eq!(own.open("a", text), Err(UnsealError), "{text}");
        }
    }
}
