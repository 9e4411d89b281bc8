//! Registration by bootstrap token, without a person (`spec/security.md` 3.2); by boot nonce it is
//! `redeem`'s, by an earlier key's word `succession`'s.
//!
//! In this order: address limit, everybody's limit, open the token, claims and expiry, what was
//! revoked, constraints, token limit. A key that is registered already gets its machine. A machine
//! that looks like a registered one is refused, so that its agent shows a code and an operator
//! decides, unless it comes back with the token it came by (`engine::comeback`).

use super::App;
use super::actor::cause_of;
use super::enroll::{busy, check_inventory, refuse_while_denied, slow_down};
use super::error::AppError;
use super::machines::fresh_secret;
use super::tokens::marks;
use crate::keys::{MachineCaller, Opened};
use crate::store::{Conflict, StoreError};
use engine::admission::{self, Admission, BootstrapClaims, Refused, admit};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, TokenUse};
use engine::comeback::{Recognised, come_back, recognise, registrar};
use engine::enrollment::Enrollment;
use engine::identity::{hints, rank};
use engine::machine::{Machine, NAME_TRIES, Name, Newborn, Presence, newborn};
use engine::revocation::TokenMarks;
use engine::time::Timestamp;
use protocol::agent_api::{Approved, RefusalKind, RegisterRequest};
use protocol::ids::MachineId;
use protocol::inventory::MAX_INVENTORY;
use std::time::Duration;
use uuid::Uuid;

/// How often a commit is tried: taken default names, and a few for commits that come between.
const ATTEMPTS: u32 = NAME_TRIES + 4;

/// A machine with a token that admits it.
struct Applicant<'a> {
    caller: &'a MachineCaller,
    request: &'a RegisterRequest,
    token: &'a TokenMarks,
    admission: Admission,
}

/// What a registration stores.
struct Registration {
    machine: Machine,
    /// Whether the machine was registered before.
    existed: bool,
    changes: Changes,
}

impl App {
    /// A machine registers by token, or comes back with its boot's nonce or its earlier key's word.
    ///
    /// # Errors
    /// `invalid_token`, `token_expired`, `token_revoked`, `constraint_failed`, `approval_required`,
    /// and `access_denied` while the key pauses after a denial: after each the agent asks for a code
    /// instead. `slow_down` and `temporarily_unavailable`: it tries again.
    pub(crate) async fn register(
        &self,
        caller: &MachineCaller,
        mut request: RegisterRequest,
    ) -> Result<Approved, AppError> {
        self.check_rates(caller)?;
        check_inventory(&request.inventory, MAX_INVENTORY)?;
        request.inventory.clean();
        if !request.statement.is_empty() {
            return self.register_by_statement(caller, &request.statement).await;
        }
        if !request.nonce.is_empty() {
            return self.register_by_nonce(caller, &request).await;
        }
        let Opened { claims, kid } = self.keys.open_token(&request.token).map_err(|_same_for_all| {
            AppError::refused(
                RefusalKind::InvalidToken,
                "bootstrap token is damaged or not one of this server's",
            )
        })?;
        let token = marks(&claims, &kid);
        let admission = self.admit(caller, &claims, &token, &request).await?;
        self.limits.token(&token.jti, self.clock.now()).map_err(slow_down)?;
        self.register_admitted(&Applicant { caller, request: &request, token: &token, admission }).await
    }

    fn check_rates(&self, caller: &MachineCaller) -> Result<(), AppError> {
        let now = self.clock.now();
        self.limits.register(caller.source, now).map_err(slow_down)?;
        self.limits.register_anywhere(now).map_err(|limited| {
            let message = "too many machines register at once; retry in a moment";
            let busy = AppError::refused(RefusalKind::TemporarilyUnavailable, message);
            // Not all at once again.
            let jitter = u64::from(caller.key.0.first().copied().unwrap_or(0)) % 10;
            busy.after(limited.retry_after.saturating_add(jitter))
        })
    }

    async fn register_admitted(&self, applicant: &Applicant<'_>) -> Result<Approved, AppError> {
        let mut taken = 0;
        for _ in 0..ATTEMPTS {
            if let Some(machine) = self.store.machine_of_key(applicant.caller.key).await? {
                return Ok(self.welcome(&machine));
            }
            let waiting = self.undenied(applicant).await?;
            let cause = cause_of(applicant.caller, self.clock.now());
            let Registration { machine, existed, changes } =
                self.registration(applicant, taken, &cause).await?;
            let (taken_back, changes) = take_back(waiting, changes, &cause)?;
            match self.commit_registration(machine, existed, changes, &cause.principal).await {
                Ok(machine) => {
                    if let Some(enrollment) = taken_back {
                        self.settled(&enrollment, &cause.principal).await;
                    }
                    self.note_habit(applicant, &cause).await;
                    return Ok(self.welcome(&machine));
                }
                Err(StoreError::Conflict(Conflict::NameTaken)) => taken += 1,
                // The same key twice at once, or somebody decided meanwhile: look again.
                Err(StoreError::Conflict(Conflict::KeyTaken | Conflict::Stale)) => {
                    self.refresh_content().await?
                }
                Err(StoreError::Conflict(Conflict::UsedUp)) => {
                    let reason = Refused::Constraint("any more machines");
                    return Err(self.note_refusal(applicant.caller, applicant.token, reason).await?);
                }
                Err(StoreError::Conflict(Conflict::Revoked)) => {
                    let reason = Refused::Revoked("while it was used");
                    return Err(self.note_refusal(applicant.caller, applicant.token, reason).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    async fn admit(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
        token: &TokenMarks,
        request: &RegisterRequest,
    ) -> Result<Admission, AppError> {
        let applicant = admission::Applicant {
            server_id: self.keys.server_id(),
            inventory: &request.inventory,
            source: caller.source,
            revoked: self.how_revoked(token).await?,
            now: self.clock.now(),
        };
        match admit(claims, &applicant) {
            Ok(admission) => Ok(admission),
            Err(refused) => Err(self.note_refusal(caller, token, refused).await?),
        }
    }

    /// Keeps in the audit log why a token was refused; the machine learns less.
    async fn note_refusal(
        &self,
        caller: &MachineCaller,
        token: &TokenMarks,
        refused: Refused,
    ) -> Result<AppError, AppError> {
        self.audit_refusal(caller, token, None, &refused.to_string()).await?;
        Ok(refused.into())
    }

    async fn audit_refusal(
        &self,
        caller: &MachineCaller,
        token: &TokenMarks,
        machine: Option<MachineId>,
        why: &str,
    ) -> Result<(), AppError> {
        let now = self.clock.now();
        if self.limits.refused_token(&token.jti, now).is_err() {
            return Ok(());
        }
        let row = AuditRow::new(AuditKind::TokenRefused, &cause_of(caller, now)).key(caller.key);
        self.audit(AuditRow { machine, ..row.reason(format!("token {}: {why}", token.jti)) }).await
    }

    /// A key that an operator denied pauses, token or not. Answers the request with which the
    /// key waits for an operator, if it does.
    async fn undenied(&self, applicant: &Applicant<'_>) -> Result<Option<Enrollment>, AppError> {
        let Applicant { caller, token, .. } = applicant;
        let earlier = self.store.enrollments_of_key(caller.key).await?;
        if let Err(denied) = refuse_while_denied(&earlier, self.clock.now()) {
            self.audit_refusal(caller, token, None, &denied.to_string()).await?;
            return Err(denied);
        }
        Ok(earlier.into_iter().find(|one| one.live_code().is_some()))
    }

    /// Who the machine is, and what is stored about it. A token never registers over a machine that
    /// exists, and never beside its likeness.
    async fn registration(
        &self,
        applicant: &Applicant<'_>,
        taken: u32,
        cause: &Cause,
    ) -> Result<Registration, AppError> {
        let Applicant { caller, request, token, admission } = applicant;
        match self.recognise(applicant, cause.at).await? {
            Recognised::Stranger => {
                let newborn = newborn(&self.content(), &fresh_secret()?, request.origin);
                let content = newborn.content;
                let machine = self.new_machine(applicant, taken, newborn, cause).await;
                let changes = Changes::new(cause.at)
                    .on(content)
                    .and(used(token, TokenUse::NewMachine { max: admission.max }))
                    .and(Change::InsertMachine(Box::new(machine.clone())))
                    .audit(used_row(&machine, token, cause));
                Ok(Registration { machine, existed: false, changes })
            }
            Recognised::Same(machine) => {
                let content = self.content();
                let machine = machine.booted_by(request.origin, &content);
                let (machine, changes) =
                    come_back(machine, &token.jti, caller.key, request.inventory.clone(), cause);
                let mut changes = changes.on(content.revision);
                changes.list.push(used(token, TokenUse::KnownMachine));
                Ok(Registration { machine, existed: true, changes })
            }
            Recognised::Awake { machine, heard, wait } => {
                if self.comebacks.spoke_since(caller.key, machine.id, heard, cause.at) {
                    Err(self.refuse_lookalike(applicant, &machine).await?)
                } else {
                    Err(come_back_later(&machine, cause.at.since(heard), wait))
                }
            }
            Recognised::Lookalike(machine) => Err(self.refuse_lookalike(applicant, &machine).await?),
        }
    }

    async fn recognise(&self, applicant: &Applicant<'_>, now: Timestamp) -> Result<Recognised, AppError> {
        let inventory = &applicant.request.inventory;
        let lookalikes = self.store.lookalikes(&hints(inventory)).await?;
        let mut matches = Vec::new();
        for found in rank(inventory, lookalikes) {
            let presence = self.presence_anywhere(&found.machine, now).await?;
            matches.push((found, presence));
        }
        Ok(recognise(matches, &applicant.token.jti, &applicant.admission.placement, now))
    }

    /// The machine's presence, heard here or by another server on the same database.
    pub(super) async fn presence_anywhere(
        &self,
        machine: &Machine,
        now: Timestamp,
    ) -> Result<Presence, AppError> {
        let here = self.presence(machine, now);
        let stored = self.store.last_seen_of(machine.id).await?;
        Ok(if stored > here.last_seen { Presence::at(now, stored, false) } else { here })
    }

    async fn refuse_lookalike(
        &self,
        applicant: &Applicant<'_>,
        machine: &Machine,
    ) -> Result<AppError, AppError> {
        let name = &machine.name;
        let why = format!("looks like {name}");
        self.audit_refusal(applicant.caller, applicant.token, Some(machine.id), &why).await?;
        let message = format!("this machine looks like {name}, so an operator must approve it");
        Ok(AppError::refused(RefusalKind::ConstraintFailed, message))
    }

    async fn new_machine(
        &self,
        applicant: &Applicant<'_>,
        taken: u32,
        newborn: Newborn,
        cause: &Cause,
    ) -> Machine {
        let Applicant { caller, request, token, admission } = applicant;
        let id = MachineId(Uuid::new_v4());
        let named = request.inventory.host_name.contains('.');
        let reverse_dns = if named { None } else { self.reverse_dns.name_of(caller.source).await };
        let name = Name::suggest(&request.inventory, reverse_dns.as_deref(), &id);
        let name = name.instead(taken, &request.inventory, &id);
        let (by, inventory) = (registrar(&token.jti), request.inventory.clone());
        let machine = Machine::register(id, name, caller.key, request.origin, inventory, &by, cause.at);
        Machine { placement: admission.placement.clone(), ..machine.begins(newborn) }
    }

    /// After a registration: says loudly what is unusual for its token.
    async fn note_habit(&self, applicant: &Applicant<'_>, cause: &Cause) {
        let jti = &applicant.token.jti;
        for unusual in self.habits.used(jti, applicant.caller.source, cause.at) {
            tracing::warn!(jti, %unusual, "a bootstrap token is used as never before: did it leak?");
            let row = AuditRow::new(AuditKind::RateLimitTripped, cause);
            // The machine is registered; the alarm that cannot be stored was told above.
            if let Err(error) = self.audit(row.reason(format!("token {jti} {unusual}"))).await {
                tracing::error!(%error, "an alarm about a bootstrap token was not stored");
            }
        }
    }
}

fn used(token: &TokenMarks, by: TokenUse) -> Change {
    Change::UseToken { token: token.clone(), by }
}

fn used_row(machine: &Machine, token: &TokenMarks, cause: &Cause) -> AuditRow {
    let row = AuditRow::new(AuditKind::TokenUsed, cause).machine(machine.id);
    AuditRow { key: machine.key, ..row.reason(format!("token {} by {}", token.jti, token.by)) }
}

/// A machine that was reset is faster than the silence by which the old one counts as gone.
pub(super) fn come_back_later(machine: &Machine, silent: Duration, wait: Duration) -> AppError {
    let wait = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
    let message = format!(
        "this machine looks like {}, which was heard {} s ago; retry in {wait} s",
        machine.name,
        silent.as_secs()
    );
    AppError::refused(RefusalKind::SlowDown, message).after(wait)
}

/// Registered without a person, a machine waits for no operator: its request and code end in the same
/// commit, and a decision that comes between makes it stale.
pub(super) fn take_back(
    waiting: Option<Enrollment>,
    changes: Changes,
    cause: &Cause,
) -> Result<(Option<Enrollment>, Changes), AppError> {
    let Some(enrollment) = waiting else { return Ok((None, changes)) };
    let (taken_back, mut all) = enrollment.cancel(cause)?;
    all.list.extend(changes.list);
    Ok((Some(taken_back), all))
}
