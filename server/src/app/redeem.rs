//! A known machine comes back with the one-time nonce that its boot carried (`engine::boot_nonce`).
//!
//! Whoever has the key of a machine is that machine, nonce or not. Else the nonce is looked up by its
//! digest, and used by whatever comes of it: by the registration's own commit, so that of two at once
//! one comes back, or by that of its refusal.

use super::App;
use super::actor::cause_of;
use super::boot::digest_of;
use super::enroll::{busy, refuse_while_denied};
use super::error::AppError;
use super::register::{come_back_later, take_back};
use crate::keys::MachineCaller;
use crate::store::{Conflict, StoreError};
use engine::boot_nonce::{GivenNonce, Redeemed, Refused, redeem};
use engine::change::Cause;
use engine::enrollment::Enrollment;
use engine::identity::{Match, hints, rank};
use engine::machine::Presence;
use engine::time::Timestamp;
use protocol::agent_api::{Approved, RefusalKind, RegisterRequest};
use protocol::inventory::Inventory;
use protocol::nonce::BootNonce;

/// How often a commit is tried again because another came between.
const RETRIES: usize = 4;

impl App {
    /// A machine comes back with its boot's nonce; `request` is within its limits, and clean.
    ///
    /// # Errors
    /// `invalid_token` for a nonce that is none, `constraint_failed` when the machine does not come
    /// back by it, `access_denied` while the key pauses after a denial: after each the agent goes on
    /// to a code. `slow_down` while the machine it is for was heard within the last minute.
    pub(super) async fn register_by_nonce(
        &self,
        caller: &MachineCaller,
        request: &RegisterRequest,
    ) -> Result<Approved, AppError> {
        let nonce: BootNonce = request.nonce.parse().map_err(|_same_for_all| unknown())?;
        let digest = digest_of(&nonce)?;
        for _ in 0..RETRIES {
            if let Some(machine) = self.store.machine_of_key(caller.key).await? {
                return Ok(self.welcome(&machine));
            }
            let given = self.store.nonce(digest).await?.ok_or_else(unknown)?;
            let cause = cause_of(caller, self.clock.now());
            let earlier = self.store.enrollments_of_key(caller.key).await?;
            if let Err(denied) = refuse_while_denied(&earlier, cause.at) {
                self.use_up(&given, Refused::Denied, caller, &cause).await?;
                return Err(denied);
            }
            let found = self.resembled(&given, &request.inventory, cause.at).await?;
            let inventory = request.inventory.clone();
            let (machine, changes) = match redeem(&given, found, caller.key, inventory, &cause) {
                Ok(Redeemed::Back(machine, changes)) => (*machine, changes),
                Ok(Redeemed::Awake { machine, heard, wait }) => {
                    if !self.comebacks.spoke_since(caller.key, machine.id, heard, cause.at) {
                        return Err(come_back_later(&machine, cause.at.since(heard), wait));
                    }
                    self.use_up(&given, Refused::Awake, caller, &cause).await?;
                    return Err(refused(Refused::Awake));
                }
                Err(why) => {
                    self.use_up(&given, why, caller, &cause).await?;
                    return Err(refused(why));
                }
            };
            let waiting = earlier.into_iter().find(|one: &Enrollment| one.live_code().is_some());
            let (taken_back, changes) = take_back(waiting, changes, &cause)?;
            match self.commit_registration(machine, true, changes, &cause.principal).await {
                Ok(machine) => {
                    if let Some(enrollment) = taken_back {
                        self.settled(&enrollment, &cause.principal).await;
                    }
                    return Ok(self.welcome(&machine));
                }
                // Twice at once, or somebody decided meanwhile: look again.
                Err(StoreError::Conflict(Conflict::NonceUsed | Conflict::KeyTaken | Conflict::Stale)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// The nonce's machine, as far as the hardware that came resembles it.
    async fn resembled(
        &self,
        given: &GivenNonce,
        inventory: &Inventory,
        now: Timestamp,
    ) -> Result<Option<(Match, Presence)>, AppError> {
        let lookalikes = self.store.lookalikes(&hints(inventory)).await?;
        let found = rank(inventory, lookalikes).into_iter().find(|found| found.machine.id == given.machine);
        let Some(found) = found else { return Ok(None) };
        let presence = self.presence_anywhere(&found.machine, now).await?;
        Ok(Some((found, presence)))
    }

    /// A nonce that was refused is used, and on record.
    async fn use_up(
        &self,
        given: &GivenNonce,
        why: Refused,
        caller: &MachineCaller,
        cause: &Cause,
    ) -> Result<(), AppError> {
        match self.commit(given.refuse(why, caller.key, cause), Vec::new()).await {
            // Used or over meanwhile: there is nothing left to use.
            Ok(_) | Err(StoreError::Conflict(Conflict::NonceUsed)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Unknown, used and over are answered alike.
fn unknown() -> AppError {
    let message = "boot nonce was used, is over, or is not this server's";
    AppError::refused(RefusalKind::InvalidToken, message)
}

fn refused(why: Refused) -> AppError {
    match why {
        Refused::Over => unknown(),
        Refused::Unlike | Refused::Awake | Refused::Denied => {
            let message = format!("{why}, so an operator must approve this machine");
            AppError::refused(RefusalKind::ConstraintFailed, message)
        }
    }
}
