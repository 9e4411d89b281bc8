//! A machine's way: its workflow, stage, boot environment and task list, and what follows for
//! the other fields when one of them changes (`spec/machine-model.md` 3.2, 3.3, 3.5, 3.6, 3.10).

use super::{Machine, Pause};
use crate::content::{Content, NO_STAGE};
use crate::run::Marks;
use crate::workflow;
use protocol::model::{BootEnv, Stage, Workflow};

/// Label with the context that a machine returns to.
const BASE_CONTEXT: &str = "BaseContext";
/// What the names of boot environments have that install an operating system.
const INSTALL: &str = "-install";

/// Why no known machine can boot this: it does not exist, is not available, or is for others.
pub fn bootenv_problem(name: &str, content: &Content) -> Option<String> {
    let unavailable = content.unavailable::<BootEnv>(name);
    let stranger = || {
        let only_unknown = content.bootenvs.get(name).is_some_and(|env| env.only_unknown);
        only_unknown.then(|| format!("bootenv {name} is for unknown machines only"))
    };
    unavailable.or_else(stranger)
}

/// Why no machine can be in this stage: it, or what it boots, does not exist or is not available.
pub fn stage_problem(name: &str, content: &Content) -> Option<String> {
    let env = || content.stages.get(name).map(|stage| stage.boot_env.as_str()).filter(|env| !env.is_empty());
    content.unavailable::<Stage>(name).or_else(|| bootenv_problem(env()?, content))
}

/// Why no machine can go through this workflow.
pub fn workflow_problem(name: &str, content: &Content) -> Option<String> {
    content.unavailable::<Workflow>(name)
}

/// The machine boots this next. A real change needs a reboot, and names the operating system
/// when it installs one. Whether it may boot it, [`bootenv_problem`] says.
pub fn enter_bootenv(machine: &mut Machine, name: &str, content: &Content) {
    if machine.fields.boot_env == name {
        return;
    }
    name.clone_into(&mut machine.fields.boot_env);
    machine.fields.runnable = false;
    // Who stopped it by hand lets it go on by hand; any other reason ends with the next boot.
    if machine.paused != Some(Pause::User) {
        machine.paused = Some(Pause::BootEnv);
    }
    name_os(machine, content);
}

/// The page: `OS` is set when the machine is moved into a bootenv with `-install` in its name.
pub(super) fn name_os(machine: &mut Machine, content: &Content) {
    let env = content.bootenvs.get(&machine.fields.boot_env);
    if let Some(env) = env.filter(|env| env.name.contains(INSTALL)) {
        env.os.name.clone_into(&mut machine.fields.os);
    }
}

impl Machine {
    /// The context that it returns to when its list is replaced.
    pub(super) fn base_context(&self) -> &str {
        self.meta.get(BASE_CONTEXT).map_or("", String::as_str)
    }

    /// Another list, of which nothing has run.
    pub(super) fn replace_tasks(&mut self, tasks: Vec<String>) {
        self.fields.context = self.base_context().to_owned();
        self.fields.current_task = -1;
        self.fields.tasks = tasks;
        self.fields.retry_task_attempt = 0;
        self.fields.task_error_stacks.clear();
        self.marks = Marks::default();
        self.settle();
    }

    /// What follows from the rest, at every save (3.11). Of an empty list, all has run.
    pub(crate) fn settle(&mut self) {
        if self.fields.tasks.is_empty() {
            self.fields.current_task = 0;
        }
        self.fields.workflow_complete = self.is_through();
    }

    /// Whether every entry of its list has run.
    pub(crate) fn is_through(&self) -> bool {
        usize::try_from(self.fields.current_task).is_ok_and(|current| current >= self.fields.tasks.len())
    }

    /// Begins a workflow: its list, and the leading stage and boot environment at once (3.2.1).
    pub(crate) fn begin_workflow(&mut self, name: &str, content: &Content) -> Result<(), Vec<String>> {
        let Some(flow) = content.workflows.get(name) else {
            return Err(workflow_problem(name, content).into_iter().collect());
        };
        if let Some(problem) = workflow_problem(name, content) {
            return Err(vec![problem]);
        }
        let tasks = workflow::expand(flow, content)?;
        let leading = workflow::leading(&tasks);
        if let Some(problem) = leading.boot_env.and_then(|env| bootenv_problem(env, content)) {
            return Err(vec![problem]);
        }
        if let Some(env) = leading.boot_env {
            enter_bootenv(self, env, content);
        }
        if let Some(stage) = leading.stage {
            stage.clone_into(&mut self.fields.stage);
        }
        name.clone_into(&mut self.fields.workflow);
        self.replace_tasks(tasks);
        Ok(())
    }

    /// Leaves its workflow; what it boots and whether it may run stay (3.2.2).
    pub(crate) fn leave_workflow(&mut self) {
        self.fields.workflow.clear();
        NO_STAGE.clone_into(&mut self.fields.stage);
        self.replace_tasks(Vec::new());
    }

    /// Enters a stage outside of a workflow: its tasks are the list now (3.2.3). Which boot
    /// environment it wants is told, and left to the caller, who may know a better one.
    pub(super) fn enter_stage(
        &mut self,
        name: &str,
        content: &Content,
    ) -> Result<Option<String>, Vec<String>> {
        if let Some(problem) = stage_problem(name, content) {
            return Err(vec![problem]);
        }
        let Some(stage) = content.stages.get(name) else { return Ok(None) };
        let tasks = workflow::expand_tasks(&stage.tasks, content)?;
        name.clone_into(&mut self.fields.stage);
        self.replace_tasks(tasks);
        Ok(Some(stage.boot_env.clone()).filter(|env| !env.is_empty()))
    }

    /// Whether something of its list is left to run.
    pub(super) fn has_pending_tasks(&self) -> bool {
        !self.fields.tasks.is_empty() && !self.is_through()
    }
}
