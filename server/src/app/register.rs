//! Registration by bootstrap token, without a person (`spec/security.md` 3.2).
//!
//! In this order: address limit, open the token, claims and expiry, deny list, constraints,
//! token limit. A key that is registered already gets its machine. A machine that looks like a
//! registered one is refused, so that its agent shows a code and an operator decides.

use super::App;
use super::actor::cause_of;
use super::enroll::{busy, check_inventory, slow_down};
use super::error::AppError;
use crate::keys::MachineCaller;
use crate::store::{Conflict, StoreError};
use engine::admission::{self, Admission, BootstrapClaims, admit};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes};
use engine::identity::{hints, rank};
use engine::machine::{Machine, Name};
use protocol::agent_api::{Approved, RefusalKind, RegisterRequest};
use protocol::ids::MachineId;
use uuid::Uuid;

/// How often a commit is tried: taken default names and other commits that come between.
const ATTEMPTS: u32 = 50;

impl App {
    /// A machine registers by token.
    ///
    /// # Errors
    /// `invalid_token`, `token_expired`, `token_revoked`, `constraint_failed`, `slow_down`:
    /// after each the agent asks for a code instead.
    pub(crate) async fn register(
        &self,
        caller: &MachineCaller,
        mut request: RegisterRequest,
    ) -> Result<Approved, AppError> {
        self.limits.register(caller.source, self.clock.now()).map_err(slow_down)?;
        check_inventory(&request.inventory)?;
        request.inventory.clean();
        let claims = self.keys.open_token(&request.token).map_err(|_same_for_all| {
            AppError::refused(
                RefusalKind::InvalidToken,
                "bootstrap token is damaged or not one of this server's",
            )
        })?;
        let admission = self.admit(caller, &claims, &request).await?;
        self.limits.token(&claims.jti, self.clock.now()).map_err(slow_down)?;
        for attempt in 0..ATTEMPTS {
            if let Some(machine) = self.store.machine_of_key(caller.key).await? {
                return Ok(self.welcome(&machine));
            }
            self.refuse_lookalike(caller, &claims, &request).await?;
            let cause = cause_of(caller, self.clock.now());
            let machine = self.new_machine(caller, &claims, &request, attempt, &cause).await;
            match self.store.commit(&registration(&machine, &claims, admission, &cause)).await {
                Ok(revision) => {
                    let machine = Machine { revision, ..machine };
                    self.registered(&machine, false, &cause.principal);
                    return Ok(self.welcome(&machine));
                }
                Err(StoreError::Conflict(Conflict::UsedUp)) => {
                    let reason = admission::Refused::Constraint("any more machines");
                    return Err(self.note_refusal(caller, &claims, reason).await?);
                }
                // Taken name, or the same key twice at once: look again.
                Err(StoreError::Conflict(Conflict::NameTaken | Conflict::KeyTaken)) => {}
                Err(StoreError::Conflict(Conflict::Stale)) => {
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
        let cause = cause_of(caller, self.clock.now());
        let row = AuditRow::new(AuditKind::TokenRefused, &cause).key(caller.key);
        self.audit(row.reason(format!("token {}: {refused}", claims.jti))).await?;
        Ok(refused.into())
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
        let cause = cause_of(caller, self.clock.now());
        let row = AuditRow::new(AuditKind::TokenRefused, &cause).key(caller.key).machine(found.machine.id);
        self.audit(row.reason(format!("token {}: looks like {name}", claims.jti))).await?;
        let message = format!("this machine looks like {name}, so an operator must approve it");
        Err(AppError::refused(RefusalKind::ConstraintFailed, message))
    }

    async fn new_machine(
        &self,
        caller: &MachineCaller,
        claims: &BootstrapClaims,
        request: &RegisterRequest,
        attempt: u32,
        cause: &Cause,
    ) -> Machine {
        let id = MachineId(Uuid::new_v4());
        let named = request.inventory.host_name.contains('.');
        let reverse_dns = if named { None } else { self.reverse_dns.name_of(caller.source).await };
        let name = Name::suggest(&request.inventory, reverse_dns.as_deref(), &id);
        let name = if attempt == 0 { name } else { name.with_suffix(attempt + 1) };
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
