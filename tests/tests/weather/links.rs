//! Links of every kind: a VLAN with a static address, a bond whose cables are pulled one by one, IPv6
//! alone, a form filled in at the console, a card that is plugged into a running machine.

use std::net::IpAddr;
use std::time::Duration;

use tests::lab::{HOST_V6, Services};
use tests::qemu::{Registered, Vm};
use tests::wait;

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows, shows_a_code};

/// The next heartbeat, after 24 s at most, with a change of cables before it.
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// Longest time that a heartbeat is under way inside one computer.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// What a switch says about itself every 30 s (IEEE 802.1AB): here every look.
const SWITCH: &str = "weather-switch";

/// An LLDP frame: chassis, port, time to live, port description, system name.
fn lldp() -> Vec<u8> {
    let field = |kind: u8, value: &[u8]| -> Vec<u8> {
        [&[kind << 1, u8::try_from(value.len()).unwrap()], value].concat()
    };
    let mut frame = vec![0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e, 0x02, 0x00, 0x00, 0x00, 0x00, 0x07, 0x88, 0xcc];
    frame.extend(field(1, &[4, 0x02, 0, 0, 0, 0, 7]));
    frame.extend(field(2, b"\x05Eth1/7"));
    frame.extend(field(3, &[0, 120]));
    frame.extend(field(4, b"rack 3, unit 12"));
    frame.extend(field(5, SWITCH.as_bytes()));
    frame.extend([0, 0]);
    frame
}

#[test]
fn a_static_address_on_a_vlan_registers_and_the_switch_is_in_the_inventory() {
    let mut site = Site::start("vlan");
    let token = site.operator.create_token(600).unwrap();
    let mac = "52:54:00:07:06:01";
    let (port, trunk) = site.lab.trunk(mac, 7).unwrap();
    let net = format!("muster.net=if={mac},vlan=7,mtu=1400,addr=10.77.0.50/24,gw=10.77.0.1");
    let mut vm = site.machine("vlan", &format!("{} {net}", token.kernel_args)).plug(port).start().unwrap();
    let Registered { uuid, .. } = vm.wait_for_registration(BOOT_WITHIN).unwrap();
    vm.wait_for_words("10.77.0.50/24 (eth0.7)", SCREEN_WITHIN).unwrap();
    let heard = wait::until("the switch in the inventory", HEARD_WITHIN, || {
        trunk.say(&lldp())?;
        let machine = site.operator.machine(&uuid.to_string())?;
        Ok(machine.own.inventory.links.iter().find_map(|link| link.lldp.clone()))
    });
    let neighbour = heard.map_err(|error| vm.failed(&error)).unwrap();
    assert_eq!((neighbour.system_name.as_str(), neighbour.port_id.as_str()), (SWITCH, "Eth1/7"));
    assert_eq!(neighbour.port_description, "rack 3, unit 12");
}

/// The server hears of the machine anew, after what was on its way has arrived.
fn is_heard(vm: &mut Vm, site: &Site, machine: &Registered) {
    wait::throughout(ON_THE_WAY, || Ok(())).unwrap();
    let last_seen =
        || Ok::<_, anyhow::Error>(site.operator.machine(&machine.uuid.to_string())?.own.last_seen_at);
    let before = last_seen().unwrap();
    let heard = wait::until("another heartbeat", HEARD_WITHIN, || Ok((last_seen()? != before).then_some(())));
    heard.map_err(|error| vm.failed(&error)).unwrap();
}

#[test]
fn a_bond_of_two_cards_registers_and_either_cable_may_be_pulled() {
    let mut site = Site::fair("bond");
    let token = site.operator.create_token(600).unwrap();
    let macs = ["52:54:00:07:06:02", "52:54:00:07:06:03"];
    let args = format!("{} muster.net=bond={}+{}", token.kernel_args, macs[0], macs[1]);
    let ports = macs.map(|mac| site.lab.port(mac).unwrap());
    let machine = ports.into_iter().fold(site.machine("bond", &args), |machine, port| machine.plug(port));
    let mut vm = machine.start().unwrap();
    let registered = vm.wait_for_registration(BOOT_WITHIN).unwrap();
    vm.wait_for_words("(bond0)", SCREEN_WITHIN).unwrap();
    vm.set_cable(0, false).unwrap();
    is_heard(&mut vm, &site, &registered);
    vm.set_cable(0, true).unwrap();
    vm.set_cable(1, false).unwrap();
    is_heard(&mut vm, &site, &registered);
    assert!(!vm.said().unwrap().contains("E10"), "a bond with one cable has a link");
}

/// A machine whose network has no IPv4 shows a code, and registers. `length` tells where its address
/// comes from: a prefix of the router's, or a single one of a DHCP server's.
fn registers_over_ipv6(name: &str, services: &Services, mac: &str, length: &str) {
    let mut site = Site::start(name);
    let relay = site.lab.relay_at(IpAddr::V6(HOST_V6), site.server.port()).unwrap();
    site.relay.cut();
    site.lab.serve(services).unwrap();
    let args = format!("muster.server={} {}", relay.url(), site.pins());
    let port = site.lab.port(mac).unwrap();
    let mut vm = site.machine(name, &args).plug(port).start().unwrap();
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    let approved = site.operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
    let link = site.operator.machine(&approved.uuid.to_string()).unwrap().own.inventory.links.remove(0);
    let global: Vec<&String> =
        link.addresses.iter().filter(|address| !address.starts_with("fe80:")).collect();
    let ours = |address: &str| address.starts_with("fd77:") && address.ends_with(length);
    assert!(!global.is_empty() && global.iter().all(|address| ours(address)), "{link:?}");
}

#[test]
fn ipv6_by_router_advertisement_alone_registers() {
    registers_over_ipv6("slaac", &Services::router_advertisement(), "52:54:00:07:06:04", "/64");
}

#[test]
fn ipv6_by_dhcpv6_registers() {
    registers_over_ipv6("dhcpv6", &Services::dhcpv6(), "52:54:00:07:06:05", "/128");
}

/// Answers the form's questions at the serial console, each when it is asked.
fn fill_in(vm: &mut Vm, answers: &[(&str, &str)]) {
    for (question, answer) in answers {
        vm.wait_for_words(question, CHANGE_WITHIN).unwrap();
        vm.look_from_here().unwrap();
        vm.type_line(answer).unwrap();
    }
}

#[test]
fn a_network_set_up_by_hand_at_the_console_registers() {
    let mut site = Site::start("form");
    let args = format!("{} muster.net=ask", site.args());
    let port = site.lab.port("52:54:00:07:06:08").unwrap();
    let mut vm = site.machine("form", &args).plug(port).typed_at().start().unwrap();
    // First everything by itself, which finds no DHCP server.
    vm.wait_for_words("Which port?", BOOT_WITHIN).unwrap();
    vm.wait_for_words_on_screen("52:54:00:07:06:08 virtio_net cable plugged in", "form", SCREEN_WITHIN)
        .unwrap();
    fill_in(&mut vm, &[("Which port?", "n"), ("Which HTTP proxy", ""), ("Use it?", "y")]);
    shows(&mut vm, "E12 no network address", "Check that a DHCP server answers", CHANGE_WITHIN);
    // Then by hand, from the screen's own offer, with a slip of the pen.
    vm.press_keys(&["n"]).unwrap();
    let answers = [("Which port?", ""), ("Which VLAN?", ""), ("Which address?", "10.77.0.60")];
    fill_in(&mut vm, &answers);
    vm.wait_for_words("addr=10.77.0.60", CHANGE_WITHIN).unwrap();
    fill_in(&mut vm, &[("Which address?", "/24"), ("Which gateway?", "10.77.0.1")]);
    fill_in(&mut vm, &[("Which name servers?", ""), ("Which HTTP proxy", "")]);
    vm.wait_for_words("addr=10.77.0.60/24,gw=10.77.0.1", CHANGE_WITHIN).unwrap();
    vm.wait_for_words_on_screen("Use it?", "form-summary", SCREEN_WITHIN).unwrap();
    fill_in(&mut vm, &[("Use it?", "y")]);
    let code = shows_a_code(&mut vm, &site.operator, CHANGE_WITHIN);
    let approved = site.operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
    let machine = site.operator.machine(&approved.uuid.to_string()).unwrap();
    assert!(machine.own.inventory.links[0].addresses.contains(&"10.77.0.60/24".to_owned()));
}

#[test]
fn a_card_plugged_into_a_running_machine_is_used() {
    let mut site = Site::fair("hotplug");
    let port = site.lab.port("52:54:00:07:06:06").unwrap();
    let mut vm = site.machine("hotplug", &site.args()).plug(port).start().unwrap();
    vm.set_cable(0, false).unwrap();
    vm.wait_for_words("link eth0 found", BOOT_WITHIN).unwrap();
    let second = site.lab.port("52:54:00:07:06:07").unwrap();
    vm.hotplug(&second).unwrap();
    shows_a_code(&mut vm, &site.operator, CHANGE_WITHIN);
}
