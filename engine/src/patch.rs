//! Changes to an object as clients write them: JSON Patch (RFC 6902), or an object whose fields
//! are set and whose `Params` are merged (`spec/machine-model.md` 3.9.3, 5.3).
//!
//! Nothing of a patch that fails is kept. Digital Rebar's client sends `from` with every
//! operation, which is looked at in `move` and `copy` alone, and begins with a `test` of the whole
//! object; numbers are the same when they have the same value, since that client writes 1 for 1.0.

use crate::problem::{Problem, ProblemKind};
use json_patch::{PatchOperation, patch_unsafe};
use protocol::model::Kind;
use serde_json::{Map, Value};

/// Most operations of a patch.
pub const MAX_OPERATIONS: usize = 10_000;
/// Largest growth of a patched object, in bytes of text, roughly: `copy` could double it each time.
pub const MAX_GROWTH: usize = 4 * 1_024 * 1_024;

/// A body that is no patch at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Neither a list of operations nor an object.
    #[error("a patch is a list of RFC 6902 operations, or an object with the fields to set")]
    Shape,
    /// An element of the list is no operation.
    #[error("operation {index} of the patch is not one of RFC 6902: {reason}")]
    Operation {
        /// Its place, counted from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Too many.
    #[error("the patch has {0} operations, at most {MAX_OPERATIONS} are taken; send several patches")]
    TooMany(usize),
}

/// A change that a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// RFC 6902.
    Operations(Vec<PatchOperation>),
    /// Fields to set; `Params` are merged name by name.
    Fields(Map<String, Value>),
}

impl Patch {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is no patch.
    pub fn parse(body: Value) -> Result<Self, PatchError> {
        match body {
            Value::Object(fields) => Ok(Self::Fields(fields)),
            Value::Array(list) => operations(list).map(Self::Operations),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(PatchError::Shape),
        }
    }

    /// The object after the patch. A `test` of the whole object does not look at the members of
    /// `volatile`, which change by themselves.
    ///
    /// # Errors
    /// [`ProblemKind::PatchFailed`] when a test fails or a path leads nowhere;
    /// [`ProblemKind::Invalid`] when the object would grow beyond [`MAX_GROWTH`].
    pub fn apply(&self, to: &Target<'_>, object: Value) -> Result<Value, Problem> {
        match self {
            Self::Operations(operations) => to.run(operations, object),
            Self::Fields(fields) => Ok(to.merge(fields, object)),
        }
    }
}

fn operations(list: Vec<Value>) -> Result<Vec<PatchOperation>, PatchError> {
    if list.len() > MAX_OPERATIONS {
        return Err(PatchError::TooMany(list.len()));
    }
    let read = |(index, value)| {
        serde_json::from_value(value)
            .map_err(|error| PatchError::Operation { index, reason: error.to_string() })
    };
    list.into_iter().enumerate().map(read).collect()
}

/// What is patched.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Type of the object.
    pub model: Kind,
    /// Its key.
    pub key: &'a str,
    /// Members that change by themselves.
    pub volatile: &'a [&'a str],
}

impl Target<'_> {
    fn run(&self, operations: &[PatchOperation], mut object: Value) -> Result<Value, Problem> {
        let mut growth = 0_usize;
        for (index, operation) in operations.iter().enumerate() {
            growth = growth.saturating_add(added(operation, &object));
            if growth > MAX_GROWTH {
                let message = format!("the patch adds more than {MAX_GROWTH} bytes; send several patches");
                return Err(Problem::new(ProblemKind::Invalid, self.model, self.key, message));
            }
            let applied = match operation {
                PatchOperation::Test(test) => match object.pointer(test.path.as_str()) {
                    Some(found) if self.same(test.path.is_root(), found, &test.value) => Ok(()),
                    Some(_) => Err("the value is another one".to_owned()),
                    None => Err("there is nothing at this path".to_owned()),
                },
                PatchOperation::Add(_)
                | PatchOperation::Remove(_)
                | PatchOperation::Replace(_)
                | PatchOperation::Move(_)
                | PatchOperation::Copy(_) => patch_unsafe(&mut object, std::slice::from_ref(operation))
                    .map_err(|error| error.kind.to_string()),
            };
            applied.map_err(|reason| {
                let message = format!(
                    "operation {index} of the patch does not fit at {:?}: {reason}",
                    beginning(operation.path().as_str())
                );
                Problem::new(ProblemKind::PatchFailed, self.model, self.key, message)
            })?;
        }
        Ok(object)
    }

    /// Whether a test holds.
    fn same(&self, whole: bool, found: &Value, expected: &Value) -> bool {
        match (found, expected) {
            (Value::Object(found), Value::Object(expected)) if whole => {
                let counts = |name: &str| !self.volatile.contains(&name);
                let mut names = found.keys().chain(expected.keys()).filter(|name| counts(name));
                names.all(|name| match (found.get(name), expected.get(name)) {
                    (Some(one), Some(other)) => equal(one, other),
                    (None, _) | (_, None) => false,
                })
            }
            (found, expected) => equal(found, expected),
        }
    }

    fn merge(&self, fields: &Map<String, Value>, mut object: Value) -> Value {
        let Some(members) = object.as_object_mut() else { return object };
        for (written, value) in fields {
            if value.is_null() {
                continue;
            }
            let name = crate::fields::name(self.model, written).unwrap_or(written);
            match (members.get_mut(name), value) {
                (Some(Value::Object(params)), Value::Object(more)) if name == "Params" => {
                    params.extend(more.iter().map(|(param, value)| (param.clone(), value.clone())));
                }
                _ => {
                    members.insert(name.to_owned(), value.clone());
                }
            }
        }
        object
    }
}

/// How much an operation can add, in bytes of text.
fn added(operation: &PatchOperation, object: &Value) -> usize {
    match operation {
        PatchOperation::Copy(copy) => object.pointer(copy.from.as_str()).map_or(0, size),
        PatchOperation::Add(add) => size(&add.value),
        PatchOperation::Replace(replace) => size(&replace.value),
        PatchOperation::Remove(_) | PatchOperation::Move(_) | PatchOperation::Test(_) => 0,
    }
}

/// Roughly the bytes of a value as text.
fn size(value: &Value) -> usize {
    const EACH: usize = 8;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => EACH,
        Value::String(text) => text.len() + EACH,
        Value::Array(list) => list.iter().map(size).sum::<usize>() + EACH,
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + EACH + size(value)).sum::<usize>() + EACH
        }
    }
}

/// Whether two values mean the same: 1 is 1.0.
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|same| equal(value, same)))
        }
        (one, other) => one == other,
    }
}

/// As much of a path as a message shows.
fn beginning(path: &str) -> String {
    path.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const TARGET: Target<'_> = Target { model: Kind::Machines, key: "k", volatile: &["Online"] };

    fn patched(object: Value, patch: Value) -> Result<Value, Problem> {
        Patch::parse(patch).unwrap().apply(&TARGET, object)
    }

    #[test]
    fn operations_apply_in_order_or_not_at_all() {
        let object = json!({"Tasks": ["a", "b"], "Params": {"x/y": 1}});
        let patch = json!([
            {"op": "add", "path": "/Tasks/1", "value": "c", "from": ""},
            {"op": "remove", "path": "/Tasks/0", "from": ""},
            {"op": "replace", "path": "/Params/x~1y", "value": null},
            {"op": "move", "from": "/Tasks/0", "path": "/Tasks/-"},
        ]);
        assert_eq!(
            patched(object.clone(), patch).unwrap(),
            json!({"Tasks": ["b", "c"], "Params": {"x/y": null}})
        );
        let fails = json!([
            {"op": "replace", "path": "/Tasks", "value": []},
            {"op": "replace", "path": "/Nothing", "value": 1},
        ]);
        let problem = patched(object, fails).unwrap_err();
        assert_eq!((problem.kind, problem.key.as_str()), (ProblemKind::PatchFailed, "k"));
    }

    #[test]
    fn test_of_the_whole_object_ignores_what_changes_by_itself() {
        let object = json!({"Name": "a", "Weight": 1.0, "Online": true});
        let test = |value: Value| json!([{"op": "test", "path": "", "from": "", "value": value}]);
        assert!(patched(object.clone(), test(json!({"Name": "a", "Weight": 1}))).is_ok());
        assert!(patched(object.clone(), test(json!({"Name": "a", "Weight": 1, "Online": false}))).is_ok());
        assert!(patched(object.clone(), test(json!({"Name": "b", "Weight": 1}))).is_err());
        assert!(patched(object, test(json!({"Name": "a", "Weight": 1, "More": 0}))).is_err());
    }

    #[test]
    fn object_sets_fields_and_merges_params() {
        let object = json!({"Name": "a", "Params": {"x": 1, "y": 2}, "Description": "old"});
        let patch = json!({"description": "new", "Params": {"y": 3, "z": null}, "Name": null});
        let merged = json!({"Name": "a", "Params": {"x": 1, "y": 3, "z": null}, "Description": "new"});
        assert_eq!(patched(object, patch).unwrap(), merged);
    }

    #[test]
    fn copies_do_not_grow_without_end() {
        let copy = json!({"op": "copy", "from": "", "path": "/a/0"});
        let bomb = Value::Array(vec![copy; 64]);
        assert_eq!(patched(json!({"a": ["seed"]}), bomb).unwrap_err().kind, ProblemKind::Invalid);
    }

    #[test]
    fn what_is_no_patch_is_told() {
        assert_eq!(Patch::parse(json!("a")), Err(PatchError::Shape));
        for wrong in [
            json!([{"op": "increase", "path": "/a"}]),
            json!([{"op": "add", "path": "no-slash", "value": 1}]),
            json!([{"op": "move", "path": "/a"}]),
            json!([3]),
        ] {
            assert!(matches!(Patch::parse(wrong), Err(PatchError::Operation { index: 0, .. })));
        }
        let many = Value::Array(vec![json!({"op": "remove", "path": "/a"}); MAX_OPERATIONS + 1]);
        assert_eq!(Patch::parse(many), Err(PatchError::TooMany(MAX_OPERATIONS + 1)));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c/~0-1-]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn operation() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "other"]);
        let path = "(/[a-c~01-]{0,2}){0,3}";
        (word, path, path, json())
            .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
    }

    proptest! {
        #[test]
        fn patching_is_total(object in json(), patch in prop::collection::vec(operation(), 0..6)) {
            if let Ok(patch) = Patch::parse(Value::Array(patch)) {
                let _patched: Result<Value, Problem> = patch.apply(&TARGET, object);
            }
        }

        #[test]
        fn any_body_is_a_patch_or_refused(body in json(), object in json()) {
            if let Ok(patch) = Patch::parse(body) {
                let _patched: Result<Value, Problem> = patch.apply(&TARGET, object);
            }
        }

        #[test]
        fn object_equals_itself_and_passes_its_own_test(object in json()) {
            let test = json!([{"op": "test", "path": "", "value": object}]);
            prop_assert_eq!(patched(object.clone(), test).unwrap(), object);
        }
    }
}
