//! Passwords: checking them, and remembering checked ones for a minute.
//!
//! Argon2id runs off the async threads, a few at a time. What is wrong is charged to the pair
//! of account and source and to the source, never to the account alone, so that nobody can lock
//! anybody else out; an unknown account costs as much time as a known one.

use super::auth::{LoggedIn, LoginOrigin, Proof, cause, unauthenticated};
use super::{App, AppError, AppErrorKind};
use crate::keys;
use crate::limits::{Buckets, Host};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use engine::change::{AuditKind, AuditRow, Revision};
use engine::time::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is told of any wrong pair.
const WRONG: &str = "the user name or the password is wrong";
/// How long a password checked for HTTP Basic need not be checked again.
const BASIC_REMEMBERED: Duration = Duration::from_secs(60);
/// Most remembered Basic credentials.
const BASIC_MOST: usize = 1_000;
/// Longest user name and password that are looked at, in bytes.
const MAX_NAME: usize = 128;
pub(super) const MAX_PASSWORD: usize = 1_024;
/// Password checks at once: each takes 19 MiB and a processor for tens of milliseconds.
const CHECKS_AT_ONCE: usize = 2;
/// Longest wait for a password check to begin.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);
/// Sort of the records that hold what users log in with.
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

/// What a user logs in with, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Credentials {
    /// Argon2id in PHC form.
    pub(super) password: String,
    /// When the password was set: bootstrap tokens that the user issued before are dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokens_from: Option<Timestamp>,
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
    /// What a user logs in with; none for one who has no password.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn credentials(&self, name: &str) -> Result<Option<(Credentials, Revision)>, AppError> {
        let Some(record) = self.store.record(USER, name).await? else { return Ok(None) };
        let credentials = serde_json::from_str(&record.body).map_err(AppError::internal)?;
        Ok(Some((credentials, record.revision)))
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
        let gone = || unauthenticated(WRONG);
        // Looked at before the password, which may change meanwhile.
        let stamp = self.stamp(name);
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
        let actor = self.user_actor(name, None, origin).ok_or_else(gone)?;
        let proof = Proof::User { stamp: stamp.ok_or_else(gone)?, session: None, roles: None };
        Ok(LoggedIn { actor, expires_at: None, confirmed_at: Some(now), key: None, proof })
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
        let stored = if too_long { None } else { self.credentials(name).await? };
        let stored = stored.map(|(credentials, _)| credentials.password);
        if !too_long && self.verify_password(stored, password.to_owned()).await? {
            let mut failures = self.failures();
            failures.by_account.put_back(&account);
            failures.by_source.put_back(&source);
            return Ok(());
        }
        let row = AuditRow::new(AuditKind::SessionRefused, &cause(name, origin, now));
        self.audit(row.reason("wrong name or password")).await?;
        Err(unauthenticated(WRONG))
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
        let permit = self.turn().await?;
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

    /// The PHC form of a password that is to be stored.
    pub(super) async fn hash_password(&self, password: String) -> Result<String, AppError> {
        let permit = self.turn().await?;
        let hashed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        });
        hashed.await.map_err(AppError::internal)?.map_err(|error| {
            AppError::new(AppErrorKind::Internal, format!("the password cannot be hashed: {error}"))
        })
    }

    /// A turn to use 19 MiB and a processor.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, AppError> {
        let permit = Arc::clone(&self.passwords.checks).acquire_owned();
        match tokio::time::timeout(CHECK_PATIENCE, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let busy = AppError::new(AppErrorKind::Unavailable, "too many log-ins at once; try again");
                Err(busy.after(CHECK_PATIENCE.as_secs()))
            }
        }
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

/// The hash of a password that nobody has, for names that nobody has.
pub(super) fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| Argon2::default().hash_password(b"").map(|hash| hash.to_string()).unwrap_or_default())
}
