//! What members of a mesh network and the server tell each other: who is in it, by which WireGuard key, where it is
//! reached and by which way; who holds which virtual address. Field names are snake_case, as in all that agents speak.
//!
//! The member asks `GET` [`PATH`] with its last cursor and is answered at once when there is news, else when there is;
//! it tells what it sees with `POST` [`REPORT_PATH`]. Both carry a machine token. Private keys are in none of it: a
//! machine makes its own and keeps it.

pub mod health;
pub mod lease;
mod read;

pub use read::{MAX_NEWS, MAX_REPORT, MeshReadError, read_answer, read_news, read_report};

use crate::cidr::Cidr;
use crate::ids::MachineId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `GET ?since=CURSOR`, `Prefer: wait=25`: [`MeshNews`].
pub const PATH: &str = "/api/v3/agent/mesh";
/// `POST` [`MeshReport`]: [`MeshReportAnswer`].
pub const REPORT_PATH: &str = "/api/v3/agent/mesh/report";
/// Name of the network interface on members.
pub const INTERFACE: &str = "muster0";
/// UDP port that members listen on unless their param `muster/mesh-port` says another.
pub const DEFAULT_PORT: u16 = 51_820;
/// Most members that all have a tunnel to each other; in larger networks only those that need one.
pub const FULL_MESH: usize = 250;
/// Most peers that one answer may tell of, and a report too.
pub const MAX_PEERS: usize = 4_096;
/// Most places where one member may be reached.
pub const MAX_ENDPOINTS: usize = 8;
/// Most prefixes beyond its own addresses that one member answers for.
pub const MAX_ROUTES: usize = 256;
/// Seconds between packets that keep a way through NAT open.
pub const KEEPALIVE: u16 = 25;
/// Seconds after which a WireGuard session without a new handshake is over (`REJECT_AFTER_TIME` of the protocol).
pub const SESSION: u64 = 180;
/// Seconds between reports while nothing changes, before jitter.
pub const REPORT_EVERY: u64 = 20;
/// Most virtual addresses and routes that one member may be given to hold.
pub const MAX_VIPS: usize = 256;
/// Longest sentence of a report, in characters.
pub const MAX_MESSAGE: usize = 256;

/// A WireGuard public key: 32 bytes, as text in base64 of 44 characters, as `wg` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);

/// A text is no WireGuard public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a WireGuard public key is 32 bytes in base64, 44 characters")]
pub struct PublicKeyError;

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        if text.len() != 44 {
            return Err(PublicKeyError);
        }
        let bytes = STANDARD.decode(text).map_err(|_| PublicKeyError)?;
        bytes.try_into().map(Self).map_err(|_| PublicKeyError)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = PublicKeyError;

    fn try_from(text: String) -> Result<Self, PublicKeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// The way between two members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A tunnel between the two.
    #[default]
    Direct,
    /// By a member that relays. A tunnel is tried all the same.
    Relay,
}

/// What is new for a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct MeshNews {
    /// Asked with next time. Opaque, at most 64 characters.
    pub cursor: String,
    /// The peers are all there are; else those that changed.
    pub whole: bool,
    /// The member's own place; none when it is in no mesh network (any more): it takes everything down.
    pub own: Option<MeshSelf>,
    /// Peers, those with a tunnel or a way by the relay.
    #[serde(deserialize_with = "read::few::<_, _, MAX_PEERS>")]
    pub peers: Vec<MeshPeer>,
    /// Peers that are none any more.
    #[serde(deserialize_with = "read::few::<_, _, MAX_PEERS>")]
    pub gone: Vec<MachineId>,
    /// Virtual addresses and routes that it may be given to hold, with their checks: all of them.
    #[serde(deserialize_with = "read::few::<_, _, MAX_VIPS>")]
    pub vips: Vec<MeshVip>,
}

/// A member's own place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct MeshSelf {
    /// The mesh network.
    pub network: String,
    /// Its addresses, IPv4 first.
    #[serde(deserialize_with = "read::few::<_, _, { read::FAMILIES }>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// The networks that they are of. Nothing for them ever leaves another interface.
    #[serde(deserialize_with = "read::few::<_, _, { read::FAMILIES }>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub networks: Vec<Cidr>,
    /// UDP port to listen on.
    pub port: u16,
    /// It forwards between other members.
    pub relay: bool,
    /// Names of members are to be in `/etc/hosts`, each as `NAME` and `NAME.NETWORK.mesh`.
    pub hosts: bool,
    /// Its own name there.
    pub name: String,
}

/// Another member, as one member is to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeshPeer {
    /// The machine.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub machine: MachineId,
    /// Its name.
    pub name: String,
    /// Its key; none for one that is only reached by the relay, to which there is no tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<PublicKey>,
    /// Its addresses in the mesh network.
    #[serde(deserialize_with = "read::few::<_, _, { read::FAMILIES }>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// Where its tunnel may be reached, the likeliest first.
    #[serde(default, deserialize_with = "read::few::<_, _, MAX_ENDPOINTS>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub endpoints: Vec<SocketAddr>,
    /// What it answers for beyond its addresses: what it holds and, of the relay in use, the mesh network's own networks.
    #[serde(default, deserialize_with = "read::few::<_, _, MAX_ROUTES>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub routes: Vec<Cidr>,
    /// The way to its addresses. By the relay, none of them is allowed on its own tunnel.
    #[serde(default)]
    pub way: Way,
}

/// What a member sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeshReport {
    /// Its public key; none while its kernel has none to tell, which `error` explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<PublicKey>,
    /// The UDP port it listens on.
    pub port: u16,
    /// Its addresses outside of the mesh network, those that others may reach first, at most [`MAX_ENDPOINTS`].
    #[serde(deserialize_with = "read::few::<_, _, MAX_ENDPOINTS>")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// How its tunnels stand; those that are not told of stand as before.
    #[serde(default, deserialize_with = "read::few::<_, _, MAX_PEERS>")]
    pub peers: Vec<PeerReport>,
    /// How it stands with virtual addresses.
    #[serde(default, deserialize_with = "read::few::<_, _, MAX_VIPS>")]
    pub vips: Vec<VipReport>,
    /// Why it has no tunnels, such as a kernel without WireGuard; else empty. At most 256 characters.
    #[serde(default)]
    pub error: String,
}

/// One tunnel, as one of its ends sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerReport {
    /// The other end.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub machine: MachineId,
    /// Where its packets come from, as the kernel knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub endpoint: Option<SocketAddr>,
    /// Seconds since the last handshake; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<u64>,
    /// Seconds for which it was tried in vain; 0 while there is a session.
    #[serde(default)]
    pub tried: u64,
    /// Bytes that came from it.
    #[serde(default)]
    pub received: u64,
    /// Bytes that went to it.
    #[serde(default)]
    pub sent: u64,
    /// The way in force.
    #[serde(default)]
    pub way: Way,
}

/// Answer to a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct MeshReportAnswer {
    /// Milliseconds until the next one is due; 0 stands for [`REPORT_EVERY`]. Jitter makes it earlier, never later, and
    /// only one of ten seconds or more: a candidate comes when a lease ends.
    pub due: u64,
    /// What it holds from now on: all of it. Whatever else it held, it lets go.
    #[serde(deserialize_with = "read::few::<_, _, MAX_VIPS>")]
    pub grants: Vec<VipGrant>,
}

/// A virtual address or route that a member may be given to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeshVip {
    /// Its name.
    pub name: String,
    /// An address (`/32` or `/128`), which its holder has on the interface, or a prefix behind its holder.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub prefix: Cidr,
    /// When it is healthy here.
    pub check: HealthCheck,
}

/// A test of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `tcp` (`HOST:PORT` or `:PORT` answers), `http` (a URL that answers 200 to 399), `exec` (a command of the shell
    /// that ends with 0), or empty: always healthy.
    #[serde(rename = "Type")]
    pub kind: CheckKind,
    /// What is tried.
    pub target: String,
    /// Seconds between two tests, 1 to 300.
    pub interval: u16,
    /// Seconds that one may take, 1 to 60.
    pub timeout: u16,
    /// Good ones in a row that make it healthy, 1 to 100.
    pub healthy_threshold: u16,
    /// Bad ones in a row that make it unhealthy, 1 to 100.
    pub unhealthy_threshold: u16,
    /// Seconds that a member is not given it again after it became unhealthy there, 0 to 3,600.
    pub holdoff: u16,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::None,
            target: String::new(),
            interval: 5,
            timeout: 3,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            holdoff: 0,
        }
    }
}

impl HealthCheck {
    /// Milliseconds for which who holds something holds it without a word of the server, and after which a silent
    /// holder has lost it: interval times unhealthy threshold.
    pub fn lease(&self) -> u64 {
        u64::from(self.interval) * u64::from(self.unhealthy_threshold) * 1_000
    }

    /// Milliseconds between two reports of a member that may hold it: `interval`, but a lease is renewed twice before it
    /// ends even when one bad test is enough.
    pub fn renewal(&self) -> u64 {
        (u64::from(self.interval) * 1_000).min(self.lease() / 3)
    }
}

/// Kind of a [`HealthCheck`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// None: always healthy.
    #[default]
    #[serde(rename = "")]
    None,
    /// A connection.
    Tcp,
    /// A request.
    Http,
    /// A command.
    Exec,
}

/// How a member stands with something that it may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct VipReport {
    /// Its name.
    pub name: String,
    /// It is healthy here.
    pub healthy: bool,
    /// The epoch under which it is held here now; 0 while it is not.
    pub epoch: u64,
    /// The highest epoch under which it was held here and is no more: it was really taken off. A report that was long
    /// on its way knows nothing of a later grant and can therefore not give it back.
    pub released: u64,
    /// What the last test said when it failed, at most 256 characters.
    pub message: String,
}

/// A virtual address or route that a member holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct VipGrant {
    /// Its name.
    pub name: String,
    /// Counts the holders: one number is given to one member once.
    pub epoch: u64,
    /// Milliseconds, from when the report was sent, after which it is let go unless it is granted again.
    pub lease: u64,
}
