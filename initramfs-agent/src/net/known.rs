//! What is known about one link: how it stands, what it was given, what is still to come.

use super::advice::Advice;
use super::dhcp::Asker;
use super::dhcp6::Want;
use super::lease::Lease;
use super::link::{Kind, Sighting};
use super::planner::Step;
use super::resolve::{Dns, NameServer};
use super::{LinkStatus, NetEvent, Role};
use protocol::ids::MacAddr;
use protocol::net::is_link_local_v6;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// Most name servers and domains of routers that are kept, each.
const MAX_NAMES: usize = 8;

/// Name servers and search domains.
pub(super) type Names = (Vec<IpAddr>, Vec<String>);

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Could not be set up; tried again then.
    Refused { again: Instant },
    /// Nothing on the other end.
    NoCarrier,
    /// Asking, or configured.
    Active,
    /// Carrier lost, until when it may come back.
    Fading { until: Instant },
}

/// What the link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setup {
    /// Nothing, so far.
    None,
    /// Whatever DHCP servers and routers say.
    Automatic,
    /// What the plan says.
    Static,
    /// Part of a bond.
    Member { bond: String, membership: Membership },
}

/// How far a link is with joining its bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// The bond is not there.
    Waiting,
    /// The kernel was asked.
    Asked,
    /// It is in.
    Joined,
}

/// Names that routers gave, each with the time it is good for; `None` is for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RouterNames {
    dns: Vec<(IpAddr, Option<Instant>)>,
    search: Vec<(String, Option<Instant>)>,
}

impl RouterNames {
    /// Takes in what a router says; a lifetime of 0 takes back.
    pub(super) fn take(&mut self, advice: Advice, now: Instant) {
        let dns = advice.dns.into_iter().map(|(server, seconds)| (IpAddr::V6(server), seconds));
        dns.for_each(|(server, seconds)| keep(&mut self.dns, server, seconds, now));
        advice.search.into_iter().for_each(|(domain, seconds)| keep(&mut self.search, domain, seconds, now));
    }

    /// Drops what is no longer good.
    pub(super) fn forget(&mut self, now: Instant) {
        self.dns.retain(|(_, until)| until.is_none_or(|until| until > now));
        self.search.retain(|(_, until)| until.is_none_or(|until| until > now));
    }

    fn next_end(&self) -> Option<Instant> {
        let dns = self.dns.iter().filter_map(|(_, until)| *until);
        dns.chain(self.search.iter().filter_map(|(_, until)| *until)).min()
    }
}

fn keep<T: PartialEq>(list: &mut Vec<(T, Option<Instant>)>, item: T, seconds: u32, now: Instant) {
    let until = (seconds != u32::MAX).then(|| now + Duration::from_secs(seconds.into()));
    match list.iter().position(|(other, _)| *other == item) {
        Some(place) if seconds == 0 => drop(list.remove(place)),
        Some(place) => {
            if let Some((_, end)) = list.get_mut(place) {
                *end = until;
            }
        }
        None if seconds > 0 && list.len() < MAX_NAMES => list.push((item, until)),
        None => {}
    }
}

/// One link, in full.
#[derive(Debug)]
pub(super) struct Known {
    index: u32,
    pub(super) name: String,
    pub(super) mac: MacAddr,
    own_mac: Option<MacAddr>,
    driver: String,
    pub(super) kind: Kind,
    pub(super) mtu: u32,
    /// MTU before anybody set one.
    pub(super) first_mtu: u32,
    pub(super) phase: Phase,
    pub(super) setup: Setup,
    pub(super) metric: Option<u32>,
    /// What counts.
    pub(super) leases: Vec<Lease>,
    /// What the kernel has and is not sure of.
    pub(super) pending: Vec<Lease>,
    /// Names of the plan.
    pub(super) names: Names,
    /// Names of a DHCPv6 server that gives no addresses.
    pub(super) dhcp6_names: Names,
    /// Names of routers.
    pub(super) router_names: RouterNames,
    /// Its own address for its link alone.
    pub(super) link_local: Option<Ipv6Addr>,
    /// Routers that are a way out.
    pub(super) routers: Vec<Ipv6Addr>,
    /// What DHCPv6 was asked for.
    pub(super) wanted: Option<Want>,
    /// Whether routers are listened to.
    pub(super) hears_routers: bool,
    /// Whether the plan sets the MTU, so that nobody else does.
    pub(super) has_own_mtu: bool,
    /// When making VLANs is tried again.
    pub(super) stack_again: Option<Instant>,
    pub(super) problem: Option<String>,
}

impl Known {
    /// A link seen for the first time.
    pub(super) fn new(seen: &Sighting, driver: &str) -> Self {
        Self {
            index: seen.index,
            name: seen.name.clone(),
            mac: seen.mac,
            own_mac: seen.own_mac,
            driver: driver.to_owned(),
            kind: seen.kind,
            mtu: seen.mtu,
            first_mtu: seen.mtu,
            phase: Phase::NoCarrier,
            setup: Setup::None,
            metric: None,
            leases: Vec::new(),
            pending: Vec::new(),
            names: Names::default(),
            dhcp6_names: Names::default(),
            router_names: RouterNames::default(),
            link_local: None,
            routers: Vec::new(),
            wanted: None,
            hears_routers: false,
            has_own_mtu: false,
            stack_again: None,
            problem: None,
        }
    }

    /// Whether it has a carrier, as far as that counts.
    pub(super) fn is_configured(&self) -> bool {
        match self.phase {
            Phase::Active | Phase::Fading { .. } => true,
            Phase::NoCarrier | Phase::Refused { .. } => false,
        }
    }

    /// Every hardware address it goes by.
    pub(super) fn macs(&self) -> Vec<MacAddr> {
        self.own_mac.into_iter().chain([self.mac]).collect()
    }

    /// The bond it belongs to.
    pub(super) fn bond(&self) -> Option<&str> {
        match &self.setup {
            Setup::Member { bond, .. } => Some(bond),
            Setup::None | Setup::Automatic | Setup::Static => None,
        }
    }

    /// Notes how far joining is; `None` when it belongs to no bond.
    pub(super) fn set_membership(&mut self, now: Membership) -> Option<()> {
        match &mut self.setup {
            Setup::Member { membership, .. } => {
                *membership = now;
                Some(())
            }
            Setup::None | Setup::Automatic | Setup::Static => None,
        }
    }

    /// Takes in which controller it has. True when it was in its bond and is not any more.
    pub(super) fn has_left(&mut self, controller: Option<u32>) -> bool {
        let Setup::Member { membership, .. } = &mut self.setup else { return false };
        match (*membership, controller) {
            (_, Some(_)) => {
                *membership = Membership::Joined;
                false
            }
            (Membership::Joined, None) => {
                *membership = Membership::Waiting;
                true
            }
            (Membership::Waiting | Membership::Asked, None) => false,
        }
    }

    /// Whom a DHCP client asks for.
    pub(super) fn asker(&self, host_name: Option<String>) -> Asker {
        Asker { index: self.index, name: self.name.clone(), mac: self.mac, host_name }
    }

    /// Everything it was given, whether it counts yet or not.
    pub(super) fn given(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().chain(&self.pending)
    }

    /// A lease counts from now on.
    pub(super) fn settle(&mut self, lease: Lease) -> Step {
        match self.leases.iter().position(|other| lease.replaces(other)) {
            Some(place) => {
                if let Some(old) = self.leases.get_mut(place) {
                    old.clone_from(&lease);
                }
            }
            None => self.leases.push(lease.clone()),
        }
        self.problem = None;
        Step::Tell(NetEvent::Lease(lease))
    }

    /// An address is gone.
    pub(super) fn lose(&mut self, address: IpAddr) -> Option<Step> {
        self.pending.retain(|lease| lease.address != address);
        let place = self.leases.iter().position(|lease| lease.address == address)?;
        let lease = self.leases.remove(place);
        Some(Step::Tell(NetEvent::Lost { link: lease.link, address: lease.address }))
    }

    /// Forgets everything that came with the carrier.
    pub(super) fn reset(&mut self) -> Vec<Step> {
        self.phase = Phase::NoCarrier;
        self.problem = None;
        self.stack_again = None;
        self.wanted = None;
        if self.bond().is_none() {
            self.setup = Setup::None;
        }
        self.pending.clear();
        self.routers.clear();
        self.names = Names::default();
        self.dhcp6_names = Names::default();
        self.link_local = None;
        self.router_names = RouterNames::default();
        let lost = std::mem::take(&mut self.leases).into_iter();
        lost.map(|lease| Step::Tell(NetEvent::Lost { link: lease.link, address: lease.address })).collect()
    }

    /// When time alone changes something.
    pub(super) fn due(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Fading { until } => Some(until),
            Phase::Refused { again } => Some(again),
            Phase::NoCarrier | Phase::Active => None,
        };
        [phase, self.stack_again, self.router_names.next_end()].into_iter().flatten().min()
    }

    /// Whom to ask for names here: the plan's servers first, then the leases', then the routers'.
    fn dns(&self) -> Dns {
        let leases = self.leases.iter().map(|lease| (lease.dns.clone(), lease.search.clone()));
        let routers = &self.router_names;
        let servers = routers.dns.iter().map(|(server, _)| *server).collect();
        let search = routers.search.iter().map(|(domain, _)| domain.clone()).collect();
        let sources = [self.names.clone()].into_iter().chain(leases);
        let mut dns = Dns::default();
        for (servers, search) in sources.chain([self.dhcp6_names.clone(), (servers, search)]) {
            let servers: Vec<NameServer> =
                servers.into_iter().filter_map(|ip| self.name_server(ip)).collect();
            dns.join(&servers, &search);
        }
        dns
    }

    fn name_server(&self, address: IpAddr) -> Option<NameServer> {
        if is_link_local_v6(address) {
            return Some(NameServer::on_link(address, self.link_local?, self.index));
        }
        Some(NameServer::anywhere(address))
    }

    /// How it stands, and its rank.
    pub(super) fn status(&self, role: Role) -> (u32, LinkStatus) {
        let metric = self.metric.filter(|_| !self.leases.is_empty()).unwrap_or(u32::MAX);
        let status = LinkStatus {
            name: self.name.clone(),
            mac: self.mac,
            driver: self.driver.clone(),
            has_carrier: self.is_configured(),
            role,
            leases: self.leases.clone(),
            routers: self.routers.clone(),
            dns: self.dns(),
            problem: self.problem.clone(),
        };
        (metric, status)
    }
}
