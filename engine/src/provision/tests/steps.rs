//! The way of an installation, step by step.

use super::*;

#[test]
fn a_machine_comes_from_discovery_mode_to_its_system() {
    let mut site = Site::asked(&rebuild());
    assert_eq!((site.state(), site.is().0), (ProvisionState::Pending, ProvisionStatus::Pending));
    assert_eq!(site.machine.fields.params[params::RUN], site.run.id.to_string());
    assert!(site.machine.boot_asked_at.is_some(), "its next boot is expected");
    let mut met = Vec::new();
    for _ in 0..6 {
        site.work();
        met.push(site.is());
        assert_eq!(site.state(), ProvisionState::Installing);
    }
    use ProvisionStatus::{Booting, Completed, Configuring, Downloading, Partitioning, Preparing};
    let steps = [
        (Preparing, Step::Prepare),
        (Preparing, Step::Survey),
        (Partitioning, Step::Partition),
        (Downloading, Step::Write),
        (Configuring, Step::Configure),
        (Configuring, Step::Boot),
    ];
    assert_eq!(met, steps);
    while site.next().is_some() || site.is().1 == Step::Boot {}
    assert_eq!((site.is(), site.machine.fields.boot_env.as_str()), ((Booting, Step::Restart), "local"));
    site.leave();
    site.boot(true);
    assert_eq!((site.is(), site.state()), ((Booting, Step::FirstBoot), ProvisionState::Installing));
    assert_eq!(site.next().as_deref(), Some("muster-install-first-boot"));
    site.tell(JobState::Running, "");
    site.first_boot(&fine());
    assert_eq!((site.is().0, site.state()), (Completed, ProvisionState::Installed));
    assert_eq!((site.machine.fields.os.as_str(), site.run.view().percent), ("debian-12", 100));
    assert!(site.tell(JobState::Finished, ""), "the job that reported goes on to its end");
    assert!(site.run.steps.iter().all(|passed| passed.ended_at.is_some()), "{:?}", site.run.steps);
    let order: Vec<Step> = site.run.steps.iter().map(|passed| passed.step).collect();
    assert_eq!(order, Step::ALL);
    assert_eq!(site.machine.latest_run.unwrap().installed, "digest");
}

#[test]
fn what_cloud_init_could_not_do_is_degraded_and_installed() {
    for (told, error) in [
        (FirstBoot { cloud_init: "degraded".to_owned(), ..fine() }, "cloud-init: its result is \"degraded\""),
        (FirstBoot { errors: vec!["runcmd failed".to_owned()], ..fine() }, "cloud-init: runcmd failed"),
    ] {
        let mut site = Site::asked(&rebuild());
        site.install();
        site.boot(true);
        site.first_boot(&told);
        assert_eq!((site.is().0, site.state()), (ProvisionStatus::Degraded, ProvisionState::Installed));
        assert_eq!(site.run.error, error);
        assert!(!site.run.next_action.is_empty());
    }
}

#[test]
fn progress_says_its_step_and_never_goes_back() {
    let mut site = Site::asked(&rebuild());
    site.report(Step::Write);
    assert_eq!((site.is().1, site.run.progress.percent), (Step::Write, 50));
    let percent = site.run.view().percent;
    assert!((12..80).contains(&percent), "{percent}");
    site.report(Step::Survey);
    assert_eq!((site.is().1, site.run.progress.percent), (Step::Write, 50), "it is over");
}

#[test]
fn a_machine_elsewhere_is_waited_for_and_then_sent_into_our_image() {
    let mut site = Site::asked(&rebuild());
    site.install();
    site.boot(true);
    site.first_boot(&fine());
    site.ask(&rebuild(), true);
    assert_eq!((site.state(), site.machine.booted_env()), (ProvisionState::Pending, "local"));
    assert!(site.machine.wants_runner(), "which restarts it into our image");
    assert_eq!(site.next(), None, "it has to boot first");
    site.leave();
    assert_eq!(site.state(), ProvisionState::Installing);
    site.boot(true);
    assert_eq!(site.machine.booted_env(), "local");
    assert!(site.run.progress.message.contains("once more") && site.machine.wants_runner());
    site.leave();
    site.boot(false);
    site.install();
    site.boot(true);
    site.first_boot(&fine());
    assert_eq!(site.state(), ProvisionState::Installed);
}

#[test]
fn a_power_cut_begins_the_stage_anew_and_not_for_ever() {
    let mut site = Site::asked(&rebuild());
    for cut in 1..=MAX_RESTARTS {
        site.work();
        site.work();
        assert_eq!(site.next().as_deref(), Some("muster-install-partition"));
        site.tell(JobState::Running, "");
        let job = site.job().unwrap().fields.uuid;
        site.boot(false);
        assert_eq!((site.is(), site.run.restarts), ((ProvisionStatus::Preparing, Step::Prepare), cut));
        let cut_off = site.jobs.iter().find(|other| other.fields.uuid == job).unwrap();
        assert_eq!(cut_off.fields.state, JobState::Failed);
        assert!(cut_off.fields.result_errors[0].contains("restarted"), "{:?}", cut_off.fields.result_errors);
        assert!(site.run.touched, "a disk may have been written before");
    }
    site.next();
    site.tell(JobState::Running, "");
    site.boot(false);
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Error, ProvisionState::Failed));
    assert!(site.run.error.contains("restarted 6 times"), "{}", site.run.error);
    assert_eq!(site.next(), None, "it stays where it is");
}

#[test]
fn a_restart_that_a_task_asked_for_loses_nothing() {
    let mut site = Site::asked(&rebuild());
    site.work();
    site.next();
    site.tell(JobState::Running, "");
    site.tell(JobState::Incomplete, "");
    site.leave();
    site.boot(false);
    assert_eq!((site.run.restarts, site.is().1), (0, Step::Survey));
    assert_eq!(site.next().as_deref(), Some("muster-install-survey"));
}

#[test]
fn a_discovery_ends_in_our_image() {
    let mut site = Site::asked(&rebuild());
    site.install();
    site.boot(true);
    site.first_boot(&fine());
    site.ask(&discover(), true);
    assert_eq!(site.state(), ProvisionState::Installed, "until it is there");
    site.leave();
    site.boot(false);
    while site.run.is_active() {
        assert_eq!(site.next(), None);
    }
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Completed, ProvisionState::Discovery));
    assert_eq!(site.machine.latest_run.unwrap().installed, "", "nothing is installed any more");
}

#[test]
fn a_system_without_our_agent_is_installed_when_the_machine_leaves() {
    let mut site = Site::asked_with(&rebuild(), false);
    site.install();
    site.leave();
    assert_eq!((site.is().0, site.state()), (ProvisionStatus::Completed, ProvisionState::Installed));
    assert!(site.run.progress.message.contains("no agent"), "{}", site.run.progress.message);
    assert!(site.machine.fields.workflow_complete, "nobody would run what is left");
}

#[test]
fn tasks_of_authors_say_their_step_by_a_label() {
    let mut site = Site::asked(&rebuild());
    let mut task = (**site.content.tasks.get("muster-install-survey").unwrap()).clone();
    task.name = "my-look".to_owned();
    site.content.tasks.put(task);
    let at = site.machine.fields.tasks.iter().position(|task| task == "muster-install-survey").unwrap();
    site.machine.fields.tasks[at] = "my-look".to_owned();
    site.work();
    assert_eq!((site.work().as_str(), site.is().1), ("my-look", Step::Survey));
}
