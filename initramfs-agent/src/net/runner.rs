//! Does what the planner decides, and tells it what the kernel and the DHCP clients say.

use super::adverts::Listener;
use super::dhcp::{self, Report};
use super::kernel::{self, ApplyError, Device};
use super::lease::Lease;
use super::link::{AddressSeen, Adverts, Sighting, default_router, driverless_cards};
use super::planner::{Planner, RETRY, Step};
use super::{NetEvent, NetProblem, Status, dhcp6};
use crate::modules::{Modules, ModulesError};
use crate::report::chain;
use crate::runtime::beside;
use futures_util::{Stream, StreamExt, TryStreamExt};
use protocol::net::NetPlan;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often everything is looked at, in case a message of the kernel was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Room for reports that were not taken in yet.
const REPORT_ROOM: usize = 64;
/// PCI devices in sysfs.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";
/// What the kernel tells of its own accord.
const GROUPS: [MulticastGroup; 4] =
    [MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr, MulticastGroup::Ipv6Ifinfo, MulticastGroup::Ipv6Route];

/// A message of the kernel and who sent it.
type Message = (NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr);

/// Which client of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    Dhcp4,
    Dhcp6,
}

/// The network's own task.
pub(super) struct Runner {
    handle: Handle,
    planner: Planner,
    modules: Option<Modules>,
    clients: HashMap<(u32, Client), JoinHandle<()>>,
    reports: mpsc::Sender<(u32, Report)>,
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
    /// Spawns it. It runs as long as the agent does: the network is never stopped, only left
    /// behind.
    ///
    /// # Errors
    /// When the kernel has no netlink.
    pub(super) fn start(
        plan: NetPlan,
        host_name: Option<String>,
        modules: Option<Modules>,
        tell: mpsc::Sender<NetEvent>,
        plans: mpsc::Receiver<NetPlan>,
    ) -> io::Result<watch::Receiver<Status>> {
        let (connection, handle, messages) = new_multicast_connection(&GROUPS)?;
        let adverts = Listener::open()?;
        let (reports_in, reports) = mpsc::channel(REPORT_ROOM);
        let runner = Self {
            handle,
            planner: Planner::new(plan, host_name),
            modules,
            clients: HashMap::new(),
            reports: reports_in,
            tell,
            status: watch::Sender::default(),
        };
        let status = runner.status.subscribe();
        beside(connection);
        beside(runner.run(messages, adverts, reports, plans));
        Ok(status)
    }

    async fn run(
        mut self,
        mut messages: impl Stream<Item = Message> + Unpin,
        mut adverts: Listener,
        mut reports: mpsc::Receiver<(u32, Report)>,
        mut plans: mpsc::Receiver<NetPlan>,
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
                // A broken socket: name servers then come by DHCP or by hand.
                Ok(advice) = adverts.next() => {
                    self.planner.advised(advice, Instant::now());
                    Vec::new()
                }
                Some(plan) = plans.recv() => {
                    let steps = self.planner.replan(plan);
                    self.carry_out(steps).await;
                    // What clients said before they were stopped is of the plan before.
                    while reports.try_recv().is_ok() {}
                    look.reset_immediately();
                    Vec::new()
                }
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
        // The IPv6 side of a link goes alone when its MTU is too small.
        if let RouteNetlinkMessage::DelLink(link) = &message
            && u8::from(link.header.interface_family) == 0
        {
            return self.planner.removed(link.header.index);
        }
        if let RouteNetlinkMessage::NewAddress(address) = &message {
            return AddressSeen::read(address).iter().flat_map(|seen| self.planner.addressed(seen)).collect();
        }
        if let RouteNetlinkMessage::DelAddress(address) = &message
            && let Some(gone) = AddressSeen::read(address)
        {
            return self.planner.unaddressed(gone.index, gone.address);
        }
        if let RouteNetlinkMessage::NewRoute(route) = &message
            && let Some((index, router)) = default_router(route)
        {
            self.planner.routed(index, router, true);
        }
        if let RouteNetlinkMessage::DelRoute(route) = &message
            && let Some((index, router)) = default_router(route)
        {
            self.planner.routed(index, router, false);
        }
        Vec::new()
    }

    fn see(&mut self, message: &LinkMessage) -> Vec<Step> {
        if let Some((index, adverts)) = Adverts::read(message) {
            return self.planner.heard(index, adverts);
        }
        let Some(seen) = Sighting::read(message) else { return Vec::new() };
        let driver = driver_of(&seen.name);
        self.planner.observe(&seen, &driver, Instant::now())
    }

    /// Looks at every link and address there is. A failed look is made up for by the next, and
    /// by the kernel's own messages.
    async fn look(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut links = self.handle.link().get().execute();
        while let Ok(Some(message)) = links.try_next().await {
            steps.extend(self.see(&message));
        }
        let mut addresses = self.handle.address().get().execute();
        while let Ok(Some(message)) = addresses.try_next().await {
            let seen = AddressSeen::read(&message);
            steps.extend(seen.iter().flat_map(|seen| self.planner.addressed(seen)));
        }
        steps
    }

    async fn take_report(&mut self, index: u32, report: Report) -> Vec<Step> {
        match report {
            Report::Lease(lease) => self.planner.leased(index, lease),
            Report::Expired(address) => self.planner.expired(index, address),
            Report::Names(names) => {
                self.planner.named(index, names);
                Vec::new()
            }
            // Where one family works, the silence of the other is told once.
            Report::Problem(problem) if problem.is_repeated() && self.planner.has_address(index) => {
                Vec::new()
            }
            Report::Problem(problem) => {
                let link = self.planner.name_of(index).unwrap_or_default().to_owned();
                self.problem(index, &link, problem.into()).await;
                Vec::new()
            }
        }
    }

    async fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::SetUp { index, name, adverts, was_up } => {
                    let outcome = self.set_up(index, &name, adverts, was_up).await;
                    self.refused(index, &name, outcome.map_err(NetProblem::from)).await;
                }
                Step::Join { index, name, bond } => {
                    let outcome = self.device(index, &name).join(bond).await;
                    self.refused(index, &name, outcome.map_err(NetProblem::from)).await;
                }
                Step::MakeBond { member, name, bond } => {
                    let outcome = match self.module("bonding", &name).await {
                        Ok(()) => {
                            kernel::make_bond(&self.handle, &name, bond.mode).await.map_err(NetProblem::from)
                        }
                        Err(problem) => Err(problem),
                    };
                    self.refused(member, &name, outcome).await;
                }
                Step::MakeVlan { base, name, id } => self.make_vlan(base, &name, id).await,
                Step::Ask(asker) => {
                    let key = (asker.index, Client::Dhcp4);
                    self.run_client(key, dhcp::run(asker, self.reports.clone()));
                }
                Step::Ask6(asker, want) => {
                    let key = (asker.index, Client::Dhcp6);
                    self.run_client(key, dhcp6::run(asker, want, self.reports.clone()));
                }
                Step::Apply { index, lease, metric } => self.apply(index, lease, metric).await,
                Step::Stop { index } => {
                    for client in [Client::Dhcp4, Client::Dhcp6] {
                        if let Some(client) = self.clients.remove(&(index, client)) {
                            client.abort();
                        }
                    }
                }
                Step::Tell(event) => self.tell(event).await,
                Step::Remove { .. }
                | Step::Listen { .. }
                | Step::SetMtu { .. }
                | Step::Unroute { .. }
                | Step::Withdraw { .. }
                | Step::Clear { .. } => self.carry_out_small(step).await,
            }
        }
    }

    /// Steps that fail with a word and nothing else.
    async fn carry_out_small(&mut self, step: Step) {
        let (index, name, outcome) = match step {
            Step::Remove { index, name } => (index, name.clone(), self.device(index, &name).remove().await),
            Step::Listen { index, name } => {
                let device = self.device(index, &name);
                let outcome = device.listen_to_routers(true).and_then(|()| device.restart_ipv6());
                (index, name, outcome)
            }
            Step::SetMtu { index, name, mtu } => {
                let outcome = self.device(index, &name).set_mtu(mtu).await;
                (index, name, outcome)
            }
            Step::Unroute { index, old, metric } => {
                let outcome = self.device(index, &old.link).drop_routes(&old, metric).await;
                (index, old.link, outcome)
            }
            Step::Withdraw { index, name, address } => {
                let outcome = self.device(index, &name).withdraw(|own| own == address).await;
                (index, name, outcome)
            }
            Step::Clear { index, name } => {
                let outcome = self.clear(index, &name).await;
                (index, name, outcome)
            }
            Step::SetUp { .. }
            | Step::Join { .. }
            | Step::MakeBond { .. }
            | Step::MakeVlan { .. }
            | Step::Ask(_)
            | Step::Ask6(..)
            | Step::Apply { .. }
            | Step::Stop { .. }
            | Step::Tell(_) => return,
        };
        if let Err(error) = outcome {
            self.problem(index, &name, error.into()).await;
        }
    }

    fn device<'a>(&'a self, index: u32, name: &'a str) -> Device<'a> {
        Device { handle: &self.handle, index, name }
    }

    /// Before a link goes up it is told whether to listen to routers; one that somebody set up
    /// already starts afresh.
    async fn set_up(&self, index: u32, name: &str, adverts: bool, was_up: bool) -> Result<(), ApplyError> {
        let device = self.device(index, name);
        let told = device.listen_to_routers(adverts);
        let cleared = if was_up { self.clear(index, name).await } else { Ok(()) };
        device.set_up().await?;
        told.and(cleared)
    }

    async fn clear(&self, index: u32, name: &str) -> Result<(), ApplyError> {
        let device = self.device(index, name);
        device.withdraw(|address| address.is_ipv4()).await?;
        device.restart_ipv6()
    }

    /// Loads what a device needs. Without a loader the kernel has it, or says so.
    async fn module(&self, module: &'static str, device: &str) -> Result<(), NetProblem> {
        let Some(modules) = &self.modules else { return Ok(()) };
        let failed = |source: ModulesError| NetProblem::Module { device: device.to_owned(), source };
        modules.load(module, RETRY).await.map_err(failed)
    }

    async fn make_vlan(&mut self, base: u32, name: &str, id: u16) {
        let below = self.planner.name_of(base).unwrap_or_default().to_owned();
        let outcome = match self.module("8021q", name).await {
            Ok(()) => self.device(base, &below).make_vlan(name, id).await.map_err(NetProblem::from),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = outcome {
            self.planner.not_stacked(base, chain(&problem), Instant::now());
            self.tell(NetEvent::Problem { link: below, problem }).await;
        }
    }

    fn run_client(&mut self, key: (u32, Client), client: impl Future<Output = ()> + Send + 'static) {
        if let Some(old) = self.clients.insert(key, beside(client)) {
            old.abort();
        }
    }

    async fn apply(&mut self, index: u32, lease: Lease, metric: u32) {
        let device = self.device(index, &lease.link);
        let mtu = match lease.mtu {
            Some(mtu) => device.set_mtu(mtu).await,
            None => Ok(()),
        };
        if let Err(error) = device.set_address(&lease).await {
            return self.problem(index, &lease.link, error.into()).await;
        }
        let routes = device.set_routes(&lease, metric).await;
        let told = self.planner.applied(index, &lease);
        self.publish();
        for step in told {
            if let Step::Tell(event) = step {
                self.tell(event).await;
            }
        }
        // An MTU that the card cannot do, or a router that cannot be one, is no reason to have
        // no address.
        for error in [mtu, routes].into_iter().filter_map(Result::err) {
            self.problem(index, &lease.link, error.into()).await;
        }
    }

    /// Notes a link that could not be set up or could not join; it is tried again.
    async fn refused(&mut self, index: u32, link: &str, outcome: Result<(), NetProblem>) {
        if let Err(problem) = outcome {
            self.planner.refused(index, chain(&problem), Instant::now());
            self.tell(NetEvent::Problem { link: link.to_owned(), problem }).await;
        }
    }

    async fn problem(&mut self, index: u32, link: &str, problem: NetProblem) {
        self.planner.failed(index, chain(&problem));
        self.tell(NetEvent::Problem { link: link.to_owned(), problem }).await;
    }

    async fn tell(&self, event: NetEvent) {
        // Whoever dropped the receiver goes by the status alone.
        drop(self.tell.send(event).await);
    }

    fn publish(&self) {
        let links = self.planner.status();
        let driverless = if links.is_empty() { driverless_cards(Path::new(PCI_DEVICES)) } else { Vec::new() };
        let status = Status { links, driverless, missing: self.planner.missing(), is_foreign: false };
        self.status.send_if_modified(|known| {
            let is_new = *known != status;
            *known = status;
            is_new
        });
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn driver_of(link: &str) -> String {
    std::fs::read_link(Path::new("/sys/class/net").join(link).join("device/driver"))
        .ok()
        .and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}
