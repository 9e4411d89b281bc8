//! `muster mesh`: mesh networks, the machines that are in them, and the tunnels between those.

mod peers;

use crate::machine::{self, MACHINES, Which};
use crate::object::{self, Collection, With};
use crate::print;
use crate::rest::{Call, decode};
use anyhow::Result;
use clap::Subcommand;
use protocol::model::Kind;
use protocol::rest::Machine;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

const MESHES: Collection = Collection::of(Kind::Meshes);

/// Verbs of `muster mesh`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the mesh networks
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one mesh network
    Show(object::Show),
    /// Make a mesh network
    Create(With<Parts, object::Create>),
    /// Change a mesh network; its networks can only change while no machine is in it
    #[command(visible_alias = "update")]
    Set(With<Parts, object::Set>),
    /// Delete mesh networks; not while machines are in them
    Delete(object::Delete),
    /// List the machines of a mesh network, with their addresses
    Members(Members),
    /// List the tunnels of a mesh network, or those of one machine: whether they are up, by which way, what they carried
    Peers(peers::Peers),
    /// Bring machines into a mesh network, out of the one that each is in
    Join(Join),
    /// Take machines out of their mesh networks
    Leave(Leave),
}

/// What a mesh network is made of
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Parts {
    /// Its network: a private IPv4 one, a unique local IPv6 one (fd00::/8), or twice for one of each
    #[arg(long = "cidr", value_name = "CIDR")]
    cidrs: Vec<String>,
    /// Whether new machines join it; at most one mesh network is the default
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    default: Option<bool>,
    /// Whether its machines have each other's names in /etc/hosts, as NAME and NAME.MESH.mesh
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    hosts: Option<bool>,
}

impl Parts {
    fn fields(&self) -> Map<String, Value> {
        let fields = [
            ("Cidrs", (!self.cidrs.is_empty()).then(|| json!(self.cidrs))),
            ("Default", self.default.map(Value::from)),
            ("Hosts", self.hosts.map(Value::from)),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect()
    }
}

/// Arguments of `muster mesh members`
#[derive(Debug, clap::Args)]
pub(crate) struct Members {
    /// Its name
    mesh: String,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster mesh join`
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// Its name
    #[arg(value_name = "NETWORK")]
    network: String,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster mesh leave`
#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => object::run(MESHES, object::Command::List(args)).await,
        Command::Show(args) => object::run(MESHES, object::Command::Show(args)).await,
        Command::Create(With { parts, verb }) => {
            object::create_with(MESHES, verb, object::adding(parts.fields())).await
        }
        Command::Set(With { parts, verb }) => {
            object::set_with(MESHES, verb, object::adding(parts.fields())).await
        }
        Command::Delete(args) => object::run(MESHES, object::Command::Delete(args)).await,
        Command::Members(args) => members(args).await,
        Command::Peers(args) => peers::peers(args).await,
        Command::Join(Join { network, which, call }) => machine::assign(&which, &network, &call).await,
        Command::Leave(Leave { which, call }) => machine::assign(&which, "", &call).await,
    }
}

async fn members(args: Members) -> Result<()> {
    let client = args.call.client()?;
    // An unknown name is an error, not an empty list.
    client.get(&MESHES.path_of(&args.mesh)).await?;
    let filter = ("MeshNetwork".to_owned(), format!("Eq({})", args.mesh));
    let answer = Value::Array(object::all(&client, MACHINES, &[filter], machine::ORDER).await?);
    args.call.show(&answer, || {
        let machines: Vec<Machine> = decode(&answer)?;
        Ok(draw_members(&machines))
    })
}

fn draw_members(machines: &[Machine]) -> String {
    let row = |member: &Machine| {
        let address = |of: fn(&IpAddr) -> bool| {
            let found = member.own.mesh_addresses.iter().find(|address| of(address));
            found.map(ToString::to_string).unwrap_or_default()
        };
        vec![
            member.name.clone(),
            machine::liveness(member),
            address(IpAddr::is_ipv4),
            address(IpAddr::is_ipv6),
            member.own.roles.join(","),
        ]
    };
    let header = ["NAME", "STATUS", "IPV4", "IPV6", "ROLES"];
    print::table(&header, machines.iter().map(row).collect(), "no machine is in it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::machine;

    #[test]
    fn members_are_listed_with_an_address_of_each_family() {
        let mut member = machine();
        member.own.mesh_network = "home".to_owned();
        member.own.mesh_addresses = vec!["10.20.0.1".parse().unwrap(), "fd00:20::1".parse().unwrap()];
        let drawn = draw_members(&[member.clone()]);
        let (header, row) = drawn.split_once('\n').unwrap();
        assert!(header.starts_with("NAME"), "{header}");
        assert!(row.contains("10.20.0.1  fd00:20::1"), "{row}");
        assert_eq!(draw_members(&[]), "no machine is in it");
    }

    #[test]
    fn what_is_not_said_is_no_field() {
        assert_eq!(
            Value::Object(Parts { cidrs: Vec::new(), default: None, hosts: None }.fields()),
            json!({})
        );
        let parts = Parts { cidrs: vec!["10.20.0.0/16".to_owned()], default: Some(false), hosts: Some(true) };
        assert_eq!(
            Value::Object(parts.fields()),
            json!({"Cidrs": ["10.20.0.0/16"], "Default": false, "Hosts": true})
        );
    }
}
