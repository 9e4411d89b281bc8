//! What machines do: workflows, stages, tasks, and the params they work with.

use super::{Envelope, Params, TemplateInfo};
use serde::{Deserialize, Serialize};

/// A list of tasks, with the boot environment they run in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Boot environment; empty keeps the machine's.
    pub boot_env: String,
    /// Files rendered per machine while it is in the stage.
    pub templates: Vec<TemplateInfo>,
    /// Params without which rendering fails.
    pub required_params: Vec<String>,
    /// Params that it looks at.
    pub optional_params: Vec<String>,
    /// Params that its tasks set.
    pub output_params: Vec<String>,
    /// Params of machines in the stage.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: Params,
    /// Profiles of machines in the stage.
    pub profiles: Vec<String>,
    /// Task names, or `stage:`, `bootenv:`, `context:`, `chroot:` and `action:` entries.
    pub tasks: Vec<String>,
    /// Whether the machine should reboot on entering; kept for content that has it.
    pub reboot: bool,
    /// Deprecated, always shown as true.
    pub runner_wait: bool,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A list of stages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Stage names, or `task:`, `action:` and `context:` entries.
    pub stages: Vec<String>,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// Something to run on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Files to write and scripts to run, in order.
    pub templates: Vec<TemplateInfo>,
    /// Params without which rendering fails.
    pub required_params: Vec<String>,
    /// Params that it looks at.
    pub optional_params: Vec<String>,
    /// Params that it sets.
    pub output_params: Vec<String>,
    /// Tasks that run before it.
    pub prerequisites: Vec<String>,
    /// Roles that its token has beside the machine's own.
    pub extra_roles: Vec<String>,
    /// Claims that its token has beside the machine's own.
    pub extra_claims: Vec<super::Claim>,
    /// Seconds that its token lives longer.
    pub extra_duration: i64,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// Params under a name. `global` holds for every machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Its params.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: Params,
    /// Profiles that are looked at after its own params.
    pub profiles: Vec<String>,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// What a param is for and may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Param {
    /// Its name, which may have slashes.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// Whether values are sealed; not understood yet, so always false.
    pub secure: bool,
    /// JSON Schema of its values, or null; `default` in it is the last resort.
    pub schema: serde_json::Value,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}
