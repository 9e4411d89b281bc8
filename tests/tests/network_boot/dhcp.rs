//! Addresses that our server leases, over the wire and across its death.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType};
use dhcproto::{Decodable as _, Encodable as _};
use tests::lab::{Host, Lab};
use tests::muster::Server;

use crate::SERVER;

/// Longest wait for an answer; the server writes its leases to disk before.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long nobody answers before that counts as silence.
const SILENCE: Duration = Duration::from_secs(1);
/// All hosts of the network: a host without a default route has no other way to all.
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 51);

/// A host that speaks for cards of its choice.
struct Cards {
    socket: UdpSocket,
}

impl Cards {
    fn on(host: &Host) -> Self {
        let socket = host.namespace().inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))).unwrap();
        let socket = socket.unwrap();
        socket.set_broadcast(true).unwrap();
        Self { socket }
    }

    /// What the server says to a card that looks for an address, or asks for one.
    fn hear(
        &self,
        card: u8,
        kind: MessageType,
        address: Option<Ipv4Addr>,
        patience: Duration,
    ) -> Option<Message> {
        let mac = [0x52, 0x54, 0, 0x0b, 0x08, card];
        let mut message = Message::default();
        message.set_chaddr(&mac).set_flags(Flags::default().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        if let Some(address) = address {
            message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        }
        self.socket.send_to(&message.to_vec().unwrap(), (EVERYBODY, 67)).unwrap();
        let until = Instant::now() + patience;
        let mut buffer = [0; 1_500];
        loop {
            let left = until.checked_duration_since(Instant::now())?.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return None };
            let answer = Message::from_bytes(&buffer[..length]).unwrap();
            if answer.xid() == message.xid() {
                assert_eq!(from, (SERVER, 67).into(), "firmware compares where an answer is from");
                return Some(answer);
            }
        }
    }

    /// The address that a card is offered.
    fn offered(&self, card: u8) -> Ipv4Addr {
        let offer = self.hear(card, MessageType::Discover, None, ANSWER_WITHIN).expect("an offer");
        assert_eq!(offer.opts().msg_type(), Some(MessageType::Offer));
        offer.yiaddr()
    }

    /// Whether a card may have an address that it asks for.
    fn may_have(&self, card: u8, address: Ipv4Addr) -> bool {
        let answer = self.hear(card, MessageType::Request, Some(address), ANSWER_WITHIN).expect("an answer");
        let given = answer.opts().msg_type() == Some(MessageType::Ack);
        assert_eq!(answer.yiaddr(), if given { address } else { Ipv4Addr::UNSPECIFIED });
        given
    }
}

#[test]
fn a_server_that_died_gives_no_address_to_a_second_machine() {
    let lab = Lab::new("netboot-leases-lab").unwrap();
    let (host, guests) = (lab.host(SERVER).unwrap(), lab.host(Ipv4Addr::new(10, 77, 0, 3)).unwrap());
    let range = format!("{FIRST}-{SECOND}");
    let server = Server::builder("netboot-leases-server").on(&host);
    let arguments = ["--proxy-dhcp", &SERVER.to_string(), "--dhcp-range", &range];
    let mut server = server.args(&arguments).start().unwrap();
    let cards = Cards::on(&guests);
    assert_eq!(cards.offered(1), FIRST);
    assert!(cards.may_have(1, FIRST));
    assert!(!cards.may_have(2, FIRST));

    server.kill().unwrap();
    assert_eq!(cards.hear(1, MessageType::Discover, None, SILENCE), None);
    server.start_again().unwrap();
    assert_eq!(cards.offered(2), SECOND, "the first address may be in use");
    assert!(cards.may_have(2, SECOND));
    assert_eq!(cards.hear(3, MessageType::Discover, None, SILENCE), None, "both are in use");
    assert!(cards.may_have(1, FIRST), "who had it has it");
    assert!(server.logs().unwrap().contains("every address of --dhcp-range is in use"));
}

#[test]
fn an_address_or_a_range_of_another_network_is_refused_with_those_there_are() {
    let lab = Lab::new("netboot-elsewhere-lab").unwrap();
    let host = lab.host(SERVER).unwrap();
    let refusal = |name: &str, arguments: &[&str]| {
        let refused = Server::builder(name).on(&host).args(arguments).start();
        format!("{:#}", refused.expect_err("a server that cannot answer"))
    };
    let ours = SERVER.to_string();
    let said = refusal("netboot-no-interface", &["--proxy-dhcp", "192.0.2.7"]);
    assert!(said.contains("no interface has the address 192.0.2.7"), "{said}");
    assert!(said.contains("10.77.0.2 (eth0)"), "{said}");
    let range = ["--proxy-dhcp", &ours, "--dhcp-range", "10.78.0.50-10.78.0.59"];
    let said = refusal("netboot-no-range", &range);
    assert!(said.contains("10.78.0.50-10.78.0.59 is not inside 10.77.0.0/24, the network of eth0"), "{said}");
}
