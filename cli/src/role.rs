//! `muster role`: machine roles, which are profiles with the label `muster-role` and params of Muster's own.

use crate::object::{self, Collection, With, edit};
use crate::print;
use crate::rest::{Call, encode};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;

const ROLES: Collection = Collection::MACHINE_ROLES;
/// Where a role says which one it was made of.
const FORKED_FROM: &str = "muster-forked-from";

/// Verbs of `muster role`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the machine roles, highest merge priority first
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one role
    Show(object::Show),
    /// Make a role
    Create(With<Parts, object::Create>),
    /// Change a role
    Set(With<Parts, object::Set>),
    /// Make a role of another one, which stays as it is
    Fork(Fork),
    /// Show the cloud-init configuration that a machine would get, and what is wrong with it
    Test(Test),
    /// Delete roles
    Delete(object::Delete),
}

/// What a role is made of
#[derive(Debug, clap::Args)]
pub(crate) struct Parts {
    /// File with the cloud-init template; - reads standard input
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Image of its machines; of several roles, that of the highest priority counts
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// Merge priority: the higher wins; 100 where nothing is said
    #[arg(long, value_name = "NUMBER")]
    priority: Option<i64>,
    /// Whether its machines need a mesh network
    #[arg(long, value_name = "BOOL")]
    requires_mesh: Option<bool>,
    /// Another param: VALUE is JSON, or text as it is
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

impl Parts {
    fn params(&self) -> Result<Map<String, Value>> {
        let mut params = edit::fields(&self.params)?;
        if let Some(path) = &self.template {
            params.insert("muster/cloud-init".to_owned(), edit::read(path)?.into());
        }
        params.extend(self.image.as_ref().map(|name| ("muster/image".to_owned(), json!(name))));
        params.extend(self.priority.map(|number| ("muster/merge-priority".to_owned(), json!(number))));
        params.extend(self.requires_mesh.map(|needed| ("muster/requires-mesh".to_owned(), json!(needed))));
        Ok(params)
    }

    /// The params join those that the object has.
    fn join(&self, object: &mut Map<String, Value>) -> Result<()> {
        let params = self.params()?;
        if params.is_empty() {
            return Ok(());
        }
        let known = object.entry("Params").or_insert_with(|| json!({}));
        known.as_object_mut().context("Params is no object of params")?.extend(params);
        Ok(())
    }
}

/// Arguments of `muster role fork`
#[derive(Debug, clap::Args)]
pub(crate) struct Fork {
    /// The role that there is
    role: String,
    /// Name of the new one
    name: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster role test`
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// Name or UUID of a machine
    machine: String,
    /// As if the machine had this role, and no others but those given; may be repeated
    #[arg(long = "role", value_name = "NAME")]
    roles: Vec<String>,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => object::run(ROLES, object::Command::Show(args)).await,
        Command::Create(args) => {
            object::create_with(ROLES, args.verb, |object| args.parts.join(object)).await
        }
        Command::Set(args) => object::set_with(ROLES, args.verb, |object| args.parts.join(object)).await,
        Command::Fork(args) => fork(args).await,
        Command::Test(args) => test(args).await,
        Command::Delete(args) => object::run(ROLES, object::Command::Delete(args)).await,
    }
}

async fn list(args: object::List) -> Result<()> {
    let answer = args.fetch(ROLES).await?;
    args.call.show(&answer, || draw_list(&answer))
}

fn draw_list(answer: &Value) -> Result<String> {
    let mut roles: Vec<&Value> =
        answer.as_array().context("the server's answer is no list")?.iter().collect();
    let priority = |role: &Value| role["Params"]["muster/merge-priority"].as_i64().unwrap_or(100);
    roles.sort_by_key(|role| std::cmp::Reverse(priority(role)));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |role: &&Value| {
        vec![
            text(&role["Name"]),
            priority(role).to_string(),
            text(&role["Params"]["muster/image"]),
            if role["Params"]["muster/requires-mesh"] == true { "needed".to_owned() } else { String::new() },
            text(&role["Description"]),
        ]
    };
    let header = ["NAME", "PRIORITY", "IMAGE", "MESH NETWORK", "DESCRIPTION"];
    Ok(print::table(&header, roles.iter().map(row).collect(), "no role here"))
}

async fn fork(args: Fork) -> Result<()> {
    let client = args.call.client()?;
    let role = client.get(&ROLES.path_of(&args.role)).await?;
    let answer = client.post(&ROLES.path(), &forked(&role, &args.role, &args.name)).await?;
    args.call.show(&answer, || Ok(format!("made role {} of {}", args.name, args.role)))
}

/// What the author of a role wrote, under another name.
fn forked(role: &Value, from: &str, name: &str) -> Value {
    let mut fork = json!({ "Name": name });
    for field in ["Description", "Documentation", "Meta", "Params", "Profiles"] {
        fork[field] = role[field].clone();
    }
    if !fork["Meta"].is_object() {
        fork["Meta"] = json!({});
    }
    fork["Meta"][FORKED_FROM] = from.into();
    fork["Meta"]["muster-role"] = "true".into();
    fork
}

async fn test(args: Test) -> Result<()> {
    let client = args.call.client()?;
    let place = crate::machine::path(&args.machine);
    let roles: Vec<String> = args.roles.iter().map(|role| format!("role={}", encode(role))).collect();
    let query = if roles.is_empty() { String::new() } else { format!("?{}", roles.join("&")) };
    let answer = client.get(&format!("{place}/cloud-init{query}")).await?;
    args.call.show(&answer, || Ok(drawn(&answer)))?;
    let errors: Vec<&str> =
        answer["Errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for error in &errors {
        writeln!(std::io::stderr(), "{}", print::one_line(error))?;
    }
    match errors.len() {
        0 => Ok(()),
        1 => bail!("an installation would not begin: there is 1 error"),
        count => bail!("an installation would not begin: there are {count} errors"),
    }
}

/// The documents one below the other, and where they come from.
fn drawn(preview: &Value) -> String {
    let lines = |text: &str| text.lines().map(print::one_line).collect::<Vec<_>>().join("\n");
    let part = |title: &str, field: &str| {
        let text = preview[field].as_str().filter(|text| !text.is_empty())?;
        Some(format!("# {title}\n{}", lines(text)))
    };
    let mut parts: Vec<String> = [
        part("user-data", "UserData"),
        part("meta-data", "MetaData"),
        part("network-config", "NetworkConfig"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let sources: Vec<String> = preview["Sources"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, from)| {
            let from: Vec<&str> = from.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            print::one_line(&format!("#   {key}: {}", from.join(", ")))
        })
        .collect();
    if !sources.is_empty() {
        parts.push(format!("# which role gave what\n{}", sources.join("\n")));
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_listed_by_priority() {
        let answer = json!([
            {"Name": "base", "Params": {"muster/merge-priority": 10}},
            {"Name": "web", "Params": {"muster/image": "debian-12", "muster/requires-mesh": true}},
        ]);
        let told = draw_list(&answer).unwrap();
        let rows: Vec<&str> = told.lines().collect();
        assert!(rows[1].starts_with("web   100       debian-12  needed"), "{told}");
        assert!(rows[2].starts_with("base  10"), "{told}");
    }

    #[test]
    fn fork_is_a_role_of_its_own_that_says_where_it_comes_from() {
        let role = json!({"Name": "web", "ReadOnly": true, "Bundle": "site", "Params": {"a": 1}, "Meta": {"icon": "x"},
                          "Description": "d", "Documentation": "", "Profiles": []});
        let fork = forked(&role, "web", "web-2");
        assert_eq!(fork["Meta"], json!({"icon": "x", "muster-role": "true", "muster-forked-from": "web"}));
        assert_eq!((&fork["Name"], &fork["Params"]["a"]), (&json!("web-2"), &json!(1)));
        assert!(fork.get("ReadOnly").is_none() && fork.get("Bundle").is_none());
    }

    #[test]
    fn flags_become_params() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yaml");
        std::fs::write(&path, "packages: [nginx]\n").unwrap();
        let parts = Parts {
            template: Some(path),
            image: Some("debian-12".into()),
            priority: Some(50),
            requires_mesh: None,
            params: vec!["muster/ssh-keys=[\"ssh-ed25519 AAAA\"]".into()],
        };
        let mut object = Map::from_iter([("Params".to_owned(), json!({"x": 1}))]);
        parts.join(&mut object).unwrap();
        assert_eq!(
            Value::Object(object)["Params"],
            json!({
                "x": 1, "muster/cloud-init": "packages: [nginx]\n", "muster/image": "debian-12",
                "muster/merge-priority": 50, "muster/ssh-keys": ["ssh-ed25519 AAAA"],
            })
        );
    }

    #[test]
    fn preview_shows_documents_and_sources_without_control_characters() {
        let told = drawn(&json!({
            "UserData": "#cloud-config\nhostname: a\u{1b}[2J\n", "MetaData": "instance-id: x\n", "NetworkConfig": "",
            "Sources": {"packages": ["base", "web"]},
        }));
        assert!(
            told.starts_with("# user-data\n#cloud-config\nhostname: a") && !told.contains('\u{1b}'),
            "{told}"
        );
        assert!(told.ends_with("# which role gave what\n#   packages: base, web"), "{told}");
        assert!(!told.contains("network-config"), "{told}");
    }
}
