//! Lists: made, cut, searched and put together, never changed.

use crate::compare::deep_equal;
use crate::function::{Args, Function, Param};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::sprig::math::{range, to_int};
use crate::value::{List, Value};

use Param::{Any, Int};

type Outcome = Result<Value, CallError>;

pub(super) static FUNCTIONS: [Function; 36] = [
    Function::variadic("list", &[], Any, |_, a| Ok(a.0.to_vec().into())),
    Function::variadic("tuple", &[], Any, |_, a| Ok(a.0.to_vec().into())),
    Function::new("append", &[Any, Any], push),
    Function::new("push", &[Any, Any], push),
    Function::new("mustAppend", &[Any, Any], push),
    Function::new("mustPush", &[Any, Any], push),
    Function::new("prepend", &[Any, Any], prepend),
    Function::new("mustPrepend", &[Any, Any], prepend),
    Function::new("first", &[Any], |_, a| Ok(list(a, 0, "find first")?.first().cloned().unwrap_or_default())),
    Function::new("mustFirst", &[Any], |_, a| {
        Ok(list(a, 0, "find first")?.first().cloned().unwrap_or_default())
    }),
    Function::new("last", &[Any], |_, a| Ok(list(a, 0, "find last")?.last().cloned().unwrap_or_default())),
    Function::new("mustLast", &[Any], |_, a| {
        Ok(list(a, 0, "find last")?.last().cloned().unwrap_or_default())
    }),
    Function::new("rest", &[Any], rest),
    Function::new("mustRest", &[Any], rest),
    Function::new("initial", &[Any], initial),
    Function::new("mustInitial", &[Any], initial),
    Function::new("reverse", &[Any], reverse),
    Function::new("mustReverse", &[Any], reverse),
    Function::new("compact", &[Any], compact),
    Function::new("mustCompact", &[Any], compact),
    Function::new("uniq", &[Any], uniq),
    Function::new("mustUniq", &[Any], uniq),
    Function::variadic("without", &[Any], Any, without),
    Function::variadic("mustWithout", &[Any], Any, without),
    Function::new("has", &[Any, Any], has),
    Function::new("mustHas", &[Any, Any], has),
    Function::variadic("slice", &[Any], Any, slice),
    Function::variadic("mustSlice", &[Any], Any, slice),
    Function::variadic("concat", &[], Any, concat),
    Function::new("chunk", &[Int, Any], chunk),
    Function::new("mustChunk", &[Int, Any], chunk),
    Function::new("until", &[Int], |r, a| {
        let count = a.int(0)?;
        numbers(r, 0, count, if count < 0 { -1 } else { 1 })
    }),
    Function::new("untilStep", &[Int, Int, Int], |r, a| numbers(r, a.int(0)?, a.int(1)?, a.int(2)?)),
    Function::variadic("all", &[], Any, |_, a| Ok(a.0.iter().all(Value::is_true).into())),
    Function::variadic("any", &[], Any, |_, a| Ok(a.0.iter().any(Value::is_true).into())),
    Function::variadic("coalesce", &[], Any, |_, a| {
        Ok(a.0.iter().find(|value| value.is_true()).cloned().unwrap_or_default())
    }),
];

/// An argument that has to be a list.
fn list(args: Args<'_>, index: usize, doing: &str) -> Result<List, CallError> {
    if let Value::List(list) = args.any(index) {
        return Ok(list.clone());
    }
    Err(CallError::Failed(format!("cannot {doing} on type {}", args.any(index).type_name())))
}

fn push(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut items = list(args, 0, "push")?.to_vec();
    items.push(args.any(1).clone());
    Ok(items.into())
}

fn prepend(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let list = list(args, 0, "prepend")?;
    Ok(std::iter::once(args.any(1)).chain(list.iter()).cloned().collect())
}

fn rest(_: &mut Rendering, args: Args<'_>) -> Outcome {
    Ok(list(args, 0, "find rest")?.iter().skip(1).cloned().collect())
}

fn initial(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let list = list(args, 0, "find initial")?;
    Ok(list.iter().take(list.len().saturating_sub(1)).cloned().collect())
}

fn reverse(_: &mut Rendering, args: Args<'_>) -> Outcome {
    Ok(list(args, 0, "find reverse")?.iter().rev().cloned().collect())
}

fn compact(_: &mut Rendering, args: Args<'_>) -> Outcome {
    Ok(list(args, 0, "compact")?.iter().filter(|item| item.is_true()).cloned().collect())
}

/// Whether a value is among others.
fn is_in(rendering: &mut Rendering, others: &[Value], value: &Value) -> Result<bool, CallError> {
    for other in others {
        if deep_equal(rendering, value, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut kept: Vec<Value> = Vec::new();
    for item in list(args, 0, "find uniq")?.iter() {
        if !is_in(rendering, &kept, item)? {
            kept.push(item.clone());
        }
    }
    Ok(kept.into())
}

fn without(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut kept = Vec::new();
    for item in list(args, 0, "find without")?.iter() {
        if !is_in(rendering, args.from(1), item)? {
            kept.push(item.clone());
        }
    }
    Ok(kept.into())
}

fn has(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    if matches!(args.any(1), Value::Nil) {
        return Ok(false.into());
    }
    let list = list(args, 1, "find has")?;
    Ok(is_in(rendering, &list, args.any(0))?.into())
}

fn slice(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let list = list(args, 0, "slice")?;
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let start = if args.len() > 1 { to_int(args.any(1)) } else { 0 };
    let end =
        if args.len() > 2 { to_int(args.any(2)) } else { i64::try_from(list.len()).unwrap_or(i64::MAX) };
    let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let items = bounds.and_then(|(start, end)| list.get(start..end));
    let items =
        items.ok_or_else(|| CallError::Failed(format!("slice bounds out of range [{start}:{end}]")))?;
    Ok(items.to_vec().into())
}

fn concat(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut all = Vec::new();
    for index in 0..args.len() {
        let list = list(args, index, "concat")?;
        rendering.work_on_items(list.len())?;
        all.extend_from_slice(&list);
    }
    Ok(all.into())
}

fn chunk(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let list = list(args, 1, "chunk")?;
    rendering.work_on_items(list.len())?;
    match usize::try_from(args.int(0)?) {
        Ok(size) if size > 0 => Ok(list.chunks(size).map(|chunk| Value::from(chunk.to_vec())).collect()),
        Ok(_) | Err(_) => Err(CallError::failed("chunks must have one item at least")),
    }
}

fn numbers(rendering: &mut Rendering, start: i64, stop: i64, step: i64) -> Outcome {
    Ok(range(rendering, start, stop, step)?.map(Value::Int).collect())
}
