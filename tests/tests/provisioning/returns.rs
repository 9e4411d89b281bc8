//! Where a machine boots follows what it is told, not what is in its drive: its disk with our medium first in the boot order,
//! our image with a system on its disk.

use protocol::rest::ProvisionState;
use reqwest::Method;
use serde_json::json;
use tests::qemu::Firmware;
use tests::wait;

use crate::cuts::RUNS;
use crate::site::{CODE_WITHIN, Guest, INSTALLED_WITHIN, Site};

impl Site {
    fn waits_for_state(&self, guest: &mut Guest, state: ProvisionState) {
        let seen = wait::until(&format!("{state}"), INSTALLED_WITHIN, || {
            let machine = self.operator.machine(&guest.uuid)?;
            Ok((machine.own.provision_state == state && machine.own.online).then_some(()))
        });
        seen.map_err(|error| guest.vm.failed(&error)).unwrap();
    }
}

fn goes_where_it_is_told(name: &str, firmware: Firmware) {
    let site = Site::start(name);
    site.with_tiny();
    let mut guest = site.approve(site.machine(name, firmware));
    // Into the installed system without the firmware, for once.
    let request = json!({ "Image": "tiny", "Reboot": "kexec", "Confirm": guest.name });
    let run = site.call(Method::POST, &format!("/machines/{}/provision", guest.uuid), &request);
    site.installed(&mut guest, run["Uuid"].as_str().unwrap());
    guest.vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();

    for _ in 0..2 {
        guest.vm.reset().unwrap();
        guest.vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
    }
    guest.vm.save_screenshot("from-disk").unwrap();

    guest.vm.look_from_here().unwrap();
    let request = json!({ "Mode": "discover" });
    site.call(Method::POST, &format!("/machines/{}/provision", guest.uuid), &request);
    let registered = guest.vm.wait_for_registration(CODE_WITHIN).unwrap();
    assert_eq!(registered.uuid.to_string(), guest.uuid, "as the same machine");
    site.waits_for_state(&mut guest, ProvisionState::Discovery);
    assert_eq!(site.operator.machines().unwrap().len(), 1);

    let run = site.provision(&guest, "tiny");
    site.installed(&mut guest, &run);
    guest.vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
}

#[test]
fn bios_machine_boots_its_disk_with_our_medium_first_and_comes_back_when_told() {
    goes_where_it_is_told("returns-bios", Firmware::Bios);
}

#[test]
fn secure_machine_boots_its_disk_with_our_medium_first_and_comes_back_when_told() {
    goes_where_it_is_told("returns-secure", Firmware::SecureBoot);
}
