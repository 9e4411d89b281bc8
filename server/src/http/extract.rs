//! Who calls and with what: the only ways into a handler.
//!
//! [`Operator`] is somebody logged in (session cookie, HTTP Basic, API token or machine token),
//! [`Proven`] a machine whose proof holds for this very request, [`AgentCall`] a registered machine, its
//! access token included. All refuse before the handler runs.

use super::Http;
use super::ask::Pairs;
use super::body::{self, AGENT_BODY, MACHINE_BODY, OPERATOR_BODY};
use super::error::HttpError;
use super::observe::RequestId;
use crate::app::{Actor, AppError, AppErrorKind, LoggedIn, LoginOrigin, MachineActor};
use crate::keys::{Call, MachineCaller, ProofRefusal};
use crate::listener::Peer;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::agent_api::RefusalKind;
use protocol::ids::EnrollmentId;
use protocol::proof::PROOF_HEADER;
use protocol::{PROTOCOL_HEADER, ProtocolVersion};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Name of the session's cookie; by its prefix browsers take it from this very host only.
pub(crate) const SESSION_COOKIE: &str = "__Host-muster_session";
/// Header that changes in a session carry.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Longest `Authorization` and `Cookie` that are looked at, in characters.
const MAX_CREDENTIAL: usize = 4_096;
/// Seconds after which a machine that was refused for want of a place should come back.
const RETRY_AFTER: u64 = 2;
/// Longest wait that a machine may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who is at the other end of the connection.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Its address.
    pub(crate) source: IpAddr,
    /// Id of the request.
    pub(crate) request_id: String,
    /// Its connection.
    pub(crate) peer: Peer,
}

impl Caller {
    fn of(extensions: &axum::http::Extensions) -> Self {
        let nobody = || Peer::unconnected((Ipv4Addr::LOCALHOST, 0).into());
        let peer = extensions.get::<Peer>().cloned().unwrap_or_else(nobody);
        let request_id = extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Self { source: peer.address.ip().to_canonical(), request_id, peer }
    }

    /// The same for the log-in.
    pub(crate) fn origin(&self) -> LoginOrigin<'_> {
        LoginOrigin { source: self.source, request_id: &self.request_id }
    }
}

impl FromRequestParts<Http> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct Operator {
    /// Who, and until when.
    pub(crate) login: LoggedIn,
    /// The session's secret, when a cookie spoke.
    pub(crate) session: Option<String>,
}

impl Operator {
    /// Who it is.
    pub(crate) fn actor(&self) -> &Actor {
        &self.login.actor
    }
}

impl FromRequestParts<Http> for Operator {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let caller = Caller::of(&parts.extensions);
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && is_foreign_page(parts) {
            return Err(foreign_page());
        }
        if let Some(login) = by_authorization(parts, http, &caller).await? {
            return Ok(Self { login, session: None });
        }
        let secret = cookie(&parts.headers, SESSION_COOKIE).ok_or_else(|| unauthenticated("log in first"))?;
        let login = http.app.by_session(&secret, caller.origin()).await?;
        if changes && !(is_same_origin(parts) && has_csrf_token(parts, &http.app.csrf_token(&secret))) {
            return Err(AppError::new(
                AppErrorKind::Forbidden,
                "changes in a session need its X-CSRF-Token and come from the dashboard itself",
            )
            .into());
        }
        Ok(Self { login, session: Some(secret) })
    }
}

/// Who the `Authorization` header speaks for; `None` without one.
async fn by_authorization(
    parts: &Parts,
    http: &Http,
    caller: &Caller,
) -> Result<Option<LoggedIn>, HttpError> {
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let unreadable = || forbidden("there must be one Authorization header, Basic or Bearer");
    let text = text(&parts.headers, header::AUTHORIZATION.as_str());
    let text = text.filter(|text| text.len() <= MAX_CREDENTIAL).ok_or_else(unreadable)?;
    let (scheme, credential) = text.split_once(' ').ok_or_else(unreadable)?;
    let login = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => http.app.by_token(credential.trim(), caller.origin()).await.map_err(refused)?,
        "basic" => {
            let decoded =
                STANDARD.decode(credential.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or_else(unreadable)?;
            let (name, password) = decoded.split_once(':').ok_or_else(unreadable)?;
            http.app.by_password(name, password, caller.origin()).await.map_err(refused)?
        }
        "dpop" => return Err(forbidden("machines may not call this")),
        _ => return Err(unreadable()),
    };
    Ok(Some(login))
}

fn has_csrf_token(parts: &Parts, expected: &str) -> bool {
    parts.headers.get(CSRF_HEADER).is_some_and(|token| is_csrf_token(token.as_bytes(), expected))
}

/// Whether a caller said the session's token.
pub(crate) fn is_csrf_token(token: &[u8], expected: &str) -> bool {
    // Both sides are MACs of a secret: comparing their digests tells nothing by its time.
    let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    digest(token).as_ref() == digest(expected.as_bytes()).as_ref()
}

/// Whether the `Origin` header names the very address this request was sent to.
fn is_same_origin(parts: &Parts) -> bool {
    let origin = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    match (origin, authority(parts)) {
        (Some(origin), Some(authority)) => {
            origin.strip_prefix("https://").is_some_and(|host| host.eq_ignore_ascii_case(&authority))
        }
        _ => false,
    }
}

/// Whether a browser says that a page of another site asks.
fn is_foreign_page(parts: &Parts) -> bool {
    parts.headers.contains_key(header::ORIGIN) && !is_same_origin(parts)
}

/// Host and port a request was sent to: HTTP/2's `:authority`, else the `Host` header.
pub(crate) fn authority(parts: &Parts) -> Option<String> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => parts.headers.get(header::HOST)?.to_str().ok().map(str::to_owned),
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.filter(|text| text.len() <= MAX_CREDENTIAL)
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

fn unauthenticated(message: &str) -> HttpError {
    AppError::new(AppErrorKind::Unauthenticated, message).into()
}

fn forbidden(message: &str) -> HttpError {
    AppError::new(AppErrorKind::Forbidden, message).into()
}

/// Wrong credentials are refused for good; who shows none is asked for them.
fn refused(mut error: AppError) -> HttpError {
    if error.kind == AppErrorKind::Unauthenticated {
        error.kind = AppErrorKind::Forbidden;
    }
    error.into()
}

/// Who a websocket's address speaks for, `?token=` an API token, a machine's token or
/// `USER:PASSWORD`, since browsers cannot give it a header. `None` without one.
async fn by_query(parts: &mut Parts, http: &Http, caller: &Caller) -> Result<Option<LoggedIn>, HttpError> {
    let Pairs(pairs) = Pairs::from_request_parts(parts, http).await?;
    let Some((_, token)) = pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case("token")) else {
        return Ok(None);
    };
    if token.len() > MAX_CREDENTIAL {
        return Err(forbidden("the token is too long to be one"));
    }
    let login = match token.split_once(':') {
        Some((name, password)) => http.app.by_password(name, password, caller.origin()).await,
        None => http.app.by_token(token, caller.origin()).await,
    };
    login.map(Some).map_err(refused)
}

/// Somebody who is logged in, and with a cookie only from a page of this very server: for
/// websockets, which browsers open from any page.
#[derive(Debug)]
pub(crate) struct OwnPage(pub(crate) Operator);

impl FromRequestParts<Http> for OwnPage {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            let caller = Caller::of(&parts.extensions);
            if let Some(login) = by_query(parts, http, &caller).await? {
                return Ok(Self(Operator { login, session: None }));
            }
        }
        let OwnSocket(operator) = OwnSocket::from_request_parts(parts, http).await?;
        Ok(Self(operator))
    }
}

/// The same without a credential in the address, which logs and histories keep.
#[derive(Debug)]
pub(crate) struct OwnSocket(pub(crate) Operator);

impl FromRequestParts<Http> for OwnSocket {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let operator = Operator::from_request_parts(parts, http).await?;
        if operator.session.is_some() && !is_same_origin(parts) {
            return Err(foreign_page());
        }
        Ok(Self(operator))
    }
}

/// The secret of `Authorization: Bearer`, whatever it is good for; empty without one.
#[derive(Debug)]
pub(crate) struct Secret(pub(crate) String);

impl FromRequestParts<Http> for Secret {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, Infallible> {
        let said = text(&parts.headers, header::AUTHORIZATION.as_str());
        let said = said.filter(|text| text.len() <= MAX_CREDENTIAL).and_then(|text| text.split_once(' '));
        let secret = said.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(Self(secret.map(|(_, secret)| secret.trim().to_owned()).unwrap_or_default()))
    }
}

/// Somebody who is logged in, for a GET that hands out a secret: a session shows its CSRF token as for
/// a change, and no page of another site asks.
#[derive(Debug)]
pub(crate) struct Deliberate(pub(crate) Operator);

impl FromRequestParts<Http> for Deliberate {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        if is_foreign_page(parts) {
            return Err(foreign_page());
        }
        let operator = Operator::from_request_parts(parts, http).await?;
        match &operator.session {
            Some(secret) if !has_csrf_token(parts, &http.app.csrf_token(secret)) => {
                Err(forbidden("a session needs its X-CSRF-Token for this"))
            }
            Some(_) | None => Ok(Self(operator)),
        }
    }
}

/// No page of another site asks: keeps them from logging people in.
#[derive(Debug)]
pub(crate) struct NoForeignPage;

impl FromRequestParts<Http> for NoForeignPage {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, HttpError> {
        if is_foreign_page(parts) { Err(foreign_page()) } else { Ok(Self) }
    }
}

fn foreign_page() -> HttpError {
    AppError::new(AppErrorKind::Forbidden, "this is for this server's own pages").into()
}

/// The JSON body of an operator's call, at most `LIMIT` bytes. Comes after [`Operator`], so
/// that strangers' bodies are not read.
#[derive(Debug)]
pub(crate) struct Json<T, const LIMIT: usize = OPERATOR_BODY>(pub(crate) T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Http> for Json<T, LIMIT> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        let bytes = body::read(request, LIMIT).await?;
        body::parse(&bytes).map(Self)
    }
}

/// A machine's call: its key proved itself for this method, path and body.
#[derive(Debug)]
pub(crate) struct Proven<T> {
    /// Who proved what.
    pub(crate) caller: MachineCaller,
    /// The body.
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<Http> for Proven<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, http: &Http) -> Result<Self, HttpError> {
        let (caller, bytes) = prove(request, http, MACHINE_BODY).await?;
        Ok(Self { caller, body: body::parse(&bytes)? })
    }
}

/// Verifies a machine's call: its head before a byte of the body is kept, then the body, of at
/// most `limit` bytes; more than [`MACHINE_BODY`] is for registered machines only.
async fn prove(request: Request, http: &Http, limit: usize) -> Result<(MachineCaller, Bytes), HttpError> {
    check_protocol(request.headers())?;
    body::check_announced(request.headers(), limit)?;
    let caller = Caller::of(request.extensions());
    let (parts, body) = request.into_parts();
    let call = Call {
        proof: text(&parts.headers, PROOF_HEADER).unwrap_or_default(),
        method: parts.method.as_str(),
        path: parts.uri.path(),
        access_token: text(&parts.headers, header::AUTHORIZATION.as_str())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("dpop"))
            .map(|(_, token)| token.trim()),
        source: caller.source,
        request_id: &caller.request_id,
    };
    let head = match http.app.prove_head(&call).await {
        Ok(head) => head,
        Err(refused) => {
            body::discard(body, limit).await?;
            return Err(refused.into());
        }
    };
    let limit = if head.is_registered() { limit } else { MACHINE_BODY };
    // Anybody can sign with a key of their own: until the body is proven too, it takes a place.
    let Some(_place) = http.unproven.take(caller.source) else {
        body::discard(body, limit).await?;
        let busy = AppError::new(AppErrorKind::Unavailable, "too many requests at once; try again");
        return Err(busy.after(RETRY_AFTER).into());
    };
    let bytes = body::read(Request::new(body), limit).await?;
    let caller = http.app.prove_body(head, &call, &bytes).await?;
    Ok((caller, bytes))
}

/// A registered machine's call: proof and access token hold.
#[derive(Debug)]
pub(crate) struct AgentCall<T> {
    /// The machine.
    pub(crate) actor: Actor,
    /// The body.
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<Http> for AgentCall<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, http: &Http) -> Result<Self, HttpError> {
        let (caller, bytes) = prove(request, http, AGENT_BODY).await?;
        let without_token =
            || AppError::refused(RefusalKind::InvalidAccessToken, ProofRefusal::AccessToken.to_string());
        let id = caller.machine.ok_or_else(without_token)?;
        let MachineCaller { key, source, request_id, machine: _ } = caller;
        Ok(Self {
            actor: Actor::Machine(MachineActor { id, key, source, request_id }),
            body: body::parse(&bytes)?,
        })
    }
}

/// Refuses a protocol version that this server does not speak. A caller that names none
/// speaks the first.
fn check_protocol(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(value) = headers.get(PROTOCOL_HEADER) else { return Ok(()) };
    let version: Option<ProtocolVersion> = value.to_str().ok().and_then(|text| text.parse().ok());
    if version.is_some_and(ProtocolVersion::is_spoken) {
        return Ok(());
    }
    let message = format!(
        "this server speaks protocol {} to {}; boot a medium that was downloaded from it",
        ProtocolVersion::OLDEST,
        ProtocolVersion::CURRENT
    );
    Err(AppError::refused(RefusalKind::UnsupportedProtocol, message).into())
}

/// A header's only value; `None` when it is missing, repeated or not text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// How long the caller lets the server hold the answer: `Prefer: wait=SECONDS` (RFC 7240).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait(pub(crate) Duration);

impl FromRequestParts<Http> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, Infallible> {
        let preferences = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let seconds = preferences
            .flat_map(|text| text.split(','))
            .filter_map(|preference| preference.trim().strip_prefix("wait="))
            .find_map(|seconds| seconds.trim().parse().ok())
            .unwrap_or(0);
        Ok(Self(Duration::from_secs(seconds).min(LONGEST_WAIT)))
    }
}

/// Which part of a long list: `?limit=NUMBER&after=ID`. Ids have no characters that need decoding.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The part begins behind the object of this id; absent, with the first.
    pub(crate) after: Option<String>,
    /// Most objects in it.
    pub(crate) limit: Option<u32>,
}

impl FromRequestParts<Http> for Page {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, HttpError> {
        let query = parts.uri.query().unwrap_or_default();
        let named = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let limit = named("limit").map(str::parse).transpose();
        let limit = limit.map_err(|_| body::bad_request("limit must be a number"))?;
        Ok(Self { after: named("after").map(str::to_owned), limit })
    }
}

/// The `{id}` of an enrollment's path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnrollmentPath(pub(crate) EnrollmentId);

impl FromRequestParts<Http> for EnrollmentPath {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let Key(text) = Key::from_request_parts(parts, http).await?;
        text.parse().map(Self).map_err(|_| AppError::not_found("enrollments", &text).into())
    }
}

/// The one parameter of a path, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Key(pub(crate) String);

impl FromRequestParts<Http> for Key {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let path = Path::<String>::from_request_parts(parts, http).await;
        path.map(|Path(key)| Self(key)).map_err(|_| body::bad_request("the address is not readable text"))
    }
}
