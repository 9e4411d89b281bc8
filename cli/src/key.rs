//! `muster key`: the server's own keys.

use crate::print::{self, Output};
use crate::prompt;
use crate::rest::{Client, Connection, Credentials, decode};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use protocol::rest::{CaRoll, CaRolled};

/// What a roll means, before it is asked for.
const ROLL_CA_MEANS: &str = "The next CA takes over: it signs the server's certificate from now on, and another is made to follow it.\n\
     Registered machines, and boot media, command lines and ca.pem files made since the last roll, go on working.\n\
     Whatever is older than the last roll is locked out.";

/// Verbs of `muster key`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replace a key of the server
    #[command(subcommand)]
    Roll(Roll),
}

/// Keys that can be replaced
#[derive(Debug, Subcommand)]
pub(crate) enum Roll {
    /// Let the next certificate authority take over
    Ca(RollCa),
}

/// Arguments of `muster key roll ca`
#[derive(Debug, clap::Args)]
pub(crate) struct RollCa {
    /// Also within a year of the last roll: whatever is older than that one is locked out
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Roll(Roll::Ca(args)) => roll_ca(args).await,
    }
}

async fn roll_ca(args: RollCa) -> Result<()> {
    let client = Client::open(&args.connection)?;
    if !args.yes {
        if !prompt::can_ask() {
            bail!("rolling the CA asks first: run this on a terminal, or add --yes");
        }
        print::note(ROLL_CA_MEANS)?;
        if !prompt::confirm(&format!("Roll the CA of {}?", client.endpoint()))? {
            bail!("nothing was rolled");
        }
    }
    let answer = client.post("/api/v3/keys/ca/roll", &CaRoll { force: args.force }).await?;
    let rolled: CaRolled = decode(&answer)?;
    keep(&client, &rolled).context("the CA was rolled, but the login kept here was not told")?;
    args.output.show(&answer, || Ok(describe(&rolled)))
}

/// Lets a login that knows the server by its own CA follow the roll.
fn keep(client: &Client, rolled: &CaRolled) -> Result<()> {
    let place = Credentials::default_path()?;
    let Some(mut login) = Credentials::load(&place)? else { return Ok(()) };
    if login.ca.is_none() || login.endpoint != *client.endpoint() {
        return Ok(());
    }
    login.ca = Some(rolled.ca_pem.clone());
    login.save(&place)
}

/// What happened, for people.
fn describe(rolled: &CaRolled) -> String {
    let locked_out = match &rolled.previous_roll {
        Some(at) => format!("what was made before {at}"),
        None => "nothing: this was the first roll".to_owned(),
    };
    [
        print::fields(&[("CA hashes", rolled.ca_hash.join(",")), ("Locked out", locked_out)]),
        "ca.pem in the server's data directory holds both certificates. Before the next roll, give it to whoever keeps \
         a copy, and make boot media and command lines anew."
            .to_owned(),
    ]
    .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_a_roll_locks_out() {
        let mut rolled = CaRolled {
            ca_hash: vec!["sha256:b".into(), "sha256:c".into()],
            ca_pem: "-----BEGIN CERTIFICATE-----\n".into(),
            previous_roll: None,
        };
        let told = describe(&rolled);
        assert!(told.contains("sha256:b,sha256:c") && told.contains("nothing: this was the first"), "{told}");
        rolled.previous_roll = Some("2026-11-22T00:00:00.000Z".into());
        assert!(describe(&rolled).contains("made before 2026-11-22"), "{}", describe(&rolled));
    }
}
