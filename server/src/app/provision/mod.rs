//! Provision runs: asked for, looked at, cancelled, and followed by what becomes of machines and jobs.
//! `engine::provision` decides; a run and its machine change in one commit, so that the machine's list
//! and its run never disagree.
//!
//! - `trigger`: asked for; `release`: begun once its image is ready
//! - `follow`: what every decision about a machine means for its run
//! - `work`: what the run's own job asks and tells: order, permit, progress, first boot
//! - `escrow`: keys of encrypted disks
//! - `look_after`: what time does: deadlines, and images that have become ready
//! - `lookup`: what other use cases ask about runs

mod escrow;
mod follow;
mod live;
mod look_after;
mod lookup;
mod trigger;
mod work;

pub(super) use follow::Heard;
pub(crate) use live::LiveProgress;

use super::App;
use super::actor::Actor;
use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use super::events::{Did, Happening};
use super::objects::Pair;
use crate::store::Runs;
use engine::change::{AuditKind, AuditRow, Change, Changes};
use engine::machine::Machine;
use engine::provision::{self, Run};
use protocol::ids::MachineId;
use protocol::install::Provision;
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use uuid::Uuid;

/// The collection, as paths, events and claims name it.
const RUNS: &str = "provisions";
/// How often a decision is taken again because another commit came between.
const RETRIES: usize = 16;
/// Runs of one part of a list: usually, and at most.
const PART: u32 = 50;
const LARGEST_PART: u32 = 500;

impl App {
    /// Runs, newest first: of one machine (`Machine`), active ones or not (`IsActive`), a part at a time
    /// (`limit`, `after` the last one of the part before).
    ///
    /// # Errors
    /// `AUTH`; `BadList` for a query that is none.
    pub(crate) async fn runs(&self, actor: &Actor, query: &[Pair]) -> Result<Vec<Provision>, AppError> {
        actor.may(RUNS, "list", "")?;
        let (which, most) = read_query(query)?;
        Ok(self.store.runs(which, most).await?.iter().map(|run| self.run_view(run)).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn show_run(&self, actor: &Actor, key: &str) -> Result<Provision, AppError> {
        let run = self.find_run(actor, key, "get").await?;
        Ok(self.run_view(&run))
    }

    /// Cancels a run: its machine is again what it was before, as far as nothing was written.
    ///
    /// # Errors
    /// `AUTH`; not found; locked; a conflict when it is over, or its machine is gone.
    pub(crate) async fn cancel_run(&self, actor: &Actor, key: &str) -> Result<Provision, AppError> {
        let run = self.find_run(actor, key, "cancel").await?;
        self.cancel_found(actor, &run).await
    }

    async fn cancel_found(&self, actor: &Actor, run: &Run) -> Result<Provision, AppError> {
        let key = run.id.to_string();
        let _turn = self.turns.of(run.machine.0).await;
        for _ in 0..RETRIES {
            let run = self.store.run(run.id).await?.ok_or_else(|| AppError::not_found(RUNS, &key))?;
            let gone = || AppError::new(AppErrorKind::Conflict, "its machine is gone").about(RUNS, &key);
            let machine = self.store.machine(run.machine).await?.ok_or_else(gone)?;
            let job = self.current_job(&machine).await?;
            let cause = actor.cause(self.clock.now());
            let over = provision::cancel(&run, &machine, job.as_ref(), &cause)?;
            let row = AuditRow::new(AuditKind::ProvisionCanceled, &cause).machine(machine.id);
            let changes = Changes::new(cause.at).audit(row.reason(run.id.to_string()));
            if let Some(run) = self.commit_run(run, machine, over, changes, &cause.principal).await? {
                return Ok(self.run_view(&run));
            }
        }
        Err(busy())
    }

    /// Commits what became of a run, its machine and its job; none when another commit came between.
    async fn commit_run(
        &self,
        before: Run,
        machine: Machine,
        after: provision::Followed,
        changes: Changes,
        principal: &str,
    ) -> Result<Option<Run>, AppError> {
        let (run, mut told) = (after.run.clone(), Vec::new());
        let changes = changes.on(self.content().revision);
        let changes = if after.machine == machine {
            changes
        } else {
            told.push(self.machine_happening(Did::Save, principal, &after.machine, Some(&machine)));
            changes.and(Change::UpdateMachine(Box::new(after.machine.clone())))
        };
        let changes = self.with_errors_found(changes, &self.content()).await;
        let changes = self.run_changes(&before, after, changes, &mut told, principal);
        if changes.list.is_empty() {
            return Ok(Some(run));
        }
        Ok(self.try_commit(changes, told).await?.map(|revision| Run { revision, ..run }))
    }

    /// The run of a key, for a caller who may do this with it. A machine's token reads the runs of its
    /// machine.
    async fn find_run(&self, actor: &Actor, key: &str, action: &str) -> Result<Run, AppError> {
        let missing = || AppError::not_found(RUNS, key);
        let found = match key.parse::<Uuid>() {
            Ok(id) => self.store.run(id).await?,
            Err(_) => None,
        };
        let own = found.as_ref().is_some_and(|run| actor.is_token_of(run.machine));
        if !(own && action == "get") {
            actor.may(RUNS, action, key)?;
        }
        found.ok_or_else(missing)
    }

    /// A run as REST shows it now.
    pub(crate) fn run_view(&self, run: &Run) -> Provision {
        self.live_progress.of(run).view()
    }

    fn run_happening(&self, did: Did, principal: &str, run: &Run) -> Happening {
        Happening::run(did, principal, self.run_view(run))
    }

    /// Whether the machine's settings are others than those that its last installation brought.
    pub(super) fn has_pending_changes(&self, machine: &Machine) -> bool {
        let installed = machine.latest_run.as_ref().map(|latest| latest.installed.as_str());
        installed.is_some_and(|installed| !installed.is_empty() && installed != self.settings_digest(machine))
    }

    /// Digest of the machine's settings that an installation brings to it.
    fn settings_digest(&self, machine: &Machine) -> String {
        let settings = provision::settings(&self.content(), machine).to_string();
        base64url(digest(&SHA256, settings.as_bytes()).as_ref())
    }
}

fn read_query(query: &[Pair]) -> Result<(Runs, u32), AppError> {
    let bad = |message: String| AppError::new(AppErrorKind::BadList, message).about(RUNS, "");
    let id = |name: &str, text: &str| {
        text.parse::<Uuid>().map_err(|_| bad(format!("{name} must be a UUID; {text:?} is none")))
    };
    let (mut which, mut most) = (Runs::default(), PART);
    for (name, value) in query {
        match name.as_str() {
            "Machine" => which.machine = Some(MachineId(id("Machine", value)?)),
            "after" => which.after = Some(id("after", value)?),
            "IsActive" => {
                let active = value.parse().map_err(|_| bad("IsActive must be true or false".to_owned()))?;
                which.active = Some(active);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PART).contains(limit));
                most =
                    limit.ok_or_else(|| bad(format!("limit must be a number from 1 to {LARGEST_PART}")))?;
            }
            _ => return Err(bad(format!("runs are found by Machine and IsActive, not by {name:?}"))),
        }
    }
    Ok((which, most))
}
