//! `muster login`: name and password for an API token, kept for the other commands.

use crate::print;
use crate::prompt;
use crate::rest::{Client, Connection, Credentials, decode, encode};
use anyhow::{Context, Result, bail};
use protocol::rest::ApiToken;

/// Days the token is asked for; the server may give less.
const TOKEN_DAYS: u64 = 30;

/// Arguments of `muster login`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// User name
    #[arg(
        long,
        env = "MUSTER_USERNAME",
        value_name = "NAME",
        default_value = "admin",
        hide_env_values = true
    )]
    username: String,
}

/// Logs in. The password comes from `MUSTER_PASSWORD`, else from the terminal or a pipe: never
/// from the command line, which everyone on the machine can read.
pub(crate) async fn run(args: Args) -> Result<()> {
    let mut client = Client::anonymous(&args.connection)?;
    let password = match std::env::var("MUSTER_PASSWORD") {
        Ok(password) if !password.is_empty() => password,
        _ => prompt::password(&format!("Password of {} at {}", args.username, client.endpoint()))?,
    };
    if password.is_empty() {
        bail!("no password: set MUSTER_PASSWORD, or run this on a terminal");
    }
    client.set_password(&args.username, &password)?;
    let path = format!("/api/v3/users/{}/token?ttl={}", encode(&args.username), TOKEN_DAYS * 86_400);
    let token: ApiToken = decode(&client.get(&path).await?)?;
    let login = Credentials {
        endpoint: client.endpoint().clone(),
        ca: client.ca().map(str::to_owned),
        username: args.username,
        token: token.token,
        expires_at: token.expires_at,
    };
    let place = Credentials::default_path()?;
    login.save(&place).context("you are logged in, but the token could not be kept")?;
    print::note(&format!(
        "logged in at {} as {} until {}; kept in {}",
        login.endpoint,
        login.username,
        login.expires_at,
        place.display()
    ))
}
