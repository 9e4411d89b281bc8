//! How runs end before their time, and where that leaves the machine.

use super::*;
use crate::problem::ProblemKind;
use protocol::install::DiskPlan;

#[test]
fn a_task_that_fails_ends_the_run_with_what_it_said() {
    let mut site = Site::asked(&rebuild());
    site.work();
    site.work();
    site.work();
    site.next();
    site.tell(JobState::Running, "");
    site.tell(JobState::Failed, "no space left on vda");
    assert_eq!((site.is(), site.state()), ((ProvisionStatus::Error, Step::Write), ProvisionState::Failed));
    assert_eq!(site.run.error, "step write: no space left on vda");
    assert!(!site.run.next_action.is_empty());
    assert_eq!(
        (site.next(), site.machine.fields.boot_env.as_str()),
        (None, "muster"),
        "it stays in our image"
    );
    site.ask(&rebuild(), true);
    site.install();
    site.boot(true);
    site.first_boot(&fine());
    assert_eq!(site.state(), ProvisionState::Installed, "one command retries");
}

#[test]
fn each_step_has_a_deadline_and_says_what_was_waited_for() {
    let seconds = [901, 121, 301, 3_601, 301, 901, 1_201, 1_201];
    for (step, seconds) in Step::ALL.into_iter().zip(seconds) {
        let mut site = Site::asked(&rebuild());
        site.next();
        site.tell(JobState::Running, "");
        site.report(step);
        site.pass(seconds - 2);
        assert!(site.run.is_active(), "{step}");
        let job = site.job().unwrap().fields.uuid;
        site.pass(2);
        assert_eq!((site.is(), site.state()), ((ProvisionStatus::Timeout, step), ProvisionState::Failed));
        let said = format!("step {step}: waited {seconds} s for ");
        assert!(site.run.error.starts_with(&said), "{}", site.run.error);
        assert!(!site.run.next_action.is_empty());
        let job = site.jobs.iter().find(|other| other.fields.uuid == job).unwrap();
        assert_eq!(job.fields.state, JobState::Failed, "its runner is told to stop");
        assert!(!site.tell(JobState::Finished, ""), "too late");
    }
}

#[test]
fn deadlines_are_the_machines_to_say() {
    let mut site = Site::asked(&rebuild());
    let deadlines = serde_json::json!({"prepare": 5, "survey": 0, "write": "long"});
    site.machine.fields.params.insert(params::STEP_DEADLINES.to_owned(), deadlines);
    let of = |step| step_deadline(&site.content, &site.machine, step).as_secs();
    assert_eq!([of(Step::Prepare), of(Step::Survey), of(Step::Write)], [5, 120, 3_600]);
}

#[test]
fn a_machine_that_is_not_there_is_waited_for_without_an_end() {
    let mut site = Site::asked(&rebuild());
    site.pass(30 * 86_400);
    assert_eq!(site.state(), ProvisionState::Pending);
}

#[test]
fn what_was_not_touched_is_what_it_was_before() {
    for begun in [0, 1, 2] {
        let mut site = Site::asked(&rebuild());
        site.install();
        site.boot(true);
        site.next();
        site.tell(JobState::Running, "");
        site.first_boot(&fine());
        site.tell(JobState::Finished, "");
        assert_eq!(site.next(), None);
        let before = site.machine.clone();
        site.ask(&rebuild(), true);
        if begun > 0 {
            site.leave();
            site.boot(false);
        }
        for _ in 1..begun {
            site.work();
        }
        site.cancel();
        assert_eq!((site.is().0, site.state()), (ProvisionStatus::Canceled, ProvisionState::Installed));
        let way = |machine: &Machine| {
            let fields = &machine.fields;
            (fields.workflow.clone(), fields.boot_env.clone(), fields.tasks.clone(), fields.current_task)
        };
        assert_eq!(way(&site.machine), way(&before), "{begun}");
        assert_eq!(site.machine.wants_runner(), begun > 0, "back to its disk");
    }
}

#[test]
fn what_was_touched_is_not_installed_any_more_and_stays_in_our_image() {
    let mut site = Site::asked(&rebuild());
    site.install();
    site.boot(true);
    site.first_boot(&fine());
    site.ask(&rebuild(), true);
    site.leave();
    site.boot(false);
    for _ in 0..3 {
        site.work();
    }
    site.next();
    site.tell(JobState::Running, "");
    site.cancel();
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Canceled, ProvisionState::Failed));
    let fields = &site.machine.fields;
    assert_eq!((fields.workflow.as_str(), fields.boot_env.as_str()), ("", "muster"));
    assert_eq!(site.job().unwrap().fields.state, JobState::Failed, "its job is stopped");
    let again = cancel(&site.run, &site.machine, None, &Cause::system(site.now)).unwrap_err();
    assert_eq!(again.kind, ProblemKind::Conflict);
}

#[test]
fn a_machine_that_comes_back_to_our_image_did_not_boot_its_disk() {
    for first_boot in [false, true] {
        let mut site = Site::asked(&rebuild());
        site.install();
        site.leave();
        if first_boot {
            site.boot(true);
            site.leave();
        }
        site.boot(false);
        assert_eq!((site.is().0, site.state()), (ProvisionStatus::Error, ProvisionState::Failed));
        assert_eq!(site.run.error, "the machine came back to our image instead of its disk");
        assert_eq!((site.machine.fields.boot_env.as_str(), site.machine.booted_env()), ("muster", "muster"));
        assert_eq!((site.next(), site.machine.wants_runner()), (None, false));
    }
}

#[test]
fn a_workflow_that_ends_without_a_first_boot_installed_nothing() {
    let mut site = Site::asked(&rebuild());
    site.install();
    site.boot(true);
    assert_eq!(site.work(), "muster-install-first-boot");
    while site.run.is_active() {
        assert_eq!(site.next(), None);
    }
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Error, ProvisionState::Failed));
    assert!(site.run.error.contains("nobody reported"), "{}", site.run.error);
}

#[test]
fn whoever_changes_the_workflow_cancels_the_run() {
    let mut site = Site::asked(&rebuild());
    site.work();
    site.machine.leave_workflow();
    site.hear(News::Walked { job: None, said: "" });
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Canceled, ProvisionState::Discovery));
    assert!(site.run.progress.message.contains("changed to none"), "{}", site.run.progress.message);
    assert_eq!(gone(&Site::asked(&rebuild()).run, &site.machine, site.now).status, ProvisionStatus::Canceled);
}

#[test]
fn what_may_not_begin_is_said_in_words() {
    let site = Site::asked(&rebuild());
    let said = |machine: &Machine, protected| may_begin(machine, Mode::Rebuild, protected).unwrap_err();
    let active = said(&site.machine, false);
    assert_eq!(active.kind, ProblemKind::Conflict);
    assert!(active.to_string().contains(&site.run.id.to_string()), "{active}");
    let mut idle = machine(site.now);
    assert_eq!(may_begin(&idle, Mode::Rebuild, false), Ok(()));
    let protected = said(&idle, true);
    assert_eq!(protected.kind, ProblemKind::Invalid);
    assert!(protected.to_string().contains("muster/write-protected"), "{protected}");
    assert_eq!(may_begin(&idle, Mode::Discover, true), Ok(()), "it erases nothing");
    idle.fields.locked = true;
    assert_eq!(said(&idle, false).kind, ProblemKind::Locked);
    let none = DiskPlan { error: "no disk".to_owned(), ..DiskPlan::default() };
    assert_eq!(confirmed(&idle, &none, "").unwrap_err().to_string(), "no disk");
}

#[test]
fn documents_that_cannot_be_rendered_end_the_run_before_it_begins() {
    let cause = Cause::system(Timestamp::from_seconds(5));
    let machine = machine(cause.at);
    let request = rebuild();
    let over = render_failed(&machine, &asked(&request, 1, true, &cause), &["no secret db".to_owned()]);
    assert_eq!((over.run.status, over.run.error.as_str()), (ProvisionStatus::RenderFailed, "no secret db"));
    assert_eq!(over.machine.provision_state(), ProvisionState::Failed);
    assert_eq!(over.machine.fields, machine.fields, "no task ever starts");
}

#[test]
fn a_machine_that_came_with_a_system_is_write_protected_until_somebody_says_otherwise() {
    let (id, key) = (MachineId(Uuid::from_u128(1)), KeyThumbprint([1; 32]));
    let now = Timestamp::from_seconds(5);
    for (origin, protected) in [(Origin::Cli, true), (Origin::Iso, false), (Origin::Pxe, false)] {
        let name = "m1".parse().unwrap();
        let machine = Machine::register(id, name, key, origin, Inventory::default(), "user:a", now);
        let machine = machine.begins(crate::machine::newborn(&Content::built_in(), "s", origin));
        let value = machine.fields.params.get(params::WRITE_PROTECTED);
        assert_eq!(value, protected.then_some(&serde_json::Value::Bool(true)), "{origin:?}");
    }
}
