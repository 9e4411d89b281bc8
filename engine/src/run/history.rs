//! Jobs of the past: which may be deleted, and which go by themselves.

use super::{give_up, settle, touch};
use crate::change::{Cause, Change, Changes};
use crate::job::Job;
use crate::machine::Machine;
use crate::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use protocol::model::{JobState, Kind};
use std::time::Duration;

/// Jobs of one machine that a clean-up leaves, unless it is told otherwise.
const KEPT: u32 = 50;

/// Deletes a job that is over, and its log with it. `machine` is the job's, as far as it is
/// there: whose current job goes shows none.
///
/// # Errors
/// [`ProblemKind::Invalid`] for a job that is not over yet on a machine that is there.
pub fn delete(
    job: &Job,
    machine: Option<&Machine>,
    cause: &Cause,
) -> Result<(Changes, Option<Machine>), Problem> {
    let fields = &job.fields;
    if !fields.state.is_final() && machine.is_some() {
        let message = format!("the job is {}; end it as failed before it is deleted", fields.state);
        return Err(Problem::new(ProblemKind::Invalid, Kind::Jobs, fields.uuid, message));
    }
    let mut changes =
        Changes::new(cause.at).and(Change::DeleteJob { id: fields.uuid, revision: job.revision });
    let machine = machine.filter(|machine| machine.fields.current_job == fields.uuid.to_string());
    let machine = machine.map(|machine| without_job(machine, cause.at));
    if let Some(machine) = &machine {
        changes = changes.and(Change::UpdateMachine(Box::new(machine.clone())));
    }
    Ok((changes, machine))
}

/// The current job of a machine that is deleted: no machine's newest any more, and over, since
/// nobody will end it.
#[must_use]
pub fn orphan(job: &Job, cause: &Cause) -> Job {
    let mut job = job.clone();
    job.fields.current = false;
    if !job.fields.state.is_final() {
        give_up(&mut job, "its machine was deleted", cause);
    }
    touch(&mut job, cause);
    job
}

fn without_job(machine: &Machine, at: Timestamp) -> Machine {
    let mut machine = machine.clone();
    let fields = &mut machine.fields;
    fields.current_job.clear();
    fields.job_state.clear();
    fields.job_exit_state.clear();
    fields.job_result_errors.clear();
    settle(&mut machine, at);
    machine
}

/// Which jobs of the past are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Jobs of one machine that stay.
    pub keep: u32,
    /// Jobs that failed go when they are this old; none: never.
    pub failed: Option<Duration>,
    /// Jobs that finished go when they are this old; none: never.
    pub finished: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: KEPT, failed: None, finished: None }
    }
}

impl Retention {
    /// Whether a job goes that so many newer ones of its machine follow. What is under way stays,
    /// and so does the last job of a machine that is there, which is its `CurrentJob`.
    pub fn ends(&self, job: &Job, newer: u32, machine_is_there: bool, now: Timestamp) -> bool {
        let fields = &job.fields;
        let limit = match fields.state {
            JobState::Created | JobState::Running | JobState::Incomplete => return false,
            JobState::Failed => self.failed,
            JobState::Finished => self.finished,
        };
        if fields.current && machine_is_there {
            return false;
        }
        let ended = fields.end_time.parse().unwrap_or(Timestamp::EPOCH);
        newer >= self.keep || limit.is_some_and(|limit| now.since(ended) >= limit)
    }
}
