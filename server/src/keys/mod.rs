//! Every key the server holds, and what is made and checked with them.
//!
//! `D/keys` holds the master key, the certificate authorities, the leaf and the wrapped keys of
//! bootstrap tokens, each file 0600 and written whole. The database holds none of them, so a
//! stolen dump mints nothing (`spec/security.md` T21). `D/ca.pem` is for everybody.

mod access;
mod authority;
mod bootstrap_token;
pub(crate) mod files;
mod identity;
mod leaf;
mod machine_token;
mod nonce;
mod permit;
mod proof;
mod seal;

pub(crate) use bootstrap_token::{KeyState, OpenError, Opened, SealError, Sealed, TokenKeys};
pub(crate) use machine_token::{GrantSecrets, MachineGrant, MachineTokens, PREFIX as MACHINE_TOKEN_PREFIX};
pub(crate) use proof::MachineCaller;
pub(crate) use proof::{Call, ProofRefusal, ProvenHead};
pub(crate) use seal::Sealer;

use access::AccessTokens;
use engine::admission::BootstrapClaims;
use engine::time::Timestamp;
use identity::{Identity, Shown};
use nonce::Nonces;
use protocol::code::Fingerprint;
use protocol::ids::{KeyThumbprint, MachineId, SpkiPin};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Characters of a server id: 50 bits tell servers apart and stay readable in a certificate.
const SERVER_ID_LEN: usize = 10;
const SERVER_ID_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What must be there once anything is. Certificates are made again from the keys.
const KEY_FILES: [&str; 4] = ["master.key", "server-id", "leaf.key.pem", "kids.json"];

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file cannot be read or written.
    #[error("a file under the data directory's keys/ cannot be read or written")]
    File(#[from] std::io::Error),
    /// A file has other contents than this program writes.
    #[error("{0} under the data directory's keys/ is damaged: restore it from a backup")]
    Damaged(&'static str),
    /// A file is gone while others are there.
    #[error(
        "{0} is missing under the data directory's keys/: restore it from a backup; \
         new keys would lock out every boot medium and machine"
    )]
    Missing(String),
    /// The CA's certificates cannot be put where people find them.
    #[error("ca.pem in the data directory cannot be read or written")]
    CaFile(#[source] std::io::Error),
    /// The ring of token keys is full.
    #[error(
        "too many keys of bootstrap tokens are kept: revoke the oldest of `muster key list` with \
         `muster token revoke --kid`"
    )]
    TooManyTokenKeys,
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take the certificate.
    #[error("TLS does not accept the server's certificate")]
    Tls(#[from] rustls::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The key from which every symmetric key is derived or under which it is wrapped.
pub(crate) struct MasterKey(hmac::Key);

impl MasterKey {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// An independent key for one purpose.
    fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, purpose.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }

    fn derive_hmac(&self, purpose: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive(purpose))
    }
}

/// The server's keys.
pub(crate) struct Keys {
    server_id: String,
    identity: Arc<Identity>,
    tokens: Arc<TokenKeys>,
    nonces: Nonces,
    access: AccessTokens,
    machine_tokens: MachineTokens,
    sealer: Arc<Sealer>,
    labels: hmac::Key,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the keys of a data directory, or makes them on first start, and writes its `ca.pem`.
    /// `names` are the DNS names and addresses the leaf shall carry.
    ///
    /// # Errors
    /// [`KeysError`] names the file. A lost one is never replaced: pins and tokens would change.
    pub(crate) fn open(data_dir: &Path, names: &[String], now: Timestamp) -> Result<Self, KeysError> {
        let (directory, ca_file) = (data_dir.join("keys"), data_dir.join("ca.pem"));
        // With a `ca.pem` this is not the first start: keys that all went together are missed too.
        if !ca_file.try_exists().map_err(KeysError::CaFile)? && is_first_start(&directory)? {
            // Made beside and moved whole, so that a start that was cut leaves no half of them.
            let fresh = directory.with_extension("new");
            files::remove_dir(&fresh)?;
            files::private_dir(&fresh)?;
            Self::read_or_make(&fresh, &ca_file, names, now)?;
            files::rename_dir(&fresh, &directory)?;
        }
        Self::require(&directory)?;
        let keys = Self::read_or_make(&directory, &ca_file, names, now)?;
        keys.identity.publish()?;
        Ok(keys)
    }

    /// Refuses to go on without a key that once was.
    ///
    /// # Errors
    /// [`KeysError::Missing`] names the first file that is not there.
    pub(crate) fn require(directory: &Path) -> Result<(), KeysError> {
        for file in KEY_FILES.map(str::to_owned).into_iter().chain(authority::key_files(directory)?) {
            if !directory.join(&file).try_exists()? {
                return Err(KeysError::Missing(file));
            }
        }
        Ok(())
    }

    fn read_or_make(
        directory: &Path,
        ca_file: &Path,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let master =
            files::read_or_create(&directory.join("master.key"), || random::<32>().map(|key| key.to_vec()))?;
        let master = MasterKey::new(master.try_into().map_err(|_| KeysError::Damaged("master.key"))?);
        let server_id = server_id(directory)?;
        let identity =
            Identity::open(directory.to_owned(), ca_file.to_owned(), server_id.clone(), names, now)?;
        Ok(Self {
            identity: Arc::new(identity),
            tokens: Arc::new(TokenKeys::open(&directory.join("kids.json"), &master, now.as_seconds())?),
            nonces: Nonces::new(hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?), now),
            access: AccessTokens::new(master.derive_hmac("access/v1")),
            machine_tokens: MachineTokens::new(master.derive_hmac("machine-token/v1")),
            sealer: Arc::new(Sealer::new(&master, "value-wrap/v1")?),
            labels: master.derive_hmac("label/v1"),
            server_id,
        })
    }

    /// The server's id, as in its leaf certificate's `<id>.agent.internal`.
    pub(crate) fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Pins of the current and the next CA.
    pub(crate) fn pins(&self) -> Vec<SpkiPin> {
        self.identity.shown().pins.clone()
    }

    /// What everybody who connects is shown now.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        self.identity.shown()
    }

    /// The identity of the TLS listener.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// What console and dialog show of a machine's key.
    pub(crate) fn fingerprint(&self, key: &KeyThumbprint) -> Fingerprint {
        let digest = digest(&SHA256, &Fingerprint::preimage(key, &self.server_id));
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Fingerprint::from_digest(bytes)
    }

    /// A fresh nonce.
    pub(crate) fn nonce(&self, now: Timestamp) -> String {
        self.nonces.issue(now)
    }

    /// An access token for a registered machine and its key.
    pub(crate) fn access_token(&self, machine: MachineId, key: &KeyThumbprint, now: Timestamp) -> String {
        self.access.issue(machine, key, now)
    }

    /// Seconds an access token is good for.
    pub(crate) const fn access_token_lifetime() -> u64 {
        access::ACCESS_LIFETIME.as_secs()
    }

    /// What makes and checks the tokens of machines.
    pub(crate) fn machine_tokens(&self) -> &MachineTokens {
        &self.machine_tokens
    }

    /// Seals a bootstrap token.
    ///
    /// # Errors
    /// [`SealError`] when the token would be too long for a command line.
    pub(crate) fn seal(&self, claims: &BootstrapClaims) -> Result<Sealed, SealError> {
        self.tokens.seal(claims)
    }

    /// Opens a bootstrap token. What it says is authentic; whether it admits anybody is
    /// `engine::admission`'s to decide.
    ///
    /// # Errors
    /// [`OpenError`], the same for everything that is not a token of ours.
    pub(crate) fn open_token(&self, text: &str) -> Result<Opened, OpenError> {
        self.tokens.open_token(text)
    }

    /// The keys that seal bootstrap tokens.
    pub(crate) fn tokens(&self) -> Arc<TokenKeys> {
        Arc::clone(&self.tokens)
    }

    /// What seals values that are stored and never shown.
    pub(crate) fn sealer(&self) -> Arc<Sealer> {
        Arc::clone(&self.sealer)
    }

    /// A short name that only this server can derive from `parts`, the same every time.
    pub(crate) fn label(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.labels);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        protocol::token::base64url(tag.as_ref().get(..12).unwrap_or_default())
    }
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeysError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeysError::Random)?;
    Ok(bytes)
}

fn is_first_start(directory: &Path) -> Result<bool, KeysError> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn server_id(directory: &Path) -> Result<String, KeysError> {
    let bytes = files::read_or_create(&directory.join("server-id"), || {
        let random = random::<SERVER_ID_LEN>()?;
        let letter = |byte: u8| SERVER_ID_ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
        Ok::<_, KeysError>(random.map(letter).to_vec())
    })?;
    let valid = bytes.len() == SERVER_ID_LEN && bytes.iter().all(|byte| SERVER_ID_ALPHABET.contains(byte));
    match String::from_utf8(bytes) {
        Ok(id) if valid => Ok(id),
        _ => Err(KeysError::Damaged("server-id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn keys_survive_a_restart_and_every_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let first = Keys::open(directory.path(), &[], NOW).unwrap();
        let second = Keys::open(directory.path(), &[], NOW).unwrap();
        assert_eq!(first.server_id(), second.server_id());
        assert_eq!(first.pins(), second.pins());
        assert_eq!(first.label(&[b"a", b"b"]), second.label(&[b"a", b"b"]));
        assert_ne!(first.label(&[b"ab"]), first.label(&[b"a", b"b"]));
        for entry in std::fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
    }

    #[test]
    fn damaged_file_is_named_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        Keys::open(directory.path(), &[], NOW).unwrap();
        std::fs::write(directory.path().join("keys/server-id"), "Not An Id").unwrap();
        let error = Keys::open(directory.path(), &[], NOW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "server-id under the data directory's keys/ is damaged: restore it from a backup"
        );
    }

    #[test]
    fn lost_key_file_is_named_and_never_replaced() {
        for file in KEY_FILES.into_iter().chain(["ca-a.key.pem", "ca-b.key.pem"]) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("keys");
            let keys = Keys::open(directory.path(), &[], NOW).unwrap();
            std::fs::remove_file(path.join(file)).unwrap();
            let error = Keys::open(directory.path(), &[], NOW).unwrap_err();
            assert!(matches!(&error, KeysError::Missing(name) if name == file), "{error}");
            let later = NOW.plus(std::time::Duration::from_secs(61 * 86_400));
            assert!(keys.identity().refresh(&[], later).is_err(), "{file}");
            assert!(keys.identity().roll("a", NOW).is_err(), "{file}");
            assert!(!path.join(file).exists());
        }
    }

    #[test]
    fn keys_that_went_all_together_are_missed() {
        let directory = tempfile::tempdir().unwrap();
        Keys::open(directory.path(), &[], NOW).unwrap();
        std::fs::remove_dir_all(directory.path().join("keys")).unwrap();
        assert!(matches!(Keys::open(directory.path(), &[], NOW), Err(KeysError::Missing(_))));
    }

    #[test]
    fn nonce_from_before_a_restart_is_nobodys_even_when_the_clock_was_set_back() {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyThumbprint([7; 32]);
        let before = Keys::open(directory.path(), &[], NOW).unwrap().nonce(NOW);
        for now in [NOW, NOW.minus(std::time::Duration::from_secs(315_360_000))] {
            let keys = Keys::open(directory.path(), &[], now).unwrap();
            assert!(keys.nonces.redeem(&before, &key, "a", now).is_err());
            assert!(keys.nonces.redeem(&keys.nonce(now), &key, "a", now).is_ok());
        }
    }

    #[test]
    fn lost_certificates_are_made_again_with_the_same_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let first = Keys::open(directory.path(), &[], NOW).unwrap();
        for file in ["ca-a.pem", "ca-b.pem", "leaf.json"] {
            std::fs::remove_file(path.join(file)).unwrap();
        }
        assert_eq!(Keys::open(directory.path(), &[], NOW).unwrap().pins(), first.pins());
    }

    #[test]
    fn first_start_that_was_cut_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("keys.new")).unwrap();
        std::fs::write(directory.path().join("keys.new/master.key"), "half").unwrap();
        assert!(Keys::open(directory.path(), &[], NOW).is_ok());
        assert!(!directory.path().join("keys.new").exists());
    }

    #[test]
    fn secret_that_others_may_read_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        Keys::open(directory.path(), &[], NOW).unwrap();
        let master = directory.path().join("keys/master.key");
        std::fs::set_permissions(&master, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keys::open(directory.path(), &[], NOW).unwrap_err();
        let expected =
            format!("{0} may be read by others than its owner: run `chmod 600 {0}`", master.display());
        assert!(crate::report::chain(&error).ends_with(&expected), "{}", crate::report::chain(&error));
    }
}
