//! DHCP servers that are broken, each in its own way: the machine says what is wrong, uses what
//! can be used, and recovers when the server does.

use super::liar::Lie;
use super::wire::{run, shown};
use crate::net::Status;
use std::net::Ipv4Addr;

/// Subnet mask, router, MTU (RFC 2132 3.3, 3.5, 5.1).
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const MTU: u8 = 26;

/// A server as it should be.
fn honest() -> Lie {
    Lie {
        address: Ipv4Addr::new(10, 77, 0, 66),
        seconds: 600,
        options: vec![(MASK, vec![255, 255, 255, 0]), (ROUTER, vec![10, 77, 0, 1])],
        grants: u32::MAX,
    }
}

#[test]
fn server_that_refuses_what_it_offered() {
    run("net::tests::broken::server_that_refuses_what_it_offered", async |wire| {
        wire.liar(vec![Lie { grants: 0, ..honest() }, honest()]);
        let mut machine = wire.start("dhcp");
        machine.hears("offers").await;
        assert!(
            machine.told.iter().any(|line| line.contains("look for a second DHCP server")),
            "{:?}",
            machine.told
        );
        wire.until(&mut machine, "the address", |s| shown(s) == ["10.77.0.66/24"]).await;
    });
}

#[test]
fn server_with_a_mask_and_an_address_that_are_none() {
    run("net::tests::broken::server_with_a_mask_and_an_address_that_are_none", async |wire| {
        let mask = Lie { options: vec![(MASK, vec![255, 0, 255, 0])], ..honest() };
        let address = Lie { address: Ipv4Addr::new(224, 0, 0, 1), ..honest() };
        wire.liar(vec![mask, address, honest()]);
        let mut machine = wire.start("dhcp");
        machine.hears("sends the subnet mask 255.0.255.0").await;
        machine.hears("offers 224.0.0.1").await;
        wire.until(&mut machine, "the address", |s| shown(s) == ["10.77.0.66/24"]).await;
    });
}

#[test]
fn router_that_cannot_be_one_costs_the_route_alone() {
    run("net::tests::broken::router_that_cannot_be_one_costs_the_route_alone", async |wire| {
        // The broadcast address of the network.
        let options = vec![(MASK, vec![255, 255, 255, 0]), (ROUTER, vec![10, 77, 0, 255])];
        wire.liar(vec![Lie { options, ..honest() }]);
        let mut machine = wire.start("dhcp");
        machine.hears("cannot set the route to 0.0.0.0/0 on eth0").await;
        wire.until(&mut machine, "the address", Status::is_ready).await;
        assert!(wire.reaches("10.77.0.1"));
        assert_eq!(wire.here("ip route show default"), "");
    });
}

#[test]
fn router_elsewhere_and_absurd_numbers_are_lived_with() {
    run("net::tests::broken::router_elsewhere_and_absurd_numbers_are_lived_with", async |wire| {
        let options = vec![(MASK, vec![255; 4]), (ROUTER, vec![10, 99, 0, 1]), (MTU, vec![0, 68])];
        wire.liar(vec![Lie { options, seconds: u32::MAX, ..honest() }]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "the address", |s| shown(s) == ["10.77.0.66/32"]).await;
        assert!(wire.here("ip route show default").contains("via 10.99.0.1 dev eth0"));
        assert!(wire.here("ip link show eth0").contains("mtu 1500"));
    });
}

#[test]
fn lease_that_nobody_renews_ends_and_a_new_one_is_asked_for() {
    run("net::tests::broken::lease_that_nobody_renews_ends_and_a_new_one_is_asked_for", async |wire| {
        let short = Lie { seconds: 4, grants: 1, ..honest() };
        let other = Lie { address: Ipv4Addr::new(10, 77, 0, 67), ..honest() };
        wire.liar(vec![short, other]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "the first", |s| shown(s) == ["10.77.0.66/24"]).await;
        machine.hears("link eth0 lost 10.77.0.66").await;
        wire.until(&mut machine, "the second", |s| shown(s) == ["10.77.0.67/24"]).await;
        assert!(!wire.here("ip -4 addr show eth0").contains("10.77.0.66"));
    });
}
