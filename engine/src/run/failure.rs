//! What follows the failure of a task: another try, an error handler, or a stop
//! (`spec/machine-model.md` 3.15, 4.6, 4.8).

use super::marks::Marks;
use super::stop;
use crate::content::Content;
use crate::job::Job;
use crate::machine::{Machine, Pause};
use crate::time::Timestamp;
use crate::{params, workflow};
use protocol::model::TaskErrorStack;
use serde_json::Value;
use std::time::Duration;

/// How often which task is tried again.
const RETRY: &str = "task-retry";
/// What runs when which task fails.
const HANDLERS: &str = "task-error-handlers";
/// Wait before the first retry; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Doublings after which the wait grows no more: 2 s to about half an hour.
const DOUBLINGS: u32 = 10;

/// A job that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure<'a> {
    /// The job.
    pub(super) job: &'a Job,
    /// What there is.
    pub(super) content: &'a Content,
    /// Now.
    pub(super) now: Timestamp,
}

/// Lets the machine go on or stops it. What is wrong with its error handler comes back in words.
pub(super) fn follow(machine: &mut Machine, failure: &Failure<'_>) -> Option<String> {
    let job = &failure.job.fields;
    if job.current_index != machine.fields.current_task || machine.marks.again {
        // The list went on, or back, while it ran: its end is no news to where the machine is now.
        stop(machine, Pause::Failed);
        return None;
    }
    let task = job.task.as_str();
    let attempt = machine.fields.retry_task_attempt.max(0);
    if attempt < tries(machine, failure.content, task) {
        machine.fields.retry_task_attempt = attempt.saturating_add(1);
        machine.marks.not_before = Some(failure.now.plus(wait(attempt)));
        go_on(machine);
        return None;
    }
    match handler(machine, failure.content, task) {
        Ok(Some(tasks)) => {
            interrupt(machine, tasks);
            go_on(machine);
            None
        }
        Ok(None) => {
            stop(machine, Pause::Failed);
            None
        }
        Err(reason) => {
            stop(machine, Pause::Failed);
            Some(reason)
        }
    }
}

/// Back to the list that an error handler interrupted: the task that failed runs again.
pub(super) fn go_back(machine: &mut Machine, frame: TaskErrorStack) {
    let moved = machine.fields.tasks.iter().any(|entry| entry.starts_with("context:"));
    machine.fields.tasks = frame.task_list;
    machine.fields.current_task = frame.current_task;
    machine.fields.retry_task_attempt = 0;
    machine.marks = Marks { again: true, handled: Some(frame.current_task), ..Marks::default() };
    if moved {
        let index = usize::try_from(frame.current_task).unwrap_or(0);
        let base = machine.meta.get("BaseContext").map_or("", String::as_str);
        machine.fields.context = workflow::context_at(&machine.fields.tasks, index, base).to_owned();
    }
}

fn tries(machine: &Machine, content: &Content, task: &str) -> i64 {
    let tries = params::lookup(content, Some(machine), RETRY);
    tries.and_then(|tries| tries.get(task).and_then(Value::as_i64)).unwrap_or(0)
}

fn wait(attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(DOUBLINGS).min(DOUBLINGS);
    FIRST_WAIT.saturating_mul(1 << doublings)
}

/// The error handler's tasks; none where there is none, or it had its turn, or it failed itself.
fn handler(machine: &Machine, content: &Content, task: &str) -> Result<Option<Vec<String>>, String> {
    let fields = &machine.fields;
    if !fields.task_error_stacks.is_empty() || machine.marks.handled == Some(fields.current_task) {
        return Ok(None);
    }
    let handlers = params::lookup(content, Some(machine), HANDLERS);
    let Some(Value::Array(listed)) = handlers.as_ref().and_then(|handlers| handlers.get(task)) else {
        return Ok(None);
    };
    let entries: Option<Vec<String>> = listed.iter().map(|entry| entry.as_str().map(str::to_owned)).collect();
    let entries = entries.ok_or_else(|| format!("{HANDLERS}: the list of {task} has what is no text"))?;
    let tasks = workflow::expand_tasks(&entries, content)
        .map_err(|problems| format!("{HANDLERS}: {task}: {}", problems.join("; ")))?;
    Ok(Some(tasks).filter(|tasks| !tasks.is_empty()))
}

/// The error handler's list takes the place of the machine's, until it is through.
fn interrupt(machine: &mut Machine, tasks: Vec<String>) {
    let fields = &mut machine.fields;
    let frame = TaskErrorStack {
        current_task: fields.current_task,
        current_job: fields.current_job.clone(),
        task_list: std::mem::replace(&mut fields.tasks, tasks),
    };
    fields.task_error_stacks.push(frame);
    fields.current_task = -1;
    fields.retry_task_attempt = 0;
    machine.marks = Marks::default();
}

/// The failure stops nothing. Whoever stopped the machine for another reason still does.
fn go_on(machine: &mut Machine) {
    match machine.paused {
        Some(Pause::BootEnv | Pause::User | Pause::Failed) => {}
        Some(Pause::Agent) | None => {
            machine.fields.runnable = true;
            machine.paused = None;
        }
    }
}
