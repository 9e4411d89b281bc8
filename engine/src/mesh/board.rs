//! One mesh network as the server has it in memory: its members, what they told, and what changed when.
//!
//! Every change of a member moves a counter and marks what it changes: for those who have a tunnel to it, for everybody
//! who knows its name, or for one other member alone. Whoever asks with the counter of its last answer is told of what is
//! marked since, so that an answer is as long as what changed. Every change answers whom it concerns ([`Touched`]).
//!
//! - `news`: what is new for a member; `log`: the marks
//! - `hear`: what a report changes

mod hear;
mod log;
mod news;
#[cfg(test)]
mod tests;

pub use hear::Refused;

use self::log::Log;
use super::endpoints;
use super::view::{Entry, Layout, Member};
use super::way::Told;
use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::{FULL_MESH, MAX_PEERS, PublicKey, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Members that something is new for: their held calls are answered.
pub type Touched = BTreeSet<MachineId>;

/// A mesh network with its members.
#[derive(Debug, Clone, Default)]
pub struct Board {
    name: String,
    layout: Layout,
    members: BTreeMap<MachineId, Entry>,
    by_role: BTreeMap<String, BTreeSet<MachineId>>,
    /// Those that are marked as relays.
    relays: BTreeSet<MachineId>,
    keys: BTreeMap<PublicKey, MachineId>,
    /// What members hold beyond their addresses.
    holds: BTreeMap<MachineId, Vec<Cidr>>,
    /// Pairs whose tunnel does not come about, the lower id first.
    relayed: BTreeSet<(MachineId, MachineId)>,
    log: Log,
    /// Most members of a full mesh.
    full_mesh: usize,
    /// Pairs that were looked at.
    #[cfg(test)]
    work: std::cell::Cell<usize>,
}

impl Board {
    /// A network without members.
    pub fn new(name: &str, networks: Vec<Cidr>, hosts: bool) -> Self {
        let layout = Layout { networks, hosts, full: true, named: hosts, ..Layout::default() };
        Self { name: name.to_owned(), layout, full_mesh: FULL_MESH, ..Self::default() }
    }

    /// Its networks, and whether names are to be in `/etc/hosts`, are these now.
    pub fn settle(&mut self, networks: Vec<Cidr>, hosts: bool) -> Touched {
        if self.layout.networks == networks && self.layout.hosts == hosts {
            return Touched::new();
        }
        self.layout.networks = networks;
        self.layout.hosts = hosts;
        let mut touched = self.lay_out();
        touched.extend(self.everybody_anew());
        touched
    }

    /// A member is so now, by the store. What it told by itself stays.
    pub fn put(&mut self, id: MachineId, mut member: Member) -> Touched {
        if let Some(entry) = self.members.get(&id).filter(|entry| entry.key_heard) {
            member.key = entry.member.key;
        }
        member.key = member.key.filter(|key| self.admits(id, *key).is_ok());
        self.change(id, member)
    }

    /// A member is gone: it left, or was deleted.
    pub fn remove(&mut self, id: MachineId) -> Touched {
        let mut touched = self.audience(id);
        let Some(entry) = self.members.remove(&id) else { return Touched::new() };
        touched.insert(id);
        self.unfile(id, &entry);
        self.index(id, &entry.member, &Member::default());
        self.log.bury(id, &entry.marks);
        if self.holds.remove(&id).is_some() {
            touched.extend(self.mark_relay());
        }
        touched.extend(self.lay_out());
        touched
    }

    /// A member is online, or is not.
    pub fn online(&mut self, id: MachineId, online: bool) -> Touched {
        match self.members.get_mut(&id) {
            Some(entry) if entry.online != online => {
                entry.online = online;
                self.lay_out()
            }
            Some(_) | None => Touched::new(),
        }
    }

    /// A request of a member came from this address.
    pub fn source(&mut self, id: MachineId, source: IpAddr) -> Touched {
        let source = source.to_canonical();
        let Some(entry) = self.members.get_mut(&id) else { return Touched::new() };
        let known = if source.is_ipv4() { &mut entry.source4 } else { &mut entry.source6 };
        if known.replace(source) == Some(source) {
            return Touched::new();
        }
        let mut touched = self.refresh(id);
        if source.is_ipv4() {
            // Neighbors behind the same NAT are told of in another order.
            touched.extend(self.mark_tunnel(id));
            self.mark_whole(id);
            touched.insert(id);
        }
        touched
    }

    /// What members hold beyond their addresses is this now: all of it.
    pub fn holds(&mut self, mut holds: BTreeMap<MachineId, Vec<Cidr>>) -> Touched {
        holds.retain(|id, prefixes| !prefixes.is_empty() && self.members.contains_key(id));
        let before = std::mem::replace(&mut self.holds, holds);
        let holders: BTreeSet<MachineId> = before.keys().chain(self.holds.keys()).copied().collect();
        let changed: Vec<MachineId> =
            holders.into_iter().filter(|id| before.get(id) != self.holds.get(id)).collect();
        let mut touched = Touched::new();
        for id in &changed {
            touched.extend(self.mark_tunnel(*id));
        }
        if !changed.is_empty() {
            touched.extend(self.mark_relay());
        }
        touched
    }

    /// Wakes members without anything being new for them: they tell how they stand.
    pub fn nudge(&mut self, ids: &BTreeSet<MachineId>) -> Touched {
        let members: Touched = ids.iter().copied().filter(|id| self.members.contains_key(id)).collect();
        members.iter().for_each(|id| self.mark_own(*id));
        members
    }

    /// All members by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (MachineId, &Entry)> {
        self.members.iter().map(|(id, entry)| (*id, entry))
    }

    /// One member.
    pub fn member(&self, id: MachineId) -> Option<&Entry> {
        self.members.get(&id)
    }

    /// The relay in use: the online one with the lowest id, one for the whole network, so that both directions agree.
    pub const fn relay(&self) -> Option<MachineId> {
        self.layout.relay
    }

    /// What one member told of another last.
    pub fn told(&self, from: MachineId, about: MachineId) -> Option<&Told> {
        self.members.get(&from)?.told.get(&about)
    }

    /// Whether there is a tunnel between two members, whatever way is in force.
    pub fn tunnel(&self, a: MachineId, b: MachineId) -> bool {
        #[cfg(test)]
        self.work.set(self.work.get() + 1);
        match (self.members.get(&a), self.members.get(&b)) {
            (Some(one), Some(other)) => self.layout.tunnel((a, one), (b, other)),
            (None, _) | (_, None) => false,
        }
    }

    /// The way between two members.
    pub fn way(&self, a: MachineId, b: MachineId) -> Way {
        let given_up = self.relayed.contains(&pair(a, b)) && self.layout.relays(a, b);
        if given_up || !self.tunnel(a, b) { Way::Relay } else { Way::Direct }
    }

    /// A member is so now: what that changes, and for whom.
    fn change(&mut self, id: MachineId, member: Member) -> Touched {
        let new = !self.members.contains_key(&id);
        let before = self.members.entry(id).or_default().member.clone();
        if !new && before == member {
            return Touched::new();
        }
        let other_peers = new
            || before.key.is_some() != member.key.is_some()
            || before.roles != member.roles
            || before.relay != member.relay;
        let shown = other_peers
            || before.key != member.key
            || before.name != member.name
            || before.addresses != member.addresses;
        let mut touched = if shown { self.audience(id) } else { Touched::new() };
        self.index(id, &before, &member);
        if let Some(entry) = self.members.get_mut(&id) {
            entry.member = member;
        }
        self.log.unbury(id);
        self.mark_own(id);
        touched.insert(id);
        if other_peers {
            self.mark_whole(id);
            self.mark_peers(id);
        }
        if shown {
            touched.extend(self.mark_tunnel(id));
            touched.extend(self.mark_name(id));
        }
        touched.extend(self.refresh(id));
        touched.extend(self.lay_out());
        touched
    }

    /// Keeps what members are looked up by.
    fn index(&mut self, id: MachineId, before: &Member, after: &Member) {
        for role in before.roles.difference(&after.roles) {
            if let Some(members) = self.by_role.get_mut(role) {
                members.remove(&id);
                if members.is_empty() {
                    self.by_role.remove(role);
                }
            }
        }
        for role in after.roles.difference(&before.roles) {
            self.by_role.entry(role.clone()).or_default().insert(id);
        }
        if after.relay {
            self.relays.insert(id)
        } else {
            self.relays.remove(&id)
        };
        if before.key != after.key {
            before.key.map(|key| self.keys.remove(&key));
            after.key.map(|key| self.keys.insert(key, id));
        }
    }

    /// Takes away what was filed under a member that is gone, and what it filed under others.
    fn unfile(&mut self, id: MachineId, entry: &Entry) {
        let told = entry.told.keys().chain(entry.marks.other_at.keys());
        let others: BTreeSet<MachineId> = entry.filed.iter().chain(told).copied().collect();
        for other in others {
            self.relayed.remove(&pair(id, other));
            if let Some(other) = self.members.get_mut(&other) {
                other.told.remove(&id);
                other.seen.remove(&id);
                other.filed.remove(&id);
                other.marks.forget(id);
            }
        }
    }

    /// Who has a tunnel to a member.
    fn peers_of(&self, id: MachineId) -> Touched {
        let Some(entry) = self.members.get(&id) else { return Touched::new() };
        if self.layout.full || entry.member.relay {
            return self.members.keys().copied().filter(|other| self.tunnel(id, *other)).collect();
        }
        let narrow = entry.member.roles.iter().filter(|role| !self.layout.wide.contains(*role));
        let mates = narrow.filter_map(|role| self.by_role.get(role)).flatten();
        let near: BTreeSet<MachineId> = mates.chain(&self.relays).copied().collect();
        near.into_iter().filter(|other| self.tunnel(id, *other)).collect()
    }

    /// Who is told of a member: those with a tunnel to it, or everybody where everybody's name is known.
    fn audience(&self, id: MachineId) -> Touched {
        if !self.layout.named {
            return self.peers_of(id);
        }
        self.members.keys().copied().filter(|other| *other != id).collect()
    }

    /// Where a member is reached, by all that is known. Facts that are missing since the server began anew take nothing
    /// away.
    fn refresh(&mut self, id: MachineId) -> Touched {
        let Some(entry) = self.members.get(&id) else { return Touched::new() };
        let online = |witness: &MachineId| self.members.get(witness).is_some_and(|witness| witness.online);
        let seen: Vec<_> =
            entry.seen.iter().filter(|(witness, _)| online(witness)).map(|(_, at)| *at).collect();
        let sources: Vec<IpAddr> = entry.source4.into_iter().chain(entry.source6).collect();
        let endpoints = endpoints::of(endpoints::Facts {
            told: entry.member.told,
            seen: &seen,
            own: &entry.own,
            port: entry.port.unwrap_or(entry.member.port),
            sources: &sources,
            networks: &self.layout.networks,
        });
        if endpoints.is_empty() || endpoints == entry.endpoints {
            return Touched::new();
        }
        if let Some(entry) = self.members.get_mut(&id) {
            entry.endpoints = endpoints;
        }
        self.mark_tunnel(id)
    }

    /// Lays the network out by its members as they are now.
    fn lay_out(&mut self) -> Touched {
        let before = self.layout.clone();
        let usable = |id: &&MachineId| {
            self.members.get(id).is_some_and(|entry| entry.online && entry.member.key.is_some())
        };
        let relay = self.relays.iter().find(usable).copied();
        let many = |members: &BTreeSet<MachineId>| members.len() > self.full_mesh;
        let wide = self.by_role.iter().filter(|(_, members)| many(members)).map(|(role, _)| role.clone());
        self.layout = Layout {
            networks: before.networks.clone(),
            hosts: before.hosts,
            full: self.members.len() <= self.full_mesh,
            named: before.hosts && self.members.len() <= MAX_PEERS,
            relay,
            wide: wide.collect(),
        };
        let mut touched = Touched::new();
        if (before.full, before.named) != (self.layout.full, self.layout.named) {
            touched.extend(self.everybody_anew());
        } else if !self.layout.full {
            let turned: Vec<String> = before.wide.symmetric_difference(&self.layout.wide).cloned().collect();
            for id in turned
                .iter()
                .filter_map(|role| self.by_role.get(role))
                .flatten()
                .copied()
                .collect::<Touched>()
            {
                self.mark_whole(id);
                touched.insert(id);
            }
        }
        if before.relay != relay {
            touched.extend(self.another_relay(before.relay, relay));
        }
        touched
    }

    fn another_relay(&mut self, before: Option<MachineId>, after: Option<MachineId>) -> Touched {
        let mut touched = Touched::new();
        for relay in before.into_iter().chain(after) {
            touched.extend(self.mark_tunnel(relay));
        }
        for (a, b) in self.relayed.iter().copied().collect::<Vec<_>>() {
            touched.extend(self.mark_pair(a, b));
        }
        touched
    }
}

/// A pair of members, the lower id first.
fn pair(a: MachineId, b: MachineId) -> (MachineId, MachineId) {
    if a < b { (a, b) } else { (b, a) }
}
