//! Numbered migrations, applied in order, each in its own transaction. A database that a later
//! version wrote is refused.

use super::{StoreError, audit, machines};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Executor, Row};

/// One step of the schema.
pub(super) struct Migration {
    /// Statements. A line that begins with `-- sqlite: ` or `-- postgres: ` is a statement of that
    /// engine alone.
    sql: &'static str,
    /// What is derived from rows that were there before.
    fill: Fill,
}

/// What a migration derives besides what its statements say.
enum Fill {
    Nothing,
    /// The small rows by which machines are listed, made anew for all of them. Only for the last migration
    /// that changes what these are made of.
    Machines,
    /// What audit rows are found by.
    Audit,
}

/// The migrations; a schema's version is how many of them it has. Never changed once released.
pub(super) const MIGRATIONS: [Migration; 8] = [
    Migration { sql: include_str!("migrations/0001_first_light.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0002_tokens.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0003_machine_model.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0004_network_boot.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0005_provision.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0006_mesh.sql"), fill: Fill::Nothing },
    Migration { sql: include_str!("migrations/0007_machine_list.sql"), fill: Fill::Machines },
    Migration { sql: include_str!("migrations/0008_audit.sql"), fill: Fill::Audit },
];

/// Which database this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// Brings the schema up to these migrations.
pub(super) async fn migrate(
    pool: &AnyPool,
    engine: Engine,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    pool.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)").await?;
    let found: i64 = pool
        .fetch_one("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .await?
        .try_get("version")?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (version, migration) in (1_i64..).zip(migrations).filter(|(version, _)| *version > found) {
        let mut transaction = pool.begin().await?;
        migration.apply(&mut transaction, engine).await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        tracing::info!(version, "the database's schema was brought up to date");
    }
    Ok(())
}

impl Migration {
    async fn apply(&self, connection: &mut AnyConnection, engine: Engine) -> Result<(), StoreError> {
        for statement in statements(self.sql, engine) {
            connection.execute(AssertSqlSafe(statement)).await?;
        }
        match self.fill {
            Fill::Nothing => Ok(()),
            Fill::Machines => machines::index_all(connection).await,
            Fill::Audit => audit::index_all(connection).await,
        }
    }
}

/// The statements of a migration: comments are lines of their own, no text contains a semicolon.
fn statements(sql: &str, engine: Engine) -> Vec<String> {
    let own = match engine {
        Engine::Sqlite => "-- sqlite: ",
        Engine::Postgres => "-- postgres: ",
    };
    let code: Vec<&str> = sql
        .lines()
        .map(|line| line.strip_prefix(own).unwrap_or(line))
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    let all = code.join("\n");
    all.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}
