//! Bootstrap tokens: compact JWE, `dir` with A256GCM (`spec/security.md` 3).
//!
//! josekit encrypts and decrypts. It verifies shortened tags, inflates `zip` and accepts a
//! token without `exp`, so nothing reaches it before [`BootstrapToken`]'s shape check (five
//! parts, full tag) and a byte-exact header, and nothing leaves without every required claim.
//! Up to and including decryption every failure is the same [`OpenError::Invalid`].
//!
//! Each key id has its own random key, stored wrapped (AES-256-GCM) under the master key:
//! derived keys could never be erased.

use super::seal::Sealer;
use super::{KeysError, MasterKey, files, random};
use engine::admission::BootstrapClaims;
use engine::time::Timestamp;
use josekit::JoseError;
use josekit::jwe::enc::A256GCM;
use josekit::jwe::{Dir, JweContentEncryption, JweContext, JweHeader};
use protocol::token::{BootstrapToken, MAX_ISSUED_TOKEN_LEN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// What the header says around the key id, to the byte.
const HEADER_START: &str = r#"{"alg":"dir","enc":"A256GCM","kid":""#;
const HEADER_END: &str = r#"","typ":"bst+jwt"}"#;
const KEY_LEN: usize = 32;
/// Most keys of the ring: a roll a day for as long as a token lives, within the file's limit.
const MAX_KEYS: usize = 400;

/// A bootstrap token that is not ours, damaged or forged: 401 `invalid_token`, whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bootstrap token is not one of this server's")]
pub(crate) struct OpenError;

/// Why a bootstrap token cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Its claims make it longer than kernel command lines can carry.
    #[error(
        "bootstrap token would have {0} characters, at most {MAX_ISSUED_TOKEN_LEN} fit a kernel command line; use fewer roles or constraints"
    )]
    TooLong(usize),
    /// The claims are not a JSON object or the JOSE library failed.
    #[error("bootstrap token cannot be sealed")]
    Jose(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The ring of keys that seal and open bootstrap tokens. One is current and seals; the others open
/// what they sealed, until the last of it is over and they are erased (`spec/security.md` 3.3).
pub(crate) struct TokenKeys {
    path: PathBuf,
    wrapping: Sealer,
    ring: RwLock<Ring>,
    /// Held by whoever changes the ring, from reading it to the file's being on disk.
    changing: Mutex<()>,
    context: JweContext,
}

struct Ring {
    stored: StoredRing,
    keys: BTreeMap<String, [u8; KEY_LEN]>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredRing {
    current: String,
    /// Number of the last key ever made: none is used twice, so that what was revoked stays so.
    #[serde(default)]
    last: u32,
    keys: Vec<StoredKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    /// Seconds since 1970.
    created_at: u64,
    /// When another key followed, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolled_at: Option<u64>,
    /// base64url of nonce, ciphertext and tag.
    wrapped: String,
}

/// A bootstrap token just made.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// The token.
    pub(crate) token: BootstrapToken,
    /// The key that sealed it.
    pub(crate) kid: String,
}

/// What a token says. It is authentic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Its claims.
    pub(crate) claims: BootstrapClaims,
    /// The key that sealed it.
    pub(crate) kid: String,
}

/// One key of the ring, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// Its id.
    pub(crate) kid: String,
    /// Whether it seals new tokens.
    pub(crate) current: bool,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When another followed it.
    pub(crate) rolled_at: Option<Timestamp>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeys").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TokenKeys {
    /// Reads the ring of `path` and unwraps its keys, or makes one with a first key.
    pub(crate) fn open(path: &Path, master: &MasterKey, now: u64) -> Result<Self, KeysError> {
        let wrapping = wrapping_key(master)?;
        let json = files::read_or_create(path, || {
            let (first, _) = new_key("k1", &wrapping, now)?;
            write_ring(&StoredRing { current: "k1".to_owned(), last: 1, keys: vec![first] })
        })?;
        let mut stored: StoredRing = serde_json::from_slice(&json).map_err(|_| damaged())?;
        let mut keys = BTreeMap::new();
        for key in &stored.keys {
            keys.insert(key.kid.clone(), unwrap_key(key, &wrapping)?);
            stored.last = stored.last.max(number_of(&key.kid));
        }
        if !keys.contains_key(&stored.current) || !keys.keys().all(|kid| is_kid(kid)) {
            return Err(damaged());
        }
        let mut context = JweContext::new();
        context.remove_compression("DEF");
        Ok(Self {
            path: path.to_owned(),
            wrapping,
            ring: RwLock::new(Ring { stored, keys }),
            changing: Mutex::default(),
            context,
        })
    }

    /// Seals claims with the current key.
    pub(crate) fn seal(&self, claims: &BootstrapClaims) -> Result<Sealed, SealError> {
        let payload = serde_json::to_vec(claims).map_err(|error| SealError::Jose(error.into()))?;
        let kid = self.current();
        let text = self.encrypt(&kid, &payload).map_err(|error| SealError::Jose(error.into()))?;
        if text.len() > MAX_ISSUED_TOKEN_LEN {
            return Err(SealError::TooLong(text.len()));
        }
        let token: BootstrapToken = text.parse().map_err(|error| SealError::Jose(Box::new(error)))?;
        match self.key_of(&token) {
            Some((named, _)) if named == kid => Ok(Sealed { token, kid }),
            Some(_) | None => Err(SealError::Jose("the library wrote another header than ours".into())),
        }
    }

    pub(crate) fn encrypt(&self, kid: &str, payload: &[u8]) -> Result<String, JoseError> {
        let mut header = JweHeader::new();
        header.set_algorithm("dir");
        header.set_content_encryption(JweContentEncryption::name(&A256GCM));
        header.set_key_id(kid.to_owned());
        header.set_token_type("bst+jwt");
        let key = self.ring().keys.get(kid).map(|key| key.to_vec()).unwrap_or_default();
        self.context.serialize_compact(payload, &header, &Dir.encrypter_from_bytes(key)?)
    }

    /// Opens a token's text: length, shape, header, decryption, required claims. Whether the
    /// claims admit anybody, and until when, is `engine::admission`'s.
    pub(crate) fn open_token(&self, text: &str) -> Result<Opened, OpenError> {
        let token: BootstrapToken = text.parse().map_err(|_| OpenError)?;
        let (kid, key) = self.key_of(&token).ok_or(OpenError)?;
        let decrypter = Dir.decrypter_from_bytes(key).map_err(|_| OpenError)?;
        let (payload, _) =
            self.context.deserialize_compact(token.reveal(), &decrypter).map_err(|_| OpenError)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| OpenError)?;
        Ok(Opened { claims, kid })
    }

    /// The key a token names, when its header is ours to the byte.
    fn key_of(&self, token: &BootstrapToken) -> Option<(String, [u8; KEY_LEN])> {
        let header = token.header();
        let kid = header.strip_prefix(HEADER_START.as_bytes())?.strip_suffix(HEADER_END.as_bytes())?;
        let kid = std::str::from_utf8(kid).ok()?;
        let key = self.ring().keys.get(kid).copied()?;
        Some((kid.to_owned(), key))
    }

    /// The key that seals.
    pub(crate) fn current(&self) -> String {
        self.ring().stored.current.clone()
    }

    /// All keys of the ring, oldest first.
    pub(crate) fn states(&self) -> Vec<KeyState> {
        let ring = self.ring();
        let state = |key: &StoredKey| KeyState {
            kid: key.kid.clone(),
            current: key.kid == ring.stored.current,
            created_at: Timestamp::from_seconds(key.created_at),
            rolled_at: key.rolled_at.map(Timestamp::from_seconds),
        };
        ring.stored.keys.iter().map(state).collect()
    }

    /// Lets a new key follow `current`; false when another roll was faster. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing changed.
    pub(crate) fn roll(&self, current: &str, now: Timestamp) -> Result<bool, KeysError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = self.ring().stored.clone();
        if stored.current != current {
            return Ok(false);
        }
        if stored.keys.len() >= MAX_KEYS {
            return Err(KeysError::TooManyTokenKeys);
        }
        stored.last = stored.last.saturating_add(1);
        let kid = format!("k{}", stored.last);
        let (key, secret) = new_key(&kid, &self.wrapping, now.as_seconds())?;
        for old in stored.keys.iter_mut().filter(|old| old.kid == current) {
            old.rolled_at = Some(now.as_seconds());
        }
        stored.keys.push(key);
        stored.current.clone_from(&kid);
        files::write(&self.path, &write_ring(&stored)?, 0o600)?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.keys.insert(kid, secret);
        ring.stored = stored;
        Ok(true)
    }

    /// Erases a key that is not current: nothing that it sealed can be opened any more. False
    /// when there is no such key. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing changed.
    pub(crate) fn erase(&self, kid: &str) -> Result<bool, KeysError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = self.ring().stored.clone();
        stored.keys.retain(|key| key.kid != kid || key.kid == stored.current);
        if stored.keys.len() == self.ring().stored.keys.len() {
            return Ok(false);
        }
        files::write(&self.path, &write_ring(&stored)?, 0o600)?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.keys.remove(kid);
        ring.stored = stored;
        Ok(true)
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        // Written whole or not at all, so a panic elsewhere leaves a whole ring behind.
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_ring(ring: &StoredRing) -> Result<Vec<u8>, KeysError> {
    serde_json::to_vec_pretty(ring).map_err(|_| damaged())
}

fn damaged() -> KeysError {
    KeysError::Damaged("kids.json")
}

/// The number in a key's id, 0 for one that has none.
fn number_of(kid: &str) -> u32 {
    kid.strip_prefix('k').and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn is_kid(kid: &str) -> bool {
    (1..=16).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A new key and its stored form.
fn new_key(kid: &str, wrapping: &Sealer, now: u64) -> Result<(StoredKey, [u8; KEY_LEN]), KeysError> {
    let key = random()?;
    let wrapped = wrapping.seal(kid, &key)?;
    Ok((StoredKey { kid: kid.to_owned(), created_at: now, rolled_at: None, wrapped }, key))
}

fn unwrap_key(stored: &StoredKey, wrapping: &Sealer) -> Result<[u8; KEY_LEN], KeysError> {
    let damaged = || KeysError::Damaged("kids.json or master.key");
    let key = wrapping.open(&stored.kid, &stored.wrapped).map_err(|_| damaged())?;
    key.try_into().map_err(|_| damaged())
}

fn wrapping_key(master: &MasterKey) -> Result<Sealer, KeysError> {
    Sealer::new(master, "jwe-wrap/v1")
}

#[cfg(test)]
#[path = "bootstrap_token_tests.rs"]
mod tests;
