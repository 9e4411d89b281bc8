//! `muster user`: who may log in.

use crate::object::{self, Collection};
use crate::print::Output;
use crate::prompt;
use crate::rest::{Client, Connection};
use anyhow::Result;
use clap::Subcommand;
use protocol::model::Kind;
use serde_json::json;

/// Verbs of `muster user`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Object(object::Command),
    /// Set a user's password; ends the user's sessions, API tokens and bootstrap tokens
    Password(Password),
}

/// Arguments of `muster user password`
#[derive(Debug, clap::Args)]
pub(crate) struct Password {
    /// Whose
    name: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    let users = Collection::of(Kind::Users);
    match command {
        Command::Object(command) => object::run(users, command).await,
        Command::Password(args) => {
            // From the terminal or a pipe: what stands in an argument list, everyone reads.
            let password = prompt::password(&format!("New password of {}", args.name))?;
            let client = Client::open(&args.connection)?;
            let path = format!("{}/password", users.path_of(&args.name));
            let answer = client.put(&path, &json!({ "Password": password })).await?;
            args.output.show(&answer, || Ok(format!("{} has another password now", args.name)))
        }
    }
}
