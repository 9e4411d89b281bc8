//! Maps: made, read, changed in place, merged and copied.

use crate::function::{Args, Function, Param, map_of};
use crate::print::text_of;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{MAX_DEPTH, Map, Value};

use Param::{Any, Text};

type Outcome = Result<Value, CallError>;

pub(super) static FUNCTIONS: [Function; 18] = [
    Function::variadic("dict", &[], Any, dict),
    Function::new("get", &[Param::Map, Text], |_, a| {
        Ok(a.map(0)?.get(a.text(1)?).unwrap_or_else(|| "".into()))
    }),
    Function::new("set", &[Param::Map, Text, Any], set),
    Function::new("unset", &[Param::Map, Text], |_, a| {
        let map = a.map(0)?;
        map.remove(a.text(1)?);
        Ok(map.into())
    }),
    Function::new("hasKey", &[Param::Map, Text], |_, a| Ok(a.map(0)?.contains(a.text(1)?).into())),
    Function::variadic("pluck", &[Text], Param::Map, pluck),
    Function::variadic("keys", &[], Param::Map, keys),
    Function::new("values", &[Param::Map], |_, a| {
        Ok(a.map(0)?.entries().into_iter().map(|(_, value)| value).collect())
    }),
    Function::variadic("pick", &[Param::Map], Text, pick),
    Function::variadic("omit", &[Param::Map], Text, omit),
    Function::variadic("merge", &[Param::Map], Param::Map, |r, a| merge_all(r, a, false)),
    Function::variadic("mustMerge", &[Param::Map], Param::Map, |r, a| merge_all(r, a, false)),
    Function::variadic("mergeOverwrite", &[Param::Map], Param::Map, |r, a| merge_all(r, a, true)),
    Function::variadic("mustMergeOverwrite", &[Param::Map], Param::Map, |r, a| merge_all(r, a, true)),
    Function::new("deepCopy", &[Any], |r, a| deep_copy(r, a.any(0), MAX_DEPTH)),
    Function::new("mustDeepCopy", &[Any], |r, a| deep_copy(r, a.any(0), MAX_DEPTH)),
    Function::variadic("dig", &[], Any, dig),
    Function::new("deepEqual", &[Any, Any], |r, a| {
        Ok(crate::compare::deep_equal(r, a.any(0), a.any(1))?.into())
    }),
];

fn dict(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let map = Map::new();
    for pair in args.0.chunks(2) {
        let [key, value @ ..] = pair else { break };
        let key = text_of(rendering, key)?;
        map.insert(key, value.first().cloned().unwrap_or_else(|| "".into()));
    }
    Ok(map.into())
}

fn set(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    if matches!(args.any(0), Value::Nil) {
        return Err(CallError::failed("assignment to entry in nil map"));
    }
    let map = args.map(0)?;
    put(rendering, &map, args.text(1)?, args.any(2))?;
    Ok(map.into())
}

/// Sets a key of a map, unless the map lies in the value: it would then hold itself for ever.
fn put(rendering: &mut Rendering, map: &Map, key: &str, value: &Value) -> Result<(), CallError> {
    if holds(rendering, value, map, MAX_DEPTH)? {
        return Err(CallError::Failed(format!("a map cannot hold itself, which {key:?} would make it")));
    }
    map.insert(key, value.clone());
    Ok(())
}

fn too_deep() -> CallError {
    CallError::Limit(format!("lists and maps are nested more than {MAX_DEPTH} deep"))
}

/// Whether a map is a value or lies in it.
fn holds(rendering: &mut Rendering, value: &Value, map: &Map, depth: usize) -> Result<bool, CallError> {
    match value {
        Value::List(list) => {
            let deeper = depth.checked_sub(1).ok_or_else(too_deep)?;
            for item in list.iter() {
                rendering.work(1)?;
                if holds(rendering, item, map, deeper)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(inner) if inner.is(map) => Ok(true),
        Value::Map(inner) => {
            let deeper = depth.checked_sub(1).ok_or_else(too_deep)?;
            for (_, item) in inner.entries() {
                rendering.work(1)?;
                if holds(rendering, &item, map, deeper)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Receiver(_) => Ok(false),
    }
}

fn pluck(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let key = args.text(0)?;
    let mut found = Vec::new();
    for index in 1..args.len() {
        found.extend(args.map(index)?.get(key));
    }
    Ok(found.into())
}

/// The keys of all maps. Go gives them in any order; ours is sorted, map after map.
fn keys(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut keys = Vec::new();
    for index in 0..args.len() {
        let map = args.map(index)?;
        rendering.work_on_items(map.len())?;
        keys.extend(map.keys().into_iter().map(Value::Text));
    }
    Ok(keys.into())
}

fn named(args: Args<'_>) -> Vec<&str> {
    args.from(1).iter().filter_map(Value::as_text).collect()
}

fn pick(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let map = args.map(0)?;
    let picked: Map = named(args).into_iter().filter_map(|key| Some((key, map.get(key)?))).collect();
    Ok(picked.into())
}

fn omit(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let entries = args.map(0)?.entries();
    let names = named(args);
    rendering.work(u64::try_from(entries.len().saturating_mul(names.len())).unwrap_or(u64::MAX))?;
    let kept: Map = entries.into_iter().filter(|(key, _)| !names.contains(&key.as_ref())).collect();
    Ok(kept.into())
}

fn merge_all(rendering: &mut Rendering, args: Args<'_>, overwrite: bool) -> Outcome {
    let target = args.map(0)?;
    for index in 1..args.len() {
        merge(rendering, &target, &args.map(index)?, overwrite, MAX_DEPTH)?;
    }
    Ok(target.into())
}

/// Mergo: what the target lacks or has empty comes from the source, maps are merged in depth.
fn merge(
    rendering: &mut Rendering,
    target: &Map,
    source: &Map,
    overwrite: bool,
    depth: usize,
) -> Result<(), CallError> {
    let deeper = depth.checked_sub(1).ok_or_else(too_deep)?;
    if target.is(source) {
        return Ok(());
    }
    for (key, new) in source.entries() {
        rendering.work(4)?;
        let old = target.get(&key);
        if let (Some(Value::Map(old)), Value::Map(new)) = (&old, &new) {
            merge(rendering, old, new, overwrite, deeper)?;
        }
        let is_filled = || old.as_ref().is_some_and(Value::is_true);
        let is_taken = match &new {
            Value::Nil | Value::List(_) if overwrite => true,
            Value::Nil => false,
            // Containers only take the place of emptiness.
            Value::Map(_) | Value::List(_) => !is_filled(),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Int64(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Receiver(_) => overwrite || !is_filled(),
        };
        if !is_taken {
            continue;
        }
        put(rendering, target, &key, &new)?;
    }
    Ok(())
}

fn deep_copy(rendering: &mut Rendering, value: &Value, depth: usize) -> Outcome {
    rendering.work(4)?;
    let deeper = depth.checked_sub(1).ok_or_else(too_deep)?;
    match value {
        Value::List(list) => {
            let copies: Result<Vec<Value>, CallError> =
                list.iter().map(|item| deep_copy(rendering, item, deeper)).collect();
            Ok(copies?.into())
        }
        Value::Map(map) => {
            let copy = Map::new();
            for (key, item) in map.entries() {
                copy.insert(key, deep_copy(rendering, &item, deeper)?);
            }
            Ok(copy.into())
        }
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Receiver(_) => Ok(value.clone()),
    }
}

/// `dig "a" "b" default map`: the value under keys in keys.
fn dig(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let [keys @ .., default, map] = args.0 else {
        return Err(CallError::failed("dig needs at least three arguments"));
    };
    if keys.is_empty() {
        return Err(CallError::failed("dig needs at least three arguments"));
    }
    let mut found = map.clone();
    for key in keys {
        let key = key.as_text().ok_or_else(|| CallError::failed("the keys of dig must be text"))?;
        // Unlike elsewhere, nil is no empty map here.
        let step = map_of(&found).filter(|_| !matches!(found, Value::Nil));
        let step = step.ok_or_else(|| {
            CallError::Failed(format!("cannot dig {key:?} out of a value of type {}", found.type_name()))
        })?;
        match step.get(key) {
            Some(value) => found = value,
            None => return Ok(default.clone()),
        }
    }
    Ok(found)
}
