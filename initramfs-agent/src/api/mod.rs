//! The agent's side of the conversation with a server.
//!
//! [`Api`] is one of the project's two seams: [`http`] talks to a real server, `scripted`
//! plays one with faults in tests. Everything above it sees only the types here.
//!
//! 1. `connect`: resolve, TCP (perhaps through a proxy, [`proxy`]), TLS; the pin decides before
//!    a byte of HTTP is sent ([`tls`]).
//! 2. `send`: one signed call ([`proof`]), with the server's nonce, which the client keeps.
//!
//! The client also keeps the access token, so that no secret passes through the state machine.

pub(crate) mod blob;
mod connect;
pub(crate) mod download;
pub(crate) mod http;
pub(crate) mod proof;
mod proxy;
pub(crate) mod rest;
#[cfg(test)]
pub(crate) mod scripted;
pub(crate) mod tls;

use protocol::agent_api::{
    Approved, EnrollmentAnswer, EnrollmentRequest, HeartbeatAnswer, HeartbeatRequest, Refusal,
    RegisterRequest, RunnerTicket,
};
use protocol::config::ServerUrl;
use protocol::ids::{EnrollmentId, SpkiPin};
use std::future::Future;
use std::time::Duration;

/// How far the machine's clock is believed when a certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockTrust {
    /// Never set by a server: a certificate that fails on time alone is accepted, once, under
    /// its pin (RFC 8995 section 2.6.1), to ask for the time and nothing else.
    Doubtful,
    /// Set from an authenticated answer: time counts.
    Set,
}

/// A server that proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its id, from its certificate.
    pub(crate) server_id: String,
    /// The medium's CA that vouched for it; `None` when a pinned key did.
    pub(crate) authority: Option<String>,
    /// Why its certificate would have failed on time, when the clock is doubtful.
    pub(crate) time_problem: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {host}: {cause}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver says.
        cause: String,
    },
    /// This network has no way to the address.
    #[error("{0}")]
    NoRoute(String),
    /// The proxy does not lead to the server: its address and its own words.
    #[error("{0}")]
    Proxy(String),
    /// No address answers, or the handshake broke off.
    #[error("{0}")]
    Unreachable(String),
    /// Not the server this machine may trust.
    #[error("the server's certificate is not signed by a pinned key")]
    Pin {
        /// Topmost key presented.
        got: Option<SpkiPin>,
        /// Why none of the medium's CAs vouches for it, when there are some.
        authority: Option<String>,
    },
    /// Trusted, and its time is over or has not come.
    #[error("{0}")]
    CertificateTime(String),
}

/// One call. Bodies are whole: composing them is the caller's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    /// What time is it? Says nothing about the machine, not even its key.
    Time,
    /// Ask for a code.
    Enroll(EnrollmentRequest),
    /// Register by token or boot nonce.
    Register(RegisterRequest),
    /// Has an operator decided?
    Poll {
        /// Which enrollment.
        id: EnrollmentId,
        /// How long the server may hold the answer.
        wait: Duration,
    },
    /// An access token, over `nonce` the first time.
    AccessToken {
        /// The nonce that came with the approval.
        nonce: Option<String>,
    },
    /// Still here.
    Heartbeat {
        /// What the agent does.
        request: HeartbeatRequest,
        /// How long the server may hold the answer.
        wait: Duration,
    },
    /// What a runner of the machine's jobs needs.
    Runner,
    /// Take the enrollment back.
    Cancel(EnrollmentId),
}

/// A server's good answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The server's clock, seconds since 1970.
    Time(u64),
    /// To asking, polling and registering.
    Enrollment(EnrollmentAnswer),
    /// An access token is held, for so long.
    AccessToken {
        /// How long it lasts.
        lasts: Duration,
    },
    /// To a heartbeat.
    Heartbeat(HeartbeatAnswer),
    /// What a runner needs.
    Runner(RunnerTicket),
    /// To a cancellation.
    Cancelled,
}

impl From<Approved> for Answer {
    fn from(approved: Approved) -> Self {
        Self::Enrollment(EnrollmentAnswer::Approved(approved))
    }
}

/// Why a call has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection broke, or could not be made again.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    /// The server said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The answer is not what the protocol says.
    #[error("answer not understood: {0}")]
    Malformed(String),
}

/// A conversation with one server at a time.
pub(crate) trait Api {
    /// Leaves the present server and connects to `server`.
    fn connect(
        &mut self,
        server: &ServerUrl,
        clock: ClockTrust,
    ) -> impl Future<Output = Result<Peer, ConnectError>>;

    /// Makes one call on the present connection. Always ends within the call's own `wait`
    /// and half a minute.
    fn send(&mut self, call: Call) -> impl Future<Output = Result<Answer, CallError>>;
}
