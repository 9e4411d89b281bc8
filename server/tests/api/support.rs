//! A server in a directory of its own, called without sockets, and machines that sign.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use protocol::proof::{self, PROOF_HEADER, ProofClaims};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;
use server::{ServeOptions, Server};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use tempfile::TempDir;
use tower::ServiceExt;
use tracing_subscriber::filter::LevelFilter;

/// The address by which tests call the server.
pub(crate) const HOST: &str = "muster.test:8092";

/// A server and its directory.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) server: Server,
    pub(crate) directory: TempDir,
    pub(crate) password: String,
}

/// Everything that all tests of this program logged, at every level.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was logged so far.
pub(crate) fn logged() -> String {
    String::from_utf8_lossy(&LOG.0.lock().unwrap()).into_owned()
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) fn options(directory: &Path) -> ServeOptions {
    LazyLock::force(&LOG);
    let options = ServeOptions::new(directory.join("data"), (Ipv4Addr::LOCALHOST, 0).into());
    ServeOptions { reverse_dns: false, ..options }
}

pub(crate) async fn start() -> Fixture {
    start_with(|_, _| {}).await
}

/// Starts a server after `change` has seen its directory and options.
pub(crate) async fn start_with(change: impl FnOnce(&Path, &mut ServeOptions)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    change(directory.path(), &mut options);
    let server = server::start(options).await.unwrap();
    let password = std::fs::read_to_string(directory.path().join("data/admin-password")).unwrap();
    Fixture { router: server.router(), server, directory, password: password.trim().to_owned() }
}

impl Fixture {
    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, body }
    }

    /// A request without credentials.
    pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Body> {
        let builder = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        builder.body(Body::from(body.to_owned())).unwrap()
    }

    /// A request as the first user, by HTTP Basic.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Request<Body> {
        let mut request = Self::request(method, path, body);
        let pair = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("admin:{}", self.password),
        );
        request.headers_mut().insert(header::AUTHORIZATION, format!("Basic {pair}").parse().unwrap());
        request
    }

    /// Logs in: the cookie's value and the CSRF token.
    pub(crate) async fn login(&self) -> (String, String) {
        let body = serde_json::json!({"Username": "admin", "Password": self.password}).to_string();
        let answer = self.call(Self::request("POST", "/api/v3/session", &body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let cookie = answer.header(header::SET_COOKIE).split(';').next().unwrap().to_owned();
        (cookie, answer.json()["CsrfToken"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn server_id(&self) -> String {
        let info = self.call(self.admin("GET", "/api/v3/info", "")).await;
        info.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A machine with a key.
pub(crate) struct Machine {
    pair: Ed25519KeyPair,
    server_id: String,
    count: u64,
    pub(crate) nonce: String,
}

impl Machine {
    pub(crate) async fn new(fixture: &Fixture, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let answer = fixture.call(Fixture::request("POST", "/api/v3/agent/token", "{}")).await;
        let nonce = answer.header("dpop-nonce").to_owned();
        Self { pair, server_id: fixture.server_id().await, count: 0, nonce }
    }

    /// The key's thumbprint as text.
    pub(crate) fn thumbprint(&self) -> String {
        let public = self.pair.public_key().as_ref().try_into().unwrap();
        base64url(digest(&SHA256, proof::thumbprint_preimage(&public).as_bytes()).as_ref())
    }

    /// A signed request; with an access token when one is given.
    pub(crate) fn request(&mut self, path: &str, body: &str, access_token: Option<&str>) -> Request<Body> {
        self.count += 1;
        let hash = |bytes: &[u8]| base64url(digest(&SHA256, bytes).as_ref());
        let claims = ProofClaims {
            jti: format!("proof-{}", self.count),
            htm: "POST".into(),
            htu: proof::target(&self.server_id, path),
            sid: self.server_id.clone(),
            nonce: self.nonce.clone(),
            body_sha256: hash(body.as_bytes()),
            ath: access_token.map(|token| hash(token.as_bytes())),
        };
        let public = self.pair.public_key().as_ref().try_into().unwrap();
        let input = proof::signing_input(&public, &claims);
        let signed = proof::finish(&input, self.pair.sign(input.as_bytes()).as_ref());
        let mut request = Fixture::request("POST", path, body);
        request.headers_mut().insert(PROOF_HEADER, signed.parse().unwrap());
        if let Some(token) = access_token {
            request.headers_mut().insert(header::AUTHORIZATION, format!("DPoP {token}").parse().unwrap());
        }
        request
    }
}
