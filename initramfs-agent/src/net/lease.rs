//! One address of a link and all that came with it: from a DHCP server or a router, whose words
//! are checked here, or from `muster.net=`.

use super::dhcp6::message::{Answer, Given};
use mozim::{DhcpV4ClasslessRoute, DhcpV4Lease};
use protocol::ids::MacAddr;
use protocol::net::{
    MAX_DNS, MAX_MTU, MAX_SEARCH, MIN_IPV6_MTU, NetSpec, Prefix, dns_name, is_host, is_link_local_v6,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most routes that are taken from a server.
const MAX_ROUTES: usize = 64;

/// One route of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Where it leads; a length of 0 is the default route.
    pub(crate) to: Prefix,
    /// Next hop, `None` when the network is on the link itself.
    pub(crate) via: Option<IpAddr>,
}

impl Route {
    fn default_via(gateway: IpAddr) -> Self {
        let address = match gateway {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { to: Prefix { address, length: 0 }, via: Some(gateway) }
    }
}

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A DHCPv4 server.
    Dhcp {
        /// The server's identifier.
        server: Ipv4Addr,
        /// How long the lease lasts, in seconds.
        seconds: u32,
    },
    /// A DHCPv6 server.
    Dhcp6 {
        /// How long the lease lasts, in seconds.
        seconds: u32,
    },
    /// The kernel made it from a router's advertisement (SLAAC) and looks after it.
    Router,
    /// `muster.net=`.
    Static,
}

/// An address and all that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Link name.
    pub(crate) link: String,
    /// The link's hardware address.
    pub(crate) mac: MacAddr,
    /// Address of the machine.
    pub(crate) address: IpAddr,
    /// Prefix length, 1 to 32 or 128.
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
    pub(crate) mtu: Option<u32>,
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
    /// Takes a DHCPv4 lease, checked: addresses must be usable, lists are cut, names are names.
    ///
    /// # Errors
    /// [`LeaseError`] names the server and what it said.
    pub(crate) fn from_dhcp(link: &str, mac: MacAddr, offer: &DhcpV4Lease) -> Result<Self, LeaseError> {
        let (server, address) = (offer.srv_id, offer.yiaddr);
        if !is_host(IpAddr::V4(address)) {
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
            routes: routes(offer),
            dns: usable(offer.dns_srvs.as_deref()).take(MAX_DNS).collect(),
            search,
            host_name: name(&offer.host_name),
            domain,
            // What is too small for IPv6 would switch it off; what is larger, no card takes.
            mtu: offer.mtu.map(u32::from).filter(|mtu| (MIN_IPV6_MTU..=MAX_MTU).contains(mtu)),
            ..Self::bare(
                link,
                mac,
                IpAddr::V4(address),
                prefix,
                Source::Dhcp { server, seconds: offer.lease_time_sec },
            )
        })
    }

    /// Takes an address of a DHCPv6 server's answer. The prefix is the address alone: which
    /// network is on the link is the router's to say (RFC 8415 18.2.10.1).
    pub(crate) fn from_dhcp6(link: &str, mac: MacAddr, given: &Given, answer: &Answer) -> Option<Self> {
        let address = IpAddr::V6(given.address);
        let source = Source::Dhcp6 { seconds: given.valid };
        (is_host(address) && !is_link_local_v6(address)).then(|| Self {
            dns: answer.dns.iter().copied().map(IpAddr::V6).collect(),
            search: answer.search.clone(),
            ..Self::bare(link, mac, address, 128, source)
        })
    }

    /// An address that the kernel made from a router's advertisement.
    pub(super) fn from_router(link: &str, mac: MacAddr, address: Ipv6Addr, prefix: u8) -> Self {
        Self::bare(link, mac, IpAddr::V6(address), prefix, Source::Router)
    }

    /// The addresses of a spec. Gateways and routes go with the first address of their family,
    /// name servers and domains with the first of all.
    pub(crate) fn from_spec(link: &str, mac: MacAddr, spec: &NetSpec) -> Vec<Self> {
        let mut leases: Vec<Self> = Vec::new();
        for own in &spec.addresses {
            let mut lease = Self::bare(link, mac, own.address, own.length, Source::Static);
            if leases.is_empty() {
                lease.dns.clone_from(&spec.dns);
                lease.search.clone_from(&spec.search);
            }
            if !leases.iter().any(|other| other.is_ipv4() == lease.is_ipv4()) {
                let same = |via: &IpAddr| via.is_ipv4() == lease.is_ipv4();
                let further = spec.routes.iter().filter(|route| same(&route.via));
                let further = further.map(|route| Route { to: route.to.network(), via: Some(route.via) });
                let gateways = spec.gateways.iter().copied().filter(same).map(Route::default_via);
                lease.routes = gateways.chain(further).collect();
            }
            leases.push(lease);
        }
        leases
    }

    fn bare(link: &str, mac: MacAddr, address: IpAddr, prefix: u8, source: Source) -> Self {
        Self {
            link: link.to_owned(),
            mac,
            address,
            prefix,
            routes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            host_name: None,
            domain: None,
            mtu: None,
            source,
        }
    }

    /// Whether it is an IPv4 address.
    pub(crate) fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Next hop of the default route.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.routes.iter().find(|route| route.to.length == 0).and_then(|route| route.via)
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
    pub(super) fn is_neighbour(&self, other: IpAddr) -> bool {
        Prefix { address: self.address, length: self.prefix }.contains(other)
    }

    /// Whether one takes the other's place: a server's later word replaces its earlier one.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        match (self.source, other.source) {
            (Source::Dhcp { .. }, Source::Dhcp { .. }) | (Source::Dhcp6 { .. }, Source::Dhcp6 { .. }) => true,
            (Source::Dhcp { .. } | Source::Dhcp6 { .. } | Source::Router | Source::Static, _) => {
                self.address == other.address
            }
        }
    }
}

/// Routes of an offer. Classless routes replace the router option (RFC 3442), and those on the
/// link itself come first, since later gateways may be behind them.
fn routes(offer: &DhcpV4Lease) -> Vec<Route> {
    let Some(classless) = &offer.classless_routes else {
        return usable(offer.gateways.as_deref()).next().map(Route::default_via).into_iter().collect();
    };
    let route = |told: &DhcpV4ClasslessRoute| {
        let via = (!told.router.is_unspecified()).then_some(IpAddr::V4(told.router));
        let to = Prefix { address: IpAddr::V4(told.destination), length: told.prefix_length };
        (told.prefix_length <= 32 && via.is_none_or(is_host)).then(|| Route { to: to.network(), via })
    };
    let mut routes: Vec<Route> = classless.iter().take(MAX_ROUTES).filter_map(route).collect();
    routes.sort_by_key(|route| route.via.is_some());
    routes
}

fn usable(addresses: Option<&[Ipv4Addr]>) -> impl Iterator<Item = IpAddr> {
    addresses.unwrap_or_default().iter().copied().map(IpAddr::V4).filter(|address| is_host(*address))
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

    fn any(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn told(lease: &Lease) -> Vec<String> {
        let via = |route: &Route| route.via.map_or_else(|| "link".to_owned(), |via| via.to_string());
        lease.routes.iter().map(|route| format!("{} {}", route.to, via(route))).collect()
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
            (any("10.0.2.15"), 24, Some(any("10.0.2.2")))
        );
        assert_eq!(lease.dns, [any("10.0.2.3")]);
        assert_eq!(lease.fqdn().unwrap(), "web1.example.com");
        assert_eq!(lease.search, ["example.com", "corp"]);
        assert!(lease.is_neighbour(any("10.0.2.2")) && !lease.is_neighbour(any("10.0.3.2")));
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
        assert_eq!(told(&lease), ["10.9.0.1/32 link", "0.0.0.0/0 10.9.0.1", "10.0.0.0/8 10.9.0.1"]);
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
    fn missing_mask_follows_the_class_and_absurd_mtus_are_not_obeyed() {
        for (address, prefix, mtu) in
            [("10.0.0.1", 8, 68), ("172.16.0.1", 16, 65_535), ("192.168.0.1", 24, 1_279)]
        {
            let mut offer = offer();
            offer.yiaddr = ip(address);
            offer.subnet_mask = ip("0.0.0.0");
            offer.mtu = Some(mtu);
            let lease = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
            assert_eq!((lease.prefix, lease.mtu), (prefix, None));
        }
    }

    #[test]
    fn offer_with_nothing_but_an_address_is_a_lease() {
        let lease = Lease::from_dhcp("eth0", MAC, &offer()).unwrap();
        assert_eq!((lease.gateway(), lease.dns.len(), lease.fqdn()), (None, 0, None));
    }

    #[test]
    fn router_outside_of_the_network_is_a_route_all_the_same() {
        let mut offer = offer();
        offer.subnet_mask = ip("255.255.255.255");
        offer.gateways = Some(vec![ip("169.254.1.1")]);
        let lease = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
        assert_eq!(lease.gateway(), Some(any("169.254.1.1")));
        assert!(!lease.is_neighbour(any("169.254.1.1")));
    }

    #[test]
    fn static_addresses_bring_the_gateways_of_their_family() {
        let spec = "addr=10.0.0.5/24,addr=fd00::5/64,addr=10.0.0.6/24,gw=fe80::1,gw=10.0.0.1,dns=fd00::53,\
                    search=example.com,route=10.1.2.3/16@10.0.0.9";
        let leases = Lease::from_spec("eth0", MAC, &spec.parse().unwrap());
        let shown: Vec<_> = leases.iter().map(|l| (format!("{}/{}", l.address, l.prefix), told(l))).collect();
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                ("10.0.0.5/24".to_owned(), words(&["0.0.0.0/0 10.0.0.1", "10.1.0.0/16 10.0.0.9"])),
                ("fd00::5/64".to_owned(), words(&["::/0 fe80::1"])),
                ("10.0.0.6/24".to_owned(), vec![]),
            ]
        );
        let first = leases.first().unwrap();
        assert_eq!(
            (first.dns.clone(), first.search.clone()),
            (vec![any("fd00::53")], vec!["example.com".to_owned()])
        );
        assert!(leases.iter().skip(1).all(|lease| lease.dns.is_empty()));
    }

    #[test]
    fn later_word_of_a_server_replaces_its_earlier_one() {
        let mut offer = offer();
        let before = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
        offer.yiaddr = ip("10.0.2.16");
        let after = Lease::from_dhcp("eth0", MAC, &offer).unwrap();
        let router = Lease::from_router("eth0", MAC, "fd00::7".parse().unwrap(), 64);
        assert!(after.replaces(&before) && router.replaces(&router));
        assert!(!router.replaces(&before) && !before.replaces(&router));
    }
}
