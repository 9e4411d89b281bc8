//! Slash-separated paths as Go's `path`, and URLs.

use super::urls;
use crate::function::{Function, Param};
use crate::value::Value;

use Param::Text;

pub(super) static FUNCTIONS: [Function; 12] = [
    Function::new("base", &[Text], |_, a| Ok(base(a.text(0)?).into())),
    Function::new("osBase", &[Text], |_, a| Ok(base(a.text(0)?).into())),
    Function::new("dir", &[Text], |_, a| Ok(dir(a.text(0)?).into())),
    Function::new("osDir", &[Text], |_, a| Ok(dir(a.text(0)?).into())),
    Function::new("clean", &[Text], |_, a| Ok(clean(a.text(0)?).into())),
    Function::new("osClean", &[Text], |_, a| Ok(clean(a.text(0)?).into())),
    Function::new("ext", &[Text], |_, a| Ok(ext(a.text(0)?).into())),
    Function::new("osExt", &[Text], |_, a| Ok(ext(a.text(0)?).into())),
    Function::new("isAbs", &[Text], |_, a| Ok(a.text(0)?.starts_with('/').into())),
    Function::new("osIsAbs", &[Text], |_, a| Ok(a.text(0)?.starts_with('/').into())),
    Function::new("urlParse", &[Text], |_, a| Ok(Value::Map(urls::parse(a.text(0)?)?))),
    Function::new("urlJoin", &[Param::Map], |_, a| Ok(urls::join(&a.map(0)?)?.into())),
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default())
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default()
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
