//! Workflows, stages, task lists and positions.

use super::*;
use crate::content::sample::{bootenv, stage, task, with, workflow};
use crate::run::Marks;

/// Stages and workflows around two boot environments.
fn scene() -> Content {
    with(&[
        bootenv("e1"),
        bootenv("e2"),
        task("ta", &[]),
        task("tb", &[]),
        task("tc", &[]),
        task("td", &[]),
        stage("A1", "local", &["ta", "tb"]),
        stage("B1", "", &[]),
        stage("s1", "e1", &["ta", "tb"]),
        stage("s2", "e2", &["tc", "td"]),
        stage("free1", "", &["ta"]),
        stage("free2", "", &["tb", "context:runner", "tc"]),
        workflow("two", &["s1", "s2"]),
        workflow("back", &["s2", "A1"]),
        workflow("same", &["s2", "free1"]),
        workflow("free", &["free1", "free2"]),
        workflow("empty", &[]),
    ])
}

/// The machine with its walk at this index.
fn at(mut machine: Machine, index: i64) -> Machine {
    machine.fields.current_task = index;
    machine.settle();
    machine
}

/// A machine that went through workflow `two` up to this index.
fn in_two(index: i64) -> (Content, Machine) {
    let content = scene();
    let machine = made(&content, &json!({"Name": "alpha", "Workflow": "two"}));
    let mut machine = at(machine, index);
    if index >= 4 {
        machine.fields.stage = "s2".into();
    }
    if index >= 5 {
        machine.fields.boot_env = "e2".into();
    }
    (content, machine)
}

#[test]
fn g3_stage_change_replaces_the_tasks_and_needs_force_while_some_are_pending() {
    let content = scene();
    let machine = machine();
    let staged = patched(&machine, &content, &json!({"Stage": "A1"})).unwrap();
    assert_eq!(tasks(&staged), ["ta", "tb"]);
    assert_eq!((staged.fields.current_task, staged.fields.runnable), (-1, true));
    assert_eq!(messages(patched(&staged, &content, &json!({"Stage": "B1"}))).len(), 1);
    let next = forced(&staged, &content, &json!({"Stage": "B1"})).unwrap();
    assert_eq!((tasks(&next).len(), next.fields.current_task, next.fields.workflow_complete), (0, 0, true));
    assert_eq!(forced(&next, &content, &json!({"Stage": ""})).unwrap().fields.stage, "none");
    let through = at(staged, 2);
    assert!(patched(&through, &content, &json!({"Stage": "B1"})).is_ok(), "nothing is pending");
}

#[test]
fn p19_stage_with_another_bootenv_changes_it_and_stops_the_machine() {
    let content = scene();
    let staged = patched(&machine(), &content, &json!({"Stage": "s1"})).unwrap();
    assert_eq!((staged.fields.boot_env.as_str(), staged.fields.runnable), ("e1", false));
    assert_eq!(staged.paused, Some(Pause::BootEnv));
    assert_eq!(
        messages(patched(&machine(), &content, &json!({"Stage": "gone"}))),
        ["stage gone does not exist"]
    );
}

#[test]
fn stage_and_bootenv_of_one_request_are_entered_once() {
    let content = crate::content::sample::and(
        &scene(),
        &[
            (protocol::model::Kind::BootEnvs, json!({"Name": "os-install", "OS": {"Name": "os"}})),
            stage("install", "os-install", &["ta"]),
        ],
    );
    let machine = machine();
    let both = |boot_env: &str| {
        patched(&machine, &content, &json!({"Stage": "install", "BootEnv": boot_env})).unwrap()
    };
    let moved = both("e1");
    assert_eq!((moved.fields.boot_env.as_str(), moved.fields.os.as_str()), ("e1", ""));
    let staged = both("");
    assert_eq!((staged.fields.boot_env.as_str(), staged.fields.os.as_str()), ("os-install", "os"));
    let through = at(staged, 1);
    let home =
        patched(&through, &content, &json!({"Stage": "B1", "BootEnv": "local", "Runnable": true})).unwrap();
    assert_eq!((home.fields.boot_env.as_str(), home.fields.runnable), ("local", false));
}

#[test]
fn g5_workflow_changes_the_bootenv_of_a_machine_that_is_there() {
    let content = scene();
    let begun = patched(&machine(), &content, &json!({"Workflow": "back"})).unwrap();
    assert_eq!((begun.fields.stage.as_str(), begun.fields.boot_env.as_str()), ("s2", "e2"));
    assert_eq!((begun.fields.runnable, begun.paused), (false, Some(Pause::BootEnv)));
    let running = patched(&begun, &content, &json!({"Runnable": true})).unwrap();
    let same = patched(&running, &content, &json!({"Workflow": "same"})).unwrap();
    assert_eq!((same.fields.boot_env.as_str(), same.fields.runnable), ("e2", true));
    assert_eq!(same.fields.current_task, -1);
    let cleared = patched(&same, &content, &json!({"Workflow": ""})).unwrap();
    assert_eq!((cleared.fields.stage.as_str(), cleared.fields.boot_env.as_str()), ("none", "e2"));
    assert_eq!((tasks(&cleared).len(), cleared.fields.runnable, cleared.fields.current_task), (0, true, 0));
}

#[test]
fn g6_workflow_that_is_missing_or_unavailable_changes_nothing() {
    let content = crate::content::sample::and(&scene(), &[workflow("broken", &["gone"])]);
    assert_eq!(
        messages(patched(&machine(), &content, &json!({"Workflow": "broken"}))),
        ["workflow broken is not available"]
    );
    assert_eq!(
        messages(patched(&machine(), &content, &json!({"Workflow": "gone"}))),
        ["workflow gone does not exist"]
    );
}

#[test]
fn g7_switching_the_workflow_begins_its_list_and_leaves_the_job_alone() {
    let content = scene();
    let mut machine = at(made(&content, &json!({"Name": "alpha", "Workflow": "free"})), 2);
    machine.fields.current_job = "6e8f4f5c-2e8a-4a4e-9d61-0a4e7c1d2b3a".into();
    machine.fields.job_state = "running".into();
    machine.fields.retry_task_attempt = 2;
    machine.marks = Marks { again: true, ..Marks::default() };
    let switched = patched(&machine, &content, &json!({"Workflow": "same"})).unwrap();
    let fields = &switched.fields;
    assert_eq!(
        (fields.current_task, fields.retry_task_attempt, fields.job_state.as_str()),
        (-1, 0, "running")
    );
    assert_eq!(fields.current_job, machine.fields.current_job);
    assert_eq!(switched.marks, Marks::default());
}

#[test]
fn p21_context_returns_to_its_base_when_the_list_is_replaced() {
    let content = scene();
    let mut machine = made(&content, &json!({"Name": "alpha", "Meta": {"BaseContext": "runner"}}));
    for change in [json!({"Workflow": "free"}), json!({"Stage": "free1"})] {
        machine.fields.context = "elsewhere".into();
        assert_eq!(patched(&machine, &content, &change).unwrap().fields.context, "runner", "{change}");
    }
    let both = json!({"Workflow": "free", "Context": "own"});
    assert_eq!(patched(&machine, &content, &both).unwrap().fields.context, "own");
}

#[test]
fn workflow_without_entries_is_complete_at_once() {
    let begun = patched(&machine(), &scene(), &json!({"Workflow": "empty"})).unwrap();
    assert_eq!((begun.fields.current_task, begun.fields.workflow_complete), (0, true));
    assert_eq!(begun.fields.stage, "none");
}

#[test]
fn g8_current_task_goes_back_to_the_floor_and_never_forward() {
    let (content, machine) = in_two(5);
    assert_eq!(tasks(&machine), ["stage:s1", "bootenv:e1", "ta", "tb", "stage:s2", "bootenv:e2", "tc", "td"]);
    let go = |machine: &Machine, to: i64| patched(machine, &content, &json!({"CurrentTask": to}));
    assert_eq!(messages(go(&machine, 6)), ["CurrentTask cannot be increased: it is 5"]);
    assert_eq!(
        messages(go(&machine, 0)),
        ["CurrentTask cannot be less than 4, where the machine came to e2"]
    );
    let (_, through) = in_two(8);
    assert!(through.fields.workflow_complete);
    assert!(go(&through, 0).is_err());
    assert!(go(&through, -2).is_err());
    let back = go(&through, 6).unwrap();
    assert_eq!((back.fields.current_task, back.fields.workflow_complete, back.marks.again), (6, false, true));
    let shorter = json!({"Tasks": ["stage:s1", "bootenv:e1", "ta", "tb", "stage:s2", "bootenv:e2", "tc"]});
    assert_eq!(tasks(&patched(&back, &content, &shorter).unwrap()).len(), 7);
    let (_, early) = in_two(3);
    assert_eq!(go(&early, 0).unwrap().fields.current_task, 0, "still in the first boot environment");
}

#[test]
fn p17_minus_one_under_a_workflow_begins_the_stage_again() {
    for (index, lands) in [(8, 4), (7, 4), (6, 4), (5, 4), (3, 0), (2, 0)] {
        let (content, machine) = in_two(index);
        let back = patched(&machine, &content, &json!({"CurrentTask": -1})).unwrap();
        assert_eq!(back.fields.current_task, lands, "from {index}");
        assert_eq!(back.fields.boot_env, machine.fields.boot_env);
    }
    let (content, fresh) = in_two(-1);
    assert_eq!(patched(&fresh, &content, &json!({"CurrentTask": -1})).unwrap(), fresh);
}

#[test]
fn g9_minus_one_without_a_workflow_is_minus_one() {
    let content = scene();
    let machine = machine();
    assert_eq!((machine.fields.current_task, machine.fields.workflow_complete), (0, true));
    let staged = patched(&machine, &content, &json!({"Stage": "A1"})).unwrap();
    assert_eq!((staged.fields.current_task, staged.fields.workflow_complete), (-1, false));
    assert!(patched(&staged, &content, &json!({"CurrentTask": 0})).is_err());
    let emptied = patched(&staged, &content, &json!({"Tasks": []})).unwrap();
    assert_eq!((emptied.fields.current_task, emptied.fields.workflow_complete), (0, true));
    let swapped = patched(&emptied, &content, &json!({"Tasks": ["tb", "ta"]})).unwrap();
    assert_eq!((swapped.fields.current_task, swapped.fields.workflow_complete), (-1, false));
    let more = patched(&swapped, &content, &json!({"Tasks": ["ta", "tb", "ta"]})).unwrap();
    assert_eq!(tasks(&more), ["ta", "tb", "ta"]);
    let back = patched(&at(more, 3), &content, &json!({"CurrentTask": -1})).unwrap();
    assert_eq!((back.fields.current_task, back.fields.workflow_complete), (-1, false));
}

#[test]
fn p15_g11_only_what_has_not_begun_is_edited() {
    let content = scene();
    let staged = patched(&machine(), &content, &json!({"Tasks": ["tb", "ta"]})).unwrap();
    let failed = at(staged, 0);
    let set = |list: Value| patched(&failed, &content, &json!({"Tasks": list}));
    assert_eq!(
        messages(set(json!([]))),
        ["Tasks: the first 1 entries ran or are running, so they cannot be removed"]
    );
    assert_eq!(
        messages(set(json!(["ta", "tb"]))),
        ["Tasks: the first 1 entries ran or are running, so they cannot be altered"]
    );
    assert_eq!(tasks(&set(json!(["tb"])).unwrap()), ["tb"]);
    assert_eq!(tasks(&set(json!(["tb", "ta", "tb"])).unwrap()), ["tb", "ta", "tb"]);
    assert_eq!(messages(set(json!(["tb", "gone"]))), ["Tasks: task gone does not exist"]);
    assert_eq!(messages(set(json!(["tb", "task:ta"]))).len(), 1);
}

#[test]
fn p15_tasks_of_stages_to_come_are_not_edited() {
    let (content, machine) = in_two(2);
    let set = |middle: &[&str], future: &[&str]| {
        let list = [&["stage:s1", "bootenv:e1", "ta"], middle, future].concat();
        patched(&machine, &content, &json!({"Tasks": list}))
    };
    let future = ["stage:s2", "bootenv:e2", "tc", "td"];
    assert_eq!(tasks(&set(&[], &future).unwrap()).len(), 7);
    assert_eq!(tasks(&set(&["tb", "tc", "context:runner"], &future).unwrap()).len(), 10);
    assert_eq!(
        messages(set(&["tb"], &["stage:s2", "bootenv:e2", "td"])),
        ["Tasks: entry 4 begins a stage that is still to come, so nothing from it on can be edited"]
    );
    assert!(set(&["tb"], &[]).is_err());
    let (_, fresh) = in_two(-1);
    let longer = [["tb"].as_slice(), &tasks(&fresh)].concat();
    let before = json!({"Tasks": longer});
    assert!(patched(&fresh, &content, &before).is_err(), "a list of stages is edited when it has begun");
}

#[test]
fn appended_tasks_follow_what_ran_last() {
    let content = scene();
    let through = at(patched(&machine(), &content, &json!({"Tasks": ["ta", "tb"]})).unwrap(), 2);
    let more = patched(&through, &content, &json!({"Tasks": ["ta", "tb", "tc"]})).unwrap();
    assert_eq!((more.fields.current_task, more.fields.workflow_complete), (1, false));
    assert_eq!(more.fields.context, through.fields.context);
}

#[test]
fn added_task_brings_what_it_needs_and_a_needed_one_may_be_taken_away() {
    let content =
        crate::content::sample::and(&scene(), &[task("te", &["ta", "tb"]), task("broken", &["gone"])]);
    let listed = patched(&machine(), &content, &json!({"Tasks": ["tb", "te"]})).unwrap();
    assert_eq!(tasks(&listed), ["tb", "ta", "te"]);
    let fewer = patched(&listed, &content, &json!({"Tasks": ["te"]})).unwrap();
    assert_eq!(tasks(&fewer), ["te"]);
    let running = at(listed, 1);
    let again = patched(&running, &content, &json!({"Tasks": ["tb", "ta", "te", "te"]})).unwrap();
    assert_eq!(tasks(&again), ["tb", "ta", "te", "te"], "what ran in this boot environment is there");
    assert_eq!(
        messages(patched(&machine(), &content, &json!({"Tasks": ["broken"]}))),
        ["Tasks: task gone does not exist"]
    );
}

#[test]
fn context_is_that_of_the_position_gone_back_to() {
    let content = scene();
    let machine =
        made(&content, &json!({"Name": "alpha", "Workflow": "free", "Meta": {"BaseContext": "base"}}));
    assert_eq!(tasks(&machine), ["stage:free1", "ta", "stage:free2", "tb", "context:runner", "tc"]);
    let mut machine = at(machine, 6);
    machine.fields.context = "runner".into();
    for (to, context) in [(5, "runner"), (4, "base"), (3, "base"), (0, "base")] {
        let back = patched(&machine, &content, &json!({"CurrentTask": to})).unwrap();
        assert_eq!(back.fields.context, context, "{to}");
    }
    assert_eq!(patched(&machine, &content, &json!({"CurrentTask": -1})).unwrap().fields.current_task, 2);
}

#[test]
fn tasks_cannot_be_given_together_with_a_workflow() {
    let change = json!({"Workflow": "free", "Tasks": ["ta"]});
    assert_eq!(messages(patched(&machine(), &scene(), &change)).len(), 1);
    let both = json!({"Stage": "A1", "Tasks": ["tc"]});
    assert_eq!(tasks(&patched(&machine(), &scene(), &both).unwrap()), ["tc"]);
}
