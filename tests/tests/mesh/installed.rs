//! An installed system that is a member: rebooted while the server is away, it has its tunnels back by itself.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use protocol::install::{ImportPhase, ImportState, Provision, ProvisionStatus};
use reqwest::Method;
use serde_json::json;
use tests::lab::Services;
use tests::os_image::Debian;
use tests::qemu::{Boot, Disk, VmBuilder};
use tests::wait;

use crate::capture::{shows_no_plain_text, shows_no_plain_text_at_all};
use crate::member::{MARK, Member, SHORT, reach};
use crate::site::{BOOT_WITHIN, Place, Site, TOLD_WITHIN};

/// What the installed system says when it is up.
const RUNS: &str = "tiny system runs: 1";
/// An installation of the small system, translated and beside another machine.
const INSTALLED_WITHIN: Duration = Duration::from_secs(300);
/// From the word of the system that is up to answers.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// The disk, and the memory of who installs onto it, in bytes and MiB.
const DISK: u64 = 4 * 1_024 * 1_024 * 1_024;
const MEMORY: u32 = 1_536;

impl Site {
    /// The small system as an image that was imported.
    fn imports_a_system(&self) {
        let archive = Debian::build().and_then(|debian| debian.tiny()).unwrap();
        let image = json!({ "Name": "tiny", "Source": "upload", "Format": "tar" });
        self.call(Method::POST, "/images", &image);
        let import = self.operator.request(Method::POST, "/api/v3/images/tiny/import");
        let answer = self.operator.send(import.body(fs::read(archive.archive()).unwrap())).unwrap();
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        wait::until("the image to be imported", INSTALLED_WITHIN, || {
            let image = self.get("/images/tiny");
            let import: ImportState = serde_json::from_value(image["Import"].clone())?;
            ensure!(import.state != ImportPhase::Failed, "{}", import.message);
            Ok((import.state == ImportPhase::Done).then_some(()))
        })
        .unwrap();
    }

    /// A machine with an empty disk, on which the small system is installed.
    fn installs(&mut self, disk: &Path) -> (Member, VmBuilder) {
        let (machine, ..) = self.machine(Place::Bridge);
        File::create(disk).and_then(|file| file.set_len(DISK)).unwrap();
        let machine = machine.memory_mib(MEMORY).disk(Disk::new(disk, "SYSTEM-1"));
        // The installed system speaks where the one that installed it does.
        let image = self.image(&format!("quiet console=ttyS0,115200 {}", self.token().kernel_args));
        let mut vm = machine.clone().boot(image).start().unwrap();
        let registered = vm.wait_for_registration(BOOT_WITHIN).unwrap();
        let uuid = registered.uuid.to_string();
        let wish = json!({ "Image": "tiny", "Reboot": "kexec", "Confirm": registered.name });
        let run = self.call(Method::POST, &format!("/machines/{uuid}/provision"), &wish);
        let path = format!("/api/v3/provisions/{}", run["Uuid"].as_str().unwrap());
        let ended = wait::until("the installation to end", INSTALLED_WITHIN, || {
            let run: Provision = self.operator.get(&path)?.expect(200)?;
            ensure!(
                !run.is_terminal || run.status == ProvisionStatus::Completed,
                "{}: {}",
                run.status,
                run.error
            );
            Ok(run.is_terminal.then_some(()))
        });
        ended.map_err(|error| vm.failed(&error)).unwrap();
        vm.wait_for_text(RUNS, SHORT).unwrap();
        let mut member = Member::new(vm, registered.name, uuid, Ipv4Addr::UNSPECIFIED);
        let address =
            member.does("ip -4 -o address show scope global | awk '{print $4}' | cut -d/ -f1 | head -n 1");
        member.outside = address.trim().parse().unwrap();
        (member, machine.boot(Boot::Disk))
    }
}

#[test]
fn an_installed_member_that_is_rebooted_without_the_server_has_its_tunnels_back() {
    let mut site = Site::start("installed");
    site.lab.serve(&Services::dhcp()).unwrap();
    site.imports_a_system();
    let folder = tempfile::tempdir().unwrap();
    // Beside the installation, which takes longer.
    let other = site.powers_on([Place::Bridge]);
    let (mut installed, again) = site.installs(&folder.path().join("installed.raw"));
    let [mut other] = site.welcomes(other);
    let (to_other, to_installed) = (other.outside, installed.outside);
    installed.pings_in_clear(to_other);
    other.pings_in_clear(to_installed);

    site.assign(&other);
    site.assign(&installed);
    let [of_installed, of_other] = [&installed, &other].map(|member| site.addresses(member));
    reach(&mut [(&mut installed, of_other.clone()), (&mut other, of_installed.clone())], TOLD_WITHIN);

    // From before it has any network at its next start, it pings the other one, by the mesh network's addresses.
    let each: Vec<String> = of_other.iter().map(ToString::to_string).collect();
    let ping = format!("ping -q -c 1 -W 1 -p {MARK:02x} $to");
    let talks = format!("while true; do for to in {}; do {ping}; sleep 0.05; done; done", each.join(" "));
    let writes = format!("printf '%s\\n' '#!/bin/sh' '{talks}' > /etc/rc.local");
    installed.does(&format!("{writes} && chmod +x /etc/rc.local && sync"));
    site.stop_server();
    installed.vm.cut_power().unwrap();
    let mut vm = again.start().unwrap();
    vm.wait_for_text(RUNS, BOOT_WITHIN).unwrap();
    let up = Instant::now();
    let Member { name, uuid, outside, .. } = installed;
    let mut installed = Member::new(vm, name, uuid, outside);
    reach(&mut [(&mut installed, of_other), (&mut other, of_installed)], BACK_WITHIN);
    let line = format!("{:.2} s\n", up.elapsed().as_secs_f64());
    fs::write(installed.vm.folder().join("time-back"), line).unwrap();
    installed.pings_in_clear(to_other);
    shows_no_plain_text_at_all(&installed);
    shows_no_plain_text(&other);
    site.start_server();
}
