//! `muster secret` and `muster registry-credential`: values that are written and never shown. They come from
//! the terminal, a pipe or a file: what stands in an argument list, everyone on the machine reads.

use crate::object::{self, Collection, edit};
use crate::prompt;
use crate::rest::{Call, encode};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use protocol::model::Kind;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Verbs of a type of object that hides something; `S` are the arguments of its `set`
#[derive(Debug, Subcommand)]
pub(crate) enum Command<S: Args> {
    /// List them; never what they hide
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one of them; never what it hides
    Show(object::Show),
    /// Make one, or change it; what it hides is asked for, or read from a pipe or file
    Set(S),
    /// Delete them
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
    /// Leave the value as it is
    #[arg(long, conflicts_with = "from", requires = "description")]
    keep_value: bool,
    #[command(flatten)]
    value: Hidden,
    #[command(flatten)]
    call: Call,
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
    call: Call,
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

/// What a `set` writes: the name, and the fields that were said.
pub(crate) trait Fields: Args {
    /// Where.
    const COLLECTION: Collection;

    /// The name and the other fields; asks for what is hidden, unless that stays.
    fn fields(&self) -> Result<(&str, Map<String, Value>)>;

    /// How to make the call.
    fn call(&self) -> &Call;
}

fn field(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

impl Fields for Set {
    const COLLECTION: Collection = Collection::of(Kind::Secrets);

    fn fields(&self) -> Result<(&str, Map<String, Value>)> {
        let mut fields = Map::from_iter([field("Name", &*self.name)]);
        fields.extend(self.description.as_deref().map(|text| field("Description", text)));
        if !self.keep_value {
            fields.extend([field("Value", self.value.read(&format!("Value of {}", self.name))?)]);
        }
        Ok((&self.name, fields))
    }

    fn call(&self) -> &Call {
        &self.call
    }
}

impl Fields for SetCredential {
    const COLLECTION: Collection = Collection::of(Kind::RegistryCredentials);

    fn fields(&self) -> Result<(&str, Map<String, Value>)> {
        let mut fields = Map::from_iter([field("Name", &*self.name)]);
        fields.extend(self.registry.as_deref().map(|host| field("Registry", host)));
        fields.extend(self.username.as_deref().map(|name| field("Username", name)));
        if !self.keep_password {
            let password = self.value.read(&format!("Password or token of {}", self.name))?;
            fields.extend([field("Password", password)]);
        }
        Ok((&self.name, fields))
    }

    fn call(&self) -> &Call {
        &self.call
    }
}

/// Runs one verb.
pub(crate) async fn run<S: Fields>(command: Command<S>) -> Result<()> {
    match command {
        Command::List(args) => object::run(S::COLLECTION, object::Command::List(args)).await,
        Command::Show(args) => object::run(S::COLLECTION, object::Command::Show(args)).await,
        Command::Delete(args) => object::run(S::COLLECTION, object::Command::Delete(args)).await,
        Command::Set(args) => put(&args).await,
    }
}

/// Changes these fields of an object, or makes it of them.
async fn put<S: Fields>(args: &S) -> Result<()> {
    let (name, fields) = args.fields()?;
    let client = args.call().client()?;
    let filter = format!("{}?Name={}", S::COLLECTION.path(), encode(&format!("Eq({name})")));
    let known = client.get(&filter).await?.as_array().is_some_and(|list| !list.is_empty());
    let fields = Value::Object(fields);
    let answer = if known {
        client.patch(&S::COLLECTION.path_of(name), &fields).await?
    } else {
        client.post(&S::COLLECTION.path(), &fields).await?
    };
    let done = if known { "changed" } else { "made" };
    args.call().show(&answer, || Ok(format!("{done} {} {name}", S::COLLECTION.noun)))
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
