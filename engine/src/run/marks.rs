//! What the walk through a machine's task list remembers from one call to the next.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Remembered beside the page's fields, never shown. A new task list forgets all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// No job before this moment: a failed task is tried again, but not at once.
    pub not_before: Option<Timestamp>,
    /// The entry that `CurrentTask` stands on runs again, whatever became of the current job:
    /// somebody set `CurrentTask` back, or an error handler is through.
    pub again: bool,
    /// The machine was stopped before this entry (`task-stop-at`); it passes when it may go on.
    pub stopped_before: Option<i64>,
    /// The entry whose error handler ran already.
    pub handled: Option<i64>,
}

impl Marks {
    /// How long there is no job; none when there may be one now.
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        self.not_before.map(|at| at.since(now)).filter(|wait| !wait.is_zero())
    }
}
