//! A server that follows a script: what each errand is answered, faults included. It records
//! what it was asked, so that tests see the conversation and not only its end.

use super::{Answer, Api, Call, CallError, ClockTrust, ConnectError, Peer};
use protocol::agent_api::{
    AgentSettings, Approved, EnrollmentAnswer, HeartbeatAnswer, MachineName, Pending, Refusal, RefusalKind,
    RunnerTicket, TerminalTicket,
};
use protocol::config::ServerUrl;
use std::collections::VecDeque;
use std::time::Duration;

/// One line of a script.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// What the next connection attempt meets.
    Connect(Result<Peer, ConnectError>),
    /// What the next call meets.
    Send(Result<Answer, CallError>),
}

/// The scripted server. When the script has ended, errands never end, but for those [`Scripted::goes_on`] tells of.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    lines: VecDeque<Line>,
    /// What heartbeats are answered when the script has ended; tickets of runners are given, then.
    heartbeats: Option<Answer>,
    /// Every errand in short, in order.
    pub(crate) asked: Vec<String>,
}

impl Scripted {
    /// A server that will say `lines`.
    pub(crate) fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        Self { lines: lines.into_iter().collect(), ..Self::default() }
    }

    /// The same, which goes on with this answer to every heartbeat and a ticket for every runner, in whatever order they come.
    pub(crate) fn goes_on(self, heartbeat: Answer) -> Self {
        Self { heartbeats: Some(heartbeat), ..self }
    }
}

impl Api for Scripted {
    async fn connect(&mut self, server: &ServerUrl, clock: ClockTrust) -> Result<Peer, ConnectError> {
        self.asked.push(format!("connect {server} {clock:?}"));
        match self.lines.pop_front() {
            Some(Line::Connect(result)) => result,
            Some(Line::Send(_)) => panic!("script expected a call, got a connection to {server}"),
            None => std::future::pending().await,
        }
    }

    async fn send(&mut self, call: Call) -> Result<Answer, CallError> {
        let word = format!("{call:?}");
        self.asked.push(word.split(['(', ' ', '{']).next().unwrap_or_default().to_owned());
        match self.lines.pop_front() {
            Some(Line::Send(result)) => result,
            Some(Line::Connect(_)) => panic!("script expected a connection, got {word}"),
            None => match (call, &self.heartbeats) {
                (Call::Heartbeat { .. }, Some(answer)) => Ok(answer.clone()),
                (Call::Runner, Some(_)) => Ok(ticket()),
                _ => std::future::pending().await,
            },
        }
    }
}

/// Server `dc1` at 10.0.2.2.
pub(crate) fn peer() -> Peer {
    Peer { server_id: "dc1".to_owned(), authority: None, time_problem: None }
}

/// A waiting enrollment with this code.
pub(crate) fn pending(code: Option<&str>) -> Answer {
    Answer::Enrollment(EnrollmentAnswer::AuthorizationPending(Pending {
        id: "4c4c4544-0058-4b10-8032-b7c04f4d3333".parse().unwrap(),
        code: code.map(|code| code.parse().unwrap()),
        code_expires_in: 600,
        interval: 5,
        nonce: "n".to_owned(),
        server_time: 1_800_000_000,
        server_name: "dc1".to_owned(),
    }))
}

/// An approval under this name.
pub(crate) fn approved(name: &str) -> Answer {
    Approved {
        machine: MachineName {
            uuid: "0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f".parse().unwrap(),
            name: name.to_owned(),
        },
        enrol_nonce: "e".to_owned(),
        agent_config: AgentSettings::default(),
        server_time: 1_800_000_000,
    }
    .into()
}

/// An access token for fifteen minutes.
pub(crate) fn access_token() -> Answer {
    Answer::AccessToken { lasts: Duration::from_secs(900) }
}

/// A quiet heartbeat answer.
pub(crate) fn heartbeat(name: &str) -> Answer {
    beat(name, false)
}

/// A heartbeat answer that tells of work.
pub(crate) fn work(name: &str) -> Answer {
    beat(name, true)
}

/// What a runner needs.
pub(crate) fn ticket() -> Answer {
    Answer::Runner(RunnerTicket {
        token: "mmt_secret".to_owned(),
        expires_in: 28_800,
        boot_env: "local".to_owned(),
        nonce: "n".to_owned(),
    })
}

fn beat(name: &str, work: bool) -> Answer {
    Answer::Heartbeat(HeartbeatAnswer {
        interval: 20,
        send_inventory: false,
        name: name.to_owned(),
        work,
        ca_hash: Vec::new(),
        boot_env: "local".to_owned(),
        terminal: None,
        mesh: false,
        nonce: "n".to_owned(),
    })
}

/// A heartbeat answer of a machine in a mesh network.
pub(crate) fn in_a_mesh(name: &str) -> Answer {
    let mut answer = heartbeat(name);
    if let Answer::Heartbeat(heartbeat) = &mut answer {
        heartbeat.mesh = true;
    }
    answer
}

/// A heartbeat answer that tells of work, and of a terminal.
pub(crate) fn terminal(name: &str) -> Answer {
    let ticket = TerminalTicket { id: uuid::Uuid::from_u128(9), secret: "secret".to_owned() };
    let mut answer = work(name);
    if let Answer::Heartbeat(heartbeat) = &mut answer {
        heartbeat.terminal = Some(ticket);
    }
    answer
}

/// A refusal with this word.
pub(crate) fn refused(error: RefusalKind, retry_after: Option<u64>) -> CallError {
    CallError::Refused(Refusal {
        error,
        message: "as scripted".to_owned(),
        nonce: None,
        interval: None,
        retry_after,
        server_time: None,
    })
}
