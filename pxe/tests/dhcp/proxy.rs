//! Boot files beside another server.

use crate::messages::{Draft, MAC, Says, THEIRS, US, broadcast, lab, proxy, say, words};
use dhcproto::v4::MessageType;
use pxe::dhcp::Door;
use pxe::question::{Client, Cpu, Firmware};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const SEABIOS: &[u8] = include_bytes!("fixtures/seabios-ipxe.bin");
const OVMF_PXE: &[u8] = include_bytes!("fixtures/ovmf-pxe.bin");
const OVMF_HTTP: &[u8] = include_bytes!("fixtures/ovmf-http.bin");
/// What QEMU was told, as people write it.
const UUID: u128 = 0x00112233_4455_6677_8899_aabbccddeeff;

/// What a recorded question of a virtual machine is told, and who it was taken for.
fn told(recorded: &[u8], load: &str) -> (String, Client) {
    let mut host = Says::load(load);
    let reply = proxy().receive(recorded, broadcast(), Duration::ZERO, &mut host).unwrap();
    (words(&reply), host.asked.pop().unwrap())
}

fn machine(last: u8, firmware: Firmware) -> Client {
    let uuid = Some(UUID.to_be_bytes());
    Client { mac: [0x52, 0x54, 0, 0, 0, last], uuid, firmware, reached: US }
}

#[test]
fn the_ipxe_rom_of_a_virtual_machine_is_told_its_script() {
    let (words, client) = told(SEABIOS, "http://10.77.0.1:8091/default.ipxe");
    assert_eq!(client, machine(1, Firmware::Ipxe));
    let expected = "\
Offer to 255.255.255.255:68
siaddr 10.77.0.1
sname 10.77.0.1
file http://10.77.0.1:8091/default.ipxe
43 060108ff
53 02
54 0a4d0001
60 PXEClient
66 10.77.0.1
67 http://10.77.0.1:8091/default.ipxe
97 0033221100554477668899aabbccddeeff
";
    assert_eq!(words, expected);
}

#[test]
fn uefi_is_told_its_loader_and_asks_again_on_the_other_port() {
    let (words, client) = told(OVMF_PXE, "shimx64.efi");
    assert_eq!(client, machine(2, Firmware::Uefi(Cpu::X64)));
    let expected = "\
Offer to 255.255.255.255:68
siaddr 10.77.0.1
sname 10.77.0.1
file shimx64.efi
53 02
54 0a4d0001
60 PXEClient
66 10.77.0.1
67 shimx64.efi
97 0033221100554477668899aabbccddeeff
";
    assert_eq!(words, expected);
}

#[test]
fn uefi_http_boot_is_told_a_url() {
    let (words, client) = told(OVMF_HTTP, "http://10.77.0.1:8091/muster/muster.iso");
    assert_eq!(client, machine(2, Firmware::UefiHttp(Cpu::X64)));
    let expected = "\
Offer to 255.255.255.255:68
siaddr 10.77.0.1
sname 10.77.0.1
file http://10.77.0.1:8091/muster/muster.iso
53 02
54 0a4d0001
60 HTTPClient
66 10.77.0.1
67 http://10.77.0.1:8091/muster/muster.iso
97 0033221100554477668899aabbccddeeff
";
    assert_eq!(words, expected);
}

#[test]
fn a_bios_rom_boots_the_file_of_the_offer_at_once() {
    let mut host = Says::load("undionly.kpxe");
    let reply = say(&mut proxy(), &Draft::discover(MAC).firmware("PXEClient", 0), &mut host).unwrap();
    let words = words(&reply);
    assert!(words.contains("file undionly.kpxe\n43 060108ff\n"), "{words}");
    assert_eq!(host.asked.pop().unwrap().firmware, Firmware::Bios);
}

#[test]
fn architectures_are_those_that_have_a_loader() {
    let table = [
        ("PXEClient", 0, Some(Firmware::Bios)),
        ("PXEClient", 6, None),
        ("PXEClient", 7, Some(Firmware::Uefi(Cpu::X64))),
        ("PXEClient", 9, Some(Firmware::Uefi(Cpu::X64))),
        ("PXEClient", 10, None),
        ("PXEClient", 11, Some(Firmware::Uefi(Cpu::Arm64))),
        ("PXEClient", 16, None),
        ("HTTPClient", 0, None),
        ("HTTPClient", 7, None),
        ("HTTPClient", 15, None),
        ("HTTPClient", 16, Some(Firmware::UefiHttp(Cpu::X64))),
        ("HTTPClient", 19, Some(Firmware::UefiHttp(Cpu::Arm64))),
    ];
    for (class, architecture, expected) in table {
        let mut host = Says::load("x");
        let draft = Draft::discover(MAC).firmware(class, architecture);
        let answered = say(&mut proxy(), &draft, &mut host).is_some();
        let asked = host.asked.pop().map(|client| client.firmware);
        assert_eq!((answered, asked), (expected.is_some(), expected), "{class} {architecture}");
    }
}

#[test]
fn ipxe_is_known_by_its_user_class_in_either_form() {
    for class in [&b"iPXE"[..], b"\x04iPXE"] {
        let mut host = Says::load("x");
        let draft = Draft::discover(MAC).firmware("PXEClient", 7).raw(77, class);
        assert!(say(&mut proxy(), &draft, &mut host).is_some());
        assert_eq!(host.asked.pop().unwrap().firmware, Firmware::Ipxe);
    }
    let mut host = Says::load("x");
    say(&mut proxy(), &Draft::discover(MAC).firmware("PXEClient", 7).raw(77, b"iPXE!"), &mut host);
    assert_eq!(host.asked.pop().unwrap().firmware, Firmware::Uefi(Cpu::X64));
}

#[test]
fn a_uuid_of_zeros_or_ones_is_none() {
    for byte in [0, 0xff] {
        let mut machine = [byte; 17];
        machine[0] = 0;
        let mut host = Says::load("x");
        let draft = Draft::discover(MAC).firmware("PXEClient", 0).raw(97, &machine);
        assert!(say(&mut proxy(), &draft, &mut host).is_some());
        assert_eq!(host.asked.pop().unwrap().uuid, None);
    }
}

#[test]
fn nobody_but_firmware_is_answered() {
    let mut host = Says::load("x");
    let plain = Draft::discover(MAC);
    for draft in [
        plain.clone(),
        plain.clone().raw(60, b"udhcp 1.30"),
        plain.clone().raw(60, b"MyPXEClient").raw(93, &[0, 0]),
        plain.raw(77, b"iPXE"),
    ] {
        assert_eq!(say(&mut proxy(), &draft, &mut host), None);
    }
    assert_eq!(host.asked, []);
}

#[test]
fn a_client_that_is_to_hear_nothing_hears_nothing() {
    let mut host = Says::nothing();
    assert_eq!(say(&mut proxy(), &Draft::discover(MAC).firmware("PXEClient", 7), &mut host), None);
    assert_eq!(host.asked.len(), 1);
}

#[test]
fn a_name_that_no_option_holds_is_silence() {
    for name in ["", "a b", "a\nb", &"x".repeat(256)] {
        let mut host = Says::load(name);
        let draft = Draft::discover(MAC).firmware("PXEClient", 7);
        assert_eq!(say(&mut proxy(), &draft, &mut host), None, "{name:?}");
    }
    let long = "x".repeat(255);
    let reply =
        say(&mut proxy(), &Draft::discover(MAC).firmware("PXEClient", 7), &mut Says::load(&long)).unwrap();
    assert!(words(&reply).contains(&format!("\n67 {long}\n")));
    assert!(!words(&reply).contains("\nfile "), "the field holds 127 bytes");
}

#[test]
fn a_request_is_for_whoever_gave_the_address_even_on_this_host() {
    let mut host = Says::load("x");
    let request = Draft::request(MAC).firmware("PXEClient", 7).wants(THEIRS);
    for draft in [request.clone(), request.clone().of(Ipv4Addr::new(10, 77, 0, 9)), request.of(US)] {
        assert_eq!(say(&mut proxy(), &draft, &mut host), None);
    }
    assert_eq!(host.asked, []);
}

#[test]
fn the_boot_port_answers_where_the_question_came_from() {
    for port in [68, 4_011] {
        for desk in [&mut proxy(), &mut lab("10.77.0.100-10.77.0.199")] {
            let mut host = Says::load("shimx64.efi");
            let draft = Draft::request(MAC).firmware("PXEClient", 7).at(THEIRS);
            let from = SocketAddrV4::new(THEIRS, port);
            let reply = desk.receive(&draft.bytes(), (Door::Boot, from), Duration::ZERO, &mut host).unwrap();
            let words = words(&reply);
            let head = format!("Ack to {from}\nciaddr {THEIRS}\nsiaddr {US}\nsname {US}\nfile shimx64.efi\n");
            assert!(words.starts_with(&head), "{words}");
        }
    }
}

#[test]
fn the_boot_port_answers_nothing_but_requests_to_us() {
    let mut host = Says::load("x");
    let from = (Door::Boot, SocketAddrV4::new(THEIRS, 68));
    let firmware = |draft: Draft| draft.firmware("PXEClient", 7).at(THEIRS);
    for draft in [
        firmware(Draft::discover(MAC)),
        firmware(Draft::request(MAC)).of(THEIRS),
        Draft::request(MAC).at(THEIRS),
        firmware(Draft::new(MessageType::Release, MAC)),
    ] {
        assert_eq!(proxy().receive(&draft.bytes(), from, Duration::ZERO, &mut host), None);
    }
}

#[test]
fn a_relayed_question_is_answered_to_the_relay_with_its_notes() {
    let relay = Ipv4Addr::new(10, 88, 0, 1);
    for desk in [&mut proxy(), &mut lab("10.77.0.100-10.77.0.199")] {
        let draft = Draft::discover(MAC).firmware("PXEClient", 0).through(relay).raw(82, &[1, 2, 7, 9]);
        let reply = say(desk, &draft, &mut Says::load("undionly.kpxe")).unwrap();
        let words = words(&reply);
        assert!(words.starts_with("Offer to 10.88.0.1:67\nsiaddr 10.77.0.1\ngiaddr 10.88.0.1\n"), "{words}");
        assert!(words.contains("\n82 01020709\n"), "{words}");
    }
    let draft = Draft::discover(MAC).firmware("PXEClient", 0).raw(82, &[1, 2, 7, 9]);
    let reply = say(&mut proxy(), &draft, &mut Says::load("x")).unwrap();
    assert!(!words(&reply).contains("\n82 "), "nobody relayed it");
}

#[test]
fn one_client_is_answered_so_often_and_others_all_the_same() {
    let mut desk = proxy();
    let mut host = Says::load("x");
    let draft = Draft::discover(MAC).firmware("PXEClient", 0);
    let mut at = |desk: &mut _, draft: &Draft, now| {
        pxe::dhcp::Desk::receive(desk, &draft.bytes(), broadcast(), now, &mut host).is_some()
    };
    let answered = (0..100).filter(|_| at(&mut desk, &draft, Duration::ZERO)).count();
    assert_eq!(answered, 24);
    let other = Draft::discover([2, 0, 0, 0, 0, 9]).firmware("PXEClient", 0);
    assert!(at(&mut desk, &other, Duration::ZERO));
    assert!(!at(&mut desk, &draft, Duration::from_millis(400)));
    assert!(at(&mut desk, &draft, Duration::from_millis(600)), "two a second");
}

#[test]
fn a_flood_from_made_up_cards_is_answered_within_bounds() {
    let mut desk = proxy();
    let mut host = Says::load("x");
    let mut answered = 0;
    for number in 0..20_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        let draft = Draft::discover([2, 0, 0, b, c, d]).firmware("PXEClient", 0);
        let now = Duration::from_millis(number.into()) / 10;
        answered += usize::from(desk.receive(&draft.bytes(), broadcast(), now, &mut host).is_some());
    }
    assert_eq!(answered, 1_024 + 2 * 512 - 1, "the burst, and what two seconds bring");
}
