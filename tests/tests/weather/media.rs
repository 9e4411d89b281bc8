//! What machines boot: with little memory, and with the config in a ramdisk of its own.

use std::fs;

use protocol::agent_api::Origin;
use tests::lab::Services;
use tests::media::{Media, Profile};
use tests::muster::Server;
use tests::qemu::{Boot, Vm};

use crate::{BOOT_WITHIN, CHANGE_WITHIN, Site, shows_a_code};

#[test]
fn the_memory_floor_is_384_mib_for_cloud_and_512_mib_for_generic() {
    let mut site = Site::fair("memory");
    let floors = [(Profile::Cloud, 384, "52:54:00:07:04:01"), (Profile::Generic, 512, "52:54:00:07:04:02")];
    for (profile, mib, mac) in floors {
        site.media = Media::of(profile).unwrap();
        let port = site.lab.port(mac).unwrap();
        let machine = site.machine(&format!("memory-{mib}"), &site.args()).plug(port);
        let mut vm = machine.memory_mib(mib).start().unwrap();
        shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    }
}

#[test]
fn kernel_and_initrd_need_no_arguments_beside_the_servers_overlay() {
    let media = Media::of(Profile::Cloud).unwrap();
    let mut site = Site::of("overlay", Server::builder("weather-overlay-server").media(media.folder()));
    site.lab.serve(&Services::dhcp()).unwrap();
    let overlay = site.server.folder().join("overlay.cpio");
    site.operator.download("overlay.cpio", &overlay).unwrap();
    // Boot loaders load one after the other; QEMU takes one file.
    let initrd = site.server.folder().join("initrd");
    fs::write(&initrd, [fs::read(site.media.initrd()).unwrap(), fs::read(&overlay).unwrap()].concat())
        .unwrap();
    let kernel = Boot::Kernel { kernel: site.media.kernel(), initrd, append: "quiet".to_owned() };
    let port = site.lab.port("52:54:00:07:04:03").unwrap();
    let mut vm = Vm::builder("weather-overlay").memory_mib(512).boot(kernel).plug(port).start().unwrap();
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    let approved = site.operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
    assert_eq!(site.operator.machine(&approved.uuid.to_string()).unwrap().own.origin, Origin::Pxe);
}

#[test]
fn the_rescue_shell_fetches_tools_that_the_image_leaves_out_and_they_run() {
    let media = Media::of(Profile::Cloud).unwrap();
    let mut site = Site::of("tools", Server::builder("weather-tools-server").media(media.folder()));
    site.lab.serve(&Services::dhcp()).unwrap();
    let args = format!("{} muster.console=rescue", site.args());
    let port = site.lab.port("52:54:00:07:04:04").unwrap();
    let mut vm = site.machine("tools", &args).plug(port).typed_at().start().unwrap();
    vm.wait_for_code(BOOT_WITHIN).unwrap();
    // The shell joins what the harness takes apart: the words below are its answers, not its echo.
    for (command, answer) in [
        ("sfdisk --version || echo not\" \"yet", "not yet"),
        ("tools && echo tools\" \"are here", "tools are here"),
        ("mkfs.ext4 -V", "mke2fs 1."),
        ("sfdisk --version", "sfdisk from util-linux"),
        ("truncate -s 64M /run/disk && mkfs.ext4 -q /run/disk && e2fsck -f /run/disk", "Pass 5"),
        ("mkfs.xfs -V && mkfs.btrfs --version && lvm version", "LVM version"),
        ("cryptsetup --version && mdadm --version && nvme version && smartctl --version", "smartmontools"),
        ("tools && echo once\" \"more", "once more"),
    ] {
        vm.look_from_here().unwrap();
        vm.type_line(command).unwrap();
        vm.wait_for_words(answer, CHANGE_WITHIN).unwrap();
    }
}
