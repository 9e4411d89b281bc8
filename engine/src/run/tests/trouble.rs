//! 3.15 and 4.8: steps, stops, retries and error handlers.

use super::*;
use std::time::Duration;

/// Fails the current job as an agent does: it unsets Runnable first.
fn fail(site: &mut Site) {
    site.tell("running").unwrap();
    (site.machine.fields.runnable, site.machine.paused) = (false, Some(Pause::Agent));
    site.tell_of(None, json!({"State": "failed", "ExitState": "failed"}), None).unwrap();
}

fn go_on(site: &mut Site) {
    (site.machine.fields.runnable, site.machine.paused) = (true, None);
}

fn waits(site: &mut Site) -> Option<Duration> {
    let outcome = site.post().unwrap();
    let Outcome::Nothing { again_in } = outcome else { panic!("{outcome:?}") };
    again_in
}

#[test]
fn single_step_stops_after_each_task() {
    let mut site = Site::of(&["stage:s1", "t1", "t2"]);
    site.param("task-single-step", json!(true));
    assert_eq!(waits(&mut site), None, "stage:s1 is no task");
    for task in ["t1", "t2"] {
        assert_eq!(site.next().task, task);
        site.tell("running").unwrap();
        assert!(site.machine.fields.runnable);
        site.tell("finished").unwrap();
        assert_eq!((site.machine.fields.runnable, site.machine.paused), (false, Some(Pause::User)));
        go_on(&mut site);
    }
}

#[test]
fn machine_stops_before_an_entry_and_passes_it_when_it_may_go_on() {
    let mut site = Site::of(&["t1", "t2", "action:x"]);
    site.param("task-stop-at", json!(["t1", "t2", "action:x"]));
    for (task, current) in [("t1", -1), ("t2", 0)] {
        assert_eq!(waits(&mut site), None);
        assert_eq!((site.machine.fields.runnable, site.machine.paused), (false, Some(Pause::User)));
        assert_eq!(site.machine.fields.current_task, current, "it has not begun");
        go_on(&mut site);
        assert_eq!(site.next().task, task);
        fail(&mut site);
        go_on(&mut site);
        assert_eq!(site.next().task, task, "no stop before what was begun");
        site.tell("finished").unwrap();
    }
    let jobs = site.jobs.len();
    assert_eq!(waits(&mut site), None);
    assert_eq!((site.jobs.len(), site.machine.fields.runnable), (jobs, false));
    go_on(&mut site);
    waits(&mut site);
    assert_eq!(site.newest(), ("action:x", JobState::Failed, 2, 3));
}

#[test]
fn failed_task_is_tried_again_after_two_seconds_and_then_twice_as_long() {
    let mut site = Site::of(&["t1", "t2"]);
    site.param("task-retry", json!({"t1": 2}));
    site.next();
    for (attempt, seconds) in [(1, 2), (2, 4)] {
        fail(&mut site);
        let fields = &site.machine.fields;
        assert_eq!((fields.runnable, site.machine.paused, fields.retry_task_attempt), (true, None, attempt));
        let wait = Duration::from_secs(seconds);
        assert_eq!(waits(&mut site), Some(wait));
        assert!(why_waiting(&site.machine, site.now).unwrap().contains("tried again at"));
        site.now = site.now.plus(wait - Duration::from_millis(1));
        assert_eq!(waits(&mut site), Some(Duration::from_millis(1)));
        site.now = site.now.plus(Duration::from_millis(1));
        let job = site.next();
        assert_eq!((job.task.as_str(), job.current_index), ("t1", 0));
        assert_eq!(site.machine.fields.retry_task_attempt, attempt, "while it is tried again");
    }
    fail(&mut site);
    assert_eq!((site.machine.fields.runnable, site.machine.paused), (false, Some(Pause::Failed)));
    go_on(&mut site);
    site.next();
    site.tell("finished").unwrap();
    site.next();
    assert_eq!(site.machine.fields.retry_task_attempt, 0, "another task");
}

#[test]
fn somebody_who_stopped_the_machine_is_not_overruled_by_a_retry() {
    for paused in [Pause::User, Pause::BootEnv] {
        let mut site = Site::of(&["t1"]);
        site.param("task-retry", json!({"t1": 1}));
        site.next();
        site.tell("running").unwrap();
        (site.machine.fields.runnable, site.machine.paused) = (false, Some(paused));
        site.tell("failed").unwrap();
        assert_eq!((site.machine.fields.runnable, site.machine.paused), (false, Some(paused)));
    }
}

#[test]
fn action_of_the_server_is_tried_again_too() {
    let mut site = Site::of(&["action:x"]);
    site.param("task-retry", json!({"action:x": 1}));
    assert_eq!(waits(&mut site), Some(Duration::from_secs(2)));
    assert!(site.machine.fields.runnable);
    site.now = site.now.plus(Duration::from_secs(2));
    assert_eq!(waits(&mut site), None);
    assert_eq!((site.jobs.len(), site.machine.fields.runnable), (2, false));
}

#[test]
fn the_wait_grows_no_further_than_about_half_an_hour() {
    let mut site = Site::of(&["t1"]);
    site.param("task-retry", json!({"t1": i64::MAX}));
    site.next();
    site.machine.fields.retry_task_attempt = i64::MAX - 1;
    fail(&mut site);
    assert_eq!(waits(&mut site), Some(Duration::from_secs(2_048)));
}

#[test]
fn error_handler_takes_over_once_and_the_task_runs_again() {
    let mut site = Site::of(&["t1", "t2", "t3"]);
    site.content.tasks.put(Task { name: "fix".into(), prerequisites: vec!["t4".into()], ..Task::default() });
    site.param("task-error-handlers", json!({"t2": ["fix"]}));
    site.next();
    site.tell("finished").unwrap();
    let broken = site.next();
    fail(&mut site);
    let fields = site.machine.fields.clone();
    assert_eq!((fields.tasks.clone(), fields.current_task), (vec!["t4".to_owned(), "fix".into()], -1));
    assert!(fields.runnable && !fields.workflow_complete);
    let [frame] = fields.task_error_stacks.as_slice() else { panic!("{:?}", fields.task_error_stacks) };
    assert_eq!((frame.current_task, frame.current_job.clone()), (1, broken.uuid.to_string()));
    assert_eq!(frame.task_list, ["t1", "t2", "t3"]);
    for task in ["t4", "fix"] {
        assert_eq!(site.next().task, task);
        site.tell("finished").unwrap();
    }
    let job = site.next();
    assert_eq!((job.task.as_str(), job.current_index, site.machine.fields.tasks.len()), ("t2", 1, 3));
    assert!(site.machine.fields.task_error_stacks.is_empty());
    fail(&mut site);
    assert_eq!(site.machine.paused, Some(Pause::Failed), "it had its turn");
    assert_eq!(site.machine.fields.tasks.len(), 3);
    go_on(&mut site);
    assert_eq!(site.run(), ["t2", "t3"]);
}

#[test]
fn failure_of_an_error_handler_has_none() {
    let mut site = Site::of(&["t1"]);
    site.param("task-error-handlers", json!({"t1": ["fix"], "fix": ["t4"]}));
    site.next();
    fail(&mut site);
    assert_eq!(site.next().task, "fix");
    fail(&mut site);
    let fields = &site.machine.fields;
    assert_eq!((fields.task_error_stacks.len(), fields.tasks.clone()), (1, vec!["fix".to_owned()]));
    assert_eq!(site.machine.paused, Some(Pause::Failed));
    go_on(&mut site);
    assert_eq!(site.run(), ["fix", "t1"]);
}

#[test]
fn retries_come_before_the_error_handler() {
    let mut site = Site::of(&["t1"]);
    site.param("task-retry", json!({"t1": 1}));
    site.param("task-error-handlers", json!({"t1": ["fix"]}));
    site.next();
    fail(&mut site);
    site.now = site.now.plus(Duration::from_secs(2));
    assert_eq!(site.next().task, "t1");
    fail(&mut site);
    assert_eq!(site.next().task, "fix");
    assert_eq!(site.machine.fields.retry_task_attempt, 0);
}

#[test]
fn an_error_handler_in_another_context_gives_the_machine_back() {
    let mut site = Site::of(&["t1"]);
    site.param("task-error-handlers", json!({"t1": ["context:cloud", "fix"]}));
    site.next();
    fail(&mut site);
    assert_eq!(waits(&mut site), None);
    assert_eq!(site.machine.fields.context, "cloud");
    assert_eq!(site.next().task, "fix");
    site.tell("finished").unwrap();
    assert_eq!(waits(&mut site), None, "the runner of cloud is through");
    assert_eq!((site.machine.fields.context.as_str(), site.machine.fields.tasks.len()), ("", 1));
    assert_eq!(site.next().task, "t1");
}

#[test]
fn an_error_handler_that_cannot_be_says_so() {
    for (handlers, words) in [(json!({"t1": ["gone"]}), "gone"), (json!({"t1": [7]}), "what is no text")] {
        let mut site = Site::of(&["t1"]);
        site.param("task-error-handlers", handlers);
        site.next();
        fail(&mut site);
        assert_eq!(site.machine.paused, Some(Pause::Failed));
        let errors = site.machine.fields.job_result_errors.join("; ");
        assert!(errors.contains("task-error-handlers") && errors.contains(words), "{errors}");
    }
}

#[test]
fn what_is_no_map_and_no_list_is_no_instruction() {
    for value in [json!(null), json!("t1"), json!(["t1"]), json!({"t1": "x"}), json!({"t1": -3})] {
        let mut site = Site::of(&["t1"]);
        for param in ["task-retry", "task-error-handlers", "task-single-step"] {
            site.param(param, value.clone());
        }
        site.next();
        fail(&mut site);
        assert_eq!(site.machine.paused, Some(Pause::Failed), "{value}");
    }
}

#[test]
fn end_of_a_job_that_the_list_left_behind_is_not_tried_again() {
    let mut site = Site::of(&["t1", "t2"]);
    site.param("task-retry", json!({"t1": 3}));
    site.next();
    site.tell("running").unwrap();
    site.machine.fields.tasks = vec!["t3".into()];
    site.machine.fields.current_task = -1;
    site.machine.marks = Marks::default();
    site.tell("failed").unwrap();
    assert_eq!((site.machine.fields.retry_task_attempt, site.machine.paused), (0, Some(Pause::Failed)));
}
