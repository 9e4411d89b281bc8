//! Bootstrap tokens: what is kept of them, of the keys that sealed them, and what ended them.
//!
//! Revocations are read in the commit that uses a token, too: once a revocation was acknowledged,
//! nothing that was under way slips through.

use super::commit::{Conflict, Writing};
use super::read::{from_json, placeholders, to_json};
use super::{Store, StoreError};
use engine::change::{IssuedToken, KeyUse, TokenUse};
use engine::revocation::{Revocation, Scope, TokenMarks};
use engine::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Executor, Row};

fn time(row: &AnyRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

fn token(row: &AnyRow) -> Result<IssuedToken, StoreError> {
    Ok(IssuedToken {
        marks: TokenMarks {
            jti: row.try_get("jti")?,
            by: row.try_get("issued_by")?,
            kid: row.try_get("kid")?,
            issued_at: time(row, "issued_at")?,
        },
        expires_at: time(row, "expires_at")?,
        terms: from_json("bootstrap_token", &row.try_get::<String, _>("terms")?)?,
        uses: u32::try_from(row.try_get::<i64, _>("uses")?).unwrap_or(u32::MAX),
        last_used_at: row.try_get::<Option<i64>, _>("last_used_at")?.map(Timestamp::from_millis),
    })
}

fn revocation(row: &AnyRow) -> Result<Revocation, StoreError> {
    let word: String = row.try_get("scope")?;
    let scope = Scope::read(&word, row.try_get("subject")?);
    Ok(Revocation {
        scope: scope.ok_or(StoreError::Damaged { table: "revocation", reason: word })?,
        not_before: time(row, "not_before")?,
        until: time(row, "kept_until")?,
    })
}

fn key_use(row: &AnyRow) -> Result<KeyUse, StoreError> {
    Ok(KeyUse {
        kid: row.try_get("kid")?,
        issued: u64::try_from(row.try_get::<i64, _>("issued")?).unwrap_or(0),
        last_expires_at: time(row, "last_expires_at")?,
    })
}

/// The few revocations that name this token, its issuer, its key or the whole server.
async fn revocations_about<'a>(
    database: impl Executor<'a, Database = Any>,
    token: &TokenMarks,
) -> Result<Vec<Revocation>, StoreError> {
    let sql = "SELECT * FROM revocation WHERE scope = 'server' \
               OR (scope = 'token' AND subject = $1) OR (scope = 'user' AND subject = $2) \
               OR (scope = 'key' AND subject = $3)";
    let query = sqlx::query(sql).bind(token.jti.clone()).bind(token.by.clone()).bind(token.kid.clone());
    query.fetch_all(database).await?.iter().map(revocation).collect()
}

impl Store {
    /// What is kept of an issued bootstrap token.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn token(&self, jti: &str) -> Result<Option<IssuedToken>, StoreError> {
        let sql = "SELECT * FROM bootstrap_token WHERE jti = $1";
        let row = sqlx::query(sql).bind(jti.to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(token).transpose()
    }

    /// What is kept of at most `most` issued bootstrap tokens, newest first: those that follow `after`
    /// in this order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn tokens(
        &self,
        after: Option<&TokenMarks>,
        most: u32,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        let sql = "SELECT * FROM bootstrap_token WHERE issued_at < $1 OR (issued_at = $1 AND jti > $2) \
                   ORDER BY issued_at DESC, jti LIMIT $3";
        let (at, jti) = match after {
            Some(marks) => (marks.issued_at.as_millis(), marks.jti.clone()),
            None => (i64::MAX, String::new()),
        };
        let query = sqlx::query(sql).bind(at).bind(jti).bind(i64::from(most));
        query.fetch_all(&self.readers).await?.iter().map(token).collect()
    }

    /// When the latest of the tokens that are kept begins.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn latest_token(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT MAX(issued_at) AS latest FROM bootstrap_token";
        let row = sqlx::query(sql).fetch_one(&self.readers).await?;
        Ok(row.try_get::<Option<i64>, _>("latest")?.map(Timestamp::from_millis))
    }

    /// The few revocations that name this token, its issuer, its key or the whole server.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn revocations_about(&self, token: &TokenMarks) -> Result<Vec<Revocation>, StoreError> {
        revocations_about(&self.readers, token).await
    }

    /// Every revocation that names one of these tokens, or is about many tokens at once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn revocations_among(
        &self,
        tokens: &[IssuedToken],
    ) -> Result<Vec<Revocation>, StoreError> {
        let mut sql = "SELECT * FROM revocation WHERE scope IN ('user', 'server', 'key')".to_owned();
        if !tokens.is_empty() {
            sql += &format!(" OR (scope = 'token' AND subject IN ({}))", placeholders(tokens.len()));
        }
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for token in tokens {
            query = query.bind(token.marks.jti.clone());
        }
        query.fetch_all(&self.readers).await?.iter().map(revocation).collect()
    }

    /// What each key that ever sealed a token did so far.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        sqlx::query("SELECT * FROM token_key").fetch_all(&self.readers).await?.iter().map(key_use).collect()
    }
}

impl Writing<'_> {
    pub(super) async fn issue_token(&mut self, token: &IssuedToken) -> Result<(), StoreError> {
        let sql = "INSERT INTO bootstrap_token (jti, issued_by, kid, issued_at, expires_at, terms, uses) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(token.marks.jti.clone())
            .bind(token.marks.by.clone())
            .bind(token.marks.kid.clone())
            .bind(token.marks.issued_at.as_millis())
            .bind(token.expires_at.as_millis())
            .bind(to_json("bootstrap_token", &token.terms)?)
            .bind(i64::from(token.uses))
            .execute(&mut *self.transaction)
            .await?;
        let sql = "INSERT INTO token_key (kid, issued, last_expires_at) VALUES ($1, 1, $2) \
                   ON CONFLICT (kid) DO UPDATE SET issued = token_key.issued + 1, last_expires_at = \
                   CASE WHEN token_key.last_expires_at < excluded.last_expires_at \
                   THEN excluded.last_expires_at ELSE token_key.last_expires_at END";
        sqlx::query(sql)
            .bind(token.marks.kid.clone())
            .bind(token.expires_at.as_millis())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn use_token(&mut self, token: &TokenMarks, by: TokenUse) -> Result<(), StoreError> {
        let revocations = revocations_about(&mut *self.transaction, token).await?;
        if revocations.iter().any(|revocation| revocation.covers(token)) {
            return Err(Conflict::Revoked.into());
        }
        let (more, max) = match by {
            TokenUse::NewMachine { max } => (1_i64, max),
            TokenUse::KnownMachine => (0, None),
        };
        let sql =
            "UPDATE bootstrap_token SET uses = uses + $1, last_used_at = $2 WHERE jti = $3 AND uses < $4";
        let done = sqlx::query(sql)
            .bind(more)
            .bind(self.at.as_millis())
            .bind(token.jti.clone())
            .bind(max.map_or(i64::MAX, i64::from))
            .execute(&mut *self.transaction)
            .await?;
        // A token whose row was lost still registers, unless its uses must be counted.
        if done.rows_affected() == 0 && max.is_some() { Err(Conflict::UsedUp.into()) } else { Ok(()) }
    }

    /// A revocation never gives back what an earlier one took.
    pub(super) async fn revoke(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        let sql = "INSERT INTO revocation (scope, subject, not_before, kept_until) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (scope, subject) DO UPDATE SET \
                   not_before = CASE WHEN revocation.not_before < excluded.not_before \
                   THEN excluded.not_before ELSE revocation.not_before END, \
                   kept_until = CASE WHEN revocation.kept_until < excluded.kept_until \
                   THEN excluded.kept_until ELSE revocation.kept_until END";
        sqlx::query(sql)
            .bind(revocation.scope.word())
            .bind(revocation.scope.subject().to_owned())
            .bind(revocation.not_before.as_millis())
            .bind(revocation.until.as_millis())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
