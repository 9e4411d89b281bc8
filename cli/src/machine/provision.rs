//! `muster machine provision`: installs a machine's operating system, after showing what that erases.

use super::{disks, path};
use crate::print::{self, Output};
use crate::prompt;
use crate::provision;
use crate::rest::{Client, Connection, decode};
use anyhow::{Result, bail};
use clap::ValueEnum;
use protocol::install::{DiskPlan, EscrowedKey, Mode, Provision as Run, ProvisionRequest, Reboot};
use protocol::rest::Machine;

/// What a run is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// Install the operating system
    #[default]
    Rebuild,
    /// Bring the machine back to Discovery mode
    Discover,
    /// Drop what was asked for and has not begun
    Clear,
}

impl Asked {
    const fn mode(self) -> Mode {
        match self {
            Self::Rebuild => Mode::Rebuild,
            Self::Discover => Mode::Discover,
            Self::Clear => Mode::Clear,
        }
    }
}

/// Arguments of `muster machine provision`
#[derive(Debug, clap::Args)]
pub(crate) struct Provision {
    /// Name or UUID
    machine: String,
    /// What to do
    #[arg(long, value_enum, default_value_t)]
    mode: Asked,
    /// Image to install; that of the machine's roles, then the default one, without it
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    image: String,
    /// Workflow to run instead of the built-in one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    workflow: String,
    /// Start the installed system at once, without the machine's firmware
    #[arg(long)]
    kexec: bool,
    /// Erase what the plan says without asking
    #[arg(short = 'y', long)]
    yes: bool,
    /// Wait for the end, and tell how far it has come; fails when it did not complete
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `muster machine escrow`
#[derive(Debug, clap::Args)]
pub(crate) struct Escrow {
    /// Name or UUID
    machine: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Asks for a run.
pub(crate) async fn provision(args: Provision) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let at = path(&args.machine);
    let mut request = ProvisionRequest {
        mode: args.mode.mode(),
        image: args.image,
        workflow: args.workflow,
        reboot: if args.kexec { Reboot::Kexec } else { Reboot::Firmware },
        confirm: String::new(),
    };
    if request.mode == Mode::Rebuild {
        let machine: Machine = decode(&client.get(&at).await?)?;
        let plan: DiskPlan = decode(&client.get(&format!("{at}/disk-plan")).await?)?;
        request.confirm = confirmed(&machine, &plan, args.yes)?;
    }
    let mut answer = client.post(&format!("{at}/provision"), &request).await?;
    let run: Run = decode(&answer)?;
    if args.wait {
        answer = provision::wait(&client, run.uuid).await?;
    }
    args.output.show(&answer, || Ok(provision::draw(&decode(&answer)?)))?;
    if args.wait && request.mode != Mode::Clear { provision::judge(&decode(&answer)?) } else { Ok(()) }
}

/// Shows the plan; the name of the machine when its disks may be erased, empty when nothing is on them.
fn confirmed(machine: &Machine, plan: &DiskPlan, yes: bool) -> Result<String> {
    print::note(&disks::draw(plan))?;
    if !plan.loses_something() {
        return Ok(String::new());
    }
    let name = &machine.name;
    if yes {
        return Ok(name.clone());
    }
    if !prompt::can_ask() {
        bail!("this erases disks of {name} that hold something: pass --yes to do it without a terminal");
    }
    let typed = prompt::line(&format!("Type {} to erase this", print::one_line(name)))?;
    if typed.trim() != name {
        bail!("that is not the machine's name; nothing was begun");
    }
    Ok(name.clone())
}

/// Shows the keys of encrypted volumes.
pub(crate) async fn escrow(args: Escrow) -> Result<()> {
    let answer = Client::open(&args.connection)?.get(&format!("{}/escrow", path(&args.machine))).await?;
    args.output.show(&answer, || {
        let keys: Vec<EscrowedKey> = decode(&answer)?;
        let row = |key: &EscrowedKey| vec![key.volume.clone(), key.key.clone(), key.run.to_string()];
        Ok(print::table(&["VOLUME", "KEY", "RUN"], keys.iter().map(row).collect(), "no encrypted volumes"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;
    use protocol::install::{Contents, Fate, PlannedDisk};
    use protocol::inventory::Disk;

    fn plan(table: &str) -> DiskPlan {
        let contents = Contents { table: table.to_owned(), ..Contents::default() };
        let disk = Disk { name: "sda".to_owned(), contents, ..Disk::default() };
        DiskPlan {
            disks: vec![PlannedDisk { disk, fate: Fate::Erase, reason: String::new() }],
            error: String::new(),
        }
    }

    #[test]
    fn what_holds_something_is_erased_by_its_name_alone() {
        let machine = machine();
        assert_eq!(confirmed(&machine, &plan(""), false).unwrap(), "");
        assert_eq!(confirmed(&machine, &plan("gpt"), true).unwrap(), machine.name);
        // Tests have no terminal.
        let refused = confirmed(&machine, &plan("gpt"), false).unwrap_err().to_string();
        assert!(refused.contains("pass --yes"), "{refused}");
    }
}
