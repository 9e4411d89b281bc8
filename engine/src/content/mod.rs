//! Everything that machines refer to, as one immutable snapshot: boot environments, templates,
//! stages, workflows, tasks, profiles, params, contexts, images, registry credentials, secrets, variables, mesh networks,
//! VIPs, users, roles, pools and preferences.
//!
//! Decisions take `&Content` and say on which revision of it they were taken; a change makes the
//! next snapshot. Whether an object is available follows from the snapshot and is never stored.
//!
//! - `shelf`: objects of one kind by key
//! - `load`: the snapshot from what is stored; `builtin`: what is always there
//! - `put`: the next snapshot, with an object written or removed; `rules`: what each kind demands
//! - `bundle`: objects that come and go together
//! - `show`: objects as REST shows them; `errors`: what they refer to and is not there
//! - `prefs`: preferences and their defaults

mod builtin;
mod bundle;
mod errors;
mod json;
mod load;
mod mesh;
mod prefs;
mod provision;
mod put;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod shelf;
mod show;
#[cfg(test)]
mod tests;
mod vip;

pub(crate) use builtin::NO_STAGE;
pub use bundle::{BUNDLE_RECORD, BundleEdit, BundleMeta, CONTENTS, Checked, check};
pub(crate) use errors::TaskCheck;
pub(crate) use json::{parse, without_nulls};
pub use load::LoadError;
pub(crate) use load::built_in;
pub use prefs::{PREFS, PREFS_MODEL, PrefEdit};
pub use put::{Edit, Write};
pub(crate) use rules::add_feature;
pub use shelf::{Object, Shelf};

use crate::change::Revision;
use crate::params::Schemas;
use crate::render::Parsed;
use protocol::model::{
    BootEnv, Context, Image, MeshNetwork, Param, Pool, Profile, RegistryCredential, Role, Secret, Stage,
    Task, Template, User, Variable, Vip, Workflow,
};
use std::collections::{BTreeMap, BTreeSet};

/// The snapshot. Cheap to clone: objects are shared.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The commit that last changed any of it.
    pub revision: Revision,
    /// Boot environments by name.
    pub bootenvs: Shelf<BootEnv>,
    /// Contexts by name.
    pub contexts: Shelf<Context>,
    /// Images by name.
    pub images: Shelf<Image>,
    /// Mesh networks by name.
    pub meshes: Shelf<MeshNetwork>,
    /// Params by name.
    pub params: Shelf<Param>,
    /// Pools that were made, by id.
    pub pools: Shelf<Pool>,
    /// Profiles by name.
    pub profiles: Shelf<Profile>,
    /// Registry credentials by name, their passwords sealed.
    pub registry_credentials: Shelf<RegistryCredential>,
    /// Access roles by name.
    pub roles: Shelf<Role>,
    /// Secrets by name, their values sealed.
    pub secrets: Shelf<Secret>,
    /// Stages by name.
    pub stages: Shelf<Stage>,
    /// Tasks by name.
    pub tasks: Shelf<Task>,
    /// Templates by id.
    pub templates: Shelf<Template>,
    /// Users by name.
    pub users: Shelf<User>,
    /// Variables by name.
    pub variables: Shelf<Variable>,
    /// Virtual addresses and routes by name.
    pub vips: Shelf<Vip>,
    /// Workflows by name.
    pub workflows: Shelf<Workflow>,
    /// Preferences that were set, by name; [`Content::pref`] knows the defaults of the others.
    pub prefs: BTreeMap<String, String>,
    /// What is said of each imported bundle as a whole, by name.
    pub bundles: BTreeMap<String, BundleMeta>,
    /// Kernels and initial ramdisks that bootenvs name and the boot tree does not have.
    pub missing_files: BTreeSet<String>,
    /// The schemas of params, compiled as they are needed.
    pub schemas: Schemas,
    /// The templates, parsed as they are needed.
    pub parsed: Parsed,
}
