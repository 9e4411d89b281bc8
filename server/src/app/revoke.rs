//! Bootstrap tokens ended before their time: one of them, a user's, all up to a moment, or all of a
//! key (`spec/security.md` 3.3).
//!
//! A revocation is on disk before it is acknowledged and is read on the way of every registration,
//! here and in every other server on the same database. Some of it is never written down: a token
//! also dies with its issuer, with the issuer's right to make tokens, and with a change of password.

use super::App;
use super::actor::{Action, Actor};
use super::error::{AppError, AppErrorKind};
use super::tokens::SERVER;
use super::users::Standing;
use engine::revocation::{Revocation, Scope, TokenMarks, epoch};
use engine::time::Timestamp;
use protocol::inventory::clean_text;
use protocol::rest::{TokenRevoke, TokenRevoked};
use protocol::token::{from_base64url, redact};

/// Bytes of a token's id.
const JTI_BYTES: usize = 12;
const USER_PREFIX: &str = "user:";

impl App {
    /// Revokes one token, whether or not its row is still there.
    ///
    /// # Errors
    /// `ValidationError` for what cannot be a token's id.
    pub(crate) async fn revoke_token(&self, actor: &Actor, jti: &str) -> Result<TokenRevoked, AppError> {
        actor.require(Action::BootstrapTokenRevoke)?;
        if from_base64url(jti).is_none_or(|bytes| bytes.len() != JTI_BYTES) {
            let shown = clean_text(&redact(jti));
            let message = format!("{shown:?} is no token's id; `muster token list` shows them");
            return Err(AppError::new(AppErrorKind::Invalid, message));
        }
        let now = self.clock.now();
        let revocation = Revocation::new(Scope::Token(jti.to_owned()), now, now);
        let revocation = match self.store.token(jti).await? {
            Some(token) => revocation.until(token.expires_at),
            None => revocation,
        };
        self.revoke(actor, revocation).await
    }

    /// Revokes many tokens at once.
    ///
    /// # Errors
    /// `ValidationError` for a time that is none or is to come, `not_found` for a key that never was.
    pub(crate) async fn revoke_tokens(
        &self,
        actor: &Actor,
        request: TokenRevoke,
    ) -> Result<TokenRevoked, AppError> {
        actor.require(Action::BootstrapTokenRevoke)?;
        let now = self.clock.now();
        match request {
            TokenRevoke::User(name) => {
                if name.is_empty() || clean_text(&name) != name {
                    return Err(AppError::new(AppErrorKind::Invalid, "User must be a user's name"));
                }
                let scope = Scope::User(format!("{USER_PREFIX}{name}"));
                let epoch = epoch(now, self.store.latest_token().await?);
                self.revoke(actor, Revocation::new(scope, epoch, now)).await
            }
            TokenRevoke::Before(text) => {
                let before = match text.as_str() {
                    "now" => epoch(now, self.store.latest_token().await?),
                    text => parse_before(text, now)?,
                };
                self.revoke(actor, Revocation::new(Scope::Server, before, now)).await
            }
            TokenRevoke::Kid(kid) => {
                self.require_token_key(&kid).await?;
                let revoked = self.revoke(actor, Revocation::new(Scope::Key(kid.clone()), now, now)).await?;
                self.retire_token_key(&actor.cause(self.clock.now()), &kid).await?;
                Ok(revoked)
            }
        }
    }

    async fn revoke(&self, actor: &Actor, revocation: Revocation) -> Result<TokenRevoked, AppError> {
        let ended = self.live_tokens_of(&revocation).await?;
        self.commit(revocation.decide(&actor.cause(self.clock.now())), Vec::new()).await?;
        Ok(TokenRevoked { revoked: revocation.in_words(), ended, kept_until: revocation.until.to_string() })
    }

    /// How an authentic token was ended before its time, if it was.
    pub(super) async fn how_revoked(&self, token: &TokenMarks) -> Result<Option<&'static str>, AppError> {
        let revocations = self.store.revocations_about(token).await?;
        if let Some(revocation) = revocations.iter().find(|revocation| revocation.covers(token)) {
            return Ok(Some(match revocation.scope {
                Scope::Token(_) => "it was revoked by itself",
                Scope::User(_) => "all of its issuer's were revoked",
                Scope::Server => "all of its time were revoked",
                Scope::Key(_) => "all of its key were revoked",
            }));
        }
        if token.by == SERVER {
            return Ok(None);
        }
        let Some(standing) = self.standing(&token.by).await? else {
            return Ok(Some("its issuer is gone"));
        };
        Ok(match standing.tokens_from {
            Some(from) if token.issued_at < from => Some("its issuer's password was changed"),
            Some(_) | None if !standing.may_issue() => Some("its issuer may not make tokens any more"),
            Some(_) | None => None,
        })
    }

    /// How a token's issuer stands now; none for one who is gone.
    pub(super) async fn standing(&self, principal: &str) -> Result<Option<Standing>, AppError> {
        match principal.strip_prefix(USER_PREFIX) {
            Some(name) => self.user_standing(name).await,
            None => Ok(None),
        }
    }
}

fn parse_before(text: &str, now: Timestamp) -> Result<Timestamp, AppError> {
    let invalid = |message: String| AppError::new(AppErrorKind::Invalid, message);
    let before: Timestamp =
        text.parse().map_err(|error: engine::time::TimeError| invalid(format!("Before: {error}, or now")))?;
    if before > now {
        return Err(invalid(format!("Before lies ahead: the server's clock says {now}; write now")));
    }
    Ok(before)
}
