//! Bodies about members of mesh networks: whom a machine reaches, by which way, and the map of a whole network.

use crate::ids::MachineId;
use crate::mesh::Way;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Answer to `GET /api/v3/machines/{Uuid}/peers`: whom a machine reaches in its mesh network, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MachinePeers {
    /// Its mesh network, or empty.
    pub mesh_network: String,
    /// Its WireGuard public key; empty until it told.
    pub mesh_key: String,
    /// When it last told how its tunnels stand, in RFC 3339; null when it never did since the server started.
    pub reported_at: Option<String>,
    /// Why it has no tunnels, in its own words; else empty.
    pub error: String,
    /// Name of the relay in use in the network; empty while none is.
    pub relay: String,
    /// The other members that it reaches.
    pub peers: Vec<Peer>,
}

/// Another member, as one member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Peer {
    /// The machine.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub machine: MachineId,
    /// Its name.
    pub name: String,
    /// Its addresses in the mesh network, IPv4 first.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// The machine is heard of.
    pub online: bool,
    /// There is a tunnel between the two, or one is tried; else only the relay leads there.
    pub tunnel: bool,
    /// The way to it.
    pub way: Way,
    /// Name of the relay that it goes by; empty for a direct way.
    pub relay: String,
    /// When the tunnel's last handshake was, in RFC 3339; null before the first.
    pub handshake_at: Option<String>,
    /// The tunnel carries traffic now: its last handshake is younger than three minutes.
    pub up: bool,
    /// Bytes that came from it by the tunnel.
    pub received: u64,
    /// Bytes that went to it by the tunnel.
    pub sent: u64,
    /// Where its packets come from.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub endpoint: Option<SocketAddr>,
}

/// Answer to `GET /api/v3/meshes/{Name}/peers`: a mesh network as a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshMap {
    /// The mesh network.
    pub name: String,
    /// The relay in use; null without one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub relay: Option<MachineId>,
    /// Its members, by name.
    pub members: Vec<MeshMember>,
    /// Tunnels between them.
    pub edges: Vec<MeshEdge>,
}

/// A member on the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct MeshMember {
    /// The machine.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub machine: MachineId,
    /// Its name.
    pub name: String,
    /// Its addresses in the mesh network, IPv4 first.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// The machine is heard of.
    pub online: bool,
    /// Its roles, the one that wins first.
    pub roles: Vec<String>,
    /// Its WireGuard public key; empty until it told.
    pub key: String,
    /// It is marked as a relay.
    pub relay: bool,
    /// Where its tunnels may be reached, the likeliest first.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub endpoints: Vec<SocketAddr>,
    /// When it last told how its tunnels stand, in RFC 3339; null when it never did since the server started.
    pub reported_at: Option<String>,
    /// Why it has no tunnels, in its own words; else empty.
    pub error: String,
}

/// A tunnel on the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct MeshEdge {
    /// One end: its place in the list of members, from 0.
    pub from: u32,
    /// The other end, which comes later in that list.
    pub to: u32,
    /// The way between the two.
    pub way: Way,
    /// The tunnel carries traffic now.
    pub up: bool,
    /// When its last handshake was, in RFC 3339; null before the first.
    pub handshake_at: Option<String>,
    /// Bytes that came to the first end from the other.
    pub received: u64,
    /// Bytes that went from the first end to the other.
    pub sent: u64,
}
