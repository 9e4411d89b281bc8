//! Bootstrap tokens for whoever boots and is not known: a fresh one for each file that has one in it,
//! until so many are asked for that it cannot be machines.

use super::super::App;
use super::super::error::AppError;
use super::super::tokens::SERVER;
use crate::limits::Buckets;
use engine::admission::Terms;
use engine::change::Cause;
use engine::time::Timestamp;
use protocol::token::BootstrapToken;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Tokens that may be sealed at once, and the time after which there may be one more. Each is a row of
/// the database for a week and one of the audit log for ever, and nobody has to log in for it: whoever
/// fetches menus all day makes 20 MB of them and no more.
const BURST: u32 = 64;
const EVERY: Duration = Duration::from_secs(2);
/// How long the last token is handed again when there are none: at most so long, and no more than a
/// quarter of its life.
const SHORTEST_AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: Duration = Duration::from_secs(20);

/// What may be sealed, and what was last.
pub(super) struct Tokens(Mutex<State>);

struct State {
    room: Buckets<()>,
    last: Option<Handed>,
}

struct Handed {
    token: BootstrapToken,
    at: Timestamp,
    lifetime: Duration,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { room: Buckets::new(BURST, EVERY), last: None }))
    }

    /// The last token, when there is no room for another one and it has most of its life left.
    fn again(&self, lifetime: Duration, now: Timestamp) -> Option<BootstrapToken> {
        let mut state = self.lock();
        if state.room.take((), now).is_ok() {
            return None;
        }
        let fresh = (lifetime / 4).clamp(SHORTEST_AGAIN, LONGEST_AGAIN);
        let last = state.last.as_ref()?;
        (last.lifetime == lifetime && now.since(last.at) < fresh).then(|| last.token.clone())
    }

    fn handed(&self, token: &BootstrapToken, lifetime: Duration, at: Timestamp) {
        self.lock().last = Some(Handed { token: token.clone(), at, lifetime });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// A bootstrap token for whoever boots: it registers machines and nothing else.
    pub(super) async fn token_for_anybody(&self, lifetime: Duration) -> Result<BootstrapToken, AppError> {
        let now = self.clock.now();
        if let Some(token) = self.boot.tokens.again(lifetime, now) {
            return Ok(token);
        }
        let (sealed, issued) = self.new_token(SERVER, lifetime.as_secs(), Terms::default()).await?;
        self.keep_token(&Cause::system(now), issued).await?;
        self.boot.tokens.handed(&sealed.token, lifetime, now);
        Ok(sealed.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> BootstrapToken {
        format!("{}..{}.{}.{}", "eyJhIjoxfQ", "A".repeat(16), "AA", "A".repeat(22)).parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000 + seconds)
    }

    #[test]
    fn flood_gets_one_token_that_has_most_of_its_life_left() {
        let tokens = Tokens::new();
        let lifetime = Duration::from_secs(600);
        for _ in 0..BURST {
            assert_eq!(tokens.again(lifetime, at(0)), None, "a fresh one for each");
            tokens.handed(&token(), lifetime, at(0));
        }
        assert!((0..1_000).all(|_| tokens.again(lifetime, at(0)).is_some()));
        // One more after two seconds.
        assert_eq!(tokens.again(lifetime, at(0).plus(EVERY)), None);
        assert!(tokens.again(lifetime, at(0).plus(EVERY)).is_some());
        // Preferences changed meanwhile: what was handed does not live as long as is wanted.
        assert_eq!(tokens.again(Duration::from_secs(60), at(0).plus(EVERY)), None);
    }

    #[test]
    fn short_life_is_not_handed_again_for_long() {
        for (lifetime, handed_again) in [(0, 0), (4, 0), (40, 9), (600, 19), (1_000_000, 19)] {
            let tokens = Tokens::new();
            let lifetime = Duration::from_secs(lifetime);
            // Nobody waits for room: at this moment there is none.
            while tokens.lock().room.take((), at(handed_again + 1)).is_ok() {}
            tokens.handed(&token(), lifetime, at(0));
            assert_eq!(tokens.again(lifetime, at(handed_again + 1)), None, "{lifetime:?}");
            assert!(tokens.again(lifetime, at(handed_again)).is_some(), "{lifetime:?}");
        }
    }
}
