//! The machine's own addresses, by which others may reach its tunnels.

use super::prefix::Prefix;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use protocol::mesh::MAX_ENDPOINTS;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Nobody's addresses (RFC 5737, RFC 3849): no packet is sent, the kernel only says by which way it would go.
const ANYWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// Every address of every interface that is up, but for loopback.
pub(super) fn all() -> Vec<(String, IpAddr)> {
    // A kernel that tells none has none, as far as others are concerned.
    let Ok(found) = getifaddrs() else { return Vec::new() };
    found
        .filter(|one| {
            one.flags.contains(InterfaceFlags::IFF_UP) && !one.flags.contains(InterfaceFlags::IFF_LOOPBACK)
        })
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            let v6 = || address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip()));
            Some((one.interface_name, v4.or_else(v6)?))
        })
        .collect()
}

/// Those that others may reach: neither of the tunnels themselves nor of one link alone. Those by which packets leave for
/// anywhere come first.
pub(super) fn reachable(interface: &str, networks: &[Prefix]) -> Vec<IpAddr> {
    chosen(all(), &leaving(), interface, networks)
}

fn chosen(
    all: Vec<(String, IpAddr)>,
    leaving: &[IpAddr],
    interface: &str,
    networks: &[Prefix],
) -> Vec<IpAddr> {
    let is_own = |address: &IpAddr| networks.iter().any(|network| network.covers(&Prefix::host(*address)));
    let mut addresses: Vec<IpAddr> = all
        .into_iter()
        .filter(|(name, address)| name != interface && goes_beyond_a_link(address) && !is_own(address))
        .map(|(_, address)| address)
        .collect();
    // Stable: else in the kernel's order, twice none.
    addresses.sort_by_key(|address| leaving.iter().position(|first| first == address).unwrap_or(usize::MAX));
    let mut kept: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if kept.len() < MAX_ENDPOINTS && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept
}

fn goes_beyond_a_link(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() && !ip.is_multicast()
        }
        IpAddr::V6(ip) => {
            !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified() && !ip.is_multicast()
        }
    }
}

/// By which of them packets leave for anywhere.
fn leaving() -> Vec<IpAddr> {
    let by = |to: &str| -> Option<IpAddr> {
        let to: SocketAddr = to.parse().ok()?;
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    ANYWHERE.iter().filter_map(|to| by(to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::prefix::prefix;

    #[test]
    fn addresses_that_lead_out_come_first_and_those_of_the_tunnels_are_left_out() {
        let all = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "192.168.1.5"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::5"),
            ("muster0", "203.0.113.9"),
            ("eth1", "10.20.0.1"),
            ("eth1", "192.168.1.5"),
        ];
        let all = all.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        let leaving = ["192.168.1.5".parse().unwrap(), "2001:db8::5".parse().unwrap()];
        let found = chosen(all.to_vec(), &leaving, "muster0", &[prefix("10.20.0.0/16")]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.168.1.5", "2001:db8::5", "172.17.0.1"]);
        let many = (0..50).map(|n| ("eth0".to_owned(), IpAddr::from([10, 0, 0, n]))).collect();
        assert_eq!(chosen(many, &[], "muster0", &[]).len(), MAX_ENDPOINTS);
    }
}
