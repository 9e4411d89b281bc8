//! Params of machines, profiles and stages, as they are read and written one by one or all
//! together (`spec/machine-model.md` 3.9). A write is a change of the object that has them, under
//! the rules of such changes.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::objects::{Fields, Found, How, Pair, flag, missing};
use engine::filter::{Shape, parse_shape};
use engine::patch::{Patch, Target};
use engine::{index, params};
use protocol::model::Kind;
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
        let shape = parse_shape(kind, super::objects::pairs(query))?;
        let found = self.find(actor, kind, key, "get").await?;
        let mut shown = self.show(&found, &Shape { slim: Vec::new(), reduced: false, ..shape })?;
        Ok(params_of(&mut shown.value))
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
        let mut own = params_of(&mut self.show(&found, &Shape::default())?.value);
        let own = own.as_object_mut().and_then(|params| params.remove(name));
        let content = self.content();
        let found = match &found {
            Found::Machine(machine) if compose => params::compose(&content, Some(machine), name),
            Found::Machine(machine) if aggregate => params::lookup(&content, Some(machine), name),
            Found::Content(..) | Found::Pool(_) | Found::Job(_) if aggregate || compose => {
                own.or_else(|| params::default(&content, name).cloned())
            }
            Found::Machine(_) | Found::Content(..) | Found::Pool(_) | Found::Job(_) => own,
        };
        Ok(found.unwrap_or_default())
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
            Patch::Operations(_) => {
                Ok(patch.apply(&Target { model: kind, key, volatile: &[] }, before)?)
            }
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
        let mut own = params_of(&mut self.show(&found, &Shape::default())?.value);
        let old = own.as_object_mut().and_then(|params| params.remove(name));
        let old = old.ok_or_else(|| missing(Kind::Params, name))?;
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
        debug_assert!(index::has_params(kind));
        let edited = self
            .edit(actor, kind, key, How::default(), |key, mut object| {
                let wanted = wish(key, params_of(&mut object))?;
                let mut object = super::objects::fields_of(kind, object)?;
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
