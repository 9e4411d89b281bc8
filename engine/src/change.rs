//! What decisions return: everything to store, audit rows included, as one value that the
//! server commits in one transaction or not at all.

use crate::admission::Terms;
use crate::boot_nonce::{GivenNonce, NonceDigest};
use crate::enrollment::Enrollment;
use crate::job::Job;
use crate::machine::Machine;
use crate::provision::{Goods, Run};
use crate::revocation::{Revocation, TokenMarks};
use crate::time::Timestamp;
use protocol::code::BootstrapCode;
use protocol::ids::{EnrollmentId, KeyThumbprint, MachineId};
use protocol::model::Kind;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// Which commit last wrote an object: an update names the revision it was decided on, and is
/// refused when another commit came between (compare and swap).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// Why something is done: by whom, from where, in which request, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `user:NAME`, `machine:UUID`, `key:THUMBPRINT` or `system`.
    pub principal: String,
    /// Address of the caller; none for the server's own doing.
    pub source: Option<IpAddr>,
    /// Id of the HTTP request, or empty.
    pub request_id: String,
    /// When it was decided.
    pub at: Timestamp,
}

impl Cause {
    /// The server's own doing.
    pub fn system(at: Timestamp) -> Self {
        Self { principal: "system".to_owned(), source: None, request_id: String::new(), at }
    }

    /// The user who did it, when one did.
    pub fn user(&self) -> Option<&str> {
        self.principal.strip_prefix("user:")
    }
}

/// What an audit row is about (`spec/security.md` 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditKind {
    /// A machine asked to be registered.
    #[serde(rename = "enrollment.created")]
    EnrollmentCreated,
    /// A code ran out and was replaced.
    #[serde(rename = "enrollment.rotated")]
    EnrollmentRotated,
    /// An operator typed a live code.
    #[serde(rename = "enrollment.lookup.hit")]
    LookupHit,
    /// An operator typed a code that selects nothing.
    #[serde(rename = "enrollment.lookup.miss")]
    LookupMiss,
    /// An operator approved.
    #[serde(rename = "enrollment.approved")]
    EnrollmentApproved,
    /// An operator denied.
    #[serde(rename = "enrollment.denied")]
    EnrollmentDenied,
    /// The machine took its request back.
    #[serde(rename = "enrollment.cancelled")]
    EnrollmentCancelled,
    /// A request ended unanswered.
    #[serde(rename = "enrollment.expired")]
    EnrollmentExpired,
    /// An approved machine never collected its credential.
    #[serde(rename = "enrollment.unclaimed")]
    EnrollmentUnclaimed,
    /// The credential was collected.
    #[serde(rename = "enrollment.enrolled")]
    EnrollmentEnrolled,
    /// A call whose proof did not hold.
    #[serde(rename = "enrollment.proof_failed")]
    ProofFailed,
    /// An alarm went off: wrong codes of the whole server, or unusual use of a bootstrap token.
    #[serde(rename = "ratelimit.tripped")]
    RateLimitTripped,
    /// A provision run was asked for.
    #[serde(rename = "provision.requested")]
    ProvisionRequested,
    /// A provision run was cancelled.
    #[serde(rename = "provision.canceled")]
    ProvisionCanceled,
    /// A machine gave the key of an encrypted volume.
    #[serde(rename = "escrow.given")]
    EscrowGiven,
    /// Somebody read the keys of a machine's encrypted volumes.
    #[serde(rename = "escrow.read")]
    EscrowRead,
    /// An operator made an API token.
    #[serde(rename = "apitoken.issued")]
    ApiTokenIssued,
    /// A bootstrap token was issued.
    #[serde(rename = "token.issued")]
    TokenIssued,
    /// A bootstrap token registered a machine.
    #[serde(rename = "token.used")]
    TokenUsed,
    /// A bootstrap token was refused after it decrypted.
    #[serde(rename = "token.refused")]
    TokenRefused,
    /// A bootstrap token was revoked.
    #[serde(rename = "token.revoked")]
    TokenRevoked,
    /// A known machine's boot was given a nonce.
    #[serde(rename = "nonce.issued")]
    NonceIssued,
    /// A boot nonce was refused, and is used.
    #[serde(rename = "nonce.refused")]
    NonceRefused,
    /// A server key was replaced.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// A job may erase disks.
    #[serde(rename = "permit.issued")]
    PermitIssued,
    /// A machine keeps its identity under a new key.
    #[serde(rename = "machine.rekeyed")]
    MachineRekeyed,
    /// Somebody made a machine by hand.
    #[serde(rename = "machine.created")]
    MachineCreated,
    /// A locked machine was unlocked.
    #[serde(rename = "machine.unlocked")]
    MachineUnlocked,
    /// A machine was deleted and its key forgotten.
    #[serde(rename = "machine.deleted")]
    MachineDeleted,
    /// A machine told its WireGuard public key, the first one or another.
    #[serde(rename = "mesh.key")]
    MeshKey,
    /// Terminals were allowed on a machine.
    #[serde(rename = "terminal.enabled")]
    TerminalEnabled,
    /// Terminals were forbidden on a machine.
    #[serde(rename = "terminal.disabled")]
    TerminalDisabled,
    /// Somebody opened a terminal on a machine.
    #[serde(rename = "terminal.opened")]
    TerminalOpened,
    /// That terminal ended.
    #[serde(rename = "terminal.closed")]
    TerminalClosed,
    /// Somebody read the recording of a terminal.
    #[serde(rename = "terminal.replayed")]
    TerminalReplayed,
    /// A user or an access role was written or deleted.
    #[serde(rename = "access.changed")]
    AccessChanged,
    /// A secret or the credential of a registry was written or deleted.
    #[serde(rename = "secret.changed")]
    SecretChanged,
    /// A virtual address or route was written or deleted.
    #[serde(rename = "vip.changed")]
    VipChanged,
    /// A user's password was set.
    #[serde(rename = "user.password")]
    PasswordChanged,
    /// Somebody logged in.
    #[serde(rename = "session.opened")]
    SessionOpened,
    /// Somebody who is logged in entered the password again.
    #[serde(rename = "session.confirmed")]
    SessionConfirmed,
    /// A log-in was refused.
    #[serde(rename = "session.refused")]
    SessionRefused,
    /// A session or an API token was ended before its time.
    #[serde(rename = "login.ended")]
    LoginEnded,
}

/// One row of the append-only audit log. Never a token, key or password in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: AuditKind,
    /// Who: as [`Cause::principal`].
    pub principal: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// In which request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Enrollment concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<EnrollmentId>,
    /// Machine concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// Machine key concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyThumbprint>,
    /// The code, only ever once it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<BootstrapCode>,
    /// Why, in words; a token's `jti`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl AuditRow {
    /// A row with nothing but its cause.
    pub fn new(kind: AuditKind, cause: &Cause) -> Self {
        Self {
            at: cause.at,
            kind,
            principal: cause.principal.clone(),
            source: cause.source,
            request_id: cause.request_id.clone(),
            enrollment: None,
            machine: None,
            key: None,
            code: None,
            reason: String::new(),
        }
    }

    /// The same about a machine.
    #[must_use]
    pub fn machine(mut self, machine: MachineId) -> Self {
        self.machine = Some(machine);
        self
    }

    /// The same about a key.
    #[must_use]
    pub fn key(mut self, key: KeyThumbprint) -> Self {
        self.key = Some(key);
        self
    }

    /// The same with a code that is retired by the same commit, or was before.
    #[must_use]
    pub fn retired_code(mut self, code: BootstrapCode) -> Self {
        self.code = Some(code);
        self
    }

    /// The same with words.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

/// What is kept of a bootstrap token that was issued: for display, counting and revocation.
/// The token itself is never stored, and losing this never makes a token valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// Its id, issuer and key, and when it was issued.
    pub marks: TokenMarks,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Which machines it admits, and where they begin.
    pub terms: Terms,
    /// How many machines it registered.
    pub uses: u32,
    /// When a machine last came by it.
    pub last_used_at: Option<Timestamp>,
}

/// What a key that seals bootstrap tokens did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Which key.
    pub kid: String,
    /// How many tokens it sealed.
    pub issued: u64,
    /// When the last of them ends.
    pub last_expires_at: Timestamp,
}

/// A small named document that belongs to no other table: users, wrapped keys, preferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What sort of record, such as `user`.
    pub kind: String,
    /// Its name within the sort.
    pub key: String,
    /// JSON, or whatever the owner of the sort writes.
    pub body: String,
    /// The commit that wrote it; 0 for one that is not stored yet.
    pub revision: Revision,
}

/// An object of the content as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// The read-only bundle it belongs to, or [`protocol::model::WRITABLE_BUNDLE`].
    pub bundle: String,
    /// Its JSON.
    pub body: String,
}

/// For whom a bootstrap token is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// A new machine. Refused when the token registered this many already.
    NewMachine {
        /// Most machines it registers.
        max: Option<u32>,
    },
    /// One that it registered before, which counts no second time.
    KnownMachine,
}

/// One thing to store. `Insert` is refused when the object exists, `Update` and
/// `DeleteMachine` when its stored revision is not the one in hand.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new enrollment.
    InsertEnrollment(Box<Enrollment>),
    /// An enrollment's next state.
    UpdateEnrollment(Box<Enrollment>),
    /// A code goes live. Refused when it, or one within edit distance 1, is live or was
    /// retired within [`crate::enrollment::CODE_REST`].
    TakeCode {
        /// The code.
        code: BootstrapCode,
        /// Whom it selects.
        enrollment: EnrollmentId,
        /// Now.
        at: Timestamp,
    },
    /// A code's life ends.
    RetireCode {
        /// The code.
        code: BootstrapCode,
        /// Now.
        at: Timestamp,
    },
    /// A new machine. Refused when its name or key is taken.
    InsertMachine(Box<Machine>),
    /// A machine's next state. Refused when its name or key is taken.
    UpdateMachine(Box<Machine>),
    /// A machine is gone, its key forgotten.
    DeleteMachine {
        /// Which.
        id: MachineId,
        /// The revision that was decided on.
        revision: Revision,
    },
    /// Heartbeats since the last checkpoint; touches no revision.
    Seen(Vec<(MachineId, Timestamp)>),
    /// A bootstrap token was issued.
    IssueToken(IssuedToken),
    /// A machine comes by a bootstrap token. Refused when that is revoked.
    UseToken {
        /// Which.
        token: TokenMarks,
        /// For whom.
        by: TokenUse,
    },
    /// Bootstrap tokens end before their time.
    Revoke(Revocation),
    /// A machine's boot is given a nonce. Refused when it has
    /// [`crate::boot_nonce::MAX_LIVE_NONCES`] already.
    GiveNonce(GivenNonce),
    /// A boot nonce is used. Refused when it was used before, or is over.
    UseNonce(NonceDigest),
    /// All boot nonces of a machine end.
    EndNonces(MachineId),
    /// A new job. Refused when its id is taken.
    InsertJob(Box<Job>),
    /// A job's next state.
    UpdateJob(Box<Job>),
    /// A job is gone, and its log.
    DeleteJob {
        /// Which.
        id: Uuid,
        /// The revision that was decided on.
        revision: Revision,
    },
    /// Nothing is written: refused as stale when the job has another revision, or is gone.
    JobIs {
        /// Which.
        id: Uuid,
        /// The revision that was decided on.
        revision: Revision,
    },
    /// A new provision run. Refused when its id is taken. Of its machine's runs that are over, the
    /// oldest go.
    InsertRun(Box<Run>),
    /// A run's next state.
    UpdateRun(Box<Run>),
    /// What a run works with, whatever was there.
    PutGoods {
        /// Whose.
        run: Uuid,
        /// What.
        goods: Box<Goods>,
    },
    /// Bytes at the end of a job's log.
    AppendLog {
        /// Whose.
        job: Uuid,
        /// Where they begin; refused as stale when the log is not this long. None: wherever it ends.
        at: Option<u64>,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An object of the content is written, whatever was there: the content's revision guards it.
    PutObject(StoredObject),
    /// An object of the content goes.
    DeleteObject {
        /// Its kind.
        kind: Kind,
        /// Its key.
        key: String,
    },
    /// A preference is set; the content's revision guards it.
    SetPref {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// All machines were checked against this revision of the content.
    MachinesChecked(Revision),
    /// A machine gets a number in a mesh network, of which its addresses follow. Refused as stale when
    /// the number is taken, or the machine has one already.
    JoinMesh {
        /// Which network.
        mesh: String,
        /// Which number.
        number: u32,
        /// Whose.
        machine: MachineId,
    },
    /// A machine gives its number back, if it has one.
    LeaveMesh(MachineId),
    /// What was given of a mesh network is forgotten. Refused while machines are in it.
    ClearMesh(String),
    /// A record is written; its revision is what it replaces, 0 for none.
    PutRecord(Record),
    /// A record goes, if it is still there.
    DeleteRecord {
        /// As [`Record::kind`].
        kind: String,
        /// As [`Record::key`].
        key: String,
    },
    /// Codes retired before this rest no longer.
    ForgetCodes(Timestamp),
    /// Enrollments that ended before this are deleted; the audit log keeps their story.
    ForgetEnrollments(Timestamp),
    /// The same for those that ended without an operator's answer.
    ForgetUnanswered(Timestamp),
    /// Tokens that expired before this are forgotten.
    ForgetTokens(Timestamp),
    /// Boot nonces that ended before this are forgotten.
    ForgetNonces(Timestamp),
    /// Runs of machines that are gone are forgotten, those made before this.
    ForgetRuns(Timestamp),
    /// Revocations that cover nothing any more at this time are forgotten.
    ForgetRevocations(Timestamp),
    /// A row of the audit log.
    Audit(AuditRow),
}

/// Everything one decision stores, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// When it was decided: the store keeps the latest as a floor for its clock.
    pub at: Timestamp,
    /// The revision of the content that was decided on; refused as stale when it is another by then.
    pub on_content: Option<Revision>,
    /// What to store.
    pub list: Vec<Change>,
}

impl Changes {
    /// Nothing yet.
    pub fn new(at: Timestamp) -> Self {
        Self { at, on_content: None, list: Vec::new() }
    }

    /// The same, decided on this revision of the content.
    #[must_use]
    pub fn on(mut self, content: Revision) -> Self {
        self.on_content = Some(content);
        self
    }

    /// The same and one more.
    #[must_use]
    pub fn and(mut self, change: Change) -> Self {
        self.list.push(change);
        self
    }

    /// The same and an audit row.
    #[must_use]
    pub fn audit(self, row: AuditRow) -> Self {
        self.and(Change::Audit(row))
    }

    /// The audit rows in it.
    pub fn audit_rows(&self) -> impl Iterator<Item = &AuditRow> {
        self.list.iter().filter_map(|change| if let Change::Audit(row) = change { Some(row) } else { None })
    }
}
