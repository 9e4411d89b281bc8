//! What a use case answers when it does not do what was asked. Knows no HTTP: `http/error.rs`
//! holds the one table of status codes.

use crate::store::{Conflict, StoreError};
use engine::admission::{Refused, TermsError};
use engine::enrollment::DecisionError;
use engine::fields::TwiceError;
use engine::names::Misnamed;
use engine::patch::PatchError;
use engine::problem::{Problem, ProblemKind};
use protocol::agent_api::RefusalKind;
use std::error::Error as StdError;
use std::fmt;

/// What sort of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppErrorKind {
    /// A machine's call, refused in the machine's words.
    Refused(RefusalKind),
    /// Nobody is logged in, or the password is wrong.
    Unauthenticated,
    /// The caller must enter the password again.
    StepUp,
    /// The caller lacks a right.
    Forbidden,
    /// No such object.
    NotFound,
    /// Not what the route expects.
    BadRequest,
    /// A new object has no key.
    EmptyKey,
    /// A filter, an order or a page of a list that is no such thing.
    BadList,
    /// Not a code at all; nothing was looked up.
    MalformedCode,
    /// The code selects nothing: unknown, retired and out of scope look alike.
    CodeNotFound,
    /// The fingerprint is another machine's.
    FingerprintMismatch,
    /// Somebody was faster.
    AlreadyDecided,
    /// The waiting machine is not heard any more.
    MachineGone,
    /// Understood, and not acceptable as it is.
    Invalid,
    /// The same of the value of a param.
    InvalidValue,
    /// Something else has this name, or changed meanwhile; or it does not go now.
    Conflict,
    /// A new object has the key of another one.
    Exists,
    /// Other objects need it.
    InUse,
    /// A patch does not fit the object.
    PatchFailed,
    /// The machine is locked.
    Locked,
    /// The object belongs to read-only content.
    ReadOnly,
    /// Too many wrong codes from this account.
    TooManyAttempts,
    /// Too large.
    TooLarge,
    /// The database is away, or everything is full: later.
    Unavailable,
    /// The disk of the server is full.
    StorageFull,
    /// A defect of ours.
    Internal,
}

impl AppErrorKind {
    /// The `Type` of an operator's error body; none for the request's method
    /// (`spec/machine-model.md` 5.6).
    pub const fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound | Self::BadList | Self::InvalidValue | Self::Locked | Self::ReadOnly => {
                return None;
            }
            Self::Unauthenticated | Self::Forbidden => "AUTH",
            Self::StepUp => "step_up",
            Self::BadRequest => "invalid_request",
            Self::EmptyKey | Self::Exists => "CREATE",
            Self::InUse => "StillInUseError",
            Self::PatchFailed => "PATCH",
            Self::MalformedCode => "malformed_code",
            Self::CodeNotFound => "code_not_found",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::AlreadyDecided => "already_decided",
            Self::MachineGone => "machine_gone",
            Self::Invalid => "ValidationError",
            Self::Conflict => "Conflict",
            Self::TooManyAttempts => "too_many_attempts",
            Self::TooLarge => "too_large",
            Self::Unavailable => "temporarily_unavailable",
            Self::StorageFull => "storage_full",
            Self::Refused(_) | Self::Internal => "internal",
        })
    }

    /// The word a machine is told, whatever the use case called it.
    pub const fn refusal(self) -> RefusalKind {
        match self {
            Self::Refused(kind) => kind,
            Self::Unauthenticated | Self::StepUp => RefusalKind::InvalidProof,
            Self::Forbidden | Self::Locked | Self::ReadOnly => RefusalKind::AccessDenied,
            Self::NotFound | Self::CodeNotFound => RefusalKind::UnknownRequest,
            Self::BadRequest
            | Self::EmptyKey
            | Self::BadList
            | Self::MalformedCode
            | Self::Invalid
            | Self::InvalidValue
            | Self::PatchFailed => RefusalKind::InvalidRequest,
            Self::TooManyAttempts => RefusalKind::SlowDown,
            Self::TooLarge => RefusalKind::TooLarge,
            Self::FingerprintMismatch
            | Self::AlreadyDecided
            | Self::MachineGone
            | Self::Conflict
            | Self::Exists
            | Self::InUse
            | Self::Unavailable
            | Self::StorageFull
            | Self::Internal => RefusalKind::TemporarilyUnavailable,
        }
    }
}

/// A use case's no.
#[derive(Debug)]
pub struct AppError {
    /// What sort.
    pub kind: AppErrorKind,
    /// A sentence for the caller, without anything the caller may not know.
    pub message: String,
    /// More such sentences, when several things are wrong.
    pub further: Box<[String]>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u64>,
    /// New seconds between polls, with `slow_down`.
    pub interval: Option<u64>,
    /// How long a job's log is, when bytes for it would leave a gap.
    pub log_length: Option<u64>,
    /// Collection and key of the object concerned.
    pub object: Option<Box<(&'static str, String)>>,
    /// The cause, for the log only.
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl AppError {
    /// A no with its sentence.
    pub fn new(kind: AppErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            further: Box::default(),
            retry_after: None,
            interval: None,
            log_length: None,
            object: None,
            cause: None,
        }
    }

    /// A machine's no.
    pub fn refused(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self::new(AppErrorKind::Refused(kind), message)
    }

    /// No object of this collection has this key.
    pub fn not_found(collection: &'static str, key: &str) -> Self {
        Self::new(AppErrorKind::NotFound, format!("{collection}: nothing is called {key:?}"))
            .about(collection, key)
    }

    /// The same about an object.
    #[must_use]
    pub fn about(mut self, collection: &'static str, key: impl Into<String>) -> Self {
        self.object = Some(Box::new((collection, key.into())));
        self
    }

    /// All its sentences.
    pub fn messages(&self) -> Vec<String> {
        std::iter::once(&self.message).chain(&self.further).cloned().collect()
    }

    /// The same, to be tried again after this many seconds.
    #[must_use]
    pub fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same with its cause, which only the log tells.
    #[must_use]
    pub fn because(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// A defect of ours: the caller learns that it happened, the log what.
    pub fn internal(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(AppErrorKind::Internal, "the server failed at this; its log says why").because(cause)
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages().join("; "))
    }
}

impl StdError for AppError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::NameTaken) => {
                Self::new(AppErrorKind::Conflict, "another machine has this name; choose a different one")
            }
            StoreError::Conflict(Conflict::KeyTaken) => Self::new(
                AppErrorKind::Conflict,
                "this machine's key is registered already; look for it in the list",
            ),
            StoreError::Conflict(
                Conflict::Stale
                | Conflict::CodeTaken
                | Conflict::Exists
                | Conflict::UsedUp
                | Conflict::Revoked
                | Conflict::NoncesOut
                | Conflict::NonceUsed,
            ) => Self::new(AppErrorKind::Conflict, "it was changed meanwhile; look again").because(error),
            StoreError::Conflict(Conflict::MeshUsed) => Self::new(
                AppErrorKind::InUse,
                "machines are in this mesh network: it stays, and so do its networks, until they are out of it",
            ),
            StoreError::Conflict(Conflict::LogFull) => Self::new(
                AppErrorKind::TooLarge,
                "the job's log is as long as a log may be, 16 MiB; write less, or elsewhere",
            ),
            StoreError::Full(_) => {
                Self::new(AppErrorKind::StorageFull, "the server's disk is full; free some space")
                    .because(error)
            }
            StoreError::Unavailable(_) => {
                Self::new(AppErrorKind::Unavailable, "the database does not answer").after(5).because(error)
            }
            StoreError::Damaged { .. } | StoreError::NewerSchema { .. } => Self::internal(error),
        }
    }
}

impl From<DecisionError> for AppError {
    fn from(error: DecisionError) -> Self {
        let kind = match &error {
            DecisionError::AlreadyDecided { .. } => AppErrorKind::AlreadyDecided,
            DecisionError::CodeNotFound => AppErrorKind::CodeNotFound,
            DecisionError::FingerprintMismatch => AppErrorKind::FingerprintMismatch,
            DecisionError::Unconfirmed | DecisionError::Unlike(_) => AppErrorKind::Invalid,
            DecisionError::Gone(_) => AppErrorKind::MachineGone,
            DecisionError::MergeLocked(_) => AppErrorKind::Locked,
            DecisionError::MergeOnline(_) => AppErrorKind::Conflict,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Problem> for AppError {
    fn from(problem: Problem) -> Self {
        let kind = match problem.kind {
            ProblemKind::Invalid => AppErrorKind::Invalid,
            ProblemKind::Exists => AppErrorKind::Exists,
            ProblemKind::NotFound => AppErrorKind::NotFound,
            ProblemKind::InUse => AppErrorKind::InUse,
            ProblemKind::Locked => AppErrorKind::Locked,
            ProblemKind::ReadOnly => AppErrorKind::ReadOnly,
            ProblemKind::PatchFailed => AppErrorKind::PatchFailed,
            ProblemKind::Conflict => AppErrorKind::Conflict,
            ProblemKind::BadList => AppErrorKind::BadList,
        };
        let mut messages = problem.messages.into_iter();
        let message = messages.next().unwrap_or_else(|| "this does not go".to_owned());
        let mut error = Self::new(kind, message).about(problem.model, problem.key);
        error.further = messages.collect();
        error
    }
}

impl From<PatchError> for AppError {
    fn from(error: PatchError) -> Self {
        Self::new(AppErrorKind::BadRequest, error.to_string())
    }
}

impl From<TwiceError> for AppError {
    fn from(error: TwiceError) -> Self {
        Self::new(AppErrorKind::BadRequest, error.to_string())
    }
}

impl From<TermsError> for AppError {
    fn from(error: TermsError) -> Self {
        Self::new(AppErrorKind::Invalid, error.to_string())
    }
}

impl From<Misnamed> for AppError {
    fn from(error: Misnamed) -> Self {
        Self::new(AppErrorKind::Invalid, error.to_string())
    }
}

impl From<Refused> for AppError {
    fn from(error: Refused) -> Self {
        // Which constraint failed, or how it was revoked, is for the audit log only.
        let (kind, message) = match error {
            Refused::Foreign => (RefusalKind::InvalidToken, "bootstrap token is not one of this server's"),
            Refused::Expired => (RefusalKind::TokenExpired, "bootstrap token expired"),
            Refused::Revoked(_) => (RefusalKind::TokenRevoked, "bootstrap token was revoked"),
            Refused::Constraint(_) => {
                (RefusalKind::ConstraintFailed, "bootstrap token does not cover this machine")
            }
            Refused::NeedsApproval => {
                (RefusalKind::ApprovalRequired, "bootstrap token leaves the approval to an operator")
            }
        };
        Self::refused(kind, message)
    }
}
