//! Where the tunnel of a member may be reached, the likeliest place first.
//!
//! First what somebody said for it, then what other members see its packets come from, then the address of its requests to
//! the server where that is none of its own (it is behind a NAT, and most of those keep the port), then its own addresses. Addresses that reach nobody else, and those of the mesh network itself, are
//! left out: a tunnel must not go through itself.

use protocol::cidr::Cidr;
use protocol::mesh::MAX_ENDPOINTS;
use std::net::{IpAddr, SocketAddr};

/// Most places that other members saw: behind a NAT that gives each of them another port there are as many as members,
/// and none of them helps a third.
const MAX_SEEN: usize = 2;
/// Most addresses of its own.
const MAX_OWN: usize = 3;

/// What is known of a member's whereabouts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// What its param says.
    pub told: Option<SocketAddr>,
    /// What other members see its packets come from.
    pub seen: &'a [SocketAddr],
    /// Its own addresses.
    pub own: &'a [IpAddr],
    /// The UDP port it listens on.
    pub port: u16,
    /// Where its requests to the server come from.
    pub sources: &'a [IpAddr],
    /// The mesh network's own networks.
    pub networks: &'a [Cidr],
}

/// A text is no place where a tunnel may be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no ADDRESS:PORT; write 203.0.113.7:51820 or [2001:db8::7]:51820")]
pub struct EndpointError(String);

/// Reads the param `muster/mesh-endpoint`.
///
/// # Errors
/// When it is no address and port that others may send to.
pub fn read(text: &str) -> Result<SocketAddr, EndpointError> {
    let wrong = || EndpointError(text.chars().take(64).collect());
    let endpoint: SocketAddr = text.parse().map_err(|_| wrong())?;
    if usable(endpoint, &[]) { Ok(endpoint) } else { Err(wrong()) }
}

/// Where it may be reached: at most [`MAX_ENDPOINTS`], each once.
pub fn of(facts: Facts<'_>) -> Vec<SocketAddr> {
    let mut seen: Vec<SocketAddr> = facts.seen.iter().copied().map(canonical).collect();
    // In an order that stays: each change of it is told to all peers.
    seen.sort_by_key(|endpoint| (is_private(endpoint.ip()), endpoint.is_ipv6(), *endpoint));
    seen.dedup();
    let usable_seen = seen.into_iter().filter(|endpoint| usable(*endpoint, facts.networks)).take(MAX_SEEN);
    let at_port = |address: IpAddr| SocketAddr::new(address, facts.port);
    let mut endpoints = Vec::with_capacity(MAX_ENDPOINTS);
    let likeliest = facts.told.into_iter().chain(usable_seen);
    // A greeting that goes to the wrong place costs five seconds, and private addresses are wrong for most others.
    let is_own = |source: &IpAddr| facts.own.iter().any(|own| own.to_canonical() == source.to_canonical());
    let (inside, outside): (Vec<IpAddr>, Vec<IpAddr>) =
        facts.sources.iter().partition(|source| is_own(source));
    let own = facts.own.iter().take(MAX_OWN);
    let rest = outside.iter().chain(own).chain(&inside).copied().map(at_port);
    for endpoint in likeliest.chain(rest).map(canonical) {
        if usable(endpoint, facts.networks) && !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    endpoints.truncate(MAX_ENDPOINTS);
    endpoints
}

/// The same for somebody who comes from the same address, so behind the same NAT: private ones first, since few NATs
/// send back what comes from within. What was said for it stays the first.
pub fn for_neighbor(endpoints: &[SocketAddr], told: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut endpoints = endpoints.to_vec();
    endpoints.sort_by_key(|endpoint| (Some(*endpoint) != told, !is_private(endpoint.ip())));
    endpoints
}

/// An IPv4 address that is written as IPv6 is that IPv4 address.
fn canonical(endpoint: SocketAddr) -> SocketAddr {
    SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port())
}

fn usable(endpoint: SocketAddr, networks: &[Cidr]) -> bool {
    let ip = endpoint.ip();
    let near_only = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets().first() == Some(&0),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let nobody = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || near_only;
    endpoint.port() != 0 && !nobody && !networks.iter().any(|network| network.contains(ip))
}

/// Whether the address is of a network behind a NAT: private, shared with a provider's customers, or unique local.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let shared = matches!(v4.octets(), [100, second, ..] if second & 0xc0 == 64);
            v4.is_private() || shared
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn texts(endpoints: &[SocketAddr]) -> Vec<String> {
        endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn likeliest_place_comes_first_and_each_once() {
        let seen = ["192.168.1.5:51820", "203.0.113.7:40001", "[::ffff:203.0.113.7]:40001"].map(endpoint);
        let own = ["192.168.1.5", "2001:db8::5"].map(|ip| ip.parse().unwrap());
        let facts = Facts {
            told: Some(endpoint("198.51.100.1:4500")),
            seen: &seen,
            own: &own,
            port: 51_820,
            sources: &["203.0.113.7".parse().unwrap()],
            networks: &[],
        };
        let all = [
            "198.51.100.1:4500",
            "203.0.113.7:40001",
            "192.168.1.5:51820",
            "203.0.113.7:51820",
            "[2001:db8::5]:51820",
        ];
        assert_eq!(texts(&of(facts)), all);
        let unseen = Facts { seen: &[], told: None, ..facts };
        let behind = ["203.0.113.7:51820", "192.168.1.5:51820", "[2001:db8::5]:51820"];
        assert_eq!(texts(&of(unseen)), behind, "most NATs keep the port");
        let at_home = Facts { sources: &["192.168.1.5".parse().unwrap()], ..unseen };
        assert_eq!(texts(&of(at_home)), ["192.168.1.5:51820", "[2001:db8::5]:51820"]);
        let turned = Facts { seen: &[seen[2], seen[1], seen[0]], ..facts };
        assert_eq!(texts(&of(turned)), all, "the order of reports is no matter");
        assert_eq!(
            texts(&for_neighbor(&of(facts), facts.told)),
            [
                "198.51.100.1:4500",
                "192.168.1.5:51820",
                "203.0.113.7:40001",
                "203.0.113.7:51820",
                "[2001:db8::5]:51820",
            ]
        );
    }

    #[test]
    fn addresses_that_reach_nobody_else_are_left_out() {
        let own: Vec<IpAddr> =
            ["127.0.0.1", "169.254.1.1", "fe80::1", "0.0.0.0", "224.0.0.1", "10.20.0.5", "::1"]
                .map(|ip| ip.parse().unwrap())
                .to_vec();
        let networks: [Cidr; 1] = ["10.20.0.0/16".parse().unwrap()];
        for address in &own {
            let one = [*address];
            let facts = Facts { own: &one, port: 51_820, networks: &networks, ..Facts::default() };
            assert_eq!(of(facts), [], "{address}");
        }
        let no_port = Facts { own: &["192.0.2.1".parse().unwrap()], port: 0, ..Facts::default() };
        assert_eq!(of(no_port), []);
    }

    #[test]
    fn there_are_never_more_than_may_be_told() {
        let seen: Vec<SocketAddr> =
            (1..200).map(|port| SocketAddr::new([203, 0, 113, 7].into(), port)).collect();
        let own: Vec<IpAddr> = (1..40).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        let sources = ["198.51.100.9", "2001:db8::9"].map(|ip| ip.parse().unwrap());
        let facts =
            Facts { told: Some(seen[7]), seen: &seen, own: &own, port: 9, sources: &sources, networks: &[] };
        let endpoints = of(facts);
        assert_eq!(endpoints.len(), MAX_ENDPOINTS);
        assert!(sources.iter().all(|source| endpoints.contains(&SocketAddr::new(*source, 9))));
    }

    #[test]
    fn param_is_an_address_and_a_port() {
        assert_eq!(read("203.0.113.7:51820").unwrap(), endpoint("203.0.113.7:51820"));
        assert_eq!(read("[2001:db8::7]:1").unwrap(), endpoint("[2001:db8::7]:1"));
        for wrong in ["203.0.113.7", "web.example.org:51820", "127.0.0.1:51820", "203.0.113.7:0", ""] {
            let told = read(wrong).unwrap_err().to_string();
            assert!(told.contains("is no ADDRESS:PORT; write 203.0.113.7:51820"), "{told}");
        }
    }
}
