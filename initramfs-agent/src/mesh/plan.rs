//! From what is known of a mesh network to what the kernel is to have. Pure, and no dearer than what changed.
//!
//! [`Known`] is what the server told; it is kept on the disk. What goes to the kernel is of two kinds: the peers, each with
//! its allowed addresses ([`Change`]), and everything around them, which is small ([`Layout`]).

use super::prefix::Prefix;
use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::{KEEPALIVE, MeshNews, MeshPeer, MeshSelf, MeshVip, PublicKey, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What is known of the mesh network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The machine's own place; none when it is in no network.
    pub(super) own: Option<MeshSelf>,
    /// The others.
    pub(super) peers: BTreeMap<MachineId, MeshPeer>,
    /// What it may be given to hold.
    pub(super) vips: BTreeMap<String, MeshVip>,
}

/// What news changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learnt {
    /// Peers that are new, others than before, or gone, with the key they had.
    pub(super) peers: BTreeMap<MachineId, Option<PublicKey>>,
    /// The own place is another.
    pub(super) own: bool,
    /// What it may hold is.
    pub(super) vips: bool,
}

impl Learnt {
    /// Whether it is to be kept.
    pub(super) fn is_lasting(&self) -> bool {
        self.own || !self.peers.is_empty()
    }
}

impl Known {
    /// Takes in what is new.
    pub(super) fn learn(&mut self, news: MeshNews) -> Learnt {
        let MeshNews { cursor: _, whole, own, peers, gone, vips } = news;
        let mut learnt = Learnt { own: self.own != own, ..Learnt::default() };
        let changed_network =
            self.own.as_ref().map(|own| &own.network) != own.as_ref().map(|own| &own.network);
        self.own = own;
        let told: BTreeSet<MachineId> = peers.iter().map(|peer| peer.machine).collect();
        let left = |id: &MachineId| (whole && !told.contains(id)) || gone.contains(id);
        let gone: Vec<MachineId> = self.peers.keys().copied().filter(left).collect();
        for id in gone {
            if let Some(peer) = self.peers.remove(&id) {
                learnt.peers.insert(id, peer.key);
            }
        }
        for mut peer in peers {
            let before = self.peers.get(&peer.machine);
            // A server that has just started does not know where the others are: that clears nothing.
            if let Some(before) = before.filter(|before| before.key == peer.key && !changed_network)
                && peer.endpoints.is_empty()
            {
                peer.endpoints.clone_from(&before.endpoints);
            }
            if before != Some(&peer) {
                // One that left and came back within the same news had its key before.
                learnt.peers.entry(peer.machine).or_insert(before.and_then(|before| before.key));
                self.peers.insert(peer.machine, peer);
            }
        }
        let vips: BTreeMap<String, MeshVip> = vips.into_iter().map(|vip| (vip.name.clone(), vip)).collect();
        learnt.vips = self.vips != vips;
        self.vips = vips;
        learnt
    }

    /// The same as the news of a whole network: what is kept on the disk. Leases and what they are for are not kept.
    pub(super) fn to_news(&self) -> MeshNews {
        MeshNews {
            whole: true,
            own: self.own.clone(),
            peers: self.peers.values().cloned().collect(),
            ..MeshNews::default()
        }
    }

    /// The networks that nothing leaves for in the clear.
    pub(super) fn networks(&self) -> impl Iterator<Item = Prefix> {
        self.own.iter().flat_map(|own| own.networks.iter().copied().map(Prefix::from))
    }

    /// The member that forwards for the others, as one of its peers.
    pub(super) fn relay(&self) -> Option<MachineId> {
        let networks: BTreeSet<Prefix> = self.networks().collect();
        let relays = |peer: &&MeshPeer| {
            let routes: BTreeSet<Prefix> = peer.routes.iter().copied().map(Prefix::from).collect();
            peer.key.is_some() && !networks.is_empty() && networks.is_subset(&routes)
        };
        self.peers.values().find(relays).map(|peer| peer.machine)
    }

    /// What is allowed on a peer's tunnel. What is behind others that are reached by the relay is on the relay's.
    pub(super) fn allowed(&self, peer: &MeshPeer, relay: Option<MachineId>) -> BTreeSet<Prefix> {
        let mut allowed = BTreeSet::new();
        if peer.way == Way::Direct {
            allowed.extend(answers_for(peer));
        }
        if relay == Some(peer.machine) {
            let relayed =
                self.peers.values().filter(|other| is_relayed(other) && other.machine != peer.machine);
            allowed.extend(relayed.flat_map(|other| other.routes.iter().copied().map(Prefix::from)));
        }
        allowed
    }
}

/// Reached by the relay alone.
fn is_relayed(peer: &MeshPeer) -> bool {
    peer.key.is_none() || peer.way == Way::Relay
}

fn answers_for(peer: &MeshPeer) -> impl Iterator<Item = Prefix> {
    let own = peer.addresses.iter().copied().map(Prefix::host);
    own.chain(peer.routes.iter().copied().map(|cidr: Cidr| Prefix::from(cidr)))
}

/// A peer in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// What is allowed on its tunnel.
    pub(super) allowed: BTreeSet<Prefix>,
    /// Where its packets go.
    pub(super) endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a way open.
    pub(super) keepalive: u16,
}

/// What is to change about a peer in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Make it, or change what is named here and nothing else.
    Set(PeerChange),
    /// Take it out.
    Remove(PublicKey),
}

/// What is to change about one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerChange {
    /// Its key.
    pub(super) key: PublicKey,
    /// There is none of this key yet.
    pub(super) is_new: bool,
    /// A place to try.
    pub(super) endpoint: Option<SocketAddr>,
    /// Packets that keep the way open.
    pub(super) keepalive: Option<u16>,
    /// Its allowed addresses.
    pub(super) allowed: Allowed,
}

/// What is to change about allowed addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing.
    Same,
    /// More; the kernel takes them from whoever had them.
    More(Vec<Prefix>),
    /// Others.
    All(Vec<Prefix>),
}

/// What makes a peer what it is to be; none where it is. A working session is not touched by any of it.
pub(super) fn change(
    key: PublicKey,
    present: Option<&Present>,
    wanted: &BTreeSet<Prefix>,
    endpoint: Option<SocketAddr>,
) -> Option<PeerChange> {
    let all = || wanted.iter().copied().collect::<Vec<_>>();
    let allowed = match present {
        None => Allowed::All(all()),
        Some(present) if present.allowed == *wanted => Allowed::Same,
        Some(present) if present.allowed.is_subset(wanted) => {
            Allowed::More(wanted.difference(&present.allowed).copied().collect())
        }
        Some(_) => Allowed::All(all()),
    };
    // Without a place to go to there is nothing to keep open; and the kernel greets at once when this is first set.
    let has_place = endpoint.is_some() || present.is_some_and(|present| present.endpoint.is_some());
    let keeps = present.is_some_and(|present| present.keepalive == KEEPALIVE);
    let keepalive = (has_place && !keeps).then_some(KEEPALIVE);
    let is_new = present.is_none();
    let is_news = is_new || endpoint.is_some() || keepalive.is_some() || allowed != Allowed::Same;
    is_news.then_some(PeerChange { key, is_new, endpoint, keepalive, allowed })
}

/// What a peer is in the kernel once that was changed.
pub(super) fn changed(present: Option<&Present>, change: &PeerChange) -> Present {
    let mut after = present.cloned().unwrap_or_default();
    match &change.allowed {
        Allowed::Same => {}
        Allowed::More(more) => after.allowed.extend(more.iter().copied()),
        Allowed::All(all) => after.allowed = all.iter().copied().collect(),
    }
    after.endpoint = change.endpoint.or(after.endpoint);
    after.keepalive = change.keepalive.unwrap_or(after.keepalive);
    after
}

/// What the kernel is to have around the tunnels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// UDP port to listen on; none without an interface.
    pub(super) port: Option<u16>,
    /// Addresses of the interface; those with a time, in milliseconds of the boot clock, end then by themselves.
    pub(super) addresses: BTreeMap<IpAddr, Option<u64>>,
    /// Routes.
    pub(super) routes: BTreeSet<Route>,
    /// Rules that packets meet before routes.
    pub(super) rules: BTreeSet<Rule>,
    /// Packets of the mesh network go on to elsewhere from here.
    pub(super) forwards: bool,
}

impl Layout {
    /// The same for a kernel that knows IPv4 alone.
    pub(super) fn of_v4(&self) -> Self {
        let mut layout = self.clone();
        layout.addresses.retain(|address, _| address.is_ipv4());
        layout.routes.retain(|route| route.to.address().is_ipv4());
        layout.rules.retain(Rule::is_v4);
        layout
    }
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    /// Where to.
    pub(super) to: Prefix,
    /// By which way.
    pub(super) by: By,
}

/// The way of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// The tunnels.
    Tunnels,
    /// The tunnels, where the machine has no way of its own.
    TunnelsAtLast,
    /// None: whatever comes here ends here.
    Nowhere,
}

/// A rule, for packets of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// The machine's own packets go to these by its routes.
    OwnTo(Prefix),
    /// Packets out of the tunnels go to these by its routes.
    TunnelsTo(Prefix),
    /// Packets from these, which the machine holds, go to the mesh networks by its routes.
    From(Prefix),
    /// Nobody else's packets go to these.
    NobodyTo(Prefix),
    /// Packets out of the tunnels go nowhere else.
    TunnelsNowhere {
        /// Of IPv4, else of IPv6.
        v4: bool,
    },
    /// Whatever comes in goes nowhere: for IPv6, which knows one switch for all interfaces.
    NobodyNowhere,
}

impl Rule {
    /// Whether it is for packets of IPv4.
    pub(super) const fn is_v4(&self) -> bool {
        match self {
            Self::OwnTo(prefix) | Self::TunnelsTo(prefix) | Self::From(prefix) | Self::NobodyTo(prefix) => {
                prefix.address().is_ipv4()
            }
            Self::TunnelsNowhere { v4 } => *v4,
            Self::NobodyNowhere => false,
        }
    }
}

/// What of a layout depends on what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    /// The prefix.
    pub(super) prefix: Prefix,
    /// Until when, in milliseconds of the boot clock.
    pub(super) until: u64,
}

/// The layout of a member.
pub(super) fn layout(known: &Known, holds: &[Hold]) -> Layout {
    let Some(own) = &known.own else { return Layout::default() };
    let mut layout = Layout { port: Some(own.port), ..Layout::default() };
    layout.addresses.extend(own.addresses.iter().map(|address| (*address, None)));
    let networks: BTreeSet<Prefix> = known.networks().collect();
    for &to in &networks {
        layout.routes.insert(Route { to, by: By::Tunnels });
        layout.routes.insert(Route { to, by: By::Nowhere });
    }
    let is_within = |prefix: &Prefix| networks.iter().any(|network| network.covers(prefix));
    let held: BTreeSet<Prefix> = holds.iter().map(|hold| hold.prefix).collect();
    let behind = known.peers.values().flat_map(|peer| peer.routes.iter().copied().map(Prefix::from));
    let behind: BTreeSet<Prefix> = behind.filter(|to| !is_within(to) && !held.contains(to)).collect();
    layout.routes.extend(behind.iter().map(|to| Route { to: *to, by: By::TunnelsAtLast }));
    for hold in holds.iter().filter(|hold| hold.prefix.is_host()) {
        // Its own address is not lost with what it was given.
        layout.addresses.entry(hold.prefix.address()).or_insert(Some(hold.until));
    }
    let gateway: BTreeSet<Prefix> = held.into_iter().filter(|prefix| !prefix.is_host()).collect();
    layout.forwards = own.relay || !gateway.is_empty();
    if layout.forwards {
        layout.rules = rules(&networks, &behind, &gateway);
    }
    layout
}

/// Whoever forwards does so between tunnels, and between them and what it holds; nothing else gets in or out.
fn rules(
    networks: &BTreeSet<Prefix>,
    behind: &BTreeSet<Prefix>,
    gateway: &BTreeSet<Prefix>,
) -> BTreeSet<Rule> {
    let mut rules: BTreeSet<Rule> = networks
        .union(behind)
        .flat_map(|&to| [Rule::OwnTo(to), Rule::TunnelsTo(to), Rule::NobodyTo(to)])
        .collect();
    rules.extend(gateway.iter().flat_map(|&held| [Rule::TunnelsTo(held), Rule::From(held)]));
    rules.extend([
        Rule::TunnelsNowhere { v4: true },
        Rule::TunnelsNowhere { v4: false },
        Rule::NobodyNowhere,
    ]);
    rules
}

#[cfg(test)]
#[path = "plan/tests.rs"]
pub(super) mod tests;
