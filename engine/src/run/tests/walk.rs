//! 4.2: what `POST /jobs` answers and leaves behind.

use super::*;
use crate::problem::ProblemKind;
use protocol::model::{Claim, ExitState, ZERO_TIME};

fn is_nothing(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Nothing { .. })
}

#[test]
fn machine_that_is_not_runnable_or_not_available_gets_a_conflict() {
    let mut site = Site::of(&["t1"]);
    site.machine.fields.runnable = false;
    assert_eq!(site.post().unwrap_err().kind, ProblemKind::Conflict);
    site.machine.fields.runnable = true;
    site.machine.errors.push("broken".into());
    let problem = site.post().unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Conflict);
    assert_eq!(problem.to_string(), "machine m1 gets no job: it is not available: broken");
    assert!(site.jobs.is_empty());
}

#[test]
fn caller_of_another_context_gets_nothing() {
    let mut site = Site::of(&["t1"]);
    let before = site.machine.clone();
    assert!(is_nothing(&site.post_in("cloud", None).unwrap()));
    assert_eq!(site.machine, before);
    site.machine.fields.context = "cloud".into();
    assert!(is_nothing(&site.post_in("", None).unwrap()));
    assert!(
        matches!(site.post_in("cloud", None).unwrap(), Outcome::Created(job) if job.fields.context == "cloud")
    );
}

#[test]
fn machine_without_tasks_gets_nothing_and_is_not_deleted() {
    let mut site = Site::of(&[]);
    site.machine.fields.current_task = 0;
    site.machine.fields.workflow_complete = true;
    site.param("on-complete-delete", json!(true));
    assert!(is_nothing(&site.post().unwrap()));
    assert!(!site.deleted);
}

#[test]
fn first_job_has_no_job_before_it_and_what_the_machine_had() {
    let mut site = Site::of(&["stage:s1", "t1"]);
    site.machine.fields.stage = "s1".into();
    site.machine.fields.workflow = "w".into();
    site.content.tasks.put(Task {
        name: "t1".into(),
        extra_claims: vec![Claim { scope: "pools".into(), ..Claim::default() }],
        ..Task::default()
    });
    let chosen = Uuid::from_u128(7);
    let Outcome::Created(job) = site.post_in("", Some(chosen)).unwrap() else { panic!("no job") };
    let job = job.fields;
    assert_eq!((job.uuid, job.previous, job.machine), (chosen, Uuid::nil(), site.machine.id.0));
    assert_eq!((job.current_index, job.next_index), (1, 2), "stage:s1 holds already");
    assert_eq!((job.stage.as_str(), job.workflow.as_str(), job.boot_env.as_str()), ("s1", "w", "local"));
    assert_eq!((job.state, job.exit_state, job.epoch), (JobState::Created, ExitState::None, 1));
    assert_eq!((job.start_time.as_str(), job.end_time.as_str()), (ZERO_TIME, ZERO_TIME));
    assert!(job.current && job.extra_claims.len() == 1);
    let fields = &site.machine.fields;
    assert_eq!(
        (fields.current_job.as_str(), fields.job_state.as_str()),
        (chosen.to_string().as_str(), "created")
    );
    assert_eq!((fields.current_task, fields.workflow_complete), (1, false));
}

#[test]
fn job_under_way_is_a_conflict_until_it_ends() {
    let mut site = Site::of(&["t1", "t2"]);
    site.next();
    for state in ["created", "running"] {
        site.tell(state).unwrap();
        let problem = site.post().unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Conflict);
        assert!(problem.to_string().ends_with(state), "{problem}");
    }
    site.tell("finished").unwrap();
    assert_eq!(site.next().task, "t2");
}

#[test]
fn entry_that_holds_already_is_walked_over_without_a_trace() {
    let mut site = Site::of(&["stage:none", "bootenv:local", "context:", "t1"]);
    let job = site.next();
    assert_eq!((job.task.as_str(), job.current_index), ("t1", 3));
    assert_eq!(site.jobs.len(), 1);
}

#[test]
fn each_entry_that_changes_the_machine_takes_one_call_and_is_on_record() {
    let mut site = Site::of(&["stage:s1", "stage:s2", "t1"]);
    for (task, index) in [("stage:s1", 0), ("stage:s2", 1)] {
        assert!(is_nothing(&site.post().unwrap()));
        assert_eq!(site.newest(), (task, JobState::Finished, index, index + 1));
        let job = &site.jobs.last().unwrap().fields;
        assert_eq!(job.exit_state, ExitState::Complete);
        assert_eq!((&job.start_time, &job.end_time), (&site.now.to_string(), &site.now.to_string()));
        let fields = &site.machine.fields;
        assert_eq!((fields.stage.as_str(), fields.current_task), (&task[6..], index));
        assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), ("finished", "complete"));
        assert!(fields.runnable);
    }
    let job = site.next();
    assert_eq!((job.task.as_str(), job.previous), ("t1", site.jobs[1].fields.uuid));
    assert_eq!(job.stage, "s2");
}

#[test]
fn a_new_boot_environment_stops_the_machine_until_it_has_booted() {
    let mut site = Site::of(&["bootenv:e1", "t1"]);
    assert!(is_nothing(&site.post().unwrap()));
    assert_eq!((site.machine.fields.boot_env.as_str(), site.machine.fields.current_task), ("e1", 0));
    assert_eq!((site.machine.fields.runnable, site.machine.paused), (false, Some(Pause::BootEnv)));
    assert_eq!(site.post().unwrap_err().kind, ProblemKind::Conflict);
    (site.machine.fields.runnable, site.machine.paused) = (true, None);
    let job = site.next();
    assert_eq!((job.task.as_str(), job.boot_env.as_str()), ("t1", "e1"));
}

#[test]
fn a_move_into_an_install_environment_sets_the_operating_system() {
    let mut site = Site::of(&["bootenv:march-install", "t1"]);
    let mut bootenv = BootEnv { name: "march-install".into(), ..BootEnv::default() };
    bootenv.os.name = "march".into();
    site.content.bootenvs.put(bootenv);
    site.post().unwrap();
    assert_eq!(site.machine.fields.os, "march");
}

#[test]
fn a_context_entry_hands_the_machine_to_another_runner_and_back() {
    let mut site = Site::of(&["t1", "context:cloud", "t2", "context:", "t3"]);
    assert_eq!(site.next().task, "t1");
    site.tell("finished").unwrap();
    assert!(is_nothing(&site.post_in("", None).unwrap()));
    assert_eq!(site.newest(), ("context:cloud", JobState::Finished, 1, 2));
    assert!(is_nothing(&site.post_in("", None).unwrap()));
    let Outcome::Created(job) = site.post_in("cloud", None).unwrap() else { panic!("no job") };
    assert_eq!((job.fields.task.as_str(), job.fields.context.as_str()), ("t2", "cloud"));
    site.tell("finished").unwrap();
    assert!(is_nothing(&site.post_in("cloud", None).unwrap()));
    assert_eq!(site.machine.fields.context, "");
    assert!(is_nothing(&site.post_in("cloud", None).unwrap()));
    assert!(matches!(site.post_in("", None).unwrap(), Outcome::Created(job) if job.fields.task == "t3"));
}

#[test]
fn a_root_directory_is_the_agents_and_comes_as_a_job() {
    let mut site = Site::of(&["chroot:/mnt", "t1"]);
    assert_eq!(site.next().task, "chroot:/mnt");
}

#[test]
fn an_entry_that_leads_nowhere_fails_and_stops_the_machine() {
    for entry in ["stage:gone", "bootenv:gone", "action:vendor:gone", "bootenv:"] {
        let mut site = Site::of(&["t1", entry, "t2"]);
        site.next();
        site.tell("finished").unwrap();
        let before = site.machine.fields.clone();
        assert!(is_nothing(&site.post().unwrap()));
        assert_eq!(site.newest(), (entry, JobState::Failed, 1, 2));
        let fields = &site.machine.fields;
        assert_eq!((fields.runnable, site.machine.paused), (false, Some(Pause::Failed)), "{entry}");
        assert_eq!((&fields.stage, &fields.boot_env), (&before.stage, &before.boot_env));
        assert_eq!((fields.job_state.as_str(), fields.job_exit_state.as_str()), ("failed", "failed"));
        assert_eq!(fields.job_result_errors.len(), 1);
        (site.machine.fields.runnable, site.machine.paused) = (true, None);
        assert!(is_nothing(&site.post().unwrap()), "tried once more, with the same end");
        assert_eq!(site.jobs.len(), 3);
        assert_eq!(site.machine.fields.current_task, 1);
    }
}

#[test]
fn the_log_begins_with_the_name_of_the_job_and_what_the_server_did() {
    let site = Site::of(&["bootenv:e1"]);
    let cause = site.cause();
    let fresh = Uuid::from_u128(9);
    let request = NextRequest { context: "", chosen: None, fresh, cause: &cause };
    let step = next_job(&site.machine, None, &site.content, &request).unwrap();
    let changes = step.changes(&site.machine, &site.content, &cause);
    let log = changes.list.iter().find_map(|change| {
        let Change::AppendLog { bytes, .. } = change else { return None };
        Some(String::from_utf8(bytes.clone()).unwrap())
    });
    let id = site.machine.id;
    assert_eq!(
        log.unwrap(),
        format!(
            "job {fresh}: bootenv:e1 on m1 ({id})\nthe boot environment is e1 now; the machine boots it next\n"
        )
    );
    assert_eq!(changes.on_content, Some(Revision(0)), "decided on what the content says");
}

#[test]
fn what_is_left_of_an_older_list_ends_when_the_walk_goes_on_without_it() {
    for (state, then) in [
        ("created", JobState::Created),
        ("running", JobState::Failed),
        ("incomplete", JobState::Failed),
        ("finished", JobState::Finished),
        ("failed", JobState::Failed),
    ] {
        let mut site = Site::of(&["t1", "t2"]);
        site.next();
        site.tell(state).unwrap();
        site.machine.fields.tasks = vec!["t3".into()];
        site.machine.fields.current_task = -1;
        site.machine.marks = Marks::default();
        let job = site.next();
        let old = &site.jobs[0].fields;
        assert_eq!((job.task.as_str(), job.current_index, job.previous), ("t3", 0, old.uuid));
        assert_eq!((old.state, old.current), (then, false), "{state}");
        assert!(site.machine.fields.runnable, "{state}");
        assert_eq!(site.machine.fields.job_state, "created");
        assert!(site.machine.fields.job_result_errors.is_empty());
        let void = site.tell_of(Some(site.jobs[0].fields.uuid), json!({"State": "failed"}), Some(1));
        assert_eq!(void.unwrap_err().kind, ProblemKind::Conflict);
    }
}

#[test]
fn an_entry_that_somebody_went_back_to_runs_again() {
    let mut site = Site::of(&["t1", "t2", "t3"]);
    assert_eq!(site.run(), ["t1", "t2", "t3"]);
    for (back, ran) in [(2, &["t3"][..]), (1, &["t2", "t3"])] {
        site.machine.fields.current_task = back;
        site.machine.fields.workflow_complete = false;
        site.machine.marks.again = true;
        let job = site.next();
        assert_eq!(job.current_index, back);
        assert!(!site.machine.marks.again, "once");
        site.tell("finished").unwrap();
        let mut all = vec![job.task];
        all.extend(site.run());
        assert_eq!(all, ran);
    }
}

#[test]
fn going_back_waits_for_a_job_that_runs_and_drops_one_that_is_incomplete() {
    let mut site = Site::of(&["t1", "t2", "t3"]);
    site.next();
    site.tell("finished").unwrap();
    let second = site.next();
    site.tell("running").unwrap();
    (site.machine.fields.current_task, site.machine.marks.again) = (0, true);
    assert_eq!(site.post().unwrap_err().kind, ProblemKind::Conflict);
    site.tell("incomplete").unwrap();
    let job = site.next();
    assert_eq!((job.task.as_str(), job.previous), ("t1", second.uuid));
    assert_eq!(site.jobs[1].fields.state, JobState::Failed);
}

#[test]
fn entries_added_at_the_end_run_and_nothing_before_them_does() {
    let mut site = Site::of(&["t1"]);
    site.run();
    assert_eq!(site.machine.fields.current_task, 1);
    site.machine.fields.tasks.push("t2".into());
    site.machine.fields.current_task = 0;
    site.machine.fields.workflow_complete = false;
    assert_eq!(site.run(), ["t2"]);
}

#[test]
fn without_its_current_job_the_entry_runs_again() {
    let mut site = Site::of(&["t1", "t2"]);
    site.next();
    site.tell("finished").unwrap();
    site.jobs.clear();
    site.machine.fields.current_job.clear();
    let job = site.next();
    assert_eq!((job.task.as_str(), job.previous), ("t1", Uuid::nil()));
}

#[test]
fn the_end_of_the_list_completes_the_workflow() {
    let mut site = Site::of(&["t1"]);
    site.next();
    site.tell("finished").unwrap();
    assert_eq!((site.machine.fields.current_task, site.machine.fields.workflow_complete), (0, false));
    let job = site.machine.fields.current_job.clone();
    assert!(is_nothing(&site.post().unwrap()));
    assert_eq!((site.machine.fields.current_task, site.machine.fields.workflow_complete), (1, true));
    assert_eq!(site.machine.fields.current_job, job, "the last job stays");
    assert_eq!(site.machine.fields.job_state, "finished");
}

#[test]
fn machine_that_is_to_be_deleted_goes_at_the_end_of_its_list() {
    let mut site = Site::of(&["t1"]);
    site.param("on-complete-delete", json!(true));
    site.next();
    site.tell("finished").unwrap();
    assert!(!site.deleted);
    assert!(is_nothing(&site.post().unwrap()));
    assert!(site.deleted);
    let job = &site.jobs[0].fields;
    assert_eq!((job.state, job.current), (JobState::Finished, false), "kept, and no machine's newest");
}

#[test]
fn delete_workflow_runs_at_the_end_and_then_the_machine_goes() {
    let mut site = Site::of(&["t1"]);
    site.content.stages.put(Stage { name: "s1".into(), tasks: vec!["t2".into()], ..Stage::default() });
    site.content.workflows.put(Workflow {
        name: "bye".into(),
        stages: vec!["s1".into()],
        ..Workflow::default()
    });
    site.machine.fields.workflow = "w".into();
    site.param("on-complete-delete", json!(true));
    site.param("on-delete-workflow", json!("bye"));
    site.next();
    site.tell("finished").unwrap();
    site.post().unwrap();
    assert!(!site.deleted);
    assert_eq!(site.machine.fields.workflow, "bye");
    assert_eq!(site.next().task, "t2");
    site.tell("finished").unwrap();
    site.post().unwrap();
    assert!(site.deleted);
}
