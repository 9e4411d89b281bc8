//! Configuration as YAML that every reader takes for the same: what could be a number, a boolean or a date to
//! one of them stands in quotes, whatever version of YAML it knows.

use super::yaml::resolve;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Words that some readers take for booleans and ours does not.
const SINGLE_LETTERS: [&str; 4] = ["y", "Y", "n", "N"];

/// A map as a document, with sorted keys.
pub fn document(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    if map.is_empty() {
        out.push_str("{}\n");
    } else {
        block(&mut out, map, 0);
    }
    out
}

fn block(out: &mut String, map: &Map<String, Value>, indent: usize) {
    // A map of serde_json keeps its keys sorted or as they came, by how it is built.
    let sorted: BTreeMap<&String, &Value> = map.iter().collect();
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        // The first key of a map in a list stands behind the dash.
        if at > 0 || !out.ends_with("- ") {
            blanks(out, indent);
        }
        out.push_str(&one_line(key));
        out.push(':');
        under(out, value, indent);
    }
}

/// A value behind its key or, for lists, its dash.
fn under(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, map, indent + 2);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            items(out, list, indent);
        }
        flat @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            out.push(' ');
            scalar(out, flat, indent + 2);
        }
    }
}

fn items(out: &mut String, list: &[Value], indent: usize) {
    for item in list {
        blanks(out, indent);
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push_str("- ");
                block(out, map, indent + 2);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push_str("-\n");
                items(out, inner, indent + 2);
            }
            flat @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => {
                out.push_str("- ");
                scalar(out, flat, indent + 2);
            }
        }
    }
}

fn blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// A scalar or an empty collection, with the end of its line.
fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) if is_literal(text) => return literal(out, text, indent),
        Value::String(text) => out.push_str(&one_line(text)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
    out.push('\n');
}

/// YAML 1.1 wants a point in the mantissa and a sign before the exponent.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    if number.is_i64() || number.is_u64() {
        return text;
    }
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa.to_owned(), Some(exponent)),
        None => (text.clone(), None),
    };
    let mantissa = if mantissa.contains('.') { mantissa } else { format!("{mantissa}.0") };
    match exponent {
        None => mantissa,
        Some(exponent) if exponent.starts_with(['-', '+']) => format!("{mantissa}e{exponent}"),
        Some(exponent) => format!("{mantissa}e+{exponent}"),
    }
}

/// Whether a text of several lines can stand as it is.
fn is_literal(text: &str) -> bool {
    let printable = |c: char| c == '\n' || c == '\t' || !is_escaped(c);
    let starts_plainly = !text.starts_with([' ', '\n', '\t']);
    text.contains('\n') && starts_plainly && text.chars().all(printable)
}

/// A block with its lines as they are; the mark behind the bar says how it ends.
fn literal(out: &mut String, text: &str, indent: usize) {
    let body = text.strip_suffix('\n');
    out.push_str(match body {
        None => "|-\n",
        Some(body) if body.ends_with('\n') => "|+\n",
        Some(_) => "|\n",
    });
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            blanks(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A text on one line: plain where nobody can misread it, else in double quotes.
fn one_line(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let fits = |c: char| c.is_ascii_alphanumeric() || "_./@+=,%^() -".contains(c);
    starts
        && text.chars().all(fits)
        && !text.ends_with(' ')
        && !SINGLE_LETTERS.contains(&text)
        && resolve(text) == Value::String(text.to_owned())
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_escaped(c) => {
                let code = u32::from(c);
                let written = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
                // Writing into a text does not fail.
                debug_assert!(written.is_ok());
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What YAML does not call printable, what it takes for the end of a line, and the mark of byte order.
fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(value: Value) -> String {
        document(value.as_object().unwrap())
    }

    #[test]
    fn documents_read_like_those_that_people_write() {
        let value = json!({
            "hostname": "web-1",
            "packages": ["nginx", "0644", "yes", "a: b", ""],
            "runcmd": [["sh", "-c", "true"], "systemctl restart nginx"],
            "users": [{"name": "eve", "groups": ["sudo"]}, "default"],
            "write_files": [{"path": "/etc/motd", "content": "hello\n  world\n"}],
            "empty": {"a": {}, "b": [], "c": null, "d": 1.0, "e": 1e21},
        });
        assert_eq!(
            written(value),
            r#"empty:
  a: {}
  b: []
  c: null
  d: 1.0
  e: 1.0e+21
hostname: web-1
packages:
- nginx
- "0644"
- "yes"
- "a: b"
- ""
runcmd:
-
  - sh
  - "-c"
  - "true"
- systemctl restart nginx
users:
- groups:
  - sudo
  name: eve
- default
write_files:
- content: |
    hello
      world
  path: /etc/motd
"#
        );
        assert_eq!(written(json!({})), "{}\n");
    }

    #[test]
    fn ends_of_blocks_are_kept() {
        for text in [
            "a\nb",
            "a\nb\n",
            "a\nb\n\n\n",
            "a\n\nb\n",
            "a\n  \nb",
            " a\nb",
            "\na\n",
            "a\r\nb",
            "a\tb\n\tc\n",
        ] {
            let value = json!({"k": text, "l": [text], "z": {"m": text}, "after": "x"});
            assert_eq!(
                yaml::read(&written(value.clone())),
                Ok(value.as_object().unwrap().clone()),
                "{text:?}"
            );
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9 :#\\-\\n\\t'\"\\[\\]{}&*!|>%@,?yesnoof.~_+]{0,12}",
            any::<String>(),
            prop::sample::select(vec![
                "yes",
                "0644",
                "1e3",
                "null",
                "~",
                "-",
                "---",
                "...",
                "- a",
                "? b",
                "12:30",
                "2020-01-01",
                "<<",
                "=",
                "\u{feff}x",
                "\u{85}"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z0-9: #é]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever is written is read as it was.
        #[test]
        fn writing_and_reading_is_the_same(map in prop::collection::btree_map("[a-z]{1,4}", any_value(), 0..5)) {
            let map: Map<String, Value> = map.into_iter().collect();
            prop_assert_eq!(yaml::read(&document(&map)), Ok(map));
        }

        /// Texts that are no YAML are refused, whatever they are.
        #[test]
        fn reading_is_total(text in "[a-z0-9 :#\\-\\n\\t'\"\\[\\]{}&*!|>%@,?]{0,80}") {
            if let Ok(map) = yaml::read(&text) {
                prop_assert_eq!(yaml::read(&document(&map)), Ok(map));
            }
        }
    }
}
