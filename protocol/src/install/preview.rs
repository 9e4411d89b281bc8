//! What a machine would get of its roles, shown before anything is installed.

use serde::{Deserialize, Serialize};
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
