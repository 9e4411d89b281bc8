//! What is new for a member since an answer that it was given.

use super::Board;
use crate::mesh::view::{End, Entry};
use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::{MeshNews, MeshPeer, Way};
use std::collections::BTreeSet;

impl Board {
    /// Counts the changes: an answer that is made now is asked about with this.
    pub const fn counter(&self) -> u64 {
        self.log.counter
    }

    /// What is new for a member since `since`; none while there is nothing. Everything when it does not say since when,
    /// or since before what is remembered. The cursor is left empty.
    ///
    /// A machine that is no member is told that it has no place.
    pub fn news(&self, id: MachineId, since: Option<u64>) -> Option<MeshNews> {
        let Some(entry) = self.members.get(&id) else {
            return Some(MeshNews { whole: true, ..MeshNews::default() });
        };
        let known =
            since.filter(|since| (self.log.oldest.max(entry.marks.whole)..=self.log.counter).contains(since));
        let Some(since) = known else {
            let peers = self.members.keys().filter_map(|other| self.peer(id, *other)).collect();
            return Some(MeshNews { whole: true, peers, ..self.place(id)? });
        };
        let changed = self.changed(id, entry, since);
        if changed.is_empty() && entry.marks.own <= since {
            return None;
        }
        let mut news = self.place(id)?;
        for other in changed {
            match self.peer(id, other) {
                Some(peer) => news.peers.push(peer),
                None => news.gone.push(other),
            }
        }
        Some(news)
    }

    /// A member's own place and what it may hold, without peers; none when it is no member.
    pub fn place(&self, id: MachineId) -> Option<MeshNews> {
        let entry = self.members.get(&id)?;
        let own = Some(self.layout.own(&self.name, entry));
        Some(MeshNews { own, vips: entry.member.vips.clone(), ..MeshNews::default() })
    }

    /// Others that a member is to be told of: as they are now, or that they are its peers no more.
    fn changed(&self, id: MachineId, entry: &Entry, since: u64) -> BTreeSet<MachineId> {
        let after = since.saturating_add(1)..;
        let turned = |other: &MachineId| {
            self.members.get(other).is_some_and(|other| other.marks.peers > since) || self.tunnel(id, *other)
        };
        let tunnels =
            self.log.tunnel.range(after.clone()).map(|(_, other)| other).filter(|other| turned(other));
        let names = self.log.name.range(after.clone()).map(|(_, other)| other).filter(|_| self.layout.named);
        let alone = entry.marks.others.range(after.clone()).map(|(_, other)| other);
        let gone = self.log.gone.range(after).map(|(_, other)| other);
        let mut changed: BTreeSet<MachineId> =
            tunnels.chain(names).chain(alone).chain(gone).copied().collect();
        changed.remove(&id);
        changed
    }

    /// What one member is to know of another.
    pub fn peer(&self, viewer: MachineId, other: MachineId) -> Option<MeshPeer> {
        let ends: (End<'_>, End<'_>) =
            ((viewer, self.members.get(&viewer)?), (other, self.members.get(&other)?));
        let way = self.way(viewer, other);
        self.layout.peer(ends.0, ends.1, way, self.routes(viewer, other, way))
    }

    /// What a member answers for at another, beyond its addresses: each prefix is one peer's alone.
    fn routes(&self, viewer: MachineId, other: MachineId, way: Way) -> Vec<Cidr> {
        let held = |id: &MachineId| self.holds.get(id).cloned().unwrap_or_default();
        let mut routes = if way == Way::Direct { held(&other) } else { Vec::new() };
        if self.layout.relay == Some(other) && self.layout.relays(viewer, viewer) {
            routes.extend(&self.layout.networks);
            let far =
                |id: &&MachineId| **id != viewer && **id != other && self.way(viewer, **id) == Way::Relay;
            routes.extend(self.holds.keys().filter(far).flat_map(held));
        }
        routes
    }
}
