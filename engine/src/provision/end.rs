//! How a run ends, and where that leaves the machine: in our image and online where its disk may be
//! half written, and where it was before where nothing was touched.

use super::{Followed, Passed, Run, Way, locked};
use crate::bootenv::MUSTER;
use crate::change::Cause;
use crate::job::Job;
use crate::machine::{Machine, Pause};
use crate::problem::{Problem, ProblemKind};
use crate::run;
use crate::time::Timestamp;
use protocol::install::{Mode, ProvisionStatus};

/// Longest sentence about a failure that is kept, in bytes.
const MAX_ERROR: usize = 2_048;

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The installed system runs, or the machine is where it was to go.
    Completed,
    /// The installed system runs; part of its configuration failed.
    Degraded,
    /// A step failed.
    Error,
    /// A step took too long.
    Timeout,
    /// Somebody cancelled it, or took the machine elsewhere.
    Canceled,
}

/// A run that is about to end.
pub(super) struct Over<'a> {
    pub(super) run: Run,
    pub(super) machine: Machine,
    job: Option<&'a Job>,
    at: Timestamp,
}

impl<'a> Over<'a> {
    pub(super) fn of(run: &Run, machine: &Machine, at: Timestamp) -> Self {
        Self { run: run.clone(), machine: machine.clone(), job: None, at }
    }

    /// The same; this job of the run, if it is under way, ends with it.
    pub(super) fn aborting<'b>(self, job: Option<&'b Job>) -> Over<'b> {
        // Before the run's first task, the current job is another's.
        let job = job.filter(|_| self.machine.fields.current_task >= 0 && !self.run.held);
        Over { run: self.run, machine: self.machine, job, at: self.at }
    }

    /// It ends like this.
    pub(super) fn end(mut self, ending: Ending, error: impl Into<String>, next: &str) -> Followed {
        let mut error = error.into();
        error.truncate(error.floor_char_boundary(MAX_ERROR));
        let reason = if error.is_empty() { "the run was cancelled" } else { &error };
        let job = self.abort(reason);
        let run = &mut self.run;
        run.status = match ending {
            Ending::Completed => ProvisionStatus::Completed,
            Ending::Degraded => ProvisionStatus::Degraded,
            Ending::Error => ProvisionStatus::Error,
            Ending::Timeout => ProvisionStatus::Timeout,
            Ending::Canceled => ProvisionStatus::Canceled,
        };
        run.error = error;
        next.clone_into(&mut run.next_action);
        run.ended_at = Some(self.at);
        run.due_at = None;
        run.held = false;
        close(&mut run.steps, self.at);
        self.settle(ending);
        self.machine.latest_run = Some(self.run.summary(self.machine.latest_run.as_ref()));
        Followed { run: self.run, machine: self.machine, job }
    }

    /// The job of the run that is under way fails: its runner hears so with its next call.
    fn abort(&mut self, reason: &str) -> Option<Job> {
        let job = self.job.filter(|job| !job.fields.state.is_final())?;
        Some(run::abort(job, &mut self.machine, reason, &Cause::system(self.at)))
    }

    /// Where the machine is afterwards.
    fn settle(&mut self, ending: Ending) {
        let (run, machine) = (&self.run, &mut self.machine);
        if machine.fields.workflow != run.workflow || run.mode == Mode::Clear {
            return;
        }
        match ending {
            Ending::Completed | Ending::Degraded => return,
            Ending::Canceled if !run.touched => machine.return_to(&run.before),
            // It runs what it ran before: it stays there, and is not sent on its way again and again.
            Ending::Error | Ending::Timeout
                if !run.touched && machine.booted_env() == run.before.boot_env =>
            {
                machine.return_to(&run.before);
            }
            Ending::Canceled => machine.stays_in_image(),
            Ending::Error | Ending::Timeout => {
                machine.fields.runnable = false;
                machine.paused = Some(Pause::Failed);
            }
        }
        machine.modified_at = Some(self.at);
    }
}

/// The step that is under way is over.
pub(super) fn close(steps: &mut [Passed], at: Timestamp) {
    if let Some(last) = steps.last_mut() {
        last.ended_at.get_or_insert(at);
    }
}

/// Somebody cancels it. `job` is the machine's current one.
///
/// # Errors
/// [`ProblemKind::Conflict`] when it is over already.
pub fn cancel(run: &Run, machine: &Machine, job: Option<&Job>, cause: &Cause) -> Result<Followed, Problem> {
    if !run.is_active() {
        let message = format!("provision run {} is over already: it is {}", run.id, run.status);
        return Err(Problem {
            kind: ProblemKind::Conflict,
            model: "provisions",
            key: run.id.to_string(),
            messages: vec![message],
        });
    }
    if machine.fields.locked && cause.user().is_some() {
        return Err(locked(machine));
    }
    let next = if run.touched {
        "its disk may be half written: provision the machine again, or let it stay in Muster's image"
    } else {
        "nothing was written; provision the machine again whenever you like"
    };
    let mut over = Over::of(run, machine, cause.at).aborting(job).end(Ending::Canceled, "", next);
    over.run.progress.message = format!("cancelled by {}", cause.principal);
    Ok(over)
}

/// It cannot begin or go on, for a reason that the server knows.
pub fn fail(
    run: &Run,
    machine: &Machine,
    job: Option<&Job>,
    error: &str,
    next: &str,
    at: Timestamp,
) -> Followed {
    Over::of(run, machine, at).aborting(job).end(Ending::Error, error, next)
}

/// Its machine is deleted.
pub fn gone(run: &Run, machine: &Machine, at: Timestamp) -> Run {
    Over::of(run, machine, at).end(Ending::Canceled, "its machine was deleted", "").run
}

impl Machine {
    /// Its way, to come back to.
    pub(super) fn way(&self) -> Way {
        let fields = &self.fields;
        Way {
            workflow: fields.workflow.clone(),
            stage: fields.stage.clone(),
            boot_env: fields.boot_env.clone(),
            context: fields.context.clone(),
            tasks: fields.tasks.clone(),
            current_task: fields.current_task,
            runnable: fields.runnable,
            paused: self.paused,
        }
    }

    fn return_to(&mut self, way: &Way) {
        self.leave_workflow();
        let fields = &mut self.fields;
        fields.workflow.clone_from(&way.workflow);
        fields.stage.clone_from(&way.stage);
        fields.boot_env.clone_from(&way.boot_env);
        fields.context.clone_from(&way.context);
        fields.tasks.clone_from(&way.tasks);
        fields.current_task = way.current_task;
        fields.runnable = way.runnable;
        self.paused = way.paused;
        self.settle();
    }

    fn stays_in_image(&mut self) {
        self.leave_workflow();
        MUSTER.clone_into(&mut self.fields.boot_env);
        self.fields.runnable = true;
        self.paused = None;
    }
}
