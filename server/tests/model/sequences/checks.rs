//! What the page says of every state and of every call, as checks of what GET shows.

use super::calls::{Call, Field, How};
use super::world::View;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One call and what GET shows before and after it.
pub(super) struct Moment<'a> {
    pub(super) call: &'a Call,
    pub(super) status: u16,
    pub(super) body: &'a Value,
    /// The machine that the call is about.
    pub(super) machine: Option<&'a str>,
    pub(super) before: &'a View,
    pub(super) after: &'a View,
    /// Objects of the content by collection and name.
    pub(super) content: &'a BTreeMap<(String, String), Value>,
}

type Check = fn(&Moment<'_>) -> Result<(), String>;

/// Every check by its name.
const CHECKS: [(&str, Check); 24] = [
    ("P1 a machine keeps its UUID", uuid_stays),
    ("P4 every machine has a boot environment and a stage", has_bootenv),
    ("P5 names are unique and well formed", names),
    ("P9 profiles are listed once", profiles_once),
    ("P10 the server sets OS on a move into an install environment only", os),
    ("P12 only a runnable, available machine of the context gets a job", gated),
    ("P12 a machine is runnable again only when somebody says so", runnable_again),
    ("P13 a locked machine is changed by no user who leaves it locked", locked),
    ("P14 stage and boot environment are read-only under a workflow", read_only_under_workflow),
    ("P15 what ran, runs, or comes after the next stage stays in the list", window),
    ("P16 CurrentTask is an index, -1 or the length", current_task_is_index),
    ("P16 CurrentTask never grows by a user's word", current_task_never_grows),
    ("P17 -1 under a workflow lands on a stage entry", minus_one),
    ("P18 CurrentJob is the machine's newest job", current_job),
    ("P18 a job that is handed out is the current one", handed_out),
    ("P19 a stage brings its list, and a new environment stops the machine", stage_change),
    ("P19 any new boot environment stops the machine", bootenv_change),
    ("P21 a list that is replaced resets the context", context_reset),
    ("P22 WorkflowComplete says whether all ran", complete),
    ("P22 a machine goes only when it is deleted or its list is through", goes),
    ("P25 the machine shows the state of its job", mirrored),
    ("P26 what is wrong makes a machine unavailable, and nothing else does", available),
    ("3.13 what is refused changes nothing", refused_changes_nothing),
    ("4.3 jobs go where they may, and an end is final", jobs),
];

/// Applies all of them.
pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    for (name, check) in CHECKS {
        check(moment).map_err(|broken| format!("{name}: {broken}"))?;
    }
    Ok(())
}

impl<'a> Moment<'a> {
    fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The machine that the call is about, before and after, where it is there both times.
    fn subject(&self) -> Option<(&'a Value, &'a Value)> {
        let id = self.machine?;
        Some((self.before.machines.get(id)?, self.after.machines.get(id)?))
    }

    /// The same for a machine that the call set fields of, with these fields.
    fn edited(&self) -> Option<(&'a Value, &'a Value, &'a [Field])> {
        let (before, after) = self.subject()?;
        let Call::Edit { fields, how, .. } = self.call else { return None };
        (self.accepted() && *how != How::Start).then_some((before, after, fields))
    }

    /// Machines that were there before and are there after.
    fn lasting(&self) -> impl Iterator<Item = (&'a Value, &'a Value)> {
        let after = &self.after.machines;
        self.before.machines.iter().filter_map(|(id, before)| Some((before, after.get(id)?)))
    }

    fn stage(&self, name: &str) -> Option<&'a Value> {
        self.content.get(&("stages".to_owned(), name.to_owned()))
    }
}

fn sets<'a>(fields: &'a [Field], name: &str) -> Option<&'a Value> {
    fields.iter().find(|field| field.0 == name).map(|field| &field.1)
}

fn must(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

fn tasks(machine: &Value) -> &[Value] {
    machine["Tasks"].as_array().map_or(&[], Vec::as_slice)
}

fn current(machine: &Value) -> i64 {
    machine["CurrentTask"].as_i64().unwrap_or(i64::MIN)
}

fn length(machine: &Value) -> i64 {
    i64::try_from(tasks(machine).len()).unwrap_or(i64::MAX)
}

fn base_context(machine: &Value) -> Value {
    machine["Meta"].get("BaseContext").cloned().unwrap_or_else(|| json!(""))
}

fn uuid_stays(moment: &Moment<'_>) -> Result<(), String> {
    for (id, machine) in &moment.after.machines {
        must(machine["Uuid"] == **id && !id.is_empty(), || format!("{machine}"))?;
    }
    let Some((before, _, fields)) = moment.edited() else { return Ok(()) };
    let wanted = sets(fields, "Uuid");
    must(wanted.is_none_or(|wanted| *wanted == before["Uuid"]), || "another UUID was accepted".to_owned())
}

fn has_bootenv(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        for field in ["BootEnv", "Stage", "Secret", "Arch"] {
            must(machine[field].as_str().is_some_and(|text| !text.is_empty()), || {
                format!("no {field}: {machine}")
            })?;
        }
    }
    Ok(())
}

fn names(moment: &Moment<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for machine in moment.after.machines.values() {
        let name = machine["Name"].as_str().unwrap_or_default();
        must(seen.insert(name), || format!("two machines are called {name:?}"))?;
        must(name.len() >= 2 && !name.contains('/'), || format!("{name:?}"))?;
    }
    Ok(())
}

fn profiles_once(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        let profiles = machine["Profiles"].as_array().cloned().unwrap_or_default();
        let once: BTreeSet<_> = profiles.iter().filter_map(Value::as_str).collect();
        must(once.len() == profiles.len(), || format!("{profiles:?}"))?;
    }
    Ok(())
}

fn os(moment: &Moment<'_>) -> Result<(), String> {
    for (before, after) in moment.lasting() {
        let by_user = moment.machine == after["Uuid"].as_str()
            && matches!(moment.call, Call::Edit { fields, .. } if sets(fields, "OS").is_some());
        if by_user {
            continue;
        }
        let entered = before["BootEnv"] != after["BootEnv"]
            && after["BootEnv"].as_str().is_some_and(|name| name.contains("-install"));
        if entered {
            must(after["OS"] == "march", || format!("OS is {} in {}", after["OS"], after["BootEnv"]))?;
        } else {
            must(before["OS"] == after["OS"], || format!("OS became {}", after["OS"]))?;
        }
    }
    Ok(())
}

fn gated(moment: &Moment<'_>) -> Result<(), String> {
    let Call::Next { context, .. } = moment.call else { return Ok(()) };
    let Some(before) = moment.machine.and_then(|id| moment.before.machines.get(id)) else { return Ok(()) };
    let may = before["Runnable"] == true && before["Available"] == true;
    if !may {
        return must(moment.status == 409, || {
            format!("{} for a machine that may have no job", moment.status)
        });
    }
    let job = matches!(moment.status, 201 | 202);
    must(!job || before["Context"] == **context, || format!("a job of context {}", before["Context"]))?;
    let through = current(before) >= length(before);
    must(!job || !through, || "a job although all ran".to_owned())?;
    if before["Context"] != **context || through {
        must(moment.status == 204, || format!("{}, nothing to do", moment.status))?;
        must(moment.before == moment.after, || "nothing to do, and something changed".to_owned())?;
    }
    Ok(())
}

fn runnable_again(moment: &Moment<'_>) -> Result<(), String> {
    for (before, after) in moment.lasting() {
        if before["Runnable"] == true || after["Runnable"] == false {
            continue;
        }
        let said = if let Call::Edit { fields, how, .. } = moment.call {
            *how == How::Start || sets(fields, "Runnable") == Some(&json!(true))
        } else {
            // A retry or an error handler undoes what the agent did before it told of the failure.
            matches!(moment.call, Call::Tell { state: "failed", .. })
        };
        must(said && moment.machine == after["Uuid"].as_str(), || format!("{after}"))?;
    }
    Ok(())
}

fn locked(moment: &Moment<'_>) -> Result<(), String> {
    let Some(before) = moment.machine.and_then(|id| moment.before.machines.get(id)) else { return Ok(()) };
    if before["Locked"] != true {
        return Ok(());
    }
    let by_user = match moment.call {
        Call::Edit { as_machine, how, .. } => !as_machine || *how == How::Start,
        Call::Delete { .. } | Call::SetParam { .. } => true,
        Call::Create { .. }
        | Call::Next { .. }
        | Call::Run { .. }
        | Call::Tell { .. }
        | Call::DeleteJob { .. }
        | Call::CleanUp { .. }
        | Call::Put { .. }
        | Call::Remove { .. }
        | Call::Pref { .. } => false,
    };
    let unlocks =
        matches!(moment.call, Call::Edit { fields, .. } if sets(fields, "Locked") == Some(&json!(false)));
    must(!by_user || unlocks || moment.status >= 400 || moment.before == moment.after, || {
        format!("{} for a locked machine", moment.status)
    })
}

fn read_only_under_workflow(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, fields)) = moment.edited() else { return Ok(()) };
    if after["Workflow"] == "" || before["Workflow"] != after["Workflow"] {
        return Ok(());
    }
    for field in ["Stage", "BootEnv"] {
        must(before[field] == after[field], || format!("{field} became {}", after[field]))?;
        let wanted = sets(fields, field).is_some_and(|wanted| *wanted != before[field] && *wanted != "");
        must(!wanted, || format!("a change of {field} was accepted"))?;
    }
    Ok(())
}

/// The list is the same list: no workflow or stage brought another one.
fn same_list(before: &Value, after: &Value) -> bool {
    before["Workflow"] == after["Workflow"] && before["Stage"] == after["Stage"]
}

fn window(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, fields)) = moment.edited() else { return Ok(()) };
    if !same_list(before, after) || sets(fields, "Stage").is_some() || sets(fields, "Workflow").is_some() {
        return Ok(());
    }
    let (old, new) = (tasks(before), tasks(after));
    if old == new {
        return Ok(());
    }
    must(sets(fields, "Tasks").is_some(), || format!("the list became {new:?}"))?;
    let Ok(ran) = usize::try_from(current(before).saturating_add(1)) else { return Ok(()) };
    if ran == 0 && after["Workflow"] == "" {
        return Ok(());
    }
    let ran = ran.min(old.len());
    let (past, rest) = old.split_at(ran);
    must(new.starts_with(past), || format!("{past:?} was changed: {new:?}"))?;
    let is_stage = |entry: &Value| entry.as_str().is_some_and(|text| text.starts_with("stage:"));
    let future = rest.iter().position(is_stage).and_then(|at| rest.get(at..)).unwrap_or_default();
    let kept = new.get(ran..).unwrap_or_default();
    must(kept.ends_with(future), || format!("{future:?} was changed: {new:?}"))
}

fn current_task_is_index(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        let (at, all) = (current(machine), length(machine));
        must((-1..=all).contains(&at), || format!("{at} of {all}"))?;
        must(all > 0 || at == 0, || format!("{at} in an empty list"))?;
        let stacks = machine["TaskErrorStacks"].as_array().map_or(usize::MAX, Vec::len);
        must(stacks <= 1, || format!("{stacks} error handlers"))?;
    }
    Ok(())
}

fn current_task_never_grows(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, _)) = moment.edited() else { return Ok(()) };
    if !same_list(before, after) || tasks(before) != tasks(after) {
        return Ok(());
    }
    must(current(after) <= current(before), || format!("{} became {}", current(before), current(after)))
}

fn minus_one(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, fields)) = moment.edited() else { return Ok(()) };
    if sets(fields, "CurrentTask") != Some(&json!(-1)) || !same_list(before, after) || length(after) == 0 {
        return Ok(());
    }
    if after["Workflow"] == "" {
        return must(current(after) == -1, || format!("it is {}", current(after)));
    }
    let Ok(at) = usize::try_from(current(after)) else { return Ok(()) };
    let entry = tasks(after).get(at).and_then(Value::as_str).unwrap_or_default();
    must(entry.starts_with("stage:"), || format!("it is at {entry:?}"))
}

fn current_job(moment: &Moment<'_>) -> Result<(), String> {
    let mut newest = BTreeMap::new();
    for job in moment.after.jobs.values().filter(|job| job["Current"] == true) {
        let before = newest.insert(job["Machine"].as_str().unwrap_or_default(), &job["Uuid"]);
        must(before.is_none(), || format!("two jobs are current: {job}"))?;
    }
    for (id, machine) in &moment.after.machines {
        let named = machine["CurrentJob"].as_str().unwrap_or_default();
        let newest = newest.get(id.as_str()).and_then(|job| job.as_str()).unwrap_or_default();
        must(named == newest, || format!("CurrentJob is {named:?}, the newest is {newest:?}"))?;
    }
    Ok(())
}

fn handed_out(moment: &Moment<'_>) -> Result<(), String> {
    if !matches!(moment.call, Call::Next { .. }) || !matches!(moment.status, 201 | 202) {
        return Ok(());
    }
    let Some((before, after)) = moment.subject() else { return Ok(()) };
    let job = moment.body;
    must(after["CurrentJob"] == job["Uuid"], || format!("{} is current", after["CurrentJob"]))?;
    must(after["CurrentTask"] == job["CurrentIndex"], || format!("CurrentTask is {}", after["CurrentTask"]))?;
    must(job["NextIndex"] == current(after) + 1, || format!("{job}"))?;
    let at = usize::try_from(current(after)).ok().and_then(|at| tasks(after).get(at));
    must(at == Some(&job["Task"]), || format!("the list has {at:?} there"))?;
    for field in ["Stage", "Workflow", "BootEnv", "Context"] {
        must(moment.status == 202 || job[field] == after[field], || format!("{field} of {job}"))?;
    }
    if moment.status == 202 {
        must(before["CurrentJob"] == job["Uuid"], || "another job goes on".to_owned())?;
        let old = moment.before.current_job(before).map_or(0, |job| job["Epoch"].as_i64().unwrap_or(0));
        return must(job["Epoch"] == old + 1, || format!("epoch {} after {old}", job["Epoch"]));
    }
    must(job["State"] == "created" && job["Epoch"] == 1, || format!("{job}"))?;
    let previous = before["CurrentJob"].as_str().filter(|id| !id.is_empty());
    let previous = previous.unwrap_or("00000000-0000-0000-0000-000000000000");
    must(job["Previous"] == previous, || format!("{} came before, not {previous}", job["Previous"]))
}

fn stage_change(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, fields)) = moment.edited() else { return Ok(()) };
    let plain = before["Workflow"] == "" && after["Workflow"] == "" && sets(fields, "Workflow").is_none();
    if !plain || before["Stage"] == after["Stage"] {
        return Ok(());
    }
    let Some(stage) = moment.stage(after["Stage"].as_str().unwrap_or_default()) else { return Ok(()) };
    let alone = ["Tasks", "CurrentTask"].iter().all(|field| sets(fields, field).is_none());
    if alone {
        must(after["Tasks"] == stage["Tasks"], || format!("the list is {}", after["Tasks"]))?;
        let start = if length(after) == 0 { 0 } else { -1 };
        must(current(after) == start, || format!("CurrentTask is {}", current(after)))?;
    }
    if stage["BootEnv"] != "" && sets(fields, "BootEnv").is_none() {
        must(after["BootEnv"] == stage["BootEnv"], || format!("BootEnv is {}", after["BootEnv"]))?;
    }
    Ok(())
}

fn bootenv_change(moment: &Moment<'_>) -> Result<(), String> {
    for (before, after) in moment.lasting() {
        let says = matches!(moment.call, Call::Edit { fields, how, .. }
            if *how == How::Start || sets(fields, "Runnable").is_some());
        if before["BootEnv"] != after["BootEnv"] && !says {
            must(after["Runnable"] == false, || format!("runnable in {}", after["BootEnv"]))?;
        }
    }
    Ok(())
}

fn context_reset(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after, fields)) = moment.edited() else { return Ok(()) };
    let replaced = before["Workflow"] != after["Workflow"]
        || after["Workflow"] == "" && before["Stage"] != after["Stage"];
    if !replaced || sets(fields, "Context").is_some() {
        return Ok(());
    }
    let base = base_context(after);
    must(after["Context"] == base, || format!("the context is {}, its base {base}", after["Context"]))
}

fn complete(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        let all = current(machine) >= length(machine);
        must(machine["WorkflowComplete"] == all, || {
            format!("{}, at {} of {}", machine["WorkflowComplete"], current(machine), length(machine))
        })?;
    }
    Ok(())
}

fn goes(moment: &Moment<'_>) -> Result<(), String> {
    for (id, machine) in &moment.before.machines {
        if moment.after.machines.contains_key(id) {
            continue;
        }
        let through = moment.status == 204 && current(machine) < length(machine);
        let may = matches!(moment.call, Call::Delete { .. }) && moment.status == 200
            || matches!(moment.call, Call::Next { .. }) && through;
        must(may && moment.machine == Some(id.as_str()), || format!("{id} is gone"))?;
    }
    Ok(())
}

fn mirrored(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        let job = moment.after.current_job(machine);
        let state = |field: &str| job.map_or_else(|| json!(""), |job| job[field].clone());
        must(machine["JobState"] == state("State"), || format!("{}: {job:?}", machine["JobState"]))?;
        must(machine["JobExitState"] == state("ExitState"), || {
            format!("{}: {job:?}", machine["JobExitState"])
        })?;
        let over = job.is_some_and(|job| job["State"] == "failed" || job["State"] == "finished");
        must(!over || machine["JobResultErrors"] == state("ResultErrors"), || {
            format!("{}: {job:?}", machine["JobResultErrors"])
        })?;
    }
    Ok(())
}

fn available(moment: &Moment<'_>) -> Result<(), String> {
    for machine in moment.after.machines.values() {
        let errors = machine["Errors"].as_array().map_or(usize::MAX, Vec::len);
        must(machine["Available"] == (errors == 0) && machine["Validated"] == true, || format!("{machine}"))?;
    }
    Ok(())
}

fn refused_changes_nothing(moment: &Moment<'_>) -> Result<(), String> {
    if moment.status < 400 {
        return Ok(());
    }
    for field in ["Model", "Key", "Type", "Messages", "Code"] {
        must(!moment.body[field].is_null(), || format!("the error body has no {field}"))?;
    }
    must(moment.before == moment.after, || difference(moment.before, moment.after))
}

fn jobs(moment: &Moment<'_>) -> Result<(), String> {
    for (id, before) in &moment.before.jobs {
        let is_over = before["State"] == "failed" || before["State"] == "finished";
        let Some(after) = moment.after.jobs.get(id) else {
            let machine_went =
                before["Machine"].as_str().is_none_or(|id| !moment.after.machines.contains_key(id));
            must(is_over || machine_went, || format!("it was deleted: {before}"))?;
            continue;
        };
        let (from, to) =
            (before["State"].as_str().unwrap_or_default(), after["State"].as_str().unwrap_or_default());
        let may = match from {
            "created" => true,
            "running" | "incomplete" if to == from => true,
            "running" => matches!(to, "finished" | "failed" | "incomplete"),
            "incomplete" => matches!(to, "running" | "failed"),
            _ => {
                to == from
                    && before["EndTime"] == after["EndTime"]
                    && before["ResultErrors"] == after["ResultErrors"]
            }
        };
        must(may, || format!("{before} became {after}"))?;
    }
    let zero = "0001-01-01T00:00:00Z";
    for job in moment.after.jobs.values() {
        let is_over = job["State"] == "failed" || job["State"] == "finished";
        must((job["EndTime"] == zero) != is_over, || format!("{job}"))?;
        must(job["State"] != "running" || job["StartTime"] != zero, || format!("{job}"))?;
    }
    Ok(())
}

/// What is not the same, in short.
fn difference(before: &View, after: &View) -> String {
    let mut told = Vec::new();
    let mut compare = |old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>| {
        let none = Value::Object(Map::new());
        for id in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (old.get(id).unwrap_or(&none), new.get(id).unwrap_or(&none));
            let names = [old, new].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
            for name in names.collect::<BTreeSet<_>>() {
                if old[name] != new[name] {
                    told.push(format!("{id}: {name} was {} and is {}", old[name], new[name]));
                }
            }
        }
    };
    compare(&before.machines, &after.machines);
    compare(&before.jobs, &after.jobs);
    told.join("; ")
}

/// How often which call went how: a run in which nothing happened would prove nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(BTreeMap<(&'static str, u16), u64>);

impl Tally {
    pub(super) fn count(&mut self, call: &Call, status: u16) {
        let name = match call {
            Call::Create { .. } => "create",
            Call::Edit { how: How::Start, .. } => "start",
            Call::Edit { .. } => "edit",
            Call::Delete { .. } => "delete",
            Call::SetParam { .. } => "param",
            Call::Next { .. } | Call::Run { .. } => "next",
            Call::Tell { lease: Some(_), .. } => "tell by lease",
            Call::Tell { .. } => "tell",
            Call::DeleteJob { .. } => "delete job",
            Call::CleanUp { .. } => "clean up",
            Call::Put { .. } => "put content",
            Call::Remove { .. } => "remove content",
            Call::Pref { .. } => "pref",
        };
        *self.0.entry((name, status)).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// Every sort of call went well and was refused.
    pub(super) fn assert_is_telling(&self, sequences: u32) {
        if sequences < 500 {
            return;
        }
        for seen in [
            ("create", 201),
            ("create", 422),
            ("edit", 200),
            ("edit", 422),
            ("edit", 423),
            ("start", 200),
            ("delete", 200),
            ("param", 200),
            ("param", 422),
            ("next", 201),
            ("next", 204),
            ("next", 409),
            ("tell", 200),
            ("tell", 422),
            ("tell by lease", 200),
            ("tell by lease", 409),
            ("delete job", 200),
            ("delete job", 422),
            ("clean up", 200),
            ("put content", 200),
            ("remove content", 200),
            ("remove content", 409),
            ("pref", 200),
            ("pref", 422),
        ] {
            assert!(self.0.contains_key(&seen), "{seen:?} never happened: {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, status), count) in &self.0 {
            write!(f, "{name} {status}: {count}; ")?;
        }
        Ok(())
    }
}
