//! Deletion, at once or after a last workflow.

use super::*;
use crate::content::sample::{builtin, stage, task, with, workflow};
use protocol::model::Kind;

fn scene() -> Content {
    with(&[
        task("wipe", &[]),
        stage("bye", "", &["wipe"]),
        workflow("leave", &["bye"]),
        workflow("empty", &[]),
        workflow("other", &["bye"]),
        (Kind::Profiles, json!({"Name": "leaving", "Params": {"on-delete-workflow": "leave"}})),
    ])
}

fn later(removal: Removal) -> Machine {
    match removal {
        Removal::Later(machine) => *machine,
        Removal::Now(_) => panic!("it went at once"),
    }
}

fn through(mut machine: Machine) -> Machine {
    machine.fields.current_task = i64::try_from(machine.fields.tasks.len()).unwrap();
    machine.settle();
    machine
}

#[test]
fn machine_goes_at_once_when_nothing_else_is_said() {
    let machine = machine();
    let Removal::Now(changes) = delete(&machine, &wish(&builtin())).unwrap() else { panic!("later") };
    assert_eq!(changes, machine.delete(&cause()));
}

#[test]
fn p23_last_workflow_runs_before_the_machine_goes() {
    let content = scene();
    let machine = made(&content, &json!({"Name": "alpha", "Profiles": ["leaving"]}));
    let leaving = later(delete(&machine, &wish(&content)).unwrap());
    assert_eq!(leaving.fields.workflow, "leave");
    assert_eq!(leaving.fields.params.get("on-complete-delete"), Some(&json!(true)));
    assert_eq!(tasks(&leaving), ["stage:bye", "wipe"]);
    assert_eq!(leaving.fields.current_task, -1);
    assert_eq!(leaving.boot_asked_at, Some(cause().at), "it may have to boot for it");
    let mut running = leaving.clone();
    running.fields.current_task = 1;
    assert_eq!(later(delete(&running, &wish(&content)).unwrap()), running, "asked again, it goes on");
    assert_eq!(after_completion(through(leaving), &content, &cause()), Completion::Delete);
}

#[test]
fn forced_deletion_takes_no_detour_and_a_broken_one_says_so() {
    let content = scene();
    let machine = made(&content, &json!({"Name": "alpha", "Params": {"on-delete-workflow": "gone"}}));
    let problem = delete(&machine, &wish(&content)).unwrap_err();
    assert_eq!(
        problem.messages,
        ["on-delete-workflow: workflow gone does not exist; force the deletion to do without"]
    );
    let forced = delete(&machine, &Wish { force: true, ..wish(&content) }).unwrap();
    assert!(matches!(forced, Removal::Now(_)));
    let empty = made(&content, &json!({"Name": "alpha", "Params": {"on-delete-workflow": "empty"}}));
    assert!(matches!(delete(&empty, &wish(&content)).unwrap(), Removal::Now(_)), "there is nothing to run");
}

#[test]
fn p22_machine_goes_when_its_list_is_through_if_it_is_to() {
    let content = scene();
    let plain = through(made(&content, &json!({"Name": "alpha", "Workflow": "other"})));
    assert_eq!(after_completion(plain.clone(), &content, &cause()), Completion::Keep(Box::new(plain)));
    for value in [json!(false), json!("true"), json!(1), Value::Null] {
        let kept = made(&content, &json!({"Name": "alpha", "Params": {"on-complete-delete": value}}));
        assert!(matches!(after_completion(kept, &content, &cause()), Completion::Keep(_)), "{value}");
    }
    let goes = made(
        &content,
        &json!({"Name": "alpha", "Workflow": "other", "Params": {"on-complete-delete": true}}),
    );
    assert_eq!(after_completion(through(goes), &content, &cause()), Completion::Delete);
}

#[test]
fn p24_both_params_finish_the_workflow_then_the_last_one_then_the_machine() {
    let content = scene();
    let params = json!({"on-complete-delete": true, "on-delete-workflow": "leave"});
    let machine = made(&content, &json!({"Name": "alpha", "Workflow": "other", "Params": params}));
    let Completion::Keep(leaving) = after_completion(through(machine), &content, &cause()) else {
        panic!("it went without its last workflow")
    };
    assert_eq!((leaving.fields.workflow.as_str(), leaving.fields.current_task), ("leave", -1));
    assert_eq!(after_completion(through(*leaving), &content, &cause()), Completion::Delete);
}
