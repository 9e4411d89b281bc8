//! The interface's part that is no WireGuard's, by rtnetlink: the interface itself, its addresses, the routes to the
//! mesh network and the dead ends behind them, and the rules of whoever forwards.
//!
//! What is there of ours is asked of the kernel once and remembered; from then on only what changed is set. Routes and
//! rules of ours are known by [`PROTOCOL`]. A failure forgets what was remembered, so that the next try asks anew. What
//! others take away is told by [`Watch`].

mod watch;

pub(super) use watch::Watch;

use super::forwarding::{Forwarding, ForwardingError};
use super::plan::{By, Layout, Route, Rule};
use super::prefix::Prefix;
use super::wireguard::Unavailable;
use crate::runtime::beside;
use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{Handle, IpVersion, LinkUnspec, LinkWireguard, RouteMessageBuilder};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::time::timeout;

/// Largest packet in a tunnel, in bytes: with all that is around it, it fits Ethernet with PPPoE and IPv6.
const MTU: u32 = 1_420;
/// By this number routes and rules are ours (`rtm_protocol`).
const PROTOCOL: u8 = 0xb7;
/// Metric of the routes to the mesh network.
const METRIC: u32 = 50;
/// Metric of those to what somebody holds: whoever has an interface there uses it.
const METRIC_AT_LAST: u32 = 5_000;
/// Metric of dead ends: behind whatever route there may be.
const METRIC_NOWHERE: u32 = 0xffff_fff0;
/// Priority of the first of our rules; each kind has the next one.
const FIRST_RULE: u32 = 5_180;
/// The machine itself: packets that it sends come from there, as rules see them.
const LOOPBACK: &str = "lo";
/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the network is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    /// No way to the kernel.
    #[error("cannot speak with the kernel about networks")]
    Netlink(#[source] io::Error),
    /// WireGuard, or the port.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The kernel says no.
    #[error("cannot {doing}")]
    Refused {
        /// What was to be done.
        doing: String,
        /// The kernel's word.
        #[source]
        source: rtnetlink::Error,
    },
    /// It says nothing.
    #[error("cannot {0}: the kernel does not answer")]
    Silent(String),
    /// A switch cannot be set.
    #[error(transparent)]
    Forwarding(#[from] ForwardingError),
}

/// The network around the tunnels.
pub(super) struct Network {
    handle: Handle,
    /// Its netlink port: by it the kernel says that a change is ours.
    port: u32,
    interface: String,
    forwarding: Forwarding,
    /// What the kernel has of ours; none while that is not known.
    done: Option<Done>,
}

/// What the kernel has of ours.
#[derive(Debug, Default)]
struct Done {
    index: Option<u32>,
    /// It is up, on this port.
    port: Option<u16>,
    addresses: BTreeMap<IpAddr, Option<u64>>,
    routes: BTreeSet<Route>,
    rules: BTreeSet<Rule>,
}

impl Network {
    /// That of an interface, which may be made later.
    ///
    /// # Errors
    /// [`NetworkError::Netlink`].
    pub(super) fn open(interface: &str, forwarding: Forwarding) -> Result<Self, NetworkError> {
        let (mut connection, handle, _) = rtnetlink::new_connection().map_err(NetworkError::Netlink)?;
        let socket = connection.socket_mut().socket_mut();
        let port = socket.bind_auto().map_err(NetworkError::Netlink)?.port_number();
        beside(connection);
        Ok(Self { handle, port, interface: interface.to_owned(), forwarding, done: None })
    }

    /// Begins to listen for what others take away.
    ///
    /// # Errors
    /// [`NetworkError::Netlink`].
    pub(super) fn watch(&self) -> Result<Watch, NetworkError> {
        Watch::open(&self.interface, self.port).map_err(NetworkError::Netlink)
    }

    /// Makes the interface, if there is none. Dead ends come first: while there is no interface nothing leaves for the
    /// mesh network in the clear either.
    ///
    /// # Errors
    /// [`NetworkError`]; [`Unavailable::Wireguard`] where the kernel has no WireGuard.
    pub(super) async fn prepare(&mut self, layout: &Layout) -> Result<(), NetworkError> {
        let outcome = match self.fitting(layout) {
            Ok(layout) => self.try_prepare(&layout).await,
            Err(error) => Err(error),
        };
        self.judged(outcome)
    }

    /// Sets the dead ends alone: from then on nothing leaves for the mesh network in the clear.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub(super) async fn guard(&mut self, layout: &Layout) -> Result<(), NetworkError> {
        let outcome = match self.fitting(layout) {
            Ok(layout) => self.try_guard(&layout).await.map(|done| self.done = Some(done)),
            Err(error) => Err(error),
        };
        self.judged(outcome)
    }

    async fn try_guard(&mut self, layout: &Layout) -> Result<Done, NetworkError> {
        if self.done.is_none() {
            // In a boot image nobody else has done so, and tests of health want it.
            let up = self.handle.link().set(LinkUnspec::new_with_name(LOOPBACK).up().build()).execute();
            ask(|| format!("set {LOOPBACK} up"), up).await?;
        }
        let mut done = self.known().await?;
        for route in layout.routes.iter().filter(|route| route.by == By::Nowhere) {
            if !done.routes.contains(route) {
                self.add_route(route, 0).await?;
                done.routes.insert(*route);
            }
        }
        Ok(done)
    }

    async fn try_prepare(&mut self, layout: &Layout) -> Result<(), NetworkError> {
        let mut done = self.try_guard(layout).await?;
        if done.index.is_none() {
            let doing = || format!("make the interface {}", self.interface);
            let made = self.handle.link().add(LinkWireguard::new(&self.interface).build()).execute();
            match ask(doing, made).await {
                Err(NetworkError::Refused { source, .. }) if is(&source, Errno::EOPNOTSUPP) => {
                    return Err(Unavailable::Wireguard.into());
                }
                made => made?,
            }
            done.index = self.index().await?;
            done.addresses.clear();
            done.routes.retain(|route| route.by == By::Nowhere);
        }
        self.done = Some(done);
        Ok(())
    }

    /// Makes everything as in the layout; `now` in milliseconds of the boot clock.
    ///
    /// # Errors
    /// [`NetworkError`]: some of it may be done.
    pub(super) async fn settle(&mut self, layout: &Layout, now: u64) -> Result<(), NetworkError> {
        let outcome = match self.fitting(layout) {
            Ok(layout) => self.try_settle(&layout, now).await,
            Err(error) => Err(error),
        };
        self.judged(outcome)
    }

    async fn try_settle(&mut self, layout: &Layout, now: u64) -> Result<(), NetworkError> {
        let mut done = self.known().await?;
        // What is let go goes first: it is somebody else's by now.
        let too_many: Vec<IpAddr> = done
            .addresses
            .keys()
            .filter(|address| !layout.addresses.contains_key(address))
            .copied()
            .collect();
        for address in too_many {
            self.drop_address(done.index, address).await?;
            done.addresses.remove(&address);
        }
        // Nothing is forwarded a moment longer than the rules are there. A machine that forwarded IPv6 before goes on
        // doing so.
        if !layout.forwards {
            self.forwarding.lower()?;
        }
        let is_ours = layout.forwards && self.forwarding.is_ours()?;
        let rules: BTreeSet<Rule> =
            layout.rules.iter().filter(|rule| is_ours || **rule != Rule::NobodyNowhere).copied().collect();
        self.settle_rules(&mut done, &rules).await?;
        if layout.forwards {
            self.forwarding.raise(&interfaces_in(&layout.rules))?;
        }
        if let Some(index) = done.index {
            if let Some(port) = layout.port.filter(|port| done.port != Some(*port)) {
                self.set_up(index, port).await?;
                done.port = Some(port);
            }
            for (address, until) in &layout.addresses {
                if done.addresses.get(address) != Some(until) {
                    self.set_address(index, *address, until.map(|until| until.saturating_sub(now))).await?;
                    done.addresses.insert(*address, *until);
                }
            }
        }
        self.settle_routes(&mut done, &layout.routes).await?;
        self.done = Some(done);
        Ok(())
    }

    /// Takes the interface away, and with it all that is on it. Dead ends stay where `dead_ends` says so: what
    /// programs still send there does not leave in the clear.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub(super) async fn leave(&mut self, dead_ends: bool) -> Result<(), NetworkError> {
        let mut done = self.known().await?;
        self.forwarding.lower()?;
        if let Some(index) = done.index {
            let gone = self.handle.link().del(index).execute();
            ask(|| "take the interface away".to_owned(), unless(Errno::ENODEV, gone)).await?;
            // The kernel took the routes to it along.
            done.routes.retain(|route| route.by == By::Nowhere);
        }
        let stays = |route: &Route| dead_ends && route.by == By::Nowhere;
        let routes = done.routes.iter().copied().filter(stays).collect();
        self.settle_routes(&mut done, &routes).await?;
        self.settle_rules(&mut done, &BTreeSet::new()).await
    }

    /// Forgets what the kernel has: somebody else may have changed it.
    pub(super) fn doubt(&mut self) {
        self.done = None;
    }

    /// The layout, as far as the kernel knows its families.
    fn fitting<'a>(&self, layout: &'a Layout) -> Result<Cow<'a, Layout>, NetworkError> {
        let has_v6 = self.forwarding.allow_v6()?;
        Ok(if has_v6 { Cow::Borrowed(layout) } else { Cow::Owned(layout.of_v4()) })
    }

    /// After a failure nothing is taken for granted.
    fn judged(&mut self, outcome: Result<(), NetworkError>) -> Result<(), NetworkError> {
        if outcome.is_err() {
            self.done = None;
        }
        outcome
    }

    /// What the kernel has of ours.
    async fn known(&mut self) -> Result<Done, NetworkError> {
        if let Some(done) = self.done.take() {
            return Ok(done);
        }
        let index = self.index().await?;
        let mut done = Done { index, ..Done::default() };
        if let Some(index) = index {
            let all = self.handle.address().get().set_link_index_filter(index).execute().try_collect();
            let all: Vec<AddressMessage> = ask(|| "read the addresses".to_owned(), all).await?;
            done.addresses = all.iter().filter_map(read_address).collect();
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            let asked = match version {
                IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
                IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
            };
            let all = self.handle.route().get(asked).execute().try_collect();
            let all: Vec<RouteMessage> = ask(|| "read the routes".to_owned(), all).await?;
            done.routes.extend(all.iter().filter_map(|message| read_route(message, index)));
            let all = self.handle.rule().get(version).execute().try_collect();
            let all: Vec<RuleMessage> = ask(|| "read the rules".to_owned(), all).await?;
            done.rules.extend(all.iter().filter_map(|message| read_rule(message, &self.interface)));
        }
        Ok(done)
    }

    async fn index(&self) -> Result<Option<u32>, NetworkError> {
        let found = self.handle.link().get().match_name(self.interface.clone()).execute().try_collect();
        let found: Result<Vec<_>, _> = ask(|| format!("look for {}", self.interface), found).await;
        match found {
            Ok(links) => Ok(links
                .iter()
                .find(|link| {
                    let named =
                        |a: &LinkAttribute| matches!(a, LinkAttribute::IfName(n) if *n == self.interface);
                    link.attributes.iter().any(named)
                })
                .map(|link| link.header.index)),
            Err(NetworkError::Refused { source, .. }) if is(&source, Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn set_up(&self, index: u32, port: u16) -> Result<(), NetworkError> {
        let up = LinkUnspec::new_with_index(index).mtu(MTU).up().build();
        let doing = || format!("set the interface {} up", self.interface);
        match ask(doing, self.handle.link().set(up).execute()).await {
            Err(NetworkError::Refused { source, .. }) if is(&source, Errno::EADDRINUSE) => {
                Err(Unavailable::Port(port).into())
            }
            outcome => outcome,
        }
    }

    async fn set_address(&self, index: u32, address: IpAddr, left: Option<u64>) -> Result<(), NetworkError> {
        let mut request = self.handle.address().add(index, address, Prefix::host(address).length()).replace();
        lasting(request.message_mut(), left);
        ask(|| format!("set the address {address}"), request.execute()).await
    }

    async fn drop_address(&self, index: Option<u32>, address: IpAddr) -> Result<(), NetworkError> {
        let Some(index) = index else { return Ok(()) };
        let mut message = self.handle.address().add(index, address, Prefix::host(address).length());
        let gone = self.handle.address().del(message.message_mut().clone()).execute();
        ask(|| format!("take the address {address} off"), unless(Errno::EADDRNOTAVAIL, gone)).await
    }

    async fn settle_routes(&self, done: &mut Done, wanted: &BTreeSet<Route>) -> Result<(), NetworkError> {
        for route in wanted.difference(&done.routes.clone()) {
            match (route.by, done.index) {
                (By::Nowhere, _) => self.add_route(route, 0).await?,
                (By::Tunnels | By::TunnelsAtLast, Some(index)) => self.add_route(route, index).await?,
                (By::Tunnels | By::TunnelsAtLast, None) => continue,
            }
            done.routes.insert(*route);
        }
        for route in done.routes.clone().difference(wanted) {
            let message = route_message(route, done.index.unwrap_or_default());
            let gone = self.handle.route().del(message).execute();
            ask(|| format!("remove the route to {}", route.to), unless(Errno::ESRCH, gone)).await?;
            done.routes.remove(route);
        }
        Ok(())
    }

    async fn add_route(&self, route: &Route, index: u32) -> Result<(), NetworkError> {
        let request = self.handle.route().add(route_message(route, index)).replace().execute();
        ask(|| format!("set the route to {}", route.to), request).await
    }

    /// New ones first, the open ones before those that end everything.
    async fn settle_rules(&self, done: &mut Done, wanted: &BTreeSet<Rule>) -> Result<(), NetworkError> {
        for rule in wanted.difference(&done.rules.clone()) {
            let added = self.add_rule(rule_message(rule, &self.interface));
            ask(|| "set a rule for forwarded packets".to_owned(), unless(Errno::EEXIST, added)).await?;
            done.rules.insert(*rule);
        }
        for rule in done.rules.clone().iter().rev().filter(|rule| !wanted.contains(rule)) {
            let gone = self.handle.rule().del(rule_message(rule, &self.interface)).execute();
            ask(|| "remove a rule for forwarded packets".to_owned(), unless(Errno::ENOENT, gone)).await?;
            done.rules.remove(rule);
        }
        Ok(())
    }

    async fn add_rule(&self, message: RuleMessage) -> Result<(), rtnetlink::Error> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRule(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE;
        let mut answers = self.handle.clone().request(request)?;
        while let Some(answer) = futures_util::StreamExt::next(&mut answers).await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

async fn ask<T>(
    doing: impl FnOnce() -> String,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NetworkError> {
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(NetworkError::Refused { doing: doing(), source }),
        Err(_) => Err(NetworkError::Silent(doing())),
    }
}

async fn unless(
    errno: Errno,
    request: impl Future<Output = Result<(), rtnetlink::Error>>,
) -> Result<(), rtnetlink::Error> {
    match request.await {
        Err(error) if is(&error, errno) => Ok(()),
        outcome => outcome,
    }
}

fn is(error: &rtnetlink::Error, errno: Errno) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.code.is_some_and(|code| code.get() == -(errno as i32)))
}

/// Lets an address end by itself after so many milliseconds, whatever becomes of us: whoever has it next has it alone.
/// It is nobody's source either, unless a program asks for it.
fn lasting(message: &mut AddressMessage, left: Option<u64>) {
    message.header.flags |= AddressHeaderFlags::Nodad;
    if let Some(left) = left {
        let seconds = u32::try_from(left / 1_000).unwrap_or(u32::MAX - 1).max(1);
        let mut times = CacheInfo::default();
        times.ifa_valid = seconds;
        message.attributes.push(AddressAttribute::CacheInfo(times));
    }
}

/// An address that is there. One that ends is set again at once, or taken off: its time is not ours.
fn read_address(message: &AddressMessage) -> Option<(IpAddr, Option<u64>)> {
    let mut found = None;
    let mut until = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            found = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            found = found.or(Some(*ip));
        } else if let AddressAttribute::CacheInfo(info) = attribute
            && info.ifa_valid != u32::MAX
        {
            until = Some(0);
        }
    }
    let is_own = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    found.filter(|ip| !is_own(ip)).map(|ip| (ip, until))
}

fn route_message(route: &Route, index: u32) -> RouteMessage {
    let (kind, metric, scope) = match route.by {
        By::Tunnels => (RouteType::Unicast, METRIC, RouteScope::Link),
        By::TunnelsAtLast => (RouteType::Unicast, METRIC_AT_LAST, RouteScope::Link),
        By::Nowhere => (RouteType::Unreachable, METRIC_NOWHERE, RouteScope::Universe),
    };
    let mut message = match route.to.address() {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, route.to.length())
            .scope(scope)
            .priority(metric)
            .kind(kind)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, route.to.length())
            .priority(metric)
            .kind(kind)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build(),
    };
    if route.by != By::Nowhere {
        message.attributes.push(RouteAttribute::Oif(index));
    }
    message
}

/// One of our routes, as far as it leads where it should.
fn read_route(message: &RouteMessage, index: Option<u32>) -> Option<Route> {
    if message.header.protocol != RouteProtocol::Other(PROTOCOL)
        || message.header.table != RouteHeader::RT_TABLE_MAIN
    {
        return None;
    }
    let (mut to, mut link, mut metric) = (None, None, 0);
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet(ip)) = attribute {
            to = Some(IpAddr::from(*ip));
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(ip)) = attribute {
            to = Some(IpAddr::from(*ip));
        } else if let RouteAttribute::Oif(index) = attribute {
            link = Some(*index);
        } else if let RouteAttribute::Priority(priority) = attribute {
            metric = *priority;
        }
    }
    let by = match (message.header.kind, metric) {
        (RouteType::Unreachable, _) => By::Nowhere,
        (_, METRIC_AT_LAST) if link == index => By::TunnelsAtLast,
        (_, METRIC) if link == index => By::Tunnels,
        (_, _) => return None,
    };
    Some(Route { to: Prefix::new(to?, message.header.destination_prefix_length), by })
}

/// A rule's place among ours.
const fn place(rule: &Rule) -> u32 {
    FIRST_RULE
        + match rule {
            Rule::OwnTo(_) => 0,
            Rule::TunnelsTo(_) => 1,
            Rule::From(_) => 2,
            Rule::NobodyTo(_) => 3,
            Rule::TunnelsNowhere { .. } => 4,
            Rule::NobodyNowhere => 5,
        }
}

fn rule_message(rule: &Rule, interface: &str) -> RuleMessage {
    let mut message = RuleMessage::default();
    let (prefix, from) = match rule {
        Rule::OwnTo(to) => (Some((to, false)), Some(LOOPBACK)),
        Rule::TunnelsTo(to) => (Some((to, false)), Some(interface)),
        Rule::From(from) => (Some((from, true)), None),
        Rule::NobodyTo(to) => (Some((to, false)), None),
        Rule::TunnelsNowhere { .. } => (None, Some(interface)),
        Rule::NobodyNowhere => {
            message.header.flags |= RuleFlags::Invert;
            (None, Some(LOOPBACK))
        }
    };
    message.header.family = if rule.is_v4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.action = match rule {
        Rule::OwnTo(_) | Rule::TunnelsTo(_) | Rule::From(_) => {
            message.header.table = RouteHeader::RT_TABLE_MAIN;
            RuleAction::ToTable
        }
        Rule::NobodyTo(_) | Rule::TunnelsNowhere { .. } | Rule::NobodyNowhere => RuleAction::Unreachable,
    };
    message.attributes.push(RuleAttribute::Priority(place(rule)));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    if let Some((prefix, true)) = prefix {
        message.header.src_len = prefix.length();
        message.attributes.push(RuleAttribute::Source(prefix.address()));
    } else if let Some((prefix, false)) = prefix {
        message.header.dst_len = prefix.length();
        message.attributes.push(RuleAttribute::Destination(prefix.address()));
    }
    message.attributes.extend(from.map(|from| RuleAttribute::Iifname(from.to_owned())));
    message
}

/// One of our rules.
fn read_rule(message: &RuleMessage, interface: &str) -> Option<Rule> {
    let (mut priority, mut ours, mut to, mut from) = (None, false, None, None);
    for attribute in &message.attributes {
        if let RuleAttribute::Priority(number) = attribute {
            priority = Some(*number);
        } else if let RuleAttribute::Protocol(protocol) = attribute {
            ours = *protocol == RouteProtocol::Other(PROTOCOL);
        } else if let RuleAttribute::Destination(ip) = attribute {
            to = Some(Prefix::new(*ip, message.header.dst_len));
        } else if let RuleAttribute::Source(ip) = attribute {
            from = Some(Prefix::new(*ip, message.header.src_len));
        }
    }
    let v4 = message.header.family == AddressFamily::Inet;
    let rule = match priority.filter(|_| ours)?.checked_sub(FIRST_RULE)? {
        0 => Rule::OwnTo(to?),
        1 => Rule::TunnelsTo(to?),
        2 => Rule::From(from?),
        3 => Rule::NobodyTo(to?),
        4 => Rule::TunnelsNowhere { v4 },
        5 => Rule::NobodyNowhere,
        _ => return None,
    };
    // Whoever changed one of them is not believed: it is made again beside it.
    let expected = rule_message(&rule, interface);
    (message.header.action == expected.header.action).then_some(rule)
}

/// Interfaces with an address in what the machine holds: behind them is who is reached by it.
fn interfaces_in(rules: &BTreeSet<Rule>) -> Vec<String> {
    let held: Vec<Prefix> = rules
        .iter()
        .filter_map(|rule| if let Rule::From(held) = rule { Some(*held) } else { None })
        .collect();
    if held.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<String> = super::addresses::all()
        .into_iter()
        .filter(|(_, address)| held.iter().any(|held| held.covers(&Prefix::host(*address))))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
#[path = "network/tests.rs"]
pub(super) mod tests;
