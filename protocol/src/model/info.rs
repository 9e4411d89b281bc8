//! What a server tells of itself in the words of the model (`spec/machine-model.md` 5.7).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What clients of the model want to know of a server. Muster says the rest of it beside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ServerInfo {
    /// Version of the API that is spoken, and Muster's own behind it.
    pub version: String,
    /// An address of the server.
    pub address: String,
    /// Port of the API.
    pub api_port: u16,
    /// Port of rendered files; 0 when they are not served.
    pub file_port: u16,
    /// Architecture in Go's words.
    pub arch: String,
    /// Operating system in Go's words.
    pub os: String,
    /// What the server can do, in words that clients look for.
    pub features: Vec<String>,
    /// Claims: what may be done in each scope.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, BTreeMap<String, serde_json::Value>>))]
    pub scopes: BTreeMap<String, BTreeMap<String, Nothing>>,
    /// Counts of objects.
    pub stats: Vec<Stat>,
    /// What is wrong with the server.
    pub errors: Vec<String>,
    /// Name of the computer.
    pub server_hostname: String,
    /// The same as `id`.
    pub uuid: String,
    /// The same as `id`.
    pub local_id: String,
    /// The same as `id`.
    pub ha_id: String,
    /// The same as `id`.
    pub ha_active_id: String,
    /// Always empty.
    pub ha_consensus_id: String,
    /// Always false: several servers share a database instead.
    pub ha_enabled: bool,
    /// Always true.
    pub ha_is_active: bool,
    /// `Up`.
    pub ha_status: String,
    /// Always empty.
    pub ha_virtual_address: String,
    /// Always empty.
    pub ha_passive_state: Vec<serde_json::Value>,
    /// Always false.
    pub manager: bool,
    /// Whether rendered files are served.
    pub prov_enabled: bool,
    /// Always false: rendered files come from the file port.
    pub secure_prov_enabled: bool,
    /// Port of rendered files over TLS: the API's.
    pub secure_file_port: u16,
    /// Whether TFTP is served.
    pub tftp_enabled: bool,
    /// Its port.
    pub tftp_port: u16,
    /// Whether addresses are leased.
    pub dhcp_enabled: bool,
    /// The port for it.
    pub dhcp_port: u16,
    /// Always false.
    pub binl_enabled: bool,
    /// The port it would have.
    pub binl_port: u16,
    /// Always false.
    pub dns_enabled: bool,
    /// The port it would have.
    pub dns_port: u16,
    /// Licences: none is needed.
    #[serde(rename = "License")]
    pub license: Licenses,
    /// Always empty.
    #[serde(rename = "ClusterState")]
    pub cluster_state: Nothing,
}

/// A count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stat {
    /// Of what.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Licences: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Licenses {
    /// Always empty.
    pub licenses: Vec<serde_json::Value>,
}

/// `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nothing {}
