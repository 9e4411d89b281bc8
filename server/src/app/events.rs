//! The one way from a decision to its effects: commit, then tell. Events leave in the order of the
//! commits and after them, so that whoever looks because of an event sees what it tells of.

use super::App;
use super::auth::is_login;
use super::watch::{AUDIT, BOOTSTRAP_TOKENS};
use crate::hub::{CONTENT, Hub, LOGINS, Told};
use crate::store::StoreError;
use engine::change::{AuditRow, Change, Changes, Revision, StoredObject};
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::event::Event;
use protocol::install::Provision;
use protocol::model::{self, Kind};
use protocol::rest;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// What happened to an object (`spec/machine-model.md` 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    /// It is new.
    Create,
    /// A caller changed it.
    Update,
    /// The server changed it by itself.
    Save,
    /// It is gone; the event shows what it was.
    Delete,
}

impl Did {
    /// The word of the wire.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Save => "save",
            Self::Delete => "delete",
        }
    }
}

/// An object as events show it: as lists do, without secrets. Written as JSON only when somebody
/// listens.
#[derive(Debug, Clone)]
enum Shown {
    Machine(Box<rest::Machine>),
    Job(Box<model::Job>),
    Run(Box<Provision>),
    Json(Value),
}

impl Shown {
    fn machine(mut view: rest::Machine) -> Self {
        view.fields.secret.clear();
        view.own.inventory = view.own.inventory.in_a_list();
        Self::Machine(Box::new(view))
    }

    fn content(kind: Kind, mut object: Value) -> Self {
        if kind == Kind::Users
            && let Some(fields) = object.as_object_mut()
        {
            for secret in ["Secret", "PasswordHash"] {
                fields.insert(secret.to_owned(), Value::from(""));
            }
        }
        if kind == Kind::Meshes
            && let Some(fields) = object.as_object_mut()
        {
            // Counted when somebody asks.
            fields.retain(|name, _| !matches!(name.as_str(), "Members" | "FreeAddresses"));
        }
        Self::Json(object)
    }

    fn json(self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Machine(view) => serde_json::to_value(view),
            Self::Job(job) => serde_json::to_value(job),
            Self::Run(run) => serde_json::to_value(run),
            Self::Json(value) => Ok(value),
        }
    }
}

/// One event to be, which a commit brings about.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    kind: String,
    action: String,
    key: String,
    principal: String,
    job_of: Option<Uuid>,
    object: Shown,
    original: Option<Shown>,
}

impl Happening {
    /// Something happened to a job.
    pub(crate) fn job(did: Did, principal: &str, job: &model::Job, before: Option<&model::Job>) -> Self {
        let shown = |job: &model::Job| Shown::Job(Box::new(job.clone()));
        let mut happening = Self::new(Kind::Jobs.prefix(), did.word(), job.uuid.to_string(), principal);
        happening.job_of = Some(job.machine);
        happening.object = shown(job);
        happening.original = before.map(shown);
        happening
    }

    /// Something happened to a provision run.
    pub(crate) fn run(did: Did, principal: &str, run: Provision) -> Self {
        let mut happening = Self::new("provisions", did.word(), run.uuid.to_string(), principal);
        happening.object = Shown::Run(Box::new(run));
        happening
    }

    /// Something happened to an object of the content, given as REST shows it.
    pub(crate) fn content(
        did: Did,
        principal: &str,
        kind: Kind,
        key: &str,
        object: Value,
        before: Option<Value>,
    ) -> Self {
        let mut happening = Self::new(kind.prefix(), did.word(), key.to_owned(), principal);
        happening.object = Shown::content(kind, object);
        happening.original = before.map(|before| Shown::content(kind, before));
        happening
    }

    /// Something else happened, such as to an enrollment.
    pub(crate) fn other(kind: &str, action: &str, key: String, principal: &str, object: Value) -> Self {
        Self { object: Shown::Json(object), ..Self::new(kind, action, key, principal) }
    }

    fn new(kind: &str, action: &str, key: String, principal: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            action: action.to_owned(),
            key,
            principal: principal.to_owned(),
            job_of: None,
            object: Shown::Json(Value::Null),
            original: None,
        }
    }

    fn write(self, at: Timestamp) -> Result<Told, serde_json::Error> {
        let event = Event {
            time: at.to_string(),
            kind: self.kind,
            action: self.action,
            key: self.key,
            principal: self.principal,
            object: self.object.json()?,
            original: self.original.map_or(Ok(Value::Null), Shown::json)?,
        };
        Told::write(event, self.job_of.map(|machine| machine.to_string()))
    }
}

/// An event that is written, or will be should somebody begin to listen before it is told.
enum Pending {
    Written(Told),
    Unwritten(Box<Happening>, Timestamp),
}

impl Pending {
    fn tell(self, hub: &Hub) {
        let written = match self {
            Self::Written(told) => Ok(told),
            Self::Unwritten(..) if hub.subscribers() == 0 => return,
            Self::Unwritten(happening, at) => happening.write(at),
        };
        match written {
            Ok(told) => hub.publish(told),
            Err(error) => tracing::error!(%error, "an event cannot be written as JSON"),
        }
    }
}

impl App {
    /// Commits a decision, then wakes who waits for its objects and tells of it, also of what it adds to
    /// the audit log and does to bootstrap tokens.
    ///
    /// # Errors
    /// As the store; nobody was told anything then.
    pub(crate) async fn commit(
        &self,
        changes: Changes,
        happenings: Vec<Happening>,
    ) -> Result<Revision, StoreError> {
        self.commit_first(changes, |_| {}, happenings).await
    }

    /// The same; `first` runs after the commit, in the order of commits, before anybody is told.
    ///
    /// # Errors
    /// As [`App::commit`].
    pub(crate) async fn commit_first(
        &self,
        changes: Changes,
        first: impl FnOnce(Revision) + Send + 'static,
        happenings: Vec<Happening>,
    ) -> Result<Revision, StoreError> {
        let concerned = concerned(&changes);
        let (at, listened) = (self.clock.now(), self.hub.subscribers() > 0);
        let happenings = happenings.into_iter().chain(changes.list.iter().filter_map(by_itself));
        let pending: Vec<Pending> =
            happenings.filter_map(|happening| Self::pending(happening, at, listened)).collect();
        let (hub, steps) = (Arc::clone(&self.hub), self.mesh_steps(&changes));
        let then = move |revision| {
            first(revision);
            steps.take(revision, &hub);
            for id in concerned {
                hub.wake(id);
            }
            for event in pending {
                event.tell(&hub);
            }
        };
        self.store.commit_then(changes, then).await
    }

    fn pending(happening: Happening, at: Timestamp, listened: bool) -> Option<Pending> {
        if !listened {
            return Some(Pending::Unwritten(Box::new(happening), at));
        }
        let unwritable = |error: &_| tracing::error!(%error, "an event cannot be written as JSON");
        happening.write(at).inspect_err(unwritable).ok().map(Pending::Written)
    }

    /// Tells of what no commit brought about, such as a machine that is heard no more.
    pub(crate) fn tell(&self, happening: Happening) {
        Pending::Unwritten(Box::new(happening), self.clock.now()).tell(&self.hub);
    }

    /// Something happened to a machine.
    pub(crate) fn machine_happening(
        &self,
        did: Did,
        principal: &str,
        machine: &Machine,
        before: Option<&Machine>,
    ) -> Happening {
        let shown = |machine: &Machine| Shown::machine(self.view(machine));
        let key = machine.id.to_string();
        let mut happening = Happening::new(Kind::Machines.prefix(), did.word(), key, principal);
        happening.object = shown(machine);
        happening.original = before.map(shown);
        happening
    }

    /// Tells everybody who watches about a machine, after its commit, and its held heartbeat.
    pub(crate) fn publish_machine(&self, did: Did, machine: &Machine, principal: &str) {
        self.hub.wake(machine.id.0);
        if self.hub.subscribers() > 0 {
            self.tell(self.machine_happening(did, principal, machine, None));
        }
    }

    /// Tells everybody who watches about an object, after its commit.
    pub(crate) fn publish<T: Serialize>(
        &self,
        kind: &str,
        action: &str,
        key: String,
        principal: &str,
        object: &T,
    ) {
        match serde_json::to_value(object) {
            Ok(object) => {
                self.tell(Happening::other(kind, action, key, principal, object));
            }
            Err(error) => tracing::error!(kind, key, %error, "an event's object cannot be written as JSON"),
        }
    }
}

/// What a change tells of by itself: that the audit log has another row, or that a token is another one now.
/// Who may list them asks for what it says.
fn by_itself(change: &Change) -> Option<Happening> {
    let of_token = |did: Did, jti: &str| {
        Some(Happening::other(BOOTSTRAP_TOKENS, did.word(), jti.to_owned(), "", Value::Null))
    };
    if let Change::Audit(AuditRow { kind, machine, principal, .. }) = change {
        let key = machine.map(|machine| machine.to_string()).unwrap_or_default();
        let object = json!({ "Kind": kind });
        return Some(Happening::other(AUDIT, Did::Create.word(), key, principal, object));
    }
    if let Change::IssueToken(issued) = change {
        return of_token(Did::Create, &issued.marks.jti);
    }
    if let Change::UseToken { token, .. } = change {
        return of_token(Did::Update, &token.jti);
    }
    // One, or many.
    if let Change::Revoke(_) = change { of_token(Did::Update, "") } else { None }
}

/// Whom a commit wakes: held requests for its machines and jobs, for the machines of its jobs, for the
/// content, and websockets whose log-in may have ended.
fn concerned(changes: &Changes) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for change in &changes.list {
        match change {
            Change::InsertMachine(machine) | Change::UpdateMachine(machine) => ids.push(machine.id.0),
            Change::DeleteMachine { id, .. } => ids.push(id.0),
            Change::InsertJob(job) | Change::UpdateJob(job) => {
                ids.extend([job.fields.uuid, job.fields.machine]);
            }
            Change::DeleteJob { id: job, .. } | Change::AppendLog { job, .. } => ids.push(*job),
            Change::PutObject(StoredObject { kind, .. }) | Change::DeleteObject { kind, .. } => {
                ids.push(CONTENT);
                ids.extend(matches!(kind, Kind::Users | Kind::Roles).then_some(LOGINS));
            }
            Change::InsertRun(run) | Change::UpdateRun(run) => ids.push(run.id),
            Change::JoinMesh { .. } | Change::LeaveMesh(_) => ids.push(CONTENT),
            // Two of them are secrets of machine tokens.
            Change::SetPref { .. } => ids.extend([CONTENT, LOGINS]),
            Change::DeleteRecord { kind, .. } if is_login(kind) => ids.push(LOGINS),
            Change::DeleteRecord { .. }
            | Change::InsertEnrollment(_)
            | Change::UpdateEnrollment(_)
            | Change::TakeCode { .. }
            | Change::RetireCode { .. }
            | Change::Seen(_)
            | Change::IssueToken(_)
            | Change::UseToken { .. }
            | Change::Revoke(_)
            | Change::GiveNonce(_)
            | Change::UseNonce(_)
            | Change::EndNonces(_)
            | Change::MachinesChecked(_)
            | Change::ClearMesh(_)
            | Change::PutRecord(_)
            | Change::ForgetCodes(_)
            | Change::ForgetEnrollments(_)
            | Change::ForgetUnanswered(_)
            | Change::ForgetTokens(_)
            | Change::ForgetNonces(_)
            | Change::ForgetRevocations(_)
            | Change::ForgetRuns(_)
            | Change::PutGoods { .. }
            | Change::JobIs { .. }
            | Change::Audit(_) => {}
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}
