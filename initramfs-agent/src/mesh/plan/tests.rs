//! What the kernel is to have, from what is known.

use super::*;
use crate::mesh::prefix::prefix;
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// The machine itself: number 1 of `home`.
pub(in crate::mesh) fn own() -> MeshSelf {
    MeshSelf {
        network: "home".to_owned(),
        addresses: addresses(1),
        networks: vec!["10.20.0.0/16".parse().unwrap(), "fd00:20::/64".parse().unwrap()],
        port: 51_820,
        relay: false,
        hosts: false,
        name: "web-1".to_owned(),
    }
}

fn addresses(number: u8) -> Vec<IpAddr> {
    vec![Ipv4Addr::new(10, 20, 0, number).into(), format!("fd00:20::{number:x}").parse().unwrap()]
}

/// The id of member `number`.
pub(in crate::mesh) fn id(number: u8) -> MachineId {
    MachineId(uuid::Uuid::from_u128(number.into()))
}

/// Its key.
pub(in crate::mesh) fn key(number: u8) -> PublicKey {
    PublicKey([number; 32])
}

/// Member `number`, as its peers know it.
pub(in crate::mesh) fn peer(number: u8) -> MeshPeer {
    MeshPeer {
        machine: id(number),
        name: format!("web-{number}"),
        key: Some(key(number)),
        addresses: addresses(number),
        endpoints: vec![SocketAddr::from(([192, 0, 2, number], 51_820))],
        routes: Vec::new(),
        way: Way::Direct,
    }
}

/// The same as the relay in use.
fn relay(number: u8) -> MeshPeer {
    MeshPeer { routes: own().networks, ..peer(number) }
}

/// News of the whole network.
pub(in crate::mesh) fn whole(own: Option<MeshSelf>, peers: &[MeshPeer]) -> MeshNews {
    MeshNews { whole: true, own, peers: peers.to_vec(), ..MeshNews::default() }
}

/// What such news leave.
pub(in crate::mesh) fn known(own: MeshSelf, peers: &[MeshPeer]) -> Known {
    let mut known = Known::default();
    known.learn(whole(Some(own), peers));
    known
}

fn some(peers: &[MeshPeer], gone: &[MachineId]) -> MeshNews {
    MeshNews { whole: false, gone: gone.to_vec(), ..whole(Some(own()), peers) }
}

fn set(texts: &[&str]) -> BTreeSet<Prefix> {
    texts.iter().map(|text| prefix(text)).collect()
}

#[test]
fn news_name_what_changed_and_nothing_else() {
    let mut known = known(own(), &[peer(2), peer(3), peer(4)]);
    let renamed = MeshPeer { name: "db".to_owned(), ..peer(3) };
    let learnt = known.learn(some(&[peer(2), renamed], &[id(4), id(9)]));
    assert_eq!(learnt.peers, BTreeMap::from([(id(3), Some(key(3))), (id(4), Some(key(4)))]));
    assert!(!learnt.own && learnt.is_lasting());
    assert_eq!(known.learn(some(&[], &[])), Learnt::default());
    let learnt = known.learn(whole(Some(own()), &[peer(2)]));
    assert_eq!(learnt.peers, BTreeMap::from([(id(3), Some(key(3)))]), "who is not told of is gone");
    let learnt = known.learn(whole(None, &[]));
    assert!(learnt.own && known == Known::default());
}

#[test]
fn places_are_kept_until_others_are_known() {
    let mut known = known(own(), &[peer(2)]);
    let unknown = MeshPeer { endpoints: Vec::new(), ..peer(2) };
    assert_eq!(known.learn(whole(Some(own()), std::slice::from_ref(&unknown))), Learnt::default());
    assert_eq!(known.peers.get(&id(2)), Some(&peer(2)));
    // Another key is another machine, as far as packets go.
    let other = MeshPeer { key: Some(key(7)), ..unknown };
    assert_eq!(known.learn(some(&[other], &[])).peers, BTreeMap::from([(id(2), Some(key(2)))]));
    assert!(known.peers.values().all(|peer| peer.endpoints.is_empty()));
}

#[test]
fn what_is_kept_is_what_was_known() {
    let known = known(own(), &[peer(2), relay(3)]);
    let mut again = Known::default();
    again.learn(known.to_news());
    assert_eq!(again, known);
}

#[test]
fn peer_by_the_relay_has_nothing_on_its_own_tunnel() {
    let behind = MeshPeer { way: Way::Relay, routes: vec!["192.168.7.0/24".parse().unwrap()], ..peer(2) };
    let known = known(own(), &[behind, relay(3), peer(4)]);
    assert_eq!(known.relay(), Some(id(3)));
    let allowed = |number| known.allowed(known.peers.get(&id(number)).unwrap(), known.relay());
    assert_eq!(allowed(2), BTreeSet::new());
    assert_eq!(
        allowed(3),
        set(&["10.20.0.3/32", "fd00:20::3/128", "10.20.0.0/16", "fd00:20::/64", "192.168.7.0/24"])
    );
    assert_eq!(allowed(4), set(&["10.20.0.4/32", "fd00:20::4/128"]));
}

#[test]
fn peer_is_changed_where_it_differs_alone() {
    let (a, ab, b) = (set(&["10.20.0.2/32"]), set(&["10.20.0.2/32", "10.9.0.0/24"]), set(&["10.9.0.0/24"]));
    let place = SocketAddr::from(([192, 0, 2, 2], 51_820));
    let present = |allowed: &BTreeSet<Prefix>, endpoint, keepalive| Present {
        allowed: allowed.clone(),
        endpoint,
        keepalive,
    };
    let there = present(&a, Some(place), KEEPALIVE);
    assert_eq!(change(key(2), Some(&there), &a, None), None);
    let told = change(key(2), None, &a, None).unwrap();
    assert!(told.is_new && told.keepalive.is_none() && told.endpoint.is_none());
    assert_eq!(told.allowed, Allowed::All(vec![prefix("10.20.0.2/32")]));
    let more = change(key(2), Some(&there), &ab, None).unwrap();
    assert_eq!(more.allowed, Allowed::More(vec![prefix("10.9.0.0/24")]));
    assert!(!more.is_new && more.keepalive.is_none());
    let others = change(key(2), Some(&there), &b, None).unwrap();
    assert_eq!(others.allowed, Allowed::All(vec![prefix("10.9.0.0/24")]));
    let none = change(key(2), Some(&there), &BTreeSet::new(), None).unwrap();
    assert_eq!(none.allowed, Allowed::All(Vec::new()));
    // It called first: from now on the way is kept open from here, too.
    let heard = present(&a, Some(place), 0);
    let keeps = change(key(2), Some(&heard), &a, None).unwrap();
    assert_eq!((keeps.keepalive, keeps.allowed), (Some(KEEPALIVE), Allowed::Same));
    let tried = change(key(2), Some(&present(&a, None, 0)), &a, Some(place)).unwrap();
    assert_eq!(
        (tried.endpoint, tried.keepalive, tried.allowed),
        (Some(place), Some(KEEPALIVE), Allowed::Same)
    );
}

#[test]
fn member_has_its_addresses_and_a_way_to_its_networks_and_nowhere_else() {
    let layout = layout(&known(own(), &[peer(2), relay(3)]), &[]);
    assert_eq!(layout.port, Some(51_820));
    assert_eq!(layout.addresses.into_keys().collect::<Vec<_>>(), addresses(1));
    let to = |text, by| Route { to: prefix(text), by };
    let expected = [
        to("10.20.0.0/16", By::Tunnels),
        to("10.20.0.0/16", By::Nowhere),
        to("fd00:20::/64", By::Tunnels),
        to("fd00:20::/64", By::Nowhere),
    ];
    assert_eq!(layout.routes, BTreeSet::from(expected), "the relay's networks are those already");
    assert!(!layout.forwards && layout.rules.is_empty());
    assert_eq!(super::layout(&Known::default(), &[]), Layout::default());
}

#[test]
fn what_somebody_holds_is_reached_by_the_tunnels_unless_it_is_held_here() {
    let holder = MeshPeer { routes: vec!["192.168.7.0/24".parse().unwrap()], ..peer(2) };
    let known = known(own(), &[holder]);
    let there = Route { to: prefix("192.168.7.0/24"), by: By::TunnelsAtLast };
    assert!(layout(&known, &[]).routes.contains(&there));
    let hold = |text| Hold { prefix: prefix(text), until: 9_000 };
    let held = layout(&known, &[hold("192.168.7.0/24"), hold("10.20.0.99/32"), hold("10.20.0.1/32")]);
    assert!(!held.routes.contains(&there));
    let (vip, own): (IpAddr, IpAddr) = ("10.20.0.99".parse().unwrap(), "10.20.0.1".parse().unwrap());
    assert_eq!((held.addresses.get(&vip), held.addresses.get(&own)), (Some(&Some(9_000)), Some(&None)));
    assert!(held.forwards && held.rules.contains(&Rule::From(prefix("192.168.7.0/24"))));
    assert!(!layout(&known, &[hold("10.20.0.99/32")]).forwards, "an address of its own needs no forwarding");
}

#[test]
fn relay_lets_nobody_in_or_out_but_its_members() {
    let layout = layout(&known(MeshSelf { relay: true, ..own() }, &[peer(2)]), &[]);
    assert!(layout.forwards);
    for network in ["10.20.0.0/16", "fd00:20::/64"] {
        let to = prefix(network);
        for rule in [Rule::OwnTo(to), Rule::TunnelsTo(to), Rule::NobodyTo(to)] {
            assert!(layout.rules.contains(&rule), "{rule:?}");
        }
    }
    assert!(layout.rules.contains(&Rule::TunnelsNowhere { v4: true }));
    assert!(layout.rules.contains(&Rule::NobodyNowhere));
}

fn some_peer() -> impl Strategy<Value = MeshPeer> {
    let route = (0..4_u8).prop_map(|third| format!("192.168.{third}.0/24").parse().unwrap());
    (2..12_u8, 2..12_u8, prop::collection::vec(route, 0..3), any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(number, of, mut routes, is_relay, is_relayed, has_key)| {
            if is_relay {
                routes.extend(own().networks);
            }
            // Keys follow machines: no two have one.
            let key = has_key.then(|| PublicKey([number * 16 + of; 32]));
            let way = if is_relayed { Way::Relay } else { Way::Direct };
            MeshPeer { key, routes, way, ..peer(number) }
        })
}

fn some_news() -> impl Strategy<Value = MeshNews> {
    let gone = prop::collection::vec((2..12_u8).prop_map(id), 0..4);
    (any::<bool>(), prop::collection::vec(some_peer(), 0..8), gone).prop_map(|(whole, mut peers, gone)| {
        peers.sort_by_key(|peer| peer.machine);
        peers.dedup_by_key(|peer| peer.machine);
        MeshNews { whole, own: Some(own()), peers, gone, ..MeshNews::default() }
    })
}

proptest! {
    /// Whatever comes in whatever order, what changed is enough to know: the kernel ends as if it had been made anew.
    #[test]
    fn changes_add_up_to_the_whole(all in prop::collection::vec(some_news(), 1..12)) {
        let (mut known, mut kernel) = (Known::default(), BTreeMap::<PublicKey, Present>::new());
        for news in all {
            let learnt = known.learn(news);
            let mut ids: BTreeSet<MachineId> = learnt.peers.keys().copied().collect();
            for (id, old) in learnt.peers {
                let now = known.peers.get(&id).and_then(|peer| peer.key);
                if let Some(old) = old.filter(|old| now != Some(*old)) {
                    kernel.remove(&old);
                }
            }
            let relay = known.relay();
            // What is on the relay's tunnel depends on others, and so does who it is.
            ids.extend(known.peers.values().filter(|peer| !peer.routes.is_empty()).map(|peer| peer.machine));
            for peer in ids.iter().filter_map(|id| known.peers.get(id)) {
                let Some(key) = peer.key else { continue };
                if let Some(told) = change(key, kernel.get(&key), &known.allowed(peer, relay), None) {
                    let after = changed(kernel.get(&key), &told);
                    kernel.insert(key, after);
                }
            }
            let relay = known.relay();
            let anew: BTreeMap<PublicKey, BTreeSet<Prefix>> = known
                .peers
                .values()
                .filter_map(|peer| Some((peer.key?, known.allowed(peer, relay))))
                .collect();
            let there: BTreeMap<PublicKey, BTreeSet<Prefix>> =
                kernel.iter().map(|(key, present)| (*key, present.allowed.clone())).collect();
            prop_assert_eq!(there, anew);
        }
    }

    #[test]
    fn after_a_change_nothing_is_left_to_change(
        before in prop::option::of(prop::collection::btree_set(0..6_u8, 0..6)),
        wanted in prop::collection::btree_set(0..6_u8, 0..6), has_place in any::<bool>(),
    ) {
        let prefixes = |numbers: &BTreeSet<u8>| numbers.iter().map(|n| Prefix::host(IpAddr::from([10, 0, 0, *n]))).collect::<BTreeSet<_>>();
        let present = before.map(|numbers| Present { allowed: prefixes(&numbers), ..Present::default() });
        let endpoint = has_place.then(|| SocketAddr::from(([192, 0, 2, 1], 1)));
        let wanted = prefixes(&wanted);
        let Some(told) = change(key(2), present.as_ref(), &wanted, endpoint) else { return Ok(()) };
        let after = changed(present.as_ref(), &told);
        prop_assert_eq!(&after.allowed, &wanted);
        prop_assert_eq!(change(key(2), Some(&after), &wanted, None), None);
    }
}
