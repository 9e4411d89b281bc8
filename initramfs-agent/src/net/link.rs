//! Which links there are and what is to be done about each: decisions only, no I/O.
//!
//! Every physical Ethernet link is set up. One that gets a carrier is configured: by DHCP, or by
//! the `muster.net=` meant for it. The first link to get a lease ranks first for the default
//! route. A carrier that is gone for [`FADING`] takes the lease with it; shorter gaps do not
//! count, since setting an MTU makes many cards renegotiate.

use super::dhcp::Asker;
use super::lease::Lease;
use super::{LinkStatus, NetEvent};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use protocol::ids::MacAddr;
use protocol::net::{NetPlan, NetSpec};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long a carrier may be gone before it counts.
pub(super) const FADING: Duration = Duration::from_secs(3);
/// When a link that could not be set up is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Metric of the routes of the first link to get a lease.
const FIRST_METRIC: u32 = 100;
/// Most links that are looked after.
const MAX_LINKS: usize = 64;

/// One look at a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: MacAddr,
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
}

impl Sighting {
    /// Reads a link message; `None` for links that are no Ethernet hardware, and for ports of a
    /// bond or bridge. A veth end counts as hardware: it is a cable between network namespaces,
    /// which is where this code is tested.
    pub(super) fn read(message: &LinkMessage) -> Option<Self> {
        let header = &message.header;
        if header.link_layer_type != LinkLayerType::Ether || header.flags.contains(LinkFlags::Loopback) {
            return None;
        }
        let (mut name, mut mac) = (None, None);
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(text) = attribute {
                name = Some(text.clone());
            } else if let LinkAttribute::Address(bytes) = attribute {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr);
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                let foreign =
                    |info: &LinkInfo| matches!(info, LinkInfo::Kind(kind) if *kind != InfoKind::Veth);
                if infos.iter().any(foreign) {
                    return None;
                }
            } else if let LinkAttribute::Controller(_) = attribute {
                return None;
            }
        }
        // The flag, not the operational state: the kernel tells that one up to a second late
        // (`net/core/link_watch.c`), and some drivers never.
        let has_carrier = header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        Some(Self {
            index: header.index,
            name: name?,
            mac: mac?,
            is_up: header.flags.contains(LinkFlags::Up),
            has_carrier,
        })
    }
}

/// Something to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Set the link up.
    SetUp { index: u32, name: String },
    /// Start a DHCP client.
    Ask(Asker),
    /// Put this lease on the link.
    Apply { index: u32, lease: Lease, metric: u32 },
    /// Stop the DHCP client, if any.
    Stop { index: u32 },
    /// Take every address off.
    Clear { index: u32, name: String },
    /// Tell whoever listens.
    Tell(NetEvent),
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Could not be set up; tried again then.
    Refused { again: Instant },
    /// Nothing on the other end.
    NoCarrier,
    /// Asking, or configured.
    Active,
    /// Carrier lost, until when it may come back.
    Fading { until: Instant },
}

#[derive(Debug)]
struct Known {
    name: String,
    mac: MacAddr,
    driver: String,
    phase: Phase,
    metric: Option<u32>,
    lease: Option<Lease>,
    problem: Option<String>,
}

/// Decides what each link needs.
#[derive(Debug)]
pub(super) struct Planner {
    specs: Vec<(NetSpec, Option<u32>)>,
    host_name: Option<String>,
    links: BTreeMap<u32, Known>,
    next_metric: u32,
}

impl Planner {
    /// A planner without links.
    pub(super) fn new(plan: NetPlan, host_name: Option<String>) -> Self {
        let specs = match plan {
            NetPlan::Automatic | NetPlan::Ask => Vec::new(),
            NetPlan::Static(specs) => specs,
        };
        let specs = specs.into_iter().map(|spec| (spec, None)).collect();
        Self { specs, host_name, links: BTreeMap::new(), next_metric: FIRST_METRIC }
    }

    /// Takes in what a link looks like now.
    pub(super) fn observe(&mut self, seen: &Sighting, driver: &str, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.links.contains_key(&seen.index) {
            if self.links.len() >= MAX_LINKS {
                return steps;
            }
            self.links.insert(seen.index, Known::new(seen, driver));
            let (link, driver) = (seen.name.clone(), driver.to_owned());
            steps.push(Step::Tell(NetEvent::LinkFound { link, mac: seen.mac, driver }));
            if !seen.is_up {
                steps.push(Step::SetUp { index: seen.index, name: seen.name.clone() });
            }
        }
        let Some(known) = self.links.get_mut(&seen.index) else { return steps };
        seen.name.clone_into(&mut known.name);
        known.mac = seen.mac;
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
        if self.specs.is_empty() {
            let host_name = self.host_name.clone();
            return vec![Step::Ask(Asker { index, name: seen.name.clone(), mac: seen.mac, host_name })];
        }
        let names_it = |spec: &NetSpec| {
            spec.link
                .as_deref()
                .is_some_and(|link| link.eq_ignore_ascii_case(&seen.name) || link.parse() == Ok(seen.mac))
        };
        let place = self
            .specs
            .iter()
            .position(|(spec, _)| names_it(spec))
            .or_else(|| self.specs.iter().position(|(spec, user)| spec.link.is_none() && user.is_none()));
        let Some((spec, user)) = place.and_then(|place| self.specs.get_mut(place)) else {
            // Static set-up for other links: this one stays without an address.
            return Vec::new();
        };
        *user = Some(index);
        match Lease::from_spec(&seen.name, seen.mac, spec) {
            Some(lease) => self.leased(index, lease),
            None => Vec::new(),
        }
    }

    /// Takes in a lease: the steps put it on its link. A lease that comes after the carrier went
    /// is for nobody.
    pub(super) fn leased(&mut self, index: u32, lease: Lease) -> Vec<Step> {
        let next_metric = &mut self.next_metric;
        let Some(known) = self.links.get_mut(&index).filter(|known| known.is_configured()) else {
            return Vec::new();
        };
        let metric = *known.metric.get_or_insert_with(|| {
            let metric = *next_metric;
            *next_metric = next_metric.saturating_add(100);
            metric
        });
        if known.lease.as_ref() == Some(&lease) {
            return Vec::new();
        }
        vec![Step::Apply { index, lease, metric }]
    }

    /// The kernel has the lease now.
    pub(super) fn applied(&mut self, index: u32, lease: &Lease) {
        if let Some(known) = self.links.get_mut(&index) {
            known.lease = Some(lease.clone());
            known.problem = None;
        }
    }

    /// The lease ran out; the client goes on asking.
    pub(super) fn expired(&mut self, index: u32) -> Vec<Step> {
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        let lost = known.lease.take();
        lost.map(|lease| Step::Tell(NetEvent::Lost { link: lease.link, address: lease.address }))
            .into_iter()
            .collect()
    }

    /// Notes what keeps a link from working, for the status.
    pub(super) fn failed(&mut self, index: u32, problem: String) {
        if let Some(known) = self.links.get_mut(&index) {
            known.problem = Some(problem);
        }
    }

    /// The link could not be set up.
    pub(super) fn refused(&mut self, index: u32, problem: String, now: Instant) {
        self.failed(index, problem);
        if let Some(known) = self.links.get_mut(&index) {
            known.phase = Phase::Refused { again: now + RETRY };
        }
    }

    /// The link is gone from the machine.
    pub(super) fn removed(&mut self, index: u32) -> Vec<Step> {
        let mut steps = self.release(index);
        self.links.remove(&index);
        // Its addresses went with it.
        steps.retain(|step| !matches!(step, Step::Clear { .. }));
        steps
    }

    fn release(&mut self, index: u32) -> Vec<Step> {
        for (_, user) in &mut self.specs {
            if *user == Some(index) {
                *user = None;
            }
        }
        let Some(known) = self.links.get_mut(&index) else { return Vec::new() };
        known.phase = Phase::NoCarrier;
        known.problem = None;
        let name = known.name.clone();
        let lost = known.lease.take();
        let mut steps = vec![Step::Stop { index }, Step::Clear { index, name: name.clone() }];
        steps.extend(
            lost.map(|lease| Step::Tell(NetEvent::Lost { link: name.clone(), address: lease.address })),
        );
        steps.push(Step::Tell(NetEvent::LinkDown { link: name }));
        steps
    }

    /// What time alone brings: faded carriers are given up, refused links tried again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut faded = Vec::new();
        for (&index, known) in &mut self.links {
            match known.phase {
                Phase::Fading { until } if until <= now => faded.push(index),
                Phase::Refused { again } if again <= now => {
                    known.phase = Phase::NoCarrier;
                    steps.push(Step::SetUp { index, name: known.name.clone() });
                }
                Phase::Fading { .. } | Phase::Refused { .. } | Phase::NoCarrier | Phase::Active => {}
            }
        }
        for index in faded {
            steps.extend(self.release(index));
        }
        steps
    }

    /// When [`Planner::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let times = self.links.values().filter_map(|known| match known.phase {
            Phase::Fading { until } => Some(until),
            Phase::Refused { again } => Some(again),
            Phase::NoCarrier | Phase::Active => None,
        });
        times.min()
    }

    /// Name of a link.
    pub(super) fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|known| known.name.as_str())
    }

    /// Every link as it stands, the best route first.
    pub(super) fn status(&self) -> Vec<LinkStatus> {
        let mut links: Vec<(u32, LinkStatus)> = self.links.values().map(Known::status).collect();
        links.sort_by_key(|(metric, _)| *metric);
        links.into_iter().map(|(_, status)| status).collect()
    }
}

impl Known {
    fn new(seen: &Sighting, driver: &str) -> Self {
        Self {
            name: seen.name.clone(),
            mac: seen.mac,
            driver: driver.to_owned(),
            phase: Phase::NoCarrier,
            metric: None,
            lease: None,
            problem: None,
        }
    }

    fn is_configured(&self) -> bool {
        match self.phase {
            Phase::Active | Phase::Fading { .. } => true,
            Phase::NoCarrier | Phase::Refused { .. } => false,
        }
    }

    fn status(&self) -> (u32, LinkStatus) {
        let has_carrier = self.is_configured();
        let metric = self.lease.as_ref().and(self.metric).unwrap_or(u32::MAX);
        let status = LinkStatus {
            name: self.name.clone(),
            mac: self.mac,
            driver: self.driver.clone(),
            has_carrier,
            lease: self.lease.clone(),
            problem: self.problem.clone(),
        };
        (metric, status)
    }
}

/// PCI network cards without a driver, as `8086:1533`: what to put into a report.
pub(super) fn driverless_cards(pci_devices: &Path) -> Vec<String> {
    /// Base class "network controller" of the PCI code and id assignment specification.
    const NETWORK: &str = "0x02";
    let Ok(entries) = std::fs::read_dir(pci_devices) else { return Vec::new() };
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut cards: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|device| text(&device.join("class")).starts_with(NETWORK))
        .filter(|device| !device.join("driver").exists())
        .map(|device| {
            let id = |name: &str| text(&device.join(name)).trim_start_matches("0x").to_owned();
            format!("{}:{}", id("vendor"), id("device"))
        })
        .collect();
    cards.sort();
    cards.truncate(MAX_LINKS);
    cards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    fn seen(index: u32, is_up: bool, has_carrier: bool) -> Sighting {
        let mac = MacAddr([0x52, 0x54, 0, 0, 0, u8::try_from(index).unwrap()]);
        Sighting { index, name: format!("eth{index}"), mac, is_up, has_carrier }
    }

    fn specs(text: &str) -> NetPlan {
        text.parse().unwrap()
    }

    fn lease(index: u32) -> Lease {
        let spec = format!("addr=10.0.{index}.5/24,gw=10.0.{index}.1").parse().unwrap();
        let seen = seen(index, true, true);
        Lease::from_spec(&seen.name, seen.mac, &spec).unwrap()
    }

    /// Steps as words, for comparison.
    fn words(steps: &[Step]) -> Vec<String> {
        let word = |step: &Step| match step {
            Step::SetUp { name, .. } => format!("set up {name}"),
            Step::Ask(asker) => format!("ask {}", asker.name),
            Step::Apply { lease, metric, .. } => format!("apply {} {metric}", lease.address),
            Step::Stop { index } => format!("stop {index}"),
            Step::Clear { name, .. } => format!("clear {name}"),
            Step::Tell(NetEvent::LinkFound { link, .. }) => format!("found {link}"),
            Step::Tell(NetEvent::LinkUp { link }) => format!("up {link}"),
            Step::Tell(NetEvent::LinkDown { link }) => format!("down {link}"),
            Step::Tell(NetEvent::Lost { link, .. }) => format!("lost {link}"),
            Step::Tell(other @ (NetEvent::Lease(_) | NetEvent::Problem { .. })) => format!("{other:?}"),
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn new_link_is_set_up_and_asks_once_it_has_a_carrier() {
        let (mut planner, now) = (Planner::new(NetPlan::Automatic, None), Instant::now());
        assert_eq!(
            words(&planner.observe(&seen(1, false, false), "e1000", now)),
            ["found eth1", "set up eth1"]
        );
        assert!(planner.observe(&seen(1, true, false), "e1000", now).is_empty());
        assert_eq!(words(&planner.observe(&seen(1, true, true), "e1000", now)), ["up eth1", "ask eth1"]);
        assert!(planner.observe(&seen(1, true, true), "e1000", now).is_empty(), "only once");
    }

    #[test]
    fn first_lease_wins_the_default_route() {
        let (mut planner, now) = (Planner::new(NetPlan::Automatic, None), Instant::now());
        for index in [1, 2] {
            planner.observe(&seen(index, true, true), "", now);
        }
        for (index, expected) in [(2, "apply 10.0.2.5 100"), (1, "apply 10.0.1.5 200")] {
            assert_eq!(words(&planner.leased(index, lease(index))), [expected]);
            planner.applied(index, &lease(index));
        }
        assert!(planner.leased(2, lease(2)).is_empty(), "a renewal that changes nothing does nothing");
        let order: Vec<String> = planner.status().into_iter().map(|link| link.name).collect();
        assert_eq!(order, ["eth2", "eth1"]);
    }

    #[test]
    fn short_loss_of_carrier_costs_nothing_and_a_long_one_the_lease() {
        let (mut planner, now) = (Planner::new(NetPlan::Automatic, None), Instant::now());
        planner.observe(&seen(1, true, true), "", now);
        planner.applied(1, &lease(1));
        assert!(planner.observe(&seen(1, true, false), "", now).is_empty());
        assert!(planner.due(now).is_empty());
        assert!(planner.observe(&seen(1, true, true), "", now + FADING / 2).is_empty());
        assert_eq!(planner.next_due(), None);

        planner.observe(&seen(1, true, false), "", now);
        assert_eq!(planner.next_due(), Some(now + FADING));
        assert_eq!(words(&planner.due(now + FADING)), ["stop 1", "clear eth1", "lost eth1", "down eth1"]);
        assert_eq!(words(&planner.observe(&seen(1, true, true), "", now)), ["up eth1", "ask eth1"]);
    }

    #[test]
    fn lease_that_comes_too_late_is_for_nobody() {
        let (mut planner, now) = (Planner::new(NetPlan::Automatic, None), Instant::now());
        planner.observe(&seen(1, true, true), "", now);
        planner.observe(&seen(1, true, false), "", now);
        planner.due(now + FADING);
        assert!(planner.leased(1, lease(1)).is_empty(), "its carrier is gone");
        planner.observe(&seen(1, true, true), "", now);
        planner.applied(1, &lease(1));
        assert_eq!(words(&planner.removed(1)), ["stop 1", "lost eth1", "down eth1"]);
        assert!(planner.leased(1, lease(1)).is_empty(), "the link itself is gone");
        assert!(planner.removed(1).is_empty() && planner.expired(1).is_empty());
    }

    #[test]
    fn static_address_goes_to_the_link_it_names() {
        let line = "addr=10.0.0.5/24,if=52:54:00:00:00:02 addr=10.0.0.6/24,if=eth3";
        let (mut planner, now) = (Planner::new(specs(line), None), Instant::now());
        assert_eq!(words(&planner.observe(&seen(1, true, true), "", now)), ["found eth1", "up eth1"]);
        let steps = planner.observe(&seen(2, true, true), "", now);
        assert_eq!(words(&steps), ["found eth2", "up eth2", "apply 10.0.0.5 100"]);
        let steps = planner.observe(&seen(3, true, true), "", now);
        assert_eq!(words(&steps), ["found eth3", "up eth3", "apply 10.0.0.6 200"]);
    }

    #[test]
    fn static_address_without_a_link_goes_to_the_first_carrier_and_moves_on() {
        let (mut planner, now) = (Planner::new(specs("addr=10.0.0.5/24"), None), Instant::now());
        planner.observe(&seen(1, true, false), "", now);
        let steps = planner.observe(&seen(2, true, true), "", now);
        assert_eq!(words(&steps), ["found eth2", "up eth2", "apply 10.0.0.5 100"]);
        assert_eq!(words(&planner.observe(&seen(1, true, true), "", now)), ["up eth1"]);
        planner.removed(2);
        planner.observe(&seen(1, true, false), "", now);
        planner.due(now + FADING);
        let steps = planner.observe(&seen(1, true, true), "", now);
        assert_eq!(words(&steps), ["up eth1", "apply 10.0.0.5 200"]);
    }

    #[test]
    fn link_that_cannot_be_set_up_is_tried_again() {
        let (mut planner, now) = (Planner::new(NetPlan::Automatic, None), Instant::now());
        planner.observe(&seen(1, false, false), "bnx2", now);
        planner.refused(1, "no firmware".to_owned(), now);
        assert_eq!(planner.status().first().unwrap().problem.as_deref(), Some("no firmware"));
        assert!(planner.due(now).is_empty());
        assert_eq!(words(&planner.due(now + RETRY)), ["set up eth1"]);
    }

    #[test]
    fn only_ethernet_hardware_is_looked_after() {
        let message = |kind: Option<InfoKind>, layer: LinkLayerType, flags: LinkFlags| {
            let mut message = LinkMessage::default();
            message.header.index = 7;
            message.header.link_layer_type = layer;
            message.header.flags = flags;
            message.attributes = vec![
                LinkAttribute::IfName("eth0".to_owned()),
                LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            ];
            message.attributes.extend(kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])));
            Sighting::read(&message)
        };
        let up = LinkFlags::Up | LinkFlags::LowerUp;
        assert!(message(None, LinkLayerType::Ether, up).unwrap().has_carrier);
        assert!(!message(None, LinkLayerType::Ether, LinkFlags::Up).unwrap().has_carrier);
        assert!(!message(None, LinkLayerType::Ether, LinkFlags::LowerUp).unwrap().is_up);
        assert!(message(Some(InfoKind::Veth), LinkLayerType::Ether, up).is_some());
        for kind in [InfoKind::Bridge, InfoKind::Dummy, InfoKind::Vlan, InfoKind::Bond] {
            assert_eq!(message(Some(kind), LinkLayerType::Ether, up), None);
        }
        assert_eq!(message(None, LinkLayerType::Infiniband, up), None);
    }

    #[test]
    fn card_without_a_driver_is_found() {
        let fixture = Fixture::new(&[
            ("pci/0000:00:03.0/class", "0x020000\n"),
            ("pci/0000:00:03.0/vendor", "0x8086\n"),
            ("pci/0000:00:03.0/device", "0x1533\n"),
            ("pci/0000:00:04.0/class", "0x020000\n"),
            ("pci/0000:00:05.0/class", "0x010000\n"),
        ]);
        fixture.bytes("drivers/igb", b"");
        fixture.link("pci/0000:00:04.0/driver", "../../drivers/igb");
        assert_eq!(driverless_cards(&fixture.root().join("pci")), ["8086:1533"]);
    }
}
