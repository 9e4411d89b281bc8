//! Beside a DHCP server that knows nothing of booting: our proxyDHCP names the loaders.

use tests::qemu::{Firmware, Network};

use crate::{SERVER, Site, network};

/// A site whose DHCP server gives addresses and nothing else.
fn site(name: &str) -> Site {
    let mut site = Site::with_proxy(name);
    site.lab.serve(&network()).unwrap();
    site
}

#[test]
fn a_bios_machine_boots_by_proxy_dhcp() {
    site("proxy-bios").welcomes_then_refuses(Firmware::Bios, Network::Pxe, |_| ());
}

#[test]
fn a_uefi_machine_boots_by_proxy_dhcp() {
    site("proxy-uefi").welcomes_then_refuses(Firmware::Uefi, Network::Pxe, |_| ());
}

#[test]
fn a_uefi_machine_boots_over_http_alone_under_secure_boot() {
    let machine = site("http").welcomes_then_refuses(Firmware::SecureBoot, Network::Http, |vm| {
        let network = vm.network().unwrap();
        assert_eq!(network.datagrams.iter().find(|to| *to.ip() == SERVER && to.port() == 69), None);
    });
    assert!(machine.own.inventory.secure_boot, "Secure Boot is on");
}

#[test]
fn a_network_without_a_dhcp_server_gets_addresses_and_loaders_from_us() {
    let mut site = Site::with_range("range");
    let mut vm = site.machine("bios", Firmware::Bios, Network::Pxe).start().unwrap();
    let machine = site.registers(&mut vm);
    let addresses: Vec<&String> =
        machine.own.inventory.links.iter().flat_map(|link| &link.addresses).collect();
    assert!(addresses.iter().any(|own| own.starts_with("10.77.0.5")), "none of {addresses:?} was leased");
    site.server.stop().unwrap();

    // Somebody else gives out addresses: two who do not know of each other are worse than none.
    site.lab.serve(&network()).unwrap();
    let refusal = format!("{:#}", site.server.start_again().unwrap_err());
    assert!(refusal.contains("10.77.0.1"), "the other DHCP server is not named: {refusal}");
}
