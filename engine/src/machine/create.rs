//! A machine made by a request (`spec/machine-model.md` 1.3, 3.1), and what one has that registers
//! itself.

use super::walk::{bootenv_problem, name_os};
use super::wanted::{Wanted, invalid};
use super::{Fresh, Machine, Name, Wish};
use crate::bootenv::{LOCAL, MUSTER};
use crate::change::{Cause, Revision};
use crate::content::{Content, NO_STAGE, add_feature};
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::workflow;
use protocol::agent_api::Origin;
use protocol::ids::MachineId;
use protocol::inventory::Inventory;
use protocol::model::{Kind, MachineFields};
use serde_json::{Value, json};
use uuid::Uuid;

/// The preference that says what machines boot for which nothing else does.
const DEFAULT_BOOT_ENV: &str = "defaultBootEnv";

/// The machine that a client asks for. What is empty or zero counts as not given. It has no key:
/// the machine gets one by registering, when an operator merges the two.
///
/// # Errors
/// Everything that speaks against it. Whether its id and name are free, the store knows.
pub fn create(wanted: &Value, wish: &Wish<'_>) -> Result<Machine, Problem> {
    let mut machine = create_booting(wanted, wish, wish.content.pref(DEFAULT_BOOT_ENV))?;
    machine.goes_to_default_mesh(wish.content);
    Ok(machine)
}

/// The same; `usual` is what it boots where nothing else is chosen.
fn create_booting(wanted: &Value, wish: &Wish<'_>, usual: &str) -> Result<Machine, Problem> {
    // Empty, these mean their preference, not their usual value.
    let absent = json!({"Stage": "", "BootEnv": "", "Workflow": "", "Context": ""});
    let wanted = Wanted::read(wanted, &absent, "")?;
    let mut problems = Vec::new();
    let id = match wanted.uuid.parse::<Uuid>() {
        Ok(id) if !id.is_nil() => id,
        Ok(_) => wish.fresh.id,
        Err(_) if wanted.uuid.is_empty() => wish.fresh.id,
        Err(_) => {
            problems.push(format!("Uuid {:?} is no UUID", wanted.uuid));
            wish.fresh.id
        }
    };
    let name = match wanted.name.parse::<Name>() {
        Ok(name) => name,
        Err(error) => {
            problems.push(error.to_string());
            return Err(invalid(&wanted.uuid, problems));
        }
    };
    let mut machine = blank(MachineId(id), name, wish);
    problems.extend(wanted.apply_plain(&mut machine, wish));
    add_feature(&mut machine.meta, "change-stage-v2", "original-change-stage");
    machine.fields.current_task = -1;
    problems.extend(begin(&mut machine, &wanted.fields, usual, wish.content));
    if !wanted.fields.context.is_empty() {
        machine.fields.context.clone_from(&wanted.fields.context);
    }
    machine.fields.runnable = true;
    machine.paused = None;
    Problem::unless_valid(Kind::Machines, &id.to_string(), problems)?;
    Ok(machine)
}

/// A machine with nothing but its id and name.
fn blank(id: MachineId, name: Name, wish: &Wish<'_>) -> Machine {
    let by = wish.cause.user().unwrap_or_default();
    let mut machine = Machine::unkeyed(id, name, Origin::Api, Inventory::default(), wish.cause);
    machine.meta.clear();
    by.clone_into(&mut machine.created_by);
    by.clone_into(&mut machine.modified_by);
    machine
}

/// Where it begins: a workflow, or a stage (3.1).
fn begin(machine: &mut Machine, wanted: &MachineFields, usual: &str, content: &Content) -> Vec<String> {
    let given = |given: &str, pref: &str| {
        if given.is_empty() { content.pref(pref).to_owned() } else { given.to_owned() }
    };
    let flow = given(&wanted.workflow, "defaultWorkflow");
    let stage = given(&wanted.stage, "defaultStage");
    let mut problems = Vec::new();
    machine.fields.stage.clear();
    machine.fields.boot_env.clear();
    if !flow.is_empty() {
        problems.extend(machine.begin_workflow(&flow, content).err().unwrap_or_default());
    }
    // The rest of the defaults fills what no leading entry gave.
    let mut staged = None;
    if machine.fields.stage.is_empty() {
        let tasks = machine.fields.tasks.clone();
        match machine.enter_stage(&stage, content) {
            Ok(env) => staged = env,
            Err(messages) => problems.extend(messages),
        }
        if !flow.is_empty() {
            machine.replace_tasks(tasks);
        }
    }
    if flow.is_empty() && !wanted.tasks.is_empty() {
        match workflow::expand_tasks(&wanted.tasks, content) {
            Ok(tasks) => machine.replace_tasks(tasks),
            Err(messages) => problems.extend(messages.iter().map(|message| format!("Tasks: {message}"))),
        }
    }
    if machine.fields.boot_env.is_empty() {
        let given = Some(wanted.boot_env.clone()).filter(|env| !env.is_empty());
        machine.fields.boot_env = given.or(staged).unwrap_or_else(|| usual.to_owned());
    }
    let env = machine.fields.boot_env.clone();
    problems.extend(bootenv_problem(&env, content).filter(|problem| !problems.contains(problem)));
    name_os(machine, content);
    machine.settle();
    problems
}

/// Where a machine begins that registers itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Newborn {
    /// Its fields, as far as preferences and chance say.
    pub fields: MachineFields,
    /// The content whose preferences these are.
    pub content: Revision,
}

/// Where a machine begins that registers itself: what preferences say, as far as it goes. A
/// preference that cannot be followed keeps no machine out. `secret` is random text, `origin` how it
/// was booted.
pub fn newborn(content: &Content, secret: &str, origin: Origin) -> Newborn {
    let usual = MachineFields { secret: secret.to_owned(), ..MachineFields::default() };
    let cause = Cause::system(Timestamp::epoch());
    let fresh = Fresh { id: Uuid::nil(), secret };
    let wish = Wish { content, cause: &cause, force: false, by_user: false, fresh };
    let made = create_booting(&json!({"Name": "newborn"}), &wish, home(origin, content));
    let fields = made.map_or(usual, |machine| machine.fields);
    Newborn { fields, content: content.revision }
}

/// What a machine boots that registers itself and for which nothing else is chosen: our image again,
/// where that is how it came, so that it comes back to Discovery mode after a restart.
fn home(origin: Origin, content: &Content) -> &str {
    let chosen = content.pref(DEFAULT_BOOT_ENV);
    match origin {
        Origin::Iso | Origin::Pxe if chosen == LOCAL && bootenv_problem(MUSTER, content).is_none() => MUSTER,
        Origin::Iso | Origin::Pxe | Origin::Cli | Origin::Api => chosen,
    }
}

impl Machine {
    /// It came back: one that nobody ever gave anything boots what a newborn machine does.
    #[must_use]
    pub fn booted_by(mut self, origin: Origin, content: &Content) -> Self {
        let Self { fields, created_by, modified_by, .. } = &self;
        let is_as_born = created_by.is_empty() && modified_by.is_empty() && fields.workflow.is_empty();
        if is_as_born && fields.stage == NO_STAGE && fields.boot_env == content.pref(DEFAULT_BOOT_ENV) {
            home(origin, content).clone_into(&mut self.fields.boot_env);
        }
        self
    }
}
