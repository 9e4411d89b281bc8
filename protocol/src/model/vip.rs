//! Virtual addresses and routes: one member of a mesh network at a time answers for each.

use super::Envelope;
use crate::mesh::HealthCheck;
use serde::{Deserialize, Serialize};

/// A virtual address or route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Vip {
    /// Its name.
    pub name: String,
    /// Long text for people.
    pub documentation: String,
    /// The mesh network whose members hold it and reach it.
    pub mesh_network: String,
    /// An address as `/32` or `/128`, which its holder has, or a network behind its holder, such as `192.168.7.0/24`.
    pub prefix: String,
    /// Whether anybody is given it.
    pub enabled: bool,
    /// Machines that may hold it, by UUID or name.
    pub machines: Vec<String>,
    /// Machines of this role may hold it too.
    pub role: String,
    /// When it is healthy on a machine.
    pub check: HealthCheck,
    /// UUID of the machine that holds it, or empty.
    pub holder: String,
    /// Counts its holders.
    pub epoch: u64,
    /// Whether anybody holds it.
    pub state: VipState,
    /// Machines that may hold it, as they stand.
    pub members: Vec<VipMember>,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

impl Default for Vip {
    fn default() -> Self {
        Self {
            name: String::new(),
            documentation: String::new(),
            mesh_network: String::new(),
            prefix: String::new(),
            enabled: true,
            machines: Vec::new(),
            role: String::new(),
            check: HealthCheck::default(),
            holder: String::new(),
            epoch: 0,
            state: VipState::default(),
            members: Vec::new(),
            envelope: Envelope::default(),
        }
    }
}

/// Whether anybody holds a VIP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum VipState {
    /// Nobody does.
    #[default]
    Nobody,
    /// Somebody does.
    Held,
    /// Nobody is given it.
    Disabled,
}

/// A machine that may hold a VIP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct VipMember {
    /// UUID of the machine.
    pub machine: String,
    /// Its name.
    pub name: String,
    /// Whether it is online.
    pub online: bool,
    /// Whether it is healthy there.
    pub healthy: bool,
    /// Why not, as far as that is known.
    pub message: String,
}
