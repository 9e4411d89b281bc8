//! What a member's report changes: its key, where it is, where it sees others, and the ways of its pairs.

use super::{Board, Touched, pair};
use crate::mesh::way::{self, Told};
use crate::time::Timestamp;
use protocol::ids::MachineId;
use protocol::mesh::{MAX_PEERS, MeshReport, PeerReport, PublicKey, Way};

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Two members of one key could not be told apart.
    #[error(
        "another member of the mesh network has this WireGuard key; remove the key's file on the machine and start its agent again"
    )]
    KeyTaken,
    /// There are more members than any of them could be told of.
    #[error("the mesh network has as many members with tunnels as there may be: {MAX_PEERS}")]
    Full,
}

impl Board {
    /// A member tells what it sees.
    ///
    /// # Errors
    /// When its key is another member's, or there is no room for it. Nothing is changed then.
    pub fn hear(&mut self, id: MachineId, report: &MeshReport, now: Timestamp) -> Result<Touched, Refused> {
        let Some(entry) = self.members.get(&id) else { return Ok(Touched::new()) };
        let mut member = entry.member.clone();
        if let Some(key) = report.key {
            self.admits(id, key)?;
            member.key = Some(key);
        }
        let mut touched = self.change(id, member);
        if let Some(entry) = self.members.get_mut(&id) {
            entry.key_heard |= report.key.is_some();
            entry.own.clone_from(&report.addresses);
            entry.port = Some(report.port);
            entry.error.clone_from(&report.error);
            entry.reported_at = Some(now);
        }
        touched.extend(self.refresh(id));
        for peer in &report.peers {
            touched.extend(self.hear_of(id, peer, now));
        }
        Ok(touched)
    }

    /// Whether a member may have this key.
    pub(super) fn admits(&self, id: MachineId, key: PublicKey) -> Result<(), Refused> {
        if self.keys.get(&key).is_some_and(|owner| *owner != id) {
            return Err(Refused::KeyTaken);
        }
        let has_one = self.members.get(&id).is_some_and(|entry| entry.member.key.is_some());
        if has_one || self.keys.len() < MAX_PEERS { Ok(()) } else { Err(Refused::Full) }
    }

    fn hear_of(&mut self, from: MachineId, report: &PeerReport, now: Timestamp) -> Touched {
        let about = report.machine;
        if !self.tunnel(from, about) {
            return Touched::new();
        }
        let told = Told { report: report.clone(), at: now };
        let seen = report.endpoint.filter(|_| told.up(now));
        if let Some(entry) = self.members.get_mut(&from) {
            entry.told.insert(about, told);
        }
        let mut touched = Touched::new();
        if let Some(entry) = self.members.get_mut(&about) {
            entry.filed.insert(from);
            let before = match seen {
                Some(endpoint) => entry.seen.insert(from, endpoint),
                None => entry.seen.remove(&from),
            };
            if before != seen {
                touched.extend(self.refresh(about));
            }
        }
        touched.extend(self.weigh(from, about, now));
        touched
    }

    /// Decides the way of a pair anew.
    fn weigh(&mut self, a: MachineId, b: MachineId, now: Timestamp) -> Touched {
        let online = |id| self.members.get(&id).is_some_and(|entry| entry.online);
        let relay = self.layout.relays(a, b) && online(a) && online(b);
        let before = if self.relayed.contains(&pair(a, b)) { Way::Relay } else { Way::Direct };
        let after = way::decide(before, relay, [self.told(a, b), self.told(b, a)], now);
        if before == after {
            return Touched::new();
        }
        match after {
            Way::Relay => self.relayed.insert(pair(a, b)),
            Way::Direct => self.relayed.remove(&pair(a, b)),
        };
        self.mark_pair(a, b)
    }
}
