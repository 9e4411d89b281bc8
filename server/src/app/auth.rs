//! Who an operator is: passwords, sessions, API tokens.
//!
//! Passwords are Argon2id; sessions and API tokens are random and stored as SHA-256 only. All
//! three live in the store's records, so a restart logs nobody out and a stolen database logs
//! nobody in. Wrong passwords are charged to the pair of account and source, so that nobody
//! can lock anybody else out; an unknown account costs as much time as a known one.

use super::{Action, Actor, App, AppError, AppErrorKind, Rights, UserActor};
use crate::keys;
use crate::limits::{Buckets, Host};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record, Revision};
use engine::time::Timestamp;
use protocol::rest::{ApiToken, LoginRequest, Session};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The first user, who may do everything.
pub(crate) const ADMIN: &str = "admin";
/// File of the data directory with the first user's first password.
const PASSWORD_FILE: &str = "admin-password";
/// How long a session lasts.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// API tokens begin with this, so that scanners and people know one when they see it.
const API_TOKEN_PREFIX: &str = "mst_";
/// Life of an API token when none is asked for, in seconds.
const API_TOKEN_DEFAULT: u64 = 3_600;
/// Longest life of an API token, in seconds.
const API_TOKEN_LONGEST: u64 = 31_536_000;
/// How long a password checked for HTTP Basic need not be checked again.
const BASIC_REMEMBERED: Duration = Duration::from_secs(60);
/// Most remembered Basic credentials.
const BASIC_MOST: usize = 1_000;
/// Longest user name and password that are looked at, in bytes.
const MAX_NAME: usize = 128;
const MAX_PASSWORD: usize = 1_024;
/// Password checks at once: each takes 19 MiB and a processor for tens of milliseconds.
const CHECKS_AT_ONCE: usize = 2;
/// Longest wait for a password check to begin.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);

const USER: &str = "user";
const SESSION: &str = "session";
const API_TOKEN: &str = "api-token";

/// What the log-in keeps in memory.
pub(crate) struct AuthState {
    checks: Arc<Semaphore>,
    failures: Mutex<Buckets<(String, Host)>>,
    basic: Mutex<HashMap<[u8; 32], (Revision, Timestamp)>>,
    basic_key: OnceLock<hmac::Key>,
}

impl std::fmt::Debug for AuthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthState").finish_non_exhaustive()
    }
}

/// A user as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct StoredUser {
    /// Argon2id in PHC form.
    password: String,
}

/// A session or an API token as it is stored under the SHA-256 of its secret.
#[derive(Clone, Serialize, Deserialize)]
struct StoredLogin {
    user: String,
    expires_at: Timestamp,
}

/// Somebody who is logged in, and until when.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn {
    /// Who it is.
    pub(crate) actor: Actor,
    /// End of the session or API token; none for a password.
    pub(crate) expires_at: Option<Timestamp>,
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

impl AuthState {
    pub(crate) fn new() -> Self {
        Self {
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            failures: Mutex::new(Buckets::new(10, Duration::from_secs(30))),
            basic: Mutex::default(),
            basic_key: OnceLock::new(),
        }
    }
}

impl App {
    /// Makes the first user with a random password, written to a file of mode 0600 that is
    /// returned. Does nothing when there is a user already.
    ///
    /// # Errors
    /// When the store or the data directory cannot be written.
    pub(crate) async fn ensure_admin(&self, data_dir: &Path) -> Result<Option<PathBuf>, AppError> {
        // So that the first unknown name does not take longer than the next.
        drop(tokio::task::spawn_blocking(nobodys_hash));
        if self.store.record(USER, ADMIN).await?.is_some() {
            return Ok(None);
        }
        let password = base64url(&keys::random::<18>().map_err(AppError::internal)?);
        let path = data_dir.join(PASSWORD_FILE);
        keys::files::write(&path, format!("{password}\n").as_bytes(), 0o600).map_err(AppError::internal)?;
        let user = StoredUser { password: hash_password(password).await? };
        let now = self.clock.now();
        let record = record(USER, ADMIN, &user)?;
        self.store.commit(&Changes::new(now).and(Change::PutRecord(record))).await?;
        Ok(Some(path))
    }

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
        let cause = Cause {
            principal: format!("user:{}", protocol::inventory::clean_text(&request.username)),
            source: Some(origin.source),
            request_id: origin.request_id.to_owned(),
            at: now,
        };
        if let Err(refused) = self.check_password(&request.username, &request.password, origin.source).await {
            let row = AuditRow::new(AuditKind::SessionRefused, &cause).reason(refused.message.clone());
            self.store.commit(&Changes::new(now).audit(row)).await?;
            return Err(refused);
        }
        self.password_entered(&request.username);
        let secret = base64url(&keys::random::<32>().map_err(AppError::internal)?);
        let expires_at = now.plus(SESSION_LIFETIME);
        let stored = StoredLogin { user: request.username.clone(), expires_at };
        let changes = self
            .forget_expired(SESSION, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(SESSION, &hashed(&secret), &stored)?))
            .audit(AuditRow::new(AuditKind::SessionOpened, &cause));
        self.store.commit(&changes).await?;
        let session = Session {
            csrf_token: self.csrf_token(&secret),
            username: request.username,
            expires_at: expires_at.to_string(),
        };
        Ok(OpenedSession { secret, session, lifetime: SESSION_LIFETIME.as_secs() })
    }

    /// Ends a session. One that is not known is ended already.
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

    /// Who a name and password speak for, by HTTP Basic. A right pair is remembered for a
    /// minute, so that scripts do not wait for Argon2 at every call.
    ///
    /// # Errors
    /// As [`App::login`].
    pub(crate) async fn by_password(
        &self,
        name: &str,
        password: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        let now = self.clock.now();
        let id = self.basic_id(name, password)?;
        let stored = self.store.record(USER, name).await?;
        let remembered = {
            let basic = self.auth.basic.lock().unwrap_or_else(PoisonError::into_inner);
            basic.get(&id).copied()
        };
        let revision = stored.map(|user| user.revision);
        if remembered.is_none_or(|(at, until)| Some(at) != revision || until <= now) {
            self.check_password(name, password, origin.source).await?;
            let mut basic = self.auth.basic.lock().unwrap_or_else(PoisonError::into_inner);
            basic.retain(|_, (_, until)| *until > now);
            if let Some(revision) = revision.filter(|_| basic.len() < BASIC_MOST) {
                basic.insert(id, (revision, now.plus(BASIC_REMEMBERED)));
            }
        }
        self.password_entered(name);
        Ok(LoggedIn { actor: user_actor(name, origin), expires_at: None })
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
    ) -> Result<ApiToken, AppError> {
        caller.actor.require(Action::ApiTokenCreate)?;
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
        let stored = StoredLogin { user: name.to_owned(), expires_at };
        let changes = self
            .forget_expired(API_TOKEN, Changes::new(now))
            .await?
            .and(Change::PutRecord(record(API_TOKEN, &hashed(&secret), &stored)?));
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
        let record = self.store.record(kind, &hashed(secret)).await?.ok_or_else(ended)?;
        let stored: StoredLogin = serde_json::from_str(&record.body).map_err(AppError::internal)?;
        if stored.expires_at <= self.clock.now() || self.store.record(USER, &stored.user).await?.is_none() {
            return Err(ended());
        }
        Ok(LoggedIn { actor: user_actor(&stored.user, origin), expires_at: Some(stored.expires_at) })
    }

    /// Checks a name and password; charges what is wrong to the pair of account and source.
    async fn check_password(&self, name: &str, password: &str, source: IpAddr) -> Result<(), AppError> {
        if name.len() > MAX_NAME || password.len() > MAX_PASSWORD {
            return Err(wrong_password());
        }
        let now = self.clock.now();
        let bucket = (name.to_owned(), Host::of(source));
        // Charged first and given back, so that parallel guesses count too.
        self.failures().take(bucket.clone(), now).map_err(|limited| {
            AppError::new(
                AppErrorKind::TooManyAttempts,
                "too many wrong passwords from here; wait and try again",
            )
            .after(limited.retry_after)
        })?;
        let stored = match self.store.record(USER, name).await? {
            Some(record) => {
                let user: StoredUser = serde_json::from_str(&record.body).map_err(AppError::internal)?;
                Some(user.password)
            }
            None => None,
        };
        let right = self.verify_password(stored, password.to_owned()).await?;
        if !right {
            return Err(wrong_password());
        }
        self.failures().put_back(&bucket);
        Ok(())
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Buckets<(String, Host)>> {
        self.auth.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs Argon2 off the async threads, a few at a time; an unknown user costs the same.
    async fn verify_password(&self, stored: Option<String>, password: String) -> Result<bool, AppError> {
        let permit =
            tokio::time::timeout(CHECK_PATIENCE, Arc::clone(&self.auth.checks).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let busy = AppError::new(AppErrorKind::Unavailable, "too many log-ins at once; try again");
            return Err(busy.after(CHECK_PATIENCE.as_secs()));
        };
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let known = stored.is_some();
            let hash = stored.unwrap_or_else(|| nobodys_hash().to_owned());
            let right = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            right && known
        });
        checked.await.map_err(AppError::internal)
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

    /// Under what a Basic pair is remembered: a MAC with a key of this process, so that memory
    /// holds nothing to guess passwords against.
    fn basic_id(&self, name: &str, password: &str) -> Result<[u8; 32], AppError> {
        let key = match self.auth.basic_key.get() {
            Some(key) => key,
            None => {
                let random = keys::random::<32>().map_err(AppError::internal)?;
                self.auth.basic_key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &random))
            }
        };
        let tag = hmac::sign(key, format!("{name}\0{password}").as_bytes());
        let mut id = [0; 32];
        id.copy_from_slice(tag.as_ref());
        Ok(id)
    }
}

fn user_actor(name: &str, origin: LoginOrigin<'_>) -> Actor {
    Actor::User(UserActor {
        name: name.to_owned(),
        rights: Rights::All,
        source: origin.source,
        request_id: origin.request_id.to_owned(),
    })
}

fn unauthenticated(message: &str) -> AppError {
    AppError::new(AppErrorKind::Unauthenticated, message)
}

fn wrong_password() -> AppError {
    unauthenticated("the user name or the password is wrong")
}

fn hashed(secret: &str) -> String {
    base64url(digest(&SHA256, secret.as_bytes()).as_ref())
}

fn record(kind: &str, key: &str, body: &impl Serialize) -> Result<Record, AppError> {
    Ok(Record {
        kind: kind.to_owned(),
        key: key.to_owned(),
        body: serde_json::to_string(body).map_err(AppError::internal)?,
        revision: Revision::default(),
    })
}

async fn hash_password(password: String) -> Result<String, AppError> {
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hashed.await.map_err(AppError::internal)?.map_err(|error| {
        AppError::new(AppErrorKind::Internal, format!("the password cannot be hashed: {error}"))
    })
}

/// The hash of a password that nobody has, for names that nobody has.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| Argon2::default().hash_password(b"").map(|hash| hash.to_string()).unwrap_or_default())
}
