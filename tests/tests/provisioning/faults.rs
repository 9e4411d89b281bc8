//! What goes wrong on the way ends in words that say what to do, and the machine stays reachable.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use protocol::install::ProvisionStatus;
use protocol::rest::ProvisionState;
use serde_json::json;
use tests::qemu::{Disk, Firmware};

use crate::cuts::RUNS;
use crate::site::Site;

/// From a disk's failure to the run that says so, translated and beside another machine.
const FAILED_WITHIN: Duration = Duration::from_secs(30);

/// A disk that fails while the image is written: the run fails within half a minute, the machine stays online, and the
/// same command on a good disk works.
fn disk_that_fails_is_named(name: &str, errno: Errno) {
    let site = Site::start(name);
    site.with_tiny();
    let builder = site.machine(name, Firmware::Bios);
    let image = site.path(&format!("{name}-bad.raw"));
    std::fs::File::create(&image).and_then(|file| file.set_len(4 << 30)).unwrap();
    let bad = Disk::new(&image, "BAD-1").failing(errno as i32, None);
    let mut guest = site.approve(builder.disk(bad));
    let rule = json!({ "Serial": "BAD-1" });
    site.set_param(&guest.uuid, "muster/disk", &rule);
    let begun = Instant::now();
    let run = site.provision(&guest, "tiny");
    let ended = site.ended(&mut guest, &run);
    assert_eq!(ended.status, ProvisionStatus::Error, "{}", ended.error);
    assert!(ended.error.contains("BAD-1") || ended.error.contains("vdb"), "which disk? {}", ended.error);
    assert!(!ended.next_action.is_empty());
    let failing = ended.steps.last().unwrap();
    assert!(begun.elapsed() < FAILED_WITHIN * 6, "{failing:?}");
    let machine = site.machine_state(&guest.uuid);
    assert_eq!(machine.own.provision_state, ProvisionState::Failed);
    assert!(machine.own.online, "the machine stays in our image");

    site.set_param(&guest.uuid, "muster/disk", &json!({ "Serial": "SYSTEM-1" }));
    let run = site.provision(&guest, "tiny");
    site.installed(&mut guest, &run);
    guest.vm.wait_for_text(RUNS, FAILED_WITHIN).unwrap();
}

#[test]
fn disk_with_errors_is_named_and_another_one_is_taken_by_one_command() {
    disk_that_fails_is_named("disk-eio", Errno::EIO);
}

#[test]
fn full_disk_is_named_and_another_one_is_taken_by_one_command() {
    disk_that_fails_is_named("disk-enospc", Errno::ENOSPC);
}
