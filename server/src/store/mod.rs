//! Everything that outlives the process: reads, and one [`Store::commit`] that stores all of a
//! decision's [`engine::change::Changes`] or nothing.
//!
//! One SQL text for two engines through sqlx's `Any`: SQLite embedded (WAL, `synchronous=FULL`:
//! what was acknowledged survives a power cut; one writing connection), PostgreSQL when one
//! machine is not enough. Ids and JSON are TEXT, times and revisions BIGINT. Every commit first
//! advances the one row of `head`, which puts all commits in one order on either engine; so
//! what a commit checks before it writes cannot change under it.

mod audit;
mod commit;
mod content;
mod jobs;
mod list;
mod machines;
mod marks;
mod mesh;
mod nonces;
mod provisions;
mod read;
mod schema;
mod tokens;
mod writer;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod first_release;
#[cfg(test)]
mod postgres;

pub(crate) use audit::{AuditEntry, AuditQuery};
pub(crate) use commit::Conflict;
pub(crate) use jobs::LOG_LIMIT;
pub(crate) use list::{About, Known, Listed, Plan};
pub(crate) use provisions::Runs;

use schema::Engine;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyPool, Connection, Executor, Transaction};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use writer::Writer;

/// Connections that read, and on PostgreSQL also write.
const CONNECTIONS: u32 = 8;
/// Longest wait for a connection, before the caller is told to come back later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Settings of every SQLite connection.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                              PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// Why the store does not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The commit does not fit what is stored; nothing was written.
    #[error("the commit does not fit what is stored: {0}")]
    Conflict(Conflict),
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database has no space left.
    #[error("the database has no space left")]
    Full(#[source] Arc<sqlx::Error>),
    /// A row has other contents than this program writes.
    #[error("table {table} holds a row that cannot be read: {reason}")]
    Damaged {
        /// Table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of the program wrote the database.
    #[error(
        "the database has schema {found}, this version reads up to {known}; use the version that wrote it, or a later one"
    )]
    NewerSchema {
        /// Schema found.
        found: i64,
        /// Latest schema this program knows.
        known: i64,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL and PostgreSQL's disk_full.
        let full =
            matches!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("13" | "53100"));
        let error = Arc::new(error);
        if full { Self::Full(error) } else { Self::Unavailable(error) }
    }
}

impl StoreError {
    /// Whether somebody else changed the object between the read and the commit: read it
    /// again, decide again.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Conflict(Conflict::Stale | Conflict::Exists))
    }
}

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    readers: AnyPool,
    writer: AnyPool,
    writing: Writer,
    engine: Engine,
    /// Begins a transaction that reads as of one moment.
    moment: &'static str,
}

impl Store {
    /// Opens the SQLite database at `path`, making it if it is missing, and brings its schema
    /// up to date.
    ///
    /// # Errors
    /// When it cannot be opened, or a later version wrote it.
    pub(crate) async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        install_default_drivers();
        let url = sqlite_url(path)?;
        let pool = |connections| {
            // Nobody cuts the connection to a file: what was sound when it was released still is.
            pool_of(connections).test_before_acquire(false).after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SQLITE_PRAGMAS).await.map(drop) })
            })
        };
        // The writer comes first: it makes the file and turns its log on.
        let writer = pool(1).connect(&url).await?;
        schema::migrate(&writer, Engine::Sqlite, &schema::MIGRATIONS).await?;
        let readers = pool(CONNECTIONS).connect(&url).await?;
        let writing = Writer::start(writer.clone(), "BEGIN IMMEDIATE");
        Ok(Self { readers, writer, writing, engine: Engine::Sqlite, moment: "BEGIN" })
    }

    /// Opens a PostgreSQL database by its URL and brings its schema up to date.
    ///
    /// # Errors
    /// When it does not answer, or a later version wrote it.
    pub(crate) async fn postgres(url: &str) -> Result<Self, StoreError> {
        install_default_drivers();
        let pool = pool_of(CONNECTIONS).connect(url).await?;
        schema::migrate(&pool, Engine::Postgres, &schema::MIGRATIONS).await?;
        // What the head's row makes wait is seen afterwards, whatever the database's default is.
        let writing = Writer::start(pool.clone(), "BEGIN ISOLATION LEVEL READ COMMITTED");
        let moment = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(Self { readers: pool.clone(), writer: pool, writing, engine: Engine::Postgres, moment })
    }

    /// Finishes what is under way and closes every connection.
    pub(crate) async fn close(&self) {
        self.writing.close().await;
        self.writer.close().await;
        self.readers.close().await;
    }

    /// A transaction that reads everything as of one moment.
    async fn moment(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.readers.begin_with(self.moment).await?)
    }
}

/// A pool that closes a connection whose transaction did not end cleanly. SQLite rolls back by
/// itself when the disk is full; sqlx does not notice, and would never begin another one.
fn pool_of(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).after_release(
        |connection, _| {
            Box::pin(async move {
                // A rollback that is still queued is done before this is answered.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        },
    )
}

fn sqlite_url(path: &Path) -> Result<String, StoreError> {
    let text = path.to_str().filter(|text| !text.contains(['?', '#', '%'])).ok_or_else(|| {
        StoreError::Unavailable(
            sqlx::Error::Configuration("the data directory's path must be UTF-8 without ?, # and %".into())
                .into(),
        )
    })?;
    Ok(format!("sqlite://{text}?mode=rwc"))
}
