//! Nonces: the only freshness there is, since no machine's clock is trusted
//! (`spec/security.md` 0.10).
//!
//! A nonce is its time, 16 random bytes and an HMAC over both: making one stores nothing, so
//! nobody can fill a table by asking. The key is of this run alone: what was used before a restart
//! is not remembered, so nothing from before it is accepted, whatever the clock says. The memory of used proofs ([`Replays`]) is bounded. When
//! it forgets, it also raises the floor below which nonces are refused, so that a forgotten
//! proof can never be played again; honest machines are then told `use_nonce` once.

use engine::time::Timestamp;
use protocol::ids::KeyThumbprint;
use protocol::token::{base64url, from_base64url};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a nonce is accepted.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Proofs remembered per generation; two generations are kept, 32 bytes each.
const GENERATION: usize = 250_000;
const BODY: usize = 24;

/// Makes and checks nonces, and remembers the proofs made with them.
pub(crate) struct Nonces {
    key: hmac::Key,
    random: SystemRandom,
    replays: Mutex<Replays>,
}

/// A nonce of ours that is neither too old nor forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fresh;

/// Why a proof may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Not our nonce, or its time is over: ask again with a new one.
    Nonce,
    /// This very proof was used before.
    Replayed,
}

impl Nonces {
    /// `key` is of this run alone.
    pub(crate) fn new(key: hmac::Key, now: Timestamp) -> Self {
        Self { key, random: SystemRandom::new(), replays: Mutex::new(Replays::new(now)) }
    }

    /// A new nonce. Empty when the system gives no randomness, which no proof can then use.
    pub(crate) fn issue(&self, now: Timestamp) -> String {
        let mut random = [0; 16];
        if self.random.fill(&mut random).is_err() {
            tracing::error!("the system gives no random bytes, no nonce can be made");
            return String::new();
        }
        // After a clock that jumped back, the floor is the time: a nonce must be usable.
        let time = now.max(self.lock().floor);
        let mut bytes = time.as_millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(&random);
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        base64url(&bytes)
    }

    /// Whether a nonce is ours and fresh; uses nothing up.
    pub(crate) fn check(&self, nonce: &str, now: Timestamp) -> Result<Fresh, Stale> {
        let time = self.time_of(nonce).ok_or(Stale::Nonce)?;
        self.lock().admit(time, now)
    }

    /// Uses up one proof: its nonce must be ours and fresh, and the pair of key and `jti` new.
    pub(crate) fn redeem(
        &self,
        nonce: &str,
        key: &KeyThumbprint,
        jti: &str,
        now: Timestamp,
    ) -> Result<Fresh, Stale> {
        let time = self.time_of(nonce).ok_or(Stale::Nonce)?;
        let mut preimage = key.0.to_vec();
        preimage.extend_from_slice(jti.as_bytes());
        let digest = ring::digest::digest(&ring::digest::SHA256, &preimage);
        let mut replays = self.lock();
        replays.admit(time, now)?;
        let id = digest.as_ref().first_chunk().copied().unwrap_or_default();
        if replays.insert(id, now) { Ok(Fresh) } else { Err(Stale::Replayed) }
    }

    /// When a nonce of ours was made.
    fn time_of(&self, nonce: &str) -> Option<Timestamp> {
        if nonce.len() > 128 {
            return None;
        }
        let bytes = from_base64url(nonce)?;
        let (body, tag) = bytes.split_at_checked(BODY)?;
        hmac::verify(&self.key, body, tag).ok()?;
        body.first_chunk().copied().map(i64::from_be_bytes).map(Timestamp::from_millis)
    }

    fn lock(&self) -> MutexGuard<'_, Replays> {
        // The state is whole after every statement, so a panic elsewhere leaves nothing torn.
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two generations of used proofs.
struct Replays {
    /// Nonces made before are refused.
    floor: Timestamp,
    /// When the current generation began.
    began: Timestamp,
    current: HashSet<[u8; 16]>,
    previous: HashSet<[u8; 16]>,
}

impl Replays {
    fn new(now: Timestamp) -> Self {
        Self { floor: Timestamp::EPOCH, began: now, current: HashSet::new(), previous: HashSet::new() }
    }

    /// Whether a nonce of this time is still good.
    fn admit(&self, time: Timestamp, now: Timestamp) -> Result<Fresh, Stale> {
        if time < self.floor || now.since(time) > NONCE_LIFETIME { Err(Stale::Nonce) } else { Ok(Fresh) }
    }

    /// Remembers a proof; false when it was used before.
    fn insert(&mut self, id: [u8; 16], now: Timestamp) -> bool {
        if self.current.len() >= GENERATION || now.since(self.began) > NONCE_LIFETIME {
            // Proofs of the generation that goes were used before `began`, with nonces from
            // before that.
            self.floor = self.floor.max(self.began);
            self.began = now.max(self.began);
            self.previous = std::mem::take(&mut self.current);
        }
        !self.previous.contains(&id) && self.current.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const KEY: KeyThumbprint = KeyThumbprint([7; 32]);

    fn after(millis: u64) -> Timestamp {
        NOW.plus(Duration::from_millis(millis))
    }

    fn nonces() -> Nonces {
        Nonces::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]), NOW)
    }

    #[test]
    fn nonce_is_good_for_five_minutes() {
        let nonces = nonces();
        let nonce = nonces.issue(NOW);
        assert_eq!(nonces.redeem(&nonce, &KEY, "a", after(300_000)), Ok(Fresh));
        assert_eq!(nonces.redeem(&nonce, &KEY, "b", after(300_001)), Err(Stale::Nonce));
    }

    #[test]
    fn proof_is_single_use_and_another_key_may_use_the_same_jti() {
        let nonces = nonces();
        let nonce = nonces.issue(NOW);
        assert_eq!(nonces.redeem(&nonce, &KEY, "a", NOW), Ok(Fresh));
        assert_eq!(nonces.redeem(&nonce, &KEY, "a", NOW), Err(Stale::Replayed));
        assert_eq!(nonces.redeem(&nonce, &KeyThumbprint([8; 32]), "a", NOW), Ok(Fresh));
    }

    #[test]
    fn nonces_of_others_and_damaged_ones_are_refused() {
        let nonces = nonces();
        let other = Nonces::new(hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]), NOW);
        let good = nonces.issue(NOW);
        assert_eq!(nonces.redeem(&other.issue(NOW), &KEY, "a", NOW), Err(Stale::Nonce));
        for length in 0..good.len() {
            assert_eq!(nonces.redeem(&good[..length], &KEY, "a", NOW), Err(Stale::Nonce));
        }
        assert_eq!(nonces.redeem(&"A".repeat(10_000), &KEY, "a", NOW), Err(Stale::Nonce));
    }

    #[test]
    fn clock_that_jumps_back_does_not_stop_machines() {
        let nonces = nonces();
        let nonce = nonces.issue(NOW.minus(Duration::from_secs(86_400)));
        assert_eq!(nonces.redeem(&nonce, &KEY, "a", NOW.minus(Duration::from_secs(86_400))), Ok(Fresh));
    }

    #[test]
    fn forgotten_proofs_cannot_be_played_again() {
        let mut replays = Replays::new(NOW);
        let id = |n: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            id
        };
        for n in 0..GENERATION {
            assert!(replays.insert(id(n), after(10)));
        }
        assert!(replays.insert(id(GENERATION), after(20)));
        assert!(!replays.insert(id(0), after(20)), "previous generation is remembered");
        for n in GENERATION + 1..2 * GENERATION + 1 {
            assert!(replays.insert(id(n), after(30)));
        }
        assert_eq!(replays.floor, after(20), "nonces of the first generation are refused from now on");
        assert!(replays.current.len() + replays.previous.len() <= 2 * GENERATION);
    }
}
