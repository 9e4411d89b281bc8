//! What machines say to our DHCP server. Anybody on the network says it, before anybody knows who it is.

use pxe::dhcp::{Desk, Door, Host, Kind, Lease, Leases, MAX_PACKET, Network, Range, decode};
use pxe::question::{Answer, Client, Firmware};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Our address; the first of the range, which is never given.
const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const RANGE: Range = Range { first: US, last: Ipv4Addr::new(10, 77, 0, 7) };

/// Has something for everybody but HTTP Boot, and counts.
#[derive(Default)]
struct Menu {
    asked: usize,
    kept: usize,
}

impl Host for Menu {
    fn what_boots(&mut self, client: &Client) -> Answer {
        self.asked += 1;
        assert!(client.uuid.is_none_or(|uuid| uuid != [0; 16] && uuid != [0xff; 16]));
        assert!(client.mac[0] & 1 == 0 && client.mac != [0; 6], "one card's address");
        match client.firmware {
            Firmware::UefiHttp(_) => Answer::Silence("nothing".to_owned()),
            Firmware::Bios | Firmware::Uefi(_) | Firmware::Ipxe => Answer::Load("undionly.kpxe".to_owned()),
        }
    }

    fn keep(&mut self, leases: &[Lease]) -> std::io::Result<()> {
        self.kept += 1;
        assert!(leases.iter().all(|lease| RANGE.contains(lease.address) && lease.address != US));
        Ok(())
    }
}

/// Most packets of an input: fewer than half seconds in a lease.
const MAX_PACKETS: usize = 1_000;

/// Packets, each after its length in two bytes, to a server that leases addresses or not (first byte),
/// half a second apart. Whatever they are, an answer is a message of ours that belongs to its question, and
/// no address is given to two cards.
pub fn dhcp_server(data: &[u8]) -> bool {
    let Some((mode, mut rest)) = data.split_first() else { return false };
    let network = Network { interface: "eth0".to_owned(), address: US, prefix: 24 };
    let leasing = mode & 1 == 1;
    let leases = leasing.then(|| Leases::new(RANGE, network.reserved()));
    let mut desk = Desk::new(network, leases, Duration::ZERO);
    let door = if mode & 2 == 2 { Door::Boot } else { Door::Dhcp };
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 99), 68);
    let (mut menu, mut understood, mut now) = (Menu::default(), false, Duration::ZERO);
    let mut holders: BTreeMap<Ipv4Addr, [u8; 6]> = BTreeMap::new();
    for _ in 0..MAX_PACKETS {
        let Some((length, after)) = rest.split_first_chunk() else { break };
        let (packet, after) = after.split_at(after.len().min(u16::from_be_bytes(*length).into()));
        rest = after;
        now += Duration::from_millis(500);
        let asked = menu.asked;
        let reply = desk.receive(packet, (door, from), now, &mut menu);
        assert!(menu.asked <= asked + 1, "one message is one question");
        let question = decode(packet);
        understood |= question.is_ok();
        if let Ok(question) = &question
            && matches!(question.kind, Kind::Release | Kind::Decline)
        {
            holders.retain(|_, card| Some(*card) != question.hardware.mac());
        }
        let Some(reply) = reply else { continue };
        let question = question.expect("what is answered was read");
        let answer = decode(&reply.bytes).expect("our own answers are messages");
        assert!((300..=MAX_PACKET).contains(&reply.bytes.len()));
        assert_eq!((answer.xid, answer.hardware), (question.xid, question.hardware));
        assert!(!answer.from_client && answer.server == Some(US));
        assert!(matches!(answer.kind, Kind::Offer | Kind::Ack | Kind::Nak));
        if answer.yiaddr.is_unspecified() {
            continue;
        }
        assert!(leasing && RANGE.contains(answer.yiaddr) && answer.yiaddr != US, "{}", answer.yiaddr);
        let Some(card) = answer.hardware.mac() else { continue };
        // Inputs are shorter than a lease: until a card speaks of its address again, to give it back or
        // to decline it, the address is its own.
        if let Some(holder) = holders.get(&answer.yiaddr) {
            assert_eq!(*holder, card, "{} is given to two", answer.yiaddr);
        }
        if answer.kind == Kind::Ack {
            holders.insert(answer.yiaddr, card);
        }
    }
    understood
}
