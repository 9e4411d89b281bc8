//! The loop of a member: waits for whatever comes first, lets [`Member`] decide, and does it.

use super::checks;
use super::forwarding::Forwarding;
use super::guard::{self, GuardError};
use super::hosts::{self, HostsError};
use super::member::{Member, ToTest};
use super::network::{Network, NetworkError, Watch};
use super::plan::{Known, Learnt};
use super::prefix::Prefix;
use super::state::{Folder, PrivateKey, StateError};
use super::talk::{Heard, Sending, Server};
use super::turn::{Turn, TurnError};
use super::wireguard::{Unavailable, Wireguard, WireguardError};
use crate::deadline::since_boot;
use crate::jitter::random;
use crate::reap::Reaper;
use crate::report::{chain, printable};
use crate::runner::Ending;
use crate::runner::settings::{MESH_FOLDER, Settings, SettingsError, has_token};
use crate::runtime::{self, beside};
use nix::time::{ClockId, clock_gettime};
use protocol::mesh::{INTERFACE, MeshNews};
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const HOSTS: &str = "/etc/hosts";
const SETTINGS: &str = "/proc/sys/net";
const ROOT: &str = "/";
/// What was switched on for forwarding, in the member's folder.
const NOTE: &str = "forwarding";
/// Milliseconds until the kernel is tried again that could not do something, and that has no WireGuard.
const AGAIN: u64 = 5_000;
const AGAIN_WITHOUT: u64 = 60_000;
/// Milliseconds after which the kernel is asked anew what it has, in case that something changed without a word.
const DOUBT: u64 = 60_000;
/// Milliseconds between two looks for what others took away: one that does so again and again is no reason to do nothing
/// else.
const QUARREL: u64 = 200;
/// Longest time without a look around, in milliseconds.
const LONGEST_SLEEP: u64 = 60_000;
/// Longest line that is said, in characters.
const MAX_LINE: usize = 400;
/// Outcomes of tests that may wait.
const ROOM: usize = 16;

/// Why a member ends before its time, or something of it is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeshError {
    /// What the agent told.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Where to keep what is kept.
    #[error("{MESH_FOLDER} in the environment names no folder: the agent starts this program")]
    NoFolder,
    /// There is no runtime, or no signals.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// Another one does not end.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// Its files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tunnels.
    #[error(transparent)]
    Wireguard(#[from] WireguardError),
    /// The network around them.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Names.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// Dead ends before the network.
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl MeshError {
    /// The kernel has no WireGuard.
    const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Wireguard(WireguardError::Unavailable(Unavailable::Wireguard))
                | Self::Network(NetworkError::Unavailable(Unavailable::Wireguard))
        )
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `mesh`: be a member.
    Join,
    /// `mesh guard`: set the dead ends of what the machine was in when it was last told.
    Guard,
    /// `mesh leave`: take down whatever there is, and forget it.
    Leave,
}

/// The verbs of `mesh`.
pub(crate) fn run(verb: Verb) -> ExitCode {
    let work = async {
        let folder = std::env::var_os(MESH_FOLDER).ok_or(MeshError::NoFolder)?;
        let folder = Folder::new(folder);
        match verb {
            Verb::Join => {}
            Verb::Guard => {
                guard::raise(Path::new(ROOT), &folder, network(&folder)?).await?;
                return Ok(Ending::Idle);
            }
            Verb::Leave => return leave(&folder).await.map(|()| Ending::Idle),
        }
        if let Err(error) = guard::leave_alone(Path::new(ROOT)) {
            say(&format!("mesh: {}", chain(&error)));
        }
        let settings = if has_token(|name| std::env::var_os(name)) {
            Some(Settings::read([], |name| std::env::var_os(name))?)
        } else {
            None
        };
        Worker::begin(Ground::of(folder)?, || Server::reach(settings)).await?.work().await
    };
    match runtime::block_on(work).map_err(MeshError::Start).and_then(|outcome| outcome) {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => {
            say(&format!("mesh: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Takes everything down, dead ends too, and forgets it.
async fn leave(folder: &Folder) -> Result<(), MeshError> {
    let _turn = if folder.path().exists() { Some(Turn::take(folder.path()).await?) } else { None };
    network(folder)?.leave(false).await?;
    hosts::write(Path::new(HOSTS), None)?;
    guard::lower(Path::new(ROOT))?;
    Ok(folder.forget()?)
}

fn network(folder: &Folder) -> Result<Network, MeshError> {
    let forwarding = Forwarding::new(Path::new(SETTINGS), folder.file(NOTE), INTERFACE);
    Ok(Network::open(INTERFACE, forwarding)?)
}

/// What of the machine a member works on.
struct Ground {
    folder: Folder,
    hosts: PathBuf,
    network: Network,
}

impl Ground {
    /// The machine itself.
    fn of(folder: Folder) -> Result<Self, MeshError> {
        Ok(Self { network: network(&folder)?, hosts: HOSTS.into(), folder })
    }
}

/// What a member works with.
struct Worker {
    folder: Folder,
    hosts: PathBuf,
    turn: Turn,
    reaper: Reaper,
    member: Member,
    key: PrivateKey,
    network: Network,
    /// Hears what others take away; none before the first look, or when the kernel tells nothing any more.
    watch: Option<Watch>,
    wireguard: Option<Wireguard>,
    server: Server,
    tests: (mpsc::Sender<Tested>, mpsc::Receiver<Tested>),
    /// The kernel is looked at then.
    look_at: u64,
    looked_at: u64,
    /// What it has is asked anew then.
    doubt_at: u64,
    /// What was said last of what does not work.
    said: String,
    /// Names of members as the file has them; none before it was written.
    named: Option<Option<String>>,
    was_away: bool,
}

/// The outcome of a test.
struct Tested {
    what: ToTest,
    begun: u64,
    outcome: Result<(), String>,
}

/// What comes first.
enum Event {
    Heard(Heard),
    Tested(Tested),
    /// Somebody took away something of ours.
    Taken,
    /// The kernel does not tell any more when somebody does.
    Deaf,
    Due,
    Over,
}

impl Worker {
    /// Takes its turn, and speaks with the server from then on.
    async fn begin(ground: Ground, server: impl FnOnce() -> Server) -> Result<Self, MeshError> {
        let Ground { folder, hosts, network } = ground;
        // The key first: by it the folder is made, for root alone.
        let key = folder.key()?;
        let turn = Turn::take(folder.path()).await?;
        let (reaper, _) = Reaper::start().map_err(MeshError::Start)?;
        let known = folder.known().unwrap_or_else(|error| {
            say(&format!("mesh: {}", chain(&error)));
            Known::default()
        });
        let now = now();
        Ok(Self {
            network,
            folder,
            hosts,
            turn,
            reaper,
            member: Member::new(known, now),
            key,
            watch: None,
            wireguard: None,
            server: server(),
            tests: mpsc::channel(ROOM),
            look_at: now,
            looked_at: 0,
            doubt_at: now,
            said: String::new(),
            named: None,
            was_away: false,
        })
    }

    async fn work(mut self) -> Result<Ending, MeshError> {
        let mut ends = signal(SignalKind::terminate()).map_err(MeshError::Start)?;
        loop {
            self.attend().await;
            let due =
                Instant::now() + Duration::from_millis(self.due().saturating_sub(now()).min(LONGEST_SLEEP));
            let event = tokio::select! {
                // What is held ends in time, whatever else happens.
                biased;
                () = sleep_until(due) => Event::Due,
                Some(heard) = self.server.heard.recv() => Event::Heard(heard),
                Some(tested) = self.tests.1.recv() => Event::Tested(tested),
                stream = self.turn.over() => {
                    // Let go with the process, after what is held.
                    self.let_go().await;
                    drop(stream);
                    Event::Over
                }
                _ = ends.recv() => {
                    self.let_go().await;
                    Event::Over
                }
                is_told = taken(&mut self.watch) => if is_told { Event::Taken } else { Event::Deaf },
            };
            match event {
                Event::Due => {}
                Event::Taken => {
                    self.network.doubt();
                    self.look_at = self.look_at.min(self.looked_at + QUARREL);
                }
                Event::Deaf => {
                    self.watch = None;
                    say(
                        "mesh: the kernel tells no more of routes that others take away; they are looked for each minute",
                    );
                }
                Event::Over => return Ok(Ending::Idle),
                Event::Tested(Tested { what, begun, outcome }) => {
                    let outcome = outcome.as_ref().copied().map_err(String::as_str);
                    self.member.tested(&what, outcome, begun, now());
                    self.lay().await;
                }
                Event::Heard(heard) => {
                    if let Some(ending) = self.hear(heard).await? {
                        return Ok(ending);
                    }
                }
            }
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<Option<Ending>, MeshError> {
        match heard {
            Heard::News(news) if news.own.is_none() => return self.go().await.map(Some),
            Heard::News(news) => self.learn(news).await,
            Heard::Answer { sent, answer } => {
                if std::mem::take(&mut self.was_away) {
                    say("mesh: reports reach the server again");
                }
                self.member.answered(sent, &answer, now(), random());
                self.lay().await;
            }
            Heard::NoAnswer(why) => {
                if !std::mem::replace(&mut self.was_away, true) {
                    say(&format!("mesh: a report was not taken, trying again: {why}"));
                }
                self.member.unanswered(now(), random());
            }
            Heard::KeyTaken => {
                say(
                    "mesh: another member has this machine's key, as after a copy of its disk; making another",
                );
                self.folder.forget_key()?;
                self.key = self.folder.key()?;
                self.wireguard = None;
                self.look_at = now();
            }
            Heard::Refused(why) => {
                say(&format!("mesh: the server refuses the machine's token: {why}"));
                self.let_go().await;
                return Ok(Some(Ending::Refused));
            }
            Heard::Said(line) => say(&line),
        }
        Ok(None)
    }

    /// Takes in news, and changes what they change.
    async fn learn(&mut self, news: MeshNews) {
        let was = self.member.known().own.as_ref().map(|own| own.network.clone());
        let learnt = self.member.learn(news, now());
        let own = self.member.known().own.as_ref();
        if was.is_none()
            && let Some(own) = own
        {
            let count = self.member.known().peers.len();
            say(&format!("mesh: a member of {} with {count} others", own.network));
        }
        if learnt.is_lasting() {
            if let Err(error) = self.folder.keep(self.member.known()) {
                say(&format!("mesh: {}", chain(&error)));
            }
            self.name();
        }
        if learnt.own || self.wireguard.is_none() || !self.said.is_empty() {
            self.look().await;
        } else {
            let outcome = self.change(&learnt).await;
            self.judge(outcome);
        }
    }

    /// Out of the network: everything goes but dead ends.
    async fn go(&mut self) -> Result<Ending, MeshError> {
        self.network.doubt();
        self.network.leave(true).await?;
        hosts::write(&self.hosts, None)?;
        self.folder.forget()?;
        say("mesh: out of the mesh network, its tunnels are gone");
        Ok(Ending::Idle)
    }

    /// Whoever ends holds nothing: nobody would let it go in time.
    async fn let_go(&mut self) {
        let now = now();
        let layout = super::plan::layout(self.member.known(), &[]);
        if layout.port.is_some()
            && let Err(error) = self.network.settle(&layout, now).await
        {
            say(&format!("mesh: {}", chain(&error)));
        }
    }

    /// Does all that is due.
    async fn attend(&mut self) {
        let now = now();
        if self.member.known().own.is_none() {
            return;
        }
        if self.member.lease_ends().is_some_and(|end| end <= now) {
            self.lay().await;
        }
        if self.look_at <= now {
            self.look().await;
        }
        for what in self.member.due_tests(now) {
            let (tell, reaper) = (self.tests.0.clone(), self.reaper.clone());
            beside(async move {
                let outcome = checks::test(&what.check, &reaper).await;
                // Nobody left to tell is nobody who holds it.
                drop(tell.send(Tested { what, begun: now, outcome }).await);
            });
        }
        self.report();
    }

    /// When there is something to do next.
    fn due(&self) -> u64 {
        if self.member.known().own.is_none() {
            return u64::MAX;
        }
        let report = self.member.report_at().filter(|_| self.has_room());
        let dues = [Some(self.look_at), self.member.lease_ends(), self.member.next_test(), report];
        dues.into_iter().flatten().min().unwrap_or(self.look_at)
    }

    fn has_room(&self) -> bool {
        self.server.reports.as_ref().is_some_and(|reports| reports.capacity() > 0)
    }

    fn report(&mut self) {
        let now = now();
        if self.member.report_at().is_none_or(|at| at > now) {
            return;
        }
        let reports = self.server.reports.as_ref();
        let Some(room) = reports.and_then(|reports| reports.try_reserve().ok()) else { return };
        let networks: Vec<Prefix> = self.member.known().networks().collect();
        let Some(report) = self.member.report(super::addresses::reachable(INTERFACE, &networks), now) else {
            return;
        };
        match serde_json::to_vec(&report) {
            Ok(body) => room.send(Sending { sent: now, body }),
            Err(error) => say(&format!("mesh: no report can be made: {error}")),
        }
    }

    /// Looks at the kernel, and puts right what is not as it should be.
    async fn look(&mut self) {
        let outcome = self.try_look().await;
        if self.named.is_none() {
            self.name();
        }
        let is_missing = outcome.as_ref().is_err_and(MeshError::is_missing);
        let failed = outcome.is_err();
        self.judge(outcome);
        let now = now();
        self.looked_at = now;
        self.look_at = match (is_missing, failed) {
            (true, _) => now + AGAIN_WITHOUT,
            (false, true) => now + AGAIN,
            (false, false) => self.member.look_after(now),
        };
    }

    async fn try_look(&mut self) -> Result<(), MeshError> {
        if self.doubt_at <= now() {
            self.doubt_at = now() + DOUBT;
            if self.watch.is_none() {
                // First, so that nothing is missed between.
                self.watch = Some(self.network.watch()?);
            }
            self.network.doubt();
        }
        let layout = self.member.layout(now());
        self.network.prepare(&layout).await?;
        let is_first = self.wireguard.is_none();
        let wireguard = match self.wireguard.take() {
            Some(wireguard) => wireguard,
            None => Wireguard::open(INTERFACE).await?,
        };
        let wireguard = self.wireguard.insert(wireguard);
        let mut device = wireguard.look().await?;
        if device.is_none() {
            // Somebody took it away: it is made again.
            self.network.doubt();
            self.network.prepare(&layout).await?;
            device = wireguard.look().await?;
        }
        let port = layout.port.unwrap_or_default();
        if is_first || device.as_ref().is_none_or(|device| device.key.is_none() || device.port != port) {
            wireguard.set_key(&self.key).await?;
            wireguard.set_port(port).await?;
            device = wireguard.look().await?;
        }
        self.member.see(device.unwrap_or_default(), now(), wall());
        let changes = self.member.changes(None, now());
        wireguard.change(&changes).await?;
        self.settle().await
    }

    /// Changes what news changed.
    async fn change(&mut self, learnt: &Learnt) -> Result<(), MeshError> {
        let changes = self.member.changes(Some(learnt), now());
        if let Some(wireguard) = &self.wireguard {
            wireguard.change(&changes).await?;
        }
        let soon = if self.member.awaits(learnt) { now() } else { self.member.look_after(now()) };
        self.look_at = self.look_at.min(soon);
        self.settle().await
    }

    /// Brings what is around the tunnels to what it should be now.
    async fn lay(&mut self) {
        let outcome = self.settle().await;
        // What does not work in the tunnels does not work again by this: the next look says so.
        if outcome.is_err() {
            self.judge(outcome);
        }
    }

    async fn settle(&mut self) -> Result<(), MeshError> {
        let now = now();
        let layout = self.member.layout(now);
        self.network.settle(&layout, now).await?;
        self.member.settled(&layout, now);
        Ok(())
    }

    /// Notes what does not work, or that it does.
    fn judge(&mut self, outcome: Result<(), MeshError>) {
        let words = outcome.err().map(|error| {
            // What the kernel has is unsure now: it is looked at soon, and told everything anew.
            self.look_at = self.look_at.min(now() + AGAIN);
            chain(&error)
        });
        let words = words.unwrap_or_default();
        if words != self.said {
            say(&if words.is_empty() { "mesh: it works again".to_owned() } else { format!("mesh: {words}") });
            self.said.clone_from(&words);
        }
        self.member.failed(&words, now());
    }

    /// Writes names of members, where they changed.
    fn name(&mut self) {
        let lines = hosts::lines(self.member.known());
        if self.named.as_ref() == Some(&lines) {
            return;
        }
        match hosts::write(&self.hosts, lines.as_deref()) {
            Ok(_) => self.named = Some(lines),
            Err(error) => {
                // Once for these lines; the next change tries again.
                self.named = Some(lines);
                say(&format!("mesh: {}", chain(&error)));
            }
        }
    }
}

/// Waits until somebody took away something of ours; `false` when the kernel does not tell any more. Cancel safe.
async fn taken(watch: &mut Option<Watch>) -> bool {
    match watch {
        Some(watch) => watch.taken().await,
        None => pending().await,
    }
}

/// Milliseconds since the boot, those of the machine's sleep included.
fn now() -> u64 {
    u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock, in nanoseconds since 1970: by it the kernel dates handshakes.
fn wall() -> i128 {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).unwrap_or_default();
    i128::try_from(time.as_nanos()).unwrap_or_default()
}

/// Says a line to the agent, which shows it.
fn say(text: &str) {
    let mut out = io::stdout();
    // Without a reader the tunnels go on.
    drop(writeln!(out, "{}", printable(text, MAX_LINE)).and_then(|()| out.flush()));
}

#[cfg(test)]
#[path = "run/tests.rs"]
mod tests;
