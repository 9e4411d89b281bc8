//! The real server: HTTP/1.1 over TLS, one connection at a time.
//!
//! hyper and tokio-rustls directly, because every server is greeted by the fixed name
//! `agent.internal` whatever address it has, which general clients cannot do. A connection
//! that the server closed while idle is made again silently, with the same judgement.
//!
//! Limits: 5 s per address, 15 s for a proxy, 10 s for a handshake, 30 s beyond what a call waits
//! for, 64 KiB per answer, 16 KiB and 64 headers.

use super::connect::{Requests, Road};
use super::proof::{Signed, sign};
use super::tls::Trust;
use super::{Answer, Api, Call, CallError, ClockTrust, ConnectError, Peer};
use crate::identity::Identity;
use crate::net::Status;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use protocol::agent_api::{
    self, Approved, EnrollmentAnswer, Refusal, RefusalKind, RunnerRequest, RunnerTicket, TokenAnswer,
    TokenRequest, cancel_path, poll_path,
};
use protocol::config::{MAX_SERVERS, ProxyUrl, ServerUrl};
use protocol::ids::SpkiPin;
use protocol::proof::{NONCE_HEADER, PROOF_HEADER};
use protocol::token::wipe;
use protocol::{PROTOCOL_HEADER, ProtocolVersion, SERVER_ID_SUFFIX};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// Longest nonce that is kept, in bytes: it goes back in a header.
const MAX_NONCE: usize = 512;

/// A connection, and how to make it again.
struct Open {
    requests: Requests,
    server: ServerUrl,
    clock: ClockTrust,
    peer: Peer,
}

/// A client of one server at a time.
pub(crate) struct Client {
    identity: Arc<Identity>,
    /// What the machine booted with, and the pins a server told it since.
    trust: Trust,
    booted_with: Vec<SpkiPin>,
    proxy: watch::Receiver<Option<ProxyUrl>>,
    network: watch::Receiver<Status>,
    nonce: String,
    access_token: Option<String>,
    open: Option<Open>,
}

/// One request, composed.
struct Question {
    path: String,
    body: Bytes,
    wait: Duration,
    authorised: bool,
    /// Said without a proof: by nobody.
    anonymous: bool,
    nonce: Option<String>,
}

/// One answer, read.
struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    /// A client that has met nobody yet. `network` says whom to ask for names, `proxy` what the
    /// next connection goes through.
    pub(crate) fn new(
        identity: Arc<Identity>,
        trust: Trust,
        proxy: watch::Receiver<Option<ProxyUrl>>,
        network: watch::Receiver<Status>,
    ) -> Self {
        let booted_with = trust.pins.clone();
        Self {
            identity,
            trust,
            booted_with,
            proxy,
            network,
            nonce: String::new(),
            access_token: None,
            open: None,
        }
    }

    async fn open(&mut self, server: &ServerUrl, clock: ClockTrust) -> Result<Peer, ConnectError> {
        self.open = None;
        let dns = self.network.borrow().dns();
        let proxy = self.proxy.borrow().clone();
        let road = Road { trust: &self.trust, proxy: proxy.as_ref(), dns };
        let (requests, peer) = road.lead_to(server, clock).await?;
        self.open = Some(Open { requests, server: server.clone(), clock, peer: peer.clone() });
        Ok(peer)
    }

    /// Follows a server whose CA changes: its pins count beside those the machine booted with.
    fn follow(&mut self, pins: &[SpkiPin]) {
        if pins.is_empty() {
            return;
        }
        self.trust.pins.clone_from(&self.booted_with);
        for pin in pins.iter().take(MAX_SERVERS) {
            if !self.trust.pins.contains(pin) {
                self.trust.pins.push(*pin);
            }
        }
    }

    /// The server's id on a live connection, made again when the server closed it meanwhile.
    async fn live(&mut self) -> Result<String, ConnectError> {
        match &self.open {
            None => Err(ConnectError::Unreachable("not connected".to_owned())),
            Some(open) if !open.requests.is_closed() => Ok(open.peer.server_id.clone()),
            Some(_) => self.reopen().await,
        }
    }

    /// Connects to the same server again. Its id must be the same too.
    async fn reopen(&mut self) -> Result<String, ConnectError> {
        let Some(Open { server, clock, peer, .. }) = self.open.take() else {
            return Err(ConnectError::Unreachable("not connected".to_owned()));
        };
        let again = self.open(&server, clock).await?;
        if again.server_id != peer.server_id {
            // Another server of the same CA: the fingerprint differs, so the flow must see it.
            self.open = None;
            let (now, before) = (again.server_id, peer.server_id);
            return Err(ConnectError::Unreachable(format!("{server} is now {now}, was {before}")));
        }
        // The clock may have been set since: what the first connection did not need to be forgiven,
        // no later one is. The flow sees the fault and connects by its own rule.
        if let (Some(cause), None) = (again.time_problem, peer.time_problem) {
            self.open = None;
            return Err(ConnectError::CertificateTime(cause));
        }
        Ok(again.server_id)
    }

    /// The server as operators know it.
    fn place(&self) -> String {
        self.open.as_ref().map_or_else(|| "the server".to_owned(), |open| open.server.authority())
    }

    /// One exchange. A connection that broke before it carried an answer is tried once more:
    /// every call is idempotent for the machine's key.
    async fn exchange(&mut self, question: &Question, nonce: &str) -> Result<Reply, CallError> {
        let server_id = self.live().await?;
        let response = match self.send_once(&server_id, question, nonce).await? {
            Some(response) => response,
            None => {
                self.reopen().await?;
                let again = self.send_once(&server_id, question, nonce).await?;
                again.ok_or_else(|| lost(format!("{} closes every connection", self.place())))?
            }
        };
        self.read(response).await
    }

    /// Sends and waits for the head of the answer; `None` when the connection was gone.
    async fn send_once(
        &mut self,
        server_id: &str,
        question: &Question,
        nonce: &str,
    ) -> Result<Option<Response<Incoming>>, CallError> {
        let request = self.request(server_id, question, nonce)?;
        let place = self.place();
        let Some(open) = &mut self.open else { return Ok(None) };
        match timeout(CALL_LIMIT + question.wait, open.requests.send_request(request)).await {
            Err(_) => {
                self.open = None;
                Err(lost(format!("{place} does not answer")))
            }
            Ok(Err(error)) if error.is_canceled() || error.is_incomplete_message() => Ok(None),
            Ok(Err(error)) => Err(lost(format!("{place} broke off: {error}"))),
            Ok(Ok(response)) => Ok(Some(response)),
        }
    }

    fn request(
        &self,
        server_id: &str,
        question: &Question,
        nonce: &str,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let access_token = self.access_token.as_deref().filter(|_| question.authorised);
        // A proxy that ends TLS finds the server by the name that was dialled.
        let host = match &self.open {
            Some(Open { server, peer: Peer { authority: Some(_), .. }, .. }) => server.authority(),
            Some(_) | None => format!("{server_id}{SERVER_ID_SUFFIX}"),
        };
        let mut request = Request::post(question.path.as_str())
            .header(HOST, host)
            .header(USER_AGENT, concat!("muster-agent/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(PROTOCOL_HEADER, ProtocolVersion::CURRENT.to_string());
        if !question.anonymous {
            let signed =
                Signed { server_id, path: &question.path, nonce, body: &question.body, access_token };
            let proof =
                sign(&self.identity, signed).map_err(|error| CallError::Malformed(error.to_string()))?;
            request = request.header(PROOF_HEADER, proof);
        }
        if !question.wait.is_zero() {
            request = request.header("prefer", format!("wait={}", question.wait.as_secs()));
        }
        if let Some(token) = access_token {
            request = request.header(AUTHORIZATION, format!("DPoP {token}"));
        }
        request
            .body(Full::new(question.body.clone()))
            .map_err(|error| CallError::Malformed(format!("request cannot be made: {error}")))
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<Reply, CallError> {
        let status = response.status();
        if let Some(nonce) = response.headers().get(NONCE_HEADER).and_then(|value| value.to_str().ok()) {
            self.keep_nonce(nonce);
        }
        let body = timeout(CALL_LIMIT, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
        match body {
            Ok(Ok(body)) => Ok(Reply { status, body: body.to_bytes() }),
            Ok(Err(error)) => {
                self.open = None;
                Err(CallError::Malformed(format!("HTTP {status}, {error}")))
            }
            Err(_) => {
                self.open = None;
                Err(lost("the answer stopped halfway".to_owned()))
            }
        }
    }

    fn keep_nonce(&mut self, nonce: &str) {
        if !nonce.is_empty() && nonce.len() <= MAX_NONCE {
            nonce.clone_into(&mut self.nonce);
        }
    }

    /// Asks with the nonce at hand, and once more when the server gives a fresh one.
    async fn ask(&mut self, question: Question) -> Result<Reply, CallError> {
        let nonce = question.nonce.clone().unwrap_or_else(|| self.nonce.clone());
        let reply = self.exchange(&question, &nonce).await?;
        match refusal(&reply) {
            Some(refusal) if refusal.error == RefusalKind::UseNonce => {
                if let Some(nonce) = &refusal.nonce {
                    self.keep_nonce(nonce);
                }
                let nonce = self.nonce.clone();
                let reply = self.exchange(&question, &nonce).await?;
                judge(reply)
            }
            Some(_) | None => judge(reply),
        }
    }
}

impl Api for Client {
    async fn connect(&mut self, server: &ServerUrl, clock: ClockTrust) -> Result<Peer, ConnectError> {
        self.open(server, clock).await
    }

    async fn send(&mut self, call: Call) -> Result<Answer, CallError> {
        match call {
            Call::Time => self.ask_time().await,
            Call::Enroll(body) => {
                let reply = self.ask(question(agent_api::ENROLLMENTS_PATH, &body)?).await?;
                self.take_enrollment(&reply)
            }
            Call::Register(body) => {
                let question = question(agent_api::REGISTER_PATH, &body)?;
                wipe(body.token);
                wipe(body.nonce);
                let sent = question.body.clone();
                let reply = self.ask(question).await;
                wipe_sent(sent);
                let reply = reply?;
                if reply.status == StatusCode::ACCEPTED {
                    return self.take_enrollment(&reply);
                }
                Ok(self.take_approval(read_body(&reply)?))
            }
            Call::Poll { id, wait } => {
                let question = Question { wait, ..question(&poll_path(id), &TokenRequest {})? };
                let reply = self.ask(question).await?;
                self.take_enrollment(&reply)
            }
            Call::AccessToken { nonce } => {
                let question = Question { nonce, ..question(agent_api::TOKEN_PATH, &TokenRequest {})? };
                let answer: TokenAnswer = read_body(&self.ask(question).await?)?;
                self.keep_nonce(&answer.nonce);
                self.access_token = Some(answer.access_token);
                Ok(Answer::AccessToken { lasts: Duration::from_secs(answer.expires_in.min(86_400)) })
            }
            Call::Heartbeat { request, wait } => {
                let question = question(agent_api::HEARTBEAT_PATH, &request)?;
                let reply = self.ask(Question { wait, authorised: true, ..question }).await?;
                let answer: agent_api::HeartbeatAnswer = read_body(&reply)?;
                self.keep_nonce(&answer.nonce);
                self.follow(&answer.ca_hash);
                Ok(Answer::Heartbeat(answer))
            }
            Call::Runner => {
                let question = question(agent_api::RUNNER_PATH, &RunnerRequest {})?;
                let reply = self.ask(Question { authorised: true, ..question }).await?;
                let ticket: RunnerTicket = read_body(&reply)?;
                self.keep_nonce(&ticket.nonce);
                Ok(Answer::Runner(ticket))
            }
            Call::Cancel(id) => {
                self.ask(question(&cancel_path(id), &TokenRequest {})?).await?;
                Ok(Answer::Cancelled)
            }
        }
    }
}

impl Client {
    fn take_enrollment(&mut self, reply: &Reply) -> Result<Answer, CallError> {
        match read_body(reply)? {
            EnrollmentAnswer::AuthorizationPending(pending) => {
                self.keep_nonce(&pending.nonce);
                Ok(Answer::Enrollment(EnrollmentAnswer::AuthorizationPending(pending)))
            }
            EnrollmentAnswer::Approved(approved) => Ok(self.take_approval(approved)),
        }
    }

    fn take_approval(&mut self, approved: Approved) -> Answer {
        self.follow(&approved.agent_config.ca_hash);
        approved.into()
    }

    /// The time, from the refusal that every call without a proof meets.
    async fn ask_time(&mut self) -> Result<Answer, CallError> {
        let question = Question {
            path: agent_api::ENROLLMENTS_PATH.to_owned(),
            body: Bytes::new(),
            wait: Duration::ZERO,
            authorised: false,
            anonymous: true,
            nonce: None,
        };
        let reply = self.exchange(&question, "").await?;
        let silent = || CallError::Malformed("it does not tell the time; update the server".to_owned());
        match refusal(&reply) {
            Some(Refusal { server_time: Some(seconds), .. }) => Ok(Answer::Time(seconds)),
            Some(Refusal { error: RefusalKind::UseNonce | RefusalKind::InvalidProof, .. }) => Err(silent()),
            // Something else is wrong, such as an unknown protocol.
            Some(_) | None => judge(reply).and(Err(silent())),
        }
    }
}

fn lost(what: String) -> CallError {
    CallError::Connection(ConnectError::Unreachable(what))
}

fn question(path: &str, body: &impl Serialize) -> Result<Question, CallError> {
    let body = serde_json::to_vec(body).map_err(|error| CallError::Malformed(error.to_string()))?;
    Ok(Question {
        path: path.to_owned(),
        body: body.into(),
        wait: Duration::ZERO,
        authorised: false,
        anonymous: false,
        nonce: None,
    })
}

/// Overwrites a request's body, unless the connection still holds it.
fn wipe_sent(body: Bytes) {
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

fn read_body<T: DeserializeOwned>(reply: &Reply) -> Result<T, CallError> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| CallError::Malformed(format!("HTTP {}: {error}", reply.status)))
}

fn refusal(reply: &Reply) -> Option<Refusal> {
    if reply.status.is_success() { None } else { serde_json::from_slice(&reply.body).ok() }
}

/// A good reply, or the refusal in it; a refusal in other words than ours keeps its status.
fn judge(reply: Reply) -> Result<Reply, CallError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    let error = match reply.status {
        StatusCode::UPGRADE_REQUIRED => RefusalKind::UnsupportedProtocol,
        StatusCode::TOO_MANY_REQUESTS => RefusalKind::SlowDown,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            RefusalKind::TemporarilyUnavailable
        }
        _ => RefusalKind::Other,
    };
    let mut refusal = refusal(&reply).unwrap_or_else(|| Refusal {
        error,
        message: format!("HTTP {}", reply.status),
        nonce: None,
        interval: None,
        retry_after: None,
        server_time: None,
    });
    // Outside text on its way to a terminal.
    refusal.message = protocol::inventory::clean_text(&refusal.message);
    Err(CallError::Refused(refusal))
}

#[cfg(test)]
mod tests;
