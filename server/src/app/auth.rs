//! Who calls: sessions and API tokens, how they begin, and whether they still hold. What comes while
//! they last, passwords, users and machine tokens are next door.
//!
//! Sessions and API tokens are random and stored as SHA-256 only, among the store's records, so a
//! restart logs nobody out and a stolen database logs nobody in. Each remembers the stamp that its
//! user had when it began: another password, another `Secret` or another user of the name has
//! another stamp, which ends it, whatever else happens at the same time.

use super::events::Did;
use super::sessions::{JUST_NOW, logins_happening};
use super::{Actor, App, AppError, AppErrorKind, UserActor};
use crate::hub::{LOGINS, Waiter};
use crate::keys;
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record, Revision};
use engine::claims::Claims;
use engine::lifetime::Lifetime;
use engine::time::Timestamp;
use protocol::inventory::{clean_line, clean_text};
use protocol::model::Kind;
use protocol::rest::{ApiToken, LoginKind, LoginRequest, Session};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// How long a session lasts.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// API tokens begin with this, so that scanners and people know one when they see it.
const API_TOKEN_PREFIX: &str = "mst_";
/// Life of an API token when none is asked for.
const API_TOKEN_DEFAULT: Duration = Duration::from_secs(3_600);
/// Shortest and longest life of an API token.
const API_TOKEN_SHORTEST: Duration = Duration::from_secs(1);
const API_TOKEN_LONGEST: Duration = Duration::from_secs(31_536_000);

/// Longest description of an API token, in characters.
const MAX_DESCRIPTION: usize = 200;

pub(super) const SESSION: &str = "session";
pub(super) const API_TOKEN: &str = "api-token";

/// A session or an API token as it is stored under the SHA-256 of its secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredLogin {
    pub(super) user: String,
    pub(super) expires_at: Timestamp,
    /// Key of the session that an API token came from, and with which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<String>,
    /// The user's stamp; none in what was stored before there were stamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stamp: Option<String>,
    /// Of the user's roles, those that it is good for; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) roles: Option<Vec<String>>,
    /// What an API token is for, in its maker's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    /// When it began; this and what follows is none in what older servers stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began_at: Option<Timestamp>,
    /// When it was used last, to the minute; none for a token that never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used_at: Option<Timestamp>,
    /// From where it was made, or used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<IpAddr>,
    /// When the password was entered last in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) confirmed_at: Option<Timestamp>,
}

/// Somebody who is logged in, and until when.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn {
    /// Who it is.
    pub(crate) actor: Actor,
    /// End of the session or token; none for a password.
    pub(crate) expires_at: Option<Timestamp>,
    /// When the password was entered last; none for a token.
    pub(super) confirmed_at: Option<Timestamp>,
    /// Key of the session or API token itself; none for a password or a machine token.
    pub(super) key: Option<String>,
    /// What shows that it still holds.
    pub(super) proof: Proof,
}

/// What a log-in stands on.
#[derive(Clone)]
pub(super) enum Proof {
    /// A user's password, or a session or API token that came of it.
    User {
        stamp: String,
        /// Key of the session that is behind it, if one is.
        session: Option<String>,
        roles: Option<Vec<String>>,
    },
    /// A machine token.
    MachineToken(String),
}

impl Proof {
    /// Key of the session that is behind it, if one is.
    pub(super) const fn session(&self) -> Option<&String> {
        match self {
            Self::User { session, .. } => session.as_ref(),
            Self::MachineToken(_) => None,
        }
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User { .. } => "User",
            Self::MachineToken(_) => "MachineToken",
        })
    }
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

/// What somebody wants of an API token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ApiTokenWish<'a> {
    /// For whom.
    pub(crate) user: &'a str,
    /// How long it lives.
    pub(crate) ttl: Option<&'a str>,
    /// Roles that it is good for, a comma list; all when empty.
    pub(crate) roles: &'a str,
    /// What it is for.
    pub(crate) description: &'a str,
    /// It outlives the session that makes it.
    pub(crate) lasting: bool,
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
        // Looked at before the password, which may change meanwhile.
        let stamp = self.stamp(&request.username);
        self.check_password(&request.username, &request.password, origin).await?;
        self.password_entered(&request.username);
        let secret = base64url(&keys::random::<32>().map_err(AppError::internal)?);
        let expires_at = now.plus(SESSION_LIFETIME);
        let user = request.username.clone();
        let stored = StoredLogin {
            user,
            expires_at,
            session: None,
            stamp,
            roles: None,
            description: String::new(),
            began_at: Some(now),
            used_at: Some(now),
            source: Some(origin.source),
            confirmed_at: Some(now),
        };
        let changes = self
            .forget_expired(SESSION, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(SESSION, &hashed(&secret), &stored)?))
            .audit(AuditRow::new(AuditKind::SessionOpened, &cause(&request.username, origin, now)));
        self.commit(changes, vec![logins_happening(Did::Create, &request.username)]).await?;
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
        let key = hashed(secret);
        let Some(record) = self.store.record(SESSION, &key).await? else { return Ok(()) };
        let told = logins_happening(Did::Delete, &StoredLogin::read(&record)?.user);
        let change = Change::DeleteRecord { kind: SESSION.to_owned(), key };
        self.commit(Changes::new(self.clock.now()).and(change), vec![told]).await?;
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
        self.by_secret(LoginKind::Session, secret, origin).await
    }

    /// Who a token speaks for: a user's API token or a machine's.
    ///
    /// # Errors
    /// `Unauthenticated` when it is unknown or over.
    pub(crate) async fn by_token(&self, token: &str, origin: LoginOrigin<'_>) -> Result<LoggedIn, AppError> {
        if token.starts_with(keys::MACHINE_TOKEN_PREFIX) {
            return self.by_machine_token(token, origin).await;
        }
        match token.strip_prefix(API_TOKEN_PREFIX) {
            Some(secret) => self.by_secret(LoginKind::ApiToken, secret, origin).await,
            None => Err(unauthenticated("the API token is unknown or has ended; get a new one")),
        }
    }

    /// The same caller with what it may do now; none when the log-in has ended since.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn still(
        &self,
        login: &LoggedIn,
        origin: LoginOrigin<'_>,
    ) -> Result<Option<Actor>, AppError> {
        if login.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Ok(None);
        }
        let (stamp, session, roles) = match &login.proof {
            Proof::User { stamp, session, roles } => (stamp, session, roles),
            Proof::MachineToken(token) => {
                return match self.by_machine_token(token, origin).await {
                    Ok(login) => Ok(Some(login.actor)),
                    Err(error) if error.kind == AppErrorKind::Unauthenticated => Ok(None),
                    Err(error) => Err(error),
                };
            }
        };
        if let Some(session) = session
            && self.store.record(SESSION, session).await?.is_none()
        {
            return Ok(None);
        }
        let name = login.actor.name();
        if self.stamp(name).as_ref() != Some(stamp) {
            return Ok(None);
        }
        Ok(self.user_actor(name, roles.as_deref(), origin))
    }

    /// What may end a log-in, or change what it may do: to be waited for, then [`App::still`] tells.
    pub(crate) fn login_changes(&self, login: &LoggedIn) -> Waiter<'_> {
        self.hub.waiter(match &login.actor {
            Actor::User(_) => LOGINS,
            Actor::Machine(machine) => machine.id.0,
            Actor::MachineToken(token) => token.machine.0,
        })
    }

    /// Makes an API token. It lives no longer than the log-in that asks for it, and ends with its
    /// session, unless it is to last and the password was entered just now. One for somebody else is
    /// for those who may, and may do what that user may.
    ///
    /// # Errors
    /// `Forbidden` for more than the caller may, `StepUp` for a lasting one, not found, `Invalid` for
    /// a lifetime out of bounds, a role that the user does not have or too long a description.
    pub(crate) async fn create_api_token(
        &self,
        caller: &LoggedIn,
        wish: ApiTokenWish<'_>,
    ) -> Result<ApiToken, AppError> {
        let name = wish.user;
        let (stamp, own_roles, session) = match &caller.proof {
            Proof::User { stamp, session, roles } if caller.actor.name() == name => {
                (Some(stamp.clone()), roles.clone(), session.clone())
            }
            proof @ (Proof::User { .. } | Proof::MachineToken(_)) => {
                caller.actor.may(Kind::Users.prefix(), "token", name)?;
                caller.actor.may_grant(&self.claims_of(name, None).unwrap_or_default())?;
                // What the user is given later is not the caller's to have.
                let roles = self.content().users.get(name).map(|user| user.roles.clone());
                (self.stamp(name), roles, proof.session().cloned())
            }
        };
        if stamp.is_none() {
            return Err(AppError::not_found(Kind::Users.prefix(), name));
        }
        let roles = self.roles_of_token(name, own_roles, wish.roles)?;
        let now = self.clock.now();
        let wanted = now.plus(lifetime_of(wish.ttl)?);
        let (expires_at, session) = if wish.lasting {
            self.confirmed_within(caller, JUST_NOW)?;
            (wanted, None)
        } else {
            (caller.expires_at.map_or(wanted, |end| end.min(wanted)), session)
        };
        let secret = base64url(&keys::random::<32>().map_err(AppError::internal)?);
        let stored = StoredLogin {
            user: name.to_owned(),
            expires_at,
            session,
            stamp,
            roles,
            description: described(wish.description)?,
            began_at: Some(now),
            used_at: None,
            source: None,
            confirmed_at: None,
        };
        let row = AuditRow::new(AuditKind::ApiTokenIssued, &caller.actor.cause(now));
        let changes = self
            .forget_expired(API_TOKEN, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(API_TOKEN, &hashed(&secret), &stored)?))
            .audit(row.reason(format!("for {name} until {expires_at}")));
        self.commit(changes, vec![logins_happening(Did::Create, name)]).await?;
        let token = format!("{API_TOKEN_PREFIX}{secret}");
        Ok(ApiToken { token, expires_at: expires_at.to_string(), info: None })
    }

    /// The roles that a token is good for: those that are asked for, as far as the log-in that asks
    /// is good for them.
    fn roles_of_token(
        &self,
        name: &str,
        own: Option<Vec<String>>,
        asked: &str,
    ) -> Result<Option<Vec<String>>, AppError> {
        if asked.is_empty() {
            return Ok(own);
        }
        let content = self.content();
        let held = content.users.get(name).map(|user| user.roles.clone()).unwrap_or_default();
        let asked: Vec<String> = asked.split(',').map(|role| role.trim().to_owned()).collect();
        let has = |role: &String| held.contains(role) && own.as_ref().is_none_or(|own| own.contains(role));
        match asked.iter().find(|role| !has(role)) {
            None => Ok(Some(asked)),
            Some(role) => {
                let message = format!("user {name} has no role {role:?} to give to a token");
                Err(AppError::new(AppErrorKind::Invalid, message).about(Kind::Users.prefix(), name))
            }
        }
    }

    async fn by_secret(
        &self,
        kind: LoginKind,
        secret: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        let ended = || unauthenticated("the log-in has ended; log in again");
        let key = hashed(secret);
        let record = self.store.record(sort_of(kind), &key).await?.ok_or_else(ended)?;
        let stored = StoredLogin::read(&record)?;
        let stamp = self.stamp(&stored.user).ok_or_else(ended)?;
        let another = stored.stamp.as_ref().is_some_and(|begun_with| *begun_with != stamp);
        if stored.is_over(kind, self.clock.now()) || another {
            return Err(ended());
        }
        if let Some(session) = &stored.session
            && self.store.record(SESSION, session).await?.is_none()
        {
            return Err(ended());
        }
        let actor = self.user_actor(&stored.user, stored.roles.as_deref(), origin).ok_or_else(ended)?;
        self.note_use(&record, &stored, origin).await;
        let (expires_at, confirmed_at) = (Some(stored.expires_at), stored.confirmed_at);
        let session = match kind {
            LoginKind::Session => Some(key.clone()),
            LoginKind::ApiToken => stored.session,
        };
        let proof = Proof::User { stamp, session, roles: stored.roles };
        Ok(LoggedIn { actor, expires_at, confirmed_at, key: Some(key), proof })
    }

    /// What a user's log-ins end with: derived, so that it is a name of the secret and no secret.
    /// None for a user who does not exist.
    pub(super) fn stamp(&self, name: &str) -> Option<String> {
        let content = self.content();
        let user = content.users.get(name)?;
        Some(self.keys.label(&[b"login", name.as_bytes(), user.secret.as_bytes()]))
    }

    /// What a user may do, by these of the user's roles or by all.
    pub(super) fn claims_of(&self, name: &str, among: Option<&[String]>) -> Option<Claims> {
        let content = self.content();
        let user = content.users.get(name)?;
        let among = |role: &&String| among.is_none_or(|among| among.contains(role));
        Some(Claims::of_roles(&content, user.roles.iter().filter(among)))
    }

    /// A user as a caller; none for one who does not exist.
    pub(super) fn user_actor(
        &self,
        name: &str,
        roles: Option<&[String]>,
        origin: LoginOrigin<'_>,
    ) -> Option<Actor> {
        let claims = self.claims_of(name, roles)?;
        let (source, request_id) = (origin.source, origin.request_id.to_owned());
        Some(Actor::User(UserActor { name: name.to_owned(), claims, source, request_id }))
    }

    /// Ends everything that a user is logged in with.
    pub(super) async fn end_logins(&self, user: &str, mut changes: Changes) -> Result<Changes, AppError> {
        for kind in [SESSION, API_TOKEN] {
            for record in self.store.records(kind).await? {
                let is_users =
                    serde_json::from_str::<StoredLogin>(&record.body).is_ok_and(|login| login.user == user);
                if is_users {
                    changes = changes.and(Change::DeleteRecord { kind: kind.to_owned(), key: record.key });
                }
            }
        }
        Ok(changes)
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

/// Whether a stored record is somebody's log-in: what websockets that stand on it listen for.
pub(super) fn is_login(kind: &str) -> bool {
    kind == SESSION || kind == API_TOKEN
}

/// Sort of the records that log-ins of a kind are.
const fn sort_of(kind: LoginKind) -> &'static str {
    match kind {
        LoginKind::Session => SESSION,
        LoginKind::ApiToken => API_TOKEN,
    }
}

/// What a token is for, as it is kept.
fn described(text: &str) -> Result<String, AppError> {
    if text.chars().count() > MAX_DESCRIPTION {
        let message = format!("the description of a token has {MAX_DESCRIPTION} characters at most");
        return Err(AppError::new(AppErrorKind::Invalid, message));
    }
    let mut line = text.to_owned();
    clean_line(&mut line, text.len());
    Ok(line)
}

fn lifetime_of(ttl: Option<&str>) -> Result<Duration, AppError> {
    let Some(text) = ttl else { return Ok(API_TOKEN_DEFAULT) };
    let ttl = text.parse::<Lifetime>();
    let ttl = ttl.map_err(|error| AppError::new(AppErrorKind::BadRequest, format!("ttl: {error}")))?;
    match ttl {
        Lifetime::Of(ttl) if (API_TOKEN_SHORTEST..=API_TOKEN_LONGEST).contains(&ttl) => Ok(ttl),
        Lifetime::Of(_) | Lifetime::Never => {
            let message = format!("ttl must be 1 to {} seconds", API_TOKEN_LONGEST.as_secs());
            Err(AppError::new(AppErrorKind::Invalid, message))
        }
    }
}

pub(super) fn unauthenticated(message: &str) -> AppError {
    AppError::new(AppErrorKind::Unauthenticated, message).about(Kind::Users.prefix(), "")
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
        principal: format!("user:{}", clean_text(name)),
        source: Some(origin.source),
        request_id: origin.request_id.to_owned(),
        at,
    }
}
