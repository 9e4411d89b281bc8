//! The value of a param for a machine: from where it comes, and what it may be
//! (`spec/machine-model.md` 3.9).

mod schema;
mod source;
mod weight;

pub(crate) use schema::check as check_schema;
pub use schema::{SchemaError, Schemas};
pub(crate) use source::GLOBAL;
pub use source::{sources, sources_of_profile, sources_of_stage};

use crate::content::Content;
use crate::machine::Machine;
use protocol::model::Params;
use serde_json::Value;

/// The value that holds for a machine, or for one that is not known: the first source that has
/// it, then the default of its schema.
pub fn lookup(content: &Content, machine: Option<&Machine>, key: &str) -> Option<Value> {
    let set = sources(content, machine).into_iter().find_map(|params| params.get(key));
    set.or_else(|| default(content, key)).cloned()
}

/// Every param that is set anywhere for the machine, with the value that holds. Defaults of
/// schemas are not among them.
pub fn aggregate(content: &Content, machine: Option<&Machine>) -> Params {
    merge(sources(content, machine))
}

/// All params of these sources; the first that has one wins.
pub fn merge<'a>(sources: impl IntoIterator<Item = &'a Params>) -> Params {
    let mut merged = Params::new();
    for params in sources {
        for (key, value) in params {
            if !merged.contains_key(key) {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    merged
}

/// The value put together from all sources: maps are merged, the first source winning key by
/// key, lists are joined, the first source's entries first. Where sources disagree on what it is,
/// the first wins. The schema's default counts only when no source has it.
pub fn compose(content: &Content, machine: Option<&Machine>, key: &str) -> Option<Value> {
    compose_of(sources(content, machine), key).or_else(|| default(content, key).cloned())
}

/// As [`compose`], from these sources alone.
pub fn compose_of<'a>(sources: impl IntoIterator<Item = &'a Params>, key: &str) -> Option<Value> {
    let mut values = sources.into_iter().filter_map(|params| params.get(key));
    let mut composed = values.next()?.clone();
    values.for_each(|value| join(&mut composed, value));
    Some(composed)
}

/// JSON nests no deeper than its reader allows, so this recursion ends.
fn join(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(there) => join(there, value),
                    None => drop(into.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => {}
    }
}

/// What the schema of the param gives as the last resort.
pub fn default<'a>(content: &'a Content, key: &str) -> Option<&'a Value> {
    content.params.get(key)?.schema.get("default")
}

/// Why a param must not have this value; nothing for one that no schema knows.
pub fn problem(content: &Content, key: &str, value: &Value) -> Option<String> {
    content.schemas.problem(key, value).map(|problem| format!("Params: {key}: {problem}"))
}

/// Every param of `new` that its schema refuses, unless it was the same in `old`: a schema that
/// came later is no reason to refuse a change of something else.
pub fn problems(content: &Content, old: &Params, new: &Params) -> Vec<String> {
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    changed.filter_map(|(key, value)| problem(content, key, value)).collect()
}

#[cfg(test)]
mod tests;
