//! What users are logged in with: sessions and API tokens, listed, made and ended.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// What sort of log-in it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LoginKind {
    /// A browser's session.
    Session,
    /// An API token.
    ApiToken,
}

/// A log-in of a user, as it is listed. Never what it is shown by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Login {
    /// Names it, and is no secret.
    pub id: String,
    /// Which sort.
    pub kind: LoginKind,
    /// What its maker said it is for.
    pub description: String,
    /// RFC 3339; none for one of an older server.
    pub created_at: Option<String>,
    /// When it was used last, to the minute; none when it never was.
    pub last_used_at: Option<String>,
    /// RFC 3339.
    pub expires_at: String,
    /// Address that it was made from, or used from last.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<IpAddr>,
    /// Of the user's roles, those that it is good for; none for all.
    pub roles: Option<Vec<String>>,
    /// Whether this very call came by it.
    pub current: bool,
    /// Whether it ends with the session that it was made in.
    pub of_session: bool,
}

/// Body of `POST /api/v3/session/confirm`: the password of whoever is logged in. Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct PasswordProof {
    /// Password.
    pub password: String,
}

impl fmt::Debug for PasswordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordProof([redacted])")
    }
}

/// Body of `POST /api/v3/users/{name}/token`: which API token to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ApiTokenCreate {
    /// How long it lives, such as `30d`; an hour when empty.
    pub ttl: String,
    /// Of the user's roles, those that it is good for; all when empty.
    pub roles: Vec<String>,
    /// What it is for, at most 200 characters.
    pub description: String,
    /// It outlives the session that makes it, for which the password must have been entered within
    /// five minutes.
    pub lasting: bool,
}
