//! Cleaning the history of jobs up: `DELETE /jobs` (`spec/machine-model.md` 4.3).

use super::job_happening;
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::error::{AppError, AppErrorKind};
use crate::app::events::Did;
use engine::change::{Change, Changes};
use engine::job::Job;
use engine::lifetime::Lifetime;
use engine::run::Retention;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use std::time::Duration;
use uuid::Uuid;

/// Machines, and jobs of one, that are read at a time.
const PAGE: u32 = 200;
/// Jobs that go in one commit.
const BATCH: usize = 100;
/// Whose jobs go: those of machines that are gone.
const MISSING: &str = "missing";

/// Which jobs go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CleanUp {
    /// Only say which.
    dry_run: bool,
    /// Whose.
    whose: Whose,
    /// Which of them stay.
    retention: Retention,
}

/// Whose jobs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Whose {
    /// All machines'.
    #[default]
    All,
    /// Machines' that are gone.
    Missing,
    /// One machine's.
    One(Uuid),
}

impl CleanUp {
    /// Reads a query: `dryrun`, `machine` (a UUID or `missing`), `jobsToKeep`,
    /// `failedJobsPurgedAfter`, `completeJobsPurgedAfter` (durations, or `never`).
    ///
    /// # Errors
    /// For a value that is none.
    pub(crate) fn read(query: &[(String, String)]) -> Result<Self, AppError> {
        let mut clean_up = Self::default();
        for (name, value) in query {
            let wrong = |is: &str| {
                AppError::new(AppErrorKind::BadList, format!("{name} must be {is}")).about("jobs", "")
            };
            match name.as_str() {
                "dryrun" => {
                    clean_up.dry_run =
                        engine::filter::boolean(value).ok_or_else(|| wrong("true or false"))?;
                }
                "machine" if value == MISSING => clean_up.whose = Whose::Missing,
                "machine" => {
                    let id = value.parse().map_err(|_| wrong("a machine's UUID, or missing"))?;
                    clean_up.whose = Whose::One(id);
                }
                "jobsToKeep" => {
                    clean_up.retention.keep = value.parse().map_err(|_| wrong("a number from 0 up"))?;
                }
                "failedJobsPurgedAfter" => {
                    clean_up.retention.failed =
                        age(value).ok_or_else(|| wrong("a time such as 30d, or never"))?;
                }
                "completeJobsPurgedAfter" => {
                    clean_up.retention.finished =
                        age(value).ok_or_else(|| wrong("a time such as 30d, or never"))?;
                }
                // Clients send flags of other routes along.
                _ => {}
            }
        }
        Ok(clean_up)
    }
}

fn age(text: &str) -> Option<Option<Duration>> {
    match text.parse() {
        Ok(Lifetime::Of(length)) => Some(Some(length)),
        Ok(Lifetime::Never) => Some(None),
        Err(_no_lifetime) => None,
    }
}

impl App {
    /// Deletes old jobs; which ones.
    ///
    /// # Errors
    /// `AUTH`.
    pub(crate) async fn clean_up_jobs(&self, actor: &Actor, wanted: &CleanUp) -> Result<Vec<Uuid>, AppError> {
        actor.may("jobs", "delete", "")?;
        let mut gone = Vec::new();
        if let Whose::One(machine) = wanted.whose {
            self.clean_up_machine(actor, machine, wanted, &mut gone).await?;
            return Ok(gone);
        }
        let mut after = None;
        loop {
            let machines = self.store.machines_with_jobs(after, PAGE).await?;
            let Some(last) = machines.last() else { return Ok(gone) };
            after = Some(*last);
            for machine in machines {
                self.clean_up_machine(actor, machine, wanted, &mut gone).await?;
            }
        }
    }

    async fn clean_up_machine(
        &self,
        actor: &Actor,
        machine: Uuid,
        wanted: &CleanUp,
        gone: &mut Vec<Uuid>,
    ) -> Result<(), AppError> {
        let there = self.store.machine(MachineId(machine)).await?.is_some();
        if there && wanted.whose == Whose::Missing {
            return Ok(());
        }
        let now = self.clock.now();
        let mut newer = 0_u32;
        let mut old: Vec<Job> = Vec::new();
        loop {
            let jobs = self.store.jobs_of_machine(MachineId(machine), newer, PAGE).await?;
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                if wanted.retention.ends(&job, newer, there, now) {
                    old.push(job);
                }
                newer = newer.saturating_add(1);
            }
        }
        for batch in old.chunks(BATCH) {
            if wanted.dry_run || self.drop_jobs(actor, batch, now).await? {
                gone.extend(batch.iter().map(|job| job.fields.uuid));
            }
        }
        Ok(())
    }

    /// Deletes jobs in one commit; false when somebody was faster with one of them: the next
    /// clean-up finds the others.
    async fn drop_jobs(&self, actor: &Actor, jobs: &[Job], now: Timestamp) -> Result<bool, AppError> {
        let cause = actor.cause(now);
        let delete = |changes: Changes, job: &Job| {
            changes.and(Change::DeleteJob { id: job.fields.uuid, revision: job.revision })
        };
        let changes = jobs.iter().fold(Changes::new(now), delete);
        let told = jobs.iter().map(|job| job_happening(Did::Delete, &cause, job, None)).collect();
        Ok(self.try_commit(changes, told).await?.is_some())
    }
}
