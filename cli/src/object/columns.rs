//! How objects look to people: a few columns a kind, and fields of one object as YAML.

use super::Collection;
use crate::print;
use anyhow::{Context, Result};
use protocol::model::Kind;
use serde_json::Value;

/// The fields that a kind's table shows, behind the key.
fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::BootEnvs => &["OS.Name", "OnlyUnknown", "Description"],
        Kind::Contexts => &["Engine", "Image", "Description"],
        Kind::Images => &["Source", "Format", "Pull", "Description"],
        Kind::Jobs => &["Task", "State", "ExitState", "Machine", "StartTime", "EndTime"],
        Kind::Machines => &["Name", "Stage", "Workflow", "BootEnv"],
        Kind::Meshes => &["Cidrs", "Default", "Members", "FreeAddresses", "Description"],
        Kind::Params => &["Schema.type", "Schema.default", "Description"],
        Kind::Pools => &["ParentPool", "Description"],
        Kind::Profiles => &["Params", "Profiles", "Description"],
        Kind::RegistryCredentials => &["Registry", "Username", "HasPassword", "Description"],
        Kind::Roles => &["Claims", "Description"],
        Kind::Secrets => &["HasValue", "Description"],
        Kind::Stages => &["BootEnv", "Tasks", "Description"],
        Kind::Tasks => &["Templates", "Prerequisites", "Description"],
        Kind::Templates => &["Description"],
        Kind::Users => &["Roles", "Description"],
        Kind::Variables => &["Value", "Description"],
        Kind::Vips => &["Prefix", "MeshNetwork", "State", "Holder", "Description"],
        Kind::Workflows => &["Stages", "Description"],
    }
}

/// A table of objects.
pub(super) fn draw_list(collection: Collection, answer: &Value) -> Result<String> {
    let objects = answer.as_array().context("the server's answer is no list")?;
    let kind = collection.kind;
    let mut header = vec![kind.key_field()];
    header.extend(fields(kind));
    header.push("Available");
    let rows = objects.iter().map(|object| header.iter().map(|field| cell(object, field)).collect());
    let titles: Vec<String> = header.iter().map(|field| field.to_uppercase()).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    Ok(print::table(&titles, rows.collect(), &format!("no {} here", collection.noun)))
}

/// One field in a few characters: lists joined, maps by their keys.
fn cell(object: &Value, field: &str) -> String {
    let value = field.split('.').fold(object, |value, part| &value[part]);
    match value {
        Value::Null => String::new(),
        Value::String(text) if text == protocol::model::ZERO_TIME => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => list.iter().map(word).collect::<Vec<_>>().join(","),
        Value::Object(map) => map.keys().cloned().collect::<Vec<_>>().join(","),
    }
}

/// An element of a list in one word: a text itself, an object by its name.
fn word(element: &Value) -> String {
    let claim = || Some(format!("{} {}", element["scope"].as_str()?, element["action"].as_str()?));
    let named = || element["Name"].as_str().map(str::to_owned);
    element.as_str().map(str::to_owned).or_else(named).or_else(claim).unwrap_or_default()
}

/// One object for people: what is set, as YAML, without what every object has.
pub(super) fn draw(object: &Value) -> Result<String> {
    let mut shown = object.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|name, value| !is_quiet(name, value));
    }
    let text = serde_yaml_ng::to_string(&shown).context("the answer cannot be written as YAML")?;
    Ok(text.trim_end().lines().map(print::one_line).collect::<Vec<_>>().join("\n"))
}

/// What says nothing: empty fields, and those of the common envelope while all is well.
fn is_quiet(name: &str, value: &Value) -> bool {
    match name {
        "Validated" | "Available" => value == &Value::Bool(true),
        "ReadOnly" | "Partial" => value == &Value::Bool(false),
        "Bundle" | "CreatedBy" | "Endpoint" | "LastModifiedAt" | "LastModifiedBy" => true,
        _ => is_nothing(value),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text == protocol::model::ZERO_TIME,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_show_what_a_kind_is_about() {
        let stages = json!([{"Name": "web", "BootEnv": "local", "Tasks": ["a", "b"], "Available": true}]);
        let told = draw_list(Collection::of(Kind::Stages), &stages).unwrap();
        assert_eq!(
            told,
            "NAME  BOOTENV  TASKS  DESCRIPTION  AVAILABLE\nweb   local    a,b                 true"
        );
        let roles =
            json!([{"Name": "reader", "Claims": [{"scope": "machines", "action": "get", "specific": "*"}]}]);
        assert!(draw_list(Collection::ACCESS_ROLES, &roles).unwrap().contains("machines get"));
        assert_eq!(draw_list(Collection::of(Kind::Jobs), &json!([])).unwrap(), "no job here");
    }

    #[test]
    fn one_object_shows_what_is_set_and_what_is_wrong() {
        let stage = json!({
            "Name": "web", "BootEnv": "", "Tasks": ["a\u{1b}[2J"], "Meta": {}, "Available": false,
            "Errors": ["stage web: there is no task a"], "ReadOnly": false, "Validated": true, "Bundle": "BackingStore"
        });
        let told = draw(&stage).unwrap();
        assert!(told.contains("Available: false") && told.contains("there is no task a"), "{told}");
        assert!(!told.contains("Bundle") && !told.contains("ReadOnly") && !told.contains('\u{1b}'), "{told}");
        assert!(!draw(&json!({"Name": "web", "Available": true})).unwrap().contains("Available"));
    }
}
