//! What a machine refers to and is missing.

use super::*;
use crate::content::sample::{stage, task, with, workflow};

#[test]
fn p26_everything_that_is_missing_is_told_and_what_has_run_needs_nothing() {
    let content =
        with(&[task("t1", &[]), task("t2", &[]), stage("st", "", &["t1", "t2"]), workflow("wf", &["st"])]);
    let mut machine = made(&content, &json!({"Name": "alpha", "Workflow": "wf"}));
    assert!(errors(&machine, &content).is_empty());
    let mut less = content.clone();
    less.tasks.remove("t1");
    let told = ["stage st is not available", "workflow wf is not available", "task t1 does not exist"];
    assert_eq!(errors(&machine, &less), told);
    machine.fields.current_task = 2;
    assert_eq!(errors(&machine, &less), told[..2]);
    less.bootenvs.remove("local");
    assert!(errors(&machine, &less).contains(&"bootenv local does not exist".to_owned()));
}

#[test]
fn credential_that_nobody_collected_stays_an_error_until_somebody_does() {
    let content = crate::content::sample::builtin();
    let mut machine = machine();
    machine.errors = vec![UNCLAIMED.to_owned(), "old news".to_owned()];
    assert_eq!(errors(&machine, &content), [UNCLAIMED]);
    let machine = machine.rekeyed(KeyThumbprint([1; 32]), Inventory::default(), cause().at);
    assert!(errors(&machine, &content).is_empty());
}
