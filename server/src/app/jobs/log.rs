//! The log of a job: what was written, and writing more.

use super::{RETRIES, job_id};
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::enroll::busy;
use crate::app::error::{AppError, AppErrorKind};
use crate::store::{Conflict, LOG_LIMIT, StoreError};
use engine::change::{Change, Changes};
use engine::run::{self, Append};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A log from some byte on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogPart {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// How long the whole log is.
    pub(crate) length: u64,
}

impl App {
    /// A job's log from byte `offset` on, and its length. Waits for there to be any such bytes,
    /// or for the job to end, when the caller likes to.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn job_log(
        &self,
        actor: &Actor,
        key: &str,
        offset: u64,
        wait: Duration,
    ) -> Result<LogPart, AppError> {
        let id = job_id(key)?;
        let deadline = Instant::now() + wait;
        let mut waiter = self.hub.waiter(id);
        loop {
            // Looked at after the wait was registered: a change in between is not missed.
            let job = self.job(id).await?;
            actor.may_job("log", id, job.fields.machine)?;
            let length = self.log_bytes(id).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if length > offset || job.fields.state.is_final() || left.is_zero() || waiter.is_let_go() {
                let whole = usize::try_from(LOG_LIMIT).unwrap_or(usize::MAX);
                return Ok(LogPart { bytes: self.store.log(id, offset, whole).await?, length });
            }
            waiter.wait(left).await;
        }
    }

    /// How long a job's log is, and none of it.
    ///
    /// # Errors
    /// As [`App::job_log`].
    pub(crate) async fn job_log_length(&self, actor: &Actor, key: &str) -> Result<LogPart, AppError> {
        let id = job_id(key)?;
        let job = self.job(id).await?;
        actor.may_job("log", id, job.fields.machine)?;
        Ok(LogPart { bytes: Vec::new(), length: self.log_bytes(id).await? })
    }

    /// Writes at the end of a job's log; how long it is then. With `offset`, what is there already is
    /// not written twice.
    ///
    /// # Errors
    /// `AUTH`; not found; a conflict when the lease is void, or bytes before these are missing.
    pub(crate) async fn append_log(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<u64, AppError> {
        let id = job_id(key)?;
        for _ in 0..RETRIES {
            let job = self.job(id).await?;
            actor.may_job("log", id, job.fields.machine)?;
            run::check_lease(&job, lease)?;
            let length = self.log_bytes(id).await?;
            let change = match run::append(id, length, offset, bytes) {
                Append::Store(change) => *change,
                Append::Known => return Ok(length),
                Append::Gap => return Err(gap(key, length)),
            };
            let mut changes = Changes::new(self.clock.now());
            if lease.is_some() {
                changes = changes.and(Change::JobIs { id, revision: job.revision });
            }
            match self.commit(changes.and(change), Vec::new()).await {
                Ok(_) => return self.log_bytes(id).await,
                Err(StoreError::Conflict(Conflict::LogFull)) => return self.log_bytes(id).await,
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    async fn log_bytes(&self, id: Uuid) -> Result<u64, AppError> {
        self.store.log_length(id).await?.ok_or_else(|| AppError::not_found("jobs", &id.to_string()))
    }
}

fn gap(key: &str, length: u64) -> AppError {
    let message = format!("the log has {length} bytes; what comes between them and these is missing");
    let mut error = AppError::new(AppErrorKind::Conflict, message).about("jobs", key);
    error.log_length = Some(length);
    error
}
