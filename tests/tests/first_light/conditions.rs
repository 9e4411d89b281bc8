//! Machines under bad conditions: a dead clock, no network, no DHCP, hostile firmware strings,
//! a server that dies while a code is on the screen.

use protocol::ids::SpkiPin;
use tests::media::{Media, Profile};
use tests::qemu::{Boot, Firmware, Vm};

use crate::{CODE_WITHIN, REGISTERED_WITHIN, Site, code_on_both_consoles};

#[test]
fn a_dead_clock_keeps_nobody_out() {
    let site = Site::start("condition-clock-server", Profile::Cloud);
    let iso = site.iso();
    for (name, utc) in [("condition-1970", "1970-01-01T00:00:00"), ("condition-2099", "2099-12-31T23:59:00")]
    {
        let mut vm =
            Vm::builder(name).boot(Boot::Cd(iso.clone())).serial_number(name).clock(utc).start().unwrap();
        let (code, _) = code_on_both_consoles(&mut vm, &site.operator);
        let approved = site.operator.approve(&code).unwrap();
        assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);
        // The second machine has the hardware address of the first, which must be away by then.
        vm.press_power_button().unwrap();
        vm.wait_for_power_off(REGISTERED_WITHIN).unwrap();
        site.operator.delete(&format!("/api/v3/machines/{}", approved.uuid)).unwrap();
    }
}

#[test]
fn a_machine_without_a_network_says_so() {
    let media = Media::of(Profile::Cloud).unwrap();
    let pin = SpkiPin([7; 32]);
    let append = format!("quiet muster.server=https://10.0.2.2:8092 muster.ca-hash={pin}");
    let kernel = Boot::Kernel { kernel: media.kernel(), initrd: media.initrd(), append };
    let mut vm = Vm::builder("condition-no-network").boot(kernel).without_network().start().unwrap();
    vm.wait_for_text("E10", CODE_WITHIN).unwrap();
}

#[test]
fn a_static_address_is_used_as_given() {
    let site = Site::start("condition-static-server", Profile::Cloud);
    let token = site.operator.create_token(600).unwrap();
    let append = format!("quiet {} muster.net=addr=10.0.2.77/24,gw=10.0.2.2", token.kernel_args);
    let kernel = Boot::Kernel { kernel: site.media.kernel(), initrd: site.media.initrd(), append };
    let mut vm = Vm::builder("condition-static").boot(kernel).capture_network().start().unwrap();
    let uuid = vm.wait_for_registration(CODE_WITHIN).unwrap().uuid;
    let machine = site.operator.machine(&uuid.to_string()).unwrap();
    assert_eq!(machine.own.inventory.links[0].addresses, ["10.0.2.77/24"]);
    let asked = vm.network().unwrap().datagrams.iter().any(|target| target.port() == 67);
    assert!(!asked, "it asked DHCP although it has an address");
}

#[test]
fn a_screen_survives_the_death_of_its_server_and_hostile_firmware_strings() {
    let mut site = Site::start("condition-killed-server", Profile::Cloud);
    let mut vm = Vm::builder("condition-killed")
        .firmware(Firmware::Uefi)
        .boot(Boot::Cd(site.iso()))
        .serial_number("\u{1b}[2J<img src=x onerror=alert(1)>{{ .GenerateToken }}")
        .start()
        .unwrap();
    let (code, preview) = code_on_both_consoles(&mut vm, &site.operator);
    assert_eq!(preview.serial, "[2J<img src=x onerror=alert(1)>{{ .GenerateToken }}");
    site.server.kill().unwrap();
    site.server.start_again().unwrap();
    let operator = site.server.operator().unwrap();
    let approved = operator.approve(&code).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);
}
