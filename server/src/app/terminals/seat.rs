//! The operator's side of a terminal: its place among those that are open, its recording and its row.

use super::live::{FromMachine, Opened, OperatorSide, ToMachine};
use super::record::{MAX_RECORDING, RecordError, Recorder};
use super::{TERMINALS, failed, keep};
use crate::app::actor::Actor;
use crate::app::error::AppError;
use crate::app::{App, SharedApp};
use crate::keys;
use crate::report::chain;
use engine::change::{AuditKind, AuditRow, Cause, Changes, Revision};
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::agent_api::TerminalTicket;
use protocol::ids::MachineId;
use protocol::rest::Terminal;
use protocol::terminal::{End, OperatorHears, Size};
use protocol::token::base64url;
use std::net::{IpAddr, Ipv4Addr};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// How a terminal ended, or why it was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// In a word.
    pub(crate) end: End,
    /// In a sentence for the operator.
    pub(crate) message: String,
}

impl Ended {
    /// With its sentence.
    pub(crate) fn new(end: End, message: impl Into<String>) -> Self {
        Self { end, message: message.into() }
    }

    /// As the operator hears it.
    pub(crate) fn told(&self) -> OperatorHears {
        OperatorHears::Ended { reason: self.end, message: self.message.clone() }
    }
}

/// A place among those that are open. Given back with the value, whatever happens to who holds it.
struct Place {
    app: SharedApp,
    machine: MachineId,
    id: Uuid,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.app.terminals.leave(self.machine, self.id);
    }
}

/// An operator's side.
pub(crate) struct Seat {
    place: Place,
    /// What the machine's side sends.
    pub(crate) hears: mpsc::Receiver<FromMachine>,
    /// What it is sent.
    pub(crate) says: mpsc::Sender<ToMachine>,
    /// Why others ended it.
    pub(crate) stop: watch::Receiver<Option<Ended>>,
    recorder: Recorder,
    terminal: Terminal,
    revision: Revision,
    actor: Actor,
    machine: Machine,
}

impl Seat {
    /// Takes the machine's terminal, begins its recording and puts it on record.
    pub(super) async fn take(
        app: &SharedApp,
        actor: &Actor,
        machine: &Machine,
        size: Size,
    ) -> Result<Self, Ended> {
        let cause = actor.cause(app.clock.now());
        let secret = keys::random::<32>().map_err(|error| failed(&AppError::internal(error)))?;
        let ticket = TerminalTicket { id: Uuid::new_v4(), secret: base64url(&secret) };
        let opened = Opened {
            id: ticket.id,
            user: actor.name().to_owned(),
            source: cause.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            machine: machine.id,
            machine_name: machine.name.to_string(),
            at: cause.at,
            size,
        };
        let OperatorSide { hears, says, stop } =
            app.terminals.begin(&opened, ticket).map_err(|user| busy(machine, &user))?;
        let place = Place { app: SharedApp::clone(app), machine: machine.id, id: opened.id };
        app.drop_old_terminals().await.map_err(|error| failed(&error))?;
        let folder = &app.terminals.folder;
        let recorder = Recorder::begin(folder, app.keys.sealer(), &opened, MAX_RECORDING)
            .await
            .map_err(|error| unrecorded(&error))?;
        let terminal = begun(opened);
        let revision = app.note_opened(&terminal, machine, &cause).await.map_err(|error| failed(&error))?;
        let (actor, machine) = (actor.clone(), machine.clone());
        Ok(Self { place, hears, says, stop, recorder, terminal, revision, actor, machine })
    }

    /// Its id.
    pub(crate) fn id(&self) -> Uuid {
        self.terminal.uuid
    }

    /// The machine's id.
    pub(crate) fn machine(&self) -> MachineId {
        self.place.machine
    }

    /// The machine's name.
    pub(crate) fn machine_name(&self) -> &str {
        &self.terminal.machine_name
    }

    /// Records what is about to be shown.
    ///
    /// # Errors
    /// What cannot be recorded ends the terminal.
    pub(crate) async fn record(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.terminal.bytes = self.terminal.bytes.saturating_add(count);
        self.recorder.shown(bytes).await.map_err(|error| unrecorded(&error))
    }

    /// Records another size.
    ///
    /// # Errors
    /// As [`Seat::record`].
    pub(crate) async fn resize(&mut self, size: Size) -> Result<(), Ended> {
        self.recorder.resized(size).await.map_err(|error| unrecorded(&error))
    }

    /// Puts on record how it ended.
    pub(crate) async fn close(self, ended: &Ended) {
        let Self { place, recorder, mut terminal, revision, actor, machine, .. } = self;
        if let Err(error) = recorder.end().await {
            tracing::warn!(terminal = %place.id, error = %chain(&error), "a recording is not whole");
        }
        let app = SharedApp::clone(&place.app);
        let cause = actor.cause(app.clock.now());
        terminal.closed_at = cause.at.to_string();
        terminal.end = Some(ended.end);
        ended.message.clone_into(&mut terminal.message);
        let opened: Option<Timestamp> = terminal.opened_at.parse().ok();
        terminal.seconds = opened.map_or(0, |opened| cause.at.since(opened).as_secs());
        if let Err(error) = app.note_closed(&terminal, revision, &cause, &machine).await {
            tracing::error!(terminal = %place.id, error = %chain(&error), "how a terminal ended is not on record");
        }
        drop(place);
        app.tell_terminal(&actor, "close", &machine).await;
    }
}

fn begun(opened: Opened) -> Terminal {
    Terminal {
        uuid: opened.id,
        machine: opened.machine.0,
        machine_name: opened.machine_name,
        user: opened.user,
        source: opened.source.to_string(),
        opened_at: opened.at.to_string(),
        recorded: true,
        ..Terminal::default()
    }
}

impl App {
    async fn note_opened(
        &self,
        terminal: &Terminal,
        machine: &Machine,
        cause: &Cause,
    ) -> Result<Revision, AppError> {
        let words = format!("{TERMINALS}/{} on {}", terminal.uuid, terminal.machine_name);
        let row = AuditRow::new(AuditKind::TerminalOpened, cause).machine(machine.id).reason(words);
        let changes = Changes::new(cause.at).and(keep::put(terminal, Revision(0))?).audit(row);
        Ok(self.commit(changes, Vec::new()).await?)
    }

    async fn note_closed(
        &self,
        terminal: &Terminal,
        revision: Revision,
        cause: &Cause,
        machine: &Machine,
    ) -> Result<(), AppError> {
        let Terminal { uuid, machine_name, seconds, bytes, message, .. } = terminal;
        let words = format!("{TERMINALS}/{uuid} on {machine_name}, {seconds} s, {bytes} bytes: {message}");
        let row = AuditRow::new(AuditKind::TerminalClosed, cause).machine(machine.id).reason(words);
        let changes = Changes::new(cause.at).and(keep::put(terminal, revision)?).audit(row);
        self.commit(changes, Vec::new()).await?;
        Ok(())
    }
}

fn busy(machine: &Machine, user: &str) -> Ended {
    let message = format!("{user} has a terminal open on {}; it must end first", machine.name);
    Ended::new(End::Busy, message)
}

fn unrecorded(error: &RecordError) -> Ended {
    if !matches!(error, RecordError::Full) {
        tracing::error!(error = %chain(error), "a terminal cannot be recorded");
    }
    Ended::new(End::Unrecorded, error.to_string())
}
