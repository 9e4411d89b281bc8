//! A known machine that netboots may have lost its key. What it boots carries a one-time nonce, by
//! which it keeps its identity under a new key (`spec/security.md` 5, "Re-registration").
//!
//! Whoever asks for a boot file shows an address and nothing else, so a nonce is given only
//!
//! 1. to an address of the machine's own, and
//! 2. when nothing is lost by it, or a boot is expected: an operator gave the machine something else
//!    to boot, or it said goodbye, within the last hour.
//!
//! It is good for an hour, for the hardware that the machine is known by, and once the machine is
//! silent: one that was reset asks sooner than it counts as gone, and is told to wait. If the old one
//! speaks meanwhile, this is somebody else. Whatever else it is answered, the nonce is used; where it
//! was needed or not, it ends with the boot that it was given to.

use crate::admission::Placement;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes};
use crate::comeback::last_sign;
use crate::identity::Match;
use crate::machine::{Machine, ONLINE_FOR, Presence};
use crate::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::rest::ProvisionState;
use protocol::token::base64url;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How long a nonce is good for.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(3_600);
/// Most nonces of one machine that are good at a time. GRUB reads its file twice a boot, so these are
/// eight boots that came to nothing; a stranger that pretends to be the machine's address makes no more
/// rows than this.
pub const MAX_LIVE_NONCES: u32 = 16;
/// How long a boot is expected.
const EXPECTED_FOR: Duration = Duration::from_secs(3_600);

/// SHA-256 of a nonce: all that is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceDigest(pub [u8; 32]);

impl fmt::Display for NonceDigest {
    /// As it is stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

/// What is kept of a nonce that was given and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenNonce {
    /// Its digest.
    pub digest: NonceDigest,
    /// Whose it is.
    pub machine: MachineId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a machine's boot carries no nonce, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// It never registered, or nobody collected its key.
    #[error("it has never been registered by its agent")]
    Unregistered,
    /// Somebody else asks.
    #[error("{0} is not an address of its own; set its Address to that if it is")]
    Elsewhere(IpAddr),
    /// It has something to lose, and no reason to boot.
    #[error("nobody gave it something else to boot within the last hour, and it said no goodbye")]
    Unexpected,
}

/// Gives a machine's boot a nonce, of which this is the digest. `from` is who asks for what it boots.
///
/// # Errors
/// Why not.
pub fn give(
    machine: &Machine,
    from: IpAddr,
    digest: NonceDigest,
    cause: &Cause,
) -> Result<Changes, Withheld> {
    if machine.key.is_none() {
        return Err(Withheld::Unregistered);
    }
    let from = from.to_canonical();
    if !from.is_loopback() && !is_own(machine, from) {
        return Err(Withheld::Elsewhere(from));
    }
    if !is_blank(machine) && !machine.expects_boot(cause.at) {
        return Err(Withheld::Unexpected);
    }
    let given = GivenNonce { digest, machine: machine.id, expires_at: cause.at.plus(NONCE_LIFETIME) };
    let row = AuditRow::new(AuditKind::NonceIssued, cause).machine(machine.id);
    Ok(Changes::new(cause.at).and(Change::GiveNonce(given)).audit(row))
}

/// Whether an address is the machine's: the one that an operator gave it, or one that its agent told
/// of last. Firmware and agent of one port get the same from most DHCP servers.
fn is_own(machine: &Machine, address: IpAddr) -> bool {
    let links = machine.inventory.links.iter().flat_map(|link| &link.addresses);
    let told = links.filter_map(|prefix| prefix.split('/').next());
    let mut known = told.chain([machine.fields.address.as_str()]);
    known.any(|known| known.parse() == Ok(address))
}

/// Nothing is lost when somebody else takes its place: nobody gave it work, params or a role.
fn is_blank(machine: &Machine) -> bool {
    let fields = &machine.fields;
    machine.provision_state() == ProvisionState::Discovery
        && fields.workflow.is_empty()
        && fields.tasks.is_empty()
        && fields.profiles.is_empty()
        && fields.params.is_empty()
        && machine.chosen_placement() == Placement::default()
}

/// Why a machine with a nonce of ours does not come back by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its hour is over.
    #[error("its hour is over")]
    Over,
    /// The machine it is for has other hardware.
    #[error("it is for other hardware than this machine's")]
    Unlike,
    /// The machine it is for spoke while whoever brought it waited for its silence.
    #[error("the machine it is for is online")]
    Awake,
    /// The key that came with it pauses.
    #[error("an operator denied the key that came with it")]
    Denied,
}

/// What becomes of a machine with a nonce of ours.
#[derive(Debug, Clone, PartialEq)]
pub enum Redeemed {
    /// It is who it was. Boxed: a machine beside a few words.
    Back(Box<Machine>, Changes),
    /// The machine was heard a moment ago: the nonce is good once it was silent for so long from now on.
    Awake {
        /// Which.
        machine: Box<Machine>,
        /// When it gave its last sign of life.
        heard: Timestamp,
        /// How long.
        wait: Duration,
    },
}

/// A machine comes with a nonce that was given. `found` is the nonce's machine as far as the hardware
/// that came resembles it, with its presence.
///
/// # Errors
/// Why it does not come back; [`GivenNonce::refuse`] is to be stored then.
pub fn redeem(
    nonce: &GivenNonce,
    found: Option<(Match, Presence)>,
    key: KeyThumbprint,
    inventory: Inventory,
    cause: &Cause,
) -> Result<Redeemed, Refused> {
    if nonce.expires_at <= cause.at {
        return Err(Refused::Over);
    }
    let is_it = |found: &Match| found.machine.id == nonce.machine && found.is_strong() && found.same_firmware;
    let (found, presence) = found.filter(|(found, _)| is_it(found)).ok_or(Refused::Unlike)?;
    let machine = found.machine;
    if let Some(heard) = last_sign(&machine, presence, cause.at) {
        let wait = ONLINE_FOR.saturating_sub(cause.at.since(heard));
        return Ok(Redeemed::Awake { machine: Box::new(machine), heard, wait });
    }
    let machine = machine.rekeyed(key, inventory, cause.at);
    let row = AuditRow::new(AuditKind::MachineRekeyed, cause).machine(machine.id).key(key);
    let changes = Changes::new(cause.at)
        .and(Change::UseNonce(nonce.digest))
        .and(Change::EndNonces(machine.id))
        .and(Change::UpdateMachine(Box::new(machine.clone())))
        .audit(row.reason("came back with its boot nonce"));
    Ok(Redeemed::Back(Box::new(machine), changes))
}

impl GivenNonce {
    /// What is stored when it is refused: presented once, it is used, so that nobody tries one
    /// hardware after the other with it.
    pub fn refuse(&self, why: Refused, key: KeyThumbprint, cause: &Cause) -> Changes {
        let row = AuditRow::new(AuditKind::NonceRefused, cause).machine(self.machine).key(key);
        Changes::new(cause.at).and(Change::UseNonce(self.digest)).audit(row.reason(why.to_string()))
    }
}

impl Machine {
    /// Whether it has a reason to boot now.
    fn expects_boot(&self, now: Timestamp) -> bool {
        let reasons = [self.left_at, self.boot_asked_at].into_iter().flatten();
        reasons.into_iter().any(|since| now.since(since) < EXPECTED_FOR)
    }
}

#[cfg(test)]
mod tests;
