//! The content: every object that machines refer to, and preferences. Written object by object,
//! guarded by one revision for all of it, and read whole.

use super::StoreError;
use super::commit::Writing;
use engine::change::{Revision, StoredObject};
use protocol::model::Kind;

impl Writing {
    pub(super) async fn put_object(&mut self, object: &StoredObject) -> Result<(), StoreError> {
        self.content_changed = true;
        let sql = "INSERT INTO object (kind, key, bundle, body, revision) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (kind, key) DO UPDATE SET bundle = excluded.bundle, body = excluded.body, \
                   revision = excluded.revision";
        sqlx::query(sql)
            .bind(object.kind.prefix())
            .bind(object.key.clone())
            .bind(object.bundle.clone())
            .bind(object.body.clone())
            .bind(self.revision)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn delete_object(&mut self, kind: Kind, key: &str) -> Result<(), StoreError> {
        self.content_changed = true;
        sqlx::query("DELETE FROM object WHERE kind = $1 AND key = $2")
            .bind(kind.prefix())
            .bind(key.to_owned())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn set_pref(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.content_changed = true;
        let sql = "INSERT INTO pref (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        sqlx::query(sql).bind(name.to_owned()).bind(value.to_owned()).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Never goes back: of two checks, the one of the older content may end last.
    pub(super) async fn machines_checked(&mut self, against: Revision) -> Result<(), StoreError> {
        sqlx::query("UPDATE head SET checked_revision = $1 WHERE checked_revision < $1")
            .bind(against.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
