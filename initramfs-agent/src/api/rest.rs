//! Digital Rebar's REST interface as a runner of jobs speaks it: HTTP/1.1 under a machine token, over
//! the same TLS and the same trust as every other call ([`super::connect`]).
//!
//! Limits: those of a connection, 30 s beyond what a call waits for, 16 MiB an answer: the rendered
//! files of a task.

use super::connect::{Recognised, Requests, Road};
use super::tls::Trust;
use super::{ClockTrust, ConnectError, Peer};
use crate::net::resolve::Dns;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use protocol::SERVER_ID_SUFFIX;
use protocol::config::{ProxyUrl, ServerUrl};
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// The lease that a call is made under: how often its job was handed out.
pub(crate) const LEASE: HeaderName = HeaderName::from_static("x-muster-lease");
/// How many bytes of a job's log the server holds.
pub(crate) const LOG_LENGTH: HeaderName = HeaderName::from_static("x-muster-log-length");

const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 16 * 1_024 * 1_024;
/// Longest header value that is kept, in bytes.
const MAX_VALUE: usize = 256;

/// Where the server is and whom to believe there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) server: ServerUrl,
    /// Pins, and the medium's CAs.
    pub(crate) trust: Trust,
    /// What connections go through.
    pub(crate) proxy: Option<ProxyUrl>,
}

impl Place {
    /// A connection, and what the server is called on it.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect(&self) -> Result<(Requests, String), ConnectError> {
        // The time counts: a boot image has been told the right one before anybody runs jobs.
        let (requests, peer) = self.road().lead_to(&self.server, ClockTrust::Set).await?;
        Ok((requests, self.host(&peer)))
    }

    /// The same before a byte of HTTP, for what speaks another protocol soon.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(crate) async fn recognise(&self) -> Result<(Recognised, String), ConnectError> {
        let (stream, peer) = self.road().recognise(&self.server, ClockTrust::Set).await?;
        Ok((stream, self.host(&peer)))
    }

    fn road(&self) -> Road<'_> {
        Road { trust: &self.trust, proxy: self.proxy.as_ref(), dns: Dns::of_system() }
    }

    fn host(&self, peer: &Peer) -> String {
        // A proxy that ends TLS finds the server by the name that was dialled.
        match peer.authority {
            Some(_) => self.server.authority(),
            None => format!("{}{SERVER_ID_SUFFIX}", peer.server_id),
        }
    }
}

/// One call, composed. The token is the client's.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method.
    pub(crate) method: Method,
    /// Path and query, from `/api/v3` on.
    pub(crate) path: String,
    /// Headers beside those of every call.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Body; its type is JSON unless a header says otherwise.
    pub(crate) body: Bytes,
    /// How long the server may hold the answer.
    pub(crate) wait: Duration,
}

impl Call {
    /// A call without a body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        Self { method, path, headers: Vec::new(), body: Bytes::new(), wait: Duration::ZERO }
    }

    /// The same with a body.
    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same with a header more.
    pub(crate) fn header(mut self, name: HeaderName, value: impl fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// One answer, read.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status.
    pub(crate) status: StatusCode,
    /// What version of an object this is.
    pub(crate) etag: Option<String>,
    /// Bytes of the job's log.
    pub(crate) log_length: Option<u64>,
    /// Seconds to wait before asking again.
    pub(crate) retry_after: Option<u64>,
    /// Body.
    pub(crate) body: Bytes,
}

/// Why there is no answer. All of it may pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("{0}")]
    Lost(String),
    /// The call cannot be written.
    #[error("request cannot be made: {0}")]
    Unsendable(#[from] hyper::http::Error),
}

/// A client with one connection, made again when it is gone.
pub(crate) struct Rest {
    place: Place,
    /// The connection, and what the server is called on it.
    open: Option<(Requests, String)>,
}

impl Rest {
    /// A client that has not connected yet.
    pub(crate) fn new(place: Place) -> Self {
        Self { place, open: None }
    }

    /// Makes one call under `token`, without one where it is empty. When the server has closed the connection meanwhile, once more
    /// over a new one; the call was not read then.
    ///
    /// # Errors
    /// [`RestError`]; the server may have done what was asked all the same.
    pub(crate) async fn send(&mut self, call: &Call, token: &str) -> Result<Reply, RestError> {
        let reused = self.open.as_ref().is_some_and(|(requests, _)| !requests.is_closed());
        let limit = CALL_LIMIT + call.wait;
        let mut outcome = timeout(limit, self.send_once(call, token)).await;
        if reused && matches!(outcome, Ok(Err(Failed::Unread))) {
            outcome = timeout(limit, self.send_once(call, token)).await;
        }
        let place = self.place.server.authority();
        let failed = match outcome {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(Failed::Told(error))) => error,
            Ok(Err(Failed::Unread)) => RestError::Lost(format!("{place} closes every connection")),
            Err(_) => RestError::Lost(format!("{place} does not answer")),
        };
        self.open = None;
        Err(failed)
    }

    async fn send_once(&mut self, call: &Call, token: &str) -> Result<Reply, Failed> {
        if self.open.as_ref().is_none_or(|(requests, _)| requests.is_closed()) {
            self.open = Some(self.place.connect().await.map_err(RestError::from)?);
        }
        let Some((requests, host)) = &mut self.open else { return Err(Failed::Unread) };
        let request = compose(call, host, token).map_err(RestError::from)?;
        let broke = |error: &dyn fmt::Display| {
            RestError::Lost(format!("{} broke off: {error}", self.place.server.authority()))
        };
        match requests.send_request(request).await {
            Ok(response) => Ok(read(response).await.map_err(|error| broke(&error))?),
            Err(error) if error.is_canceled() => {
                self.open = None;
                Err(Failed::Unread)
            }
            Err(error) => Err(Failed::Told(broke(&error))),
        }
    }
}

/// Why one try failed.
enum Failed {
    /// The connection was gone before the server read anything.
    Unread,
    Told(RestError),
}

impl From<RestError> for Failed {
    fn from(error: RestError) -> Self {
        Self::Told(error)
    }
}

fn compose(call: &Call, host: &str, token: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, concat!("muster-agent/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json, application/octet-stream");
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if !call.headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if !call.wait.is_zero() {
        request = request.header("prefer", format!("wait={}", call.wait.as_secs()));
    }
    request.body(Full::new(call.body.clone()))
}

async fn read(response: Response<Incoming>) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
    let status = response.status();
    let headers = response.headers();
    let number = |name| text(headers, name).and_then(|text| text.parse().ok());
    let (etag, log_length, retry_after) = (text(headers, &ETAG), number(&LOG_LENGTH), number(&RETRY_AFTER));
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    Ok(Reply { status, etag, log_length, retry_after, body })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_VALUE).then(|| value.to_owned())
}
