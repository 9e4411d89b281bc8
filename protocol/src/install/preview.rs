//! What a machine would get of its roles, shown before anything is installed.

use super::DiskPlan;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The seed of a machine as its roles make it now, without the values of secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct SeedPreview {
    /// `meta-data`.
    pub meta_data: String,
    /// `user-data`; empty when it cannot be made.
    pub user_data: String,
    /// `network-config`; empty when the image decides.
    pub network_config: String,
    /// Everything that is wrong: an installation would not begin.
    pub errors: Vec<String>,
    /// Who gave each key of the user-data, the lowest priority first.
    pub sources: BTreeMap<String, Vec<String>>,
}

/// What an installation of a machine would be made of, and who says so: `GET /machines/{Uuid}/setup`, and
/// `POST` with a patch for how it would be after that.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Setup {
    /// Its roles, the one that wins first.
    pub roles: Vec<RoleInForce>,
    /// The image that would be installed; empty when there is none, and `Errors` says why.
    pub image: String,
    /// Who says so.
    pub image_from: ParamSource,
    /// Every param that somebody sets or that has a default, by name.
    pub params: Vec<ParamInForce>,
    /// What is wrong with params of Muster's own, by the param's name.
    pub errors: BTreeMap<String, String>,
    /// Whether no disk may be erased.
    pub write_protected: bool,
    /// What would become of its disks.
    pub disk_plan: DiskPlan,
}

/// A role of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct RoleInForce {
    /// Its name.
    pub name: String,
    /// Its merge priority: the higher wins.
    pub priority: i64,
    /// Whether there is such a role.
    pub exists: bool,
}

/// A param, and everybody who says something of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ParamInForce {
    /// Its name.
    pub name: String,
    /// Who says what; the first one wins.
    pub sources: Vec<ParamSource>,
}

/// Who says something of a param, and what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ParamSource {
    /// Who.
    pub kind: SourceKind,
    /// Its name, where one of the kind has one.
    pub name: String,
    /// The value; null where it is too long to be shown here.
    pub value: Value,
    /// Bytes of a value that is too long to be shown here; 0 for all others.
    pub cut: u64,
}

/// Who can say something of a param.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The machine itself.
    #[default]
    Machine,
    /// A machine role.
    Role,
    /// A profile that is none.
    Profile,
    /// The machine's stage.
    Stage,
    /// The default of the param's schema.
    Default,
    /// A preference.
    Preference,
}
