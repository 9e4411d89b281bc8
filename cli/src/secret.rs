//! `muster secret` and `muster registry-credential`: values that are written and never shown. They come from
//! the terminal, a pipe or a file: what stands in an argument list, everyone on the machine reads.

use crate::object::{self, Collection, edit};
use crate::print::Output;
use crate::prompt;
use crate::rest::{Client, Connection};
use anyhow::{Result, bail};
use clap::Subcommand;
use protocol::model::Kind;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

const SECRETS: Collection = Collection::of(Kind::Secrets);
const CREDENTIALS: Collection = Collection::of(Kind::RegistryCredentials);

/// Verbs of `muster secret`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the secrets; never their values
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one secret; never its value
    Show(object::Show),
    /// Make a secret, or give it another value: asked for, or read from a pipe or file
    Set(Set),
    /// Delete secrets
    Delete(object::Delete),
}

/// Arguments of `muster secret set`
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Its name: letters, digits and underscores, as in `.secrets.NAME`
    name: String,
    /// One line for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    value: Hidden,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Verbs of `muster registry-credential`
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// List the credentials; never their passwords
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one credential; never its password
    Show(object::Show),
    /// Make a credential, or change it and its password: asked for, or read from a pipe or file
    Set(SetCredential),
    /// Delete credentials
    Delete(object::Delete),
}

/// Arguments of `muster registry-credential set`
#[derive(Debug, clap::Args)]
pub(crate) struct SetCredential {
    /// Its name, which images give
    name: String,
    /// The host it is for, such as registry.example.com:5000
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
    /// User name
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Leave the password as it is
    #[arg(long, conflicts_with = "from")]
    keep_password: bool,
    #[command(flatten)]
    value: Hidden,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// A value that is not shown
#[derive(Debug, clap::Args)]
struct Hidden {
    /// Take the value from this file, without a line end at its end; - reads standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Hidden {
    fn read(&self, question: &str) -> Result<String> {
        let value = match &self.from {
            Some(path) => without_line_end(edit::read(path)?),
            None => prompt::password(question)?,
        };
        if value.is_empty() {
            bail!("nothing was given");
        }
        Ok(value)
    }
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    text
}

/// Runs one verb of `muster secret`.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => object::run(SECRETS, object::Command::List(args)).await,
        Command::Show(args) => object::run(SECRETS, object::Command::Show(args)).await,
        Command::Delete(args) => object::run(SECRETS, object::Command::Delete(args)).await,
        Command::Set(args) => {
            let mut fields = Map::from_iter([
                ("Name".to_owned(), json!(args.name)),
                ("Value".to_owned(), json!(args.value.read(&format!("Value of {}", args.name))?)),
            ]);
            fields.extend(args.description.map(|text| ("Description".to_owned(), json!(text))));
            put(SECRETS, &args.name, fields, &args.connection, &args.output).await
        }
    }
}

/// Runs one verb of `muster registry-credential`.
pub(crate) async fn run_credential(command: CredentialCommand) -> Result<()> {
    match command {
        CredentialCommand::List(args) => object::run(CREDENTIALS, object::Command::List(args)).await,
        CredentialCommand::Show(args) => object::run(CREDENTIALS, object::Command::Show(args)).await,
        CredentialCommand::Delete(args) => object::run(CREDENTIALS, object::Command::Delete(args)).await,
        CredentialCommand::Set(args) => {
            let mut fields = Map::from_iter([("Name".to_owned(), json!(args.name))]);
            fields.extend(args.registry.map(|host| ("Registry".to_owned(), json!(host))));
            fields.extend(args.username.map(|name| ("Username".to_owned(), json!(name))));
            if !args.keep_password {
                let password = args.value.read(&format!("Password or token of {}", args.name))?;
                fields.insert("Password".to_owned(), json!(password));
            }
            put(CREDENTIALS, &args.name, fields, &args.connection, &args.output).await
        }
    }
}

/// Changes these fields of an object, or makes it of them.
async fn put(
    collection: Collection,
    name: &str,
    fields: Map<String, Value>,
    connection: &Connection,
    output: &Output,
) -> Result<()> {
    let client = Client::open(connection)?;
    let filter = format!("{}?Name={}", collection.path(), crate::rest::encode(&format!("Eq({name})")));
    let known = client.get(&filter).await?.as_array().is_some_and(|list| !list.is_empty());
    let fields = Value::Object(fields);
    let answer = if known {
        client.patch(&collection.path_of(name), &fields).await?
    } else {
        client.post(&collection.path(), &fields).await?
    };
    let done = if known { "changed" } else { "made" };
    output.show(&answer, || Ok(format!("{done} {} {name}", collection.noun)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_comes_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        for (content, value) in [("hunter2\n", "hunter2"), ("a\nb\r\n", "a\nb"), ("x", "x")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Hidden { from: Some(path.clone()) }.read("?").unwrap(), value);
        }
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(Hidden { from: Some(path) }.read("?").unwrap_err().to_string(), "nothing was given");
    }
}
