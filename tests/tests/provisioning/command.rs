//! The one-line command on a Linux that runs already: a real Debian with systemd, sudo and curl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use protocol::agent_api::Origin;
use protocol::installed::MESH_FOLDER;
use protocol::rest::ProvisionState;
use reqwest::Method;
use serde_json::json;
use tests::muster::ServerBuilder;
use tests::os_image::{self, Debian};
use tests::qemu::{Boot, Disk, Firmware, Vm};
use tests::wait;

use crate::site::{INSTALLED_WITHIN, SOON, Site};

/// Somebody sits at the serial console as root.
const SEED: &str = "\
#cloud-config
write_files:
  - path: /etc/systemd/system/serial-getty@ttyS0.service.d/override.conf
    content: |
      [Service]
      ExecStart=
      ExecStart=-/sbin/agetty --autologin root --noclear %I vt220
runcmd:
  - [systemctl, daemon-reload]
  - [systemctl, restart, serial-getty@ttyS0]
";
/// The dead end of the mesh network is there, set by its unit.
const SHUT: &str = "systemctl is-active muster-mesh.service && ip route show proto 183 | grep unreachable";
/// What tells systemd-networkd to leave it alone.
const NETWORKD: &str = "/run/systemd/networkd.conf.d/50-muster-mesh.conf";
/// Last whole lines before the shell's prompt: what Debian says to who logs in. The kernel, which talks on the same line,
/// may spoil one of them.
const LOGGED_IN: [&str; 3] =
    ["the exact distribution terms", "ABSOLUTELY NO WARRANTY", "permitted by applicable law"];

fn is_logged_in(vm: &mut Vm) {
    let is_told = |line: &str| LOGGED_IN.iter().any(|words| line.contains(words)).then_some(());
    vm.wait_for("somebody who is logged in", INSTALLED_WITHIN, is_told).unwrap();
}

/// A command, and what it ended with, told in one line that the command itself does not show.
fn asking(command: &str, name: &str) -> String {
    // On a line of its own: the command may end in its heredoc.
    format!("{}\necho \"{name} ended\" \"with $?\"", command.trim_end())
}

/// The machine becomes the only member of a mesh network, and keeps that on its disk.
fn joins_a_mesh_network(site: &Site, uuid: &str, vm: &mut Vm) {
    let network = json!({ "Name": "home", "Cidrs": ["10.97.0.0/24"] });
    site.operator.call(Method::POST, "/meshes", &network).unwrap();
    let joins = json!([{ "op": "replace", "path": "/MeshNetwork", "value": "home" }]);
    site.operator.call(Method::PATCH, &format!("/machines/{uuid}"), &joins).unwrap();
    let waits = format!("until [ -e {MESH_FOLDER}/state.json ]; do sleep 1; done");
    vm.type_line(&asking(&waits, "joining")).unwrap();
    vm.wait_for_text("joining ended with 0", SOON).unwrap();
}

/// Nothing left for the mesh network before there was any network, and what manages networks here leaves it so.
fn is_shut(vm: &mut Vm) {
    vm.type_line(&asking(&format!("{SHUT} && [ -e {NETWORKD} ]"), "guard")).unwrap();
    vm.wait_for_text("guard ended with 0", SOON).unwrap();
}

/// An image with cloud-init's seed.
fn seed(folder: &Path) -> PathBuf {
    let files = folder.join("seed");
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("user-data"), SEED).unwrap();
    fs::write(files.join("meta-data"), "instance-id: command-1\nlocal-hostname: veteran\n").unwrap();
    let iso = folder.join("seed.iso");
    let made = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-r", "-o"])
        .arg(&iso)
        .arg(&files)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    iso
}

#[test]
fn one_line_command_registers_survives_a_reboot_and_goes_without_a_trace() {
    let site = Site::start_with("command", ServerBuilder::movable_clock);
    let debian = Debian::build().unwrap();
    let image = os_image::Disk::of(&debian, &site.path("veteran.raw"), 2_048).unwrap();
    let mut vm = Vm::builder("command")
        .firmware(Firmware::Uefi)
        .boot(Boot::Disk)
        .memory_mib(1_024)
        .cpus(2)
        .disk(Disk::new(image.path(), "VETERAN-1"))
        // A disk, since the kernel for clouds knows no CD-ROM drives.
        .disk(Disk::new(&seed(site.folder.path()), "SEED-1"))
        .typed_at()
        .start()
        .unwrap();
    is_logged_in(&mut vm);

    let late = site.operator.create_token(600).unwrap();
    site.server.move_clock(700).unwrap();
    vm.type_line(&asking(&late.command, "late")).unwrap();
    vm.wait_for_text("expired", SOON).unwrap();
    let line = vm.wait_for_text("late ended with", SOON).unwrap();
    assert!(!line.contains("with 0"), "{line}");
    assert!(site.operator.machines().unwrap().is_empty());
    site.server.move_clock(0).unwrap();

    let token = site.operator.create_token(600).unwrap();
    let secret = token.token[..40].to_owned();
    for time in ["first", "second"] {
        vm.type_line(&asking(&token.command, time)).unwrap();
        vm.wait_for_text(&format!("{time} ended with 0"), INSTALLED_WITHIN).unwrap();
        let machines = site.operator.machines().unwrap();
        assert_eq!(machines.len(), 1, "a second run is harmless");
        assert_eq!(machines[0].own.origin, Origin::Cli);
        assert_eq!(machines[0].own.provision_state, ProvisionState::Discovery);
    }
    let uuid = site.operator.machines().unwrap()[0].uuid.to_string();
    assert!(!site.server.logs().unwrap().contains(&secret));
    vm.type_line(&asking(&format!("journalctl -b | grep -c {secret}"), "journal")).unwrap();
    vm.wait_for_text("journal ended with 1", SOON).unwrap();

    let refused = site.operator.post(&format!("/api/v3/machines/{uuid}/provision"), &serde_json::json!({}));
    let refused = refused.unwrap();
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("is write-protected"), "{}", refused.text());

    joins_a_mesh_network(&site, &uuid, &mut vm);
    vm.look_from_here().unwrap();
    vm.type_line("systemctl reboot").unwrap();
    is_logged_in(&mut vm);
    is_shut(&mut vm);
    let before = site.machine_state(&uuid).own.last_seen_at;
    wait::until("the agent after the reboot", INSTALLED_WITHIN, || {
        let machine = site.operator.machine(&uuid)?;
        Ok((machine.own.online && machine.own.last_seen_at != before).then_some(()))
    })
    .unwrap();

    let uninstall = token.command.replace("| sudo sh", "| sudo sh -s -- --uninstall");
    vm.type_line(&asking(&uninstall, "uninstall")).unwrap();
    vm.wait_for_text("uninstall ended with 0", SOON).unwrap();
    let left = "ls /etc/muster /usr/local/sbin/muster-agent /usr/local/sbin/muster-installer /etc/systemd/system/muster-agent.service /etc/systemd/system/muster-mesh.service 2>/dev/null | wc -l";
    vm.type_line(&format!("echo \"left\" \"over: $({left})\"")).unwrap();
    vm.wait_for_text("left over: 0", SOON).unwrap();
    wait::until("the machine to be offline", Duration::from_secs(90), || {
        Ok((!site.operator.machine(&uuid)?.own.online).then_some(()))
    })
    .unwrap();
}
