//! Arguments of methods, with their errors.

use template::{CallError, Value};

/// The arguments of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Args<'a> {
    values: &'a [Value],
}

impl<'a> Args<'a> {
    pub(super) fn new(values: &'a [Value]) -> Self {
        Self { values }
    }

    /// All of them, when there are so many.
    pub(super) fn exactly<const N: usize>(self) -> Result<&'a [Value; N], CallError> {
        self.values.try_into().map_err(|_| {
            CallError::failed(format!("takes {N} arguments and was given {}", self.values.len()))
        })
    }

    /// No argument at all.
    pub(super) fn none(self) -> Result<(), CallError> {
        self.exactly::<0>().map(|_| ())
    }

    /// The only argument, a text.
    pub(super) fn text(self) -> Result<&'a str, CallError> {
        let [only] = self.exactly()?;
        text(only)
    }

    /// Two texts.
    pub(super) fn two_texts(self) -> Result<(&'a str, &'a str), CallError> {
        let [first, second] = self.exactly()?;
        Ok((text(first)?, text(second)?))
    }

    /// Three texts.
    pub(super) fn three_texts(self) -> Result<(&'a str, &'a str, &'a str), CallError> {
        let [first, second, third] = self.exactly()?;
        Ok((text(first)?, text(second)?, text(third)?))
    }

    /// Any number of texts.
    pub(super) fn texts(self) -> Result<Vec<&'a str>, CallError> {
        self.values.iter().map(text).collect()
    }
}

/// An argument that has to be text.
pub(super) fn text(value: &Value) -> Result<&str, CallError> {
    value
        .as_text()
        .ok_or_else(|| CallError::failed(format!("wants text and was given {}", value.type_name())))
}

/// An argument that has to be a whole number.
pub(super) fn whole_number(value: &Value) -> Result<i64, CallError> {
    match value {
        Value::Int(number) | Value::Int64(number) => Ok(*number),
        // Within what both types hold exactly.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small, as just checked")]
            let whole = *number as i64;
            Ok(whole)
        }
        Value::Float(_)
        | Value::Nil
        | Value::Bool(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Receiver(_) => {
            Err(CallError::failed(format!("wants a whole number and was given {}", value.type_name())))
        }
    }
}
