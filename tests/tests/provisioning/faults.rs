//! What goes wrong on the way ends in words that say what to do, and the machine stays reachable.

use std::time::Duration;

use engine::time::Timestamp;
use nix::errno::Errno;
use protocol::install::ProvisionStatus;
use protocol::rest::ProvisionState;
use serde_json::json;
use tests::qemu::{Disk, Firmware};

use crate::cuts::RUNS;
use crate::site::{Guest, SOON, Site};

/// From the begin of the step in which a disk fails to the run that says so.
const FAILED_WITHIN: Duration = Duration::from_secs(30);

impl Site {
    /// The run that is asked for fails, soon, and names the disk; the machine stays in our image.
    fn fails_on(&self, guest: &mut Guest, serial: &str) {
        self.set_param(&guest.uuid, "muster/disk", &json!({ "Serial": serial }));
        let run = self.provision(guest, "tiny");
        let ended = self.ended(guest, &run);
        assert_eq!(ended.status, ProvisionStatus::Error, "{}", ended.error);
        let machine = self.machine_state(&guest.uuid);
        let disk = machine.own.inventory.disks.iter().find(|disk| disk.serial == serial).unwrap();
        let device = format!("/dev/{}", disk.name);
        assert!(
            ended.error.contains(serial) || ended.error.contains(&device),
            "{serial} is {device}: {}",
            ended.error
        );
        assert!(!ended.next_action.is_empty());
        let failing = ended.steps.last().unwrap();
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let took = time(ended.ended_at.as_deref().unwrap()).since(time(&failing.started_at));
        assert!(took < FAILED_WITHIN, "{took:?} in {failing:?}");
        assert_eq!(machine.own.provision_state, ProvisionState::Failed);
        assert!(machine.own.online, "the machine stays in our image");
    }
}

#[test]
fn disks_that_fail_or_are_full_are_named_and_a_good_one_is_taken_by_one_command() {
    let site = Site::start("faults");
    site.with_tiny();
    let mut builder = site.machine("faults", Firmware::Bios);
    for (serial, errno) in [("BROKEN-1", Errno::EIO), ("FULL-1", Errno::ENOSPC)] {
        let image = site.path(serial);
        std::fs::File::create(&image).and_then(|file| file.set_len(4 << 30)).unwrap();
        builder = builder.disk(Disk::new(&image, serial).failing(errno as i32, None));
    }
    let mut guest = site.approve(builder);
    site.fails_on(&mut guest, "BROKEN-1");
    site.fails_on(&mut guest, "FULL-1");

    site.set_param(&guest.uuid, "muster/disk", &json!({ "Serial": "SYSTEM-1" }));
    let run = site.provision(&guest, "tiny");
    site.installed(&mut guest, &run);
    guest.vm.wait_for_text(RUNS, SOON).unwrap();
}
