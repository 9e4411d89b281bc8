//! The HTTPS client: one server, one identity, JSON in and out.
//!
//! The server is always verified: by the CA the operator names, by the one kept at login, else
//! by the system's. There is no way to switch that off.

use super::{Connection, Credentials, DEFAULT_ENDPOINT, Refused};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use protocol::config::ServerUrl;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

/// Longest JSON answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1_024 * 1_024;
/// Longest CA file that is read, in bytes.
const MAX_CA: u64 = 256 * 1_024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server may be silent this long in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A server, and who we are to it.
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: ServerUrl,
    authorization: Option<HeaderValue>,
    ca: Option<String>,
}

impl Client {
    /// The server that flags, environment or the last login name, with the identity they give.
    pub(crate) fn open(connection: &Connection) -> Result<Self> {
        let login = Credentials::load(&Credentials::default_path()?)?;
        let mut client = Self::anonymous_with(connection, login.as_ref())?;
        client.authorization = match identity_from_environment()? {
            Some(identity) => Some(identity),
            None => login
                .filter(|login| login.endpoint == client.endpoint)
                .map(|login| secret_header(&format!("Bearer {}", login.token)))
                .transpose()?,
        };
        if client.authorization.is_none() {
            bail!(
                "nobody is logged in at {}: run `muster login`, or set MUSTER_USERNAME and MUSTER_PASSWORD, or MUSTER_API_TOKEN",
                client.endpoint
            );
        }
        Ok(client)
    }

    /// The server of a login that is kept, by its token and nothing else.
    pub(crate) fn of(login: &Credentials) -> Result<Self> {
        let mut client = Self::anonymous_with(&Connection::default(), Some(login))?;
        client.authorization = Some(secret_header(&format!("Bearer {}", login.token))?);
        Ok(client)
    }

    /// The same server without an identity: for what is public, and to log in.
    pub(crate) fn anonymous(connection: &Connection) -> Result<Self> {
        let login = Credentials::load(&Credentials::default_path()?)?;
        Self::anonymous_with(connection, login.as_ref())
    }

    fn anonymous_with(connection: &Connection, login: Option<&Credentials>) -> Result<Self> {
        let endpoint = match (&connection.endpoint, login) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(login)) => login.endpoint.clone(),
            (None, None) => DEFAULT_ENDPOINT.parse().context("the built-in address")?,
        };
        let ca = match &connection.ca {
            Some(path) => Some(read_ca(path)?),
            None => login.filter(|login| login.endpoint == endpoint).and_then(|login| login.ca.clone()),
        };
        let http = build(&endpoint, ca.as_deref(), Some(READ_TIMEOUT))?;
        Ok(Self { http, endpoint, authorization: None, ca })
    }

    /// The same for a request whose answer comes only after all that is sent, however long that takes.
    pub(crate) fn patient(mut self) -> Result<Self> {
        self.http = build(&self.endpoint, self.ca.as_deref(), None)?;
        Ok(self)
    }

    /// The server's address.
    pub(crate) fn endpoint(&self) -> &ServerUrl {
        &self.endpoint
    }

    /// PEM of the CA the server is recognised by, unless it is the system's.
    pub(crate) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// Whether a name and password speak for us.
    pub(crate) fn is_by_password(&self) -> bool {
        self.authorization.as_ref().is_some_and(|identity| identity.as_bytes().starts_with(b"Basic "))
    }

    /// Takes on an identity by name and password.
    pub(crate) fn set_password(&mut self, username: &str, password: &str) -> Result<()> {
        self.authorization = Some(basic(username, password)?);
        Ok(())
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::DELETE, path)).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// `PATCH path` with a JSON body.
    pub(crate) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.json(self.request(Method::PATCH, path).json(body)).await
    }

    /// `PUT path` with a JSON body.
    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    /// Sends a request whose answer is no JSON.
    pub(crate) async fn bytes(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>> {
        read_bounded(self.send(request).await?).await
    }

    /// A request with our identity.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.endpoint));
        match &self.authorization {
            Some(identity) => request.header(AUTHORIZATION, identity.clone()),
            None => request,
        }
    }

    /// Sends a request; an answer other than success becomes [`Refused`].
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.explain(error))?;
        let status = answer.status();
        if status.is_success() || status == reqwest::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let retry_after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = read_bounded(answer).await?;
        Err(Refused::read(status.as_u16(), retry_after.as_deref(), &body).into())
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let body = read_bounded(self.send(request).await?).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{} did not answer with JSON; is it a Muster server?", self.endpoint))
    }

    /// Turns a transport error into what the operator can do about it.
    fn explain(&self, error: reqwest::Error) -> anyhow::Error {
        let endpoint = &self.endpoint;
        let error = error.without_url();
        let trouble = Trouble::of(&error);
        let chain = anyhow!(error);
        match trouble {
            Trouble::Certificate => {
                let by = if self.ca.is_some() { "the given CA" } else { "a CA this machine trusts" };
                anyhow!(
                    "the certificate of {endpoint} is not signed by {by}, or not for this name: pass MUSTER_CA=DATA_DIR/ca.pem (the file lies in the server's data directory): {chain:#}"
                )
            }
            Trouble::Refused => anyhow!(
                "nothing listens at {endpoint}: start it with `muster serve`, or name another with --endpoint"
            ),
            Trouble::Other => anyhow!("{endpoint} cannot be reached: {chain:#}"),
        }
    }
}

/// What kept a request from its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The server could not be verified.
    Certificate,
    /// The port is closed.
    Refused,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Looks through an error's causes.
    fn of(error: &(dyn Error + 'static)) -> Self {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Self::Certificate;
        }
        // What an I/O error carries is not among its sources; TLS errors travel inside, twice.
        let (inner, kind) = match error.downcast_ref::<io::Error>() {
            Some(io) => (io.get_ref().map(|inner| inner as &(dyn Error + 'static)), Some(io.kind())),
            None => (None, None),
        };
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return Self::Refused;
        }
        inner.or_else(|| error.source()).map_or(Self::Other, Self::of)
    }
}

/// Reads a typed object out of an answer.
pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).context("the server's answer is not what this version of muster understands")
}

/// A path segment with everything but unreserved characters percent-encoded (RFC 3986 2.3).
pub(crate) fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out
}

fn build(endpoint: &ServerUrl, ca: Option<&str>, read_timeout: Option<Duration>) -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // Refused only where one is installed already, and this program knows no other than ring.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")));
    if let Some(timeout) = read_timeout {
        builder = builder.read_timeout(timeout);
    }
    if let Some(pem) = ca {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).context("the CA is not PEM")?;
        if certificates.is_empty() {
            bail!("the CA file holds no certificate; it is the server's ca.pem that is wanted");
        }
        builder = builder.tls_certs_only(certificates);
    }
    let local =
        endpoint.host() == "localhost" || endpoint.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if local {
        builder = builder.no_proxy();
    }
    builder.build().context("the HTTPS client did not start")
}

fn read_ca(path: &Path) -> Result<String> {
    use io::Read as _;
    let told = || format!("the CA file {} cannot be read", path.display());
    let mut text = String::new();
    std::fs::File::open(path)
        .with_context(told)?
        .take(MAX_CA)
        .read_to_string(&mut text)
        .with_context(told)?;
    Ok(text)
}

fn identity_from_environment() -> Result<Option<HeaderValue>> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = set("MUSTER_API_TOKEN") {
        return secret_header(&format!("Bearer {token}")).map(Some);
    }
    match (set("MUSTER_USERNAME"), set("MUSTER_PASSWORD")) {
        (Some(username), Some(password)) => basic(&username, &password).map(Some),
        (None, Some(_)) => bail!("MUSTER_PASSWORD is set and MUSTER_USERNAME is not: both or neither"),
        _ => Ok(None),
    }
}

fn basic(username: &str, password: &str) -> Result<HeaderValue> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    secret_header(&format!("Basic {pair}"))
}

fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .ok()
        .context("the token or password has characters no header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_bounded(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(reqwest::Error::without_url).context("the answer broke off")?
    {
        if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
            bail!("the answer is larger than {MAX_ANSWER} bytes, more than this program reads");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_one_path_segment() {
        assert_eq!(encode("Name:web-1.example"), "Name:web-1.example");
        assert_eq!(encode("../a b?é"), "..%2Fa%20b%3F%C3%A9");
    }

    #[test]
    fn an_identity_is_never_shown() {
        let value = basic("admin", "hunter2").unwrap();
        assert!(value.is_sensitive());
        assert_eq!(value.to_str().unwrap(), "Basic YWRtaW46aHVudGVyMg==");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named_as_such() {
        let endpoint = DEFAULT_ENDPOINT.parse().unwrap();
        let told = build(&endpoint, Some("hello"), None).unwrap_err().to_string();
        assert_eq!(told, "the CA file holds no certificate; it is the server's ca.pem that is wanted");
    }
}
