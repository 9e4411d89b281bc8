//! Registration by bootstrap token, without a person (`spec/security.md` 3.2).
//!
//! In this order: address limit, open the token, claims and expiry, deny list, constraints,
//! token limit. A key that is registered already gets its machine. A machine that looks like a
//! registered one is refused, so that its agent shows a code and an operator decides.

use super::App;
use super::actor::cause_of;
use super::enroll::{busy, check_inventory, refuse_while_denied, slow_down};
use super::error::AppError;
use crate::keys::MachineCaller;
use crate::store::{Conflict, StoreError};
use engine::admission::{self, Admission, BootstrapClaims, admit};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes};
use engine::enrollment::Enrollment;
use engine::identity::{hints, rank};
use engine::machine::{Machine, NAME_TRIES, Name};
use protocol::agent_api::{Approved, RefusalKind, RegisterRequest};
use protocol::ids::MachineId;
use protocol::inventory::MAX_INVENTORY;
use uuid::Uuid;

/// How often a commit is tried: taken default names, and a few for commits that come between.
const ATTEMPTS: u32 = NAME_TRIES + 4;

impl App {
    /// A machine registers by token.
    ///
    /// # Errors
    /// `invalid_token`, `token_expired`, `token_revoked`, `constraint_failed`, `slow_down`, and
    /// `access_denied` while the key pauses after a denial:
    /// after each the agent asks for a code instead.
    pub(crate) async fn register(
        &self,
        caller: &MachineCaller,
        mut request: RegisterRequest,
    ) -> Result<Approved, AppError> {
        self.limits.register(caller.source, self.clock.now()).map_err(slow_down)?;
        check_inventory(&request.inventory, MAX_INVENTORY)?;
        request.inventory.clean();
        let claims = self.keys.open_token(&request.token).map_err(|_same_for_all| {
            AppError::refused(
                RefusalKind::InvalidToken,
                "bootstrap token is damaged or not one of this server's",
            )
        })?;
        let admission = self.admit(caller, &claims, &request).await?;
        self.limits.token(&claims.jti, self.clock.now()).map_err(slow_down)?;
        let mut taken = 0;
        for _ in 0..ATTEMPTS {
            if let Some(machine) = self.store.machine_of_key(caller.key).await? {
                return Ok(self.welcome(&machine));
            }
            let waiting = self.undenied(caller, &claims).await?;
            self.refuse_lookalike(caller, &claims, &request).await?;
            let cause = cause_of(caller, self.clock.now());
            let machine = self.new_machine(caller, &claims, &request, taken, &cause).await;
            let changes = registration(&machine, &claims, admission, &cause);
            let (taken_back, changes) = take_back(waiting, changes, &cause)?;
            match self.store.commit(&changes).await {
                Ok(revision) => {
                    let machine = Machine { revision, ..machine };
                    self.registered(&machine, false, &cause.principal);
                    if let Some(enrollment) = taken_back {
                        self.settled(&enrollment, &cause.principal).await;
                    }
                    return Ok(self.welcome(&machine));
                }
                Err(StoreError::Conflict(Conflict::UsedUp)) => {
                    let reason = admission::Refused::Constraint("any more machines");
                    return Err(self.note_refusal(caller, &claims, reason).await?);
                }
                Err(StoreError::Conflict(Conflict::NameTaken)) => taken += 1,
                // The same key twice at once, or an operator decided meanwhile: look again.
                Err(StoreError::Conflict(Conflict::KeyTaken | Conflict::Stale)) => {}
                Err(StoreError::Conflict(Conflict::Revoked)) => {
                    return Err(self.note_refusal(caller, &claims, admission::Refused::Revoked).await?);
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
        request: &RegisterRequest,
    ) -> Result<Admission, AppError> {
        let issued = self.store.token(&claims.jti).await?;
        let applicant = admission::Applicant {
            server_id: self.keys.server_id(),
            inventory: &request.inventory,
            source: caller.source,
            revoked: issued.is_some_and(|token| token.revoked_at.is_some()),
            now: self.clock.now(),
        };
        match admit(claims, &applicant) {
            Ok(admission) => Ok(admission),
            Err(refused) => Err(self.note_refusal(caller, claims, refused).await?),
        }
    }

    /// Keeps in the audit log why a token was refused; the machine learns less.
    async fn note_refusal(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
        refused: admission::Refused,
    ) -> Result<AppError, AppError> {
        let row = self.refusal_row(caller);
        self.audit(row.reason(format!("token {}: {refused}", claims.jti))).await?;
        Ok(refused.into())
    }

    fn refusal_row(&self, caller: &MachineCaller) -> AuditRow {
        AuditRow::new(AuditKind::TokenRefused, &cause_of(caller, self.clock.now())).key(caller.key)
    }

    /// A key that an operator denied pauses, token or not. Answers the request with which the
    /// key waits for an operator, if it does.
    async fn undenied(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
    ) -> Result<Option<Enrollment>, AppError> {
        let earlier = self.store.enrollments_of_key(caller.key).await?;
        if let Err(denied) = refuse_while_denied(&earlier, self.clock.now()) {
            let row = self.refusal_row(caller);
            self.audit(row.reason(format!("token {}: {denied}", claims.jti))).await?;
            return Err(denied);
        }
        Ok(earlier.into_iter().find(|one| one.live_code().is_some()))
    }

    /// A token never registers over a machine that exists, and never beside its likeness.
    async fn refuse_lookalike(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
        request: &RegisterRequest,
    ) -> Result<(), AppError> {
        let lookalikes = self.store.lookalikes(&hints(&request.inventory)).await?;
        let best = rank(&request.inventory, lookalikes).into_iter().next();
        let Some(found) = best.filter(engine::identity::Match::is_strong) else { return Ok(()) };
        let name = &found.machine.name;
        let row = self.refusal_row(caller).machine(found.machine.id);
        self.audit(row.reason(format!("token {}: looks like {name}", claims.jti))).await?;
        let message = format!("this machine looks like {name}, so an operator must approve it");
        Err(AppError::refused(RefusalKind::ConstraintFailed, message))
    }

    async fn new_machine(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
        request: &RegisterRequest,
        taken: u32,
        cause: &Cause,
    ) -> Machine {
        let id = MachineId(Uuid::new_v4());
        let named = request.inventory.host_name.contains('.');
        let reverse_dns = if named { None } else { self.reverse_dns.name_of(caller.source).await };
        let name = Name::suggest(&request.inventory, reverse_dns.as_deref(), &id);
        let name = name.instead(taken, &request.inventory, &id);
        let by = format!("token:{}", claims.jti);
        Machine::register(id, name, caller.key, request.origin, request.inventory.clone(), &by, cause.at)
    }
}

/// The machine, the token's use and the audit row in one commit.
fn registration(machine: &Machine, claims: &BootstrapClaims, admission: Admission, cause: &Cause) -> Changes {
    let row = AuditRow::new(AuditKind::TokenUsed, cause).machine(machine.id);
    let row = AuditRow { key: machine.key, ..row };
    Changes::new(cause.at)
        .and(Change::UseToken { jti: claims.jti.clone(), max: admission.max })
        .and(Change::InsertMachine(Box::new(machine.clone())))
        .audit(row.reason(format!("token {} by {}", claims.jti, claims.by)))
}

/// Registered by token, a machine waits for no operator: its request and code end in the same
/// commit, and a decision that comes between makes it stale.
fn take_back(
    waiting: Option<Enrollment>,
    changes: Changes,
    cause: &Cause,
) -> Result<(Option<Enrollment>, Changes), AppError> {
    let Some(enrollment) = waiting else { return Ok((None, changes)) };
    let (taken_back, mut all) = enrollment.cancel(cause)?;
    all.list.extend(changes.list);
    Ok((Some(taken_back), all))
}
