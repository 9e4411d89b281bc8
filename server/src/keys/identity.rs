//! Who the server is to everybody who connects: the chain of its TLS listener, the pins that
//! machines are told, and `ca.pem` for people and scripts. All of it is replaced while the server
//! runs: a server that is never restarted must neither outlive its leaf nor miss a roll of its CA.
//! Connections that are open go on; the next handshake sees the new chain.

use super::authority::{Authority, key_pair, pin};
use super::leaf::{self, Leaf};
use super::permit::PermitKey;
use super::{Keys, KeysError, files};
use engine::time::Timestamp;
use protocol::ids::SpkiPin;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The server's identity, and where it is kept.
pub(crate) struct Identity {
    keys_dir: PathBuf,
    ca_file: PathBuf,
    server_id: String,
    /// Held while files change, so that renewal and roll take turns.
    work: Mutex<Work>,
    shown: RwLock<Arc<Shown>>,
}

/// What is to be shown.
struct Work {
    /// What the leaf is to carry.
    names: Vec<String>,
    /// The last try failed somewhere.
    unfinished: bool,
}

/// What is shown at a time.
pub(crate) struct Shown {
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
    /// Certificate of the CA that signed the leaf.
    ca_der: CertificateDer<'static>,
    /// What signs permits: the leaf's key.
    pub(super) permit_key: PermitKey,
    /// Label of the CA that signed the leaf.
    pub(crate) ca: String,
    /// Pin of the leaf's own key, which stays.
    pub(crate) leaf_pin: SpkiPin,
    /// Pins of the current and the next CA.
    pub(crate) pins: Vec<SpkiPin>,
    /// Certificates of the current and the next CA, PEM.
    pub(crate) ca_pem: String,
    /// When the current CA took over, if it is not the first.
    pub(crate) rolled_at: Option<Timestamp>,
}

impl Shown {
    /// Certificates of the leaf and of the CA that signed it, DER.
    pub(super) fn chain(&self) -> [&[u8]; 2] {
        [&self.leaf.der, &self.ca_der]
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads or makes what there is to show. [`Identity::publish`] writes `ca_file`.
    pub(super) fn open(
        keys_dir: PathBuf,
        ca_file: PathBuf,
        server_id: String,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let shown = read_or_renew(&keys_dir, &server_id, names, now)?;
        let work = Mutex::new(Work { names: names.to_vec(), unfinished: false });
        Ok(Self { keys_dir, ca_file, server_id, work, shown: RwLock::new(Arc::new(shown)) })
    }

    /// What is shown now.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new leaf when the present one nears its end or lacks one of `names`, for every
    /// handshake from now on, and finishes what failed before. Blocks on the disk only then.
    ///
    /// # Errors
    /// When it cannot be made; the present one stays.
    pub(crate) fn refresh(&self, names: &[String], now: Timestamp) -> Result<(), KeysError> {
        let mut work = self.work();
        if !work.unfinished && self.shown().leaf.is_good(names, now) {
            return Ok(());
        }
        work.names = names.to_vec();
        self.show(&mut work, now)
    }

    /// Lets the next CA take over from `current`, and makes one to follow it; false when another
    /// roll was faster. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeysError`] names the file. Once `ca.json` is written, the next refresh or start
    /// finishes what failed.
    pub(crate) fn roll(&self, current: &str, now: Timestamp) -> Result<bool, KeysError> {
        let mut work = self.work();
        Keys::require(&self.keys_dir)?;
        let authority = Authority::open(&self.keys_dir, &self.server_id, now)?;
        if authority.current.label != current {
            return Ok(false);
        }
        authority.roll(&self.keys_dir, now)?;
        self.show(&mut work, now)?;
        Ok(true)
    }

    /// Shows what the files say, and makes what they lack.
    fn show(&self, work: &mut Work, now: Timestamp) -> Result<(), KeysError> {
        work.unfinished = true;
        Keys::require(&self.keys_dir)?;
        let shown = read_or_renew(&self.keys_dir, &self.server_id, &work.names, now)?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
        self.publish()?;
        work.unfinished = false;
        Ok(())
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // After a panic elsewhere the files are looked at again at worst.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the CAs' certificates where people and scripts find them, unless they are there.
    pub(super) fn publish(&self) -> Result<(), KeysError> {
        let shown = self.shown();
        let published = match std::fs::read(&self.ca_file) {
            Ok(pem) => pem == shown.ca_pem.as_bytes(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(KeysError::CaFile(error)),
        };
        if published {
            return Ok(());
        }
        files::write(&self.ca_file, shown.ca_pem.as_bytes(), 0o644).map_err(KeysError::CaFile)
    }
}

fn read_or_renew(
    keys_dir: &Path,
    server_id: &str,
    names: &[String],
    now: Timestamp,
) -> Result<Shown, KeysError> {
    let authority = Authority::open(keys_dir, server_id, now)?;
    let leaf_key = key_pair(&keys_dir.join("leaf.key.pem"))?;
    let leaf = leaf::read_or_renew(keys_dir, server_id, names, now, &leaf_key, &authority)?;
    let pkcs8 = leaf_key.serialize_der();
    let permit_key = PermitKey::new(&pkcs8)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
    let private = rustls::crypto::ring::sign::any_ecdsa_type(&private)?;
    // Leaf, then CA: agents collect the chain before they trust anyone.
    let chain: Vec<CertificateDer<'static>> = vec![leaf.der.clone(), authority.current.der.clone()];
    Ok(Shown {
        certified: Arc::new(CertifiedKey::new(chain, private)),
        leaf,
        ca_der: authority.current.der.clone(),
        permit_key,
        leaf_pin: pin(&leaf_key),
        pins: authority.pins(),
        ca_pem: authority.bundle(),
        rolled_at: authority.rolled_at,
        ca: authority.current.label,
    })
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One certificate for every name: agents send a fixed one, people use addresses.
        Some(Arc::clone(&self.shown().certified))
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
