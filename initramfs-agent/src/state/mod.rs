//! What to do next: the agent's state machine, pure. Observations go in, actions come out;
//! `now` (time since boot) and `random` are arguments. Nothing here waits, reads or sends.
//!
//! Three things are true at once and change on their own: the network ([`NetView`]), the
//! connection ([`Link`]) and how far the machine has come ([`Stage`]):
//!
//! ```text
//! NET -> TLS(pin) -> REGISTER or ASK -> SHOW -> ENROL -> RUN
//!          |  ^            ^                |-> DENIED
//!          v  |            +-- code ended, machine forgotten, R pressed
//!          TIME, once, when the certificate fails on time alone
//! ```
//!
//! A machine whose key the server knows is itself, whatever it asks. Else it registers by what its
//! boot brought along, statement before boot nonce before token ([`Voucher`]), and asks for a code when neither helps.
//!
//! A lost connection does not lose the stage: a code stays on the screen while its server
//! restarts. Whatever is wrong has a [`Fault`], and [`Flow::wake`] is always set, so that no
//! wait is without reason or end.

mod fault;
mod heartbeat;
mod member;
mod observe;
pub(crate) mod retry;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use fault::{Fault, Overlong};
use work::Work;

use crate::api::{ClockTrust, Peer};
use protocol::agent_api::{Approved, RunnerTicket};
use protocol::cmdline::token_cut_at;
use protocol::code::BootstrapCode;
use protocol::config::Settings;
use protocol::ids::{EnrollmentId, MachineId, SpkiPin};
use protocol::token::TokenShapeError;
use std::time::Duration;

/// Longest time the server is asked to hold a poll's answer (`spec/security.md` 2.4).
const POLL_WAIT: Duration = Duration::from_secs(25);
/// How long an errand may take beyond what it waits for, before it is given up.
const ERRAND_LIMIT: Duration = Duration::from_secs(45);
/// How long a new link may be without an address before that is called a fault.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(6);
/// How long nonce and token are kept while servers have no time for them.
const TOKEN_PATIENCE: Duration = Duration::from_secs(180);
/// How often a wait for the network, or for a new medium, is looked at again.
const RECHECK: Duration = Duration::from_secs(30);
/// A denied machine asks again by itself after this time, when nobody presses R.
const DENIED_AT_MOST: Duration = Duration::from_secs(24 * 3_600);
/// Bounds of a heartbeat interval, whatever the server says.
const INTERVAL: std::ops::RangeInclusive<u64> = 1..=300;

/// What the agent was told at boot, as far as the flow depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many servers there are to try.
    pub(crate) servers: usize,
    /// Whom to trust.
    pub(crate) pins: Vec<SpkiPin>,
    /// The medium carries CAs that may vouch for a server where no pin does.
    pub(crate) has_authorities: bool,
    /// When the medium was made, in seconds since 1970: no clock is set to an earlier time.
    pub(crate) built_at: u64,
    /// The bootstrap token's state.
    pub(crate) token: TokenPlan,
    /// A boot nonce was given, and is not used up.
    pub(crate) has_nonce: bool,
    /// The machine's earlier key vouches for this one, and that was not used yet.
    pub(crate) has_statement: bool,
}

/// What registers a machine without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// The earlier key's statement: the machine stays who it was.
    Statement,
    /// The one-time boot nonce: the machine stays who it was.
    Nonce,
    /// The bootstrap token.
    Token,
}

impl Voucher {
    /// In the order in which they are tried.
    const ALL: [Self; 3] = [Self::Statement, Self::Nonce, Self::Token];
}

/// What is known of a bootstrap token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenPlan {
    /// None was given, or it is used up.
    Absent,
    /// One was given and lost a part (E41).
    Cut,
    /// Too much was given for it to arrive, or to be accepted (E45).
    TooLong(Overlong),
    /// One of the right shape.
    Ready,
}

impl TokenPlan {
    /// What became of the token on its way here: `line` is the kernel command line.
    pub(crate) fn of(settings: &Settings, line: &str) -> Self {
        match (&settings.token, settings.token_error, token_cut_at(line)) {
            (Some(_), _, _) => Self::Ready,
            (None, Some(TokenShapeError::TooLong(length)), _) => Self::TooLong(Overlong::Token(length)),
            (None, _, Some(length)) => Self::TooLong(Overlong::CommandLine(length)),
            (None, Some(_), None) => Self::Cut,
            (None, None, None) => Self::Absent,
        }
    }
}

/// The network as the flow sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetView {
    /// No port has a carrier.
    NoLink,
    /// A carrier and no address.
    NoAddress,
    /// At least one address.
    Ready,
}

/// The connection to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// None: server number `next` is tried at `at`.
    Down {
        /// Server to try.
        next: usize,
        /// When.
        at: Duration,
    },
    /// Being made.
    Connecting {
        /// Which server.
        server: usize,
        /// When this is given up.
        until: Duration,
    },
    /// The server proved itself.
    Up {
        /// Which server.
        server: usize,
        /// Who it is.
        peer: Peer,
    },
}

/// How far the machine has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// About to register by token or to ask for a code.
    Ask {
        /// Earliest time.
        at: Duration,
    },
    /// A code is shown.
    Show(Shown),
    /// Approved: the access token is asked for.
    Enrol {
        /// The welcome.
        approved: Approved,
    },
    /// Registered.
    Run(Running),
    /// An operator said no.
    Denied {
        /// The server's sentence.
        message: String,
        /// From when asking again makes sense.
        open_at: Duration,
        /// When the machine asks by itself.
        asks_at: Duration,
    },
}

/// A code on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The enrollment.
    pub(crate) id: EnrollmentId,
    /// The code.
    pub(crate) code: BootstrapCode,
    /// When the server replaces it.
    pub(crate) expires_at: Duration,
    /// Time between the starts of two polls.
    pub(crate) interval: Duration,
    /// When the next poll is due.
    pub(crate) poll_at: Duration,
}

/// A registered machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// The server's welcome, with the present name.
    pub(crate) approved: Approved,
    /// Time between the starts of two heartbeats, before jitter.
    pub(crate) interval: Duration,
    /// When the next heartbeat is due.
    pub(crate) beat_at: Duration,
    /// When the access token is asked for anew.
    pub(crate) renew_at: Duration,
    /// The server wants the inventory with the next heartbeat.
    pub(crate) send_inventory: bool,
    /// The last heartbeat was answered.
    pub(crate) is_heard: bool,
    /// How many in a row ended before their time and were followed by another one soon.
    pub(crate) hurried: u32,
}

/// A call, as the flow asks for it: the driver adds what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The time, over a connection that is good for nothing else.
    Time,
    /// Ask for a code.
    Enroll,
    /// Register without a person.
    Register(Voucher),
    /// Poll the enrollment.
    Poll {
        /// Which.
        id: EnrollmentId,
        /// How long the server may hold the answer.
        wait: Duration,
    },
    /// An access token, over the nonce of the approval when there is one.
    AccessToken {
        /// That nonce.
        nonce: Option<String>,
    },
    /// A heartbeat.
    Heartbeat {
        /// How long the server may hold the answer.
        wait: Duration,
        /// Whether the inventory goes along.
        inventory: bool,
        /// Whether the agent knows of work: a runner is at it, or will be started.
        working: bool,
    },
    /// What a runner of the machine's jobs needs.
    Runner,
    /// What the machine needs as a member of a mesh network: the same.
    Member,
}

impl Ask {
    /// Whether it asks for what a child needs.
    fn is_for_a_ticket(&self) -> bool {
        matches!(self, Self::Runner | Self::Member)
    }

    fn is_a_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat { .. })
    }

    /// How long the server may hold the answer.
    pub(crate) fn held(&self) -> Duration {
        match self {
            Self::Poll { wait, .. } | Self::Heartbeat { wait, .. } => *wait,
            Self::Time
            | Self::Enroll
            | Self::Register(_)
            | Self::AccessToken { .. }
            | Self::Runner
            | Self::Member => Duration::ZERO,
        }
    }
}

/// What the driver is to do. At most one errand (connect or send) is ever under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connect to server number `server`; report `Connected`.
    Connect {
        /// Which server.
        server: usize,
        /// How certificates' times are judged.
        clock: ClockTrust,
    },
    /// Make a call; report `Answered`.
    Send(Ask),
    /// The clock should say so many seconds since 1970.
    SetClock(u64),
    /// It is of no more use: forget it.
    Forget(Voucher),
    /// Registered: keep the key where a reboot finds it.
    KeepKey,
    /// Start a runner for the machine; report `RunnerEnded`.
    StartRunner {
        /// Which server it talks to.
        server: usize,
        /// The machine.
        machine: MachineId,
        /// What it needs.
        ticket: RunnerTicket,
    },
    /// Start the machine as a member of a mesh network; report `MemberEnded`.
    StartMember {
        /// Which server it talks to.
        server: usize,
        /// The machine.
        machine: MachineId,
        /// What it needs.
        ticket: RunnerTicket,
    },
}

/// What happened. Built by the driver, consumed by [`Flow::step`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observation {
    /// The network changed, or not.
    Net(NetView),
    /// A connection attempt ended.
    Connected(Result<Peer, crate::api::ConnectError>),
    /// A call ended.
    Answered(Result<crate::api::Answer, crate::api::CallError>),
    /// The runner ended, or could not be started.
    RunnerEnded {
        /// It did what it was started for.
        useful: bool,
    },
    /// The member of a mesh network ended, or could not be started.
    MemberEnded {
        /// The machine is in no mesh network any more; else it is to be started again.
        left: bool,
    },
    /// `R` was pressed.
    AskAgain,
    /// [`Flow::wake`] has come.
    Tick,
}

/// The state machine.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    plan: Plan,
    net: NetView,
    /// Whether the network was ever seen, and until when its lack of an address is no fault.
    net_seen: bool,
    quiet_until: Duration,
    quiet: bool,
    link: Link,
    stage: Stage,
    work: Work,
    /// The same for the member of a mesh network.
    member: Work,
    /// A call under way, since when and until when at most.
    calling: Option<(Ask, Duration, Duration)>,
    clock: ClockTrust,
    /// Rounds without success, for the pauses between them.
    attempt: u32,
    /// What is told: the gravest fault of the last round of servers, or the last call's.
    trouble: Option<Fault>,
    /// The gravest fault of the round under way, and how many servers failed in it.
    round: Option<Fault>,
    tried: usize,
    /// Faults that were overcome and are still worth reading beside the code.
    notes: Vec<Fault>,
    /// What each server failed with when it was last tried, in the servers' order.
    failures: Vec<Option<Fault>>,
    /// Since when servers have had no time for nonce or token.
    voucher_waits_since: Option<Duration>,
    /// The token was good and left the approval to an operator.
    approval_required: bool,
    wake: Duration,
}

impl Flow {
    /// A machine that was just switched on.
    pub(crate) fn new(plan: Plan, now: Duration) -> Self {
        let unusable = match plan.token {
            TokenPlan::Cut => Some(Fault::TokenCut),
            TokenPlan::TooLong(what) => Some(Fault::TooLong(what)),
            TokenPlan::Absent | TokenPlan::Ready => None,
        };
        Self {
            failures: vec![None; plan.servers],
            plan,
            net: NetView::NoLink,
            net_seen: false,
            quiet_until: now,
            quiet: false,
            link: Link::Down { next: 0, at: now },
            stage: Stage::Ask { at: now },
            work: Work::resting(now),
            member: Work::resting(now),
            calling: None,
            clock: ClockTrust::Doubtful,
            attempt: 0,
            trouble: None,
            round: None,
            tried: 0,
            notes: unusable.into_iter().collect(),
            voucher_waits_since: None,
            approval_required: false,
            wake: now,
        }
    }

    /// Takes in one observation and says what to do now.
    pub(crate) fn step(&mut self, now: Duration, random: u64, observed: Observation) -> Vec<Action> {
        let mut actions = Vec::new();
        let held = Voucher::ALL.map(|voucher| self.holds(voucher));
        match observed {
            Observation::Net(view) => self.see_network(now, view),
            Observation::Connected(result) => self.see_connection(now, random, result),
            Observation::Answered(result) => self.see_answer(now, random, result, &mut actions),
            Observation::RunnerEnded { useful } => self.see_runner_end(now, random, useful),
            Observation::MemberEnded { left } => self.see_member_end(now, random, left),
            Observation::AskAgain => self.ask_again(now),
            Observation::Tick => self.give_up_overdue(now, random),
        }
        self.quiet = self.net == NetView::NoAddress && now < self.quiet_until;
        let spent =
            Voucher::ALL.into_iter().zip(held).filter(|(voucher, held)| *held && !self.holds(*voucher));
        actions.extend(spent.map(|(voucher, _)| Action::Forget(voucher)));
        actions.extend(self.next_errand(now, random));
        self.wake = self.next_wake(now);
        actions
    }

    /// When [`Flow::step`] wants a [`Observation::Tick`] at the latest.
    pub(crate) fn wake(&self) -> Duration {
        self.wake
    }

    /// How far the machine has come.
    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The server that proved itself, while connected.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.link {
            Link::Up { peer, .. } => Some(peer),
            Link::Down { .. } | Link::Connecting { .. } => None,
        }
    }

    /// Index of the server that is used or tried next.
    pub(crate) fn server(&self) -> usize {
        match &self.link {
            Link::Down { next: server, .. } | Link::Connecting { server, .. } | Link::Up { server, .. } => {
                *server
            }
        }
    }

    /// What stands in the way now, the nearest obstacle first.
    pub(crate) fn trouble(&self) -> Option<&Fault> {
        self.hopeless().or(match self.net {
            NetView::NoLink => Some(&Fault::NoLink),
            NetView::NoAddress => Some(&Fault::NoAddress).filter(|_| !self.quiet),
            NetView::Ready => self.trouble.as_ref(),
        })
    }

    /// Faults that were overcome, for the line beside the code.
    pub(crate) fn notes(&self) -> &[Fault] {
        &self.notes
    }

    /// What other servers than the one that is told of failed with, by their numbers: an operator
    /// who named three wants to know why the third is used.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (usize, &Fault)> {
        let told = self.trouble().map(Fault::code);
        let known =
            self.failures.iter().enumerate().filter_map(|(server, fault)| Some((server, fault.as_ref()?)));
        known.filter(move |(_, fault)| self.plan.servers > 1 && told != Some(fault.code()))
    }

    /// Whether a good token left the approval to an operator.
    pub(crate) fn approval_required(&self) -> bool {
        self.approval_required
    }

    /// When the next try is made, while there is trouble.
    pub(crate) fn next_try(&self) -> Option<Duration> {
        match (&self.link, &self.stage) {
            _ if self.net != NetView::Ready || self.hopeless().is_some() => None,
            (Link::Down { at, .. }, _) => Some(*at),
            (Link::Up { .. }, Stage::Ask { at }) if self.calling.is_none() => Some(*at),
            (Link::Up { .. } | Link::Connecting { .. }, _) => None,
        }
    }

    /// What the machine is doing while nothing is wrong, for the console.
    pub(crate) fn doing(&self) -> &'static str {
        match (&self.link, &self.stage) {
            _ if self.net != NetView::Ready => "waiting for a network address",
            (Link::Down { .. } | Link::Connecting { .. }, _) => "connecting to the server",
            (Link::Up { peer: Peer { time_problem: Some(_), .. }, .. }, _) => {
                "asking the server for the time"
            }
            (Link::Up { .. }, Stage::Ask { .. }) => match self.voucher() {
                Some(Voucher::Statement) => "taking over from the machine's earlier key",
                Some(Voucher::Nonce) => "registering with the boot nonce",
                Some(Voucher::Token) => "registering with the bootstrap token",
                None => "asking for a bootstrap code",
            },
            (Link::Up { .. }, Stage::Show(_)) => "waiting for an operator",
            (Link::Up { .. }, Stage::Enrol { .. }) => "approved, taking up duty",
            (Link::Up { .. }, Stage::Run(_)) => "registered, waiting for work",
            (Link::Up { .. }, Stage::Denied { .. }) => "denied",
        }
    }

    const fn holds(&self, voucher: Voucher) -> bool {
        match voucher {
            Voucher::Statement => self.plan.has_statement,
            Voucher::Nonce => self.plan.has_nonce,
            Voucher::Token => matches!(self.plan.token, TokenPlan::Ready),
        }
    }

    /// By what it registers next; none when it has to ask for a code.
    fn voucher(&self) -> Option<Voucher> {
        Voucher::ALL.into_iter().find(|voucher| self.holds(*voucher))
    }

    /// Faults that only another medium or command line cures.
    fn hopeless(&self) -> Option<&Fault> {
        if self.plan.servers == 0 {
            Some(&Fault::NotPersonalised)
        } else if self.plan.pins.is_empty() && !self.plan.has_authorities {
            Some(&Fault::NoPins)
        } else {
            None
        }
    }

    /// The one errand to start now, if one is due and none is under way.
    fn next_errand(&mut self, now: Duration, random: u64) -> Option<Action> {
        if self.hopeless().is_some() || self.net != NetView::Ready || self.calling.is_some() {
            return None;
        }
        match &self.link {
            Link::Connecting { .. } => None,
            Link::Down { at, .. } if now < *at => None,
            Link::Down { next, .. } => {
                let server = *next;
                self.link = Link::Connecting { server, until: now + ERRAND_LIMIT };
                Some(Action::Connect { server, clock: self.clock })
            }
            Link::Up { peer, .. } => {
                // Nothing that needs keeping goes over a certificate that is out of its time.
                let ask = if peer.time_problem.is_some() { Ask::Time } else { self.due(now, random)? };
                let held = ask.held();
                self.calling = Some((ask.clone(), now, now + held + ERRAND_LIMIT));
                Some(Action::Send(ask))
            }
        }
    }

    /// The call that the stage asks for now.
    fn due(&mut self, now: Duration, random: u64) -> Option<Ask> {
        let first = self.voucher().map_or(Ask::Enroll, Ask::Register);
        match &mut self.stage {
            Stage::Ask { at } => (now >= *at).then_some(first),
            Stage::Show(shown) if now >= shown.poll_at => {
                // The answer is wanted at the latest when the code is replaced.
                let left = shown.expires_at.saturating_sub(now) + Duration::from_secs(1);
                Some(Ask::Poll { id: shown.id, wait: left.min(POLL_WAIT) })
            }
            Stage::Enrol { approved } => Some(Ask::AccessToken { nonce: Some(approved.enrol_nonce.clone()) }),
            Stage::Run(running) if now >= running.renew_at => Some(Ask::AccessToken { nonce: None }),
            Stage::Run(_) if self.work.starts_at().is_some_and(|at| now >= at) => Some(Ask::Runner),
            Stage::Run(_) if self.member.starts_at().is_some_and(|at| now >= at) => Some(Ask::Member),
            Stage::Run(running) if now >= running.beat_at => {
                Some(running.beat(now, random, (self.work, self.member)))
            }
            Stage::Denied { message: _, open_at: _, asks_at } if now >= *asks_at => {
                self.stage = Stage::Ask { at: now };
                Some(Ask::Enroll)
            }
            Stage::Show(_) | Stage::Run(_) | Stage::Denied { .. } => None,
        }
    }

    /// The next moment something changes by itself; never in the past, never absent.
    fn next_wake(&self, now: Duration) -> Duration {
        let at = if self.quiet {
            self.quiet_until
        } else if self.hopeless().is_some() || self.net != NetView::Ready {
            now + RECHECK
        } else if let Some((_, _, until)) = &self.calling {
            *until
        } else {
            match (&self.link, &self.stage) {
                (Link::Down { at, .. }, _) => *at,
                (Link::Connecting { until, .. }, _) => *until,
                (Link::Up { .. }, Stage::Ask { at }) => *at,
                (Link::Up { .. }, Stage::Show(shown)) => shown.poll_at,
                (Link::Up { .. }, Stage::Enrol { .. }) => now,
                (Link::Up { .. }, Stage::Run(running)) => {
                    let at = running.beat_at.min(running.renew_at);
                    [self.work, self.member].into_iter().filter_map(Work::starts_at).fold(at, Duration::min)
                }
                (Link::Up { .. }, Stage::Denied { asks_at, .. }) => *asks_at,
            }
        };
        at.max(now)
    }
}
