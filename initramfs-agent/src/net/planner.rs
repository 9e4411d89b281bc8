//! Which links there are and what is to be done about each: decisions only, no I/O.
//!
//! Every Ethernet card is set up. By itself, one that gets a carrier asks DHCPv4 and listens to
//! routers; these say whether DHCPv6 is asked too. With a plan, the devices of the plan are made
//! as soon as the links below them are there, and configured when they have a carrier
//! themselves; all other links stay as they are.
//!
//! The first device to get an address ranks first for default routes, of both families; where
//! several routers advertise themselves, the kernel chooses (RFC 4191, RFC 4861 6.3.6). A
//! carrier that is gone for [`FADING`] takes the addresses with it; shorter gaps do not count,
//! since setting an MTU makes many cards renegotiate.

use super::advice::Advice;
use super::blueprint::{Blueprint, Job, is_called};
use super::dhcp::Asker;
use super::dhcp6::Want;
use super::known::{Known, Membership, Names, Phase, Setup};
use super::lease::Lease;
use super::link::{AddressSeen, Adverts, Kind, Sighting};
use super::{LinkStatus, NetEvent, NetProblem, Role};
use protocol::net::{Bond, NetPlan, NetSpec, is_host, is_link_local_v6};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// How long a carrier may be gone before it counts.
pub(super) const FADING: Duration = Duration::from_secs(3);
/// When what the kernel refused is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(10);
/// Metric of the routes of the first link to get a lease.
const FIRST_METRIC: u32 = 100;
/// Most links that are looked after.
const MAX_LINKS: usize = 64;
/// Most addresses of one link that are counted.
const MAX_ADDRESSES: usize = 32;

/// Something to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Set the link up; `adverts` says whether routers are listened to on it.
    SetUp { index: u32, name: String, adverts: bool, was_up: bool },
    /// Listen to routers on a link that is up already.
    Listen { index: u32, name: String },
    /// Make a bond, for this member first.
    MakeBond { member: u32, name: String, bond: Bond },
    /// Put a link into a bond.
    Join { index: u32, name: String, bond: u32 },
    /// Make a VLAN device.
    MakeVlan { base: u32, name: String, id: u16 },
    /// Take away a device this planner asked for.
    Remove { index: u32, name: String },
    /// Set the MTU, in bytes.
    SetMtu { index: u32, name: String, mtu: u32 },
    /// Start a DHCPv4 client.
    Ask(Asker),
    /// Start a DHCPv6 client.
    Ask6(Asker, Want),
    /// Put this lease on the link.
    Apply { index: u32, lease: Lease, metric: u32 },
    /// Take off the routes of a lease that the next one no longer has.
    Unroute { index: u32, old: Lease, metric: u32 },
    /// Take one address off.
    Withdraw { index: u32, name: String, address: IpAddr },
    /// Stop the DHCP clients, if any.
    Stop { index: u32 },
    /// Take every address off.
    Clear { index: u32, name: String },
    /// Tell whoever listens.
    Tell(NetEvent),
}

/// Decides what each link needs.
#[derive(Debug)]
pub(super) struct Planner {
    blueprint: Blueprint,
    host_name: Option<String>,
    links: BTreeMap<u32, Known>,
    told: BTreeSet<u32>,
    next_metric: u32,
}

impl Planner {
    /// A planner without links.
    pub(super) fn new(plan: NetPlan, host_name: Option<String>) -> Self {
        Self {
            blueprint: Blueprint::new(plan),
            host_name,
            links: BTreeMap::new(),
            told: BTreeSet::new(),
            next_metric: FIRST_METRIC,
        }
    }

    /// Goes by another plan from now on. The steps undo what was done; every link is new to the
    /// planner after that and has to be observed again.
    pub(super) fn replan(&mut self, plan: NetPlan) -> Vec<Step> {
        let indices: Vec<u32> = self.links.keys().copied().collect();
        let mut steps: Vec<Step> = indices.iter().flat_map(|index| self.release(*index)).collect();
        for (&index, known) in &self.links {
            let name = known.name.clone();
            if known.kind != Kind::Hardware {
                steps.push(Step::Remove { index, name });
            } else if known.mtu != known.first_mtu {
                steps.push(Step::SetMtu { index, name, mtu: known.first_mtu });
            }
        }
        self.links.clear();
        self.blueprint = Blueprint::new(plan);
        self.next_metric = FIRST_METRIC;
        steps
    }

    /// Takes in what a link looks like now.
    pub(super) fn observe(&mut self, seen: &Sighting, driver: &str, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.links.contains_key(&seen.index) {
            if !self.blueprint.knows(seen) || !self.is_free(seen) || self.links.len() >= MAX_LINKS {
                return steps;
            }
            steps.extend(self.meet(seen, driver));
        }
        let Some(known) = self.links.get_mut(&seen.index) else { return steps };
        seen.name.clone_into(&mut known.name);
        known.mac = seen.mac;
        known.mtu = seen.mtu;
        if known.has_left(seen.controller) {
            steps.extend(self.join(seen.index));
        }
        steps.extend(self.track(seen, now));
        if let Some(adverts) = seen.adverts {
            steps.extend(self.heard(seen.index, adverts));
        }
        steps
    }

    /// Whether a link is nobody else's: a port of a bridge is not ours to configure.
    fn is_free(&self, seen: &Sighting) -> bool {
        seen.controller.is_none_or(|controller| {
            self.links.get(&controller).is_some_and(|known| known.kind == Kind::Bond)
        })
    }

    fn meet(&mut self, seen: &Sighting, driver: &str) -> Vec<Step> {
        let mut known = Known::new(seen, driver);
        let mut steps = Vec::new();
        let (index, name) = (seen.index, seen.name.clone());
        if seen.kind == Kind::Hardware && self.told.insert(index) {
            let driver = driver.to_owned();
            steps.push(Step::Tell(NetEvent::LinkFound { link: name.clone(), mac: seen.mac, driver }));
        }
        let bond = match seen.kind {
            Kind::Hardware => self.blueprint.bond_of(&seen.name, &seen.macs()).map(|job| job.name.clone()),
            Kind::Bond | Kind::Vlan { .. } => None,
        };
        if let Some(bond) = bond {
            known.setup = Setup::Member { bond, membership: Membership::Waiting };
            self.links.insert(index, known);
            steps.extend(self.join(index));
            return steps;
        }
        let adverts = self.blueprint.wants_adverts(seen);
        known.hears_routers = adverts;
        self.links.insert(index, known);
        steps.push(Step::SetUp { index, name, adverts, was_up: seen.is_up });
        if seen.kind == Kind::Bond {
            let members: Vec<u32> = self.links.keys().copied().collect();
            steps.extend(members.into_iter().flat_map(|member| self.join(member)));
        }
        steps
    }

    /// Puts a member into its bond, which is made first when it is not there.
    fn join(&mut self, index: u32) -> Option<Step> {
        let bond = |known: &Known| match &known.setup {
            Setup::Member { bond, .. } => Some(bond.clone()),
            Setup::None | Setup::Automatic | Setup::Static => None,
        };
        let wanted = self.links.get(&index).and_then(bond)?;
        let there = self.links.iter().find(|(_, known)| known.kind == Kind::Bond && known.name == wanted);
        if let Some(bond) = there.map(|(bond, _)| *bond) {
            let known = self.links.get_mut(&index)?;
            known.set_membership(Membership::Asked)?;
            return Some(Step::Join { index, name: known.name.clone(), bond });
        }
        let job = self.blueprint.bonds.iter_mut().find(|job| job.name == wanted && !job.is_begun)?;
        job.is_begun = true;
        Some(Step::MakeBond { member: index, name: wanted, bond: job.bond.clone() })
    }

    fn track(&mut self, seen: &Sighting, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(known) = self.links.get_mut(&seen.index) else { return steps };
        match (known.phase, seen.has_carrier) {
            (Phase::NoCarrier | Phase::Refused { .. }, true) => {
                known.phase = Phase::Active;
                known.problem = None;
                steps.push(Step::Tell(NetEvent::LinkUp { link: seen.name.clone() }));
                steps.extend(self.configure(seen));
            }
            (Phase::Fading { .. }, true) => known.phase = Phase::Active,
            (Phase::Active, false) => known.phase = Phase::Fading { until: now + FADING },
            (Phase::NoCarrier | Phase::Refused { .. } | Phase::Fading { .. }, false)
            | (Phase::Active, true) => {}
        }
        steps
    }

    fn configure(&mut self, seen: &Sighting) -> Vec<Step> {
        let index = seen.index;
        let Some(known) = self.links.get(&index) else { return Vec::new() };
        match seen.kind {
            _ if known.bond().is_some() => Vec::new(),
            Kind::Hardware if self.blueprint.is_automatic => self.automatic(index),
            Kind::Hardware | Kind::Bond => {
                let links = &self.links;
                let is_held = |base: u32| links.get(&base).is_some_and(Known::is_configured);
                self.blueprint.claim(index, &seen.name, &seen.macs(), is_held);
                let mut own = self.blueprint.jobs.iter();
                let spec = own.find(|job| job.base == Some(index) && job.spec.vlan.is_none());
                let spec = spec.map(|job| job.spec.clone());
                let mut steps = self.refuse_doubles(index, &seen.name);
                steps.extend(self.stack(index));
                steps.extend(spec.iter().flat_map(|spec| self.set_up(index, spec)));
                steps
            }
            Kind::Vlan { .. } => {
                let spec = self.blueprint.job_of_vlan(seen.kind).map(|job| job.spec.clone());
                spec.iter().flat_map(|spec| self.set_up(index, spec)).collect()
            }
        }
    }

    /// Tells of specs for a device that another spec has set up.
    fn refuse_doubles(&self, index: u32, link: &str) -> Vec<Step> {
        let mut taken = BTreeSet::new();
        let own = self.blueprint.jobs.iter().filter(|job| job.base == Some(index));
        let doubles = own.filter(|job| !taken.insert(job.spec.vlan));
        let problem = |job: &Job| NetProblem::Double(job.spec.to_string());
        doubles
            .map(|job| Step::Tell(NetEvent::Problem { link: link.to_owned(), problem: problem(job) }))
            .collect()
    }

    /// Makes the VLANs of a link that are not there yet. None may be larger than what is below.
    fn stack(&mut self, base: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(known) = self.links.get(&base) else { return steps };
        let mut largest = known.mtu;
        let jobs = self.blueprint.jobs.iter().filter(|job| job.base == Some(base));
        for (id, mtu) in jobs.filter_map(|job| Some((job.spec.vlan?, job.spec.mtu))) {
            if self.links.values().any(|other| other.kind == Kind::Vlan { id, base }) {
                continue;
            }
            if let Some(mtu) = mtu.filter(|mtu| *mtu > largest) {
                largest = mtu;
                steps.push(Step::SetMtu { index: base, name: known.name.clone(), mtu });
            }
            steps.push(Step::MakeVlan { base, name: Job::vlan_name(&known.name, id), id });
        }
        steps
    }

    /// Gives a device what its spec says.
    fn set_up(&mut self, index: u32, spec: &NetSpec) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        let (name, mac) = (known.name.clone(), known.mac);
        known.names = (spec.dns.clone(), spec.search.clone());
        known.has_own_mtu = spec.mtu.is_some();
        let mut steps: Vec<Step> =
            spec.mtu.map(|mtu| Step::SetMtu { index, name: name.clone(), mtu }).into_iter().collect();
        if spec.addresses.is_empty() {
            steps.extend(self.automatic(index));
            return steps;
        }
        known.setup = Setup::Static;
        for lease in Lease::from_spec(&name, mac, spec) {
            steps.extend(self.leased(index, lease));
        }
        steps
    }

    fn automatic(&mut self, index: u32) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        known.setup = Setup::Automatic;
        let mut steps = Vec::new();
        if !known.hears_routers {
            known.hears_routers = true;
            steps.push(Step::Listen { index, name: known.name.clone() });
        }
        steps.push(Step::Ask(known.asker(self.host_name.clone())));
        steps
    }

    /// Takes in what the router asks for. A wish for an address is never taken back: routers that
    /// do not agree would have the client come and go.
    pub(super) fn heard(&mut self, index: u32, adverts: Adverts) -> Vec<Step> {
        let host_name = self.host_name.clone();
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        if known.setup != Setup::Automatic || !known.is_configured() {
            return Vec::new();
        }
        let want = match (adverts.managed, adverts.other) {
            (true, _) => Want::Address,
            (false, true) => Want::Names,
            (false, false) => return Vec::new(),
        };
        if known.wanted == Some(want) || known.wanted == Some(Want::Address) {
            return Vec::new();
        }
        known.wanted = Some(want);
        vec![Step::Ask6(known.asker(host_name), want)]
    }

    /// Takes in name servers and domains of a router.
    pub(super) fn advised(&mut self, advice: Advice, now: Instant) {
        if let Some(known) = self.links.get_mut(&advice.link).filter(|known| known.setup == Setup::Automatic)
        {
            known.router_names.take(advice, now);
        }
    }

    /// Takes in name servers that came without an address.
    pub(super) fn named(&mut self, index: u32, names: Names) {
        if let Some(known) = self.links.get_mut(&index).filter(|known| known.is_configured()) {
            known.dhcp6_names = names;
        }
    }

    /// Takes in that a router is, or is no longer, a way out.
    pub(super) fn routed(&mut self, index: u32, router: Ipv6Addr, is_there: bool) {
        let Some(known) = self.links.get_mut(&index) else { return };
        known.routers.retain(|other| *other != router);
        if is_there && known.routers.len() < MAX_ADDRESSES {
            known.routers.push(router);
        }
    }

    /// Takes in a lease: the steps put it on its link. A lease that comes after the carrier went
    /// is for nobody.
    pub(super) fn leased(&mut self, index: u32, mut lease: Lease) -> Vec<Step> {
        let Some(metric) = self.metric(index) else { return Vec::new() };
        let Some(known) = self.links.get(&index) else { return Vec::new() };
        if known.has_own_mtu {
            lease.mtu = None;
        }
        if known.leases.contains(&lease) {
            return Vec::new();
        }
        let replaced = || known.given().filter(|old| lease.replaces(old));
        let other = replaced().find(|old| old.address != lease.address);
        let name = known.name.clone();
        let withdrawn = other.map(|old| Step::Withdraw { index, name, address: old.address });
        let same = replaced().find(|old| old.address == lease.address).cloned();
        let unrouted = same.and_then(|mut old| {
            old.routes.retain(|route| !lease.routes.contains(route));
            (!old.routes.is_empty()).then_some(Step::Unroute { index, old, metric })
        });
        [Step::Apply { index, lease, metric }].into_iter().chain(withdrawn).chain(unrouted).collect()
    }

    /// The rank of a link that is configured, given out with its first address.
    fn metric(&mut self, index: u32) -> Option<u32> {
        let known = self.links.get_mut(&index).filter(|known| known.is_configured())?;
        Some(*known.metric.get_or_insert_with(|| {
            let metric = self.next_metric;
            self.next_metric = metric.saturating_add(100);
            metric
        }))
    }

    /// The kernel has the lease now. IPv4 counts at once; IPv6 counts when the kernel is sure
    /// that nobody else has the address.
    pub(super) fn applied(&mut self, index: u32, lease: &Lease) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        let counts = lease.is_ipv4() || known.leases.iter().any(|other| other.address == lease.address);
        if counts {
            return vec![known.settle(lease.clone())];
        }
        known.pending.retain(|other| !lease.replaces(other));
        known.pending.push(lease.clone());
        Vec::new()
    }

    /// Takes in what the kernel says about an IPv6 address.
    pub(super) fn addressed(&mut self, seen: &AddressSeen) -> Vec<Step> {
        let address = IpAddr::V6(seen.address);
        let Some(known) = self.links.get_mut(&seen.index).filter(|known| known.is_configured()) else {
            return Vec::new();
        };
        if is_link_local_v6(address) && !seen.is_tentative {
            known.link_local = Some(seen.address);
        }
        let place = known.pending.iter().position(|lease| lease.address == address);
        if seen.is_duplicate {
            let Some(place) = place else { return Vec::new() };
            known.pending.remove(place);
            let problem = NetProblem::Duplicate(seen.address);
            known.problem = Some(problem.to_string());
            return vec![Step::Tell(NetEvent::Problem { link: known.name.clone(), problem })];
        }
        if seen.is_tentative || !is_host(address) || is_link_local_v6(address) {
            return Vec::new();
        }
        if let Some(place) = place {
            let lease = known.pending.remove(place);
            return vec![known.settle(lease)];
        }
        let is_new = known.setup == Setup::Automatic
            && seen.is_from_router
            && known.leases.len() < MAX_ADDRESSES
            && !known.leases.iter().any(|lease| lease.address == address);
        if !is_new {
            return Vec::new();
        }
        let told = known.settle(Lease::from_router(&known.name, known.mac, seen.address, seen.prefix));
        self.metric(seen.index);
        vec![told]
    }

    /// An IPv6 address is gone from a link.
    pub(super) fn unaddressed(&mut self, index: u32, address: Ipv6Addr) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        known.lose(IpAddr::V6(address)).into_iter().collect()
    }

    /// The lease ran out; the client goes on asking.
    pub(super) fn expired(&mut self, index: u32, address: IpAddr) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        let name = known.name.clone();
        let lost = known.lose(address);
        [Step::Withdraw { index, name, address }].into_iter().chain(lost).collect()
    }

    /// Notes what keeps a link from working, for the status.
    pub(super) fn failed(&mut self, index: u32, problem: String) {
        if let Some(known) = self.links.get_mut(&index) {
            known.problem = Some(problem);
        }
    }

    /// The link could not be set up, or could not join its bond.
    pub(super) fn refused(&mut self, index: u32, problem: String, now: Instant) {
        self.failed(index, problem);
        let Some(known) = self.links.get_mut(&index) else { return };
        known.phase = Phase::Refused { again: now + RETRY };
        if known.set_membership(Membership::Waiting).is_some() {
            let bond = known.bond().map(str::to_owned);
            for job in self.blueprint.bonds.iter_mut().filter(|job| Some(&job.name) == bond.as_ref()) {
                job.is_begun = false;
            }
        }
    }

    /// A VLAN could not be made on this link.
    pub(super) fn not_stacked(&mut self, base: u32, problem: String, now: Instant) {
        self.failed(base, problem);
        if let Some(known) = self.links.get_mut(&base) {
            known.stack_again = Some(now + RETRY);
        }
    }

    /// The link is gone from the machine.
    pub(super) fn removed(&mut self, index: u32) -> Vec<Step> {
        let mut steps = self.release(index);
        if let Some(known) = self.links.remove(&index) {
            for job in self.blueprint.bonds.iter_mut().filter(|job| job.name == known.name) {
                job.is_begun = false;
            }
        }
        self.told.remove(&index);
        // Its addresses and what was on top of it went with it.
        steps.retain(|step| !matches!(step, Step::Clear { .. } | Step::Remove { .. }));
        steps
    }

    fn release(&mut self, index: u32) -> Vec<Step> {
        let vlans = self.blueprint.release(index);
        let stacked = self.links.iter().filter_map(|(&top, known)| match known.kind {
            Kind::Vlan { id, base } if base == index && vlans.contains(&id) => {
                Some(Step::Remove { index: top, name: known.name.clone() })
            }
            Kind::Vlan { .. } | Kind::Hardware | Kind::Bond => None,
        });
        let mut steps: Vec<Step> = stacked.collect();
        let Some(known) = self.links.get_mut(&index) else { return steps };
        let name = known.name.clone();
        if known.bond().is_none() {
            steps.push(Step::Stop { index });
            steps.push(Step::Clear { index, name: name.clone() });
        }
        steps.extend(known.reset());
        steps.push(Step::Tell(NetEvent::LinkDown { link: name }));
        steps
    }

    /// What time alone brings: faded carriers are given up, what was refused is tried again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Step> {
        let (mut faded, mut refused, mut unstacked) = (Vec::new(), Vec::new(), Vec::new());
        for (&index, known) in &mut self.links {
            known.router_names.forget(now);
            if known.stack_again.take_if(|again| *again <= now).is_some() {
                unstacked.push(index);
            }
            match known.phase {
                Phase::Fading { until } if until <= now => faded.push(index),
                Phase::Refused { again } if again <= now => {
                    known.phase = Phase::NoCarrier;
                    refused.push(index);
                }
                Phase::Fading { .. } | Phase::Refused { .. } | Phase::NoCarrier | Phase::Active => {}
            }
        }
        let mut steps = Vec::new();
        for index in refused {
            steps.extend(self.again(index));
        }
        steps.extend(unstacked.into_iter().flat_map(|index| self.stack(index)));
        steps.extend(faded.into_iter().flat_map(|index| self.release(index)));
        steps
    }

    fn again(&mut self, index: u32) -> Option<Step> {
        let known = self.links.get(&index)?;
        if known.bond().is_some() {
            return self.join(index);
        }
        let (name, adverts) = (known.name.clone(), known.hears_routers);
        Some(Step::SetUp { index, name, adverts, was_up: false })
    }

    /// When [`Planner::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.links.values().filter_map(Known::due).min()
    }

    /// Name of a link.
    pub(super) fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|known| known.name.as_str())
    }

    /// Whether a link has an address that counts.
    pub(super) fn has_address(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|known| !known.leases.is_empty())
    }

    /// Every link as it stands, the best route first.
    pub(super) fn status(&self) -> Vec<LinkStatus> {
        let mut links: Vec<(u32, LinkStatus)> =
            self.links.iter().map(|(&index, known)| known.status(self.role(index, known))).collect();
        links.sort_by_key(|(metric, _)| *metric);
        links.into_iter().map(|(_, status)| status).collect()
    }

    fn role(&self, index: u32, known: &Known) -> Role {
        match &known.setup {
            Setup::Member { bond, .. } => return Role::Member(bond.clone()),
            Setup::Automatic | Setup::Static => return Role::Own,
            Setup::None if self.blueprint.is_automatic => return Role::Own,
            Setup::None => {}
        }
        let macs = known.macs();
        let mut jobs = self.blueprint.jobs.iter();
        let job = jobs.find(|job| job.base == Some(index) || job.names(&known.name, &macs));
        match (known.kind, job) {
            (Kind::Hardware, None) => Role::Unused,
            (Kind::Hardware | Kind::Bond, Some(job)) => match job.spec.vlan {
                Some(vlan) => Role::Carries(Job::vlan_name(&known.name, vlan)),
                None => Role::Own,
            },
            (Kind::Bond, None) | (Kind::Vlan { .. }, _) => Role::Own,
        }
    }

    /// Links that the plan names and the machine does not have.
    pub(super) fn missing(&self) -> Vec<String> {
        let is_there =
            |wanted: &str| self.links.values().any(|known| is_called(wanted, &known.name, &known.macs()));
        let mut missing: Vec<String> =
            self.blueprint.names().filter(|name| !is_there(name)).map(str::to_owned).collect();
        missing.sort();
        missing.dedup();
        missing
    }
}

#[cfg(test)]
mod tests;
