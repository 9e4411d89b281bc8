//! Sessions and API tokens while they last: when a password was entered last, for what needs that
//! anew; when they were used; their list, and how one of them is ended.

use super::actor::Actor;
use super::auth::{API_TOKEN, LoggedIn, LoginOrigin, SESSION, StoredLogin, cause, record};
use super::events::{Did, Happening};
use super::watch::USER_LOGINS;
use super::{App, AppError, AppErrorKind};
use crate::store::StoreError;
use engine::change::{AuditKind, AuditRow, Change, Changes, Record};
use engine::time::Timestamp;
use protocol::model::Kind;
use protocol::rest::{Login, LoginKind};
use serde_json::Value;
use std::time::Duration;

/// How long a session lasts that nothing is asked in: the browser was closed, or the laptop.
pub(super) const IDLE: Duration = Duration::from_secs(2 * 3_600);
/// How exactly is kept when a log-in was used: so often it is written.
const USE_KEPT: Duration = Duration::from_secs(60);
/// For how long a password counts as entered just now.
pub(crate) const JUST_NOW: Duration = Duration::from_secs(5 * 60);

impl App {
    /// Refuses whoever did not show the password within `within`: for what a session left open, or
    /// a stolen cookie, must not do. A name and password with the request count as entered now, a
    /// token never.
    ///
    /// # Errors
    /// `StepUp`, with what to do.
    pub(crate) fn confirmed_within(&self, login: &LoggedIn, within: Duration) -> Result<(), AppError> {
        let now = self.clock.now();
        if login.confirmed_at.is_some_and(|at| now < at.plus(within)) {
            return Ok(());
        }
        let message = "enter your password for this: in a session by POST /session/confirm, \
                       else with the request itself; a token does not do";
        Err(AppError::new(AppErrorKind::StepUp, message))
    }

    /// Takes the password of whoever is logged in by this session's secret: for five minutes it
    /// counts as entered.
    ///
    /// # Errors
    /// `Forbidden` for a wrong password or a caller without a session, `TooManyAttempts`.
    pub(crate) async fn confirm(
        &self,
        login: &LoggedIn,
        password: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<(), AppError> {
        let forbidden = |message: &str| AppError::new(AppErrorKind::Forbidden, message);
        // A token that was made in a session is not that session.
        let session = login.proof.session().filter(|session| login.key.as_ref() == Some(session));
        let without = || forbidden("only a session is confirmed; send name and password with the request");
        let session = session.ok_or_else(without)?;
        let name = login.actor.name();
        self.check_password(name, password, origin).await.map_err(|error| {
            let is_wrong = error.kind == AppErrorKind::Unauthenticated;
            if is_wrong { forbidden("the password is wrong") } else { error }
        })?;
        self.password_entered(name);
        let now = self.clock.now();
        let row = AuditRow::new(AuditKind::SessionConfirmed, &cause(name, origin, now));
        // Somebody else's request may note its use of the session at the same time.
        for _ in 0..3 {
            let ended = || forbidden("the session has ended; log in again");
            let record = self.store.record(SESSION, session).await?.ok_or_else(ended)?;
            let stored = StoredLogin { confirmed_at: Some(now), ..StoredLogin::read(&record)? };
            let changes = Changes::new(now).and(Change::PutRecord(rewritten(&record, &stored)?));
            match self.commit(changes.audit(row.clone()), Vec::new()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::new(AppErrorKind::Unavailable, "the session is busy; try again").after(1))
    }

    /// Notes that a log-in is used, once a minute at most. That it cannot be noted is no reason to
    /// refuse what was asked.
    pub(super) async fn note_use(&self, found: &Record, stored: &StoredLogin, origin: LoginOrigin<'_>) {
        let now = self.clock.now();
        if stored.used_at.is_some_and(|at| now < at.plus(USE_KEPT)) {
            return;
        }
        let used = StoredLogin { used_at: Some(now), source: Some(origin.source), ..stored.clone() };
        let noted = match rewritten(found, &used) {
            Ok(record) => {
                let changes = Changes::new(now).and(Change::PutRecord(record));
                self.commit(changes, vec![logins_happening(Did::Save, &stored.user)]).await
            }
            Err(error) => return tracing::warn!(%error, "the use of a log-in cannot be written"),
        };
        match noted {
            // Another request noted its use, or ended it.
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => tracing::warn!(%error, "the use of a log-in is not noted"),
        }
    }

    /// What a user is logged in with, newest first: one's own, or for those who may, somebody else's.
    ///
    /// # Errors
    /// `Forbidden`, not found; when the store cannot be read.
    pub(crate) async fn logins(&self, caller: &LoggedIn, name: &str) -> Result<Vec<Login>, AppError> {
        self.check_logins(caller, name)?;
        let mut logins = self.logins_of(name).await?;
        logins.sort_by_key(|(_, _, stored)| std::cmp::Reverse(stored.began_at));
        Ok(logins.iter().map(|(kind, record, stored)| self.shown(caller, *kind, record, stored)).collect())
    }

    /// Ends one of a user's log-ins, and with a session the API tokens it made.
    ///
    /// # Errors
    /// `Forbidden`, not found; when the store cannot be written.
    pub(crate) async fn end_login(&self, caller: &LoggedIn, name: &str, id: &str) -> Result<Login, AppError> {
        self.check_logins(caller, name)?;
        // A token for some of one's roles ends nothing that is good for more.
        caller.actor.may_grant(&self.claims_of(name, None).unwrap_or_default())?;
        let logins = self.logins_of(name).await?;
        let found = logins.iter().find(|(_, record, _)| self.login_id(record) == id);
        let missing = || AppError::new(AppErrorKind::NotFound, "no such log-in; it has ended already");
        let (kind, record, stored) = found.ok_or_else(|| missing().about(Kind::Users.prefix(), name))?;
        let end = Change::DeleteRecord { kind: record.kind.clone(), key: record.key.clone() };
        let now = self.clock.now();
        let row = AuditRow::new(AuditKind::LoginEnded, &caller.actor.cause(now));
        let row = row.reason(format!("{} of {name}, {id}", word(*kind)));
        self.commit(Changes::new(now).and(end).audit(row), vec![logins_happening(Did::Delete, name)]).await?;
        Ok(self.shown(caller, *kind, record, stored))
    }

    /// Refuses whoever may not see them, or nobody's.
    fn check_logins(&self, caller: &LoggedIn, name: &str) -> Result<(), AppError> {
        may_see_logins(&caller.actor, name)?;
        let has = self.content().users.has(name);
        if has { Ok(()) } else { Err(AppError::not_found(Kind::Users.prefix(), name)) }
    }

    async fn logins_of(&self, name: &str) -> Result<Vec<(LoginKind, Record, StoredLogin)>, AppError> {
        let (now, stamp) = (self.clock.now(), self.stamp(name));
        let mut found = Vec::new();
        for (sort, kind) in [(SESSION, LoginKind::Session), (API_TOKEN, LoginKind::ApiToken)] {
            for record in self.store.records(sort).await? {
                let stored = StoredLogin::read(&record)?;
                let holds = stored.stamp.is_none() || stored.stamp == stamp;
                if stored.user == name && holds && !stored.is_over(kind, now) {
                    found.push((kind, record, stored));
                }
            }
        }
        Ok(found)
    }

    fn shown(&self, caller: &LoggedIn, kind: LoginKind, record: &Record, stored: &StoredLogin) -> Login {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Login {
            id: self.login_id(record),
            kind,
            description: stored.description.clone(),
            created_at: text(stored.began_at),
            last_used_at: text(stored.used_at),
            expires_at: stored.expires_at.to_string(),
            source: stored.source,
            roles: stored.roles.clone(),
            current: caller.key.as_ref() == Some(&record.key),
            of_session: stored.session.is_some(),
        }
    }

    /// A name for a log-in that tells nothing of its secret. People type it: it begins with a letter, where a command line
    /// would take a hyphen for an option.
    fn login_id(&self, record: &Record) -> String {
        let label = self.keys.label(&[b"login id", record.kind.as_bytes(), record.key.as_bytes()]);
        format!("l{label}")
    }
}

impl StoredLogin {
    /// Whether it has ended by its time, or a session because nothing was asked in it.
    pub(super) fn is_over(&self, kind: LoginKind, now: Timestamp) -> bool {
        let idle = kind == LoginKind::Session && self.used_at.is_some_and(|at| at.plus(IDLE) <= now);
        self.expires_at <= now || idle
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// `Internal` when it is damaged.
    pub(super) fn read(record: &Record) -> Result<Self, AppError> {
        serde_json::from_str(&record.body).map_err(AppError::internal)
    }
}

/// Refuses whoever may not see what a user is logged in with: one's own, everybody may.
pub(super) fn may_see_logins(actor: &Actor, name: &str) -> Result<(), AppError> {
    if actor.is_user() && actor.name() == name {
        return Ok(());
    }
    actor.may(Kind::Users.prefix(), "logins", name)
}

/// That a log-in of a user began, was used or ended. Which, the list says.
pub(super) fn logins_happening(did: Did, name: &str) -> Happening {
    Happening::other(USER_LOGINS, did.word(), name.to_owned(), &format!("user:{name}"), Value::Null)
}

/// The same record with another body, to be put in its place.
fn rewritten(found: &Record, stored: &StoredLogin) -> Result<Record, AppError> {
    Ok(Record { revision: found.revision, ..record(&found.kind, &found.key, stored)? })
}

const fn word(kind: LoginKind) -> &'static str {
    match kind {
        LoginKind::Session => "session",
        LoginKind::ApiToken => "API token",
    }
}
