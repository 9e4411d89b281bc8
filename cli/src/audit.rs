//! `muster audit`: who did what, and when.

use crate::machine;
use crate::print;
use crate::rest::{Call, decode, encode};
use anyhow::Result;
use clap::Subcommand;
use protocol::rest::AuditEntry;

/// Verbs of `muster audit`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List rows of the audit log, newest first
    #[command(visible_alias = "ls")]
    List(List),
}

/// Arguments of `muster audit list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only what concerns this machine or what it did: its UUID, also when it is gone, or its name
    #[arg(long)]
    machine: Option<String>,
    /// Only these kinds, by commas, such as enrollment.approved,machine.deleted
    #[arg(long)]
    kind: Option<String>,
    /// Only what this user did; or system
    #[arg(long)]
    user: Option<String>,
    /// Only rows older than the one of this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// At most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(args).await,
    }
}

async fn list(args: List) -> Result<()> {
    let client = args.call.client()?;
    let mut query = format!("?limit={}", args.limit);
    if let Some(key) = &args.machine {
        query.push_str(&format!("&machine={}", machine::id(&client, key).await?));
    }
    for (name, value) in [("kind", &args.kind), ("user", &args.user)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    if let Some(number) = args.after {
        query.push_str(&format!("&after={number}"));
    }
    let answer = client.get(&format!("/api/v3/audit{query}")).await?;
    args.call.show(&answer, || Ok(draw(&decode::<Vec<AuditEntry>>(&answer)?)))
}

fn draw(rows: &[AuditEntry]) -> String {
    let row = |row: &AuditEntry| {
        vec![
            row.number.to_string(),
            row.time.clone(),
            row.kind.clone(),
            row.principal.clone(),
            row.source.map(|source| source.to_string()).unwrap_or_default(),
            row.machine.map(|machine| machine.to_string()).unwrap_or_default(),
            row.reason.clone(),
        ]
    };
    let header = ["NUMBER", "TIME", "KIND", "WHO", "FROM", "MACHINE", "DETAILS"];
    print::table(&header, rows.iter().map(row).collect(), "nothing on record matches")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_who_did_what_and_move_no_cursor() {
        let row = AuditEntry {
            number: 7,
            time: "2026-01-01T00:00:00Z".into(),
            kind: "machine.deleted".into(),
            principal: "user:ann".into(),
            source: Some([10, 0, 0, 5].into()),
            request: String::new(),
            enrollment: None,
            machine: None,
            key: None,
            code: String::new(),
            reason: "db-07\u{1b}[2J".into(),
        };
        let told = draw(&[row]);
        assert!(told.contains("machine.deleted  user:ann  10.0.0.5"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
        assert_eq!(draw(&[]), "nothing on record matches");
    }
}
