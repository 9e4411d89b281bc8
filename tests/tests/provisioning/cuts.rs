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
}

/// Cuts the power of one machine in a step of each of several runs. The key of a UEFI machine outlives that, so the same
/// machine comes back by itself; the next run is asked for while the system of the one before runs. At the end it boots as
/// it is told, as the same machine.
fn cut_in(name: &str, firmware: Firmware, steps: [Step; 4]) {
    let site = Site::start(name);
    site.with_tiny();
    let mut guest = site.approve(site.machine(name, firmware));
    for step in steps {
        let run = site.provision(&guest, "tiny");
        site.reaches(&mut guest, &run, step);
        guest.cut_and_start();
        let ended = site.ended(&mut guest, &run);
        if ended.status != ProvisionStatus::Completed {
            let said = !ended.error.is_empty() && !ended.next_action.is_empty();
            assert!(said, "cut in {step}: {}: no reason, or no remedy", ended.status);
            panic!("cut in {step}: {}: {}\n{}", ended.status, ended.error, site.job_logs(&guest.uuid));
        }
        guest.vm.wait_for_text(RUNS, SOON).unwrap();
        let machine = site.machine_state(&guest.uuid);
        assert!(machine.own.online, "cut in {step}");
        assert_eq!(machine.own.provision_state, ProvisionState::Installed, "cut in {step}");
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
