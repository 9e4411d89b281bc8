//! What is kept of terminals that were open: a row and a recording each, for a bounded time, number and size.
//! The audit log keeps who opened one and when for as long as it keeps anything.

use super::record::{self, RecordError};
use super::{RIGHT, TERMINALS};
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::error::AppError;
use engine::change::{AuditKind, AuditRow, Change, Changes, Record, Revision};
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::model::Kind;
use protocol::rest::Terminal;
use protocol::terminal::End;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// Sort of the records.
const TERMINAL: &str = "terminal";
/// How long they are kept.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Most of them, of all machines.
const MOST: usize = 1_000;
/// Most bytes of their recordings.
const MOST_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// Puts one on record.
pub(super) fn put(terminal: &Terminal, revision: Revision) -> Result<Change, AppError> {
    let body = serde_json::to_string(terminal).map_err(AppError::internal)?;
    let (kind, key) = (TERMINAL.to_owned(), terminal.uuid.to_string());
    Ok(Change::PutRecord(Record { kind, key, body, revision }))
}

impl App {
    /// Terminals that were open on a machine, and the one that is, newest first.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn terminals(&self, actor: &Actor, key: &str) -> Result<Vec<Terminal>, AppError> {
        let machine = self.machine_for(actor, key, RIGHT).await?;
        let mut own = self.kept_terminals().await?;
        own.retain(|terminal| terminal.machine == machine.id.0);
        let ids = own.iter().map(|terminal| terminal.uuid).collect();
        let sizes = self.recording_sizes(ids).await?;
        Ok(own.into_iter().map(|terminal| self.as_it_is(terminal, &sizes)).collect())
    }

    /// The recording of a terminal, in asciicast v2. Who reads it is on record.
    ///
    /// # Errors
    /// `AUTH`; not found, also when it was dropped meanwhile.
    pub(crate) async fn terminal_recording(&self, actor: &Actor, key: &str) -> Result<String, AppError> {
        let unknown = || AppError::not_found(TERMINALS, key);
        let id: Option<Uuid> = key.parse().ok();
        let record = match id {
            Some(id) => self.store.record(TERMINAL, &id.to_string()).await?,
            None => None,
        };
        let Some((id, record)) = id.zip(record) else {
            // Who may see none is not told which there are.
            return actor.may(Kind::Machines.prefix(), RIGHT, "").and(Err(unknown()));
        };
        let terminal: Terminal = serde_json::from_str(&record.body).map_err(AppError::internal)?;
        actor.may(Kind::Machines.prefix(), RIGHT, &terminal.machine.to_string())?;
        let (folder, sealer) = (self.terminals.folder.clone(), self.keys.sealer());
        let read = move || record::read(&folder, &sealer, id);
        let text = match tokio::task::spawn_blocking(read).await.map_err(AppError::internal)? {
            Ok(text) => text,
            Err(RecordError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            Err(error) => return Err(AppError::internal(error)),
        };
        let words = format!("{TERMINALS}/{id} on {}", terminal.machine_name);
        let row = AuditRow::new(AuditKind::TerminalReplayed, &actor.cause(self.clock.now()));
        self.audit(row.machine(MachineId(terminal.machine)).reason(words)).await?;
        Ok(text)
    }

    /// All that are kept, newest first.
    async fn kept_terminals(&self) -> Result<Vec<Terminal>, AppError> {
        let records = self.store.records(TERMINAL).await?;
        let read = |record: &Record| serde_json::from_str(&record.body).map_err(AppError::internal);
        let mut all: Vec<Terminal> = records.iter().map(read).collect::<Result<_, _>>()?;
        all.sort_by(|a, b| (&b.opened_at, b.uuid).cmp(&(&a.opened_at, a.uuid)));
        Ok(all)
    }

    /// A terminal with what only this moment knows.
    fn as_it_is(&self, mut terminal: Terminal, sizes: &HashMap<Uuid, u64>) -> Terminal {
        terminal.recorded = sizes.contains_key(&terminal.uuid);
        let is_open = self.terminals.is_open(MachineId(terminal.machine), terminal.uuid);
        if terminal.end.is_none() && !is_open {
            terminal.end = Some(End::ServerStops);
            "the server ended while it was open".clone_into(&mut terminal.message);
        }
        terminal
    }

    /// Drops what is too old, and the oldest of what is too much.
    pub(super) async fn drop_old_terminals(&self) -> Result<(), AppError> {
        let all = self.kept_terminals().await?;
        let sizes = self.recording_sizes(all.iter().map(|terminal| terminal.uuid).collect()).await?;
        let gone = outlived(&all, &sizes, self.clock.now());
        if gone.is_empty() {
            return Ok(());
        }
        let folder = self.terminals.folder.clone();
        let ids = gone.clone();
        let remove = move || ids.iter().try_for_each(|id| remove(&folder, *id));
        let removed = tokio::task::spawn_blocking(remove).await.map_err(AppError::internal)?;
        removed.map_err(AppError::internal)?;
        let forget = |changes: Changes, id: &Uuid| {
            changes.and(Change::DeleteRecord { kind: TERMINAL.to_owned(), key: id.to_string() })
        };
        let changes = gone.iter().fold(Changes::new(self.clock.now()), forget);
        self.commit(changes, Vec::new()).await?;
        Ok(())
    }

    /// Bytes on the disk of those that are there.
    async fn recording_sizes(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, u64>, AppError> {
        let folder = self.terminals.folder.clone();
        let look = move || {
            let size = |id: &Uuid| fs::metadata(record::path(&folder, *id)).ok().map(|file| file.len());
            ids.iter().filter_map(|id| Some((*id, size(id)?))).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(AppError::internal)
    }
}

/// Which of them, newest first, are not kept any longer. One that is open is new.
fn outlived(all: &[Terminal], sizes: &HashMap<Uuid, u64>, now: Timestamp) -> Vec<Uuid> {
    let mut bytes: u64 = 0;
    let mut is_over = |(place, terminal): (usize, &Terminal)| {
        bytes = bytes.saturating_add(sizes.get(&terminal.uuid).copied().unwrap_or(0));
        let opened: Option<Timestamp> = terminal.opened_at.parse().ok();
        let is_old = opened.is_none_or(|opened| now.since(opened) > KEPT);
        (is_old || place >= MOST || bytes > MOST_BYTES).then_some(terminal.uuid)
    };
    all.iter().enumerate().filter_map(&mut is_over).collect()
}

/// A recording that is gone is gone.
fn remove(folder: &Path, id: Uuid) -> io::Result<()> {
    match fs::remove_file(record::path(folder, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(number: u64, opened: Timestamp) -> Terminal {
        let uuid = Uuid::from_u128(number.into());
        Terminal { uuid, opened_at: opened.to_string(), ..Terminal::default() }
    }

    #[test]
    fn what_is_kept_is_bounded_by_age_number_and_size() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let young = terminal(1, now.minus(KEPT));
        let old = terminal(2, now.minus(KEPT).minus(Duration::from_secs(1)));
        assert_eq!(outlived(&[young.clone(), old.clone()], &HashMap::new(), now), [old.uuid]);
        let many: Vec<Terminal> = (0..1_002).map(|number| terminal(number, now)).collect();
        assert_eq!(outlived(&many, &HashMap::new(), now), [many[1_000].uuid, many[1_001].uuid]);
        let sizes = many.iter().take(3).map(|terminal| (terminal.uuid, MOST_BYTES / 2)).collect();
        assert_eq!(outlived(&many[..3], &sizes, now), [many[2].uuid]);
    }
}
