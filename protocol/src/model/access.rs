//! Who may do what, where tasks run, and groups of machines.

use super::{Envelope, Params};
use serde::{Deserialize, Serialize};

/// Where tasks run when it is not the machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Container image, for who runs it.
    pub image: String,
    /// Plugin that runs it.
    pub engine: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A person or program that may log in. Its password is stored elsewhere and never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Access roles.
    pub roles: Vec<String>,
    /// Part of the key of tokens it grants; shown as empty. Another value ends them.
    pub secret: String,
    /// Always empty: kept for clients that look for it.
    pub password_hash: String,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// Claims under a name: an access role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// What it allows.
    pub claims: Vec<Claim>,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// Something that is allowed; each part is `*` or a comma list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Claim {
    /// Collection.
    pub scope: String,
    /// What may be done: `list`, `get`, `create`, `update`, `delete`, `action`, `token`, ...
    pub action: String,
    /// Keys of objects.
    pub specific: String,
}

/// A group of machines. Membership is the machine's `Pool` field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Pool {
    /// Its name.
    pub id: String,
    /// Long text for people.
    pub documentation: String,
    /// The pool it is part of, or empty.
    pub parent_pool: String,
    /// What happens to a machine that enters; kept, not done.
    pub enter_actions: PoolActions,
    /// What happens to a machine that leaves; kept, not done.
    pub exit_actions: PoolActions,
    /// What happens to a machine that is allocated; kept, not done.
    pub allocate_actions: PoolActions,
    /// What happens to a machine that is released; kept, not done.
    pub release_actions: PoolActions,
    /// How it fills itself; kept, not done.
    pub auto_fill: Option<serde_json::Value>,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// What is done to a machine when its place in a pool changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolActions {
    /// Workflow to set.
    pub workflow: String,
    /// Profiles to add.
    pub add_profiles: Vec<String>,
    /// Params to add.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub add_parameters: Params,
    /// Profiles to remove.
    pub remove_profiles: Vec<String>,
    /// Params to remove.
    pub remove_parameters: Vec<String>,
}
