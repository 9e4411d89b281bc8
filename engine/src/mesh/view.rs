//! What one member is to know of another, and how the mesh network is laid out.
//!
//! Up to [`FULL_MESH`] members all have tunnels with each other. Above, two have one when either is a relay or they share
//! a role that no more than [`FULL_MESH`] of them have: one that everybody has would make a full mesh again. All others
//! are reached by the relay in use, whose entry carries the mesh network's own networks: WireGuard takes the longest
//! prefix, so that whoever has a tunnel of its own goes by that.

use super::endpoints;
use super::way::Told;
use crate::time::Timestamp;
use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::{MeshPeer, MeshSelf, MeshVip, PublicKey, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What the store and its params say of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its addresses in the mesh network, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Its key, once it told one.
    pub key: Option<PublicKey>,
    /// Its roles in force.
    pub roles: BTreeSet<String>,
    /// Whether it is marked as a relay.
    pub relay: bool,
    /// The UDP port it is to listen on.
    pub port: u16,
    /// Where it is reached, as its param says.
    pub told: Option<SocketAddr>,
    /// What it may be given to hold.
    pub vips: Vec<MeshVip>,
}

/// A member and all that is known of it now.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// What the store says; its key is the one in force.
    pub member: Member,
    /// Whether it is online.
    pub online: bool,
    /// Where its requests come from by IPv4. Machines that have both families change between them.
    pub source4: Option<IpAddr>,
    /// The same by IPv6.
    pub source6: Option<IpAddr>,
    /// Where it is reached, the likeliest place first.
    pub endpoints: Vec<SocketAddr>,
    /// When its last report came.
    pub reported_at: Option<Timestamp>,
    /// Why it has no tunnels, as it told; else empty.
    pub error: String,
    /// What it told of others.
    pub(super) told: BTreeMap<MachineId, Told>,
    /// Where others see its packets come from.
    pub(super) seen: BTreeMap<MachineId, SocketAddr>,
    /// Its own addresses and port, as it told.
    pub(super) own: Vec<IpAddr>,
    pub(super) port: Option<u16>,
    /// The key was told by itself: it wins over a stored one, which may be on its way.
    pub(super) key_heard: bool,
    /// Others that have something filed under it.
    pub(super) filed: BTreeSet<MachineId>,
    pub(super) marks: Marks,
}

/// The counter of the board at changes of a member.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Its own place.
    pub(super) own: u64,
    /// Who its peers are: it is told everything anew.
    pub(super) whole: u64,
    /// Whose peer it is.
    pub(super) peers: u64,
    /// What those with a tunnel to it are told.
    pub(super) tunnel: u64,
    /// What everybody is told.
    pub(super) name: u64,
    /// Others that changed for this one alone, and when.
    pub(super) others: BTreeMap<u64, MachineId>,
    pub(super) other_at: BTreeMap<MachineId, u64>,
}

/// What all views of a mesh network share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Its networks, IPv4 first.
    pub networks: Vec<Cidr>,
    /// Names of members are to be in `/etc/hosts`.
    pub hosts: bool,
    /// All have tunnels with each other.
    pub full: bool,
    /// Everybody is told of everybody, if only by name.
    pub named: bool,
    /// The relay in use.
    pub relay: Option<MachineId>,
    /// Roles that too many have to make tunnels.
    pub wide: BTreeSet<String>,
}

/// One end of a pair.
pub type End<'a> = (MachineId, &'a Entry);

impl Layout {
    /// Whether two members have a tunnel between them, whatever way is in force.
    pub fn tunnel(&self, (a, one): End<'_>, (b, other): End<'_>) -> bool {
        if a == b || one.member.key.is_none() || other.member.key.is_none() {
            return false;
        }
        let share = |role: &&String| other.member.roles.contains(*role) && !self.wide.contains(*role);
        self.full
            || one.member.relay
            || other.member.relay
            || one.member.roles.iter().any(|role| share(&role))
    }

    /// Whether the way of this pair may be the relay in use: it is a third one.
    pub fn relays(&self, a: MachineId, b: MachineId) -> bool {
        self.relay.is_some_and(|relay| relay != a && relay != b)
    }

    /// A member's own place.
    pub fn own(&self, network: &str, entry: &Entry) -> MeshSelf {
        MeshSelf {
            network: network.to_owned(),
            addresses: entry.member.addresses.clone(),
            networks: self.networks.clone(),
            port: entry.member.port,
            relay: entry.member.relay,
            hosts: self.hosts,
            name: entry.member.name.clone(),
        }
    }

    /// What one member is to know of another, to which it goes by this way. `routes` are what the other answers for
    /// beyond its addresses.
    pub fn peer(&self, viewer: End<'_>, other: End<'_>, way: Way, routes: Vec<Cidr>) -> Option<MeshPeer> {
        let (id, entry) = other;
        let member = &entry.member;
        let known = |key: Option<PublicKey>, endpoints, routes, way| MeshPeer {
            machine: id,
            name: member.name.clone(),
            key,
            addresses: member.addresses.clone(),
            endpoints,
            routes,
            way,
        };
        if self.tunnel(viewer, other) {
            let neighbors = entry.source4.is_some() && entry.source4 == viewer.1.source4;
            let endpoints = match neighbors {
                true => endpoints::for_neighbor(&entry.endpoints, member.told),
                false => entry.endpoints.clone(),
            };
            return Some(known(member.key, endpoints, routes, way));
        }
        let both = viewer.0 != id && viewer.1.member.key.is_some() && member.key.is_some();
        (both && self.named).then(|| known(None, Vec::new(), Vec::new(), Way::Relay))
    }
}
