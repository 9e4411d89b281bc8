//! The content: every object that machines refer to, and preferences. Written object by object,
//! guarded by one revision for all of it, and read whole.

use super::commit::Writing;
use super::read::record;
use super::{Store, StoreError};
use engine::change::{Record, Revision, StoredObject};
use protocol::model::Kind;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// What is stored of the content, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredContent {
    /// The commit that last changed any of it.
    pub revision: Revision,
    /// The content that all machines were last checked against.
    pub checked: Revision,
    /// Its objects by kind and key.
    pub objects: Vec<StoredObject>,
    /// The preferences that were set.
    pub prefs: BTreeMap<String, String>,
    /// What is kept of each imported bundle.
    pub bundles: Vec<Record>,
}

impl Writing<'_> {
    pub(super) async fn put_object(&mut self, object: &StoredObject) -> Result<(), StoreError> {
        self.head.content_changes();
        let sql = "INSERT INTO object (kind, key, bundle, body, revision) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (kind, key) DO UPDATE SET bundle = excluded.bundle, body = excluded.body, \
                   revision = excluded.revision";
        sqlx::query(sql)
            .bind(object.kind.prefix())
            .bind(object.key.clone())
            .bind(object.bundle.clone())
            .bind(object.body.clone())
            .bind(self.head.revision().0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn delete_object(&mut self, kind: Kind, key: &str) -> Result<(), StoreError> {
        self.head.content_changes();
        sqlx::query("DELETE FROM object WHERE kind = $1 AND key = $2")
            .bind(kind.prefix())
            .bind(key.to_owned())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    pub(super) async fn set_pref(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.head.content_changes();
        let sql = "INSERT INTO pref (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let query = sqlx::query(sql).bind(name.to_owned()).bind(value.to_owned());
        query.execute(&mut *self.transaction).await?;
        Ok(())
    }
}

impl Store {
    /// The whole content as of one moment.
    ///
    /// # Errors
    /// When the store cannot be read, as for all that follow.
    pub(crate) async fn content(&self) -> Result<StoredContent, StoreError> {
        let mut moment = self.moment().await?;
        let sql = "SELECT content_revision, checked_revision FROM head";
        let head = sqlx::query(sql).fetch_one(&mut *moment).await?;
        let objects =
            sqlx::query("SELECT kind, key, bundle, body FROM object").fetch_all(&mut *moment).await?;
        let prefs = sqlx::query("SELECT name, value FROM pref").fetch_all(&mut *moment).await?;
        let sql = "SELECT kind, name, body, revision FROM record WHERE kind = 'bundle' ORDER BY name";
        let bundles = sqlx::query(sql).fetch_all(&mut *moment).await?;
        moment.rollback().await?;
        let mut objects = objects.iter().map(object).collect::<Result<Vec<_>, _>>()?;
        objects.sort_by(|one, other| (one.kind, &one.key).cmp(&(other.kind, &other.key)));
        Ok(StoredContent {
            revision: Revision(head.try_get("content_revision")?),
            checked: Revision(head.try_get("checked_revision")?),
            objects,
            prefs: prefs
                .iter()
                .map(|row| Ok((row.try_get("name")?, row.try_get("value")?)))
                .collect::<Result<_, sqlx::Error>>()?,
            bundles: bundles.iter().map(record).collect::<Result<_, _>>()?,
        })
    }

    /// Which commit last changed the content, and which content all machines were last checked against.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn content_revisions(&self) -> Result<(Revision, Revision), StoreError> {
        let sql = "SELECT content_revision, checked_revision FROM head";
        let row = sqlx::query(sql).fetch_one(&self.readers).await?;
        Ok((Revision(row.try_get("content_revision")?), Revision(row.try_get("checked_revision")?)))
    }
}

fn object(row: &AnyRow) -> Result<StoredObject, StoreError> {
    let kind: String = row.try_get("kind")?;
    Ok(StoredObject {
        kind: kind.parse().map_err(|_| StoreError::Damaged { table: "object", reason: kind })?,
        key: row.try_get("key")?,
        bundle: row.try_get("bundle")?,
        body: row.try_get("body")?,
    })
}
