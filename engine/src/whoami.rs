//! Which machine a caller may be, by what it says of its hardware (`spec/machine-model.md` 5.9).
//! Evidence of hardware is a hint and never a credential.

use crate::identity::Hint;
use crate::machine::Machine;
use protocol::ids::{MacAddr, MachineId};
use protocol::inventory::is_useful_uuid;
use protocol::model::HardwareFingerprint;
use std::collections::BTreeSet;

/// Fewer points than this are none.
pub const ENOUGH: u32 = 100;
const SERIAL: u32 = 25;
const SYSTEM: u32 = 50;
const CLOUD: u32 = 500;
const ON_DISK: u32 = 1_000;
/// Longest hash or id that machines are found by, in bytes.
const LONGEST: usize = 200;

/// What a caller says of its hardware.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Its hardware addresses.
    pub macs: BTreeSet<MacAddr>,
    /// Hashes and ids.
    pub fingerprint: HardwareFingerprint,
    /// The id that an earlier installation left on its disk.
    pub on_disk: Option<MachineId>,
}

impl Evidence {
    /// Under what the machine may be found, beside its hardware addresses.
    pub fn hints(&self) -> BTreeSet<Hint> {
        fingerprint_hints(&self.fingerprint)
    }

    /// How much speaks for a machine; 0 when it is not enough.
    pub fn score(&self, machine: &Machine) -> u32 {
        let (own, seen) = (&machine.fields.fingerprint, &self.fingerprint);
        let same = |own: &str, seen: &str, points| {
            if !own.is_empty() && own.eq_ignore_ascii_case(seen) { points } else { 0 }
        };
        let system =
            if own.system_uuid.is_empty() { &machine.inventory.system_uuid } else { &own.system_uuid };
        let system = if is_useful_uuid(system) { same(system, &seen.system_uuid, SYSTEM) } else { 0 };
        let macs = crate::identity::macs_of(machine);
        let memory: BTreeSet<&String> = own.memory_ids.iter().collect();
        let score = same(&own.ssn_hash, &seen.ssn_hash, SERIAL)
            + same(&own.csn_hash, &seen.csn_hash, SERIAL)
            + same(&own.cloud_instance_id, &seen.cloud_instance_id, CLOUD)
            + system
            + percent(memory.iter().filter(|id| seen.memory_ids.contains(id)).count(), memory.len())
            + percent(macs.intersection(&self.macs).count(), macs.len())
            + if self.on_disk == Some(machine.id) { ON_DISK } else { 0 };
        if score >= ENOUGH { score } else { 0 }
    }
}

/// Under what a fingerprint may be found again.
pub fn fingerprint_hints(fingerprint: &HardwareFingerprint) -> BTreeSet<Hint> {
    let mut hints = BTreeSet::new();
    if is_useful_uuid(&fingerprint.system_uuid) {
        hints.insert(Hint::Uuid(fingerprint.system_uuid.to_ascii_lowercase()));
    }
    let given = [
        (Hint::SerialHash as fn(String) -> Hint, &fingerprint.ssn_hash),
        (Hint::ChassisHash, &fingerprint.csn_hash),
        (Hint::CloudInstance, &fingerprint.cloud_instance_id),
    ];
    let given = given.into_iter().filter(|(_, text)| (1..=LONGEST).contains(&text.len()));
    hints.extend(given.map(|(hint, text)| hint(text.clone())));
    hints
}

/// How much of a machine's own was seen.
fn percent(seen: usize, own: usize) -> u32 {
    let percent = seen.saturating_mul(100).checked_div(own).unwrap_or(0);
    u32::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Name;
    use crate::time::Timestamp;
    use protocol::agent_api::Origin;
    use protocol::ids::KeyThumbprint;
    use protocol::inventory::Inventory;

    fn machine() -> Machine {
        let id = MachineId(uuid::Uuid::from_u128(1));
        let name: Name = "alpha".parse().unwrap();
        let mut machine = Machine::register(
            id,
            name,
            KeyThumbprint([0; 32]),
            Origin::default(),
            Inventory::default(),
            "user:admin",
            Timestamp::EPOCH,
        );
        machine.fields.hardware_addrs = vec!["52:54:00:00:00:01".into(), "52:54:00:00:00:02".into()];
        machine.fields.fingerprint.ssn_hash = "c3Nu".into();
        machine.fields.fingerprint.system_uuid = "11111111-2222-4333-8444-555555555555".into();
        machine.fields.fingerprint.memory_ids = vec!["bTE=".into(), "bTI=".into()];
        machine
    }

    fn evidence(macs: &[&str], fingerprint: HardwareFingerprint) -> Evidence {
        let macs = macs.iter().map(|mac| mac.parse().unwrap()).collect();
        Evidence { macs, fingerprint, on_disk: None }
    }

    #[test]
    fn points_add_up_and_too_few_are_none() {
        let machine = machine();
        let all = ["52:54:00:00:00:01", "52:54:00:00:00:02"];
        assert_eq!(evidence(&all, HardwareFingerprint::default()).score(&machine), 100);
        assert_eq!(evidence(&all[..1], HardwareFingerprint::default()).score(&machine), 0);
        let half = HardwareFingerprint {
            ssn_hash: "c3Nu".into(),
            system_uuid: "11111111-2222-4333-8444-555555555555".into(),
            memory_ids: vec!["bTI=".into()],
            ..HardwareFingerprint::default()
        };
        assert_eq!(evidence(&all[..1], half).score(&machine), 50 + 25 + 50 + 50);
        let on_disk = Evidence { on_disk: Some(machine.id), ..Evidence::default() };
        assert_eq!(on_disk.score(&machine), 1_000);
        assert_eq!(Evidence::default().score(&machine), 0);
    }

    #[test]
    fn evidence_finds_the_machine_by_its_fingerprint() {
        let known = crate::identity::hints_of(&machine());
        let hints = evidence(&[], machine().fields.fingerprint).hints();
        assert_eq!((hints.len(), &hints), (2, &known));
        let long = HardwareFingerprint { cloud_instance_id: "x".repeat(LONGEST + 1), ..Default::default() };
        assert!(fingerprint_hints(&long).is_empty());
    }
}
