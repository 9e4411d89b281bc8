//! Bootstrap tokens: compact JWE, `dir` with A256GCM (`spec/security.md` 3).
//!
//! josekit encrypts and decrypts. It verifies shortened tags, inflates `zip` and accepts a
//! token without `exp`, so nothing reaches it before [`BootstrapToken`]'s shape check (five
//! parts, full tag) and a byte-exact header, and nothing leaves without every required claim.
//! Up to and including decryption every failure is the same [`OpenError::Invalid`].
//!
//! Each key id has its own random key, stored wrapped (AES-256-GCM) under the master key:
//! derived keys could never be erased.

use super::{KeysError, MasterKey, files};
use engine::admission::BootstrapClaims;
use josekit::JoseError;
use josekit::jwe::enc::A256GCM;
use josekit::jwe::{Dir, JweContentEncryption, JweContext, JweHeader};
use protocol::token::{BootstrapToken, MAX_ISSUED_TOKEN_LEN, base64url, from_base64url};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What the header says around the key id, to the byte.
const HEADER_START: &str = r#"{"alg":"dir","enc":"A256GCM","kid":""#;
const HEADER_END: &str = r#"","typ":"bst+jwt"}"#;
const KEY_LEN: usize = 32;

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

/// The ring of keys that seal and open bootstrap tokens.
pub(crate) struct TokenKeys {
    current: String,
    keys: BTreeMap<String, [u8; KEY_LEN]>,
    context: JweContext,
}

#[derive(Serialize, Deserialize)]
struct StoredRing {
    current: String,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    /// Seconds since 1970.
    created_at: u64,
    /// base64url of nonce, ciphertext and tag.
    wrapped: String,
}

impl TokenKeys {
    /// Reads the ring of `path` and unwraps its keys, or makes one with a first key.
    pub(crate) fn open(path: &Path, master: &MasterKey, now: u64) -> Result<Self, KeysError> {
        let json = files::read_or_create(path, || {
            let first = wrap_new_key("k1", master, now)?;
            let ring = StoredRing { current: "k1".to_owned(), keys: vec![first] };
            serde_json::to_vec_pretty(&ring).map_err(|_| KeysError::Damaged("kids.json"))
        })?;
        let ring: StoredRing = serde_json::from_slice(&json).map_err(|_| KeysError::Damaged("kids.json"))?;
        let mut keys = BTreeMap::new();
        for stored in &ring.keys {
            keys.insert(stored.kid.clone(), unwrap_key(stored, master)?);
        }
        if !keys.contains_key(&ring.current) || !keys.keys().all(|kid| is_kid(kid)) {
            return Err(KeysError::Damaged("kids.json"));
        }
        let mut context = JweContext::new();
        context.remove_compression("DEF");
        Ok(Self { current: ring.current, keys, context })
    }

    /// Seals claims with the current key.
    pub(crate) fn seal(&self, claims: &BootstrapClaims) -> Result<BootstrapToken, SealError> {
        let payload = serde_json::to_vec(claims).map_err(|error| SealError::Jose(error.into()))?;
        let text = self.encrypt(&payload).map_err(|error| SealError::Jose(error.into()))?;
        if text.len() > MAX_ISSUED_TOKEN_LEN {
            return Err(SealError::TooLong(text.len()));
        }
        let token: BootstrapToken = text.parse().map_err(|error| SealError::Jose(Box::new(error)))?;
        match self.key_of(&token) {
            Some(_) => Ok(token),
            None => Err(SealError::Jose("the library wrote another header than ours".into())),
        }
    }

    fn encrypt(&self, payload: &[u8]) -> Result<String, JoseError> {
        let mut header = JweHeader::new();
        header.set_algorithm("dir");
        header.set_content_encryption(JweContentEncryption::name(&A256GCM));
        header.set_key_id(self.current.clone());
        header.set_token_type("bst+jwt");
        let key = self.keys.get(&self.current).map(|key| key.as_slice()).unwrap_or_default();
        self.context.serialize_compact(payload, &header, &Dir.encrypter_from_bytes(key)?)
    }

    /// Opens a token's text: length, shape, header, decryption, required claims. Whether the
    /// claims admit anybody, and until when, is `engine::admission`'s.
    pub(crate) fn open_token(&self, text: &str) -> Result<BootstrapClaims, OpenError> {
        let token: BootstrapToken = text.parse().map_err(|_| OpenError)?;
        let key = self.key_of(&token).ok_or(OpenError)?;
        let decrypter = Dir.decrypter_from_bytes(key).map_err(|_| OpenError)?;
        let (payload, _) =
            self.context.deserialize_compact(token.reveal(), &decrypter).map_err(|_| OpenError)?;
        serde_json::from_slice(&payload).map_err(|_| OpenError)
    }

    /// The key a token names, when its header is ours to the byte.
    fn key_of(&self, token: &BootstrapToken) -> Option<&[u8; KEY_LEN]> {
        let header = token.header();
        let kid = header.strip_prefix(HEADER_START.as_bytes())?.strip_suffix(HEADER_END.as_bytes())?;
        self.keys.get(std::str::from_utf8(kid).ok()?)
    }
}

fn is_kid(kid: &str) -> bool {
    (1..=16).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn wrap_new_key(kid: &str, master: &MasterKey, now: u64) -> Result<StoredKey, KeysError> {
    let random = SystemRandom::new();
    let (mut key, mut nonce) = ([0; KEY_LEN], [0; NONCE_LEN]);
    random.fill(&mut key).and_then(|()| random.fill(&mut nonce)).map_err(|_| KeysError::Random)?;
    let mut sealed = key.to_vec();
    wrapping_key(master)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(kid.as_bytes()), &mut sealed)
        .map_err(|_| KeysError::Random)?;
    let wrapped = base64url(&[nonce.as_slice(), &sealed].concat());
    Ok(StoredKey { kid: kid.to_owned(), created_at: now, wrapped })
}

fn unwrap_key(stored: &StoredKey, master: &MasterKey) -> Result<[u8; KEY_LEN], KeysError> {
    let damaged = || KeysError::Damaged("kids.json or master.key");
    let bytes = from_base64url(&stored.wrapped).ok_or_else(damaged)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let key = wrapping_key(master)?
        .open_in_place(nonce, Aad::from(stored.kid.as_bytes()), &mut sealed)
        .map_err(|_| damaged())?;
    key.try_into().map_err(|_| damaged())
}

fn wrapping_key(master: &MasterKey) -> Result<LessSafeKey, KeysError> {
    let key = UnboundKey::new(&AES_256_GCM, &master.derive("jwe-wrap/v1"))
        .map_err(|_| KeysError::Damaged("master.key"))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
#[path = "bootstrap_token_tests.rs"]
mod tests;
