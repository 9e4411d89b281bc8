//! The machine's token, as all that is said to the server carries it. The agent gave the first one, which lasts for hours;
//! a machine's token makes the next one for itself, so that no member ends, and nothing that it holds is let go, because
//! a token ends. The same as a runner of jobs does.
//!
//! The first one is kept: after an absence of the server it may last longer than those that came later. Both
//! conversations with the server share them. Pure: `now` is time since the boot.

use crate::api::rest::{Call, Reply};
use crate::state::retry;
use hyper::Method;
use protocol::rest::MachineToken;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Life of the tokens that are asked for, of which the server may give less; they are renewed at about its half.
const LIFE: Duration = Duration::from_secs(3_600);
/// Pause before a renewal that came to nothing is tried again, and before one after a token that was refused.
const AGAIN: Duration = Duration::from_secs(60);
/// Least time between two renewals, whatever life the server gives.
const LEAST: Duration = Duration::from_secs(5);

/// The token of this moment.
#[derive(Clone)]
pub(super) struct Token(Arc<Mutex<Kept>>);

struct Kept {
    machine: Uuid,
    first: String,
    renewed: Option<String>,
    renew_at: Duration,
}

impl Kept {
    fn current(&self) -> &str {
        self.renewed.as_ref().unwrap_or(&self.first)
    }
}

impl Token {
    /// What the agent gave to this machine. How long it lasts nobody says, so there is another one soon.
    pub(super) fn new(machine: Uuid, first: String) -> Self {
        Self(Arc::new(Mutex::new(Kept { machine, first, renewed: None, renew_at: Duration::ZERO })))
    }

    /// The token itself.
    pub(super) fn reveal(&self) -> String {
        self.lock().current().to_owned()
    }

    /// The server refuses this one. Whether there is another to try.
    pub(super) fn has_another(&self, refused: &str, now: Duration) -> bool {
        let mut kept = self.lock();
        if kept.current() != refused {
            return true;
        }
        let fell_back = kept.renewed.take().is_some();
        if fell_back {
            kept.renew_at = now + AGAIN;
        }
        fell_back
    }

    /// The call that makes the next one, once it is time for that.
    pub(super) fn renewal(&self, now: Duration) -> Option<Call> {
        let mut kept = self.lock();
        if now < kept.renew_at {
            return None;
        }
        kept.renew_at = now + AGAIN;
        let path = format!("/api/v3/machines/{}/token?ttl={}", kept.machine, LIFE.as_secs());
        Some(Call::new(Method::GET, path))
    }

    /// Takes in the answer to that call.
    ///
    /// # Errors
    /// Why there is no other one, in words without it.
    pub(super) fn renewed(&self, reply: &Reply, now: Duration, random: u64) -> Result<(), String> {
        if !reply.status.is_success() {
            return Err(format!("HTTP {}", reply.status));
        }
        // What was read of it is not shown: it may be the token.
        let told = serde_json::from_slice::<MachineToken>(&reply.body);
        let Some(told) = told.ok().filter(|told| !told.token.is_empty()) else {
            return Err("its answer is not understood".to_owned());
        };
        let life = Duration::from_secs(told.expires_in).min(LIFE);
        let mut kept = self.lock();
        kept.renewed = Some(told.token);
        kept.renew_at = now + retry::spread(life / 2, random).max(LEAST);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::talk::tests::reply;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn token() -> Token {
        Token::new(Uuid::from_u128(7), "mmt_first".to_owned())
    }

    fn given(name: &str, expires_in: u64) -> Reply {
        reply(200, &format!(r#"{{"Token":"{name}","ExpiresIn":{expires_in}}}"#))
    }

    #[test]
    fn token_is_renewed_at_once_and_then_at_half_of_its_life() {
        let token = token();
        assert_eq!(
            token.renewal(at(100)).unwrap().path,
            "/api/v3/machines/00000000-0000-0000-0000-000000000007/token?ttl=3600"
        );
        assert!(token.renewal(at(100)).is_none(), "it is asked for");
        token.renewed(&given("mmt_1", 3_600), at(100), 500).unwrap();
        assert_eq!(token.reveal(), "mmt_1");
        assert!(token.renewal(at(1_899)).is_none() && token.renewal(at(1_900)).is_some());
        // The server gives less than was asked for, or a life of no use.
        token.renewed(&given("mmt_2", 600), at(2_000), 500).unwrap();
        assert!(token.renewal(at(2_299)).is_none() && token.renewal(at(2_300)).is_some());
        token.renewed(&given("mmt_3", 0), at(3_000), 500).unwrap();
        assert!(token.renewal(at(3_004)).is_none() && token.renewal(at(3_005)).is_some());
        assert_eq!(token.reveal(), "mmt_3");
    }

    #[test]
    fn renewal_that_comes_to_nothing_changes_nothing_and_is_tried_again() {
        let token = token();
        token.renewal(at(0)).unwrap();
        token.renewed(&given("mmt_1", 3_600), at(0), 500).unwrap();
        for (answer, expected) in [
            (reply(503, "busy"), "HTTP 503 Service Unavailable"),
            (reply(200, "mmt_secret"), "its answer is not understood"),
            (given("", 3_600), "its answer is not understood"),
        ] {
            assert_eq!(token.renewed(&answer, at(1_800), 500).unwrap_err(), expected);
        }
        token.renewal(at(1_800)).unwrap();
        assert!(token.renewal(at(1_859)).is_none() && token.renewal(at(1_860)).is_some());
        assert_eq!(token.reveal(), "mmt_1");
    }

    #[test]
    fn first_token_serves_when_a_later_one_is_refused_and_none_when_both_are() {
        let token = token();
        token.renewal(at(0)).unwrap();
        token.renewed(&given("mmt_1", 3_600), at(0), 500).unwrap();
        assert!(token.has_another("mmt_first", at(10)), "it was sent before there was another");
        assert!(token.has_another("mmt_1", at(10)));
        assert_eq!(token.reveal(), "mmt_first");
        assert!(token.has_another("mmt_1", at(10)), "the other conversation fell back already");
        assert!(!token.has_another("mmt_first", at(10)));
        assert!(token.renewal(at(69)).is_none() && token.renewal(at(70)).is_some());
    }
}
