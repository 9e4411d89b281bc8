//! Messages byte for byte, against a layout written down from `include/uapi/linux/wireguard.h`: this is what a kernel
//! reads, whatever the crate that writes them thinks.

use super::*;
use crate::mesh::plan::tests::key;
use crate::mesh::prefix::prefix;
use crate::mesh::state::Folder;
use rtnetlink::packet_core::ParseableParametrized;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// One attribute (`struct nlattr`): length, type, value, padding to four bytes.
fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

fn emitted(message: WireguardMessage) -> Vec<u8> {
    let message = GenlMessage::from_payload(message);
    let mut bytes = vec![0; Emitable::buffer_len(&message)];
    message.emit(&mut bytes);
    bytes
}

fn set(attributes: Vec<WireguardAttribute>) -> Vec<u8> {
    let mut all = vec![WireguardAttribute::IfName("muster0".to_owned())];
    all.extend(attributes);
    emitted(WireguardMessage { cmd: WireguardCmd::SetDevice, attributes: all })
}

/// `struct genlmsghdr` and the name: `WG_CMD_SET_DEVICE`, version 1, `WGDEVICE_A_IFNAME`.
fn head() -> Vec<u8> {
    [vec![1, 1, 0, 0], nla(2, b"muster0\0")].concat()
}

fn told(key: PublicKey) -> PeerChange {
    PeerChange { key, is_new: false, endpoint: None, keepalive: None, allowed: Allowed::Same }
}

fn peers(change: Change) -> Vec<u8> {
    let mut messages = messages(&[change]);
    assert_eq!(messages.len(), 1);
    set(vec![WireguardAttribute::Peers(messages.remove(0))])
}

#[test]
fn looking_names_the_interface_alone() {
    let asked = WireguardMessage {
        cmd: WireguardCmd::GetDevice,
        attributes: vec![WireguardAttribute::IfName("muster0".to_owned())],
    };
    assert_eq!(emitted(asked), [vec![0, 1, 0, 0], nla(2, b"muster0\0")].concat());
}

#[test]
fn key_and_port_are_what_the_kernel_reads() {
    let folder = tempfile::tempdir().unwrap();
    let private = Folder::new(folder.path()).key().unwrap();
    let bytes = set(vec![WireguardAttribute::PrivateKey(*private.reveal())]);
    assert_eq!(bytes, [head(), nla(3, private.reveal())].concat());
    let bytes = set(vec![WireguardAttribute::ListenPort(51_820)]);
    assert_eq!(bytes, [head(), nla(6, &51_820_u16.to_ne_bytes())].concat());
}

#[test]
fn new_peer_is_what_the_kernel_reads() {
    let change = PeerChange {
        is_new: true,
        endpoint: Some("[2001:db8::7]:51820".parse().unwrap()),
        keepalive: Some(25),
        allowed: Allowed::All(vec![prefix("10.20.0.7/32"), prefix("fd00:20::/64")]),
        ..told(key(7))
    };
    let v4 = [nla(1, &2_u16.to_ne_bytes()), nla(2, &[10, 20, 0, 7]), nla(3, &[32])].concat();
    let network = [0xfd, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let v6 = [nla(1, &10_u16.to_ne_bytes()), nla(2, &network), nla(3, &[64])].concat();
    let place = [
        10_u16.to_ne_bytes().as_slice(),
        &51_820_u16.to_be_bytes(),
        &[0; 4],
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        &[0; 4],
    ]
    .concat();
    let peer = [
        nla(1, &[7; 32]),
        // WGPEER_F_REPLACE_ALLOWEDIPS.
        nla(3, &2_u32.to_ne_bytes()),
        nla(4, &place),
        nla(5, &25_u16.to_ne_bytes()),
        nla(9 | NESTED, &[nla(NESTED, &v4), nla(NESTED, &v6)].concat()),
    ]
    .concat();
    assert_eq!(peers(Change::Set(change)), [head(), nla(8 | NESTED, &nla(NESTED, &peer))].concat());
}

#[test]
fn what_stays_as_it_is_is_not_in_the_message() {
    let moved = PeerChange { endpoint: Some("192.0.2.7:1024".parse().unwrap()), ..told(key(7)) };
    let place = [2_u16.to_ne_bytes().as_slice(), &1_024_u16.to_be_bytes(), &[192, 0, 2, 7], &[0; 8]].concat();
    // WGPEER_F_UPDATE_ONLY.
    let peer = [nla(1, &[7; 32]), nla(3, &4_u32.to_ne_bytes()), nla(4, &place)].concat();
    assert_eq!(peers(Change::Set(moved)), [head(), nla(8 | NESTED, &nla(NESTED, &peer))].concat());
    let relayed = PeerChange { allowed: Allowed::All(Vec::new()), ..told(key(7)) };
    let peer = [nla(1, &[7; 32]), nla(3, &6_u32.to_ne_bytes())].concat();
    assert_eq!(peers(Change::Set(relayed)), [head(), nla(8 | NESTED, &nla(NESTED, &peer))].concat());
    // WGPEER_F_REMOVE_ME and WGPEER_F_UPDATE_ONLY.
    let peer = [nla(1, &[7; 32]), nla(3, &5_u32.to_ne_bytes())].concat();
    assert_eq!(peers(Change::Remove(key(7))), [head(), nla(8 | NESTED, &nla(NESTED, &peer))].concat());
}

fn hosts(count: u32) -> Vec<Prefix> {
    (0..count)
        .map(|n| Prefix::host(std::net::Ipv6Addr::from_bits((0xfd << 120) + u128::from(n)).into()))
        .collect()
}

/// What a kernel has after these messages.
fn obeyed(messages: Vec<Vec<WireguardPeer>>) -> BTreeMap<PublicKey, BTreeSet<Prefix>> {
    let mut kernel = BTreeMap::<PublicKey, BTreeSet<Prefix>>::new();
    for peer in messages.into_iter().flatten() {
        let (mut seen, mut flags) = (BTreeMap::new(), WireguardPeerFlags::empty());
        see(&mut seen, &peer);
        for attribute in peer.iter() {
            if let WireguardPeerAttribute::Flags(bits) = attribute {
                flags = *bits;
            }
        }
        for (key, peer) in seen {
            if flags.contains(WireguardPeerFlags::UpdateOnly) && !kernel.contains_key(&key) {
                continue;
            }
            if flags.contains(WireguardPeerFlags::RemoveMe) {
                kernel.remove(&key);
                continue;
            }
            let allowed = kernel.entry(key).or_default();
            if flags.contains(WireguardPeerFlags::ReplaceAllowedIps) {
                allowed.clear();
            }
            allowed.extend(peer.present.allowed);
        }
    }
    kernel
}

#[test]
fn many_peers_and_many_addresses_become_several_messages() {
    let change = |number: u8, count| {
        Change::Set(PeerChange { is_new: true, allowed: Allowed::All(hosts(count)), ..told(key(number)) })
    };
    let mut changes: Vec<Change> = (1..200).map(|number| change(number, 2)).collect();
    changes.push(change(200, 700));
    let all = messages(&changes);
    assert!(all.len() > 5, "{}", all.len());
    for message in &all {
        let length = set(vec![WireguardAttribute::Peers(message.clone())]).len();
        assert!(length <= MAX_MESSAGE + 64, "{length}");
    }
    let kernel = obeyed(all);
    assert_eq!(kernel.len(), 200);
    assert_eq!(kernel.get(&key(200)).unwrap(), &hosts(700).into_iter().collect());
    assert!(messages(&[]).is_empty());
}

#[test]
fn interface_is_read_over_several_messages_and_without_its_private_key() {
    let private = [0x42; 32];
    let place: SocketAddr = "192.0.2.7:51820".parse().unwrap();
    let first = [
        nla(6, &51_820_u16.to_ne_bytes()),
        nla(3, &private),
        nla(4, &[9; 32]),
        nla(
            8 | NESTED,
            &nla(
                NESTED,
                &[
                    nla(1, &[7; 32]),
                    nla(2, &[0; 32]),
                    nla(
                        4,
                        &[
                            2_u16.to_ne_bytes().as_slice(),
                            &51_820_u16.to_be_bytes(),
                            &[192, 0, 2, 7],
                            &[0; 8],
                        ]
                        .concat(),
                    ),
                    nla(5, &25_u16.to_ne_bytes()),
                    nla(6, &[3_i64.to_ne_bytes(), 5_i64.to_ne_bytes()].concat()),
                    nla(7, &100_u64.to_ne_bytes()),
                    nla(8, &200_u64.to_ne_bytes()),
                    nla(
                        9 | NESTED,
                        &nla(
                            NESTED,
                            &[nla(1, &2_u16.to_ne_bytes()), nla(2, &[10, 20, 0, 7]), nla(3, &[32])].concat(),
                        ),
                    ),
                    nla(10, &1_u32.to_ne_bytes()),
                ]
                .concat(),
            ),
        ),
    ]
    .concat();
    let allowed =
        nla(NESTED, &[nla(1, &2_u16.to_ne_bytes()), nla(2, &[10, 9, 0, 0]), nla(3, &[24])].concat());
    let second = nla(8 | NESTED, &nla(NESTED, &[nla(1, &[7; 32]), nla(9 | NESTED, &allowed)].concat()));
    let read = |bytes: &[u8]| {
        let whole = [[0, 1, 0, 0].as_slice(), bytes].concat();
        GenlMessage::<WireguardMessage>::parse_with_param(&whole, 0).unwrap().into_parts().1
    };
    let device = device(vec![read(&first), read(&second)]);
    assert_eq!((device.key, device.port, device.peers.len()), (Some(key(9)), 51_820, 1));
    let peer = device.peers.get(&key(7)).unwrap();
    assert_eq!(peer.present.allowed, BTreeSet::from([prefix("10.20.0.7/32"), prefix("10.9.0.0/24")]));
    assert_eq!((peer.present.endpoint, peer.present.keepalive), (Some(place), 25));
    assert_eq!((peer.handshake, peer.received, peer.sent), (Some(3_000_000_005), 100, 200));
    let shown = format!("{device:?}");
    for form in crate::mesh::state::forms(&private) {
        assert!(!shown.contains(&form), "{shown}");
    }
}

#[test]
fn interface_without_a_key_and_peer_without_a_handshake_are_told_so() {
    let attributes = vec![
        WireguardAttribute::PublicKey([0; 32]),
        WireguardAttribute::Peers(vec![WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey([7; 32]),
            WireguardPeerAttribute::LastHandshake(netlink_packet_wireguard::WireguardTimeSpec::default()),
        ])]),
    ];
    let device = device(vec![WireguardMessage { cmd: WireguardCmd::GetDevice, attributes }]);
    assert_eq!(device.key, None);
    assert_eq!(device.peers.get(&key(7)), Some(&Peer::default()));
}

#[tokio::test]
async fn this_kernel_says_which_families_it_has() {
    // The one that says so itself has a number that never changes (`GENL_ID_CTRL`).
    assert_eq!(family("nlctrl").await.unwrap(), 16);
    let missing = family("muster-none").await.unwrap_err();
    assert!(matches!(missing, WireguardError::Unavailable(Unavailable::Wireguard)), "{missing:?}");
    assert!(missing.to_string().starts_with("this kernel has no WireGuard"));
}
