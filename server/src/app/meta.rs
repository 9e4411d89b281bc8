//! What the model is made of: collections and their indexes, labels of objects, preferences.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::found::json as to_json;
use super::lists::Listed;
use super::objects::{Fields, How, fields_of};
use engine::content::Content;
use engine::filter::Shape;
use engine::index::{self, Index};
use engine::patch::{Patch, Target};
use protocol::model::Kind;
use serde_json::{Value, json};

/// Scope of preferences in claims, and their name among the collections.
const PREFERENCES: &str = "preferences";

impl App {
    /// Names of all collections, sorted.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) fn collections(&self, actor: &Actor) -> Result<Vec<&'static str>, AppError> {
        actor.may("objects", "list", "")?;
        let mut names: Vec<_> = Kind::ALL.into_iter().map(Kind::prefix).chain([PREFERENCES]).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// All indexes of all collections.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) fn indexes(&self, actor: &Actor) -> Result<Value, AppError> {
        actor.may("indexes", "list", "")?;
        let of = |kind: Kind| (kind.prefix().to_owned(), shown_indexes(kind));
        Ok(Value::Object(Kind::ALL.into_iter().map(of).collect()))
    }

    /// The indexes of one collection.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) fn indexes_of(&self, actor: &Actor, prefix: &str) -> Result<Value, AppError> {
        actor.may("indexes", "get", prefix)?;
        kind_of("indexes", prefix).map(shown_indexes)
    }

    /// One index. A name that is none is a param, where objects have params.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) fn index(&self, actor: &Actor, prefix: &str, name: &str) -> Result<Value, AppError> {
        actor.may("indexes", "get", prefix)?;
        let kind = kind_of("indexes", prefix)?;
        match index::find(kind, name) {
            Some(index) => Ok(shown_index(index)),
            None if index::has_params(kind) => {
                Ok(json!({"Type": "string", "Unique": false, "Unordered": false, "Regex": true}))
            }
            None => Err(AppError::not_found("indexes", name)),
        }
    }

    /// Labels of an object.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) async fn meta(&self, actor: &Actor, prefix: &str, key: &str) -> Result<Value, AppError> {
        let found = self.find(actor, kind_of("meta", prefix)?, key, "get").await?;
        Ok(meta_of(&mut self.show(&found, &Shape::default()).await?.value))
    }

    /// Changes labels of an object; answers all of them.
    ///
    /// # Errors
    /// As every change of the object.
    pub(crate) async fn patch_meta(
        &self,
        actor: &Actor,
        prefix: &str,
        key: &str,
        patch: &Patch,
    ) -> Result<Value, AppError> {
        let kind = kind_of("meta", prefix)?;
        let wish = |key: &str, mut object: Value| {
            let mut meta = meta_of(&mut object);
            match patch {
                Patch::Operations(_) => {
                    meta = patch.apply(&Target { model: kind, key, volatile: &[] }, meta)?;
                }
                Patch::Fields(more) => {
                    if let Some(meta) = meta.as_object_mut() {
                        meta.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
                    }
                }
            }
            let mut object = fields_of(kind, object)?;
            object.insert("Meta".to_owned(), meta);
            Ok(object)
        };
        let mut shown = self.edit(actor, kind, key, How::default(), wish).await?;
        Ok(meta_of(&mut shown.value))
    }

    /// Preferences by name. Those that are secrets are not shown.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) fn prefs(&self, actor: &Actor) -> Result<Value, AppError> {
        actor.may(PREFERENCES, "get", "")?;
        to_json(&self.content().prefs_shown())
    }

    /// Sets some preferences; answers all of them.
    ///
    /// # Errors
    /// `AUTH` without the claim; names and values that are wrong, all of them.
    pub(crate) async fn set_prefs(&self, actor: &Actor, wanted: Value) -> Result<Value, AppError> {
        let Value::Object(wanted) = wanted else {
            let message = "preferences are a JSON object: names and their values";
            return Err(AppError::new(AppErrorKind::BadRequest, message).about("prefs", ""));
        };
        for name in wanted.keys() {
            actor.may(PREFERENCES, "update", name)?;
        }
        let set = |before: &Content, cause: &_| {
            let edit = before.set_prefs(&wanted, cause)?;
            Ok((edit.content, edit.changes))
        };
        let (_, after) = self.change_content(actor, set).await?;
        to_json(&after.prefs_shown())
    }

    /// The list of a collection that clients ask for and that has nothing in it.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) fn subnets(&self, actor: &Actor) -> Result<Listed, AppError> {
        actor.may("subnets", "list", "")?;
        Ok(Listed { json: "[]".to_owned(), count: 0, filtered: 0, total: 0, next: None })
    }
}

fn kind_of(model: &'static str, prefix: &str) -> Result<Kind, AppError> {
    prefix.parse().map_err(|_| AppError::not_found(model, prefix))
}

fn shown_indexes(kind: Kind) -> Value {
    Value::Object(index::of(kind).iter().map(|index| (index.name.to_owned(), shown_index(index))).collect())
}

fn shown_index(index: &Index) -> Value {
    json!({
        "Type": index.values.word(),
        "Unique": index.unique,
        "Unordered": index.unordered(),
        "Regex": index.regex(),
    })
}

/// Takes the labels out of an object.
fn meta_of(object: &mut Value) -> Value {
    match object.get_mut("Meta") {
        Some(meta @ Value::Object(_)) => meta.take(),
        Some(_) | None => Value::Object(Fields::new()),
    }
}
