//! A machine made by a request (`spec/machine-model.md` 1.3, 3.1), and what one has that registers
//! itself.

use super::walk::{bootenv_problem, name_os};
use super::wanted::{Wanted, invalid};
use super::{Fresh, Machine, Name, Wish};
use crate::change::{Cause, Revision};
use crate::content::{Content, add_feature};
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::workflow;
use protocol::agent_api::Origin;
use protocol::ids::MachineId;
use protocol::inventory::Inventory;
use protocol::model::{Kind, MachineFields};
use serde_json::{Value, json};
use uuid::Uuid;

/// The machine that a client asks for. What is empty or zero counts as not given. It has no key:
/// the machine gets one by registering, when an operator merges the two.
///
/// # Errors
/// Everything that speaks against it. Whether its id and name are free, the store knows.
pub fn create(wanted: &Value, wish: &Wish<'_>) -> Result<Machine, Problem> {
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
    problems.extend(begin(&mut machine, &wanted.fields, wish.content));
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
fn begin(machine: &mut Machine, wanted: &MachineFields, content: &Content) -> Vec<String> {
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
        let usual = || content.pref("defaultBootEnv").to_owned();
        machine.fields.boot_env = given.or(staged).unwrap_or_else(usual);
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
/// preference that cannot be followed keeps no machine out. `secret` is random text.
pub fn newborn(content: &Content, secret: &str) -> Newborn {
    let usual = MachineFields { secret: secret.to_owned(), ..MachineFields::default() };
    let cause = Cause::system(Timestamp::epoch());
    let fresh = Fresh { id: Uuid::nil(), secret };
    let wish = Wish { content, cause: &cause, force: false, by_user: false, fresh };
    let fields = create(&json!({"Name": "newborn"}), &wish).map_or(usual, |machine| machine.fields);
    Newborn { fields, content: content.revision }
}
