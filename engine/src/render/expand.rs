//! Values of params in other forms: expanded as templates, as JSON, as YAML.

use serde_json::Value as Json;
use template::{CallError, MAX_DEPTH, Map, Rendering, Value};

/// The value with every text in it rendered as a template; keys stay as they are.
pub(super) fn object(
    name: &str,
    value: &Value,
    dot: &Value,
    rendering: &mut Rendering,
) -> Result<Value, CallError> {
    within(MAX_DEPTH, name, value, dot, rendering)
}

fn within(
    depth: usize,
    name: &str,
    value: &Value,
    dot: &Value,
    rendering: &mut Rendering,
) -> Result<Value, CallError> {
    rendering.work(1)?;
    let deeper = depth.checked_sub(1).ok_or_else(|| {
        CallError::Limit(format!("lists and maps lie more than {MAX_DEPTH} deep in each other"))
    })?;
    match value {
        Value::Text(text) => Ok(Value::from(rendering.text(name, text, dot.clone())?)),
        Value::List(list) => list.iter().map(|item| within(deeper, name, item, dot, rendering)).collect(),
        Value::Map(map) => {
            let expanded = Map::new();
            for (key, item) in map.entries() {
                expanded.insert(key, within(deeper, name, &item, dot, rendering)?);
            }
            Ok(Value::Map(expanded))
        }
        other @ (Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Receiver(_)) => Ok(other.clone()),
    }
}

/// The value as Go's JSON encoder writes a line of it.
pub(super) fn as_json(value: Json) -> Result<Value, CallError> {
    // Through a template's value: whole numbers lose their fraction, as in Go.
    let json = Value::from(value).to_json();
    let text = serde_json::to_string(&json).map_err(|error| CallError::failed(error.to_string()))?;
    // These occur in texts alone, where they may be escaped.
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '<' => line.push_str("\\u003c"),
            '>' => line.push_str("\\u003e"),
            '&' => line.push_str("\\u0026"),
            '\u{2028}' => line.push_str("\\u2028"),
            '\u{2029}' => line.push_str("\\u2029"),
            other => line.push(other),
        }
    }
    line.push('\n');
    Ok(Value::from(line))
}

/// The value as a YAML document.
pub(super) fn as_yaml(value: &Json) -> Result<Value, CallError> {
    let json = Value::from(value).to_json();
    serde_yaml_ng::to_string(&json).map(Value::from).map_err(|error| CallError::failed(error.to_string()))
}
