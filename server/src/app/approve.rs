//! The code exchange as operators see it: look up, compare, approve or deny
//! (`spec/security.md` 2.3, 2.5, 2.6).
//!
//! Codes that are no codes are answered without a look-up and never counted. Wrong codes are
//! charged to the account that typed them. Approving from the list needs no code and is never
//! slowed down.

use super::App;
use super::actor::{Action, Actor};
use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use super::machines::fresh_secret;
use super::mesh::Placed;
use crate::limits::Miss;
use crate::store::{Conflict, StoreError};
use engine::change::{AuditKind, AuditRow, Change, Changes};
use engine::enrollment::{
    Approval, Becomes, CODE_REST, DecisionError, Enrollment, State, Surroundings, preview, warnings,
};
use engine::identity::{hints, rank};
use engine::machine::{Machine, NAME_TRIES, Name, newborn};
use engine::time::Timestamp;
use protocol::code::{BootstrapCode, Fingerprint};
use protocol::ids::{EnrollmentId, MachineId};
use protocol::model::Kind;
use protocol::rest::{self, ApproveRequest, DenyRequest, EnrollmentPreview};
use std::time::Duration;
use uuid::Uuid;

/// How often a decision is taken again because somebody else's commit came between.
const RETRIES: usize = 4;
/// How often an approval is tried: taken default names, and a few for commits that come between.
const ATTEMPTS: u32 = NAME_TRIES + 4;

impl App {
    /// The waiting machine that a code selects.
    ///
    /// # Errors
    /// `malformed_code` without a look-up, `code_not_found` for every other miss,
    /// `too_many_attempts` for this account only.
    pub(crate) async fn lookup(&self, actor: &Actor, code: &str) -> Result<EnrollmentPreview, AppError> {
        actor.require(Action::BootstrapLookup)?;
        let code = parse_code(code)?;
        let found = self.guess(actor, code, None).await?;
        let row = AuditRow::new(AuditKind::LookupHit, &actor.cause(self.clock.now())).key(found.key);
        self.audit(enrollment_row(row, &found)).await?;
        self.preview(&found, Dns::Ask).await
    }

    /// All waiting machines, without their codes.
    ///
    /// # Errors
    /// `forbidden` without `bootstrap:list`.
    pub(crate) async fn enrollments(&self, actor: &Actor) -> Result<Vec<EnrollmentPreview>, AppError> {
        actor.require(Action::BootstrapList)?;
        let mut previews = Vec::new();
        for enrollment in self.store.live_enrollments().await? {
            if enrollment.live_code().is_some() {
                previews.push(self.preview(&enrollment, Dns::Known).await?);
            }
        }
        Ok(previews)
    }

    /// Approves a waiting machine: what the operator saw is what is registered.
    ///
    /// # Errors
    /// Those of `spec/security.md` 2.5; the loser of a race gets `already_decided`.
    pub(crate) async fn approve(
        &self,
        actor: &Actor,
        id: EnrollmentId,
        request: ApproveRequest,
    ) -> Result<rest::Machine, AppError> {
        actor.require(Action::BootstrapApprove)?;
        let wish = Wish::parse(actor, &request)?;
        if let Some(code) = wish.code {
            self.guess(actor, code, Some(id)).await?;
        }
        let mut taken = 0;
        for _ in 0..ATTEMPTS {
            let enrollment = self.enrollment(id).await?;
            let approval = self.approval(&enrollment, &wish, taken).await?;
            let cause = actor.cause(self.clock.now());
            let (approved, machine, changes) = enrollment.approve(approval, &cause)?;
            let existed = wish.merge.is_some();
            match self.commit_registration(machine, existed, changes, &cause.principal).await {
                Ok(machine) => {
                    self.limits.answered(approved.source);
                    self.settled(&approved, &cause.principal).await;
                    return Ok(self.view(&machine));
                }
                Err(StoreError::Conflict(Conflict::NameTaken)) if wish.may_be_renamed() => {
                    taken += 1;
                }
                Err(error) if error.is_stale() => self.refresh_content().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// What is approved, under the next name after this many were taken.
    async fn approval(&self, enrollment: &Enrollment, wish: &Wish, taken: u32) -> Result<Approval, AppError> {
        let now = self.clock.now();
        let around = self.surroundings(enrollment, now, Dns::Ask).await?;
        let becomes = match wish.merge {
            Some(target) => self.merge_target(target, wish, &around, now).await?,
            None => {
                let id = MachineId(Uuid::new_v4());
                let suggested = || Name::suggest(&enrollment.inventory, around.reverse_dns.as_deref(), &id);
                let name = wish.name.clone().unwrap_or_else(suggested);
                let name = name.instead(taken, &enrollment.inventory, &id);
                let newborn = Box::new(newborn(&self.content(), &fresh_secret()?, enrollment.origin));
                Becomes::New { id, name, newborn }
            }
        };
        Ok(Approval {
            code: wish.code,
            fingerprint: wish.fingerprint,
            fingerprint_confirmed: wish.fingerprint_confirmed,
            has_warnings: !warnings(enrollment, &around, now).is_empty(),
            last_poll: around.last_poll,
            becomes,
        })
    }

    async fn merge_target(
        &self,
        id: MachineId,
        wish: &Wish,
        around: &Surroundings,
        now: Timestamp,
    ) -> Result<Becomes, AppError> {
        let machine = self.store.machine(id).await?.ok_or_else(|| {
            AppError::new(AppErrorKind::Invalid, format!("merge: there is no machine {id}"))
        })?;
        let online = self.presence(&machine, now).online;
        let alike = around.resembles(id);
        Ok(Becomes::Merged { machine: Box::new(machine), online, alike, name: wish.name.clone() })
    }

    /// Denies a waiting machine. Its key pauses, ten minutes at first.
    ///
    /// # Errors
    /// `already_decided` when somebody was faster.
    pub(crate) async fn deny(
        &self,
        actor: &Actor,
        id: EnrollmentId,
        request: DenyRequest,
    ) -> Result<EnrollmentPreview, AppError> {
        actor.require(Action::BootstrapApprove)?;
        for _ in 0..RETRIES {
            let enrollment = self.enrollment(id).await?;
            let cause = actor.cause(self.clock.now());
            let earlier = self.strikes(&enrollment, cause.at).await?;
            let (denied, changes) = enrollment.deny(request.reason.as_deref(), earlier, &cause)?;
            match self.commit(changes, Vec::new()).await {
                Ok(_) => {
                    self.limits.answered(denied.source);
                    let preview = self.preview(&denied, Dns::Known).await?;
                    self.settled(&denied, &cause.principal).await;
                    return Ok(preview);
                }
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// How often in a row the key was denied. A day without asking again forgets.
    async fn strikes(&self, enrollment: &Enrollment, now: Timestamp) -> Result<u32, AppError> {
        let earlier = self.store.enrollments_of_key(enrollment.key).await?;
        let lately = earlier.iter().filter_map(|one| match &one.state {
            State::Denied { until, strikes, .. } if now.since(*until) < CODE_REST => Some(*strikes),
            State::Denied { .. }
            | State::Pending { .. }
            | State::Approved { .. }
            | State::Enrolled { .. }
            | State::Cancelled { .. }
            | State::Expired { .. }
            | State::Unclaimed { .. } => None,
        });
        Ok(lately.max().unwrap_or(0))
    }

    /// Looks a typed code up and charges the account when it selects nothing, or not `expected`.
    async fn guess(
        &self,
        actor: &Actor,
        code: BootstrapCode,
        expected: Option<EnrollmentId>,
    ) -> Result<Enrollment, AppError> {
        let account = actor.principal();
        let now = self.clock.now();
        if self.limits.needs_step_up(&account) {
            let message = "too many wrong codes were typed on this server: log in again, then retry";
            return Err(AppError::new(AppErrorKind::StepUp, message));
        }
        self.limits.guess(&account, now).map_err(|limited| {
            let message = format!("too many wrong codes; retry in {} s", limited.retry_after);
            AppError::new(AppErrorKind::TooManyAttempts, message).after(limited.retry_after)
        })?;
        let found = self.store.enrollment_of_code(code).await?;
        // An enrollment that was approved a moment ago is for `approve` to answer.
        let raced = |one: &Enrollment| expected == Some(one.id) && one.live_code().is_none();
        match found.filter(|one| one.answers_to(code, now) || raced(one)) {
            Some(enrollment) if expected.is_none_or(|id| id == enrollment.id) => {
                self.limits.hit(&account);
                Ok(enrollment)
            }
            Some(_) | None => {
                self.note_miss(actor, &account, now).await?;
                Err(DecisionError::CodeNotFound.into())
            }
        }
    }

    async fn note_miss(&self, actor: &Actor, account: &str, now: Timestamp) -> Result<(), AppError> {
        let cause = actor.cause(now);
        let changes = Changes::new(now).audit(AuditRow::new(AuditKind::LookupMiss, &cause));
        let changes = match self.limits.miss(account, now) {
            Miss::Counted => changes,
            Miss::Alarm => {
                tracing::warn!("60 wrong bootstrap codes within an hour: is somebody guessing?");
                let row = AuditRow::new(AuditKind::RateLimitTripped, &cause);
                changes.audit(row.reason("60 wrong bootstrap codes within an hour"))
            }
        };
        self.commit(changes, Vec::new()).await?;
        Ok(())
    }

    /// The password of this user was entered just now: what too many wrong codes asked for.
    pub(crate) fn password_entered(&self, user: &str) {
        self.limits.password_entered(&format!("user:{user}"));
    }

    /// Stores one audit row on its own.
    pub(crate) async fn audit(&self, row: AuditRow) -> Result<(), AppError> {
        self.commit(Changes::new(row.at).audit(row), Vec::new()).await?;
        Ok(())
    }

    async fn enrollment(&self, id: EnrollmentId) -> Result<Enrollment, AppError> {
        let found = self.store.enrollment(id).await?;
        found.ok_or_else(|| AppError::not_found("enrollments", &id.to_string()))
    }

    /// What an operator sees of an enrollment.
    async fn preview(&self, enrollment: &Enrollment, dns: Dns) -> Result<EnrollmentPreview, AppError> {
        let now = self.clock.now();
        let around = self.surroundings(enrollment, now, dns).await?;
        Ok(preview(enrollment, &around, now))
    }

    async fn surroundings(
        &self,
        enrollment: &Enrollment,
        now: Timestamp,
        dns: Dns,
    ) -> Result<Surroundings, AppError> {
        let hints = hints(&enrollment.inventory);
        let lookalikes = self.store.lookalikes(&hints).await?;
        let others = lookalikes.into_iter().filter(|machine| machine.key != Some(enrollment.key));
        let matches = rank(&enrollment.inventory, others.collect());
        let matches = matches.into_iter().map(|found| {
            let presence = self.presence(&found.machine, now);
            (found, presence)
        });
        let named = enrollment.inventory.host_name.contains('.');
        let reverse_dns = match dns {
            Dns::Ask if !named => self.reverse_dns.name_of(enrollment.source).await,
            Dns::Ask | Dns::Known => self.reverse_dns.known(enrollment.source),
        };
        Ok(Surroundings {
            last_poll: self.liveness.last_poll(enrollment.id).unwrap_or(enrollment.created_at),
            matches: matches.collect(),
            relatives: self.store.relatives(&hints, now.minus(Duration::from_secs(86_400))).await?,
            reverse_dns,
        })
    }

    /// Tells everybody who watches about an enrollment, after its commit.
    pub(super) async fn publish_enrollment(&self, action: &str, enrollment: &Enrollment, principal: &str) {
        if self.hub.subscribers() == 0 {
            return;
        }
        match self.preview(enrollment, Dns::Known).await {
            Ok(preview) => {
                let key = enrollment.id.to_string();
                self.publish("enrollments", action, key, principal, &preview);
            }
            // It is committed; who watches reads it with the next event or reload.
            Err(error) => tracing::warn!(%error, "an enrollment's event was not sent"),
        }
    }

    /// Commits what registers a machine or gives it a new key, and tells of it. A new one joins its mesh
    /// network; one that is full keeps no machine out, and the machine's errors say so. Answers the
    /// machine as it is stored.
    ///
    /// # Errors
    /// As the store.
    pub(super) async fn commit_registration(
        &self,
        mut machine: Machine,
        existed: bool,
        mut changes: Changes,
        principal: &str,
    ) -> Result<Machine, StoreError> {
        let content = self.content();
        let mut placed = Placed::default();
        for change in &mut changes.list {
            if let Change::InsertMachine(new) = change {
                new.goes_to_default_mesh(&content);
                placed = self.place(None, new, &content).await?;
                machine.clone_from(new);
            }
        }
        let changes = placed.with(changes);
        let changes = self.with_errors_found(changes, &content).await;
        let did = if existed { Did::Update } else { Did::Create };
        let mut told = vec![self.machine_happening(did, principal, &machine, None)];
        told.extend(placed.told(self, principal));
        let revision = self.commit(changes, told).await?;
        drop(placed);
        if self.content().revision != content.revision {
            // Content changed on the way, and whoever changed it did not see this machine yet.
            self.revalidate(&[(Kind::BootEnvs, machine.fields.boot_env.clone())]).await;
        }
        if !existed {
            self.liveness.recall(machine.id, None, self.clock.now());
        }
        Ok(Machine { revision, ..machine })
    }
}

/// Whether a name is worth a question to the name server. A list of thousands, or an event on
/// the way of a machine's call, makes do with what is known.
#[derive(Clone, Copy)]
enum Dns {
    Ask,
    Known,
}

/// An approval as the operator asked for it, with every text parsed.
struct Wish {
    code: Option<BootstrapCode>,
    fingerprint: Fingerprint,
    fingerprint_confirmed: bool,
    name: Option<Name>,
    merge: Option<MachineId>,
}

impl Wish {
    fn parse(actor: &Actor, request: &ApproveRequest) -> Result<Self, AppError> {
        let code = request.code.as_deref().map(parse_code).transpose()?;
        if code.is_none() {
            actor.require(Action::BootstrapList)?;
        }
        let fingerprint = request.fingerprint.parse().map_err(|_| DecisionError::FingerprintMismatch)?;
        let name = request.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            code,
            fingerprint,
            fingerprint_confirmed: request.fingerprint_confirmed,
            name: name.map(str::parse).transpose()?,
            merge: request.merge,
        })
    }

    /// A name nobody chose may get a suffix.
    fn may_be_renamed(&self) -> bool {
        self.name.is_none() && self.merge.is_none()
    }
}

fn parse_code(text: &str) -> Result<BootstrapCode, AppError> {
    text.parse::<BootstrapCode>()
        .map_err(|error| AppError::new(AppErrorKind::MalformedCode, error.to_string()))
}

fn enrollment_row(mut row: AuditRow, enrollment: &Enrollment) -> AuditRow {
    row.enrollment = Some(enrollment.id);
    row
}
