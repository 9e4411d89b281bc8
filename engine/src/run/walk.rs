//! `POST /jobs`: the walk through a machine's task list (`spec/machine-model.md` 4.2). One call
//! applies at most one entry that changes the machine, or hands out at most one job.

use super::failure::{self, Failure};
use super::marks::Marks;
use super::step::{MachineAfter, Made, Outcome, Step};
use super::{conflict, give_up, mirror, orphan, settle, stop, touch, waiting};
use crate::change::Cause;
use crate::content::Content;
use crate::job::Job;
use crate::machine::{self, Completion, Machine, Pause};
use crate::params;
use crate::problem::Problem;
use crate::workflow::Entry;
use protocol::model::{self, Envelope, ExitState, JobState, WRITABLE_BUNDLE};
use serde_json::Value;
use uuid::Uuid;

/// Which entries a machine is stopped before.
const STOP_AT: &str = "task-stop-at";

/// Who asks for a job.
#[derive(Debug, Clone, Copy)]
pub struct NextRequest<'a> {
    /// The context that the caller works in.
    pub context: &'a str,
    /// The id that the caller wants the job to have.
    pub chosen: Option<Uuid>,
    /// A random id: for a job without a wish, and for the record of what the server does itself.
    pub fresh: Uuid,
    /// Why and when.
    pub cause: &'a Cause,
}

/// The machine's next job. `current` is the job that `CurrentJob` names, as far as it is there.
///
/// # Errors
/// A conflict when the machine is not runnable or not available, or its job is under way.
pub fn next_job(
    machine: &Machine,
    current: Option<&Job>,
    content: &Content,
    request: &NextRequest<'_>,
) -> Result<Step, Problem> {
    let fields = &machine.fields;
    if let Some(reason) = waiting::held_back(machine) {
        return Err(conflict(machine, reason));
    }
    let left_to_do = usize::try_from(fields.current_task).unwrap_or(0) < fields.tasks.len();
    if fields.context != request.context || !left_to_do {
        return Ok(Step::nothing(None));
    }
    if let Some(wait) = machine.marks.wait(request.cause.at) {
        return Ok(Step::nothing(Some(wait)));
    }
    let walk = Walk {
        stored: machine,
        machine: machine.clone(),
        current: current.cloned(),
        given_up: false,
        content,
        request,
    };
    walk.run()
}

/// One walk: the machine and its current job as they are by now.
struct Walk<'a> {
    stored: &'a Machine,
    machine: Machine,
    current: Option<Job>,
    /// The current job was ended because the walk goes on without it.
    given_up: bool,
    content: &'a Content,
    request: &'a NextRequest<'a>,
}

/// Where the walk begins.
enum Start {
    /// At this entry, as if the current job had failed.
    At(usize),
    /// The current job was incomplete: it goes on.
    Resume,
}

/// What an entry of the server's own did.
enum Applied {
    /// It holds already.
    Nothing,
    /// The machine is another one now, in these words.
    Changed(String),
    /// It cannot be, for this reason.
    Refused(String),
}

impl Walk<'_> {
    fn run(mut self) -> Result<Step, Problem> {
        match self.start()? {
            Start::At(index) => self.walk(index),
            Start::Resume => self.resume(),
        }
    }

    /// 4.2.1, 4.2.2 and 4.2.4.
    fn start(&mut self) -> Result<Start, Problem> {
        let Ok(at) = usize::try_from(self.machine.fields.current_task) else {
            self.give_up_current();
            return Ok(Start::At(0));
        };
        if self.entry(at).is_some_and(Entry::is_transition) {
            self.give_up_current();
            return Ok(Start::At(at));
        }
        let Some(job) = &self.current else { return Ok(Start::At(at)) };
        // Set back by somebody, the entry runs again: the job was another's, or counts no more.
        let same = usize::try_from(job.fields.current_index) == Ok(at) && !self.machine.marks.again;
        match job.fields.state {
            JobState::Created | JobState::Running => {
                let state = job.fields.state;
                Err(conflict(self.stored, format!("its job {} is {state}", job.fields.uuid)))
            }
            JobState::Incomplete if same => Ok(Start::Resume),
            JobState::Incomplete => {
                self.give_up_current();
                Ok(Start::At(at))
            }
            JobState::Finished if same => Ok(Start::At(at.saturating_add(1))),
            JobState::Finished | JobState::Failed => Ok(Start::At(at)),
        }
    }

    /// A job that is under way, or was to go on, has failed when the walk goes on without it.
    /// What is finished, failed or never begun stays as it is in the history.
    fn give_up_current(&mut self) {
        let Some(job) = &mut self.current else { return };
        match job.fields.state {
            JobState::Running | JobState::Incomplete => {
                give_up(job, "the machine's task list went on without it", self.request.cause);
                touch(job, self.request.cause);
                mirror(&mut self.machine, job);
                self.given_up = true;
            }
            JobState::Created | JobState::Failed | JobState::Finished => {}
        }
    }

    /// 4.2.3: from this entry on, until something happens.
    fn walk(mut self, from: usize) -> Result<Step, Problem> {
        let mut index = from;
        loop {
            let Some(text) = self.machine.fields.tasks.get(index).cloned() else { return self.through() };
            let entry = Entry::read(&text);
            if entry.is_transition() {
                match self.apply(entry) {
                    Applied::Nothing => index = index.saturating_add(1),
                    Applied::Changed(what) => return Ok(self.record(index, &text, &what)),
                    Applied::Refused(reason) => return Ok(self.refuse(index, &text, &reason)),
                }
                continue;
            }
            if self.stops_before(index, &text) {
                return Ok(self.stop_before(index));
            }
            return Ok(match entry {
                Entry::Action(name) => {
                    let reason = format!("action {name}: no plugin on this server provides it");
                    self.refuse(index, &text, &reason)
                }
                Entry::Stage(_)
                | Entry::BootEnv(_)
                | Entry::Context(_)
                | Entry::Chroot(_)
                | Entry::Task(_) => self.hand_out(index, &text),
            });
        }
    }

    /// Makes the machine what a transition says (3.2.5): under a workflow or not, the task list
    /// stays as it is.
    fn apply(&mut self, entry: Entry<'_>) -> Applied {
        let (content, fields) = (self.content, &mut self.machine.fields);
        match entry {
            Entry::Stage(name) if fields.stage == name => Applied::Nothing,
            Entry::Stage(name) => match machine::stage_problem(name, content) {
                Some(problem) => Applied::Refused(problem),
                None => {
                    name.clone_into(&mut fields.stage);
                    Applied::Changed(format!("the stage is {name} now"))
                }
            },
            Entry::BootEnv(name) if fields.boot_env == name => Applied::Nothing,
            Entry::BootEnv(name) => match machine::bootenv_problem(name, content) {
                Some(problem) => Applied::Refused(problem),
                None => {
                    machine::enter_bootenv(&mut self.machine, name, content);
                    Applied::Changed(format!("the boot environment is {name} now; the machine boots it next"))
                }
            },
            Entry::Context(name) if fields.context == name => Applied::Nothing,
            Entry::Context(name) => {
                name.clone_into(&mut fields.context);
                Applied::Changed(format!("the context is {name:?} now"))
            }
            Entry::Chroot(_) | Entry::Action(_) | Entry::Task(_) => Applied::Nothing,
        }
    }

    /// Whether the machine is to be stopped before this entry. One that it stands on already, or
    /// was stopped before, is no reason.
    fn stops_before(&self, index: usize, text: &str) -> bool {
        let marks = &self.machine.marks;
        let begun = usize::try_from(self.machine.fields.current_task) == Ok(index);
        let stopped = marks.stopped_before.is_some_and(|at| usize::try_from(at) == Ok(index));
        let listed = || match params::lookup(self.content, Some(&self.machine), STOP_AT) {
            Some(Value::Array(entries)) => entries.iter().any(|entry| entry == text),
            _ => false,
        };
        !begun && !stopped && listed()
    }

    fn stop_before(mut self, index: usize) -> Step {
        stop(&mut self.machine, Pause::User);
        self.machine.marks.stopped_before = i64::try_from(index).ok();
        self.done(None, Outcome::Nothing { again_in: None })
    }

    /// The entry's effect is on record as a job that is finished already.
    fn record(mut self, index: usize, text: &str, what: &str) -> Step {
        let mut job = self.job(index, text, self.request.fresh);
        let now = self.request.cause.at.to_string();
        job.fields.state = JobState::Finished;
        job.fields.exit_state = ExitState::Complete;
        job.fields.start_time.clone_from(&now);
        job.fields.end_time = now;
        self.done(Some(Made { job, log: format!("{what}\n") }), Outcome::Nothing { again_in: None })
    }

    /// What the server should have done, and could not.
    fn refuse(mut self, index: usize, text: &str, reason: &str) -> Step {
        let mut job = self.job(index, text, self.request.fresh);
        let now = self.request.cause.at.to_string();
        job.fields.state = JobState::Failed;
        job.fields.exit_state = ExitState::Failed;
        job.fields.start_time.clone_from(&now);
        job.fields.end_time = now;
        self.enter(&job);
        let failure = Failure { job: &job, content: self.content, now: self.request.cause.at };
        let about_handler = failure::follow(&mut self.machine, &failure);
        job.fields.result_errors = std::iter::once(reason.to_owned()).chain(about_handler).collect();
        let log = job.fields.result_errors.join("\n") + "\n";
        let made = Made { job, log };
        let again_in = self.machine.marks.wait(self.request.cause.at);
        self.done(Some(made), Outcome::Nothing { again_in })
    }

    /// 4.2.5.
    fn hand_out(mut self, index: usize, text: &str) -> Step {
        let mut job = self.job(index, text, self.request.chosen.unwrap_or(self.request.fresh));
        job.fields.epoch = 1;
        if let Some(task) = self.content.tasks.get(text) {
            job.fields.extra_claims.clone_from(&task.extra_claims);
        }
        let outcome = Outcome::Created(Box::new(job.clone()));
        self.done(Some(Made { job, log: String::new() }), outcome)
    }

    /// 4.2.4, `incomplete`: the same job, under a new lease.
    fn resume(mut self) -> Result<Step, Problem> {
        let Some(mut job) = self.current.take() else { return Ok(Step::nothing(None)) };
        job.fields.epoch = job.fields.epoch.saturating_add(1);
        touch(&mut job, self.request.cause);
        let outcome = Outcome::Resumed(Box::new(job.clone()));
        Ok(Step { outcome, machine: MachineAfter::Same, made: None, before: Some(job) })
    }

    /// A new job at this entry, which the machine stands on now.
    fn job(&mut self, index: usize, text: &str, uuid: Uuid) -> Job {
        let at = i64::try_from(index).unwrap_or(i64::MAX);
        let again = self
            .current
            .as_ref()
            .is_some_and(|job| job.fields.current_index == at && job.fields.state == JobState::Failed)
            && self.machine.fields.current_task == at
            && !self.machine.marks.again;
        let handled = self
            .machine
            .marks
            .handled
            .filter(|&handled| handled == at || !self.machine.fields.task_error_stacks.is_empty());
        self.machine.marks = Marks { handled, ..Marks::default() };
        let fields = &mut self.machine.fields;
        if !again {
            fields.retry_task_attempt = 0;
        }
        fields.current_task = at;
        let cause = self.request.cause;
        Job {
            fields: model::Job {
                uuid,
                previous: self.current.as_ref().map_or_else(Uuid::nil, |job| job.fields.uuid),
                machine: self.machine.id.0,
                task: text.to_owned(),
                stage: fields.stage.clone(),
                workflow: fields.workflow.clone(),
                boot_env: fields.boot_env.clone(),
                context: fields.context.clone(),
                current: true,
                current_index: at,
                next_index: at.saturating_add(1),
                envelope: envelope(cause),
                ..model::Job::default()
            },
            revision: crate::change::Revision::default(),
        }
    }

    /// The machine's current job is this one.
    fn enter(&mut self, job: &Job) {
        let fields = &mut self.machine.fields;
        fields.current_job = job.fields.uuid.to_string();
        fields.job_result_errors = Vec::new();
        mirror(&mut self.machine, job);
    }

    /// Nothing is left of the list: back to where an error handler came from, or the end (3.11).
    fn through(mut self) -> Result<Step, Problem> {
        if let Some(frame) = self.machine.fields.task_error_stacks.pop() {
            failure::go_back(&mut self.machine, frame);
            let here = self.machine.fields.context == self.request.context;
            let index = usize::try_from(self.machine.fields.current_task);
            return match index {
                Ok(index) if here => self.walk(index),
                Ok(_) | Err(_) => Ok(self.done(None, Outcome::Nothing { again_in: None })),
            };
        }
        let fields = &mut self.machine.fields;
        fields.current_task = i64::try_from(fields.tasks.len()).unwrap_or(i64::MAX);
        fields.retry_task_attempt = 0;
        fields.workflow_complete = true;
        self.machine.marks = Marks::default();
        let machine = std::mem::replace(&mut self.machine, self.stored.clone());
        match machine::after_completion(machine, self.content, self.request.cause) {
            Completion::Keep(machine) => {
                self.machine = *machine;
                Ok(self.done(None, Outcome::Nothing { again_in: None }))
            }
            Completion::Delete => {
                let before = self.current.as_ref().map(|job| orphan(job, self.request.cause));
                let outcome = Outcome::Nothing { again_in: None };
                Ok(Step { outcome, machine: MachineAfter::Deleted, made: None, before })
            }
        }
    }

    /// The machine and its jobs as they are now, to be stored.
    fn done(mut self, made: Option<Made>, outcome: Outcome) -> Step {
        if let Some(made) = &made {
            self.enter(&made.job);
            if let Some(job) = &mut self.current {
                job.fields.current = false;
            }
        }
        let before = self.current.filter(|_| made.is_some() || self.given_up);
        let machine = if self.machine == *self.stored {
            MachineAfter::Same
        } else {
            settle(&mut self.machine, self.request.cause.at);
            MachineAfter::Saved(Box::new(self.machine))
        };
        Step { outcome, machine, made, before }
    }

    fn entry(&self, index: usize) -> Option<Entry<'_>> {
        self.machine.fields.tasks.get(index).map(|text| Entry::read(text))
    }
}

fn envelope(cause: &Cause) -> Envelope {
    let by = cause.principal.strip_prefix("user:").unwrap_or_default().to_owned();
    let at = Some(cause.at.to_string());
    Envelope {
        validated: true,
        available: true,
        bundle: WRITABLE_BUNDLE.to_owned(),
        created_at: at.clone(),
        created_by: by.clone(),
        last_modified_at: at,
        last_modified_by: by,
        ..Envelope::default()
    }
}
