//! Changes of one object take turns within this process: each would make the others stale, and
//! decide again. What another server on the same database does is found out by the commit.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use tokio::sync::{Mutex, MutexGuard};

/// Objects share this many locks: a few may wait for each other without need.
const LOCKS: usize = 256;

/// Whose turn it is, for every object.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Mutex<()>>);

/// A turn, until it is dropped. Whoever holds one asks for no other of the same [`Turns`].
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held, not looked at")] Option<MutexGuard<'a, ()>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..LOCKS).map(|_| Mutex::new(())).collect())
    }

    /// Waits for the turn to change this object.
    pub(crate) async fn of(&self, object: impl Hash) -> Turn<'_> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(object);
        let lock = usize::try_from(hash % LOCKS as u64).ok().and_then(|at| self.0.get(at));
        match lock {
            Some(lock) => Turn(Some(lock.lock().await)),
            None => Turn(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn one_object_has_one_turn_at_a_time() {
        let turns = Turns::new();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = turns.of(one).await;
        let second = turns.of(one);
        tokio::pin!(second);
        let soon = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(soon, second.as_mut()).await.is_err(), "it waits");
        drop(turns.of(other).await);
        drop(first);
        drop(second.await);
    }
}
