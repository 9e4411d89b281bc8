//! What a bootstrap token allows: its claims, and whether they admit this machine now
//! (`spec/security.md` 3.2). The server opens tokens; what is decided here is what they say.

use crate::time::Timestamp;
use protocol::ids::MacAddr;
use protocol::inventory::Inventory;
use protocol::rest::TOKEN_LIFETIMES;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The one audience of bootstrap tokens: they register and do nothing else.
pub const AUDIENCE: &str = "reg";
/// Most entries of one constraint.
const MAX_CONSTRAINT_ENTRIES: usize = 64;

/// What a bootstrap token says. Every field without a default is required: a token that lacks
/// one is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapClaims {
    /// The server that made it.
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Its id: 96 random bits as base64url.
    pub jti: String,
    /// When it was made, seconds since 1970.
    pub iat: u64,
    /// When it ends, seconds since 1970.
    pub exp: u64,
    /// Who made it.
    pub by: String,
    /// The machine still waits for one click.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub appr: bool,
    /// Constraints as they were written; [`Constraints::parse`] reads them, so that a member
    /// this version does not know refuses the machine and not the token.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub c: serde_json::Value,
}

/// Which machines a token admits. An absent member admits any; an unknown one refuses all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Networks the call must come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidr: Vec<Cidr>,
    /// Hardware addresses of which the machine must have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mac: Vec<MacAddr>,
    /// Most machines it registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// SMBIOS system UUIDs of which the machine must have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uuid: Vec<String>,
    /// SMBIOS serial numbers of which the machine must have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serial: Vec<String>,
}

impl Constraints {
    /// Reads the claim `c`; null is no constraint.
    ///
    /// # Errors
    /// [`Refused::Constraint`] for anything this version does not know: a constraint that is
    /// not understood cannot be kept.
    pub fn parse(claim: &serde_json::Value) -> Result<Self, Refused> {
        if claim.is_null() {
            return Ok(Self::default());
        }
        let unknown = || Refused::Constraint("a constraint this server does not know");
        if !claim.is_object() {
            // Serde would read a list as the members in order.
            return Err(unknown());
        }
        let read = Self::deserialize(claim).map_err(|_| unknown())?;
        let longest = [read.cidr.len(), read.mac.len(), read.uuid.len(), read.serial.len()].into_iter().max();
        if longest.is_some_and(|entries| entries > MAX_CONSTRAINT_ENTRIES) {
            Err(unknown())
        } else {
            Ok(read)
        }
    }

    fn check(&self, inventory: &Inventory, source: IpAddr) -> Result<(), Refused> {
        let one_of = |allowed: &[String], own: &str| {
            allowed.is_empty()
                || (!own.is_empty() && allowed.iter().any(|text| text.eq_ignore_ascii_case(own)))
        };
        if !self.cidr.is_empty() && !self.cidr.iter().any(|network| network.contains(source)) {
            return Err(Refused::Constraint("the network it is used from"));
        }
        if !self.mac.is_empty() && !inventory.macs().any(|mac| self.mac.contains(&mac)) {
            return Err(Refused::Constraint("the machine's hardware addresses"));
        }
        if !one_of(&self.uuid, &inventory.system_uuid) {
            return Err(Refused::Constraint("the machine's system UUID"));
        }
        if !one_of(&self.serial, &inventory.serial) {
            return Err(Refused::Constraint("the machine's serial number"));
        }
        Ok(())
    }
}

/// A network such as `10.20.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address and a prefix length, such as 10.20.0.0/16")]
pub struct CidrError;

impl Cidr {
    /// Whether the address lies in the network. IPv4 written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let ignored = 32_u32.saturating_sub(self.prefix.into());
                let bits = network.to_bits() ^ address.to_bits();
                bits.checked_shr(ignored).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let ignored = 128_u32.saturating_sub(self.prefix.into());
                let bits = network.to_bits() ^ address.to_bits();
                bits.checked_shr(ignored).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError)?;
        let network: IpAddr = address.parse().map_err(|_| CidrError)?;
        let prefix: u8 = prefix.parse().map_err(|_| CidrError)?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        if prefix > longest { Err(CidrError) } else { Ok(Self { network, prefix }) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Why a token that decrypts does not register this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Made by or for somebody else, or with a lifetime no server gives.
    #[error("bootstrap token is not one of this server's")]
    Foreign,
    /// Its time is over.
    #[error("bootstrap token expired")]
    Expired,
    /// Somebody revoked it.
    #[error("bootstrap token was revoked")]
    Revoked,
    /// It does not cover this machine; which constraint is for the audit log only.
    #[error("bootstrap token does not cover {0}")]
    Constraint(&'static str),
    /// It asks for an operator's click.
    #[error("bootstrap token leaves the approval to an operator")]
    NeedsApproval,
}

/// What a token that admits leaves to be kept in the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Most machines the token registers.
    pub max: Option<u32>,
}

/// Everything besides the claims that decides.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// This server's id.
    pub server_id: &'a str,
    /// What the machine is made of.
    pub inventory: &'a Inventory,
    /// Where it calls from.
    pub source: IpAddr,
    /// Whether the token's id is on the deny list.
    pub revoked: bool,
    /// The server's clock.
    pub now: Timestamp,
}

/// Decides, in the order of `spec/security.md` 3.2, whether the claims admit the applicant.
///
/// # Errors
/// The first reason against it.
pub fn admit(claims: &BootstrapClaims, applicant: &Applicant<'_>) -> Result<Admission, Refused> {
    let longest = TOKEN_LIFETIMES.into_iter().max().unwrap_or(0);
    let lifetime = claims.exp.checked_sub(claims.iat).ok_or(Refused::Foreign)?;
    if claims.iss != applicant.server_id || claims.aud != AUDIENCE || lifetime > longest {
        return Err(Refused::Foreign);
    }
    let now = applicant.now.as_seconds();
    if now >= claims.exp {
        return Err(Refused::Expired);
    }
    if now < claims.iat {
        return Err(Refused::Foreign);
    }
    if applicant.revoked {
        return Err(Refused::Revoked);
    }
    let constraints = Constraints::parse(&claims.c)?;
    constraints.check(applicant.inventory, applicant.source)?;
    if claims.appr { Err(Refused::NeedsApproval) } else { Ok(Admission { max: constraints.max }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> BootstrapClaims {
        BootstrapClaims {
            iss: "dc1".into(),
            aud: "reg".into(),
            jti: "j".into(),
            iat: 1_000,
            exp: 1_600,
            by: "admin".into(),
            appr: false,
            c: serde_json::Value::Null,
        }
    }

    fn decide(claims: &BootstrapClaims, second: u64) -> Result<Admission, Refused> {
        let mut inventory = Inventory { serial: "7XK21M3".into(), ..Inventory::default() };
        let mac = "52:54:00:12:34:56".parse().unwrap();
        inventory.links.push(protocol::inventory::Link::new("eth0", mac));
        admit(
            claims,
            &Applicant {
                server_id: "dc1",
                inventory: &inventory,
                source: "10.20.4.17".parse().unwrap(),
                revoked: claims.jti == "revoked",
                now: Timestamp::from_seconds(second),
            },
        )
    }

    #[test]
    fn token_admits_until_the_second_it_expires() {
        assert_eq!(decide(&claims(), 1_000), Ok(Admission { max: None }));
        assert_eq!(decide(&claims(), 1_599), Ok(Admission { max: None }));
        assert_eq!(decide(&claims(), 1_600), Err(Refused::Expired));
        assert_eq!(decide(&claims(), 999), Err(Refused::Foreign));
    }

    #[test]
    fn token_of_another_server_audience_or_lifetime_is_foreign() {
        for claims in [
            BootstrapClaims { iss: "dc2".into(), ..claims() },
            BootstrapClaims { aud: "api".into(), ..claims() },
            BootstrapClaims { exp: 1_000 + 31_536_001, ..claims() },
            BootstrapClaims { exp: 999, ..claims() },
        ] {
            assert_eq!(decide(&claims, 1_001), Err(Refused::Foreign), "{claims:?}");
        }
    }

    #[test]
    fn revoked_and_unapproved_tokens_do_not_admit() {
        assert_eq!(
            decide(&BootstrapClaims { jti: "revoked".into(), ..claims() }, 1_001),
            Err(Refused::Revoked)
        );
        assert_eq!(decide(&BootstrapClaims { appr: true, ..claims() }, 1_001), Err(Refused::NeedsApproval));
    }

    #[test]
    fn constraints_are_kept_and_unknown_ones_refuse() {
        for (constraints, admitted) in [
            (json!({}), true),
            (json!({"cidr": ["10.20.0.0/16", "fd00::/8"], "max": 5}), true),
            (json!({"cidr": ["10.21.0.0/16"]}), false),
            (json!({"cidr": ["0.0.0.0/0"]}), true),
            (json!({"mac": ["52:54:00:12:34:56"]}), true),
            (json!({"mac": ["52:54:00:12:34:57"]}), false),
            (json!({"serial": ["7xk21m3"]}), true),
            (json!({"serial": ["other"]}), false),
            (json!({"uuid": ["4c4c4544-0058-4b10-8032-b7c04f4d3333"]}), false),
            (json!({"tpm": ["x"]}), false),
            (json!({"cidr": "10.0.0.0/8"}), false),
            (json!({"cidr": ["10.0.0.0/33"]}), false),
            (json!([]), false),
            (json!({"mac": vec!["52:54:00:12:34:56"; 65]}), false),
        ] {
            let result = decide(&BootstrapClaims { c: constraints.clone(), ..claims() }, 1_001);
            assert_eq!(result.is_ok(), admitted, "{constraints}");
        }
    }

    #[test]
    fn claims_without_a_required_member_are_not_claims() {
        let whole = serde_json::to_value(claims()).unwrap();
        for member in ["iss", "aud", "jti", "iat", "exp", "by"] {
            let mut cut = whole.clone();
            cut.as_object_mut().unwrap().remove(member);
            assert!(serde_json::from_value::<BootstrapClaims>(cut).is_err(), "{member}");
        }
        assert_eq!(serde_json::from_value::<BootstrapClaims>(whole).unwrap(), claims());
    }
}
