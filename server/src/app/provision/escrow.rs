//! Keys of encrypted disks: given by the run's job before the first write to the disk, sealed at rest, and
//! shown to whoever may see them, on record.

use super::work::Work;
use super::{RETRIES, RUNS};
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::enroll::busy;
use crate::app::error::{AppError, AppErrorKind};
use engine::change::{AuditKind, AuditRow, Change, Changes, Record, Revision};
use protocol::ids::MachineId;
use protocol::install::{EscrowedKey, MAX_ESCROW};

/// What the sorts of the records begin with; the machine follows.
const ESCROW: &str = "escrow";
/// Longest name of a volume, in bytes.
const MAX_VOLUME: usize = 64;
/// Keys of one run.
const MAX_KEYS: usize = 16;

impl App {
    /// Takes a key. The same volume once more has another key from now on: it is made anew.
    ///
    /// # Errors
    /// As every call of a run's job; invalid for a key or a volume's name that is none.
    pub(crate) async fn escrow_key(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        given: &EscrowedKey,
    ) -> Result<(), AppError> {
        let Work { run, machine, .. } = self.work(actor, key, lease).await?;
        check(given)?;
        let (kind, name) = (sort(machine.id), format!("{}/{}", run.id, given.volume));
        let sealed = self.keys.sealer().seal(&about(&kind, &name), given.key.as_bytes());
        let sealed = sealed.map_err(AppError::internal)?;
        for _ in 0..RETRIES {
            let known = self.store.records(&kind).await?;
            let of_run = known.iter().filter(|record| record.key.starts_with(&run.id.to_string()));
            let before = known.iter().find(|record| record.key == name);
            if before.is_none() && of_run.count() >= MAX_KEYS {
                let message = format!("a run has at most {MAX_KEYS} encrypted volumes");
                return Err(AppError::new(AppErrorKind::Invalid, message).about(RUNS, key));
            }
            let revision = before.map_or(Revision::default(), |before| before.revision);
            let record = Record { kind: kind.clone(), key: name.clone(), body: sealed.clone(), revision };
            let cause = actor.cause(self.clock.now());
            let row = AuditRow::new(AuditKind::EscrowGiven, &cause).machine(machine.id);
            let row = row.reason(format!("run {}, volume {}", run.id, given.volume));
            let changes = Changes::new(cause.at).and(Change::PutRecord(record)).audit(row);
            if self.try_commit(changes, Vec::new()).await?.is_some() {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// The keys of a machine's encrypted volumes, those of earlier runs too. On record.
    ///
    /// # Errors
    /// `AUTH`, not found.
    pub(crate) async fn escrowed_keys(&self, actor: &Actor, key: &str) -> Result<Vec<EscrowedKey>, AppError> {
        let machine = self.machine_for(actor, key, "escrow").await?;
        let kind = sort(machine.id);
        let mut keys = Vec::new();
        for record in self.store.records(&kind).await? {
            let plain = self.keys.sealer().open(&about(&kind, &record.key), &record.body);
            let key = String::from_utf8(plain.map_err(AppError::internal)?).map_err(AppError::internal)?;
            let (run, volume) = record.key.split_once('/').unwrap_or_default();
            keys.push(EscrowedKey { run: run.parse().unwrap_or_default(), volume: volume.to_owned(), key });
        }
        let cause = actor.cause(self.clock.now());
        let row = AuditRow::new(AuditKind::EscrowRead, &cause).machine(machine.id);
        let row = row.reason(format!("{} keys", keys.len()));
        self.audit(row).await?;
        Ok(keys)
    }
}

fn check(given: &EscrowedKey) -> Result<(), AppError> {
    let invalid = |message: String| Err(AppError::new(AppErrorKind::Invalid, message).about(RUNS, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if given.volume.is_empty() || given.volume.len() > MAX_VOLUME || !given.volume.chars().all(plain) {
        return invalid(format!(
            "Volume must be 1 to {MAX_VOLUME} letters, digits, dashes, dots or underscores"
        ));
    }
    if given.key.is_empty() || given.key.len() > MAX_ESCROW {
        return invalid(format!("Key must have 1 to {MAX_ESCROW} bytes"));
    }
    Ok(())
}

/// The sort of a machine's records.
fn sort(machine: MachineId) -> String {
    format!("{ESCROW}/{machine}")
}

/// What a sealed key is bound to.
fn about(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}
