//! 4.3, 4.6, 4.7: what is told about a job, who may tell it, which jobs go.

use super::*;
use crate::problem::ProblemKind;
use protocol::model::{ExitState, ZERO_TIME};

/// A machine whose first job is in this state.
fn site_in(state: &str) -> Site {
    let mut site = Site::of(&["t1", "t2"]);
    site.next();
    match state {
        "created" => {}
        "finished" | "failed" | "running" | "incomplete" => site.tell(state).unwrap(),
        other => panic!("{other}"),
    }
    site
}

#[test]
fn job_goes_only_where_it_may_and_an_end_is_final() {
    let states = ["created", "running", "incomplete", "failed", "finished"];
    for (from, to) in [
        ("created", &["created", "running", "incomplete", "failed", "finished"][..]),
        ("running", &["running", "incomplete", "failed", "finished"]),
        ("incomplete", &["incomplete", "running", "failed"]),
        ("failed", &["failed"]),
        ("finished", &["finished"]),
    ] {
        for state in states {
            let mut site = site_in(from);
            let before = (site.machine.clone(), site.jobs.clone());
            let told = site.tell(state);
            assert_eq!(told.is_ok(), to.contains(&state), "{from} -> {state}");
            if let Err(problem) = told {
                assert_eq!(problem.kind, ProblemKind::Invalid);
                assert_eq!((site.machine, site.jobs), before, "nothing changed");
            }
        }
    }
}

#[test]
fn an_end_cannot_be_told_in_other_words_later() {
    let mut site = site_in("failed");
    for fields in [json!({"ExitState": "complete"}), json!({"ResultErrors": ["other"]})] {
        assert_eq!(
            site.tell_of(None, fields, None).unwrap_err().to_string(),
            "the job is failed, which is final"
        );
    }
    site.tell_of(None, json!({"Meta": {"ticket": "4711"}}), None).unwrap();
    assert_eq!(site.jobs[0].fields.envelope.meta["ticket"], "4711", "labels may be put on it");
}

#[test]
fn a_state_that_is_none_is_refused() {
    let mut site = site_in("created");
    for fields in [json!({"State": "bogus"}), json!({"ExitState": "bogus"}), json!({"State": 7})] {
        let problem = site.tell_of(None, fields, None).unwrap_err();
        assert_eq!((problem.kind, problem.model), (ProblemKind::Invalid, "jobs"));
    }
    let problem = site.tell_of(None, json!({"State": "bogus"}), None).unwrap_err();
    assert!(problem.to_string().contains("`incomplete`"), "the states there are: {problem}");
    let problem = site.tell_of(None, json!({"Uuid": Uuid::from_u128(5)}), None).unwrap_err();
    assert_eq!(problem.to_string(), "Uuid is given once; leave it as it is");
}

#[test]
fn times_are_set_when_it_begins_and_when_it_ends() {
    let mut site = site_in("created");
    site.tell("running").unwrap();
    let begun = site.now.to_string();
    let times = |site: &Site| {
        let job = &site.jobs[0].fields;
        (job.start_time.clone(), job.end_time.clone())
    };
    assert_eq!(times(&site), (begun.clone(), ZERO_TIME.to_owned()));
    site.now = Timestamp::from_seconds(200);
    site.tell("incomplete").unwrap();
    site.tell("running").unwrap();
    assert_eq!(times(&site), (begun.clone(), ZERO_TIME.to_owned()), "it began once");
    site.tell("finished").unwrap();
    assert_eq!(times(&site), (begun, site.now.to_string()));
}

#[test]
fn fields_that_are_the_servers_stay() {
    let mut site = site_in("created");
    let before = site.jobs[0].clone();
    let told =
        json!({"Machine": Uuid::from_u128(1), "Task": "x", "CurrentIndex": 9, "Epoch": 9, "Current": false});
    site.tell_of(None, told, None).unwrap();
    assert_eq!(site.jobs[0], before);
}

#[test]
fn machine_shows_the_state_of_its_current_job() {
    let mut site = site_in("running");
    assert_eq!(site.machine.fields.job_state, "running");
    let told = json!({"State": "incomplete", "ExitState": "reboot", "ResultErrors": ["a"]});
    site.tell_of(None, told, None).unwrap();
    let fields = &site.machine.fields;
    assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), ("incomplete", "reboot"));
    assert!(fields.job_result_errors.is_empty(), "copied at the end");
    site.tell("running").unwrap();
    assert_eq!(site.machine.fields.job_exit_state, "", "it goes on, so it has not ended");
    site.tell_of(None, json!({"State": "failed", "ResultErrors": ["disk is gone"]}), None).unwrap();
    let fields = &site.machine.fields;
    assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), ("failed", "failed"));
    assert_eq!(fields.job_result_errors, ["disk is gone"]);
    site.machine.fields.runnable = true;
    site.next();
    let fields = &site.machine.fields;
    assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), ("created", ""));
    assert!(fields.job_result_errors.is_empty());
}

#[test]
fn a_job_that_is_not_the_machines_current_one_changes_no_machine() {
    let mut site = site_in("created");
    site.machine.fields.current_job = Uuid::from_u128(99).to_string();
    let before = site.machine.clone();
    let id = site.jobs[0].fields.uuid;
    site.tell_of(Some(id), json!({"State": "running"}), None).unwrap();
    site.tell_of(Some(id), json!({"State": "failed"}), None).unwrap();
    assert_eq!(site.machine, before);
}

#[test]
fn an_end_without_an_exit_state_says_how_it_was() {
    for (state, exit) in [("finished", ExitState::Complete), ("failed", ExitState::Failed)] {
        let mut site = site_in("running");
        site.tell(state).unwrap();
        assert_eq!(site.jobs[0].fields.exit_state, exit);
    }
    let mut site = site_in("running");
    site.tell_of(None, json!({"State": "finished", "ExitState": "reboot"}), None).unwrap();
    assert_eq!(site.jobs[0].fields.exit_state, ExitState::Reboot);
}

#[test]
fn only_a_job_that_fails_while_it_runs_stops_the_machine() {
    for (state, stops) in [("created", false), ("running", true), ("incomplete", false)] {
        let mut site = site_in(state);
        site.tell("failed").unwrap();
        assert_eq!(site.machine.fields.runnable, !stops, "{state}");
        assert_eq!(site.machine.paused, stops.then_some(Pause::Failed), "{state}");
    }
    let mut site = site_in("running");
    (site.machine.fields.runnable, site.machine.paused) = (false, Some(Pause::Agent));
    site.tell("failed").unwrap();
    assert_eq!(site.machine.paused, Some(Pause::Failed), "a boot alone does not let it go on");
}

#[test]
fn failures_are_told_in_a_bounded_number_of_bounded_sentences() {
    let mut site = site_in("running");
    let errors: Vec<String> = (0..100).map(|_| "é".repeat(3_000)).collect();
    site.tell_of(None, json!({"State": "failed", "ResultErrors": errors}), None).unwrap();
    let errors = &site.jobs[0].fields.result_errors;
    assert_eq!((errors.len(), errors[0].len()), (64, 2_048));
}

#[test]
fn report_under_an_older_lease_is_a_conflict_and_changes_nothing() {
    let mut site = site_in("incomplete");
    assert!(matches!(site.post().unwrap(), Outcome::Resumed(job) if job.fields.epoch == 2));
    let id = site.jobs[0].fields.uuid;
    let before = (site.machine.clone(), site.jobs.clone());
    for lease in [0, 1, 3, -1] {
        let problem = site.tell_of(None, json!({"State": "running"}), Some(lease)).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Conflict);
    }
    assert_eq!(
        site.tell_of(None, json!({"State": "running"}), Some(1)).unwrap_err().to_string(),
        format!("lease 1 of job {id} is void: it was handed out again, as number 2")
    );
    assert_eq!((site.machine.clone(), site.jobs.clone()), before);
    site.tell_of(None, json!({"State": "running"}), Some(2)).unwrap();
    site.tell_of(None, json!({"State": "finished"}), Some(2)).unwrap();
    let again = site.tell_of(None, json!({"State": "finished"}), Some(2)).unwrap_err();
    assert_eq!(again.kind, ProblemKind::Conflict, "it is over");
    site.tell_of(None, json!({"State": "finished"}), None).unwrap();
    site.next();
    let left = site.tell_of(Some(id), json!({"State": "running"}), Some(2)).unwrap_err();
    assert_eq!(left.kind, ProblemKind::Conflict);
}

#[test]
fn only_a_job_that_is_over_is_deleted_while_its_machine_is_there() {
    for (state, may) in
        [("created", false), ("running", false), ("incomplete", false), ("failed", true), ("finished", true)]
    {
        let site = site_in(state);
        let (job, cause) = (&site.jobs[0], site.cause());
        match delete(job, Some(&site.machine), &cause) {
            Ok((_, machine)) => {
                assert!(may, "{state}");
                let fields = machine.unwrap().fields;
                assert_eq!((fields.current_job.as_str(), fields.job_state.as_str()), ("", ""));
            }
            Err(problem) => {
                assert!(!may, "{state}");
                assert_eq!(problem.kind, ProblemKind::Invalid);
            }
        }
        assert!(delete(job, None, &cause).is_ok(), "nobody will ever end it");
    }
}

#[test]
fn job_of_a_machine_that_is_deleted_is_over() {
    for (state, then) in [
        ("created", JobState::Failed),
        ("running", JobState::Failed),
        ("incomplete", JobState::Failed),
        ("failed", JobState::Failed),
        ("finished", JobState::Finished),
    ] {
        let site = site_in(state);
        let job = orphan(&site.jobs[0], &site.cause()).fields;
        assert_eq!((job.state, job.current, job.end_time == ZERO_TIME), (then, false, false), "{state}");
    }
}

#[test]
fn clean_up_keeps_what_is_new_under_way_or_current() {
    let mut site = site_in("finished");
    let day = std::time::Duration::from_secs(86_400);
    let now = site.now.plus(day);
    let all = Retention { keep: 0, failed: Some(day), finished: Some(day) };
    let ends = |retention: Retention, site: &Site, newer: u32, there| {
        retention.ends(&site.jobs[0], newer, there, now)
    };
    assert!(!ends(all, &site, 0, true), "the current job");
    assert!(ends(all, &site, 0, false), "its machine is gone");
    site.jobs[0].fields.current = false;
    assert!(ends(all, &site, 0, true));
    let default = Retention::default();
    assert!(!ends(default, &site, 49, true));
    assert!(ends(default, &site, 50, true));
    let aged = |finished| Retention { finished: Some(finished), ..Retention::default() };
    assert!(ends(aged(day), &site, 0, true));
    assert!(!ends(aged(day * 2), &site, 0, true));
    let failed_only = Retention { failed: Some(day), ..Retention::default() };
    assert!(!ends(failed_only, &site, 0, true), "it did not fail");
    for state in ["created", "running", "incomplete"] {
        let mut site = site_in(state);
        site.jobs[0].fields.current = false;
        assert!(!ends(all, &site, 99, false), "{state}");
    }
}
