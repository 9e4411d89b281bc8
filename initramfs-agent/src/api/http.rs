//! The real server: HTTP/1.1 over TLS, one connection at a time.
//!
//! hyper and tokio-rustls directly, because every server is greeted by the fixed name
//! `agent.internal` whatever address it has, which general clients cannot do. A connection
//! that the server closed while idle is made again silently, with the same judgement.
//!
//! Limits: 5 s per address, 10 s for a handshake, 30 s beyond what a call waits for, 64 KiB
//! per answer, 16 KiB and 64 headers.

use super::proof::{Signed, sign};
use super::tls::{PinVerifier, TrustError, config};
use super::{Answer, Api, Call, CallError, ClockTrust, ConnectError, Peer};
use crate::identity::Identity;
use crate::net::Status;
use crate::net::resolve::lookup;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::agent_api::{
    self, Approved, EnrollmentAnswer, Refusal, RefusalKind, TokenAnswer, TokenRequest, cancel_path, poll_path,
};
use protocol::config::ServerUrl;
use protocol::ids::SpkiPin;
use protocol::proof::{NONCE_HEADER, PROOF_HEADER};
use protocol::{AGENT_SNI, PROTOCOL_HEADER, ProtocolVersion, SERVER_ID_SUFFIX};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 3;
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1_024;
const MAX_HEADERS: usize = 64;
/// Longest nonce that is kept, in bytes: it goes back in a header.
const MAX_NONCE: usize = 512;

/// A connection, and how to make it again.
struct Open {
    requests: SendRequest<Full<Bytes>>,
    server: ServerUrl,
    clock: ClockTrust,
    peer: Peer,
}

/// A client of one server at a time.
pub(crate) struct Client {
    identity: Arc<Identity>,
    pins: Vec<SpkiPin>,
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
    nonce: Option<String>,
}

/// One answer, read.
struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    /// A client that has met nobody yet. `network` says whom to ask for names.
    pub(crate) fn new(identity: Arc<Identity>, pins: Vec<SpkiPin>, network: watch::Receiver<Status>) -> Self {
        Self { identity, pins, network, nonce: String::new(), access_token: None, open: None }
    }

    async fn open(&mut self, server: &ServerUrl, clock: ClockTrust) -> Result<Peer, ConnectError> {
        self.open = None;
        let dns = self.network.borrow().dns();
        let found = timeout(RESOLVE_LIMIT, lookup(server.host(), &dns)).await;
        let name = |cause: String| ConnectError::Name { host: server.host().to_owned(), cause };
        let addresses =
            found.map_err(|_| name("no answer".to_owned()))?.map_err(|error| name(error.to_string()))?;
        let mut last = name("no address".to_owned());
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.open_address(SocketAddr::new(address, server.port()), clock).await {
                Ok((requests, peer)) => {
                    self.open = Some(Open { requests, server: server.clone(), clock, peer: peer.clone() });
                    return Ok(peer);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn open_address(
        &self,
        address: SocketAddr,
        clock: ClockTrust,
    ) -> Result<(SendRequest<Full<Bytes>>, Peer), ConnectError> {
        let unreachable = |what: &str| ConnectError::Unreachable(format!("{address} {what}"));
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable("does not answer"))?
            .map_err(|error| unreachable(&told(&error)))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&told(&error)))?;
        let (config, verifier) =
            config(&self.pins, clock).map_err(|error| unreachable(&error.to_string()))?;
        let sni = ServerName::try_from(AGENT_SNI).map_err(|error| unreachable(&error.to_string()))?;
        let shaken =
            timeout(HANDSHAKE_LIMIT, TlsConnector::from(Arc::new(config)).connect(sni, stream)).await;
        let stream = match shaken {
            Err(_) => return Err(unreachable("does not finish the TLS handshake")),
            Ok(Err(error)) => return Err(handshake_error(address, &verifier, &error)),
            Ok(Ok(stream)) => stream,
        };
        let Some(Ok(verified)) = verifier.verdict() else {
            return Err(unreachable("finished TLS without a certificate"));
        };
        let (requests, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error.to_string()))?;
        // Ends with the connection; what goes wrong in it reaches the request it happens to.
        tokio::spawn(connection);
        let peer = Peer {
            server_id: verified.server_id.clone(),
            address: address.ip(),
            time_problem: verified.time_problem.clone(),
        };
        Ok((requests, peer))
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

    /// One exchange. A connection that broke before it carried an answer is tried once more:
    /// every call is idempotent for the machine's key.
    async fn exchange(&mut self, question: &Question, nonce: &str) -> Result<Reply, CallError> {
        let server_id = self.live().await?;
        let response = match self.send_once(&server_id, question, nonce).await? {
            Some(response) => response,
            None => {
                self.reopen().await?;
                let again = self.send_once(&server_id, question, nonce).await?;
                again.ok_or_else(|| lost(format!("{server_id} closes every connection")))?
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
        let Some(open) = &mut self.open else { return Ok(None) };
        match timeout(CALL_LIMIT + question.wait, open.requests.send_request(request)).await {
            Err(_) => {
                self.open = None;
                Err(lost(format!("{server_id} does not answer")))
            }
            Ok(Err(error)) if error.is_canceled() || error.is_incomplete_message() => Ok(None),
            Ok(Err(error)) => Err(lost(format!("{server_id} broke off: {error}"))),
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
        let signed = Signed { server_id, path: &question.path, nonce, body: &question.body, access_token };
        let proof = sign(&self.identity, signed).map_err(|error| CallError::Malformed(error.to_string()))?;
        let mut request = Request::post(question.path.as_str())
            .header(HOST, format!("{server_id}{SERVER_ID_SUFFIX}"))
            .header(USER_AGENT, concat!("muster-agent/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(PROTOCOL_HEADER, ProtocolVersion::CURRENT.to_string())
            .header(PROOF_HEADER, proof);
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
            Call::Enroll(body) => {
                let reply = self.ask(question(agent_api::ENROLLMENTS_PATH, &body)?).await?;
                self.take_enrollment(&reply)
            }
            Call::Register(body) => {
                let reply = self.ask(question(agent_api::REGISTER_PATH, &body)?).await?;
                if reply.status == StatusCode::ACCEPTED {
                    return self.take_enrollment(&reply);
                }
                Ok(read_body::<Approved>(&reply)?.into())
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
                Ok(Answer::Heartbeat(answer))
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
        let answer: EnrollmentAnswer = read_body(reply)?;
        if let EnrollmentAnswer::AuthorizationPending(pending) = &answer {
            self.keep_nonce(&pending.nonce);
        }
        Ok(Answer::Enrollment(answer))
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
        nonce: None,
    })
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

fn handshake_error(address: SocketAddr, verifier: &PinVerifier, error: &io::Error) -> ConnectError {
    match verifier.verdict() {
        Some(Err(TrustError::Pin { got })) => ConnectError::Pin { got: *got },
        Some(Err(TrustError::Time(cause))) => ConnectError::CertificateTime(cause.clone()),
        Some(Err(error @ (TrustError::NoServerId | TrustError::TooLarge))) => {
            ConnectError::Unreachable(format!("{address} is not a Muster server: {error}"))
        }
        Some(Ok(_)) | None => ConnectError::Unreachable(format!("{address} breaks off TLS: {}", told(error))),
    }
}

/// An I/O error in words for a console: without the number that only a programmer reads.
fn told(error: &io::Error) -> String {
    const PLAIN: [(io::ErrorKind, &str); 6] = [
        (io::ErrorKind::ConnectionRefused, "refuses the connection"),
        (io::ErrorKind::ConnectionReset, "resets the connection"),
        (io::ErrorKind::TimedOut, "does not answer"),
        (io::ErrorKind::HostUnreachable, "cannot be reached from this network"),
        (io::ErrorKind::NetworkUnreachable, "cannot be reached from this network"),
        (io::ErrorKind::UnexpectedEof, "closes the connection"),
    ];
    let plain = PLAIN.iter().find(|(kind, _)| *kind == error.kind());
    plain
        .map_or_else(|| protocol::inventory::clean_text(&error.to_string()), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests;
