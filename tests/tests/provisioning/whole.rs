//! The whole way, once on UEFI and once on BIOS: boot, code, approval, roles, an OCI image from a registry with a password,
//! the installed system; then another system, from a disk image, asked for while the first one runs. On BIOS the server dies
//! in the middle of the download.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use protocol::install::{Fate, Step};
use reqwest::Method;
use serde_json::{Value, json};
use tests::os_image::{Debian, Disk};
use tests::qemu::Firmware;
use tests::wait;

use crate::cuts::{RUNS, TINY};
use crate::site::{Guest, INSTALLED_WITHIN, REGISTRY_PASSWORD, SOON, Site};

/// Built once for both machines.
static DEBIAN: LazyLock<Debian> = LazyLock::new(|| Debian::build().unwrap());
/// Most bytes that may be downloaded for each of the image's, where the server dies in between.
const AT_MOST: f64 = 1.05;
/// Value of a secret that a role uses.
const SECRET: &str = "hunter2-but-longer-5521";
/// Every machine of this site. Which processes run in it is told on the console, where secrets are looked for.
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
  - [sh, -c, \"cat /proc/[0-9]*/cmdline | tr '\\\\0' ' ' > /dev/ttyS0; echo every process of $(hostname) was told > /dev/ttyS0\"]
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
        guest.vm.wait_for_text(&format!("every process of {name} was told"), SOON).unwrap();
        let length = format!("{SECRET} for {name}\n").len();
        guest.vm.wait_for_text(&format!("web ran: hall-7 deploy {length}"), SOON).unwrap();
    }

    fn tells_the_plan(&self, guest: &Guest) {
        let plan = self.call(Method::GET, &format!("/machines/{}/disk-plan", guest.uuid), &Value::Null);
        let disks = plan["Disks"].as_array().unwrap();
        let fates: Vec<&str> = disks.iter().map(|disk| disk["Fate"].as_str().unwrap()).collect();
        assert_eq!(fates.iter().filter(|&&fate| fate == format!("{:?}", Fate::Erase)).count(), 1, "{plan}");
    }

    /// The server dies when a third is downloaded, and is started again: little is downloaded twice.
    fn dies_in_the_middle(&mut self, guest: &mut Guest, run: &str) {
        let total = wait::until("a third of the download", INSTALLED_WITHIN, || {
            let run = self.run(run);
            anyhow::ensure!(!run.is_terminal, "the run ended {}: {}", run.status, run.error);
            let told = run.progress;
            Ok((told.step == Step::Write && told.total > 0 && told.bytes > told.total / 3)
                .then_some(told.total))
        });
        let total = total.map_err(|error| guest.vm.failed(&error)).unwrap();
        self.server.kill().unwrap();
        self.server.start_again().unwrap();
        self.is_back();
        self.installed(guest, run);
        let logs = self.job_logs(&guest.uuid);
        let line = logs.lines().find_map(|line| line.split_once("downloaded ")).map(|(_, rest)| rest);
        let line = line.unwrap_or_else(|| panic!("the job tells no number of bytes:\n{logs}"));
        let bytes: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
        assert!(bytes <= total as f64 * AT_MOST, "{bytes} bytes were downloaded of {total}");
    }

    /// From a registry, with roles.
    fn is_installed(&mut self, name: &str, firmware: Firmware, is_cut: bool) -> Guest {
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
        if is_cut {
            self.dies_in_the_middle(&mut guest, &run);
        }
        self.installed(&mut guest, &run);
        self.roles_were_applied(&mut guest);
        let machine = self.machine_state(&guest.uuid);
        assert_eq!(machine.fields.os, "debian-12");
        assert!(!machine.own.pending_changes);
        guest
    }

    /// From a disk image, while another system runs.
    fn is_installed_anew(&self, guest: &mut Guest, image: &Path, format: &str) {
        self.imported("anew", image, format);
        guest.vm.look_from_here().unwrap();
        let run = self.provision(guest, "anew");
        self.installed(guest, &run);
    }

    fn kept_its_secrets(&self, name: &str, guest: &Guest) {
        self.keeps(REGISTRY_PASSWORD, guest);
        self.keeps(SECRET, guest);
        self.disk_lacks(name, REGISTRY_PASSWORD);
        let uuids: Vec<String> =
            self.operator.machines().unwrap().iter().map(|machine| machine.uuid.to_string()).collect();
        assert_eq!(uuids, std::slice::from_ref(&guest.uuid), "it was the same machine all the time");
    }
}

#[test]
fn uefi_machine_is_installed_from_a_registry_and_again_from_a_raw_image() {
    let mut site = Site::start("whole-uefi");
    let mut guest = site.is_installed("whole-uefi", Firmware::Uefi, false);
    let disk = Disk::of(&TINY, &site.path("second.raw"), 512).unwrap();
    site.is_installed_anew(&mut guest, &disk.xz().unwrap(), "raw");
    guest.vm.wait_for_text(RUNS, SOON).unwrap();
    site.kept_its_secrets("whole-uefi", &guest);
}

#[test]
fn bios_machine_is_installed_from_a_registry_that_comes_back_and_again_from_a_qcow2_image() {
    let mut site = Site::start("whole-bios");
    let mut guest = site.is_installed("whole-bios", Firmware::Bios, true);
    let disk = Disk::of(&TINY, &site.path("second.raw"), 512).unwrap();
    site.is_installed_anew(&mut guest, &disk.qcow2().unwrap(), "qcow2");
    guest.vm.wait_for_text(RUNS, SOON).unwrap();
    site.kept_its_secrets("whole-bios", &guest);
}

/// Longer than every change can wait for (`FULL=1`).
mod full {
    use super::*;

    /// The same Debian by a disk image, whose first boot does all that the roles ask for.
    fn by_disk_image(name: &str, firmware: Firmware, format: &str, make: impl Fn(&Disk) -> PathBuf) {
        let site = Site::start(name);
        site.with_roles();
        let disk = Disk::of(&DEBIAN, &site.path("debian.raw"), 2_048).unwrap();
        let mut guest = site.approve(site.machine(name, firmware));
        site.give_roles(&guest);
        site.is_installed_anew(&mut guest, &make(&disk), format);
        site.roles_were_applied(&mut guest);
        site.kept_its_secrets(name, &guest);
    }

    #[test]
    fn debian_is_installed_from_a_raw_image() {
        by_disk_image("whole-raw", Firmware::Bios, "raw", |disk| disk.xz().unwrap());
    }

    #[test]
    fn debian_is_installed_from_a_qcow2_image() {
        by_disk_image("whole-qcow2", Firmware::Uefi, "qcow2", |disk| disk.qcow2().unwrap());
    }
}
