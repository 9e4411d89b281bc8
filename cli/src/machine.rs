//! `muster machine`: what is registered.

use crate::print::{self, Output};
use crate::prompt;
use crate::rest::{Client, Connection, decode, encode};
use anyhow::{Result, bail};
use clap::Subcommand;
use protocol::ids::MachineId;
use protocol::rest::Machine;

/// Verbs of `muster machine`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the machines
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one machine
    Show(Show),
    /// Forget machines; each must be bootstrapped again to come back
    Delete(Delete),
}

/// Arguments of `muster machine list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Name or UUID
    machine: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine delete`
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Names or UUIDs
    #[arg(required = true)]
    machines: Vec<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Delete(args) => delete(args).await,
    }
}

async fn list(args: List) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let answer = client.get("/api/v3/machines").await?;
    args.output.show(&answer, || {
        let machines: Vec<Machine> = decode(&answer)?;
        Ok(draw_list(&machines))
    })
}

fn draw_list(machines: &[Machine]) -> String {
    let rows = machines.iter().map(|machine| {
        vec![
            machine.name.clone(),
            liveness(machine),
            machine.provision_state.to_string(),
            machine.mesh_network.clone(),
            machine.roles.join(","),
            machine.address.clone(),
            machine.uuid.to_string(),
        ]
    });
    let header = ["NAME", "STATUS", "PROVISION", "MESH NETWORK", "ROLES", "ADDRESS", "UUID"];
    print::table(
        &header,
        rows.collect(),
        "no machines yet: boot one from the ISO, then `muster bootstrap approve CODE`",
    )
}

fn liveness(machine: &Machine) -> String {
    match (&machine.last_seen_at, machine.online) {
        (_, true) => "online".to_owned(),
        (Some(seen), false) => format!("offline {}", print::since(seen)),
        (None, false) => "offline".to_owned(),
    }
}

async fn show(args: Show) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let answer = client.get(&path(&args.machine)).await?;
    args.output.show(&answer, || Ok(draw(&decode(&answer)?)))
}

/// One machine, for people.
pub(crate) fn draw(machine: &Machine) -> String {
    let inventory = &machine.inventory;
    let disks: Vec<String> = inventory
        .disks
        .iter()
        .map(|disk| format!("{} {} {}", disk.name, print::bytes(disk.size_bytes), disk.model))
        .collect();
    let ebpf = if machine.ebpf { "eBPF" } else { "no eBPF" };
    print::fields(&[
        ("Name", machine.name.clone()),
        ("UUID", machine.uuid.to_string()),
        ("Status", liveness(machine)),
        ("Provision", machine.provision_state.to_string()),
        ("Mesh network", machine.mesh_network.clone()),
        ("Roles", machine.roles.join(", ")),
        ("Address", machine.address.clone()),
        ("Hardware", print::hardware(&inventory.vendor, &inventory.product, &inventory.serial)),
        ("Processors", format!("{} x {}", inventory.cpu.threads, inventory.cpu.model)),
        ("Memory", print::bytes(inventory.memory_bytes)),
        ("Disks", disks.join("; ")),
        ("Links", machine.hardware_addrs.join(", ")),
        ("Kernel", format!("{} {}, {ebpf}", inventory.kernel, machine.arch)),
        ("Registered", machine.created_at.clone()),
    ])
}

async fn delete(args: Delete) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let mut found: Vec<Machine> = Vec::new();
    for key in &args.machines {
        found.push(decode(&client.get(&path(key)).await?)?);
    }
    let names: Vec<String> =
        found.iter().map(|machine| format!("{} ({})", machine.name, machine.uuid)).collect();
    if !args.yes {
        if !prompt::can_ask() {
            bail!("this forgets {}: pass --yes to do it without a terminal", names.join(", "));
        }
        if !prompt::confirm(&format!("Forget {}?", names.join(", ")))? {
            bail!("nothing was deleted");
        }
    }
    let mut answers = Vec::new();
    for machine in &found {
        answers.push(client.delete(&path(&machine.uuid.to_string())).await?);
    }
    let answer = serde_json::Value::Array(answers);
    args.output.show(&answer, || Ok(format!("deleted {}", names.join(", "))))
}

/// A machine's address: its UUID, a `Field:value` as Digital Rebar writes it, else its name.
fn path(key: &str) -> String {
    let is_index = ["Key:", "Uuid:", "Name:"].iter().any(|index| key.starts_with(index));
    let key =
        if is_index || key.parse::<MachineId>().is_ok() { key.to_owned() } else { format!("Name:{key}") };
    format!("/api/v3/machines/{}", encode(&key))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn machine() -> Machine {
        serde_json::from_str(include_str!("../tests/fixtures/machine.json")).unwrap()
    }

    #[test]
    fn machines_are_found_by_name_and_by_uuid() {
        assert_eq!(path("web-1"), "/api/v3/machines/Name:web-1");
        assert_eq!(
            path("5f4dcc3b-5aa7-4d61-9d83-27deb882cf99"),
            "/api/v3/machines/5f4dcc3b-5aa7-4d61-9d83-27deb882cf99"
        );
        assert_eq!(path("Name:a/b"), "/api/v3/machines/Name:a%2Fb");
    }

    #[test]
    fn the_list_has_the_dashboards_columns() {
        let told = draw_list(&[machine()]);
        let (header, row) = told.split_once('\n').unwrap();
        assert!(header.starts_with("NAME") && header.contains("PROVISION"), "{header}");
        assert!(
            row.contains("m-525400123456") && row.contains("online") && row.contains("Discovery mode"),
            "{row}"
        );
        let mut gone = machine();
        gone.online = false;
        gone.last_seen_at = Some("1970-01-01T00:00:00Z".into());
        assert!(liveness(&gone).starts_with("offline ") && liveness(&gone).ends_with('d'));
    }

    #[test]
    fn one_machine_shows_what_it_is_made_of() {
        let told = draw(&machine());
        assert!(told.contains("Hardware      QEMU Standard PC, S/N 7XK21M3"), "{told}");
        assert!(told.contains("Disks         vda 10 GiB virtio"), "{told}");
    }
}
