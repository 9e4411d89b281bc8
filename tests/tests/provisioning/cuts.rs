//! Power cuts: a machine that loses its power in a step ends installed and booting, or failed with a reason; never
//! installed without booting.

use std::sync::LazyLock;

use protocol::install::{ProvisionStatus, Step};
use protocol::rest::ProvisionState;
use tests::os_image::Debian;
use tests::qemu::Firmware;
use tests::wait;

use crate::site::{Guest, INSTALLED_WITHIN, SOON, Site};

static TINY: LazyLock<Debian> = LazyLock::new(|| Debian::build().unwrap().tiny().unwrap());
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

/// Cuts the power in one step. The key of a UEFI machine outlives that, so the same machine comes back by itself.
fn cut_in(step: Step) {
    let name = format!("cut-{step}");
    let site = Site::start(&name);
    site.with_tiny();
    let mut guest = site.approve(site.machine(&name, Firmware::Uefi));
    let run = site.provision(&guest, "tiny");
    site.reaches(&mut guest, &run, step);
    guest.cut_and_start();
    let ended = site.ended(&mut guest, &run);
    if ended.status != ProvisionStatus::Completed {
        let said = !ended.error.is_empty() && !ended.next_action.is_empty();
        assert!(said, "{}: no reason, or no remedy", ended.status);
        panic!("{}: {}\n{}", ended.status, ended.error, site.job_logs(&guest.uuid));
    }
    guest.vm.wait_for_text(RUNS, SOON).unwrap();
    let machine = site.machine_state(&guest.uuid);
    assert!(machine.own.online);
    assert_eq!(machine.own.provision_state, ProvisionState::Installed);
}

macro_rules! power_cut {
    ($($test:ident $step:ident)*) => {$(
        #[test]
        fn $test() {
            cut_in(Step::$step);
        }
    )*};
}

power_cut! {
    power_cut_while_preparing_is_made_good Prepare
    power_cut_while_surveying_is_made_good Survey
    power_cut_while_partitioning_is_made_good Partition
    power_cut_while_writing_is_made_good Write
    power_cut_while_configuring_is_made_good Configure
    power_cut_while_the_boot_loader_is_written_is_made_good Boot
    power_cut_while_restarting_is_made_good Restart
    power_cut_in_the_first_boot_is_made_good FirstBoot
}
