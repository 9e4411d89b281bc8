//! Jobs and what they wrote.

use super::StoreError;
use super::commit::{Conflict, Writing, one_row};
use super::read::to_json;
use engine::change::Revision;
use engine::job::Job;
use engine::time::Timestamp;
use sqlx::Row;
use uuid::Uuid;

/// Longest piece of a log in one row, in bytes.
const PIECE: usize = 64 << 10;
/// Longest log of one job, in bytes.
pub(crate) const LOG_LIMIT: u64 = 16 << 20;

impl Writing {
    pub(super) async fn insert_job(&mut self, job: &Job) -> Result<(), StoreError> {
        let fields = &job.fields;
        let sql = "INSERT INTO job (id, machine, number, is_current, state, exit_state, task, stage, workflow, \
                   bootenv, context, previous, archived, start_time, end_time, log_bytes, body, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, $16, $3) \
                   ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(fields.uuid.to_string())
            .bind(fields.machine.to_string())
            .bind(self.revision)
            .bind(i64::from(fields.current))
            .bind(fields.state.word())
            .bind(fields.exit_state.word())
            .bind(fields.task.clone())
            .bind(fields.stage.clone())
            .bind(fields.workflow.clone())
            .bind(fields.boot_env.clone())
            .bind(fields.context.clone())
            .bind(fields.previous.to_string())
            .bind(i64::from(fields.archived))
            .bind(millis(&fields.start_time))
            .bind(millis(&fields.end_time))
            .bind(to_json("job", job)?)
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Conflict::Exists.into()) }
    }

    pub(super) async fn update_job(&mut self, job: &Job) -> Result<(), StoreError> {
        let fields = &job.fields;
        let sql = "UPDATE job SET is_current = $1, state = $2, exit_state = $3, stage = $4, workflow = $5, \
                   bootenv = $6, context = $7, archived = $8, start_time = $9, end_time = $10, body = $11, \
                   revision = $12 WHERE id = $13 AND revision = $14";
        let done = sqlx::query(sql)
            .bind(i64::from(fields.current))
            .bind(fields.state.word())
            .bind(fields.exit_state.word())
            .bind(fields.stage.clone())
            .bind(fields.workflow.clone())
            .bind(fields.boot_env.clone())
            .bind(fields.context.clone())
            .bind(i64::from(fields.archived))
            .bind(millis(&fields.start_time))
            .bind(millis(&fields.end_time))
            .bind(to_json("job", job)?)
            .bind(self.revision)
            .bind(fields.uuid.to_string())
            .bind(job.revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())
    }

    pub(super) async fn delete_job(&mut self, id: Uuid, revision: Revision) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM job WHERE id = $1 AND revision = $2")
            .bind(id.to_string())
            .bind(revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())?;
        sqlx::query("DELETE FROM job_log WHERE job = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn append_log(
        &mut self,
        job: Uuid,
        at: Option<u64>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT log_bytes FROM job WHERE id = $1")
            .bind(job.to_string())
            .fetch_optional(&mut *self.transaction)
            .await?;
        let Some(row) = row else { return Err(Conflict::Stale.into()) };
        let length: i64 = row.try_get("log_bytes")?;
        if at.is_some_and(|at| i64::try_from(at) != Ok(length)) {
            return Err(Conflict::Stale.into());
        }
        let mut end = length;
        for piece in bytes.chunks(PIECE) {
            sqlx::query("INSERT INTO job_log (job, start, bytes) VALUES ($1, $2, $3)")
                .bind(job.to_string())
                .bind(end)
                .bind(piece.to_vec())
                .execute(&mut *self.transaction)
                .await?;
            end = end.saturating_add(i64::try_from(piece.len()).unwrap_or(i64::MAX));
        }
        if u64::try_from(end).unwrap_or(0) > LOG_LIMIT {
            return Err(Conflict::LogFull.into());
        }
        sqlx::query("UPDATE job SET log_bytes = $1 WHERE id = $2")
            .bind(end)
            .bind(job.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

/// A time of a job as its column holds it: 0 for what has not happened.
fn millis(time: &str) -> i64 {
    time.parse().map_or(0, Timestamp::as_millis)
}
