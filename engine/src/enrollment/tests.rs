use super::*;
use crate::identity::{Match, rank};
use crate::machine::Presence;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn cause(at: Timestamp) -> Cause {
    Cause { principal: "user:admin".into(), source: None, request_id: "r1".into(), at }
}

fn code(text: &str) -> BootstrapCode {
    text.parse().unwrap()
}

fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint::from_digest([byte; 32])
}

fn opened() -> Enrollment {
    let applicant = Applicant {
        id: EnrollmentId(uuid::Uuid::from_u128(1)),
        key: KeyThumbprint([7; 32]),
        fingerprint: fingerprint(7),
        inventory: Inventory { serial: "7XK21M3".into(), ..Inventory::default() },
        origin: Origin::Iso,
        image_id: None,
        source: IpAddr::from([10, 20, 4, 17]),
    };
    Enrollment::open(applicant, code("K7P3XB"), &cause(START)).0
}

fn approval(at: Timestamp) -> Approval {
    Approval {
        code: Some(code("K7P3XB")),
        fingerprint: fingerprint(7),
        fingerprint_confirmed: false,
        has_warnings: false,
        last_poll: at,
        becomes: Becomes::New {
            id: MachineId(uuid::Uuid::from_u128(2)),
            name: "db-07".parse().unwrap(),
            newborn: Box::default(),
        },
    }
}

fn approved() -> (Enrollment, Machine) {
    let (enrollment, machine, _) = opened().approve(approval(after(10)), &cause(after(10))).unwrap();
    (enrollment, machine)
}

fn kinds(changes: &Changes) -> Vec<AuditKind> {
    changes.audit_rows().map(|row| row.kind).collect()
}

fn updated(changes: &Changes) -> Option<Machine> {
    let update = |change: &Change| {
        if let Change::UpdateMachine(machine) = change { Some(machine.as_ref().clone()) } else { None }
    };
    changes.list.iter().find_map(update)
}

#[test]
fn approval_makes_the_machine_the_audit_row_and_retires_the_code_in_one_commit() {
    let at = after(10);
    let (enrollment, machine, changes) = opened().approve(approval(at), &cause(at)).unwrap();
    assert_eq!(enrollment.word(), EnrollmentState::Approved);
    assert_eq!(machine.key, Some(KeyThumbprint([7; 32])));
    assert_eq!(machine.inventory, opened().inventory);
    assert_eq!(kinds(&changes), [AuditKind::EnrollmentApproved]);
    let row = changes.audit_rows().next().unwrap();
    assert_eq!((row.code, row.machine), (Some(code("K7P3XB")), Some(machine.id)));
    assert!(changes.list.contains(&Change::RetireCode { code: code("K7P3XB"), at }));
    assert!(changes.list.contains(&Change::InsertMachine(Box::new(machine))));
    assert!(changes.list.contains(&Change::UpdateEnrollment(Box::new(enrollment))));
}

#[test]
fn live_code_never_reaches_the_audit_log() {
    let (_, created) = {
        let enrollment = opened();
        let applicant = Applicant {
            id: enrollment.id,
            key: enrollment.key,
            fingerprint: enrollment.fingerprint,
            inventory: enrollment.inventory,
            origin: enrollment.origin,
            image_id: None,
            source: enrollment.source,
        };
        Enrollment::open(applicant, code("K7P3XB"), &cause(START))
    };
    let (_, rotated) = opened().rotate(code("BCDFGH"), &cause(after(600))).unwrap();
    assert!(created.audit_rows().all(|row| row.code.is_none()));
    assert!(rotated.audit_rows().all(|row| row.code == Some(code("K7P3XB"))));
}

#[test]
fn each_guard_of_an_approval_has_its_own_answer() {
    let at = after(10);
    let decide = |approval| opened().approve(approval, &cause(at)).unwrap_err();
    assert_eq!(decide(Approval { code: Some(code("BCDFGH")), ..approval(at) }), DecisionError::CodeNotFound);
    assert_eq!(
        decide(Approval { fingerprint: fingerprint(8), ..approval(at) }),
        DecisionError::FingerprintMismatch
    );
    assert_eq!(decide(Approval { has_warnings: true, ..approval(at) }), DecisionError::Unconfirmed);
    let (_, machine) = approved();
    let online = Becomes::Merged { machine: Box::new(machine), online: true, alike: true, name: None };
    assert_eq!(
        decide(Approval { becomes: online, ..approval(at) }).to_string(),
        "machine db-07 is online, so it is not the one waiting here; approve without merge"
    );
    let confirmed = Approval { has_warnings: true, fingerprint_confirmed: true, ..approval(at) };
    assert!(opened().approve(confirmed, &cause(at)).is_ok());
    let listed = Approval { code: None, ..approval(at) };
    assert!(opened().approve(listed, &cause(at)).is_ok());
}

#[test]
fn machine_silent_for_ninety_seconds_cannot_be_approved() {
    let polled = after(5);
    let silent = |seconds: u64| opened().approve(approval(polled), &cause(after(5 + seconds)));
    assert!(silent(89).is_ok());
    assert_eq!(
        silent(90).unwrap_err().to_string(),
        "the machine has not been heard for 90 s (at most 90 s): is it still showing its code?"
    );
}

#[test]
fn replaced_code_selects_for_sixty_seconds_more() {
    let (rotated, changes) = opened().rotate(code("BCDFGH"), &cause(after(600))).unwrap();
    assert!(rotated.answers_to(code("BCDFGH"), after(600)));
    assert!(rotated.answers_to(code("K7P3XB"), after(659)));
    assert!(!rotated.answers_to(code("K7P3XB"), after(660)));
    assert_eq!(kinds(&changes), [AuditKind::EnrollmentRotated]);
    let (_, machine, _) = rotated.approve(approval(after(630)), &cause(after(630))).unwrap();
    assert_eq!(machine.name.as_str(), "db-07");
}

#[test]
fn new_code_is_repeated_until_the_console_must_have_it() {
    let (rotated, _) = opened().rotate(code("BCDFGH"), &cause(after(600))).unwrap();
    assert_eq!(opened().news(after(1)), None);
    assert_eq!(rotated.news(after(600)), Some(code("BCDFGH")));
    assert_eq!(rotated.news(after(689)), Some(code("BCDFGH")));
    assert_eq!(rotated.news(after(690)), None);
}

#[test]
fn denied_key_pauses_ten_minutes_doubling_to_a_day() {
    for (earlier, minutes) in [(0, 10), (1, 20), (2, 40), (6, 640), (7, 1_280), (8, 1_440), (40, 1_440)] {
        let (denied, _) = opened().deny(Some(" not\u{7} ours "), earlier, &cause(START)).unwrap();
        let State::Denied { until, strikes, reason, .. } = denied.state else { panic!("denied") };
        assert_eq!(until, after(minutes * 60), "{earlier}");
        assert_eq!(strikes, earlier + 1);
        assert_eq!(reason.as_deref(), Some("not ours"));
    }
}

#[test]
fn reason_keeps_its_letters_and_loses_what_turns_them_around() {
    let reason = |text: &str| {
        let (denied, _) = opened().deny(Some(text), 0, &cause(after(1))).unwrap();
        let State::Denied { reason, .. } = denied.state else { panic!("not denied") };
        reason
    };
    let hostile = " nicht\u{202e} unsere \u{2066}Größe\u{2069}:\u{200b} 机器\u{feff}\u{1b}[31m\n";
    assert_eq!(reason(hostile).as_deref(), Some("nicht unsere Größe: 机器[31m"));
    assert_eq!(reason("\u{200f}\u{2028}\u{e0041}"), None);
    assert_eq!(reason(&"ä".repeat(300)).map(|kept| kept.chars().count()), Some(MAX_REASON));
}

#[test]
fn request_outlives_fifteen_silent_minutes_or_a_day() {
    let enrollment = opened();
    assert_eq!(enrollment.outlived(START, after(899)), None);
    assert_eq!(enrollment.outlived(START, after(900)), Some("not polled for 15 minutes"));
    assert_eq!(enrollment.outlived(after(86_399), after(86_399)), None);
    assert_eq!(enrollment.outlived(after(86_400), after(86_400)), Some("24 hours old"));
    assert_eq!(approved().0.outlived(START, after(900)), None);
}

#[test]
fn approval_not_collected_in_fifteen_minutes_takes_the_key_back() {
    let (enrollment, machine) = approved();
    assert_eq!(enrollment.unclaimed(Some(machine.clone()), &cause(after(10 + 899))), None);
    let (unclaimed, changes) = enrollment.unclaimed(Some(machine), &cause(after(10 + 900))).unwrap();
    assert_eq!(unclaimed.word(), EnrollmentState::Unclaimed);
    assert_eq!(kinds(&changes), [AuditKind::EnrollmentUnclaimed]);
    let marked = updated(&changes).unwrap();
    assert_eq!((marked.key, marked.errors.as_slice()), (None, [UNCLAIMED.to_owned()].as_slice()));
}

#[test]
fn collecting_is_noted_once() {
    let (enrollment, _) = approved();
    let (enrolled, changes) = enrollment.collected(&cause(after(11))).unwrap();
    assert_eq!(enrolled.word(), EnrollmentState::Enrolled);
    assert_eq!(kinds(&changes), [AuditKind::EnrollmentEnrolled]);
    assert_eq!(enrolled.collected(&cause(after(12))), None);
    assert_eq!(opened().collected(&cause(after(12))), None);
}

#[test]
fn merge_keeps_id_name_and_birthday_and_takes_key_and_hardware() {
    let (_, mut old) = approved();
    old.key = Some(KeyThumbprint([1; 32]));
    old.inventory = Inventory::default();
    old.errors = vec![UNCLAIMED.to_owned()];
    let becomes = Becomes::Merged { machine: Box::new(old.clone()), online: false, alike: true, name: None };
    let at = after(20);
    let (enrollment, merged, changes) =
        opened().approve(Approval { becomes, ..approval(at) }, &cause(at)).unwrap();
    assert_eq!((merged.id, &merged.name, merged.created_at), (old.id, &old.name, old.created_at));
    assert_eq!((merged.key, &merged.inventory), (Some(enrollment.key), &enrollment.inventory));
    assert!(merged.errors.is_empty());
    assert_eq!(kinds(&changes), [AuditKind::MachineRekeyed, AuditKind::EnrollmentApproved]);
}

#[test]
fn preview_names_reasons_to_look_twice_and_no_code() {
    let (_, mut twin) = approved();
    twin.inventory.serial = "7XK21M3".into();
    let matches: Vec<Match> = rank(&opened().inventory, vec![twin]);
    let offline = Presence { online: false, last_seen: Some(START) };
    let relative = |id, standing| Relative { id, fingerprint: fingerprint(9), standing };
    let denied = Standing::Denied { by: "user:admin".into(), at: after(60) };
    let relatives = vec![
        relative(opened().id, Standing::Waiting),
        relative(EnrollmentId(uuid::Uuid::from_u128(9)), Standing::Waiting),
        relative(EnrollmentId(uuid::Uuid::from_u128(8)), denied),
    ];
    let around = Surroundings {
        last_poll: after(230),
        matches: matches.into_iter().map(|found| (found, offline)).collect(),
        relatives,
        reverse_dns: Some("db-07.example.org".into()),
    };
    let shown = preview(&opened(), &around, after(240));
    let warnings: Vec<(&str, &str)> =
        shown.warnings.iter().map(|warning| (warning.kind.as_str(), warning.message.as_str())).collect();
    assert_eq!(warnings.len(), 3);
    assert_eq!(warnings[0], ("known_machine", "looks like db-07, offline for 4 min (serial number)"));
    assert_eq!(warnings[1].0, "same_hardware_waiting");
    assert_eq!(warnings[2], ("denied_before", "the same hardware was denied 3 min ago by user:admin"));
    assert_eq!((shown.last_polled_seconds, shown.code_expires_in), (10, 360));
    assert_eq!(shown.suggested_name, "db-07.example.org");
    let json = serde_json::to_string(&shown).unwrap();
    assert!(!json.contains("K7P"), "{json}");
}

#[test]
fn match_that_is_online_now_is_an_alarm() {
    let (_, twin) = approved();
    let found = rank(&opened().inventory, vec![twin]);
    let online = Presence { online: true, last_seen: Some(START) };
    let around = Surroundings {
        last_poll: START,
        matches: found.into_iter().map(|found| (found, online)).collect(),
        relatives: vec![],
        reverse_dns: None,
    };
    let found = warnings(&opened(), &around, START);
    assert_eq!(found.first().unwrap().kind, "machine_online");
}

/// Everything that can happen to an enrollment, and how long after the event before.
#[derive(Debug, Clone)]
enum Event {
    Rotate,
    Approve { right_code: bool, right_fingerprint: bool, silent: u64 },
    Deny,
    Cancel,
    Expire,
    Collect,
    Unclaim,
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let kind = prop_oneof![
        Just(Event::Rotate),
        (any::<bool>(), any::<bool>(), 0..200_u64).prop_map(|(right_code, right_fingerprint, silent)| {
            Event::Approve { right_code, right_fingerprint, silent }
        }),
        Just(Event::Deny),
        Just(Event::Cancel),
        Just(Event::Expire),
        Just(Event::Collect),
        Just(Event::Unclaim),
    ];
    (0..1_000_u64, kind)
}

/// Applies one event as the server would; what is refused changes nothing.
fn apply(
    enrollment: &Enrollment,
    machine: Option<&Machine>,
    event: &Event,
    at: Timestamp,
) -> Option<(Enrollment, Option<Machine>, Changes)> {
    let cause = cause(at);
    let same_machine = |(next, changes)| (next, machine.cloned(), changes);
    match event {
        Event::Rotate => enrollment.rotate(code("BCDFGH"), &cause).ok().map(same_machine),
        Event::Approve { right_code, right_fingerprint, silent } => {
            let live = enrollment.live_code().map(|live| live.code).filter(|_| *right_code);
            let approval = Approval {
                code: Some(live.unwrap_or_else(|| code("999999"))),
                fingerprint: fingerprint(if *right_fingerprint { 7 } else { 8 }),
                last_poll: at.minus(Duration::from_secs(*silent)),
                ..approval(at)
            };
            let (next, machine, changes) = enrollment.approve(approval, &cause).ok()?;
            Some((next, Some(machine), changes))
        }
        Event::Deny => enrollment.deny(None, 0, &cause).ok().map(same_machine),
        Event::Cancel => enrollment.cancel(&cause).ok().map(same_machine),
        Event::Expire => enrollment.expire("test", &cause).ok().map(same_machine),
        Event::Collect => enrollment.collected(&cause).map(same_machine),
        Event::Unclaim => {
            let (next, changes) = enrollment.unclaimed(machine.cloned(), &cause)?;
            let stored = updated(&changes);
            Some((next, stored, changes))
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_only_the_approved_key_becomes_a_machine(
        events in proptest::collection::vec(event(), 1..24)
    ) {
        let mut enrollment = opened();
        let mut machine: Option<Machine> = None;
        let mut at = START;
        let mut approvals = 0;
        for (pause, event) in events {
            at = at.plus(Duration::from_secs(pause));
            let Some((next, next_machine, changes)) = apply(&enrollment, machine.as_ref(), &event, at) else {
                continue;
            };
            prop_assert!(enrollment.ended_at().is_none(), "{event:?} left the terminal {:?}", enrollment.state);
            prop_assert_eq!(changes.audit_rows().count(), 1);
            let live = |state: &State| matches!(state, State::Pending { .. });
            let retired = changes.list.iter().any(|change| matches!(change, Change::RetireCode { .. }));
            prop_assert_eq!(live(&enrollment.state), retired, "a code ends exactly with its wait");
            approvals += kinds(&changes).iter().filter(|kind| **kind == AuditKind::EnrollmentApproved).count();
            if let (None, Some(made)) = (&machine, &next_machine) {
                let named = matches!(event, Event::Approve { right_code: true, right_fingerprint: true, silent: 0..90 });
                prop_assert!(named, "{event:?} made a machine");
                prop_assert_eq!(made.key, Some(enrollment.key));
            }
            machine = next_machine;
            enrollment = next;
        }
        prop_assert!(approvals <= 1);
        prop_assert_eq!(approvals == 1, machine.is_some());
        let holds_key = machine.as_ref().is_some_and(|machine| machine.key == Some(enrollment.key));
        let credential = matches!(enrollment.state, State::Approved { .. } | State::Enrolled { .. });
        prop_assert_eq!(credential, holds_key);
        let json = serde_json::to_string(&enrollment).unwrap();
        prop_assert_eq!(serde_json::from_str::<Enrollment>(&json).unwrap(), enrollment);
    }
}
