//! What a machine is to do: its params, profiles, workflow, and whether its agent may work.

use super::{One, path};
use crate::job;
use crate::object::edit::value_of;
use crate::object::{self, Patch};
use crate::print;
use crate::rest::{Call, Client, Connection, decode, encode};
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
    /// Its mesh network; "" takes it out of the one it is in
    #[arg(long, value_name = "NAME")]
    mesh: Option<String>,
    #[command(flatten)]
    call: Call,
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
    call: Call,
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
    call: Call,
}

/// Arguments of `muster machine remove-param`
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveParam {
    /// Name or UUID
    machine: String,
    /// The param
    param: String,
    #[command(flatten)]
    call: Call,
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
    call: Call,
}

/// Arguments of `muster machine rewind`
#[derive(Debug, clap::Args)]
pub(crate) struct Rewind {
    /// Name or UUID
    machine: String,
    /// An entry of its task list that ran: its name, or its number as `muster machine show -o json`
    /// counts Tasks, from 0. Without it, back to where its stage began
    entry: Option<String>,
    #[command(flatten)]
    call: Call,
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
    let mesh = args.mesh.map(|mesh| ("MeshNetwork".to_owned(), mesh.into()));
    let patch = args.patch.read(object::adding(mesh.into_iter().collect()))?;
    let answer = args.call.client()?.patch(&args.patch.at(&path(&args.machine)), &patch).await?;
    args.call.show(&answer, || told(&answer))
}

fn params(machine: &str, param: &str) -> String {
    format!("{}/params/{}", path(machine), encode(param))
}

pub(crate) async fn set_param(args: SetParam) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.post(&params(&args.machine, &args.param), &value_of(&args.value)).await?;
    args.call.show(&answer, || Ok(format!("{} of {} is {answer}", args.param, args.machine)))
}

pub(crate) async fn get_param(args: GetParam) -> Result<()> {
    let place = match &args.param {
        Some(param) => params(&args.machine, param),
        None => format!("{}/params", path(&args.machine)),
    };
    let aggregate = if args.own { "" } else { "?aggregate=true" };
    let answer = args.call.client()?.get(&format!("{place}{aggregate}")).await?;
    args.call.show(&answer, || match (&answer, &args.param) {
        (Value::Object(params), None) => {
            let rows = params.iter().map(|(name, value)| vec![name.clone(), value.to_string()]).collect();
            Ok(print::table(&["PARAM", "VALUE"], rows, "no params"))
        }
        (Value::String(text), _) => Ok(print::one_line(text)),
        (value, _) => Ok(value.to_string()),
    })
}

pub(crate) async fn remove_param(args: RemoveParam) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.delete(&params(&args.machine, &args.param)).await?;
    args.call.show(&answer, || Ok(format!("removed {} of {}, which was {answer}", args.param, args.machine)))
}

pub(crate) async fn workflow(args: Workflow) -> Result<()> {
    let client = args.call.client()?;
    let answer = if args.restart {
        let operations = json!([{"op": "replace", "path": "/Workflow", "value": args.workflow}]);
        client.patch(&format!("{}/start", path(&args.machine)), &operations).await?
    } else {
        client.patch(&path(&args.machine), &json!({ "Workflow": args.workflow })).await?
    };
    args.call.show(&answer, || told(&answer))
}

pub(crate) async fn run(args: One) -> Result<()> {
    change(args, json!({ "Runnable": true })).await
}

pub(crate) async fn pause(args: One) -> Result<()> {
    change(args, json!({ "Runnable": false })).await
}

pub(crate) async fn rewind(args: Rewind) -> Result<()> {
    let client = args.call.client()?;
    let machine: Machine = decode(&client.get(&path(&args.machine)).await?)?;
    let index = match &args.entry {
        Some(entry) => earlier(&machine, entry)?,
        None => -1,
    };
    let answer = client.patch(&path(&args.machine), &json!({ "CurrentTask": index })).await?;
    args.call.show(&answer, || told(&answer))
}

/// The index of an entry that ran or runs: its number, or the last one of its name.
fn earlier(machine: &Machine, entry: &str) -> Result<i64> {
    if let Ok(index) = entry.parse() {
        return Ok(index);
    }
    let ran = usize::try_from(machine.fields.current_task).map_or(0, |current| current.saturating_add(1));
    let found = machine.fields.tasks.iter().take(ran).rposition(|task| task == entry);
    let Some(index) = found else {
        let tasks: Vec<&str> = machine.fields.tasks.iter().take(ran).map(String::as_str).collect();
        bail!("{} has not run {entry}; it ran {}", machine.name, tasks.join(", "));
    };
    i64::try_from(index).context("a task list is not that long")
}

async fn change(args: One, fields: Value) -> Result<()> {
    let answer = args.call.client()?.patch(&path(&args.machine), &fields).await?;
    args.call.show(&answer, || told(&answer))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::machine;

    #[test]
    fn entry_to_go_back_to_is_the_last_of_its_name_that_ran() {
        let mut machine = machine();
        machine.fields.tasks = ["stage:a", "t", "u", "t", "u", "v"].map(str::to_owned).into();
        machine.fields.current_task = 3;
        for (entry, index) in [("t", 3), ("u", 2), ("stage:a", 0), ("1", 1), ("-1", -1)] {
            assert_eq!(earlier(&machine, entry).unwrap(), index, "{entry}");
        }
        let refused = earlier(&machine, "v").unwrap_err().to_string();
        assert!(refused.ends_with("has not run v; it ran stage:a, t, u, t"), "{refused}");
        machine.fields.current_task = -1;
        assert!(earlier(&machine, "t").is_err());
    }
}
