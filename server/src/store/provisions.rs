//! Provision runs, and what they work with.

use super::commit::{Conflict, Writing, one_row};
use super::read::{from_json, to_json};
use super::{Store, StoreError};
use engine::change::Revision;
use engine::provision::{Goods, Run};
use engine::time::Timestamp;
use protocol::ids::MachineId;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Runs of one machine that are kept.
pub(crate) const KEPT_RUNS: i64 = 50;

/// Which runs are listed, newest first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Runs {
    /// Of this machine alone.
    pub(crate) machine: Option<MachineId>,
    /// Active ones, or those that are over.
    pub(crate) active: Option<bool>,
    /// Older than this one.
    pub(crate) after: Option<Uuid>,
}

impl Writing<'_> {
    pub(super) async fn insert_run(&mut self, run: &Run) -> Result<(), StoreError> {
        let sql = "INSERT INTO provision (id, machine, number, is_active, due_at, created_at, body, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $3) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(run.id.to_string())
            .bind(run.machine.to_string())
            .bind(self.head.revision().0)
            .bind(i64::from(run.is_active()))
            .bind(run.due_at.map(Timestamp::as_millis))
            .bind(run.created_at.as_millis())
            .bind(to_json("provision", run)?)
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Err(Conflict::Exists.into());
        }
        let sql = "DELETE FROM provision WHERE machine = $1 AND is_active = 0 AND number <= \
                   (SELECT number FROM provision WHERE machine = $1 ORDER BY number DESC LIMIT 1 OFFSET $2)";
        sqlx::query(sql)
            .bind(run.machine.to_string())
            .bind(KEPT_RUNS)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn update_run(&mut self, run: &Run) -> Result<(), StoreError> {
        let sql = "UPDATE provision SET is_active = $1, due_at = $2, body = $3, revision = $4 \
                   WHERE id = $5 AND revision = $6";
        let done = sqlx::query(sql)
            .bind(i64::from(run.is_active()))
            .bind(run.due_at.map(Timestamp::as_millis))
            .bind(to_json("provision", run)?)
            .bind(self.head.revision().0)
            .bind(run.id.to_string())
            .bind(run.revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())
    }

    pub(super) async fn put_goods(&mut self, run: Uuid, goods: &Goods) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE provision SET goods = $1 WHERE id = $2")
            .bind(to_json("provision", goods)?)
            .bind(run.to_string())
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())
    }
}

/// A run of its row.
fn run(row: &AnyRow) -> Result<Run, StoreError> {
    let mut run: Run = from_json("provision", &row.try_get::<String, _>("body")?)?;
    run.revision = Revision(row.try_get("revision")?);
    Ok(run)
}

fn goods(row: &AnyRow) -> Result<Goods, StoreError> {
    let goods: Option<String> = row.try_get("goods")?;
    goods.map_or_else(|| Ok(Goods::default()), |goods| from_json("provision", &goods))
}

impl Store {
    /// One run.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn run(&self, id: Uuid) -> Result<Option<Run>, StoreError> {
        let sql = "SELECT body, revision FROM provision WHERE id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(run).transpose()
    }

    /// What a run works with; nothing yet for one that has not begun.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn goods(&self, id: Uuid) -> Result<Goods, StoreError> {
        let sql = "SELECT goods FROM provision WHERE id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map_or_else(|| Ok(Goods::default()), goods)
    }

    /// Runs, newest first, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn runs(&self, which: Runs, most: u32) -> Result<Vec<Run>, StoreError> {
        // -1 stands for either, the empty id for every machine and for no run to go on from.
        let text = |id: Option<String>| id.unwrap_or_default();
        let sql = match which.machine {
            Some(_) => {
                "SELECT body, revision FROM provision WHERE machine = $1 AND ($2 = -1 OR is_active = $2) AND \
                 ($3 = '' OR number < (SELECT number FROM provision WHERE id = $3)) \
                 ORDER BY number DESC LIMIT $4"
            }
            None => {
                "SELECT body, revision FROM provision WHERE $1 = '' AND ($2 = -1 OR is_active = $2) AND \
                 ($3 = '' OR number < (SELECT number FROM provision WHERE id = $3)) \
                 ORDER BY number DESC LIMIT $4"
            }
        };
        let query = sqlx::query(sql)
            .bind(text(which.machine.map(|id| id.to_string())))
            .bind(which.active.map_or(-1, i64::from))
            .bind(text(which.after.map(|id| id.to_string())))
            .bind(i64::from(most));
        query.fetch_all(&self.readers).await?.iter().map(run).collect()
    }

    /// Active runs that the server is to look at by this time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn due_runs(&self, now: Timestamp) -> Result<Vec<Run>, StoreError> {
        let sql = "SELECT body, revision FROM provision WHERE is_active = 1 AND due_at <= $1 ORDER BY due_at";
        sqlx::query(sql).bind(now.as_millis()).fetch_all(&self.readers).await?.iter().map(run).collect()
    }

    /// What the active runs work with.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn active_goods(&self) -> Result<Vec<Goods>, StoreError> {
        let sql = "SELECT goods FROM provision WHERE is_active = 1";
        sqlx::query(sql).fetch_all(&self.readers).await?.iter().map(goods).collect()
    }

    /// How many runs are active.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn count_active_runs(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS many FROM provision WHERE is_active = 1";
        let row = sqlx::query(sql).fetch_one(&self.readers).await?;
        Ok(u64::try_from(row.try_get::<i64, _>("many")?).unwrap_or(0))
    }
}
