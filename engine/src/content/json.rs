//! From the JSON of a request to a typed object, with every field named that does not fit.

use protocol::model::Kind;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Fields whose values are anybody's JSON, in which null means null.
const FREE: [&str; 4] = ["Params", "Schema", "AddParameters", "AutoFill"];

/// The object, or each field that is not of its type.
pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Vec<String>> {
    let Value::Object(fields) = value else { return Err(vec!["the body is no JSON object".to_owned()]) };
    let fields = without_nulls(fields);
    match serde_json::from_value(Value::Object(fields.clone())) {
        Ok(object) => Ok(object),
        Err(error) => {
            // Serde forgets which field it was; every field has a default, so each can be tried alone.
            let told = |(name, value): (String, Value)| {
                let alone = Map::from_iter([(name.clone(), value)]);
                let error = serde_json::from_value::<T>(Value::Object(alone)).err()?;
                Some(format!("{name}: {error}"))
            };
            let problems: Vec<String> = fields.into_iter().filter_map(told).collect();
            Err(if problems.is_empty() { vec![error.to_string()] } else { problems })
        }
    }
}

/// Go writes null for empty lists and maps, at any depth: the same as not given.
pub(crate) fn without_nulls(fields: Map<String, Value>) -> Map<String, Value> {
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| {
        let value = if FREE.contains(&name.as_str()) { value } else { denulled(value) };
        (name, value)
    })
    .collect()
}

/// JSON nests no deeper than its reader allows, so this recursion ends.
fn denulled(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_nulls(fields)),
        Value::Array(items) => Value::Array(items.into_iter().map(denulled).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The key that a body gives its object, or empty.
pub(super) fn key_of(kind: Kind, value: &Value) -> String {
    value.get(kind.key_field()).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model::{BootEnv, Profile, Stage};
    use serde_json::json;

    #[test]
    fn each_field_of_a_wrong_type_is_named() {
        let problems = parse::<Stage>(json!({"Name": 1, "Tasks": "a", "Profiles": [], "Meta": {"a": 1}}));
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 3);
        for field in ["Name: ", "Tasks: ", "Meta: "] {
            assert!(problems.iter().any(|problem| problem.starts_with(field)), "{field} {problems:?}");
        }
        assert_eq!(parse::<Stage>(json!([])).unwrap_err(), ["the body is no JSON object"]);
    }

    #[test]
    fn null_is_not_given_but_in_values_of_params() {
        let env: BootEnv = parse(
            json!({"Name": "e", "OS": {"SupportedArchitectures": null}, "Templates": [{"Meta": null}]}),
        )
        .unwrap();
        assert!(env.os.supported_architectures.is_empty());
        let profile: Profile = parse(json!({"Name": "p", "Params": {"a": null, "b": {"c": null}}})).unwrap();
        assert_eq!(profile.params.get("a"), Some(&Value::Null));
        assert_eq!(profile.params.get("b"), Some(&json!({"c": null})));
    }
}
