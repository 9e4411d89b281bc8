//! Machines: one large row as it is read, one small row and marks by which it is found and listed.

use super::commit::{Conflict, Writing, one_row};
use super::list::{Bound, address_key};
use super::marks::{Marks, drop_marks, indexed};
use super::read::{machine, placeholders, to_json};
use super::{Store, StoreError};
use engine::change::Revision;
use engine::filter::NAMES;
use engine::machine::Machine;
use engine::natural;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::model::PoolStatus;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

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
        insert_row(self.transaction, machine, small_row(machine, &marks)).await?;
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
        let mut others = small_row(machine, &marks);
        if let Some(row) = standing.row {
            others.retain(|(name, value)| !value.is_in(&row, name));
        }
        if others.iter().any(|(name, _)| *name == DIGEST) {
            marks.replace(self.transaction).await?;
        }
        update_row(self.transaction, &machine.id.to_string(), others).await
    }

    /// What is stored of a machine, and which other one has its name or key.
    async fn standing(&mut self, machine: &Machine) -> Result<Standing, StoreError> {
        let sql = "SELECT i.*, m.name AS whole_name FROM machine m JOIN machine_index i ON i.id = m.id \
                   WHERE m.id = $1 OR m.name = $2 OR m.machine_key = $3";
        let id = machine.id.to_string();
        let rows = sqlx::query(sql)
            .bind(id.clone())
            .bind(machine.name.as_str().to_owned())
            .bind(machine.key.map(|key| key.to_string()))
            .fetch_all(&mut *self.transaction)
            .await?;
        let mut standing = Standing { row: None, others: None };
        for row in rows {
            if row.try_get::<String, _>("id")? == id {
                standing.row = Some(row);
            } else if row.try_get::<String, _>("whole_name")? == machine.name.as_str() {
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
        self.end_nonces(id).await?;
        self.leave_mesh(id).await?;
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
    /// Its small row; none when it is not there.
    row: Option<AnyRow>,
    /// What another one has already.
    others: Option<Conflict>,
}

/// The column that says whether the marks are others.
const DIGEST: &str = "digest";

/// A machine's small row, by column; its id is not in it.
fn small_row(machine: &Machine, marks: &Marks) -> Vec<(&'static str, Bound)> {
    let fields = &machine.fields;
    let flag = |set: bool| Bound::Number(i64::from(set));
    let time = |at: Timestamp| Bound::Number(at.as_millis());
    let roles: Vec<&str> =
        machine.placement.roles.iter().chain(&fields.profiles).map(String::as_str).collect();
    let itself = machine.meta.get("machine-role").is_some_and(|role| role == "self");
    vec![
        ("name", Bound::from(machine.name.as_str())),
        ("address", Bound::Text(address_key(fields.address.parse().ok()))),
        ("arch", Bound::from(fields.arch.as_str())),
        ("bootenv", Bound::from(fields.boot_env.as_str())),
        ("stage", Bound::from(fields.stage.as_str())),
        ("workflow", Bound::from(fields.workflow.as_str())),
        ("context", Bound::from(fields.context.as_str())),
        ("os", Bound::from(fields.os.as_str())),
        ("pool", Bound::from(fields.pool.as_str())),
        ("pool_status", Bound::from(pool_status(fields.pool_status))),
        ("pool_allocated", flag(fields.pool_allocated)),
        ("runnable", flag(fields.runnable)),
        ("locked", flag(fields.locked)),
        ("available", flag(machine.errors.is_empty())),
        ("workflow_complete", flag(fields.workflow_complete)),
        ("is_self", flag(itself)),
        ("provision_state", Bound::Text(machine.provision_state().to_string())),
        ("mesh", Bound::from(machine.placement.mesh_network.as_str())),
        ("roles", Bound::from(roles.join(NAMES).as_str())),
        ("natural_name", Bound::from(natural::key(machine.name.as_str()).as_str())),
        ("current_task", Bound::Number(fields.current_task)),
        ("current_job", Bound::from(fields.current_job.as_str())),
        ("job_state", Bound::from(fields.job_state.as_str())),
        ("job_exit_state", Bound::from(fields.job_exit_state.as_str())),
        ("created_at", time(machine.created_at)),
        ("created_by", Bound::from(machine.created_by.as_str())),
        ("modified_at", time(machine.modified_at.unwrap_or(machine.created_at))),
        ("modified_by", Bound::from(machine.modified_by.as_str())),
        (DIGEST, Bound::Text(marks.digest())),
    ]
}

/// Writes the small row of a machine that has none.
async fn insert_row(
    connection: &mut AnyConnection,
    machine: &Machine,
    row: Vec<(&'static str, Bound)>,
) -> Result<(), StoreError> {
    let names: Vec<_> = row.iter().map(|(name, _)| *name).collect();
    let id = row.len() + 1;
    let sql = format!("INSERT INTO machine_index ({}, id) VALUES ({})", names.join(", "), placeholders(id));
    let query = row.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (_, value)| value.bind(query));
    query.bind(machine.id.to_string()).execute(connection).await?;
    Ok(())
}

/// Writes these columns of a small row: an index whose column is not among them is not touched.
async fn update_row(
    connection: &mut AnyConnection,
    machine: &str,
    columns: Vec<(&'static str, Bound)>,
) -> Result<(), StoreError> {
    if columns.is_empty() {
        return Ok(());
    }
    let set: Vec<_> = (1..).zip(&columns).map(|(at, (name, _))| format!("{name} = ${at}")).collect();
    let sql = format!("UPDATE machine_index SET {} WHERE id = ${}", set.join(", "), columns.len() + 1);
    let query =
        columns.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (_, value)| value.bind(query));
    query.bind(machine.to_owned()).execute(connection).await?;
    Ok(())
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

/// Makes the small rows, marks and texts of machines that an earlier release stored. A part at a time:
/// there may be a hundred thousand.
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
            let sql = "DELETE FROM machine_index WHERE id = $1";
            sqlx::query(sql).bind(machine.id.to_string()).execute(&mut *connection).await?;
            insert_row(connection, &machine, small_row(&machine, &marks)).await?;
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

    /// Names of the pools that machines are in, in order: one look into the index for each.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn pool_names(&self) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let sql = "SELECT MIN(pool) AS pool FROM machine_index WHERE pool > $1";
            let last = names.last().cloned().unwrap_or_default();
            let row = sqlx::query(sql).bind(last).fetch_one(&self.readers).await?;
            match row.try_get::<Option<String>, _>("pool")? {
                Some(name) => names.push(name),
                None => return Ok(names),
            }
        }
    }

    /// The machines that have a hardware address, in order of their ids, the first few. Lower case,
    /// with colons.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machines_of_mac(&self, mac: &str) -> Result<Vec<Machine>, StoreError> {
        let sql = "SELECT m.body AS body, m.revision AS revision FROM machine_mark h CROSS JOIN machine m \
                   WHERE h.kind = 'mac' AND h.name = $1 AND m.id = h.machine ORDER BY h.machine LIMIT $2";
        let query = sqlx::query(sql).bind(indexed(mac)).bind(NAMESAKES);
        query.fetch_all(&self.readers).await?.iter().map(machine).collect()
    }
}
