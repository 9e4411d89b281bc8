//! What a machine refers to and is missing, or not available (`spec/machine-model.md` 3.13).

use super::{Machine, UNCLAIMED, bootenv_problem, stage_problem, workflow_problem};
use crate::content::{Content, TaskCheck};
use crate::mesh;
use crate::workflow::Entry;
use std::collections::BTreeSet;

/// Why a machine is not available, as far as what it refers to says. What rendering finds, its
/// architecture and required params included, is [`crate::render`]'s. That nobody collected its
/// credential stays true until somebody does.
pub fn errors(machine: &Machine, content: &Content) -> Vec<String> {
    let fields = &machine.fields;
    let mut errors: Vec<String> = Vec::new();
    errors.extend(machine.errors.iter().find(|error| *error == UNCLAIMED).cloned());
    errors.extend(bootenv_problem(&fields.boot_env, content));
    errors.extend(stage_problem(&fields.stage, content));
    if !fields.workflow.is_empty() {
        errors.extend(workflow_problem(&fields.workflow, content));
    }
    let missing = fields.profiles.iter().filter(|profile| !content.profiles.has(profile));
    errors.extend(missing.map(|profile| format!("profile {profile} does not exist")));
    errors.extend(mesh::problem(machine, content));
    // What has run needs nothing any more.
    let done = usize::try_from(fields.current_task).unwrap_or(0);
    let left: BTreeSet<&String> = fields.tasks.iter().skip(done).collect();
    let mut tasks = TaskCheck::of(content);
    errors.extend(left.into_iter().filter_map(|entry| match Entry::read(entry) {
        Entry::Task(name) => tasks.problem(name),
        Entry::Stage(name) if !content.stages.has(name) => Some(format!("stage {name} does not exist")),
        Entry::BootEnv(name) if !content.bootenvs.has(name) => Some(format!("bootenv {name} does not exist")),
        Entry::Stage(_) | Entry::BootEnv(_) | Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) => None,
    }));
    let mut told = BTreeSet::new();
    errors.retain(|error| told.insert(error.clone()));
    errors
}
