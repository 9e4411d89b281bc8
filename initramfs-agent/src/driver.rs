//! The only loop: waits for whatever comes first, tells the flow, does what it says, shows how
//! things stand. It decides nothing itself.

mod children;

use crate::api::{Answer, Api, Call, CallError, ConnectError};
use crate::by_hand::{Desk, KEYS_EVERY};
use crate::clock;
use crate::console::screen::Headline;
use crate::console::{Console, Key};
use crate::deadline::Uptime;
use crate::handover::Standing;
use crate::identity::{Identity, sha256};
use crate::inventory::Hardware;
use crate::jitter::random;
use crate::kmsg;
use crate::net::{NetEvent, Status};
use crate::power::{Power, Requests};
use crate::report::chain;
use crate::runner::child::{Child, Ended, Report};
use crate::service::{Belongings, DISK};
use crate::state::{Action, Ask, Fault, Flow, Observation, Plan, Stage, TokenPlan, Voucher};
use crate::view::{Surroundings, compose, net_view, told};
use children::Order;
use protocol::agent_api::{
    AgentState, EnrollmentAnswer, EnrollmentRequest, HeartbeatRequest, Origin, RegisterRequest,
};
use protocol::config::Settings;
use protocol::inventory::{Inventory, MAX_INVENTORY};
use protocol::nonce::BootNonce;
use protocol::token::{BootstrapToken, base64url};
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, interval, sleep_until, timeout};

/// How often the countdown moves and keys are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long an errand may take beyond what it waits for; below the flow's own limit.
const ERRAND_LIMIT: Duration = Duration::from_secs(40);
/// Most sentences about what is wrong that are kept in sight.
const MAX_PROBLEMS: usize = 32;
/// How long a goodbye to the server may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(3);

/// How the agent's work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// What was asked for.
    pub(crate) power: Power,
    /// The boot environment that the machine is to be in, as the server said to its goodbye.
    pub(crate) boot_env: Option<String>,
}

/// What the agent brings along from its boot.
#[derive(Debug)]
pub(crate) struct Luggage {
    /// What it was told. Token and nonce in it are taken out by the driver.
    pub(crate) settings: Settings,
    /// Whether the token arrived.
    pub(crate) token: TokenPlan,
    /// Id of the personalised medium.
    pub(crate) image_id: Option<String>,
    /// How it was booted.
    pub(crate) origin: Origin,
    /// The kernel's id of this boot, or empty.
    pub(crate) boot_id: String,
    /// Its key.
    pub(crate) identity: Arc<Identity>,
    /// What the machine is made of.
    pub(crate) hardware: Hardware,
    /// The earlier key's statement about it.
    pub(crate) statement: Option<String>,
    /// What an installed system keeps for the agent; none in the boot image.
    pub(crate) belongings: Option<Belongings>,
    /// Where others see how the machine stands.
    pub(crate) standing: watch::Sender<Standing>,
    /// Sentences to keep in sight.
    pub(crate) problems: Vec<String>,
}

/// Where news comes from.
#[derive(Debug)]
pub(crate) struct News {
    /// How the network stands.
    pub(crate) network: watch::Receiver<Status>,
    /// What happened to it.
    pub(crate) events: mpsc::Receiver<NetEvent>,
    /// Requests to restart or switch off; none where signals cannot be heard.
    pub(crate) power: Option<Requests>,
    /// The kernel's messages, in verbose mode.
    pub(crate) kernel: Option<kmsg::Reader>,
}

/// One piece of news.
#[derive(Debug)]
enum Event {
    Network,
    Told(NetEvent),
    Kernel(kmsg::Line),
    KernelSilent,
    Power(Power),
    /// The runner said a line.
    Said(String),
    /// The runner ended.
    Ended(Ended),
    /// The machine's side of a terminal told something.
    Terminal(Report),
    /// The member of a mesh network did.
    Member(Report),
    Tick,
    Wake,
}

/// What calls are made of; cheap to clone, so that an errand borrows nothing of the driver.
#[derive(Clone)]
struct Brief {
    luggage: Arc<Luggage>,
    network: watch::Receiver<Status>,
    vouchers: Arc<Mutex<Vouchers>>,
}

/// What registers the machine without a person, each until it is of no more use.
#[derive(Debug, Default)]
struct Vouchers {
    token: Option<BootstrapToken>,
    nonce: Option<BootNonce>,
    statement: Option<String>,
}

/// What a request to register carries of them: one, the others empty.
#[derive(Debug, Default)]
struct Words {
    token: String,
    nonce: String,
    statement: String,
}

impl Vouchers {
    /// Its memory is overwritten when it is dropped.
    fn forget(&mut self, voucher: Voucher) {
        match voucher {
            Voucher::Token => drop(self.token.take()),
            Voucher::Nonce => drop(self.nonce.take()),
            Voucher::Statement => drop(self.statement.take()),
        }
    }

    /// The words of the request that registers by this one.
    fn words(&self, voucher: Voucher) -> Option<Words> {
        let none = Words::default();
        Some(match voucher {
            Voucher::Token => Words { token: self.token.as_ref()?.reveal().to_owned(), ..none },
            Voucher::Nonce => Words { nonce: self.nonce.as_ref()?.reveal(), ..none },
            Voucher::Statement => Words { statement: self.statement.clone()?, ..none },
        })
    }
}

/// The agent at work.
pub(crate) struct Driver {
    flow: Flow,
    console: Console,
    uptime: Uptime,
    around: Surroundings,
    brief: Brief,
    news: News,
    desk: Desk,
    runner: Child,
    terminal: Child,
    member: Child,
    ticks: Interval,
}

impl Driver {
    /// An agent that begins its work with what the boot found.
    pub(crate) fn new(
        mut luggage: Luggage,
        news: News,
        (desk, runner): (Desk, Child),
        console: Console,
        uptime: Uptime,
    ) -> Self {
        let vouchers = Vouchers {
            token: luggage.settings.token.take(),
            nonce: luggage.settings.nonce.take(),
            statement: luggage.statement.take(),
        };
        let plan = Plan {
            servers: luggage.settings.servers.len(),
            pins: luggage.settings.ca_hash.clone(),
            has_authorities: !luggage.settings.ca.is_empty(),
            built_at: luggage.settings.built_at.unwrap_or_default(),
            token: luggage.token,
            has_nonce: vouchers.nonce.is_some(),
            has_statement: vouchers.statement.is_some(),
        };
        let around = Surroundings {
            servers: luggage.settings.servers.iter().map(ToString::to_string).collect(),
            inventory: luggage.hardware.lasting().clone(),
            network: news.network.borrow().clone(),
            problems: luggage.problems.clone(),
            ..Surroundings::default()
        };
        Self {
            flow: Flow::new(plan, uptime.now()),
            console,
            uptime,
            around,
            brief: Brief {
                luggage: Arc::new(luggage),
                network: news.network.clone(),
                vouchers: Arc::new(Mutex::new(vouchers)),
            },
            news,
            desk,
            terminal: runner.another(),
            member: runner.another(),
            runner,
            ticks: interval(TICK),
        }
    }

    /// Works until somebody asks for power, and says goodbye to the server.
    pub(crate) async fn run<A: Api>(mut self, api: &mut A) -> Left {
        // What an installed system was before its restart it is again before the server is reached.
        if let Some(folder) = self.known_mesh() {
            self.member.start_member(None, folder);
        }
        let view = net_view(&self.around.network);
        let mut errand = self.observe(Observation::Net(view));
        let power = loop {
            let outcome = match errand.take() {
                Some(errand) => self.busy(api, errand).await,
                None => self.idle().await,
            };
            match outcome {
                Ok(next) => errand = next,
                Err(power) => break power,
            }
        };
        let now = self.uptime.now();
        let mut screen = compose(&self.flow, &self.around, now);
        screen.headline = Headline::Stopping(leaving(power));
        self.console.show(now, &screen);
        // A server that does not hear it notices by itself, a minute later.
        let boot_env = match timeout(GOODBYE_LIMIT, self.say_goodbye(api)).await {
            Ok(Ok(Answer::Heartbeat(answer))) => Some(answer.boot_env).filter(|name| !name.is_empty()),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        };
        Left { power, boot_env }
    }

    /// Waits for news while no errand is under way.
    async fn idle(&mut self) -> Result<Option<Action>, Power> {
        let wake = self.uptime.instant(self.flow.wake());
        let children = (&mut self.runner, &mut self.terminal, &mut self.member);
        let event = self.news.next(&mut self.ticks, wake, children).await;
        self.handle(event)
    }

    /// Runs an errand, handling what happens meanwhile. When the flow has given the errand up
    /// and wants another, it is dropped.
    async fn busy<A: Api>(&mut self, api: &mut A, errand: Action) -> Result<Option<Action>, Power> {
        let work = perform(api, errand, self.brief.clone());
        tokio::pin!(work);
        loop {
            let wake = self.uptime.instant(self.flow.wake());
            let children = (&mut self.runner, &mut self.terminal, &mut self.member);
            tokio::select! {
                observed = &mut work => return Ok(observed.and_then(|observed| self.observe(observed))),
                event = self.news.next(&mut self.ticks, wake, children) => {
                    if let Some(next) = self.handle(event)? {
                        return Ok(Some(next));
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<Option<Action>, Power> {
        match event {
            Event::Power(power) => return Err(power),
            Event::Network => {
                self.around.network = self.news.network.borrow_and_update().clone();
                self.desk.look(&self.around.network);
                self.publish_names();
                return Ok(self.observe(Observation::Net(net_view(&self.around.network))));
            }
            Event::Wake => return Ok(self.observe(Observation::Tick)),
            Event::Tick => return Ok(self.attend()),
            Event::Said(line) => {
                self.console.say(self.uptime.now(), &line);
                self.around.work = Some(line);
                self.show();
            }
            Event::Ended(ended) => return self.see_end(ended),
            Event::Terminal(Report::Said(line)) | Event::Member(Report::Said(line)) => {
                self.console.say(self.uptime.now(), &line);
            }
            Event::Member(Report::Ended(ended)) => return Ok(self.see_member_end(&ended)),
            Event::Terminal(Report::Ended(Ended::Badly(why))) => {
                self.console.say(self.uptime.now(), &format!("no terminal: {why}"));
            }
            Event::Terminal(Report::Ended(Ended::Well { .. })) => {}
            Event::Told(event) => self.console.say(self.uptime.now(), &told(&event)),
            // Its log holds our own lines too; they were said already.
            Event::Kernel(line) if line.text.starts_with("muster-agent:") => {}
            Event::Kernel(line) => {
                let at = Duration::from_micros(line.uptime_us).as_secs_f64();
                self.console.print(&[format!("[{at:7.2}] kernel<{}>: {}", line.level, line.text)]);
            }
            Event::KernelSilent => {
                self.news.kernel = None;
                self.console.say(self.uptime.now(), "kernel messages can no longer be read");
            }
        }
        Ok(None)
    }

    /// Looks at the keyboard: the form's while one is open, else R and N.
    fn attend(&mut self) -> Option<Action> {
        let keys = self.console.attend();
        let now = self.uptime.now();
        let pressed = |wanted: [char; 2]| keys.iter().any(|key| wanted.map(Key::Char).contains(key));
        let by_hand_helps = || self.flow.trouble().is_some_and(Fault::is_of_network);
        if self.desk.is_open() {
            self.desk.press(&keys, &mut self.console, now);
            if !self.desk.is_open() {
                self.ticks = interval(TICK);
            }
        } else if pressed(['r', 'R']) {
            return self.observe(Observation::AskAgain);
        } else if pressed(['n', 'N']) && by_hand_helps() {
            self.desk.open(&self.around.network, &mut self.console, now);
            self.ticks = interval(KEYS_EVERY);
        }
        self.show();
        None
    }

    /// Tells the flow, does what is quick, returns the errand if there is one.
    fn observe(&mut self, mut observed: Observation) -> Option<Action> {
        if let Observation::Answered(Ok(Answer::Heartbeat(answer))) = &mut observed {
            // What is left of a network that the server knows nothing of any more is taken down by a member, too.
            answer.mesh |= self.known_mesh().is_some();
        }
        self.learn(&observed);
        let actions = self.flow.step(self.uptime.now(), random(), observed);
        let mut errand = None;
        for action in actions {
            match action {
                Action::SetClock(seconds) => self.set_clock(seconds),
                Action::Forget(voucher) => self.forget(voucher),
                Action::KeepKey => self.remember(self.brief.luggage.identity.keep()),
                Action::StartRunner { server, machine, ticket } => {
                    self.start(server, machine, Order::Runner(&ticket));
                }
                Action::StartMember { server, machine, ticket } => {
                    self.start(server, machine, Order::Member(&ticket));
                }
                Action::Connect { .. } | Action::Send(_) => errand = Some(action),
            }
        }
        self.show();
        errand
    }

    /// An installed system keeps its own time.
    fn set_clock(&mut self, seconds: u64) {
        if self.brief.luggage.belongings.is_none() {
            self.remember(clock::correct(seconds));
        }
    }

    fn forget(&mut self, voucher: Voucher) {
        self.brief.vouchers().forget(voucher);
        if let Some(belongings) = &self.brief.luggage.belongings {
            self.remember(belongings.forget(voucher));
        }
    }

    /// Lets other programs of the machine see how it stands.
    fn publish(&self) {
        let standing = standing(&self.flow);
        self.brief.luggage.standing.send_if_modified(|known| {
            let server_id = self.flow.peer().map_or(&known.server_id, |peer| &peer.server_id).clone();
            let now = Standing { server_id, ..standing };
            let is_news = *known != now;
            *known = now;
            is_news
        });
    }

    /// Notes what the screen shows beside the flow: who the server is.
    fn learn(&mut self, observed: &Observation) {
        match observed {
            Observation::Connected(Ok(peer)) => {
                let check = Some(self.brief.luggage.identity.fingerprint(&peer.server_id));
                // The same server again keeps the name it gave itself.
                if check != self.around.check {
                    self.around.check = check;
                    self.around.server_name = Some(peer.server_id.clone());
                }
            }
            Observation::Answered(Ok(Answer::Enrollment(EnrollmentAnswer::AuthorizationPending(
                pending,
            )))) if !pending.server_name.is_empty() => {
                self.around.server_name = Some(pending.server_name.clone());
            }
            Observation::Answered(Ok(Answer::Heartbeat(answer))) => {
                self.runner.trust(&answer.ca_hash);
                let belongings = self.brief.luggage.belongings.as_ref();
                if let Some(belongings) = belongings.filter(|_| answer.boot_env == DISK) {
                    self.remember(belongings.is_home());
                }
                if let Some(ticket) = &answer.terminal {
                    self.start_terminal(ticket);
                }
            }
            Observation::Net(_)
            | Observation::Connected(_)
            | Observation::Answered(_)
            | Observation::RunnerEnded { .. }
            | Observation::MemberEnded { .. }
            | Observation::AskAgain
            | Observation::Tick => {}
        }
    }

    /// Lets the programs of tasks look up names as the agent does.
    fn publish_names(&mut self) {
        let dns = self.around.network.dns();
        let outcome = self.runner.publish_names(&dns);
        self.remember(outcome);
    }

    fn remember<E: std::error::Error>(&mut self, outcome: Result<(), E>) {
        if let Err(error) = outcome {
            let problem = chain(&error);
            // There may be a server's number in it, another every time.
            if !self.around.problems.contains(&problem) && self.around.problems.len() < MAX_PROBLEMS {
                self.around.problems.push(problem);
            }
        }
    }

    fn show(&mut self) {
        self.publish();
        let now = self.uptime.now();
        if self.desk.show(&mut self.console, now) {
            return;
        }
        self.around.switches = self.brief.luggage.hardware.switches();
        let said = self.console.show(now, &compose(&self.flow, &self.around, now));
        if self.news.kernel.is_none() {
            for line in said {
                // The kernel log is a copy; a machine without one has the console.
                drop(kmsg::say(&line));
            }
        }
    }

    /// Takes the request back, or tells the server that this is no failure.
    async fn say_goodbye<A: Api>(&self, api: &mut A) -> Result<Answer, CallError> {
        match self.flow.stage() {
            Stage::Show(shown) => api.send(Call::Cancel(shown.id)).await,
            Stage::Run(_) => {
                let request = HeartbeatRequest::goodbye();
                api.send(Call::Heartbeat { request, wait: Duration::ZERO }).await
            }
            Stage::Ask { .. } | Stage::Enrol { .. } | Stage::Denied { .. } => Ok(Answer::Cancelled),
        }
    }
}

impl News {
    /// The next piece of news. Cancel safe: every source is.
    async fn next(
        &mut self,
        ticks: &mut Interval,
        wake: tokio::time::Instant,
        (runner, terminal, member): (&mut Child, &mut Child, &mut Child),
    ) -> Event {
        tokio::select! {
            report = terminal.next() => Event::Terminal(report),
            report = member.next() => Event::Member(report),
            report = runner.next() => match report {
                Report::Said(line) => Event::Said(line),
                Report::Ended(ended) => Event::Ended(ended),
            },
            power = optional(self.power.as_mut().map(Requests::next)) => Event::Power(power),
            Ok(()) = self.network.changed() => Event::Network,
            Some(event) = self.events.recv() => Event::Told(event),
            line = optional(self.kernel.as_mut().map(kmsg::Reader::next)) => {
                line.map_or(Event::KernelSilent, Event::Kernel)
            }
            _ = ticks.tick() => Event::Tick,
            () = sleep_until(wake) => Event::Wake,
        }
    }
}

async fn optional<T>(source: Option<impl Future<Output = T>>) -> T {
    match source {
        Some(source) => source.await,
        None => pending().await,
    }
}

/// Runs one errand to its end and reports it.
async fn perform<A: Api>(api: &mut A, errand: Action, brief: Brief) -> Option<Observation> {
    match errand {
        Action::Connect { server, clock } => {
            let late = || ConnectError::Unreachable("no answer in time".to_owned());
            let result = match brief.luggage.settings.servers.get(server) {
                Some(url) => {
                    timeout(ERRAND_LIMIT, api.connect(url, clock)).await.unwrap_or_else(|_| Err(late()))
                }
                None => Err(ConnectError::Unreachable("there is no such server".to_owned())),
            };
            Some(Observation::Connected(result))
        }
        Action::Send(ask) => {
            let held = ask.held();
            let late = || ConnectError::Unreachable("no answer in time".to_owned()).into();
            let call = async {
                let call = brief.call(ask).await;
                api.send(call).await
            };
            let result = timeout(held + ERRAND_LIMIT, call).await.unwrap_or_else(|_| Err(late()));
            Some(Observation::Answered(result))
        }
        Action::SetClock(_)
        | Action::Forget(_)
        | Action::KeepKey
        | Action::StartRunner { .. }
        | Action::StartMember { .. } => None,
    }
}

impl Brief {
    fn vouchers(&self) -> MutexGuard<'_, Vouchers> {
        self.vouchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call with everything it is made of.
    async fn call(&self, ask: Ask) -> Call {
        let Luggage { origin, image_id, .. } = self.luggage.as_ref();
        // A copy only for the one call that carries it.
        let words = match &ask {
            Ask::Register(voucher) => self.vouchers().words(*voucher),
            Ask::Time
            | Ask::Enroll
            | Ask::Poll { .. }
            | Ask::AccessToken { .. }
            | Ask::Heartbeat { .. }
            | Ask::Runner
            | Ask::Member => None,
        };
        match (ask, words) {
            (Ask::Time, _) => Call::Time,
            (Ask::Register(_), Some(Words { token, nonce, statement })) => Call::Register(RegisterRequest {
                token,
                nonce,
                statement,
                inventory: self.inventory().await.fit(MAX_INVENTORY),
                origin: *origin,
            }),
            (Ask::Enroll | Ask::Register(_), _) => Call::Enroll(EnrollmentRequest {
                inventory: self.inventory().await.fit(MAX_INVENTORY),
                origin: *origin,
                image_id: image_id.clone(),
            }),
            (Ask::Poll { id, wait }, _) => Call::Poll { id, wait },
            (Ask::AccessToken { nonce }, _) => Call::AccessToken { nonce },
            (Ask::Runner | Ask::Member, _) => Call::Runner,
            (Ask::Heartbeat { wait, inventory, working }, _) => {
                let observed = self.inventory().await;
                let request = HeartbeatRequest {
                    state: AgentState::Discovery,
                    inventory_digest: digest(&observed),
                    observed: inventory.then_some(observed),
                    boot_id: self.luggage.boot_id.clone(),
                    working,
                    installed: self.luggage.belongings.is_some(),
                };
                Call::Heartbeat { request, wait }
            }
        }
    }

    /// What the machine is made of now: disks, links and neighbours come and go.
    async fn inventory(&self) -> Inventory {
        let luggage = self.luggage.clone();
        // A collector that panics has ended the machine already; what lasts will do where there
        // is no thread to collect on.
        let found = tokio::task::spawn_blocking(move || luggage.hardware.inventory()).await;
        let mut inventory = found.unwrap_or_else(|_| self.luggage.hardware.lasting().clone());
        inventory.host_name = self.network.borrow().host_name().unwrap_or_default();
        inventory.clean();
        inventory
    }
}

/// How the machine stands, but for its key and server.
fn standing(flow: &Flow) -> Standing {
    let fault = flow.trouble().or_else(|| flow.notes().last());
    let reason = fault.map(|fault| format!("{} {fault}", fault.code())).unwrap_or_default();
    let none = Standing::default();
    match flow.stage() {
        Stage::Run(running) => {
            let machine = &running.approved.machine;
            Standing { machine: Some(machine.uuid), name: machine.name.clone(), ..none }
        }
        Stage::Show(shown) => Standing { reason, code: shown.code.to_string(), ..none },
        Stage::Denied { message, .. } => Standing { reason: format!("E30 denied: {message}"), ..none },
        Stage::Ask { .. } | Stage::Enrol { .. } => Standing { reason, ..none },
    }
}

/// SHA-256 of the inventory's JSON, by which the server knows whether it has it.
fn digest(inventory: &Inventory) -> String {
    base64url(&sha256(&serde_json::to_vec(inventory).unwrap_or_default()))
}

fn leaving(power: Power) -> &'static str {
    match power {
        Power::Reboot => "restarting",
        Power::Off => "switching off",
        Power::Halt => "stopping",
    }
}

#[cfg(test)]
mod tests;
