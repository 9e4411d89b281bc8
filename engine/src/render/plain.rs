//! Objects of the model as templates see them: their fields by name.

use serde::Serialize;
use std::collections::BTreeMap;
use template::{CallError, Map, Receiver, Rendering, Value};

/// An object with fields and without methods: `.Task`, `.Stage`, `.CurrentJob`.
#[derive(Debug)]
pub(super) struct Plain {
    kind: &'static str,
    fields: BTreeMap<String, Value>,
}

impl Plain {
    /// A value of this object, or nil when there is none.
    pub(super) fn value<T: Serialize>(kind: &'static str, object: Option<&T>) -> Result<Value, CallError> {
        let Some(object) = object else { return Ok(Value::Nil) };
        Ok(Value::receiver(Self { kind, fields: fields(object)? }))
    }
}

impl Receiver for Plain {
    fn type_name(&self) -> &str {
        self.kind
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.get(name).cloned()
    }

    fn call(&self, _: &str, _: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        None
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::Map(self.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()))
    }
}

/// The fields of an object of the model. Numbers of its own are whole; those in params and in
/// schemas are what JSON has.
pub(super) fn fields<T: Serialize>(object: &T) -> Result<BTreeMap<String, Value>, CallError> {
    let json = serde_json::to_value(object).map_err(|error| CallError::failed(error.to_string()))?;
    let serde_json::Value::Object(fields) = json else { return Ok(BTreeMap::new()) };
    let value = |(name, value): (String, serde_json::Value)| {
        let value = if name == "Params" { Value::from(value) } else { typed(value) };
        (name, value)
    };
    Ok(fields.into_iter().map(value).collect())
}

/// JSON of an object whose whole numbers are Go's `int`.
fn typed(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::from(serde_json::Value::Number(number)),
        },
        serde_json::Value::Array(list) => list.into_iter().map(typed).collect(),
        serde_json::Value::Object(map) => {
            Value::Map(map.into_iter().map(|(key, value)| (key, typed(value))).collect::<Map>())
        }
        other @ (serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_)) => {
            Value::from(other)
        }
    }
}
