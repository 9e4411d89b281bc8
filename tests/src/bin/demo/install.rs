//! The second half of the demo: a Debian made of its packages, imported, installed and booted.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use protocol::install::{Provision, ProvisionStatus, Step};
use protocol::rest::{Machine, ProvisionState};
use tests::muster::Server;
use tests::operator::Operator;
use tests::os_image::Debian;
use tests::qemu::{Disk, Vm, VmBuilder};
use tests::{output, wait};

use crate::{Timeline, tell};

/// Memory of the machine, in MiB.
pub(crate) const MEMORY: u32 = 2_048;
/// Bytes of its disk.
const DISK: u64 = 8 * 1_024 * 1_024 * 1_024;
/// Longest installation: translated instructions on a busy computer.
const INSTALLED_WITHIN: Duration = Duration::from_secs(1_200);
/// Name of the Image.
const IMAGE: &str = "debian";

/// An empty disk, unless it is there from an earlier run.
pub(crate) fn disk(path: &Path) -> Result<Disk> {
    if !path.exists() {
        let made = File::create(path).and_then(|file| file.set_len(DISK));
        made.with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(Disk::new(path, "DEMO-1"))
}

/// A machine that has one.
pub(crate) fn machine(server: &Server) -> Result<VmBuilder> {
    let disk = disk(&server.folder().join("disk.raw"))?;
    Ok(Vm::builder("demo-machine").memory_mib(MEMORY).cpus(2).disk(disk))
}

/// Builds a Debian and imports it.
pub(crate) fn import(server: &Server) -> Result<()> {
    tell("making a Debian of its packages (mmdebstrap; a minute or two, once)")?;
    let debian = Debian::build()?;
    muster(server, &["image", "create", IMAGE, "Source=upload", "Format=tar"])?;
    muster(server, &["image", "import", IMAGE, &debian.archive().display().to_string()])?;
    tell(&format!("imported it as Image {IMAGE}"))
}

/// Installs it, and waits until the installed system has reported.
pub(crate) fn install(
    server: &Server,
    operator: &Operator,
    vm: &mut Vm,
    machine: &Machine,
    timeline: &mut Timeline,
) -> Result<()> {
    let asked =
        muster(server, &["machine", "provision", &machine.name, "--image", IMAGE, "--yes", "-o", "json"])?;
    let run: Provision = serde_json::from_str(&asked).context("muster printed no run")?;
    timeline.mark("provision", "muster machine provision");
    tell(&format!("installing it on {}", machine.name))?;
    let path = format!("/api/v3/provisions/{}", run.uuid);
    let mut seen = BTreeSet::new();
    let ended = wait::until("the installed system to report", INSTALLED_WITHIN, || {
        let run: Provision = operator.get(&path)?.expect(200)?;
        for step in &run.steps {
            if seen.insert(step.step) {
                timeline.mark(step.step.word(), words(step.step));
            }
        }
        Ok(run.is_terminal.then_some(run))
    });
    let ended = ended.map_err(|error| vm.failed(&error))?;
    if ended.status != ProvisionStatus::Completed {
        bail!("the run ended {}: {} {}", ended.status, ended.error, ended.next_action);
    }
    timeline.mark("installed", "the system on the disk has reported");
    let machine = operator.machine(&machine.uuid.to_string())?;
    ensure!(
        machine.own.provision_state == ProvisionState::Installed,
        "it is {}",
        machine.own.provision_state
    );
    tell(&format!("{} runs {}", machine.name, machine.fields.os))
}

/// What a step does, in a few words.
fn words(step: Step) -> &'static str {
    match step {
        Step::Prepare => "fetches its tools",
        Step::Survey => "looks at its disks, and holds them against the plan",
        Step::Partition => "divides the disk",
        Step::Write => "downloads and writes the image",
        Step::Configure => "puts configuration, keys and agent in place",
        Step::Boot => "writes the boot loaders, and the boot entry last",
        Step::Restart => "restarts into its disk",
        Step::FirstBoot => "applies its configuration",
    }
}

/// `muster` as a person at a terminal would use it; what it prints.
fn muster(server: &Server, arguments: &[&str]) -> Result<String> {
    let output = Command::new(output::muster_binary()?)
        .args(arguments)
        .envs(server.as_admin()?)
        .output()
        .context("muster did not start")?;
    if !output.status.success() {
        bail!("muster {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("muster printed no text")
}
