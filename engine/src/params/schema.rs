//! JSON Schemas of params, compiled once and kept with the content that has them.
//!
//! Schemas come from outside: what one costs is weighed before it is compiled, one that refers to
//! another document is refused, since nothing here fetches anything, and patterns run in an engine
//! whose time is bounded by the value's length.

use super::weight;
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Most bytes that a compiled pattern takes.
const MAX_PATTERN: usize = 1_024 * 1_024;

/// Why a text is no schema that values can be held against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no schema.
    #[error("Schema is not valid: {0}")]
    Invalid(String),
    /// Its own default breaks it.
    #[error("Schema has a default that it refuses itself: {0}")]
    Default(String),
}

/// The schemas of all params, by the param's name. A clone shares what is compiled.
#[derive(Clone, Default)]
pub struct Schemas(BTreeMap<String, Arc<Schema>>);

struct Schema {
    text: Value,
    compiled: OnceLock<Option<Validator>>,
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Schemas {
    /// The schema of a param; it is compiled when it is first needed.
    pub(crate) fn put(&mut self, param: &str, schema: &Value) {
        if schema.is_null() {
            self.0.remove(param);
        } else {
            let schema = Schema { text: schema.clone(), compiled: OnceLock::new() };
            self.0.insert(param.to_owned(), Arc::new(schema));
        }
    }

    /// There is no such param any more.
    pub(crate) fn remove(&mut self, param: &str) {
        self.0.remove(param);
    }

    /// Why the param's schema refuses a value.
    pub fn problem(&self, param: &str, value: &Value) -> Option<String> {
        let schema = self.0.get(param)?;
        // What does not compile never came in by the front door; it is the param's error, not the value's.
        let validator = schema.compiled.get_or_init(|| compile(&schema.text).ok());
        validator.as_ref()?.validate(value).err().map(|error| told(&error))
    }
}

/// Whether values can be held against a schema, and its default against it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(schema: &Value) -> Result<(), SchemaError> {
    if schema.is_null() {
        return Ok(());
    }
    let validator = compile(schema)?;
    match schema.get("default").map(|default| validator.validate(default)) {
        Some(Err(error)) => Err(SchemaError::Default(told(&error))),
        Some(Ok(())) | None => Ok(()),
    }
}

/// A schema that does not say of which draft it is, is one of draft 7, or else of draft 4: they
/// differ in `exclusiveMinimum` and its like, of which content has both.
fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    weight::check(schema).map_err(|error| SchemaError::Invalid(error.to_string()))?;
    let says = schema.get("$schema").is_some();
    let options = || {
        jsonschema::options()
            .with_retriever(Nowhere)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN))
    };
    let built = if says {
        options().build(schema)
    } else {
        let newer = options().with_draft(Draft::Draft7).build(schema);
        newer.or_else(|error| options().with_draft(Draft::Draft4).build(schema).map_err(|_| error))
    };
    built.map_err(|error| SchemaError::Invalid(told(&error)))
}

/// What is wrong and where, without the value: it may be a secret.
fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let masked = error.masked().to_string();
    if place.is_empty() { masked } else { format!("{masked} at {place}") }
}

/// Fetches nothing.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is another document; schemas must be whole in themselves").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schemas(schema: &Value) -> Schemas {
        let mut schemas = Schemas::default();
        schemas.put("p", schema);
        schemas
    }

    #[test]
    fn value_is_held_against_its_schema() {
        let known = schemas(&json!({"type": "string", "minLength": 2}));
        assert_eq!(known.problem("p", &json!("ab")), None);
        assert!(known.problem("p", &json!("a")).is_some());
        assert!(known.problem("p", &json!(["ab"])).unwrap().contains("is not of type"));
        assert_eq!(known.problem("q", &json!(1)), None);
        assert_eq!(schemas(&Value::Null).problem("p", &json!(1)), None);
    }

    #[test]
    fn refusal_says_where_but_not_which_value() {
        let known = schemas(&json!({"type": "object", "properties": {"pin": {"type": "integer"}}}));
        let problem = known.problem("p", &json!({"pin": "hunter2"})).unwrap();
        assert!(problem.ends_with("at /pin"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn schema_must_be_one_and_its_default_must_satisfy_it() {
        assert_eq!(check(&Value::Null), Ok(()));
        assert_eq!(check(&json!({"type": "string", "default": "a"})), Ok(()));
        assert!(matches!(check(&json!({"type": "text"})), Err(SchemaError::Invalid(_))));
        assert!(matches!(check(&json!("text")), Err(SchemaError::Invalid(_))));
        assert!(matches!(check(&json!({"type": "string", "default": 1})), Err(SchemaError::Default(_))));
    }

    #[test]
    fn both_manners_of_exclusive_limits_are_understood() {
        let newer = schemas(&json!({"type": "number", "exclusiveMinimum": 3}));
        let older = schemas(&json!({"type": "number", "minimum": 3, "exclusiveMinimum": true}));
        let named = schemas(&json!({
            "$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": true
        }));
        for known in [newer, older, named] {
            assert!(known.problem("p", &json!(3)).is_some());
            assert_eq!(known.problem("p", &json!(4)), None);
        }
    }

    #[test]
    fn schema_refers_to_no_other_document() {
        for place in ["http://127.0.0.1:1/s.json", "file:///etc/passwd", "https://example.org/s#/a"] {
            assert!(matches!(check(&json!({"$ref": place})), Err(SchemaError::Invalid(_))), "{place}");
            let named = json!({"$schema": place, "type": "string"});
            assert!(matches!(check(&named), Err(SchemaError::Invalid(_))), "{place}");
        }
        let own = json!({"definitions": {"a": {"type": "string"}}, "$ref": "#/definitions/a"});
        assert_eq!(check(&own), Ok(()));
    }

    #[test]
    fn patterns_take_bounded_time_and_space() {
        let slow = schemas(&json!({"pattern": "^(a+)+$"}));
        assert!(slow.problem("p", &json!(format!("{}!", "a".repeat(50_000)))).is_some());
        assert!(matches!(
            check(&json!({"pattern": "((a{1000}){1000}){1000}"})),
            Err(SchemaError::Invalid(_))
        ));
    }

    #[test]
    fn schema_that_costs_too_much_is_no_schema() {
        let own = json!({"items": {"$ref": "#"}});
        let error = check(&own).unwrap_err().to_string();
        assert_eq!(error, "Schema is not valid: # is part of itself; schemas must end");
    }
}
