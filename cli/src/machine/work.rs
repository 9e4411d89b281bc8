//! What a machine is to do: its params, profiles, workflow, and whether its agent may work.

use super::path;
use crate::job;
use crate::object::Patch;
use crate::object::edit::value_of;
use crate::print::{self, Output};
use crate::rest::{Client, Connection, decode, encode};
use anyhow::{Context, Result, bail};
use protocol::rest::Machine;
use serde_json::{Value, json};

/// Arguments of `muster machine set`
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Name or UUID
    machine: String,
    #[command(flatten)]
    patch: Patch,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine set-param`
#[derive(Debug, clap::Args)]
pub(crate) struct SetParam {
    /// Name or UUID
    machine: String,
    /// The param
    param: String,
    /// JSON, or text as it is
    value: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine get-param`
#[derive(Debug, clap::Args)]
pub(crate) struct GetParam {
    /// Name or UUID
    machine: String,
    /// The param; without it, all of them
    param: Option<String>,
    /// Only what is set on the machine itself, without profiles, stage and defaults
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine remove-param`
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveParam {
    /// Name or UUID
    machine: String,
    /// The param
    param: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine add-profile` and `remove-profile`
#[derive(Debug, clap::Args)]
pub(crate) struct Profiles {
    /// Name or UUID
    machine: String,
    /// The profiles
    #[arg(required = true)]
    profiles: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine workflow`
#[derive(Debug, clap::Args)]
pub(crate) struct Workflow {
    /// Name or UUID
    machine: String,
    /// The workflow; "" clears it
    workflow: String,
    /// Begin again, also when it is the machine's workflow already
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of the verbs that need a machine only
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Name or UUID
    machine: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine logs`
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Name or UUID
    machine: String,
    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn set(args: Set) -> Result<()> {
    let patch = args.patch.read()?;
    let answer = Client::open(&args.connection)?.patch(&args.patch.at(&path(&args.machine)), &patch).await?;
    args.output.show(&answer, || told(&answer))
}

fn params(machine: &str, param: &str) -> String {
    format!("{}/params/{}", path(machine), encode(param))
}

pub(crate) async fn set_param(args: SetParam) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let answer = client.post(&params(&args.machine, &args.param), &value_of(&args.value)).await?;
    args.output.show(&answer, || Ok(format!("{} of {} is {answer}", args.param, args.machine)))
}

pub(crate) async fn get_param(args: GetParam) -> Result<()> {
    let place = match &args.param {
        Some(param) => params(&args.machine, param),
        None => format!("{}/params", path(&args.machine)),
    };
    let aggregate = if args.own { "" } else { "?aggregate=true" };
    let answer = Client::open(&args.connection)?.get(&format!("{place}{aggregate}")).await?;
    args.output.show(&answer, || match (&answer, &args.param) {
        (Value::Object(params), None) => {
            let rows = params.iter().map(|(name, value)| vec![name.clone(), value.to_string()]).collect();
            Ok(print::table(&["PARAM", "VALUE"], rows, "no params"))
        }
        (Value::String(text), _) => Ok(print::one_line(text)),
        (value, _) => Ok(value.to_string()),
    })
}

pub(crate) async fn remove_param(args: RemoveParam) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let answer = client.delete(&params(&args.machine, &args.param)).await?;
    args.output
        .show(&answer, || Ok(format!("removed {} of {}, which was {answer}", args.param, args.machine)))
}

pub(crate) async fn add_profiles(args: Profiles) -> Result<()> {
    change_profiles(args, |has, wanted| has.extend(wanted)).await
}

pub(crate) async fn remove_profiles(args: Profiles) -> Result<()> {
    change_profiles(args, |has, unwanted| has.retain(|profile| !unwanted.contains(profile))).await
}

/// Changes the list only if it is still the one that was read.
async fn change_profiles(args: Profiles, change: impl FnOnce(&mut Vec<String>, Vec<String>)) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let machine: Machine = decode(&client.get(&path(&args.machine)).await?)?;
    let before = machine.fields.profiles;
    let mut profiles = before.clone();
    change(&mut profiles, args.profiles);
    if profiles == before {
        bail!("the profiles of {} are so already: {}", args.machine, before.join(", "));
    }
    let operations = json!([
        {"op": "test", "path": "/Profiles", "value": before},
        {"op": "replace", "path": "/Profiles", "value": profiles},
    ]);
    let answer = client.patch(&path(&args.machine), &operations).await?;
    args.output.show(&answer, || Ok(format!("profiles of {}: {}", args.machine, profiles.join(", "))))
}

pub(crate) async fn workflow(args: Workflow) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let answer = if args.restart {
        let operations = json!([{"op": "replace", "path": "/Workflow", "value": args.workflow}]);
        client.patch(&format!("{}/start", path(&args.machine)), &operations).await?
    } else {
        client.patch(&path(&args.machine), &json!({ "Workflow": args.workflow })).await?
    };
    args.output.show(&answer, || told(&answer))
}

pub(crate) async fn run(args: One) -> Result<()> {
    change(args, json!({ "Runnable": true })).await
}

pub(crate) async fn pause(args: One) -> Result<()> {
    change(args, json!({ "Runnable": false })).await
}

pub(crate) async fn lock(args: One) -> Result<()> {
    change(args, json!({ "Locked": true })).await
}

pub(crate) async fn unlock(args: One) -> Result<()> {
    change(args, json!({ "Locked": false })).await
}

async fn change(args: One, fields: Value) -> Result<()> {
    let answer = Client::open(&args.connection)?.patch(&path(&args.machine), &fields).await?;
    args.output.show(&answer, || told(&answer))
}

/// What became of a machine, in a line.
fn told(answer: &Value) -> Result<String> {
    let machine: Machine = decode(answer)?;
    let workflow = match machine.fields.workflow.as_str() {
        "" => "no workflow".to_owned(),
        name => format!("workflow {name}"),
    };
    Ok(print::one_line(&format!("{}: {workflow}, task {}", machine.name, super::task(&machine))))
}

pub(crate) async fn logs(args: Logs) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let machine: Machine = decode(&client.get(&path(&args.machine)).await?)?;
    if machine.fields.current_job.is_empty() {
        bail!("{} has not run a job yet", args.machine);
    }
    let id = machine.fields.current_job.parse().context("the server names no job")?;
    job::print_log(&client, id, args.follow).await
}
