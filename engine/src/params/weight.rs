//! What it costs to hold values against a schema, known before anything is compiled.
//!
//! References are what makes a small schema expensive: thirty definitions that each name the next
//! one twice are a thousand million, and one that names itself never ends. So a schema weighs what
//! it would weigh written out, and must not be part of itself.

use crate::prerequisites::{self, NeedsError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most JSON values of a schema written out.
const MAX_VALUES: u64 = 100_000;
/// Most patterns of a schema written out: each takes memory when it is compiled.
const MAX_PATTERNS: u64 = 100;
/// The schema itself, as references name it.
const ROOT: &str = "#";
/// Members that are data, whatever they look like.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Why a schema is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WeightError {
    /// It is larger than [`MAX_VALUES`] written out.
    #[error("written out it has more than {MAX_VALUES} values")]
    Values,
    /// It has more patterns than [`MAX_PATTERNS`].
    #[error("written out it has more than {MAX_PATTERNS} patterns")]
    Patterns,
    /// A definition refers to itself.
    #[error("{0} is part of itself; schemas must end")]
    Circle(String),
    /// A reference that is not `#` or `#/...`.
    #[error("the reference {0:?} leads elsewhere; schemas must be whole in themselves")]
    Elsewhere(String),
    /// A reference to nothing.
    #[error("the reference {0:?} leads nowhere")]
    Nowhere(String),
}

/// What a part of a schema has, without what it refers to.
#[derive(Debug, Default)]
struct Part {
    values: u64,
    patterns: u64,
    /// Each reference as often as it is there.
    references: Vec<String>,
}

/// Whether a schema costs no more than it may.
pub(super) fn check(schema: &Value) -> Result<(), WeightError> {
    let parts = parts(schema)?;
    let refers = |place: &str| parts.get(place).map_or(&[][..], |part: &Part| &part.references);
    prerequisites::check(ROOT, refers).map_err(|error| match error {
        NeedsError::Circle(circle) => WeightError::Circle(circle.into_iter().next().unwrap_or_default()),
        NeedsError::TooMany => WeightError::Values,
    })?;
    // What a part refers to comes before it, so that its weight is known.
    let mut whole: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for place in prerequisites::in_order(ROOT, &BTreeSet::new(), refers) {
        let Some(part) = parts.get(place) else { continue };
        let (mut values, mut patterns) = (part.values, part.patterns);
        for named in part.references.iter().filter_map(|named| whole.get(named.as_str())) {
            values = values.saturating_add(named.0);
            patterns = patterns.saturating_add(named.1);
        }
        if values > MAX_VALUES {
            return Err(WeightError::Values);
        }
        if patterns > MAX_PATTERNS {
            return Err(WeightError::Patterns);
        }
        whole.insert(place, (values, patterns));
    }
    Ok(())
}

/// The schema, and each part of it that is referred to, by the reference.
fn parts(schema: &Value) -> Result<BTreeMap<String, Part>, WeightError> {
    let mut parts = BTreeMap::new();
    let mut next = vec![ROOT.to_owned()];
    let mut looked_at = 0_u64;
    while let Some(place) = next.pop() {
        if parts.contains_key(&place) {
            continue;
        }
        let mut part = Part::default();
        part.look(target(schema, &place)?, place != ROOT)?;
        // Parts may lie in one another, so looking at each costs more than the schema is long.
        looked_at = looked_at.saturating_add(part.values);
        if looked_at > MAX_VALUES {
            return Err(WeightError::Values);
        }
        next.extend(part.references.iter().cloned());
        parts.insert(place, part);
    }
    Ok(parts)
}

fn target<'a>(schema: &'a Value, place: &str) -> Result<&'a Value, WeightError> {
    let nowhere = || WeightError::Nowhere(place.to_owned());
    match place.strip_prefix('#') {
        Some("") => Ok(schema),
        Some(pointer) if pointer.starts_with('/') && !pointer.contains('%') => {
            schema.pointer(pointer).ok_or_else(nowhere)
        }
        Some(_) | None => Err(WeightError::Elsewhere(place.to_owned())),
    }
}

impl Part {
    /// `inner`: below the schema itself, where an id of its own changes what references mean. JSON
    /// nests no deeper than its reader allows, so this recursion ends.
    fn look(&mut self, value: &Value, inner: bool) -> Result<(), WeightError> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES {
            return Err(WeightError::Values);
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
            Value::Array(items) => items.iter().try_for_each(|item| self.look(item, true)),
            Value::Object(members) => {
                let renamed =
                    inner && ["$id", "id"].iter().any(|id| members.get(*id).is_some_and(Value::is_string));
                let before = self.references.len();
                for (name, member) in members {
                    self.member(name, member)?;
                }
                match self.references.get(before) {
                    Some(reference) if renamed => Err(WeightError::Elsewhere(reference.clone())),
                    Some(_) | None => Ok(()),
                }
            }
        }
    }

    fn member(&mut self, name: &str, member: &Value) -> Result<(), WeightError> {
        match (name, member) {
            ("$ref", Value::String(place)) => self.references.push(place.clone()),
            ("$dynamicRef" | "$recursiveRef", Value::String(place)) => {
                return Err(WeightError::Elsewhere(place.clone()));
            }
            ("pattern", Value::String(_)) => self.patterns = self.patterns.saturating_add(1),
            ("patternProperties", Value::Object(patterns)) => {
                self.patterns =
                    self.patterns.saturating_add(u64::try_from(patterns.len()).unwrap_or(u64::MAX));
            }
            _ => {}
        }
        if DATA.contains(&name) { Ok(()) } else { self.look(member, true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    /// Definitions `d0` to `d{count}`, each with the next one twice.
    fn doubling(count: usize, last: Value) -> Value {
        let mut definitions = Map::new();
        for number in 0..count {
            let next = format!("#/definitions/d{}", number + 1);
            definitions.insert(format!("d{number}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
        }
        definitions.insert(format!("d{count}"), last);
        json!({"definitions": definitions, "$ref": "#/definitions/d0"})
    }

    #[test]
    fn ordinary_schemas_weigh_what_they_are() {
        for schema in [
            json!({"type": "string", "default": "x"}),
            json!(true),
            json!({"definitions": {"a": {"type": "string"}}, "properties": {"a": {"$ref": "#/definitions/a"},
                "$ref": {"type": "string"}, "id": {"type": "string"}}}),
            json!({"$id": "https://example.org/a", "items": {"$id": "b", "type": "string"}}),
            json!({"default": {"$ref": "https://example.org"}, "enum": [{"$ref": "x"}]}),
            doubling(3, json!({"pattern": "^a"})),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn small_schemas_that_unfold_are_refused() {
        assert_eq!(check(&doubling(40, json!({"type": "string"}))), Err(WeightError::Values));
        assert_eq!(check(&doubling(8, json!({"pattern": "^a"}))), Err(WeightError::Patterns));
        let many: Vec<Value> = (0..101).map(|number| json!({"pattern": format!("^{number}")})).collect();
        assert_eq!(check(&json!({"anyOf": many})), Err(WeightError::Patterns));
        assert_eq!(check(&json!({"enum": [1], "anyOf": vec![json!({}); 100_001]})), Err(WeightError::Values));
    }

    #[test]
    fn what_is_part_of_itself_is_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"items": {"$ref": "#"}}),
            json!({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"items": {"$ref": "#/definitions/a"}}},
                "$ref": "#/definitions/a"}),
        ] {
            assert!(matches!(check(&schema), Err(WeightError::Circle(_))), "{schema}");
        }
    }

    #[test]
    fn references_stay_within_the_schema() {
        for (schema, error) in [
            (json!({"$ref": "https://example.org/a"}), "Elsewhere"),
            (json!({"$ref": "#name"}), "Elsewhere"),
            (json!({"$dynamicRef": "#a"}), "Elsewhere"),
            (json!({"items": {"$id": "b", "items": {"$ref": "#/definitions/a"}}}), "Elsewhere"),
            (json!({"$ref": "#/definitions/gone"}), "Nowhere"),
        ] {
            assert!(format!("{:?}", check(&schema).unwrap_err()).starts_with(error), "{schema}");
        }
    }

    #[test]
    fn parts_within_parts_are_not_looked_at_for_ever() {
        let mut nested = json!({"type": "string"});
        let mut place = String::from("#");
        let mut named = Vec::new();
        for _ in 0..50 {
            nested = json!({"items": nested, "anyOf": vec![json!({}); 100]});
            place.push_str("/items");
            named.push(json!({"$ref": place.clone()}));
        }
        nested["x"] = json!(named);
        assert!(matches!(check(&nested), Err(WeightError::Values | WeightError::Circle(_))));
    }
}
