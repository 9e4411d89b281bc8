//! What clients ask of objects: bodies, patches and the queries of lists.

use crate::text::lossy;
use engine::filter::{Query, parse};
use engine::index;
use engine::patch::{MAX_GROWTH, Patch, Target};
use engine::problem::ProblemKind;
use protocol::model::Kind;
use serde_json::{Value, json};
use server::fuzzing::strict_json;
use std::cmp::Ordering;

/// Most bytes that JSON of a value has more than the patch's own measure of it: escapes, and `null`s.
const SLACK: usize = 8;

/// An object in the first line and a patch in the rest: bodies are read as the usual reader reads
/// them, or refused; a patch applies whole, within its limit, or is refused; and the result passes a
/// test of itself.
pub fn patch(data: &[u8]) -> bool {
    let split = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (object, rest) = data.split_at(split);
    let (Some(object), Some(body)) = (read(object), read(rest)) else { return false };
    let Ok(patch) = Patch::parse(body) else { return false };
    let target = Target { model: Kind::Machines, key: "key", volatile: &["Online"] };
    match patch.apply(&target, object.clone()) {
        Ok(after) => {
            let (before, grown) = (object.to_string().len(), after.to_string().len());
            assert!(grown <= before + (data.len() + MAX_GROWTH) * SLACK, "{before} bytes became {grown}");
            let itself = Patch::parse(json!([{"op": "test", "path": "", "value": after}])).expect("a patch");
            assert_eq!(itself.apply(&target, after.clone()), Ok(after.clone()));
            assert_eq!(patch.apply(&target, object), Ok(after), "asked again");
            true
        }
        Err(problem) => {
            assert!(matches!(problem.kind, ProblemKind::PatchFailed | ProblemKind::Invalid));
            assert!(!problem.messages.is_empty() && problem.messages.iter().all(|text| text.len() < 2_048));
            false
        }
    }
}

/// A body as routes read it: what is taken, the usual reader takes too and reads alike.
fn read(bytes: &[u8]) -> Option<Value> {
    let value = strict_json(bytes)?;
    assert_eq!(serde_json::from_slice::<Value>(bytes).ok(), Some(value.clone()));
    Some(value)
}

/// A collection in the first line and a pair of a query in each other: the query is read or refused
/// with a sentence for each mistake, holds for an object or not, and puts objects in one order.
pub fn filter(data: &[u8]) -> bool {
    let input = lossy(data);
    let mut lines = input.lines();
    let Ok(kind) = lines.next().unwrap_or_default().parse::<Kind>() else { return false };
    let pairs: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    match parse(kind, pairs.iter().copied()) {
        Ok(query) => {
            holds(kind, &query);
            true
        }
        Err(problem) => {
            assert_eq!((problem.kind, problem.model), (ProblemKind::BadList, kind.prefix()));
            assert!(!problem.messages.is_empty() && problem.messages.len() <= pairs.len());
            assert!(problem.messages.iter().all(|text| text.len() < 1_024));
            false
        }
    }
}

fn holds(kind: Kind, query: &Query) {
    let objects = objects();
    for object in &objects {
        let each = query.filters.iter().all(|filter| filter.matches(object));
        assert!(each || !query.matches(object), "a filter that does not hold is part of it");
    }
    let key = index::find(kind, kind.key_field()).expect("every kind has its key");
    for (one, other) in objects.iter().flat_map(|one| objects.iter().map(move |other| (one, other))) {
        let order = query.order(key, one, other);
        assert_eq!(order, query.order(key, other, one).reverse());
        assert!(one != other || order == Ordering::Equal);
    }
    let part = query.part(objects.len());
    assert!(part.start <= part.end && part.end <= objects.len());
    for mut object in objects {
        let before = object.as_object().expect("an object").clone();
        let shown = object.as_object_mut().expect("an object");
        query.shape.trim(shown);
        assert!(shown.keys().all(|name| name == "Partial" || before.contains_key(name)));
    }
}

fn objects() -> Vec<Value> {
    vec![
        json!({"Name": "alpha", "ID": "alpha", "Id": "alpha", "Uuid": "11111111-2222-4333-8444-555555555555",
            "Address": "10.0.0.5", "Runnable": true, "CurrentTask": 3, "Profiles": ["p1"], "Meta": {"a": "b"},
            "Params": {"rack": "r7", "slot": 4, "deep": {"a": [1, 2.5]}}, "CreatedAt": "2026-11-22T01:21:41Z"}),
        json!({"Name": "beta", "ID": "beta", "Id": "beta", "Uuid": "21111111-2222-4333-8444-555555555555",
            "Address": "", "Runnable": false, "CurrentTask": -1, "Profiles": [], "Meta": {},
            "Params": {"rack": null, "slot": "4"}, "CreatedAt": "0001-01-01T00:00:00Z"}),
        json!({}),
    ]
}
