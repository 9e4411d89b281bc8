//! The WireGuard public key of a member: stored with the machine, and forgotten when the machine has heard that
//! it is in no mesh network any more.

use crate::change::{AuditKind, AuditRow, Cause, Change, Changes};
use crate::machine::Machine;
use protocol::mesh::PublicKey;

impl Machine {
    /// Whether it has a place in a mesh network: one that is full, or gone, gives none.
    pub fn is_member(&self) -> bool {
        !self.membership.addresses.is_empty()
    }

    /// Its WireGuard public key, while it is in a mesh network.
    pub fn mesh_key(&self) -> Option<PublicKey> {
        self.membership.key.filter(|_| self.is_member())
    }

    /// Whether what keeps its tunnels is wanted: it is in a mesh network, or has not heard yet that it left.
    pub fn wants_mesh(&self) -> bool {
        self.is_member() || self.membership.key.is_some()
    }

    /// Stores the public key that the machine told; nothing when it is the known one.
    pub fn told_mesh_key(&self, key: PublicKey, cause: &Cause) -> Option<(Self, Changes)> {
        if self.membership.key == Some(key) {
            return None;
        }
        let mut after = self.clone();
        let word = if self.membership.key.is_none() { "first key" } else { "another key" };
        after.membership.key = Some(key);
        let row = AuditRow::new(AuditKind::MeshKey, cause).machine(self.id).reason(format!("{word}: {key}"));
        let changes = Changes::new(cause.at).and(Change::UpdateMachine(Box::new(after.clone()))).audit(row);
        Some((after, changes))
    }

    /// Forgets the key of a machine that has heard that it is in no mesh network; nothing while it is in one,
    /// or when there is none.
    pub fn heard_of_leaving(&self, cause: &Cause) -> Option<(Self, Changes)> {
        if self.is_member() || self.membership.key.is_none() {
            return None;
        }
        let mut after = self.clone();
        after.membership.key = None;
        let changes = Changes::new(cause.at).and(Change::UpdateMachine(Box::new(after.clone())));
        Some((after, changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::machine;
    use crate::mesh::leave;
    use crate::time::Timestamp;

    fn at(second: u64) -> Cause {
        Cause::system(Timestamp::from_seconds(1_800_000_000 + second))
    }

    fn in_mesh(name: &str) -> Machine {
        let mut machine = machine();
        name.clone_into(&mut machine.placement.mesh_network);
        machine.membership.addresses = vec!["10.20.0.1".parse().unwrap()];
        machine
    }

    #[test]
    fn key_is_stored_once_and_its_change_is_on_record() {
        let (told, changes) = in_mesh("home").told_mesh_key(PublicKey([1; 32]), &at(0)).unwrap();
        assert_eq!(told.mesh_key(), Some(PublicKey([1; 32])));
        assert_eq!(changes.list.len(), 2, "the machine and its row");
        assert_eq!(told.told_mesh_key(PublicKey([1; 32]), &at(1)), None);
        let (other, _) = told.told_mesh_key(PublicKey([2; 32]), &at(2)).unwrap();
        assert_eq!(other.mesh_key(), Some(PublicKey([2; 32])));
    }

    #[test]
    fn key_of_who_left_is_shown_no_more_and_kept_until_it_has_heard() {
        let (before, _) = in_mesh("home").told_mesh_key(PublicKey([1; 32]), &at(0)).unwrap();
        assert_eq!(before.heard_of_leaving(&at(1)), None, "it did not leave");
        let mut after = before.clone();
        after.placement.mesh_network.clear();
        leave(&before, &mut after);
        assert!(after.mesh_key().is_none() && after.wants_mesh());
        let (gone, _) = after.heard_of_leaving(&at(2)).unwrap();
        assert!(!gone.wants_mesh());
        assert_eq!(gone.heard_of_leaving(&at(3)), None);
        let mut moved = before.clone();
        "lab".clone_into(&mut moved.placement.mesh_network);
        leave(&before, &mut moved);
        moved.membership.addresses = vec!["10.21.0.1".parse().unwrap()];
        assert_eq!(moved.mesh_key(), before.mesh_key(), "a machine has one key, whatever network it is in");
    }
}
