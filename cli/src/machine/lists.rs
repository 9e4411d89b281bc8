//! What a machine has a list of: machine roles, and profiles.

use super::many::{Done, each};
use super::path;
use super::which::{Target, Which};
use crate::print;
use crate::rest::{Call, Client, decode};
use anyhow::{Result, bail};
use protocol::rest::Machine;
use serde_json::{Value, json};

/// Arguments of the verbs that add to a list of one machine, or take from it
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    /// Name or UUID
    machine: String,
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    words: Vec<String>,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster machine roles`
#[derive(Debug, clap::Args)]
pub(crate) struct Roles {
    #[command(flatten)]
    which: Which,
    /// Role to give, unless a machine has it; several by commas
    #[arg(long, value_name = "ROLE", value_delimiter = ',', required_unless_present = "remove")]
    add: Vec<String>,
    /// Role to take away, whoever gave it; several by commas
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    remove: Vec<String>,
    #[command(flatten)]
    call: Call,
}

/// A list of names that machines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Roles,
    Profiles,
}

impl List {
    const fn field(self) -> &'static str {
        match self {
            Self::Roles => "Roles",
            Self::Profiles => "Profiles",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Roles => "roles",
            Self::Profiles => "profiles",
        }
    }

    fn of(self, machine: &Machine) -> &[String] {
        match self {
            Self::Roles => &machine.own.roles,
            Self::Profiles => &machine.fields.profiles,
        }
    }

    /// A machine's list in words.
    fn told(self, answer: &Value) -> Result<String> {
        let machine: Machine = decode(answer)?;
        let names = match self.of(&machine) {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        Ok(print::one_line(&format!("{} of {}: {names}", self.noun(), machine.name)))
    }
}

pub(crate) async fn add_roles(args: Words) -> Result<()> {
    change_one(args, List::Roles, |has, wanted| has.extend_from_slice(wanted)).await
}

pub(crate) async fn remove_roles(args: Words) -> Result<()> {
    change_one(args, List::Roles, |has, unwanted| has.retain(|name| !unwanted.contains(name))).await
}

pub(crate) async fn add_profiles(args: Words) -> Result<()> {
    change_one(args, List::Profiles, |has, wanted| has.extend_from_slice(wanted)).await
}

pub(crate) async fn remove_profiles(args: Words) -> Result<()> {
    change_one(args, List::Profiles, |has, unwanted| has.retain(|name| !unwanted.contains(name))).await
}

async fn change_one(args: Words, list: List, change: impl Fn(&mut Vec<String>, &[String])) -> Result<()> {
    let client = args.call.client()?;
    let (before, patch) = wanted(&client, &path(&args.machine), list, |has| change(has, &args.words)).await?;
    let Some(patch) = patch else { bail!("that changes nothing: {}", list.told(&before)?) };
    let answer = client.patch(&path(&args.machine), &patch).await?;
    args.call.show(&answer, || list.told(&answer))
}

/// Gives roles to machines and takes others from them.
pub(crate) async fn roles(args: Roles) -> Result<()> {
    let client = args.call.client()?;
    let targets = args.which.find(&client, "change the roles of").await?;
    let outcome = each(&targets, async |target: &Target| {
        let (before, patch) = wanted(&client, &target.path, List::Roles, |has| {
            has.retain(|role| !args.remove.contains(role));
            let new: Vec<String> = args.add.iter().filter(|role| !has.contains(role)).cloned().collect();
            has.extend(new);
        })
        .await?;
        // What is so already is what was asked for.
        let answer = match patch {
            Some(patch) => client.patch(&target.path, &patch).await?,
            None => before,
        };
        Ok(Done { said: List::Roles.told(&answer)?, answer })
    });
    outcome.await.show(&args.call)
}

/// The machine as it is, and what changes its list only if it is still the one that was read; nothing if it is so already.
async fn wanted(
    client: &Client,
    path: &str,
    list: List,
    change: impl FnOnce(&mut Vec<String>),
) -> Result<(Value, Option<Value>)> {
    let answer = client.get(path).await?;
    let machine: Machine = decode(&answer)?;
    let before = list.of(&machine);
    let mut names = before.to_vec();
    change(&mut names);
    let place = format!("/{}", list.field());
    let patch = (names != before).then(|| {
        json!([
            {"op": "test", "path": place, "value": before},
            {"op": "replace", "path": place, "value": names},
        ])
    });
    Ok((answer, patch))
}
