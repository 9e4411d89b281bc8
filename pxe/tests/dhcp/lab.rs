//! Addresses on a lab's network (RFC 2131 4.3).

use crate::messages::{Draft, MAC, Says, US, broadcast, lab, network, read, say, words};
use dhcproto::v4::MessageType;
use pxe::dhcp::{BindError, Desk, Holder, Lease, Network, Range};
use std::net::Ipv4Addr;
use std::time::Duration;

const RANGE: &str = "10.77.0.100-10.77.0.101";
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
const THIRD: [u8; 6] = [0x52, 0x54, 0, 0, 0, 3];

/// The kind of the answer and the address in it; `None` for silence.
fn heard(desk: &mut Desk, draft: &Draft, seconds: u64) -> Option<(MessageType, Ipv4Addr)> {
    let now = Duration::from_secs(seconds);
    let reply = desk.receive(&draft.bytes(), broadcast(), now, &mut Says::nothing())?;
    let message = read(&reply);
    Some((message.opts().msg_type().unwrap(), message.yiaddr()))
}

fn takes(mac: [u8; 6], address: Ipv4Addr) -> Draft {
    Draft::request(mac).of(US).wants(address)
}

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn a_machine_gets_an_address_a_mask_and_no_router() {
    let mut desk = lab(RANGE);
    let offer = say(&mut desk, &Draft::discover(MAC), &mut Says::nothing()).unwrap();
    let tail = "\
1 ffffff00
28 0a4d00ff
51 00000258
";
    let times = "\
54 0a4d0001
58 0000012c
59 0000020d
";
    let head = "Offer to 255.255.255.255:68\nyiaddr 10.77.0.100\n";
    assert_eq!(words(&offer), format!("{head}{tail}53 02\n{times}"));
    let ack = say(&mut desk, &takes(MAC, FIRST), &mut Says::nothing()).unwrap();
    let head = "Ack to 255.255.255.255:68\nyiaddr 10.77.0.100\n";
    assert_eq!(words(&ack), format!("{head}{tail}53 05\n{times}"));
}

#[test]
fn firmware_hears_in_one_answer_where_it_is_and_what_to_boot() {
    let table = [
        (Draft::discover(MAC).firmware("PXEClient", 0), ""),
        (Draft::discover(MAC).firmware("PXEClient", 7), ""),
        (Draft::discover(MAC).firmware("PXEClient", 0).ipxe(), "175 b00101\n"),
        (Draft::discover(MAC).firmware("HTTPClient", 16), "60 HTTPClient\n"),
    ];
    for (draft, own) in table {
        let words = words(&say(&mut lab(RANGE), &draft, &mut Says::load("a.file")).unwrap());
        for line in ["yiaddr 10.77.0.100", "siaddr 10.77.0.1", "file a.file", "66 10.77.0.1", "67 a.file"] {
            assert!(words.contains(&format!("\n{line}\n")), "{words}");
        }
        assert!(words.contains(own), "{words}");
        assert_eq!(words.contains("\n60 "), own.starts_with("60 "), "PXE would ask again: {words}");
    }
    let ack = takes(MAC, FIRST).firmware("PXEClient", 7);
    let mut desk = lab(RANGE);
    let words = words(&say(&mut desk, &ack, &mut Says::load("a.file")).unwrap());
    assert!(words.starts_with("Ack ") && words.contains("\nfile a.file\n"), "{words}");
}

#[test]
fn firmware_that_is_to_boot_its_disk_gets_an_address_alone() {
    let draft = Draft::discover(MAC).firmware("PXEClient", 7);
    let words = words(&say(&mut lab(RANGE), &draft, &mut Says::nothing()).unwrap());
    assert!(words.contains("yiaddr 10.77.0.100\n") && !words.contains("siaddr"), "{words}");
}

#[test]
fn one_card_has_one_address_whatever_it_calls_itself() {
    let mut desk = lab(RANGE);
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 0), Some((MessageType::Offer, FIRST)));
    for (second, id) in [&[1, 0x52][..], &[255, 0, 0, 0, 1, 0, 4, 9], b"agent"].into_iter().enumerate() {
        let draft = Draft::discover(MAC).raw(61, id);
        let seconds = u64::try_from(second).unwrap();
        assert_eq!(heard(&mut desk, &draft, seconds), Some((MessageType::Offer, FIRST)));
    }
    // Another card of the same name is another machine.
    let same = Draft::discover(OTHER).raw(61, b"agent");
    assert_eq!(heard(&mut desk, &same, 3), Some((MessageType::Offer, SECOND)));
}

#[test]
fn a_client_without_a_card_is_known_by_its_name() {
    let mut desk = lab(RANGE);
    let mut infiniband = Draft::discover([0; 6]).raw(61, b"guid-1");
    infiniband.0.set_htype(dhcproto::v4::HType::from(32)).set_chaddr(&[]);
    assert_eq!(heard(&mut desk, &infiniband, 0), Some((MessageType::Offer, FIRST)));
    let other = infiniband.clone().raw(61, b"guid-2");
    assert_eq!(heard(&mut desk, &other, 0), Some((MessageType::Offer, SECOND)));
    assert_eq!(heard(&mut desk, &infiniband, 1), Some((MessageType::Offer, FIRST)));
    let mut nobody = Draft::discover([0; 6]);
    nobody.0.set_chaddr(&[]);
    assert_eq!(heard(&mut desk, &nobody, 2), None);
}

#[test]
fn a_wish_is_granted_when_nobody_has_the_address() {
    let mut desk = lab(RANGE);
    let wish = Draft::discover(MAC).wants(SECOND);
    assert_eq!(heard(&mut desk, &wish, 0), Some((MessageType::Offer, SECOND)));
    let same = Draft::discover(OTHER).wants(SECOND);
    assert_eq!(heard(&mut desk, &same, 0), Some((MessageType::Offer, FIRST)));
    let outside = Draft::discover(THIRD).wants(Ipv4Addr::new(10, 77, 0, 7));
    assert_eq!(heard(&mut desk, &outside, 0), None, "both addresses are offered");
}

#[test]
fn an_offer_that_nobody_takes_is_free_after_half_a_minute() {
    let mut desk = lab("10.77.0.100-10.77.0.100");
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 0), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 29), None);
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 30), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &takes(MAC, FIRST), 31), Some((MessageType::Nak, NONE)));
}

#[test]
fn a_lease_lasts_ten_minutes_and_longer_when_renewed() {
    let mut desk = lab("10.77.0.100-10.77.0.100");
    assert_eq!(heard(&mut desk, &takes(MAC, FIRST), 0), Some((MessageType::Ack, FIRST)));
    let renew = Draft::request(MAC).at(FIRST);
    let reply = desk.receive(&renew.bytes(), broadcast(), Duration::from_secs(300), &mut Says::nothing());
    assert!(
        words(&reply.unwrap()).starts_with("Ack to 10.77.0.100:68\nciaddr 10.77.0.100\nyiaddr 10.77.0.100\n")
    );
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 899), None);
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 900), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &renew, 901), Some((MessageType::Nak, NONE)), "it is somebody else's");
}

#[test]
fn a_machine_that_comes_back_has_its_address_again() {
    let mut desk = lab(RANGE);
    assert_eq!(heard(&mut desk, &takes(MAC, SECOND), 0), Some((MessageType::Ack, SECOND)));
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 5_000), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 9_000), Some((MessageType::Offer, SECOND)));
    // It is kept for her while she makes up her mind.
    assert_eq!(heard(&mut desk, &Draft::discover(THIRD), 9_001), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 9_002), None);
}

#[test]
fn a_remembered_address_is_given_again_or_refused() {
    let mut desk = lab(RANGE);
    let remembers = |mac, address| Draft::request(mac).wants(address);
    // Ours, though we have forgotten: nobody else could have given it.
    assert_eq!(heard(&mut desk, &remembers(MAC, FIRST), 0), Some((MessageType::Ack, FIRST)));
    assert_eq!(heard(&mut desk, &remembers(OTHER, FIRST), 1), Some((MessageType::Nak, NONE)));
    assert_eq!(heard(&mut desk, &remembers(MAC, SECOND), 2), Some((MessageType::Nak, NONE)));
    let elsewhere = remembers(OTHER, Ipv4Addr::new(192, 168, 0, 5));
    assert_eq!(heard(&mut desk, &elsewhere, 3), Some((MessageType::Nak, NONE)));
    let reply = say(&mut desk, &Draft::request(OTHER).at(FIRST), &mut Says::nothing()).unwrap();
    assert!(words(&reply).starts_with("Nak to 255.255.255.255:68\n"), "nobody can be reached at it");
}

#[test]
fn an_address_that_was_released_is_free_and_remembered() {
    let mut desk = lab("10.77.0.100-10.77.0.100");
    heard(&mut desk, &takes(MAC, FIRST), 0);
    let release = Draft::new(MessageType::Release, MAC).of(US).at(FIRST);
    let foreign = Draft::new(MessageType::Release, OTHER).of(US).at(FIRST);
    assert_eq!(heard(&mut desk, &foreign, 1), None);
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 2), None, "nobody releases for somebody else");
    assert_eq!(heard(&mut desk, &release, 3), None);
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 4), Some((MessageType::Offer, FIRST)));
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 33), None, "it is offered");
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 34), Some((MessageType::Offer, FIRST)));
}

#[test]
fn an_address_that_was_declined_is_left_alone_for_an_hour() {
    let mut desk = lab(RANGE);
    heard(&mut desk, &takes(MAC, FIRST), 0);
    let decline = |mac, address| Draft::new(MessageType::Decline, mac).of(US).wants(address);
    assert_eq!(heard(&mut desk, &decline(OTHER, FIRST), 1), None);
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 2), Some((MessageType::Offer, FIRST)), "not hers");
    assert_eq!(heard(&mut desk, &decline(MAC, FIRST), 3), None);
    assert_eq!(heard(&mut desk, &Draft::discover(MAC), 4), Some((MessageType::Offer, SECOND)));
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER).wants(FIRST), 20), None);
    let later = 3 + 3_600;
    assert_eq!(
        heard(&mut desk, &Draft::discover(OTHER).wants(FIRST), later),
        Some((MessageType::Offer, FIRST))
    );
}

#[test]
fn a_client_with_an_address_hears_the_rest() {
    let inform = Draft::new(MessageType::Inform, MAC).at(Ipv4Addr::new(10, 77, 0, 7));
    let reply = say(&mut lab(RANGE), &inform, &mut Says::nothing()).unwrap();
    let expected = "\
Ack to 10.77.0.7:68
ciaddr 10.77.0.7
1 ffffff00
28 0a4d00ff
53 05
54 0a4d0001
";
    assert_eq!(words(&reply), expected);
    let elsewhere = Draft::new(MessageType::Inform, MAC).at(Ipv4Addr::new(192, 168, 0, 7));
    assert_eq!(heard(&mut lab(RANGE), &elsewhere, 0), None);
}

#[test]
fn a_client_that_took_another_servers_offer_is_let_go() {
    let mut desk = lab("10.77.0.100-10.77.0.100");
    heard(&mut desk, &Draft::discover(MAC), 0);
    let elsewhere = Draft::request(MAC).of(Ipv4Addr::new(10, 77, 0, 9)).wants(Ipv4Addr::new(10, 77, 0, 50));
    assert_eq!(heard(&mut desk, &elsewhere, 1), None);
    assert_eq!(heard(&mut desk, &Draft::discover(OTHER), 2), Some((MessageType::Offer, FIRST)));
}

#[test]
fn a_relays_network_gets_none_of_our_addresses() {
    let far = Draft::discover(MAC).through(Ipv4Addr::new(10, 88, 0, 1));
    assert_eq!(heard(&mut lab(RANGE), &far, 0), None);
    let near = Draft::discover(MAC).through(Ipv4Addr::new(10, 77, 0, 2));
    let reply = say(&mut lab(RANGE), &near, &mut Says::nothing()).unwrap();
    assert!(words(&reply).starts_with("Offer to 10.77.0.2:67\nyiaddr 10.77.0.100\ngiaddr 10.77.0.2\n"));
}

#[test]
fn what_is_given_is_kept_before_anybody_hears_of_it() {
    let mut desk = lab(RANGE);
    let mut host = Says::nothing();
    say(&mut desk, &Draft::discover(MAC), &mut host);
    assert_eq!(host.kept, None, "an offer binds nobody");
    say(&mut desk, &takes(MAC, FIRST), &mut host);
    let lease = Lease { address: FIRST, holder: Holder::Card(MAC) };
    assert_eq!(host.kept.take(), Some(vec![lease]));
    say(&mut desk, &Draft::request(MAC).at(FIRST), &mut host);
    assert_eq!(host.kept, None, "more time changes nothing that is kept");
}

#[test]
fn what_could_not_be_kept_is_kept_with_the_next_message() {
    let mut desk = lab(RANGE);
    let mut host = Says::nothing();
    host.full_disk = true;
    assert!(say(&mut desk, &takes(MAC, FIRST), &mut host).is_some(), "a full disk stops nobody's boot");
    host.full_disk = false;
    say(&mut desk, &Draft::discover(OTHER), &mut host);
    assert_eq!(host.kept.take(), Some(vec![Lease { address: FIRST, holder: Holder::Card(MAC) }]));
    say(&mut desk, &Draft::discover(OTHER), &mut host);
    assert_eq!(host.kept, None);
}

#[test]
fn a_range_is_of_the_interfaces_network_and_not_too_large() {
    let check =
        |range: &str| network().check(range.parse::<Range>().unwrap()).map_err(|error| error.to_string());
    assert_eq!(check("10.77.0.2-10.77.0.254"), Ok(()));
    let foreign = "the range 10.77.0.200-10.77.1.5 is not inside 10.77.0.0/24, the network of br0";
    assert_eq!(check("10.77.0.200-10.77.1.5"), Err(foreign.to_owned()));
    let ours =
        "the range 10.77.0.0-10.77.0.1 has no address to lease: only this host's own, or the network's";
    assert_eq!(check("10.77.0.0-10.77.0.1"), Err(ours.to_owned()));
    let wide = Network { prefix: 16, ..network() };
    let large = wide.check("10.77.0.0-10.77.255.255".parse().unwrap());
    assert!(matches!(large, Err(BindError::RangeTooLarge(65_536))));
    assert_eq!(large.unwrap_err().to_string(), "a range of 65536 addresses; at most 1024 are leased");
}

#[test]
fn an_address_that_no_interface_has_is_refused_with_those_there_are() {
    let error = Network::find(Ipv4Addr::new(192, 0, 2, 77)).unwrap_err().to_string();
    assert!(error.starts_with("no interface has the address 192.0.2.77; this host has "), "{error}");
    assert!(error.contains("127.0.0.1 (lo)"), "{error}");
    let loopback = Network::find(Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!((loopback.interface.as_str(), loopback.prefix), ("lo", 8));
}
