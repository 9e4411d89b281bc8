//! What each kind of object demands of one that is written (`spec/machine-model.md` 1.4, 2), what
//! the server adds to it, and what it needs to be available.

use super::errors::Needs;
use super::{Content, Object, Shelf};
use crate::params::SchemaError;
use crate::workflow::Entry;
use crate::{bootenv, names, params, prerequisites, render};
use protocol::model::{
    BootEnv, Context, Kind, Param, Params, Pool, Profile, Role, Stage, Task, Template, TemplateInfo, User,
    Workflow,
};
use std::collections::BTreeSet;

/// Firmware that boot loaders are named for.
const LOADERS: [&str; 3] = ["386-pcbios", "amd64-uefi", "arm64-uefi"];
/// Operating systems that a task's scripts may be for.
const SCRIPT_SYSTEMS: [&str; 9] =
    ["any", "linux", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "windows", "esxi"];
/// Label that lists features.
pub(crate) const FEATURE_FLAGS: &str = "feature-flags";

/// Runs `$body` with the type `$type` of the content kind `$kind`, or `$other` for machines and jobs.
macro_rules! of_kind {
    ($kind:expr, $type:ident => $body:expr, $other:expr) => {{
        use protocol::model::{self, Kind};
        match $kind {
            Kind::BootEnvs => {
                type $type = model::BootEnv;
                $body
            }
            Kind::Contexts => {
                type $type = model::Context;
                $body
            }
            Kind::Images => {
                type $type = model::Image;
                $body
            }
            Kind::Meshes => {
                type $type = model::MeshNetwork;
                $body
            }
            Kind::Params => {
                type $type = model::Param;
                $body
            }
            Kind::Pools => {
                type $type = model::Pool;
                $body
            }
            Kind::Profiles => {
                type $type = model::Profile;
                $body
            }
            Kind::RegistryCredentials => {
                type $type = model::RegistryCredential;
                $body
            }
            Kind::Roles => {
                type $type = model::Role;
                $body
            }
            Kind::Secrets => {
                type $type = model::Secret;
                $body
            }
            Kind::Stages => {
                type $type = model::Stage;
                $body
            }
            Kind::Tasks => {
                type $type = model::Task;
                $body
            }
            Kind::Templates => {
                type $type = model::Template;
                $body
            }
            Kind::Users => {
                type $type = model::User;
                $body
            }
            Kind::Variables => {
                type $type = model::Variable;
                $body
            }
            Kind::Vips => {
                type $type = model::Vip;
                $body
            }
            Kind::Workflows => {
                type $type = model::Workflow;
                $body
            }
            Kind::Jobs | Kind::Machines => $other,
        }
    }};
}
pub(super) use of_kind;

/// An object of the content with its rules.
pub(crate) trait Rules: Object {
    /// Where objects of the kind are.
    fn shelf(content: &Content) -> &Shelf<Self>;

    /// The same, to be changed.
    fn shelf_mut(content: &mut Content) -> &mut Shelf<Self>;

    /// What the server adds to an object that a client wrote. `fresh` is random text.
    fn fill(&mut self, _old: Option<&Self>, _fresh: &str) {}

    /// Every rule that it breaks in this content, where `old` stands as yet.
    fn problems(&self, old: Option<&Self>, content: &Content) -> Vec<String>;

    /// What it needs and does not have.
    fn errors(&self, _content: &Content) -> Vec<String> {
        Vec::new()
    }

    /// The preference that it asks to be the value of, or to be no more.
    fn preference(&self) -> Option<(&'static str, bool)> {
        None
    }

    /// Adds what follows from the content.
    fn derive(&mut self, _content: &Content) {}

    /// Takes away what nobody is shown.
    fn hide(&mut self) {}

    /// Takes its place.
    fn enter(self, content: &mut Content) {
        Self::shelf_mut(content).put(self);
    }

    /// Leaves its place.
    fn leave(content: &mut Content, key: &str) {
        Self::shelf_mut(content).remove(key);
    }
}

/// The shelf of a kind is the field of this name.
macro_rules! shelf {
    ($field:ident) => {
        fn shelf(content: &Content) -> &Shelf<Self> {
            &content.$field
        }
        fn shelf_mut(content: &mut Content) -> &mut Shelf<Self> {
            &mut content.$field
        }
    };
}
pub(super) use shelf;

impl Rules for BootEnv {
    shelf!(bootenvs);

    fn problems(&self, _old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        problems.extend(template_problems(&self.templates, true));
        problems.extend(render::syntax_errors(
            "BootParams",
            &self.boot_params,
            &self.start_delimiter,
            &self.end_delimiter,
        ));
        let mut met = BTreeSet::new();
        for arch in self.os.supported_architectures.keys() {
            match names::canonical_arch(arch) {
                None => problems.push(format!("OS.SupportedArchitectures: {arch:?} is not known")),
                Some(name) if !met.insert(name) => {
                    problems.push(format!("OS.SupportedArchitectures: {name} is there under two names"));
                }
                Some(_) => {}
            }
        }
        let loaders = self.loaders.keys().filter(|key| !LOADERS.contains(&key.as_str()));
        problems.extend(loaders.map(|key| format!("Loaders: {key:?} is none of {}", LOADERS.join(", "))));
        for (pref, only_unknown) in [("defaultBootEnv", false), ("unknownBootEnv", true)] {
            if content.pref(pref) == self.name && self.only_unknown != only_unknown {
                problems
                    .push(format!("OnlyUnknown must be {only_unknown} while it is the preference {pref}"));
            }
        }
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        Needs::of(content)
            .templates(&self.templates)
            .and(bootenv::missing(self, &content.missing_files))
            .told()
    }
}

impl Rules for Context {
    shelf!(contexts);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        named(self)
    }
}

impl Rules for Param {
    shelf!(params);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if self.secure {
            problems.push(
                "Secure: values cannot be sealed by this server; it would keep them readable, so it refuses"
                    .to_owned(),
            );
        }
        problems.extend(params::check_schema(&self.schema).err().map(|error: SchemaError| error.to_string()));
        problems
    }

    fn enter(self, content: &mut Content) {
        content.schemas.put(&self.name, &self.schema);
        content.params.put(self);
    }

    fn leave(content: &mut Content, key: &str) {
        content.schemas.remove(key);
        content.params.remove(key);
    }
}

impl Rules for Pool {
    shelf!(pools);

    fn problems(&self, _old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        // A pool has one parent, so its line of parents ends or comes back.
        let mut met = BTreeSet::from([self.id.as_str()]);
        let mut parent = self.parent_pool.as_str();
        while !parent.is_empty() {
            if !met.insert(parent) {
                problems.push(format!("ParentPool: {parent} would be part of itself"));
                break;
            }
            parent = content.pools.get(parent).map_or("", |pool| &pool.parent_pool);
        }
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let parent = Some(&self.parent_pool).filter(|parent| !parent.is_empty());
        parent.into_iter().fold(Needs::of(content), |needs, parent| needs.exists(Kind::Pools, parent)).told()
    }
}

impl Rules for Profile {
    shelf!(profiles);

    fn problems(&self, old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        problems.extend(param_problems(content, old.map(|old| &old.params), &self.params));
        problems.extend(twice("Profiles", &self.profiles));
        let nested = |name: &str| match name {
            name if name == self.name => self.profiles.as_slice(),
            name => content.profiles.get(name).map_or(&[][..], |profile| &profile.profiles),
        };
        problems.extend(
            endless(&self.name, &self.profiles, nested).map(|problem| format!("Profiles: {problem}")),
        );
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        Needs::of(content).exist(Kind::Profiles, &self.profiles).told()
    }
}

impl Rules for Role {
    shelf!(roles);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        let empty = self
            .claims
            .iter()
            .position(|claim| claim.scope.is_empty() || claim.action.is_empty() || claim.specific.is_empty());
        problems
            .extend(empty.map(|at| format!("Claims: claim {at} lacks scope, action or specific; * is all")));
        problems
    }
}

impl Rules for Stage {
    shelf!(stages);

    fn fill(&mut self, _old: Option<&Self>, _fresh: &str) {
        self.runner_wait = true;
    }

    fn problems(&self, old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if !self.boot_env.is_empty() {
            let error = names::check(Kind::BootEnvs, &self.boot_env).err();
            problems.extend(error.map(|error| format!("BootEnv: {error}")));
        }
        problems.extend(template_problems(&self.templates, true));
        problems.extend(param_problems(content, old.map(|old| &old.params), &self.params));
        problems.extend(twice("Profiles", &self.profiles));
        for entry in &self.tasks {
            let read = Entry::read(entry);
            problems.extend(read.problem().map(|problem| format!("Tasks: {problem}")));
            if let Entry::Action(name) = read
                && !name.contains(':')
            {
                problems.push(format!("Tasks: {entry} is not action:PLUGIN:NAME"));
            }
        }
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let needs = Needs::of(content);
        let needs = if self.boot_env.is_empty() { needs } else { needs.available::<BootEnv>(&self.boot_env) };
        let needs = self.tasks.iter().fold(needs, |needs, entry| needs.entry(entry));
        needs.exist(Kind::Profiles, &self.profiles).templates(&self.templates).told()
    }

    fn hide(&mut self) {
        self.runner_wait = true;
    }
}

impl Rules for Task {
    shelf!(tasks);

    fn fill(&mut self, old: Option<&Self>, _fresh: &str) {
        if old.is_none() {
            add_feature(&mut self.envelope.meta, "sane-exit-codes", "original-exit-codes");
        }
    }

    fn problems(&self, _old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        problems.extend(template_problems(&self.templates, false));
        problems.extend(system_problems(&self.templates));
        problems.extend(twice("Prerequisites", &self.prerequisites));
        for name in &self.prerequisites {
            problems
                .extend(names::check(Kind::Tasks, name).err().map(|error| format!("Prerequisites: {error}")));
        }
        let needs = |name: &str| match name {
            name if name == self.name => self.prerequisites.as_slice(),
            name => content.tasks.get(name).map_or(&[][..], |task| &task.prerequisites),
        };
        problems.extend(
            endless(&self.name, &self.prerequisites, needs)
                .map(|problem| format!("Prerequisites: {problem}")),
        );
        if self.extra_duration < 0 {
            problems.push("ExtraDuration is negative".to_owned());
        }
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let needs = Needs::of(content).templates(&self.templates);
        self.prerequisites.iter().fold(needs, |needs, task| needs.task(task)).told()
    }
}

impl Rules for Template {
    shelf!(templates);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        problems.extend(render::syntax_errors(
            &self.id,
            &self.contents,
            &self.start_delimiter,
            &self.end_delimiter,
        ));
        problems
    }
}

impl Rules for User {
    shelf!(users);

    /// Secrets are never shown, so an empty one means the one there is.
    fn fill(&mut self, old: Option<&Self>, fresh: &str) {
        if self.secret.is_empty() {
            self.secret = old.map_or(fresh, |old| &old.secret).to_owned();
        }
        self.password_hash.clear();
    }

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        problems.extend(twice("Roles", &self.roles));
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        Needs::of(content).exist(Kind::Roles, &self.roles).told()
    }

    fn hide(&mut self) {
        self.secret.clear();
        self.password_hash.clear();
    }
}

impl Rules for Workflow {
    shelf!(workflows);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        let entry = |entry: &String| match entry.split_once(':') {
            None => names::check(Kind::Stages, entry).err().map(|error| error.to_string()),
            Some(("task", name)) => names::check(Kind::Tasks, name).err().map(|error| error.to_string()),
            Some(("action" | "context", _)) => Entry::read(entry).problem(),
            Some(_) => Some(format!("{entry} is no stage, task:NAME, action:NAME or context:NAME")),
        };
        problems.extend(self.stages.iter().filter_map(entry).map(|problem| format!("Stages: {problem}")));
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let needs = self.stages.iter().fold(Needs::of(content), |needs, entry| match entry.split_once(':') {
            None => needs.available::<Stage>(entry),
            Some(("task", name)) => needs.task(name),
            Some(_) => needs,
        });
        needs.told()
    }
}

pub(super) fn named<T: Object>(object: &T) -> Vec<String> {
    names::check(T::KIND, object.key()).err().map(|error| error.to_string()).into_iter().collect()
}

fn twice(field: &str, list: &[String]) -> Vec<String> {
    let mut met = BTreeSet::new();
    let again: BTreeSet<&String> = list.iter().filter(|item| !met.insert(*item)).collect();
    again.into_iter().map(|item| format!("{field}: {item} is there twice")).collect()
}

fn param_problems(content: &Content, old: Option<&Params>, new: &Params) -> Vec<String> {
    params::problems(content, old.unwrap_or(&Params::new()), new)
}

/// Why what an object names, directly or not, does not end.
fn endless<'a>(name: &'a str, own: &[String], of: impl Fn(&'a str) -> &'a [String]) -> Option<String> {
    // The usual object names nothing, or nothing that leads anywhere.
    if own.is_empty() {
        return None;
    }
    prerequisites::check(name, of).err().map(|error| error.to_string())
}

/// `spec/machine-model.md` 2.1.
fn template_problems(infos: &[TemplateInfo], path_needed: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut met = BTreeSet::new();
    for (at, info) in infos.iter().enumerate() {
        let name = &info.name;
        if name.is_empty() {
            problems.push(format!("Templates: entry {at} has no Name"));
        } else if !met.insert(name) {
            problems.push(format!("Templates: the Name {name} is there twice"));
        }
        let given =
            [&info.id, &info.contents, &info.link].into_iter().filter(|text| !text.is_empty()).count();
        if given != 1 {
            problems.push(format!("Templates: {name} needs one of ID, Contents and Link, and has {given}"));
        }
        if path_needed && info.path.is_empty() {
            problems.push(format!("Templates: {name} needs a Path"));
        }
    }
    problems.extend(render::info_errors(infos).into_iter().map(|problem| format!("Templates: {problem}")));
    problems
}

/// Scripts are for all systems, or each says for which.
fn system_problems(infos: &[TemplateInfo]) -> Vec<String> {
    let mut problems = Vec::new();
    let systems = |info: &TemplateInfo| info.meta.get("OS").cloned();
    if infos.iter().any(|info| systems(info).is_some()) && infos.iter().any(|info| systems(info).is_none()) {
        problems.push("Templates: either all have an OS in their Meta, or none".to_owned());
    }
    for info in infos {
        let strangers = systems(info).unwrap_or_default();
        let strangers = strangers.split(',').map(str::trim);
        for stranger in strangers.filter(|system| !system.is_empty() && !SCRIPT_SYSTEMS.contains(system)) {
            let known = SCRIPT_SYSTEMS.join(", ");
            problems.push(format!("Templates: {} is for {stranger:?}, which is none of {known}", info.name));
        }
    }
    problems
}

/// Adds a feature to the label that lists them, unless it, or the one it replaces, is there.
pub(crate) fn add_feature(meta: &mut protocol::model::Meta, feature: &str, instead_of: &str) {
    let flags = meta.entry(FEATURE_FLAGS.to_owned()).or_default();
    if flags.split(',').map(str::trim).any(|flag| flag == feature || flag == instead_of) {
        return;
    }
    if !flags.is_empty() {
        flags.push(',');
    }
    flags.push_str(feature);
}
