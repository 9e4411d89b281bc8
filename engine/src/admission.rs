//! What a bootstrap token allows: its claims, and whether they admit this machine now
//! (`spec/security.md` 3.2). The server opens tokens; what is decided here is what they say.

use crate::time::Timestamp;
use protocol::cidr::Cidr;
use protocol::ids::MacAddr;
use protocol::inventory::{Inventory, clean_text};
use protocol::rest::{TOKEN_LIFETIMES, TokenConstraints, TokenCreate};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// The one audience of bootstrap tokens: they register and do nothing else.
pub const AUDIENCE: &str = "reg";
/// Most entries of one constraint.
const MAX_CONSTRAINT_ENTRIES: usize = 64;
/// Most roles that a token gives.
const MAX_ROLES: usize = 16;
/// Longest name of a role or mesh network, in characters.
const MAX_PLACE_NAME: usize = 64;
/// Longest serial number that a constraint names, in characters: an inventory holds no longer one.
const MAX_SERIAL: usize = protocol::inventory::MAX_TEXT;
/// How far ahead of this server's clock a token may begin: two servers on one database differ by so
/// much, and one that is made in the second of an epoch begins with the next.
pub const AHEAD: Duration = Duration::from_secs(5);

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
    /// Roles that its machines begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role: Vec<String>,
    /// Mesh network that its machines begin in, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub net: String,
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
        if read.too_long().is_some() { Err(unknown()) } else { Ok(read) }
    }

    fn check_shape(&self) -> Result<(), TermsError> {
        if let Some((what, found)) = self.too_long() {
            return Err(TermsError::TooMany { what, found, most: MAX_CONSTRAINT_ENTRIES });
        }
        if self.max == Some(0) {
            return Err(TermsError::NoUses);
        }
        let is_uuid = |text: &&String| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
        if let Some(uuid) = self.uuid.iter().find(|text| !is_uuid(text)) {
            return Err(TermsError::Uuid(clean_text(uuid)));
        }
        // As the inventory's own is cleaned, so that it can be met at all.
        let is_serial = |text: &&String| !text.is_empty() && clean_text(text) == **text;
        match self.serial.iter().find(|text| !is_serial(text)) {
            Some(serial) => Err(TermsError::Serial(clean_text(serial))),
            None => Ok(()),
        }
    }

    /// The first list with more entries than are looked at.
    fn too_long(&self) -> Option<(&'static str, usize)> {
        let lists = [
            ("Cidr", self.cidr.len()),
            ("Mac", self.mac.len()),
            ("Uuid", self.uuid.len()),
            ("Serial", self.serial.len()),
        ];
        lists.into_iter().find(|(_, entries)| *entries > MAX_CONSTRAINT_ENTRIES)
    }

    /// The claim `c` that says the same; null for none.
    ///
    /// # Errors
    /// Never, unless networks and addresses stop being text.
    pub fn claim(&self) -> Result<serde_json::Value, serde_json::Error> {
        if *self == Self::default() { Ok(serde_json::Value::Null) } else { serde_json::to_value(self) }
    }

    /// As REST shows them.
    pub fn view(&self) -> TokenConstraints {
        TokenConstraints {
            cidr: self.cidr.clone(),
            mac: self.mac.clone(),
            max_uses: self.max,
            uuid: self.uuid.clone(),
            serial: self.serial.clone(),
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

/// Where a machine begins: its roles and mesh network. Only the shape of their names is checked here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Machine roles in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Mesh network, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mesh_network: String,
}

impl Placement {
    fn check(&self) -> Result<(), TermsError> {
        if self.roles.len() > MAX_ROLES {
            return Err(TermsError::TooMany { what: "Roles", found: self.roles.len(), most: MAX_ROLES });
        }
        for role in &self.roles {
            check_place_name("role", role)?;
        }
        if self.mesh_network.is_empty() {
            Ok(())
        } else {
            check_place_name("mesh network", &self.mesh_network)
        }
    }
}

pub(crate) fn check_place_name(what: &'static str, name: &str) -> Result<(), TermsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if starts && name.len() <= MAX_PLACE_NAME && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(TermsError::PlaceName { what, name: clean_text(name) })
    }
}

/// What a token is good for, besides its lifetime: what an operator asks for, and what is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which machines it admits.
    #[serde(default)]
    pub constraints: Constraints,
    /// Where they begin.
    #[serde(default)]
    pub placement: Placement,
    /// Whether each waits for an operator.
    #[serde(default)]
    pub needs_approval: bool,
}

/// Why no token is made on these terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Not one of the six lifetimes.
    #[error("lifetime of {0} s is not offered; choose one of {TOKEN_LIFETIMES:?} s")]
    Lifetime(u64),
    /// A list is too long.
    #[error("{what} has {found} entries, at most {most} are taken")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// It would register nobody.
    #[error("MaxUses is 0, so nobody could use the token; leave it out for any number of machines")]
    NoUses,
    /// Not a UUID.
    #[error("{0:?} is no system UUID; write 36 characters such as 4c4c4544-0058-4b10-8032-b7c04f4d3333")]
    Uuid(String),
    /// Not a serial number that an inventory could hold.
    #[error("{0:?} is no serial number; write 1 to {MAX_SERIAL} printable ASCII characters")]
    Serial(String),
    /// Not a name.
    #[error(
        "{what} {name:?} is no name; use 1 to {MAX_PLACE_NAME} letters, digits, dots, dashes and underscores, \
         a letter or digit first"
    )]
    PlaceName {
        /// A role or a mesh network.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// Whoever approves also says where the machine goes.
    #[error("RequireApproval leaves roles and mesh network to whoever approves; leave them out of the token")]
    PlacedUnapproved,
}

impl Terms {
    /// Checks what an operator asks for.
    ///
    /// # Errors
    /// The first thing that no token can be made with.
    pub fn parse(request: TokenCreate) -> Result<Self, TermsError> {
        if !TOKEN_LIFETIMES.contains(&request.lifetime) {
            return Err(TermsError::Lifetime(request.lifetime));
        }
        let placement = Placement { roles: request.roles, mesh_network: request.mesh_network };
        placement.check()?;
        if request.require_approval && placement != Placement::default() {
            return Err(TermsError::PlacedUnapproved);
        }
        let constraints = Constraints {
            cidr: request.cidr,
            mac: request.mac,
            max: request.max_uses,
            uuid: request.uuid,
            serial: request.serial,
        };
        constraints.check_shape()?;
        Ok(Self { constraints, placement, needs_approval: request.require_approval })
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
    /// Somebody revoked it; how is for the audit log only.
    #[error("bootstrap token was revoked: {0}")]
    Revoked(&'static str),
    /// It does not cover this machine; which constraint is for the audit log only.
    #[error("bootstrap token does not cover {0}")]
    Constraint(&'static str),
    /// It asks for an operator's click.
    #[error("bootstrap token leaves the approval to an operator")]
    NeedsApproval,
}

/// What a token that admits leaves to be kept in the same commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Most machines the token registers.
    pub max: Option<u32>,
    /// Where the machine begins.
    pub placement: Placement,
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
    /// How the token was revoked, if it was.
    pub revoked: Option<&'static str>,
    /// The server's clock.
    pub now: Timestamp,
}

/// Whether the claims are of this server and hold now, whoever comes with them.
///
/// # Errors
/// The first reason against it.
pub fn check_holds(
    claims: &BootstrapClaims,
    server_id: &str,
    revoked: Option<&'static str>,
    now: Timestamp,
) -> Result<(), Refused> {
    let longest = TOKEN_LIFETIMES.into_iter().max().unwrap_or(0);
    let lifetime = claims.exp.checked_sub(claims.iat).ok_or(Refused::Foreign)?;
    if claims.iss != server_id || claims.aud != AUDIENCE || lifetime > longest {
        return Err(Refused::Foreign);
    }
    let now = now.as_seconds();
    if now >= claims.exp {
        return Err(Refused::Expired);
    }
    if now.saturating_add(AHEAD.as_secs()) < claims.iat {
        return Err(Refused::Foreign);
    }
    revoked.map_or(Ok(()), |how| Err(Refused::Revoked(how)))
}

/// Decides, in the order of `spec/security.md` 3.2, whether the claims admit the applicant.
///
/// # Errors
/// The first reason against it.
pub fn admit(claims: &BootstrapClaims, applicant: &Applicant<'_>) -> Result<Admission, Refused> {
    check_holds(claims, applicant.server_id, applicant.revoked, applicant.now)?;
    let constraints = Constraints::parse(&claims.c)?;
    constraints.check(applicant.inventory, applicant.source)?;
    if claims.appr {
        return Err(Refused::NeedsApproval);
    }
    let placement = Placement { roles: claims.role.clone(), mesh_network: claims.net.clone() };
    Ok(Admission { max: constraints.max, placement })
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
