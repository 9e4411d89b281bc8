//! `muster job`: runs of tasks, and their logs.

use crate::object::{self, Collection};
use crate::print;
use crate::rest::{Client, Connection, decode};
use anyhow::Result;
use clap::Subcommand;
use protocol::model::{Job, Kind};
use reqwest::Method;
use std::io::{IsTerminal, Write};
use uuid::Uuid;

const JOBS: Collection = Collection::of(Kind::Jobs);
/// Seconds that the server may hold an answer until there is more of a log.
const WAIT: &str = "wait=20";

/// Verbs of `muster job`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List jobs, such as `muster job list Machine=UUID State=failed`
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one job
    Show(object::Show),
    /// Print the log of a job
    Log(Log),
    /// Delete jobs that ended, with their logs
    Delete(object::Delete),
}

/// Arguments of `muster job log`
#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// The job's UUID
    job: Uuid,
    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => object::run(JOBS, object::Command::List(args)).await,
        Command::Show(args) => object::run(JOBS, object::Command::Show(args)).await,
        Command::Delete(args) => object::run(JOBS, object::Command::Delete(args)).await,
        Command::Log(args) => print_log(&Client::open(&args.connection)?, args.job, args.follow).await,
    }
}

/// Prints a job's log, and what is added to it until the job ends when that is wanted.
pub(crate) async fn print_log(client: &Client, id: Uuid, follow: bool) -> Result<()> {
    let path = JOBS.path_of(&id.to_string());
    let mut printed = 0;
    loop {
        // First the state, then the log: what a job says before it ends is not missed.
        let ended = !follow || decode::<Job>(&client.get(&path).await?)?.state.is_final();
        let request = client.request(Method::GET, &format!("{path}/log?offset={printed}"));
        let wait = if ended { "wait=0" } else { WAIT };
        let part = client.bytes(request.header("prefer", wait)).await?;
        printed += part.len();
        write_part(&part)?;
        if ended {
            return Ok(());
        }
    }
}

/// To a terminal without control characters, so that no log moves the cursor; to all else as it is.
pub(crate) fn write_part(part: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        let text = String::from_utf8_lossy(part);
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => writeln!(out, "{}", print::text_line(line.trim_end_matches('\r')))?,
                None => write!(out, "{}", print::text_line(line))?,
            }
        }
    } else {
        out.write_all(part)?;
    }
    Ok(out.flush()?)
}
