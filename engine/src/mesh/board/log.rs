//! Marks of what changed when, one for each thing: the last change counts.

use super::{Board, Touched, pair};
use crate::mesh::view::Marks;
use protocol::ids::MachineId;
use std::collections::BTreeMap;

/// Members that are gone which it remembers; whoever asks from before them is told everything.
const TOMBSTONES: usize = 1_024;

/// Who changed, in order of the changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    /// Counts the changes.
    pub(super) counter: u64,
    /// Whoever asks from before this is told everything.
    pub(super) oldest: u64,
    pub(super) tunnel: BTreeMap<u64, MachineId>,
    pub(super) name: BTreeMap<u64, MachineId>,
    pub(super) gone: BTreeMap<u64, MachineId>,
    gone_at: BTreeMap<MachineId, u64>,
}

impl Log {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A member is gone.
    pub(super) fn bury(&mut self, id: MachineId, marks: &Marks) {
        self.tunnel.remove(&marks.tunnel);
        self.name.remove(&marks.name);
        let counter = self.next();
        self.gone.insert(counter, id);
        self.gone_at.insert(id, counter);
        if self.gone.len() > TOMBSTONES
            && let Some((counter, first)) = self.gone.pop_first()
        {
            self.gone_at.remove(&first);
            self.oldest = counter;
        }
    }

    /// It is back.
    pub(super) fn unbury(&mut self, id: MachineId) {
        if let Some(counter) = self.gone_at.remove(&id) {
            self.gone.remove(&counter);
        }
    }
}

impl Marks {
    /// A member is gone that was filed here.
    pub(super) fn forget(&mut self, id: MachineId) {
        if let Some(counter) = self.other_at.remove(&id) {
            self.others.remove(&counter);
        }
    }
}

impl Board {
    /// Its own place changed.
    pub(super) fn mark_own(&mut self, id: MachineId) {
        let counter = self.log.next();
        if let Some(entry) = self.members.get_mut(&id) {
            entry.marks.own = counter;
        }
    }

    /// It has other peers than before.
    pub(super) fn mark_whole(&mut self, id: MachineId) {
        let counter = self.log.next();
        if let Some(entry) = self.members.get_mut(&id) {
            entry.marks.whole = counter;
        }
    }

    /// It is the peer of others than before.
    pub(super) fn mark_peers(&mut self, id: MachineId) {
        let counter = self.log.next();
        if let Some(entry) = self.members.get_mut(&id) {
            entry.marks.peers = counter;
        }
    }

    /// What those with a tunnel to it are told changed.
    pub(super) fn mark_tunnel(&mut self, id: MachineId) -> Touched {
        let Some(entry) = self.members.get_mut(&id) else { return Touched::new() };
        let counter = self.log.next();
        self.log.tunnel.remove(&std::mem::replace(&mut entry.marks.tunnel, counter));
        self.log.tunnel.insert(counter, id);
        self.peers_of(id)
    }

    /// What everybody is told of it changed.
    pub(super) fn mark_name(&mut self, id: MachineId) -> Touched {
        let Some(entry) = self.members.get_mut(&id) else { return Touched::new() };
        let counter = self.log.next();
        self.log.name.remove(&std::mem::replace(&mut entry.marks.name, counter));
        self.log.name.insert(counter, id);
        self.audience(id)
    }

    /// The relay in use answers for something else.
    pub(super) fn mark_relay(&mut self) -> Touched {
        self.layout.relay.map(|relay| self.mark_tunnel(relay)).unwrap_or_default()
    }

    /// The way of a pair changed, and with it which of the two goes by the relay with what it holds.
    pub(super) fn mark_pair(&mut self, a: MachineId, b: MachineId) -> Touched {
        for (viewer, other) in [(a, b), (b, a)] {
            self.mark_other(viewer, other);
            if let Some(relay) = self.layout.relay.filter(|_| self.holds.contains_key(&other)) {
                self.mark_other(viewer, relay);
            }
        }
        let (a, b) = pair(a, b);
        Touched::from([a, b])
    }

    /// What one member is told of another changed, for that one alone.
    fn mark_other(&mut self, viewer: MachineId, other: MachineId) {
        if viewer == other || !self.members.contains_key(&viewer) {
            return;
        }
        let Some(subject) = self.members.get_mut(&other) else { return };
        subject.filed.insert(viewer);
        let counter = self.log.next();
        if let Some(entry) = self.members.get_mut(&viewer) {
            entry.marks.forget(other);
            entry.marks.others.insert(counter, other);
            entry.marks.other_at.insert(other, counter);
        }
    }

    /// Everybody is told everything.
    pub(super) fn everybody_anew(&mut self) -> Touched {
        self.log.oldest = self.log.next();
        self.members.keys().copied().collect()
    }
}
