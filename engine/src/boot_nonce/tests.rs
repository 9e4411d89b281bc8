//! Who gets a nonce and who comes back by one: the rules by name, and for every machine.

use super::*;
use crate::identity::rank;
use proptest::prelude::*;
use protocol::agent_api::Origin;
use protocol::ids::MacAddr;
use protocol::inventory::Link;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const UUID: &str = "4c4c4544-0058-4b10-8032-b7c04f4d3333";
const OTHER_UUID: &str = "4c4c4544-0058-4b10-8032-b7c04f4d4444";
const DIGEST: NonceDigest = NonceDigest([5; 32]);
const OWN: &str = "10.0.0.7";
const HOUR: u64 = 3_600;

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn cause(at: Timestamp) -> Cause {
    Cause::system(at)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn inventory(serial: &str, uuid: &str, mac: u8) -> Inventory {
    let mut link = Link::new("eth0", MacAddr([0x52, 0x54, 0, 0, 0, mac]));
    link.addresses = vec![format!("{OWN}/24"), "fd00::7/64".to_owned()];
    Inventory { serial: serial.into(), system_uuid: uuid.into(), links: vec![link], ..Inventory::default() }
}

/// Registered at [`START`], with nothing to do.
fn machine() -> Machine {
    Machine::register(
        MachineId(uuid::Uuid::from_u128(1)),
        "m-1".parse().unwrap(),
        KeyThumbprint([1; 32]),
        Origin::Pxe,
        inventory("7XK21M3", UUID, 1),
        "token:j",
        START,
    )
}

/// The same with a workflow.
fn assigned() -> Machine {
    let mut machine = machine();
    machine.fields.workflow = "install".to_owned();
    machine
}

fn silent_since(second: u64, now: Timestamp) -> Presence {
    Presence::at(now, Some(after(second)), false)
}

fn asked(machine: &Machine, from: &str, now: Timestamp) -> Result<Changes, Withheld> {
    give(machine, ip(from), DIGEST, &cause(now))
}

#[test]
fn machine_that_has_nothing_gets_a_nonce_for_an_hour() {
    let now = after(3 * HOUR);
    let changes = asked(&machine(), OWN, now).unwrap();
    let given = GivenNonce { digest: DIGEST, machine: machine().id, expires_at: now.plus(NONCE_LIFETIME) };
    assert!(changes.list.contains(&Change::GiveNonce(given)));
    let rows: Vec<_> = changes.audit_rows().map(|row| (row.kind, row.machine)).collect();
    assert_eq!(rows, [(AuditKind::NonceIssued, Some(machine().id))]);
}

#[test]
fn nonce_is_for_the_machines_own_addresses() {
    let now = after(100);
    for own in [OWN, "fd00::7", "::ffff:10.0.0.7", "127.0.0.1", "::1"] {
        assert!(asked(&machine(), own, now).is_ok(), "{own}");
    }
    for other in ["10.0.0.70", "10.0.0.1", "fd00::8", "0.0.0.0"] {
        assert_eq!(asked(&machine(), other, now), Err(Withheld::Elsewhere(ip(other))));
    }
    let mut moved = machine();
    moved.fields.address = "10.9.9.9".to_owned();
    assert!(asked(&moved, "10.9.9.9", now).is_ok(), "an operator said so");
}

#[test]
fn assigned_machine_gets_one_only_when_a_boot_is_expected() {
    let now = after(10 * HOUR);
    let since = |seconds: u64| Some(now.minus(Duration::from_secs(seconds)));
    let never = assigned();
    assert_eq!(asked(&never, OWN, now), Err(Withheld::Unexpected));
    for (left_at, boot_asked_at, is_given) in [
        (since(HOUR - 1), None, true),
        (None, since(HOUR - 1), true),
        (since(HOUR), since(HOUR), false),
        (since(HOUR), since(1), true),
    ] {
        let machine = Machine { left_at, boot_asked_at, ..assigned() };
        assert_eq!(asked(&machine, OWN, now).is_ok(), is_given, "{left_at:?} {boot_asked_at:?}");
    }
}

#[test]
fn whatever_an_operator_gives_a_machine_is_something_to_lose() {
    let now = after(10 * HOUR);
    let changes: [fn(&mut Machine); 6] = [
        |machine| machine.fields.workflow = "w".to_owned(),
        |machine| machine.fields.tasks = vec!["t".to_owned()],
        |machine| machine.fields.profiles = vec!["p".to_owned()],
        |machine| drop(machine.fields.params.insert("p".to_owned(), true.into())),
        |machine| machine.placement.roles = vec!["web".to_owned()],
        |machine| machine.placement.mesh_network = "home".to_owned(),
    ];
    for change in changes {
        let mut machine = machine();
        change(&mut machine);
        assert_eq!(asked(&machine, OWN, now), Err(Withheld::Unexpected), "{machine:?}");
    }
}

#[test]
fn machine_that_never_registered_gets_none() {
    let unclaimed = Machine { key: None, ..machine() };
    assert_eq!(asked(&unclaimed, OWN, after(100)), Err(Withheld::Unregistered));
}

const KEY: KeyThumbprint = KeyThumbprint([9; 32]);

fn nonce() -> GivenNonce {
    GivenNonce { digest: DIGEST, machine: machine().id, expires_at: after(HOUR) }
}

fn met(seen: &Inventory, known: Machine, presence: Presence) -> Option<(Match, Presence)> {
    rank(seen, vec![known]).into_iter().next().map(|found| (found, presence))
}

/// Whoever comes back, or why nobody does.
fn back(redeemed: Result<Redeemed, Refused>) -> Result<(Machine, Changes), Refused> {
    match redeemed? {
        Redeemed::Back(machine, changes) => Ok((*machine, changes)),
        Redeemed::Awake { .. } => panic!("it is to wait"),
    }
}

fn redeemed(seen: &Inventory, now: Timestamp) -> Result<(Machine, Changes), Refused> {
    let known = Machine { boot_asked_at: Some(START), left_at: Some(START), ..assigned() };
    back(redeem(&nonce(), met(seen, known, silent_since(1, now)), KEY, seen.clone(), &cause(now)))
}

/// How long whoever comes at `now` is to wait for the silence of a machine.
fn waits(known: Machine, presence: Presence, now: Timestamp) -> Option<u64> {
    let seen = inventory("7XK21M3", UUID, 1);
    match redeem(&nonce(), met(&seen, known, presence), KEY, seen.clone(), &cause(now)).unwrap() {
        Redeemed::Awake { wait, .. } => Some(wait.as_secs()),
        Redeemed::Back(..) => None,
    }
}

#[test]
fn machine_that_was_reset_waits_until_its_last_word_is_a_minute_old() {
    let now = after(100);
    assert_eq!(waits(machine(), silent_since(85, now), now), Some(45));
    assert_eq!(waits(machine(), silent_since(41, now), now), Some(1));
    assert_eq!(waits(machine(), silent_since(40, now), now), None);
    assert_eq!(waits(machine(), Presence::at(now, Some(after(99)), true), now), None, "it said goodbye");
    // It got its key a moment ago, and its first heartbeat is still to come.
    assert_eq!(waits(machine(), Presence::default(), after(59)), Some(1));
}

#[test]
fn stored_goodbye_counts_where_the_server_that_heard_it_is_not_asked() {
    let now = after(100);
    let left = || Machine { left_at: Some(after(95)), ..machine() };
    assert_eq!(waits(left(), silent_since(95, now), now), None);
    assert_eq!(waits(left(), silent_since(96, now), now), Some(56), "heard again after its goodbye");
}

#[test]
fn machine_that_comes_back_keeps_everything_but_its_key() {
    let seen = inventory("7XK21M3", UUID, 1);
    let (back, changes) = redeemed(&seen, after(200)).unwrap();
    let known = assigned();
    assert_eq!((back.id, &back.name, &back.fields), (known.id, &known.name, &known.fields));
    assert_eq!((back.key, back.keyed_at), (Some(KEY), after(200)));
    assert_eq!((back.boot_asked_at, back.left_at), (None, None), "the boot has come");
    let stored = [
        Change::UseNonce(DIGEST),
        Change::EndNonces(known.id),
        Change::UpdateMachine(Box::new(back.clone())),
    ];
    assert_eq!(changes.list.get(..3).unwrap(), stored);
    let row = changes.audit_rows().next().unwrap();
    assert_eq!((row.kind, row.reason.as_str()), (AuditKind::MachineRekeyed, "came back with its boot nonce"));
}

#[test]
fn nonce_is_good_for_one_machines_hardware_and_an_hour() {
    let seen = inventory("7XK21M3", UUID, 1);
    assert!(redeemed(&seen, after(HOUR - 1)).is_ok());
    assert_eq!(redeemed(&seen, after(HOUR)), Err(Refused::Over));
    // Another board behind the same network card; the same board told by nothing but its card.
    for other in [inventory("7XK21M3", OTHER_UUID, 1), inventory("OTHER", UUID, 1), inventory("", "", 1)] {
        assert_eq!(redeemed(&other, after(200)), Err(Refused::Unlike));
    }
    let now = after(200);
    let another = Machine { id: MachineId(uuid::Uuid::from_u128(2)), ..machine() };
    let found = met(&seen, another, silent_since(1, now));
    assert_eq!(redeem(&nonce(), found, KEY, seen.clone(), &cause(now)), Err(Refused::Unlike));
    assert_eq!(redeem(&nonce(), None, KEY, seen.clone(), &cause(now)), Err(Refused::Unlike));
}

#[test]
fn of_two_that_come_back_at_once_one_does() {
    let seen = inventory("7XK21M3", UUID, 1);
    let (back, _) = redeemed(&seen, after(200)).unwrap();
    assert_eq!(waits(back, silent_since(1, after(200)), after(200)), Some(60));
}

#[test]
fn refused_nonce_is_used_and_on_record() {
    let changes = nonce().refuse(Refused::Unlike, KEY, &cause(START));
    assert!(changes.list.contains(&Change::UseNonce(DIGEST)));
    let row = changes.audit_rows().next().unwrap();
    assert_eq!((row.kind, row.machine, row.key), (AuditKind::NonceRefused, Some(machine().id), Some(KEY)));
    assert_eq!(row.reason, "it is for other hardware than this machine's");
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of((0_u64..3 * HOUR).prop_map(after))
}

proptest! {
    #[test]
    fn nonce_is_given_to_machines_at_their_own_address_that_boot_for_a_reason(
        has_key: bool, works: bool, left_at in times(), boot_asked_at in times(),
        now in (0_u64..3 * HOUR).prop_map(after),
        from in prop_oneof![Just(OWN), Just("10.0.0.8"), Just("127.0.0.1")],
    ) {
        let key = has_key.then_some(KeyThumbprint([1; 32]));
        let base = if works { assigned() } else { machine() };
        let machine = Machine { key, left_at, boot_asked_at, ..base };
        let lately = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < EXPECTED_FOR);
        let may = has_key && from != "10.0.0.8" && (!works || lately(left_at) || lately(boot_asked_at));
        prop_assert_eq!(give(&machine, ip(from), DIGEST, &cause(now)).is_ok(), may);
    }

    #[test]
    fn identity_is_handed_over_only_to_its_hardware_in_time_and_silence(
        serials in (0_usize..3, 0_usize..3), uuids in (0_usize..3, 0_usize..3), macs in (1_u8..3, 1_u8..3),
        number in 1_u128..3, silence in 0_u64..120, age in 0_u64..2 * HOUR,
    ) {
        let (serial, uuid) = (["Default string", "A1", "B2"], ["", UUID, OTHER_UUID]);
        let seen = inventory(serial[serials.0], uuid[uuids.0], macs.0);
        let known = Machine {
            id: MachineId(uuid::Uuid::from_u128(number)),
            inventory: inventory(serial[serials.1], uuid[uuids.1], macs.1),
            ..assigned()
        };
        let now = after(age);
        let presence = Presence::at(now, Some(now.minus(Duration::from_secs(silence))), false);
        let found = met(&seen, known, presence);
        if let Ok(Redeemed::Back(..)) = redeem(&nonce(), found, KEY, seen.clone(), &cause(now)) {
            prop_assert!(number == 1 && age < HOUR && silence.min(age) >= 60);
            let agree = |pair: (usize, usize)| pair.0 == pair.1 || pair.0 == 0 || pair.1 == 0;
            prop_assert!(agree(serials) && agree(uuids));
            prop_assert!((serials.0 == serials.1 && serials.0 > 0) || (uuids.0 == uuids.1 && uuids.0 > 0));
        }
    }
}
