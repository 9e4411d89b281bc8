//! The audit log: append-only, each row's hash covering the one before, so that a gap or an
//! edit shows.

use super::read::{from_json, to_json};
use super::{Store, StoreError};
use engine::change::{AuditKind, AuditRow};
use protocol::ids::MachineId;
use protocol::token::base64url;
use ring::digest::{Context, SHA256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// One stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// Its number, from 1 without gaps.
    pub number: i64,
    /// What its kind is called.
    pub kind: String,
    /// What it says.
    pub row: AuditRow,
}

/// Which rows are read. Nothing said means any.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    /// Those that concern this machine, or that it did.
    pub(crate) machine: Option<MachineId>,
    /// Of one of these kinds; none for any.
    pub(crate) kinds: Vec<AuditKind>,
    /// By whom, as [`AuditRow::principal`] says it.
    pub(crate) principal: Option<String>,
    /// Older than the row of this number.
    pub(crate) before: Option<i64>,
}

/// What a row is found by.
struct Columns {
    kind: String,
    about: String,
    principal: String,
}

impl Columns {
    fn of(row: &AuditRow) -> Result<Self, StoreError> {
        let by = row.principal.strip_prefix("machine:").and_then(|id| id.parse().ok());
        Ok(Self {
            kind: word(row.kind)?,
            about: row.machine.or(by).map(|id: MachineId| id.to_string()).unwrap_or_default(),
            principal: row.principal.clone(),
        })
    }
}

/// A kind as rows call it.
fn word(kind: AuditKind) -> Result<String, StoreError> {
    from_json("audit", &to_json("audit", &kind)?)
}

fn entry(row: &AnyRow) -> Result<AuditEntry, StoreError> {
    let body: String = row.try_get("body")?;
    let said: AuditRow = from_json("audit", &body)?;
    Ok(AuditEntry { number: row.try_get("number")?, kind: word(said.kind)?, row: said })
}

/// Fills in what rows of earlier releases are found by.
pub(super) async fn index_all(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let mut done = 0_i64;
    loop {
        let sql = "SELECT number, body FROM audit WHERE number > $1 ORDER BY number LIMIT 500";
        let rows = sqlx::query(sql).bind(done).fetch_all(&mut *connection).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            let entry = entry(row)?;
            let columns = Columns::of(&entry.row)?;
            sqlx::query("UPDATE audit SET kind = $1, about = $2, principal = $3 WHERE number = $4")
                .bind(columns.kind)
                .bind(columns.about)
                .bind(columns.principal)
                .bind(entry.number)
                .execute(&mut *connection)
                .await?;
            done = entry.number;
        }
    }
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
        let body = to_json("audit", row)?;
        let columns = Columns::of(row)?;
        self.rows += 1;
        self.hash = link(&self.hash, self.rows, &body);
        let sql = "INSERT INTO audit (number, body, hash, kind, about, principal) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(self.rows)
            .bind(body)
            .bind(self.hash.clone())
            .bind(columns.kind)
            .bind(columns.about)
            .bind(columns.principal)
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
        rows.iter().map(entry).collect()
    }

    /// Rows of the audit log, newest first, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn audit_rows(
        &self,
        which: &AuditQuery,
        most: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let kinds = which.kinds.iter().map(|kind| word(*kind)).collect::<Result<Vec<_>, _>>()?;
        let machine = which.machine.map(|id| id.to_string());
        // The part of the index that has machines is only looked into when the statement says so.
        let mut sql = "SELECT number, body FROM audit WHERE number < $1".to_owned();
        let mut texts = Vec::new();
        let mut next = |sql: &mut String, text: String| {
            texts.push(text);
            sql.push_str(&format!("${}", texts.len() + 2));
        };
        if let Some(machine) = machine {
            sql.push_str(" AND about <> '' AND about = ");
            next(&mut sql, machine);
        }
        if let Some(principal) = &which.principal {
            sql.push_str(" AND principal = ");
            next(&mut sql, principal.clone());
        }
        for (place, kind) in kinds.into_iter().enumerate() {
            sql.push_str(if place == 0 { " AND kind IN (" } else { ", " });
            next(&mut sql, kind);
        }
        if !which.kinds.is_empty() {
            sql.push(')');
        }
        sql.push_str(" ORDER BY number DESC LIMIT $2");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        query = query.bind(which.before.unwrap_or(i64::MAX)).bind(i64::from(most));
        for text in texts {
            query = query.bind(text);
        }
        query.fetch_all(&self.readers).await?.iter().map(entry).collect()
    }

    /// Walks the whole chain. Answers how many rows it has. What rows are found by is held against
    /// them, so that none is hidden from those who search.
    ///
    /// # Errors
    /// [`AuditBreak`] names the first row that does not fit.
    pub(crate) async fn verify_audit(&self) -> Result<i64, AuditBreak> {
        let mut chain = Chain { rows: 0, hash: String::new() };
        loop {
            let sql = "SELECT number, body, hash, kind, about, principal FROM audit WHERE number > $1 \
                       ORDER BY number LIMIT 1000";
            let rows =
                sqlx::query(sql).bind(chain.rows).fetch_all(&self.readers).await.map_err(StoreError::from)?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let read = |column| row.try_get::<String, _>(column).map_err(StoreError::from);
                let number: i64 = row.try_get("number").map_err(StoreError::from)?;
                let body = read("body")?;
                let hash = link(&chain.hash, number, &body);
                if number != chain.rows + 1 || hash != read("hash")? {
                    return Err(AuditBreak::At(chain.rows + 1));
                }
                let columns = Columns::of(&from_json("audit", &body)?)?;
                let found = (read("kind")?, read("about")?, read("principal")?);
                if found != (columns.kind, columns.about, columns.principal) {
                    return Err(AuditBreak::At(number));
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
