//! The boot, top to bottom: named phases with limits, then the driver for ever.
//!
//! A phase that fails or takes too long says so and the boot goes on: a machine without a
//! driver for its second disk can still be registered, and a machine without a network can
//! still say why.

use crate::api::download::Way;
use crate::api::http::Client;
use crate::api::tls::{ExtraCa, Trust};
use crate::by_hand::{self, Desk, Levers};
use crate::clock::{self, Verdict};
use crate::console::Console;
use crate::console::screen::{Facts, Headline, Screen};
use crate::deadline::{Overdue, Phase, Uptime};
use crate::driver::{Driver, Luggage, News};
use crate::efivar::KeyStore;
use crate::handover::{self, RAMDISK_KEY, Standing};
use crate::identity::Identity;
use crate::inventory::{Hardware, Learnt, bmc};
use crate::kmsg::{self, Chatter};
use crate::lldp;
use crate::modules::{Loader, Modules};
use crate::mounts;
use crate::net::{NetEvent, Network, Status};
use crate::power::{self, Power, Requests};
use crate::reap::{Reaper, unpack_shell};
use crate::report::chain;
use crate::runner::child::Child;
use crate::runtime;
use crate::state::TokenPlan;
use crate::tools::door::FOLDER;
use crate::tools::{self, Source};
use crate::uevents::Listener;
use crate::view::told;
use protocol::agent_api::Origin;
use protocol::cmdline::{ConsoleMode, KernelArgs, MAX_CMDLINE};
use protocol::config::{AgentConfig, CONFIG_PATH, MAX_CONFIG_LEN, Settings};
use protocol::net::NetPlan;
use protocol::token::{redact, wipe};
use protocol::tools::TICKET_PATH;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

const fn phase(name: &'static str, seconds: u64) -> Phase {
    Phase { name, limit: Duration::from_secs(seconds) }
}

/// The boot in its order.
const PHASES: [Phase; 7] = [
    phase("mounts", 5),
    phase("console", 5),
    phase("settings", 5),
    phase("modules", 45),
    // Before the network: DHCP and DNS want random numbers, and in a static binary they would
    // wait for them without asking the kernel to gather any. Making a key asks.
    phase("identity", 30),
    phase("network", 15),
    phase("clock", 5),
];
/// How long the boot waits for the first carrier: a cable that is there shows within it.
const CARRIER_WITHIN: Duration = Duration::from_secs(5);
/// Pause before making a key that could not be made is tried again.
const KEY_AGAIN: Duration = Duration::from_secs(5);
/// Pause before a rescue shell that ended is started again.
const SHELL_AGAIN: Duration = Duration::from_secs(1);

/// Boots the machine. Never returns: PID 1 that exits is a kernel panic.
pub(crate) fn boot() -> ! {
    crate::panic::install();
    // Before the runtime: what wants randomness reads /dev/urandom in a static binary.
    let failed = mounts::mount_all();
    let power = match runtime::block_on(run(failed.iter().map(|error| chain(error)).collect())) {
        Ok(power) => power,
        Err(error) => panic!("cannot start the runtime: {error}"),
    };
    match power::carry_out(power) {
        Ok(never) => match never {},
        Err(error) => panic!("{}", chain(&error)),
    }
}

async fn run(mount_problems: Vec<String>) -> Power {
    let mut boot = Boot::begin(mount_problems);
    let (mut requests, reaper) = boot.console();
    let mut told = boot.settings();
    boot.rescue(&told.settings.console, reaper.clone());
    let modules = boot.modules().await;
    let identity = boot.identity().await;
    let (learn, learnt) = watch::channel(Learnt::default());
    let (network, mut events) = boot.network(&told.settings, modules.clone());
    let status = network.as_ref().map_or_else(|| watch::channel(Status::default()).1, Network::status);
    // From the first carrier on: many switches speak at once when a link comes up.
    beside(lldp::listen(status.clone(), learn.clone()));
    if let Some(network) = network.as_ref().filter(|_| told.settings.net == NetPlan::Ask) {
        let power = requests.as_mut();
        if let Err(power) = boot.by_hand(network, &mut events, &mut told.settings, power).await {
            return power;
        }
    }
    if network.is_some() {
        boot.addresses(status.clone(), &mut events).await;
    }
    boot.clock(told.settings.built_at);
    let hardware = boot.hardware(learnt).await;
    if hardware.lasting().bmc.present {
        beside(async move { bmc::learn(modules, &learn).await });
    }
    let trust = boot.trust(&told.settings);
    let (proxy, road) = watch::channel(told.settings.proxy.clone());
    boot.tools(Way {
        servers: told.settings.servers.clone(),
        trust: trust.clone(),
        proxy: road.clone(),
        network: status.clone(),
    });
    let mut client = Client::new(identity.clone(), trust, road, status.clone());
    let (standing, stands) = watch::channel(Standing::default());
    beside(handover::serve(FOLDER.into(), identity.clone(), stands));
    let kernel = told.settings.console.verbose.then(kmsg::Reader::open).and_then(|reader| boot.note(reader));
    let luggage = Luggage {
        settings: told.settings,
        token: told.token,
        image_id: told.image_id,
        origin: told.origin,
        boot_id: boot.note(boot_id()).unwrap_or_default(),
        identity,
        hardware,
        statement: None,
        belongings: None,
        standing,
        problems: boot.problems,
    };
    let news = News { network: status, events, power: requests, kernel };
    let desk = Desk::new(Levers { network, proxy });
    let runner = Child::new(reaper);
    Driver::new(luggage, news, (desk, runner), boot.console, boot.uptime).run(&mut client).await.power
}

/// What the command line and the medium say.
struct Told {
    settings: Settings,
    token: TokenPlan,
    image_id: Option<String>,
    origin: Origin,
}

/// The boot so far.
struct Boot {
    uptime: Uptime,
    console: Console,
    /// The phase under way, counted from 0.
    at: usize,
    problems: Vec<String>,
}

impl Boot {
    /// The first phase is done when this begins: there was no clock or screen before it.
    fn begin(problems: Vec<String>) -> Self {
        let mut boot = Self { uptime: Uptime::begin(), console: Console::default(), at: 0, problems };
        boot.milestone("init", concat!("Muster agent ", env!("CARGO_PKG_VERSION")));
        boot.show("");
        boot
    }

    fn phase(&self) -> Phase {
        PHASES.get(self.at).copied().unwrap_or(phase("boot", 60))
    }

    /// Goes on to the next phase.
    fn enter(&mut self, name: &'static str) {
        self.at = PHASES.iter().position(|phase| phase.name == name).unwrap_or(self.at);
        self.show("");
    }

    fn show(&mut self, detail: &str) {
        let screen = Screen {
            headline: Headline::Booting {
                phase: self.phase().name,
                number: self.at + 1,
                of: PHASES.len(),
                detail: detail.to_owned(),
            },
            trouble: None,
            notes: Vec::new(),
            facts: Facts::default(),
            problems: self.problems.clone(),
            remarks: Vec::new(),
        };
        let now = self.uptime.now();
        for line in self.console.show(now, &screen) {
            // The kernel log is a copy; a machine without one has the console.
            drop(kmsg::say(&line));
        }
    }

    fn milestone(&mut self, name: &str, text: &str) {
        self.console.say(self.uptime.now(), &format!("{name}: {text}"));
    }

    /// Keeps what went wrong in sight and goes on.
    fn note<T, E: std::error::Error>(&mut self, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(chain(&error));
                self.show("");
                None
            }
        }
    }

    fn console(&mut self) -> (Option<Requests>, Option<Reaper>) {
        self.enter("console");
        let unopened = self.console.open(&ConsoleMode::default());
        self.problems.extend(unopened);
        let quiet = kmsg::set_chatter(Chatter::Emergencies);
        self.note(quiet);
        let keys = power::take_ctrl_alt_del();
        self.note(keys);
        let requests = Requests::listen();
        let reaper = Reaper::start();
        // The collector runs as long as the agent: nobody waits for it.
        (self.note(requests), self.note(reaper).map(|(reaper, _collector)| reaper))
    }

    fn settings(&mut self) -> Told {
        self.enter("settings");
        let line = self.note(std::fs::read("/proc/cmdline")).map(text_of).unwrap_or_default();
        let args = KernelArgs::parse(&line);
        let path = Path::new("/").join(CONFIG_PATH);
        let config = self.note(read_config(&path)).flatten();
        let holds_secrets =
            |config: &AgentConfig| config.token.is_some() || config.nonce.is_some() || config.proxy.is_some();
        if config.as_ref().is_some_and(holds_secrets) {
            let removed = std::fs::remove_file(path);
            self.note(removed);
        }
        let settings = Settings::combine(&args, config.as_ref());
        let token = TokenPlan::of(&settings, &line);
        if token == TokenPlan::Absent && line.trim_end().len() >= MAX_CMDLINE {
            let full =
                format!("kernel command line is full with {MAX_CMDLINE} bytes: what did not fit is lost");
            self.problems.push(full);
        }
        // Before any program but this one runs.
        self.hide_secrets(line);
        self.problems.extend(settings.problems.iter().cloned());
        let unopened = self.console.open(&settings.console);
        self.problems.extend(unopened);
        let from_line = if args.servers.is_empty() { Origin::Iso } else { Origin::Pxe };
        Told {
            token,
            origin: config.as_ref().and_then(|config| config.origin).unwrap_or(from_line),
            image_id: config.and_then(|config| config.image_id),
            settings,
        }
    }

    /// Covers what the kernel shows of its command line, where that holds a secret
    /// (`spec/security.md` 3.5).
    fn hide_secrets(&mut self, line: String) {
        let redacted = redact(&line);
        if redacted == line {
            return;
        }
        wipe(line);
        let covered = mounts::cover_cmdline(&redacted);
        self.note(covered);
        let scrubbed = kmsg::scrub();
        self.note(scrubbed);
    }

    /// The shell of the rescue menu entry, beside the agent and never instead of it.
    fn rescue(&mut self, mode: &ConsoleMode, reaper: Option<Reaper>) {
        let Some(reaper) = reaper.filter(|_| mode.rescue) else { return };
        let chatty = kmsg::set_chatter(Chatter::Warnings);
        self.note(chatty);
        let unpacked = unpack_shell(Path::new("/bin"));
        self.note(unpacked);
        for terminal in ["/dev/tty1", "/dev/ttyS0"] {
            let reaper = reaper.clone();
            runtime::beside(async move {
                // Until there is no such terminal; a shell that ends is started again.
                while let Ok(mut shell) = reaper.spawn_shell(Path::new(terminal)) {
                    shell.wait().await;
                    tokio::time::sleep(SHELL_AGAIN).await;
                }
            });
        }
    }

    /// Loads drivers; the loader goes on with devices that come later.
    async fn modules(&mut self) -> Option<Modules> {
        self.enter("modules");
        let loader = match spawn_blocking(Loader::of_running_kernel).await {
            Ok(loader) => self.note(loader),
            Err(error) => self.note(Err(error)),
        };
        let modules = loader.and_then(|loader| self.note(Modules::start(loader)))?;
        // Opened first: a device that appears while the walk is under way is not missed.
        let listener = Listener::open();
        self.coldplug(&modules).await;
        if let Some(listener) = self.note(listener) {
            let modules = modules.clone();
            beside(async move { modules.follow(listener).await });
        }
        let efivars = mounts::mount_efivars();
        self.note(efivars);
        Some(modules)
    }

    /// Loads drivers for what is there, and shows how far it has come.
    async fn coldplug(&mut self, modules: &Modules) {
        let mut progress = modules.progress();
        let work = modules.coldplug(self.phase().limit);
        tokio::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                Ok(()) = progress.changed() => {
                    let seen = progress.borrow_and_update().clone();
                    self.show(&format!("{} modules loaded, {}", seen.loaded, seen.current));
                }
            }
        };
        if let Some(summary) = self.note(outcome) {
            let text = format!("{} loaded for {} devices", summary.loaded, summary.aliases);
            self.milestone("modules", &text);
            for failure in &summary.failures {
                self.console.say(self.uptime.now(), failure);
            }
        }
    }

    /// Brings the links up; what they are given comes by itself. Without a network the status
    /// stays as it is, no link, and E10 says so.
    fn network(
        &mut self,
        settings: &Settings,
        modules: Option<Modules>,
    ) -> (Option<Network>, mpsc::Receiver<NetEvent>) {
        self.enter("network");
        match self.note(Network::start(settings.net.clone(), None, modules)) {
            Some((network, events)) => (Some(network), events),
            None => (None, mpsc::channel(1).1),
        }
    }

    /// Lets the person at the console say how the network is set up.
    async fn by_hand(
        &mut self,
        network: &Network,
        events: &mut mpsc::Receiver<NetEvent>,
        settings: &mut Settings,
        power: Option<&mut Requests>,
    ) -> Result<(), Power> {
        let choice = by_hand::ask(&mut self.console, self.uptime, network.status(), events, power).await?;
        let plan = match choice {
            Some(choice) => {
                settings.proxy = choice.proxy.or(settings.proxy.take());
                choice.plan
            }
            None => NetPlan::Automatic,
        };
        network.replan(plan).await;
        self.show("");
        Ok(())
    }

    /// Waits for an address, for as long as a boot waits for one.
    async fn addresses(
        &mut self,
        mut status: watch::Receiver<Status>,
        events: &mut mpsc::Receiver<NetEvent>,
    ) {
        let carriers = status.clone();
        let (limit, first_carrier) = (sleep(self.phase().limit), sleep(CARRIER_WITHIN));
        tokio::pin!(limit, first_carrier);
        loop {
            tokio::select! {
                () = &mut first_carrier, if !first_carrier.is_elapsed() => {
                    // E10 says it, and what can be done; a cable plugged in later is noticed.
                    if !carriers.borrow().links.iter().any(|link| link.has_carrier) {
                        break;
                    }
                }
                ready = status.wait_for(|status| status.is_ready()) => {
                    // An error is a network task that ended, which the status shows from now on.
                    drop(ready);
                    break;
                }
                Some(event) = events.recv() => self.console.say(self.uptime.now(), &told(&event)),
                // Not a problem to keep in sight: E10 or E12 follow with more to say.
                () = &mut limit => {
                    self.console.say(self.uptime.now(), &Overdue(self.phase()).to_string());
                    break;
                }
            }
        }
    }

    fn trust(&mut self, settings: &Settings) -> Trust {
        let extra = self.note(ExtraCa::new(&settings.ca, settings.server_id.as_deref())).flatten();
        Trust { pins: settings.ca_hash.clone(), extra }
    }

    /// Lets root's programs ask for what the image leaves out.
    fn tools(&mut self, way: Way) {
        let ticket = tools::ticket(&Path::new("/").join(TICKET_PATH));
        if let Some(ticket) = self.note(ticket).flatten() {
            beside(tools::door::serve(Source::new(ticket, way)));
        }
    }

    fn clock(&mut self, built_at: Option<u64>) {
        self.enter("clock");
        let verdict = clock::apply_floor(built_at);
        let words = match self.note(verdict) {
            Some(Verdict::Kept) | None => return,
            Some(Verdict::Raised) => "was behind the medium, set to the time the medium was made",
            Some(Verdict::Distrusted) => "is absurdly ahead, set to the time the medium was made",
            Some(Verdict::NoFloor) => "cannot be judged, the medium does not say when it was made",
        };
        self.milestone("clock", words);
    }

    async fn identity(&mut self) -> Arc<Identity> {
        self.enter("identity");
        let handed_over =
            Identity::handed_over(&Path::new("/").join(RAMDISK_KEY), KeyStore::of_this_machine());
        if let Some(identity) = self.note(handed_over).flatten() {
            self.milestone("identity", "the key of the system that this one was started from");
            return Arc::new(identity);
        }
        let (identity, problem) = loop {
            let made = spawn_blocking(|| Identity::establish(KeyStore::of_this_machine()));
            let failed = match self.phase().bound(made).await {
                Ok(Ok(Ok(established))) => break established,
                Ok(Ok(Err(error))) => chain(&error),
                Ok(Err(error)) => chain(&error),
                // Without a key there is nothing to go on with: the kernel still gathers
                // randomness on machines without a hardware source.
                Err(_) => {
                    let waiting = "waiting for the kernel to gather randomness";
                    self.console.say(self.uptime.now(), waiting);
                    self.show(waiting);
                    continue;
                }
            };
            if !self.problems.contains(&failed) {
                self.problems.push(failed);
                self.show("");
            }
            sleep(KEY_AGAIN).await;
        };
        self.problems.extend(problem);
        Arc::new(identity)
    }

    async fn hardware(&mut self, learnt: watch::Receiver<Learnt>) -> Hardware {
        let late = learnt.clone();
        let hardware = spawn_blocking(move || Hardware::survey(late)).await;
        self.note(hardware).unwrap_or_else(|| Hardware::unknown(learnt))
    }
}

/// Work that the boot does not wait for. Why it ended is for whoever reads the kernel log: the
/// machine goes on without.
fn beside<E: std::error::Error>(work: impl Future<Output = Result<(), E>> + Send + 'static) {
    runtime::beside(async move {
        if let Err(error) = work.await {
            // The kernel log is a copy; a machine without one has the console.
            drop(kmsg::say(&chain(&error)));
        }
    });
}

/// The kernel's id of this boot.
pub(crate) fn boot_id() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// The kernel command line as text. A loader passes on whatever bytes it is given: those that are
/// none cost their own argument, not the line.
fn text_of(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Why the medium's config cannot be used.
#[derive(Debug, thiserror::Error)]
enum ReadConfigError {
    #[error("cannot read the medium's config")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Parse(#[from] protocol::config::ConfigError),
}

/// The medium's config; `None` on an initrd that carries none.
fn read_config(path: &Path) -> Result<Option<AgentConfig>, ReadConfigError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReadConfigError::Read(error)),
    };
    let limit = u64::try_from(MAX_CONFIG_LEN).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(ReadConfigError::Read)?;
    Ok(Some(AgentConfig::parse(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_numbered_by_the_table() {
        let names: Vec<&str> = PHASES.iter().map(|phase| phase.name).collect();
        assert_eq!(names, ["mounts", "console", "settings", "modules", "identity", "network", "clock"]);
        assert!(PHASES.iter().all(|phase| phase.limit <= Duration::from_secs(60)));
    }

    #[test]
    fn a_byte_that_is_no_text_costs_nothing_else_of_the_command_line() {
        let args = KernelArgs::parse(&text_of(b"place=b\xe4r muster.server=https://a:1\n".to_vec()));
        assert_eq!(args.servers.len(), 1);
    }

    #[test]
    fn a_missing_config_is_none_and_a_broken_one_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        assert!(read_config(&path).unwrap().is_none());
        std::fs::write(&path, "{").unwrap();
        assert!(read_config(&path).unwrap_err().to_string().starts_with("embedded config is not valid"));
        std::fs::write(&path, r#"{"version":1,"server":["https://10.0.2.2:8092"]}"#).unwrap();
        assert_eq!(read_config(&path).unwrap().unwrap().server.len(), 1);
    }
}
