//! Networks that boot machines already: an operator copies our two files to where their boot files are
//! and pastes a snippet with a token. Nothing of ours serves boot files there.

use std::fs;
use std::path::{Path, PathBuf};

use protocol::rest::{BootMenus, TokenCreated};
use tests::lab::{Export, HOST, Nginx};
use tests::qemu::{Firmware, Network, Vm, font};
use tests::wait;

use crate::{BOOT_WITHIN, SERVER, Site, network, on_gateway};

/// Life of the tokens of this file, in seconds: the shortest.
const LIFE: i64 = 600;
/// What iPXE says when it cannot have a local port.
const PORT_IN_USE: &str = "Error 0x420e2001";

/// A site, a token that is good and one that is over.
struct Hands {
    site: Site,
    good: TokenCreated,
    over: TokenCreated,
}

impl Hands {
    fn start(name: &str) -> Self {
        let site = Site::start(name, |server| server.clock_at(-LIFE - 60));
        let token = || site.operator.create_token(LIFE.unsigned_abs()).unwrap();
        let over = token();
        site.server.move_clock(0).unwrap();
        let good = token();
        Self { site, good, over }
    }

    /// A folder with our kernel and ramdisk below `muster/`, as an operator copied them.
    fn folder(&self) -> PathBuf {
        let folder = self.site.path("boot");
        fs::create_dir_all(folder.join("muster")).unwrap();
        for file in [self.site.media.kernel(), self.site.media.initrd()] {
            fs::copy(&file, folder.join("muster").join(file.file_name().unwrap())).unwrap();
        }
        folder
    }

    /// Copies a loader that came with the media.
    fn loader(&self, name: &str, folder: &Path) {
        fs::copy(self.site.media.folder().join("loaders").join(name), folder.join(name)).unwrap();
    }

    /// A machine boots by the good token's menu, and the next one by the other's.
    fn boots(self, firmware: Firmware, paste: impl Fn(&BootMenus)) {
        self.boots_with_help(firmware, paste, |_| ());
    }

    /// The same; `help` has each machine when it was powered on.
    fn boots_with_help(mut self, firmware: Firmware, paste: impl Fn(&BootMenus), help: impl Fn(&mut Vm)) {
        paste(&self.good.menus);
        let mut vm = self.site.machine("good", firmware, Network::Pxe).start().unwrap();
        help(&mut vm);
        self.site.registers(&mut vm);
        boots_without_us(&vm);
        assert!(self.site.operator.enrollments().unwrap().is_empty());
        drop(vm);
        paste(&self.over.menus);
        let mut vm = self.site.machine("over", firmware, Network::Pxe).start().unwrap();
        help(&mut vm);
        self.site.shows_a_code(&mut vm);
        boots_without_us(&vm);
        assert_eq!(self.site.operator.machines().unwrap().len(), 1);
    }
}

/// The machine asked our server for nothing but what the agent asks it, by HTTPS.
fn boots_without_us(vm: &Vm) {
    let network = vm.network().unwrap();
    let asked = || network.connects.iter().chain(&network.datagrams).filter(|to| *to.ip() == SERVER);
    assert!(asked().any(|to| to.port() == 8_092), "the capture shows what was asked");
    assert_eq!(asked().find(|to| to.port() != 8_092), None);
}

/// Debian's iPXE takes a random local port below 1,024 for each of the three connections of an NFS file,
/// and gives up when that is one of its own that still lingers: some 3 in 100 boots of three files. A
/// machine that says so, and no other, is reset, once.
fn is_reset_when_its_ports_collide(vm: &mut Vm) {
    let runs = wait::until("a kernel, or iPXE's error", BOOT_WITHIN, || {
        let rows = vm.screen()?.text(font()?);
        let collided = rows.iter().any(|row| row.contains(PORT_IN_USE));
        let runs = vm.said()?.contains("init: Muster agent");
        Ok((collided || runs).then_some(runs))
    });
    if !runs.map_err(|error| vm.failed(&error)).unwrap() {
        vm.save_screenshot("collided").unwrap();
        vm.reset().unwrap();
    }
}

#[test]
fn a_snippet_in_pxelinux_cfg_boots_a_machine() {
    let hands = Hands::start("pxelinux");
    let folder = hands.folder();
    for loader in ["pxelinux.0", "ldlinux.c32"] {
        hands.loader(loader, &folder);
    }
    let mut hands = hands;
    hands.site.lab.serve(&network().tftp(&folder).boot("pxelinux.0", HOST)).unwrap();
    fs::create_dir(folder.join("pxelinux.cfg")).unwrap();
    hands.boots(Firmware::Bios, |menus| {
        let menu = format!("DEFAULT muster\nPROMPT 0\n{}", menus.pxelinux);
        fs::write(folder.join("pxelinux.cfg/default"), menu).unwrap();
    });
}

#[test]
fn a_snippet_in_grub_cfg_on_dnsmasqs_tftp_boots_a_machine_under_secure_boot() {
    let mut hands = Hands::start("grub");
    let folder = hands.folder();
    for loader in ["shimx64.efi", "grubx64.efi"] {
        hands.loader(loader, &folder);
    }
    hands.site.lab.serve(&network().tftp(&folder).boot("shimx64.efi", HOST)).unwrap();
    fs::create_dir(folder.join("grub")).unwrap();
    hands.boots(Firmware::SecureBoot, |menus| {
        fs::write(folder.join("grub/grub.cfg"), format!("set timeout=0\n{}", menus.grub)).unwrap();
    });
}

#[test]
fn an_ipxe_snippet_on_nginx_boots_a_machine() {
    let mut hands = Hands::start("nginx");
    let folder = hands.folder();
    let nginx = Nginx::start(&hands.site.gateway(), &folder).unwrap();
    hands.site.lab.serve(&network().boot_ipxe(&on_gateway("boot.ipxe"))).unwrap();
    hands.boots(Firmware::Bios, |menus| fs::write(folder.join("boot.ipxe"), &menus.ipxe).unwrap());
    let asked = nginx.requests().unwrap();
    let twice =
        |file: &str| asked.iter().filter(|line| line.starts_with(&format!("GET /{file} "))).count() == 2;
    assert!(["boot.ipxe", "muster/vmlinuz", "muster/initrd"].iter().all(|file| twice(file)), "{asked:?}");
}

#[test]
fn an_ipxe_snippet_on_an_nfs_export_boots_a_machine() {
    let mut hands = Hands::start("nfs");
    let folder = hands.folder();
    let _export = Export::start(&hands.site.gateway(), &folder).unwrap();
    let script = format!("nfs://{HOST}{}/boot.ipxe", folder.display());
    hands.site.lab.serve(&network().boot_ipxe(&script)).unwrap();
    let paste = |menus: &BootMenus| fs::write(folder.join("boot.ipxe"), &menus.ipxe).unwrap();
    hands.boots_with_help(Firmware::Bios, paste, is_reset_when_its_ports_collide);
}
