//! JSON as Go's `encoding/json` writes it: sorted keys, floats without exponents up to 1e21, and
//! `<`, `>`, `&` escaped unless raw text is asked for.

use super::dates::Time;
use crate::number::{Notation, format_float};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{MAX_DEPTH, Value};
use std::any::Any;
use std::fmt::Write;

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In one line, fit to stand in HTML.
    Compact,
    /// In one line, as it is.
    Raw,
    /// On many lines, indented by two blanks.
    Pretty,
}

struct Writer<'r> {
    rendering: &'r mut Rendering,
    out: String,
    style: Style,
}

/// Writes a value as JSON.
pub(super) fn write(rendering: &mut Rendering, value: &Value, style: Style) -> Result<String, CallError> {
    let mut writer = Writer { rendering, out: String::new(), style };
    writer.value(value, 0)?;
    Ok(writer.out)
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Result<(), CallError> {
        self.rendering.work_on_text(text.len())?;
        self.rendering.check_length(self.out.len().saturating_add(text.len()))?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), CallError> {
        self.rendering.work(1)?;
        if depth > MAX_DEPTH {
            return Err(CallError::Limit(format!("lists and maps are nested more than {MAX_DEPTH} deep")));
        }
        match value {
            Value::Nil => self.push("null"),
            Value::Bool(truth) => self.push(if *truth { "true" } else { "false" }),
            Value::Int(number) | Value::Int64(number) => self.push(&number.to_string()),
            Value::Float(number) => {
                let text = float(*number)?;
                self.push(&text)
            }
            Value::Text(text) => self.text(text),
            Value::List(list) => {
                let items = list.iter().map(|item| (None, item.clone()));
                self.container("[", "]", items, depth)
            }
            Value::Map(map) => {
                let entries = map.entries().into_iter().map(|(key, item)| (Some(key), item));
                self.container("{", "}", entries, depth)
            }
            Value::Receiver(receiver) => {
                let any: &dyn Any = receiver.as_ref();
                if let Some(time) = any.downcast_ref::<Time>() {
                    return self.text(&time.rfc3339());
                }
                match receiver.plain() {
                    Some(plain) => self.value(&plain, depth + 1),
                    None => Err(CallError::Failed(format!("a {} has no JSON", receiver.type_name()))),
                }
            }
        }
    }

    fn container(
        &mut self,
        open: &str,
        close: &str,
        items: impl ExactSizeIterator<Item = (Option<std::sync::Arc<str>>, Value)>,
        depth: usize,
    ) -> Result<(), CallError> {
        let is_empty = items.len() == 0;
        self.push(open)?;
        for (index, (key, item)) in items.enumerate() {
            if index > 0 {
                self.push(",")?;
            }
            self.line(depth + 1)?;
            if let Some(key) = key {
                self.text(&key)?;
                self.push(if self.style == Style::Pretty { ": " } else { ":" })?;
            }
            self.value(&item, depth + 1)?;
        }
        if !is_empty {
            self.line(depth)?;
        }
        self.push(close)
    }

    fn line(&mut self, depth: usize) -> Result<(), CallError> {
        if self.style == Style::Pretty { self.push(&format!("\n{}", "  ".repeat(depth))) } else { Ok(()) }
    }

    fn text(&mut self, text: &str) -> Result<(), CallError> {
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        for c in text.chars() {
            let escaped = match c {
                '"' | '\\' => {
                    quoted.extend(['\\', c]);
                    continue;
                }
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '<' | '>' | '&' if self.style != Style::Raw => "",
                '\0'..' ' | '\u{2028}' | '\u{2029}' => "",
                _ => {
                    quoted.push(c);
                    continue;
                }
            };
            if escaped.is_empty() {
                let written = write!(quoted, "\\u{:04x}", u32::from(c));
                debug_assert!(written.is_ok(), "a String takes everything");
            }
            quoted.push_str(escaped);
        }
        quoted.push('"');
        self.push(&quoted)
    }
}

/// A number: with an exponent only when it is very large or very small.
fn float(number: f64) -> Result<String, CallError> {
    if !number.is_finite() {
        return Err(CallError::Failed(format!(
            "json: unsupported value: {}",
            format_float(number, Notation::General, None)
        )));
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Go writes e-9 where C would write e-09.
        return Ok(format_float(number, Notation::Exponent, None).replace("e-0", "e-"));
    }
    Ok(format_float(number, Notation::Fixed, None))
}
