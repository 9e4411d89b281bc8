//! What a decision about a machine's jobs leaves behind, as one value to commit and to tell.

use super::log;
use crate::change::{Cause, Change, Changes};
use crate::content::Content;
use crate::job::Job;
use crate::machine::Machine;
use std::time::Duration;

/// What becomes of the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum MachineAfter {
    /// Nothing.
    Same,
    /// It is another one now.
    Saved(Box<Machine>),
    /// It is deleted: its task list is through, and it was to go then.
    Deleted,
}

/// What the caller of `POST /jobs` gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A new job.
    Created(Box<Job>),
    /// The job that was incomplete.
    Resumed(Box<Job>),
    /// No job.
    Nothing {
        /// After this time it is worth asking again, where that is known.
        again_in: Option<Duration>,
    },
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The answer.
    pub outcome: Outcome,
    /// What becomes of the machine.
    pub machine: MachineAfter,
    /// The job that was made, for the agent or as the record of what the server did.
    pub made: Option<Made>,
    /// What became of the job before, or of the one that is handed out again.
    pub before: Option<Job>,
}

/// A new job and the beginning of its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The job.
    pub job: Job,
    /// Its log.
    pub log: String,
}

impl Step {
    /// No job, and nothing to store.
    pub(super) const fn nothing(again_in: Option<Duration>) -> Self {
        Self { outcome: Outcome::Nothing { again_in }, machine: MachineAfter::Same, made: None, before: None }
    }

    /// Everything to store. `machine` is the one that was decided on.
    pub fn changes(&self, machine: &Machine, content: &Content, cause: &Cause) -> Changes {
        let mut changes = match &self.machine {
            MachineAfter::Same => Changes::new(cause.at),
            MachineAfter::Saved(after) => Changes::new(cause.at).and(Change::UpdateMachine(after.clone())),
            MachineAfter::Deleted => machine.delete(cause),
        };
        if let Some(job) = &self.before {
            changes = changes.and(Change::UpdateJob(Box::new(job.clone())));
        }
        if let Some(Made { job, log }) = &self.made {
            let start = log::start(machine, job, log);
            changes = changes.and(Change::InsertJob(Box::new(job.clone()))).and(start);
        }
        changes.on(content.revision)
    }
}
