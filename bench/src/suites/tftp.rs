//! TFTP beside the servers of Debian: what a megabyte costs the server, and how many come a
//! second, for every block size, window and number of clients that matters.
//!
//! Clients and server share one processor: waking another one is an exit to the hypervisor here,
//! which costs ten times what a block costs any of the servers. Where crowds are served, speed is
//! measured once more with a processor for each side. What a server takes is counted by the
//! kernel for all of its processes, those that it starts for a transfer included. Whoever
//! negotiates no window is measured without one, and the table says so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use harness::muster::Server;
use nix::unistd::gettid;

use super::{MUSTER, begin};
use crate::computer::{Others, Watch};
use crate::contest::{Driver, contest, give_up};
use crate::judge::{ratio_at_least, ratio_at_most};
use crate::measure::{Call, own_cpu};
use crate::meter::Meter;
use crate::peers::tftp_daemons::{DAEMONS, Daemon, Running};
use crate::record::{Layout, LoadOf, Metric, Sample, Suite, Target};
use crate::stage::{Stage, number, short, write};
use crate::statistics::SplitMix;
use crate::tftp_client::{Haul, Order, Terms, fetch};

const BLOCKS: [u16; 3] = [512, 1_428, 8_192];
const WINDOWS: [u16; 3] = [1, 8, 64];
const CLIENTS: [u16; 3] = [1, 8, CROWD];
const CROWD: u16 = 64;
/// The processor of the servers, and the one of clients that are apart.
const SERVERS_ON: usize = 0;
const APART_ON: usize = 1;
/// Rounds of what is slow.
const APART_ROUNDS: usize = 5;
/// Bytes of the largest file. All files are the beginning of the same bytes.
const LARGEST: usize = 10_000_000;
const MEGABYTE: f64 = 1e6;
const PERCENT: f64 = 100.0;
/// What `muster serve` prints before the address of its TFTP door.
const DOOR: &str = "boot files tftp://";
/// Folder of its boot tree, in the data directory.
const BOOT_TREE: &str = "boot";
const SEED: u64 = 0x7466_7470;

/// Where the clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the server's processor.
    Together,
    /// On one of their own.
    Apart,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Task {
    terms: Terms,
    clients: u16,
    place: Place,
}

impl Task {
    fn all() -> Vec<Self> {
        let terms = || BLOCKS.iter().flat_map(|&block| WINDOWS.map(|window| Terms { block, window }));
        let place = Place::Together;
        let together = terms().flat_map(|terms| CLIENTS.map(|clients| Self { terms, clients, place }));
        let apart = terms().map(|terms| Self { terms, clients: CROWD, place: Place::Apart });
        together.chain(apart).collect()
    }

    fn title(self) -> String {
        let Terms { block, window } = self.terms;
        let plural = if self.clients == 1 { "" } else { "s" };
        let place = match self.place {
            Place::Together => "",
            Place::Apart => " apart",
        };
        format!("{block} x {window}, {} client{plural}{place}", self.clients)
    }

    /// Name of a contender that has this task.
    fn of(self, contender: &str) -> String {
        format!("{contender}, {}", self.title())
    }

    /// Bytes that each client fetches, and how often: enough to be measured, and not more than the
    /// slowest server sends in a second or two.
    fn work(self) -> (usize, u16) {
        let (volume, clients) = (self.volume(), usize::from(self.clients));
        let length = LARGEST.min(volume / clients);
        let times = u16::try_from(volume / clients / length).unwrap_or(1);
        (length, times)
    }

    /// Bytes for all clients together. One of a crowd fetches at least what a loader has.
    fn volume(self) -> usize {
        match (self.place, self.terms.block, self.clients) {
            (Place::Apart, 512, _) => 16_000_000,
            (Place::Together, 512, clients) if clients < CROWD => 16_000_000,
            (Place::Together, 8_192, clients) if clients < CROWD => 128_000_000,
            (Place::Apart | Place::Together, ..) => 64_000_000,
        }
    }

    fn metrics(self) -> &'static [Metric] {
        match self.place {
            Place::Together => &[Metric::Rate, Metric::ServerCpuPerMegabyte],
            Place::Apart => &[Metric::Rate, Metric::ClientBusy],
        }
    }
}

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    // In a thread of its own, which alone is tied to a processor.
    let suite = thread::scope(|scope| scope.spawn(|| measure(stage)).join());
    suite.map_err(|_| anyhow!("the thread that measures panicked"))?
}

fn measure(stage: &Stage) -> Result<Suite> {
    let folder = stage.folder("tftp")?;
    let files = Files::new();
    let mut suite = begin("tftp")?;
    (suite.layout, suite.load_of, suite.load) = (Layout::Grid, LoadOf::Others, 0.0);
    suite.inputs.insert("file".to_owned(), files.digest());
    let contenders = line_up(stage, &mut suite, &files, &folder)?;
    for task in Task::all() {
        let (processor, rounds) = match task.place {
            Place::Together => (SERVERS_ON, stage.rounds),
            Place::Apart => (APART_ON, stage.rounds_up_to(APART_ROUNDS)),
        };
        pin(Whom::Thread(gettid().as_raw()), processor, &folder)?;
        let course = Course { files: &files, task, seen: RefCell::default() };
        let drivers = contenders.iter().map(|contender| -> Box<dyn Driver + '_> {
            Box::new(Lap { name: task.of(contender.name), contender, course: &course })
        });
        let load = suite.load;
        contest(stage, &mut suite, rounds, task.metrics(), drivers.collect())?;
        let seen = course.seen.into_inner();
        suite.load = load.max(seen.others.share());
        suite.remarks.extend(seen.remarks(task));
    }
    judge(&mut suite);
    Ok(suite)
}

/// Starts everybody who can be had.
fn line_up(stage: &Stage, suite: &mut Suite, files: &Files, folder: &Path) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    match Contender::ours(files, folder) {
        Ok(contender) => contenders.push(contender),
        Err(error) => give_up(stage, suite, MUSTER, &format!("{error:#}"))?,
    }
    for daemon in DAEMONS.into_iter().filter(|daemon| stage.is_wanted(daemon.name)) {
        let started = daemon.available().map_err(anyhow::Error::msg);
        match started.and_then(|()| Contender::peer(stage, daemon, files, folder)) {
            Ok((contender, version)) => {
                suite.inputs.insert(daemon.name.to_owned(), version);
                contenders.push(contender);
            }
            Err(error) => give_up(stage, suite, daemon.name, &format!("{error:#}"))?,
        }
    }
    Ok(contenders)
}

/// Who is tied to a processor.
enum Whom {
    Thread(i32),
    Process(u32),
}

/// Ties to a processor, by `taskset` of util-linux.
fn pin(whom: Whom, processor: usize, folder: &Path) -> Result<()> {
    let call = Call::new("taskset");
    let (call, id) = match whom {
        Whom::Thread(id) => (call, id.to_string()),
        Whom::Process(id) => (call.arg("--all-tasks"), id.to_string()),
    };
    call.args(["--cpu-list", "--pid", &processor.to_string(), &id]).output(folder, "taskset").map(drop)
}

/// What is fetched.
struct Files {
    bytes: Vec<u8>,
    /// Each file has its length for a name.
    names: BTreeMap<usize, String>,
}

impl Files {
    fn new() -> Self {
        let mut random = SplitMix::new(SEED);
        let words = (0..LARGEST.div_ceil(8)).flat_map(|_| random.next().to_be_bytes());
        let lengths = Task::all().into_iter().map(|task| task.work().0);
        let names = lengths.map(|length| (length, format!("bench-{length}"))).collect();
        Self { bytes: words.take(LARGEST).collect(), names }
    }

    fn all(&self) -> Vec<(&str, &[u8])> {
        self.names.iter().map(|(length, name)| (name.as_str(), self.first(*length))).collect()
    }

    fn named(&self, length: usize) -> Result<(&str, &[u8])> {
        let name = self.names.get(&length).context("a file that nobody made")?;
        Ok((name, self.first(length)))
    }

    fn first(&self, length: usize) -> &[u8] {
        self.bytes.get(..length).unwrap_or(&self.bytes)
    }

    fn digest(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.bytes);
        short(&digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

/// A server that runs. The meter goes first and ends whatever the server started.
struct Contender {
    name: &'static str,
    address: SocketAddrV4,
    meter: Meter,
    kept: RefCell<Kept>,
}

/// What must live as long.
enum Kept {
    Ours(Box<Server>),
    Peer(Running),
}

impl Contender {
    fn ours(files: &Files, folder: &Path) -> Result<Self> {
        let server = Server::builder("bench-tftp-server").args(&["--tftp-listen", "127.0.0.1:0"]).start()?;
        for (name, bytes) in files.all() {
            write(&server.data_dir().join(BOOT_TREE).join(name), bytes)?;
        }
        let pid = server.pid().context("the server does not run")?;
        pin(Whom::Process(pid), SERVERS_ON, folder)?;
        let logs = server.logs()?;
        let address = logs.lines().find_map(|line| line.strip_prefix(DOOR)?.trim().parse().ok());
        let address = address.context("the server did not say where its TFTP door is")?;
        Self::ready(MUSTER, address, Meter::of(MUSTER, pid)?, Kept::Ours(Box::new(server)), files)
    }

    fn peer(stage: &Stage, daemon: Daemon, files: &Files, folder: &Path) -> Result<(Self, String)> {
        let running = daemon.serve(stage, &files.all(), SERVERS_ON, folder)?;
        let (address, version) = (running.address, running.version.clone());
        let meter = Meter::of(daemon.name, running.pid())?;
        Ok((Self::ready(daemon.name, address, meter, Kept::Peer(running), files)?, version))
    }

    /// Waits until it serves: a client asks again until somebody answers.
    fn ready(
        name: &'static str,
        address: SocketAddrV4,
        meter: Meter,
        kept: Kept,
        files: &Files,
    ) -> Result<Self> {
        let contender = Self { name, address, meter, kept: RefCell::new(kept) };
        let task = Task { terms: Terms { block: 512, window: 1 }, clients: 1, place: Place::Together };
        contender.fetch(files, task)?;
        Ok(contender)
    }

    fn fetch(&self, files: &Files, task: Task) -> Result<Haul> {
        let (length, times) = task.work();
        let (path, expected) = files.named(length)?;
        let Task { terms, clients, .. } = task;
        let order = Order { server: self.address, path, expected, terms, clients, times };
        fetch(order).map_err(|error| match &mut *self.kept.borrow_mut() {
            Kept::Ours(server) => error.context(format!("see {}", server.folder().display())),
            Kept::Peer(running) => match running.check() {
                Ok(()) => error,
                Err(ended) => ended.context(error),
            },
        })
    }
}

/// A task, and what was seen while the contenders did it.
struct Course<'a> {
    files: &'a Files,
    task: Task,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    others: Others,
    /// What each contender agreed to, and the accidents on its way.
    agreed: BTreeMap<String, (Terms, u64)>,
}

impl Seen {
    /// What a reader must know of a contender's numbers.
    fn remarks(self, task: Task) -> BTreeMap<String, String> {
        let remark = |(name, (agreed, accidents)): (String, (Terms, u64))| {
            let mut words = Vec::new();
            if agreed.block != task.terms.block {
                words.push(format!("blocks of {}", agreed.block));
            }
            if agreed.window != task.terms.window {
                words.push(format!("window {}", agreed.window));
            }
            if accidents > 0 {
                words.push(format!("{accidents} times blocks were lost or late"));
            }
            (!words.is_empty()).then(|| (name, words.join(", ")))
        };
        self.agreed.into_iter().filter_map(remark).collect()
    }
}

/// A task in the hands of a contender.
struct Lap<'a> {
    name: String,
    contender: &'a Contender,
    course: &'a Course<'a>,
}

impl Driver for Lap<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn setup(&mut self) -> Result<()> {
        Ok(())
    }

    fn run(&mut self) -> Result<Sample> {
        let meter = &self.contender.meter;
        let watch = Watch::start()?;
        let (server, clients) = (meter.seconds()?, own_cpu()?);
        let haul = self.contender.fetch(self.course.files, self.course.task)?;
        let clients_took = own_cpu()? - clients;
        let server = meter.settled()? - server;
        let mut seen = self.course.seen.borrow_mut();
        seen.others.add(&watch, server + own_cpu()? - clients)?;
        let known = seen.agreed.entry(self.name.clone()).or_insert((haul.agreed, 0));
        ensure!(known.0 == haul.agreed, "it agreed to {:?}, then to {:?}", known.0, haul.agreed);
        known.1 += haul.accidents;
        let (megabytes, wall) = (number(haul.bytes) / MEGABYTE, haul.wall.as_secs_f64());
        Ok(Sample::from([
            (Metric::Rate, megabytes / wall),
            (Metric::ServerCpuPerMegabyte, server * 1e3 / megabytes),
            (Metric::ClientBusy, clients_took * PERCENT / wall),
        ]))
    }
}

/// The peer that is best at a task.
fn best(suite: &Suite, task: Task, metric: Metric, is_better: fn(f64, f64) -> bool) -> Option<String> {
    let medians = DAEMONS.iter().filter_map(|daemon| {
        let name = task.of(daemon.name);
        suite.median(&name, metric).map(|median| (name, median))
    });
    medians.reduce(|best, other| if is_better(other.1, best.1) { other } else { best }).map(|(name, _)| name)
}

fn judge(suite: &mut Suite) {
    for task in Task::all() {
        let (metric, is_better): (_, fn(f64, f64) -> bool) = match task.place {
            Place::Together => (Metric::ServerCpuPerMegabyte, |one, other| one < other),
            Place::Apart => (Metric::Rate, |one, other| one > other),
        };
        let (ours, theirs) = (task.of(MUSTER), best(suite, task, metric, is_better));
        let theirs = theirs.unwrap_or_else(|| task.of("the best peer"));
        suite.compare(&ours, &theirs, metric);
        suite.targets.extend(target(suite, task, (&ours, &theirs, metric)));
    }
}

/// What was promised for a task, beside its best peer.
fn target(suite: &Suite, task: Task, pair: (&str, &str, Metric)) -> Option<Target> {
    let title = task.title();
    match (task.place, task.terms) {
        (Place::Together, Terms { block: 1_428, window: 64 }) => {
            let text = format!("{title}: <= 0.5x the CPU per MB of the best peer");
            let because = "most of it is the kernel's, whoever sends";
            Some(ratio_at_most(suite, &text, pair, 0.5, because))
        }
        (Place::Together, Terms { block: 512, window: 1 }) => {
            let text = format!("{title}: <= 1.1x the CPU per MB of the best peer");
            let because = "each request looks for the machine that asks, in the database";
            Some(ratio_at_most(suite, &text, pair, 1.1, because))
        }
        (Place::Together, _) => None,
        (Place::Apart, _) => {
            let text = format!("{title}: >= 2x the MB/s of the best peer");
            let because = match task.terms.window {
                1 => {
                    "each block waits for the one before, whoever sends: a packet costs every server the same"
                }
                _ => "copying the file into packets is most of the work by now, whoever sends",
            };
            Some(ratio_at_least(suite, &text, pair, 2.0, because))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_task_has_a_name_of_its_own_and_files_that_exist() {
        let (tasks, files) = (Task::all(), Files::new());
        assert_eq!(tasks.len(), 27 + 9);
        let titles: BTreeSet<_> = tasks.iter().map(|task| task.title()).collect();
        assert_eq!(titles.len(), tasks.len());
        assert!(titles.contains("1428 x 64, 1 client") && titles.contains("512 x 8, 64 clients apart"));
        for task in tasks {
            let (length, times) = task.work();
            let (_, bytes) = files.named(length).unwrap();
            assert_eq!(bytes.len(), length);
            let fetched = length * usize::from(times) * usize::from(task.clients);
            assert!(fetched * 10 > task.volume() * 6 && fetched <= task.volume(), "{}", task.title());
        }
    }

    #[test]
    fn only_what_a_reader_must_know_is_remarked() {
        let terms = Terms { block: 1_428, window: 64 };
        let task = Task { terms, clients: 64, place: Place::Together };
        let mut seen = Seen::default();
        seen.agreed.insert("a".to_owned(), (terms, 0));
        seen.agreed.insert("b".to_owned(), (Terms { block: 1_428, window: 1 }, 0));
        seen.agreed.insert("c".to_owned(), (Terms { block: 512, window: 1 }, 3));
        let told = seen.remarks(task);
        assert_eq!(told.len(), 2);
        assert_eq!(told["b"], "window 1");
        assert_eq!(told["c"], "blocks of 512, window 1, 3 times blocks were lost or late");
    }

    #[test]
    fn the_best_peer_may_be_another_one_for_each_metric() {
        let task = Task { terms: Terms { block: 512, window: 1 }, clients: 1, place: Place::Together };
        let mut suite = Suite::default();
        for (who, rate, cpu) in [("tftpd-hpa", 50.0, 8.0), ("atftpd", 40.0, 6.0), ("muster", 99.0, 1.0)] {
            suite.add(&task.of(who), Metric::Rate, rate);
            suite.add(&task.of(who), Metric::ServerCpuPerMegabyte, cpu);
        }
        let fast = best(&suite, task, Metric::Rate, |one, other| one > other);
        let frugal = best(&suite, task, Metric::ServerCpuPerMegabyte, |one, other| one < other);
        assert_eq!(fast.unwrap(), "tftpd-hpa, 512 x 1, 1 client");
        assert_eq!(frugal.unwrap(), "atftpd, 512 x 1, 1 client");
        assert_eq!(best(&Suite::default(), task, Metric::Rate, |one, other| one > other), None);
    }
}
