//! A machine changed by a request (`spec/machine-model.md` 1.5, 3.2 to 3.11): one pass that takes
//! each field's old and new value and collects everything that speaks against the change.

use super::walk::bootenv_problem;
use super::wanted::Wanted;
use super::{Machine, Pause, Wish, enter_bootenv};
use crate::content::Content;
use crate::problem::{Problem, ProblemKind};
use crate::provision::params::role_names;
use crate::run::Marks;
use crate::workflow;
use protocol::model::{Kind, MachineFields};
use serde_json::{Value, json};

/// The machine as a client wants it. `wanted` is the whole object; fields of the server's own
/// keep their values, whatever it says of them, and those of the machine's way when it does not
/// speak of them.
///
/// # Errors
/// That it is locked, or everything that speaks against the change.
pub fn edit(old: &Machine, wanted: &Value, wish: &Wish<'_>) -> Result<Machine, Problem> {
    let key = old.id.to_string();
    let wanted = Wanted::read(wanted, &kept(old, wish.content), &key)?;
    if old.fields.locked && wish.by_user && wanted.fields.locked {
        return Err(locked(old));
    }
    let mut edit = Edit { old, new: &wanted.fields, machine: old.clone(), wish, problems: Vec::new() };
    if !wanted.uuid.is_empty() && wanted.uuid.to_lowercase() != key {
        edit.problems.push("Uuid cannot be changed".to_owned());
    }
    edit.problems.extend(wanted.apply_plain(&mut edit.machine, wish));
    edit.flow();
    edit.tasks();
    edit.current_task();
    if wanted.fields.context != old.fields.context && edit.problems.is_empty() {
        edit.machine.fields.context.clone_from(&wanted.fields.context);
    }
    edit.runnable();
    let Edit { mut machine, problems, .. } = edit;
    Problem::unless_valid(Kind::Machines, &key, problems)?;
    machine.settle();
    machine.is_asked_to_boot(old, wish);
    if machine != *old {
        machine.sign(wish.cause);
    }
    Ok(machine)
}

/// What a body that does not speak of it leaves as it is: all but what users only write. A PUT
/// without `CurrentTask` means no other one, while one without `Params` empties them.
fn kept(old: &Machine, content: &Content) -> Value {
    let fields = &old.fields;
    json!({
        "Uuid": old.id, "Meta": old.meta, "Arch": fields.arch, "BootEnv": fields.boot_env,
        "Context": fields.context, "CurrentTask": fields.current_task, "Fingerprint": fields.fingerprint,
        "Locked": fields.locked, "MeshNetwork": old.placement.mesh_network, "OS": fields.os,
        "Pool": fields.pool, "PoolStatus": fields.pool_status, "Roles": role_names(content, old),
        "Runnable": fields.runnable, "Secret": fields.secret, "Stage": fields.stage, "Tasks": fields.tasks,
        "Workflow": fields.workflow,
    })
}

/// The machine that the patch of a start is applied to: without workflow and not runnable. It is
/// never stored.
#[must_use]
pub fn stopped(machine: &Machine) -> Machine {
    let mut machine = machine.clone();
    if !machine.fields.workflow.is_empty() {
        machine.leave_workflow();
    }
    machine.fields.runnable = false;
    machine
}

/// The machine begins what `wanted` says, from its beginning, and may run. `wanted` is what the
/// client's patch made of [`stopped`].
///
/// # Errors
/// As [`edit`].
pub fn start(machine: &Machine, wanted: &Value, wish: &Wish<'_>) -> Result<Machine, Problem> {
    let mut machine = edit(&stopped(machine), wanted, wish)?;
    machine.let_go();
    machine.sign(wish.cause);
    Ok(machine)
}

/// Changes by users are refused.
pub(super) fn locked(machine: &Machine) -> Problem {
    let message = format!("machine {} is locked; unlock it first, or in the same change", machine.name);
    Problem::new(ProblemKind::Locked, Kind::Machines, machine.id.to_string(), message)
}

struct Edit<'a> {
    old: &'a Machine,
    new: &'a MachineFields,
    machine: Machine,
    wish: &'a Wish<'a>,
    problems: Vec<String>,
}

impl Edit<'_> {
    const fn content(&self) -> &Content {
        self.wish.content
    }

    /// Workflow, stage and boot environment (3.2).
    fn flow(&mut self) {
        let (old, new) = (&self.old.fields, self.new);
        if new.workflow != old.workflow {
            if new.workflow.is_empty() {
                self.machine.leave_workflow();
            } else if let Err(problems) = self.machine.begin_workflow(&new.workflow, self.wish.content) {
                return self.problems.extend(problems);
            }
        }
        if !new.workflow.is_empty() {
            let fixed = [("Stage", &old.stage, &new.stage), ("BootEnv", &old.boot_env, &new.boot_env)];
            let changed = fixed.into_iter().filter(|(_, old, new)| old != new);
            let workflow = &new.workflow;
            self.problems.extend(changed.map(|(field, ..)| {
                format!("{field} is read-only under workflow {workflow}; clear it first")
            }));
            return;
        }
        // Entered once, when it is known where to: on the way there the machine is nowhere else.
        let staged = if new.stage == old.stage { None } else { self.stage() };
        let asked = if new.boot_env == old.boot_env { None } else { self.boot_env(staged.as_deref()) };
        if let Some(env) = asked.or(staged) {
            enter_bootenv(&mut self.machine, &env, self.wish.content);
        }
    }

    /// 3.2.3: the boot environment that the stage wants. The empty stage is the usual one.
    fn stage(&mut self) -> Option<String> {
        let content = self.wish.content;
        let name = if self.new.stage.is_empty() { content.pref("defaultStage") } else { &self.new.stage };
        if name == self.machine.fields.stage {
            return None;
        }
        if self.machine.has_pending_tasks() && !self.wish.force {
            let left = self.machine.fields.tasks.len();
            self.problems.push(format!(
                "Stage cannot be changed before all {left} tasks have run; force it if you mean it"
            ));
            return None;
        }
        self.machine.enter_stage(name, content).unwrap_or_else(|problems| {
            self.problems.extend(problems);
            None
        })
    }

    /// 3.2.4: the boot environment that the request wants. The empty one is that of the stage that
    /// is entered, or else the usual one: a machine always has something to boot.
    fn boot_env(&mut self, staged: Option<&str>) -> Option<String> {
        let content = self.wish.content;
        let name = match self.new.boot_env.as_str() {
            "" => staged.unwrap_or_else(|| content.pref("defaultBootEnv")),
            name => name,
        };
        let problem = bootenv_problem(name, content);
        let fits = problem.is_none();
        self.problems.extend(problem);
        fits.then(|| name.to_owned())
    }

    /// 3.4.
    fn tasks(&mut self) {
        let new = self.new;
        if new.tasks == self.old.fields.tasks || new.tasks == self.machine.fields.tasks {
            return;
        }
        if new.workflow != self.old.fields.workflow && !new.workflow.is_empty() {
            let message = "Tasks come from the workflow that is set; edit them when it has begun".to_owned();
            return self.problems.push(message);
        }
        let free = new.workflow.is_empty();
        let fields = &self.machine.fields;
        let edited = workflow::edit(&fields.tasks, fields.current_task, free, &new.tasks, self.content());
        match edited {
            Err(errors) => self.problems.extend(errors.iter().map(ToString::to_string)),
            Ok(tasks) => self.take_tasks(tasks),
        }
    }

    fn take_tasks(&mut self, tasks: Vec<String>) {
        let was_through = self.machine.is_through();
        let fields = &mut self.machine.fields;
        let before = fields.tasks.len();
        if fields.current_task < 0 || before == 0 {
            self.machine.marks = Marks::default();
        }
        if was_through && tasks.len() > before {
            // What was added is what comes next: the last one that ran is the current one again.
            fields.current_task = i64::try_from(before).unwrap_or(i64::MAX).saturating_sub(1);
        }
        fields.tasks = tasks;
        self.machine.settle();
    }

    /// 3.3.
    fn current_task(&mut self) {
        let wanted = self.new.current_task;
        let fields = &self.machine.fields;
        if wanted == self.old.fields.current_task
            || wanted == fields.current_task
            || !self.problems.is_empty()
        {
            return;
        }
        let now = fields.current_task;
        if wanted > now {
            return self.problems.push(format!("CurrentTask cannot be increased: it is {now}"));
        }
        let index = usize::try_from(now).unwrap_or(0);
        let target = match usize::try_from(wanted) {
            Ok(target) => {
                let floor = workflow::floor(&fields.tasks, index, &fields.boot_env);
                if target < floor {
                    let env = &fields.boot_env;
                    let message =
                        format!("CurrentTask cannot be less than {floor}, where the machine came to {env}");
                    return self.problems.push(message);
                }
                Some(target)
            }
            Err(_) if wanted != -1 => {
                return self.problems.push("CurrentTask must be -1 or more".to_owned());
            }
            Err(_) if fields.workflow.is_empty() => None,
            Err(_) => workflow::restart(&fields.tasks, index, &fields.boot_env),
        };
        self.go_back(target);
    }

    /// The entry runs again, or all of them; so does its context.
    fn go_back(&mut self, target: Option<usize>) {
        let base = self.machine.base_context().to_owned();
        let fields = &mut self.machine.fields;
        workflow::context_at(&fields.tasks, target.unwrap_or(0), &base).clone_into(&mut fields.context);
        fields.current_task = target.map_or(-1, |target| i64::try_from(target).unwrap_or(i64::MAX));
        fields.retry_task_attempt = 0;
        self.machine.marks = Marks { again: target.is_some(), ..Marks::default() };
    }

    /// 3.5. A change of the boot environment in the same request wins: the machine has to boot first.
    fn runnable(&mut self) {
        let (old, new) = (&self.old.fields, self.new);
        let moved = self.machine.fields.boot_env != old.boot_env;
        match (old.runnable, new.runnable) {
            (false, true) if !moved => self.machine.let_go(),
            (true, false) if !moved => {
                self.machine.fields.runnable = false;
                self.machine.paused = Some(if self.wish.by_user { Pause::User } else { Pause::Agent });
            }
            (true | false, true | false) => {}
        }
    }
}

impl Machine {
    /// A user gave it something else to boot or to do than it had: its next boot is expected.
    pub(super) fn is_asked_to_boot(&mut self, old: &Self, wish: &Wish<'_>) {
        let (now, before) = (&self.fields, &old.fields);
        let same =
            now.workflow == before.workflow && now.stage == before.stage && now.boot_env == before.boot_env;
        if wish.by_user && !same {
            self.boot_asked_at = Some(wish.cause.at);
        }
    }

    /// It may run.
    pub(crate) fn let_go(&mut self) {
        self.fields.runnable = true;
        self.paused = None;
        self.marks.not_before = None;
    }
}
