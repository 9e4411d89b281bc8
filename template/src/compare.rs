//! Comparison: `eq` and its kin with Go's rules of types, and `reflect.DeepEqual`.

use crate::print::text_of;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{MAX_DEPTH, Value};
use std::sync::Arc;

const INCOMPATIBLE: &str = "incompatible types for comparison";

/// What can be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Bool,
    Int,
    Float,
    Text,
    Nil,
    Other,
}

fn class(value: &Value) -> Class {
    match value {
        Value::Nil => Class::Nil,
        Value::Bool(_) => Class::Bool,
        Value::Int(_) | Value::Int64(_) => Class::Int,
        Value::Float(_) => Class::Float,
        Value::Text(_) => Class::Text,
        Value::List(_) | Value::Map(_) | Value::Receiver(_) => Class::Other,
    }
}

fn incompatible(left: &Value, right: &Value) -> CallError {
    CallError::Failed(format!("{INCOMPATIBLE}: {} and {}", left.type_name(), right.type_name()))
}

/// `eq`: whether two values are the same. Values of different types are not comparable, but for nil.
pub(crate) fn equal(rendering: &mut Rendering, left: &Value, right: &Value) -> Result<bool, CallError> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left) | Value::Int64(left), Value::Int(right) | Value::Int64(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => {
            rendering.work_on_text(left.len().min(right.len()))?;
            Ok(left == right)
        }
        (Value::Nil, _) | (_, Value::Nil) => Ok(class(left) == class(right)),
        _ if class(left) == Class::Other && class(right) == Class::Other => {
            let shown = text_of(rendering, right).unwrap_or_default();
            let shown: String = shown.chars().take(60).collect();
            Err(CallError::Failed(format!("non-comparable type {shown}: {}", right.type_name())))
        }
        _ => Err(incompatible(left, right)),
    }
}

/// `lt`: whether a value is less than another of its type.
pub(crate) fn less(left: &Value, right: &Value) -> Result<bool, CallError> {
    match (left, right) {
        (Value::Int(left) | Value::Int64(left), Value::Int(right) | Value::Int64(right)) => Ok(left < right),
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Text(left), Value::Text(right)) => Ok(left < right),
        _ if class(left) == class(right)
            || [left, right].iter().any(|value| matches!(class(value), Class::Nil | Class::Other)) =>
        {
            let odd =
                if matches!(class(left), Class::Bool | Class::Nil | Class::Other) { left } else { right };
            Err(CallError::Failed(format!("invalid type for comparison: {}", odd.type_name())))
        }
        _ => Err(incompatible(left, right)),
    }
}

/// Go's `reflect.DeepEqual`: types count, maps and lists are compared by what is in them.
pub(crate) fn deep_equal(rendering: &mut Rendering, left: &Value, right: &Value) -> Result<bool, CallError> {
    deep_equal_within(rendering, left, right, MAX_DEPTH)
}

fn deep_equal_within(
    rendering: &mut Rendering,
    left: &Value,
    right: &Value,
    depth: usize,
) -> Result<bool, CallError> {
    rendering.work(1)?;
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(CallError::Limit(format!("lists and maps are nested more than {MAX_DEPTH} deep")));
    };
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => {
            Ok(left == right)
        }
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(left == right),
        (Value::List(left), Value::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !deep_equal_within(rendering, left, right, deeper)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(left), Value::Map(right)) => {
            if left.is(right) || left.len() != right.len() {
                return Ok(left.is(right));
            }
            for ((left_key, left), (right_key, right)) in left.entries().iter().zip(right.entries().iter()) {
                if left_key != right_key || !deep_equal_within(rendering, left, right, deeper)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Receiver(left), Value::Receiver(right)) => Ok(Arc::ptr_eq(left, right)),
        _ => Ok(false),
    }
}
