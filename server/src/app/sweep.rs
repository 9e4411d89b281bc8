//! What time does by itself: every five seconds one pass stores heartbeats in one commit,
//! turns dots red, ends what nobody answered, and forgets what is over.

use super::App;
use super::error::AppError;
use super::events::Did;
use crate::liveness::Checkpoint;
use engine::change::{Cause, Change, Changes};
use engine::enrollment::{CODE_REST, Enrollment, MAX_AGE, UNPOLLED_FOR};
use engine::time::Timestamp;
use protocol::ids::EnrollmentId;
use std::time::Duration;

/// Time between passes: how far a stored last-seen may lag, and how late a dot turns red.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long enrollments that ended are kept; denials count within it, the audit log stays.
const KEEP_ENROLLMENTS: Duration = Duration::from_secs(7 * 86_400);
/// How long enrollments that nobody answered are kept: anybody can make many of those.
const KEEP_UNANSWERED: Duration = Duration::from_secs(86_400);
/// How long tokens that expired are kept for display.
const KEEP_TOKENS: Duration = Duration::from_secs(7 * 86_400);
/// How long runs are kept of machines that are gone.
const KEEP_RUNS: Duration = Duration::from_secs(30 * 86_400);
/// Passes between two clean-ups: an hour.
const CLEAN_EVERY: u64 = 720;

impl App {
    /// Sweeps until `stop` is done, then once more so that no heartbeat is lost. A failing
    /// pass is logged and tried again.
    pub(crate) async fn run_sweep(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        self.check_audit().await;
        let mut passes = 0_u64;
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => {}
            }
            self.log_failure(self.sweep().await);
            if passes.is_multiple_of(CLEAN_EVERY) {
                self.log_failure(self.clean_up().await);
            }
            passes += 1;
        }
        self.log_failure(self.checkpoint(self.clock.now()).await);
    }

    /// Says loudly when somebody changed the audit log while the server was down.
    async fn check_audit(&self) {
        match self.store.verify_audit().await {
            Ok(rows) => tracing::info!(rows, "the audit log is whole"),
            Err(error) => tracing::error!(%error, "the audit log cannot be trusted"),
        }
    }

    fn log_failure(&self, result: Result<(), AppError>) {
        if let Err(error) = result {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a sweep failed; it is tried again");
        }
    }

    /// One pass.
    ///
    /// # Errors
    /// When the store does not take it; nothing is lost, the next pass does it again.
    pub(crate) async fn sweep(&self) -> Result<(), AppError> {
        let now = self.clock.now();
        self.checkpoint(now).await?;
        for (id, last_poll) in self.liveness.everybody_waiting() {
            if now.since(last_poll) >= UNPOLLED_FOR {
                self.expire_outlived(id, last_poll, now).await?;
            }
        }
        self.end_overdue(now).await?;
        self.look_after_runs(now).await?;
        self.attend_meshes();
        self.limits.prune(now);
        Ok(())
    }

    /// Stores heartbeats in one commit, and tells watchers of dots that changed colour.
    async fn checkpoint(&self, now: Timestamp) -> Result<(), AppError> {
        let Checkpoint { seen, turned } = self.liveness.checkpoint(now);
        if !seen.is_empty() {
            let changes = Changes::new(now).and(Change::Seen(seen.clone()));
            if let Err(error) = self.store.commit(&changes).await {
                self.liveness.unsave(&seen);
                return Err(error.into());
            }
        }
        for id in turned {
            if let Some(machine) = self.store.machine(id).await? {
                self.publish_machine(Did::Update, &machine, "system");
            }
        }
        Ok(())
    }

    /// Gives up on approved machines that never collected, and on requests a day old.
    async fn end_overdue(&self, now: Timestamp) -> Result<(), AppError> {
        for enrollment in self.store.overdue_enrollments(now.minus(MAX_AGE)).await? {
            let id = enrollment.id;
            match enrollment.live_code() {
                Some(_) => self.expire_outlived(id, self.liveness.last_poll(id).unwrap_or(now), now).await?,
                None => self.give_up(enrollment, now).await?,
            }
        }
        Ok(())
    }

    async fn expire_outlived(
        &self,
        id: EnrollmentId,
        last_poll: Timestamp,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let enrollment = self.store.enrollment(id).await?;
        match enrollment.as_ref().map(|enrollment| enrollment.outlived(last_poll, now)) {
            Some(Some(reason)) => self.expire(id, reason).await,
            // Gone or decided: whoever did that may not have come to tell.
            Some(None) | None => {
                self.liveness.waits_no_longer(id);
                Ok(())
            }
        }
    }

    async fn give_up(&self, enrollment: Enrollment, now: Timestamp) -> Result<(), AppError> {
        let machine = self.store.machine_of_key(enrollment.key).await?;
        let cause = Cause::system(now);
        let Some((unclaimed, changes)) = enrollment.unclaimed(machine.clone(), &cause) else { return Ok(()) };
        match self.commit(changes, Vec::new()).await {
            Ok(_) => self.settled(&unclaimed, &cause.principal).await,
            // Collected in the last moment.
            Err(error) if error.is_stale() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some(machine) = machine
            && let Some(marked) = self.store.machine(machine.id).await?
        {
            self.publish_machine(Did::Update, &marked, &cause.principal);
        }
        Ok(())
    }

    /// Forgets codes that rested, enrollments and tokens that ended long ago, revocations that cover
    /// nothing any more, and keys of which no token is left.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(super) async fn clean_up(&self) -> Result<(), AppError> {
        // Before their revocations are forgotten.
        let erased = self.erase_token_keys().await;
        let now = self.clock.now();
        let changes = Changes::new(now)
            .and(Change::ForgetCodes(now.minus(CODE_REST)))
            .and(Change::ForgetEnrollments(now.minus(KEEP_ENROLLMENTS)))
            .and(Change::ForgetUnanswered(now.minus(KEEP_UNANSWERED)))
            .and(Change::ForgetTokens(now.minus(KEEP_TOKENS)))
            .and(Change::ForgetNonces(now))
            .and(Change::ForgetRuns(now.minus(KEEP_RUNS)))
            .and(Change::ForgetRevocations(now));
        self.store.commit(&changes).await?;
        self.forget_imports().await?;
        erased
    }
}
