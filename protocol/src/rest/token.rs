//! Bodies about bootstrap tokens and the keys that seal them.

use crate::cidr::Cidr;
use crate::ids::MacAddr;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The lifetimes the dialog offers, in seconds: 10 minutes, 1, 7, 30, 90 and 365 days.
pub const TOKEN_LIFETIMES: [u64; 6] = [600, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];

/// Body of `POST /api/v3/bootstrap/tokens`. A member that this version does not know is refused:
/// a constraint that is passed over would be none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TokenCreate {
    /// Seconds: one of [`TOKEN_LIFETIMES`].
    pub lifetime: u64,
    /// Networks that machines must call from; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub cidr: Vec<Cidr>,
    /// Hardware addresses of which a machine must have one; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mac: Vec<MacAddr>,
    /// Most machines it registers; null for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// SMBIOS system UUIDs of which a machine must have one; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uuid: Vec<String>,
    /// SMBIOS serial numbers of which a machine must have one; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<String>,
    /// Roles that its machines begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Mesh network that its machines begin in, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mesh_network: String,
    /// Each machine still waits for an operator, with a code on its console.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_approval: bool,
    /// Where boot loaders shall find the kernel, as menus name it: a path on the boot server, or an http or tftp URL.
    /// Empty for `muster/vmlinuz`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    /// The same for the initial ramdisk. Empty for `muster/initrd`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub initrd: String,
}

/// What is kept of a bootstrap token that was issued: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Token {
    /// Its `jti`, by which it is revoked.
    pub id: String,
    /// Who issued it, as `user:NAME`.
    pub by: String,
    /// RFC 3339.
    pub issued_at: String,
    /// RFC 3339.
    pub expires_at: String,
    /// Id of the key that sealed it.
    pub kid: String,
    /// Whether it still registers machines.
    pub state: TokenState,
    /// How many machines it registered.
    pub uses: u32,
    /// RFC 3339 of the last time a machine came by it, or null.
    pub last_used_at: Option<String>,
    /// Which machines it admits.
    pub constraints: TokenConstraints,
    /// Roles that its machines begin with.
    pub roles: Vec<String>,
    /// Mesh network that its machines begin in, or empty.
    pub mesh_network: String,
    /// Its machines wait for an operator.
    pub require_approval: bool,
}

/// Which machines a token admits; what is absent admits any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TokenConstraints {
    /// As in [`TokenCreate`], as are all that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub cidr: Vec<Cidr>,
    /// Hardware addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mac: Vec<MacAddr>,
    /// Most machines it registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// SMBIOS system UUIDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uuid: Vec<String>,
    /// SMBIOS serial numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<String>,
}

/// Whether a token still registers machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked, or its issuer or its key is gone.
    Revoked,
    /// It registered as many machines as it may.
    UsedUp,
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UsedUp => "used up",
        })
    }
}

/// Body of `POST /api/v3/bootstrap/tokens/revoke`: an object with exactly one member. One token
/// is revoked by `DELETE /api/v3/bootstrap/tokens/{jti}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TokenRevoke {
    /// Everything this user issued so far.
    User(String),
    /// Everything this server issued before this moment: RFC 3339, or `now`.
    Before(String),
    /// Everything this key sealed; the key is erased, and followed by another if it was current.
    Kid(String),
}

/// Answer to a revocation, which holds when it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TokenRevoked {
    /// What was revoked, in words.
    pub revoked: String,
    /// How many tokens of the list ended by it that were live.
    pub ended: u64,
    /// RFC 3339 of when the server may forget it, since nothing it covers can be valid any more.
    pub kept_until: String,
}

/// One key that seals and opens bootstrap tokens; never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct TokenKey {
    /// Its id, in the header of every token it sealed.
    pub kid: String,
    /// It seals new tokens; the others open old ones.
    pub current: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339 of when another followed it, or null.
    pub rolled_at: Option<String>,
    /// How many tokens it sealed.
    pub issued: u64,
    /// RFC 3339 of the end of its last token, or null: then a key that was followed is erased.
    pub last_expires_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn lifetime_alone_makes_a_token_and_a_slip_of_the_pen_none() {
        let plain: TokenCreate = from_value(json!({ "Lifetime": 600 })).unwrap();
        assert_eq!(plain, TokenCreate { lifetime: 600, ..TokenCreate::default() });
        assert_eq!(serde_json::to_value(&plain).unwrap(), json!({ "Lifetime": 600 }));
        for wrong in [
            json!({ "Lifetime": 600, "Cidrs": ["10.0.0.0/8"] }),
            json!({ "Lifetime": 600, "Cidr": ["10.0.0.0"] }),
            json!({ "Lifetime": 600, "Mac": ["x"] }),
            json!({ "Lifetime": 600, "MaxUses": -1 }),
        ] {
            assert!(from_value::<TokenCreate>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn revocation_names_exactly_one_thing() {
        let read = |value| from_value::<TokenRevoke>(value);
        assert_eq!(read(json!({ "User": "eve" })).unwrap(), TokenRevoke::User("eve".into()));
        assert_eq!(read(json!({ "Before": "now" })).unwrap(), TokenRevoke::Before("now".into()));
        for wrong in [json!({}), json!({ "User": "eve", "Kid": "k1" }), json!({ "Jti": "x" }), json!("User")]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
