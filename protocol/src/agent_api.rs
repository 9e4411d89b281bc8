//! Bodies that agents and server exchange under `/api/v3/bootstrap` and `/api/v3/agent`
//! (`spec/security.md` 2.4). Field names are snake_case. Additive only: a field is never
//! renamed or removed while a medium that uses it may lie in a drawer.

use crate::code::BootstrapCode;
use crate::ids::{EnrollmentId, MachineId, SpkiPin};
use crate::inventory::Inventory;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// `POST`: ask to be registered. Answers [`EnrollmentAnswer`].
pub const ENROLLMENTS_PATH: &str = "/api/v3/bootstrap/enrollments";
/// `POST`: register by token or boot nonce. Answers [`Approved`] with 201.
pub const REGISTER_PATH: &str = "/api/v3/bootstrap/register";
/// `POST`: an access token for a registered key. Answers [`TokenAnswer`].
pub const TOKEN_PATH: &str = "/api/v3/agent/token";
/// `POST`: a registered machine changes its key. Answers [`Approved`].
pub const KEY_PATH: &str = "/api/v3/agent/key";
/// `POST`: heartbeat. Answers [`HeartbeatAnswer`].
pub const HEARTBEAT_PATH: &str = "/api/v3/agent/heartbeat";
/// `POST`: what a runner of the machine's jobs needs. Answers [`RunnerTicket`].
pub const RUNNER_PATH: &str = "/api/v3/agent/runner";

/// Path of one enrollment's poll: `POST`, `Prefer: wait=25`, empty JSON object as body.
pub fn poll_path(id: EnrollmentId) -> String {
    format!("{ENROLLMENTS_PATH}/{id}/poll")
}

/// Path to take an enrollment back: `POST`, empty JSON object as body, signed as every call.
pub fn cancel_path(id: EnrollmentId) -> String {
    format!("{ENROLLMENTS_PATH}/{id}/cancel")
}

/// Body of [`ENROLLMENTS_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollmentRequest {
    /// What the machine is made of, at most 32 KiB.
    pub inventory: Inventory,
    /// Where it was booted from: `iso` or `pxe`; shown, never trusted.
    #[serde(default)]
    pub origin: Origin,
    /// Id of the personalised medium, if it carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

/// How a machine came to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Removable medium or virtual CD-ROM.
    #[default]
    Iso,
    /// Kernel and initrd from the network or a boot menu.
    Pxe,
    /// The one-line command on an installed Linux.
    Cli,
    /// Created by an operator.
    Api,
}

/// Answer to creating (201, or 200 when it exists) and to polling (202 pending, 200 approved).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum EnrollmentAnswer {
    /// Waiting for an operator.
    AuthorizationPending(Pending),
    /// Registered; also the answer to a key that is registered already.
    Approved(Approved),
}

/// A waiting enrollment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pending {
    /// Id for polling.
    pub id: EnrollmentId,
    /// The code to show; in a poll's answer only when it was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<BootstrapCode>,
    /// Seconds until the code is replaced.
    pub code_expires_in: u64,
    /// Seconds between polls.
    pub interval: u64,
    /// Nonce for the next proof.
    pub nonce: String,
    /// The server's clock, seconds since 1970.
    pub server_time: u64,
    /// Name by which the server calls itself on the console.
    #[serde(default)]
    pub server_name: String,
}

/// A registered machine's welcome.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approved {
    /// Who the machine is.
    pub machine: MachineName,
    /// Nonce over which the first access token is asked for: that request is the acknowledgement.
    pub enrol_nonce: String,
    /// Settings for the running agent.
    pub agent_config: AgentSettings,
    /// The server's clock, seconds since 1970.
    pub server_time: u64,
}

/// A machine's identity as the console shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MachineName {
    /// Immutable id.
    #[serde(rename = "Uuid")]
    pub uuid: MachineId,
    /// Display name.
    #[serde(rename = "Name")]
    pub name: String,
}

/// Settings the server gives a running agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentSettings {
    /// Seconds between heartbeats, before jitter.
    pub heartbeat_interval: u64,
    /// Pins of the server's current and next CA, at most [`crate::config::MAX_SERVERS`]: a running
    /// agent trusts them beside those it booted with. Empty: no news.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_hash: Vec<SpkiPin>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self { heartbeat_interval: 20, ca_hash: Vec::new() }
    }
}

/// Body of [`REGISTER_PATH`]. Debug hides its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterRequest {
    /// The bootstrap token; empty beside a nonce or a statement.
    pub token: String,
    /// The one-time boot nonce of a machine that comes back, else empty. See [`crate::nonce`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The old key's statement about the key that makes this call, else empty. See [`crate::succession`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// What the machine is made of.
    pub inventory: Inventory,
    /// As in [`EnrollmentRequest`].
    #[serde(default)]
    pub origin: Origin,
}

impl fmt::Debug for RegisterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterRequest").field("inventory", &self.inventory).finish_non_exhaustive()
    }
}

impl fmt::Debug for Approved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approved").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl fmt::Debug for EnrollmentAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorizationPending(pending) => pending.fmt(f),
            Self::Approved(approved) => approved.fmt(f),
        }
    }
}

/// Body of [`TOKEN_PATH`]: the proof says it all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenRequest {}

/// A short-lived access token, bound to the machine's key. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAnswer {
    /// Sent as `Authorization: DPoP <token>` beside a proof with its `ath`.
    pub access_token: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// Nonce for the next proof.
    pub nonce: String,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAnswer").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Body of [`KEY_PATH`]. The old key signs the call as every call; the new one vouches for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyChange {
    /// The new key's proof (see [`crate::proof`]) for this method and path over a fresh nonce. Its
    /// `body_sha256` is the digest of the old key's thumbprint as text, so that it serves no other
    /// machine.
    pub successor: String,
}

/// Body of [`HEARTBEAT_PATH`]; `Prefer: wait=20` lets the server hold the answer until there
/// is work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatRequest {
    /// What the agent is doing.
    pub state: AgentState,
    /// SHA-256 of the inventory's JSON as base64url: the server asks when it differs.
    pub inventory_digest: String,
    /// The inventory, when the server asked for it or it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Inventory>,
    /// The kernel's id of this boot, of at most [`MAX_BOOT_ID`] characters; empty from agents that
    /// run no jobs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// The agent knows of work, and a runner is at it or will be: the answer may be held although there is some.
    #[serde(default)]
    pub working: bool,
    /// The agent is that of an installed system, which is no boot environment of ours.
    #[serde(default)]
    pub installed: bool,
}

impl HeartbeatRequest {
    /// The last one before a reboot: nothing is asked for any more.
    pub fn goodbye() -> Self {
        Self {
            state: AgentState::Stopping,
            inventory_digest: String::new(),
            observed: None,
            boot_id: String::new(),
            working: false,
            installed: false,
        }
    }
}

/// Longest boot id that a server takes, in characters: a UUID's length.
pub const MAX_BOOT_ID: usize = 36;

/// What a running agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// In the boot image, waiting for work.
    Discovery,
    /// About to reboot or power off.
    Stopping,
}

/// Answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatAnswer {
    /// Seconds until the next heartbeat, before jitter.
    pub interval: u64,
    /// The server does not hold the inventory of this digest: send it with the next heartbeat.
    #[serde(default)]
    pub send_inventory: bool,
    /// The machine's name, which an operator may have changed.
    #[serde(default)]
    pub name: String,
    /// There are jobs to run, or a boot environment to reboot for: a runner is wanted.
    #[serde(default)]
    pub work: bool,
    /// As in [`AgentSettings`]: a machine on duty follows a change of the CA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_hash: Vec<SpkiPin>,
    /// The boot environment that the machine is to be in. An installed system whose agent is about to
    /// restart knows by it whether that leads into our image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_env: String,
    /// Somebody opens a terminal: whoever has this connects to [`crate::terminal::machine_path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalTicket>,
    /// The machine is in a mesh network, or has not heard yet that it left: what keeps its tunnels
    /// ([`crate::mesh`]) is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mesh: bool,
    /// Nonce for the next proof.
    pub nonce: String,
}

/// What the machine's side of a terminal connects by, once. Debug hides the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TerminalTicket {
    /// The terminal.
    pub id: Uuid,
    /// Sent as `Authorization: Bearer <secret>`.
    pub secret: String,
}

impl fmt::Debug for TerminalTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalTicket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Body of [`RUNNER_PATH`]: the proof says it all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunnerRequest {}

/// What a runner of the machine's jobs needs. Debug hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunnerTicket {
    /// A machine token, sent as `Authorization: Bearer <token>`.
    pub token: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// The boot environment that the machine booted: when it has another one, it reboots.
    pub boot_env: String,
    /// Nonce for the next proof.
    pub nonce: String,
}

impl fmt::Debug for RunnerTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, expires_in, boot_env, nonce: _ } = self;
        f.debug_struct("RunnerTicket")
            .field("expires_in", expires_in)
            .field("boot_env", boot_env)
            .finish_non_exhaustive()
    }
}

/// Every refusal under `/bootstrap` and `/agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// The word agents act on, RFC 8628's where it has one.
    pub error: RefusalKind,
    /// A sentence for the console.
    pub message: String,
    /// A fresh nonce, whenever the caller may try again with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// New interval between polls, with `slow_down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Seconds to wait, as in the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The server's clock, seconds since 1970, with `use_nonce`: a machine whose clock is dead
    /// asks for it before it says anything about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<u64>,
}

/// Why a machine's call was refused. The words are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// 400: body is not what the route expects.
    InvalidRequest,
    /// 401: proof missing, forged, replayed or for something else.
    InvalidProof,
    /// 401: the proof needs the nonce in this answer.
    UseNonce,
    /// 401: the access token ended or was revoked: ask for another.
    InvalidAccessToken,
    /// 401: bootstrap token not ours, damaged or forged; boot nonce unknown, used or over.
    InvalidToken,
    /// 401: bootstrap token's time is over.
    TokenExpired,
    /// 401: bootstrap token was revoked.
    TokenRevoked,
    /// 403: bootstrap token or boot nonce does not cover this machine.
    ConstraintFailed,
    /// 403: bootstrap token is good and leaves the approval to an operator: ask for a code.
    ApprovalRequired,
    /// 403: an operator denied this key; or the key's machine was deleted.
    AccessDenied,
    /// 404: no such enrollment: make a new one.
    UnknownRequest,
    /// 410: the enrollment ended unanswered: make a new one.
    ExpiredToken,
    /// 413: body too large.
    TooLarge,
    /// 426: protocol version not spoken.
    UnsupportedProtocol,
    /// 429: too fast.
    SlowDown,
    /// 503: full or its database is away.
    TemporarilyUnavailable,
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}
