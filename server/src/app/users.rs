//! Users beside what REST does with any object: the first one, passwords, what a change of rights
//! may hand on, and what goes with a user who is deleted.

use super::auth::{LoggedIn, record};
use super::password::{Credentials, MAX_PASSWORD, USER, nobodys_hash};
use super::{Actor, App, AppError, AppErrorKind};
use crate::keys;
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Record};
use engine::claims::{self, Claims};
use engine::content::{Content, Write};
use engine::time::Timestamp;
use protocol::model::Kind;
use protocol::token::base64url;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The first user, who may do everything.
const ADMIN: &str = "admin";
/// The role that may do everything.
const SUPERUSER: &str = "superuser";
/// File of the data directory with the first user's first password.
const PASSWORD_FILE: &str = "admin-password";
/// Shortest password, in characters; the only rule, since longer is what makes it harder to guess.
const MIN_PASSWORD: usize = 12;

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

impl App {
    /// Makes the first user with a random password, written to a file of mode 0600 that is
    /// returned. Does nothing when there is a user already.
    ///
    /// # Errors
    /// When the store or the data directory cannot be written.
    pub(crate) async fn ensure_admin(&self, data_dir: &Path) -> Result<Option<PathBuf>, AppError> {
        // So that the first unknown name does not take longer than the next.
        drop(tokio::task::spawn_blocking(nobodys_hash));
        let known = self.store.records(USER).await?;
        if !known.is_empty() {
            self.ensure_users(&known).await?;
            return Ok(None);
        }
        let password = base64url(&keys::random::<18>().map_err(AppError::internal)?);
        let path = data_dir.join(PASSWORD_FILE);
        keys::files::write(&path, format!("{password}\n").as_bytes(), 0o600).map_err(AppError::internal)?;
        let now = self.clock.now();
        let credentials =
            Credentials { password: self.hash_password(password).await?, tokens_from: Some(now) };
        let record = record(USER, ADMIN, &credentials)?;
        self.store.commit(&Changes::new(now).and(Change::PutRecord(record.clone()))).await?;
        self.ensure_users(&[record]).await?;
        Ok(Some(path))
    }

    /// Makes the user objects of users who can log in and have none, as servers had them before
    /// there were objects: then there was the first user only.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn ensure_users(&self, known: &[Record]) -> Result<(), AppError> {
        for record in known {
            let content = self.content();
            let name = record.key.as_str();
            if content.users.has(name) {
                continue;
            }
            let roles = if name == ADMIN { vec![SUPERUSER] } else { Vec::new() };
            let user = json!({"Name": name, "Roles": roles, "Description": "Made by the server"});
            let cause = Cause::system(self.clock.now());
            let edit = content.put(Kind::Users, user, Write::Create, &cause, &fresh_secret()?)?;
            self.store.commit(&edit.changes).await?;
            self.load_content().await?;
        }
        Ok(())
    }

    /// Sets a user's password, one's own or, for those who may, somebody else's. Ends everything
    /// that the user is logged in with, and the tokens that the user made.
    ///
    /// # Errors
    /// `Forbidden`, not found, `Invalid` for a password that is too short or too long.
    pub(crate) async fn set_password(
        &self,
        caller: &LoggedIn,
        name: &str,
        password: String,
    ) -> Result<Value, AppError> {
        let actor = &caller.actor;
        if actor.name() != name {
            actor.may(Kind::Users.prefix(), "password", name)?;
        }
        let missing = || AppError::not_found(Kind::Users.prefix(), name);
        // Who sets a password can log in with it; a token for some of one's roles sets none.
        actor.may_grant(&self.claims_of(name, None).ok_or_else(missing)?)?;
        if password.chars().count() < MIN_PASSWORD || password.len() > MAX_PASSWORD {
            let message =
                format!("a password has {MIN_PASSWORD} characters or more, and at most {MAX_PASSWORD} bytes");
            return Err(AppError::new(AppErrorKind::Invalid, message).about(Kind::Users.prefix(), name));
        }
        let password = self.hash_password(password).await?;
        let revision = self.credentials(name).await?.map(|(_, revision)| revision).unwrap_or_default();
        let credentials = Credentials { password, tokens_from: Some(self.clock.now()) };
        let credentials = Record { revision, ..record(USER, name, &credentials)? };
        let secret = fresh_secret()?;
        let (_, after) = self
            .change_content(actor, |content, cause| {
                let mut user = content.show(Kind::Users, name).ok_or_else(missing)?;
                if let Some(fields) = user.as_object_mut() {
                    fields.insert("Secret".to_owned(), secret.clone().into());
                }
                let edit = content.put(Kind::Users, user, Write::Replace(name), cause, &secret)?;
                let row = AuditRow::new(AuditKind::PasswordChanged, cause).reason(format!("of {name}"));
                let changes = edit.changes.and(Change::PutRecord(credentials.clone())).audit(row);
                Ok((edit.content, changes))
            })
            .await?;
        after.show(Kind::Users, name).ok_or_else(missing)
    }

    /// How a user stands now; none for one who does not exist.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn user_standing(&self, name: &str) -> Result<Option<Standing>, AppError> {
        let Some(claims) = self.claims_of(name, None) else { return Ok(None) };
        let tokens_from = match self.credentials(name).await? {
            Some((credentials, _)) => credentials.tokens_from,
            // Whoever had the name before issued what is older.
            None => {
                let content = self.content();
                let user = content.users.get(name);
                user.and_then(|user| user.envelope.created_at.as_deref()?.parse().ok())
            }
        };
        Ok(Some(Standing { claims, tokens_from }))
    }

    /// What must go with a change of the content: nobody hands on rights that they do not have, and
    /// who is deleted or has another secret is logged in no more.
    ///
    /// # Errors
    /// `Forbidden` with the right that the caller does not have; when the store cannot be read.
    pub(super) async fn guard_access(
        &self,
        actor: &Actor,
        before: &Content,
        after: &Content,
        mut changes: Changes,
    ) -> Result<Changes, AppError> {
        actor.may_grant(&claims::granted(before, after))?;
        for user in before.users.iter() {
            let name = user.name.as_str();
            let now = after.users.get(name);
            if now.is_some_and(|now| now.secret == user.secret) {
                continue;
            }
            changes = self.end_logins(name, changes).await?;
            if now.is_none() {
                changes = changes.and(Change::DeleteRecord { kind: USER.to_owned(), key: name.to_owned() });
            }
        }
        Ok(changes)
    }
}

/// A new `Secret` of a user.
fn fresh_secret() -> Result<String, AppError> {
    Ok(base64url(&keys::random::<12>().map_err(AppError::internal)?))
}
