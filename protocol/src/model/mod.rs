//! The objects of the machine model as REST shows, takes and stores them
//! (`spec/machine-model.md` 1 and 2). Keys are Digital Rebar's, so that its clients work.
//!
//! Every field has a default, so that a body needs no more than what it says. Lists and maps are
//! never null in what we write.

mod access;
mod boot;
mod info;
mod job;
mod machine;
mod mesh;
mod provision;
mod vip;
mod work;

pub use access::{Claim, Context, Pool, PoolActions, Role, User};
pub use boot::{ArchInfo, BootEnv, OsInfo, Template, TemplateInfo};
pub use info::{Licenses, Nothing, ServerInfo, Stat};
pub use job::{ExitState, Job, JobAction, JobState, ZERO_TIME};
pub use machine::{HardwareFingerprint, MachineFields, PoolStatus, TaskErrorStack};
pub use mesh::MeshNetwork;
pub use provision::{Image, ImageFormat, Pull, RegistryCredential, Secret, UPLOAD, Variable};
pub use vip::{Vip, VipMember, VipState};
pub use work::{Param, Profile, Stage, Task, Workflow};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Labels of an object: text to text.
pub type Meta = BTreeMap<String, String>;
/// Params by name: any JSON value.
pub type Params = BTreeMap<String, serde_json::Value>;

/// The store that writable objects live in, as `Bundle` names it.
pub const WRITABLE_BUNDLE: &str = "BackingStore";
/// The read-only bundle of what is built in.
pub const BUILTIN_BUNDLE: &str = "BasicStore";

/// Every type of object that REST serves in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What a machine boots.
    BootEnvs,
    /// Where tasks run.
    Contexts,
    /// Operating systems to install.
    Images,
    /// One run of a task.
    Jobs,
    /// Machines.
    Machines,
    /// Networks that machines have addresses in.
    Meshes,
    /// What a param may hold.
    Params,
    /// Groups of machines.
    Pools,
    /// Named params.
    Profiles,
    /// What opens registries.
    RegistryCredentials,
    /// Claims under a name.
    Roles,
    /// Values that nobody is shown.
    Secrets,
    /// A list of tasks with a boot environment.
    Stages,
    /// Something to run.
    Tasks,
    /// Text to render.
    Templates,
    /// People and programs.
    Users,
    /// Values for templates.
    Variables,
    /// Addresses and routes that move between machines.
    Vips,
    /// A list of stages.
    Workflows,
}

impl Kind {
    /// All of them by prefix.
    pub const ALL: [Self; 19] = [
        Self::BootEnvs,
        Self::Contexts,
        Self::Images,
        Self::Jobs,
        Self::Machines,
        Self::Meshes,
        Self::Params,
        Self::Pools,
        Self::Profiles,
        Self::RegistryCredentials,
        Self::Roles,
        Self::Secrets,
        Self::Stages,
        Self::Tasks,
        Self::Templates,
        Self::Users,
        Self::Variables,
        Self::Vips,
        Self::Workflows,
    ];

    /// Collection in paths, `Type` of events, `Model` of errors, scope of claims.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::BootEnvs => "bootenvs",
            Self::Contexts => "contexts",
            Self::Images => "images",
            Self::Jobs => "jobs",
            Self::Machines => "machines",
            Self::Meshes => "meshes",
            Self::Params => "params",
            Self::Pools => "pools",
            Self::Profiles => "profiles",
            Self::RegistryCredentials => "registry_credentials",
            Self::Roles => "roles",
            Self::Secrets => "secrets",
            Self::Stages => "stages",
            Self::Tasks => "tasks",
            Self::Templates => "templates",
            Self::Users => "users",
            Self::Variables => "variables",
            Self::Vips => "vips",
            Self::Workflows => "workflows",
        }
    }

    /// One of them, in words for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::BootEnvs => "bootenv",
            Self::Contexts => "context",
            Self::Images => "image",
            Self::Jobs => "job",
            Self::Machines => "machine",
            Self::Meshes => "mesh network",
            Self::Params => "param",
            Self::Pools => "pool",
            Self::Profiles => "profile",
            Self::RegistryCredentials => "registry credential",
            Self::Roles => "role",
            Self::Secrets => "secret",
            Self::Stages => "stage",
            Self::Tasks => "task",
            Self::Templates => "template",
            Self::Users => "user",
            Self::Variables => "variable",
            Self::Vips => "VIP",
            Self::Workflows => "workflow",
        }
    }

    /// The field that names an object of the kind.
    pub const fn key_field(self) -> &'static str {
        match self {
            Self::Jobs | Self::Machines => "Uuid",
            Self::Templates => "ID",
            Self::Pools => "Id",
            Self::BootEnvs
            | Self::Contexts
            | Self::Images
            | Self::Meshes
            | Self::Params
            | Self::Profiles
            | Self::RegistryCredentials
            | Self::Roles
            | Self::Secrets
            | Self::Stages
            | Self::Tasks
            | Self::Users
            | Self::Variables
            | Self::Vips
            | Self::Workflows => "Name",
        }
    }

    /// Whether objects of the kind are part of the content snapshot: all but machines and jobs.
    pub const fn is_content(self) -> bool {
        !matches!(self, Self::Machines | Self::Jobs)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix())
    }
}

/// A text that is no collection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no collection of this name")]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::ALL.into_iter().find(|kind| kind.prefix() == text).ok_or(KindError)
    }
}

/// What every object carries beside its own fields. All but `Meta` and `Description` are the
/// server's; what a client sends for them is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Envelope {
    /// One line for people.
    pub description: String,
    /// Labels.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub meta: Meta,
    /// True for every stored object.
    pub validated: bool,
    /// Whether nothing it needs is missing.
    pub available: bool,
    /// What is missing or wrong.
    pub errors: Vec<String>,
    /// Whether it comes from read-only content.
    pub read_only: bool,
    /// The store or content bundle that holds it.
    pub bundle: String,
    /// Owning endpoint; always empty.
    pub endpoint: String,
    /// Whether the request left fields out of the answer.
    pub partial: bool,
    /// RFC 3339, or null for what is built in.
    pub created_at: Option<String>,
    /// User who created it, or empty.
    pub created_by: String,
    /// RFC 3339, or null for what is built in.
    pub last_modified_at: Option<String>,
    /// User who changed it last, or empty.
    pub last_modified_by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_by_their_prefix() {
        for kind in Kind::ALL {
            assert_eq!(kind.prefix().parse::<Kind>(), Ok(kind));
        }
        assert_eq!("machine".parse::<Kind>(), Err(KindError));
    }

    #[test]
    fn objects_need_no_field_and_never_write_null_lists() {
        let stage: Stage = serde_json::from_str("{}").unwrap();
        let json = serde_json::to_value(&stage).unwrap();
        for field in ["Tasks", "Templates", "Profiles", "RequiredParams", "Params", "Meta", "Errors"] {
            assert!(!json[field].is_null(), "{field}");
        }
    }
}
