//! The audit log, read in parts, newest rows first.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::objects::Pair;
use super::watch::AUDIT;
use crate::store::{AuditEntry, AuditQuery};
use engine::change::AuditKind;
use protocol::ids::MachineId;
use protocol::rest;

/// Rows in a part unless the caller says otherwise, and most of them.
const PART: u32 = 100;
const LARGEST_PART: u32 = 500;
/// The server itself, as rows call it.
const SYSTEM: &str = "system";

impl App {
    /// Rows of the audit log, newest first: a part of them.
    ///
    /// # Errors
    /// `AUTH` without `audit:list`, or `audit:list:UUID` for the rows of one machine; a query that cannot be.
    pub(crate) async fn audit_log(
        &self,
        actor: &Actor,
        query: &[Pair],
    ) -> Result<Vec<rest::AuditEntry>, AppError> {
        let (which, most) = read_query(query)?;
        let key = which.machine.map(|machine| machine.to_string()).unwrap_or_default();
        actor.may(AUDIT, "list", &key)?;
        Ok(self.store.audit_rows(&which, most).await?.iter().map(view).collect())
    }
}

fn view(entry: &AuditEntry) -> rest::AuditEntry {
    let row = &entry.row;
    rest::AuditEntry {
        number: entry.number,
        time: row.at.to_string(),
        kind: entry.kind.clone(),
        principal: row.principal.clone(),
        source: row.source,
        request: row.request_id.clone(),
        enrollment: row.enrollment,
        machine: row.machine,
        key: row.key,
        code: row.code.map(|code| code.to_string()).unwrap_or_default(),
        reason: row.reason.clone(),
    }
}

fn read_query(query: &[Pair]) -> Result<(AuditQuery, u32), AppError> {
    let (mut which, mut most) = (AuditQuery::default(), PART);
    for (name, value) in query {
        match name.as_str() {
            "machine" => which.machine = Some(machine(value)?),
            "kind" => which.kinds = value.split(',').map(kind).collect::<Result<_, _>>()?,
            "user" => which.principal = Some(principal(value)),
            "after" => {
                which.before =
                    Some(value.parse().map_err(|_| bad("after must be a row's Number".to_owned()))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PART).contains(limit));
                most =
                    limit.ok_or_else(|| bad(format!("limit must be a number from 1 to {LARGEST_PART}")))?;
            }
            _ => return Err(bad(format!("audit rows are found by machine, kind and user, not by {name:?}"))),
        }
    }
    Ok((which, most))
}

/// Machines that are gone have rows too, so only their ids are of use.
fn machine(text: &str) -> Result<MachineId, AppError> {
    let id = text.to_ascii_lowercase().parse();
    id.map_err(|_| bad(format!("machine must be a UUID; {text:?} is none")))
}

fn kind(word: &str) -> Result<AuditKind, AppError> {
    let read = serde_json::from_value(serde_json::Value::String(word.trim().to_owned()));
    read.map_err(|_| bad(format!("there is no kind of audit row called {word:?}")))
}

/// A user by name, or whoever else does things by what rows call them.
fn principal(word: &str) -> String {
    let whole = word == SYSTEM || word.starts_with("machine:") || word.starts_with("key:");
    if whole || word.starts_with("user:") { word.to_owned() } else { format!("user:{word}") }
}

fn bad(message: String) -> AppError {
    AppError::new(AppErrorKind::BadList, message).about(AUDIT, "")
}
