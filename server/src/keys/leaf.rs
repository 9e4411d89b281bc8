//! The certificate of the TLS listener, replaced while the server runs: a server that is never
//! restarted must not outlive its leaf.

use super::authority::Authority;
use super::{Keys, KeysError};
use engine::time::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// The certificate in use.
pub(crate) struct Leaf {
    directory: PathBuf,
    server_id: String,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

impl Leaf {
    pub(super) fn new(directory: PathBuf, server_id: String, key: CertifiedKey) -> Self {
        Self { directory, server_id, current: RwLock::new(Arc::new(key)) }
    }

    /// Makes a new leaf when the present one nears its end or lacks one of `names`, for every
    /// handshake from now on. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be made; the present one stays.
    pub(crate) fn refresh(&self, names: &[String], now: Timestamp) -> Result<(), KeysError> {
        Keys::require(&self.directory)?;
        let authority = Authority::open(&self.directory, &self.server_id, names, now.as_seconds())?;
        let key = Arc::new(authority.certified_key()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One certificate for every name: agents send a fixed one, people use addresses.
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn running_server_gets_a_new_leaf_before_the_old_one_ends() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(1_800_000_000_000);
        let keys = Keys::open(directory.path(), &[], now).unwrap();
        let leaf = keys.leaf();
        let shown = || leaf.current.read().unwrap().cert.first().cloned();
        let first = shown();
        leaf.refresh(&[], now.plus(Duration::from_secs(59 * 86_400))).unwrap();
        assert_eq!(shown(), first);
        leaf.refresh(&[], now.plus(Duration::from_secs(61 * 86_400))).unwrap();
        assert_ne!(shown(), first);
    }
}
