//! Numbered migrations, applied in order, each in its own transaction. A database that a later
//! version wrote is refused.

use super::StoreError;
use sqlx::{AnyPool, AssertSqlSafe, Executor, Row};

/// The migrations; a schema's version is how many of them it has. Never changed once released.
pub(super) const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_first_light.sql"),
    include_str!("migrations/0002_tokens.sql"),
    include_str!("migrations/0003_machine_model.sql"),
];

/// Brings the schema up to these migrations.
pub(super) async fn migrate(pool: &AnyPool, migrations: &[&'static str]) -> Result<(), StoreError> {
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
        for statement in statements(migration) {
            transaction.execute(AssertSqlSafe(statement)).await?;
        }
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        tracing::info!(version, "the database's schema was brought up to date");
    }
    Ok(())
}

/// The statements of a migration: comments are lines of their own, no text contains a semicolon.
fn statements(migration: &str) -> impl Iterator<Item = String> {
    let code: Vec<&str> = migration.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let all = code.join("\n");
    all.split(';')
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}
