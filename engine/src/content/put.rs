//! The next snapshot: an object written, or removed, with what is to be stored for it.

use super::builtin::SUPERUSER;
use super::json::{key_of, parse};
use super::load::belongs_to;
use super::prefs::DEFAULT_MESH;
use super::rules::{Rules, of_kind};
use super::{Content, Object};
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes, StoredObject};
use crate::params::GLOBAL;
use crate::problem::{Problem, ProblemKind};
use protocol::model::{Envelope, Kind, WRITABLE_BUNDLE};
use serde_json::Value;

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// There is none of its key yet.
    Create,
    /// It replaces the one of this key, as a whole.
    Replace(&'a str),
}

/// A change of the content that was decided, to be committed and told.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The next snapshot. Its revision is still that of the one before: the commit gives it.
    pub content: Content,
    /// What to store.
    pub changes: Changes,
    /// The object concerned.
    pub key: String,
    /// The object before, as REST shows it.
    pub before: Option<Value>,
    /// The object after, as REST shows it.
    pub after: Option<Value>,
}

impl Content {
    /// Writes an object. `value` has the model's field names and is the whole object; fields of
    /// the server's own are ignored. `fresh` is random text for a secret that is needed.
    ///
    /// # Errors
    /// Everything that speaks against it.
    pub fn put(
        &self,
        kind: Kind,
        value: Value,
        write: Write<'_>,
        cause: &Cause,
        fresh: &str,
    ) -> Result<Edit, Problem> {
        let key = match write {
            Write::Create => key_of(kind, &value),
            Write::Replace(key) => key.to_owned(),
        };
        let before = self.show(kind, &key);
        self.may_write(kind, &key, write, before.is_some())?;
        let mut content = self.clone();
        let written = of_kind!(kind, T => content.set::<T>(value, write, cause, fresh)?, {
            return Err(no_content(kind, &key));
        });
        content.keeps_an_administrator(self, kind, &key)?;
        let after = content.show(kind, &key);
        let mut changes = Changes::new(cause.at).on(self.revision);
        changes.list.extend(written);
        changes.list.extend(self.mesh_given_up(kind, &key, &content));
        Ok(Edit { content, changes: audited(changes, kind, &key, "written", cause), key, before, after })
    }

    /// Puts an object of a bundle in its place, checked as [`Content::put`] checks, whatever was
    /// there. Another bundle than the writable one makes it read-only.
    ///
    /// # Errors
    /// Everything that speaks against it; the snapshot is as it was then.
    pub fn place(
        &mut self,
        kind: Kind,
        value: Value,
        bundle: &str,
        cause: &Cause,
    ) -> Result<StoredObject, Problem> {
        let key = key_of(kind, &value);
        of_kind!(kind, T => {
            let object: T = read(kind, &key, value)?;
            self.admit(object, bundle, cause)
        }, Err(no_content(kind, &key)))
    }

    /// Removes an object. `used_by_machines` says whether any machine names it.
    ///
    /// # Errors
    /// When there is none, when it is read-only, or when something needs it.
    pub fn remove(
        &self,
        kind: Kind,
        key: &str,
        used_by_machines: bool,
        cause: &Cause,
    ) -> Result<Edit, Problem> {
        let Some(before) = self.show(kind, key) else {
            let message = format!("{} {key} does not exist", kind.noun());
            return Err(Problem::new(ProblemKind::NotFound, kind, key, message));
        };
        self.refuse_read_only(kind, key)?;
        let users = self.needed_by(kind, key, used_by_machines);
        if !users.is_empty() {
            return Err(Problem {
                kind: ProblemKind::InUse,
                model: kind.prefix(),
                key: key.to_owned(),
                messages: users,
            });
        }
        let mut content = self.clone();
        of_kind!(kind, T => T::leave(&mut content, key), return Err(no_content(kind, key)));
        content.keeps_an_administrator(self, kind, key)?;
        let change = Change::DeleteObject { kind, key: key.to_owned() };
        let mut changes = Changes::new(cause.at).on(self.revision).and(change);
        changes.list.extend(self.mesh_given_up(kind, key, &content));
        let changes = audited(changes, kind, key, "deleted", cause);
        Ok(Edit { content, changes, key: key.to_owned(), before: Some(before), after: None })
    }

    fn may_write(&self, kind: Kind, key: &str, write: Write<'_>, exists: bool) -> Result<(), Problem> {
        let noun = kind.noun();
        match write {
            Write::Create if exists => {
                let message = format!("{noun} {key} exists already");
                Err(Problem::new(ProblemKind::Exists, kind, key, message))
            }
            Write::Replace(_) if !exists => {
                let message = format!("{noun} {key} does not exist");
                Err(Problem::new(ProblemKind::NotFound, kind, key, message))
            }
            Write::Create => Ok(()),
            Write::Replace(_) => self.refuse_read_only(kind, key),
        }
    }

    fn refuse_read_only(&self, kind: Kind, key: &str) -> Result<(), Problem> {
        let envelope = of_kind!(kind, T => T::shelf(self).get(key).map(|object| object.envelope()), None);
        match envelope.filter(|envelope| envelope.read_only) {
            None => Ok(()),
            Some(Envelope { bundle, .. }) => {
                let message = format!("{} {key} belongs to {bundle}, which is read-only", kind.noun());
                Err(Problem::new(ProblemKind::ReadOnly, kind, key, message))
            }
        }
    }

    fn set<T: Rules>(
        &mut self,
        value: Value,
        write: Write<'_>,
        cause: &Cause,
        fresh: &str,
    ) -> Result<Vec<Change>, Problem> {
        let key = match write {
            Write::Create => key_of(T::KIND, &value),
            Write::Replace(key) => key.to_owned(),
        };
        let mut object: T = read(T::KIND, &key, value)?;
        if object.key() != key {
            let message =
                format!("{} cannot be changed; make another {}", T::KIND.key_field(), T::KIND.noun());
            return Err(Problem::new(ProblemKind::Invalid, T::KIND, key, message));
        }
        let preference = object.preference();
        let old = T::shelf(self).get(&key).cloned();
        object.fill(old.as_deref(), fresh);
        let mut written = vec![Change::PutObject(self.admit(object, WRITABLE_BUNDLE, cause)?)];
        written.extend(preference.and_then(|(name, wanted)| self.prefer(name, &key, wanted)));
        Ok(written)
    }

    /// Makes an object the value of a preference, or no more.
    fn prefer(&mut self, name: &str, key: &str, wanted: bool) -> Option<Change> {
        if (self.pref(name) == key) == wanted {
            return None;
        }
        let (name, value) = (name.to_owned(), if wanted { key.to_owned() } else { String::new() });
        self.prefs.insert(name.clone(), value.clone());
        Some(Change::SetPref { name, value })
    }

    /// Checks an object and puts it on its shelf.
    fn admit<T: Rules>(
        &mut self,
        mut object: T,
        bundle: &str,
        cause: &Cause,
    ) -> Result<StoredObject, Problem> {
        let old = T::shelf(self).get(object.key()).cloned();
        Problem::unless_valid(T::KIND, object.key(), object.problems(old.as_deref(), self))?;
        sign(object.envelope_mut(), old.as_ref().map(|old| old.envelope()), cause);
        belongs_to(object.envelope_mut(), bundle);
        let body = match serde_json::to_string(&object) {
            Ok(body) => body,
            Err(error) => {
                return Err(Problem::new(ProblemKind::Invalid, T::KIND, object.key(), error.to_string()));
            }
        };
        let (key, bundle) = (object.key().to_owned(), object.envelope().bundle.clone());
        object.enter(self);
        Ok(StoredObject { kind: T::KIND, key, bundle, body })
    }

    /// What an object is needed for, so that it cannot be removed.
    pub(super) fn needed_by(&self, kind: Kind, key: &str, used_by_machines: bool) -> Vec<String> {
        let noun = kind.noun();
        let mut users = Vec::new();
        for (pref, of) in [
            ("defaultBootEnv", Kind::BootEnvs),
            ("unknownBootEnv", Kind::BootEnvs),
            ("defaultImage", Kind::Images),
            (DEFAULT_MESH, Kind::Meshes),
            ("defaultStage", Kind::Stages),
            ("defaultWorkflow", Kind::Workflows),
        ] {
            if of == kind && self.pref(pref) == key {
                users.push(format!("{noun} {key} is the preference {pref}"));
            }
        }
        if used_by_machines {
            users.push(format!("{noun} {key} is used by machines"));
        }
        if kind == Kind::BootEnvs {
            let stages = self.stages.iter().filter(|stage| stage.boot_env == key);
            users.extend(stages.map(|stage| format!("{noun} {key} is used by stage {}", stage.name)));
        }
        if kind == Kind::Meshes {
            let vips = self.vips.iter().filter(|vip| vip.mesh_network == key);
            users.extend(vips.map(|vip| format!("{noun} {key} is used by VIP {}", vip.name)));
        }
        if kind == Kind::Profiles && key == GLOBAL {
            users.push(format!("{noun} {key} holds for every machine"));
        }
        users
    }

    /// Somebody must be left who may do everything, or nobody could ever be given that again.
    fn keeps_an_administrator(&self, before: &Self, kind: Kind, key: &str) -> Result<(), Problem> {
        if !matches!(kind, Kind::Users | Kind::Roles)
            || self.has_administrator()
            || !before.has_administrator()
        {
            return Ok(());
        }
        let message = format!("no user with the role {SUPERUSER} would be left");
        Err(Problem::new(ProblemKind::InUse, kind, key, message))
    }

    fn has_administrator(&self) -> bool {
        let may_all = |role: &String| {
            let claims = self.roles.get(role).into_iter().flat_map(|role| &role.claims);
            claims
                .into_iter()
                .any(|claim| [&claim.scope, &claim.action, &claim.specific].map(|s| s == "*") == [true; 3])
        };
        self.users.iter().any(|user| user.roles.iter().any(may_all))
    }
}

fn read<T: Rules>(kind: Kind, key: &str, value: Value) -> Result<T, Problem> {
    parse(value).map_err(|messages| Problem {
        kind: ProblemKind::Invalid,
        model: kind.prefix(),
        key: key.to_owned(),
        messages,
    })
}

/// Machines and jobs are stored elsewhere.
fn no_content(kind: Kind, key: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, kind, key, format!("{kind} are not part of the content"))
}

/// Who wrote it and when: users only are named.
fn sign(envelope: &mut Envelope, old: Option<&Envelope>, cause: &Cause) {
    let at = Some(cause.at.to_string());
    let user = cause.user().unwrap_or_default();
    match old {
        Some(old) => {
            envelope.created_at.clone_from(&old.created_at);
            envelope.created_by.clone_from(&old.created_by);
            envelope.last_modified_by.clone_from(&old.last_modified_by);
        }
        None => {
            envelope.created_at.clone_from(&at);
            user.clone_into(&mut envelope.created_by);
            envelope.last_modified_by.clear();
        }
    }
    envelope.last_modified_at = at;
    if !user.is_empty() {
        user.clone_into(&mut envelope.last_modified_by);
    }
}

/// Who may do what is on record for good.
fn audited(changes: Changes, kind: Kind, key: &str, done: &str, cause: &Cause) -> Changes {
    match kind {
        Kind::Users | Kind::Roles => {
            let row = AuditRow::new(AuditKind::AccessChanged, cause);
            changes.audit(row.reason(format!("{} {key} {done}", kind.noun())))
        }
        Kind::RegistryCredentials | Kind::Secrets => {
            let row = AuditRow::new(AuditKind::SecretChanged, cause);
            changes.audit(row.reason(format!("{} {key} {done}", kind.noun())))
        }
        Kind::BootEnvs
        | Kind::Contexts
        | Kind::Images
        | Kind::Jobs
        | Kind::Machines
        | Kind::Meshes
        | Kind::Params
        | Kind::Pools
        | Kind::Profiles
        | Kind::Stages
        | Kind::Tasks
        | Kind::Templates
        | Kind::Variables
        | Kind::Vips
        | Kind::Workflows => changes,
    }
}
