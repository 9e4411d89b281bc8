//! One job from its hand-out to its report (`spec/machine-model.md` 4.3 to 4.5).
//!
//! The scripts run beside the delivery of the log; when that hears that the job is somebody
//! else's, everything of it is ended at once and nothing more is reported. Otherwise the log is
//! complete on the server before the job's end is.

use super::calls::{CallError, Held, Lease, Muster, TOKEN_LIFE};
use super::folder::{FolderError, TaskFolder};
use super::log::{DeliverError, JobLog};
use super::outcome::{JobEnd, Table, after, meaning};
use super::process::{Script, ScriptError, TASK_FOLDER};
use super::wire::{Job, Machine};
use super::{Host, say};
use crate::reap::SEARCH;
use crate::report::chain;
use protocol::model::{JobAction, JobState};
use serde_json::json;
use std::ffi::OsString;
use std::io;
use tokio::time::{Instant, sleep_until};

/// Why a job cannot be run any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The server's answer leads nowhere.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The log cannot be kept.
    #[error("cannot keep the log of {task}")]
    Log {
        /// The task.
        task: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// The server knows how the job ended.
    Reported(JobEnd),
    /// Somebody else has it.
    Lost,
}

/// One run of one job.
pub(crate) struct Run<'a> {
    /// What it runs on.
    pub(crate) host: &'a Host,
    /// The job.
    pub(crate) job: &'a Job,
    /// The machine as it was when the job was asked for.
    pub(crate) machine: &'a Machine,
}

impl Run<'_> {
    fn lease(&self) -> Lease {
        Lease { job: self.job.uuid, epoch: self.job.epoch }
    }

    /// Runs the job and reports its end.
    ///
    /// # Errors
    /// [`JobError`].
    pub(crate) async fn to_its_end(&self, muster: &mut Muster) -> Result<Ran, JobError> {
        let lease = self.lease();
        let begins = (self.job.state, JobState::Running);
        if muster.set_state((lease.job, Some(lease.epoch)), begins, Vec::new()).await? == Held::Lost {
            return Ok(Ran::Lost);
        }
        self.tell("running");
        let length = muster.log_length(lease.job).await?;
        let kept = |source| JobError::Log { task: self.job.task.clone(), source };
        let log = JobLog::new(lease, &self.host.folder, length).map_err(kept)?;
        let mut courier = muster.beside();
        let delivered = log.deliver(&mut courier);
        tokio::pin!(delivered);
        let worked = tokio::select! {
            worked = self.work(muster, &log) => worked,
            // What the script started has ended with the work that is given up here.
            early = &mut delivered => return self.judge(early).map(|_lost| Ran::Lost),
        };
        let Some((end, errors)) = worked? else { return Ok(Ran::Lost) };
        log.close().map_err(kept)?;
        if self.judge(delivered.await)? == Held::Lost {
            return Ok(Ran::Lost);
        }
        self.report(muster, end, errors).await
    }

    fn judge(&self, delivered: Result<Held, DeliverError>) -> Result<Held, JobError> {
        delivered.map_err(|error| match error {
            DeliverError::Call(error) => JobError::Call(error),
            DeliverError::Spool(source) => JobError::Log { task: self.job.task.clone(), source },
        })
    }

    /// Runs the actions in their order: how the job ends, and why it failed; none when the job is
    /// somebody else's.
    async fn work(
        &self,
        muster: &mut Muster,
        log: &JobLog,
    ) -> Result<Option<(JobEnd, Vec<String>)>, JobError> {
        let actions = match muster.actions(self.lease()).await {
            Ok(Some(actions)) => actions,
            Ok(None) => return Ok(None),
            Err(error @ CallError::Refused(_)) => return Err(error.into()),
            Err(error @ (CallError::Odd { .. } | CallError::Malformed { .. })) => {
                return self.failed(log, error.to_string()).map(Some);
            }
        };
        // What moves a machine comes as a job without a task behind it, and without actions.
        let table = if actions.is_empty() {
            Table::Sane
        } else {
            Table::of(&muster.task(&self.job.task).await?.meta)
        };
        let folder = match TaskFolder::make(&self.host.folder, &self.job.uuid.to_string()) {
            Ok(folder) => folder,
            Err(error) => return self.failed(log, chain(&error)).map(Some),
        };
        let token = muster.task_token().await?;
        if let Err(error) = folder.set_token(&token) {
            return self.failed(log, chain(&error)).map(Some);
        }
        let mut renew_at = Instant::now() + TOKEN_LIFE / 2;
        let environment = self.environment(&folder, &token);
        for (index, action) in actions.iter().enumerate() {
            log.lease_is_fresh().await;
            let acted = tokio::select! {
                acted = self.act(&folder, &environment, action, log) => acted?,
                error = keep_token(muster, &folder, &mut renew_at) => return Err(error.into()),
            };
            let code = match acted {
                Ok(Some(code)) => code,
                Ok(None) => Some(0),
                Err(why) => return self.failed(log, why).map(Some),
            };
            let table = if folder.is_sane() { Table::Sane } else { table };
            if let Some(end) = after(meaning(table, code), index + 1 == actions.len()) {
                let errors = match end.state {
                    JobState::Failed => vec![ended(action, code)],
                    JobState::Created | JobState::Running | JobState::Incomplete | JobState::Finished => {
                        Vec::new()
                    }
                };
                return Ok(Some((end, errors)));
            }
        }
        Ok(Some((JobEnd::FINISHED, Vec::new())))
    }

    /// Does one action: a script's exit code, nothing for a file, or why neither was possible.
    async fn act(
        &self,
        folder: &TaskFolder,
        environment: &[(OsString, OsString)],
        action: &JobAction,
        log: &JobLog,
    ) -> Result<Result<Option<Option<i32>>, String>, JobError> {
        let kept = |source| JobError::Log { task: self.job.task.clone(), source };
        let command = match folder.place(&self.job.task, action) {
            Ok(Some(command)) => command,
            Ok(None) => {
                log.say(&format!("wrote {}", action.path)).map_err(kept)?;
                return Ok(Ok(None));
            }
            Err(error @ (FolderError::Path(..) | FolderError::Write { .. })) => {
                return Ok(Err(chain(&error)));
            }
        };
        log.say(&format!("{} begins", action.name)).map_err(kept)?;
        let started = Script::start(&self.host.reaper, command, folder.path(), environment);
        let mut script = match started {
            Ok(script) => script,
            Err(error @ (ScriptError::Pipe(_) | ScriptError::Spawn(_))) => {
                return Ok(Err(format!("cannot run {}: {}", action.name, chain(&error))));
            }
        };
        let code = script.follow(|bytes| log.write(bytes)).await.map_err(kept)?;
        log.say(&ended(action, code)).map_err(kept)?;
        Ok(Ok(Some(code)))
    }

    /// The job fails before a script could.
    fn failed(&self, log: &JobLog, why: String) -> Result<(JobEnd, Vec<String>), JobError> {
        log.say(&why).map_err(|source| JobError::Log { task: self.job.task.clone(), source })?;
        Ok((JobEnd::FAILED, vec![why]))
    }

    /// Says how the job ended, once the server has its log.
    async fn report(&self, muster: &mut Muster, end: JobEnd, errors: Vec<String>) -> Result<Ran, JobError> {
        let lease = self.lease();
        if end.pauses() && muster.pause(Ok(lease)).await? == Held::Lost {
            return Ok(Ran::Lost);
        }
        let mut more = vec![json!({ "op": "replace", "path": "/ExitState", "value": end.exit_state() })];
        if !errors.is_empty() {
            more.push(json!({ "op": "replace", "path": "/ResultErrors", "value": errors }));
        }
        let ends = (JobState::Running, end.state);
        if muster.set_state((lease.job, Some(lease.epoch)), ends, more).await? == Held::Lost {
            return Ok(Ran::Lost);
        }
        let exit = end.exit_state();
        self.tell(&if end.pauses() { format!("{}, {exit}", end.state) } else { end.state.to_string() });
        Ok(Ran::Reported(end))
    }

    /// `Task 2/6 name: running`
    fn tell(&self, what: &str) {
        let (number, of) = self.machine.place_of(self.job.current_index);
        say(&format!("Task {number}/{of} {}: {what}", self.job.task));
    }

    fn environment(&self, folder: &TaskFolder, token: &str) -> Vec<(OsString, OsString)> {
        let host = self.host;
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), SEARCH.into()),
            ("HOME".into(), "/root".into()),
            ("TMPDIR".into(), host.folder.clone().into()),
            ("RS_RUNNER_DIR".into(), host.folder.clone().into()),
            (TASK_FOLDER.into(), folder.path().into()),
            ("RS_CONTEXT".into(), host.settings.context.clone().into()),
            ("MUSTER_AGENT".into(), host.program.clone().into()),
            ("RS_JOB_UUID".into(), self.job.uuid.to_string().into()),
            ("RS_JOB_EPOCH".into(), self.job.epoch.to_string().into()),
        ];
        let reach = host.settings.reach(token).variables();
        variables.extend(reach.into_iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }
}

/// Renews the task's token at half of its life, for as long as it runs.
async fn keep_token(muster: &mut Muster, folder: &TaskFolder, renew_at: &mut Instant) -> CallError {
    loop {
        sleep_until(*renew_at).await;
        *renew_at = Instant::now() + TOKEN_LIFE / 2;
        match muster.task_token().await {
            // Without the file the task keeps the one it began with.
            Ok(token) => folder.set_token(&token).unwrap_or(()),
            Err(error) => return error,
        }
    }
}

/// `script ended with exit code 3`
fn ended(action: &JobAction, code: Option<i32>) -> String {
    match code {
        Some(code) => format!("{} ended with exit code {code}", action.name),
        None => format!("{} was ended by a signal", action.name),
    }
}
