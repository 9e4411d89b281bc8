//! Jobs and what they wrote.

use super::commit::{Conflict, Writing, one_row};
use super::marks::indexed;
use super::read::{from_json, to_json};
use super::{Store, StoreError};
use engine::change::Revision;
use engine::job::Job;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};
use uuid::Uuid;

/// Longest piece of a log in one row, in bytes.
const PIECE: usize = 64 << 10;
/// Longest log of one job, in bytes.
pub(crate) const LOG_LIMIT: u64 = 16 << 20;

impl Writing<'_> {
    pub(super) async fn insert_job(&mut self, job: &Job) -> Result<(), StoreError> {
        let fields = &job.fields;
        let envelope = &fields.envelope;
        let sql = "INSERT INTO job (is_current, state, exit_state, archived, available, start_time, end_time, \
                   modified_at, modified_by, body, revision, id, machine, task, stage, workflow, bootenv, \
                   context, previous, current_index, next_index, created_at, created_by, number, log_bytes) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
                   $19, $20, $21, $22, $23, $11, 0) ON CONFLICT DO NOTHING";
        let done = bind_moving(sqlx::query(sql), job, self.head.revision())?
            .bind(fields.machine.to_string())
            .bind(indexed(&fields.task))
            .bind(indexed(&fields.stage))
            .bind(indexed(&fields.workflow))
            .bind(indexed(&fields.boot_env))
            .bind(indexed(&fields.context))
            .bind(fields.previous.to_string())
            .bind(fields.current_index)
            .bind(fields.next_index)
            .bind(millis(envelope.created_at.as_deref().unwrap_or_default()))
            .bind(indexed(&envelope.created_by))
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Conflict::Exists.into()) }
    }

    /// What a job is about never changes, only how it goes.
    pub(super) async fn update_job(&mut self, job: &Job) -> Result<(), StoreError> {
        let sql = "UPDATE job SET is_current = $1, state = $2, exit_state = $3, archived = $4, \
                   available = $5, start_time = $6, end_time = $7, modified_at = $8, modified_by = $9, \
                   body = $10, revision = $11 WHERE id = $12 AND revision = $13";
        let query = bind_moving(sqlx::query(sql), job, self.head.revision())?;
        let done = query.bind(job.revision.0).execute(&mut *self.transaction).await?;
        one_row(done.rows_affected())
    }

    pub(super) async fn delete_job(&mut self, id: Uuid, revision: Revision) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM job WHERE id = $1 AND revision = $2")
            .bind(id.to_string())
            .bind(revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())?;
        let sql = "DELETE FROM job_log WHERE job = $1";
        sqlx::query(sql).bind(id.to_string()).execute(&mut *self.transaction).await?;
        Ok(())
    }

    pub(super) async fn job_is(&mut self, id: Uuid, revision: Revision) -> Result<(), StoreError> {
        let sql = "SELECT revision FROM job WHERE id = $1 AND revision = $2";
        let query = sqlx::query(sql).bind(id.to_string()).bind(revision.0);
        let found = query.fetch_optional(&mut *self.transaction).await?;
        if found.is_some() { Ok(()) } else { Err(Conflict::Stale.into()) }
    }

    pub(super) async fn append_log(
        &mut self,
        job: Uuid,
        at: Option<u64>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let more = i64::try_from(bytes.len()).map_err(|_| Conflict::LogFull)?;
        // -1 is no length: the log goes on wherever it ends.
        let at = at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX));
        let sql = "UPDATE job SET log_bytes = log_bytes + $1 \
                   WHERE id = $2 AND ($3 = -1 OR log_bytes = $3) RETURNING log_bytes";
        let row = sqlx::query(sql)
            .bind(more)
            .bind(job.to_string())
            .bind(at)
            .fetch_optional(&mut *self.transaction)
            .await?;
        let end: i64 = row.ok_or(Conflict::Stale)?.try_get("log_bytes")?;
        if length(end) > LOG_LIMIT {
            return Err(Conflict::LogFull.into());
        }
        let mut start = end - more;
        for piece in bytes.chunks(PIECE) {
            sqlx::query("INSERT INTO job_log (job, start, bytes) VALUES ($1, $2, $3)")
                .bind(job.to_string())
                .bind(start)
                .bind(piece.to_vec())
                .execute(&mut *self.transaction)
                .await?;
            start = start.saturating_add(i64::try_from(piece.len()).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}

type Statement<'q> = Query<'q, Any, AnyArguments>;

/// How a job goes, and its id.
fn bind_moving<'q>(query: Statement<'q>, job: &Job, revision: Revision) -> Result<Statement<'q>, StoreError> {
    let fields = &job.fields;
    let envelope = &fields.envelope;
    Ok(query
        .bind(i64::from(fields.current))
        .bind(fields.state.word())
        .bind(fields.exit_state.word())
        .bind(i64::from(fields.archived))
        .bind(i64::from(envelope.available))
        .bind(millis(&fields.start_time))
        .bind(millis(&fields.end_time))
        .bind(millis(envelope.last_modified_at.as_deref().unwrap_or_default()))
        .bind(indexed(&envelope.last_modified_by))
        .bind(to_json("job", job)?)
        .bind(revision.0)
        .bind(fields.uuid.to_string()))
}

/// A time as its column holds it: 0 for what has not happened.
fn millis(time: &str) -> i64 {
    time.parse().map_or(0, Timestamp::as_millis)
}

/// A log's length of its column, which is never negative.
fn length(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

/// A job of its row.
pub(super) fn job(row: &AnyRow) -> Result<Job, StoreError> {
    let mut job: Job = from_json("job", &row.try_get::<String, _>("body")?)?;
    job.revision = Revision(row.try_get("revision")?);
    Ok(job)
}

impl Store {
    /// One job.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn job(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        let sql = "SELECT body, revision FROM job WHERE id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(job).transpose()
    }

    /// A machine's jobs, newest first, at most `most`, leaving out the `skip` newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn jobs_of_machine(
        &self,
        machine: MachineId,
        skip: u32,
        most: u32,
    ) -> Result<Vec<Job>, StoreError> {
        let sql = "SELECT body, revision FROM job WHERE machine = $1 ORDER BY number DESC LIMIT $2 OFFSET $3";
        let query = sqlx::query(sql).bind(machine.to_string()).bind(i64::from(most)).bind(i64::from(skip));
        query.fetch_all(&self.readers).await?.iter().map(job).collect()
    }

    /// Machines that have jobs, in the order of their ids, from behind `after` on. Some of them may
    /// be gone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machines_with_jobs(
        &self,
        after: Option<Uuid>,
        most: u32,
    ) -> Result<Vec<Uuid>, StoreError> {
        let sql = "SELECT DISTINCT machine FROM job WHERE machine > $1 ORDER BY machine LIMIT $2";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = sqlx::query(sql).bind(after).bind(i64::from(most)).fetch_all(&self.readers).await?;
        let id = |row: &AnyRow| {
            let id: String = row.try_get("machine")?;
            id.parse().map_err(|_| StoreError::Damaged { table: "job", reason: id })
        };
        rows.iter().map(id).collect()
    }

    /// How many bytes a job wrote; none for no such job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn log_length(&self, job: Uuid) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT log_bytes FROM job WHERE id = $1";
        let row = sqlx::query(sql).bind(job.to_string()).fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get("log_bytes")).transpose()?.map(length))
    }

    /// What a job wrote from a byte on, at most `most` bytes of it. Empty at the end, and for no such
    /// job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn log(&self, job: Uuid, from: u64, most: usize) -> Result<Vec<u8>, StoreError> {
        let start = i64::try_from(from).unwrap_or(i64::MAX);
        let end = start.saturating_add(i64::try_from(most).unwrap_or(i64::MAX));
        // A piece that holds the first byte begins within a piece's length before it.
        let first = start.saturating_sub(i64::try_from(PIECE).unwrap_or(i64::MAX));
        let sql =
            "SELECT start, bytes FROM job_log WHERE job = $1 AND start > $2 AND start < $3 ORDER BY start";
        let query = sqlx::query(sql).bind(job.to_string()).bind(first).bind(end);
        let mut log = Vec::new();
        for row in query.fetch_all(&self.readers).await? {
            let piece: Vec<u8> = row.try_get("bytes")?;
            let skip = usize::try_from(start.saturating_sub(row.try_get("start")?)).unwrap_or(0);
            log.extend_from_slice(piece.get(skip..).unwrap_or_default());
        }
        log.truncate(most);
        Ok(log)
    }
}
