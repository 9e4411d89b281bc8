//! The network of the machine: every physical link up, an address on each with a carrier.
//!
//! [`Network::start`] spawns one task that hears the kernel's link messages, asks the
//! [`link::Planner`] what to do about them, and does it; one more task a link runs its DHCP
//! client. It never gives up: a cable plugged in an hour later works. What it has done is told as
//! [`NetEvent`]s; how things stand is always in [`Status`], which also says what to tell a person
//! when there is no network (E10, E12 of `spec/security.md` 2.5).

mod address;
mod dhcp;
mod lease;
mod link;
pub(crate) mod resolve;

pub(crate) use address::ApplyError;
pub(crate) use dhcp::DhcpProblem;
pub(crate) use lease::Lease;

use futures_util::{Stream, StreamExt, TryStreamExt};
use link::{Planner, Sighting, Step};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use protocol::ids::MacAddr;
use protocol::net::NetPlan;
use resolve::Dns;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often all links are looked at, in case a message of the kernel was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Room for events that nobody has read yet. The network waits when it is full.
const EVENT_ROOM: usize = 64;
/// PCI devices in sysfs.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum NetEvent {
    /// A link appeared.
    LinkFound {
        /// Its name.
        link: String,
        /// Its hardware address.
        mac: MacAddr,
        /// Its driver.
        driver: String,
    },
    /// A link has a carrier.
    LinkUp {
        /// Its name.
        link: String,
    },
    /// A link lost its carrier.
    LinkDown {
        /// Its name.
        link: String,
    },
    /// A link has an address, new or changed.
    Lease(Lease),
    /// A link lost its address.
    Lost {
        /// Its name.
        link: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// Something does not work yet; it is tried again.
    Problem {
        /// The link.
        link: String,
        /// What and why.
        problem: NetProblem,
    },
}

/// What does not work.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NetProblem {
    /// No address by DHCP.
    #[error(transparent)]
    Dhcp(#[from] DhcpProblem),
    /// The kernel refuses.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Why there can be no network at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    /// No netlink.
    #[error("cannot talk to the kernel about network links")]
    Netlink(#[source] io::Error),
}

/// How one link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkStatus {
    /// Name.
    pub(crate) name: String,
    /// Hardware address in use.
    pub(crate) mac: MacAddr,
    /// Driver, empty when unknown.
    pub(crate) driver: String,
    /// Whether something is on the other end.
    pub(crate) has_carrier: bool,
    /// What it was given.
    pub(crate) lease: Option<Lease>,
    /// What keeps it from working, as a sentence.
    pub(crate) problem: Option<String>,
}

/// How the network stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Physical links, the one with the default route first.
    pub(crate) links: Vec<LinkStatus>,
    /// PCI ids of network cards that no driver took.
    pub(crate) driverless: Vec<String>,
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
    /// The lease that carries the default route.
    pub(crate) fn primary(&self) -> Option<&Lease> {
        self.links.iter().find_map(|link| link.lease.as_ref())
    }

    /// Whom to ask for names: the servers of all leases, the best link's first.
    pub(crate) fn dns(&self) -> Dns {
        let mut dns = Dns::default();
        for lease in self.links.iter().filter_map(|link| link.lease.as_ref()) {
            for server in &lease.dns {
                if !dns.servers.contains(server) {
                    dns.servers.push(*server);
                }
            }
            for domain in &lease.search {
                if !dns.search.contains(domain) {
                    dns.search.push(domain.clone());
                }
            }
        }
        dns
    }

    /// The machine's full name by DHCP, of the best link that has one.
    pub(crate) fn host_name(&self) -> Option<String> {
        self.links.iter().filter_map(|link| link.lease.as_ref()).find_map(Lease::fqdn)
    }

    /// What is wrong; `None` as soon as one link has an address.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        if self.primary().is_some() {
            None
        } else if self.links.iter().any(|link| link.has_carrier) {
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
            let driver = if link.driver.is_empty() { "unknown driver" } else { &link.driver };
            let state = match (&link.problem, link.has_carrier) {
                (Some(problem), _) => problem,
                (None, true) => "waiting for an address",
                (None, false) => "no carrier",
            };
            format!("{} {} ({driver}): {state}", link.name, link.mac)
        });
        let cards = status.driverless.iter().map(|id| format!("network card {id}: no driver in this image"));
        links.chain(cards).collect()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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

/// The running network.
#[derive(Debug)]
pub(crate) struct Network {
    status: watch::Receiver<Status>,
}

impl Network {
    /// Starts. `host_name` is what DHCP servers are told.
    /// Needs a tokio runtime with I/O and time. Events must be read; the network waits when
    /// nobody does.
    ///
    /// # Errors
    /// [`NetError`] when the kernel has no netlink.
    pub(crate) fn start(
        plan: NetPlan,
        host_name: Option<String>,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Link]).map_err(NetError::Netlink)?;
        let (tell, events) = mpsc::channel(EVENT_ROOM);
        let (reports_in, reports) = mpsc::channel(EVENT_ROOM);
        let runner = Runner {
            handle,
            planner: Planner::new(plan, host_name),
            clients: HashMap::new(),
            reports: reports_in,
            tell,
            status: watch::Sender::default(),
        };
        let status = runner.status.subscribe();
        // Both run as long as the agent does: the network is never stopped, only left behind.
        tokio::spawn(connection);
        tokio::spawn(runner.run(messages, reports));
        Ok((Self { status }, events))
    }

    /// How things stand, now and after every change.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

/// A message of the kernel and who sent it.
type Message = (NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr);

/// Does what the planner decides.
struct Runner {
    handle: Handle,
    planner: Planner,
    clients: HashMap<u32, JoinHandle<()>>,
    reports: mpsc::Sender<(u32, dhcp::Report)>,
    tell: mpsc::Sender<NetEvent>,
    status: watch::Sender<Status>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        for client in self.clients.values() {
            client.abort();
        }
    }
}

impl Runner {
    async fn run(
        mut self,
        mut messages: impl Stream<Item = Message> + Unpin,
        mut reports: mpsc::Receiver<(u32, dhcp::Report)>,
    ) {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        loop {
            let due = self.planner.next_due();
            let steps = tokio::select! {
                message = messages.next() => match message {
                    Some((message, _sender)) => self.hear(message.payload),
                    // The connection is gone, and with it the runtime.
                    None => return,
                },
                Some((index, report)) = reports.recv() => self.take_report(index, report).await,
                _ = look.tick() => self.look().await,
                () = sleep_until(due) => self.planner.due(Instant::now()),
            };
            self.carry_out(steps).await;
            self.publish();
        }
    }

    fn hear(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> Vec<Step> {
        let NetlinkPayload::InnerMessage(message) = payload else { return Vec::new() };
        if let RouteNetlinkMessage::NewLink(link) = &message {
            return self.see(link);
        }
        if let RouteNetlinkMessage::DelLink(link) = &message {
            return self.planner.removed(link.header.index);
        }
        Vec::new()
    }

    fn see(&mut self, message: &LinkMessage) -> Vec<Step> {
        let Some(seen) = Sighting::read(message) else { return Vec::new() };
        let driver = driver_of(&seen.name);
        self.planner.observe(&seen, &driver, Instant::now())
    }

    /// Looks at every link there is.
    async fn look(&mut self) -> Vec<Step> {
        let mut links = self.handle.link().get().execute();
        let mut steps = Vec::new();
        // A failed look is made up for by the next, and by the kernel's own messages.
        while let Ok(Some(message)) = links.try_next().await {
            steps.extend(self.see(&message));
        }
        steps
    }

    async fn take_report(&mut self, index: u32, report: dhcp::Report) -> Vec<Step> {
        match report {
            dhcp::Report::Lease(lease) => self.planner.leased(index, lease),
            dhcp::Report::Expired => {
                let steps = self.planner.expired(index);
                let link = self.link_name(index);
                if let Err(error) = address::withdraw(&self.handle, index, &link, None).await {
                    self.problem(index, &link, error.into()).await;
                }
                steps
            }
            dhcp::Report::Problem(problem) => {
                let link = self.link_name(index);
                self.problem(index, &link, problem.into()).await;
                Vec::new()
            }
        }
    }

    async fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::SetUp { index, name } => {
                    if let Err(error) = address::set_up(&self.handle, index, &name).await {
                        let problem = NetProblem::from(error);
                        self.planner.refused(index, sentence(&problem), Instant::now());
                        self.tell(NetEvent::Problem { link: name, problem }).await;
                    }
                }
                Step::Ask(asker) => {
                    let index = asker.index;
                    let client = tokio::spawn(dhcp::run(asker, self.reports.clone()));
                    if let Some(old) = self.clients.insert(index, client) {
                        old.abort();
                    }
                }
                Step::Apply { index, lease, metric } => self.apply(index, lease, metric).await,
                Step::Stop { index } => {
                    if let Some(client) = self.clients.remove(&index) {
                        client.abort();
                    }
                }
                Step::Clear { index, name } => {
                    if let Err(error) = address::withdraw(&self.handle, index, &name, None).await {
                        self.problem(index, &name, error.into()).await;
                    }
                }
                Step::Tell(event) => self.tell(event).await,
            }
        }
    }

    async fn apply(&mut self, index: u32, lease: Lease, metric: u32) {
        let outcome = match address::apply(&self.handle, index, &lease, metric).await {
            Ok(()) => address::withdraw(&self.handle, index, &lease.link, Some(lease.address)).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                self.planner.applied(index, &lease);
                self.publish();
                self.tell(NetEvent::Lease(lease)).await;
            }
            Err(error) => self.problem(index, &lease.link, error.into()).await,
        }
    }

    async fn problem(&mut self, index: u32, link: &str, problem: NetProblem) {
        self.planner.failed(index, sentence(&problem));
        self.tell(NetEvent::Problem { link: link.to_owned(), problem }).await;
    }

    async fn tell(&self, event: NetEvent) {
        // Whoever dropped the receiver goes by the status alone.
        drop(self.tell.send(event).await);
    }

    fn publish(&self) {
        let links = self.planner.status();
        let driverless =
            if links.is_empty() { link::driverless_cards(Path::new(PCI_DEVICES)) } else { Vec::new() };
        let status = Status { links, driverless };
        self.status.send_if_modified(|known| {
            let is_new = *known != status;
            *known = status;
            is_new
        });
    }

    fn link_name(&self, index: u32) -> String {
        self.planner.name_of(index).unwrap_or_default().to_owned()
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The problem and its causes on one line.
fn sentence(problem: &NetProblem) -> String {
    let mut text = problem.to_string();
    let mut cause = std::error::Error::source(problem);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn driver_of(link: &str) -> String {
    std::fs::read_link(Path::new("/sys/class/net").join(link).join("device/driver"))
        .ok()
        .and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, has_carrier: bool, problem: Option<&str>) -> LinkStatus {
        LinkStatus {
            name: name.to_owned(),
            mac: MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            driver: "e1000".to_owned(),
            has_carrier,
            lease: None,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn trouble_says_what_to_do_and_names_every_link() {
        let no_cable = Status { links: vec![link("eth0", false, None)], driverless: vec![] };
        let trouble = no_cable.trouble().unwrap();
        assert!(matches!(trouble, Trouble::NoLink(_)));
        assert_eq!(trouble.to_string(), "no network link; plug in a cable, or check the switch port");
        assert_eq!(trouble.details(), ["eth0 52:54:00:12:34:56 (e1000): no carrier"]);

        let no_driver = Status { links: vec![], driverless: vec!["8086:1533".to_owned()] };
        let trouble = no_driver.trouble().unwrap();
        assert!(trouble.to_string().contains("profile generic"));
        assert_eq!(trouble.details(), ["network card 8086:1533: no driver in this image"]);

        let silence = Status { links: vec![link("eth0", true, Some("nobody answers"))], driverless: vec![] };
        let trouble = silence.trouble().unwrap();
        assert!(matches!(trouble, Trouble::NoAddress(_)));
        assert_eq!(trouble.details(), ["eth0 52:54:00:12:34:56 (e1000): nobody answers"]);
    }

    #[test]
    fn best_link_comes_first_in_names_and_servers() {
        let specs = ["addr=10.0.0.5/24,dns=10.0.0.53", "addr=10.1.0.5/24,dns=10.0.0.53,dns=10.1.0.53"];
        let links = specs.iter().map(|spec| {
            let mut status = link("eth0", true, None);
            status.lease = Lease::from_spec("eth0", status.mac, &spec.parse().unwrap());
            status
        });
        let status = Status { links: links.collect(), driverless: vec![] };
        assert_eq!(status.trouble(), None);
        assert_eq!(status.primary().unwrap().address, Ipv4Addr::new(10, 0, 0, 5));
        let servers: Vec<String> = status.dns().servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.53", "10.1.0.53"]);
    }
}
