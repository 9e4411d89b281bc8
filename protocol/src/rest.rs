//! REST bodies for operators: dashboard, `muster`, and anyone's scripts. Objects are
//! PascalCase, `/bootstrap` bodies snake_case.

use crate::agent_api::Origin;
use crate::code::Fingerprint;
use crate::ids::{EnrollmentId, KeyThumbprint, MachineId};
use crate::inventory::Inventory;
use crate::model::{Envelope, MachineFields, ServerInfo};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

mod audit;
mod boot;
mod login;
mod mesh;
mod terminal;
mod token;

pub use audit::AuditEntry;
pub use boot::{BootFileShown, BootPreview, HttpImage};
pub use login::{ApiTokenCreate, Login, LoginKind, PasswordProof};
pub use mesh::{MachinePeers, MeshEdge, MeshMap, MeshMember, Peer};
pub use terminal::{Terminal, TerminalOpen, TerminalState, TerminalSwitch};
pub use token::{
    TOKEN_LIFETIMES, Token, TokenConstraints, TokenCreate, TokenKey, TokenRevoke, TokenRevoked, TokenState,
};

/// A machine as REST shows it: the page's fields (`spec/machine-model.md` 1.2), and Muster's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Machine {
    /// Immutable id.
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub uuid: MachineId,
    /// Unique display name, by convention the FQDN.
    pub name: String,
    /// The page's other fields.
    #[serde(flatten)]
    pub fields: MachineFields,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// What only Muster has.
    #[serde(flatten)]
    pub own: MachineExtras,
}

/// What Muster's machines have beside the page's fields. The server's, so what a client sends is ignored, but
/// for the roles and the mesh network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MachineExtras {
    /// A heartbeat was seen within 60 seconds.
    pub online: bool,
    /// RFC 3339 of the last heartbeat, or null when none was ever seen.
    pub last_seen_at: Option<String>,
    /// The Provision column.
    pub provision_state: ProvisionState,
    /// Machine roles, the one that wins first: those among its profiles, and those that its token gave. A
    /// client may write them: a role that is added becomes one of its profiles.
    pub roles: Vec<String>,
    /// Mesh network, or empty. A client may write it.
    pub mesh_network: String,
    /// Its addresses in the mesh network: the IPv4 one first, then the IPv6 one.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub mesh_addresses: Vec<IpAddr>,
    /// Its WireGuard public key in the mesh network, as it told; or empty.
    pub mesh_key: String,
    /// How it came to us.
    pub origin: Origin,
    /// What it is made of.
    pub inventory: Inventory,
    /// The agent probed BTF and the bpf system call.
    pub ebpf: bool,
    /// Settings differ from the last completed run.
    pub pending_changes: bool,
    /// Why it gets no job although tasks are left, in words; empty while it does.
    pub wait_reason: String,
}

/// The Provision column's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProvisionState {
    /// Newly registered, awaiting configuration.
    #[default]
    #[serde(rename = "Discovery mode")]
    Discovery,
    /// A run was asked for.
    #[serde(rename = "Install pending")]
    Pending,
    /// A run is under way.
    Installing,
    /// The last run completed.
    Installed,
    /// The last run failed.
    Failed,
}

impl fmt::Display for ProvisionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "Discovery mode",
            Self::Pending => "Install pending",
            Self::Installing => "Installing",
            Self::Installed => "Installed",
            Self::Failed => "Failed",
        })
    }
}

/// Every REST error (`spec/machine-model.md` 5.6). The HTTP status equals `Code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct ErrorBody {
    /// Collection, or empty.
    pub model: String,
    /// Key of the object, or empty.
    pub key: String,
    /// `AUTH`, `ValidationError`, `CREATE`, a method, or one of the words of
    /// `spec/security.md` 2.5 such as `code_not_found`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Sentences for people.
    pub messages: Vec<String>,
    /// HTTP status.
    pub code: u16,
}

/// Body of `POST /api/v3/bootstrap/lookup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookupRequest {
    /// What the operator typed; normalised by the server.
    pub code: String,
}

/// What the operator sees before approving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollmentPreview {
    /// Enrollment to approve or deny.
    pub id: EnrollmentId,
    /// Where it stands.
    pub state: EnrollmentState,
    /// What to compare with the console.
    pub fingerprint: Fingerprint,
    /// The machine's key.
    pub key: KeyThumbprint,
    /// SMBIOS manufacturer.
    pub vendor: String,
    /// SMBIOS product.
    pub product: String,
    /// SMBIOS serial number.
    pub serial: String,
    /// Host name by DHCP or reverse DNS, or empty.
    pub host_name: String,
    /// Name the machine will get unless the approver gives another.
    pub suggested_name: String,
    /// Hardware addresses.
    pub macs: Vec<String>,
    /// Address the request came from.
    pub source_ip: String,
    /// How it was booted, by its own account.
    pub origin: Origin,
    /// Seconds since 1970 when it first asked.
    pub created_at: u64,
    /// Seconds since it last asked; approvable up to 90.
    pub last_polled_seconds: u64,
    /// Seconds until its code is replaced.
    pub code_expires_in: u64,
    /// Reasons to look twice. With any, the fingerprint must be confirmed.
    pub warnings: Vec<Warning>,
    /// Machines it may be, best match first; approve with `merge` keeps that UUID.
    pub matches: Vec<MachineMatch>,
    /// Everything it is made of.
    pub inventory: Inventory,
}

/// Where an enrollment stands (`spec/security.md` 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EnrollmentState {
    /// Waiting for an operator.
    Pending,
    /// Approved, credential not yet collected.
    Approved,
    /// Credential collected.
    Enrolled,
    /// Refused by an operator.
    Denied,
    /// Taken back by the machine.
    Cancelled,
    /// Not polled, or too old.
    Expired,
    /// Approved and never collected.
    Unclaimed,
}

/// A reason to look twice before approving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Warning {
    /// Stable word: `known_machine`, `machine_online`, `denied_before`, `same_hardware_waiting`.
    pub kind: String,
    /// A sentence.
    pub message: String,
}

/// A registered machine that a new request resembles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MachineMatch {
    /// Its id, for `merge`.
    pub uuid: MachineId,
    /// Its name.
    pub name: String,
    /// Points; 100 and more is a strong match.
    pub score: u32,
    /// Whether it is online now, which forbids a merge.
    pub online: bool,
    /// What is the same, in words.
    pub reasons: Vec<String>,
}

/// Body of `POST /api/v3/bootstrap/enrollments/{id}/approve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApproveRequest {
    /// The code the operator typed; holders of `bootstrap:list` may omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The fingerprint the operator saw: what was seen is what is approved.
    pub fingerprint: String,
    /// Name for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Keep this machine's UUID and give it the new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MachineId>,
    /// The operator compared the fingerprint with the console; required when there are warnings.
    #[serde(default)]
    pub fingerprint_confirmed: bool,
}

/// Answer to an approval: the machine, as `GET /machines/{uuid}` shows it.
pub type ApproveAnswer = Machine;

/// Body of `POST /api/v3/bootstrap/enrollments/{id}/deny`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DenyRequest {
    /// Shown on the console and kept in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A new bootstrap token. Shown once. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TokenCreated {
    /// The token's text.
    pub token: String,
    /// Its `jti`.
    pub id: String,
    /// RFC 3339.
    pub expires_at: String,
    /// The command that brings the agent onto a Linux that runs already, to be pasted into a shell. The token is
    /// in its heredoc, so that it is in no argument list.
    #[serde(default)]
    pub command: String,
    /// Kernel arguments that carry it, the server's address and its pins.
    pub kernel_args: String,
    /// The same as menu entries, ready to paste.
    pub menus: BootMenus,
    /// The kernel and the initial ramdisk that the menus name, to be put there; empty when no media were built.
    #[serde(default)]
    pub files: Vec<BootLink>,
}

/// A file for a boot server, to be fetched from this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct BootLink {
    /// File name.
    pub name: String,
    /// Where it is fetched without logging in: plain HTTP where that door is open, else HTTPS.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal, to hold against what plain HTTP brought.
    pub sha256: String,
}

/// Menu entries for boot servers that exist already. Secret, since the token is in them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct BootMenus {
    /// For `pxelinux.cfg/default`.
    pub pxelinux: String,
    /// For `grub.cfg`.
    pub grub: String,
    /// An iPXE script.
    pub ipxe: String,
    /// An iPXE script that loads kernel and ramdisk from this server; null when its door for boot files is shut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipxe_from_server: Option<String>,
}

impl fmt::Debug for BootMenus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootMenus([redacted])")
    }
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Body of `POST /api/v3/session`. Debug hides the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct LoginRequest {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Answer to a login and to `GET /api/v3/session`: who the caller is. The session itself is a
/// cookie; `CsrfToken` goes back in the `X-CSRF-Token` header of every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Session {
    /// User name.
    pub username: String,
    /// Value for the `X-CSRF-Token` header.
    pub csrf_token: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// Answer to `GET /api/v3/users/{name}/token?ttl=SECONDS`: an API token. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct ApiToken {
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// RFC 3339.
    pub expires_at: String,
    /// What this server is, for callers who may read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<Info>>,
}

/// Answer to `GET /api/v3/machines/{uuid}/token`: a token that speaks for the machine. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct MachineToken {
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// Seconds until it ends, which may be sooner than was asked for.
    pub expires_in: u64,
}

impl fmt::Debug for MachineToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineToken([redacted])")
    }
}

/// Body of `PUT /api/v3/users/{name}/password`. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct NewPassword {
    /// 12 characters or more, 1,024 bytes at most.
    pub password: String,
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword([redacted])")
    }
}

/// Body of `POST /api/v3/events`: an event of somebody's own. Who sent it and when is the server's
/// to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct NewEvent {
    /// What it is about: a word that is no collection.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What happened: a word.
    pub action: String,
    /// To what.
    pub key: String,
    /// Anything that belongs to it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub object: serde_json::Value,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// `GET /api/v3/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Info {
    /// The server's id, as in its certificate.
    pub id: String,
    /// Muster's version.
    pub muster_version: String,
    /// Protocol spoken with agents.
    pub protocol: u32,
    /// Addresses machines are told.
    pub advertise: Vec<String>,
    /// Pins of the current and the next CA.
    pub ca_hash: Vec<String>,
    /// What there is to download, by file name; empty when no media were built.
    pub media: Vec<MediaFile>,
    /// What clients of the machine model want to know.
    #[serde(flatten)]
    pub server: ServerInfo,
}

/// Body of `POST /api/v3/keys/ca/roll`: the next CA takes over, and another is made to follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct CaRoll {
    /// Although the last roll is less than a year ago: what was made before it is locked out.
    #[serde(default)]
    pub force: bool,
}

/// Answer to [`CaRoll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct CaRolled {
    /// Pins of the CA that signs from now on and of the one after it.
    pub ca_hash: Vec<String>,
    /// Their certificates, PEM: the server's new `ca.pem`.
    pub ca_pem: String,
    /// RFC 3339 of the roll before, or null: whatever is older is locked out.
    pub previous_roll: Option<String>,
}

/// One file of the media directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaFile {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal, of the file before personalising.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_debug() {
        let login = LoginRequest { username: "admin".into(), password: "hunter2".into() };
        let token = TokenCreated {
            token: "eyJx".into(),
            id: "1".into(),
            expires_at: String::new(),
            command: "eyJx".into(),
            kernel_args: "muster.token=eyJx".into(),
            menus: BootMenus {
                pxelinux: "eyJx".into(),
                grub: "eyJx".into(),
                ipxe: "eyJx".into(),
                ipxe_from_server: Some("eyJx".into()),
            },
            files: Vec::new(),
        };
        let api = ApiToken { token: "mst_x".into(), expires_at: String::new(), info: None };
        let machine = MachineToken { token: "mmt_x".into(), expires_in: 1 };
        let password = NewPassword { password: "hunter3".into() };
        let shown = format!("{login:?} {token:?} {api:?} {machine:?} {password:?}");
        for secret in ["hunter2", "hunter3", "eyJx", "mst_x", "mmt_x"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
