//! What is told about a job: it runs, it stops on the way, it ended (`spec/machine-model.md` 4.3,
//! 4.6, 4.7).

use super::failure::{self, Failure};
use super::{mirror, settle, stop, touch};
use crate::change::{Cause, Change, Changes};
use crate::content::Content;
use crate::job::Job;
use crate::machine::{Machine, Pause};
use crate::params;
use crate::problem::{Problem, ProblemKind};
use protocol::inventory::clean_line;
use protocol::model::{self, ExitState, JobState, Kind, ZERO_TIME};
use serde_json::Value;

/// Whether a machine stops after each task.
const SINGLE_STEP: &str = "task-single-step";
/// Most sentences about a failure that are kept, and the longest, in bytes.
const MAX_ERRORS: usize = 64;
const MAX_ERROR: usize = 2_048;

/// What is told about a job.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The job as it should be, as [`wanted`] reads it.
    pub wanted: model::Job,
    /// The lease under which it is told, where the caller has one.
    pub lease: Option<i64>,
    /// Why and when.
    pub cause: &'a Cause,
}

/// What becomes of the job and its machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The job.
    pub job: Job,
    /// Whether there is anything to store.
    pub changed: bool,
    /// Its machine, where that changes too.
    pub machine: Option<Box<Machine>>,
}

impl Reported {
    /// Everything to store.
    pub fn changes(&self, content: &Content, cause: &Cause) -> Changes {
        let changes = Changes::new(cause.at);
        if !self.changed {
            return changes;
        }
        let changes = changes.and(Change::UpdateJob(Box::new(self.job.clone())));
        match &self.machine {
            Some(machine) => changes.and(Change::UpdateMachine(machine.clone())).on(content.revision),
            None => changes,
        }
    }
}

/// A job as a client wants it, out of its JSON.
///
/// # Errors
/// [`ProblemKind::Invalid`], also for a state that is none.
pub fn wanted(job: &Job, body: Value) -> Result<model::Job, Problem> {
    serde_json::from_value(body).map_err(|error| invalid(job, format!("this is no job: {error}")))
}

/// Refuses whoever holds an older lease of the job, or the lease of a job that is over or that
/// its machine left behind.
///
/// # Errors
/// [`ProblemKind::Conflict`].
pub fn check_lease(job: &Job, lease: Option<i64>) -> Result<(), Problem> {
    let (Some(lease), fields) = (lease, &job.fields) else { return Ok(()) };
    let reason = if fields.state.is_final() {
        format!("it is {}", fields.state)
    } else if !fields.current {
        "its machine went on to another job".to_owned()
    } else if lease != fields.epoch {
        format!("it was handed out again, as number {}", fields.epoch)
    } else {
        return Ok(());
    };
    let message = format!("lease {lease} of job {} is void: {reason}", fields.uuid);
    Err(Problem::new(ProblemKind::Conflict, Kind::Jobs, fields.uuid, message))
}

/// Takes a report. `machine` is the job's, as far as it is there.
///
/// # Errors
/// A conflict when the lease is void; invalid when the job cannot go from its state to the one
/// that is told, or is over.
pub fn report(
    job: &Job,
    machine: Option<&Machine>,
    content: &Content,
    report: Report<'_>,
) -> Result<Reported, Problem> {
    check_lease(job, report.lease)?;
    let Report { wanted, cause, .. } = report;
    if wanted.uuid != job.fields.uuid {
        return Err(invalid(job, "Uuid is given once; leave it as it is".to_owned()));
    }
    let mut next = job.clone();
    let (was, state) = (job.fields.state, wanted.state);
    check_move(job, &wanted)?;
    next.fields.state = state;
    next.fields.exit_state = exit_state(&job.fields, &wanted);
    next.fields.result_errors = cut(wanted.result_errors);
    next.fields.envelope.meta = wanted.envelope.meta;
    next.fields.envelope.description = wanted.envelope.description;
    let now = cause.at.to_string();
    if was != state && state == JobState::Running && next.fields.start_time == ZERO_TIME {
        next.fields.start_time.clone_from(&now);
    }
    if was != state && state.is_final() {
        next.fields.end_time = now;
    }
    if next == *job {
        return Ok(Reported { job: next, changed: false, machine: None });
    }
    let is_current = |machine: &&Machine| machine.fields.current_job == job.fields.uuid.to_string();
    let machine = machine.filter(is_current).map(|machine| follow(machine, was, &mut next, content, cause));
    touch(&mut next, cause);
    Ok(Reported { job: next, changed: true, machine: machine.map(Box::new) })
}

/// What the report does to the machine whose current job it is about.
fn follow(machine: &Machine, was: JobState, job: &mut Job, content: &Content, cause: &Cause) -> Machine {
    let mut machine = machine.clone();
    match job.fields.state {
        // Failed by hand before it ran, or on the way, a job stops nothing (4.6).
        JobState::Failed if was == JobState::Running => {
            let failure = Failure { job, content, now: cause.at };
            let about_handler = failure::follow(&mut machine, &failure);
            job.fields.result_errors.extend(about_handler);
        }
        JobState::Finished if was != JobState::Finished => {
            if params::lookup(content, Some(&machine), SINGLE_STEP) == Some(Value::Bool(true)) {
                stop(&mut machine, Pause::User);
            }
        }
        JobState::Created
        | JobState::Running
        | JobState::Incomplete
        | JobState::Failed
        | JobState::Finished => {}
    }
    mirror(&mut machine, job);
    settle(&mut machine, cause.at);
    machine
}

/// 4.3.
fn check_move(job: &Job, wanted: &model::Job) -> Result<(), Problem> {
    use JobState::{Created, Finished, Incomplete, Running};
    let (from, to) = (job.fields.state, wanted.state);
    if from.is_final() {
        let told = (to, wanted.exit_state, &wanted.result_errors);
        if told == (from, job.fields.exit_state, &job.fields.result_errors) {
            return Ok(());
        }
        return Err(invalid(job, format!("the job is {from}, which is final")));
    }
    let refused = matches!((from, to), (Running | Incomplete, Created) | (Incomplete, Finished));
    if refused { Err(invalid(job, format!("a job that is {from} cannot become {to}"))) } else { Ok(()) }
}

/// The exit state that is told. Without one, an end says itself how it was; and what goes on
/// has not ended.
fn exit_state(job: &model::Job, wanted: &model::Job) -> ExitState {
    let told = wanted.exit_state;
    match wanted.state {
        JobState::Running if job.state != JobState::Running && told == job.exit_state => ExitState::None,
        JobState::Finished if told == ExitState::None => ExitState::Complete,
        JobState::Failed
            if told == ExitState::None || job.state != JobState::Failed && told == job.exit_state =>
        {
            ExitState::Failed
        }
        JobState::Created
        | JobState::Running
        | JobState::Incomplete
        | JobState::Failed
        | JobState::Finished => told,
    }
}

/// Not more sentences, and no longer ones, than somebody reads.
fn cut(mut errors: Vec<String>) -> Vec<String> {
    errors.truncate(MAX_ERRORS);
    for error in &mut errors {
        clean_line(error, MAX_ERROR);
    }
    errors
}

fn invalid(job: &Job, message: String) -> Problem {
    Problem::new(ProblemKind::Invalid, Kind::Jobs, job.fields.uuid, message)
}
