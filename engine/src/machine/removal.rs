//! How a machine goes: at once, or after a last workflow (`spec/machine-model.md` 3.11, 3.12).

use super::edit::locked;
use super::wanted::invalid;
use super::{Machine, Wish};
use crate::change::{Cause, Changes};
use crate::content::Content;
use crate::params;
use crate::problem::Problem;
use serde_json::Value;

/// Param: the machine is deleted when its task list is through.
const ON_COMPLETE_DELETE: &str = "on-complete-delete";
/// Param: the workflow that a machine goes through before it is deleted.
const ON_DELETE_WORKFLOW: &str = "on-delete-workflow";

/// What becomes of a machine that is to be deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Removal {
    /// It goes now.
    Now(Changes),
    /// It goes through its last workflow first. As it is from now on; the same as before when it
    /// is in that workflow already.
    Later(Box<Machine>),
}

/// What becomes of a machine whose task list is through.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion {
    /// It stays, or goes through its last workflow now.
    Keep(Box<Machine>),
    /// It goes.
    Delete,
}

/// Deletes a machine, or begins the workflow that it goes through before. Forced, it goes at once.
///
/// # Errors
/// That it is locked, or that its last workflow cannot begin.
pub fn delete(machine: &Machine, wish: &Wish<'_>) -> Result<Removal, Problem> {
    if machine.fields.locked && wish.by_user {
        return Err(locked(machine));
    }
    let now = || Ok(Removal::Now(machine.delete(wish.cause)));
    let Some(last) = last_workflow(machine, wish.content).filter(|_| !wish.force) else { return now() };
    let mut leaving = machine.clone();
    leaving.fields.params.insert(ON_COMPLETE_DELETE.to_owned(), Value::Bool(true));
    if machine.fields.workflow != last {
        leaving.begin_workflow(&last, wish.content).map_err(|problems| {
            let told = |problem: &String| {
                format!("{ON_DELETE_WORKFLOW}: {problem}; force the deletion to do without")
            };
            invalid(&machine.id.to_string(), problems.iter().map(told).collect())
        })?;
    }
    if leaving.is_through() {
        return now();
    }
    leaving.is_asked_to_boot(machine, wish);
    if leaving != *machine {
        leaving.sign(wish.cause);
    }
    Ok(Removal::Later(Box::new(leaving)))
}

/// What follows when the last task of a list has run. `machine` is as it is then.
pub fn after_completion(machine: Machine, content: &Content, cause: &Cause) -> Completion {
    let delete = params::lookup(content, Some(&machine), ON_COMPLETE_DELETE) == Some(Value::Bool(true));
    if !delete {
        return Completion::Keep(Box::new(machine));
    }
    let Some(last) = last_workflow(&machine, content).filter(|last| *last != machine.fields.workflow) else {
        return Completion::Delete;
    };
    let mut leaving = machine;
    leaving.fields.params.insert(ON_COMPLETE_DELETE.to_owned(), Value::Bool(true));
    match leaving.begin_workflow(&last, content) {
        Ok(()) if leaving.is_through() => Completion::Delete,
        Ok(()) => {
            leaving.sign(cause);
            Completion::Keep(Box::new(leaving))
        }
        // It was to go through this first, so it stays until somebody puts that right.
        Err(_) => Completion::Keep(Box::new(leaving)),
    }
}

fn last_workflow(machine: &Machine, content: &Content) -> Option<String> {
    match params::lookup(content, Some(machine), ON_DELETE_WORKFLOW)? {
        Value::String(name) if !name.is_empty() => Some(name),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}
