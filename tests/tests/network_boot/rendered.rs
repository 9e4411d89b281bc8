//! Beside a DHCP server that names us: boot files rendered by us, by TFTP alone and by HTTP.

use tests::qemu::{Firmware, Network};

use crate::{SERVER, Site, network};

#[test]
fn a_bios_machine_boots_by_pxelinux_over_tftp_alone() {
    let mut site = Site::with_tftp("tftp");
    site.lab.serve(&network().boot("pxelinux.0", SERVER)).unwrap();
    site.welcomes_then_refuses(Firmware::Bios, Network::Pxe, |vm| {
        let network = vm.network().unwrap();
        let http = network.connects.iter().find(|to| *to.ip() == SERVER && to.port() == 8_091);
        assert_eq!(http, None, "everything comes by TFTP");
    });
}

#[test]
fn a_bios_machine_boots_by_an_ipxe_script_over_http() {
    let mut site = Site::start("ipxe", |server| server);
    site.prefer("unknownBootEnv", "discovery");
    let script = format!("{}/default.ipxe", site.server.boot_url().unwrap());
    site.lab.serve(&network().boot_ipxe(&script)).unwrap();
    site.welcomes_then_refuses(Firmware::Bios, Network::Pxe, |vm| {
        let network = vm.network().unwrap();
        assert_eq!(network.datagrams.iter().find(|to| to.port() == 69), None, "everything comes by HTTP");
    });
}

#[test]
fn under_secure_boot_signed_loaders_and_a_signed_kernel_come_by_tftp() {
    // Debian's signed GRUB knows no HTTP; `proxy` boots over HTTP under Secure Boot.
    let mut site = Site::with_tftp("secure");
    site.lab.serve(&network().boot_uefi("shimx64.efi", SERVER)).unwrap();
    let machine = site.welcomes_then_refuses(Firmware::SecureBoot, Network::Pxe, |vm| {
        assert_eq!(vm.network().unwrap().connects.iter().find(|to| to.port() == 8_091), None);
    });
    assert!(machine.own.inventory.secure_boot, "Secure Boot is on");
}
