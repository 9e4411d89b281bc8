//! What Go and sprig do, we do: `fixtures/expected.jsonl` is their output (see the README there).

use serde_json::Value as Json;
use std::collections::BTreeSet;
use template::{Delimiters, MissingKey, Options, TemplateError, Templates, Value};

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn render(case: &Json) -> Result<String, TemplateError> {
    let text = case.get("template").and_then(Json::as_str).expect("a template");
    let missing_key = match case.get("missingkey").and_then(Json::as_str) {
        Some("error") => MissingKey::Error,
        Some(_) | None => MissingKey::Default,
    };
    let mut templates = Templates::default();
    templates.add("case", text, &Delimiters::default())?;
    let dot = match case.get("with") {
        Some(_) => {
            Value::from(serde_json::from_str::<Json>(include_str!("fixtures/common.json")).expect("JSON"))
        }
        None => case.get("data").map_or(Value::Nil, Value::from),
    };
    templates.render("case", dot, &Options { missing_key, ..Options::default() })
}

#[test]
fn every_line_of_the_table_is_as_in_go() {
    let cases = lines(include_str!("fixtures/cases.jsonl"));
    let expected = lines(include_str!("fixtures/expected.jsonl"));
    assert_eq!(cases.len(), expected.len(), "write expected.jsonl anew");
    assert!(cases.len() >= 400, "only {} cases", cases.len());
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (case, expected) in cases.iter().zip(&expected) {
        let name = case.get("name").and_then(Json::as_str).expect("a name");
        assert_eq!(Some(name), expected.get("name").and_then(Json::as_str), "write expected.jsonl anew");
        assert!(names.insert(name), "two cases are called {name}");
        let go = expected.get("output").and_then(Json::as_str);
        let ours = render(case);
        if ours.as_deref().ok() != go {
            let template = case.get("template").and_then(Json::as_str).unwrap_or_default();
            wrong.push(format!("{name}: {template}\n  ours {ours:?}\n  Go   {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
