//! The store's promises about boot nonces.

use super::{START, after, conflict, insert, machine};
use crate::store::{Conflict, Store};
use engine::boot_nonce::{GivenNonce, MAX_LIVE_NONCES, NonceDigest};
use engine::change::{Change, Changes};
use engine::time::Timestamp;
use protocol::ids::MachineId;
use std::time::Duration;
use uuid::Uuid;

fn id(number: u128) -> MachineId {
    MachineId(Uuid::from_u128(number))
}

fn nonce(number: u8, of: u128, end: u64) -> GivenNonce {
    GivenNonce { digest: NonceDigest([number; 32]), machine: id(of), expires_at: after(end) }
}

async fn give(store: &Store, nonce: GivenNonce, at: Timestamp) -> Option<Conflict> {
    conflict(store.commit(&Changes::new(at).and(Change::GiveNonce(nonce))).await)
}

async fn spend(store: &Store, nonce: GivenNonce, at: Timestamp) -> Option<Conflict> {
    conflict(store.commit(&Changes::new(at).and(Change::UseNonce(nonce.digest))).await)
}

pub(super) async fn nonce_is_used_once_and_in_time(store: Store) {
    let (one, other) = (nonce(1, 7, 60), nonce(2, 7, 60));
    for given in [one, other] {
        assert_eq!(give(&store, given, START).await, None);
        assert_eq!(store.nonce(given.digest).await.unwrap(), Some(given));
    }
    assert_eq!(spend(&store, one, after(59)).await, None);
    assert_eq!(spend(&store, one, after(59)).await, Some(Conflict::NonceUsed));
    assert_eq!(store.nonce(one.digest).await.unwrap(), None);
    assert_eq!(spend(&store, other, after(60)).await, Some(Conflict::NonceUsed), "its time is over");
    assert_eq!(spend(&store, nonce(3, 7, 60), START).await, Some(Conflict::NonceUsed), "never given");
}

pub(super) async fn racing_machines_use_a_nonce_once(store: Store) {
    assert_eq!(give(&store, nonce(1, 7, 60), START).await, None);
    let races: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { spend(&store, nonce(1, 7, 60), after(1)).await.is_none() })
        })
        .collect();
    let mut winners = 0;
    for race in races {
        winners += u32::from(race.await.unwrap());
    }
    assert_eq!(winners, 1);
}

pub(super) async fn commit_that_does_not_come_about_uses_no_nonce(store: Store) {
    store.commit(&insert(&machine(7))).await.unwrap();
    assert_eq!(give(&store, nonce(1, 7, 60), START).await, None);
    // As it was before it was stored: decided on a revision that is over.
    let stale = Changes::new(after(1))
        .and(Change::UseNonce(nonce(1, 7, 60).digest))
        .and(Change::UpdateMachine(Box::new(machine(7))));
    assert_eq!(conflict(store.commit(&stale).await), Some(Conflict::Stale));
    assert_eq!(spend(&store, nonce(1, 7, 60), after(1)).await, None);
}

pub(super) async fn machine_has_few_nonces_at_a_time(store: Store) {
    for number in 0..u8::try_from(MAX_LIVE_NONCES).unwrap() {
        assert_eq!(give(&store, nonce(number, 7, 60), START).await, None);
    }
    assert_eq!(give(&store, nonce(100, 7, 60), after(59)).await, Some(Conflict::NoncesOut));
    assert_eq!(give(&store, nonce(101, 8, 60), START).await, None, "another machine's");
    assert_eq!(spend(&store, nonce(0, 7, 60), after(1)).await, None);
    assert_eq!(give(&store, nonce(102, 7, 60), after(1)).await, None, "one was used");
    assert_eq!(give(&store, nonce(103, 7, 120), after(60)).await, None, "the others are over");
}

pub(super) async fn nonces_end_with_their_boot_and_go_with_their_machine(store: Store) {
    store.commit(&insert(&machine(7))).await.unwrap();
    for (number, of) in [(1, 7), (2, 7), (3, 8)] {
        assert_eq!(give(&store, nonce(number, of, 60), START).await, None);
    }
    store.commit(&Changes::new(START).and(Change::EndNonces(id(7)))).await.unwrap();
    assert_eq!(store.nonce(nonce(1, 7, 60).digest).await.unwrap(), None);
    assert_eq!(store.nonce(nonce(2, 7, 60).digest).await.unwrap(), None);
    assert!(store.nonce(nonce(3, 8, 60).digest).await.unwrap().is_some());
    assert_eq!(give(&store, nonce(4, 7, 60), START).await, None);
    let stored = store.machine(id(7)).await.unwrap().unwrap();
    let gone = Change::DeleteMachine { id: id(7), revision: stored.revision };
    store.commit(&Changes::new(START).and(gone)).await.unwrap();
    assert_eq!(store.nonce(nonce(4, 7, 60).digest).await.unwrap(), None);
}

pub(super) async fn nonces_that_are_over_are_forgotten(store: Store) {
    assert_eq!(give(&store, nonce(1, 7, 60), START).await, None);
    let forget = |at| Changes::new(at).and(Change::ForgetNonces(at));
    store.commit(&forget(after(60))).await.unwrap();
    assert!(store.nonce(nonce(1, 7, 60).digest).await.unwrap().is_some());
    store.commit(&forget(after(60).plus(Duration::from_millis(1)))).await.unwrap();
    assert_eq!(store.nonce(nonce(1, 7, 60).digest).await.unwrap(), None);
}
