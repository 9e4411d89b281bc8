//! The audit log: append-only, each row's hash covering the one before, so that a gap or an
//! edit shows.

use super::{Store, StoreError};
use engine::change::AuditRow;
use protocol::token::base64url;
use ring::digest::{Context, SHA256};
use sqlx::{AnyConnection, Row};

/// One stored row.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// Its number, from 1 without gaps.
    pub number: i64,
    /// What it says.
    pub row: AuditRow,
}

/// Where the chain is broken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditBreak {
    /// A row is missing, was added or does not match its hash.
    #[error("the audit log is broken at row {0}: a row was changed, removed or added")]
    At(i64),
    /// It cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
}

/// The end of the chain, while a commit appends.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) rows: i64,
    pub(super) hash: String,
}

impl Chain {
    /// Appends one row.
    pub(super) async fn append(
        &mut self,
        transaction: &mut AnyConnection,
        row: &AuditRow,
    ) -> Result<(), StoreError> {
        let body = super::read::to_json("audit", row)?;
        self.rows += 1;
        self.hash = link(&self.hash, self.rows, &body);
        sqlx::query("INSERT INTO audit (number, body, hash) VALUES ($1, $2, $3)")
            .bind(self.rows)
            .bind(body)
            .bind(self.hash.clone())
            .execute(transaction)
            .await?;
        Ok(())
    }
}

/// The hash of a row: of the hash before it, its number and its body, each with its length.
fn link(before: &str, number: i64, body: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&number.to_be_bytes());
    for part in [before, body] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    base64url(context.finish().as_ref())
}

impl Store {
    /// For tests: rows of the audit log after `number`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    #[cfg(test)]
    pub(crate) async fn audit(&self, number: i64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT number, body FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
        let rows = sqlx::query(sql).bind(number).bind(i64::from(limit)).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                let body: String = row.try_get("body")?;
                Ok(AuditEntry {
                    number: row.try_get("number")?,
                    row: super::read::from_json("audit", &body)?,
                })
            })
            .collect()
    }

    /// Walks the whole chain. Answers how many rows it has.
    ///
    /// # Errors
    /// [`AuditBreak`] names the first row that does not fit.
    pub(crate) async fn verify_audit(&self) -> Result<i64, AuditBreak> {
        let mut chain = Chain { rows: 0, hash: String::new() };
        loop {
            let sql = "SELECT number, body, hash FROM audit WHERE number > $1 ORDER BY number LIMIT 1000";
            let rows =
                sqlx::query(sql).bind(chain.rows).fetch_all(&self.readers).await.map_err(StoreError::from)?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let read = |column| row.try_get::<String, _>(column).map_err(StoreError::from);
                let number: i64 = row.try_get("number").map_err(StoreError::from)?;
                let hash = link(&chain.hash, number, &read("body")?);
                if number != chain.rows + 1 || hash != read("hash")? {
                    return Err(AuditBreak::At(chain.rows + 1));
                }
                chain = Chain { rows: number, hash };
            }
        }
        // The end is kept apart, so that rows cut off the end are missed too.
        let head = sqlx::query("SELECT audit_rows, audit_hash FROM head").fetch_one(&self.readers).await;
        let head = head.map_err(StoreError::from)?;
        let rows: i64 = head.try_get("audit_rows").map_err(StoreError::from)?;
        let hash: String = head.try_get("audit_hash").map_err(StoreError::from)?;
        if (rows, hash) == (chain.rows, chain.hash) { Ok(rows) } else { Err(AuditBreak::At(chain.rows + 1)) }
    }
}
