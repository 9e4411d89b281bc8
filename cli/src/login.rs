//! `muster login`, `logout` and `whoami`: name and password for an API token, kept for the other commands.

use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, Connection, Credentials, Refused, decode, encode};
use anyhow::{Context, Result, bail};
use protocol::rest::{ApiToken, Login, Session};

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

/// A client that shows name and password with every call. The password comes from `MUSTER_PASSWORD`,
/// else from the terminal or a pipe: never from the command line, which everyone on the machine can
/// read.
pub(crate) fn by_password(connection: &Connection, username: &str) -> Result<Client> {
    let mut client = Client::anonymous(connection)?;
    let password = match std::env::var("MUSTER_PASSWORD") {
        Ok(password) if !password.is_empty() => password,
        _ => prompt::password(&format!("Password of {username} at {}", client.endpoint()))?,
    };
    if password.is_empty() {
        bail!("no password: set MUSTER_PASSWORD, or run this on a terminal");
    }
    client.set_password(username, &password)?;
    Ok(client)
}

/// Logs in.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = by_password(&args.connection, &args.username)?;
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

/// Ends the login that is kept here, at its server too.
pub(crate) async fn logout() -> Result<()> {
    let place = Credentials::default_path()?;
    let Some(login) = Credentials::load(&place)? else { bail!("nobody is logged in here") };
    let ended = match end(&login).await {
        Ok(()) => "the token is ended",
        // A token that is over already needs no end.
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.logged_out) => {
            "the token was over already"
        }
        Err(error) => return Err(error.context("you are logged in still: the token could not be ended")),
    };
    Credentials::remove(&place)?;
    print::note(&format!("logged out at {}: {ended}", login.endpoint))
}

async fn end(login: &Credentials) -> Result<()> {
    let client = Client::of(login)?;
    let logins = format!("/api/v3/users/{}/logins", encode(&login.username));
    let all: Vec<Login> = decode(&client.get(&logins).await?)?;
    let own = all.iter().find(|login| login.current).context("the server does not know this login")?;
    client.delete(&format!("{logins}/{}", encode(&own.id))).await?;
    Ok(())
}

/// Who the commands speak for.
pub(crate) async fn whoami(call: Call) -> Result<()> {
    let client = call.client()?;
    let mut answer = client.get("/api/v3/session").await?;
    let session: Session = decode(&answer)?;
    // It is for pages in a browser alone, and empty for whoever has no cookie.
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("CsrfToken");
    }
    call.show(&answer, || {
        let end = if session.expires_at.is_empty() { "no end" } else { &session.expires_at };
        Ok(print::fields(&[
            ("User", session.username.clone()),
            ("Server", client.endpoint().to_string()),
            ("Good until", end.to_owned()),
        ]))
    })
}
