//! The store's promises to callers that write at the same time.

use super::{START, after, insert, machine};
use crate::store::{Conflict, Store, StoreError};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record, Revision};
use engine::machine::Machine;
use futures_util::future::join_all;
use protocol::ids::MachineId;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

fn many(count: u32) -> Vec<Machine> {
    let one = |number: u32| Machine {
        id: MachineId(Uuid::from_u128(u128::from(number) + 1_000)),
        name: format!("many-{number}").parse().unwrap(),
        key: None,
        ..machine(1)
    };
    (0..count).map(one).collect()
}

fn audited(changes: Changes) -> Changes {
    changes.audit(AuditRow::new(AuditKind::LookupMiss, &Cause::system(START)))
}

pub(super) async fn one_that_does_not_fit_hinders_nobody(store: Store) {
    // All are sent before the first is written. Each third has another one's name.
    let mut machines = many(300);
    for number in (2..300).step_by(3) {
        machines[number].name = machines[number - 1].name.clone();
    }
    let sets: Vec<_> = machines.iter().map(|machine| audited(insert(machine))).collect();
    let outcomes = join_all(sets.iter().map(|changes| store.commit(changes))).await;
    let mut revisions = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(revision) => revisions.push(revision.0),
            Err(StoreError::Conflict(Conflict::NameTaken)) => assert_ne!(number % 3, 0),
            Err(error) => panic!("{number}: {error:?}"),
        }
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=200).collect::<Vec<_>>());
    let stored = store.machines().await.unwrap();
    assert_eq!(stored.len(), 200);
    let each: Vec<_> = stored.iter().map(|machine| machine.revision).collect();
    assert_eq!(each.iter().collect::<std::collections::BTreeSet<_>>().len(), 200);
    assert_eq!(store.verify_audit().await.unwrap(), 200);
}

pub(super) async fn later_ones_see_what_earlier_ones_wrote(store: Store) {
    let content = |seen| {
        let pref = Change::SetPref { name: "a".into(), value: "b".into() };
        Changes::new(START).and(pref).on(Revision(seen))
    };
    let sets = [content(0), content(0), content(1), content(1), content(2)];
    let outcomes = join_all(sets.iter().map(|changes| store.commit(changes))).await;
    let revision = |outcome: Result<Revision, StoreError>| outcome.ok().map(|revision| revision.0);
    let revisions: Vec<_> = outcomes.into_iter().map(revision).collect();
    assert_eq!(revisions, [Some(1), None, Some(2), None, Some(3)]);
}

pub(super) async fn what_follows_comes_in_the_order_of_revisions(store: Store) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let writers = many(40).into_iter().map(|machine| {
        let (store, told) = (store.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            let then = move |revision: Revision| {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(revision);
                assert!(revision.0 != 20, "what follows may fail");
            };
            store.commit_then(insert(&machine), then).await.unwrap()
        })
    });
    let mut revisions = Vec::new();
    for answered in join_all(writers).await {
        revisions.push(answered.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(*told.lock().unwrap_or_else(PoisonError::into_inner), revisions);
    assert_eq!(revisions.len(), 40);
    store.commit(&Changes::new(after(1))).await.expect("the writer goes on");
}

pub(super) async fn what_follows_finds_the_commit_on_disk(store: Store) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for machine in many(20) {
        let (id, sender) = (machine.id, sender.clone());
        let follow = move |revision| sender.send((id, revision)).unwrap();
        // The caller goes away once it has sent.
        let mut commit = Box::pin(store.commit_then(insert(&machine), follow));
        assert!(futures_util::poll!(&mut commit).is_pending());
    }
    drop(sender);
    let mut told = 0;
    while let Some((id, revision)) = receiver.recv().await {
        assert_eq!(store.machine(id).await.unwrap().map(|machine| machine.revision), Some(revision));
        told += 1;
    }
    assert_eq!(told, 20);
}

pub(super) async fn what_is_refused_is_followed_by_nothing(store: Store) {
    let stale = Changes::new(START).on(Revision(77));
    let refused = store.commit_then(stale, |_| panic!("nothing was stored")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Stale))));
    assert_eq!(store.commit(&Changes::new(START)).await.unwrap(), Revision(1));
}

pub(super) async fn what_was_sent_is_stored_before_the_store_closes(store: Store) {
    let machines = many(50);
    let sets: Vec<_> = machines.iter().map(insert).collect();
    let mut commits: Vec<_> = sets.iter().map(|changes| Box::pin(store.commit(changes))).collect();
    for commit in &mut commits {
        assert!(futures_util::poll!(commit).is_pending());
    }
    store.close().await;
    for outcome in join_all(commits).await {
        outcome.unwrap();
    }
    let late = store.commit(&Changes::new(START)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
}

/// More than the queue holds: callers wait, nobody is turned away.
pub(super) async fn callers_wait_while_many_are_before_them(store: Store) {
    let changes = Changes::new(START);
    let outcomes = join_all((0..3_000).map(|_| store.commit(&changes))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(store.commit(&changes).await.unwrap(), Revision(3_001));
}

/// A text that one engine does not take is that one caller's error.
pub(super) async fn what_the_database_does_not_take_fails_alone(store: Store) {
    let record = |key: &str, body: &str| {
        let record = Record { kind: "k".into(), key: key.into(), body: body.into(), revision: Revision(0) };
        Changes::new(START).and(Change::PutRecord(record))
    };
    let sets = [record("a", "1"), record("b", "nothing: \0"), record("c", "3")];
    let outcomes = join_all(sets.iter().map(|changes| store.commit(changes))).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    let stored = store.records("k").await.unwrap();
    assert_eq!(stored.len(), 2 + usize::from(outcomes[1].is_ok()));
}
