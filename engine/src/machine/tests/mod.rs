//! Machines as requests make and change them.

mod create;
mod edit;
mod errors;
mod properties;
mod removal;
mod walk;

use super::*;
use crate::content::Content;
use crate::content::sample::cause;
use crate::problem::Problem;
use serde_json::{Value, json};
use uuid::Uuid;

/// A machine without anything.
pub(crate) fn machine() -> Machine {
    made(&crate::content::sample::builtin(), &json!({"Name": "alpha"}))
}

fn wish(content: &Content) -> Wish<'_> {
    // The tests' cause is as old as the test, which is long enough.
    let cause: &'static Cause = Box::leak(Box::new(cause()));
    let fresh = Fresh { id: Uuid::from_u128(0x42), secret: "fresh-secret-0001" };
    Wish { content, cause, force: false, by_user: true, fresh }
}

pub(crate) fn made(content: &Content, wanted: &Value) -> Machine {
    create(wanted, &wish(content)).unwrap()
}

/// The machine with these fields changed, as a PATCH leaves the object.
fn wanted(machine: &Machine, changes: &Value) -> Value {
    let mut object = serde_json::to_value(machine.view(Presence::default())).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

fn patched(machine: &Machine, content: &Content, changes: &Value) -> Result<Machine, Problem> {
    edit(machine, &wanted(machine, changes), &wish(content))
}

fn forced(machine: &Machine, content: &Content, changes: &Value) -> Result<Machine, Problem> {
    edit(machine, &wanted(machine, changes), &Wish { force: true, ..wish(content) })
}

fn messages(result: Result<Machine, Problem>) -> Vec<String> {
    let problem = result.unwrap_err();
    assert_eq!(problem.kind, crate::problem::ProblemKind::Invalid);
    problem.messages
}

fn tasks(machine: &Machine) -> Vec<&str> {
    machine.fields.tasks.iter().map(String::as_str).collect()
}
