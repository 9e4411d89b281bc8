//! How soon a machine runs our code, and how soon a person sees the bootstrap code.
//!
//! Everybody gets the same kernel, the same modules and the same machine. Two clocks: the
//! machine's own, when it counts instructions, does not depend on how busy this computer is; the
//! wall's does, and is believed only when the computer is calm.
//!
//! The comparison to a code is not kind to us: at its first hook a peer has loaded no driver and
//! has no network, while a code on the screen means drivers, an address, and a server's answer.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::muster::Server;
use harness::qemu::Idle;
use iso::region::CONFIG_REGION;
use reqwest::Method;
use reqwest::header::RANGE;

use super::{MUSTER, begin, name_inputs};
use crate::boot::{Clock, Machine, Mark};
use crate::contest::{Driver, contest, give_up, prepare};
use crate::guest::{HELLO_LINE, hello_ramdisk, joined};
use crate::judge::{ratio_at_least, ratio_at_most};
use crate::modules::Frozen;
use crate::peers::HOOK;
use crate::peers::dracut::Dracut;
use crate::peers::initramfs_tools::InitramfsTools;
use crate::record::{Metric, Suite};
use crate::stage::{Stage, Subject, number, read, write};

const BARE: &str = "bare kernel";
/// A boot whose clock counts instructions takes the same time on every run.
const CERTAIN_ROUNDS: usize = 3;
/// A code waits for a server's answer, which does not take the same time on every run.
const CODE_ROUNDS: usize = 5;
const LOUD: &str = "console=ttyS0 loglevel=7";
const QUIET: &str = "console=ttyS0 console=tty0 quiet";
/// The bare kernel's program writes to `/dev/console`, which is the last that is named.
const QUIET_SERIAL: &str = "console=tty0 console=ttyS0 quiet";
/// Names a root that is never mounted: the peers' hooks come before.
const ROOT: &str = "root=/dev/vda";
const PEERS: [&str; 3] = ["initramfs-tools", "dracut", "dracut-network"];

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let subject = Subject::open(stage)?;
    let folder = stage.folder("boot")?;
    let frozen = Frozen::of(&subject, &folder)?;
    let mut suite = begin("boot")?;
    name_inputs(&mut suite, &subject, Some(&frozen))?;
    let mut peers = Vec::new();
    let tools = InitramfsTools::new(stage, &frozen);
    peers.extend(built(stage, &mut suite, tools, InitramfsTools::image)?);
    for dracut in [Dracut::alone(stage, &frozen), Dracut::with_network(stage, &frozen)] {
        peers.extend(built(stage, &mut suite, dracut, Dracut::image)?);
    }
    let field = Field {
        kernel: subject.path(image_builder::KERNEL_FILE),
        bare: hello_ramdisk(&folder)?,
        ours: subject.path(image_builder::INITRD_FILE),
        peers,
    };
    contest(stage, &mut suite, stage.rounds_up_to(CERTAIN_ROUNDS), &[Metric::ToInit], field.to_init())?;

    let server = Server::builder("bench-boot-server").media(&subject.folder).start()?;
    let personalised = personalised(&server, &subject, &folder)?;
    let clocks = [(Clock::Machine(Idle::Real), Metric::ToSign), (Clock::Wall, Metric::Wall)];
    for (clock, metric) in clocks {
        let machines = field.to_code(&personalised, clock);
        contest(stage, &mut suite, stage.rounds_up_to(CODE_ROUNDS), &[metric, Metric::Cpu], machines)?;
    }
    judge(&mut suite);
    Ok(suite)
}

fn judge(suite: &mut Suite) {
    suite.compare(MUSTER, BARE, Metric::ToInit);
    for peer in PEERS {
        suite.compare(peer, MUSTER, Metric::ToInit);
        suite.compare(peer, MUSTER, Metric::ToSign);
        suite.compare(peer, MUSTER, Metric::Wall);
    }
    let later = "at its first hook dracut has loaded no driver and has no network; a code needs both";
    let targets = vec![
        ratio_at_most(
            suite,
            "time to /init <= 1.10x a bare kernel",
            (MUSTER, BARE, Metric::ToInit),
            1.10,
            "the kernel copies the modules' archive and unpacks the programs' one",
        ),
        ratio_at_least(
            suite,
            "code on screen >= 1.8x earlier than dracut's first hook, on the wall",
            ("dracut", MUSTER, Metric::Wall),
            1.8,
            later,
        ),
        ratio_at_least(
            suite,
            "the same on the machine's clock",
            ("dracut", MUSTER, Metric::ToSign),
            1.8,
            later,
        ),
        ratio_at_least(
            suite,
            "the same on the wall, dracut with a network",
            ("dracut-network", MUSTER, Metric::Wall),
            1.8,
            later,
        ),
    ];
    suite.targets.extend(targets);
}

/// A peer's name and ramdisk.
type Peer = (&'static str, PathBuf);

/// Lets a peer build its ramdisk; `None` when it cannot, which the suite then says.
fn built<D: Driver>(
    stage: &Stage,
    suite: &mut Suite,
    mut peer: D,
    image: impl Fn(&D) -> Result<PathBuf>,
) -> Result<Option<Peer>> {
    let Some(name) = PEERS.into_iter().find(|name| *name == peer.name()) else { return Ok(None) };
    if !stage.is_wanted(name) {
        return Ok(None);
    }
    stage.tell(&format!("  {name}: building its ramdisk"))?;
    let built = prepare(&mut peer).and_then(|version| {
        let made = peer.run().and_then(|_| image(&peer));
        Ok((version, made.map_err(|error| format!("{error:#}"))?))
    });
    match built {
        Ok((version, image)) => {
            suite.inputs.extend(version.map(|version| (name.to_owned(), version)));
            Ok(Some((name, image)))
        }
        Err(reason) => {
            give_up(stage, suite, name, &reason)?;
            Ok(None)
        }
    }
}

/// Our ramdisk with this server's configuration behind it, as the ISO's boot loader hands both
/// over.
fn personalised(server: &Server, subject: &Subject, folder: &Path) -> Result<PathBuf> {
    let region = subject.manifest.region(CONFIG_REGION).context("the image has no config region")?;
    let end = region.end().context("the config region has no end")?;
    let path = format!("/media/{}", image_builder::ISO_FILE);
    let request = server.operator()?.request(Method::GET, &path);
    let request = request.header(RANGE, format!("bytes={}-{}", region.offset, end - 1));
    let answer = request.send().context("no answer for the image")?;
    let config = answer.error_for_status()?.bytes().context("the image broke off")?;
    ensure!(number(config.len() as u64) == number(region.length), "the server sent {} bytes", config.len());
    let ramdisk = folder.join("personalised.img");
    write(&ramdisk, joined(read(&subject.path(image_builder::INITRD_FILE))?, &config))?;
    Ok(ramdisk)
}

/// Who boots what.
struct Field {
    kernel: PathBuf,
    bare: PathBuf,
    ours: PathBuf,
    peers: Vec<Peer>,
}

impl Field {
    fn machine(&self, name: &'static str, ramdisk: &Path) -> Machine {
        Machine {
            name,
            kernel: self.kernel.clone(),
            ramdisk: ramdisk.to_owned(),
            args: LOUD.to_owned(),
            mark: Mark::Init,
            clock: Clock::Machine(Idle::Skipped),
        }
    }

    fn to_init(&self) -> Vec<Box<dyn Driver>> {
        let mut machines = vec![self.machine(BARE, &self.bare), self.machine(MUSTER, &self.ours)];
        machines.extend(self.peers.iter().map(|(name, ramdisk)| self.machine(name, ramdisk)));
        boxed(machines)
    }

    fn to_code(&self, personalised: &Path, clock: Clock) -> Vec<Box<dyn Driver>> {
        let args = QUIET.to_owned();
        let mut machines =
            vec![Machine { args, mark: Mark::Code, clock, ..self.machine(MUSTER, personalised) }];
        for (name, ramdisk) in &self.peers {
            let args = format!("{QUIET} {ROOT}");
            machines.push(Machine { args, mark: Mark::Line(HOOK), clock, ..self.machine(name, ramdisk) });
        }
        if clock == Clock::Wall {
            let (args, mark) = (QUIET_SERIAL.to_owned(), Mark::Line(HELLO_LINE));
            machines.push(Machine { args, mark, clock, ..self.machine(BARE, &self.bare) });
        }
        boxed(machines)
    }
}

fn boxed(machines: Vec<Machine>) -> Vec<Box<dyn Driver>> {
    machines.into_iter().map(|machine| Box::new(machine) as Box<dyn Driver>).collect()
}
