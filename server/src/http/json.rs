//! Strict JSON: bounded in depth and members before anything is made of it, and no member twice
//! (`spec/security.md` 6). What reads a body as a type and what reads it as a value agree on that.

use super::body::bad_request;
use super::error::HttpError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How large the JSON of a route may be in other ways than bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonLimits {
    /// Deepest nesting.
    pub(crate) depth: usize,
    /// Most members and elements, altogether.
    pub(crate) members: usize,
}

/// For calls of machines and forms of operators.
pub(crate) const FORM: JsonLimits = JsonLimits { depth: 32, members: 4_096 };
/// For objects of the model: a task list or a map of params may be long, a schema deep.
pub(crate) const OBJECT: JsonLimits = JsonLimits { depth: 64, members: 100_000 };

/// For bundles of content.
pub(crate) const CONTENT: JsonLimits = JsonLimits { depth: 64, members: 500_000 };

/// Reads JSON as a type.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], limits: JsonLimits) -> Result<T, HttpError> {
    check_shape(bytes, limits)?;
    serde_json::from_slice(bytes)
        .map_err(|error| bad_request(format!("the body is not what is expected here: {error}")))
}

/// Reads JSON as a value.
pub(crate) fn parse_value(bytes: &[u8], limits: JsonLimits) -> Result<Value, HttpError> {
    parse::<Strict>(bytes, limits).map(|Strict(value)| value)
}

/// Counts brackets and commas outside strings: depth and members are known before anything is
/// allocated.
fn check_shape(bytes: &[u8], limits: JsonLimits) -> Result<(), HttpError> {
    let (mut depth, mut members) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => members += 1,
            _ => {}
        }
        if depth > limits.depth || members > limits.members {
            let JsonLimits { depth, members } = limits;
            return Err(bad_request(format!("the body has more than {depth} levels or {members} members")));
        }
    }
    Ok(())
}

/// A value whose objects name each member once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("{name:?} is in one object twice")));
            }
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(text: &str) -> Result<Value, HttpError> {
        parse_value(text.as_bytes(), FORM)
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(value(&nested(FORM.depth)).is_ok());
        assert!(value(&nested(FORM.depth + 1)).is_err());
        assert!(value(&nested(1_000_000)).is_err());
        assert!(value(&format!("\"{}\\\"{}\"", "[".repeat(99), ",".repeat(9_999))).is_ok());
        assert!(value(&format!("[{}1]", "1,".repeat(FORM.members + 1))).is_err());
    }

    #[test]
    fn member_comes_once_at_every_depth() {
        assert_eq!(value(r#"{"a": [1, 1.5, "x", null, true, -2]}"#).unwrap()["a"][1], json!(1.5));
        for twice in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            assert!(value(twice).is_err(), "{twice}");
        }
    }

    #[test]
    fn text_must_be_utf_8_and_end_where_it_ends() {
        for wrong in [&b"\"\xff\""[..], b"{} {}", b"", b"{", b"\"\\ud800\"", b"1e999"] {
            assert!(parse_value(wrong, FORM).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_agrees_with_the_usual_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = parse_value(&bytes, FORM) {
                prop_assert_eq!(value, serde_json::from_slice::<Value>(&bytes).unwrap());
            }
        }
    }
}
