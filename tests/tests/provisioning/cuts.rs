//! Power cuts: a machine that loses its power in a step ends installed and booting, or failed with a reason; never
//! installed without booting.

use std::sync::LazyLock;

use protocol::install::{ProvisionStatus, Step};
use protocol::rest::ProvisionState;
use tests::os_image::Debian;
use tests::qemu::Firmware;
use tests::wait;

use crate::site::{Guest, INSTALLED_WITHIN, SOON, Site};

pub(crate) static TINY: LazyLock<Debian> = LazyLock::new(|| Debian::build().unwrap().tiny().unwrap());
/// Runs in which one step may be missed: between looking and pulling the plug a machine goes on, and the shortest steps
/// take less than a second.
const TRIES: u32 = 3;
/// What the system that is installed says when it is up.
pub(crate) const RUNS: &str = "tiny system runs: 1";

impl Site {
    /// The small system in the registry.
    pub(crate) fn with_tiny(&self) {
        let layout = self.path("oci");
        TINY.oci(&layout, "1", &[]).unwrap();
        self.oci_image("tiny", &layout, "1");
    }

    /// Waits until a run is in a step, or past it.
    fn reaches(&self, guest: &mut Guest, run: &str, step: Step) {
        let reached = wait::until(&format!("step {step}"), INSTALLED_WITHIN, || {
            let run = self.run(run);
            anyhow::ensure!(!run.is_terminal, "the run ended {} before: {}", run.status, run.error);
            Ok((run.started_at.is_some() && run.progress.step >= step).then_some(()))
        });
        reached.map_err(|error| guest.vm.failed(&error)).unwrap();
    }

    /// Cuts the power in a step of a new run, which is made good; the step that it was, as nothing is told after the cut.
    fn is_cut_in(&self, guest: &mut Guest, step: Step) -> Step {
        let run = self.provision(guest, "tiny");
        self.reaches(guest, &run, step);
        guest.vm.cut_power().unwrap();
        let cut = self.run(&run).progress.step;
        guest.starts_again();
        let ended = self.ended(guest, &run);
        if ended.status != ProvisionStatus::Completed {
            let said = !ended.error.is_empty() && !ended.next_action.is_empty();
            assert!(said, "cut in {cut}: {}: no reason, or no remedy", ended.status);
            panic!("cut in {cut}: {}: {}\n{}", ended.status, ended.error, self.job_logs(&guest.uuid));
        }
        guest.vm.wait_for_text(RUNS, SOON).unwrap();
        let machine = self.machine_state(&guest.uuid);
        assert!(machine.own.online, "cut in {cut}");
        assert_eq!(machine.own.provision_state, ProvisionState::Installed, "cut in {cut}");
        cut
    }
}

/// Cuts the power of one machine in a step of each of several runs. The key of a UEFI machine outlives that, so the same
/// machine comes back by itself; the next run is asked for while the system of the one before runs. At the end it boots as
/// it is told, as the same machine.
fn cut_in(name: &str, firmware: Firmware, steps: [Step; 4]) {
    let site = Site::start(name);
    site.with_tiny();
    let mut guest = site.approve(site.machine(name, firmware));
    for step in steps {
        let is_hit = (0..TRIES).any(|_| site.is_cut_in(&mut guest, step) == step);
        assert!(is_hit, "no cut of {TRIES} came in {step}: it was over each time");
    }
    site.boots_as_it_is_told(&mut guest);
}

#[test]
fn power_cut_in_each_step_before_the_system_is_written_is_made_good() {
    let steps = [Step::Prepare, Step::Survey, Step::Partition, Step::Write];
    cut_in("cuts-before", Firmware::Uefi, steps);
}

#[test]
fn power_cut_in_each_step_after_the_system_is_written_is_made_good() {
    let steps = [Step::Configure, Step::Boot, Step::Restart, Step::FirstBoot];
    cut_in("cuts-after", Firmware::SecureBoot, steps);
}
