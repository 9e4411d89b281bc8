//! What templates compute with: Go's values as `encoding/json` and sprig make them.

use crate::receiver::Receiver;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

/// How deep lists and maps may lie in each other where a value is printed, compared or stored.
pub const MAX_DEPTH: usize = 128;

/// A value of a template.
///
/// Cloning is cheap: text, lists and maps are shared. Maps stay one map when cloned, as in Go, so
/// that `set` is seen by everyone who holds it.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Go's nil; JSON's null.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// Go's `int`: literals, lengths, sprig's `int`.
    Int(i64),
    /// Go's `int64`: results of sprig's arithmetic. Printed and compared as `Int`, but not accepted
    /// where a function wants `int`.
    Int64(i64),
    /// Go's `float64`: every number of a JSON document.
    Float(f64),
    /// Text. Go's strings are bytes; ours are always UTF-8.
    Text(Arc<str>),
    /// A list, which nobody changes.
    List(List),
    /// A map from text, shared and changeable.
    Map(Map),
    /// An object with fields and methods.
    Receiver(Arc<dyn Receiver>),
}

impl Value {
    /// Text of what can be text.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    /// A value around an object.
    pub fn receiver(receiver: impl Receiver) -> Value {
        Value::Receiver(Arc::new(receiver))
    }

    /// The text, when it is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The name of its Go type, as `%T` and messages show it.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Receiver(receiver) => receiver.type_name(),
        }
    }

    /// Go's truth: nil, zero and what is empty are false, an object is true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) | Value::Int64(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Receiver(_) => true,
        }
    }

    /// The value as JSON: whole numbers without a fraction, an object as its [`Receiver::plain`]
    /// (null when it has none), what JSON cannot say (NaN, infinity, nesting beyond [`MAX_DEPTH`])
    /// as null.
    pub fn to_json(&self) -> serde_json::Value {
        self.json_within(MAX_DEPTH)
    }

    fn json_within(&self, depth: usize) -> serde_json::Value {
        let Some(deeper) = depth.checked_sub(1) else { return serde_json::Value::Null };
        match self {
            Value::Nil => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number) | Value::Int64(number) => (*number).into(),
            Value::Float(number) => json_number(*number),
            Value::Text(text) => (**text).into(),
            Value::List(list) => list.iter().map(|value| value.json_within(deeper)).collect(),
            Value::Map(map) => serde_json::Value::Object(
                map.entries()
                    .into_iter()
                    .map(|(key, value)| (key.as_ref().to_owned(), value.json_within(deeper)))
                    .collect(),
            ),
            Value::Receiver(receiver) => match receiver.plain() {
                Some(plain) => plain.json_within(deeper),
                None => serde_json::Value::Null,
            },
        }
    }
}

/// A float as Go's `encoding/json` writes it: whole numbers without a fraction.
fn json_number(number: f64) -> serde_json::Value {
    // Every whole number of this size fits both types exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, as just checked")]
        return (number as i64).into();
    }
    number.into()
}

impl From<serde_json::Value> for Value {
    /// As `encoding/json` reads a document into `interface{}`: every number is a float.
    fn from(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(truth) => Value::Bool(truth),
            serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Value::text(text),
            serde_json::Value::Array(list) => list.into_iter().map(Value::from).collect(),
            serde_json::Value::Object(map) => Value::Map(map.into_iter().collect()),
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Value {
        Value::from(json.clone())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::text(text)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Value {
        Value::List(List::from(list))
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Value {
        Value::from(values.into_iter().collect::<Vec<_>>())
    }
}

/// A list that nobody changes; clones share it.
#[derive(Clone, Default)]
pub struct List(Arc<Items>);

impl List {
    /// Whether nobody else holds it.
    pub(crate) fn is_fresh(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

#[derive(Default)]
struct Items(Vec<Value>);

impl From<Vec<Value>> for List {
    fn from(list: Vec<Value>) -> List {
        List(Arc::new(Items(list)))
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.0
    }
}

impl Debug for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        drop_flat(std::mem::take(&mut self.0));
    }
}

/// A map from text to values, in the order of its keys. Clones are the same map.
#[derive(Clone, Default)]
pub struct Map(Arc<Entries>);

#[derive(Default)]
struct Entries(RwLock<BTreeMap<Arc<str>, Value>>);

impl Map {
    /// An empty map, which is no other.
    pub fn new() -> Map {
        Map::default()
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.read().get(key).cloned()
    }

    /// Whether there is such a key, even with nil under it.
    pub fn contains(&self, key: &str) -> bool {
        self.read().contains_key(key)
    }

    /// Sets a key. The caller sees to it that the map does not come to lie in itself.
    pub fn insert(&self, key: impl Into<Arc<str>>, value: impl Into<Value>) {
        let old = self.write().insert(key.into(), value.into());
        // The lock is free again before anything else is dropped.
        drop(old);
    }

    /// Takes a key out.
    pub fn remove(&self, key: &str) -> Option<Value> {
        self.write().remove(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys, sorted.
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.read().keys().cloned().collect()
    }

    /// Keys and values as they are now, sorted by key.
    pub fn entries(&self) -> Vec<(Arc<str>, Value)> {
        self.read().iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect()
    }

    /// Whether both are one map.
    pub fn is(&self, other: &Map) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody else holds it.
    pub(crate) fn is_fresh(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Arc<str>, Value>> {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Arc<str>, Value>> {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Map {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Map(Arc::new(Entries(RwLock::new(entries))))
    }
}

impl Debug for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let entries = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop_flat(std::mem::take(entries).into_values().collect());
    }
}

/// Drops values without recursion: a template can nest maps deeper than any stack.
fn drop_flat(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => {
                if let Some(mut items) = Arc::into_inner(list.0) {
                    pending.append(&mut items.0);
                }
            }
            Value::Map(map) => {
                if let Some(mut entries) = Arc::into_inner(map.0) {
                    let entries = entries.0.get_mut().unwrap_or_else(PoisonError::into_inner);
                    pending.extend(std::mem::take(entries).into_values());
                }
            }
            Value::Nil
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Int64(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Receiver(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_survives_and_numbers_are_floats() {
        let document = json!({"a": [1, 2.5, null, true], "b": {"c": "d"}, "e": 1e300});
        let value = Value::from(&document);
        assert_eq!(value.to_json(), document);
        let Value::Map(map) = &value else { panic!("{value:?}") };
        let Some(Value::List(list)) = map.get("a") else { panic!("{value:?}") };
        assert!(matches!(list.first(), Some(Value::Float(1.0))));
    }

    #[test]
    fn clones_of_a_map_are_one_map() {
        let map = Map::new();
        let other = map.clone();
        other.insert("a", 1);
        assert!(map.contains("a") && map.is(&other) && !map.is(&Map::new()));
    }

    #[test]
    fn the_deepest_values_are_dropped_without_a_stack() {
        let mut value = Value::Nil;
        for level in 0..1_000_000 {
            value = if level % 2 == 0 {
                Value::from(vec![value])
            } else {
                Value::Map([("a", value)].into_iter().collect())
            };
        }
        assert_eq!(value.clone().json_within(2), json!({"a": [null]}));
        drop(value);
    }

    #[test]
    fn truth_is_as_in_go() {
        for (json, truth) in [
            (json!(null), false),
            (json!(0), false),
            (json!(0.5), true),
            (json!(""), false),
            (json!("0"), true),
            (json!([]), false),
            (json!([null]), true),
            (json!({}), false),
            (json!(false), false),
        ] {
            assert_eq!(Value::from(&json).is_true(), truth, "{json}");
        }
    }
}
