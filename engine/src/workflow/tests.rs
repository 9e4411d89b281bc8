//! Task lists and positions in them.

use super::*;
use crate::content::Content;
use crate::content::sample::{bootenv, stage, task, with, workflow};

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn expanded(content: &Content, name: &str) -> Vec<String> {
    expand(content.workflows.get(name).unwrap(), content).unwrap()
}

/// Tasks of two letters, each with what it needs.
fn tasks() -> Vec<(protocol::model::Kind, serde_json::Value)> {
    let mut tasks: Vec<_> = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"].map(|name| task(name, &[])).into();
    tasks.extend([
        task("pp", &["aa", "bb", "cc"]),
        task("qq", &["cc", "bb", "aa"]),
        task("rr", &["dd", "ee", "ff"]),
        task("ss", &["rr", "aa", "ee", "gg"]),
    ]);
    tasks
}

#[test]
fn g19_needs_are_expanded_depth_first_and_once_a_segment() {
    let content = with(&tasks());
    let stage = list(&["aa", "dd", "pp", "qq", "ss"]);
    assert_eq!(
        expand_tasks(&stage, &content).unwrap(),
        list(&["aa", "dd", "bb", "cc", "pp", "qq", "ee", "ff", "rr", "gg", "ss"])
    );
    assert_eq!(expand_tasks(&list(&["aa", "bb", "aa"]), &content).unwrap(), list(&["aa", "bb", "aa"]));
}

#[test]
fn another_boot_environment_needs_everything_again() {
    let mut objects = tasks();
    objects.extend([
        bootenv("e1"),
        bootenv("e2"),
        stage("first", "e1", &["pp"]),
        stage("same", "", &["qq"]),
        stage("again", "e1", &["pp"]),
        stage("other", "e2", &["qq"]),
        workflow("wf", &["first", "same", "again", "other"]),
    ]);
    let content = with(&objects);
    let expected = [
        &["stage:first", "bootenv:e1", "aa", "bb", "cc", "pp", "stage:same", "qq"][..],
        &["stage:again", "bootenv:e1", "pp", "stage:other", "bootenv:e2", "cc", "bb", "aa", "qq"],
    ];
    assert_eq!(expanded(&content, "wf"), list(&expected.concat()));
}

#[test]
fn workflow_has_entries_of_its_own() {
    let mut objects = tasks();
    objects.extend([
        stage("st", "", &["aa", "chroot:/mnt", "action:ipmi:on", "stage:st"]),
        workflow("wf", &["context:runner", "st", "task:pp", "action:on", "context:"]),
    ]);
    assert_eq!(
        expanded(&with(&objects), "wf"),
        list(&[
            "context:runner",
            "stage:st",
            "aa",
            "chroot:/mnt",
            "action:ipmi:on",
            "stage:st",
            "bb",
            "cc",
            "pp",
            "action:on",
            "context:"
        ])
    );
}

#[test]
fn what_is_missing_is_named_once_each() {
    let content = with(&[
        task("t1", &["gone"]),
        stage("st", "", &["t1", "lost", "t1"]),
        workflow("wf", &["st", "away"]),
    ]);
    let problems = expand(content.workflows.get("wf").unwrap(), &content).unwrap_err();
    assert_eq!(
        problems,
        ["task gone does not exist", "task lost does not exist", "stage away does not exist"]
    );
}

#[test]
fn list_has_a_limit() {
    let content = with(&[task("t1", &[])]);
    let many = vec!["t1".to_owned(); MAX_TASKS];
    assert_eq!(expand_tasks(&many, &content).unwrap().len(), MAX_TASKS);
    let more = vec!["t1".to_owned(); MAX_TASKS * 3];
    assert_eq!(
        expand_tasks(&more, &content).unwrap_err(),
        ["the task list would have more than 10000 entries"]
    );
}

#[test]
fn leading_entries_are_one_stage_and_its_boot_environment() {
    for (tasks, stage, boot_env) in [
        (&["stage:s1", "bootenv:e1", "t1"][..], Some("s1"), Some("e1")),
        (&["stage:s1", "stage:s2", "bootenv:e2"], Some("s1"), None),
        (&["stage:s1", "t1", "bootenv:e2"], Some("s1"), None),
        (&["t1", "stage:s1"], None, None),
        (&[], None, None),
    ] {
        assert_eq!(leading(&list(tasks)), Leading { stage, boot_env }, "{tasks:?}");
    }
}

#[test]
fn floor_is_where_the_machine_came_to_its_boot_environment() {
    let two = list(&["stage:s1", "bootenv:e1", "t1", "t2", "stage:s2", "bootenv:e2", "t3", "t4"]);
    for (current, env, lowest) in
        [(8, "e2", 4), (7, "e2", 4), (5, "e2", 4), (4, "e1", 0), (3, "e1", 0), (8, "elsewhere", 0)]
    {
        assert_eq!(floor(&two, current, env), lowest, "{current} {env}");
    }
    let inside = list(&["stage:s1", "bootenv:e1", "t1", "bootenv:e2", "t2"]);
    assert_eq!(floor(&inside, 5, "e2"), 3, "the stage began elsewhere");
    let late = list(&["stage:s1", "t1", "bootenv:e2", "t2"]);
    assert_eq!(floor(&late, 4, "e2"), 0);
    let still = list(&["stage:s1", "bootenv:e1", "t1", "stage:s2", "bootenv:e1", "t2"]);
    assert_eq!(floor(&still, 6, "e1"), 0, "a repeated boot environment is no change");
    assert_eq!(floor(&list(&["t1", "t2"]), 2, "local"), 0);
}

#[test]
fn p17_restart_is_the_last_stage_that_boots_nothing_else() {
    let two = list(&["stage:s1", "bootenv:e1", "t1", "t2", "stage:s2", "bootenv:e2", "t3", "t4"]);
    for (current, env, stage) in
        [(8, "e2", Some(4)), (4, "e1", Some(0)), (2, "e1", Some(0)), (0, "e1", Some(0))]
    {
        assert_eq!(restart(&two, current, env), stage, "{current}");
    }
    let free = list(&["stage:s1", "t1", "stage:s2", "t2", "stage:s3", "t3"]);
    assert_eq!(restart(&free, 3, "local"), Some(2));
    assert_eq!(restart(&free, 6, "local"), Some(4));
    let inside = list(&["stage:s1", "bootenv:e1", "t1", "bootenv:e2", "t2"]);
    assert_eq!(restart(&inside, 5, "e2"), Some(3), "never back into the one before");
    let back =
        list(&["stage:s1", "bootenv:e1", "t0", "stage:s2", "t1", "bootenv:e2", "t2", "bootenv:e1", "t3"]);
    assert_eq!(restart(&back, 8, "e1"), Some(7));
    assert_eq!(restart(&list(&["t1", "t2"]), 2, "local"), None);
}

#[test]
fn context_is_the_last_one_before() {
    let tasks = list(&["t1", "context:runner", "t2", "context:", "t3"]);
    for (index, context) in [(0, "base"), (1, "base"), (2, "runner"), (3, "runner"), (4, ""), (9, "")] {
        assert_eq!(context_at(&tasks, index, "base"), context, "{index}");
    }
}
