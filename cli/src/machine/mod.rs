//! `muster machine`: what is registered, and what it is to do.

mod boot;
mod disks;
mod list;
mod lists;
mod many;
mod provision;
mod setup;
mod terminal;
mod which;
mod work;

pub(crate) use list::ORDER;
pub(crate) use many::assign;
pub(crate) use which::Which;

use crate::object::{self, Collection};
use crate::print;
use crate::rest::{Call, Client, decode, encode};
use anyhow::{Context, Result};
use clap::Subcommand;
use protocol::ids::MachineId;
use protocol::inventory::{Bmc, Inventory, Link, Lldp, MemoryModule, Tpm};
use protocol::model::Kind;
use protocol::rest::Machine;

pub(crate) const MACHINES: Collection = Collection::of(Kind::Machines);

/// Verbs of `muster machine`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the machines
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Show one machine
    Show(One),
    /// Show its disks: what an installation would erase, and what it would keep
    Disks(One),
    /// Install operating systems, after showing what that erases
    Provision(provision::Provision),
    /// Bring machines back to Discovery mode; their disks are not touched
    Discover(provision::Discover),
    /// Show the keys of its encrypted volumes
    Escrow(One),
    /// Register a machine by hand, before it ever booted
    Create(object::Create),
    /// Change fields of a machine
    Set(work::Set),
    /// Set a param
    SetParam(work::SetParam),
    /// Show a param, or all of them
    GetParam(work::GetParam),
    /// Remove a param
    RemoveParam(work::RemoveParam),
    /// Show what an installation would be made of, and who says so: roles, image, params, disks
    Setup(setup::Setup),
    /// Give it machine roles
    AddRole(lists::Words),
    /// Take machine roles away, whoever gave them
    RemoveRole(lists::Words),
    /// Give machine roles to many machines, and take others from them
    Roles(lists::Roles),
    /// Put profiles behind those it has
    AddProfile(lists::Words),
    /// Take profiles away
    RemoveProfile(lists::Words),
    /// Set the workflow; an empty one clears it
    Workflow(work::Workflow),
    /// Let its agent run tasks
    Run(One),
    /// Let its agent run no further task
    Pause(One),
    /// Refuse changes by users
    Lock(many::Many),
    /// Accept changes by users again
    Unlock(many::Many),
    /// Give it another name
    Rename(many::Rename),
    /// Go back to an earlier entry of its task list, or to where its stage began
    Rewind(work::Rewind),
    /// Show the log of its current job
    Logs(work::Logs),
    /// Show what it would boot from the network now, why, and the files rendered for it
    Boot(boot::Boot),
    /// Open root's shell on it in this terminal, or say whether that is allowed
    Terminal(terminal::Terminal),
    /// List terminals that were open on it, or write the recording of one
    Terminals(terminal::Terminals),
    /// Forget machines; each must be bootstrapped again to come back
    Delete(many::Many),
}

/// Arguments of the verbs that need a machine only
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Name or UUID
    machine: String,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list::list(args).await,
        Command::Show(args) => show(args).await,
        Command::Disks(args) => disks::disks(args).await,
        Command::Provision(args) => provision::provision(args).await,
        Command::Discover(args) => provision::discover(args).await,
        Command::Escrow(args) => provision::escrow(args).await,
        Command::Create(args) => object::create(MACHINES, args).await,
        Command::Set(args) => work::set(args).await,
        Command::SetParam(args) => work::set_param(args).await,
        Command::GetParam(args) => work::get_param(args).await,
        Command::RemoveParam(args) => work::remove_param(args).await,
        Command::Setup(args) => setup::setup(args).await,
        Command::AddRole(args) => lists::add_roles(args).await,
        Command::RemoveRole(args) => lists::remove_roles(args).await,
        Command::Roles(args) => lists::roles(args).await,
        Command::AddProfile(args) => lists::add_profiles(args).await,
        Command::RemoveProfile(args) => lists::remove_profiles(args).await,
        Command::Workflow(args) => work::workflow(args).await,
        Command::Run(args) => work::run(args).await,
        Command::Pause(args) => work::pause(args).await,
        Command::Lock(args) => many::lock(args).await,
        Command::Unlock(args) => many::unlock(args).await,
        Command::Rename(args) => many::rename(args).await,
        Command::Rewind(args) => work::rewind(args).await,
        Command::Logs(args) => work::logs(args).await,
        Command::Boot(args) => boot::boot(args).await,
        Command::Terminal(args) => terminal::terminal(args).await,
        Command::Terminals(args) => terminal::terminals(args).await,
        Command::Delete(args) => many::delete(args).await,
    }
}

fn draw_list(machines: &[Machine]) -> String {
    let rows = machines.iter().map(|machine| {
        vec![
            machine.name.clone(),
            liveness(machine),
            machine.own.provision_state.to_string(),
            machine.own.mesh_network.clone(),
            machine.own.roles.join(","),
            machine.fields.address.clone(),
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

pub(crate) fn liveness(machine: &Machine) -> String {
    match (&machine.own.last_seen_at, machine.own.online) {
        (_, true) => "online".to_owned(),
        (Some(seen), false) => format!("offline {}", print::since(seen)),
        (None, false) => "offline".to_owned(),
    }
}

async fn show(args: One) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.get(&path(&args.machine)).await?;
    args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
}

/// One machine, for people.
pub(crate) fn draw(machine: &Machine) -> String {
    let inventory = &machine.own.inventory;
    let disks: Vec<String> = inventory
        .disks
        .iter()
        .map(|disk| format!("{} {} {}", disk.name, print::bytes(disk.size_bytes), disk.model))
        .collect();
    let ebpf = if machine.own.ebpf { "eBPF" } else { "no eBPF" };
    let changes = if machine.own.pending_changes { "settings differ from what was installed" } else { "" };
    let fields = print::fields(&[
        ("Name", machine.name.clone()),
        ("UUID", machine.uuid.to_string()),
        ("Status", liveness(machine)),
        ("Provision", machine.own.provision_state.to_string()),
        ("Pending", changes.to_owned()),
        ("Mesh network", mesh(machine)),
        ("Roles", machine.own.roles.join(", ")),
        ("Workflow", machine.fields.workflow.clone()),
        ("Stage", format!("{} in {}", machine.fields.stage, machine.fields.boot_env)),
        ("Task", task(machine)),
        ("Profiles", machine.fields.profiles.join(", ")),
        ("Errors", machine.envelope.errors.join("; ")),
        ("Address", machine.fields.address.clone()),
        ("Hardware", print::hardware(&inventory.vendor, &inventory.product, &inventory.serial)),
        ("Processors", format!("{} x {}", inventory.cpu.threads, inventory.cpu.model)),
        ("Memory", memory(inventory)),
        ("Disks", disks.join("; ")),
        ("PCI", functions(inventory)),
        ("TPM", tpm(&inventory.tpm)),
        ("BMC", bmc(&inventory.bmc)),
        ("Kernel", format!("{} {}, {ebpf}", inventory.kernel, machine.fields.arch)),
        ("Registered", machine.envelope.created_at.clone().unwrap_or_default()),
    ]);
    let mut parts = vec![fields, links(&inventory.links)];
    if !inventory.memory_modules.is_empty() {
        parts.push(modules(&inventory.memory_modules));
    }
    parts.join("\n\n")
}

/// Its mesh network, and its addresses there.
fn mesh(machine: &Machine) -> String {
    let addresses: Vec<String> = machine.own.mesh_addresses.iter().map(ToString::to_string).collect();
    match machine.own.mesh_network.as_str() {
        "" => String::new(),
        name if addresses.is_empty() => name.to_owned(),
        name => format!("{name} ({})", addresses.join(", ")),
    }
}

/// How far a machine is with its tasks, and why it goes no further.
fn task(machine: &Machine) -> String {
    let fields = &machine.fields;
    let stands = match usize::try_from(fields.current_task) {
        _ if fields.tasks.is_empty() => "nothing to do".to_owned(),
        Ok(at) => match fields.tasks.get(at) {
            Some(name) => format!("{} of {}: {name} {}", at + 1, fields.tasks.len(), fields.job_state),
            None => format!("all {} done", fields.tasks.len()),
        },
        Err(_) => format!("none of {} begun", fields.tasks.len()),
    };
    let pause = if fields.runnable { "" } else { ", paused" };
    let lock = if fields.locked { ", locked" } else { "" };
    format!("{}{pause}{lock}", stands.trim_end())
}

fn memory(inventory: &Inventory) -> String {
    let size = print::bytes(inventory.memory_bytes);
    match inventory.memory_modules.len() {
        0 => size,
        1 => format!("{size}, 1 module"),
        count => format!("{size}, {count} modules"),
    }
}

fn functions(inventory: &Inventory) -> String {
    match inventory.pci.len() {
        0 if inventory.abridged => "not told yet".to_owned(),
        0 => "none".to_owned(),
        1 => "1 function".to_owned(),
        count => format!("{count} functions, listed with -o json"),
    }
}

fn tpm(tpm: &Tpm) -> String {
    match (tpm.present, tpm.version.as_str()) {
        (false, _) => "none".to_owned(),
        (true, "") => "present".to_owned(),
        (true, version) => format!("TPM {version}"),
    }
}

fn bmc(bmc: &Bmc) -> String {
    let known = [&bmc.address, &bmc.address_v6, &bmc.mac];
    let known: Vec<&str> = known.into_iter().filter(|text| !text.is_empty()).map(String::as_str).collect();
    match (bmc.present, known.is_empty()) {
        (false, _) => "none".to_owned(),
        (true, true) => "present, address unknown".to_owned(),
        (true, false) => known.join(", "),
    }
}

/// `25 Gb/s`, `100 Mb/s`; empty when unknown.
fn speed(mbps: u32) -> String {
    match mbps {
        0 => String::new(),
        mbps if mbps >= 1_000 && mbps % 1_000 == 0 => format!("{} Gb/s", mbps / 1_000),
        mbps if mbps >= 1_000 && mbps % 100 == 0 => format!("{}.{} Gb/s", mbps / 1_000, mbps % 1_000 / 100),
        mbps => format!("{mbps} Mb/s"),
    }
}

fn links(links: &[Link]) -> String {
    let row = |link: &Link| {
        vec![
            link.name.clone(),
            link.mac.to_string(),
            if link.carrier { "up".to_owned() } else { "down".to_owned() },
            speed(link.speed_mbps),
            link.driver.clone(),
            link.addresses.join(", "),
            link.lldp.as_ref().map(Lldp::summary).unwrap_or_default(),
        ]
    };
    let header = ["LINK", "MAC", "CARRIER", "SPEED", "DRIVER", "ADDRESSES", "SWITCH"];
    print::table(&header, links.iter().map(row).collect(), "no network links")
}

fn modules(modules: &[MemoryModule]) -> String {
    let row = |module: &MemoryModule| {
        let speed = if module.speed_mts == 0 { String::new() } else { format!("{} MT/s", module.speed_mts) };
        vec![
            module.slot.clone(),
            print::bytes(module.size_bytes),
            module.kind.clone(),
            speed,
            module.manufacturer.clone(),
            module.part_number.clone(),
            module.serial.clone(),
        ]
    };
    let header = ["MEMORY", "SIZE", "KIND", "SPEED", "MANUFACTURER", "PART", "SERIAL"];
    print::table(&header, modules.iter().map(row).collect(), "no memory modules")
}

/// The UUID of a machine. One that is written as it is need not be there any more.
pub(crate) async fn id(client: &Client, key: &str) -> Result<MachineId> {
    match key.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(decode::<Machine>(&client.get(&path(key)).await.with_context(|| key.to_owned())?)?.uuid),
    }
}

/// A machine's address: its UUID, a `Field:value` as Digital Rebar writes it, else its name.
pub(crate) fn path(key: &str) -> String {
    let is_index = ["Key:", "Uuid:", "Name:"].iter().any(|index| key.starts_with(index));
    let key =
        if is_index || key.parse::<MachineId>().is_ok() { key.to_owned() } else { format!("Name:{key}") };
    format!("/api/v3/machines/{}", encode(&key))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn machine() -> Machine {
        serde_json::from_str(include_str!("../../tests/fixtures/machine.json")).unwrap()
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
        gone.own.online = false;
        gone.own.last_seen_at = Some("1970-01-01T00:00:00Z".into());
        assert!(liveness(&gone).starts_with("offline ") && liveness(&gone).ends_with('d'));
    }

    #[test]
    fn one_machine_shows_what_it_is_made_of() {
        let told = draw(&machine());
        assert!(told.contains("Hardware      QEMU Standard PC, S/N 7XK21M3"), "{told}");
        assert!(told.contains("Disks         vda 10 GiB virtio"), "{told}");
        for line in [
            "Memory        1.0 GiB, 1 module",
            "PCI           2 functions, listed with -o json",
            "TPM           TPM 2.0",
            "BMC           10.0.0.9, fd00::9, 02:00:00:00:00:09",
            "eth0  52:54:00:12:34:56  up       25 Gb/s  virtio_net  10.0.2.15/24  sw-3 port Eth1/7",
            "DIMM_A1  1.0 GiB  DDR5  4800 MT/s  Samsung       M321R8GA0BB0  4C02A1B2",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }

    #[test]
    fn what_a_machine_does_not_tell_is_not_made_up() {
        let mut machine = machine();
        machine.own.inventory = Inventory {
            abridged: true,
            bmc: Bmc { present: true, ..Bmc::default() },
            ..Inventory::default()
        };
        let told = draw(&machine);
        for line in
            ["PCI           not told yet", "TPM           none", "BMC           present, address unknown"]
        {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(told.ends_with("no network links"), "{told}");
        assert_eq!(
            (speed(0), speed(100), speed(2_500)),
            (String::new(), "100 Mb/s".into(), "2.5 Gb/s".into())
        );
    }
}
