//! `muster user`: who may log in, and what users are logged in with.

use crate::login;
use crate::object::{self, Collection};
use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, Connection, decode, encode};
use anyhow::Result;
use clap::Subcommand;
use protocol::model::Kind;
use protocol::rest::{ApiToken, ApiTokenCreate, Login, LoginKind};
use serde_json::json;

/// Verbs of `muster user`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Object(object::Command),
    /// Set a user's password; ends the user's sessions, API tokens and bootstrap tokens
    Password(Named),
    /// Make an API token for a script, and print it; it is shown this once
    Token(Token),
    /// List the sessions and API tokens of a user; never what they are shown by
    Logins(Named),
    /// End sessions or API tokens of a user, by their ids in `muster user logins`
    Logout(Logout),
}

/// Arguments of `muster user password` and `muster user logins`
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Whose
    name: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster user token`
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    /// Whose. For somebody else's, you must be allowed to
    name: String,
    /// Who you are, if somebody else; you are asked for the password
    #[arg(long, env = "MUSTER_USERNAME", value_name = "NAME", hide_env_values = true)]
    username: Option<String>,
    /// How long it lives, such as 90m, 30d
    #[arg(long, value_name = "TIME", default_value = "30d")]
    ttl: String,
    /// Of the user's roles, one that it is good for; repeat it. Else all of them
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<String>,
    /// What it is for, shown in `muster user logins`
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster user logout`
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// Whose
    name: String,
    /// Which
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Object(command) => object::run(Collection::of(Kind::Users), command).await,
        Command::Password(args) => password(args).await,
        Command::Token(args) => token(args).await,
        Command::Logins(args) => logins(args).await,
        Command::Logout(args) => logout(args).await,
    }
}

fn path_of(name: &str) -> String {
    Collection::of(Kind::Users).path_of(name)
}

async fn password(args: Named) -> Result<()> {
    // From the terminal or a pipe: what stands in an argument list, everyone reads.
    let password = prompt::password(&format!("New password of {}", args.name))?;
    let client = args.call.client()?;
    let answer =
        client.put(&format!("{}/password", path_of(&args.name)), &json!({ "Password": password })).await?;
    args.call.show(&answer, || Ok(format!("{} has another password now", args.name)))
}

/// A token that lasts is made by a password alone: one that is read somewhere makes no others.
async fn token(args: Token) -> Result<()> {
    let client = login::by_password(&args.call.connection, args.username.as_deref().unwrap_or(&args.name))?;
    let wish =
        ApiTokenCreate { ttl: args.ttl, roles: args.role, description: args.description, lasting: true };
    let answer = client.post(&format!("{}/token", path_of(&args.name)), &wish).await?;
    let made: ApiToken = decode(&answer)?;
    args.call.show(&answer, || Ok(made.token.clone()))?;
    print::note(&format!("good until {}; it is not shown again", made.expires_at))
}

async fn logins(args: Named) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.get(&format!("{}/logins", path_of(&args.name))).await?;
    args.call.show(&answer, || Ok(draw(&decode::<Vec<Login>>(&answer)?)))
}

fn draw(logins: &[Login]) -> String {
    let rows = logins.iter().map(|login| {
        let kind = match login.kind {
            LoginKind::Session => "session",
            LoginKind::ApiToken => "API token",
        };
        vec![
            login.id.clone(),
            format!("{kind}{}", if login.current { " (this one)" } else { "" }),
            print::one_line(&login.description),
            login.last_used_at.as_deref().map(print::since).unwrap_or_default(),
            login.source.map(|source| source.to_string()).unwrap_or_default(),
            login.roles.as_ref().map_or_else(|| "all".to_owned(), |roles| roles.join(",")),
            login.expires_at.clone(),
        ]
    });
    let header = ["ID", "WHAT", "FOR", "USED", "FROM", "ROLES", "EXPIRES"];
    print::table(&header, rows.collect(), "logged in with nothing")
}

async fn logout(args: Logout) -> Result<()> {
    let client = Client::open(&args.connection)?;
    for id in &args.ids {
        client.delete(&format!("{}/logins/{}", path_of(&args.name), encode(id))).await?;
        print::line(&format!("{id} is ended"))?;
    }
    Ok(())
}
