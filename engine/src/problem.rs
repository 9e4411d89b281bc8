//! Why a request about an object is not granted, in the words of the model
//! (`spec/machine-model.md` 5.6). Status codes are the server's.

use protocol::model::Kind;
use std::fmt;

/// What sort of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The object would not be valid, or refers to what is not there.
    Invalid,
    /// The object exists already.
    Exists,
    /// There is no such object.
    NotFound,
    /// Other objects need it.
    InUse,
    /// The machine is locked.
    Locked,
    /// The object belongs to read-only content.
    ReadOnly,
    /// A patch does not fit the object: a test failed, or a path leads nowhere.
    PatchFailed,
    /// What was asked for does not go now.
    Conflict,
    /// A filter, an order or a page that is no such thing.
    BadList,
}

/// A request that is not granted: nothing was changed. All reasons that were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// What sort.
    pub kind: ProblemKind,
    /// Type of the object concerned.
    pub model: &'static str,
    /// Its key, or empty.
    pub key: String,
    /// Sentences for people; at least one.
    pub messages: Vec<String>,
}

impl Problem {
    /// A problem with one reason.
    pub fn new(kind: ProblemKind, model: Kind, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, model: model.prefix(), key: key.into(), messages: vec![message.into()] }
    }

    /// [`ProblemKind::Invalid`] with these reasons, or nothing when there is none.
    ///
    /// # Errors
    /// The problem.
    pub fn unless_valid(model: Kind, key: &str, messages: Vec<String>) -> Result<(), Self> {
        if messages.is_empty() {
            return Ok(());
        }
        Err(Self { kind: ProblemKind::Invalid, model: model.prefix(), key: key.to_owned(), messages })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.messages.join("; "))
    }
}
