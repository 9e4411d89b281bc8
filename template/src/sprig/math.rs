//! Numbers: conversion as `spf13/cast` does it, and arithmetic in 64 bits, which wraps as in Go.

use super::decimal::Decimal;
use crate::function::{Args, Function, Param};
use crate::number::{parse_float, parse_int};
use crate::print::{print, text_of};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::Value;

use Param::{Any, Float, Int, Text};

type Outcome = Result<Value, CallError>;

pub(super) static FUNCTIONS: [Function; 26] = [
    Function::new("int", &[Any], |_, a| Ok(Value::Int(to_int(a.any(0))))),
    Function::new("int64", &[Any], |_, a| Ok(Value::Int64(to_int(a.any(0))))),
    Function::new("float64", &[Any], |_, a| Ok(Value::Float(to_float(a.any(0))))),
    Function::new("atoi", &[Text], |_, a| Ok(Value::Int(a.text(0)?.parse().unwrap_or_default()))),
    Function::new("toDecimal", &[Any], to_decimal),
    Function::new("add1", &[Any], |_, a| Ok(Value::Int64(to_int(a.any(0)).wrapping_add(1)))),
    Function::variadic("add", &[], Any, |_, a| {
        Ok(Value::Int64(a.0.iter().map(to_int).fold(0, i64::wrapping_add)))
    }),
    Function::new("sub", &[Any, Any], |_, a| {
        Ok(Value::Int64(to_int(a.any(0)).wrapping_sub(to_int(a.any(1)))))
    }),
    Function::new("div", &[Any, Any], |_, a| {
        divisor(a).map(|by| Value::Int64(to_int(a.any(0)).wrapping_div(by))).ok_or_else(divided_by_zero)
    }),
    Function::new("mod", &[Any, Any], |_, a| {
        divisor(a).map(|by| Value::Int64(to_int(a.any(0)).wrapping_rem(by))).ok_or_else(divided_by_zero)
    }),
    Function::variadic("mul", &[Any], Any, |_, a| {
        Ok(Value::Int64(a.0.iter().map(to_int).fold(1, i64::wrapping_mul)))
    }),
    Function::new("add1f", &[Any], |_, a| Ok(decimals(a.0, Some(Decimal::from(1)), Decimal::plus))),
    Function::variadic("addf", &[], Any, |_, a| Ok(decimals(a.0, Some(Decimal::from(0)), Decimal::plus))),
    Function::variadic("subf", &[Any], Any, |_, a| Ok(decimals(a.0, None, Decimal::minus))),
    Function::variadic("mulf", &[Any], Any, |_, a| Ok(decimals(a.0, None, Decimal::times))),
    Function::variadic("divf", &[Any], Any, |_, a| {
        if a.from(1).iter().any(|value| to_float(value) == 0.0) {
            return Err(CallError::failed("decimal division by 0"));
        }
        Ok(decimals(a.0, None, Decimal::over))
    }),
    Function::variadic("max", &[Any], Any, |_, a| {
        Ok(Value::Int64(a.0.iter().map(to_int).max().unwrap_or_default()))
    }),
    Function::variadic("biggest", &[Any], Any, |_, a| {
        Ok(Value::Int64(a.0.iter().map(to_int).max().unwrap_or_default()))
    }),
    Function::variadic("min", &[Any], Any, |_, a| {
        Ok(Value::Int64(a.0.iter().map(to_int).min().unwrap_or_default()))
    }),
    Function::variadic("maxf", &[Any], Any, |_, a| {
        Ok(Value::Float(a.0.iter().map(to_float).fold(f64::NEG_INFINITY, f64::max)))
    }),
    Function::variadic("minf", &[Any], Any, |_, a| {
        Ok(Value::Float(a.0.iter().map(to_float).fold(f64::INFINITY, f64::min)))
    }),
    Function::new("ceil", &[Any], |_, a| Ok(Value::Float(to_float(a.any(0)).ceil()))),
    Function::new("floor", &[Any], |_, a| Ok(Value::Float(to_float(a.any(0)).floor()))),
    Function::variadic("round", &[Any, Int], Float, round),
    Function::variadic("seq", &[], Int, seq),
    Function::new("adler32sum", &[Text], |_, a| Ok(adler32(a.text(0)?).to_string().into())),
];

/// `cast.ToInt64`: what cannot be converted is zero.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(truth) => i64::from(*truth),
        Value::Int(number) | Value::Int64(number) => *number,
        // Go's conversion of what does not fit is up to the processor; ours stops at the ends.
        #[expect(clippy::cast_possible_truncation, reason = "truncation towards zero is what is wanted")]
        Value::Float(number) => *number as i64,
        Value::Text(text) => parse_int(without_zero_fraction(text))
            .and_then(|number| i64::try_from(number).ok())
            .unwrap_or_default(),
        Value::Nil | Value::List(_) | Value::Map(_) | Value::Receiver(_) => 0,
    }
}

/// `12.00` without its fraction.
fn without_zero_fraction(text: &str) -> &str {
    let trimmed = text.trim_end_matches('0');
    match trimmed.strip_suffix('.') {
        Some(whole) if trimmed.len() < text.len() => whole,
        Some(_) | None => text,
    }
}

/// `cast.ToFloat64`: what cannot be converted is zero.
fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        #[expect(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
        Value::Int(number) | Value::Int64(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) => parse_float(text).unwrap_or_default(),
        Value::Nil | Value::List(_) | Value::Map(_) | Value::Receiver(_) => 0.0,
    }
}

fn divisor(args: Args<'_>) -> Option<i64> {
    Some(to_int(args.any(1))).filter(|by| *by != 0)
}

fn divided_by_zero() -> CallError {
    CallError::failed("integer divide by zero")
}

/// Octal text as a number, zero when it is none.
fn to_decimal(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let text = text_of(rendering, args.any(0))?;
    Ok(Value::Int64(i64::from_str_radix(&text, 8).unwrap_or_default()))
}

/// Arithmetic in decimals, from the first argument or a given start.
fn decimals(values: &[Value], start: Option<Decimal>, operation: fn(Decimal, Decimal) -> Decimal) -> Value {
    let mut numbers = values.iter().map(|value| Decimal::of(to_float(value)));
    let first = start.or_else(|| numbers.next()).unwrap_or(Decimal::from(0));
    Value::Float(numbers.fold(first, operation).to_float())
}

fn round(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let on = if args.len() > 2 { args.float(2)? } else { 0.5 };
    let places = i32::try_from(args.int(1)?).unwrap_or(i32::MAX);
    let power = 10_f64.powi(places);
    let shifted = power * to_float(args.any(0));
    let rounded = if shifted.fract() >= on { shifted.ceil() } else { shifted.floor() };
    Ok(Value::Float(rounded / power))
}

/// The numbers from a start up or down to a stop, which is not among them.
pub(super) fn range(
    rendering: &mut Rendering,
    start: i64,
    stop: i64,
    step: i64,
) -> Result<impl Iterator<Item = i64>, CallError> {
    let distance = (i128::from(stop) - i128::from(start)).unsigned_abs();
    let goes = if stop < start { step < 0 } else { step > 0 };
    let count = if goes { distance.div_ceil(u128::from(step.unsigned_abs())) } else { 0 };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    rendering.work_on_items(count)?;
    Ok((0..count).map(move |index| {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        start.wrapping_add(step.wrapping_mul(index))
    }))
}

/// As the program `seq`: numbers with blanks between them, the last one included.
fn seq(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let direction = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, step, end) = match args.len() {
        1 => (1, direction(1, args.int(0)?), args.int(0)?),
        2 => (args.int(0)?, direction(args.int(0)?, args.int(1)?), args.int(1)?),
        3 => (args.int(0)?, args.int(1)?, args.int(2)?),
        _ => return Ok("".into()),
    };
    if end < start && step > 0 {
        return Ok("".into());
    }
    let stop = end.saturating_add(direction(start, end));
    let numbers: Vec<Value> = range(rendering, start, stop, step)?.map(Value::Int).collect();
    Ok(print(rendering, &numbers)?.into())
}

fn adler32(text: &str) -> u32 {
    let sums = text.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    sums.1 << 16 | sums.0
}
