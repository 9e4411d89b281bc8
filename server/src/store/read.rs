//! Reads. What they return was committed.

use super::{Store, StoreError};
use engine::change::{Record, Revision};
use engine::enrollment::{Enrollment, Relative, Standing};
use engine::identity::Hint;
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::code::BootstrapCode;
use protocol::ids::{EnrollmentId, KeyThumbprint, MachineId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;

/// Enrollments of the same hardware that a warning each is made of.
const RELATIVES: i64 = 16;
/// Enrollments of one key that are looked at, newest first.
const PER_KEY: i64 = 32;

/// An object as JSON.
pub(super) fn to_json<T: Serialize>(table: &'static str, object: &T) -> Result<String, StoreError> {
    serde_json::to_string(object).map_err(|error| StoreError::Damaged { table, reason: error.to_string() })
}

/// An object from its JSON.
pub(super) fn from_json<T: DeserializeOwned>(table: &'static str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::Damaged { table, reason: error.to_string() })
}

/// `$1, $2, ...` for this many values.
pub(super) fn placeholders(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

fn enrollment(row: &AnyRow) -> Result<Enrollment, StoreError> {
    let mut enrollment: Enrollment = from_json("enrollment", &row.try_get::<String, _>("body")?)?;
    enrollment.revision = Revision(row.try_get("revision")?);
    Ok(enrollment)
}

fn relative(row: &AnyRow) -> Result<Relative, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { table: "enrollment", reason };
    let (id, fingerprint): (String, String) = (row.try_get("id")?, row.try_get("fingerprint")?);
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    let by: Option<String> = row.try_get("decided_by")?;
    Ok(Relative {
        id: id.parse().map_err(|_| damaged(id))?,
        fingerprint: fingerprint.parse().map_err(|_| damaged(fingerprint))?,
        standing: match (ended_at, by) {
            (Some(at), Some(by)) => Standing::Denied { by, at: Timestamp::from_millis(at) },
            _ => Standing::Waiting,
        },
    })
}

pub(super) fn machine(row: &AnyRow) -> Result<Machine, StoreError> {
    let mut machine: Machine = from_json("machine", &row.try_get::<String, _>("body")?)?;
    machine.revision = Revision(row.try_get("revision")?);
    Ok(machine)
}

pub(super) fn record(row: &AnyRow) -> Result<Record, StoreError> {
    Ok(Record {
        kind: row.try_get("kind")?,
        key: row.try_get("name")?,
        body: row.try_get("body")?,
        revision: Revision(row.try_get("revision")?),
    })
}

impl Store {
    /// The latest time of any commit.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn time_floor(&self) -> Result<Timestamp, StoreError> {
        let row = sqlx::query("SELECT latest FROM head").fetch_one(&self.readers).await?;
        Ok(Timestamp::from_millis(row.try_get("latest")?))
    }

    /// One enrollment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn enrollment(&self, id: EnrollmentId) -> Result<Option<Enrollment>, StoreError> {
        let sql = "SELECT body, revision FROM enrollment WHERE id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(enrollment).transpose()
    }

    /// The enrollment a code was last given to; whether it still selects it is the
    /// enrollment's to say.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn enrollment_of_code(
        &self,
        code: BootstrapCode,
    ) -> Result<Option<Enrollment>, StoreError> {
        let sql = "SELECT e.body AS body, e.revision AS revision FROM code c \
                   JOIN enrollment e ON e.id = c.enrollment WHERE c.code = $1";
        let row = sqlx::query(sql).bind(code.as_str().to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(enrollment).transpose()
    }

    /// The latest enrollments of a key, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn enrollments_of_key(&self, key: KeyThumbprint) -> Result<Vec<Enrollment>, StoreError> {
        let sql = "SELECT body, revision FROM enrollment WHERE machine_key = $1 \
                   ORDER BY created_at DESC, revision DESC LIMIT $2";
        let rows = sqlx::query(sql).bind(key.to_string()).bind(PER_KEY).fetch_all(&self.readers).await?;
        rows.iter().map(enrollment).collect()
    }

    /// Enrollments that are pending, or approved and not collected, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn live_enrollments(&self) -> Result<Vec<Enrollment>, StoreError> {
        let sql = "SELECT body, revision FROM enrollment WHERE state IN ('Pending', 'Approved') ORDER BY created_at, id";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        rows.iter().map(enrollment).collect()
    }

    /// Enrollments that are approved and not collected, or pending since before a moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn overdue_enrollments(&self, before: Timestamp) -> Result<Vec<Enrollment>, StoreError> {
        let sql = "SELECT body, revision FROM enrollment \
                   WHERE state = 'Approved' OR (state = 'Pending' AND created_at <= $1)";
        let rows = sqlx::query(sql).bind(before.as_millis()).fetch_all(&self.readers).await?;
        rows.iter().map(enrollment).collect()
    }

    /// At most [`RELATIVES`] enrollments that share a hint and wait, or were denied after `since`.
    /// Anybody can make thousands, so nothing large is read and nothing sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn relatives(
        &self,
        hints: &BTreeSet<Hint>,
        since: Timestamp,
    ) -> Result<Vec<Relative>, StoreError> {
        if hints.is_empty() {
            return Ok(Vec::new());
        }
        // `|| ''` hides the state's index, which would tempt the planner away from the few hints.
        let sql = format!(
            "SELECT DISTINCT e.id AS id, e.fingerprint AS fingerprint, e.ended_at AS ended_at, \
             e.decided_by AS decided_by FROM hint h JOIN enrollment e ON e.id = h.owner \
             WHERE h.kind = 'enrollment' AND h.value IN ({}) \
             AND (e.state || '' = 'Pending' OR (e.state || '' = 'Denied' AND e.ended_at > ${})) LIMIT {RELATIVES}",
            placeholders(hints.len()),
            hints.len() + 1
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for hint in hints {
            query = query.bind(hint.to_string());
        }
        let rows = query.bind(since.as_millis()).fetch_all(&self.readers).await?;
        rows.iter().map(relative).collect()
    }

    /// One machine.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machine(&self, id: MachineId) -> Result<Option<Machine>, StoreError> {
        self.machine_where("SELECT body, revision FROM machine WHERE id = $1", id.to_string()).await
    }

    /// The machine that a key is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machine_of_key(&self, key: KeyThumbprint) -> Result<Option<Machine>, StoreError> {
        self.machine_where("SELECT body, revision FROM machine WHERE machine_key = $1", key.to_string()).await
    }

    /// The machine of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machine_of_name(&self, name: &str) -> Result<Option<Machine>, StoreError> {
        self.machine_where("SELECT body, revision FROM machine WHERE name = $1", name.to_owned()).await
    }

    async fn machine_where(&self, sql: &'static str, value: String) -> Result<Option<Machine>, StoreError> {
        let row = sqlx::query(sql).bind(value).fetch_optional(&self.readers).await?;
        row.as_ref().map(machine).transpose()
    }

    /// For tests: all machines by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    #[cfg(test)]
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>, StoreError> {
        let rows =
            sqlx::query("SELECT body, revision FROM machine ORDER BY name").fetch_all(&self.readers).await?;
        rows.iter().map(machine).collect()
    }

    /// All machines that share a hint.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn lookalikes(&self, hints: &BTreeSet<Hint>) -> Result<Vec<Machine>, StoreError> {
        if hints.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT body, revision FROM machine \
             WHERE id IN (SELECT owner FROM hint WHERE kind = 'machine' AND value IN ({})) ORDER BY name",
            placeholders(hints.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for hint in hints {
            query = query.bind(hint.to_string());
        }
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(machine).collect()
    }

    /// Every machine's last heartbeat as of the latest checkpoint.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn last_seen(&self) -> Result<Vec<(MachineId, Option<Timestamp>)>, StoreError> {
        let rows = sqlx::query("SELECT id, last_seen FROM machine").fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                let id = row.try_get::<String, _>("id")?;
                let id = id.parse().map_err(|_| StoreError::Damaged { table: "machine", reason: id })?;
                Ok((id, row.try_get::<Option<i64>, _>("last_seen")?.map(Timestamp::from_millis)))
            })
            .collect()
    }

    /// One machine's last heartbeat as of the latest checkpoint of any server on the database.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn last_seen_of(&self, id: MachineId) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT last_seen FROM machine WHERE id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.readers).await?;
        let seen = row.map(|row| row.try_get::<Option<i64>, _>("last_seen")).transpose()?;
        Ok(seen.flatten().map(Timestamp::from_millis))
    }

    /// One record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn record(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError> {
        let sql = "SELECT kind, name, body, revision FROM record WHERE kind = $1 AND name = $2";
        let row =
            sqlx::query(sql).bind(kind.to_owned()).bind(key.to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(record).transpose()
    }

    /// All records of a sort by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn records(&self, kind: &str) -> Result<Vec<Record>, StoreError> {
        let sql = "SELECT kind, name, body, revision FROM record WHERE kind = $1 ORDER BY name";
        let rows = sqlx::query(sql).bind(kind.to_owned()).fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }
}
