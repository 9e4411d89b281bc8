//! Precedence, aggregation and composition of params.

use super::*;
use crate::content::sample::with;
use crate::machine::tests::machine;
use protocol::model::Kind;
use serde_json::json;

fn profile(name: &str, params: Value, profiles: &[&str]) -> (Kind, Value) {
    (Kind::Profiles, json!({"Name": name, "Params": params, "Profiles": profiles}))
}

/// Every source has the key of its own and all keys of those behind it.
fn layers() -> (Content, Machine) {
    let content = with(&[
        profile(
            "deep",
            json!({"c": "deep", "d": "deep", "e": "deep", "f": "deep", "g": "deep", "hh": "deep"}),
            &[],
        ),
        profile("first", json!({"b": "first", "c": "first", "z": 1}), &["deep"]),
        profile("second", json!({"c": "second", "d": "second"}), &[]),
        profile("staged", json!({"f": "staged", "g": "staged", "hh": "staged"}), &[]),
        (Kind::Stages, json!({"Name": "st", "Params": {"e": "stage", "f": "stage"}, "Profiles": ["staged"]})),
        (Kind::Params, json!({"Name": "hh", "Schema": {"default": "schema"}})),
        (Kind::Params, json!({"Name": "ii", "Schema": {"default": "schema"}})),
    ]);
    let mut content = content;
    content.profiles.put(protocol::model::Profile {
        name: "global".to_owned(),
        params: [("g", "global"), ("hh", "global")].map(|(k, v)| (k.to_owned(), json!(v))).into(),
        ..protocol::model::Profile::default()
    });
    let mut machine = machine();
    machine.fields.params = [("a", json!("own")), ("b", json!("own")), ("null", Value::Null)]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
    machine.fields.profiles = vec!["first".into(), "missing".into(), "second".into()];
    machine.fields.stage = "st".into();
    (content, machine)
}

#[test]
fn p8_machine_wins_then_profiles_in_order_stage_global_and_schema() {
    let (mut content, machine) = layers();
    let value = |content: &Content, key: &str| lookup(content, Some(&machine), key);
    for (key, from) in [("a", "own"), ("b", "own"), ("c", "first"), ("d", "deep"), ("e", "deep")] {
        assert_eq!(value(&content, key), Some(json!(from)), "{key}");
    }
    // Without the nested profile the stage shows, then its profile, then the global one.
    content.profiles.remove("deep");
    for (key, from) in
        [("d", "second"), ("e", "stage"), ("f", "stage"), ("g", "staged"), ("hh", "staged"), ("ii", "schema")]
    {
        assert_eq!(value(&content, key), Some(json!(from)), "{key}");
    }
    content.stages.remove("st");
    assert_eq!(value(&content, "hh"), Some(json!("global")));
    content.profiles.remove("global");
    assert_eq!(value(&content, "hh"), Some(json!("schema")));
    assert_eq!(value(&content, "nothing"), None);
    assert_eq!(value(&content, "null"), Some(Value::Null), "null is a value");
}

#[test]
fn p9_global_profile_is_last_and_holds_for_strangers() {
    let (content, machine) = layers();
    assert_eq!(lookup(&content, None, "g"), Some(json!("global")));
    assert_eq!(lookup(&content, None, "a"), None);
    assert_eq!(lookup(&content, None, "ii"), Some(json!("schema")));
    let global = &content.profiles.get("global").unwrap().params;
    assert_eq!(sources(&content, Some(&machine)).last(), Some(&global));
}

#[test]
fn g15_aggregate_is_all_that_is_set_without_defaults() {
    let content = with(&[
        profile("p1", json!({"x": 1}), &[]),
        profile("p2", json!({"z": 3}), &[]),
        (Kind::Stages, json!({"Name": "st", "Params": {"y": 2}, "Profiles": ["p2"]})),
        (Kind::Params, json!({"Name": "unset", "Schema": {"default": 0}})),
    ]);
    let mut machine = machine();
    machine.fields.profiles = vec!["p1".into()];
    machine.fields.stage = "st".into();
    let all = serde_json::to_value(aggregate(&content, Some(&machine))).unwrap();
    assert_eq!(all, json!({"x": 1, "y": 2, "z": 3}));
    let stage = content.stages.get("st").unwrap();
    assert_eq!(
        serde_json::to_value(merge(sources_of_stage(&content, stage))).unwrap(),
        json!({"y": 2, "z": 3})
    );
}

#[test]
fn composed_value_merges_maps_and_joins_lists() {
    let content = with(&[
        profile(
            "p1",
            json!({"map": {"a": 1, "deep": {"x": 1}}, "list": [3], "mixed": [1], "one": "p1"}),
            &[],
        ),
        profile(
            "p2",
            json!({"map": {"a": 2, "b": 2, "deep": {"x": 2, "y": 2}}, "list": [4], "mixed": {"a": 1}}),
            &[],
        ),
        (Kind::Params, json!({"Name": "list", "Schema": {"default": [9]}})),
        (Kind::Params, json!({"Name": "unset", "Schema": {"default": [9]}})),
    ]);
    let mut machine = machine();
    machine.fields.profiles = vec!["p1".into(), "p2".into()];
    machine.fields.params.insert("list".into(), json!([1, 2]));
    let value = |key: &str| compose(&content, Some(&machine), key);
    assert_eq!(value("map"), Some(json!({"a": 1, "b": 2, "deep": {"x": 1, "y": 2}})));
    assert_eq!(value("list"), Some(json!([1, 2, 3, 4])));
    assert_eq!(value("mixed"), Some(json!([1])));
    assert_eq!(value("one"), Some(json!("p1")));
    assert_eq!(value("unset"), Some(json!([9])));
    assert_eq!(value("nothing"), None);
}

#[test]
fn profiles_that_name_each_other_are_looked_at_once() {
    let mut content = with(&[]);
    for (name, next) in [("p1", "p2"), ("p2", "p1")] {
        content.profiles.put(protocol::model::Profile {
            name: name.to_owned(),
            profiles: vec![next.to_owned(), next.to_owned()],
            ..protocol::model::Profile::default()
        });
    }
    let profile = content.profiles.get("p1").unwrap();
    assert_eq!(sources_of_profile(&content, profile).len(), 2);
}

#[test]
fn only_what_changes_is_held_against_schemas() {
    let content = with(&[(Kind::Params, json!({"Name": "size", "Schema": {"type": "integer"}}))]);
    let map = |value: Value| Params::from([("size".to_owned(), value), ("free".to_owned(), json!({"a": 1}))]);
    assert!(problems(&content, &Params::new(), &map(json!(1))).is_empty());
    let told = problems(&content, &Params::new(), &map(json!("x")));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("Params: size: "), "{told:?}");
    assert!(problems(&content, &map(json!("x")), &map(json!("x"))).is_empty());
}
