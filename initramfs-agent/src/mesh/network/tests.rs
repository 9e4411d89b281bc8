//! The network around the tunnels against a real kernel, in a namespace of its own; a cable stands for the interface with
//! the tunnels, which is all the same to addresses, routes and rules.

use super::*;
use crate::mesh::plan::tests::{known, own, peer};
use crate::mesh::plan::{Hold, layout};
use crate::mesh::prefix::prefix;
use crate::net::tests::wire::{Wire, run};
use protocol::mesh::{MeshPeer, MeshSelf};
use std::path::Path;

/// The network of a machine with an interface `muster0`, and settings that are files.
pub(in crate::mesh) fn network(wire: &Wire, folder: &Path) -> Network {
    if !wire.can("ip link show muster0") {
        wire.cable("muster0", "far0");
        wire.there("ip link set far0 up");
    }
    for (path, value) in [("ipv4/conf/muster0/forwarding", "0"), ("ipv6/conf/all/forwarding", "0")] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    Network::open("muster0", Forwarding::new(folder, folder.join("note"), "muster0")).unwrap()
}

/// Its routes.
pub(in crate::mesh) fn routes(wire: &Wire) -> String {
    wire.here("ip route show proto 183; ip -6 route show proto 183")
}

#[test]
fn member_gets_its_network_and_leaves_dead_ends_behind() {
    run("mesh::network::tests::member_gets_its_network_and_leaves_dead_ends_behind", async |wire| {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(wire, folder.path());
        let behind = MeshPeer { routes: vec!["192.168.7.0/24".parse().unwrap()], ..peer(2) };
        let wanted = layout(&known(own(), &[behind]), &[]);
        network.prepare(&wanted).await.unwrap();
        assert!(wire.here("ip link show lo").contains("UP"));
        assert!(routes(wire).contains("unreachable 10.20.0.0/16"), "before anything else");
        network.settle(&wanted, 0).await.unwrap();
        let addresses = wire.here("ip addr show muster0");
        assert!(
            addresses.contains("inet 10.20.0.1/32") && addresses.contains("inet6 fd00:20::1/128"),
            "{addresses}"
        );
        assert!(wire.here("ip link show muster0").contains("mtu 1420"));
        let there = routes(wire);
        for line in [
            "10.20.0.0/16 dev muster0 scope link metric 50",
            "unreachable 10.20.0.0/16 metric 4294967280",
            "192.168.7.0/24 dev muster0 scope link metric 5000",
            "fd00:20::/64 dev muster0 metric 50",
            "unreachable fd00:20::/64 dev lo metric 4294967280",
        ] {
            assert!(there.contains(line), "{line}: {there}");
        }
        assert!(wire.here("ip route get 10.20.9.9").contains("dev muster0"));
        assert_eq!(
            wire.here("ip rule show; ip -6 rule show").matches("518").count(),
            0,
            "it forwards nothing"
        );
        network.leave(true).await.unwrap();
        assert!(!wire.can("ip link show muster0"));
        let there = routes(wire);
        assert!(
            there.contains("unreachable 10.20.0.0/16") && there.contains("unreachable fd00:20::/64"),
            "{there}"
        );
        assert_eq!(there.lines().count(), 2, "{there}");
        assert!(!wire.can("ip route get 10.20.9.9"));
        network.leave(false).await.unwrap();
        assert_eq!(routes(wire), "");
    });
}

#[test]
fn only_what_differs_is_changed_and_another_process_finds_all_of_it() {
    run(
        "mesh::network::tests::only_what_differs_is_changed_and_another_process_finds_all_of_it",
        async |wire| {
            let folder = tempfile::tempdir().unwrap();
            let mut first = network(wire, folder.path());
            let known = known(own(), &[peer(2)]);
            let hold = Hold { prefix: prefix("10.20.0.99/32"), until: 60_000 };
            let held = layout(&known, &[hold]);
            first.prepare(&held).await.unwrap();
            first.settle(&held, 10_500).await.unwrap();
            let addresses = wire.here("ip addr show dev muster0 to 10.20.0.99");
            // 49 seconds, of which some may have gone by.
            let left = addresses
                .split_once("valid_lft ")
                .and_then(|(_, rest)| rest.split_once("sec preferred_lft 0sec"));
            let left: u64 = left.unwrap_or_else(|| panic!("{addresses}")).0.parse().unwrap();
            assert!((30..=49).contains(&left), "{addresses}");
            // As if it had been killed: another one knows no lease.
            drop(first);
            wire.here("ip route add 10.99.0.0/16 dev muster0 proto 183 metric 50");
            let mut second = network(wire, folder.path());
            let plain = layout(&known, &[]);
            second.prepare(&plain).await.unwrap();
            second.settle(&plain, 11_000).await.unwrap();
            let addresses = wire.here("ip -4 addr show dev muster0");
            assert!(addresses.contains("10.20.0.1/32") && !addresses.contains("10.20.0.99"), "{addresses}");
            assert!(!routes(wire).contains("10.99.0.0"), "{}", routes(wire));
            // Somebody takes the address away: nobody looks, until there is a reason to doubt.
            wire.here("ip addr del 10.20.0.1/32 dev muster0");
            second.settle(&plain, 12_000).await.unwrap();
            assert!(!wire.here("ip -4 addr show dev muster0").contains("10.20.0.1/32"));
            second.doubt();
            second.settle(&plain, 13_000).await.unwrap();
            assert!(wire.here("ip -4 addr show dev muster0").contains("10.20.0.1/32"));
        },
    );
}

#[test]
fn lease_that_nobody_renews_ends_in_the_kernel_itself() {
    run("mesh::network::tests::lease_that_nobody_renews_ends_in_the_kernel_itself", async |wire| {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(wire, folder.path());
        let holds =
            ["10.20.0.99/32", "fd00:20::99/128"].map(|text| Hold { prefix: prefix(text), until: 5_900 });
        let held = layout(&known(own(), &[]), &holds);
        network.prepare(&held).await.unwrap();
        network.settle(&held, 0).await.unwrap();
        assert!(wire.here("ip addr show dev muster0").contains("10.20.0.99/32"));
        drop(network);
        let gone = || {
            !wire.here("ip addr show dev muster0").contains("::99/128")
                && !wire.can("ip -4 addr show dev muster0 | grep -q 10.20.0.99")
        };
        for _ in 0..300 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is there still: {}", wire.here("ip addr show dev muster0"));
    });
}

#[test]
fn relay_forwards_between_tunnels_and_nothing_else() {
    run("mesh::network::tests::relay_forwards_between_tunnels_and_nothing_else", async |wire| {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(wire, folder.path());
        wire.here("ip link set eth0 up && ip addr add 10.77.0.2/24 dev eth0");
        wire.here("ip route add default via 10.77.0.1 dev eth0");
        let relay = layout(&known(MeshSelf { relay: true, ..own() }, &[peer(2)]), &[]);
        network.prepare(&relay).await.unwrap();
        network.settle(&relay, 0).await.unwrap();
        let setting = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(
            (setting("ipv4/conf/muster0/forwarding"), setting("ipv6/conf/all/forwarding")),
            ("1".into(), "1".into())
        );
        wire.here("echo 1 > /proc/sys/net/ipv4/conf/all/forwarding");
        wire.here("for i in all eth0 muster0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done");
        let goes = |what: &str| wire.can(&format!("ip route get {what}"));
        assert!(goes("10.20.0.9") && goes("10.77.0.9") && goes("8.8.8.8"), "the machine's own packets");
        assert!(goes("10.20.0.9 from 10.20.0.2 iif muster0"), "from tunnel to tunnel");
        assert!(!goes("10.20.0.9 from 10.77.0.9 iif eth0"), "from elsewhere into tunnels");
        assert!(!goes("10.77.0.9 from 10.20.0.2 iif muster0"), "from tunnels to elsewhere");
        assert!(!goes("8.8.8.8 from 10.20.0.2 iif muster0"));
        assert!(goes("8.8.8.8 from 10.77.0.9 iif eth0"), "what the machine forwarded before");
        let rules = wire.here("ip -6 rule show");
        assert!(rules.contains("not from all iif lo unreachable"), "{rules}");
        let plain = layout(&known(own(), &[peer(2)]), &[]);
        network.settle(&plain, 0).await.unwrap();
        let rules = wire.here("ip rule show; ip -6 rule show");
        assert!(!rules.contains("518"), "{rules}");
        assert_eq!(
            (setting("ipv4/conf/muster0/forwarding"), setting("ipv6/conf/all/forwarding")),
            ("0".into(), "0".into())
        );
    });
}

#[test]
fn kernel_without_ipv6_has_the_network_of_ipv4() {
    run("mesh::network::tests::kernel_without_ipv6_has_the_network_of_ipv4", async |wire| {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(wire, folder.path());
        std::fs::remove_dir_all(folder.path().join("ipv6")).unwrap();
        let relay = layout(&known(MeshSelf { relay: true, ..own() }, &[peer(2)]), &[]);
        network.prepare(&relay).await.unwrap();
        network.settle(&relay, 0).await.unwrap();
        assert!(wire.here("ip addr show muster0").contains("inet 10.20.0.1/32"));
        let there = routes(wire) + &wire.here("ip -6 rule show");
        assert!(
            there.contains("10.20.0.0/16 dev muster0") && !there.contains("fd00") && !there.contains("518"),
            "{there}"
        );
    });
}

#[test]
fn holder_of_a_network_is_its_gateway() {
    run("mesh::network::tests::holder_of_a_network_is_its_gateway", async |wire| {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(wire, folder.path());
        wire.here("ip link set eth0 up && ip addr add 10.77.0.2/24 dev eth0");
        std::fs::create_dir_all(folder.path().join("ipv4/conf/eth0")).unwrap();
        std::fs::write(folder.path().join("ipv4/conf/eth0/forwarding"), "0").unwrap();
        let hold = Hold { prefix: prefix("10.77.0.0/24"), until: 60_000 };
        let held = layout(&known(own(), &[peer(2)]), &[hold]);
        network.prepare(&held).await.unwrap();
        network.settle(&held, 0).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("ipv4/conf/eth0/forwarding")).unwrap(), "1");
        wire.here("echo 1 > /proc/sys/net/ipv4/conf/all/forwarding");
        wire.here("for i in all eth0 muster0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done");
        let goes = |what: &str| wire.can(&format!("ip route get {what}"));
        assert!(goes("10.77.0.9 from 10.20.0.2 iif muster0"), "in");
        assert!(goes("10.20.0.2 from 10.77.0.9 iif eth0"), "and back");
        assert!(!goes("10.20.0.2 from 10.78.0.9 iif eth0"), "nobody else");
    });
}
