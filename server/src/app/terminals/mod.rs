//! Terminals of machines: off until somebody who may says otherwise, opened by an allowed user who just
//! entered the password, one at a time on a machine, recorded from the first byte to the last.
//!
//! - `live`: those that are open, and what connects their two sides
//! - `seat`: the operator's side of one: what it records, and how it ends
//! - `record`: recordings, sealed in the data directory
//! - `keep`: what is kept of those that were open
//!
//! The machine's agent hears of one with its heartbeat, and whatever it starts connects with the one-time
//! secret that only an agent with the machine's key was told.

mod keep;
mod live;
mod record;
mod seat;

pub(crate) use live::{FromMachine, MachineSide, Terminals, ToMachine};
pub(crate) use seat::{Ended, Seat};

use super::actor::Actor;
use super::auth::LoggedIn;
use super::error::{AppError, AppErrorKind};
use super::events::Happening;
use super::found::json;
use super::sessions::JUST_NOW;
use super::{App, SharedApp};
use engine::change::{AuditKind, AuditRow, Change, Changes, Record, Revision};
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::model::Kind;
use protocol::rest::{TerminalState, TerminalSwitch};
use protocol::terminal::{End, Size};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The collection, as events name it.
pub(super) const TERMINALS: &str = "terminals";
/// The right to everything here, among those to machines.
pub(super) const RIGHT: &str = "terminal";
/// Sort of the records that say on which machines terminals may be opened; nowhere else is it said, so that no
/// change of a machine, a profile or a bundle switches one on.
const SWITCH: &str = "terminal-switch";
/// How often a switch is tried again because another one came between.
const RETRIES: usize = 4;

/// Who allowed terminals on a machine, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Allowed {
    by: String,
    at: Timestamp,
}

impl App {
    /// How a machine's terminal stands.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn terminal_state(&self, actor: &Actor, key: &str) -> Result<TerminalState, AppError> {
        let machine = self.machine_for(actor, key, RIGHT).await?;
        self.state_of(&machine).await
    }

    /// Allows or forbids terminals on a machine. Forbidding ends the one that is open.
    ///
    /// # Errors
    /// `AUTH`; `StepUp` for allowing when the password was not entered just now.
    pub(crate) async fn switch_terminal(
        &self,
        login: &LoggedIn,
        key: &str,
        wanted: TerminalSwitch,
    ) -> Result<TerminalState, AppError> {
        let actor = &login.actor;
        let machine = self.machine_for(actor, key, RIGHT).await?;
        only_users(actor)?;
        if wanted.enabled {
            self.confirmed_within(login, JUST_NOW)?;
        }
        self.store_switch(actor, &machine, wanted.enabled).await?;
        if !wanted.enabled {
            let why = format!("{} switched terminals off for this machine", actor.name());
            self.terminals.stop(machine.id, &Ended::new(End::Off, why));
        }
        self.tell_terminal(actor, "switch", &machine).await;
        self.state_of(&machine).await
    }

    /// Ends the terminal that is open on a machine.
    ///
    /// # Errors
    /// `AUTH`; `Conflict` when there is none.
    pub(crate) async fn stop_terminal(&self, actor: &Actor, key: &str) -> Result<TerminalState, AppError> {
        let machine = self.machine_for(actor, key, RIGHT).await?;
        let why = format!("{} ended it", actor.name());
        if !self.terminals.stop(machine.id, &Ended::new(End::Stopped, why)) {
            let message = format!("no terminal is open on {}", machine.name);
            return Err(AppError::new(AppErrorKind::Conflict, message).about(TERMINALS, key));
        }
        self.state_of(&machine).await
    }

    /// The machine, for somebody who may open a terminal on it.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn may_open_terminal(&self, actor: &Actor, key: &str) -> Result<Machine, AppError> {
        let machine = self.machine_for(actor, key, RIGHT).await?;
        only_users(actor)?;
        Ok(machine)
    }

    /// Opens a terminal: from now on the machine's agent is told of it.
    ///
    /// # Errors
    /// Why not, as the operator is told.
    pub(crate) async fn open_terminal(
        app: &SharedApp,
        login: &LoggedIn,
        machine: &Machine,
        size: Size,
    ) -> Result<Seat, Ended> {
        if app.allowed(machine.id).await.map_err(|error| failed(&error))?.is_none() {
            let message = format!("terminals are off for {}; switch them on first", machine.name);
            return Err(Ended::new(End::Off, message));
        }
        app.confirmed_within(login, JUST_NOW).map_err(|error| Ended::new(End::Confirm, error.message))?;
        if !app.presence(machine, app.clock.now()).online {
            let message = format!("{} is offline; its agent must be heard of first", machine.name);
            return Err(Ended::new(End::Offline, message));
        }
        let seat = Seat::take(app, &login.actor, machine, size).await?;
        app.hub.wake(machine.id.0);
        app.tell_terminal(&login.actor, "open", machine).await;
        Ok(seat)
    }

    /// Whether an open terminal may go on: the right is still there, and terminals still allowed.
    ///
    /// # Errors
    /// Why not, as the operator is told.
    pub(crate) async fn terminal_goes_on(&self, actor: &Actor, machine: MachineId) -> Result<(), Ended> {
        if actor.may(Kind::Machines.prefix(), RIGHT, &machine.to_string()).is_err() {
            return Err(Ended::new(End::Forbidden, "the right to terminals of this machine was taken away"));
        }
        match self.allowed(machine).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Ended::new(End::Off, "terminals are off for this machine now")),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The machine's side of a terminal, for whoever has the secret of its ticket: once.
    ///
    /// # Errors
    /// Not found, whatever is wrong.
    pub(crate) fn attach_terminal(&self, id: &str, secret: &str) -> Result<MachineSide, AppError> {
        let unknown = || AppError::not_found(TERMINALS, id);
        let wanted: Uuid = id.parse().map_err(|_| unknown())?;
        self.terminals.attach(wanted, secret).ok_or_else(unknown)
    }

    async fn state_of(&self, machine: &Machine) -> Result<TerminalState, AppError> {
        let allowed = self.allowed(machine.id).await?;
        Ok(TerminalState {
            enabled: allowed.is_some(),
            enabled_by: allowed.as_ref().map(|allowed| allowed.by.clone()).unwrap_or_default(),
            enabled_at: allowed.map(|allowed| allowed.at.to_string()).unwrap_or_default(),
            online: self.presence(machine, self.clock.now()).online,
            open: self.terminals.open(machine.id),
        })
    }

    async fn allowed(&self, machine: MachineId) -> Result<Option<Allowed>, AppError> {
        let Some(record) = self.store.record(SWITCH, &machine.to_string()).await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&record.body).map_err(AppError::internal)?))
    }

    /// Stores a switch with its audit row; nothing when it stands so already.
    async fn store_switch(&self, actor: &Actor, machine: &Machine, enabled: bool) -> Result<(), AppError> {
        let key = machine.id.to_string();
        for _ in 0..RETRIES {
            let before = self.store.record(SWITCH, &key).await?;
            if before.is_some() == enabled {
                return Ok(());
            }
            let cause = actor.cause(self.clock.now());
            let (kind, change) = if enabled {
                let allowed = Allowed { by: actor.name().to_owned(), at: cause.at };
                let body = serde_json::to_string(&allowed).map_err(AppError::internal)?;
                let record =
                    Record { kind: SWITCH.to_owned(), key: key.clone(), body, revision: Revision(0) };
                (AuditKind::TerminalEnabled, Change::PutRecord(record))
            } else {
                (AuditKind::TerminalDisabled, no_switch(machine.id))
            };
            let row = AuditRow::new(kind, &cause).machine(machine.id).reason(machine.name.to_string());
            match self.commit(Changes::new(cause.at).and(change).audit(row), Vec::new()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(super::enroll::busy())
    }

    /// Tells everybody who watches how a machine's terminal stands now.
    async fn tell_terminal(&self, actor: &Actor, action: &str, machine: &Machine) {
        let state = match self.state_of(machine).await.and_then(|state| json(&state)) {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(error = %crate::report::chain(&error), "a terminal's state cannot be told");
                return;
            }
        };
        self.tell(Happening::other(TERMINALS, action, machine.id.to_string(), &actor.principal(), state));
    }
}

/// What a machine that is deleted takes along.
pub(super) fn no_switch(machine: MachineId) -> Change {
    Change::DeleteRecord { kind: SWITCH.to_owned(), key: machine.to_string() }
}

/// Terminals are for people: a task has the machine already.
fn only_users(actor: &Actor) -> Result<(), AppError> {
    if actor.is_user() {
        return Ok(());
    }
    Err(AppError::new(AppErrorKind::Forbidden, "terminals are for users, not for tokens of machines"))
}

fn failed(error: &AppError) -> Ended {
    tracing::warn!(error = %crate::report::chain(error), "a terminal cannot go on");
    Ended::new(End::Failed, error.message.clone())
}
