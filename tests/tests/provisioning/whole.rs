//! The whole way, once on UEFI and once on BIOS: boot, code, approval, roles, an OCI image from a registry with a password,
//! the installed system; then another system, from a disk image, asked for while the first one runs.

use std::sync::LazyLock;

use protocol::install::Fate;
use reqwest::Method;
use serde_json::{Value, json};
use tests::os_image::{Debian, Disk};
use tests::qemu::Firmware;

use crate::site::{Guest, REGISTRY_PASSWORD, SOON, Site};

/// Built once for both machines.
static DEBIAN: LazyLock<Debian> = LazyLock::new(|| Debian::build().unwrap());
/// Value of a secret that a role uses.
const SECRET: &str = "hunter2-but-longer-5521";
/// Every machine of this site.
const BASE: &str = "\
#cloud-config
users:
  - name: deploy
    shell: /bin/bash
    ssh_authorized_keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJXpUaMvWpcPWsWNBJpGSTWqDWSF1RnFnZcSMrSu2rVb test\"]
write_files:
  - path: /etc/site
    content: \"{{.vars.SITE}}\\n\"
runcmd:
  - [sh, -c, \"echo base ran on $(hostname) > /dev/ttyS0\"]
";
/// Some of them.
const WEB: &str = "\
#cloud-config
write_files:
  - path: /etc/web
    permissions: \"0600\"
    content: \"{{.secrets.WEB_KEY}} for {{.machine.hostname}}\\n\"
runcmd:
  - [sh, -c, \"echo web ran: $(cat /etc/site) $(id -un deploy) $(wc -c < /etc/web) > /dev/ttyS0\"]
";

impl Site {
    fn with_roles(&self) {
        self.call(Method::POST, "/variables", &json!({ "Name": "SITE", "Value": "hall-7" }));
        self.call(Method::POST, "/secrets", &json!({ "Name": "WEB_KEY", "Value": SECRET }));
        self.role("base", 0, BASE);
        self.role("web", 100, WEB);
    }

    fn give_roles(&self, guest: &Guest) {
        let patch = json!([{ "op": "replace", "path": "/Profiles", "value": ["base", "web"] }]);
        self.call(Method::PATCH, &format!("/machines/{}", guest.uuid), &patch);
    }

    /// What the roles asked for was done, by cloud-init of the system that booted.
    fn roles_were_applied(&self, guest: &mut Guest) {
        let name = guest.name.clone();
        guest.vm.wait_for_text(&format!("base ran on {name}"), SOON).unwrap();
        let length = format!("{SECRET} for {name}\n").len();
        guest.vm.wait_for_text(&format!("web ran: hall-7 deploy {length}"), SOON).unwrap();
    }

    fn tells_the_plan(&self, guest: &Guest) {
        let plan = self.call(Method::GET, &format!("/machines/{}/disk-plan", guest.uuid), &Value::Null);
        let disks = plan["Disks"].as_array().unwrap();
        let fates: Vec<&str> = disks.iter().map(|disk| disk["Fate"].as_str().unwrap()).collect();
        assert_eq!(fates.iter().filter(|&&fate| fate == format!("{:?}", Fate::Erase)).count(), 1, "{plan}");
    }

    fn tell_the_whole_story(
        self,
        name: &str,
        firmware: Firmware,
        second: impl Fn(&Disk) -> std::path::PathBuf,
        format: &str,
    ) {
        self.with_roles();
        let layout = self.path("oci");
        let layer = self.path("layer.tar");
        Debian::layer(&layer, &[("etc/motd", "by layers\n"), ("usr/share/.wh.bug", "")]).unwrap();
        DEBIAN.oci(&layout, "12", &[&layer]).unwrap();
        self.oci_image("debian", &layout, "12");

        let mut guest = self.approve(self.machine(name, firmware));
        self.give_roles(&guest);
        self.tells_the_plan(&guest);
        let run = self.provision(&guest, "debian");
        self.installed(&mut guest, &run);
        self.roles_were_applied(&mut guest);
        let machine = self.machine_state(&guest.uuid);
        assert_eq!(machine.fields.os, "debian-12");
        assert!(!machine.own.pending_changes);

        let disk = Disk::of(&DEBIAN, &self.path("second.raw"), 2_048).unwrap();
        self.imported("debian-disk", &second(&disk), format);
        guest.vm.look_from_here().unwrap();
        let run = self.provision(&guest, "debian-disk");
        self.installed(&mut guest, &run);
        self.roles_were_applied(&mut guest);
        self.keeps(REGISTRY_PASSWORD, &mut guest);
        self.keeps(SECRET, &mut guest);
        self.disk_lacks(name, REGISTRY_PASSWORD);
        let uuids: Vec<String> =
            self.operator.machines().unwrap().iter().map(|machine| machine.uuid.to_string()).collect();
        assert_eq!(uuids, [guest.uuid], "it was the same machine all the time");
    }
}

#[test]
fn uefi_machine_is_installed_from_a_registry_and_again_from_a_raw_image() {
    let site = Site::start("whole-uefi");
    site.tell_the_whole_story("whole-uefi", Firmware::Uefi, |disk| disk.xz().unwrap(), "raw");
}

#[test]
fn bios_machine_is_installed_from_a_registry_and_again_from_a_qcow2_image() {
    let site = Site::start("whole-bios");
    site.tell_the_whole_story("whole-bios", Firmware::Bios, |disk| disk.qcow2().unwrap(), "qcow2");
}
