//! Jobs: handed out, told about, looked at, cleaned away (`spec/machine-model.md` 4).
//!
//! `engine::run` decides; a job and its machine change in one commit, which the machine's
//! revision puts in an order, so that of two callers at once one gets the job and the other a
//! conflict.

mod clean_up;
mod log;

pub(crate) use clean_up::CleanUp;
pub(crate) use log::LogPart;

use super::App;
use super::actor::Actor;
use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use super::events::{Did, Happening};
use super::provision::Heard;
use engine::change::{Cause, Change, Changes, Revision};
use engine::content::Content;
use engine::fields;
use engine::job::Job;
use engine::machine::Machine;
use engine::run::{self, MachineAfter, Made, NextRequest, Outcome, Report, Step};
use engine::workflow::Entry;
use protocol::ids::MachineId;
use protocol::model::{JobAction, Kind};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often a decision is taken again because another commit came between.
const RETRIES: usize = 16;

/// What a client says about the job it wants (4.2); whatever else it sends is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    machine: Uuid,
    context: String,
    uuid: Option<Uuid>,
}

impl Wish {
    fn read(body: Value) -> Result<Self, AppError> {
        let invalid =
            |message: &str| AppError::new(AppErrorKind::Invalid, message).about(Kind::Jobs.prefix(), "");
        let body = match body {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        };
        let fields = fields::canonical(Kind::Jobs, body).map_err(|error| invalid(&error.to_string()))?;
        let text = |name: &str| match fields.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(invalid(&format!("{name} must be a text"))),
        };
        let id = |name: &str| match text(name)? {
            "" => Ok(None),
            given => given
                .parse::<Uuid>()
                .map(|id| Some(id).filter(|id| !id.is_nil()))
                .map_err(|_| invalid(&format!("{name} must be a UUID"))),
        };
        let machine =
            id("Machine")?.ok_or_else(|| invalid("Machine must say whose job it is, by its UUID"))?;
        Ok(Self { machine, context: text("Context")?.to_owned(), uuid: id("Uuid")? })
    }
}

impl App {
    /// The next job of a machine, as `POST /jobs` answers it.
    ///
    /// # Errors
    /// `AUTH`; invalid for a machine that is not there; a conflict while it may have no job;
    /// `CREATE` when the job's id is taken.
    pub(crate) async fn create_job(&self, actor: &Actor, body: Value) -> Result<Outcome, AppError> {
        let wish = Wish::read(body)?;
        actor.may_job("create", Uuid::nil(), wish.machine)?;
        let _turn = self.turns.of(wish.machine).await;
        for _ in 0..RETRIES {
            let machine = self.machine_of_job(wish.machine).await?;
            let current = self.current_job(&machine).await?;
            let (content, cause) = (self.content(), actor.cause(self.clock.now()));
            let request = NextRequest {
                context: &wish.context,
                chosen: wish.uuid,
                fresh: Uuid::new_v4(),
                cause: &cause,
            };
            let step = run::next_job(&machine, current.as_ref(), &content, &request)?;
            if let (Outcome::Created(job), Some(chosen)) = (&step.outcome, wish.uuid)
                && self.store.job(chosen).await?.is_some()
            {
                let message = format!("there is a job {} already; leave Uuid out", job.fields.uuid);
                return Err(AppError::new(AppErrorKind::Exists, message).about("jobs", chosen));
            }
            if self.take(step.clone(), &machine, current.as_ref(), &content, &cause).await? {
                return Ok(step.outcome);
            }
        }
        Err(busy())
    }

    /// Commits a step and tells of it; false when another commit came between.
    async fn take(
        &self,
        mut step: Step,
        machine: &Machine,
        current: Option<&Job>,
        content: &Arc<Content>,
        cause: &Cause,
    ) -> Result<bool, AppError> {
        let (mut follows, mut gone) = (None, None);
        match &mut step.machine {
            MachineAfter::Same => {}
            MachineAfter::Saved(after) => {
                let job = step.made.as_ref().map(|made| &made.job).or(step.before.as_ref()).or(current);
                follows = self.follow_run(after, Heard::Changed(job), cause).await?;
                after.errors = self.machine_errors(after, content).await;
            }
            MachineAfter::Deleted => gone = self.run_of_the_gone(machine, cause).await?,
        }
        let changes = step.changes(machine, content, cause);
        if changes.list.is_empty() {
            return Ok(true);
        }
        let mut told = Vec::new();
        if let Some(after) = &step.before {
            told.push(job_happening(Did::Save, cause, after, current));
        }
        if let Some(Made { job, .. }) = &step.made {
            told.push(job_happening(Did::Create, cause, job, None));
        }
        match &step.machine {
            MachineAfter::Same => {}
            MachineAfter::Saved(after) => {
                told.push(self.machine_happening(Did::Save, &cause.principal, after, Some(machine)));
            }
            MachineAfter::Deleted => {
                told.push(self.machine_happening(Did::Delete, &cause.principal, machine, None));
            }
        }
        let mut changes = self.with_run(follows, changes, &mut told, cause);
        if let Some((change, happening)) = gone {
            changes = changes.and(change);
            told.push(happening);
        }
        let taken = self.try_commit(changes, told).await?.is_some();
        if taken && step.machine == MachineAfter::Deleted {
            self.liveness.forget(machine.id);
        }
        Ok(taken)
    }

    /// Changes a job as its JSON before makes `decide` want it: what is told of its state.
    ///
    /// # Errors
    /// `AUTH`; not found; what `decide` says; a conflict when the lease is void; invalid when
    /// the job cannot become what is told.
    pub(crate) async fn edit_job(
        &self,
        actor: &Actor,
        id: Uuid,
        lease: Option<i64>,
        decide: impl Fn(&str, Value) -> Result<Value, AppError>,
    ) -> Result<Job, AppError> {
        let key = id.to_string();
        let _turn = self.turns.of(self.job(id).await?.fields.machine).await;
        for _ in 0..RETRIES {
            let job = self.job(id).await?;
            actor.may_job("update", id, job.fields.machine)?;
            run::check_lease(&job, lease)?;
            let before = serde_json::to_value(&job.fields).map_err(AppError::internal)?;
            let after = decide(&key, before.clone())?;
            let (content, cause) = (self.content(), actor.cause(self.clock.now()));
            let wanted = run::wanted(&job, after)?;
            let machine = self.store.machine(MachineId(job.fields.machine)).await?;
            let report = Report { wanted, lease, cause: &cause };
            let mut reported = run::report(&job, machine.as_ref(), &content, report)?;
            let mut follows = None;
            if let Some(after) = &mut reported.machine {
                follows = self.follow_run(after, Heard::Changed(Some(&reported.job)), &cause).await?;
                after.errors = self.machine_errors(after, &content).await;
            }
            let mut told = vec![job_happening(Did::Update, &cause, &reported.job, Some(&job))];
            if let Some(after) = &reported.machine {
                told.push(self.machine_happening(Did::Save, &cause.principal, after, machine.as_ref()));
            }
            if !reported.changed {
                return Ok(job);
            }
            let changes = self.with_run(follows, reported.changes(&content, &cause), &mut told, &cause);
            if let Some(revision) = self.try_commit(changes, told).await? {
                return Ok(Job { revision, ..reported.job });
            }
        }
        Err(busy())
    }

    /// Deletes a job that is over, with its log.
    ///
    /// # Errors
    /// `AUTH`; not found; invalid while it is not over.
    pub(crate) async fn delete_job(&self, actor: &Actor, id: Uuid) -> Result<Job, AppError> {
        let _turn = self.turns.of(self.job(id).await?.fields.machine).await;
        for _ in 0..RETRIES {
            let job = self.job(id).await?;
            actor.may_job("delete", id, job.fields.machine)?;
            let cause = actor.cause(self.clock.now());
            let machine = self.store.machine(MachineId(job.fields.machine)).await?;
            let (changes, after) = run::delete(&job, machine.as_ref(), &cause)?;
            let mut told = vec![job_happening(Did::Delete, &cause, &job, None)];
            if let Some(after) = &after {
                told.push(self.machine_happening(Did::Save, &cause.principal, after, machine.as_ref()));
            }
            if self.try_commit(changes, told).await?.is_some() {
                return Ok(job);
            }
        }
        Err(busy())
    }

    /// What there is to do for a job: its task's templates, rendered now for its machine.
    ///
    /// # Errors
    /// `AUTH`; invalid when job, machine or task are not there, or a template does not render;
    /// a conflict when the lease is void.
    pub(crate) async fn job_actions(
        self: &Arc<Self>,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        os: Option<&str>,
    ) -> Result<Vec<JobAction>, AppError> {
        let unknown = || AppError::new(AppErrorKind::Invalid, "there is no such job").about("jobs", key);
        let id = job_id(key).map_err(|_| unknown())?;
        let job = self.store.job(id).await?.ok_or_else(unknown)?;
        actor.may_job("actions", id, job.fields.machine)?;
        run::check_lease(&job, lease)?;
        let machine = self.machine_of_job(job.fields.machine).await?;
        match Entry::read(&job.fields.task) {
            Entry::Task(_) => self.actions(actor, &machine, &job.fields, os).await,
            // The server's own doing, or the agent's without a script.
            Entry::Stage(_) | Entry::BootEnv(_) | Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) => {
                Ok(Vec::new())
            }
        }
    }

    /// What becomes of the job of a machine that is deleted; to be committed with that.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn orphaned_job(
        &self,
        machine: &Machine,
        cause: &Cause,
    ) -> Result<Option<(Change, Happening)>, AppError> {
        Ok(self.current_job(machine).await?.map(|job| {
            let after = run::orphan(&job, cause);
            let told = job_happening(Did::Save, cause, &after, Some(&job));
            (Change::UpdateJob(Box::new(after)), told)
        }))
    }

    /// What keeps a change of a machine to whoever holds the lease of its current job: to be
    /// committed with the change. None without a lease.
    ///
    /// # Errors
    /// A conflict when the lease is void.
    pub(crate) async fn lease_guard(
        &self,
        machine: &Machine,
        lease: Option<i64>,
    ) -> Result<Option<Change>, AppError> {
        if lease.is_none() {
            return Ok(None);
        }
        let Some(job) = self.current_job(machine).await? else {
            let message = format!("machine {} has no job, so that no lease of one holds", machine.name);
            return Err(
                AppError::new(AppErrorKind::Conflict, message).about("machines", machine.id.to_string())
            );
        };
        run::check_lease(&job, lease)?;
        Ok(Some(Change::JobIs { id: job.fields.uuid, revision: job.revision }))
    }

    /// One job.
    ///
    /// # Errors
    /// Not found.
    async fn job(&self, id: Uuid) -> Result<Job, AppError> {
        self.store.job(id).await?.ok_or_else(|| AppError::not_found("jobs", &id.to_string()))
    }

    async fn machine_of_job(&self, id: Uuid) -> Result<Machine, AppError> {
        let unknown =
            || AppError::new(AppErrorKind::Invalid, format!("there is no machine {id}")).about("jobs", "");
        self.store.machine(MachineId(id)).await?.ok_or_else(unknown)
    }

    pub(super) async fn current_job(&self, machine: &Machine) -> Result<Option<Job>, AppError> {
        match machine.fields.current_job.parse::<Uuid>() {
            Ok(id) => Ok(self.store.job(id).await?),
            Err(_no_job) => Ok(None),
        }
    }

    /// Commits; none when another commit came between.
    pub(super) async fn try_commit(
        &self,
        changes: Changes,
        told: Vec<Happening>,
    ) -> Result<Option<Revision>, AppError> {
        match self.commit(changes, told).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.is_stale() => {
                self.refresh_content().await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The id in a path: a UUID, `Key:UUID` or `Uuid:UUID`.
///
/// # Errors
/// Not found.
pub(crate) fn job_id(key: &str) -> Result<Uuid, AppError> {
    let text = key.strip_prefix("Key:").or_else(|| key.strip_prefix("Uuid:")).unwrap_or(key);
    text.parse().map_err(|_| AppError::not_found("jobs", key))
}

fn job_happening(did: Did, cause: &Cause, job: &Job, before: Option<&Job>) -> Happening {
    Happening::job(did, &cause.principal, &job.fields, before.map(|before| &before.fields))
}

/// How long whoever got no job should wait, where that is known: whole seconds, not too few.
pub(crate) fn retry_after(again_in: Option<Duration>) -> Option<u64> {
    again_in.map(|wait| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)))
}
