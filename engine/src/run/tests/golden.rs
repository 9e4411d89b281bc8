//! What was recorded of the original (`spec/machine-model.md` 10): G7 to G12, G18.

use super::*;
use crate::problem::ProblemKind;
use protocol::model::ExitState;

/// Task, index, next index of a job that is handed out.
fn next(site: &mut Site) -> (String, i64, i64) {
    let job = site.next();
    (job.task, job.current_index, job.next_index)
}

fn is(task: &str, index: i64) -> (String, i64, i64) {
    (task.to_owned(), index, index + 1)
}

#[test]
fn g7_a_workflow_that_replaces_another_begins_at_its_first_task() {
    let mut site = Site::of(&["stage:s1", "t1", "t2", "t3", "stage:s2", "t2", "t3", "t4"]);
    site.machine.fields.stage = "s1".into();
    assert_eq!(next(&mut site), is("t1", 1));
    assert_eq!(site.jobs[0].fields.previous, Uuid::nil());
    site.tell("finished").unwrap();
    assert_eq!(next(&mut site), is("t2", 2));
    site.tell("running").unwrap();
    let list = ["stage:s2", "t4", "t1"];
    site.machine.fields.tasks = list.iter().map(|&entry| entry.to_owned()).collect();
    site.machine.fields.stage = "s2".into();
    site.machine.fields.current_task = -1;
    site.machine.marks = Marks::default();
    site.tell("finished").unwrap();
    assert_eq!(site.machine.fields.current_task, -1);
    assert_eq!(next(&mut site), is("t4", 1));
}

#[test]
fn g8_a_list_over_two_environments_stops_in_between_and_can_be_gone_back_in() {
    let mut site = Site::of(&["stage:s1", "bootenv:e1", "t1", "t2", "stage:s2", "bootenv:e2", "t3", "t4"]);
    site.machine.fields.stage = "s1".into();
    site.machine.fields.boot_env = "e1".into();
    assert_eq!(next(&mut site), is("t1", 2));
    site.tell("finished").unwrap();
    assert_eq!(next(&mut site), is("t2", 3));
    site.tell("finished").unwrap();
    for (task, index) in [("stage:s2", 4), ("bootenv:e2", 5)] {
        assert_eq!(site.post().unwrap(), Outcome::Nothing { again_in: None });
        assert_eq!(site.newest(), (task, JobState::Finished, index, index + 1));
    }
    let fields = &site.machine.fields;
    assert_eq!((fields.current_task, fields.boot_env.as_str(), fields.runnable), (5, "e2", false));
    assert_eq!(site.post().unwrap_err().kind, ProblemKind::Conflict);
    (site.machine.fields.runnable, site.machine.paused) = (true, None);
    for (task, index) in [("t3", 6), ("t4", 7)] {
        assert_eq!(next(&mut site), is(task, index));
        site.tell("finished").unwrap();
    }
    site.post().unwrap();
    assert_eq!((site.machine.fields.current_task, site.machine.fields.workflow_complete), (8, true));
    site.machine.fields.current_task = 6;
    site.machine.fields.workflow_complete = false;
    site.machine.marks.again = true;
    site.machine.fields.tasks.pop();
    assert_eq!(next(&mut site), is("t3", 6));
    site.tell("finished").unwrap();
    site.post().unwrap();
    assert_eq!((site.machine.fields.current_task, site.machine.fields.workflow_complete), (7, true));
}

#[test]
fn g9_after_all_ran_a_machine_without_workflow_begins_anew_from_minus_one() {
    let mut site = Site::of(&["t1", "t2"]);
    assert_eq!(site.run(), ["t1", "t2"]);
    site.machine.fields.current_task = -1;
    site.machine.fields.workflow_complete = false;
    site.machine.marks.again = true;
    assert_eq!(site.run(), ["t1", "t2"]);
}

#[test]
fn g10_a_job_goes_on_until_it_ends_and_only_a_failure_makes_a_new_one() {
    let mut site = Site::of(&["t1"]);
    let first = site.next().uuid;
    let mut ids = Vec::new();
    for (state, exit) in [
        ("incomplete", "reboot"),
        ("incomplete", "poweroff"),
        ("incomplete", "stop"),
        ("failed", "failed"),
        ("incomplete", "complete"),
        ("finished", "complete"),
    ] {
        site.tell("running").unwrap();
        (site.machine.fields.runnable, site.machine.paused) = (false, Some(Pause::Agent));
        site.tell_of(None, json!({"State": state, "ExitState": exit}), None).unwrap();
        let fields = &site.machine.fields;
        assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), (state, exit));
        ids.push(site.current().unwrap().fields.uuid);
        (site.machine.fields.runnable, site.machine.paused) = (true, None);
        site.post().unwrap();
    }
    assert!(ids[..4].iter().all(|id| *id == first));
    assert!(ids[4..].iter().all(|id| *id == ids[4] && *id != first));
    assert!(site.machine.fields.workflow_complete);
    let epochs: Vec<i64> = site.jobs.iter().map(|job| job.fields.epoch).collect();
    assert_eq!(epochs, [4, 2], "each time under a new lease");
}

#[test]
fn g12_jobs_by_hand() {
    let mut site = Site::of(&["t1", "t2"]);
    let first = site.next();
    assert_eq!(first.state, JobState::Created);
    assert_eq!(site.post().unwrap_err().kind, ProblemKind::Conflict);
    site.tell("incomplete").unwrap();
    let Outcome::Resumed(again) = site.post().unwrap() else { panic!("not resumed") };
    assert_eq!(again.fields.uuid, first.uuid);
    site.tell("failed").unwrap();
    let second = site.next();
    assert_eq!((second.current_index, second.previous), (first.current_index, first.uuid));
    assert_ne!(second.uuid, first.uuid);
    let newest: Vec<bool> = site.jobs.iter().map(|job| job.fields.current).collect();
    assert_eq!(newest, [false, true]);
    site.tell("finished").unwrap();
    assert_eq!(next(&mut site), is("t2", 1));
    assert!(delete(site.current().unwrap(), Some(&site.machine), &site.cause()).is_err());
    assert_eq!(site.tell("bogus").unwrap_err().kind, ProblemKind::Invalid);
    site.tell("finished").unwrap();
    assert_eq!(site.post().unwrap(), Outcome::Nothing { again_in: None });
    assert_eq!(site.post().unwrap(), Outcome::Nothing { again_in: None });
    assert!(site.machine.fields.workflow_complete);
}

#[test]
fn g18_an_unknown_action_fails_stops_the_machine_and_is_explained() {
    let mut site = Site::of(&["action:increment", "t1"]);
    assert_eq!(site.post().unwrap(), Outcome::Nothing { again_in: None });
    assert_eq!(site.newest(), ("action:increment", JobState::Failed, 0, 1));
    assert_eq!(site.jobs[0].fields.exit_state, ExitState::Failed);
    assert!(!site.machine.fields.runnable);
    assert_eq!(
        site.machine.fields.job_result_errors,
        ["action increment: no plugin on this server provides it"]
    );
}
