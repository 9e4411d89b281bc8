//! What happens around every request: an id, a line in the log, a count, and the headers that
//! every answer carries. The log names the route and never the query, a header or a body, since
//! those may hold secrets.

use super::Http;
use super::error::{HttpError, tell_operator};
use crate::listener::{MAX_HEAD, MAX_HEADERS, Peer};
use crate::report::shown_path;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Response header with the request's id, as in the log.
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Target of the log's lines about requests.
const LOG: &str = "muster::access";
/// Longest path and query, in bytes (`spec/security.md` 6).
const MAX_URI: usize = 4_096;
/// For everything that is no page: nothing may be loaded or framed.
pub(crate) const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Id of a request: unique in this process, told in the answer and the log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    fn next(start: u32) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self(format!("{start:08x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The id of this request.
    pub(crate) fn of(request: &Request) -> String {
        request.extensions().get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }
}

/// The outermost layer.
pub(crate) async fn observe(State(http): State<Http>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::next(http.start);
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let source = request.extensions().get::<Peer>().map(|peer| peer.address);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let shown = route.clone().unwrap_or_else(|| shown_path(request.uri().path()));
    let mut response = match beyond_limits(&request) {
        Some(refused) => tell_operator(&refused, method.to_string()),
        None => next.run(request).await,
    };
    let took = began.elapsed();
    let status = response.status().as_u16();
    http.metrics.count(route.as_deref().unwrap_or("none"), method.as_str(), status, took);
    let line = Line { id: &id.0, method: method.as_str(), route: &shown, status, took, source };
    line.tell();
    add_headers(&mut response, &id);
    response
}

/// What is wrong with a request's head. HTTP/1 counts its fields itself, HTTP/2 does not.
fn beyond_limits(request: &Request) -> Option<HttpError> {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > MAX_URI) {
        let message = format!("the address has more than {MAX_URI} bytes");
        return Some(HttpError::of_http(StatusCode::URI_TOO_LONG, message));
    }
    if request.headers().len() > MAX_HEADERS {
        let message = format!("the request has more than {MAX_HEADERS} header fields");
        return Some(HttpError::of_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    let fields = request.headers().iter();
    let head: usize = fields.map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head > MAX_HEAD {
        let message = format!("the request's header fields have {head} bytes, at most {MAX_HEAD} are taken");
        return Some(HttpError::of_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    None
}

/// A request in the log.
struct Line<'a> {
    id: &'a str,
    method: &'a str,
    route: &'a str,
    status: u16,
    took: Duration,
    source: Option<SocketAddr>,
}

impl Line<'_> {
    fn tell(&self) {
        let Self { id, method, route, status, .. } = self;
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let source = self.source.map(|address| address.to_string());
        if self.is_routine() {
            tracing::debug!(target: LOG, request_id = id, method, route, status, millis, source, "request");
        } else {
            tracing::info!(target: LOG, request_id = id, method, route, status, millis, source, "request");
        }
    }

    /// What ten thousand machines do all day, when it goes well.
    fn is_routine(&self) -> bool {
        let machines = self.route.starts_with("/api/v3/agent/") || self.route.ends_with("/poll");
        machines && self.status < 400
    }
}

fn add_headers(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(&id.0) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A handler that knows better has set these.
    let unless_set = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_SECURITY_POLICY, API_POLICY)];
    for (name, value) in unless_set {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
