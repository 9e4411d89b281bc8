//! The network against a real kernel and real servers, in namespaces of its own.

mod broken;
mod liar;
pub(crate) mod wire;

use super::kernel::Device;
use super::lease::{Lease, Source};
use super::resolve::lookup;
use super::{Status, Trouble};
use protocol::ids::MacAddr;
use protocol::net::NetPlan;
use std::net::IpAddr;
use wire::{not_run, run, shown};

/// The usual DHCPv4 server.
const DHCP4: [&str; 4] = [
    "--dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,10m",
    "--dhcp-option=option:router,10.77.0.1",
    "--dhcp-option=option:dns-server,10.77.0.53",
    "--dhcp-option=option:mtu,1400",
];

fn begins(status: &Status, prefix: &str) -> bool {
    shown(status).iter().any(|address| address.starts_with(prefix))
}

fn servers(status: &Status) -> Vec<String> {
    status.dns().servers.iter().map(|server| server.address.to_string()).collect()
}

#[test]
fn dhcp_gives_address_route_name_server_and_mtu() {
    run("net::tests::dhcp_gives_address_route_name_server_and_mtu", async |wire| {
        wire.there("ip addr add 10.77.0.1/24 dev srv0");
        wire.dnsmasq(&DHCP4);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "an address", Status::is_ready).await;
        assert!(begins(&machine.status.borrow(), "10.77.0."), "{:?}", machine.addresses());
        assert_eq!(servers(&machine.status.borrow()), ["10.77.0.53"]);
        assert!(wire.here("ip route show default").contains("via 10.77.0.1 dev eth0"));
        assert!(wire.here("ip link show eth0").contains("mtu 1400"));
    });
}

#[test]
fn dhcp_server_that_comes_late_and_a_cable_that_goes() {
    run("net::tests::dhcp_server_that_comes_late_and_a_cable_that_goes", async |wire| {
        wire.there("ip addr add 10.77.0.1/24 dev srv0");
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "E12", |s| matches!(s.trouble(), Some(Trouble::NoAddress(_)))).await;
        wire.dnsmasq(&DHCP4);
        wire.until(&mut machine, "an address", Status::is_ready).await;
        wire.there("ip link set srv0 down");
        wire.until(&mut machine, "E10", |s| matches!(s.trouble(), Some(Trouble::NoLink(_)))).await;
        assert!(!wire.here("ip -4 addr show eth0").contains("inet "), "the address went with the cable");
        wire.there("ip link set srv0 up");
        wire.until(&mut machine, "the address again", Status::is_ready).await;
    });
}

#[test]
fn router_advertisement_alone_is_a_network() {
    run("net::tests::router_advertisement_alone_is_a_network", async |wire| {
        wire.there("ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.dnsmasq(&[
            "--enable-ra",
            "--dhcp-range=fd00:77::,ra-only",
            "--dhcp-option=option6:dns-server,[fd00:77::53]",
            "--dhcp-option=option6:domain-search,example.com",
        ]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "an address", |s| begins(s, "fd00:77::") && !servers(s).is_empty()).await;
        wire.until(&mut machine, "a way out", |s| s.links.iter().any(|l| !l.routers.is_empty())).await;
        let status = machine.status.borrow().clone();
        assert!(status.leases().all(|lease| lease.source == Source::Router));
        assert_eq!(
            (servers(&status), status.dns().search),
            (vec!["fd00:77::53".to_owned()], vec!["example.com".to_owned()])
        );
        assert!(wire.here("ip -6 route show default").contains("proto ra"));
        assert!(status.dns().families.v6 && !status.dns().families.v4);

        wire.there("ip link set srv0 down");
        wire.until(&mut machine, "E10", |s| matches!(s.trouble(), Some(Trouble::NoLink(_)))).await;
        assert!(!wire.here("ip -6 addr show eth0").contains("fd00:77::"), "another network may follow");
        wire.there("ip link set srv0 up && ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.until(&mut machine, "the address again", |s| begins(s, "fd00:77::")).await;
    });
}

#[test]
fn name_is_looked_up_at_a_server_on_the_link_alone() {
    run("net::tests::name_is_looked_up_at_a_server_on_the_link_alone", async |wire| {
        wire.there("ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.dnsmasq(&[
            "--enable-ra",
            "--dhcp-range=fd00:77::,ra-only",
            // Its own link-local address.
            "--dhcp-option=option6:dns-server,[fe80::]",
            "--port=53",
            "--address=/muster.example/fd00:77::1",
        ]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "a server", |s| s.is_ready() && !servers(s).is_empty()).await;
        let dns = machine.status.borrow().dns();
        assert!(servers(&machine.status.borrow()).iter().all(|server| server.starts_with("fe80::")));
        let found = lookup("muster.example", &dns).await.unwrap();
        assert_eq!(found, ["fd00:77::1".parse::<IpAddr>().unwrap()]);
    });
}

#[test]
fn router_that_leaves_names_to_dhcpv6() {
    run("net::tests::router_that_leaves_names_to_dhcpv6", async |wire| {
        wire.there("ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.dnsmasq(&[
            "--enable-ra",
            // Nothing about names in the advertisement itself.
            "--ra-param=srv0,0,0",
            "--dhcp-range=fd00:77::,ra-stateless",
            "--dhcp-option=option6:dns-server,[fd00:77::53]",
            "--dhcp-option=option6:domain-search,corp.example",
        ]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "names", |s| begins(s, "fd00:77::") && s.dns().search == ["corp.example"])
            .await;
        wire.until(&mut machine, "a name server", |s| servers(s) == ["fd00:77::53"]).await;
    });
}

#[test]
fn managed_network_gives_an_address_by_dhcpv6() {
    run("net::tests::managed_network_gives_an_address_by_dhcpv6", async |wire| {
        wire.there("ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.dnsmasq(&[
            "--enable-ra",
            "--dhcp-range=fd00:77::100,fd00:77::1ff,64,10m",
            "--dhcp-option=option6:dns-server,[fd00:77::53]",
        ]);
        let mut machine = wire.start("dhcp");
        wire.until(&mut machine, "an address", Status::is_ready).await;
        let status = machine.status.borrow().clone();
        let lease = status.leases().next().unwrap();
        assert!(matches!(lease.source, Source::Dhcp6 { seconds: 600 }), "{lease:?}");
        assert!(begins(&status, "fd00:77::1") && lease.prefix == 128);
        assert_eq!(servers(&status), ["fd00:77::53"]);
        // The network on the link and the way out are the router's to say.
        wire.until(&mut machine, "a way out", |s| s.links.iter().any(|l| !l.routers.is_empty())).await;
        assert!(wire.reaches("fd00:77::1"));
    });
}

#[test]
fn static_addresses_of_both_families_with_routes() {
    run("net::tests::static_addresses_of_both_families_with_routes", async |wire| {
        wire.there("ip addr add 10.77.0.1/24 dev srv0 && ip addr add fd00:77::1/64 dev srv0 nodad");
        let mut machine = wire.start(
            "if=eth0,mtu=1420,addr=10.77.0.5/24,addr=fd00:77::5/64,gw=10.77.0.1,gw=fd00:77::1,\
             route=10.78.0.0/16@10.77.0.9,route=fd00:78::/48@fe80::1",
        );
        wire.until(&mut machine, "both", |s| shown(s) == ["10.77.0.5/24", "fd00:77::5/64"]).await;
        let routes = wire.here("ip route && ip -6 route && ip link show eth0");
        for expected in [
            "default via 10.77.0.1 dev eth0",
            "10.78.0.0/16 via 10.77.0.9",
            "default via fd00:77::1 dev eth0",
            "fd00:78::/48 via fe80::1",
            "mtu 1420",
        ] {
            assert!(routes.contains(expected), "{expected}: {routes}");
        }
        assert!(wire.reaches("fd00:77::1") && wire.reaches("10.77.0.1"));
    });
}

#[test]
fn routes_of_a_lease_are_taken_off_and_the_others_stay() {
    run("net::tests::routes_of_a_lease_are_taken_off_and_the_others_stay", async |wire| {
        wire.here("ip link set eth0 up && ip addr add 10.77.0.5/24 dev eth0");
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let device = Device { handle: &handle, index, name: "eth0" };
        let spec = "addr=10.77.0.5/24,gw=10.77.0.1,route=10.78.0.0/16@10.77.0.9".parse().unwrap();
        let mut lease = Lease::from_spec("eth0", MacAddr([2, 0, 0, 0, 0, 1]), &spec).remove(0);
        device.set_routes(&lease, 100).await.unwrap();
        assert!(wire.here("ip route").contains("10.78.0.0/16 via 10.77.0.9"));
        lease.routes.remove(0);
        device.drop_routes(&lease, 100).await.unwrap();
        let routes = wire.here("ip route");
        assert!(routes.contains("default via 10.77.0.1") && !routes.contains("10.78."), "{routes}");
        device.drop_routes(&lease, 100).await.unwrap();
    });
}

#[test]
fn address_that_another_machine_has_is_told() {
    run("net::tests::address_that_another_machine_has_is_told", async |wire| {
        wire.there("ip addr add fd00:77::5/64 dev srv0 nodad");
        let mut machine = wire.start("addr=fd00:77::5/64");
        machine.hears("another machine on this link has fd00:77::5").await;
        assert!(matches!(machine.status.borrow().trouble(), Some(Trouble::NoAddress(_))));
    });
}

#[test]
fn plan_that_is_asked_for_replaces_the_one_before() {
    run("net::tests::plan_that_is_asked_for_replaces_the_one_before", async |wire| {
        wire.there("ip addr add 10.77.0.1/24 dev srv0 && ip addr add fd00:77::1/64 dev srv0 nodad");
        wire.dnsmasq(&["--enable-ra", "--dhcp-range=fd00:77::,ra-only"]);
        let mut machine = wire.start("ask");
        wire.until(&mut machine, "a carrier", |s| s.links.iter().any(|link| link.has_carrier)).await;
        machine.network.replan("addr=10.77.0.5/24".parse().unwrap()).await;
        wire.until(&mut machine, "the address", |s| shown(s) == ["10.77.0.5/24"]).await;
        machine.network.replan(NetPlan::Automatic).await;
        wire.until(&mut machine, "the router's", |s| shown(s).len() == 1 && begins(s, "fd00:77::")).await;
        assert!(!wire.here("ip -4 addr show eth0").contains("inet "));
    });
}

#[test]
fn link_that_is_plugged_in_later_is_configured() {
    run("net::tests::link_that_is_plugged_in_later_is_configured", async |wire| {
        wire.there("ip addr add 10.77.0.1/24 dev srv0");
        let mut machine = wire.start("if=eth7,addr=10.88.0.5/24");
        wire.until(&mut machine, "E10", |s| s.missing == ["eth7"] && s.trouble().is_some()).await;
        wire.cable("eth7", "srv7");
        wire.there("ip link set srv7 up");
        wire.until(&mut machine, "an address", |s| shown(s) == ["10.88.0.5/24"]).await;
        wire.here("ip link del eth7");
        wire.until(&mut machine, "E10 again", |s| !s.is_ready()).await;
    });
}

/// Whether this kernel has bonds.
const MAKE_BOND: &str = "ip link add name probe type bond && ip link del dev probe";
const NO_BONDS: &str = "this kernel has no bonds; the weather suite boots one that has";

#[test]
fn lacp_bond_asks_dhcp_and_its_router() {
    run("net::tests::lacp_bond_asks_dhcp_and_its_router", async |wire| {
        if !wire.can(MAKE_BOND) {
            return not_run(NO_BONDS);
        }
        wire.cable("eth1", "srv1");
        wire.there(
            "ip link add lag type bond mode 802.3ad lacp_rate fast miimon 100 && ip link set srv0 down && \
             ip link set srv0 master lag && ip link set srv1 master lag && ip link set lag up && \
             ip addr add 10.77.0.1/24 dev lag && ip addr add fd00:77::1/64 dev lag nodad",
        );
        wire.dnsmasq(&[&DHCP4[..], &["--enable-ra", "--dhcp-range=fd00:77::,ra-only"]].concat());
        let mut machine = wire.start("bond=eth0+eth1,mode=802.3ad");
        wire.until(&mut machine, "both families", |s| begins(s, "10.77.0.") && begins(s, "fd00:77::")).await;
        assert!(machine.status.borrow().leases().all(|lease| lease.link == "bond0"));
        assert!(wire.reaches("10.77.0.1") && wire.reaches("fd00:77::1"));
    });
}

#[test]
fn bond_of_two_cables_with_a_vlan_outlives_one_of_them() {
    run("net::tests::bond_of_two_cables_with_a_vlan_outlives_one_of_them", async |wire| {
        if !wire.can(MAKE_BOND) {
            return not_run(NO_BONDS);
        }
        wire.cable("eth1", "srv1");
        wire.there(
            "ip link add name br0 type bridge && ip link set srv0 master br0 && ip link set srv1 up master br0 && \
             ip link set br0 up && ip link add link br0 name br0.7 type vlan id 7 && ip link set br0.7 up && \
             ip addr add 10.77.0.1/24 dev br0.7",
        );
        let mut machine = wire.start("bond=eth0+eth1,vlan=7,addr=10.77.0.5/24");
        wire.until(&mut machine, "an address", Status::is_ready).await;
        assert!(wire.reaches("10.77.0.1"));
        wire.there("ip link set srv0 down");
        wire.until(&mut machine, "one left", |s| s.links.iter().any(|l| l.name == "eth0" && !l.has_carrier))
            .await;
        assert_eq!(machine.addresses(), ["10.77.0.5/24"]);
        assert!(wire.reaches("10.77.0.1"));
    });
}
