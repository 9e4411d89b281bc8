//! What the store promises, checked on both engines.

use super::audit::AuditBreak;
use super::postgres::Postgres;
use super::schema::MIGRATIONS;
use super::{Conflict, Store, StoreError};
use audit::{
    audit_row_that_is_hidden_from_searches_breaks_the_log, audit_rows_are_found_by_machine_kind_and_principal,
};
use content::{
    check_of_machines_never_goes_back, content_is_read_whole_with_its_revision,
    decision_on_other_content_is_refused,
};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record, Revision};
use engine::enrollment::{Applicant, Approval, Becomes, CODE_REST, Enrollment, Relative, Standing};
use engine::identity::hints;
use engine::job::Job;
use engine::machine::Machine;
use engine::time::Timestamp;
use groups::{
    callers_wait_while_many_are_before_them, later_ones_see_what_earlier_ones_wrote,
    one_that_does_not_fit_hinders_nobody, what_follows_comes_in_the_order_of_revisions,
    what_follows_finds_the_commit_on_disk, what_is_refused_is_followed_by_nothing,
    what_the_database_does_not_take_fails_alone, what_was_sent_is_stored_before_the_store_closes,
};
use jobs::{
    a_job_goes_with_its_log_and_leaves_others, jobs_of_a_machine_are_read_newest_first,
    log_ends_at_its_limit, log_has_no_gap_and_nothing_twice, log_of_many_pieces_is_read_from_any_byte,
    of_two_reports_on_one_revision_the_second_loses, report_and_log_of_one_decision_are_stored_together,
};
use lists::{
    lists_are_what_looking_at_every_object_gives, lists_follow_what_machines_become,
    lists_go_on_behind_a_machine_that_is_gone, machines_are_found_by_what_they_have_to_do_with,
    roles_are_listed_by_what_they_are_made_of, searches_find_machines_by_what_they_are_known_by,
};
use mesh::{
    machine_that_is_deleted_leaves_its_mesh, mesh_is_cleared_when_nobody_is_in_it,
    number_in_a_mesh_is_had_once, number_that_is_given_back_is_given_again,
    racing_machines_never_get_one_number,
};
use nonces::{
    commit_that_does_not_come_about_uses_no_nonce, machine_has_few_nonces_at_a_time,
    nonce_is_used_once_and_in_time, nonces_end_with_their_boot_and_go_with_their_machine,
    nonces_that_are_over_are_forgotten, racing_machines_use_a_nonce_once,
};
use protocol::agent_api::Origin;
use protocol::code::{BootstrapCode, Fingerprint};
use protocol::ids::{EnrollmentId, KeyThumbprint, MachineId};
use protocol::inventory::{Inventory, Link};
use provisions::{
    few_runs_of_a_machine_are_kept_and_active_ones_always, machines_are_listed_by_their_provision_state,
    of_two_changes_of_a_run_the_second_loses, runs_are_due_while_they_are_active,
    runs_are_read_newest_first_and_in_parts, runs_of_machines_that_are_gone_are_forgotten,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokens::{
    keys_know_how_much_they_sealed, latest_token_is_the_one_that_begins_last,
    racing_machines_never_use_a_token_too_often, revocation_ends_what_it_covers_whoever_uses_it,
    revocation_never_gives_back_what_another_took, token_registers_no_more_than_it_may,
    tokens_are_read_in_parts_newest_first,
};
use uuid::Uuid;

mod audit;
mod content;
mod groups;
mod jobs;
mod lists;
mod mesh;
mod nonces;
mod provisions;
mod tokens;
mod upgrade;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn code(text: &str) -> BootstrapCode {
    text.parse().unwrap()
}

fn inventory(number: u8) -> Inventory {
    let mac = protocol::ids::MacAddr([0x52, 0x54, 0, 0, 0, number]);
    let link = Link { carrier: true, ..Link::new("eth0", mac) };
    Inventory { links: vec![link], ..Inventory::default() }
}

fn open(number: u8, text: &str, at: Timestamp) -> (Enrollment, Changes) {
    let applicant = Applicant {
        id: EnrollmentId(Uuid::from_u128(number.into())),
        key: KeyThumbprint([number; 32]),
        fingerprint: Fingerprint::from_digest([number; 32]),
        inventory: inventory(number),
        origin: Origin::Iso,
        image_id: None,
        source: IpAddr::from([10, 0, 0, number]),
    };
    Enrollment::open(applicant, code(text), &Cause::system(at))
}

fn machine(number: u8) -> Machine {
    Machine::register(
        MachineId(Uuid::from_u128(number.into())),
        format!("m-{number}").parse().unwrap(),
        KeyThumbprint([number; 32]),
        Origin::Iso,
        inventory(number),
        "user:admin",
        START,
    )
}

fn insert(machine: &Machine) -> Changes {
    Changes::new(START).and(Change::InsertMachine(Box::new(machine.clone())))
}

fn job(number: u128, of: u128) -> Job {
    let fields = protocol::model::Job {
        uuid: Uuid::from_u128(number),
        machine: Uuid::from_u128(of),
        task: format!("task-{number}"),
        ..protocol::model::Job::default()
    };
    Job { fields, revision: Revision(0) }
}

fn approve(enrollment: &Enrollment, at: Timestamp) -> Changes {
    let approval = Approval {
        code: None,
        fingerprint: enrollment.fingerprint,
        fingerprint_confirmed: false,
        has_warnings: false,
        last_poll: at,
        becomes: Becomes::New {
            id: MachineId(Uuid::new_v4()),
            name: "db-07".parse().unwrap(),
            newborn: Box::default(),
        },
    };
    enrollment.approve(approval, &Cause::system(at)).unwrap().2
}

fn conflict(result: Result<Revision, StoreError>) -> Option<Conflict> {
    match result {
        Err(StoreError::Conflict(conflict)) => Some(conflict),
        Ok(_) => None,
        Err(error) => panic!("{error:?}"),
    }
}

async fn enrollment_is_read_as_it_was_written(store: Store) {
    let (mut written, changes) = open(1, "K7P3XB", START);
    written.revision = store.commit(&changes).await.unwrap();
    assert_eq!(store.enrollment(written.id).await.unwrap().as_ref(), Some(&written));
    assert_eq!(store.enrollment_of_code(code("K7P3XB")).await.unwrap().as_ref(), Some(&written));
    assert_eq!(store.enrollments_of_key(written.key).await.unwrap(), [written.clone()]);
    assert_eq!(store.live_enrollments().await.unwrap(), [written]);
    assert_eq!(store.enrollment(EnrollmentId(Uuid::nil())).await.unwrap(), None);
    assert_eq!(store.enrollment_of_code(code("BCDFGH")).await.unwrap(), None);
}

async fn one_key_waits_once(store: Store) {
    store.commit(&open(1, "K7P3XB", START).1).await.unwrap();
    let (mut again, _) = open(1, "BCDFGH", START);
    again.id = EnrollmentId(Uuid::from_u128(99));
    let changes = Changes::new(START).and(Change::InsertEnrollment(Box::new(again)));
    assert_eq!(conflict(store.commit(&changes).await), Some(Conflict::Exists));
}

async fn code_within_one_slip_of_another_is_refused_for_a_day(store: Store) {
    store.commit(&open(1, "K7P3XB", START).1).await.unwrap();
    for near in ["K7P3XB", "K7P3XC", "7KP3XB", "K7P3BX"] {
        assert_eq!(
            conflict(store.commit(&open(2, near, START).1).await),
            Some(Conflict::CodeTaken),
            "{near}"
        );
    }
    store.commit(&open(3, "K7P3CC", START).1).await.unwrap();
    let enrollment = store.enrollment(EnrollmentId(Uuid::from_u128(1))).await.unwrap().unwrap();
    store.commit(&enrollment.cancel(&Cause::system(after(10))).unwrap().1).await.unwrap();
    let rested = after(10).plus(CODE_REST);
    let early = rested.minus(Duration::from_millis(1));
    assert_eq!(conflict(store.commit(&open(2, "K7P3XB", early).1).await), Some(Conflict::CodeTaken));
    store.commit(&open(2, "K7P3XB", rested).1).await.unwrap();
    let selected = store.enrollment_of_code(code("K7P3XB")).await.unwrap().unwrap();
    assert_eq!(selected.id, EnrollmentId(Uuid::from_u128(2)));
}

async fn refused_commit_leaves_nothing(store: Store) {
    store.commit(&open(1, "K7P3XB", START).1).await.unwrap();
    let before = store.verify_audit().await.unwrap();
    // Enrollment and audit row would fit; the code does not.
    let (second, changes) = open(2, "K7P3XC", START);
    assert_eq!(conflict(store.commit(&changes).await), Some(Conflict::CodeTaken));
    assert_eq!(store.enrollment(second.id).await.unwrap(), None);
    assert_eq!(store.verify_audit().await.unwrap(), before);
}

async fn of_two_decisions_on_one_revision_the_second_loses(store: Store) {
    store.commit(&open(1, "K7P3XB", START).1).await.unwrap();
    let read = store.enrollment(EnrollmentId(Uuid::from_u128(1))).await.unwrap().unwrap();
    let (approval, denial) =
        (approve(&read, after(1)), read.deny(None, 0, &Cause::system(after(1))).unwrap().1);
    store.commit(&approval).await.unwrap();
    assert_eq!(conflict(store.commit(&denial).await), Some(Conflict::Stale));
    assert_eq!(conflict(store.commit(&approval).await), Some(Conflict::Stale));
    assert_eq!(store.machines().await.unwrap().len(), 1);
}

async fn racing_approvals_make_one_machine(store: Store) {
    store.commit(&open(1, "K7P3XB", START).1).await.unwrap();
    let read = store.enrollment(EnrollmentId(Uuid::from_u128(1))).await.unwrap().unwrap();
    let store = Arc::new(store);
    let races: Vec<_> = (0..16)
        .map(|_| {
            let (store, changes) = (Arc::clone(&store), approve(&read, after(1)));
            tokio::spawn(async move { store.commit(&changes).await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for race in races {
        winners += u32::from(race.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(store.machines().await.unwrap().len(), 1);
    let rows = store.audit(0, 100).await.unwrap();
    let approvals = rows.iter().filter(|entry| entry.row.kind == AuditKind::EnrollmentApproved).count();
    assert_eq!(approvals, 1);
}

async fn machine_has_its_name_and_key_alone(store: Store) {
    store.commit(&insert(&machine(1))).await.unwrap();
    assert_eq!(conflict(store.commit(&insert(&machine(1))).await), Some(Conflict::Exists));
    let namesake = Machine { name: "m-1".parse().unwrap(), ..machine(2) };
    assert_eq!(conflict(store.commit(&insert(&namesake)).await), Some(Conflict::NameTaken));
    let impostor = Machine { key: machine(1).key, ..machine(2) };
    assert_eq!(conflict(store.commit(&insert(&impostor)).await), Some(Conflict::KeyTaken));
    for number in [3, 4] {
        store.commit(&insert(&Machine { key: None, ..machine(number) })).await.unwrap();
    }
    assert_eq!(store.machines().await.unwrap().len(), 3);
}

async fn machine_is_found_by_id_key_name_and_hardware(store: Store) {
    let mut one = machine(1);
    one.revision = store.commit(&insert(&one)).await.unwrap();
    store.commit(&insert(&machine(2))).await.unwrap();
    assert_eq!(store.machine(one.id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.machine_of_key(KeyThumbprint([1; 32])).await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.machine_of_name("m-1").await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.lookalikes(&hints(&inventory(1))).await.unwrap(), [one.clone()]);
    let both = hints(&inventory(1)).union(&hints(&inventory(2))).cloned().collect();
    assert_eq!(store.lookalikes(&both).await.unwrap().len(), 2);
    assert!(store.lookalikes(&hints(&Inventory::default())).await.unwrap().is_empty());
}

async fn new_hardware_replaces_the_old_hints(store: Store) {
    store.commit(&insert(&machine(1))).await.unwrap();
    let read = store.machine(machine(1).id).await.unwrap().unwrap();
    store.commit(&read.observe(inventory(7), "digest", after(1)).1).await.unwrap();
    assert!(store.lookalikes(&hints(&inventory(1))).await.unwrap().is_empty());
    let found = store.lookalikes(&hints(&inventory(7))).await.unwrap();
    assert_eq!(found.first().unwrap().inventory_digest, "digest");
}

async fn deleted_machine_is_gone_with_key_name_and_hints(store: Store) {
    store.commit(&insert(&machine(1))).await.unwrap();
    let read = store.machine(machine(1).id).await.unwrap().unwrap();
    let deletion = read.delete(&Cause::system(after(1)));
    store.commit(&deletion).await.unwrap();
    assert_eq!(conflict(store.commit(&deletion).await), Some(Conflict::Stale));
    assert!(store.lookalikes(&hints(&inventory(1))).await.unwrap().is_empty());
    store.commit(&insert(&Machine { id: MachineId(Uuid::from_u128(5)), ..machine(1) })).await.unwrap();
}

async fn heartbeats_touch_no_revision(store: Store) {
    let one = machine(1);
    let revision = store.commit(&insert(&one)).await.unwrap();
    let gone = MachineId(Uuid::from_u128(77));
    let seen = Changes::new(after(5)).and(Change::Seen(vec![(one.id, after(4)), (gone, after(5))]));
    store.commit(&seen).await.unwrap();
    assert_eq!(store.machine(one.id).await.unwrap().unwrap().revision, revision);
    assert_eq!(store.last_seen().await.unwrap(), [(one.id, Some(after(4)))]);
}

async fn relatives_wait_or_were_denied_lately(store: Store) {
    for (number, text) in [(1, "BBBBBB"), (2, "CCCCCC"), (3, "DDDDDD")] {
        let (enrollment, _) = open(number, text, START);
        let mut twin = enrollment.clone();
        twin.inventory = inventory(1);
        let changes = Changes::new(START)
            .and(Change::InsertEnrollment(Box::new(twin)))
            .and(Change::TakeCode { code: code(text), enrollment: enrollment.id, at: START });
        store.commit(&changes).await.unwrap();
    }
    let read = |number: u128| store.enrollment(EnrollmentId(Uuid::from_u128(number)));
    let denied = read(2).await.unwrap().unwrap();
    store.commit(&denied.deny(None, 0, &Cause::system(after(10))).unwrap().1).await.unwrap();
    let cancelled = read(3).await.unwrap().unwrap();
    store.commit(&cancelled.cancel(&Cause::system(after(10))).unwrap().1).await.unwrap();
    let ids = |mut found: Vec<Relative>| {
        found.sort_by_key(|one| one.id);
        found.into_iter().map(|one| (one.id.0.as_u128(), one.standing)).collect::<Vec<_>>()
    };
    let hints = hints(&inventory(1));
    let denied = Standing::Denied { by: "system".into(), at: after(10) };
    let found = store.relatives(&hints, after(9)).await.unwrap();
    assert!(found.iter().any(|one| one.fingerprint == Fingerprint::from_digest([2; 32])), "{found:?}");
    assert_eq!(ids(found), [(1, Standing::Waiting), (2, denied)]);
    assert!(store.relatives(&engine::identity::hints(&inventory(4)), START).await.unwrap().is_empty());
    assert_eq!(ids(store.relatives(&hints, after(10)).await.unwrap()), [(1, Standing::Waiting)]);
}

async fn relatives_are_few_however_many_there_are(store: Store) {
    let hardware = Inventory { serial: "7XK21M3".into(), ..inventory(1) };
    for number in 0..100 {
        let mut twin = open(number, "BBBBBB", START).0;
        twin.inventory = hardware.clone();
        store.commit(&Changes::new(START).and(Change::InsertEnrollment(Box::new(twin)))).await.unwrap();
    }
    let found = store.relatives(&hints(&hardware), START).await.unwrap();
    let different: std::collections::BTreeSet<_> = found.iter().map(|one| one.id).collect();
    assert_eq!((found.len(), different.len()), (16, 16));
    // Nor do they stand in the way to the machine they pretend to be.
    store.commit(&insert(&machine(1))).await.unwrap();
    assert_eq!(store.lookalikes(&hints(&inventory(1))).await.unwrap().len(), 1);
}

async fn request_without_an_answer_leaves_little_for_a_day(store: Store) {
    let hint_rows = || async {
        let row = sqlx::query("SELECT COUNT(*) AS many FROM hint").fetch_one(&store.writer).await.unwrap();
        sqlx::Row::try_get::<i64, _>(&row, "many").unwrap()
    };
    for (number, text) in [(1, "BBBBBB"), (2, "CCCCCC"), (3, "DDDDDD")] {
        store.commit(&open(number, text, START).1).await.unwrap();
    }
    assert_eq!(hint_rows().await, 3);
    let read = |number: u128| store.enrollment(EnrollmentId(Uuid::from_u128(number)));
    let [cancelled, expired, denied] =
        [read(1).await, read(2).await, read(3).await].map(|one| one.unwrap().unwrap());
    let cause = Cause::system(after(1));
    store.commit(&cancelled.cancel(&cause).unwrap().1).await.unwrap();
    store.commit(&expired.expire("silent", &cause).unwrap().1).await.unwrap();
    store.commit(&denied.deny(None, 0, &cause).unwrap().1).await.unwrap();
    assert_eq!(hint_rows().await, 1);
    assert_eq!(read(1).await.unwrap().unwrap().inventory, Inventory::default());
    assert_eq!(read(3).await.unwrap().unwrap().inventory, inventory(3));
    store.commit(&Changes::new(after(2)).and(Change::ForgetUnanswered(after(2)))).await.unwrap();
    let mut left = Vec::new();
    for number in 1..=3 {
        left.push(read(number).await.unwrap().is_some());
    }
    assert_eq!(left, [false, false, true]);
}

async fn overdue_are_the_old_and_the_uncollected(store: Store) {
    store.commit(&open(1, "BBBBBB", START).1).await.unwrap();
    store.commit(&open(2, "CCCCCC", after(100)).1).await.unwrap();
    store.commit(&open(3, "DDDDDD", after(100)).1).await.unwrap();
    let approved = store.enrollment(EnrollmentId(Uuid::from_u128(3))).await.unwrap().unwrap();
    store.commit(&approve(&approved, after(101))).await.unwrap();
    let mut ids: Vec<u128> =
        store.overdue_enrollments(START).await.unwrap().iter().map(|one| one.id.0.as_u128()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 3]);
}

async fn record_is_swapped_by_whom_read_it_last(store: Store) {
    let record = |body: &str, revision| Record {
        kind: "user".into(),
        key: "admin".into(),
        body: body.into(),
        revision,
    };
    let put = |body: &str, revision| Changes::new(START).and(Change::PutRecord(record(body, revision)));
    let first = store.commit(&put("1", Revision(0))).await.unwrap();
    assert_eq!(conflict(store.commit(&put("x", Revision(0))).await), Some(Conflict::Exists));
    let second = store.commit(&put("2", first)).await.unwrap();
    assert_eq!(conflict(store.commit(&put("x", first)).await), Some(Conflict::Stale));
    assert_eq!(store.record("user", "admin").await.unwrap(), Some(record("2", second)));
    assert_eq!(store.records("user").await.unwrap().len(), 1);
    let delete = Change::DeleteRecord { kind: "user".into(), key: "admin".into() };
    store.commit(&Changes::new(START).and(delete.clone())).await.unwrap();
    assert_eq!(store.record("user", "admin").await.unwrap(), None);
    store.commit(&Changes::new(START).and(delete)).await.expect("what is gone already is no conflict");
    assert_eq!(conflict(store.commit(&put("x", second)).await), Some(Conflict::Stale));
}

async fn what_is_over_is_forgotten(store: Store) {
    store.commit(&open(1, "BBBBBB", START).1).await.unwrap();
    let read = store.enrollment(EnrollmentId(Uuid::from_u128(1))).await.unwrap().unwrap();
    store.commit(&read.cancel(&Cause::system(after(1))).unwrap().1).await.unwrap();
    let forget = |at| {
        Changes::new(at)
            .and(Change::ForgetCodes(at))
            .and(Change::ForgetEnrollments(at))
            .and(Change::ForgetTokens(at))
    };
    store.commit(&forget(after(1))).await.unwrap();
    assert!(store.enrollment(read.id).await.unwrap().is_some());
    store.commit(&forget(after(2))).await.unwrap();
    assert_eq!(store.enrollment(read.id).await.unwrap(), None);
    assert_eq!(store.enrollment_of_code(code("BBBBBB")).await.unwrap(), None);
    store.commit(&open(2, "BBBBBB", after(3)).1).await.unwrap();
}

async fn time_floor_is_the_latest_commit(store: Store) {
    assert_eq!(store.time_floor().await.unwrap(), Timestamp::EPOCH);
    for at in [after(50), after(20)] {
        store.commit(&Changes::new(at)).await.unwrap();
    }
    assert_eq!(store.time_floor().await.unwrap(), after(50));
}

async fn audit_log_is_one_chain_and_an_edit_breaks_it(store: Store) {
    let row =
        |number: u32| AuditRow::new(AuditKind::LookupMiss, &Cause::system(START)).reason(number.to_string());
    for number in 1..=5 {
        store.commit(&Changes::new(START).audit(row(number))).await.unwrap();
    }
    assert_eq!(store.verify_audit().await.unwrap(), 5);
    let rows = store.audit(3, 10).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|entry| (entry.number, entry.row.reason.as_str())).collect();
    assert_eq!(seen, [(4, "4"), (5, "5")]);
    sqlx::query("DELETE FROM audit WHERE number = 5").execute(&store.writer).await.unwrap();
    assert!(matches!(store.verify_audit().await, Err(AuditBreak::At(5))));
    sqlx::query("UPDATE audit SET body = $1 WHERE number = 2")
        .bind(serde_json::to_string(&row(9)).unwrap())
        .execute(&store.writer)
        .await
        .unwrap();
    assert!(matches!(store.verify_audit().await, Err(AuditBreak::At(2))));
}

async fn dropped_commit_is_whole_or_nothing(store: Store) {
    let letters = ["BB", "CC", "DD", "FF", "GG", "HH", "JJ", "KK", "MM", "NN"];
    let mut tried = Vec::new();
    for number in 0..100_u8 {
        let (a, b) = (letters[usize::from(number % 10)], letters[usize::from(number / 10)]);
        let (enrollment, changes) = open(number, &format!("{a}{b}22"), START);
        let patience = async {
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
        };
        // The caller hung up somewhere on the way.
        tokio::select! {
            biased;
            _ = store.commit(&changes) => {}
            () = patience => {}
        }
        tried.push((enrollment.id, changes));
    }
    // Commits come one after the other, so after this one the last is decided too.
    store.commit(&Changes::new(START)).await.unwrap();
    let mut stored = 0;
    for (id, _) in &tried {
        stored += i64::from(store.enrollment(*id).await.unwrap().is_some());
    }
    assert_eq!(store.verify_audit().await.unwrap(), stored);
    for (id, changes) in &tried {
        let again = conflict(store.commit(changes).await);
        assert!(matches!(again, None | Some(Conflict::Exists)), "{id}: {again:?}");
    }
    assert_eq!(store.verify_audit().await.unwrap(), 100);
}

/// The suite, once for each engine.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;
            $(
                #[tokio::test]
                async fn $promise() {
                    let directory = tempfile::tempdir().unwrap();
                    let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
                    super::$promise(store.clone()).await;
                    store.close().await;
                }
            )+
        }

        #[tokio::test]
        async fn postgres_keeps_every_promise() {
            let server = Postgres::start();
            $({
                let url = server.database(&stringify!($promise).chars().take(60).collect::<String>());
                let store = Store::postgres(&url).await.unwrap();
                $promise(store.clone()).await;
                store.close().await;
                println!("{}: kept", stringify!($promise));
            })+
        }
    };
}

contract! {
    enrollment_is_read_as_it_was_written,
    one_key_waits_once,
    code_within_one_slip_of_another_is_refused_for_a_day,
    refused_commit_leaves_nothing,
    of_two_decisions_on_one_revision_the_second_loses,
    racing_approvals_make_one_machine,
    machine_has_its_name_and_key_alone,
    machine_is_found_by_id_key_name_and_hardware,
    new_hardware_replaces_the_old_hints,
    deleted_machine_is_gone_with_key_name_and_hints,
    heartbeats_touch_no_revision,
    relatives_wait_or_were_denied_lately,
    relatives_are_few_however_many_there_are,
    request_without_an_answer_leaves_little_for_a_day,
    overdue_are_the_old_and_the_uncollected,
    token_registers_no_more_than_it_may,
    racing_machines_never_use_a_token_too_often,
    revocation_ends_what_it_covers_whoever_uses_it,
    revocation_never_gives_back_what_another_took,
    latest_token_is_the_one_that_begins_last,
    keys_know_how_much_they_sealed,
    tokens_are_read_in_parts_newest_first,
    number_in_a_mesh_is_had_once,
    number_that_is_given_back_is_given_again,
    mesh_is_cleared_when_nobody_is_in_it,
    machine_that_is_deleted_leaves_its_mesh,
    racing_machines_never_get_one_number,
    nonce_is_used_once_and_in_time,
    racing_machines_use_a_nonce_once,
    commit_that_does_not_come_about_uses_no_nonce,
    machine_has_few_nonces_at_a_time,
    nonces_end_with_their_boot_and_go_with_their_machine,
    nonces_that_are_over_are_forgotten,
    record_is_swapped_by_whom_read_it_last,
    what_is_over_is_forgotten,
    time_floor_is_the_latest_commit,
    audit_log_is_one_chain_and_an_edit_breaks_it,
    audit_rows_are_found_by_machine_kind_and_principal,
    audit_row_that_is_hidden_from_searches_breaks_the_log,
    dropped_commit_is_whole_or_nothing,
    content_is_read_whole_with_its_revision,
    decision_on_other_content_is_refused,
    check_of_machines_never_goes_back,
    jobs_of_a_machine_are_read_newest_first,
    of_two_reports_on_one_revision_the_second_loses,
    log_has_no_gap_and_nothing_twice,
    log_of_many_pieces_is_read_from_any_byte,
    log_ends_at_its_limit,
    a_job_goes_with_its_log_and_leaves_others,
    report_and_log_of_one_decision_are_stored_together,
    runs_are_read_newest_first_and_in_parts,
    of_two_changes_of_a_run_the_second_loses,
    few_runs_of_a_machine_are_kept_and_active_ones_always,
    runs_are_due_while_they_are_active,
    runs_of_machines_that_are_gone_are_forgotten,
    machines_are_listed_by_their_provision_state,
    lists_are_what_looking_at_every_object_gives,
    lists_follow_what_machines_become,
    lists_go_on_behind_a_machine_that_is_gone,
    roles_are_listed_by_what_they_are_made_of,
    searches_find_machines_by_what_they_are_known_by,
    machines_are_found_by_what_they_have_to_do_with,
    one_that_does_not_fit_hinders_nobody,
    later_ones_see_what_earlier_ones_wrote,
    what_follows_comes_in_the_order_of_revisions,
    what_follows_finds_the_commit_on_disk,
    what_is_refused_is_followed_by_nothing,
    what_was_sent_is_stored_before_the_store_closes,
    callers_wait_while_many_are_before_them,
    what_the_database_does_not_take_fails_alone,
}

#[tokio::test]
async fn sqlite_writes_through_to_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
    for (pragma, value) in [("PRAGMA synchronous", "2"), ("PRAGMA busy_timeout", "5000")] {
        let row = sqlx::query(pragma).fetch_one(&store.writer).await.unwrap();
        let found: i64 = sqlx::Row::try_get(&row, 0).unwrap();
        assert_eq!(found.to_string(), value, "{pragma}");
    }
    let row = sqlx::query("PRAGMA journal_mode").fetch_one(&store.writer).await.unwrap();
    assert_eq!(sqlx::Row::try_get::<String, _>(&row, 0).unwrap(), "wal");
}

#[tokio::test]
async fn database_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("muster.db");
    let store = Store::sqlite(&path).await.unwrap();
    let known = i64::try_from(MIGRATIONS.len()).unwrap();
    let later = known + 1;
    let sql = "INSERT INTO schema_version (version) VALUES ($1)";
    sqlx::query(sql).bind(later).execute(&store.writer).await.unwrap();
    store.close().await;
    assert_eq!(
        Store::sqlite(&path).await.unwrap_err().to_string(),
        format!(
            "the database has schema {later}, this version reads up to {known}; \
             use the version that wrote it, or a later one"
        )
    );
}

#[tokio::test]
async fn full_disk_refuses_writes_answers_reads_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
    store.commit(&insert(&machine(1))).await.unwrap();
    let large =
        Record { kind: "blob".into(), key: "k".into(), body: "x".repeat(1 << 20), revision: Revision(0) };
    let changes = Changes::new(START).and(Change::PutRecord(large));
    sqlx::query("PRAGMA max_page_count = 60").execute(&store.writer).await.unwrap();
    assert!(matches!(store.commit(&changes).await, Err(StoreError::Full(_))));
    assert_eq!(store.machines().await.unwrap().len(), 1);
    sqlx::query("PRAGMA max_page_count = 1000000").execute(&store.writer).await.unwrap();
    store.commit(&changes).await.unwrap();
}
