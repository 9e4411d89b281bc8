//! `muster machine provision` and `discover`: install machines, after showing what that erases, or bring them back.

use super::many::{AT_ONCE, Done, each, each_of};
use super::which::{Target, Which, count};
use super::{One, disks, path};
use crate::print;
use crate::prompt;
use crate::provision::{self, LOOK_EVERY};
use crate::rest::{Call, Client, decode};
use anyhow::{Result, bail};
use clap::ValueEnum;
use protocol::install::{DiskPlan, EscrowedKey, Mode, Provision as Run, ProvisionRequest, Reboot};
use protocol::rest::Machine;

/// Runs that are asked after within [`LOOK_EVERY`] while all of them are waited for.
const LOOKED_AT_ONCE: usize = 20;

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

    /// As a question begins.
    const fn doing(self) -> &'static str {
        match self {
            Self::Rebuild => "install",
            Self::Discover => "bring back to Discovery mode",
            Self::Clear => "drop what was asked for of",
        }
    }
}

/// Arguments of `muster machine provision`
#[derive(Debug, clap::Args)]
pub(crate) struct Provision {
    #[command(flatten)]
    which: Which,
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
    /// Wait for the end, and tell how far it has come; fails when it did not complete
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    call: Call,
}

impl Provision {
    /// The end of the run is to be waited for, and judged. What was dropped has none.
    fn is_awaited(&self) -> bool {
        self.wait && self.mode != Asked::Clear
    }
}

/// Arguments of `muster machine discover`
#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    #[command(flatten)]
    which: Which,
    /// Wait for the end, and tell how far it has come; fails when it did not complete
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    call: Call,
}

/// A machine, and what an installation would erase of it.
#[derive(Debug)]
struct Planned {
    target: Target,
    /// Disks that hold something, in words; none when nothing would be lost.
    lost: Vec<String>,
}

/// Brings machines back to Discovery mode.
pub(crate) async fn discover(args: Discover) -> Result<()> {
    let Discover { which, wait, call } = args;
    let (image, workflow) = (String::new(), String::new());
    provision(Provision { which, mode: Asked::Discover, image, workflow, kexec: false, wait, call }).await
}

/// Asks for runs.
pub(crate) async fn provision(args: Provision) -> Result<()> {
    let client = args.call.client()?;
    let request = ProvisionRequest {
        mode: args.mode.mode(),
        image: args.image.clone(),
        workflow: args.workflow.clone(),
        reboot: if args.kexec { Reboot::Kexec } else { Reboot::Firmware },
        confirm: String::new(),
    };
    match args.which.single() {
        Some(name) => one(&client, &args, &path(name), request).await,
        None => many(&client, &args, request).await,
    }
}

async fn one(client: &Client, args: &Provision, at: &str, mut request: ProvisionRequest) -> Result<()> {
    if request.mode == Mode::Rebuild {
        let machine: Machine = decode(&client.get(at).await?)?;
        let plan: DiskPlan = decode(&client.get(&format!("{at}/disk-plan")).await?)?;
        request.confirm = confirmed(&machine, &plan, args.which.yes)?;
    }
    let mut answer = client.post(&format!("{at}/provision"), &request).await?;
    let run: Run = decode(&answer)?;
    if args.wait {
        answer = provision::wait(client, run.uuid, "", LOOK_EVERY).await?;
    }
    args.call.show(&answer, || Ok(provision::draw(&decode(&answer)?)))?;
    if args.is_awaited() { provision::judge(&decode(&answer)?) } else { Ok(()) }
}

async fn many(client: &Client, args: &Provision, request: ProvisionRequest) -> Result<()> {
    let (planned, failed) = plan_all(client, args, request.mode).await?;
    let asked = each_of(
        &planned,
        AT_ONCE,
        |planned| &planned.target.name,
        async |planned| {
            let Target { name, path } = &planned.target;
            // As the plan was when it was shown: one that loses more meanwhile is refused by the server.
            let confirm = if planned.lost.is_empty() { String::new() } else { name.clone() };
            let request = ProvisionRequest { confirm, ..request.clone() };
            Ok((name.clone(), client.post(&format!("{path}/provision"), &request).await?))
        },
    );
    let asked = asked.await.with(failed);
    let every = LOOK_EVERY * u32::try_from(1 + asked.done.len() / LOOKED_AT_ONCE)?;
    let ended = each_of(
        &asked.done,
        asked.done.len(),
        |(name, _)| name,
        async |(name, answer)| {
            let mut answer = answer.clone();
            if args.is_awaited() {
                let run = decode::<Run>(&answer)?.uuid;
                answer = provision::wait(client, run, &format!("{name}: "), every).await?;
                provision::judge(&decode(&answer)?)?;
            }
            let run: Run = decode(&answer)?;
            Ok(Done { said: format!("{name}: run {} is {}", run.uuid, run.status), answer })
        },
    );
    ended.await.with(asked.failed).show(&args.call)
}

/// The machines that it can be done with, after whoever asks for it was shown what it means; and why others are out.
async fn plan_all(
    client: &Client,
    args: &Provision,
    mode: Mode,
) -> Result<(Vec<Planned>, Vec<anyhow::Error>)> {
    let (machines, mut failed) = args.which.look(client).await?;
    let targets: Vec<Target> = machines.iter().map(Target::of).collect();
    if mode != Mode::Rebuild {
        if args.which.is_described() {
            args.which.ask(&targets, args.mode.doing())?;
        }
        return Ok((
            targets.into_iter().map(|target| Planned { target, lost: Vec::new() }).collect(),
            failed,
        ));
    }
    let plans = each(&targets, async |target| {
        let plan: DiskPlan = decode(&client.get(&format!("{}/disk-plan", target.path)).await?)?;
        if !plan.error.is_empty() {
            bail!("nothing can be installed: {}", plan.error);
        }
        let erased = plan.erased().filter(|planned| !planned.disk.contents.is_empty());
        Ok(Planned { target: target.clone(), lost: erased.map(|planned| planned.disk.summary()).collect() })
    });
    let plans = plans.await;
    failed.extend(plans.failed);
    if !plans.done.is_empty() {
        confirm_all(&plans.done, args.which.yes)?;
    }
    Ok((plans.done, failed))
}

/// Shows what is lost, and lets how many machines there are be typed.
fn confirm_all(planned: &[Planned], yes: bool) -> Result<()> {
    let row = |planned: &Planned| {
        let lost = if planned.lost.is_empty() { "nothing".to_owned() } else { planned.lost.join("; ") };
        vec![planned.target.name.clone(), lost]
    };
    print::note(&print::table(&["MACHINE", "WILL BE LOST"], planned.iter().map(row).collect(), ""))?;
    if yes {
        return Ok(());
    }
    let phrase = count(planned.len());
    if !prompt::can_ask() {
        bail!("this installs {phrase} anew: pass --yes to do it without a terminal");
    }
    let typed = prompt::line(&format!("Type {phrase} to install them"))?;
    if typed.trim() != phrase {
        bail!("that is not how many there are; nothing was begun");
    }
    Ok(())
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
pub(crate) async fn escrow(args: One) -> Result<()> {
    let answer = args.call.client()?.get(&format!("{}/escrow", path(&args.machine))).await?;
    args.call.show(&answer, || {
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
    fn several_are_installed_after_their_number_was_typed() {
        let planned = Planned { target: Target::of(&machine()), lost: vec!["sda gpt".to_owned()] };
        assert!(confirm_all(std::slice::from_ref(&planned), true).is_ok());
        // Tests have no terminal.
        let refused = confirm_all(&[planned], false).unwrap_err().to_string();
        assert_eq!(refused, "this installs 1 machine anew: pass --yes to do it without a terminal");
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
