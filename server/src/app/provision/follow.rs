//! What every decision about a machine means for its run: one call beside the decision, so that both are
//! stored together.

use super::RUNS;
use crate::app::App;
use crate::app::error::AppError;
use crate::app::events::{Did, Happening};
use engine::change::{Cause, Change, Changes};
use engine::job::Job;
use engine::machine::Machine;
use engine::provision::{self, Followed, News, Run};
use protocol::model::JobState;
use uuid::Uuid;

/// How much of a log's end is searched for what went wrong, in bytes.
const LOG_END: u64 = 16 * 1_024;
/// What begins the line that says it.
const ERROR_LINE: &str = "error: ";
/// Longest such line that is kept, in bytes.
const MAX_SAID: usize = 1_024;

/// What was heard of a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard<'a> {
    /// It changed, or its job, which is this one where it is newer than what is stored.
    Changed(Option<&'a Job>),
    /// It has booted.
    Booted {
        /// A system on its disk.
        installed: bool,
        /// It had said goodbye.
        planned: bool,
    },
    /// It said goodbye.
    Left,
}

/// A run that follows its machine, to be stored with that.
#[derive(Debug)]
pub(crate) struct RunFollows {
    before: Run,
    after: Followed,
}

impl App {
    /// What was heard of a machine, for its run. The machine becomes what the run makes of it; none when
    /// it is in no run, or nothing follows.
    pub(crate) async fn follow_run(
        &self,
        machine: &mut Machine,
        heard: Heard<'_>,
        cause: &Cause,
    ) -> Result<Option<RunFollows>, AppError> {
        let Some(before) = self.active_run(machine).await? else { return Ok(None) };
        let stored = match heard {
            Heard::Changed(Some(_)) | Heard::Left => None,
            Heard::Changed(None) | Heard::Booted { .. } => self.current_job(machine).await?,
        };
        let said;
        let news = match heard {
            Heard::Changed(job) => {
                let job = job.or(stored.as_ref());
                said = match job {
                    Some(job) if job.fields.state == JobState::Failed => {
                        self.last_error(job.fields.uuid).await?
                    }
                    Some(_) | None => String::new(),
                };
                News::Walked { job, said: &said }
            }
            Heard::Booted { installed, planned } => News::Booted { installed, planned, job: stored.as_ref() },
            Heard::Left => News::Left,
        };
        let after = provision::follow(&before, machine, news, &self.content(), cause.at);
        if after.run == before && after.machine == *machine {
            return Ok(None);
        }
        *machine = after.machine.clone();
        Ok(Some(RunFollows { before, after }))
    }

    /// The same decision with what follows for the run.
    pub(crate) fn with_run(
        &self,
        follows: Option<RunFollows>,
        mut changes: Changes,
        told: &mut Vec<Happening>,
        cause: &Cause,
    ) -> Changes {
        let Some(RunFollows { before, after }) = follows else { return changes };
        for change in &mut changes.list {
            if let Change::UpdateMachine(machine) = change
                && machine.id == after.machine.id
            {
                let errors = std::mem::take(&mut machine.errors);
                **machine = Machine { errors, ..after.machine.clone() };
            }
        }
        self.run_changes(&before, after, changes, told, &cause.principal)
    }

    /// The run and job of what follows, stored and told.
    pub(super) fn run_changes(
        &self,
        before: &Run,
        after: Followed,
        mut changes: Changes,
        told: &mut Vec<Happening>,
        principal: &str,
    ) -> Changes {
        let Followed { run, job, .. } = after;
        if run.step() != before.step() || !run.is_active() {
            self.live_progress.forget(run.id);
        }
        if let Some(job) = job {
            told.push(Happening::job(Did::Save, principal, &job.fields, None));
            changes = changes.and(Change::UpdateJob(Box::new(job)));
        }
        if run != *before {
            told.push(self.run_happening(Did::Update, principal, &run));
            changes = changes.and(Change::UpdateRun(Box::new(run)));
        }
        changes
    }

    /// The run of a machine that is deleted is over; to be stored with that.
    pub(crate) async fn run_of_the_gone(
        &self,
        machine: &Machine,
        cause: &Cause,
    ) -> Result<Option<(Change, Happening)>, AppError> {
        let Some(run) = self.active_run(machine).await? else { return Ok(None) };
        let over = provision::gone(&run, machine, cause.at);
        self.live_progress.forget(run.id);
        let told = self.run_happening(Did::Update, &cause.principal, &over);
        Ok(Some((Change::UpdateRun(Box::new(over)), told)))
    }

    /// The run that the machine is in.
    pub(super) async fn active_run(&self, machine: &Machine) -> Result<Option<Run>, AppError> {
        let latest = machine.latest_run.as_ref().filter(|latest| !latest.status.is_terminal());
        let Some(latest) = latest else { return Ok(None) };
        let run = self.store.run(latest.id).await?;
        if run.is_none() {
            tracing::error!(run = %latest.id, machine = %machine.id, "a machine's run is not in table {RUNS}");
        }
        Ok(run.filter(Run::is_active))
    }

    /// The last line of a job's log that begins with `error: `, without that; empty for none.
    async fn last_error(&self, job: Uuid) -> Result<String, AppError> {
        let length = self.store.log_length(job).await?.unwrap_or(0);
        let most = usize::try_from(LOG_END).unwrap_or(usize::MAX);
        let end = self.store.log(job, length.saturating_sub(LOG_END), most).await?;
        Ok(error_line(&String::from_utf8_lossy(&end)))
    }
}

fn error_line(log: &str) -> String {
    let said = log.lines().rev().find_map(|line| line.trim_start().strip_prefix(ERROR_LINE));
    let mut said: String = said.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    said.truncate(said.floor_char_boundary(MAX_SAID));
    said.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_error_is_the_reason() {
        let log = "job 1: write on m1\nerror: first\nwriting\n  error: no space left on \u{7}vda\nbye\n";
        assert_eq!(error_line(log), "no space left on vda");
        assert_eq!(error_line("all is fine, no error: at all\n"), "");
        assert_eq!(error_line(&format!("error: {}", "ä".repeat(2_000))).len(), MAX_SAID);
    }
}
