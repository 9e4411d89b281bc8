//! Asks foreign servers over HTTPS, or HTTP, within the guard's limits: names are resolved and judged
//! for each connection, redirects followed by hand and judged like the first address, and no credential
//! follows to another host.
//!
//! No proxy of the environment is used: it would choose the address in our place.

use super::guard::{self, GuardError, GuardedResolver, Lookup};
use crate::report::chain;
use axum::body::Bytes;
use engine::image_hosts::ImageHosts;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, IF_RANGE, LOCATION, RANGE,
};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for a whole answer that is kept in memory.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Clients kept at once: one for each port and CA.
const KEPT: usize = 16;
/// Longest PEM of a CA, in bytes.
const MAX_CA: usize = 256 * 1_024;

/// Why nothing was fetched. None of them tells a URL's path or query, where secrets may be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The server does not go there.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// In circles, perhaps.
    #[error("{host} redirects more than {REDIRECTS} times")]
    Redirects {
        /// The last one.
        host: String,
    },
    /// A redirect to nowhere.
    #[error("{host} redirects without saying where")]
    NoLocation {
        /// Who.
        host: String,
    },
    /// What came over TLS is not continued without.
    #[error("{host} redirects from https: to http:, which is not followed")]
    Downgrade {
        /// Who.
        host: String,
    },
    /// The CA is none.
    #[error("the CA of the image is not PEM of certificates{0}")]
    Ca(String),
    /// No client, such as where the system has no CAs.
    #[error("the server cannot ask by HTTPS: {0}")]
    Client(String),
    /// No answer.
    #[error("{host} does not answer: {why}")]
    NoAnswer {
        /// Who.
        host: String,
        /// What the connection says, without the URL.
        why: String,
    },
    /// Another answer than one with what was asked for.
    #[error("{host} answers {status}")]
    Status {
        /// Who.
        host: String,
        /// What.
        status: StatusCode,
    },
    /// The answer broke off.
    #[error("{host} stopped in the middle: {why}")]
    Broken {
        /// Who.
        host: String,
        /// What the connection says.
        why: String,
    },
    /// The answer would be too long to be what it should be.
    #[error("{host} sends more than {limit} bytes")]
    TooLarge {
        /// Who.
        host: String,
        /// At most.
        limit: u64,
    },
    /// The answer takes too long.
    #[error("{host} is too slow")]
    TooSlow {
        /// Who.
        host: String,
    },
}

impl FetchError {
    /// Whether another try may end otherwise.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Broken { .. } | Self::TooSlow { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Guard(_)
            | Self::Redirects { .. }
            | Self::NoLocation { .. }
            | Self::Downgrade { .. }
            | Self::Ca(_)
            | Self::Client(_)
            | Self::TooLarge { .. } => false,
        }
    }
}

/// How far the server trusts an image's host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Hosts that may have any address.
    pub(crate) hosts: Arc<ImageHosts>,
    /// PEM of the CA that alone is trusted; the system's CAs when empty.
    pub(crate) ca: Arc<str>,
}

/// A question.
#[derive(Clone)]
pub(crate) struct Ask {
    /// Whom, and what.
    pub(crate) url: Url,
    /// Who we are; never sent to another host.
    pub(crate) authorization: Option<HeaderValue>,
    /// What is understood.
    pub(crate) accept: Option<HeaderValue>,
    /// From this byte on, if it is still what this entity tag says.
    pub(crate) from: Option<(u64, Option<HeaderValue>)>,
}

impl Ask {
    /// For the whole of something.
    pub(crate) fn whole(url: Url) -> Self {
        Self { url, authorization: None, accept: None, from: None }
    }
}

/// Without the path of the URL, where a secret may be.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("host", &self.url.host_str())
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    host: String,
}

impl Answer {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// How long it says its body is.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next part of the body; none at its end.
    ///
    /// # Errors
    /// When the connection breaks or is silent.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let broken = |error: reqwest::Error| FetchError::Broken {
            host: self.host.clone(),
            why: chain(&error.without_url()),
        };
        self.response.chunk().await.map_err(broken)
    }

    /// The whole body, when it is a small document.
    ///
    /// # Errors
    /// When it is longer than `limit` bytes, takes long, or breaks off.
    pub(crate) async fn document(mut self, limit: usize) -> Result<Vec<u8>, FetchError> {
        let too_large = FetchError::TooLarge { host: self.host.clone(), limit: limit as u64 };
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_large);
        }
        let deadline = Instant::now() + DOCUMENT_TIMEOUT;
        let mut body = Vec::new();
        loop {
            let chunk = timeout_at(deadline, self.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| FetchError::TooSlow { host: self.host.clone() })?? else {
                return Ok(body);
            };
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The error of this answer's status.
    pub(crate) fn refusal(&self) -> FetchError {
        FetchError::Status { host: self.host.clone(), status: self.status() }
    }
}

/// Asks.
pub(crate) struct Fetcher {
    lookup: Lookup,
    /// Each for a port and a trust.
    clients: Mutex<Vec<(u16, Trust, Client)>>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// With this way to find addresses.
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self { lookup, clients: Mutex::default() }
    }

    /// Asks, and asks those who are named in redirects. The answer may be any but a redirect.
    ///
    /// # Errors
    /// [`FetchError`] names the host.
    pub(crate) async fn ask(&self, ask: &Ask, trust: &Trust) -> Result<Answer, FetchError> {
        let (mut url, mut authorization) = (ask.url.clone(), ask.authorization.clone());
        for _ in 0..=REDIRECTS {
            guard::check_url(&url)?;
            guard::check_literal(&url, &trust.hosts)?;
            let host = shown_host(&url);
            let response = self.send(ask, &url, authorization.clone(), trust).await?;
            if !is_redirect(response.status()) {
                return Ok(Answer { response, host });
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to =
                to.and_then(|to| url.join(to).ok()).ok_or(FetchError::NoLocation { host: host.clone() })?;
            if url.scheme() == "https" && to.scheme() == "http" {
                return Err(FetchError::Downgrade { host });
            }
            if to.origin() != url.origin() {
                authorization = None;
            }
            url = to;
        }
        Err(FetchError::Redirects { host: shown_host(&url) })
    }

    async fn send(
        &self,
        ask: &Ask,
        url: &Url,
        authorization: Option<HeaderValue>,
        trust: &Trust,
    ) -> Result<Response, FetchError> {
        let mut request =
            self.client(guard::port_of(url), trust)?.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = &ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some((from, etag)) = &ask.from {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        request.send().await.map_err(|error| no_answer(shown_host(url), error))
    }

    /// The client for a port and trust: made once, since it reads the system's CAs.
    fn client(&self, port: u16, trust: &Trust) -> Result<Client, FetchError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., client)) = clients.iter().find(|(its, kept, _)| *its == port && kept == trust) {
            return Ok(client.clone());
        }
        // Another `imageHosts` makes other clients: what was let through before is not kept open.
        clients.retain(|(_, kept, _)| kept.hosts == trust.hosts);
        if clients.len() >= KEPT {
            clients.remove(0);
        }
        let client = build(port, trust, Arc::clone(&self.lookup))?;
        clients.push((port, trust.clone(), client.clone()));
        Ok(client)
    }
}

fn build(port: u16, trust: &Trust, lookup: Lookup) -> Result<Client, FetchError> {
    static PROVIDER: Once = Once::new();
    // Refused only where one is installed already, and this program knows no other than ring.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let mut builder = Client::builder()
        .dns_resolver(Arc::new(GuardedResolver::new(lookup, Arc::clone(&trust.hosts), port)))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")));
    if !trust.ca.is_empty() {
        if trust.ca.len() > MAX_CA {
            return Err(FetchError::Ca(format!(": it has more than {MAX_CA} bytes")));
        }
        let certificates = Certificate::from_pem_bundle(trust.ca.as_bytes())
            .map_err(|error| FetchError::Ca(format!(": {}", chain(&error))))?;
        if certificates.is_empty() {
            return Err(FetchError::Ca(": there is none in it".to_owned()));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| FetchError::Client(chain(&error)))
}

/// What the guard said inside of the client, else that nobody answers.
fn no_answer(host: String, error: reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<GuardError>() {
            return FetchError::Guard(refused.clone());
        }
        cause = error.source();
    }
    FetchError::NoAnswer { host, why: chain(&error.without_url()) }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Host and port of a URL, as errors tell them.
pub(crate) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
