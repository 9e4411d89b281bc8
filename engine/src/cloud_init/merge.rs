//! The configurations of a machine's roles as one: the rules of `docs/roles.md`.
//!
//! Lowest priority first. Maps merge key by key; of scalars, and of values of different sorts, the higher
//! wins. Lists are joined, the lower ones' entries first; what a lower one has already is not said again.
//! Entries of `users` are merged by `name`, those of `write_files` are replaced by `path`. A role replaces
//! what is below it where it says so: `muster_merge: {KEY: replace}`.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where a role says how its keys join those below it.
pub(super) const DIRECTIVES: &str = "muster_merge";
/// The one thing that it can say.
const REPLACE: &str = "replace";
/// As much of a key as a message shows, in characters.
const MAX_SHOWN: usize = 64;

/// The configuration of one role.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Who says it, in words: `role web`.
    pub from: String,
    /// What.
    pub document: Map<String, Value>,
}

/// Something that is wrong with what somebody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Who says it, in words: `role web`.
    pub from: String,
    /// The whole sentence. It may hold what a template made of a secret.
    pub told: String,
}

/// Several configurations as one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merged {
    /// It.
    pub document: Map<String, Value>,
    /// Who gave each of its keys, the lowest first.
    pub sources: BTreeMap<String, Vec<String>>,
}

/// How the entries of a list find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// By being the same.
    Same,
    /// Maps of the same value here are merged.
    MergedBy(&'static str),
    /// Of maps of the same value here the higher wins.
    ReplacedBy(&'static str),
}

impl Entries {
    fn of(key: &str) -> Self {
        match key {
            "users" => Self::MergedBy("name"),
            "write_files" => Self::ReplacedBy("path"),
            _ => Self::Same,
        }
    }

    /// The lower entry that a higher one is about.
    fn find(self, lower: &[Value], entry: &Value) -> Option<usize> {
        let by = match self {
            Self::Same => None,
            Self::MergedBy(field) | Self::ReplacedBy(field) => {
                entry.get(field).filter(|name| name.is_string())
            }
        };
        let field = match self {
            Self::Same => "",
            Self::MergedBy(field) | Self::ReplacedBy(field) => field,
        };
        let same = lower.iter().position(|known| known == entry);
        same.or_else(|| lower.iter().position(|known| by.is_some() && known.get(field) == by))
    }
}

/// Merges configurations, the lowest first.
///
/// # Errors
/// What layers say of merging that cannot be done.
pub fn merge(layers: impl IntoIterator<Item = Layer>) -> Result<Merged, Vec<Fault>> {
    let mut merged = Merged::default();
    let mut faults = Vec::new();
    for Layer { from, mut document } in layers {
        let replaced = match directives(&mut document) {
            Ok(replaced) => replaced,
            Err(problem) => {
                let told = format!("{from}: {DIRECTIVES}: {problem}");
                faults.push(Fault { from, told });
                continue;
            }
        };
        for (key, value) in document {
            if replaced.contains(&key) {
                merged.document.remove(&key);
                merged.sources.remove(&key);
            }
            merged.sources.entry(key.clone()).or_default().push(from.clone());
            let entries = Entries::of(&key);
            match merged.document.get_mut(&key) {
                Some(lower) => join(lower, value, entries),
                None => drop(merged.document.insert(key, value)),
            }
        }
    }
    if faults.is_empty() { Ok(merged) } else { Err(faults) }
}

/// The keys that a layer replaces; takes what it says of merging out of it.
fn directives(document: &mut Map<String, Value>) -> Result<Vec<String>, String> {
    let said = match document.remove(DIRECTIVES) {
        None => return Ok(Vec::new()),
        Some(Value::Object(said)) => said,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(format!("must be a map, such as {{packages: {REPLACE}}}"));
        }
    };
    for (key, how) in &said {
        let shown: String = key.chars().take(MAX_SHOWN).collect();
        if how != REPLACE {
            return Err(format!("{shown:?}: the only word there is is {REPLACE}"));
        }
        if !document.contains_key(key) {
            return Err(format!("{shown:?}: there is nothing to put in its place; an empty list is nothing"));
        }
    }
    Ok(said.into_iter().map(|(key, _)| key).collect())
}

/// Both come of readers that allow no more than 64 levels, so this recursion ends.
fn join(lower: &mut Value, higher: Value, entries: Entries) {
    match (lower, higher) {
        (Value::Object(lower), Value::Object(higher)) => {
            for (key, value) in higher {
                match lower.get_mut(&key) {
                    Some(known) => join(known, value, Entries::Same),
                    None => drop(lower.insert(key, value)),
                }
            }
        }
        (Value::Array(lower), Value::Array(higher)) => append(lower, higher, entries),
        (lower, higher) => *lower = higher,
    }
}

/// What a list says twice by itself stays: its author wanted it.
fn append(lower: &mut Vec<Value>, higher: Vec<Value>, entries: Entries) {
    let known = lower.len();
    for entry in higher {
        let below = lower.get(..known).and_then(|below| entries.find(below, &entry));
        match (below.and_then(|at| lower.get_mut(at)), entries) {
            (None, _) => lower.push(entry),
            (Some(_), Entries::Same) => {}
            (Some(same), Entries::MergedBy(_)) => join(same, entry, Entries::Same),
            (Some(same), Entries::ReplacedBy(_)) => *same = entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn layer(from: &str, document: Value) -> Layer {
        Layer { from: from.to_owned(), document: document.as_object().unwrap().clone() }
    }

    fn merged(layers: &[Value]) -> Value {
        let layers = layers.iter().map(|document| layer("x", document.clone()));
        Value::Object(merge(layers).unwrap().document)
    }

    #[test]
    fn maps_merge_and_the_higher_scalar_wins() {
        assert_eq!(
            merged(&[
                json!({"a": {"x": 1, "y": 1}, "b": 1, "c": [1], "d": {"e": 1}}),
                json!({"a": {"y": 2, "z": 2}, "b": 2, "c": "text", "d": null}),
            ]),
            json!({"a": {"x": 1, "y": 2, "z": 2}, "b": 2, "c": "text", "d": null})
        );
    }

    #[test]
    fn lists_are_joined_and_say_nothing_again() {
        assert_eq!(
            merged(&[
                json!({"packages": ["a", "b"], "runcmd": ["x", "x"], "deep": {"l": [1]}}),
                json!({"packages": ["b", "c"], "runcmd": ["y", "y", "x"], "deep": {"l": [2, 1]}}),
            ]),
            json!({"packages": ["a", "b", "c"], "runcmd": ["x", "x", "y", "y"], "deep": {"l": [1, 2]}})
        );
    }

    #[test]
    fn users_merge_by_name_and_files_are_replaced_by_path() {
        assert_eq!(
            merged(&[
                json!({
                    "users": ["default", {"name": "eve", "shell": "/bin/sh", "groups": ["a"]}],
                    "write_files": [{"path": "/a", "content": "1", "encoding": "b64"}, {"path": "/b"}],
                }),
                json!({
                    "users": ["default", {"name": "eve", "shell": "/bin/bash", "groups": ["b"]}, {"name": "bob"}],
                    "write_files": [{"path": "/a", "content": "2"}, {"path": "/c"}],
                }),
            ]),
            json!({
                "users": ["default", {"name": "eve", "shell": "/bin/bash", "groups": ["a", "b"]}, {"name": "bob"}],
                "write_files": [{"path": "/a", "content": "2"}, {"path": "/b"}, {"path": "/c"}],
            })
        );
    }

    #[test]
    fn role_replaces_what_is_below_it_where_it_says_so() {
        let layers = [
            layer("role base", json!({"packages": ["a"], "runcmd": ["x"]})),
            layer(
                "role web",
                json!({"packages": ["b"], "runcmd": ["y"], "muster_merge": {"packages": "replace"}}),
            ),
            layer("role top", json!({"packages": ["c"]})),
        ];
        let merged = merge(layers).unwrap();
        assert_eq!(Value::Object(merged.document), json!({"packages": ["b", "c"], "runcmd": ["x", "y"]}));
        assert_eq!(merged.sources["packages"], ["role web", "role top"]);
        assert_eq!(merged.sources["runcmd"], ["role base", "role web"]);
        for (directive, told) in [
            (json!(["packages"]), "role web: muster_merge: must be a map"),
            (json!({"packages": "append"}), "role web: muster_merge: \"packages\": the only word"),
            (json!({"users": "replace"}), "role web: muster_merge: \"users\": there is nothing"),
        ] {
            let faults = merge([layer("role web", json!({"packages": [], "muster_merge": directive}))]);
            let fault = &faults.unwrap_err()[0];
            assert_eq!(fault.from, "role web");
            assert!(fault.told.starts_with(told), "{told}");
        }
    }

    fn any_document() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("name|path|[ab]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("users|write_files|[abc]", value, 0..4)
            .prop_map(|map| map.into_iter().collect())
    }

    fn of(documents: &[&Map<String, Value>]) -> Map<String, Value> {
        let layers =
            documents.iter().map(|document| Layer { from: "x".to_owned(), document: (*document).clone() });
        merge(layers).unwrap().document
    }

    proptest! {
        #[test]
        fn nothing_changes_nothing(document in any_document()) {
            let nothing = Map::new();
            prop_assert_eq!(&of(&[&document, &nothing]), &document);
            prop_assert_eq!(&of(&[&nothing, &document]), &document);
        }

        /// What the higher one says as a scalar holds, whatever is below it.
        #[test]
        fn higher_scalars_win(lower in any_document(), higher in any_document()) {
            let merged = of(&[&lower, &higher]);
            for (key, value) in &higher {
                if !value.is_object() && !value.is_array() {
                    prop_assert_eq!(merged.get(key), Some(value));
                }
            }
            let keys: std::collections::BTreeSet<_> = lower.keys().chain(higher.keys()).collect();
            prop_assert_eq!(merged.keys().collect::<std::collections::BTreeSet<_>>(), keys);
        }

        /// Plain lists begin with what the lower one has, and have everything of the higher one.
        #[test]
        fn lists_lose_nothing(lower in prop::collection::vec("[abc]", 0..5), higher in prop::collection::vec("[abc]", 0..5)) {
            let list = |entries: &[String]| json!({"l": entries}).as_object().unwrap().clone();
            let merged = of(&[&list(&lower), &list(&higher)]);
            let merged: Vec<String> = serde_json::from_value(merged["l"].clone()).unwrap();
            prop_assert!(merged.starts_with(&lower));
            prop_assert!(higher.iter().all(|entry| merged.contains(entry)));
            prop_assert!(merged.len() <= lower.len() + higher.len());
        }

        /// Merging the same once more changes nothing.
        #[test]
        fn again_changes_nothing(lower in any_document(), higher in any_document()) {
            let once = of(&[&lower, &higher]);
            prop_assert_eq!(of(&[&once, &higher]), once);
        }
    }
}
