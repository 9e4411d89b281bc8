//! How the network stands, and what to tell a person about it.

use super::lease::Lease;
use super::resolve::{Dns, Families};
use protocol::ids::MacAddr;
use std::fmt;
use std::net::Ipv6Addr;

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has, or waits for, an address of its own.
    Own,
    /// It is part of this bond.
    Member(String),
    /// It carries this VLAN device.
    Carries(String),
    /// The plan has nothing for it.
    Unused,
}

/// How one link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkStatus {
    /// Name.
    pub(crate) name: String,
    /// Hardware address in use.
    pub(crate) mac: MacAddr,
    /// Driver, empty when unknown and for bonds and VLANs.
    pub(crate) driver: String,
    /// Whether something is on the other end.
    pub(crate) has_carrier: bool,
    /// What it is for.
    pub(crate) role: Role,
    /// Its addresses that count, each with what came with it.
    pub(crate) leases: Vec<Lease>,
    /// Routers that made themselves known and are a way out.
    pub(crate) routers: Vec<Ipv6Addr>,
    /// Whom to ask for names here.
    pub(crate) dns: Dns,
    /// What keeps it from working, as a sentence.
    pub(crate) problem: Option<String>,
}

/// How the network stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Links, bonds and VLANs, the one with the default route first.
    pub(crate) links: Vec<LinkStatus>,
    /// PCI ids of network cards that no driver took.
    pub(crate) driverless: Vec<String>,
    /// Links that `muster.net=` names and the machine does not have.
    pub(crate) missing: Vec<String>,
    /// The network is an installed system's own: whether it works shows when it is used.
    pub(crate) is_foreign: bool,
}

/// Why the machine cannot reach anybody, with what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// E10: no link with a carrier.
    NoLink(Status),
    /// E12: a carrier, but no address.
    NoAddress(Status),
}

impl Status {
    /// The network of an installed system.
    pub(crate) fn of_system() -> Self {
        Self { is_foreign: true, ..Self::default() }
    }

    /// Every address of the machine, the best link's first.
    pub(crate) fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.links.iter().flat_map(|link| &link.leases)
    }

    /// Whether the machine has an address. One that is good on its own link only is none.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_foreign || self.leases().next().is_some()
    }

    /// Whom to ask for names: the servers of all links, the best one's first.
    pub(crate) fn dns(&self) -> Dns {
        if self.is_foreign {
            return Dns::of_system();
        }
        let mut dns = Dns::default();
        for link in &self.links {
            dns.join(&link.dns.servers, &link.dns.search);
        }
        dns.families = Families {
            v4: self.leases().any(Lease::is_ipv4),
            v6: self.leases().any(|lease| !lease.is_ipv4()),
        };
        dns
    }

    /// The machine's full name by DHCP, of the best link that has one; an installed system's own.
    pub(crate) fn host_name(&self) -> Option<String> {
        if self.is_foreign {
            let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
            return Some(name).filter(|name| name != "localhost");
        }
        self.leases().find_map(Lease::fqdn)
    }

    /// One line an address and its ways out, for whoever looks for a missing route.
    pub(crate) fn ways(&self) -> Vec<String> {
        let line = |link: &LinkStatus, lease: &Lease| {
            let router = link.routers.first().filter(|_| !lease.is_ipv4());
            let gateway = lease.gateway().map(|gateway| gateway.to_string());
            let way = match gateway.or_else(|| router.map(Ipv6Addr::to_string)) {
                Some(gateway) => format!("gateway {gateway}"),
                None => "no gateway".to_owned(),
            };
            format!("{} {}/{}: {way}", lease.link, lease.address, lease.prefix)
        };
        self.links.iter().flat_map(|link| link.leases.iter().map(move |lease| line(link, lease))).collect()
    }

    /// What is wrong; `None` as soon as one link has an address.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let waits = |link: &LinkStatus| link.has_carrier && matches!(link.role, Role::Own | Role::Carries(_));
        if self.is_ready() {
            None
        } else if self.links.iter().any(waits) {
            Some(Trouble::NoAddress(self.clone()))
        } else {
            Some(Trouble::NoLink(self.clone()))
        }
    }
}

impl Trouble {
    /// One line a link or card: name, hardware address, driver, what is wrong.
    pub(crate) fn details(&self) -> Vec<String> {
        let (Self::NoLink(status) | Self::NoAddress(status)) = self;
        let links = status.links.iter().map(|link| {
            let driver = if link.driver.is_empty() { String::new() } else { format!(" ({})", link.driver) };
            let state = match (&link.problem, &link.role, link.has_carrier) {
                (Some(problem), _, _) => problem.clone(),
                (None, _, false) => "no carrier".to_owned(),
                (None, Role::Own, true) => "waiting for an address".to_owned(),
                (None, Role::Member(bond), true) => format!("part of {bond}"),
                (None, Role::Carries(vlan), true) => format!("carries {vlan}"),
                (None, Role::Unused, true) => "not in muster.net".to_owned(),
            };
            format!("{} {}{driver}: {state}", link.name, link.mac)
        });
        let cards = status.driverless.iter().map(|id| format!("network card {id}: no driver in this image"));
        let missing = status.missing.iter().map(|name| format!("{name}: in muster.net, not in this machine"));
        links.chain(cards).chain(missing).collect()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLink(status) if !status.missing.is_empty() => {
                "no network link; muster.net names links this machine does not have"
            }
            Self::NoLink(status) if !status.links.is_empty() => {
                "no network link; plug in a cable, or check the switch port"
            }
            Self::NoLink(status) if !status.driverless.is_empty() => {
                "no network link; no driver for the network card, use a medium of profile generic"
            }
            Self::NoLink(_) => "no network link; this machine shows no network card",
            Self::NoAddress(_) => "no address; check the DHCP server, or set muster.net=addr=..,gw=..",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::resolve::NameServer;

    fn link(name: &str, has_carrier: bool, problem: Option<&str>) -> LinkStatus {
        LinkStatus {
            name: name.to_owned(),
            mac: MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            driver: "e1000".to_owned(),
            has_carrier,
            role: Role::Own,
            leases: Vec::new(),
            routers: Vec::new(),
            dns: Dns::default(),
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn trouble_says_what_to_do_and_names_every_link() {
        let no_cable = Status { links: vec![link("eth0", false, None)], ..Status::default() };
        let trouble = no_cable.trouble().unwrap();
        assert!(matches!(trouble, Trouble::NoLink(_)));
        assert_eq!(trouble.to_string(), "no network link; plug in a cable, or check the switch port");
        assert_eq!(trouble.details(), ["eth0 52:54:00:12:34:56 (e1000): no carrier"]);

        let no_driver = Status { driverless: vec!["8086:1533".to_owned()], ..Status::default() };
        let trouble = no_driver.trouble().unwrap();
        assert!(trouble.to_string().contains("profile generic"));
        assert_eq!(trouble.details(), ["network card 8086:1533: no driver in this image"]);

        let silence = Status { links: vec![link("eth0", true, Some("nobody answers"))], ..Status::default() };
        let trouble = silence.trouble().unwrap();
        assert!(matches!(trouble, Trouble::NoAddress(_)));
        assert_eq!(trouble.details(), ["eth0 52:54:00:12:34:56 (e1000): nobody answers"]);
    }

    #[test]
    fn links_outside_of_the_plan_are_no_hope() {
        let status = Status {
            links: vec![
                LinkStatus { role: Role::Unused, ..link("eth0", true, None) },
                LinkStatus { role: Role::Member("bond0".to_owned()), ..link("eth1", true, None) },
                LinkStatus { driver: String::new(), ..link("bond0", false, None) },
            ],
            missing: vec!["eth7".to_owned()],
            ..Status::default()
        };
        let trouble = status.trouble().unwrap();
        assert_eq!(trouble.to_string(), "no network link; muster.net names links this machine does not have");
        assert_eq!(
            trouble.details(),
            [
                "eth0 52:54:00:12:34:56 (e1000): not in muster.net",
                "eth1 52:54:00:12:34:56 (e1000): part of bond0",
                "bond0 52:54:00:12:34:56: no carrier",
                "eth7: in muster.net, not in this machine",
            ]
        );
    }

    fn with_leases(spec: &str) -> LinkStatus {
        let spec = spec.parse().unwrap();
        let leases = Lease::from_spec("eth0", link("eth0", true, None).mac, &spec);
        let servers = spec.dns.into_iter().map(NameServer::anywhere).collect();
        let dns = Dns { servers, ..Dns::default() };
        LinkStatus { leases, dns, ..link("eth0", true, None) }
    }

    #[test]
    fn best_link_comes_first_in_names_and_servers() {
        let specs = ["addr=10.0.0.5/24,dns=10.0.0.53", "addr=10.1.0.5/24,dns=10.0.0.53,dns=10.1.0.53"];
        let status =
            Status { links: specs.iter().map(|spec| with_leases(spec)).collect(), ..Status::default() };
        assert_eq!(status.trouble(), None);
        assert_eq!(status.leases().next().unwrap().address.to_string(), "10.0.0.5");
        let dns = status.dns();
        let servers: Vec<String> = dns.servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(servers, ["10.0.0.53", "10.1.0.53"]);
        assert_eq!(dns.families, Families { v4: true, v6: false });
    }

    #[test]
    fn either_family_is_a_network_and_ways_out_are_told() {
        let mut link = with_leases("addr=fd00::5/64");
        let told = |link: &LinkStatus| Status { links: vec![link.clone()], ..Status::default() }.ways();
        assert_eq!(told(&link), ["eth0 fd00::5/64: no gateway"]);
        link.routers = vec!["fe80::1".parse().unwrap()];
        assert_eq!(told(&link), ["eth0 fd00::5/64: gateway fe80::1"]);
        assert_eq!(
            told(&with_leases("addr=10.0.0.5/24,gw=10.0.0.1")),
            ["eth0 10.0.0.5/24: gateway 10.0.0.1"]
        );
        let status = Status { links: vec![link], ..Status::default() };
        assert!(status.is_ready() && status.dns().families == Families { v4: false, v6: true });
    }
}
