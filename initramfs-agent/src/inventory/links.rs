//! Physical network links, from `/sys/class/net` and the kernel.

use super::Tree;
use crate::sys;
use protocol::inventory::Link;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// `ARPHRD_ETHER` of `include/uapi/linux/if_arp.h`.
const ETHERNET: u64 = 1;
/// Where links live.
const LINKS: &str = "sys/class/net";

/// The Ethernet links of the tree that stand for hardware: those with a `device`.
pub(super) fn read(tree: &Tree) -> Vec<Link> {
    tree.names(LINKS)
        .into_iter()
        .filter_map(|name| {
            let base = format!("{LINKS}/{name}");
            if !tree.exists(&format!("{base}/device")) || tree.number(&format!("{base}/type")) != ETHERNET {
                return None;
            }
            let mac = tree.text(&format!("{base}/address")).parse().ok()?;
            Some(Link {
                driver: tree.link_name(&format!("{base}/device/driver")),
                // Reading it fails while the link is down, which is no carrier either.
                carrier: tree.number(&format!("{base}/carrier")) == 1,
                // -1 without a carrier and on cards without a speed, a number that is none here.
                speed_mbps: u32::try_from(tree.number(&format!("{base}/speed"))).unwrap_or_default(),
                ..Link::new(&name, mac)
            })
        })
        .collect()
}

/// Completes links with what only the kernel knows: the address burnt in, since a bond may have
/// changed the one in use, and IP addresses.
pub(super) fn ask_kernel(links: &mut [Link]) {
    if let Ok(socket) = sys::query_socket() {
        for link in &mut *links {
            // Many virtual drivers have none; then the one in use is all there is.
            if let Ok(mac) = sys::permanent_mac(socket.as_fd(), &link.name) {
                link.mac = mac;
            }
        }
    }
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return };
    for interface in interfaces {
        let Some(link) = links.iter_mut().find(|link| link.name == interface.interface_name) else {
            continue;
        };
        let ip = |storage: Option<nix::sys::socket::SockaddrStorage>| -> Option<IpAddr> {
            let storage = storage?;
            let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        };
        if let (Some(address), Some(mask)) = (ip(interface.address), ip(interface.netmask)) {
            link.addresses.push(format!("{address}/{}", prefix_len(mask)));
        }
    }
}

fn prefix_len(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    #[test]
    fn only_hardware_with_an_ethernet_address_is_a_link() {
        let fixture = Fixture::new(&[
            ("sys/class/net/eth0/type", "1\n"),
            ("sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
            ("sys/class/net/eth0/carrier", "1\n"),
            ("sys/class/net/eth0/speed", "25000\n"),
            ("sys/class/net/eth2/type", "1\n"),
            ("sys/class/net/eth2/address", "52:54:00:12:34:57\n"),
            ("sys/class/net/eth2/speed", "-1\n"),
            ("sys/class/net/eth2/device/x", ""),
            ("sys/class/net/lo/type", "772\n"),
            ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
            ("sys/class/net/bond0/type", "1\n"),
            ("sys/class/net/bond0/address", "52:54:00:12:34:56\n"),
            ("sys/class/net/ib0/type", "32\n"),
            ("sys/class/net/ib0/device/x", ""),
            ("sys/class/net/eth1/type", "1\n"),
            ("sys/class/net/eth1/address", "broken\n"),
            ("sys/class/net/eth1/device/x", ""),
        ]);
        fixture.link("sys/class/net/eth0/device/driver", "../../../bus/pci/drivers/e1000");
        let plugged = Link {
            driver: "e1000".to_owned(),
            carrier: true,
            speed_mbps: 25_000,
            ..Link::new("eth0", "52:54:00:12:34:56".parse().unwrap())
        };
        let unplugged = Link::new("eth2", "52:54:00:12:34:57".parse().unwrap());
        assert_eq!(read(&fixture.tree()), [plugged, unplugged]);
    }

    #[test]
    fn kernel_tells_addresses_with_their_prefix() {
        let mut loopback = [Link::new("lo", protocol::ids::MacAddr([0; 6]))];
        ask_kernel(&mut loopback);
        let [link] = &loopback;
        assert!(link.addresses.contains(&"127.0.0.1/8".to_owned()), "{:?}", link.addresses);
    }
}
