//! The way to the server: cable, address, route, name, server, each missing in its turn.

use std::net::IpAddr;

use tests::lab::{ELSEWHERE, Services};

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows, shows_a_code};

/// A name that only the lab's name server knows.
const NAME: &str = "muster.weather.test";

#[test]
fn from_no_cable_to_a_code_every_obstacle_is_named_and_overcome() {
    let mut site = Site::start("network");
    // The server lives behind the router, under a name.
    let elsewhere = IpAddr::V4(ELSEWHERE);
    let mut relay = site.lab.relay_at(elsewhere, site.server.port()).unwrap();
    let args = format!("muster.server=https://{NAME}:{} {}", site.server.port(), site.pins());
    let port = site.lab.port("52:54:00:07:00:01").unwrap();
    let mut vm = site.machine("network", &args).plug(port).start().unwrap();
    vm.set_cable(0, false).unwrap();
    shows(&mut vm, "E10 no network link", "Connect a network cable", BOOT_WITHIN);

    vm.set_cable(0, true).unwrap();
    shows(&mut vm, "E12 no network address", "Check that a DHCP server answers", CHANGE_WITHIN);
    site.lab.serve(&Services::broken_dhcp()).unwrap();
    vm.wait_for_words_on_screen("subnet mask 255.0.255.0", "E12-broken", CHANGE_WITHIN).unwrap();

    site.lab.serve(&Services::dhcp_without_router()).unwrap();
    shows(&mut vm, "E13 name not resolved", "Check the name servers", CHANGE_WITHIN);
    site.lab.serve(&Services::dhcp_without_router().name(NAME, elsewhere)).unwrap();
    shows(&mut vm, "E14 no route", "Check the default gateway", CHANGE_WITHIN);

    // The machine asks anew when it is plugged in anew.
    vm.set_cable(0, false).unwrap();
    vm.wait_for_words("E10", CHANGE_WITHIN).unwrap();
    relay.cut();
    site.lab.serve(&Services::dhcp().name(NAME, elsewhere)).unwrap();
    vm.set_cable(0, true).unwrap();
    shows(&mut vm, "E20 server unreachable", "Check that the server runs", CHANGE_WITHIN);
    relay.restore(&site.lab).unwrap();
    shows_a_code(&mut vm, &site.operator, CHANGE_WITHIN);
    vm.wait_for_words(&format!("(pin OK) https://{NAME}"), SCREEN_WITHIN).unwrap();
}
