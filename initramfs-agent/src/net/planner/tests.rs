//! What the planner decides, step by step: no kernel, no clock.

use super::*;
use crate::net::lease::Source;
use crate::net::resolve::NameServer;
use protocol::ids::MacAddr;

fn mac(index: u32) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, u8::try_from(index).unwrap()])
}

fn seen(index: u32, is_up: bool, has_carrier: bool) -> Sighting {
    Sighting {
        index,
        name: format!("eth{index}"),
        mac: mac(index),
        own_mac: None,
        kind: Kind::Hardware,
        controller: None,
        mtu: 1_500,
        is_up,
        has_carrier,
        adverts: None,
    }
}

fn device(index: u32, name: &str, kind: Kind, has_carrier: bool) -> Sighting {
    Sighting { name: name.to_owned(), kind, is_up: has_carrier, ..seen(index, true, has_carrier) }
}

fn planner(plan: &str) -> (Planner, Instant) {
    (Planner::new(plan.parse().unwrap(), None), Instant::now())
}

fn lease(index: u32) -> Lease {
    let spec = format!("addr=10.0.{index}.5/24,gw=10.0.{index}.1").parse().unwrap();
    Lease::from_spec(&format!("eth{index}"), mac(index), &spec).remove(0)
}

fn own(index: u32, address: &str) -> AddressSeen {
    AddressSeen {
        index,
        address: address.parse().unwrap(),
        prefix: 64,
        is_tentative: false,
        is_duplicate: false,
        is_from_router: true,
    }
}

/// The name servers of all links.
fn servers(planner: &Planner) -> String {
    let servers = planner.status().into_iter().flat_map(|link| link.dns.servers);
    servers.map(|server| server.address.to_string()).collect::<Vec<_>>().join(" ")
}

/// Steps as words, for comparison.
fn words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::SetUp { name, adverts, was_up, .. } => {
            let routers = if *adverts { ", routers" } else { "" };
            format!("set up {name}{routers}{}", if *was_up { ", afresh" } else { "" })
        }
        Step::Listen { name, .. } => format!("listen {name}"),
        Step::MakeBond { name, bond, .. } => format!("bond {name} {}", bond.mode.as_str()),
        Step::Join { name, bond, .. } => format!("join {name} {bond}"),
        Step::MakeVlan { name, id, .. } => format!("vlan {name} {id}"),
        Step::Remove { name, .. } => format!("remove {name}"),
        Step::SetMtu { name, mtu, .. } => format!("mtu {name} {mtu}"),
        Step::Ask(asker) => format!("ask {}", asker.name),
        Step::Ask6(asker, want) => format!("ask6 {} {want:?}", asker.name),
        Step::Apply { lease, metric, .. } => format!("apply {} {metric}", lease.address),
        Step::Unroute { old, .. } => format!("unroute {:?}", old.routes.len()),
        Step::Withdraw { address, .. } => format!("withdraw {address}"),
        Step::Stop { index } => format!("stop {index}"),
        Step::Clear { name, .. } => format!("clear {name}"),
        Step::Tell(NetEvent::LinkFound { link, .. }) => format!("found {link}"),
        Step::Tell(NetEvent::LinkUp { link }) => format!("up {link}"),
        Step::Tell(NetEvent::LinkDown { link }) => format!("down {link}"),
        Step::Tell(NetEvent::Lost { link, address }) => format!("lost {link} {address}"),
        Step::Tell(NetEvent::Lease(lease)) => format!("has {}", lease.address),
        Step::Tell(NetEvent::Problem { problem, .. }) => format!("problem {problem}"),
    };
    steps.iter().map(word).collect()
}

#[test]
fn new_link_is_set_up_and_asks_once_it_has_a_carrier() {
    let (mut planner, now) = planner("dhcp");
    let steps = planner.observe(&seen(1, false, false), "e1000", now);
    assert_eq!(words(&steps), ["found eth1", "set up eth1, routers"]);
    assert!(planner.observe(&seen(1, true, false), "e1000", now).is_empty());
    assert_eq!(words(&planner.observe(&seen(1, true, true), "e1000", now)), ["up eth1", "ask eth1"]);
    assert!(planner.observe(&seen(1, true, true), "e1000", now).is_empty(), "only once");
    let steps = planner.observe(&seen(2, true, false), "e1000", now);
    assert_eq!(words(&steps), ["found eth2", "set up eth2, routers, afresh"], "somebody was here before");
}

#[test]
fn while_a_person_is_asked_links_are_set_up_and_nothing_else() {
    let (mut planner, now) = planner("ask");
    let steps = planner.observe(&seen(1, false, true), "e1000", now);
    assert_eq!(words(&steps), ["found eth1", "set up eth1", "up eth1"]);
    assert_eq!(planner.status().first().unwrap().role, Role::Unused);

    let steps = planner.replan("if=eth1,addr=10.0.0.5/24".parse().unwrap());
    assert_eq!(words(&steps), ["stop 1", "clear eth1", "down eth1"]);
    let steps = planner.observe(&seen(1, true, true), "e1000", now);
    assert_eq!(words(&steps), ["set up eth1, afresh", "up eth1", "apply 10.0.0.5 100"], "found but once");
}

#[test]
fn first_lease_wins_the_default_route() {
    let (mut planner, now) = planner("dhcp");
    for index in [1, 2] {
        planner.observe(&seen(index, true, true), "", now);
    }
    for (index, expected) in [(2, "apply 10.0.2.5 100"), (1, "apply 10.0.1.5 200")] {
        assert_eq!(words(&planner.leased(index, lease(index))), [expected]);
        planner.applied(index, &lease(index));
    }
    assert!(planner.leased(2, lease(2)).is_empty(), "a renewal that changes nothing does nothing");
    let order: Vec<String> = planner.status().into_iter().map(|link| link.name).collect();
    assert_eq!(order, ["eth2", "eth1"]);
}

#[test]
fn short_loss_of_carrier_costs_nothing_and_a_long_one_the_lease() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    planner.applied(1, &lease(1));
    assert!(planner.observe(&seen(1, true, false), "", now).is_empty());
    assert!(planner.due(now).is_empty());
    assert!(planner.observe(&seen(1, true, true), "", now + FADING / 2).is_empty());
    assert_eq!(planner.next_due(), None);

    planner.observe(&seen(1, true, false), "", now);
    assert_eq!(planner.next_due(), Some(now + FADING));
    let steps = planner.due(now + FADING);
    assert_eq!(words(&steps), ["stop 1", "clear eth1", "lost eth1 10.0.1.5", "down eth1"]);
    assert_eq!(words(&planner.observe(&seen(1, true, true), "", now)), ["up eth1", "ask eth1"]);
}

#[test]
fn lease_that_comes_too_late_is_for_nobody() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    planner.observe(&seen(1, true, false), "", now);
    planner.due(now + FADING);
    assert!(planner.leased(1, lease(1)).is_empty(), "its carrier is gone");
    assert!(planner.addressed(&own(1, "fd00::5")).is_empty(), "this one, too");
    planner.observe(&seen(1, true, true), "", now);
    planner.applied(1, &lease(1));
    assert_eq!(words(&planner.removed(1)), ["stop 1", "lost eth1 10.0.1.5", "down eth1"]);
    assert!(planner.leased(1, lease(1)).is_empty(), "the link itself is gone");
    assert!(planner.removed(1).is_empty() && planner.expired(1, lease(1).address).is_empty());
}

#[test]
fn expired_lease_is_taken_off_and_the_other_family_stays() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    planner.applied(1, &lease(1));
    planner.addressed(&own(1, "fd00::5"));
    let steps = planner.expired(1, lease(1).address);
    assert_eq!(words(&steps), ["withdraw 10.0.1.5", "lost eth1 10.0.1.5"]);
    let left: Vec<IpAddr> = planner.status().iter().flat_map(|l| &l.leases).map(|l| l.address).collect();
    assert_eq!(left, ["fd00::5".parse::<IpAddr>().unwrap()]);
}

#[test]
fn other_address_of_the_same_server_takes_the_place_of_the_first() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let server = "10.0.1.1".parse().unwrap();
    let offered = |address: &str| {
        let source = Source::Dhcp { server, seconds: 600 };
        Lease { address: address.parse().unwrap(), source, ..lease(1) }
    };
    planner.applied(1, &offered("10.0.1.7"));
    let steps = planner.leased(1, offered("10.0.1.8"));
    assert_eq!(words(&steps), ["apply 10.0.1.8 100", "withdraw 10.0.1.7"]);
    assert_eq!(words(&planner.applied(1, &offered("10.0.1.8"))), ["has 10.0.1.8"]);
    assert_eq!(planner.status().first().unwrap().leases.len(), 1);
}

#[test]
fn a_renewed_lease_takes_back_the_routes_it_no_longer_has() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let spec = "addr=10.0.1.5/24,gw=10.0.1.1,route=10.9.0.0/16@10.0.1.9".parse().unwrap();
    let mut before = Lease::from_spec("eth1", mac(1), &spec).remove(0);
    before.source = Source::Dhcp { server: "10.0.1.1".parse().unwrap(), seconds: 60 };
    planner.leased(1, before.clone());
    planner.applied(1, &before);
    let mut after = before.clone();
    after.routes.truncate(1);
    let steps = planner.leased(1, after);
    assert_eq!(words(&steps), ["apply 10.0.1.5 100", "unroute 1"]);
    assert!(
        matches!(steps.last(), Some(Step::Unroute { old, .. }) if old.routes == before.routes.split_off(1))
    );
}

#[test]
fn a_second_spec_for_one_device_is_told_of() {
    let (mut planner, now) =
        planner("if=eth1,addr=10.0.0.5/24 if=52:54:00:00:00:01,addr=10.1.0.5/24 if=eth1,vlan=7");
    let steps = planner.observe(&seen(1, true, true), "", now);
    let told = "problem muster.net=if=52:54:00:00:00:01,addr=10.1.0.5/24 is ignored: the device is set up \
                already; put all of its addresses into one muster.net=";
    assert!(words(&steps).contains(&told.to_owned()), "{:?}", words(&steps));
    assert_eq!(words(&steps).iter().filter(|word| word.starts_with("problem")).count(), 1);
}

#[test]
fn of_two_cards_with_one_hardware_address_one_has_the_address() {
    let (mut planner, now) = planner("if=52:54:00:00:00:01,addr=10.0.0.5/24");
    let twin = Sighting { mac: mac(1), ..seen(2, true, true) };
    planner.observe(&seen(1, true, true), "", now);
    assert!(!words(&planner.observe(&twin, "", now)).iter().any(|word| word.starts_with("apply")));
    planner.removed(1);
    planner.observe(&Sighting { has_carrier: false, ..twin.clone() }, "", now);
    planner.due(now + FADING);
    assert_eq!(words(&planner.observe(&twin, "", now + FADING)), ["up eth2", "apply 10.0.0.5 200"]);
}

#[test]
fn another_plan_begins_with_the_first_mtu() {
    let (mut planner, now) = planner("if=eth1,mtu=9000,addr=10.0.0.5/24");
    planner.observe(&seen(1, true, true), "", now);
    planner.observe(&Sighting { mtu: 9_000, ..seen(1, true, true) }, "", now);
    let steps = planner.replan("dhcp".parse().unwrap());
    assert_eq!(words(&steps).last().map(String::as_str), Some("mtu eth1 1500"));
}

#[test]
fn static_address_goes_to_the_link_it_names() {
    let (mut planner, now) = planner("addr=10.0.0.5/24,if=52:54:00:00:00:02 addr=10.0.0.6/24,if=eth3");
    let steps = planner.observe(&seen(1, false, true), "", now);
    assert_eq!(words(&steps), ["found eth1", "set up eth1", "up eth1"]);
    let steps = planner.observe(&seen(2, false, true), "", now);
    assert_eq!(words(&steps), ["found eth2", "set up eth2", "up eth2", "apply 10.0.0.5 100"]);
    assert_eq!(planner.missing(), ["eth3"]);
    let steps = planner.observe(&seen(3, false, true), "", now);
    assert_eq!(words(&steps), ["found eth3", "set up eth3", "up eth3", "apply 10.0.0.6 200"]);
    assert!(planner.missing().is_empty());
}

#[test]
fn static_address_without_a_link_goes_to_the_first_carrier_and_moves_on() {
    let (mut planner, now) = planner("addr=10.0.0.5/24");
    planner.observe(&seen(1, true, false), "", now);
    let steps = planner.observe(&seen(2, false, true), "", now);
    assert_eq!(words(&steps), ["found eth2", "set up eth2", "up eth2", "apply 10.0.0.5 100"]);
    assert_eq!(words(&planner.observe(&seen(1, true, true), "", now)), ["up eth1"]);
    planner.removed(2);
    planner.observe(&seen(1, true, false), "", now);
    planner.due(now + FADING);
    let steps = planner.observe(&seen(1, true, true), "", now);
    assert_eq!(words(&steps), ["up eth1", "apply 10.0.0.5 200"]);
}

#[test]
fn automatic_spec_listens_to_routers_where_it_lands() {
    let (mut planner, now) = planner("dns=10.0.0.53 if=eth2,mtu=9000");
    let steps = planner.observe(&seen(2, false, true), "", now);
    let expected = ["found eth2", "set up eth2, routers", "up eth2", "mtu eth2 9000", "ask eth2"];
    assert_eq!(words(&steps), expected);
    let steps = planner.observe(&seen(1, false, true), "", now);
    assert_eq!(words(&steps), ["found eth1", "set up eth1", "up eth1", "listen eth1", "ask eth1"]);
    assert_eq!(servers(&planner), "10.0.0.53");
    let told = Lease { mtu: Some(1_400), ..lease(2) };
    let steps = planner.leased(2, told);
    let Some(Step::Apply { lease, .. }) = steps.first() else { panic!("{steps:?}") };
    assert_eq!(lease.mtu, None, "the plan's MTU stays");
}

#[test]
fn vlan_is_made_on_its_carrier_and_configured_on_its_own() {
    let (mut planner, now) = planner("if=eth1,vlan=5,mtu=9000,addr=10.0.0.5/24");
    let steps = planner.observe(&seen(1, false, true), "", now);
    let expected = ["found eth1", "set up eth1", "up eth1", "mtu eth1 9000", "vlan eth1.5 5"];
    assert_eq!(words(&steps), expected);
    assert_eq!(planner.status().first().unwrap().role, Role::Carries("eth1.5".to_owned()));

    let vlan = Kind::Vlan { id: 5, base: 1 };
    let steps = planner.observe(&device(9, "eth1.5", vlan, false), "", now);
    assert_eq!(words(&steps), ["set up eth1.5"], "nobody plugged it in");
    let steps = planner.observe(&device(9, "eth1.5", vlan, true), "", now);
    assert_eq!(words(&steps), ["up eth1.5", "mtu eth1.5 9000", "apply 10.0.0.5 100"]);
    let foreign = Kind::Vlan { id: 6, base: 1 };
    assert!(planner.observe(&device(10, "eth1.6", foreign, true), "", now).is_empty());

    planner.observe(&seen(1, true, false), "", now);
    planner.due(now + FADING);
    let steps = planner.observe(&seen(1, true, true), "", now);
    assert_eq!(words(&steps), ["up eth1"], "the device is still there");
}

#[test]
fn vlan_that_cannot_be_made_is_tried_again() {
    let (mut planner, now) = planner("if=eth1,vlan=5");
    planner.observe(&seen(1, false, true), "", now);
    planner.not_stacked(1, "no such module".to_owned(), now);
    assert_eq!(planner.status().first().unwrap().problem.as_deref(), Some("no such module"));
    assert_eq!(planner.next_due(), Some(now + RETRY));
    assert_eq!(words(&planner.due(now + RETRY)), ["vlan eth1.5 5"]);
}

#[test]
fn vlan_for_anybody_moves_with_the_carrier() {
    let (mut planner, now) = planner("vlan=5");
    planner.observe(&seen(1, false, true), "", now);
    planner.observe(&device(9, "eth1.5", Kind::Vlan { id: 5, base: 1 }, true), "", now);
    planner.observe(&seen(1, true, false), "", now);
    assert_eq!(words(&planner.due(now + FADING)), ["remove eth1.5", "stop 1", "clear eth1", "down eth1"]);
    let steps = planner.observe(&seen(2, false, true), "", now);
    assert_eq!(words(&steps), ["found eth2", "set up eth2", "up eth2", "vlan eth2.5 5"]);
}

#[test]
fn bond_is_made_with_its_first_member_and_the_others_join() {
    let (mut planner, now) = planner("bond=eth1+52:54:00:00:00:02,mode=802.3ad,vlan=7,addr=10.0.0.5/24");
    let steps = planner.observe(&seen(1, false, false), "", now);
    assert_eq!(words(&steps), ["found eth1", "bond bond0 802.3ad"]);
    let steps = planner.observe(&seen(2, false, false), "", now);
    assert_eq!(words(&steps), ["found eth2"], "the bond is on its way");
    let steps = planner.observe(&device(8, "bond0", Kind::Bond, false), "", now);
    assert_eq!(words(&steps), ["set up bond0", "join eth1 8", "join eth2 8"]);

    let joined =
        |index| Sighting { controller: Some(8), own_mac: Some(mac(index)), ..seen(index, true, true) };
    assert_eq!(words(&planner.observe(&joined(1), "", now)), ["up eth1"]);
    planner.observe(&joined(2), "", now);
    let roles: Vec<Role> = planner.status().into_iter().map(|link| link.role).collect();
    let member = Role::Member("bond0".to_owned());
    assert_eq!(roles, [member.clone(), member, Role::Carries("bond0.7".to_owned())]);
    let steps = planner.observe(&device(8, "bond0", Kind::Bond, true), "", now);
    assert_eq!(words(&steps), ["up bond0", "vlan bond0.7 7"]);
    let vlan = Kind::Vlan { id: 7, base: 8 };
    let steps = planner.observe(&device(9, "bond0.7", vlan, true), "", now);
    assert_eq!(words(&steps), ["set up bond0.7, afresh", "up bond0.7", "apply 10.0.0.5 100"]);

    planner.observe(&Sighting { has_carrier: false, ..joined(1) }, "", now);
    assert_eq!(words(&planner.due(now + FADING)), ["down eth1"], "the address stays");
    assert_eq!(words(&planner.observe(&seen(2, false, false), "", now)), ["join eth2 8"], "it fell out");
}

#[test]
fn bond_member_that_is_plugged_in_later_joins() {
    let (mut planner, now) = planner("bond=eth1+eth2");
    planner.observe(&seen(1, false, true), "", now);
    planner.observe(&device(8, "bond0", Kind::Bond, true), "", now);
    assert_eq!(planner.missing(), ["eth2"]);
    assert_eq!(words(&planner.observe(&seen(2, false, false), "", now)), ["found eth2", "join eth2 8"]);
    planner.refused(2, "busy".to_owned(), now);
    assert_eq!(words(&planner.due(now + RETRY)), ["join eth2 8"]);
    planner.removed(8);
    assert_eq!(words(&planner.observe(&seen(2, true, true), "", now)), ["up eth2"]);
}

#[test]
fn bond_that_cannot_be_made_is_tried_again() {
    let (mut planner, now) = planner("bond=eth1+eth2");
    planner.observe(&seen(1, false, false), "", now);
    planner.refused(1, "module bonding is not in this image".to_owned(), now);
    assert_eq!(words(&planner.due(now + RETRY)), ["bond bond0 active-backup"]);
}

#[test]
fn address_of_a_router_counts_and_a_link_local_one_does_not() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    assert!(planner.addressed(&own(1, "fe80::1")).is_empty());
    let tentative = AddressSeen { is_tentative: true, ..own(1, "fd00::5") };
    assert!(planner.addressed(&tentative).is_empty());
    assert_eq!(words(&planner.addressed(&own(1, "fd00::5"))), ["has fd00::5"]);
    assert!(planner.addressed(&own(1, "fd00::5")).is_empty(), "once");
    let link = planner.status().remove(0);
    assert_eq!(link.leases.first().unwrap().source, Source::Router);
    assert_eq!(words(&planner.unaddressed(1, "fd00::5".parse().unwrap())), ["lost eth1 fd00::5"]);
}

#[test]
fn static_ipv6_counts_when_the_kernel_is_sure() {
    let (mut planner, now) = planner("addr=fd00::5/64,gw=fd00::1");
    let steps = planner.observe(&seen(1, false, true), "", now);
    assert_eq!(words(&steps), ["found eth1", "set up eth1", "up eth1", "apply fd00::5 100"]);
    let Some(Step::Apply { lease, .. }) = steps.last() else { panic!("{steps:?}") };
    assert!(planner.applied(1, lease).is_empty());
    assert!(planner.status().first().unwrap().leases.is_empty());
    let sure = AddressSeen { is_from_router: false, ..own(1, "fd00::5") };
    assert_eq!(words(&planner.addressed(&sure)), ["has fd00::5"]);

    planner.unaddressed(1, sure.address);
    planner.applied(1, lease);
    let taken = AddressSeen { is_tentative: true, is_duplicate: true, ..sure };
    let told = ["problem another machine on this link has fd00::5; give this machine another address"];
    assert_eq!(words(&planner.addressed(&taken)), told);
    assert!(planner.addressed(&taken).is_empty(), "told once");
}

#[test]
fn router_says_whether_dhcpv6_is_asked() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let adverts = |managed, other| Adverts { managed, other };
    assert!(planner.heard(1, adverts(false, false)).is_empty());
    assert_eq!(words(&planner.heard(1, adverts(false, true))), ["ask6 eth1 Names"]);
    assert!(planner.heard(1, adverts(false, true)).is_empty(), "once");
    assert_eq!(words(&planner.heard(1, adverts(true, true))), ["ask6 eth1 Address"]);
    assert!(planner.heard(1, adverts(false, true)).is_empty(), "a wish is not taken back");
    planner.observe(&seen(1, true, false), "", now);
    planner.due(now + FADING);
    let again = Sighting { adverts: Some(adverts(false, true)), ..seen(1, true, true) };
    assert_eq!(words(&planner.observe(&again, "", now)), ["up eth1", "ask eth1", "ask6 eth1 Names"]);
}

#[test]
fn static_device_does_not_hear_routers() {
    let (mut planner, now) = planner("addr=10.0.0.5/24");
    planner.observe(&seen(1, true, true), "", now);
    assert!(planner.heard(1, Adverts { managed: true, other: true }).is_empty());
    assert!(planner.addressed(&own(1, "fd00::5")).is_empty());
}

#[test]
fn name_servers_of_a_router_end_with_their_lifetime() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let server = |text: &str, seconds| (text.parse().unwrap(), seconds);
    let advice = |dns, search| Advice { link: 1, dns, search };
    planner.advised(
        advice(vec![server("fd00::53", 60), server("fd00::54", u32::MAX)], vec![("corp".to_owned(), 30)]),
        now,
    );
    let shown = |planner: &Planner| (servers(planner), planner.status().remove(0).dns.search.join(" "));
    assert_eq!(shown(&planner), ("fd00::53 fd00::54".to_owned(), "corp".to_owned()));
    assert_eq!(planner.next_due(), Some(now + Duration::from_secs(30)));
    planner.due(now + Duration::from_secs(60));
    assert_eq!(shown(&planner), ("fd00::54".to_owned(), String::new()));
    planner.advised(advice(vec![server("fd00::54", 0)], vec![]), now);
    assert_eq!(shown(&planner), (String::new(), String::new()));
}

#[test]
fn name_server_on_the_link_alone_is_asked_from_there() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let dns = vec![("fe80::53".parse().unwrap(), 60)];
    planner.advised(Advice { link: 1, dns, search: vec![] }, now);
    assert_eq!(servers(&planner), "", "without an address of our own there is nowhere to ask from");
    planner.addressed(&AddressSeen { is_from_router: false, ..own(1, "fe80::5054:ff:fe00:1") });
    let known = planner.status().remove(0).dns.servers;
    let own = "fe80::5054:ff:fe00:1".parse().unwrap();
    assert_eq!(known, [NameServer::on_link("fe80::53".parse().unwrap(), own, 1)]);
}

#[test]
fn routers_are_a_way_out_until_they_go() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, true, true), "", now);
    let router = "fe80::1".parse().unwrap();
    planner.routed(1, router, true);
    planner.routed(1, router, true);
    assert_eq!(planner.status().first().unwrap().routers, [router]);
    planner.routed(1, router, false);
    assert!(planner.status().first().unwrap().routers.is_empty());
}

#[test]
fn link_that_cannot_be_set_up_is_tried_again() {
    let (mut planner, now) = planner("dhcp");
    planner.observe(&seen(1, false, false), "bnx2", now);
    planner.refused(1, "no firmware".to_owned(), now);
    assert_eq!(planner.status().first().unwrap().problem.as_deref(), Some("no firmware"));
    assert!(planner.due(now).is_empty());
    assert_eq!(words(&planner.due(now + RETRY)), ["set up eth1, routers"]);
}

#[test]
fn port_of_somebody_elses_bridge_is_left_alone() {
    let (mut planner, now) = planner("dhcp");
    let port = Sighting { controller: Some(77), ..seen(1, true, true) };
    assert!(planner.observe(&port, "", now).is_empty());
    assert!(planner.observe(&device(8, "bond0", Kind::Bond, true), "", now).is_empty());
}
