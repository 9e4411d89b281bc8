//! What objects refer to and is missing, or not available itself (`spec/machine-model.md` 2, 3.13).
//! Derived whenever somebody looks, so that it is right by construction when something appears or goes.

use super::Content;
use super::rules::Rules;
use crate::workflow::Entry;
use protocol::model::{Kind, TemplateInfo};
use std::collections::BTreeSet;

/// What an object needs of another: nothing, that it exists, or that it is available.
pub(super) struct Needs<'a> {
    content: &'a Content,
    tasks: TaskCheck<'a>,
    errors: Vec<String>,
}

impl<'a> Needs<'a> {
    pub(super) const fn of(content: &'a Content) -> Self {
        Self { content, tasks: TaskCheck::of(content), errors: Vec::new() }
    }

    /// Names each problem once.
    pub(super) fn told(mut self) -> Vec<String> {
        let mut told = BTreeSet::new();
        self.errors.retain(|error| told.insert(error.clone()));
        self.errors
    }

    pub(super) fn and(mut self, errors: Vec<String>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// It exists.
    pub(super) fn exists(mut self, kind: Kind, key: &str) -> Self {
        if !self.content.has(kind, key) {
            self.errors.push(missing(kind, key));
        }
        self
    }

    pub(super) fn exist(self, kind: Kind, keys: &[String]) -> Self {
        keys.iter().fold(self, |needs, key| needs.exists(kind, key))
    }

    /// It exists, and nothing that it needs is missing.
    pub(super) fn available<T: Rules>(mut self, key: &str) -> Self {
        self.errors.extend(self.content.unavailable::<T>(key));
        self
    }

    pub(super) fn templates(self, infos: &[TemplateInfo]) -> Self {
        let named = infos.iter().filter(|info| !info.id.is_empty());
        named.fold(self, |needs, info| needs.exists(Kind::Templates, &info.id))
    }

    pub(super) fn task(mut self, name: &'a str) -> Self {
        self.errors.extend(self.tasks.problem(name));
        self
    }

    /// What an entry of a list of tasks names. Contexts need no object.
    pub(super) fn entry(self, entry: &'a str) -> Self {
        match Entry::read(entry) {
            Entry::Stage(name) => self.exists(Kind::Stages, name),
            Entry::BootEnv(name) => self.exists(Kind::BootEnvs, name),
            Entry::Task(name) => self.task(name),
            Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) => self,
        }
    }
}

fn missing(kind: Kind, key: &str) -> String {
    format!("{} {key} does not exist", kind.noun())
}

impl Content {
    /// Why an object cannot be used: it does not exist, or is not available.
    pub(crate) fn unavailable<T: Rules>(&self, key: &str) -> Option<String> {
        match T::shelf(self).get(key) {
            None => Some(missing(T::KIND, key)),
            Some(object) if object.errors(self).is_empty() => None,
            Some(_) => Some(format!("{} {key} is not available", T::KIND.noun())),
        }
    }
}

/// Which tasks lack something: they, or those that they need. Remembers the sound ones, so that
/// each is looked at once, however many need it.
#[derive(Debug)]
pub(crate) struct TaskCheck<'a> {
    content: &'a Content,
    sound: BTreeSet<&'a str>,
}

impl<'a> TaskCheck<'a> {
    pub(crate) const fn of(content: &'a Content) -> Self {
        Self { content, sound: BTreeSet::new() }
    }

    /// Why a task cannot be used: it does not exist, or is not available.
    pub(crate) fn problem(&mut self, name: &'a str) -> Option<String> {
        if !self.content.tasks.has(name) {
            return Some(missing(Kind::Tasks, name));
        }
        // Chains of needs may be long, so this walks instead of recursing.
        let mut met = BTreeSet::from([name]);
        let mut next = vec![name];
        while let Some(needed) = next.pop() {
            if self.sound.contains(needed) {
                continue;
            }
            let content = self.content;
            let lacks = |info: &TemplateInfo| !info.id.is_empty() && !content.templates.has(&info.id);
            match content.tasks.get(needed) {
                Some(task) if !task.templates.iter().any(lacks) => {
                    next.extend(
                        task.prerequisites.iter().map(String::as_str).filter(|name| met.insert(name)),
                    );
                }
                Some(_) | None => return Some(format!("task {name} is not available")),
            }
        }
        self.sound.append(&mut met);
        None
    }
}
