//! The functions of `text/template` itself.

use crate::compare::{equal, less};
use crate::function::{Args, Body, Function, Param};
use crate::print::{print, print_line, text_of};
use crate::printf::sprintf;
use crate::quote;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::Value;
use std::fmt::{Display, Write};

/// Everything but `call`, for which there are no function values, and `slice`, which sprig replaces.
pub(crate) static FUNCTIONS: [Function; 17] = [
    Function { name: "and", params: &[Param::Any], rest: Some(Param::Any), body: Body::And },
    Function { name: "or", params: &[Param::Any], rest: Some(Param::Any), body: Body::Or },
    Function::new("not", &[Param::Any], |_, args| Ok(Value::Bool(!args.any(0).is_true()))),
    Function::new("len", &[Param::Any], len),
    Function::variadic("index", &[Param::Any], Param::Any, index),
    Function::variadic("eq", &[Param::Any], Param::Any, eq),
    Function::new("ne", &[Param::Any, Param::Any], |r, args| {
        Ok(Value::Bool(!equal(r, args.any(0), args.any(1))?))
    }),
    Function::new("lt", &[Param::Any, Param::Any], |_, args| {
        Ok(Value::Bool(less(args.any(0), args.any(1))?))
    }),
    Function::new("le", &[Param::Any, Param::Any], |r, args| Ok(Value::Bool(less_or_equal(r, args)?))),
    Function::new("gt", &[Param::Any, Param::Any], |r, args| Ok(Value::Bool(!less_or_equal(r, args)?))),
    Function::new("ge", &[Param::Any, Param::Any], |_, args| {
        Ok(Value::Bool(!less(args.any(0), args.any(1))?))
    }),
    Function::variadic("print", &[], Param::Any, |r, args| Ok(print(r, args.0)?.into())),
    Function::variadic("println", &[], Param::Any, |r, args| Ok(print_line(r, args.0)?.into())),
    Function::variadic("printf", &[Param::Text], Param::Any, |r, args| {
        Ok(sprintf(r, args.text(0)?, args.from(1))?.into())
    }),
    Function::variadic("html", &[], Param::Any, |r, args| Ok(html(&joined(r, args)?).into())),
    Function::variadic("js", &[], Param::Any, |r, args| Ok(js(&joined(r, args)?).into())),
    Function::variadic("urlquery", &[], Param::Any, |r, args| Ok(url_query(&joined(r, args)?).into())),
];

fn less_or_equal(rendering: &mut Rendering, args: Args<'_>) -> Result<bool, CallError> {
    Ok(less(args.any(0), args.any(1))? || equal(rendering, args.any(0), args.any(1))?)
}

fn eq(rendering: &mut Rendering, args: Args<'_>) -> Result<Value, CallError> {
    if args.len() < 2 {
        return Err(CallError::failed("missing argument for comparison"));
    }
    for other in args.from(1) {
        if equal(rendering, args.any(0), other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn len(_: &mut Rendering, args: Args<'_>) -> Result<Value, CallError> {
    let length = match args.any(0) {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Nil => return Err(CallError::failed("len of nil pointer")),
        other @ (Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) | Value::Receiver(_)) => {
            return Err(CallError::Failed(format!("len of type {}", other.type_name())));
        }
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(_: &mut Rendering, args: Args<'_>) -> Result<Value, CallError> {
    let mut item = args.any(0).clone();
    if matches!(item, Value::Nil) {
        return Err(CallError::failed("index of untyped nil"));
    }
    for key in args.from(1) {
        item = item_at(&item, key)?;
    }
    Ok(item)
}

fn item_at(item: &Value, key: &Value) -> Result<Value, CallError> {
    match item {
        Value::Nil => Err(CallError::failed("index of nil pointer")),
        Value::List(list) => {
            let at = position(key, list.len())?;
            list.get(at).cloned().ok_or_else(|| out_of_range(at))
        }
        Value::Text(text) => {
            let at = position(key, text.len())?;
            let byte = text.as_bytes().get(at).ok_or_else(|| out_of_range(at))?;
            Ok(Value::Int64(i64::from(*byte)))
        }
        Value::Map(map) => match key {
            Value::Text(key) => Ok(map.get(key).unwrap_or_default()),
            Value::Nil => Err(CallError::failed("value is nil; should be of type string")),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Int64(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Receiver(_) => {
                Err(CallError::Failed(format!("value has type {}; should be string", key.type_name())))
            }
        },
        Value::Receiver(receiver) => match receiver.plain() {
            Some(plain @ (Value::Map(_) | Value::List(_))) => item_at(&plain, key),
            Some(_) | None => {
                Err(CallError::Failed(format!("can't index item of type {}", receiver.type_name())))
            }
        },
        Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) => {
            Err(CallError::Failed(format!("can't index item of type {}", item.type_name())))
        }
    }
}

fn position(key: &Value, length: usize) -> Result<usize, CallError> {
    match key {
        Value::Int(number) | Value::Int64(number) => {
            usize::try_from(*number).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(number))
        }
        Value::Nil => Err(CallError::failed("cannot index slice/array with nil")),
        Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Receiver(_) => {
            Err(CallError::Failed(format!("cannot index slice/array with type {}", key.type_name())))
        }
    }
}

fn out_of_range(index: impl Display) -> CallError {
    CallError::Failed(format!("index out of range: {index}"))
}

/// The arguments as one text, as the escaping functions take them.
fn joined(rendering: &mut Rendering, args: Args<'_>) -> Result<String, CallError> {
    if let [value @ Value::Text(_)] = args.0 {
        return text_of(rendering, value);
    }
    let shown: Vec<Value> = args
        .0
        .iter()
        .map(|value| if matches!(value, Value::Nil) { Value::text("<no value>") } else { value.clone() })
        .collect();
    print(rendering, &shown)
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => escaped.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..' ' => escape_code(&mut escaped, c),
            _ if c.is_ascii() || quote::is_print(c) => escaped.push(c),
            _ => escape_code(&mut escaped, c),
        }
    }
    escaped
}

fn escape_code(escaped: &mut String, c: char) {
    let written = write!(escaped, "\\u{:04X}", u32::from(c));
    debug_assert!(written.is_ok(), "a String takes everything");
}

/// Go's `url.QueryEscape`.
pub(crate) fn url_query(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => {
                let written = write!(escaped, "%{byte:02X}");
                debug_assert!(written.is_ok(), "a String takes everything");
            }
        }
    }
    escaped
}
