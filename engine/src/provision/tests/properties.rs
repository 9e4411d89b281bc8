//! Whatever happens in whatever order: no run installs for ever, and nothing is installed that nobody saw boot.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Next,
    Tell(JobState),
    Boot { installed: bool },
    Leave,
    Report(Step),
    FirstBoot { fine: bool },
    Pass(u64),
    Cancel,
    Leaves,
    Stop,
    Ask { rebuild: bool, agent: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Next),
        4 => Just(Event::Tell(JobState::Running)),
        4 => Just(Event::Tell(JobState::Finished)),
        1 => prop_oneof![Just(JobState::Failed), Just(JobState::Incomplete)].prop_map(Event::Tell),
        2 => any::<bool>().prop_map(|installed| Event::Boot { installed }),
        1 => Just(Event::Leave),
        2 => prop::sample::select(Step::ALL.to_vec()).prop_map(Event::Report),
        1 => any::<bool>().prop_map(|fine| Event::FirstBoot { fine }),
        1 => (1_u64..2_000).prop_map(Event::Pass),
        1 => Just(Event::Cancel),
        1 => Just(Event::Leaves),
        1 => Just(Event::Stop),
        2 => any::<(bool, bool)>().prop_map(|(rebuild, agent)| Event::Ask { rebuild, agent }),
    ]
}

/// What a machine's disk is known to hold.
#[derive(Default)]
struct Known {
    /// A system that somebody saw boot, or that nobody could have seen, and that nothing touched since.
    installed: bool,
}

fn happen(site: &mut Site, known: &mut Known, event: &Event) {
    match event {
        Event::Next => drop(site.next()),
        Event::Tell(state) => drop(site.tell(*state, "it failed")),
        Event::Boot { installed } => site.boot(*installed),
        Event::Leave => site.leave(),
        Event::Report(step) => site.report(*step),
        Event::FirstBoot { fine: is_fine } => {
            let on_disk = site.run.is_active() && site.machine.booted_env() == "local";
            if on_disk && site.run.step() == Step::FirstBoot {
                let cloud_init = if *is_fine { "done" } else { "error" };
                site.first_boot(&FirstBoot { cloud_init: cloud_init.to_owned(), ..fine() });
                known.installed = true;
            }
        }
        Event::Pass(seconds) => site.pass(*seconds),
        Event::Cancel if site.run.is_active() => site.cancel(),
        Event::Leaves => {
            site.machine.leave_workflow();
            let job = site.job();
            site.hear(News::Walked { job: job.as_ref(), said: "" });
        }
        Event::Stop => site.machine.fields.runnable = !site.machine.fields.runnable,
        Event::Ask { rebuild: is_rebuild, agent } if !site.run.is_active() => {
            let request = if *is_rebuild { rebuild() } else { discover() };
            site.ask(&request, *agent);
        }
        Event::Cancel | Event::Ask { .. } => {}
    }
    if site.run.touched && site.run.is_active() {
        known.installed = false;
    }
    let unseen = !site.run.agent && site.run.mode == Mode::Rebuild;
    known.installed |= unseen && site.run.status == ProvisionStatus::Completed;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_installed_that_nobody_saw_boot(events in prop::collection::vec(event(), 0..60)) {
        let (mut site, mut known) = (Site::asked(&rebuild()), Known::default());
        for event in &events {
            let before = site.run.clone();
            happen(&mut site, &mut known, event);
            if !before.is_active() && before.id == site.run.id {
                prop_assert_eq!(&before, &site.run, "what is over stays as it is");
            }
            prop_assert!(known.installed || site.state() != ProvisionState::Installed, "{:?} {:?}", event, site.run);
        }
    }

    /// Whoever waits long enough sees the end of whatever has begun, though the machine does nothing more.
    #[test]
    fn nothing_is_installing_for_ever(events in prop::collection::vec(event(), 0..60)) {
        let (mut site, mut known) = (Site::asked(&rebuild()), Known::default());
        for event in &events {
            happen(&mut site, &mut known, event);
            if site.run.is_active() && site.run.started_at.is_some() {
                prop_assert!(site.run.due_at.is_some(), "{:?}", site.run);
            }
        }
        site.pass(86_400);
        prop_assert!(site.state() != ProvisionState::Installing, "{:?}", site.run);
    }

    /// Nor though it restarts again and again.
    #[test]
    fn nor_while_the_machine_restarts_again_and_again(tasks in 0_usize..5, installed in any::<bool>()) {
        let mut site = Site::asked(&rebuild());
        let mut boots = 0;
        while site.run.is_active() {
            for _ in 0..tasks {
                if site.next().is_some() {
                    site.tell(JobState::Running, "");
                    site.tell(JobState::Finished, "");
                }
            }
            site.next();
            site.tell(JobState::Running, "");
            site.boot(installed);
            site.pass(60);
            boots += 1;
            prop_assert!(boots < 100, "{:?}", site.run);
        }
    }
}
