//! Terminals that are open in this server process: two sides with bounded queues between them. Nothing is
//! buffered beyond those: who reads slowly makes the other side wait.

use super::seat::Ended;
use engine::time::Timestamp;
use protocol::agent_api::TerminalTicket;
use protocol::ids::MachineId;
use protocol::rest::TerminalOpen;
use protocol::terminal::{MachineHears, MachineSays, Size};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Messages that wait between the two sides, each of at most [`protocol::terminal::MAX_BYTES`].
const QUEUE: usize = 16;

/// What the operator's side sends to the machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToMachine {
    /// What was typed.
    Bytes(Vec<u8>),
    /// It is shown larger or smaller now.
    Resize(Size),
}

/// What the machine's side sends to the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromMachine {
    /// The agent knows of it.
    Told,
    /// The machine's side is connected.
    Came,
    /// What is to be shown.
    Bytes(Vec<u8>),
    /// Its last word.
    Says(MachineSays),
}

/// The machine's side, for whoever connects with the secret.
#[derive(Debug)]
pub(crate) struct MachineSide {
    /// What it is told first.
    pub(crate) start: MachineHears,
    /// What it is sent. Ends with the terminal.
    pub(crate) hears: mpsc::Receiver<ToMachine>,
    /// Where what it sends goes in.
    pub(crate) says: mpsc::Sender<FromMachine>,
}

/// The operator's ends of the queues.
#[derive(Debug)]
pub(crate) struct OperatorSide {
    pub(crate) hears: mpsc::Receiver<FromMachine>,
    pub(crate) says: mpsc::Sender<ToMachine>,
    /// Why others ended it.
    pub(crate) stop: watch::Receiver<Option<Ended>>,
}

/// One that is open.
#[derive(Debug)]
struct Live {
    opened: Opened,
    waiting: Option<Waiting>,
    stop: watch::Sender<Option<Ended>>,
}

/// The machine's side is not there yet.
#[derive(Debug)]
struct Waiting {
    ticket: TerminalTicket,
    told: bool,
    side: MachineSide,
}

/// What is known of one when it is opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) id: Uuid,
    pub(super) user: String,
    pub(super) source: IpAddr,
    pub(super) machine: MachineId,
    pub(super) machine_name: String,
    pub(super) at: Timestamp,
    pub(super) size: Size,
}

/// Those that are open, one for a machine at most.
#[derive(Debug)]
pub(crate) struct Terminals {
    /// Where recordings lie.
    pub(super) folder: PathBuf,
    live: Mutex<HashMap<MachineId, Live>>,
}

impl Terminals {
    /// None open yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, live: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one, whose machine's side comes with this ticket.
    ///
    /// # Errors
    /// The user who has one open on the machine.
    pub(super) fn begin(&self, opened: &Opened, ticket: TerminalTicket) -> Result<OperatorSide, String> {
        let (to_machine, from_operator) = mpsc::channel(QUEUE);
        let (to_operator, from_machine) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(None);
        let Opened { user, source, size, .. } = opened;
        let start = MachineHears::Start { user: user.clone(), source: source.to_string(), size: *size };
        let side = MachineSide { start, hears: from_operator, says: to_operator };
        let waiting = Some(Waiting { ticket, told: false, side });
        match self.lock().entry(opened.machine) {
            Entry::Occupied(taken) => return Err(taken.get().opened.user.clone()),
            Entry::Vacant(free) => free.insert(Live { opened: opened.clone(), waiting, stop }),
        };
        Ok(OperatorSide { hears: from_machine, says: to_machine, stop: stopped })
    }

    /// It is over.
    pub(super) fn leave(&self, machine: MachineId, id: Uuid) {
        let mut live = self.lock();
        if live.get(&machine).is_some_and(|live| live.opened.id == id) {
            live.remove(&machine);
        }
    }

    /// Ends the one that a machine has; whether it had one.
    pub(super) fn stop(&self, machine: MachineId, why: &Ended) -> bool {
        let live = self.lock();
        let Some(live) = live.get(&machine) else { return false };
        live.stop.send_replace(Some(why.clone()));
        true
    }

    /// The one that a machine has.
    pub(super) fn open(&self, machine: MachineId) -> Option<TerminalOpen> {
        let live = self.lock();
        let Opened { id, user, source, at, .. } = &live.get(&machine)?.opened;
        Some(TerminalOpen {
            uuid: *id,
            user: user.clone(),
            source: source.to_string(),
            opened_at: at.to_string(),
        })
    }

    /// Whether this one is open.
    pub(super) fn is_open(&self, machine: MachineId, id: Uuid) -> bool {
        self.lock().get(&machine).is_some_and(|live| live.opened.id == id)
    }

    /// Whether a machine's agent has not heard of one yet.
    pub(crate) fn calls(&self, machine: MachineId) -> bool {
        let live = self.lock();
        live.get(&machine).and_then(|live| live.waiting.as_ref()).is_some_and(|waiting| !waiting.told)
    }

    /// The ticket for a machine's agent, as long as nobody came with it: an answer may be lost.
    pub(crate) fn ticket(&self, machine: MachineId) -> Option<TerminalTicket> {
        let mut live = self.lock();
        let waiting = live.get_mut(&machine)?.waiting.as_mut()?;
        if !waiting.told {
            waiting.told = true;
            // The queue is empty, or nobody is there to be told.
            drop(waiting.side.says.try_send(FromMachine::Told));
        }
        Some(waiting.ticket.clone())
    }

    /// The machine's side, for the secret of its ticket: once.
    pub(super) fn attach(&self, id: Uuid, secret: &str) -> Option<MachineSide> {
        let mut live = self.lock();
        let live = live.values_mut().find(|live| live.opened.id == id)?;
        // Digests: comparing them tells nothing by its time.
        let same = |text: &str| digest(&SHA256, text.as_bytes());
        let is_its = |waiting: &mut Waiting| same(&waiting.ticket.secret).as_ref() == same(secret).as_ref();
        live.waiting.take_if(is_its).map(|waiting| waiting.side)
    }
}
