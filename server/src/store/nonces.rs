//! Boot nonces that were given and not used: their digests. One is used in the commit that it is for,
//! so that of two requests at once one comes by it.

use super::commit::{Conflict, Writing};
use super::{Store, StoreError};
use engine::boot_nonce::{GivenNonce, MAX_LIVE_NONCES, NonceDigest};
use engine::time::Timestamp;
use protocol::ids::MachineId;
use sqlx::Row;

impl Store {
    /// What is kept of a nonce; none when it was used, is forgotten or was never given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn nonce(&self, digest: NonceDigest) -> Result<Option<GivenNonce>, StoreError> {
        let sql = "SELECT machine, expires_at FROM boot_nonce WHERE digest = $1";
        let row = sqlx::query(sql).bind(digest.to_string()).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let machine: String = row.try_get("machine")?;
        let damaged = |error: protocol::ids::IdError| StoreError::Damaged {
            table: "boot_nonce",
            reason: error.to_string(),
        };
        let expires_at = Timestamp::from_millis(row.try_get("expires_at")?);
        Ok(Some(GivenNonce { digest, machine: machine.parse().map_err(damaged)?, expires_at }))
    }
}

impl Writing<'_> {
    pub(super) async fn give_nonce(&mut self, nonce: &GivenNonce) -> Result<(), StoreError> {
        let sql = "SELECT COUNT(*) AS live FROM boot_nonce WHERE machine = $1 AND expires_at > $2";
        let row = sqlx::query(sql)
            .bind(nonce.machine.to_string())
            .bind(self.at.as_millis())
            .fetch_one(&mut *self.transaction)
            .await?;
        if row.try_get::<i64, _>("live")? >= i64::from(MAX_LIVE_NONCES) {
            return Err(Conflict::NoncesOut.into());
        }
        sqlx::query("INSERT INTO boot_nonce (digest, machine, expires_at) VALUES ($1, $2, $3)")
            .bind(nonce.digest.to_string())
            .bind(nonce.machine.to_string())
            .bind(nonce.expires_at.as_millis())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn use_nonce(&mut self, digest: NonceDigest) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM boot_nonce WHERE digest = $1 AND expires_at > $2")
            .bind(digest.to_string())
            .bind(self.at.as_millis())
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 0 { Err(Conflict::NonceUsed.into()) } else { Ok(()) }
    }

    pub(super) async fn end_nonces(&mut self, machine: MachineId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM boot_nonce WHERE machine = $1")
            .bind(machine.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
