//! Who an operator is: sessions and API tokens. Passwords are next door.
//!
//! Both are random and stored as SHA-256 only, among the store's records, so a restart logs
//! nobody out and a stolen database logs nobody in.

use super::password::USER;
use super::{Actor, App, AppError, AppErrorKind, UserActor};
use crate::keys;
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record, Revision};
use engine::claims::Claims;
use engine::time::Timestamp;
use protocol::rest::{ApiToken, LoginRequest, Session};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// How long a session lasts.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// API tokens begin with this, so that scanners and people know one when they see it.
const API_TOKEN_PREFIX: &str = "mst_";
/// Life of an API token when none is asked for, in seconds.
const API_TOKEN_DEFAULT: u64 = 3_600;
/// Longest life of an API token, in seconds.
const API_TOKEN_LONGEST: u64 = 31_536_000;

const SESSION: &str = "session";
const API_TOKEN: &str = "api-token";

/// A session or an API token as it is stored under the SHA-256 of its secret.
#[derive(Clone, Serialize, Deserialize)]
struct StoredLogin {
    user: String,
    expires_at: Timestamp,
    /// Key of the session that an API token came from, and with which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

/// Somebody who is logged in, and until when.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn {
    /// Who it is.
    pub(crate) actor: Actor,
    /// End of the session or API token; none for a password.
    pub(crate) expires_at: Option<Timestamp>,
    /// Key of the session that is behind it, if one is.
    pub(super) session: Option<String>,
}

/// Where a request comes from, for the audit log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginOrigin<'a> {
    /// Address of the peer.
    pub(crate) source: IpAddr,
    /// Id of the request.
    pub(crate) request_id: &'a str,
}

/// A session just opened.
pub(crate) struct OpenedSession {
    /// Value of the cookie.
    pub(crate) secret: String,
    /// What the client is told.
    pub(crate) session: Session,
    /// Seconds it lasts.
    pub(crate) lifetime: u64,
}

impl App {
    /// Opens a session for a name and password.
    ///
    /// # Errors
    /// `Unauthenticated` for any wrong pair, `TooManyAttempts` after ten.
    pub(crate) async fn login(
        &self,
        request: LoginRequest,
        origin: LoginOrigin<'_>,
    ) -> Result<OpenedSession, AppError> {
        let now = self.clock.now();
        self.check_password(&request.username, &request.password, origin).await?;
        self.password_entered(&request.username);
        let secret = base64url(&keys::random::<32>().map_err(AppError::internal)?);
        let expires_at = now.plus(SESSION_LIFETIME);
        let stored = StoredLogin { user: request.username.clone(), expires_at, session: None };
        let changes = self
            .forget_expired(SESSION, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(SESSION, &hashed(&secret), &stored)?))
            .audit(AuditRow::new(AuditKind::SessionOpened, &cause(&request.username, origin, now)));
        self.store.commit(&changes).await?;
        let session = Session {
            csrf_token: self.csrf_token(&secret),
            username: request.username,
            expires_at: expires_at.to_string(),
        };
        Ok(OpenedSession { secret, session, lifetime: SESSION_LIFETIME.as_secs() })
    }

    /// Ends a session, and with it the API tokens it made. One that is not known is ended already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) async fn logout(&self, secret: &str) -> Result<(), AppError> {
        let change = Change::DeleteRecord { kind: SESSION.to_owned(), key: hashed(secret) };
        self.store.commit(&Changes::new(self.clock.now()).and(change)).await?;
        Ok(())
    }

    /// The value that changes in a session must carry: derived, so that it is never stored.
    pub(crate) fn csrf_token(&self, secret: &str) -> String {
        self.keys.label(&[b"csrf", secret.as_bytes()])
    }

    /// Who a session's cookie speaks for.
    ///
    /// # Errors
    /// `Unauthenticated` when it is unknown or over.
    pub(crate) async fn by_session(
        &self,
        secret: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        self.by_secret(SESSION, secret, origin).await
    }

    /// Who an API token speaks for.
    ///
    /// # Errors
    /// `Unauthenticated` when it is unknown or over.
    pub(crate) async fn by_api_token(
        &self,
        token: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        match token.strip_prefix(API_TOKEN_PREFIX) {
            Some(secret) => self.by_secret(API_TOKEN, secret, origin).await,
            None => Err(unauthenticated("the API token is unknown or has ended; get a new one")),
        }
    }

    /// Makes an API token for the caller itself, good for `ttl` seconds but never beyond the
    /// API token or session that asks for it.
    ///
    /// # Errors
    /// `Forbidden` for anybody else's name, `Invalid` for a lifetime out of bounds.
    pub(crate) async fn create_api_token(
        &self,
        caller: &LoggedIn,
        name: &str,
        ttl: Option<u64>,
        origin: LoginOrigin<'_>,
    ) -> Result<ApiToken, AppError> {
        caller.actor.may("users", "token", name)?;
        if caller.actor.principal() != format!("user:{name}") {
            return Err(AppError::new(AppErrorKind::Forbidden, "API tokens are made for oneself only"));
        }
        let ttl = ttl.unwrap_or(API_TOKEN_DEFAULT);
        if !(1..=API_TOKEN_LONGEST).contains(&ttl) {
            let message = format!("ttl must be 1 to {API_TOKEN_LONGEST} seconds");
            return Err(AppError::new(AppErrorKind::Invalid, message));
        }
        let now = self.clock.now();
        let wanted = now.plus(Duration::from_secs(ttl));
        let expires_at = caller.expires_at.map_or(wanted, |end| end.min(wanted));
        let secret = base64url(&keys::random::<32>().map_err(AppError::internal)?);
        let stored = StoredLogin { user: name.to_owned(), expires_at, session: caller.session.clone() };
        let changes = self
            .forget_expired(API_TOKEN, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(API_TOKEN, &hashed(&secret), &stored)?))
            .audit(
                AuditRow::new(AuditKind::ApiTokenIssued, &cause(name, origin, now))
                    .reason(format!("until {expires_at}")),
            );
        self.store.commit(&changes).await?;
        Ok(ApiToken { token: format!("{API_TOKEN_PREFIX}{secret}"), expires_at: expires_at.to_string() })
    }

    async fn by_secret(
        &self,
        kind: &str,
        secret: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        let ended = || unauthenticated("the log-in has ended; log in again");
        let key = hashed(secret);
        let record = self.store.record(kind, &key).await?.ok_or_else(ended)?;
        let stored: StoredLogin = serde_json::from_str(&record.body).map_err(AppError::internal)?;
        if stored.expires_at <= self.clock.now() || self.store.record(USER, &stored.user).await?.is_none() {
            return Err(ended());
        }
        if let Some(session) = &stored.session
            && self.store.record(SESSION, session).await?.is_none()
        {
            return Err(ended());
        }
        let session = if kind == SESSION { Some(key) } else { stored.session };
        Ok(LoggedIn { actor: user_actor(&stored.user, origin), expires_at: Some(stored.expires_at), session })
    }

    /// Drops what has ended, whenever something of the kind begins.
    async fn forget_expired(&self, kind: &str, mut changes: Changes) -> Result<Changes, AppError> {
        let now = self.clock.now();
        for record in self.store.records(kind).await? {
            let ended = serde_json::from_str::<StoredLogin>(&record.body)
                .map_or(true, |login| login.expires_at <= now);
            if ended {
                changes = changes.and(Change::DeleteRecord { kind: kind.to_owned(), key: record.key });
            }
        }
        Ok(changes)
    }
}

pub(super) fn user_actor(name: &str, origin: LoginOrigin<'_>) -> Actor {
    Actor::User(UserActor {
        name: name.to_owned(),
        claims: claims_of_users(),
        source: origin.source,
        request_id: origin.request_id.to_owned(),
    })
}

/// What a user may do. There are no access roles yet: who has an account may do everything.
pub(super) fn claims_of_users() -> Claims {
    Claims::all()
}

pub(super) fn unauthenticated(message: &str) -> AppError {
    AppError::new(AppErrorKind::Unauthenticated, message)
}

fn hashed(secret: &str) -> String {
    base64url(digest(&SHA256, secret.as_bytes()).as_ref())
}

pub(super) fn record(kind: &str, key: &str, body: &impl Serialize) -> Result<Record, AppError> {
    Ok(Record {
        kind: kind.to_owned(),
        key: key.to_owned(),
        body: serde_json::to_string(body).map_err(AppError::internal)?,
        revision: Revision::default(),
    })
}

/// A log-in as the reason for an audit row; the name is anything that somebody typed.
pub(super) fn cause(name: &str, origin: LoginOrigin<'_>, at: Timestamp) -> Cause {
    Cause {
        principal: format!("user:{}", protocol::inventory::clean_text(name)),
        source: Some(origin.source),
        request_id: origin.request_id.to_owned(),
        at,
    }
}
