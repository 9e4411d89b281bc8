//! Passwords: the first user's, checking them, and remembering checked ones for a minute.
//!
//! Argon2id runs off the async threads, a few at a time. What is wrong is charged to the pair
//! of account and source and to the source, never to the account alone, so that nobody can lock
//! anybody else out; an unknown account costs as much time as a known one.

use super::auth::{LoggedIn, LoginOrigin, cause, claims_of_users, record, unauthenticated, user_actor};
use super::{App, AppError, AppErrorKind};
use crate::keys;
use crate::limits::{Buckets, Host};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use engine::change::{AuditKind, AuditRow, Change, Changes, Revision};
use engine::claims::Claims;
use engine::time::Timestamp;
use protocol::token::base64url;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The first user, who may do everything.
const ADMIN: &str = "admin";
/// File of the data directory with the first user's first password.
const PASSWORD_FILE: &str = "admin-password";
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
/// Sort of the records that hold users.
pub(super) const USER: &str = "user";

/// What checking passwords keeps in memory.
pub(crate) struct Passwords {
    checks: Arc<Semaphore>,
    failures: Mutex<Failures>,
    basic: Mutex<HashMap<[u8; 32], (Revision, Timestamp)>>,
    basic_key: OnceLock<hmac::Key>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// Wrong passwords: of one account from one source, and of one source whatever the account.
struct Failures {
    by_account: Buckets<(String, Host)>,
    by_source: Buckets<Host>,
}

/// A user as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct StoredUser {
    /// Argon2id in PHC form.
    password: String,
    /// When the password was set: bootstrap tokens that the user issued before are dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_from: Option<Timestamp>,
}

/// How a user stands now.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    claims: Claims,
    /// Bootstrap tokens that the user issued before this are dead.
    pub(super) tokens_from: Option<Timestamp>,
}

impl Standing {
    /// Whether the user may still make bootstrap tokens.
    pub(super) fn may_issue(&self) -> bool {
        self.claims.allow("bootstrap", "token", "")
    }
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            failures: Mutex::new(Failures {
                by_account: Buckets::new(10, Duration::from_secs(30)),
                by_source: Buckets::new(50, Duration::from_secs(10)),
            }),
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
        let now = self.clock.now();
        let user = StoredUser { password: hash_password(password).await?, tokens_from: Some(now) };
        let record = record(USER, ADMIN, &user)?;
        self.store.commit(&Changes::new(now).and(Change::PutRecord(record))).await?;
        Ok(Some(path))
    }

    /// How a user stands now; none for one who does not exist.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn user_standing(&self, name: &str) -> Result<Option<Standing>, AppError> {
        let Some(record) = self.store.record(USER, name).await? else { return Ok(None) };
        let user: StoredUser = serde_json::from_str(&record.body).map_err(AppError::internal)?;
        Ok(Some(Standing { claims: claims_of_users(), tokens_from: user.tokens_from }))
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
            let basic = self.passwords.basic.lock().unwrap_or_else(PoisonError::into_inner);
            basic.get(&id).copied()
        };
        let revision = stored.map(|user| user.revision);
        if remembered.is_none_or(|(at, until)| Some(at) != revision || until <= now) {
            self.check_password(name, password, origin).await?;
            let mut basic = self.passwords.basic.lock().unwrap_or_else(PoisonError::into_inner);
            basic.retain(|_, (_, until)| *until > now);
            if let Some(revision) = revision.filter(|_| basic.len() < BASIC_MOST) {
                basic.insert(id, (revision, now.plus(BASIC_REMEMBERED)));
            }
        }
        self.password_entered(name);
        Ok(LoggedIn { actor: user_actor(name, origin), expires_at: None, session: None })
    }

    /// Checks a name and password. What is wrong is charged to the source, and audited.
    pub(super) async fn check_password(
        &self,
        name: &str,
        password: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<(), AppError> {
        let now = self.clock.now();
        let (account, source) = self.charge(name, origin.source, now)?;
        let too_long = name.len() > MAX_NAME || password.len() > MAX_PASSWORD;
        let stored = if too_long { None } else { self.store.record(USER, name).await? };
        let stored = match stored {
            Some(record) => {
                let user: StoredUser = serde_json::from_str(&record.body).map_err(AppError::internal)?;
                Some(user.password)
            }
            None => None,
        };
        if !too_long && self.verify_password(stored, password.to_owned()).await? {
            let mut failures = self.failures();
            failures.by_account.put_back(&account);
            failures.by_source.put_back(&source);
            return Ok(());
        }
        let row = AuditRow::new(AuditKind::SessionRefused, &cause(name, origin, now));
        self.audit(row.reason("wrong name or password")).await?;
        Err(unauthenticated("the user name or the password is wrong"))
    }

    /// Charges an attempt before it is made, so that parallel ones count too; a right password
    /// gives it back.
    fn charge(
        &self,
        name: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<((String, Host), Host), AppError> {
        let source = Host::of(address);
        let account = (name.chars().take(MAX_NAME).collect(), source);
        let mut failures = self.failures();
        let charged = failures.by_source.take(source, now).and_then(|()| {
            let charged = failures.by_account.take(account.clone(), now);
            charged.inspect_err(|_| failures.by_source.put_back(&source))
        });
        charged.map(|()| (account, source)).map_err(|limited| {
            let message = "too many wrong passwords from here; wait and try again";
            AppError::new(AppErrorKind::TooManyAttempts, message).after(limited.retry_after)
        })
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.passwords.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs Argon2 off the async threads, a few at a time; an unknown user costs the same.
    async fn verify_password(&self, stored: Option<String>, password: String) -> Result<bool, AppError> {
        let permit =
            tokio::time::timeout(CHECK_PATIENCE, Arc::clone(&self.passwords.checks).acquire_owned()).await;
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

    /// Under what a Basic pair is remembered: a MAC with a key of this process, so that memory
    /// holds nothing to guess passwords against.
    fn basic_id(&self, name: &str, password: &str) -> Result<[u8; 32], AppError> {
        let key = match self.passwords.basic_key.get() {
            Some(key) => key,
            None => {
                let random = keys::random::<32>().map_err(AppError::internal)?;
                self.passwords.basic_key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &random))
            }
        };
        let tag = hmac::sign(key, format!("{name}\0{password}").as_bytes());
        let mut id = [0; 32];
        id.copy_from_slice(tag.as_ref());
        Ok(id)
    }
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
