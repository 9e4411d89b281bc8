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

    /// It boots its disk, with our medium in the drive and first in the order; and our image when it is told to.
    pub(crate) fn boots_as_it_is_told(&self, guest: &mut Guest) {
        guest.vm.reset().unwrap();
        guest.vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
        guest.vm.save_screenshot("from-disk").unwrap();

        guest.vm.look_from_here().unwrap();
        let request = json!({ "Mode": "discover" });
        self.call(Method::POST, &format!("/machines/{}/provision", guest.uuid), &request);
        let registered = guest.vm.wait_for_registration(CODE_WITHIN).unwrap();
        assert_eq!(registered.uuid.to_string(), guest.uuid, "as the same machine");
        self.waits_for_state(guest, ProvisionState::Discovery);
        assert_eq!(self.operator.machines().unwrap().len(), 1);
    }
}

#[test]
fn bios_machine_goes_into_its_disk_by_kexec_and_boots_as_it_is_told() {
    let site = Site::start("returns-bios");
    site.with_tiny();
    let mut guest = site.approve(site.machine("returns-bios", Firmware::Bios));
    let request = json!({ "Image": "tiny", "Reboot": "kexec", "Confirm": guest.name });
    let run = site.call(Method::POST, &format!("/machines/{}/provision", guest.uuid), &request);
    site.installed(&mut guest, run["Uuid"].as_str().unwrap());
    guest.vm.wait_for_text(RUNS, CODE_WITHIN).unwrap();
    site.boots_as_it_is_told(&mut guest);
}
