//! What was revoked, and which bootstrap tokens it covers (`spec/security.md` 3.3).
//!
//! Tokens are not stored, so neither is their end: a revocation names one token, or everything
//! that a user, the whole server or a key made before a moment. It is a row that is written before
//! the revocation is acknowledged, read on the way of every registration, and forgotten when
//! nothing it covers can be valid any more.

use crate::admission::AHEAD;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes};
use crate::time::Timestamp;
use protocol::rest::TOKEN_LIFETIMES;
use std::time::Duration;

/// What a revocation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One token, by its `jti`.
    Token(String),
    /// Everything a user issued, by principal (`user:NAME`).
    User(String),
    /// Everything this server issued.
    Server,
    /// Everything a key sealed, by its `kid`.
    Key(String),
}

impl Scope {
    /// The sort of scope, as it is stored.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::User(_) => "user",
            Self::Server => "server",
            Self::Key(_) => "key",
        }
    }

    /// Which one of its sort; empty for the server.
    pub fn subject(&self) -> &str {
        match self {
            Self::Token(subject) | Self::User(subject) | Self::Key(subject) => subject,
            Self::Server => "",
        }
    }

    /// The scope that was stored as these two.
    pub fn read(word: &str, subject: String) -> Option<Self> {
        match word {
            "token" => Some(Self::Token(subject)),
            "user" => Some(Self::User(subject)),
            "server" => Some(Self::Server),
            "key" => Some(Self::Key(subject)),
            _ => None,
        }
    }
}

/// A token as far as revocations look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMarks {
    /// Its id.
    pub jti: String,
    /// Who issued it.
    pub by: String,
    /// Which key sealed it.
    pub kid: String,
    /// When it was issued: whole seconds, as in its claims.
    pub issued_at: Timestamp,
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What it is about.
    pub scope: Scope,
    /// What was issued before this is dead. A single token and a key die whole, whatever the
    /// time in a token says: whoever has a key can write any.
    pub not_before: Timestamp,
    /// When nothing it covers can be valid any more.
    pub until: Timestamp,
}

impl Revocation {
    /// A revocation of everything in scope before `not_before`, as of `now`.
    pub fn new(scope: Scope, not_before: Timestamp, now: Timestamp) -> Self {
        let longest = TOKEN_LIFETIMES.into_iter().max().unwrap_or(0);
        let issued = match scope {
            // Forged or not, a token may begin as late as this.
            Scope::Token(_) | Scope::Key(_) => now.plus(AHEAD),
            Scope::User(_) | Scope::Server => not_before,
        };
        Self { scope, not_before, until: issued.plus(Duration::from_secs(longest)) }
    }

    /// The same about one token of which the end is known.
    #[must_use]
    pub fn until(mut self, end: Timestamp) -> Self {
        self.until = self.until.min(end);
        self
    }

    /// Whether it covers a token.
    pub fn covers(&self, token: &TokenMarks) -> bool {
        match &self.scope {
            Scope::Token(jti) => *jti == token.jti,
            Scope::Key(kid) => *kid == token.kid,
            Scope::User(by) => *by == token.by && token.issued_at < self.not_before,
            Scope::Server => token.issued_at < self.not_before,
        }
    }

    /// In words, for people and the audit log.
    pub fn in_words(&self) -> String {
        match &self.scope {
            Scope::Token(jti) => format!("token {jti}"),
            Scope::User(by) => format!("all tokens of {by} before {}", self.not_before),
            Scope::Server => format!("all tokens before {}", self.not_before),
            Scope::Key(kid) => format!("all tokens of key {kid}"),
        }
    }

    /// What to store.
    pub fn decide(&self, cause: &Cause) -> Changes {
        let row = AuditRow::new(AuditKind::TokenRevoked, cause).reason(self.in_words());
        Changes::new(cause.at).and(Change::Revoke(self.clone())).audit(row)
    }
}

/// The epoch that covers everything issued so far, of which `latest` was the last: a token that was
/// made in the second of another epoch begins a moment after it was made.
pub fn epoch(now: Timestamp, latest: Option<Timestamp>) -> Timestamp {
    latest.map_or(now, |latest| now.max(latest.plus(Duration::from_millis(1))))
}

/// The second from which on a new token of this user and key survives what was revoked so far:
/// now, or the next one, since tokens tell whole seconds and an epoch may lie within this one.
pub fn first_second(now: Timestamp, epochs: impl IntoIterator<Item = Timestamp>) -> u64 {
    let round_up = |epoch: Timestamp| epoch.plus(Duration::from_millis(999)).as_seconds();
    epochs.into_iter().map(round_up).fold(now.as_seconds(), u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_500);

    fn token(jti: &str, by: &str, kid: &str, second: u64) -> TokenMarks {
        TokenMarks {
            jti: jti.into(),
            by: by.into(),
            kid: kid.into(),
            issued_at: Timestamp::from_seconds(second),
        }
    }

    fn scopes() -> [Scope; 4] {
        [Scope::Token("j".into()), Scope::User("user:eve".into()), Scope::Server, Scope::Key("k1".into())]
    }

    #[test]
    fn each_scope_covers_its_own_and_nothing_else() {
        let covered = |token: &TokenMarks| {
            scopes().map(|scope| Revocation::new(scope, NOW, NOW).covers(token)).to_vec()
        };
        let (before, after) = (1_800_000_000, 1_800_000_001);
        assert_eq!(covered(&token("j", "user:adam", "k2", after)), [true, false, false, false]);
        assert_eq!(covered(&token("i", "user:eve", "k2", before)), [false, true, true, false]);
        assert_eq!(covered(&token("i", "user:eve", "k2", after)), [false, false, false, false]);
        assert_eq!(covered(&token("i", "user:adam", "k1", after)), [false, false, false, true]);
    }

    #[test]
    fn scope_is_read_as_it_was_written() {
        for scope in scopes() {
            assert_eq!(Scope::read(scope.word(), scope.subject().to_owned()), Some(scope));
        }
        assert_eq!(Scope::read("realm", String::new()), None);
    }

    #[test]
    fn revocation_says_what_it_does() {
        let told = scopes().map(|scope| Revocation::new(scope, NOW, NOW).in_words());
        assert_eq!(
            told,
            [
                "token j",
                "all tokens of user:eve before 2027-01-15T08:00:00.500Z",
                "all tokens before 2027-01-15T08:00:00.500Z",
                "all tokens of key k1",
            ]
        );
    }

    proptest! {
        #[test]
        fn new_token_is_never_born_dead(epochs in proptest::collection::vec(0_i64..4_000, 0..4), now in 4_000_i64..5_000) {
            let at = |millis: i64| Timestamp::from_millis(millis);
            let second = first_second(at(now), epochs.iter().copied().map(at));
            let born = token("i", "user:eve", "k2", second);
            for epoch in epochs {
                for scope in [Scope::User("user:eve".into()), Scope::Server] {
                    prop_assert!(!Revocation::new(scope, at(epoch), at(now)).covers(&born));
                }
            }
            prop_assert!(second <= at(now).as_seconds() + 1);
        }

        #[test]
        fn everything_issued_so_far_is_covered_however_fast_epochs_follow_each_other(
            pauses in proptest::collection::vec((0_u64..400, any::<bool>()), 1..20),
        ) {
            let (mut now, mut epochs, mut issued) = (NOW, Vec::new(), Vec::new());
            for (pause, issue) in pauses {
                now = now.plus(Duration::from_millis(pause));
                if issue {
                    issued.push(first_second(now, epochs.iter().copied()));
                    continue;
                }
                let latest = issued.iter().copied().max().map(Timestamp::from_seconds);
                epochs.push(epoch(now, latest));
                let revocation = Revocation::new(Scope::Server, epoch(now, latest), now);
                for second in &issued {
                    prop_assert!(revocation.covers(&token("j", "user:eve", "k1", *second)));
                }
                let next = first_second(now, epochs.iter().copied());
                prop_assert!(!revocation.covers(&token("j", "user:eve", "k1", next)));
            }
        }

        #[test]
        fn revocation_outlives_everything_it_covers(
            scope in 0_usize..4, epoch in 0_u64..2_000,
            iat in prop_oneof![0_u64..2_000, Just(2_000 + AHEAD.as_secs())],
            lifetime in prop_oneof![0_u64..=31_536_000, Just(31_536_000)],
        ) {
            let now = Timestamp::from_seconds(2_000);
            let revocation = Revocation::new(scopes()[scope].clone(), Timestamp::from_seconds(epoch), now);
            let token = token("j", "user:eve", "k1", iat);
            if revocation.covers(&token) {
                prop_assert!(revocation.until >= Timestamp::from_seconds(iat + lifetime));
            }
        }
    }
}
