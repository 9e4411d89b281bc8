//! Bundles: objects that come, are replaced and go together, read-only under one name.
//!
//! A bundle is one document, `{"meta": {"Name": ...}, "sections": {"tasks": {"NAME": {...}}}}`, as
//! Digital Rebar's content is. It is taken whole or not at all, and every problem is told at once.

use super::rules::{Rules, of_kind};
use super::{Content, Object};
use crate::change::{Cause, Change, Changes, Record, Revision};
use crate::fields::SERVER_SET;
use crate::names;
use crate::problem::{Problem, ProblemKind};
use protocol::model::{BUILTIN_BUNDLE, Kind, WRITABLE_BUNDLE};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What is said of a bundle as a whole, such as its version.
pub type BundleMeta = Map<String, Value>;

/// `Model` of problems about bundles.
pub const CONTENTS: &str = "contents";
/// Sort of the records that hold what is said of bundles.
pub const BUNDLE_RECORD: &str = "bundle";
/// Most objects of a bundle.
const MAX_OBJECTS: usize = 20_000;
/// Most that is said of a bundle as a whole, in bytes of JSON.
const MAX_META: usize = 256 * 1_024;
/// In this order what an object refers to is there before it. Users stay where they are, and so does
/// what is secret.
const ORDER: [Kind; 13] = [
    Kind::Params,
    Kind::Variables,
    Kind::Images,
    Kind::Templates,
    Kind::Profiles,
    Kind::Contexts,
    Kind::Tasks,
    Kind::BootEnvs,
    Kind::Stages,
    Kind::Workflows,
    Kind::Pools,
    Kind::Roles,
    Kind::Vips,
];
/// A bundle that was taken or given up, to be committed and told.
#[derive(Debug, Clone)]
pub struct BundleEdit {
    /// The next snapshot. Its revision is still that of the one before: the commit gives it.
    pub content: Content,
    /// What to store.
    pub changes: Changes,
    /// The bundle in short, as [`Content::bundles`] has it, with what its objects lack.
    pub summary: Value,
}

/// What a check of a document found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Why it would be refused.
    pub problems: Vec<String>,
    /// What it would lack: its objects would come and not be available.
    pub warnings: Vec<String>,
}

/// Checks a document against what is built in.
pub fn check(document: &Value, cause: &Cause) -> Checked {
    match Content::built_in().import(document, None, &BTreeSet::new(), cause) {
        Ok(edit) => Checked { problems: Vec::new(), warnings: warnings_of(&edit.summary) },
        Err(problem) => Checked { problems: problem.messages, warnings: Vec::new() },
    }
}

/// The sentences of a summary.
fn warnings_of(summary: &Value) -> Vec<String> {
    let list = summary["Warnings"].as_array().into_iter().flatten();
    list.filter_map(|warning| warning.as_str().map(str::to_owned)).collect()
}

impl Content {
    /// Takes a bundle, in place of the one of the name `replace` if that is given. `used` names the
    /// objects that machines refer to: none of them may go.
    ///
    /// # Errors
    /// Everything that speaks against it, each message beginning with `COLLECTION/KEY: `.
    pub fn import(
        &self,
        document: &Value,
        replace: Option<&str>,
        used: &BTreeSet<(Kind, String)>,
        cause: &Cause,
    ) -> Result<BundleEdit, Problem> {
        let (name, meta) = read_meta(document)?;
        if let Some(wanted) = replace.filter(|wanted| *wanted != name) {
            return Err(invalid(&name, format!("meta: the Name is {name}, and {wanted} is to be replaced")));
        }
        if replace.is_none() && self.bundles.contains_key(&name) {
            let message = format!("bundle {name} exists already; replace it instead");
            return Err(problem(ProblemKind::Exists, &name, vec![message]));
        }
        let mut taking = Taking { content: self.clone(), name: &name, cause, edit: Placed::default() };
        let before = self.objects_of(&name);
        for (kind, key) in &before {
            taking.content.take_away(*kind, key);
        }
        let warnings = taking.sections(&document["sections"])?;
        let Taking { content, edit: Placed { stored, keys, mut problems }, .. } = taking;
        let gone: Vec<(Kind, String)> = before.into_iter().filter(|object| !keys.contains(object)).collect();
        problems.extend(content.needs(&gone, used));
        if !problems.is_empty() {
            return Err(problem(ProblemKind::Invalid, &name, problems));
        }
        let delete = gone.iter().map(|(kind, key)| Change::DeleteObject { kind: *kind, key: key.clone() });
        let mut changes = self.with_meta(&name, Some(&meta), cause);
        changes.list.extend(delete);
        changes.list.extend(stored.into_iter().map(Change::PutObject));
        let mut content = content;
        content.bundles.insert(name.clone(), meta);
        let mut summary = content.summary_of(&name);
        let lacks = keys.iter().flat_map(|(kind, key)| {
            content.errors_of(*kind, key).into_iter().map(move |error| format!("{kind}/{key}: {error}"))
        });
        summary["Warnings"] = warnings.into_iter().chain(lacks).collect();
        Ok(BundleEdit { content, changes, summary })
    }

    /// Gives a bundle up, with all its objects.
    ///
    /// # Errors
    /// When there is none, when it is not one that was imported, or when something needs its objects.
    pub fn withdraw(
        &self,
        name: &str,
        used: &BTreeSet<(Kind, String)>,
        cause: &Cause,
    ) -> Result<BundleEdit, Problem> {
        if [BUILTIN_BUNDLE, WRITABLE_BUNDLE].contains(&name) {
            let message = format!("bundle {name} is part of the server");
            return Err(problem(ProblemKind::ReadOnly, name, vec![message]));
        }
        if !self.bundles.contains_key(name) {
            let message = format!("bundle {name} does not exist");
            return Err(problem(ProblemKind::NotFound, name, vec![message]));
        }
        let gone = self.objects_of(name);
        // What the bundle itself needs goes with it.
        let mut content = self.without_bundle(name);
        let needs = content.needs(&gone, used);
        if !needs.is_empty() {
            return Err(problem(ProblemKind::InUse, name, needs));
        }
        let summary = self.summary_of(name);
        content.bundles.remove(name);
        let mut changes = self.with_meta(name, None, cause);
        let delete = gone.iter().map(|(kind, key)| Change::DeleteObject { kind: *kind, key: key.clone() });
        changes.list.extend(delete);
        Ok(BundleEdit { content, changes, summary })
    }

    /// All bundles in short: what is built in, what is writable, and what was imported.
    pub fn bundles(&self) -> Vec<Value> {
        let own = [BUILTIN_BUNDLE, WRITABLE_BUNDLE].into_iter();
        own.chain(self.bundles.keys().map(String::as_str)).map(|name| self.summary_of(name)).collect()
    }

    /// A bundle as the document it can be imported from; users stay where they are.
    pub fn bundle(&self, name: &str) -> Option<Value> {
        let known = [BUILTIN_BUNDLE, WRITABLE_BUNDLE].contains(&name) || self.bundles.contains_key(name);
        if !known {
            return None;
        }
        let mut sections = Map::new();
        for (kind, key) in self.objects_of(name) {
            let section = sections.entry(kind.prefix()).or_insert_with(|| json!({}));
            if let (Some(section), Some(object)) = (section.as_object_mut(), self.show(kind, &key)) {
                section.insert(key, said(object));
            }
        }
        Some(json!({ "meta": self.meta_of(name), "sections": sections }))
    }

    fn summary_of(&self, name: &str) -> Value {
        let mut counts = Map::new();
        for (kind, _) in self.objects_of(name) {
            let count = counts.get(kind.prefix()).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(kind.prefix().to_owned(), (count + 1).into());
        }
        json!({ "meta": self.meta_of(name), "Counts": counts, "Warnings": [] })
    }

    fn meta_of(&self, name: &str) -> Value {
        let (what, kind) = match name {
            BUILTIN_BUNDLE => ("What is built in", "basic"),
            WRITABLE_BUNDLE => ("What users wrote", "writable"),
            _ => return self.bundles.get(name).cloned().map_or(Value::Null, Value::Object),
        };
        json!({ "Name": name, "Description": what, "Type": kind, "Writable": name == WRITABLE_BUNDLE })
    }

    /// The objects of a bundle in the order of kinds, without users.
    pub fn objects_of(&self, name: &str) -> Vec<(Kind, String)> {
        let mut found = Vec::new();
        for kind in ORDER {
            let keys: Vec<String> = of_kind!(kind, T => {
                let shelf = <T as Rules>::shelf(self).iter();
                shelf.filter(|object| object.envelope.bundle == name).map(|object| {
                    object.key().to_owned()
                }).collect()
            }, Vec::new());
            found.extend(keys.into_iter().map(|key| (kind, key)));
        }
        found
    }

    /// What these objects are needed for by what stays.
    fn needs(&self, objects: &[(Kind, String)], used: &BTreeSet<(Kind, String)>) -> Vec<String> {
        let of = |object: &(Kind, String)| {
            let (kind, key) = object;
            let why = self.needed_by(*kind, key, used.contains(object)).into_iter();
            why.map(|why| format!("{kind}/{key}: {why}")).collect::<Vec<_>>()
        };
        objects.iter().flat_map(of).collect()
    }

    fn take_away(&mut self, kind: Kind, key: &str) {
        of_kind!(kind, T => <T as Rules>::leave(self, key), {});
    }

    fn without_bundle(&self, name: &str) -> Self {
        let mut content = self.clone();
        for (kind, key) in self.objects_of(name) {
            content.take_away(kind, &key);
        }
        content
    }

    /// The changes of a bundle, beginning with what is said of it as a whole.
    fn with_meta(&self, name: &str, meta: Option<&BundleMeta>, cause: &Cause) -> Changes {
        let gone = Change::DeleteRecord { kind: BUNDLE_RECORD.to_owned(), key: name.to_owned() };
        let changes = Changes::new(cause.at).on(self.revision).and(gone);
        let Some(meta) = meta else { return changes };
        changes.and(Change::PutRecord(Record {
            kind: BUNDLE_RECORD.to_owned(),
            key: name.to_owned(),
            body: Value::Object(meta.clone()).to_string(),
            revision: Revision::default(),
        }))
    }
}

/// What came of the sections of a document.
#[derive(Debug, Default)]
struct Placed {
    stored: Vec<crate::change::StoredObject>,
    keys: BTreeSet<(Kind, String)>,
    problems: Vec<String>,
}

struct Taking<'a> {
    content: Content,
    name: &'a str,
    cause: &'a Cause,
    edit: Placed,
}

impl Taking<'_> {
    /// Places all objects; answers what is left out.
    fn sections(&mut self, sections: &Value) -> Result<Vec<String>, Problem> {
        let Some(sections) = sections.as_object() else {
            return Err(invalid(
                self.name,
                "sections: the document needs an object of collections".to_owned(),
            ));
        };
        let objects = |section: &Value| section.as_object().map_or(0, Map::len);
        let count: usize = sections.values().map(objects).sum();
        if count > MAX_OBJECTS {
            let message = format!("sections: {count} objects, at most {MAX_OBJECTS} are taken");
            return Err(invalid(self.name, message));
        }
        for kind in ORDER {
            match sections.get(kind.prefix()) {
                None | Some(Value::Null) => {}
                Some(Value::Object(section)) => {
                    section.iter().for_each(|(key, object)| self.place(kind, key, object))
                }
                Some(_) => self.edit.problems.push(format!("{kind}: must be an object of objects by key")),
            }
        }
        let known = |prefix: &str| ORDER.iter().any(|kind| kind.prefix() == prefix);
        let strange = sections.iter().filter(|(prefix, section)| !known(prefix) && objects(section) > 0);
        Ok(strange
            .map(|(prefix, section)| {
                format!(
                    "{prefix}: {} objects are left out, this server has no such content",
                    objects(section)
                )
            })
            .collect())
    }

    fn place(&mut self, kind: Kind, key: &str, object: &Value) {
        let mut object = object.clone();
        let told = |message: &str| format!("{kind}/{key}: {message}");
        if let Some(fields) = object.as_object_mut() {
            let own = fields.entry(kind.key_field()).or_insert_with(|| key.into());
            if own.as_str() != Some(key) {
                let message = told(&format!("its {} is {own}", kind.key_field()));
                self.edit.problems.push(message);
                return;
            }
        }
        if let Some(other) = self.content.show(kind, key) {
            let bundle = other["Bundle"].as_str().unwrap_or_default();
            self.edit.problems.push(told(&format!("exists already in {bundle}")));
            return;
        }
        match self.content.place(kind, object, self.name, self.cause) {
            Ok(stored) => {
                self.edit.stored.push(stored);
                self.edit.keys.insert((kind, key.to_owned()));
            }
            Err(problem) => self.edit.problems.extend(problem.messages.iter().map(|message| told(message))),
        }
    }
}

fn read_meta(document: &Value) -> Result<(String, BundleMeta), Problem> {
    let Some(meta) = document["meta"].as_object() else {
        return Err(invalid("", "meta: the document needs an object with the bundle's Name".to_owned()));
    };
    let name = meta.get("Name").and_then(Value::as_str).unwrap_or_default();
    if let Err(error) = names::check(Kind::Profiles, name) {
        return Err(invalid(name, format!("meta: {error}")));
    }
    if [BUILTIN_BUNDLE, WRITABLE_BUNDLE].contains(&name) {
        return Err(invalid(name, format!("meta: the Name {name} is the server's own")));
    }
    let size = Value::Object(meta.clone()).to_string().len();
    if size > MAX_META {
        return Err(invalid(name, format!("meta: {size} bytes, at most {MAX_META} are taken")));
    }
    if let Some((field, _)) = meta.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        return Err(invalid(name, format!("meta: {field} must be a text, a number or a boolean")));
    }
    Ok((name.to_owned(), meta.clone()))
}

fn problem(kind: ProblemKind, name: &str, messages: Vec<String>) -> Problem {
    Problem { kind, model: CONTENTS, key: name.to_owned(), messages }
}

fn invalid(name: &str, message: String) -> Problem {
    problem(ProblemKind::Invalid, name, vec![message])
}

/// An object as its author would write it: what says something, without what follows.
fn said(object: Value) -> Value {
    let Value::Object(fields) = object else { return object };
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Number(_) => true,
    };
    let kept = |name: &str, value: &Value| !SERVER_SET.contains(&name) && name != "RunnerWait" && says(value);
    Value::Object(fields.into_iter().filter(|(name, value)| kept(name, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn cause() -> Cause {
        Cause {
            principal: "user:admin".into(),
            source: None,
            request_id: String::new(),
            at: Timestamp::from_seconds(9),
        }
    }

    fn site() -> Value {
        json!({
            "meta": {"Name": "site", "Version": "v1"},
            "sections": {
                "workflows": {"hello": {"Name": "hello", "Stages": ["hello"]}},
                "stages": {"hello": {"Name": "hello", "Tasks": ["greet"]}},
                "tasks": {"greet": {"Templates": [{"Name": "greet", "ID": "greet.tmpl"}]}},
                "templates": {"greet.tmpl": {"ID": "greet.tmpl", "Contents": "echo hello"}},
                "ux_views": {"mine": {}},
            },
        })
    }

    fn none() -> BTreeSet<(Kind, String)> {
        BTreeSet::new()
    }

    #[test]
    fn bundle_comes_whole_read_only_and_goes_whole() {
        let empty = Content::built_in();
        let taken = empty.import(&site(), None, &none(), &cause()).unwrap();
        let shown = taken.content.show(Kind::Tasks, "greet").unwrap();
        assert_eq!((&shown["ReadOnly"], &shown["Bundle"]), (&json!(true), &json!("site")));
        assert_eq!(taken.summary["Counts"], json!({"workflows": 1, "stages": 1, "tasks": 1, "templates": 1}));
        assert_eq!(
            warnings_of(&taken.summary),
            ["ux_views: 1 objects are left out, this server has no such content"]
        );
        assert!(
            taken
                .content
                .put(Kind::Tasks, shown, super::super::Write::Replace("greet"), &cause(), "x")
                .is_err()
        );
        let again = taken.content.import(&site(), None, &none(), &cause()).unwrap_err();
        assert_eq!(again.kind, ProblemKind::Exists);
        let mut smaller = site();
        smaller["sections"]["workflows"] = json!({});
        let replaced = taken.content.import(&smaller, Some("site"), &none(), &cause()).unwrap();
        assert!(
            !replaced.content.has(Kind::Workflows, "hello") && replaced.content.has(Kind::Stages, "hello")
        );
        let gone = replaced.content.withdraw("site", &none(), &cause()).unwrap();
        assert!(!gone.content.has(Kind::Tasks, "greet"));
        assert_eq!(gone.content.withdraw("site", &none(), &cause()).unwrap_err().kind, ProblemKind::NotFound);
    }

    #[test]
    fn every_problem_is_told_at_once_by_object() {
        let document = json!({
            "meta": {"Name": "site"},
            "sections": {
                "tasks": {"a/b": {"Name": "a/b"}, "greet": {"Name": "other"}, "wrong": {"Name": "wrong", "Templates": 1}},
                "stages": {"none": {"Name": "none"}, "list": []},
                "templates": {"bad.tmpl": {"ID": "bad.tmpl", "Contents": "{{if}}"}},
            },
        });
        let problems = Content::built_in().import(&document, None, &none(), &cause()).unwrap_err().messages;
        for told in [
            "tasks/a/b: ",
            "tasks/greet: its Name is \"other\"",
            "tasks/wrong: Templates: ",
            "stages/none: exists already in BasicStore",
            "stages/list: ",
            "templates/bad.tmpl: ",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(told)), "{told}: {problems:#?}");
        }
    }

    #[test]
    fn what_a_bundle_lacks_is_a_warning_and_what_is_in_use_stays() {
        let mut document = site();
        document["sections"]["templates"] = json!({});
        let taken = Content::built_in().import(&document, None, &none(), &cause()).unwrap();
        let warnings = warnings_of(&taken.summary);
        assert!(
            warnings.iter().any(|warning| warning == "tasks/greet: template greet.tmpl does not exist"),
            "{warnings:?}"
        );
        let used = BTreeSet::from([(Kind::Workflows, "hello".to_owned())]);
        let refused = taken.content.withdraw("site", &used, &cause()).unwrap_err();
        assert_eq!(refused.messages, ["workflows/hello: workflow hello is used by machines"]);
    }

    #[test]
    fn document_comes_out_as_it_went_in() {
        let taken = Content::built_in().import(&site(), None, &none(), &cause()).unwrap().content;
        let document = taken.bundle("site").unwrap();
        assert_eq!(document["meta"], site()["meta"]);
        assert_eq!(document["sections"]["stages"], site()["sections"]["stages"]);
        assert_eq!(document["sections"]["templates"], site()["sections"]["templates"]);
        assert_eq!(taken.bundle("nobody"), None);
        let names: Vec<Value> = taken.bundles().iter().map(|bundle| bundle["meta"]["Name"].clone()).collect();
        assert_eq!(names, ["BasicStore", "BackingStore", "site"]);
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        for document in [
            json!(1),
            json!({}),
            json!({"meta": {"Name": "x"}}),
            json!({"meta": {"Name": "BackingStore"}, "sections": {}}),
            json!({"meta": {"Name": "site", "Tags": []}, "sections": {}}),
            json!({"meta": {"Name": "site"}, "sections": []}),
        ] {
            let problem = Content::built_in().import(&document, None, &none(), &cause()).unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Invalid, "{document}");
        }
    }
}
