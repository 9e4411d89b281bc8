//! Content as a folder, laid out as community content is: one folder a collection, one YAML or
//! JSON file an object, texts in `templates/` as they are, and `._NAME.meta` files about the whole.

use crate::object::edit::parse;
use anyhow::{Context, Result, bail};
use protocol::model::Kind;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest file of a folder, in bytes.
const MAX_FILE: u64 = 4 * 1_024 * 1_024;
/// Most files of a folder, and deepest nesting.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 16;
/// What a folder may say of the whole: `._Name.meta`.
const META_PREFIX: &str = "._";
const META_SUFFIX: &str = ".meta";

/// A document of objects, and which file each came from.
#[derive(Debug)]
pub(super) struct Gathered {
    /// `meta` and `sections`, as the server takes it.
    pub(super) document: Value,
    /// Files by `collection/key`.
    files: BTreeMap<String, PathBuf>,
    /// What could not be read, by file.
    pub(super) problems: Vec<String>,
}

impl Gathered {
    /// Reads a folder, or one file that holds a whole document.
    pub(super) fn read(path: &Path) -> Result<Self> {
        if path.is_dir() { Self::read_folder(path) } else { Self::read_document(path) }
    }

    fn read_document(path: &Path) -> Result<Self> {
        let document = crate::object::edit::document(path)?;
        if !document["sections"].is_object() {
            bail!("{} is no content: it has no sections", path.display());
        }
        Ok(Self { document, files: BTreeMap::new(), problems: Vec::new() })
    }

    fn read_folder(folder: &Path) -> Result<Self> {
        let mut reading = Reading::of(folder);
        for entry in entries(folder)? {
            let name = name_of(&entry);
            if let Some(field) =
                name.strip_prefix(META_PREFIX).and_then(|rest| rest.strip_suffix(META_SUFFIX))
            {
                reading.meta.insert(field.to_owned(), read_text(&entry)?.trim_end().into());
            } else if let (true, Ok(kind)) = (entry.is_dir(), name.parse::<Kind>()) {
                reading.collection(kind, &entry, 0)?;
            }
        }
        if reading.sections.is_empty() && reading.problems.is_empty() {
            bail!("{} has no folder of a collection, such as tasks or stages", folder.display());
        }
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        reading.meta.entry("Name").or_insert_with(|| name.unwrap_or_default().into());
        let mut document = Map::new();
        document.insert("meta".to_owned(), Value::Object(reading.meta));
        document.insert("sections".to_owned(), Value::Object(reading.sections));
        Ok(Self { document: Value::Object(document), files: reading.files, problems: reading.problems })
    }

    /// A message about `collection/key: ...` with the file that says it.
    pub(super) fn with_file(&self, message: &str) -> String {
        let file = message.split_once(": ").and_then(|(object, _)| self.files.get(object));
        match file {
            Some(file) => format!("{}: {message}", file.display()),
            None => message.to_owned(),
        }
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        let sections = self.document["sections"].as_object();
        sections.map_or(0, |sections| sections.values().filter_map(Value::as_object).map(Map::len).sum())
    }
}

/// A folder being read.
#[derive(Debug)]
struct Reading<'a> {
    folder: &'a Path,
    meta: Map<String, Value>,
    sections: Map<String, Value>,
    files: BTreeMap<String, PathBuf>,
    problems: Vec<String>,
}

impl<'a> Reading<'a> {
    fn of(folder: &'a Path) -> Self {
        Self { folder, meta: Map::new(), sections: Map::new(), files: BTreeMap::new(), problems: Vec::new() }
    }

    /// Takes in the files below a collection's folder.
    fn collection(&mut self, kind: Kind, folder: &Path, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            bail!("{} lies more than {MAX_DEPTH} folders deep", folder.display());
        }
        for entry in entries(folder)? {
            if name_of(&entry).starts_with('.') {
                continue;
            }
            if entry.is_dir() {
                self.collection(kind, &entry, depth + 1)?;
                continue;
            }
            if self.files.len() >= MAX_FILES {
                bail!("{} has more than {MAX_FILES} files", self.folder.display());
            }
            if let Err(error) = self.file(kind, &entry) {
                self.problems.push(format!("{}: {error:#}", entry.display()));
            }
        }
        Ok(())
    }

    fn file(&mut self, kind: Kind, path: &Path) -> Result<()> {
        let text = read_text(path)?;
        let is_document = path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        let object = match (is_document, kind) {
            (true, _) => parse(&text).context("neither JSON nor YAML")?,
            (false, Kind::Templates) => {
                let collection = self.folder.join(kind.prefix());
                let id = path.strip_prefix(&collection).ok().and_then(Path::to_str);
                let id = id.context("the file's name is not UTF-8")?;
                Value::Object(Map::from_iter([
                    ("ID".to_owned(), id.into()),
                    ("Contents".to_owned(), text.into()),
                ]))
            }
            (false, _) => bail!("an object's file ends in .yaml, .yml or .json"),
        };
        let field = kind.key_field();
        let key = object[field].as_str().filter(|key| !key.is_empty());
        let key = key.with_context(|| format!("a {} needs its {field}", kind.noun()))?.to_owned();
        if let Some(other) = self.files.insert(format!("{kind}/{key}"), path.to_owned()) {
            bail!("{} {key} is in {} too", kind.noun(), other.display());
        }
        let section = self.sections.entry(kind.prefix()).or_insert_with(|| Value::Object(Map::new()));
        if let Some(section) = section.as_object_mut() {
            section.insert(key, object);
        }
        Ok(())
    }
}

/// Writes a document as a folder that [`Gathered::read`] reads. The folder must be new or empty.
pub(super) fn write(document: &Value, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    if !entries(folder)?.is_empty() {
        bail!("{} is not empty: name a new folder", folder.display());
    }
    for (field, value) in document["meta"].as_object().into_iter().flatten() {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            let path = folder.join(format!("{META_PREFIX}{}{META_SUFFIX}", file_name(field)));
            write_file(&path, text)?;
        }
    }
    let mut written = 0;
    for (prefix, objects) in document["sections"].as_object().into_iter().flatten() {
        let kind: Kind = prefix.parse().with_context(|| format!("{prefix:?}"))?;
        let section = folder.join(kind.prefix());
        fs::create_dir_all(&section).with_context(|| format!("{} cannot be made", section.display()))?;
        for (key, object) in objects.as_object().into_iter().flatten() {
            let text = serde_yaml_ng::to_string(object).context("an object cannot be written as YAML")?;
            write_file(&section.join(format!("{}.yaml", file_name(key))), &text)?;
            written += 1;
        }
    }
    Ok(written)
}

/// A key as one file name: no name of another folder, whatever the server says.
fn file_name(key: &str) -> String {
    let mut name = key.replace(['/', '\\', '\0'], "-");
    if name.starts_with('.') {
        name.insert(0, '_');
    }
    name
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    // Two keys may become one name: the second file would hide the first.
    if path.exists() {
        bail!("two objects would be written to {}", path.display());
    }
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let told = || format!("{} cannot be read", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(told)? {
        paths.push(entry.with_context(told)?.path());
        if paths.len() > MAX_FILES {
            bail!("{} has more than {MAX_FILES} files", folder.display());
        }
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn read_text(path: &Path) -> Result<String> {
    let size = fs::metadata(path).context("the file cannot be read")?.len();
    if size > MAX_FILE {
        bail!("the file has {size} bytes, at most {MAX_FILE} are read");
    }
    let bytes = fs::read(path).context("the file cannot be read")?;
    String::from_utf8(bytes).ok().context("the file is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn folder_is_read_as_community_content_is_laid_out() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "._Name.meta", "site\n");
        put(folder.path(), "README.md", "not content");
        put(
            folder.path(),
            "tasks/hello.yaml",
            "---\nName: hello\nTemplates:\n- Name: hello\n  ID: hello.sh.tmpl\n",
        );
        put(folder.path(), "templates/hello.sh.tmpl", "echo {{ .Machine.Name }}\n");
        put(folder.path(), "params/site/name.json", r#"{"Name": "site/name"}"#);
        let gathered = Gathered::read(folder.path()).unwrap();
        assert_eq!(gathered.problems, Vec::<String>::new());
        assert_eq!(gathered.len(), 3);
        assert_eq!(gathered.document["meta"]["Name"], "site");
        assert_eq!(
            gathered.document["sections"]["templates"]["hello.sh.tmpl"]["Contents"],
            "echo {{ .Machine.Name }}\n"
        );
        let told = gathered.with_file("tasks/hello: there is no template hello.sh.tmpl");
        assert!(
            told.ends_with("tasks/hello.yaml: tasks/hello: there is no template hello.sh.tmpl"),
            "{told}"
        );
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "tasks/a.yaml", "Name: [");
        put(folder.path(), "tasks/b.yaml", "Documentation: no name");
        put(folder.path(), "tasks/c.yaml", "Name: c");
        put(folder.path(), "tasks/d.yaml", "Name: c");
        put(folder.path(), "stages/e.txt", "what");
        let problems = Gathered::read(folder.path()).unwrap().problems;
        for told in [
            "a.yaml: neither JSON nor YAML",
            "b.yaml: a task needs its Name",
            "c is in",
            "e.txt: an object's file ends in",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(told)), "{told}: {problems:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_stays_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let document = json!({
            "meta": {"Name": "site", "Version": "1.2"},
            "sections": {"params": {"../a/b": {"Name": "../a/b"}}, "templates": {"x.tmpl": {"ID": "x.tmpl", "Contents": "a\n"}}},
        });
        let target = folder.path().join("out");
        assert_eq!(write(&document, &target).unwrap(), 2);
        assert!(target.join("params/_..-a-b.yaml").exists());
        assert_eq!(Gathered::read(&target).unwrap().document, document);
        assert!(write(&document, &target).unwrap_err().to_string().ends_with("name a new folder"));
    }
}
