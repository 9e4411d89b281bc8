//! What an operator writes down of an object: `FIELD=VALUE` on the command line, or a file.

use anyhow::{Context, Result, bail};
use protocol::model::Kind;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: the server takes no larger body.
const MAX_FILE: u64 = 32 * 1_024 * 1_024;

/// A whole object: fields, a file, or fields over a file
#[derive(Debug, clap::Args)]
pub(crate) struct Body {
    /// Fields: VALUE is JSON, or text as it is; the first may be the name alone
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "from")]
    fields: Vec<String>,
    /// JSON or YAML file with the object; - reads standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Fields that change
#[derive(Debug, clap::Args)]
pub(crate) struct Patch {
    /// Fields: VALUE is JSON, or text as it is; Params are merged, all else is replaced
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// JSON or YAML file with the fields, or with RFC 6902 operations; - reads standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Also where the server asks for force, such as a stage change with tasks to run
    #[arg(long)]
    force: bool,
}

impl Body {
    /// The object; a first word without `=` is its name.
    pub(crate) fn read(&self, kind: Kind) -> Result<Value> {
        let name_field = if kind == Kind::Machines { "Name" } else { kind.key_field() };
        let mut object = object_of(self.from.as_deref())?;
        for (place, text) in self.fields.iter().enumerate() {
            match text.split_once('=') {
                Some((field, value)) => object.insert(field.to_owned(), value_of(value)),
                None if place == 0 => object.insert(name_field.to_owned(), text.clone().into()),
                None => bail!("{text:?} is no FIELD=VALUE"),
            };
        }
        Ok(Value::Object(object))
    }
}

impl Patch {
    /// The body of the `PATCH`: fields, with what `more` adds, or operations when a file holds a list of them.
    pub(crate) fn read(&self, more: impl FnOnce(&mut Map<String, Value>) -> Result<()>) -> Result<Value> {
        let mut patch = match &self.from {
            Some(path) => document(path)?,
            None => Value::Object(Map::new()),
        };
        let mut object = match &mut patch {
            Value::Object(object) => std::mem::take(object),
            Value::Array(_) => Map::new(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                bail!("the file must hold one object, or a list of operations")
            }
        };
        object.extend(fields(&self.fields)?);
        more(&mut object)?;
        match (patch.is_array(), object.is_empty()) {
            (true, true) => Ok(patch),
            (true, false) => bail!("the file holds operations, which fields cannot be added to"),
            (false, true) => {
                bail!("say what is to change: FIELD=VALUE, one of the options, or a file with --from")
            }
            (false, false) => Ok(Value::Object(object)),
        }
    }

    /// The address to send it to.
    pub(crate) fn at(&self, path: &str) -> String {
        if self.force { format!("{path}?force=true") } else { path.to_owned() }
    }
}

/// `FIELD=VALUE`, each.
pub(crate) fn fields(list: &[String]) -> Result<Map<String, Value>> {
    let field = |text: &String| {
        let (field, value) = text.split_once('=').with_context(|| format!("{text:?} is no FIELD=VALUE"))?;
        Ok((field.to_owned(), value_of(value)))
    };
    list.iter().map(field).collect()
}

/// A value as it was typed: JSON if it is, else text.
pub(crate) fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn object_of(from: Option<&Path>) -> Result<Map<String, Value>> {
    let Some(path) = from else { return Ok(Map::new()) };
    let Value::Object(object) = document(path)? else { bail!("{} must hold one object", path.display()) };
    Ok(object)
}

/// The one JSON or YAML document of a file, or of standard input for `-`.
pub(crate) fn document(path: &Path) -> Result<Value> {
    parse(&read(path)?).with_context(|| format!("{} is neither JSON nor YAML", path.display()))
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<String> {
    let told = || format!("{} cannot be read", path.display());
    let mut text = String::new();
    let size = if path == Path::new("-") {
        io::stdin().lock().take(MAX_FILE + 1).read_to_string(&mut text).with_context(told)?
    } else {
        File::open(path)
            .with_context(told)?
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .with_context(told)?
    };
    if u64::try_from(size).unwrap_or(u64::MAX) > MAX_FILE {
        bail!("{} has more than {MAX_FILE} bytes", path.display());
    }
    Ok(text)
}

/// JSON or YAML; JSON first, since not every JSON text is YAML.
pub(crate) fn parse(text: &str) -> Result<Value> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => Ok(serde_yaml_ng::from_str(text)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(fields: &[&str]) -> Body {
        Body { fields: fields.iter().map(|&field| field.to_owned()).collect(), from: None }
    }

    #[test]
    fn fields_are_json_or_text() {
        let read = body(&["web", "Tasks=[\"a\"]", "Description=rack 4", "Reboot=true"]).read(Kind::Stages);
        assert_eq!(
            read.unwrap(),
            json!({"Name": "web", "Tasks": ["a"], "Description": "rack 4", "Reboot": true})
        );
        assert_eq!(body(&["x.tmpl"]).read(Kind::Templates).unwrap(), json!({"ID": "x.tmpl"}));
        assert!(body(&["a", "b"]).read(Kind::Stages).unwrap_err().to_string().contains("FIELD=VALUE"));
    }

    #[test]
    fn file_holds_json_or_yaml_and_fields_win_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stage.yaml");
        std::fs::write(&path, "Name: web\nTasks: [a, b]\n").unwrap();
        let whole = Body { fields: vec!["Name=db".into()], from: Some(path.clone()) };
        assert_eq!(whole.read(Kind::Stages).unwrap(), json!({"Name": "db", "Tasks": ["a", "b"]}));
        std::fs::write(&path, r#"[{"op": "remove", "path": "/Tasks/0"}]"#).unwrap();
        let patch = Patch { fields: Vec::new(), from: Some(path.clone()), force: false };
        assert!(patch.read(|_| Ok(())).unwrap().is_array());
        let both = Patch { fields: vec!["Name=db".into()], ..patch }.read(|_| Ok(()));
        assert_eq!(
            both.unwrap_err().to_string(),
            "the file holds operations, which fields cannot be added to"
        );
        let told = whole.read(Kind::Stages).unwrap_err().to_string();
        assert!(told.ends_with("must hold one object"), "{told}");
        let told = format!("{:#}", document(&folder.path().join("none")).unwrap_err());
        assert!(told.contains("none cannot be read: No such file"), "{told}");
    }
}
