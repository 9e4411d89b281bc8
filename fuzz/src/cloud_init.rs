//! What roles' templates yield: cloud-init configuration, read, merged and written.

use crate::text::{is_tame, lossy};
use engine::cloud_init::{Layer, MAX_DEPTH, MAX_DOCUMENT, MAX_VALUES, Merged, document, merge, read};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Most documents of one input.
const MAX_LAYERS: usize = 8;

/// Documents behind each other, with a NUL between: reading ends within its limits, what is read is written
/// and read back the same, and merging loses no key, is the same when asked again, and makes nothing of what
/// it merged once already.
pub fn cloud_init(data: &[u8]) -> bool {
    let input = lossy(data);
    let mut layers = Vec::new();
    for text in input.split('\0').take(MAX_LAYERS) {
        match read(text) {
            Ok(map) => {
                is_bounded(&map);
                let written = document(&map);
                // What aliases stand for is written out, and may be longer than what is read.
                assert!(
                    written.len() > MAX_DOCUMENT || read(&written).as_ref() == Ok(&map),
                    "written and read back"
                );
                layers.push(Layer { from: format!("role {}", layers.len()), document: map });
            }
            Err(error) => is_tame(&error.to_string()),
        }
    }
    if layers.is_empty() {
        return false;
    }
    match merge(layers.clone()) {
        Ok(merged) => {
            is_merged(&layers, &merged);
            true
        }
        Err(faults) => {
            faults.iter().for_each(|fault| is_tame(&fault.told));
            false
        }
    }
}

fn is_bounded(map: &Map<String, Value>) {
    let mut values = 0_usize;
    let mut next: Vec<(&Value, usize)> = map.values().map(|value| (value, 2)).collect();
    while let Some((value, depth)) = next.pop() {
        values += 1;
        assert!(depth <= MAX_DEPTH + 1, "{depth} levels");
        match value {
            Value::Array(list) => next.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => next.extend(map.values().map(|value| (value, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(values <= MAX_VALUES, "{values} values");
}

fn is_merged(layers: &[Layer], merged: &Merged) {
    assert_eq!(merge(layers.to_vec()).as_ref(), Ok(merged), "asked again");
    for layer in layers {
        let given = layer.document.keys().filter(|key| *key != "muster_merge");
        for key in given {
            assert!(merged.document.contains_key(key), "{key:?} of {} is gone", layer.from);
        }
    }
    // A map's order is how it was written or by name, as the build has it.
    let keys: BTreeSet<&String> = merged.document.keys().collect();
    assert!(keys.into_iter().eq(merged.sources.keys()), "every key says where it is from");
    let Some(top) = layers.last() else { return };
    let once = Layer { from: "below".to_owned(), document: merged.document.clone() };
    let twice = merge([once, top.clone()]).expect("what was merged is merged again");
    assert_eq!(twice.document, merged.document, "merged twice");
}
