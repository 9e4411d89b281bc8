//! The one-time nonce that a known machine's boot carries, so that the machine is recognised when it
//! comes up without its key. Who gets one is `engine::boot_nonce`'s to say.

use super::super::App;
use super::super::error::AppError;
use super::Requester;
use crate::keys;
use crate::store::{Conflict, StoreError};
use engine::boot_nonce::{NonceDigest, give};
use engine::change::Cause;
use engine::machine::Machine;
use protocol::nonce::BootNonce;
use ring::digest::{SHA256, digest};

impl App {
    /// A nonce for what a machine is about to boot; none when it may not have one, and the log says
    /// why. Each is new: ask once for each thing that is booted.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) async fn boot_nonce(
        &self,
        machine: &Machine,
        requester: Requester,
    ) -> Result<Option<BootNonce>, AppError> {
        let now = self.clock.now();
        let nonce = BootNonce::from_random(keys::random().map_err(AppError::internal)?);
        let cause = Cause { source: Some(requester.address), ..Cause::system(now) };
        let given = match give(machine, requester.address, digest_of(&nonce)?, &cause) {
            Ok(changes) => self.commit(changes, Vec::new()).await,
            Err(why) => {
                tracing::info!(machine = %machine.name, %why, "its boot carries no nonce");
                return Ok(None);
            }
        };
        match given {
            Ok(_) => Ok(Some(nonce)),
            Err(StoreError::Conflict(why @ Conflict::NoncesOut)) => {
                tracing::warn!(machine = %machine.name, %why, "its boot carries no nonce");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What is kept of a nonce.
///
/// # Errors
/// Never: SHA-256 has 32 bytes.
pub(in crate::app) fn digest_of(nonce: &BootNonce) -> Result<NonceDigest, AppError> {
    let bytes = digest(&SHA256, nonce.bytes());
    bytes.as_ref().try_into().map(NonceDigest).map_err(AppError::internal)
}
