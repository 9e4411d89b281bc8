//! Bodies about terminals of machines: whether they are allowed, the one that is open, and recordings.

use crate::terminal::End;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Body of `PUT /api/v3/machines/{Uuid}/terminal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TerminalSwitch {
    /// Whether terminals may be opened on the machine.
    pub enabled: bool,
}

/// How a machine's terminal stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct TerminalState {
    /// Whether terminals may be opened on the machine; never unless somebody said so.
    pub enabled: bool,
    /// Who said so, or empty.
    pub enabled_by: String,
    /// When, in RFC 3339, or empty.
    pub enabled_at: String,
    /// The machine is heard of: only then one can be opened.
    pub online: bool,
    /// The one that is open.
    pub open: Option<TerminalOpen>,
}

/// A terminal that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TerminalOpen {
    /// Its id, and its recording's.
    pub uuid: Uuid,
    /// Who opened it.
    pub user: String,
    /// From which address.
    pub source: String,
    /// When, in RFC 3339.
    pub opened_at: String,
}

/// A terminal that was open, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Terminal {
    /// Its id, and its recording's.
    pub uuid: Uuid,
    /// The machine.
    pub machine: Uuid,
    /// The machine's name at that time.
    pub machine_name: String,
    /// Who opened it.
    pub user: String,
    /// From which address.
    pub source: String,
    /// When, in RFC 3339.
    pub opened_at: String,
    /// When it ended, in RFC 3339; empty while it is open.
    #[serde(default)]
    pub closed_at: String,
    /// Why it ended.
    #[serde(default)]
    pub end: Option<End>,
    /// Why it ended, in a sentence.
    #[serde(default)]
    pub message: String,
    /// Seconds that it was open.
    #[serde(default)]
    pub seconds: u64,
    /// Bytes that the machine wrote to it.
    #[serde(default)]
    pub bytes: u64,
    /// Whether its recording is still there.
    #[serde(default)]
    pub recorded: bool,
}
