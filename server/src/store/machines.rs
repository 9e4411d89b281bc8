//! Machines: one large row as it is read, one small row and marks by which it is found and listed.

use super::commit::{Conflict, Writing, one_row};
use super::list::address_key;
use super::marks::{Marks, drop_marks, indexed};
use super::read::{machine, to_json};
use super::{Store, StoreError};
use engine::change::Revision;
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::model::PoolStatus;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Row};

/// Machines that share an address, and are looked at for it.
const NAMESAKES: i64 = 16;

impl Writing<'_> {
    pub(super) async fn insert_machine(&mut self, machine: &Machine) -> Result<(), StoreError> {
        let sql = "INSERT INTO machine (id, name, machine_key, body, revision) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(machine.id.to_string())
            .bind(machine.name.as_str().to_owned())
            .bind(machine.key.map(|key| key.to_string()))
            .bind(to_json("machine", machine)?)
            .bind(self.head.revision().0)
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 0 {
            let standing = self.standing(machine).await?;
            return Err(standing.others.unwrap_or(Conflict::Exists).into());
        }
        let marks = Marks::of(machine);
        insert_index(self.transaction, machine, marks.digest()).await?;
        marks.insert(self.transaction).await
    }

    pub(super) async fn update_machine(&mut self, machine: &Machine) -> Result<(), StoreError> {
        let standing = self.standing(machine).await?;
        if let Some(conflict) = standing.others {
            return Err(conflict.into());
        }
        let sql = "UPDATE machine SET name = $1, machine_key = $2, body = $3, revision = $4 \
                   WHERE id = $5 AND revision = $6";
        let done = sqlx::query(sql)
            .bind(machine.name.as_str().to_owned())
            .bind(machine.key.map(|key| key.to_string()))
            .bind(to_json("machine", machine)?)
            .bind(self.head.revision().0)
            .bind(machine.id.to_string())
            .bind(machine.revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())?;
        let marks = Marks::of(machine);
        let digest = marks.digest();
        let same = standing.digest.as_ref() == Some(&digest);
        update_index(self.transaction, machine, digest).await?;
        if same { Ok(()) } else { marks.replace(self.transaction).await }
    }

    /// What is stored of a machine, and which other one has its name or key.
    async fn standing(&mut self, machine: &Machine) -> Result<Standing, StoreError> {
        let sql = "SELECT m.id AS id, m.name AS name, i.digest AS digest \
                   FROM machine m JOIN machine_index i ON i.id = m.id \
                   WHERE m.id = $1 OR m.name = $2 OR m.machine_key = $3";
        let id = machine.id.to_string();
        let rows = sqlx::query(sql)
            .bind(id.clone())
            .bind(machine.name.as_str().to_owned())
            .bind(machine.key.map(|key| key.to_string()))
            .fetch_all(&mut *self.transaction)
            .await?;
        let mut standing = Standing { digest: None, others: None };
        for row in rows {
            if row.try_get::<String, _>("id")? == id {
                standing.digest = Some(row.try_get("digest")?);
            } else if row.try_get::<String, _>("name")? == machine.name.as_str() {
                standing.others = Some(Conflict::NameTaken);
            } else {
                standing.others = standing.others.or(Some(Conflict::KeyTaken));
            }
        }
        Ok(standing)
    }

    pub(super) async fn delete_machine(
        &mut self,
        id: MachineId,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM machine WHERE id = $1 AND revision = $2")
            .bind(id.to_string())
            .bind(revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())?;
        sqlx::query("DELETE FROM machine_index WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        drop_marks(self.transaction, &id.to_string()).await
    }

    pub(super) async fn seen(&mut self, seen: &[(MachineId, Timestamp)]) -> Result<(), StoreError> {
        for (id, at) in seen {
            // A machine that was deleted meanwhile is no conflict.
            sqlx::query("UPDATE machine SET last_seen = $1 WHERE id = $2")
                .bind(at.as_millis())
                .bind(id.to_string())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }
}

/// How a machine stands among those that are stored.
struct Standing {
    /// Digest of its marks; none when it is not there.
    digest: Option<String>,
    /// What another one has already.
    others: Option<Conflict>,
}

/// Writes the small row of a machine that has none.
async fn insert_index(
    connection: &mut AnyConnection,
    machine: &Machine,
    digest: String,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO machine_index (name, address, arch, bootenv, stage, workflow, context, os, pool, \
               pool_status, pool_allocated, runnable, locked, available, workflow_complete, is_self, \
               current_task, current_job, job_state, job_exit_state, created_at, created_by, modified_at, \
               modified_by, digest, id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
               $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)";
    bind_index(sqlx::query(sql), machine, digest).execute(connection).await?;
    Ok(())
}

async fn update_index(
    connection: &mut AnyConnection,
    machine: &Machine,
    digest: String,
) -> Result<(), StoreError> {
    let sql = "UPDATE machine_index SET name = $1, address = $2, arch = $3, bootenv = $4, stage = $5, \
               workflow = $6, context = $7, os = $8, pool = $9, pool_status = $10, pool_allocated = $11, \
               runnable = $12, locked = $13, available = $14, workflow_complete = $15, is_self = $16, \
               current_task = $17, current_job = $18, job_state = $19, job_exit_state = $20, \
               created_at = $21, created_by = $22, modified_at = $23, modified_by = $24, digest = $25 \
               WHERE id = $26";
    bind_index(sqlx::query(sql), machine, digest).execute(connection).await?;
    Ok(())
}

type Statement<'q> = Query<'q, Any, AnyArguments>;

fn bind_index<'q>(query: Statement<'q>, machine: &Machine, digest: String) -> Statement<'q> {
    let fields = &machine.fields;
    let itself = machine.meta.get("machine-role").is_some_and(|role| role == "self");
    query
        .bind(machine.name.as_str().to_owned())
        .bind(address_key(fields.address.parse().ok()))
        .bind(indexed(&fields.arch))
        .bind(indexed(&fields.boot_env))
        .bind(indexed(&fields.stage))
        .bind(indexed(&fields.workflow))
        .bind(indexed(&fields.context))
        .bind(indexed(&fields.os))
        .bind(indexed(&fields.pool))
        .bind(pool_status(fields.pool_status))
        .bind(i64::from(fields.pool_allocated))
        .bind(i64::from(fields.runnable))
        .bind(i64::from(fields.locked))
        .bind(i64::from(machine.errors.is_empty()))
        .bind(i64::from(fields.workflow_complete))
        .bind(i64::from(itself))
        .bind(fields.current_task)
        .bind(indexed(&fields.current_job))
        .bind(indexed(&fields.job_state))
        .bind(indexed(&fields.job_exit_state))
        .bind(machine.created_at.as_millis())
        .bind(indexed(&machine.created_by))
        .bind(machine.modified_at.unwrap_or(machine.created_at).as_millis())
        .bind(indexed(&machine.modified_by))
        .bind(digest)
        .bind(machine.id.to_string())
}

/// The word of the wire.
const fn pool_status(status: PoolStatus) -> &'static str {
    match status {
        PoolStatus::Joining => "Joining",
        PoolStatus::HoldJoin => "HoldJoin",
        PoolStatus::Free => "Free",
        PoolStatus::Building => "Building",
        PoolStatus::HoldBuild => "HoldBuild",
        PoolStatus::InUse => "InUse",
        PoolStatus::Destroying => "Destroying",
        PoolStatus::HoldDestroy => "HoldDestroy",
        PoolStatus::Leaving => "Leaving",
        PoolStatus::HoldLeave => "HoldLeave",
    }
}

/// Makes the small rows and marks of machines that an earlier release stored. A part at a time: there
/// may be a hundred thousand.
pub(super) async fn index_all(connection: &mut AnyConnection) -> Result<(), StoreError> {
    const PART: i64 = 500;
    let mut after = String::new();
    loop {
        let sql = "SELECT id, body, revision FROM machine WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = sqlx::query(sql).bind(after.clone()).bind(PART).fetch_all(&mut *connection).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.try_get("id")?;
        for row in &rows {
            let machine = machine(row)?;
            let marks = Marks::of(&machine);
            insert_index(connection, &machine, marks.digest()).await?;
            marks.replace(connection).await?;
        }
    }
}

impl Store {
    /// The machines that third parties reach at an address, in order of their ids, the first few.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn machines_of_address(&self, address: &str) -> Result<Vec<Machine>, StoreError> {
        let Ok(address) = address.parse() else { return Ok(Vec::new()) };
        let sql = "SELECT m.body AS body, m.revision AS revision FROM machine_index i \
                   CROSS JOIN machine m WHERE i.address = $1 AND m.id = i.id ORDER BY i.id LIMIT $2";
        let query = sqlx::query(sql).bind(address_key(Some(address))).bind(NAMESAKES);
        query.fetch_all(&self.readers).await?.iter().map(machine).collect()
    }

    /// The machines that have a hardware address, in order of their ids, the first few. Lower case,
    /// with colons.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machines_of_mac(&self, mac: &str) -> Result<Vec<Machine>, StoreError> {
        let sql = "SELECT m.body AS body, m.revision AS revision FROM machine_mark k CROSS JOIN machine m \
                   WHERE k.kind = 'mac' AND k.name = $1 AND m.id = k.machine ORDER BY k.machine LIMIT $2";
        let query = sqlx::query(sql).bind(indexed(mac)).bind(NAMESAKES);
        query.fetch_all(&self.readers).await?.iter().map(machine).collect()
    }
}
