//! A machine in Discovery mode that was reset has lost its key and comes back with the token it
//! came by before (`spec/security.md` 5, "Re-registration").
//!
//! Whoever holds a token can pretend to be any hardware, so the old identity is only handed over
//! where nothing is lost by it: the same token, nothing assigned by an operator, the same SMBIOS
//! identity and no other candidate, and the old holder silent for as long as makes it offline. A
//! machine that comes back sooner, and a reset machine usually does, is asked to wait; if the old
//! one speaks meanwhile, this is another machine. Everything else is an operator's to decide.

use crate::admission::Placement;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes};
use crate::identity::Match;
use crate::machine::{Machine, ONLINE_FOR, Presence};
use crate::time::Timestamp;
use protocol::ids::KeyThumbprint;
use protocol::inventory::Inventory;
use protocol::rest::ProvisionState;
use std::time::Duration;

/// Whom a machine with a token turns out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognised {
    /// Nobody who is registered: a new machine.
    Stranger,
    /// This one: it keeps its identity under the new key.
    Same(Box<Machine>),
    /// Perhaps this one, which was heard a moment ago.
    Awake {
        /// Which.
        machine: Box<Machine>,
        /// When it gave its last sign of life.
        heard: Timestamp,
        /// How long it must stay silent from now on.
        wait: Duration,
    },
    /// Somebody like this one: for an operator to say.
    Lookalike(Box<Machine>),
}

/// Recognises a machine among those it resembles, best first, each with its presence. `jti` and
/// `placement` are its token's.
pub fn recognise(
    matches: Vec<(Match, Presence)>,
    jti: &str,
    placement: &Placement,
    now: Timestamp,
) -> Recognised {
    let mut strong = matches.into_iter().filter(|(found, _)| found.is_strong());
    let Some((found, presence)) = strong.next() else { return Recognised::Stranger };
    let Match { machine, same_firmware, .. } = found;
    let by_this_token = machine.registered_by == registrar(jti);
    let untouched =
        machine.provision_state() == ProvisionState::Discovery && machine.chosen_placement() == *placement;
    let machine = Box::new(machine);
    if strong.next().is_some() || !same_firmware || !by_this_token || !untouched {
        return Recognised::Lookalike(machine);
    }
    match last_sign(&machine, presence, now) {
        Some(heard) => {
            let wait = ONLINE_FOR.saturating_sub(now.since(heard));
            Recognised::Awake { machine, heard, wait }
        }
        None => Recognised::Same(machine),
    }
}

/// As whose work a machine counts that came by a token.
pub fn registrar(jti: &str) -> String {
    format!("token:{jti}")
}

/// The machine's last sign of life while that is younger than [`ONLINE_FOR`] and was no goodbye. That
/// it got its key is one until the key's first heartbeat: of two that come back at once, one does.
pub(crate) fn last_sign(machine: &Machine, presence: Presence, now: Timestamp) -> Option<Timestamp> {
    match presence.last_seen.filter(|seen| *seen >= machine.keyed_at) {
        // Told to another server, or before this one was started.
        Some(seen) if machine.left_at.is_some_and(|left| left >= seen) => None,
        Some(seen) => presence.online.then_some(seen),
        None => (now.since(machine.keyed_at) < ONLINE_FOR).then_some(machine.keyed_at),
    }
}

/// The machine goes on under the key it came back with; the old key is nobody's from now on.
pub fn come_back(
    machine: Machine,
    jti: &str,
    key: KeyThumbprint,
    inventory: Inventory,
    cause: &Cause,
) -> (Machine, Changes) {
    let machine = machine.rekeyed(key, inventory, cause.at);
    let row = AuditRow::new(AuditKind::MachineRekeyed, cause).machine(machine.id).key(key);
    let changes = Changes::new(cause.at)
        .and(Change::EndNonces(machine.id))
        .and(Change::UpdateMachine(Box::new(machine.clone())))
        .audit(row.reason(format!("came back with token {jti}")));
    (machine, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::rank;
    use proptest::prelude::*;
    use protocol::agent_api::Origin;
    use protocol::ids::{MacAddr, MachineId};
    use protocol::inventory::Link;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const UUID: &str = "4c4c4544-0058-4b10-8032-b7c04f4d3333";
    const JUNK: &str = "03000200-0400-0500-0006-000700080009";

    fn inventory(serial: &str, uuid: &str, mac: u8) -> Inventory {
        let link = Link::new("eth0", MacAddr([0x52, 0x54, 0, 0, 0, mac]));
        Inventory {
            serial: serial.into(),
            system_uuid: uuid.into(),
            links: vec![link],
            ..Inventory::default()
        }
    }

    fn machine(number: u8, inventory: Inventory) -> Machine {
        Machine::register(
            MachineId(uuid::Uuid::from_u128(number.into())),
            format!("m-{number}").parse().unwrap(),
            KeyThumbprint([number; 32]),
            Origin::Pxe,
            inventory,
            "token:j",
            START,
        )
    }

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn seen(second: u64, now: Timestamp) -> Presence {
        Presence::at(now, Some(after(second)), false)
    }

    fn meet(seen: &Inventory, known: Vec<Machine>, presence: Presence, now: Timestamp) -> Recognised {
        let matches = rank(seen, known).into_iter().map(|found| (found, presence)).collect();
        recognise(matches, "j", &Placement::default(), now)
    }

    #[test]
    fn machine_that_was_silent_for_a_minute_is_the_same() {
        let own = inventory("7XK21M3", UUID, 1);
        let known = machine(1, own.clone());
        let (early, late) = (after(159), after(160));
        let wait = Duration::from_secs(1);
        assert_eq!(
            meet(&own, vec![known.clone()], seen(100, early), early),
            Recognised::Awake { machine: Box::new(known.clone()), heard: after(100), wait }
        );
        assert_eq!(
            meet(&own, vec![known.clone()], seen(100, late), late),
            Recognised::Same(Box::new(known.clone()))
        );
        let goodbye = Presence::at(early, Some(after(100)), true);
        assert_eq!(meet(&own, vec![known.clone()], goodbye, early), Recognised::Same(Box::new(known)));
    }

    #[test]
    fn registration_counts_as_a_sign_of_life_until_the_first_heartbeat() {
        let own = inventory("7XK21M3", UUID, 1);
        let known = machine(1, own.clone());
        let never = Presence::default();
        assert!(matches!(
            meet(&own, vec![known.clone()], never, after(59)),
            Recognised::Awake { heard: START, .. }
        ));
        assert_eq!(meet(&own, vec![known.clone()], never, after(60)), Recognised::Same(Box::new(known)));
    }

    #[test]
    fn of_two_that_come_back_at_once_one_does() {
        let own = inventory("7XK21M3", UUID, 1);
        let (now, gone) = (after(1_000), after(100));
        let Recognised::Same(known) = meet(&own, vec![machine(1, own.clone())], seen(100, now), now) else {
            panic!("not recognised")
        };
        let key = KeyThumbprint([9; 32]);
        let (back, _) = come_back(*known, "j", key, own.clone(), &Cause::system(now));
        // The old key's last heartbeat is all that was heard of it.
        let presence = Presence::at(now, Some(gone), false);
        assert!(matches!(
            meet(&own, vec![back], presence, now),
            Recognised::Awake { heard, .. } if heard == now
        ));
    }

    #[test]
    fn what_may_be_somebody_elses_is_left_to_an_operator() {
        let own = inventory("7XK21M3", UUID, 1);
        let known = machine(1, own.clone());
        let now = after(1_000);
        let gone = seen(0, now);
        let lookalike = |seen: &Inventory, known: Machine| {
            let met = meet(seen, vec![known.clone()], gone, now);
            assert_eq!(met, Recognised::Lookalike(Box::new(known)));
        };
        let by_operator = Machine { registered_by: "user:admin".into(), ..known.clone() };
        let by_another = Machine { registered_by: "token:k".into(), ..known.clone() };
        let placement = Placement { roles: vec!["web".into()], mesh_network: String::new() };
        let assigned = Machine { placement, ..known.clone() };
        for machine in [by_operator, by_another, assigned] {
            lookalike(&own, machine);
        }
        // One network card went from machine to machine; or the board tells nothing.
        lookalike(&inventory("7XK21M4", "4c4c4544-0058-4b10-8032-b7c04f4d4444", 1), known);
        let junk = inventory("To be filled by O.E.M.", JUNK, 1);
        lookalike(&junk, machine(2, junk.clone()));
    }

    #[test]
    fn two_candidates_are_none() {
        let own = inventory("", UUID, 1);
        let twins = vec![machine(1, own.clone()), machine(2, own.clone())];
        let now = after(1_000);
        assert!(matches!(meet(&own, twins, seen(0, now), now), Recognised::Lookalike(_)));
    }

    #[test]
    fn stranger_is_nobody() {
        let known = machine(1, inventory("7XK21M3", UUID, 1));
        let other = inventory("7XK21M4", "4c4c4544-0058-4b10-8032-b7c04f4d4444", 2);
        assert_eq!(meet(&other, vec![known], Presence::default(), after(1_000)), Recognised::Stranger);
    }

    #[test]
    fn coming_back_keeps_id_name_and_birthday_and_is_audited() {
        let known = machine(1, inventory("7XK21M3", UUID, 1));
        let (key, hardware) = (KeyThumbprint([9; 32]), inventory("7XK21M3", UUID, 7));
        let (back, changes) =
            come_back(known.clone(), "j", key, hardware.clone(), &Cause::system(after(100)));
        assert_eq!((back.id, &back.name, back.created_at), (known.id, &known.name, known.created_at));
        assert_eq!((back.key, &back.inventory), (Some(key), &hardware));
        assert!(changes.list.contains(&Change::UpdateMachine(Box::new(back))));
        let row = changes.audit_rows().next().unwrap();
        assert_eq!((row.kind, row.reason.as_str()), (AuditKind::MachineRekeyed, "came back with token j"));
    }

    proptest! {
        #[test]
        fn identity_is_handed_over_only_to_the_same_token_and_hardware_after_a_minute(
            serials in (0_usize..3, 0_usize..3), uuids in (0_usize..3, 0_usize..3), macs in (1_u8..3, 1_u8..3),
            registrar in prop_oneof![Just("token:j"), Just("token:k"), Just("user:admin")],
            assigned: bool, silence in 0_u64..120,
        ) {
            let (serial, uuid) = (["To be filled by O.E.M.", "A1", "B2"], [JUNK, UUID, "4c4c4544-0058-4b10-8032-b7c04f4d4444"]);
            let own = inventory(serial[serials.0], uuid[uuids.0], macs.0);
            let mut known = machine(1, inventory(serial[serials.1], uuid[uuids.1], macs.1));
            known.registered_by = registrar.into();
            if assigned {
                known.placement.mesh_network = "home".into();
            }
            let now = after(silence);
            if let Recognised::Same(_) = meet(&own, vec![known], seen(0, now), now) {
                prop_assert!(registrar == "token:j" && !assigned && silence >= 60);
                let agree = |pair: (usize, usize)| pair.0 == pair.1 || pair.0 == 0 || pair.1 == 0;
                prop_assert!(agree(serials) && agree(uuids));
                prop_assert!((serials.0 == serials.1 && serials.0 > 0) || (uuids.0 == uuids.1 && uuids.0 > 0));
            }
        }
    }
}
