//! Bytes that nobody's firmware sends.

use crate::messages::{Draft, MAC, MACHINE, Says, THEIRS, US, broadcast, lab, proxy, read, words};
use dhcproto::v4::MessageType;
use proptest::prelude::*;
use pxe::dhcp::{Door, Kind, MAX_PACKET, PacketError, decode};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The smallest message: a header, the cookie and these options.
fn packet(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0];
    bytes.resize(28, 0);
    bytes.extend(MAC);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

fn set(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes.splice(at..at + value.len(), value.iter().copied());
    bytes
}

const DISCOVER: [u8; 4] = [53, 1, 1, 255];

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let table: [(Vec<u8>, PacketError); 16] = [
        (vec![], PacketError::Length(0)),
        (vec![1; 239], PacketError::Length(239)),
        (vec![1; MAX_PACKET + 1], PacketError::Length(MAX_PACKET + 1)),
        (set(packet(&DISCOVER), 0, &[3]), PacketError::Foreign),
        (set(packet(&DISCOVER), 236, &[0]), PacketError::Foreign),
        (set(packet(&DISCOVER), 2, &[17]), PacketError::Hardware(17)),
        (set(packet(&DISCOVER), 2, &[255]), PacketError::Hardware(255)),
        (packet(&[]), PacketError::Kind),
        (packet(&[53, 1, 13]), PacketError::Kind),
        (packet(&[53, 2, 1, 1]), PacketError::Kind),
        (packet(&[53, 9, 1]), PacketError::Kind),
        (packet(&[53, 1, 1, 50, 3, 1, 2, 3]), PacketError::Option(50)),
        (packet(&[53, 1, 1, 54, 5, 1, 2, 3, 4, 5]), PacketError::Option(54)),
        (packet(&[53, 1, 1, 93, 1, 0]), PacketError::Option(93)),
        (packet(&[53, 1, 1, 52, 1, 4]), PacketError::Option(52)),
        (set(packet(&DISCOVER), 24, &[255; 4]), PacketError::Address(Ipv4Addr::BROADCAST)),
    ];
    for (bytes, error) in table {
        assert_eq!(decode(&bytes), Err(error));
    }
}

#[test]
fn each_refusal_says_what_is_wrong() {
    let said = |error: PacketError| error.to_string();
    assert_eq!(said(PacketError::Length(9)), "9 bytes are no DHCP message: 240 to 1500 are read");
    assert_eq!(said(PacketError::Hardware(17)), "a hardware address of 17 bytes; 16 fit");
    assert_eq!(said(PacketError::Option(93)), "option 93 has a value of the wrong length");
    assert_eq!(said(PacketError::Address(Ipv4Addr::BROADCAST)), "255.255.255.255 is no host's address");
}

#[test]
fn options_that_overflow_into_the_header_are_read_there() {
    let class = [&[60, 9][..], b"PXEClient", &[255]].concat();
    let architecture = [93, 2, 0, 7, 255];
    let bytes = set(set(packet(&[52, 1, 3, 53, 1, 1, 255]), 108, &class), 44, &architecture);
    let message = decode(&bytes).unwrap();
    assert_eq!((message.class.as_slice(), message.architectures.as_slice()), (&b"PXEClient"[..], &[7][..]));
    // Only where the message says so.
    let bytes = set(set(packet(&[52, 1, 2, 53, 1, 1, 255]), 108, &class), 44, &architecture);
    let message = decode(&bytes).unwrap();
    assert_eq!((message.class.as_slice(), message.architectures.as_slice()), (&b""[..], &[7][..]));
}

#[test]
fn an_option_in_pieces_is_one() {
    let message = decode(&packet(&[60, 3, b'P', b'X', b'E', 53, 1, 1, 60, 2, b'C', b'l', 255])).unwrap();
    assert_eq!(message.class, b"PXECl");
    let message = decode(&packet(&[60, 3, b'P', b'X', b'E', 60, 2, b'C', b'l', 53, 1, 1])).unwrap();
    assert_eq!(message.class, b"PXECl");
}

#[test]
fn a_host_name_that_is_no_text_costs_nobody_anything() {
    let message = decode(&packet(&[12, 2, 0xff, 0xfe, 81, 1, 9, 53, 1, 1, 255])).unwrap();
    assert_eq!(message.kind, Kind::Discover);
}

#[test]
fn answers_of_servers_are_nobodys_question() {
    let mut host = Says::load("x");
    let mut offer = Draft::new(MessageType::Offer, MAC).firmware("PXEClient", 0);
    offer.0.set_opcode(dhcproto::v4::Opcode::BootReply);
    for desk in [&mut proxy(), &mut lab("10.77.0.100-10.77.0.199")] {
        assert_eq!(desk.receive(&offer.bytes(), broadcast(), Duration::ZERO, &mut host), None);
    }
}

#[test]
fn a_card_that_is_a_group_or_nobody_boots_nothing() {
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let mut host = Says::load("x");
        let bytes = Draft::discover(mac).firmware("PXEClient", 0).bytes();
        assert_eq!(proxy().receive(&bytes, broadcast(), Duration::ZERO, &mut host), None);
        assert_eq!(host.asked, []);
    }
    let infiniband = set(Draft::discover(MAC).firmware("PXEClient", 0).bytes(), 1, &[32]);
    assert_eq!(proxy().receive(&infiniband, broadcast(), Duration::ZERO, &mut Says::load("x")), None);
}

#[test]
fn a_machine_number_of_any_length_comes_back_or_not_but_never_breaks() {
    for length in [0, 1, 16, 17, 18, 255, 300] {
        let machine: Vec<u8> = MACHINE.iter().copied().cycle().take(length).collect();
        let bytes = Draft::discover(MAC).firmware("PXEClient", 0).raw(97, &machine).bytes();
        let reply = proxy().receive(&bytes, broadcast(), Duration::ZERO, &mut Says::load("x")).unwrap();
        assert_eq!(words(&reply).contains("\n97 "), (1..=255).contains(&length), "{length}");
    }
}

/// Any message: fields of any value, and options that are each whole.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        3 => prop::sample::select(vec![50_u8, 52, 53, 54, 55, 57, 60, 61, 77, 82, 93, 97]),
        1 => any::<u8>()
    ];
    let value = prop_oneof![
        Just(b"PXEClient:Arch:00000".to_vec()),
        Just(b"HTTPClient".to_vec()),
        Just(b"iPXE".to_vec()),
        Just(vec![0, 7]),
        Just(vec![0, 16]),
        Just(US.octets().to_vec()),
        Just(THEIRS.octets().to_vec()),
        (1..9_u8).prop_map(|kind| vec![kind]),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let options = prop::collection::vec((code, value), 0..12);
    let header = prop::collection::vec(any::<u8>(), 240);
    (header, 1..9_u8, options, any::<[bool; 3]>()).prop_map(|(header, kind, options, tame)| {
        let mut bytes = set(header, 236, &[99, 130, 83, 99]);
        if tame[0] {
            bytes = set(set(bytes, 0, &[1, 1, 6, 0]), 28, &MAC);
        }
        if tame[1] {
            bytes = set(bytes, 12, &[0; 16]);
        }
        if tame[2] {
            bytes.extend([53, 1, kind, 60, 9]);
            bytes.extend(b"PXEClient");
            bytes.extend([93, 2, 0, 0]);
        }
        for (code, value) in options {
            bytes.extend([code, u8::try_from(value.len()).unwrap()]);
            bytes.extend(value);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn whatever_comes_an_answer_is_a_message_of_ours_to_its_client(
        bytes in messages(),
        boot in any::<bool>(),
        leases in any::<bool>(),
    ) {
        let mut desk = if leases { lab("10.77.0.0-10.77.0.3") } else { proxy() };
        let from = SocketAddrV4::new(THEIRS, 68);
        let door = if boot { Door::Boot } else { Door::Dhcp };
        let mut host = Says::load("undionly.kpxe");
        if let Some(reply) = desk.receive(&bytes, (door, from), Duration::ZERO, &mut host) {
            let (question, answer) = (decode(&bytes).unwrap(), decode(&reply.bytes).unwrap());
            prop_assert!((300..=MAX_PACKET).contains(&reply.bytes.len()));
            prop_assert!(!answer.from_client);
            prop_assert_eq!(answer.kind, reply.kind);
            prop_assert_eq!((answer.xid, answer.hardware), (question.xid, question.hardware));
            prop_assert_eq!(answer.server, Some(US));
            prop_assert!(reply.to.ip().is_broadcast() || [question.giaddr, question.ciaddr, THEIRS].contains(reply.to.ip()));
            let given = answer.yiaddr;
            prop_assert!(given.is_unspecified() || leases);
            let free = [Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3)];
            prop_assert!(given.is_unspecified() || free.contains(&given), "{given}");
            prop_assert!(leases || host.asked.len() == 1, "a proxy speaks of boot files alone");
            prop_assert!(read(&reply).siaddr().is_unspecified() || !host.asked.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1_600)) {
        let refused = decode(&bytes).is_err();
        prop_assert!(refused || bytes.get(236..240) == Some(&[99, 130, 83, 99]));
    }
}
