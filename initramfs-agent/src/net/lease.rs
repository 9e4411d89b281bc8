//! What a link was given: by a DHCP server, whose words are checked here, or by `muster.net=`.

use mozim::{DhcpV4ClasslessRoute, DhcpV4Lease};
use protocol::ids::MacAddr;
use protocol::net::{NetSpec, dns_name};
use std::net::{IpAddr, Ipv4Addr};

/// Most routes that are taken from a server.
const MAX_ROUTES: usize = 64;
/// Most name servers, as in `resolv.conf(5)`.
const MAX_DNS: usize = 3;
/// Most search domains.
const MAX_SEARCH: usize = 6;
/// Smallest MTU that is obeyed, in bytes: what every IPv4 host must take (RFC 791). A server
/// that says 68 would only break the connection.
const MIN_MTU: u16 = 576;

/// One route of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Network, `0.0.0.0` for the default route.
    pub(crate) destination: Ipv4Addr,
    /// Prefix length of the network, 0 to 32.
    pub(crate) prefix: u8,
    /// Next hop, `None` when the network is on the link itself.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A DHCP server.
    Dhcp {
        /// The server's identifier.
        server: Ipv4Addr,
        /// How long the lease lasts, in seconds.
        seconds: u32,
    },
    /// `muster.net=`.
    Static,
}

/// A link's address and all that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Link name.
    pub(crate) link: String,
    /// The link's hardware address.
    pub(crate) mac: MacAddr,
    /// Address of the machine.
    pub(crate) address: Ipv4Addr,
    /// Prefix length, 1 to 32.
    pub(crate) prefix: u8,
    /// Routes, in the order they are set.
    pub(crate) routes: Vec<Route>,
    /// Name servers.
    pub(crate) dns: Vec<IpAddr>,
    /// Domains that short names are looked up in, the machine's own first.
    pub(crate) search: Vec<String>,
    /// Host name the server gave the machine; may hold dots.
    pub(crate) host_name: Option<String>,
    /// Domain of the machine.
    pub(crate) domain: Option<String>,
    /// MTU in bytes, when told.
    pub(crate) mtu: Option<u16>,
    /// Who gave it.
    pub(crate) source: Source,
}

/// Why a server's lease is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    /// Not an address a machine can have.
    #[error("DHCP server {server} offers {address}, which no machine can use; check the server's pool")]
    Address {
        /// The server.
        server: Ipv4Addr,
        /// The offer.
        address: Ipv4Addr,
    },
    /// Ones after zeros.
    #[error("DHCP server {server} sends the subnet mask {mask}, which is none; check the server's option 1")]
    Mask {
        /// The server.
        server: Ipv4Addr,
        /// The mask.
        mask: Ipv4Addr,
    },
}

impl Lease {
    /// Takes a DHCP lease, checked: addresses must be usable, lists are cut, names are names.
    ///
    /// # Errors
    /// [`LeaseError`] names the server and what it said.
    pub(crate) fn from_dhcp(link: &str, mac: MacAddr, offer: &DhcpV4Lease) -> Result<Self, LeaseError> {
        let (server, address) = (offer.srv_id, offer.yiaddr);
        if !is_usable(address) {
            return Err(LeaseError::Address { server, address });
        }
        let prefix = prefix_len(offer.subnet_mask, address)
            .ok_or(LeaseError::Mask { server, mask: offer.subnet_mask })?;
        let name = |text: &Option<String>| text.as_deref().and_then(dns_name);
        let domain = name(&offer.domain_name);
        let mut search: Vec<String> = domain.iter().cloned().collect();
        search.extend(offer.domain_search.iter().flatten().filter_map(|text| dns_name(text)));
        search.dedup();
        search.truncate(MAX_SEARCH);
        Ok(Self {
            link: link.to_owned(),
            mac,
            address,
            prefix,
            routes: routes(offer),
            dns: usable(offer.dns_srvs.as_deref()).take(MAX_DNS).map(IpAddr::V4).collect(),
            search,
            host_name: name(&offer.host_name),
            domain,
            mtu: offer.mtu.filter(|&mtu| mtu >= MIN_MTU),
            source: Source::Dhcp { server, seconds: offer.lease_time_sec },
        })
    }

    /// A lease made from `muster.net=`.
    pub(crate) fn from_spec(link: &str, mac: MacAddr, spec: &NetSpec) -> Option<Self> {
        let v4 = |address: &IpAddr| match address {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        };
        let (address, prefix) =
            spec.addresses.iter().find_map(|own| Some((v4(&own.address)?, own.length)))?;
        Some(Self {
            link: link.to_owned(),
            mac,
            address,
            prefix,
            routes: spec.gateways.iter().filter_map(v4).map(default_route).collect(),
            dns: spec.dns.clone(),
            search: spec.search.clone(),
            host_name: None,
            domain: None,
            mtu: None,
            source: Source::Static,
        })
    }

    /// Next hop of the default route.
    pub(crate) fn gateway(&self) -> Option<Ipv4Addr> {
        self.routes.iter().find(|route| route.prefix == 0).and_then(|route| route.gateway)
    }

    /// The machine's full name, when the server gave one.
    pub(crate) fn fqdn(&self) -> Option<String> {
        let host = self.host_name.as_deref()?;
        match &self.domain {
            Some(domain) if !host.contains('.') => Some(format!("{host}.{domain}")),
            Some(_) | None => Some(host.to_owned()),
        }
    }

    /// Whether an address is in the network of the link.
    pub(super) fn is_neighbour(&self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        (self.address.to_bits() ^ other.to_bits()) & mask == 0
    }
}

fn default_route(gateway: Ipv4Addr) -> Route {
    Route { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(gateway) }
}

/// Routes of an offer. Classless routes replace the router option (RFC 3442), and those on the
/// link itself come first, since later gateways may be behind them.
fn routes(offer: &DhcpV4Lease) -> Vec<Route> {
    let Some(classless) = &offer.classless_routes else {
        return usable(offer.gateways.as_deref()).next().map(default_route).into_iter().collect();
    };
    let route = |told: &DhcpV4ClasslessRoute| {
        let gateway = (!told.router.is_unspecified()).then_some(told.router);
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(told.prefix_length.into())?).unwrap_or(0);
        let destination = Ipv4Addr::from_bits(told.destination.to_bits() & mask);
        gateway.is_none_or(is_usable).then_some(Route { destination, prefix: told.prefix_length, gateway })
    };
    let mut routes: Vec<Route> = classless.iter().take(MAX_ROUTES).filter_map(route).collect();
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}

fn usable(addresses: Option<&[Ipv4Addr]>) -> impl Iterator<Item = Ipv4Addr> {
    addresses.unwrap_or_default().iter().copied().filter(|address| is_usable(*address))
}

/// Whether a host can have this address.
fn is_usable(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 240 && !address.is_multicast() && !address.is_loopback()
}

/// Length of a mask; without one, the class of the address decides (RFC 950 2.1).
fn prefix_len(mask: Ipv4Addr, address: Ipv4Addr) -> Option<u8> {
    if mask.is_unspecified() {
        return Some(match address.octets() {
            [..128, _, _, _] => 8,
            [..192, _, _, _] => 16,
            [_, _, _, _] => 24,
        });
    }
    let ones = mask.to_bits().leading_ones();
    (ones == mask.to_bits().count_ones()).then(|| u8::try_from(ones).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    fn offer() -> DhcpV4Lease {
        let mut offer = DhcpV4Lease::default();
        offer.yiaddr = "10.0.2.15".parse().unwrap();
        offer.srv_id = "10.0.2.2".parse().unwrap();
        offer.subnet_mask = "255.255.255.0".parse().unwrap();
        offer.lease_time_sec = 86_400;
        offer
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn offer_becomes_a_lease() {
        let mut offer = offer();
        offer.gateways = Some(vec![ip("10.0.2.2")]);
        offer.dns_srvs = Some(vec![ip("10.0.2.3"), ip("0.0.0.0"), ip("255.255.255.255")]);
        offer.host_name = Some("Web1".to_owned());
        offer.domain_name = Some("Example.Com.".to_owned());
        offer.domain_search = Some(vec!["example.com".to_owned(), "corp".to_owned()]);
        let lease = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
        assert_eq!(
            (lease.address, lease.prefix, lease.gateway()),
            (ip("10.0.2.15"), 24, Some(ip("10.0.2.2")))
        );
        assert_eq!(lease.dns, [IpAddr::V4(ip("10.0.2.3"))]);
        assert_eq!(lease.fqdn().unwrap(), "web1.example.com");
        assert_eq!(lease.search, ["example.com", "corp"]);
        assert!(lease.is_neighbour(ip("10.0.2.2")) && !lease.is_neighbour(ip("10.0.3.2")));
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let mut offer = offer();
        offer.gateways = Some(vec![ip("10.0.2.2")]);
        let route = |destination, prefix_length, router| DhcpV4ClasslessRoute {
            destination: ip(destination),
            prefix_length,
            router: ip(router),
        };
        offer.classless_routes = Some(vec![
            route("0.0.0.0", 0, "10.9.0.1"),
            route("10.9.0.1", 32, "0.0.0.0"),
            route("10.1.2.3", 8, "10.9.0.1"),
            route("10.0.0.0", 77, "10.9.0.1"),
            route("10.0.0.0", 8, "224.0.0.1"),
        ]);
        let lease = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
        let told: Vec<_> = lease.routes.iter().map(|r| (r.destination, r.prefix, r.gateway)).collect();
        assert_eq!(
            told,
            [
                (ip("10.9.0.1"), 32, None),
                (ip("0.0.0.0"), 0, Some(ip("10.9.0.1"))),
                (ip("10.0.0.0"), 8, Some(ip("10.9.0.1"))),
            ]
        );
    }

    #[test]
    fn nonsense_of_a_server_is_refused_with_its_address() {
        for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.1.1.1"] {
            let mut offer = offer();
            offer.yiaddr = ip(address);
            let error = Lease::from_dhcp("eth0", MAC, &offer).unwrap_err().to_string();
            assert!(error.starts_with(&format!("DHCP server 10.0.2.2 offers {address}")), "{error}");
        }
        let mut offer = offer();
        offer.subnet_mask = ip("255.0.255.0");
        assert!(Lease::from_dhcp("eth0", MAC, &offer).unwrap_err().to_string().contains("option 1"));
    }

    #[test]
    fn missing_mask_follows_the_class_and_small_mtu_is_not_obeyed() {
        for (address, prefix) in [("10.0.0.1", 8), ("172.16.0.1", 16), ("192.168.0.1", 24)] {
            let mut offer = offer();
            offer.yiaddr = ip(address);
            offer.subnet_mask = ip("0.0.0.0");
            offer.mtu = Some(68);
            let lease = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
            assert_eq!((lease.prefix, lease.mtu), (prefix, None));
        }
    }

    #[test]
    fn static_address_brings_its_gateway_and_name_servers() {
        let spec = "addr=10.0.0.5/24,gw=10.0.0.1,dns=10.0.0.53".parse().unwrap();
        let lease = Lease::from_spec("eth0", MAC, &spec).unwrap();
        assert_eq!(lease.gateway(), Some(ip("10.0.0.1")));
        assert_eq!(lease.dns, [IpAddr::V4(ip("10.0.0.53"))]);
        assert_eq!(lease.source, Source::Static);
    }
}
