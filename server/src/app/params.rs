//! Params of machines, profiles and stages, as they are read and written one by one or all
//! together (`spec/machine-model.md` 3.9). A write is a change of the object that has them, under
//! the rules of such changes.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::found::{Found, json, missing};
use super::objects::{Fields, How, Pair, fields_of, flag, pairs};
use engine::content::Content;
use engine::filter::parse_shape;
use engine::params;
use engine::patch::{Patch, Target};
use protocol::model::{Kind, Params};
use serde_json::Value;

impl App {
    /// All params of an object, or those that the query names; with `aggregate` those of every
    /// source but the defaults of schemas.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) async fn params(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        query: &[Pair],
    ) -> Result<Value, AppError> {
        let shape = parse_shape(kind, pairs(query))?;
        let found = self.find(actor, kind, key, "get").await?;
        let mut params = if shape.aggregate {
            let content = self.content();
            params::merge(found.sources(&content))
        } else {
            found.own_params(&self.content())
        };
        if let Some(names) = &shape.params {
            params.retain(|name, _| names.contains(name));
        }
        json(&params)
    }

    /// One param of an object; null when it is not set. With `aggregate` from every source, with
    /// `compose` made of all of them.
    ///
    /// # Errors
    /// `AUTH` without the claim; not found when there is no such object.
    pub(crate) async fn param(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        name: &str,
        query: &[Pair],
    ) -> Result<Value, AppError> {
        let (aggregate, compose) = (flag(query, "aggregate")?, flag(query, "compose")?);
        let found = self.find(actor, kind, key, "get").await?;
        let content = self.content();
        let value = if compose {
            params::compose_of(found.sources(&content), name)
        } else if aggregate {
            found.sources(&content).into_iter().find_map(|params| params.get(name)).cloned()
        } else {
            return Ok(found.own_params(&content).remove(name).unwrap_or_default());
        };
        Ok(value.or_else(|| params::default(&content, name).cloned()).unwrap_or_default())
    }

    /// Puts these params in the place of an object's own; answers them.
    ///
    /// # Errors
    /// As every change of the object; `ValidationError` for values that their params forbid.
    pub(crate) async fn replace_params(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        wanted: Value,
    ) -> Result<Value, AppError> {
        if !wanted.is_object() {
            let message = "params are a JSON object: names and their values";
            return Err(AppError::new(AppErrorKind::BadRequest, message).about(kind.prefix(), key));
        }
        self.edit_params(actor, kind, key, |_, _| Ok(wanted.clone())).await
    }

    /// Changes an object's params; answers all of them.
    ///
    /// # Errors
    /// As [`App::replace_params`], and `PATCH` when the patch does not fit.
    pub(crate) async fn patch_params(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        patch: &Patch,
    ) -> Result<Value, AppError> {
        let apply = |key: &str, before: Value| match patch {
            Patch::Operations(_) => Ok(patch.apply(&Target { model: kind, key, volatile: &[] }, before)?),
            // Names of params are no names of fields: each is set as it is written.
            Patch::Fields(more) => Ok(merged(before, more)),
        };
        self.edit_params(actor, kind, key, apply).await
    }

    /// Sets one param; answers its value.
    ///
    /// # Errors
    /// As [`App::replace_params`].
    pub(crate) async fn set_param(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        name: &str,
        value: Value,
    ) -> Result<Value, AppError> {
        let one = Fields::from_iter([(name.to_owned(), value.clone())]);
        self.edit_params(actor, kind, key, |_, before| Ok(merged(before, &one))).await?;
        Ok(value)
    }

    /// Takes one param away; answers its value.
    ///
    /// # Errors
    /// As [`App::replace_params`]; not found, as a param, when it is not set.
    pub(crate) async fn unset_param(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        name: &str,
    ) -> Result<Value, AppError> {
        let found = self.find(actor, kind, key, "get").await?;
        let old =
            found.own_params(&self.content()).remove(name).ok_or_else(|| missing(Kind::Params, name))?;
        let without = |_: &str, mut before: Value| {
            let gone = before.as_object_mut().and_then(|params| params.remove(name));
            gone.map(|_| before).ok_or_else(|| missing(Kind::Params, name))
        };
        self.edit_params(actor, kind, key, without).await?;
        Ok(old)
    }

    /// The key to seal secure params to: never found, since there are no such params.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn public_key(&self, actor: &Actor, kind: Kind, key: &str) -> Result<Value, AppError> {
        self.find(actor, kind, key, "get").await?;
        let message = "this server seals no params: none of them is secure";
        Err(AppError::new(AppErrorKind::NotFound, message).about(kind.prefix(), key))
    }

    /// Makes of an object's own params what `wish` makes of them; answers them.
    async fn edit_params(
        &self,
        actor: &Actor,
        kind: Kind,
        key: &str,
        wish: impl Fn(&str, Value) -> Result<Value, AppError>,
    ) -> Result<Value, AppError> {
        let edited = self
            .edit(actor, kind, key, How::default(), |key, mut object| {
                let wanted = wish(key, params_of(&mut object))?;
                let mut object = fields_of(kind, object)?;
                object.insert("Params".to_owned(), wanted);
                Ok(object)
            })
            .await;
        let mut shown = edited.map_err(|mut error| {
            // Clients look for the method, as the original server names it.
            if error.kind == AppErrorKind::Invalid {
                error.kind = AppErrorKind::InvalidValue;
            }
            error
        })?;
        Ok(params_of(&mut shown.value))
    }
}

impl Found {
    /// The params of the object itself.
    fn own_params(&self, content: &Content) -> Params {
        match self {
            Self::Machine(machine) => machine.fields.params.clone(),
            Self::Content(_, Kind::Profiles, key) => {
                content.profiles.get(key).map(|profile| profile.params.clone()).unwrap_or_default()
            }
            Self::Content(_, Kind::Stages, key) => {
                content.stages.get(key).map(|stage| stage.params.clone()).unwrap_or_default()
            }
            Self::Content(..) | Self::Pool(_) | Self::Job(_) => Params::new(),
        }
    }

    /// Where its params come from, in the order in which they win.
    pub(super) fn sources<'a>(&'a self, content: &'a Content) -> Vec<&'a Params> {
        match self {
            Self::Machine(machine) => params::sources(content, Some(machine)),
            Self::Content(_, Kind::Profiles, key) => {
                let profile = content.profiles.get(key);
                profile.map(|profile| params::sources_of_profile(content, profile)).unwrap_or_default()
            }
            Self::Content(_, Kind::Stages, key) => {
                let stage = content.stages.get(key);
                stage.map(|stage| params::sources_of_stage(content, stage)).unwrap_or_default()
            }
            Self::Content(..) | Self::Pool(_) | Self::Job(_) => Vec::new(),
        }
    }
}

/// Takes the params out of an object.
fn params_of(object: &mut Value) -> Value {
    match object.get_mut("Params") {
        Some(params @ Value::Object(_)) => params.take(),
        Some(_) | None => Value::Object(Fields::new()),
    }
}

fn merged(mut params: Value, more: &Fields) -> Value {
    if let Some(params) = params.as_object_mut() {
        params.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    params
}
