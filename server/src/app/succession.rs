//! A machine goes on under a new key that its earlier one vouched for before it was gone (`protocol::succession`):
//! the system that was just installed, at its first start.
//!
//! Until then the earlier key is the machine's, and from then on nobody's: the statement is used by the commit
//! that changes the key, and worth nothing after it.

use super::App;
use super::actor::cause_of;
use super::enroll::{busy, refuse_while_denied};
use super::error::AppError;
use super::events::Did;
use super::register::take_back;
use crate::keys::MachineCaller;
use crate::store::{Conflict, StoreError};
use engine::enrollment::Enrollment;
use engine::machine::Machine;
use protocol::agent_api::{Approved, RefusalKind};

/// How often a commit is tried again because another came between.
const RETRIES: usize = 4;

impl App {
    /// The machine whose key signed `statement` about the caller's takes that one.
    ///
    /// # Errors
    /// `invalid_token` for a statement that is none, or of a key that is no machine's any more;
    /// `access_denied` while the new key pauses after a denial.
    pub(super) async fn register_by_statement(
        &self,
        caller: &MachineCaller,
        statement: &str,
    ) -> Result<Approved, AppError> {
        let said = self.keys.verify_succession(statement, caller.key);
        for _ in 0..RETRIES {
            // The answer to the first time may be lost.
            if let Some(machine) = self.store.machine_of_key(caller.key).await? {
                return Ok(self.welcome(&machine));
            }
            let (earlier, id) = said.ok_or_else(unknown)?;
            let machine = self.store.machine_of_key(earlier).await?.filter(|machine| machine.id == id);
            let before = machine.ok_or_else(unknown)?;
            let cause = cause_of(caller, self.clock.now());
            let enrollments = self.store.enrollments_of_key(caller.key).await?;
            refuse_while_denied(&enrollments, cause.at)?;
            let (machine, changes) = before.clone().succeeded(caller.key, &cause);
            let waiting = enrollments.into_iter().find(|one: &Enrollment| one.live_code().is_some());
            let (taken_back, changes) = take_back(waiting, changes, &cause)?;
            let happening = self.machine_happening(Did::Update, &cause.principal, &machine, Some(&before));
            match self.commit(changes, vec![happening]).await {
                Ok(revision) => {
                    if let Some(enrollment) = taken_back {
                        self.settled(&enrollment, &cause.principal).await;
                    }
                    return Ok(self.welcome(&Machine { revision, ..machine }));
                }
                Err(StoreError::Conflict(Conflict::KeyTaken | Conflict::Stale)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }
}

/// Forged, of another server, about another key or of one that is nobody's: answered alike.
fn unknown() -> AppError {
    let message = "the earlier key is no machine's any more, or did not vouch for this one";
    AppError::refused(RefusalKind::InvalidToken, message)
}
