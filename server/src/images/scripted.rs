//! A registry of a few lines, on loopback, that misbehaves as it is told.

use super::{Login, Place, Trust};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::image_hosts::ImageHosts;
use futures_util::{StreamExt as _, stream};
use imaging::digest::Digest;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// How a registry asks who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Nobody,
    Basic,
    Bearer,
}

/// What a registry does with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Breaks off after so many bytes of each answer.
    BreaksAfter(usize),
    /// Flips this bit.
    Flips(usize),
    RedirectsTo(String),
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) wants: Wants,
    pub(crate) mood: Mutex<Mood>,
    pub(crate) manifests: HashMap<String, (String, Vec<u8>)>,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// Method-less log: path, and the authorization's scheme.
    asked: Mutex<Vec<(String, String)>>,
    pub(crate) sent: Mutex<u64>,
}

/// A registry that runs.
pub(crate) struct TestRegistry {
    pub(crate) script: Arc<Script>,
    pub(crate) address: SocketAddr,
}

fn bytes_of(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// A large layer that does not repeat.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// `site/os:1` for amd64 with one layer, in an index with an attestation, and `site/os:plain` alone.
pub(crate) fn script(wants: Wants, layer: &[u8]) -> Script {
    let config = bytes_of(&json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"unpacked").to_string()]},
    }));
    let manifest = bytes_of(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor(LAYER, layer)],
    }));
    let mut ours = descriptor(MANIFEST, &manifest);
    ours["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut attestation = descriptor(MANIFEST, b"{}");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let index = bytes_of(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, ours]}));
    let schema1 = bytes_of(&json!({"schemaVersion": 1, "name": "site/os", "fsLayers": []}));
    let manifests = [
        ("1", INDEX, &index),
        ("plain", MANIFEST, &manifest),
        (Digest::of(&manifest).to_string().as_str(), MANIFEST, &manifest),
        (Digest::of(b"other").to_string().as_str(), MANIFEST, &manifest),
        ("old", "application/vnd.docker.distribution.manifest.v1+json", &schema1),
        ("huge", MANIFEST, &vec![b' '; 5 * 1_024 * 1_024]),
    ]
    .into_iter()
    .map(|(target, media_type, body)| (target.to_owned(), (media_type.to_owned(), body.clone())))
    .collect();
    let blobs = [config, layer.to_vec()].map(|blob| (Digest::of(&blob).to_string(), blob)).into();
    Script {
        wants,
        mood: Mutex::new(Mood::Fine),
        manifests,
        blobs,
        asked: Mutex::default(),
        sent: Mutex::default(),
    }
}

impl TestRegistry {
    pub(crate) async fn start(script: Script) -> Self {
        let script = Arc::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state((Arc::clone(&script), address));
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { script, address }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust { hosts: Arc::new(self.address.to_string().parse::<ImageHosts>().unwrap()), ca: "".into() }
    }

    pub(crate) fn place(&self, target: &str) -> Place {
        self.place_of(target, Some(("reader", "hunter2")))
    }

    pub(crate) fn place_of(&self, target: &str, login: Option<(&str, &str)>) -> Place {
        let reference = format!("{}/site/os{target}", self.address).parse().unwrap();
        let login = login.map(|(username, password)| Login {
            registry: self.address.to_string(),
            username: username.to_owned(),
            password: password.to_owned(),
        });
        Place::new(reference, login, self.trust(), true).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(crate) fn is_in(&self, mood: Mood) {
        *self.script.mood.lock().unwrap() = mood;
    }
}

async fn answer(State((script, address)): State<(Arc<Script>, SocketAddr)>, request: Request) -> Response {
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scheme = shown.split(' ').next().unwrap_or_default().to_owned();
    script.asked.lock().unwrap().push((path.clone(), scheme));
    let basic = format!("Basic {}", STANDARD.encode("reader:hunter2"));
    if path == "/token" {
        let expected = "service=test&scope=repository%3Asite%2Fos%3Apull";
        return match shown == basic && query == expected {
            true => json!({"token": "secret-token", "expires_in": 300}).to_string().into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        };
    }
    let (challenge, known) = match script.wants {
        Wants::Nobody => (String::new(), true),
        Wants::Basic => (r#"Basic realm="test""#.to_owned(), shown == basic),
        Wants::Bearer => {
            let challenge = format!(r#"Bearer realm="http://{address}/token",service="test",scope="other""#);
            (challenge, shown == "Bearer secret-token")
        }
    };
    if !known {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    if let Some(target) = path.strip_prefix("/v2/site/os/manifests/") {
        return match script.manifests.get(target) {
            Some((media_type, body)) => {
                ([(header::CONTENT_TYPE, media_type.clone())], body.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    match path.strip_prefix("/v2/site/os/blobs/").and_then(|digest| script.blobs.get(digest)) {
        Some(bytes) => blob(&script, bytes, &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn blob(script: &Script, bytes: &[u8], headers: &HeaderMap) -> Response {
    let mood = script.mood.lock().unwrap().clone();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')?.0.parse::<usize>().ok());
    let (first, mut rest) = (from.unwrap_or(0), bytes.get(from.unwrap_or(0)..).unwrap().to_vec());
    let announced = rest.len();
    let broken = match mood {
        Mood::Fine => false,
        Mood::BreaksAfter(count) => {
            rest.truncate(count);
            rest.len() < announced
        }
        Mood::Flips(bit) => {
            rest[bit / 8] ^= 1 << (bit % 8);
            false
        }
        Mood::RedirectsTo(to) => {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response();
        }
    };
    *script.sent.lock().unwrap() += rest.len() as u64;
    let mut parts = vec![Ok(rest)];
    if broken {
        parts.push(Err(io::Error::other("broken off")));
    }
    let status = if from.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let range = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
    let headers = [(header::CONTENT_RANGE, range), (header::CONTENT_LENGTH, announced.to_string())];
    // What was said is sent before more is said.
    let parts = stream::iter(parts).then(|part| async {
        tokio::task::yield_now().await;
        part
    });
    (status, headers, Body::from_stream(parts)).into_response()
}
