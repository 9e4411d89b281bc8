//! Objects as they are found by a key of a path, and shown.

use super::App;
use super::actor::Actor;
use super::error::AppError;
use crate::hub;
use engine::content::Content;
use engine::filter::Shape;
use engine::job::Job;
use engine::machine::Machine;
use engine::{index, params};
use protocol::model::Kind;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// An object as REST shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// It.
    pub(crate) value: Value,
    /// What changes whenever it does, in quotes.
    pub(crate) etag: String,
}

/// An object that was found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// Of the content.
    Content(Arc<Content>, Kind, String),
    /// A pool that nobody made, and that machines are in.
    Pool(Box<protocol::model::Pool>),
    /// A machine.
    Machine(Box<Machine>),
    /// A job.
    Job(Box<Job>),
}

impl Found {
    /// Whether objects of its kind have params.
    pub(super) const fn has_params(&self) -> bool {
        match self {
            Self::Content(_, kind, _) => index::has_params(*kind),
            Self::Machine(_) => true,
            Self::Pool(_) | Self::Job(_) => false,
        }
    }

    /// What whoever waits for its next state waits for.
    pub(super) fn topic(&self) -> Uuid {
        match self {
            Self::Content(..) | Self::Pool(_) => hub::CONTENT,
            Self::Machine(machine) => machine.id.0,
            Self::Job(job) => job.fields.uuid,
        }
    }

    fn allow(&self, actor: &Actor, action: &str) -> Result<(), AppError> {
        match self {
            Self::Content(_, kind, key) => actor.may(kind.prefix(), action, key),
            Self::Pool(pool) => actor.may(Kind::Pools.prefix(), action, &pool.id),
            Self::Machine(machine) => actor.may(Kind::Machines.prefix(), action, &machine.id.to_string()),
            Self::Job(job) => actor.may_job(action, job.fields.uuid, job.fields.machine),
        }
    }
}

impl App {
    /// The object that a key of a path names, for a caller who may do this with it.
    ///
    /// # Errors
    /// `AUTH` without the claim, whether there is such an object or not; not found.
    pub(super) async fn find(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        action: &str,
    ) -> Result<Found, AppError> {
        match self.look_up(kind, key).await? {
            Some(found) => found.allow(actor, action).map(|()| found),
            None => actor.may(kind.prefix(), action, key).and(Err(missing(kind, key))),
        }
    }

    /// The machine that a key of a path names, for a caller who may do this with it.
    ///
    /// # Errors
    /// As [`App::find`].
    pub(super) async fn machine_for(
        &self,
        actor: &Actor,
        key: &str,
        action: &str,
    ) -> Result<Machine, AppError> {
        match self.find(actor, Kind::Machines, key, action).await? {
            Found::Machine(machine) => Ok(*machine),
            Found::Content(..) | Found::Pool(_) | Found::Job(_) => Err(missing(Kind::Machines, key)),
        }
    }

    /// The object that a key of a path names, whoever asks.
    pub(super) async fn look_up(&self, kind: Kind, key: &str) -> Result<Option<Found>, AppError> {
        match kind {
            Kind::Machines => Ok(self.find_machine(key).await?.map(Box::new).map(Found::Machine)),
            Kind::Jobs => Ok(self.find_job(key).await?.map(Box::new).map(Found::Job)),
            Kind::BootEnvs
            | Kind::Contexts
            | Kind::Images
            | Kind::Meshes
            | Kind::Params
            | Kind::Pools
            | Kind::Profiles
            | Kind::RegistryCredentials
            | Kind::Roles
            | Kind::Secrets
            | Kind::Stages
            | Kind::Tasks
            | Kind::Templates
            | Kind::Users
            | Kind::Variables
            | Kind::Vips
            | Kind::Workflows => self.find_content(kind, key).await,
        }
    }

    async fn find_content(&self, kind: Kind, key: &str) -> Result<Option<Found>, AppError> {
        let content = self.content();
        let Some(key) = bare_key(kind, key) else { return Ok(None) };
        if content.has(kind, key) {
            return Ok(Some(Found::Content(content, kind, key.to_owned())));
        }
        if kind != Kind::Pools {
            return Ok(None);
        }
        Ok(self.implicit_pool(key).await?.map(Box::new).map(Found::Pool))
    }

    async fn find_job(&self, key: &str) -> Result<Option<Job>, AppError> {
        match bare_key(Kind::Jobs, key).and_then(|id| id.parse().ok()) {
            Some(id) => Ok(self.store.job(id).await?),
            None => Ok(None),
        }
    }

    /// An object in a shape.
    pub(super) async fn show(&self, found: &Found, shape: &Shape) -> Result<Shown, AppError> {
        let (mut value, mut etag) = match found {
            Found::Machine(machine) => (json(&self.view(machine))?, Some(machine.revision.0.to_string())),
            Found::Job(job) => (json(&job.fields)?, Some(job.revision.0.to_string())),
            Found::Pool(pool) => (json(&**pool)?, None),
            Found::Content(content, kind, key) => {
                let mut shown = content.show(*kind, key).ok_or_else(|| missing(*kind, key))?;
                if *kind == Kind::Images {
                    self.show_import(key, &mut shown)?;
                }
                if *kind == Kind::Meshes {
                    self.show_members(content, key, &mut shown).await?;
                }
                if *kind == Kind::Vips {
                    self.show_standing(content, key, &mut shown);
                }
                (shown, None)
            }
        };
        if shape.aggregate && found.has_params() {
            let content = self.content();
            set_params(&mut value, json(&params::merge(found.sources(&content)))?);
            etag = etag.map(|etag| format!("{etag}-{}", content.revision.0));
        }
        if let Some(object) = value.as_object_mut() {
            shape.trim(object);
        }
        let etag = etag.unwrap_or_else(|| fingerprint(&value));
        Ok(Shown { value, etag: format!("\"{etag}\"") })
    }
}

/// The first half of the SHA-256 of an object's text.
fn fingerprint(value: &Value) -> String {
    let digest = digest(&SHA256, value.to_string().as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// No object of the kind has this key.
pub(super) fn missing(kind: Kind, key: &str) -> AppError {
    AppError::not_found(kind.prefix(), key)
}

/// The value of a unique index that a key of a path names: `KEY`, `Key:KEY` or `Name:KEY` and the
/// like. Machines have more than one unique index, so that they look for themselves.
pub(super) fn bare_key(kind: Kind, key: &str) -> Option<&str> {
    match key.split_once(':') {
        Some((name, value)) => index::find(kind, name).filter(|index| index.unique).map(|_| value),
        None => Some(key),
    }
}

/// Our own types always serialise.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Value, AppError> {
    serde_json::to_value(value).map_err(AppError::internal)
}

/// Shows these params in place of an object's own.
pub(super) fn set_params(object: &mut Value, params: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert("Params".to_owned(), params);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bare_or_name_a_unique_index() {
        assert_eq!(bare_key(Kind::Stages, "none"), Some("none"));
        assert_eq!(bare_key(Kind::Stages, "Name:none"), Some("none"));
        assert_eq!(bare_key(Kind::Stages, "Key:none"), Some("none"));
        assert_eq!(bare_key(Kind::Templates, "ID:a"), Some("a"));
        assert_eq!(bare_key(Kind::Stages, "BootEnv:local"), None);
        assert_eq!(bare_key(Kind::Stages, "Colour:red"), None);
    }
}
