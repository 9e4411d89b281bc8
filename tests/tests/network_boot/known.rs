//! A machine that is known boots what it is told to: our image as long as nobody decided anything, its
//! disk, and our image again when it gets work; as the same machine each time.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use tests::disk::{self, DISK_BOOTED};
use tests::qemu::{Disk, Firmware, Network, Vm};
use tests::wait;

use crate::{BOOT_WITHIN, SERVER, SOON, Site, network};

impl Site {
    /// Waits until the machine is back as the one that it was.
    fn comes_back_as(&self, vm: &mut Vm, uuid: &str) {
        let registered = vm.wait_for_registration(BOOT_WITHIN).unwrap();
        assert_eq!(registered.uuid.to_string(), uuid);
        assert!(self.operator.enrollments().unwrap().is_empty());
        assert_eq!(self.operator.machines().unwrap().len(), 1);
        self.keeps_secrets(vm);
    }

    fn set(&self, uuid: &str, field: &str, value: &str) {
        let patch = json!([{ "op": "replace", "path": format!("/{field}"), "value": value }]);
        self.operator.call(Method::PATCH, &format!("/machines/{uuid}"), &patch).unwrap();
    }

    /// The story of one machine, from nothing to work. `again` boots it while nobody decided anything.
    fn tell_a_story(mut self, firmware: Firmware, again: impl Fn(&mut Vm) -> Result<()>) {
        let image = self.path("disk");
        match firmware {
            Firmware::Bios => disk::for_bios(&image).unwrap(),
            Firmware::Uefi | Firmware::SecureBoot => disk::for_uefi(&image, &self.media).unwrap(),
        }
        let stage = json!({ "Name": "image", "BootEnv": "muster" });
        self.operator.call(Method::POST, "/stages", &stage).unwrap();
        let workflow = json!({ "Name": "work", "Stages": ["image"] });
        self.operator.call(Method::POST, "/workflows", &workflow).unwrap();

        let disk = Disk::new(&image, "DISK-1");
        let machine = self.machine("known", firmware, Network::Pxe).serial_number("KNOWN-1").disk(disk);
        let mut vm = machine.start().unwrap();
        let machine = self.registers(&mut vm);
        let uuid = machine.uuid.to_string();
        assert_eq!(
            machine.fields.boot_env, "muster",
            "it boots our image again, unless somebody decides otherwise"
        );

        again(&mut vm).unwrap();
        self.comes_back_as(&mut vm, &uuid);

        self.set(&uuid, "BootEnv", "local");
        vm.reset_by_keyboard().unwrap();
        vm.wait_for_text(DISK_BOOTED, BOOT_WITHIN).unwrap();

        self.set(&uuid, "Workflow", "work");
        vm.reset().unwrap();
        self.comes_back_as(&mut vm, &uuid);
        wait::until("the workflow to be complete", SOON, || {
            let machine = self.operator.call(Method::GET, &format!("/machines/{uuid}"), &json!(null))?;
            Ok((machine["WorkflowComplete"] == true).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn a_bios_machine_boots_image_disk_and_image_as_the_same_machine() {
    let mut site = Site::with_tftp("known-bios");
    let script = format!("{}/default.ipxe", site.server.boot_url().unwrap());
    site.lab.serve(&network().boot_ipxe(&script)).unwrap();
    // Without a goodbye: for a minute it may still be there, and whoever comes in its name has to wait.
    site.tell_a_story(Firmware::Bios, Vm::reset);
}

#[test]
fn a_uefi_machine_boots_image_disk_and_image_as_the_same_machine() {
    let mut site = Site::with_tftp("known-uefi");
    site.lab.serve(&network().boot_uefi("shimx64.efi", SERVER)).unwrap();
    site.tell_a_story(Firmware::Uefi, Vm::reset_by_keyboard);
}
