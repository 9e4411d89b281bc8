//! Bodies about the audit log.

use crate::ids::{EnrollmentId, KeyThumbprint, MachineId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A row of the audit log. Never a token, key or password in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct AuditEntry {
    /// Its number, from 1 without gaps: what `after` names.
    pub number: i64,
    /// RFC 3339.
    pub time: String,
    /// What happened, such as `enrollment.approved`.
    pub kind: String,
    /// Who did it: `user:NAME`, `machine:UUID`, `key:THUMBPRINT` or `system`.
    pub principal: String,
    /// From where; null for the server's own doing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<IpAddr>,
    /// In which request, as the server's log names it; or empty.
    pub request: String,
    /// Request to be registered that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<EnrollmentId>,
    /// Machine that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// Machine key that it concerns, by its thumbprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyThumbprint>,
    /// Bootstrap code, which is over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Why, in words; or a token's id.
    pub reason: String,
}
