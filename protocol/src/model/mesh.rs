//! Mesh networks: private networks in which each of their machines has one address of every family.

use super::Envelope;
use serde::{Deserialize, Serialize};

/// A mesh network. Its `Cidrs` stay as they are while machines are in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshNetwork {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// What its addresses are taken of: a private IPv4 network, a unique local IPv6 network (fd00::/8), or
    /// one of each.
    pub cidrs: Vec<String>,
    /// Whether new machines join it: the preference `defaultMesh`, so that at most one is.
    pub default: bool,
    /// Whether the names of its machines are in the `/etc/hosts` of each, as `NAME` and `NAME.NETWORK.mesh`.
    pub hosts: bool,
    /// How many machines are in it.
    pub members: u64,
    /// How many more it has addresses for.
    pub free_addresses: u64,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}
