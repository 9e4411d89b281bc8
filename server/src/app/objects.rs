//! Objects of every collection in the same way (`spec/machine-model.md` 5.3): what REST asks of
//! one, whether it is content, a machine or a job.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::found::{Found, Shown, json, missing};
use super::machines::fresh_secret;
use super::pools;
use crate::store::About;
use engine::content::{Content, Write};
use engine::filter::{self, Shape};
use engine::patch::{Patch, Target};
use engine::problem::{Problem, ProblemKind};
use engine::{claims, fields};
use protocol::model::Kind;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A pair of a query, decoded.
pub(crate) type Pair = (String, String);
/// An object on its way in or out.
pub(super) type Fields = Map<String, Value>;

/// Members of a machine or of a mesh network that change by themselves, or are not the page's: a test
/// of the whole object does not look at them.
pub(super) const VOLATILE: [&str; 14] = [
    "Online",
    "LastSeenAt",
    "ProvisionState",
    "Roles",
    "MeshNetwork",
    "MeshAddresses",
    "MeshKey",
    "Members",
    "FreeAddresses",
    "Origin",
    "Inventory",
    "Ebpf",
    "PendingChanges",
    "WaitReason",
];
/// Members of a machine that the server keeps whatever a client writes: nobody needs a right for them.
pub(super) const KEPT: [&str; 10] = [
    "Online",
    "LastSeenAt",
    "ProvisionState",
    "MeshAddresses",
    "MeshKey",
    "Origin",
    "Inventory",
    "Ebpf",
    "PendingChanges",
    "WaitReason",
];

/// How a deletion went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deleted {
    /// It is gone; as it was last.
    Now(Value),
    /// It runs its last workflow first.
    Later(Value),
}

/// What a caller has of an object already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The `ETag` that it has, or several, or `*` for any.
    pub(crate) etag: Option<String>,
    /// How long it waits for another one.
    pub(crate) wait: Duration,
}

impl Known {
    fn is(&self, etag: &str) -> bool {
        let mut known = self.etag.iter().flat_map(|etags| etags.split(',')).map(str::trim);
        known.any(|one| one == etag || one == "*")
    }
}

/// How an object is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct How {
    /// The caller insists.
    pub(super) force: bool,
    /// A runner says by its lease that it still has the machine's job.
    pub(super) lease: Option<i64>,
}

impl App {
    /// One object, in the shape that the query asks for. None when the caller has it already and
    /// it did not change while the caller waits.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found, or a flag that is none.
    pub(crate) async fn get(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        query: &[Pair],
        known: &Known,
    ) -> Result<Option<Shown>, AppError> {
        let shape = filter::parse_shape(kind, pairs(query))?;
        let found = self.find(actor, kind, key, "get").await?;
        let shown = self.show(&found, &shape).await?;
        if !known.is(&shown.etag) {
            return Ok(Some(shown));
        }
        let deadline = Instant::now() + known.wait;
        let mut waiter = self.hub.waiter(found.topic());
        loop {
            // Looked at after the wait was registered: a change in between is not missed.
            let shown = self.show(&self.find(actor, kind, key, "get").await?, &shape).await?;
            if !known.is(&shown.etag) {
                return Ok(Some(shown));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || waiter.is_let_go() {
                return Ok(None);
            }
            waiter.wait(left).await;
        }
    }

    /// Makes an object of any kind but jobs, which their agents make.
    ///
    /// # Errors
    /// `AUTH` without the claim; whatever is wrong with the object, all of it; `CREATE` when it exists.
    pub(crate) async fn create(
        &self,
        actor: &Actor,
        kind: Kind,
        query: &[Pair],
        body: Value,
    ) -> Result<Shown, AppError> {
        let wanted = fields_of(kind, body)?;
        // Understood, and nothing to insist on.
        force(query)?;
        let key = text(&wanted, kind.key_field()).to_owned();
        actor.may(kind.prefix(), "create", &key)?;
        if kind == Kind::Machines {
            let machine = self.create_machine(actor, &wanted).await?;
            return self.show(&Found::Machine(Box::new(machine)), &Shape::default()).await;
        }
        if key.is_empty() {
            let message = format!("a {} needs a {}", kind.noun(), kind.key_field());
            return Err(AppError::new(AppErrorKind::EmptyKey, message).about(kind.prefix(), ""));
        }
        let after = self.put(actor, kind, &key, wanted).await?;
        self.show(&Found::Content(after, kind, key), &Shape::default()).await
    }

    /// Puts an object in the place of the one there is; what only the server sets stays. A runner
    /// says by its `lease` that it still has the machine's job.
    ///
    /// # Errors
    /// As [`App::create`], and not found.
    pub(crate) async fn replace(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        query: &[Pair],
        lease: Option<i64>,
        body: Value,
    ) -> Result<Shown, AppError> {
        let wanted = fields_of(kind, body)?;
        let how = How { force: force(query)?, lease };
        self.edit(actor, kind, key, how, |_, _| Ok(wanted.clone())).await
    }

    /// Changes an object.
    ///
    /// # Errors
    /// As [`App::replace`], and `PATCH` when the patch does not fit.
    pub(crate) async fn patch(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        query: &[Pair],
        lease: Option<i64>,
        patch: &Patch,
    ) -> Result<Shown, AppError> {
        let applied = |key: &str, before| {
            let target = Target { model: kind, key, volatile: &VOLATILE };
            fields_of(kind, patch.apply(&target, before)?)
        };
        self.edit(actor, kind, key, How { force: force(query)?, lease }, applied).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found, still in use, locked, read-only.
    pub(crate) async fn delete(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        query: &[Pair],
    ) -> Result<Deleted, AppError> {
        let force = force(query)?;
        match self.find(actor, kind, key, "delete").await? {
            Found::Machine(machine) => self.delete_machine(actor, machine.id, force).await,
            Found::Job(job) => {
                let job = self.delete_job(actor, job.fields.uuid).await?;
                json(&job.fields).map(Deleted::Now)
            }
            Found::Pool(pool) => Err(pools::in_use(&pool.id)),
            Found::Content(_, kind, key) => {
                let needed = self.machines_need(kind, &key).await?;
                let remove = |content: &Content, cause: &_| {
                    content.remove(kind, &key, needed, cause).map(|edit| (edit.content, edit.changes))
                };
                let remove = |content: &Content, cause: &_| Ok(remove(content, cause)?);
                let (before, _) = self.change_content(actor, remove).await?;
                before.show(kind, &key).map(Deleted::Now).ok_or_else(|| missing(kind, &key))
            }
        }
    }

    /// What plugins can do with an object: nothing.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) async fn actions_of(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
    ) -> Result<Vec<Value>, AppError> {
        self.find(actor, kind, key, "actions").await.map(|_| Vec::new())
    }

    /// One thing that plugins can do with an object: there is none.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn action_of(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        command: &str,
    ) -> Result<Value, AppError> {
        self.find(actor, kind, key, "actions").await?;
        Err(AppError::not_found("actions", command))
    }

    /// Makes of an object what `wish` makes of its key and of how REST shows it. It may be asked
    /// again when somebody else's change came between.
    pub(super) async fn edit(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        how: How,
        wish: impl Fn(&str, Value) -> Result<Fields, AppError>,
    ) -> Result<Shown, AppError> {
        // What the caller may change is asked when it is known what changes.
        let Some(found) = self.look_up(kind, key).await? else {
            return actor.may(kind.prefix(), "update", key).and(Err(missing(kind, key)));
        };
        let found = match found {
            Found::Machine(machine) => {
                let machine = self.edit_machine(actor, machine.id, how, wish).await?;
                Found::Machine(Box::new(machine))
            }
            Found::Job(job) => {
                let wish = |key: &str, before| wish(key, before).map(Value::Object);
                Found::Job(Box::new(self.edit_job(actor, job.fields.uuid, how.lease, wish).await?))
            }
            Found::Pool(pool) => {
                let wanted = wish(&pool.id, json(&*pool)?)?;
                Found::Content(self.put(actor, kind, &pool.id, wanted).await?, kind, pool.id)
            }
            Found::Content(_, kind, key) => {
                let (_, after) = self
                    .change_content(actor, |content, cause| {
                        let before = content.show(kind, &key).ok_or_else(|| missing(kind, &key))?;
                        let mut wanted = wish(&key, before.clone())?;
                        keep_key(kind, &key, &mut wanted)?;
                        self.seal_fields(kind, &key, &mut wanted)?;
                        let wanted = Value::Object(wanted);
                        actor.may_change(kind.prefix(), &key, &claims::changed(&before, &wanted, &[]))?;
                        let fresh = fresh_secret()?;
                        let edit = content.put(kind, wanted, Write::Replace(&key), cause, &fresh)?;
                        Ok((edit.content, edit.changes))
                    })
                    .await?;
                Found::Content(after, kind, key)
            }
        };
        self.show(&found, &Shape::default()).await
    }

    /// Makes an object of the content.
    async fn put(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        mut wanted: Fields,
    ) -> Result<Arc<Content>, AppError> {
        keep_key(kind, key, &mut wanted)?;
        self.seal_fields(kind, key, &mut wanted)?;
        let put = |content: &Content, cause: &_| {
            let wanted = Value::Object(wanted.clone());
            let edit = content.put(kind, wanted, Write::Create, cause, &fresh_secret()?)?;
            Ok((edit.content, edit.changes))
        };
        self.change_content(actor, put).await.map(|(_, after)| after)
    }

    /// Whether a machine refers to an object of the content.
    pub(super) async fn machines_need(&self, kind: Kind, key: &str) -> Result<bool, AppError> {
        let about = match kind {
            Kind::BootEnvs => About::BootEnv(key),
            Kind::Stages => About::Stage(key),
            Kind::Workflows => About::Workflow(key),
            Kind::Profiles => About::Profile(key),
            Kind::Contexts
            | Kind::Images
            | Kind::Jobs
            | Kind::Machines
            | Kind::Meshes
            | Kind::Params
            | Kind::Pools
            | Kind::RegistryCredentials
            | Kind::Roles
            | Kind::Secrets
            | Kind::Tasks
            | Kind::Templates
            | Kind::Users
            | Kind::Variables
            | Kind::Vips => return Ok(false),
        };
        Ok(!self.store.machines_about(about, None, 1).await?.is_empty())
    }
}

/// A query for the engine.
pub(super) fn pairs(query: &[Pair]) -> impl Iterator<Item = (&str, &str)> {
    query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Whether the caller insists.
pub(super) fn force(query: &[Pair]) -> Result<bool, AppError> {
    flag(query, "force")
}

/// A flag of a query; false when it is not there.
pub(super) fn flag(query: &[Pair], name: &str) -> Result<bool, AppError> {
    let value = query.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let read = value.map(|value| filter::flag(name, value)).transpose();
    read.map(Option::unwrap_or_default).map_err(|message| AppError::new(AppErrorKind::BadList, message))
}

/// A body's fields under the names of the model.
pub(super) fn fields_of(kind: Kind, body: Value) -> Result<Fields, AppError> {
    match body {
        Value::Object(body) => Ok(fields::canonical(kind, body)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let message = format!("a {} is a JSON object", kind.noun());
            Err(AppError::new(AppErrorKind::BadRequest, message).about(kind.prefix(), ""))
        }
    }
}

/// A text of an object, empty when it has none.
pub(super) fn text<'a>(object: &'a Fields, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An object keeps its key; a body that does not name it means the one in the path.
fn keep_key(kind: Kind, key: &str, wanted: &mut Fields) -> Result<(), AppError> {
    let field = kind.key_field();
    let given = wanted.get(field).and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() && given != key {
        let message = format!("{field} of a {} cannot be changed", kind.noun());
        return Err(Problem::new(ProblemKind::Invalid, kind, key, message).into());
    }
    wanted.insert(field.to_owned(), key.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_object_is_one_of_several_or_any() {
        let known = |etag: &str| Known { etag: Some(etag.to_owned()), wait: Duration::ZERO };
        assert!(known("\"1\", \"2\"").is("\"2\"") && known("*").is("\"9\""));
        assert!(!known("\"1\"").is("\"2\"") && !Known::default().is("\"1\""));
    }
}
