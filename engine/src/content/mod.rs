//! Everything that machines refer to, as one immutable snapshot: boot environments, templates,
//! stages, workflows, tasks, profiles, params, contexts, users, roles, pools and preferences.
//!
//! Decisions take `&Content` and say on which revision of it they were taken; a change makes the
//! next snapshot. Whether an object is available follows from the snapshot and is never stored.

mod shelf;

pub use shelf::{Object, Shelf};

use crate::change::Revision;
use protocol::model::{BootEnv, Context, Param, Pool, Profile, Role, Stage, Task, Template, User, Workflow};
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
    /// Params by name.
    pub params: Shelf<Param>,
    /// Pools that were made, by id.
    pub pools: Shelf<Pool>,
    /// Profiles by name.
    pub profiles: Shelf<Profile>,
    /// Access roles by name.
    pub roles: Shelf<Role>,
    /// Stages by name.
    pub stages: Shelf<Stage>,
    /// Tasks by name.
    pub tasks: Shelf<Task>,
    /// Templates by id.
    pub templates: Shelf<Template>,
    /// Users by name.
    pub users: Shelf<User>,
    /// Workflows by name.
    pub workflows: Shelf<Workflow>,
    /// Preferences that were set, by name; the others have their defaults.
    pub prefs: BTreeMap<String, String>,
    /// Kernels and initial ramdisks that bootenvs name and the boot tree does not have.
    pub missing_files: BTreeSet<String>,
}
