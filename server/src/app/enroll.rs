//! The code exchange as the machine sees it (`spec/security.md` 2.4 and 2.5).
//!
//! 1. `enroll`: a key that proved itself asks; it gets an id and a code, or learns at once
//!    that it is registered.
//! 2. `poll`: it asks again, held until something happens; a code that ran out is replaced.
//! 3. `access_token`: approved, it asks for its first access token, which acknowledges.
//!
//! Every call is idempotent by the machine's key.

use super::App;
use super::actor::cause_of;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use crate::keys::{Keys, MachineCaller, random};
use crate::limits::Limited;
use crate::liveness::{POLL_INTERVAL, Room};
use crate::store::{Conflict, StoreError};
use engine::change::{Cause, Changes};
use engine::enrollment::{Applicant, CODE_LIFETIME, Enrollment, MAX_DRAWS, State};
use engine::time::Timestamp;
use protocol::agent_api::{EnrollmentAnswer, EnrollmentRequest, Pending, RefusalKind, TokenAnswer};
use protocol::code::BootstrapCode;
use protocol::ids::EnrollmentId;
use protocol::inventory::{Inventory, MAX_INVENTORY};
use std::time::Duration;
use uuid::Uuid;

/// Longest time a poll is held.
const LONGEST_HOLD: Duration = Duration::from_secs(25);
/// Longest id of a personalised medium that is kept, in bytes.
const MAX_IMAGE_ID: usize = 64;
/// How often a decision is taken again because somebody else's commit came between.
const RETRIES: usize = 4;

/// Answer to a machine that asks to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enrolled {
    /// What the machine is told.
    pub answer: EnrollmentAnswer,
    /// Whether a new enrollment was made (201) or one was found (200).
    pub created: bool,
}

impl App {
    /// A machine asks to be registered.
    ///
    /// # Errors
    /// `access_denied` while its key pauses after a denial, `slow_down` over the limits,
    /// `temporarily_unavailable` when the pool or the code space is full.
    pub(crate) async fn enroll(
        &self,
        caller: &MachineCaller,
        request: EnrollmentRequest,
    ) -> Result<Enrolled, AppError> {
        let request = accepted(request)?;
        for _ in 0..RETRIES {
            if let Some(machine) = self.store.machine_of_key(caller.key).await? {
                return Ok(Enrolled {
                    answer: EnrollmentAnswer::Approved(self.welcome(&machine)),
                    created: false,
                });
            }
            let earlier = self.store.enrollments_of_key(caller.key).await?;
            if let Some(enrollment) = earlier.iter().find(|one| one.live_code().is_some()) {
                return self.enroll_again(caller, enrollment.clone()).await;
            }
            let now = self.clock.now();
            refuse_while_denied(&earlier, now)?;
            self.make_room(caller, now).await?;
            match self.open_enrollment(caller, request.clone(), now).await {
                // The same key asked twice at once: find what the other call made.
                Err(Opening::Twice) => continue,
                Err(Opening::Failed(error)) => return Err(error),
                Ok(enrollment) => {
                    let answer = self.pending_answer(&enrollment, POLL_INTERVAL, true);
                    return Ok(Enrolled { answer, created: true });
                }
            }
        }
        Err(busy())
    }

    /// The same key asks while it waits: same id, same code.
    async fn enroll_again(
        &self,
        caller: &MachineCaller,
        enrollment: Enrollment,
    ) -> Result<Enrolled, AppError> {
        let now = self.clock.now();
        self.limits.create(caller.source, now).map_err(slow_down)?;
        if self.liveness.last_poll(enrollment.id).is_none() {
            self.liveness.waits(enrollment.id, enrollment.source, now);
        }
        self.liveness.still_waits(enrollment.id, now);
        let enrollment = self.rotate_if_due(caller, enrollment).await?;
        let answer = self.pending_answer(&enrollment, POLL_INTERVAL, true);
        Ok(Enrolled { answer, created: false })
    }

    /// Checks the limits on new enrollments, and makes room in a crowded pool.
    async fn make_room(&self, caller: &MachineCaller, now: Timestamp) -> Result<(), AppError> {
        self.limits.create(caller.source, now).map_err(slow_down)?;
        let outdated = match self.liveness.room(caller.source, now) {
            Room::Free => None,
            Room::Evict(id) => Some(id),
            Room::Share(limited) => return Err(slow_down(limited)),
            Room::Full => return Err(full("too many machines are waiting", caller)),
        };
        self.limits.new_code(caller.source, now).map_err(slow_down)?;
        match outdated {
            Some(id) => self.expire(id, "made room for others in a crowded pool").await,
            None => Ok(()),
        }
    }

    async fn open_enrollment(
        &self,
        caller: &MachineCaller,
        request: EnrollmentRequest,
        now: Timestamp,
    ) -> Result<Enrollment, Opening> {
        let applicant = Applicant {
            id: EnrollmentId(Uuid::new_v4()),
            key: caller.key,
            fingerprint: self.keys.fingerprint(&caller.key),
            inventory: request.inventory,
            origin: request.origin,
            image_id: request.image_id,
            source: caller.source,
        };
        let cause = cause_of(caller, now);
        let opened =
            self.with_fresh_code(caller, |code| Ok(Enrollment::open(applicant.clone(), code, &cause))).await;
        match opened {
            Ok(enrollment) => {
                self.liveness.waits(enrollment.id, caller.source, now);
                self.publish_enrollment("create", &enrollment, &cause.principal).await;
                Ok(enrollment)
            }
            Err(Coding::Store(error)) if error.is_stale() => Err(Opening::Twice),
            Err(error) => Err(Opening::Failed(error.into())),
        }
    }

    /// Draws codes until one is far enough from every other, and commits what it makes.
    async fn with_fresh_code(
        &self,
        caller: &MachineCaller,
        decide: impl Fn(BootstrapCode) -> Result<(Enrollment, Changes), AppError>,
    ) -> Result<Enrollment, Coding> {
        for _ in 0..MAX_DRAWS {
            let code = draw_code().map_err(Coding::App)?;
            let (mut enrollment, changes) = decide(code).map_err(Coding::App)?;
            match self.commit(changes, Vec::new()).await {
                Ok(revision) => {
                    enrollment.revision = revision;
                    return Ok(enrollment);
                }
                Err(StoreError::Conflict(Conflict::CodeTaken)) => {}
                Err(error) => return Err(Coding::Store(error)),
            }
        }
        Err(Coding::App(full("no free code was found", caller)))
    }

    /// Replaces the enrollment's code when its time is over.
    async fn rotate_if_due(
        &self,
        caller: &MachineCaller,
        enrollment: Enrollment,
    ) -> Result<Enrollment, AppError> {
        let mut enrollment = enrollment;
        for _ in 0..RETRIES {
            let now = self.clock.now();
            let due = enrollment.live_code().is_some_and(|code| now >= code.expires_at());
            if !due {
                return Ok(enrollment);
            }
            let cause = cause_of(caller, now);
            match self.with_fresh_code(caller, |code| Ok(enrollment.rotate(code, &cause)?)).await {
                Ok(rotated) => return Ok(rotated),
                Err(Coding::Store(error)) if error.is_stale() => {
                    enrollment = self.own_enrollment(caller, enrollment.id).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// A machine asks whether it was approved. Held up to `wait` (at most 25 s) until something
    /// happens.
    ///
    /// # Errors
    /// RFC 8628's words; `unknown_request` and `expired_token` mean: ask anew.
    pub(crate) async fn poll(
        &self,
        caller: &MachineCaller,
        id: EnrollmentId,
        wait: Duration,
    ) -> Result<EnrollmentAnswer, AppError> {
        // Listen first, then look: an approval in between is not missed.
        let mut waiter = self.hub.waiter(id.0);
        let enrollment = self.own_enrollment(caller, id).await?;
        let interval = match enrollment.live_code() {
            None => return self.settled_answer(enrollment).await,
            Some(_) => self.note_poll(&enrollment)?,
        };
        let shown = enrollment.live_code();
        let enrollment = self.rotate_if_due(caller, enrollment).await?;
        let hold = self.hold_for(&enrollment, wait);
        // A new code is told at once.
        if hold.is_zero() || enrollment.live_code() != shown {
            return self.poll_answer(enrollment, interval).await;
        }
        waiter.wait(hold).await;
        let enrollment = self.own_enrollment(caller, id).await?;
        let enrollment = self.rotate_if_due(caller, enrollment).await?;
        self.liveness.still_waits(id, self.clock.now());
        self.poll_answer(enrollment, interval).await
    }

    fn note_poll(&self, enrollment: &Enrollment) -> Result<u64, AppError> {
        let now = self.clock.now();
        if self.liveness.last_poll(enrollment.id).is_none() {
            self.liveness.waits(enrollment.id, enrollment.source, now);
        }
        self.liveness.poll(enrollment.id, now).map_err(|early| {
            let message = format!("polled too early; wait {} s between polls", early.interval);
            let mut error = AppError::refused(RefusalKind::SlowDown, message).after(early.interval);
            error.interval = Some(early.interval);
            error
        })
    }

    /// How long a poll is held: not beyond the code's end.
    fn hold_for(&self, enrollment: &Enrollment, wait: Duration) -> Duration {
        let now = self.clock.now();
        let left = enrollment.live_code().map_or(Duration::ZERO, |code| code.expires_at().since(now));
        wait.min(LONGEST_HOLD).min(left)
    }

    async fn poll_answer(&self, enrollment: Enrollment, interval: u64) -> Result<EnrollmentAnswer, AppError> {
        match enrollment.live_code() {
            Some(_) => Ok(self.pending_answer(&enrollment, interval, false)),
            None => self.settled_answer(enrollment).await,
        }
    }

    fn pending_answer(&self, enrollment: &Enrollment, interval: u64, with_code: bool) -> EnrollmentAnswer {
        let now = self.clock.now();
        let live = enrollment.live_code();
        let age = live.map_or(CODE_LIFETIME, |code| now.since(code.issued_at));
        EnrollmentAnswer::AuthorizationPending(Pending {
            id: enrollment.id,
            code: if with_code { live.map(|live| live.code) } else { enrollment.news(now) },
            code_expires_in: CODE_LIFETIME.saturating_sub(age).as_secs(),
            interval,
            nonce: self.keys.nonce(now),
            server_time: now.as_seconds(),
            server_name: self.settings.server_name.clone(),
        })
    }

    /// What the machine is told once it no longer waits.
    async fn settled_answer(&self, enrollment: Enrollment) -> Result<EnrollmentAnswer, AppError> {
        match &enrollment.state {
            State::Approved { .. } | State::Enrolled { .. } => {
                let machine = self.store.machine_of_key(enrollment.key).await?;
                match machine {
                    Some(machine) => Ok(EnrollmentAnswer::Approved(self.welcome(&machine))),
                    None => Err(ended("the machine was deleted; asking anew")),
                }
            }
            State::Denied { until, reason, .. } => {
                Err(denied(reason.as_deref(), until.since(self.clock.now())))
            }
            State::Cancelled { .. } => Err(ended("this request was taken back; asking anew")),
            State::Expired { .. } => Err(ended("this request ended unanswered; asking anew")),
            State::Unclaimed { .. } => Err(ended("the approval was not collected in time; asking anew")),
            State::Pending { .. } => Err(busy()),
        }
    }

    /// A machine takes its request back. Taking back what ended already is fine.
    ///
    /// # Errors
    /// `unknown_request`, or `invalid_proof` for somebody else's.
    pub(crate) async fn cancel(&self, caller: &MachineCaller, id: EnrollmentId) -> Result<(), AppError> {
        for _ in 0..RETRIES {
            let enrollment = self.own_enrollment(caller, id).await?;
            let cause = cause_of(caller, self.clock.now());
            let Ok((cancelled, changes)) = enrollment.cancel(&cause) else { return Ok(()) };
            match self.commit(changes, Vec::new()).await {
                Ok(_) => {
                    self.settled(&cancelled, &cause.principal).await;
                    return Ok(());
                }
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// A registered key asks for an access token; the first time acknowledges its approval.
    ///
    /// # Errors
    /// `access_denied` for a key that is no machine's (any more).
    pub(crate) async fn access_token(&self, caller: &MachineCaller) -> Result<TokenAnswer, AppError> {
        let machine = self.store.machine_of_key(caller.key).await?.ok_or_else(|| {
            AppError::refused(RefusalKind::AccessDenied, "this key is not registered; ask to be registered")
        })?;
        let cause = cause_of(caller, self.clock.now());
        for enrollment in self.store.enrollments_of_key(caller.key).await? {
            let Some((collected, changes)) = enrollment.collected(&cause) else { continue };
            match self.commit(changes, Vec::new()).await {
                Ok(_) => self.settled(&collected, &cause.principal).await,
                // The same machine asked twice at once, and the other call noted it.
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let now = self.clock.now();
        if self.liveness.heard(machine.id, false, now) {
            self.publish_machine(Did::Update, &machine, &cause.principal);
        }
        Ok(TokenAnswer {
            access_token: self.keys.access_token(machine.id, &caller.key, now),
            expires_in: Keys::access_token_lifetime(),
            nonce: self.keys.nonce(now),
        })
    }

    async fn own_enrollment(&self, caller: &MachineCaller, id: EnrollmentId) -> Result<Enrollment, AppError> {
        let unknown = || AppError::refused(RefusalKind::UnknownRequest, "no such request; asking anew");
        let enrollment = self.store.enrollment(id).await?.ok_or_else(unknown)?;
        if enrollment.key == caller.key {
            Ok(enrollment)
        } else {
            Err(AppError::refused(RefusalKind::InvalidProof, "this request belongs to another key"))
        }
    }

    /// Ends a waiting enrollment unanswered. Nothing happens when it is not waiting any more.
    pub(super) async fn expire(&self, id: EnrollmentId, reason: &str) -> Result<(), AppError> {
        let Some(enrollment) = self.store.enrollment(id).await? else {
            self.liveness.waits_no_longer(id);
            return Ok(());
        };
        let cause = Cause::system(self.clock.now());
        let Ok((expired, changes)) = enrollment.expire(reason, &cause) else {
            self.liveness.waits_no_longer(id);
            return Ok(());
        };
        match self.commit(changes, Vec::new()).await {
            Ok(_) => self.settled(&expired, &cause.principal).await,
            // Approved, denied or polled with a new code in between: it is the other's now.
            Err(error) if error.is_stale() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// After the commit that ended a wait: the machine's held poll answers, watchers are told.
    pub(super) async fn settled(&self, enrollment: &Enrollment, principal: &str) {
        self.liveness.waits_no_longer(enrollment.id);
        self.hub.wake(enrollment.id.0);
        self.publish_enrollment("update", enrollment, principal).await;
    }
}

/// Why an enrollment was not opened.
enum Opening {
    /// The same key has one already.
    Twice,
    /// For good.
    Failed(AppError),
}

/// Why no code was given out.
enum Coding {
    /// The commit failed.
    Store(StoreError),
    /// It was never tried, or too often.
    App(AppError),
}

impl From<Coding> for AppError {
    fn from(coding: Coding) -> Self {
        match coding {
            Coding::Store(error) => error.into(),
            Coding::App(error) => error,
        }
    }
}

fn draw_code() -> Result<BootstrapCode, AppError> {
    loop {
        let bytes = random::<6>().map_err(AppError::internal)?;
        // One in fourteen draws would bias the choice and is thrown away.
        if let Some(code) = BootstrapCode::from_random(bytes) {
            return Ok(code);
        }
    }
}

/// The request as it is kept: within its limits, its texts cleaned.
///
/// # Errors
/// `too_large` or `invalid_request`.
pub(crate) fn accepted(mut request: EnrollmentRequest) -> Result<EnrollmentRequest, AppError> {
    check_inventory(&request.inventory, MAX_INVENTORY)?;
    match &request.image_id {
        Some(id) if id.len() > MAX_IMAGE_ID || !id.bytes().all(|b| b.is_ascii_graphic()) => {
            let message = format!("image_id must be at most {MAX_IMAGE_ID} printable characters");
            Err(AppError::refused(RefusalKind::InvalidRequest, message))
        }
        Some(_) | None => {
            request.inventory.clean();
            Ok(request)
        }
    }
}

/// Refuses an inventory of more than `limit` bytes.
pub(super) fn check_inventory(inventory: &Inventory, limit: usize) -> Result<(), AppError> {
    let bytes = serde_json::to_vec(inventory).map_err(AppError::internal)?.len();
    if bytes > limit {
        let message = format!("inventory has {bytes} bytes, at most {limit} are accepted");
        return Err(AppError::refused(RefusalKind::TooLarge, message));
    }
    Ok(())
}

/// Refuses a key that pauses after a denial; `earlier` are its enrollments.
pub(super) fn refuse_while_denied(earlier: &[Enrollment], now: Timestamp) -> Result<(), AppError> {
    let pause = earlier.iter().find_map(|one| match &one.state {
        State::Denied { until, reason, .. } if *until > now => Some((reason.as_deref(), until.since(now))),
        State::Denied { .. }
        | State::Pending { .. }
        | State::Approved { .. }
        | State::Enrolled { .. }
        | State::Cancelled { .. }
        | State::Expired { .. }
        | State::Unclaimed { .. } => None,
    });
    pause.map_or(Ok(()), |(reason, wait)| Err(denied(reason, wait)))
}

fn denied(reason: Option<&str>, wait: Duration) -> AppError {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let seconds = wait.as_secs().max(1);
    AppError::refused(RefusalKind::AccessDenied, format!("an operator denied this machine{why}"))
        .after(seconds)
}

fn ended(message: &str) -> AppError {
    AppError::refused(RefusalKind::ExpiredToken, message)
}

pub(super) fn slow_down(limited: Limited) -> AppError {
    let message = format!("too many requests from this address; retry in {} s", limited.retry_after);
    AppError::refused(RefusalKind::SlowDown, message).after(limited.retry_after)
}

/// Full for now. The wait differs from machine to machine, so that they do not come back in step.
fn full(what: &str, caller: &MachineCaller) -> AppError {
    let jitter = u64::from(caller.key.0.first().copied().unwrap_or(0)) % 30;
    let seconds = 30 + jitter;
    let message = format!("{what}; retry in {seconds} s");
    AppError::refused(RefusalKind::TemporarilyUnavailable, message).after(seconds)
}

/// Somebody else's commits came between every time.
pub(super) fn busy() -> AppError {
    AppError::new(AppErrorKind::Unavailable, "too many changes at once; retry in 1 s").after(1)
}
