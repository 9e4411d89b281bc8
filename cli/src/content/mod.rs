//! `muster content`: bundles of objects, as folders and on the server.

mod folder;

use crate::print;
use crate::prompt;
use crate::rest::{Call, Refused, encode};
use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use folder::Gathered;
use serde_json::Value;
use std::path::PathBuf;

const CONTENTS: &str = "/api/v3/contents";

/// Verbs of `muster content`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the bundles on the server
    #[command(visible_alias = "ls")]
    List(Call),
    /// Put a folder or document of objects on the server as a read-only bundle, in place of the one of its name
    Import(Import),
    /// Write a bundle into a folder; BackingStore is what is writable
    Export(Export),
    /// Tell every problem of a folder or document, without a server
    Check(Check),
    /// Take a bundle from the server
    Delete(Delete),
}

/// Arguments of `muster content import`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Folder with tasks, stages and so on, or one JSON or YAML document
    path: PathBuf,
    /// Only ask the server whether it would take it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster content export`
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The bundle
    name: String,
    /// New folder to write; without it the document goes to standard output
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster content check`
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Folder with tasks, stages and so on, or one JSON or YAML document
    path: PathBuf,
}

/// Arguments of `muster content delete`
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The bundle
    name: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(call) => {
            let answer = call.client()?.get(CONTENTS).await?;
            call.show(&answer, || draw_list(&answer))
        }
        Command::Import(args) => import(args).await,
        Command::Export(args) => export(args).await,
        Command::Check(args) => check(&args),
        Command::Delete(args) => delete(args).await,
    }
}

fn draw_list(answer: &Value) -> Result<String> {
    let bundles = answer.as_array().context("the server's answer is no list")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |bundle: &Value| {
        let counts = bundle["Counts"].as_object();
        let counts = counts.into_iter().flatten().map(|(kind, count)| format!("{count} {kind}"));
        let meta = &bundle["meta"];
        vec![
            text(&meta["Name"]),
            text(&meta["Version"]),
            counts.collect::<Vec<_>>().join(", "),
            text(&meta["Description"]),
        ]
    };
    let header = ["BUNDLE", "VERSION", "OBJECTS", "DESCRIPTION"];
    Ok(print::table(&header, bundles.iter().map(row).collect(), "no bundles"))
}

async fn import(args: Import) -> Result<()> {
    let gathered = Gathered::read(&args.path)?;
    refuse(&gathered.problems)?;
    let client = args.call.client()?;
    let name = gathered.document["meta"]["Name"].as_str().context("meta: the content has no Name")?;
    let check = if args.dry_run { "?check=true" } else { "" };
    let path = format!("{CONTENTS}/{}{check}", encode(name));
    let answer = client.put(&path, &gathered.document).await.map_err(|error| with_files(&gathered, error))?;
    let (count, done) = (gathered.len(), if args.dry_run { "could be imported" } else { "imported" });
    for warning in answer["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        print::note(&gathered.with_file(&print::one_line(warning)))?;
    }
    args.call.show(&answer, || Ok(print::one_line(&format!("{name}: {count} objects {done}"))))
}

/// The server's problems, each with the file that has it.
fn with_files(gathered: &Gathered, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Refused>() {
        Ok(refused) if refused.messages.len() > 1 => {
            let told: Vec<String> =
                refused.messages.iter().map(|message| gathered.with_file(message)).collect();
            anyhow!("{} problems:\n{}", told.len(), told.join("\n"))
        }
        Ok(refused) => match refused.messages.first() {
            Some(message) => anyhow!(gathered.with_file(message)),
            None => refused.into(),
        },
        Err(error) => error,
    }
}

fn refuse(problems: &[String]) -> Result<()> {
    match problems {
        [] => Ok(()),
        [problem] => bail!("{problem}"),
        _ => bail!("{} problems:\n{}", problems.len(), problems.join("\n")),
    }
}

async fn export(args: Export) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.get(&format!("{CONTENTS}/{}", encode(&args.name))).await?;
    match &args.to {
        Some(target) => {
            let count = folder::write(&answer, target)?;
            args.call.show(&answer, || Ok(format!("{}: {count} objects", target.display())))
        }
        None => args.call.show(&answer, || {
            serde_yaml_ng::to_string(&answer).context("the answer cannot be written as YAML")
        }),
    }
}

fn check(args: &Check) -> Result<()> {
    let gathered = Gathered::read(&args.path)?;
    let checked = server::check_content(&gathered.document);
    let told = |messages: &[String]| -> Vec<String> {
        messages.iter().map(|message| print::one_line(&gathered.with_file(message))).collect()
    };
    for warning in told(&checked.warnings) {
        print::note(&warning)?;
    }
    refuse(&[gathered.problems.clone(), told(&checked.problems)].concat())?;
    print::line(&format!("{}: {} objects, no problem", args.path.display(), gathered.len()))
}

async fn delete(args: Delete) -> Result<()> {
    let client = args.call.client()?;
    if !args.yes {
        if !prompt::can_ask() {
            bail!("this takes away the bundle {}: pass --yes to do it without a terminal", args.name);
        }
        if !prompt::confirm(&format!("Take away the bundle {}?", args.name))? {
            bail!("nothing was taken away");
        }
    }
    let answer = client.delete(&format!("{CONTENTS}/{}", encode(&args.name))).await?;
    args.call.show(&answer, || Ok(format!("the bundle {} is gone", args.name)))
}
