//! `muster pref`: the server's preferences.

use crate::print;
use crate::rest::Call;
use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Map, Value};

const PREFS: &str = "/api/v3/prefs";

/// Verbs of `muster pref`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the preferences
    #[command(visible_alias = "ls")]
    List(Call),
    /// Set preferences; all of them or none
    Set(Set),
}

/// Arguments of `muster pref set`
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Such as defaultWorkflow=discover
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
    prefs: Vec<(String, String)>,
    #[command(flatten)]
    call: Call,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a preference is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(call) => {
            let answer = call.client()?.get(PREFS).await?;
            call.show(&answer, || draw(&answer))
        }
        Command::Set(args) => {
            let wanted: Map<String, Value> =
                args.prefs.into_iter().map(|(name, value)| (name, value.into())).collect();
            let answer = args.call.client()?.post(PREFS, &wanted).await?;
            args.call.show(&answer, || draw(&answer))
        }
    }
}

fn draw(prefs: &Value) -> Result<String> {
    let prefs = prefs.as_object().context("the server's answer is no map")?;
    let rows = prefs
        .iter()
        .map(|(name, value)| vec![name.clone(), value.as_str().unwrap_or_default().to_owned()])
        .collect();
    Ok(print::table(&["PREFERENCE", "VALUE"], rows, "no preferences"))
}
