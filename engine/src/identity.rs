//! Which registered machine a request resembles. SMBIOS values, serial numbers and hardware
//! addresses are hints for a person, never identity: a match only ever leads to a warning and
//! the offer to merge (`spec/security.md` 0.8 and 5).
//!
//! Points follow Digital Rebar's whoami: the percentage of the known machine's hardware
//! addresses that were seen, 50 for the system UUID, 25 for each serial number.

use crate::machine::Machine;
use crate::whoami::fingerprint_hints;
use protocol::ids::MacAddr;
use protocol::inventory::{Inventory, is_useful_serial, is_useful_uuid};
use std::collections::{BTreeMap, BTreeSet};

/// A match of this many points is strong: a bootstrap token may not register over it.
pub const STRONG: u32 = 100;
const UUID_POINTS: u32 = 50;
const SERIAL_POINTS: u32 = 25;

/// One identifier of a machine under which it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// A hardware address.
    Mac(MacAddr),
    /// SMBIOS system UUID.
    Uuid(String),
    /// SMBIOS system serial number.
    Serial(String),
    /// SMBIOS board serial number.
    BoardSerial(String),
    /// Hash of the system's serial number, as a client told it.
    SerialHash(String),
    /// Hash of the chassis' serial number, as a client told it.
    ChassisHash(String),
    /// Instance id of a cloud.
    CloudInstance(String),
}

impl std::fmt::Display for Hint {
    /// The form it is indexed by.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "mac:{mac}"),
            Self::Uuid(uuid) => write!(f, "uuid:{uuid}"),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::BoardSerial(serial) => write!(f, "board:{serial}"),
            Self::SerialHash(hash) => write!(f, "ssn:{hash}"),
            Self::ChassisHash(hash) => write!(f, "csn:{hash}"),
            Self::CloudInstance(id) => write!(f, "cloud:{id}"),
        }
    }
}

/// Everything in an inventory that can tell machines apart; manufacturers' placeholders are
/// left out.
pub fn hints(inventory: &Inventory) -> BTreeSet<Hint> {
    let useful_mac = |mac: &MacAddr| mac.0 != [0; 6] && mac.0.first().is_some_and(|first| first & 1 == 0);
    let mut hints: BTreeSet<Hint> = inventory.macs().filter(useful_mac).map(Hint::Mac).collect();
    if is_useful_uuid(&inventory.system_uuid) {
        hints.insert(Hint::Uuid(inventory.system_uuid.to_ascii_lowercase()));
    }
    if is_useful_serial(&inventory.serial) {
        hints.insert(Hint::Serial(inventory.serial.to_ascii_lowercase()));
    }
    if is_useful_serial(&inventory.board_serial) {
        hints.insert(Hint::BoardSerial(inventory.board_serial.to_ascii_lowercase()));
    }
    hints
}

/// Under what a registered machine can be found again, beside its hardware addresses: what its
/// inventory says, and the fingerprint in its fields.
pub fn hints_of(machine: &Machine) -> BTreeSet<Hint> {
    let mut hints = hints(&machine.inventory);
    hints.extend(fingerprint_hints(&machine.fields.fingerprint));
    hints
}

/// The hardware addresses in a machine's fields.
pub fn macs_of(machine: &Machine) -> BTreeSet<MacAddr> {
    machine.fields.hardware_addrs.iter().filter_map(|mac| mac.parse().ok()).collect()
}

/// A registered machine that resembles what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which.
    pub machine: Machine,
    /// Points; [`STRONG`] and more is strong.
    pub score: u32,
    /// What is the same, in words.
    pub reasons: Vec<String>,
    /// The SMBIOS system UUID or serial number is the same, and neither is another one: not just a
    /// network card that went from machine to machine.
    pub same_firmware: bool,
}

impl Match {
    /// Whether it is likely the same hardware.
    pub fn is_strong(&self) -> bool {
        self.score >= STRONG
    }
}

/// Scores every candidate that shares at least one hint with `seen`, best first. `candidates`
/// must hold all machines that share a hint: a serial number or UUID found on more than one of
/// them tells nothing and is ignored.
pub fn rank(seen: &Inventory, candidates: Vec<Machine>) -> Vec<Match> {
    let seen = hints(seen);
    let known: Vec<(Machine, BTreeSet<Hint>)> = candidates
        .into_iter()
        .map(|machine| {
            let own = hints(&machine.inventory);
            (machine, own)
        })
        .collect();
    let mut owners: BTreeMap<&Hint, usize> = BTreeMap::new();
    for (_, own) in &known {
        for hint in own.intersection(&seen) {
            *owners.entry(hint).or_default() += 1;
        }
    }
    let shared: BTreeSet<Hint> = owners
        .into_iter()
        .filter(|(hint, count)| *count > 1 && !matches!(hint, Hint::Mac(_)))
        .map(|(hint, _)| hint.clone())
        .collect();
    let mut matches: Vec<Match> = known
        .into_iter()
        .filter_map(|(machine, own)| {
            let (score, reasons) = score(&own, &seen, &shared);
            let same_firmware = same_firmware(&own, &seen, &shared);
            (score > 0).then_some(Match { machine, score, reasons, same_firmware })
        })
        .collect();
    matches.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.machine.name.cmp(&b.machine.name)));
    matches
}

fn same_firmware(known: &BTreeSet<Hint>, seen: &BTreeSet<Hint>, ignored: &BTreeSet<Hint>) -> bool {
    let sorts: [fn(&Hint) -> bool; 2] =
        [|hint| matches!(hint, Hint::Uuid(_)), |hint| matches!(hint, Hint::Serial(_))];
    let mut same = false;
    for is_sort in sorts {
        let of = |hints: &BTreeSet<Hint>| hints.iter().find(|hint| is_sort(hint)).cloned();
        match (of(known), of(seen)) {
            (Some(known), Some(seen)) if known != seen => return false,
            (Some(known), Some(_)) => same |= !ignored.contains(&known),
            (Some(_), None) | (None, Some(_) | None) => {}
        }
    }
    same
}

fn score(known: &BTreeSet<Hint>, seen: &BTreeSet<Hint>, ignored: &BTreeSet<Hint>) -> (u32, Vec<String>) {
    let is_mac = |hint: &&Hint| matches!(hint, Hint::Mac(_));
    let macs = known.iter().filter(is_mac).count();
    let same_macs = known.intersection(seen).filter(is_mac).count();
    let mut points = 0;
    let mut reasons = Vec::new();
    if let (1.., Some(share)) = (same_macs, (same_macs * 100).checked_div(macs)) {
        // A share of a whole is at most 100; one shared address of very many is still a point.
        points += u32::try_from(share).unwrap_or(100).max(1);
        reasons.push(format!("{same_macs} of {macs} hardware addresses"));
    }
    for hint in known.intersection(seen).filter(|hint| !ignored.contains(hint)) {
        let (more, reason) = match hint {
            // Counted above; and what only clients tell is no reason to think of a merge.
            Hint::Mac(_) | Hint::SerialHash(_) | Hint::ChassisHash(_) | Hint::CloudInstance(_) => continue,
            Hint::Uuid(_) => (UUID_POINTS, "system UUID"),
            Hint::Serial(_) => (SERIAL_POINTS, "serial number"),
            Hint::BoardSerial(_) => (SERIAL_POINTS, "board serial number"),
        };
        points += more;
        reasons.push(reason.to_owned());
    }
    (points, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use protocol::agent_api::Origin;
    use protocol::ids::{KeyThumbprint, MachineId};
    use protocol::inventory::Link;

    fn inventory(serial: &str, uuid: &str, macs: &[u8]) -> Inventory {
        let link = |&last: &u8| Link::new("eth0", MacAddr([0x52, 0x54, 0, 0, 0, last]));
        Inventory {
            serial: serial.into(),
            system_uuid: uuid.into(),
            links: macs.iter().map(link).collect(),
            ..Inventory::default()
        }
    }

    fn machine(number: u8, inventory: Inventory) -> Machine {
        Machine::register(
            MachineId(uuid::Uuid::from_u128(number.into())),
            format!("m-{number}").parse().unwrap(),
            KeyThumbprint([number; 32]),
            Origin::Iso,
            inventory,
            "user:admin",
            Timestamp::EPOCH,
        )
    }

    const UUID: &str = "4c4c4544-0058-4b10-8032-b7c04f4d3333";

    #[test]
    fn all_hardware_addresses_make_a_strong_match() {
        let known = machine(1, inventory("", "", &[1, 2]));
        let found = rank(&inventory("", "", &[1, 2, 3]), vec![known]);
        let best = found.first().unwrap();
        assert_eq!((best.score, best.is_strong()), (100, true));
        assert_eq!(best.reasons, ["2 of 2 hardware addresses"]);
    }

    #[test]
    fn weak_hints_add_up() {
        let known = machine(1, inventory("7XK21M3", UUID, &[1, 2, 3, 4]));
        let found = rank(&inventory("7xk21m3", &UUID.to_uppercase(), &[1]), vec![known]);
        let best = found.first().unwrap();
        assert_eq!(best.score, 25 + 50 + 25);
        assert_eq!(best.reasons, ["1 of 4 hardware addresses", "system UUID", "serial number"]);
    }

    #[test]
    fn junk_identifiers_match_nobody() {
        let junk = || inventory("To be filled by O.E.M.", "03000200-0400-0500-0006-000700080009", &[]);
        let known = (1..=10).map(|number| machine(number, junk())).collect();
        assert!(rank(&junk(), known).is_empty());
        assert!(hints(&inventory("", "", &[])).is_empty());
    }

    #[test]
    fn serial_found_on_two_machines_tells_nothing() {
        let known = vec![machine(1, inventory("SAME", "", &[1])), machine(2, inventory("SAME", "", &[2]))];
        let found = rank(&inventory("SAME", "", &[2]), known);
        let scores: Vec<_> = found.iter().map(|found| (found.machine.name.as_str(), found.score)).collect();
        assert_eq!(scores, [("m-2", 100)]);
    }
}
