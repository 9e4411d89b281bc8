//! A machine's request to be registered, from its code to its credential
//! (`spec/security.md` 2.5).
//!
//! ```text
//!             approve               collected
//! PENDING ------------> APPROVED ------------> ENROLLED
//!    |  deny    -> DENIED   |  15 min -> UNCLAIMED
//!    |  cancel  -> CANCELLED
//!    |  15 min without a poll, or 24 h old -> EXPIRED
//! ```
//!
//! 1. The server makes a code for a key that proved itself and opens the enrollment.
//! 2. Polls keep it alive; a code older than [`CODE_LIFETIME`] is replaced by the next poll.
//! 3. An operator types the code, compares the fingerprint and approves: one conditional
//!    commit of enrollment, machine, code and audit row, so that a code works once.
//! 4. The machine's first token request is its acknowledgement.
//!
//! When a machine last polled lives in the server's memory and is an argument here.

use crate::change::{AuditKind, AuditRow, Cause, Change, Changes, Revision};
use crate::machine::{Machine, Name, Newborn, UNCLAIMED};
use crate::time::Timestamp;
use protocol::agent_api::Origin;
use protocol::code::{BootstrapCode, Fingerprint};
use protocol::ids::{EnrollmentId, KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::rest::EnrollmentState;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

mod preview;
pub use preview::{Relative, Standing, Surroundings, preview, warnings};

/// A code is replaced by the first poll after this.
pub const CODE_LIFETIME: Duration = Duration::from_secs(600);
/// A replaced code still selects its enrollment this long: the operator may be mid-typing.
pub const CODE_GRACE: Duration = Duration::from_secs(60);
/// No code within edit distance 1 of a retired one is given out this long.
pub const CODE_REST: Duration = Duration::from_secs(24 * 3_600);
/// Candidates drawn for a code before the code space counts as full.
pub const MAX_DRAWS: usize = 8;
/// Approvable while the last poll is younger than this.
pub const LIVE_FOR: Duration = Duration::from_secs(90);
/// Ends unanswered after this long without a poll.
pub const UNPOLLED_FOR: Duration = Duration::from_secs(15 * 60);
/// Ends unanswered at this age, however much it polls.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);
/// An approved machine's time to collect its credential.
pub const COLLECT_WITHIN: Duration = Duration::from_secs(15 * 60);
/// A denied key's first pause; doubles with each further denial.
pub const FIRST_DENIAL: Duration = Duration::from_secs(10 * 60);
/// A denied key's longest pause.
pub const LONGEST_DENIAL: Duration = Duration::from_secs(24 * 3_600);
/// Longest reason of a denial that is kept, in characters.
pub const MAX_REASON: usize = 256;

/// A code and since when it is the enrollment's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCode {
    /// The code.
    pub code: BootstrapCode,
    /// When it was given out.
    pub issued_at: Timestamp,
}

impl LiveCode {
    /// When the next poll replaces it.
    pub fn expires_at(&self) -> Timestamp {
        self.issued_at.plus(CODE_LIFETIME)
    }
}

/// A code that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedCode {
    /// The code.
    pub code: BootstrapCode,
    /// When it was replaced.
    pub at: Timestamp,
}

/// Where an enrollment stands, and what is known only there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waiting for an operator.
    Pending {
        /// The code on the console.
        code: LiveCode,
        /// The one before, for [`CODE_GRACE`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<ReplacedCode>,
    },
    /// Approved, credential not yet collected.
    Approved {
        /// The machine it became.
        machine: MachineId,
        /// Who approved.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Credential collected. Terminal.
    Enrolled {
        /// The machine it became.
        machine: MachineId,
        /// Who approved.
        by: String,
        /// When it was collected.
        at: Timestamp,
    },
    /// Refused by an operator. Terminal.
    Denied {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
        /// Until when the key may not ask again.
        until: Timestamp,
        /// How often in a row the key was denied, from 1.
        strikes: u32,
        /// Shown on the console.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Taken back by the machine. Terminal.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Not polled, or too old. Terminal.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Approved and never collected. Terminal.
    Unclaimed {
        /// The machine it became.
        machine: MachineId,
        /// Who approved.
        by: String,
        /// When it was given up.
        at: Timestamp,
    },
}

/// Why an operator's decision is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// Somebody was faster, or it ended by itself.
    #[error("this request was already decided: {outcome} by {by} at {at}")]
    AlreadyDecided {
        /// What became of it.
        outcome: &'static str,
        /// Who decided.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The code does not select this enrollment (any more).
    #[error("no machine is waiting with this code; read the code on its console again")]
    CodeNotFound,
    /// What the operator saw is not what would be approved.
    #[error("the fingerprint is not this machine's; compare it with the console and look the code up again")]
    FingerprintMismatch,
    /// There are warnings and nobody says the fingerprint was compared.
    #[error("there are warnings about this machine: compare its fingerprint with the console and confirm it")]
    Unconfirmed,
    /// No poll for too long: the console is dead.
    #[error("the machine has not been heard for {} s (at most {} s): is it still showing its code?", .0.as_secs(), LIVE_FOR.as_secs())]
    Gone(Duration),
    /// The machine to merge with resembles the waiting one in nothing, and nobody says that the
    /// fingerprint was compared.
    #[error(
        "machine {0} has no hardware in common with the one waiting here: choose another one, or compare the fingerprint with the console and confirm it"
    )]
    Unlike(Name),
    /// The machine to merge with is not to be changed.
    #[error("machine {0} is locked, so nobody takes its place: unlock it first, or approve without merge")]
    MergeLocked(Name),
    /// The machine to merge with still heartbeats.
    #[error("machine {0} is online, so it is not the one waiting here; approve without merge")]
    MergeOnline(Name),
}

/// What a machine brings when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// Id the server chose.
    pub id: EnrollmentId,
    /// The machine's key.
    pub key: KeyThumbprint,
    /// What operator and console compare.
    pub fingerprint: Fingerprint,
    /// What it is made of, cleaned.
    pub inventory: Inventory,
    /// How it was booted, by its own account.
    pub origin: Origin,
    /// Id of the personalised medium.
    pub image_id: Option<String>,
    /// Where it calls from.
    pub source: IpAddr,
}

/// What an operator approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The code that was typed; none when approved from the list.
    pub code: Option<BootstrapCode>,
    /// The fingerprint the operator saw.
    pub fingerprint: Fingerprint,
    /// The operator compared it with the console.
    pub fingerprint_confirmed: bool,
    /// Whether the preview shows warnings now.
    pub has_warnings: bool,
    /// When the machine last polled.
    pub last_poll: Timestamp,
    /// What the enrollment becomes.
    pub becomes: Becomes,
}

/// What an approved enrollment becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Becomes {
    /// A new machine.
    New {
        /// Id the server chose.
        id: MachineId,
        /// Its name.
        name: Name,
        /// Where it begins.
        newborn: Box<Newborn>,
    },
    /// A machine that exists, under the new key.
    Merged {
        /// Which, as stored.
        machine: Box<Machine>,
        /// Whether it still heartbeats.
        online: bool,
        /// Whether it has hardware in common with the one waiting.
        alike: bool,
        /// A new name, when the operator gave one.
        name: Option<Name>,
    },
}

/// A machine's request to be registered, as it is stored. `Serialize` is the stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// Its id.
    pub id: EnrollmentId,
    /// The machine's key: who may poll, and who gets the credential.
    pub key: KeyThumbprint,
    /// What operator and console compare.
    pub fingerprint: Fingerprint,
    /// What the machine is made of, as it said when it first asked: what the operator saw is
    /// what is approved.
    pub inventory: Inventory,
    /// How it was booted, by its own account.
    pub origin: Origin,
    /// Id of the personalised medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Where it called from.
    pub source: IpAddr,
    /// When it first asked.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// The commit that last wrote it; kept beside the stored form.
    #[serde(skip)]
    pub revision: Revision,
}

impl Enrollment {
    /// Opens an enrollment with a fresh code.
    pub fn open(applicant: Applicant, code: BootstrapCode, cause: &Cause) -> (Self, Changes) {
        let enrollment = Self {
            id: applicant.id,
            key: applicant.key,
            fingerprint: applicant.fingerprint,
            inventory: applicant.inventory,
            origin: applicant.origin,
            image_id: applicant.image_id,
            source: applicant.source,
            created_at: cause.at,
            state: State::Pending { code: LiveCode { code, issued_at: cause.at }, previous: None },
            revision: Revision::default(),
        };
        let changes = Changes::new(cause.at)
            .and(Change::InsertEnrollment(Box::new(enrollment.clone())))
            .and(Change::TakeCode { code, enrollment: enrollment.id, at: cause.at })
            .audit(enrollment.row(AuditKind::EnrollmentCreated, cause));
        (enrollment, changes)
    }

    /// The live code, while there is one.
    pub fn live_code(&self) -> Option<LiveCode> {
        match &self.state {
            State::Pending { code, .. } => Some(*code),
            State::Approved { .. }
            | State::Enrolled { .. }
            | State::Denied { .. }
            | State::Cancelled { .. }
            | State::Expired { .. }
            | State::Unclaimed { .. } => None,
        }
    }

    /// The live code, when it replaced another one within [`LIVE_FOR`]: polls repeat it that
    /// long, so that a lost answer does not leave a dead code on the console.
    pub fn news(&self, now: Timestamp) -> Option<BootstrapCode> {
        match &self.state {
            State::Pending { code, previous: Some(_) } if now.since(code.issued_at) < LIVE_FOR => {
                Some(code.code)
            }
            State::Pending { .. }
            | State::Approved { .. }
            | State::Enrolled { .. }
            | State::Denied { .. }
            | State::Cancelled { .. }
            | State::Expired { .. }
            | State::Unclaimed { .. } => None,
        }
    }

    /// Whether the code selects this enrollment now.
    pub fn answers_to(&self, typed: BootstrapCode, now: Timestamp) -> bool {
        match &self.state {
            State::Pending { code, previous } => {
                let old = previous.filter(|old| now.since(old.at) < CODE_GRACE);
                code.code == typed || old.is_some_and(|old| old.code == typed)
            }
            State::Approved { .. }
            | State::Enrolled { .. }
            | State::Denied { .. }
            | State::Cancelled { .. }
            | State::Expired { .. }
            | State::Unclaimed { .. } => false,
        }
    }

    /// Replaces a code whose time is over. The old one selects for [`CODE_GRACE`] more.
    ///
    /// # Errors
    /// When it is not pending any more.
    pub fn rotate(&self, fresh: BootstrapCode, cause: &Cause) -> Result<(Self, Changes), DecisionError> {
        let old = self.pending()?.code;
        let state = State::Pending {
            code: LiveCode { code: fresh, issued_at: cause.at },
            previous: Some(ReplacedCode { code: old, at: cause.at }),
        };
        let changes = Changes::new(cause.at)
            .and(Change::RetireCode { code: old, at: cause.at })
            .and(Change::TakeCode { code: fresh, enrollment: self.id, at: cause.at })
            .audit(self.row(AuditKind::EnrollmentRotated, cause).retired_code(old));
        Ok(self.become_state(state, changes))
    }

    /// Approves: the machine, the enrollment, the code and the audit row in one commit.
    ///
    /// # Errors
    /// The first guard that does not hold.
    pub fn approve(
        &self,
        approval: Approval,
        cause: &Cause,
    ) -> Result<(Self, Machine, Changes), DecisionError> {
        let live = self.pending()?;
        if approval.code.is_some_and(|code| !self.answers_to(code, cause.at)) {
            return Err(DecisionError::CodeNotFound);
        }
        if approval.fingerprint != self.fingerprint {
            return Err(DecisionError::FingerprintMismatch);
        }
        let silent = cause.at.since(approval.last_poll);
        if silent >= LIVE_FOR {
            return Err(DecisionError::Gone(silent));
        }
        if approval.has_warnings && !approval.fingerprint_confirmed {
            return Err(DecisionError::Unconfirmed);
        }
        let (machine, changes) =
            self.become_machine(approval.becomes, approval.fingerprint_confirmed, cause)?;
        let state = State::Approved { machine: machine.id, by: cause.principal.clone(), at: cause.at };
        let row = self.row(AuditKind::EnrollmentApproved, cause).machine(machine.id).retired_code(live.code);
        let changes = changes.and(Change::RetireCode { code: live.code, at: cause.at }).audit(row);
        let (enrollment, changes) = self.become_state(state, changes);
        Ok((enrollment, machine, changes))
    }

    fn become_machine(
        &self,
        becomes: Becomes,
        confirmed: bool,
        cause: &Cause,
    ) -> Result<(Machine, Changes), DecisionError> {
        let changes = Changes::new(cause.at);
        match becomes {
            Becomes::New { id, name, newborn } => {
                let inventory = self.inventory.clone();
                let changes = changes.on(newborn.content);
                let machine =
                    Machine::register(id, name, self.key, self.origin, inventory, &cause.principal, cause.at)
                        .begins(*newborn);
                Ok((machine.clone(), changes.and(Change::InsertMachine(Box::new(machine)))))
            }
            Becomes::Merged { machine, online: true, .. } => Err(DecisionError::MergeOnline(machine.name)),
            Becomes::Merged { machine, .. } if machine.fields.locked => {
                Err(DecisionError::MergeLocked(machine.name))
            }
            Becomes::Merged { machine, alike: false, .. } if !confirmed => {
                Err(DecisionError::Unlike(machine.name))
            }
            Becomes::Merged { machine, online: false, name, .. } => {
                let mut merged = machine.rekeyed(self.key, self.inventory.clone(), cause.at);
                merged.name = name.unwrap_or(merged.name);
                // An operator vouches for it now, so no token brings it back any more.
                merged.registered_by.clone_from(&cause.principal);
                let row = self.row(AuditKind::MachineRekeyed, cause).machine(merged.id);
                let changes = changes.and(Change::EndNonces(merged.id));
                Ok((merged.clone(), changes.and(Change::UpdateMachine(Box::new(merged))).audit(row)))
            }
        }
    }

    /// Denies. `earlier` is how often in a row this key was denied before.
    ///
    /// # Errors
    /// When it was decided already.
    pub fn deny(
        &self,
        reason: Option<&str>,
        earlier: u32,
        cause: &Cause,
    ) -> Result<(Self, Changes), DecisionError> {
        let live = self.pending()?;
        let reason = reason.map(kept_reason).filter(|reason| !reason.is_empty());
        let mut row = self.row(AuditKind::EnrollmentDenied, cause).retired_code(live.code);
        row.reason = reason.clone().unwrap_or_default();
        let state = State::Denied {
            by: cause.principal.clone(),
            at: cause.at,
            until: cause.at.plus(denial(earlier)),
            strikes: earlier.saturating_add(1),
            reason,
        };
        let changes =
            Changes::new(cause.at).and(Change::RetireCode { code: live.code, at: cause.at }).audit(row);
        Ok(self.become_state(state, changes))
    }

    /// The machine takes its request back. What it said about itself is forgotten.
    ///
    /// # Errors
    /// When it was decided already.
    pub fn cancel(&self, cause: &Cause) -> Result<(Self, Changes), DecisionError> {
        let live = self.pending()?;
        let changes = Changes::new(cause.at)
            .and(Change::RetireCode { code: live.code, at: cause.at })
            .audit(self.row(AuditKind::EnrollmentCancelled, cause).retired_code(live.code));
        Ok(self.without_answer(State::Cancelled { at: cause.at }, changes))
    }

    /// Why a pending enrollment ends by itself now, if it does.
    pub fn outlived(&self, last_poll: Timestamp, now: Timestamp) -> Option<&'static str> {
        self.live_code()?;
        if now.since(last_poll) >= UNPOLLED_FOR {
            Some("not polled for 15 minutes")
        } else if now.since(self.created_at) >= MAX_AGE {
            Some("24 hours old")
        } else {
            None
        }
    }

    /// Ends it unanswered. What the machine said about itself is forgotten.
    ///
    /// # Errors
    /// When it was decided already.
    pub fn expire(&self, reason: &str, cause: &Cause) -> Result<(Self, Changes), DecisionError> {
        let live = self.pending()?;
        let row = self.row(AuditKind::EnrollmentExpired, cause).retired_code(live.code).reason(reason);
        let changes =
            Changes::new(cause.at).and(Change::RetireCode { code: live.code, at: cause.at }).audit(row);
        Ok(self.without_answer(State::Expired { at: cause.at }, changes))
    }

    /// The machine asked for its first access token. `None` when there is nothing to note,
    /// since that was noted before or it never was approved.
    pub fn collected(&self, cause: &Cause) -> Option<(Self, Changes)> {
        let State::Approved { machine, by, .. } = &self.state else { return None };
        let state = State::Enrolled { machine: *machine, by: by.clone(), at: cause.at };
        let row = self.row(AuditKind::EnrollmentEnrolled, cause).machine(*machine);
        Some(self.become_state(state, Changes::new(cause.at).audit(row)))
    }

    /// Gives up on an approved machine that did not collect within [`COLLECT_WITHIN`]: its key
    /// is forgotten and the machine marked, so that it asks with a new code when it comes
    /// back. `machine` is the stored one, if it still exists. `None` while there is time.
    pub fn unclaimed(&self, machine: Option<Machine>, cause: &Cause) -> Option<(Self, Changes)> {
        let State::Approved { machine: id, by, at } = &self.state else { return None };
        if cause.at.since(*at) < COLLECT_WITHIN {
            return None;
        }
        let mut changes =
            Changes::new(cause.at).audit(self.row(AuditKind::EnrollmentUnclaimed, cause).machine(*id));
        if let Some(mut machine) = machine.filter(|machine| machine.key == Some(self.key)) {
            machine.key = None;
            machine.errors = vec![UNCLAIMED.to_owned()];
            changes = changes.and(Change::UpdateMachine(Box::new(machine)));
        }
        Some(self.become_state(State::Unclaimed { machine: *id, by: by.clone(), at: cause.at }, changes))
    }

    /// The state's word.
    pub fn word(&self) -> EnrollmentState {
        match &self.state {
            State::Pending { .. } => EnrollmentState::Pending,
            State::Approved { .. } => EnrollmentState::Approved,
            State::Enrolled { .. } => EnrollmentState::Enrolled,
            State::Denied { .. } => EnrollmentState::Denied,
            State::Cancelled { .. } => EnrollmentState::Cancelled,
            State::Expired { .. } => EnrollmentState::Expired,
            State::Unclaimed { .. } => EnrollmentState::Unclaimed,
        }
    }

    /// Which operator decided, once one did.
    pub fn decided_by(&self) -> Option<&str> {
        match &self.state {
            State::Pending { .. } | State::Cancelled { .. } | State::Expired { .. } => None,
            State::Approved { by, .. }
            | State::Enrolled { by, .. }
            | State::Denied { by, .. }
            | State::Unclaimed { by, .. } => Some(by),
        }
    }

    /// When a terminal state was reached.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending { .. } | State::Approved { .. } => None,
            State::Enrolled { at, .. }
            | State::Denied { at, .. }
            | State::Cancelled { at }
            | State::Expired { at }
            | State::Unclaimed { at, .. } => Some(*at),
        }
    }

    fn pending(&self) -> Result<LiveCode, DecisionError> {
        let decided = |outcome, by: &str, at: &Timestamp| {
            Err(DecisionError::AlreadyDecided { outcome, by: by.to_owned(), at: *at })
        };
        match &self.state {
            State::Pending { code, .. } => Ok(*code),
            State::Approved { by, at, .. } => decided("approved", by, at),
            State::Enrolled { by, at, .. } => decided("approved", by, at),
            State::Unclaimed { by, at, .. } => decided("approved and never collected", by, at),
            State::Denied { by, at, .. } => decided("denied", by, at),
            State::Cancelled { at } => decided("cancelled", "the machine", at),
            State::Expired { at } => decided("expired", "the server", at),
        }
    }

    /// The next state. Its update comes first, so that who loses a race learns that, and not
    /// that the winner's machine has the name.
    fn become_state(&self, state: State, mut changes: Changes) -> (Self, Changes) {
        let next = Self { state, ..self.clone() };
        changes.list.insert(0, Change::UpdateEnrollment(Box::new(next.clone())));
        (next, changes)
    }

    /// The end of a request that nobody answered. Anybody can make many of those, so they keep
    /// no inventory: a few hundred bytes for a day, and nothing by which they are found again.
    fn without_answer(&self, state: State, changes: Changes) -> (Self, Changes) {
        let bare = Self { inventory: Inventory::default(), image_id: None, ..self.clone() };
        bare.become_state(state, changes)
    }

    fn row(&self, kind: AuditKind, cause: &Cause) -> AuditRow {
        let mut row = AuditRow::new(kind, cause).key(self.key);
        row.enrollment = Some(self.id);
        row
    }
}

/// How long a key pauses after its next denial.
fn denial(earlier: u32) -> Duration {
    2_u32
        .checked_pow(earlier)
        .and_then(|factor| FIRST_DENIAL.checked_mul(factor))
        .map_or(LONGEST_DENIAL, |pause| pause.min(LONGEST_DENIAL))
}

/// An operator's words as a console can show them.
fn kept_reason(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control() && !is_invisible(*c));
    shown.take(MAX_REASON).collect::<String>().trim().to_owned()
}

/// Characters that show nothing themselves but change how others are read: they reorder text
/// (bidirectional controls), end lines, join or hide.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests;
