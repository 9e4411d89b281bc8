//! Which job a machine gets next, and what its end means (`spec/machine-model.md` 4).
//!
//! - [`next_job`]: the walk through the task list, one call of `POST /jobs`
//! - [`report`]: what is told about a job: it runs, it ended, and what that does to its machine
//! - [`delete`], [`Retention`]: which jobs go; [`orphan`]: whose machine went
//! - [`append`]: the log
//! - [`why_waiting`]: why a machine with tasks left gets no job
//!
//! A job is handed out under a lease, which is its `Epoch`: whoever holds an older one, or the
//! lease of a job that its machine left behind, is told so and writes nothing.

mod failure;
mod history;
mod log;
mod marks;
mod report;
mod step;
mod waiting;
mod walk;

#[cfg(test)]
mod tests;

pub use history::{Retention, delete, orphan};
pub use log::{Append, MAX_APPEND, MAX_LOG, append};
pub use marks::Marks;
pub use report::{Report, Reported, check_lease, report, wanted};
pub use step::{MachineAfter, Made, Outcome, Step};
pub use waiting::why_waiting;
pub use walk::{NextRequest, next_job};

use crate::change::Cause;
use crate::job::Job;
use crate::machine::{Machine, Pause};
use crate::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use protocol::model::{ExitState, JobState, Kind};

/// What the machine shows of its current job (4.7).
fn mirror(machine: &mut Machine, job: &Job) {
    let (fields, job) = (&mut machine.fields, &job.fields);
    job.state.word().clone_into(&mut fields.job_state);
    job.exit_state.word().clone_into(&mut fields.job_exit_state);
    if job.state.is_final() {
        fields.job_result_errors.clone_from(&job.result_errors);
    }
}

/// The machine gets no more jobs until somebody lets it go on.
fn stop(machine: &mut Machine, why: Pause) {
    machine.fields.runnable = false;
    machine.paused = Some(why);
}

/// The machine is about to be stored.
fn settle(machine: &mut Machine, at: Timestamp) {
    let fields = &mut machine.fields;
    fields.workflow_complete =
        usize::try_from(fields.current_task).is_ok_and(|current| current >= fields.tasks.len());
    machine.modified_at = Some(at);
}

/// The job is about to be stored.
fn touch(job: &mut Job, cause: &Cause) {
    let envelope = &mut job.fields.envelope;
    envelope.last_modified_at = Some(cause.at.to_string());
    if let Some(user) = cause.principal.strip_prefix("user:") {
        user.clone_into(&mut envelope.last_modified_by);
    }
}

/// The job fails because nobody goes on with it.
fn give_up(job: &mut Job, reason: &str, cause: &Cause) {
    let fields = &mut job.fields;
    fields.state = JobState::Failed;
    fields.exit_state = ExitState::Failed;
    fields.end_time = cause.at.to_string();
    fields.result_errors = vec![reason.to_owned()];
}

/// The job ends although nobody reported its end: what it is part of is over. Its runner hears so with
/// its next call.
pub(crate) fn abort(job: &Job, machine: &mut Machine, reason: &str, cause: &Cause) -> Job {
    let mut job = job.clone();
    give_up(&mut job, reason, cause);
    touch(&mut job, cause);
    if machine.fields.current_job == job.fields.uuid.to_string() {
        mirror(machine, &job);
    }
    job
}

/// What was asked about a machine's jobs does not go now.
fn conflict(machine: &Machine, reason: impl std::fmt::Display) -> Problem {
    let message = format!("machine {} gets no job: {reason}", machine.name);
    Problem::new(ProblemKind::Conflict, Kind::Jobs, machine.fields.current_job.clone(), message)
}
