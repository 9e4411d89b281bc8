//! The keys that seal bootstrap tokens, by their lives: a new one every 90 days, on demand, and long
//! before AES-GCM's nonces run short; the old ones open what they sealed until the last of it is
//! over, and are erased then, or at once when they are revoked (`spec/security.md` 3.3).

use super::App;
use super::actor::{Action, Actor};
use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use crate::keys::{KeyState, KeysError};
use crate::report::chain;
use engine::change::{AuditKind, AuditRow, Cause, Changes, KeyUse};
use engine::revocation::TokenMarks;
use engine::time::Timestamp;
use protocol::rest::{self, TOKEN_LIFETIMES};
use std::time::Duration;

/// How long a key seals new tokens.
const SEALS_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How many tokens a key seals.
const SEALS_MOST: u64 = 1 << 24;
/// How long a key outlives its roll at least: tokens may still be on their way into the store.
const RESTS: Duration = Duration::from_secs(3_600);
/// Why a revoked key seals and opens no more.
const REVOKED: &str = "it was revoked";
/// How often a roll is tried: a database may know of revoked keys that a restored ring does not.
const RETRIES: usize = 4;

impl App {
    /// The keys of bootstrap tokens, oldest first; never a key.
    ///
    /// # Errors
    /// `forbidden` without `keys:read`.
    pub(crate) async fn token_keys(&self, actor: &Actor) -> Result<Vec<rest::TokenKey>, AppError> {
        actor.require(Action::KeyRead)?;
        let uses = self.store.key_uses().await?;
        Ok(self.keys.tokens().states().iter().map(|key| view(key, &uses)).collect())
    }

    /// Lets a new key seal from now on. What the old one sealed goes on being accepted.
    ///
    /// # Errors
    /// `conflict` when another roll was faster or too many keys are kept.
    pub(crate) async fn roll_token_key(&self, actor: &Actor) -> Result<rest::TokenKey, AppError> {
        actor.require(Action::KeyRoll)?;
        let current = self.keys.tokens().current();
        if !self.follow(&current, &actor.cause(self.clock.now()), "as asked").await? {
            return Err(AppError::new(AppErrorKind::Conflict, "another roll was faster; look again"));
        }
        let states = self.keys.tokens().states();
        let new = states.iter().find(|key| key.current).ok_or_else(busy)?;
        Ok(view(new, &[]))
    }

    /// Before a token is sealed: a key that is old, was used much or was revoked seals no more.
    pub(super) async fn roll_token_key_if_due(&self) -> Result<(), AppError> {
        for _ in 0..RETRIES {
            let states = self.keys.tokens().states();
            let Some(key) = states.into_iter().find(|key| key.current) else { return Err(busy()) };
            let Some(why) = self.why_due(&key).await? else { return Ok(()) };
            self.follow(&key.kid, &Cause::system(self.clock.now()), why).await?;
        }
        Err(busy())
    }

    async fn why_due(&self, key: &KeyState) -> Result<Option<&'static str>, AppError> {
        let now = self.clock.now();
        let uses = self.store.key_uses().await?;
        let issued = uses.iter().find(|one| one.kid == key.kid).map_or(0, |one| one.issued);
        Ok(if self.is_revoked(&key.kid).await? {
            Some(REVOKED)
        } else if issued >= SEALS_MOST {
            Some("it sealed enough")
        } else if now.since(key.created_at) >= SEALS_FOR {
            Some("90 days old")
        } else {
            None
        })
    }

    async fn is_revoked(&self, kid: &str) -> Result<bool, AppError> {
        // Issued by nobody, at the end of time: only a revocation of the key itself covers it.
        let of_key = TokenMarks {
            jti: String::new(),
            by: String::new(),
            kid: kid.to_owned(),
            issued_at: Timestamp::from_millis(i64::MAX),
        };
        let revocations = self.store.revocations_about(&of_key).await?;
        Ok(revocations.iter().any(|revocation| revocation.covers(&of_key)))
    }

    /// Lets a new key follow `current`. False when another roll was faster.
    async fn follow(&self, current: &str, cause: &Cause, why: &str) -> Result<bool, AppError> {
        // Before the deed, so that no roll goes untold; one that fails is told by the log.
        let row = AuditRow::new(AuditKind::KeyRotated, cause);
        let row = row.reason(format!("token key {current} gives way to the next: {why}"));
        self.commit(Changes::new(cause.at).audit(row), Vec::new()).await?;
        let (tokens, from, at) = (self.keys.tokens(), current.to_owned(), cause.at);
        let rolled = tokio::task::spawn_blocking(move || tokens.roll(&from, at)).await;
        rolled.map_err(AppError::internal)?.map_err(failed)
    }

    /// A key by which tokens can have been sealed.
    ///
    /// # Errors
    /// `not_found`.
    pub(super) async fn require_token_key(&self, kid: &str) -> Result<(), AppError> {
        let kept = self.keys.tokens().states().iter().any(|key| key.kid == kid);
        if kept || self.store.key_uses().await?.iter().any(|key| key.kid == kid) {
            return Ok(());
        }
        Err(AppError::not_found("token keys", kid))
    }

    /// After its revocation: the key seals no more and is erased.
    pub(super) async fn retire_token_key(&self, cause: &Cause, kid: &str) -> Result<(), AppError> {
        if self.keys.tokens().current() == kid {
            self.follow(kid, cause, REVOKED).await?;
        }
        self.erase(kid, cause, REVOKED).await
    }

    /// Erases keys of which every token is over, and revoked ones that are still there: the power may
    /// have gone after the revocation, or the ring came from a backup.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be written.
    pub(super) async fn erase_token_keys(&self) -> Result<(), AppError> {
        let (now, uses) = (self.clock.now(), self.store.key_uses().await?);
        for key in self.keys.tokens().states() {
            if self.is_revoked(&key.kid).await? {
                self.retire_token_key(&Cause::system(now), &key.kid).await?;
            } else if key.rolled_at.is_some_and(|rolled| is_over(&key, rolled, &uses, now)) {
                self.erase(&key.kid, &Cause::system(now), "every token of it is over").await?;
            }
        }
        Ok(())
    }

    async fn erase(&self, kid: &str, cause: &Cause, why: &str) -> Result<(), AppError> {
        let (tokens, erased) = (self.keys.tokens(), kid.to_owned());
        let erased = tokio::task::spawn_blocking(move || tokens.erase(&erased)).await;
        if erased.map_err(AppError::internal)?.map_err(failed)? {
            let row = AuditRow::new(AuditKind::KeyRotated, cause);
            self.audit(row.reason(format!("token key {kid} erased: {why}"))).await?;
        }
        Ok(())
    }
}

/// Whether nothing that a key sealed can be valid any more. One that the store knows nothing of is
/// kept for as long as a token can live: the store may have been lost.
fn is_over(key: &KeyState, rolled: Timestamp, uses: &[KeyUse], now: Timestamp) -> bool {
    let longest = Duration::from_secs(TOKEN_LIFETIMES.into_iter().max().unwrap_or(0));
    let last = uses.iter().find(|one| one.kid == key.kid).map(|one| one.last_expires_at);
    now >= rolled.plus(RESTS) && now >= last.unwrap_or_else(|| rolled.plus(longest))
}

fn view(key: &KeyState, uses: &[KeyUse]) -> rest::TokenKey {
    let used = uses.iter().find(|one| one.kid == key.kid);
    rest::TokenKey {
        kid: key.kid.clone(),
        current: key.current,
        created_at: key.created_at.to_string(),
        rolled_at: key.rolled_at.map(|at| at.to_string()),
        issued: used.map_or(0, |one| one.issued),
        last_expires_at: used.map(|one| one.last_expires_at.to_string()),
    }
}

fn failed(error: KeysError) -> AppError {
    if matches!(error, KeysError::TooManyTokenKeys) {
        return AppError::new(AppErrorKind::Conflict, error.to_string());
    }
    tracing::error!(error = %chain(&error), "the keys of bootstrap tokens cannot be changed");
    AppError::internal(error)
}
