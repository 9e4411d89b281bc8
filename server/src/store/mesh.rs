//! Who has which number in a mesh network. Rows of numbers that were given back stay, so that the lowest
//! free one is found without looking at the others.

use super::commit::{Conflict, Writing};
use super::{Store, StoreError, read};
use engine::machine::Machine;
use engine::mesh::Standing;
use protocol::ids::MachineId;
use sqlx::Row;
use std::collections::BTreeMap;

impl Store {
    /// How the numbers of a mesh network stand.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn mesh_standing(&self, mesh: &str) -> Result<Standing, StoreError> {
        let sql = "SELECT (SELECT MIN(number) FROM mesh_host WHERE mesh = $1 AND machine IS NULL) AS released, \
                   (SELECT MAX(number) FROM mesh_host WHERE mesh = $1) AS highest";
        let row = sqlx::query(sql).bind(mesh.to_owned()).fetch_one(&self.readers).await?;
        let released: Option<i64> = row.try_get("released")?;
        let highest: Option<i64> = row.try_get("highest")?;
        Ok(Standing { released: released.map(number).transpose()?, highest: highest.map_or(Ok(0), number)? })
    }

    /// How many machines are in each mesh network; those without one are not among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn mesh_members(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let sql = "SELECT mesh, COUNT(machine) AS members FROM mesh_host GROUP BY mesh";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        let counted = rows.iter().map(|row| {
            let members: i64 = row.try_get("members")?;
            Ok((row.try_get("mesh")?, u64::try_from(members).unwrap_or(0)))
        });
        counted.collect()
    }

    /// How many machines are in one mesh network.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn members_of_mesh(&self, mesh: &str) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(machine) AS members FROM mesh_host WHERE mesh = $1";
        let row = sqlx::query(sql).bind(mesh.to_owned()).fetch_one(&self.readers).await?;
        Ok(u64::try_from(row.try_get::<i64, _>("members")?).unwrap_or(0))
    }

    /// The machines of a mesh network behind a number, in order of their numbers, at most `most`, each with
    /// its number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machines_of_mesh(
        &self,
        mesh: &str,
        after: u32,
        most: u32,
    ) -> Result<Vec<(u32, Machine)>, StoreError> {
        let sql = "SELECT h.number AS number, m.body AS body, m.revision AS revision FROM mesh_host h \
                   JOIN machine m ON m.id = h.machine WHERE h.mesh = $1 AND h.number > $2 \
                   ORDER BY h.number LIMIT $3";
        let query = sqlx::query(sql).bind(mesh.to_owned()).bind(i64::from(after)).bind(i64::from(most));
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok((number(row.try_get("number")?)?, read::machine(row)?))).collect()
    }
}

impl Writing<'_> {
    pub(super) async fn join_mesh(
        &mut self,
        mesh: &str,
        number: u32,
        machine: MachineId,
    ) -> Result<(), StoreError> {
        // Whoever has a number already has no second one; a free row is taken, or a new one made.
        let sql = "UPDATE mesh_host SET machine = $1 WHERE mesh = $2 AND number = $3 AND machine IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM mesh_host o WHERE o.machine = $1)";
        let taken = sqlx::query(sql)
            .bind(machine.to_string())
            .bind(mesh.to_owned())
            .bind(i64::from(number))
            .execute(&mut *self.transaction)
            .await?;
        if taken.rows_affected() == 1 {
            return Ok(());
        }
        // The next one behind the highest: no number is left out.
        let sql = "INSERT INTO mesh_host (mesh, number, machine) SELECT $1, $2, $3 \
                   WHERE $2 = (SELECT COALESCE(MAX(number), 0) + 1 FROM mesh_host WHERE mesh = $1) \
                   AND NOT EXISTS (SELECT 1 FROM mesh_host o WHERE o.machine = $3)";
        let made = sqlx::query(sql)
            .bind(mesh.to_owned())
            .bind(i64::from(number))
            .bind(machine.to_string())
            .execute(&mut *self.transaction)
            .await?;
        if made.rows_affected() == 1 { Ok(()) } else { Err(Conflict::Stale.into()) }
    }

    pub(super) async fn leave_mesh(&mut self, machine: MachineId) -> Result<(), StoreError> {
        sqlx::query("UPDATE mesh_host SET machine = NULL WHERE machine = $1")
            .bind(machine.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn clear_mesh(&mut self, mesh: &str) -> Result<(), StoreError> {
        let sql = "SELECT number FROM mesh_host WHERE mesh = $1 AND machine IS NOT NULL LIMIT 1";
        let used = sqlx::query(sql).bind(mesh.to_owned()).fetch_optional(&mut *self.transaction).await?;
        if used.is_some() {
            return Err(Conflict::MeshUsed.into());
        }
        sqlx::query("DELETE FROM mesh_host WHERE mesh = $1")
            .bind(mesh.to_owned())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

fn number(stored: i64) -> Result<u32, StoreError> {
    let damaged = || StoreError::Damaged { table: "mesh_host", reason: format!("{stored} is no number") };
    u32::try_from(stored).map_err(|_| damaged())
}
