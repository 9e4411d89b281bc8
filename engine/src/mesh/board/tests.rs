use super::*;
use crate::time::Timestamp;
use proptest::prelude::*;
use protocol::mesh::{MeshNews, MeshPeer, MeshReport, PeerReport};
use std::net::SocketAddr;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn id(number: usize) -> MachineId {
    MachineId(Uuid::from_u128(number as u128))
}

fn key(number: usize) -> PublicKey {
    let mut key = [1; 32];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PublicKey(key)
}

fn address(number: usize) -> IpAddr {
    let number = u32::try_from(number).unwrap();
    std::net::Ipv4Addr::from_bits(0x0a14_0000 + number).into()
}

fn member(number: usize, roles: &[&str], relay: bool) -> Member {
    Member {
        name: format!("m{number}"),
        addresses: vec![address(number)],
        key: Some(key(number)),
        roles: roles.iter().map(ToString::to_string).collect(),
        relay,
        port: 51_820,
        ..Member::default()
    }
}

fn board(hosts: bool) -> Board {
    Board::new("home", vec!["10.20.0.0/16".parse().unwrap()], hosts)
}

/// A network of members without roles, all online, the first of them a relay.
fn network(count: usize) -> Board {
    let mut board = board(false);
    for number in 1..=count {
        board.put(id(number), member(number, &[], number == 1));
        board.online(id(number), true);
    }
    board
}

fn seen(number: usize, handshake: Option<u64>, tried: u64) -> PeerReport {
    let port = u16::try_from(40_000 + number).unwrap();
    let endpoint = handshake.map(|_| SocketAddr::from(([203, 0, 113, 7], port)));
    PeerReport { machine: id(number), endpoint, handshake, tried, received: 0, sent: 0, way: Way::Direct }
}

fn report(number: usize, peers: Vec<PeerReport>) -> MeshReport {
    let last = u8::try_from(number % 256).unwrap();
    let addresses = vec![IpAddr::from([192, 0, 2, last])];
    MeshReport {
        key: Some(key(number)),
        port: 51_820,
        addresses,
        peers,
        vips: Vec::new(),
        error: String::new(),
    }
}

fn touched(numbers: &[usize]) -> Touched {
    numbers.iter().map(|number| id(*number)).collect()
}

fn peer_of(news: &MeshNews, number: usize) -> Option<&MeshPeer> {
    news.peers.iter().find(|peer| peer.machine == id(number))
}

#[test]
fn new_member_is_told_to_all_and_told_of_all() {
    let mut board = network(3);
    let before = board.counter();
    assert_eq!(board.put(id(4), member(4, &[], false)), touched(&[1, 2, 3, 4]));
    let news = board.news(id(2), Some(before)).unwrap();
    assert!(!news.whole && news.gone.is_empty());
    assert_eq!(news.peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["m4"]);
    assert_eq!(board.news(id(2), Some(board.counter())), None);
    let all = board.news(id(4), Some(before)).unwrap();
    assert!(all.whole);
    assert_eq!(all.peers.len(), 3);
    assert_eq!(all.own.unwrap().addresses, [address(4)]);
}

#[test]
fn member_without_a_key_knows_nobody_and_is_known_by_nobody() {
    let mut board = network(2);
    let keyless = Member { key: None, ..member(3, &[], false) };
    board.put(id(3), keyless.clone());
    assert!(board.news(id(3), None).unwrap().peers.is_empty());
    assert!(peer_of(&board.news(id(1), None).unwrap(), 3).is_none());
    assert_eq!(board.hear(id(3), &report(3, vec![]), NOW).unwrap(), touched(&[1, 2, 3]));
    assert_eq!(board.news(id(3), None).unwrap().peers.len(), 2);
    // What it told stays while the store does not know it yet.
    assert_eq!(board.put(id(3), keyless), Touched::new());
    assert!(peer_of(&board.news(id(1), None).unwrap(), 3).is_some());
}

#[test]
fn key_of_another_member_is_refused() {
    let mut board = network(2);
    let stolen = MeshReport { key: Some(key(1)), ..report(2, vec![]) };
    assert_eq!(board.hear(id(2), &stolen, NOW), Err(Refused::KeyTaken));
    assert_eq!(board.member(id(2)).unwrap().member.key, Some(key(2)));
    board.remove(id(1));
    assert!(board.hear(id(2), &stolen, NOW).is_ok());
}

#[test]
fn who_left_is_gone_from_every_view_and_has_no_place() {
    let mut board = network(3);
    let before = board.counter();
    assert_eq!(board.remove(id(3)), touched(&[1, 2, 3]));
    assert_eq!(board.news(id(2), Some(before)).unwrap().gone, [id(3)]);
    let own = board.news(id(3), Some(before)).unwrap();
    assert!(own.whole && own.own.is_none() && own.peers.is_empty());
    board.put(id(3), member(3, &[], false));
    let back = board.news(id(2), Some(before)).unwrap();
    assert!(back.gone.is_empty() && peer_of(&back, 3).is_some());
}

#[test]
fn cursor_that_is_not_remembered_gets_everything() {
    let mut board = network(2);
    assert!(board.news(id(1), Some(board.counter() + 1)).unwrap().whole);
    let before = board.counter();
    for number in 10..10 + 1_100 {
        board.put(id(number), Member { key: None, ..member(number, &[], false) });
        board.remove(id(number));
    }
    assert!(board.news(id(1), Some(before)).unwrap().whole);
    assert_eq!(board.news(id(1), Some(board.counter())), None);
}

#[test]
fn place_that_others_see_comes_first_and_is_told_once() {
    let mut board = network(3);
    board.hear(id(3), &report(3, vec![]), NOW).unwrap();
    let before = board.counter();
    assert_eq!(board.hear(id(1), &report(1, vec![seen(3, Some(4), 0)]), NOW).unwrap(), touched(&[1, 2, 3]));
    let news = board.news(id(2), Some(before)).unwrap();
    let endpoints: Vec<String> =
        peer_of(&news, 3).unwrap().endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["203.0.113.7:40003", "192.0.2.3:51820"]);
    assert!(board.hear(id(1), &report(1, vec![seen(3, Some(9), 0)]), NOW).unwrap().is_empty());
    let silent = PeerReport { handshake: Some(181), ..seen(3, Some(0), 0) };
    board.hear(id(1), &report(1, vec![silent]), NOW).unwrap();
    assert_eq!(board.member(id(3)).unwrap().endpoints, ["192.0.2.3:51820".parse().unwrap()]);
}

#[test]
fn pair_without_a_tunnel_goes_by_the_relay_until_its_first_handshake() {
    let mut board = network(3);
    let before = board.counter();
    board.hear(id(2), &report(2, vec![seen(3, None, 20)]), NOW).unwrap();
    assert_eq!(board.way(id(2), id(3)), Way::Direct);
    let since = board.counter();
    let told = board.hear(id(3), &report(3, vec![seen(2, None, 20)]), NOW).unwrap();
    assert!(told.is_superset(&touched(&[2, 3])));
    for (one, other) in [(2, 3), (3, 2)] {
        let news = board.news(id(one), Some(since)).unwrap();
        let peer = peer_of(&news, other).unwrap();
        assert_eq!((peer.way, peer.key), (Way::Relay, Some(key(other))));
    }
    let relay = board.news(id(2), Some(before)).unwrap();
    assert!(peer_of(&relay, 1).is_none(), "nothing is new of the relay");
    assert_eq!(peer_of(&board.news(id(2), None).unwrap(), 1).unwrap().routes, board.layout.networks);
    board.hear(id(3), &report(3, vec![seen(2, Some(0), 0)]), NOW).unwrap();
    assert_eq!(board.way(id(2), id(3)), Way::Direct);
}

#[test]
fn next_relay_takes_over_when_the_one_in_use_goes_offline() {
    let mut board = network(3);
    board.put(id(2), member(2, &[], true));
    assert_eq!(board.relay(), Some(id(1)));
    let before = board.counter();
    assert_eq!(board.online(id(1), false), touched(&[1, 2, 3]));
    assert_eq!(board.relay(), Some(id(2)));
    let news = board.news(id(3), Some(before)).unwrap();
    assert!(peer_of(&news, 1).unwrap().routes.is_empty());
    assert_eq!(peer_of(&news, 2).unwrap().routes, board.layout.networks);
}

#[test]
fn what_somebody_holds_goes_by_the_relay_when_its_address_does() {
    let mut board = network(3);
    let route: Cidr = "192.168.7.0/24".parse().unwrap();
    assert_eq!(board.holds(BTreeMap::from([(id(3), vec![route])])), touched(&[1, 2, 3]));
    assert_eq!(peer_of(&board.news(id(2), None).unwrap(), 3).unwrap().routes, [route]);
    board.hear(id(2), &report(2, vec![seen(3, None, 20)]), NOW).unwrap();
    let before = board.counter();
    board.hear(id(3), &report(3, vec![seen(2, None, 20)]), NOW).unwrap();
    let news = board.news(id(2), Some(before)).unwrap();
    assert!(peer_of(&news, 3).unwrap().routes.is_empty());
    assert_eq!(peer_of(&news, 1).unwrap().routes, [board.layout.networks[0], route]);
    assert_eq!(peer_of(&board.news(id(1), None).unwrap(), 3).unwrap().routes, [route]);
}

#[test]
fn nudged_member_hears_without_anything_new() {
    let mut board = network(2);
    let before = board.counter();
    assert_eq!(board.nudge(&touched(&[2, 9])), touched(&[2]));
    let news = board.news(id(2), Some(before)).unwrap();
    assert!(!news.whole && news.peers.is_empty() && news.own.is_some());
    assert_eq!(board.news(id(1), Some(before)), None);
}

#[test]
fn neighbors_behind_one_nat_try_their_private_addresses_first() {
    let mut board = network(3);
    let lan = MeshReport { addresses: vec![[192, 168, 1, 3].into()], ..report(3, vec![]) };
    board.hear(id(3), &lan, NOW).unwrap();
    board.hear(id(1), &report(1, vec![seen(3, Some(1), 0)]), NOW).unwrap();
    for number in [2, 3] {
        board.source(id(number), [203, 0, 113, 7].into());
    }
    let first = |viewer| peer_of(&board.news(id(viewer), None).unwrap(), 3).unwrap().endpoints[0].to_string();
    assert_eq!((first(1).as_str(), first(2).as_str()), ("203.0.113.7:40003", "192.168.1.3:51820"));
}

/// A large network: a thousand members, three relays, roles of twenty.
fn thousand(hosts: bool) -> Board {
    let mut board = board(hosts);
    for number in 1..=1_000 {
        let role = format!("r{}", number / 20);
        board.put(id(number), member(number, &["everybody", &role], number <= 3));
        board.online(id(number), true);
    }
    board
}

#[test]
fn of_a_thousand_members_each_knows_the_relays_and_those_of_its_roles() {
    let board = thousand(false);
    let news = board.news(id(500), None).unwrap();
    let mates: Vec<MachineId> = [1, 2, 3].into_iter().chain(500..520).filter(|n| *n != 500).map(id).collect();
    assert_eq!(news.peers.iter().map(|peer| peer.machine).collect::<Vec<_>>(), mates);
    assert_eq!(board.news(id(2), None).unwrap().peers.len(), 999);
    let named = thousand(true).news(id(500), None).unwrap();
    assert_eq!(named.peers.len(), 999);
    assert_eq!(named.peers.iter().filter(|peer| peer.key.is_some()).count(), mates.len());
}

#[test]
fn change_of_one_of_a_thousand_costs_as_much_as_it_has_peers() {
    let mut board = thousand(false);
    let before = board.counter();
    let peers = 22;
    let changes: [fn(&mut Board) -> Touched; 6] = [
        |board| board.put(id(500), Member { name: "other".to_owned(), ..member(500, &["r25"], false) }),
        |board| board.put(id(500), Member { port: 4_500, ..member(500, &["r25"], false) }),
        |board| board.hear(id(501), &report(501, vec![seen(500, Some(1), 0)]), NOW).unwrap(),
        |board| board.source(id(500), [198, 51, 100, 9].into()),
        |board| board.remove(id(500)),
        |board| board.put(id(500), member(500, &["everybody", "r25"], false)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let since = board.counter();
        board.work.set(0);
        let touched = change(&mut board);
        // Each change asks a few times who the peers are.
        assert!(board.work.get() <= 12 * peers, "change {number} looked at {} pairs", board.work.get());
        assert!(touched.len() <= 2 * peers + 2, "change {number} concerns {}", touched.len());
        for viewer in touched.iter().filter(|viewer| **viewer != id(500) && **viewer != id(501)) {
            board.work.set(0);
            let news = board.news(*viewer, Some(since)).unwrap();
            assert!(!news.whole && news.peers.len() + news.gone.len() <= 2);
            assert!(board.work.get() <= 12, "change {number} looked at {} pairs to tell", board.work.get());
        }
        // Whoever is not its peer is not woken, and is told nothing of it but that it is gone.
        assert!(!touched.contains(&id(900)));
        assert!(board.news(id(900), Some(since)).is_none_or(|news| news.peers.is_empty()));
    }
    assert!(!board.news(id(1), Some(before)).unwrap().whole);
}

#[derive(Debug, Clone)]
enum Deed {
    Put { number: usize, roles: u8, relay: bool, keyed: bool, port: u16 },
    Remove(usize),
    Online(usize, bool),
    Source(usize, u8),
    Hear { from: usize, about: usize, handshake: Option<u64>, tried: u64 },
    Hold(Vec<(usize, u8)>),
    Hosts(bool),
    Poll(usize),
}

const MEMBERS: usize = 9;

fn deed() -> impl Strategy<Value = Deed> {
    let number = || 1..=MEMBERS;
    prop_oneof![
        4 => (number(), 0_u8..8, prop::bool::weighted(0.2), prop::bool::weighted(0.9), 1_u16..3)
            .prop_map(|(number, roles, relay, keyed, port)| Deed::Put { number, roles, relay, keyed, port }),
        1 => number().prop_map(Deed::Remove),
        2 => (number(), prop::bool::weighted(0.7)).prop_map(|(number, online)| Deed::Online(number, online)),
        1 => (number(), 0_u8..3).prop_map(|(number, source)| Deed::Source(number, source)),
        6 => (number(), number(), prop::option::weighted(0.3, 0_u64..400), 0_u64..40)
            .prop_map(|(from, about, handshake, tried)| Deed::Hear { from, about, handshake, tried }),
        1 => prop::collection::vec((number(), 0_u8..4), 0..3).prop_map(Deed::Hold),
        1 => any::<bool>().prop_map(Deed::Hosts),
        3 => number().prop_map(Deed::Poll),
    ]
}

fn done(board: &mut Board, deed: &Deed) -> Touched {
    match deed {
        Deed::Put { number, roles, relay, keyed, port } => {
            let names: Vec<&str> = ["a", "b", "c"]
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| roles >> bit & 1 == 1)
                .map(|(_, r)| r)
                .collect();
            let member = Member { port: *port, ..member(*number, &names, *relay) };
            board.put(id(*number), Member { key: member.key.filter(|_| *keyed), ..member })
        }
        Deed::Remove(number) => board.remove(id(*number)),
        Deed::Online(number, online) => board.online(id(*number), *online),
        Deed::Source(number, source) => board.source(id(*number), [198, 51, 100, *source].into()),
        Deed::Hear { from, about, handshake, tried } => {
            board.hear(id(*from), &report(*from, vec![seen(*about, *handshake, *tried)]), NOW).unwrap()
        }
        Deed::Hold(list) => {
            // Nothing is held twice.
            let prefixes: BTreeMap<u8, usize> =
                list.iter().map(|(number, prefix)| (*prefix, *number)).collect();
            let mut holds: BTreeMap<MachineId, Vec<Cidr>> = BTreeMap::new();
            for (prefix, number) in prefixes {
                let text = if prefix < 2 {
                    format!("10.20.200.{prefix}/32")
                } else {
                    format!("192.168.{prefix}.0/24")
                };
                holds.entry(id(number)).or_default().push(text.parse().unwrap());
            }
            board.holds(holds)
        }
        Deed::Hosts(hosts) => board.settle(board.layout.networks.clone(), *hosts),
        Deed::Poll(_) => Touched::new(),
    }
}

/// What a member keeps of what it was told.
#[derive(Debug, Default)]
struct Kept {
    since: Option<u64>,
    peers: BTreeMap<MachineId, MeshPeer>,
}

impl Kept {
    fn poll(&mut self, board: &Board, own: MachineId) {
        if let Some(news) = board.news(own, self.since) {
            if news.whole {
                self.peers.clear();
            }
            self.peers.extend(news.peers.into_iter().map(|peer| (peer.machine, peer)));
            news.gone.iter().for_each(|gone| drop(self.peers.remove(gone)));
            self.since = Some(board.counter());
        }
    }
}

fn views(board: &Board) -> BTreeMap<MachineId, BTreeMap<MachineId, MeshPeer>> {
    let view =
        |own| board.news(own, None).unwrap().peers.into_iter().map(|peer| (peer.machine, peer)).collect();
    (1..=MEMBERS).map(|number| (id(number), view(id(number)))).collect()
}

/// What WireGuard and the kernel are given: prefixes of every peer that has a tunnel.
fn allowed(view: &BTreeMap<MachineId, MeshPeer>) -> Vec<Cidr> {
    let tunnels = view.values().filter(|peer| peer.key.is_some());
    let of = |peer: &MeshPeer| {
        let direct = peer.addresses.iter().filter(|_| peer.way == Way::Direct);
        let hosts: Vec<Cidr> = direct.map(|address| format!("{address}/32").parse().unwrap()).collect();
        hosts.into_iter().chain(peer.routes.clone())
    };
    tunnels.flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a network, small enough to be a full mesh or not: views are symmetric, no prefix is two
    /// peers', pairs without a tunnel meet at one relay, whoever is told only what changed knows the same as who is told
    /// all, and whoever something is new for is woken.
    #[test]
    fn views_hold_together(deeds in prop::collection::vec(deed(), 1..60), full_mesh in 3_usize..10) {
        let mut board = Board { full_mesh, ..board(false) };
        let mut kept: BTreeMap<MachineId, Kept> =
            (1..=MEMBERS).map(|number| (id(number), Kept::default())).collect();
        let mut before = views(&board);
        for deed in &deeds {
            let touched = done(&mut board, deed);
            let after = views(&board);
            for (viewer, view) in &after {
                prop_assert!(before[viewer] == *view || touched.contains(viewer), "{viewer} is not woken by {deed:?}");
                let prefixes = allowed(view);
                let each: BTreeSet<String> = prefixes.iter().map(ToString::to_string).collect();
                prop_assert_eq!(each.len(), prefixes.len(), "a prefix of two peers: {:?}", prefixes);
                for (other, peer) in view {
                    let mirrored = after[other].get(viewer);
                    prop_assert!(mirrored.is_some_and(|own| own.way == peer.way && own.key.is_some() == peer.key.is_some()));
                    if let Some(relay) = board.relay().filter(|relay| peer.way == Way::Relay && relay != viewer) {
                        prop_assert_ne!(relay, *other, "nobody goes to the relay by the relay");
                        for end in [view, &after[other]] {
                            let routes = &end[&relay].routes;
                            prop_assert!(board.layout.networks.iter().all(|network| routes.contains(network)));
                        }
                    }
                }
            }
            if let Deed::Poll(number) = deed {
                kept.entry(id(*number)).or_default().poll(&board, id(*number));
            }
            before = after;
        }
        for (own, kept) in &mut kept {
            kept.poll(&board, *own);
            prop_assert_eq!(&kept.peers, &before[own]);
        }
    }
}
