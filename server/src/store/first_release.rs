//! A database as the first release left it, for tests of what an upgrade finds: made from today's by
//! taking away what has come since.

use super::{pool_of, sqlite_url};
use sqlx::any::install_default_drivers;
use sqlx::{AssertSqlSafe, Executor};
use std::path::Path;

/// Takes away, in this order.
const SINCE: [&str; 27] = [
    "DROP INDEX audit_by_machine",
    "DROP INDEX audit_by_kind",
    "DROP INDEX audit_by_principal",
    "ALTER TABLE audit DROP COLUMN kind",
    "ALTER TABLE audit DROP COLUMN about",
    "ALTER TABLE audit DROP COLUMN principal",
    "DROP TABLE machine_text",
    "DROP TABLE mesh_host",
    "DROP TABLE provision",
    "DROP TABLE boot_nonce",
    "DROP TABLE machine_index",
    "DROP TABLE machine_mark",
    "DROP TABLE job_log",
    "DROP TABLE job",
    "DROP TABLE pref",
    "DROP TABLE object",
    "ALTER TABLE head DROP COLUMN content_revision",
    "ALTER TABLE head DROP COLUMN checked_revision",
    "DROP TABLE revocation",
    "DROP TABLE token_key",
    "DROP INDEX bootstrap_token_by_time",
    "ALTER TABLE bootstrap_token DROP COLUMN kid",
    "ALTER TABLE bootstrap_token DROP COLUMN terms",
    "ALTER TABLE bootstrap_token DROP COLUMN last_used_at",
    "ALTER TABLE bootstrap_token ADD COLUMN revoked_at BIGINT",
    "DELETE FROM schema_version WHERE version > 1",
    "UPDATE machine SET body = json_remove(body, '$.keyed_at', '$.placement', '$.membership', '$.inventory.MemoryModules', \
     '$.inventory.Pci', '$.inventory.Tpm', '$.inventory.Bmc', '$.inventory.Links[0].SpeedMbps', \
     '$.inventory.Links[0].Lldp')",
];

/// Turns the SQLite database at `path`, which nobody has open, back.
pub(crate) async fn turn_back(path: &Path) {
    install_default_drivers();
    let database = pool_of(1).connect(&sqlite_url(path).unwrap()).await.unwrap();
    for statement in SINCE {
        database.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    database.close().await;
}
