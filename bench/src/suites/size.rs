//! How large everything is, with the same modules in every ramdisk; and what the agent needs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::muster::Server;
use harness::qemu::{Boot, Vm};
use harness::wait;

use super::{MUSTER, begin, name_inputs};
use crate::contest::{Driver, contest, give_up};
use crate::guest::{MEMORY_LINE, WATCH_ARG, watched_ramdisk};
use crate::judge::{ratio_at_most, value_at_most};
use crate::modules::{Frozen, Shares, shares};
use crate::peers::dracut::Dracut;
use crate::peers::grub_mkrescue::{GrubMkrescue, overhead};
use crate::peers::initramfs_tools::InitramfsTools;
use crate::record::{Metric, Suite};
use crate::stage::{Stage, Subject, number, read};

const AGENT: &str = "muster-agent";
/// Longest boot, and longest way from approval to registration.
const BOOT_WITHIN: Duration = Duration::from_secs(300);
/// How long the agent rests before its memory is read.
const REST: Duration = Duration::from_secs(30);
const KIB: f64 = 1_024.0;
const MEGABYTE: f64 = 1e6;

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let subject = Subject::open(stage)?;
    let folder = stage.folder("size")?;
    let frozen = Frozen::of(&subject, &folder)?;
    let mut suite = begin("size")?;
    name_inputs(&mut suite, &subject, Some(&frozen))?;

    let ours = [(MUSTER, Metric::Initrd, image_builder::INITRD_FILE), (AGENT, Metric::Program, AGENT)];
    for (contender, metric, file) in ours {
        suite.add(contender, metric, number(subject.size(file)?));
    }
    let iso = subject.path(image_builder::ISO_FILE);
    suite.add(MUSTER, Metric::Overhead, overhead(&iso, &subject, &folder)?);
    let peers: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(InitramfsTools::new(stage, &frozen)),
        Box::new(Dracut::alone(stage, &frozen)),
        Box::new(Dracut::with_network(stage, &frozen)),
        Box::new(GrubMkrescue::new(stage, &subject)),
    ];
    // The same input gives the same bytes: once is enough.
    contest(stage, &mut suite, 1, &[Metric::Initrd, Metric::Overhead], peers)?;
    match idle_memory(stage, &subject) {
        Ok(bytes) => suite.add(AGENT, Metric::IdleMemory, bytes),
        Err(error) => give_up(stage, &mut suite, AGENT, &format!("memory at rest: {error:#}"))?,
    }
    for peer in ["initramfs-tools", "dracut", "dracut-network"] {
        suite.compare(MUSTER, peer, Metric::Initrd);
    }
    suite.compare(MUSTER, "grub-mkrescue", Metric::Overhead);
    judge(&mut suite, &shares(&read(&subject.path(image_builder::INITRD_FILE))?)?);
    Ok(suite)
}

fn judge(suite: &mut Suite, shares: &Shares) {
    let megabytes = |bytes: usize| number(bytes as u64) / MEGABYTE;
    let because = format!(
        "modules take {:.2} MB, since each is compressed by itself and the peers compress all as one, agent, busybox and index {:.2} MB",
        megabytes(shares.modules),
        megabytes(shares.rest)
    );
    let pair = |peer| (MUSTER, peer, Metric::Initrd);
    let targets = vec![
        ratio_at_most(suite, "initrd <= 0.62x dracut", pair("dracut"), 0.62, &because),
        ratio_at_most(suite, "the same, dracut with a network", pair("dracut-network"), 0.62, &because),
        ratio_at_most(suite, "initrd <= 0.88x initramfs-tools", pair("initramfs-tools"), 0.88, &because),
        value_at_most(
            suite,
            "boot overhead of the hybrid ISO <= 8,000,000 bytes",
            (MUSTER, Metric::Overhead),
            8e6,
            "the EFI partition holds shim, GRUB and the key manager as Debian signed them",
        ),
        value_at_most(suite, "agent <= 4,500,000 bytes", (AGENT, Metric::Program), 4.5e6, "see make check"),
        value_at_most(
            suite,
            "agent at rest <= 8,000,000 bytes of memory",
            (AGENT, Metric::IdleMemory),
            8e6,
            "the program's own pages count: they lie in the ramdisk",
        ),
    ];
    suite.targets.extend(targets);
}

/// Resident memory of the agent as PID 1 in Discovery mode, in bytes.
fn idle_memory(stage: &Stage, subject: &Subject) -> Result<f64> {
    stage.tell("  booting the agent to see its memory at rest")?;
    let folder = stage.folder("memory")?;
    let server = Server::builder("bench-memory-server").media(&subject.folder).start()?;
    let operator = server.operator()?;
    let token = operator.create_token(600)?;
    let boot = Boot::Kernel {
        kernel: subject.path(image_builder::KERNEL_FILE),
        initrd: watched_ramdisk(&folder, &subject.path(image_builder::INITRD_FILE))?,
        append: format!("quiet console=ttyS0 console=tty0 {WATCH_ARG} {}", token.kernel_args),
    };
    let mut vm = Vm::builder("bench-memory-machine").boot(boot).start()?;
    vm.wait_for_registration(BOOT_WITHIN)?;
    wait::throughout(REST, || Ok(()))?;
    let lines = vm.lines()?;
    let last = lines.iter().rev().find_map(|line| line.strip_prefix(MEMORY_LINE));
    let last = last.context("the watcher printed nothing")?;
    stage.tell(&format!("  muster-agent: {last}"))?;
    let bytes = resident(last).with_context(|| format!("no VmRSS in {last:?}"))?;
    ensure!(
        server.operator()?.machines()?.iter().any(|machine| machine.own.online),
        "the machine is not online"
    );
    Ok(bytes)
}

/// `VmRSS: 6012 kB` among fields of `/proc/PID/status`, in bytes.
fn resident(fields: &str) -> Option<f64> {
    let (_, rest) = fields.split_once("VmRSS: ")?;
    let kib: f64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kib * KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(resident("VmHWM: 7000 kB VmRSS: 6012 kB RssAnon: 400 kB"), Some(6_012.0 * 1_024.0));
        assert_eq!(resident("VmHWM: 7000 kB"), None);
    }
}
