//! `muster key`: the server's own keys.

use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, Credentials, decode};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use protocol::rest::{CaRoll, CaRolled, TokenKey};

/// What a roll means, before it is asked for.
const ROLL_CA_MEANS: &str = "The next CA takes over: it signs the server's certificate from now on, and another is made to follow it.\n\
     Registered machines, and boot media, command lines and ca.pem files made since the last roll, go on working.\n\
     Whatever is older than the last roll is locked out.";

/// Verbs of `muster key`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the keys of bootstrap tokens; never the keys themselves
    #[command(visible_alias = "ls")]
    List(Call),
    /// Replace a key of the server
    #[command(subcommand)]
    Roll(Roll),
}

/// Keys that can be replaced
#[derive(Debug, Subcommand)]
pub(crate) enum Roll {
    /// Let the next certificate authority take over
    Ca(RollCa),
    /// Let a new key seal bootstrap tokens; old tokens go on being accepted
    Token(Call),
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
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(call) => list(call).await,
        Command::Roll(Roll::Ca(args)) => roll_ca(args).await,
        Command::Roll(Roll::Token(call)) => roll_token(call).await,
    }
}

async fn list(call: Call) -> Result<()> {
    let client = call.client()?;
    let answer = client.get("/api/v3/keys/token").await?;
    call.show(&answer, || Ok(draw_list(&decode::<Vec<TokenKey>>(&answer)?)))
}

fn draw_list(keys: &[TokenKey]) -> String {
    let rows = keys.iter().map(|key| {
        vec![
            key.kid.clone(),
            if key.current { "seals" } else { "opens" }.to_owned(),
            key.issued.to_string(),
            key.created_at.clone(),
            key.rolled_at.clone().unwrap_or_default(),
            key.last_expires_at.clone().unwrap_or_default(),
        ]
    });
    print::table(&["KEY", "USE", "TOKENS", "CREATED", "ROLLED", "LAST EXPIRES"], rows.collect(), "no keys")
}

async fn roll_token(call: Call) -> Result<()> {
    let client = call.client()?;
    let answer = client.post("/api/v3/keys/token/roll", &serde_json::json!({})).await?;
    call.show(&answer, || {
        let key: TokenKey = decode(&answer)?;
        Ok(format!("{} seals bootstrap tokens from now on; old tokens go on being accepted", key.kid))
    })
}

async fn roll_ca(args: RollCa) -> Result<()> {
    let client = args.call.client()?;
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
    args.call.show(&answer, || Ok(describe(&rolled)))
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
    fn list_tells_which_key_seals() {
        let key = |kid: &str, current, rolled: Option<&str>| TokenKey {
            kid: kid.into(),
            current,
            created_at: "2026-01-01T00:00:00.000Z".into(),
            rolled_at: rolled.map(str::to_owned),
            issued: 7,
            last_expires_at: None,
        };
        let told = draw_list(&[key("k1", false, Some("2026-02-01T00:00:00.000Z")), key("k2", true, None)]);
        let rows: Vec<&str> = told.lines().collect();
        assert!(rows[1].starts_with("k1   opens  7"), "{told}");
        assert!(rows[2].starts_with("k2   seals  7"), "{told}");
    }

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
