//! Words and wire formats that Muster's agent, server and command line share.
//!
//! Pure: no I/O, clock, randomness or cryptography. Digests and signatures are computed by
//! the callers (ring) over bytes that this crate lays out, and handed back as plain bytes.
//! Every parser of outside text is total: it returns an error and never panics, and checks
//! lengths before it allocates.

pub mod agent_api;
pub mod cidr;
pub mod cmdline;
pub mod code;
pub mod config;
pub mod event;
pub mod glyphs;
pub mod ids;
pub mod install;
pub mod installed;
pub mod inventory;
pub mod mesh;
pub mod model;
pub mod module_index;
pub mod net;
pub mod nonce;
pub mod proof;
pub mod rest;
pub mod succession;
pub mod terminal;
pub mod token;
pub mod tools;

/// Version of the protocol between agent and server, sent by the agent in
/// [`PROTOCOL_HEADER`] with every request. A server that does not speak it answers 426 with
/// error `unsupported_protocol`, and the agent shows that on its console (`E23`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion(pub u32);

impl ProtocolVersion {
    /// The version this build speaks.
    pub const CURRENT: Self = Self(1);
    /// The oldest version a server of this build still answers.
    pub const OLDEST: Self = Self(1);

    /// Whether a server of this build answers an agent of version `self`.
    pub fn is_spoken(self) -> bool {
        (Self::OLDEST..=Self::CURRENT).contains(&self)
    }
}

impl std::str::FromStr for ProtocolVersion {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Request header that carries the agent's [`ProtocolVersion`].
pub const PROTOCOL_HEADER: &str = "muster-protocol";
/// HTTPS port of REST, websocket, dashboard and agents.
pub const DEFAULT_PORT: u16 = 8092;
/// Name every agent sends as TLS SNI and verifies under the pinned CA (`spec/security.md` 4).
pub const AGENT_SNI: &str = "agent.internal";
/// Suffix of the one SAN by which an agent learns the server's id: `<server-id>.agent.internal`.
pub const SERVER_ID_SUFFIX: &str = ".agent.internal";
