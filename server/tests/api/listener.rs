//! The listener with real sockets: TLS, deadlines, stopping. Limits are shortened, so that the
//! tests wait for them and not for a clock.

use crate::media::media_of;
use crate::support::{Fixture, start_with};
use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use server::ConnectionLimits;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Short enough to wait for, long enough for a busy machine's handshake.
const SHORT: Duration = Duration::from_secs(1);
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    connector: fn(&Path, &[u8]) -> TlsConnector,
    ca: std::path::PathBuf,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

async fn run(limits: ConnectionLimits) -> Running {
    running(start_with(|_, options| options.limits = limits).await)
}

fn running(fixture: Fixture) -> Running {
    let Fixture { router, server, directory, .. } = fixture;
    drop(router);
    let (stop, stopped) = oneshot::channel::<()>();
    let address = server.address();
    let server = tokio::spawn(server.run(async move {
        assert!(stopped.await.is_ok());
    }));
    let ca = directory.path().join("data/ca.pem");
    Running { address, connector, ca, stop, server, _directory: directory }
}

fn connector(ca: &Path, alpn: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

impl Running {
    async fn tls(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        (self.connector)(&self.ca, alpn).connect(name, stream).await.unwrap()
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = self.tls(b"http/1.1").await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Waits until the peer closes, and says how long that took.
async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let began = Instant::now();
    let mut buffer = [0; 1_024];
    let closed = tokio::time::timeout(PATIENCE, async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    });
    closed.await.expect("the server closes the connection");
    began.elapsed()
}

fn short() -> ConnectionLimits {
    ConnectionLimits { handshake: SHORT, header: SHORT, idle: SHORT, ..ConnectionLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_peers_are_closed_and_others_served() {
    let running = run(short()).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut without_request = running.tls(b"http/1.1").await;
    let mut half_a_head = running.tls(b"http/1.1").await;
    half_a_head.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
    let mut without_preface = running.tls(b"h2").await;
    let mut half_a_frame = running.tls(b"h2").await;
    half_a_frame.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0").await.unwrap();
    assert!(running.get("/healthz").await.starts_with("HTTP/1.1 200"));
    for took in [
        until_closed(&mut silent).await,
        until_closed(&mut without_request).await,
        until_closed(&mut half_a_head).await,
        until_closed(&mut without_preface).await,
        until_closed(&mut half_a_frame).await,
    ] {
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    assert!(running.get("/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_absurd_size_is_refused() {
    let running = run(ConnectionLimits::default()).await;
    for head in ["X-Long: ".to_owned() + &"a".repeat(17_000), "X-Many: a\r\n".repeat(70)] {
        let mut stream = running.tls(b"http/1.1").await;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), "HTTP/1.1 431");
    }
}

/// Bytes of the download that outlasts the limits; more than sockets hold.
const LARGE: usize = 24 * 1_024 * 1_024;

async fn with_download() -> Running {
    let change = |directory: &Path, options: &mut server::ServeOptions| {
        options.media_dir = Some(media_of(directory, LARGE));
        options.limits = ConnectionLimits { stalled: SHORT * 3, ..short() };
    };
    running(start_with(change).await)
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

/// The download over HTTP/2, begun: its body is read by the test.
async fn begin_download(running: &Running) -> (Sender, hyper::body::Incoming) {
    let io = TokioIo::new(running.tls(b"h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the client's connection ended");
        }
    });
    let request = hyper::Request::get("https://localhost/media/vmlinuz").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    (sender, answer.into_body())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_download_that_moves_is_not_cut() {
    let running = with_download().await;
    let (_sender, mut body) = begin_download(&running).await;
    let (began, mut read) = (Instant::now(), 0);
    while let Some(frame) = body.frame().await {
        read += frame.expect("the download goes on").data_ref().map_or(0, Bytes::len);
        // As slow as to take several times every limit.
        let due = SHORT * 6 * u32::try_from(read / 1_024).unwrap() / u32::try_from(LARGE / 1_024).unwrap();
        tokio::time::sleep_until((began + due).into()).await;
    }
    assert_eq!(read, LARGE);
    assert!(began.elapsed() > SHORT * 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn download_that_nobody_takes_is_cut() {
    let running = with_download().await;
    let (mut sender, mut body) = begin_download(&running).await;
    // Nothing is read until the server has given up: then the connection has ended.
    let ended = async {
        while sender.ready().await.is_ok() {
            tokio::time::sleep(SHORT / 4).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the server cuts the connection");
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    assert!(read < LARGE, "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_download_that_nobody_takes_is_cut() {
    let running = with_download().await;
    let mut stream = running.tls(b"http/1.1").await;
    stream.write_all(b"GET /media/vmlinuz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = vec![0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200");
    // The server gives the download's place back without anything being read.
    let metric = async {
        while !running.get("/metrics").await.contains("muster_downloads 0") {
            tokio::time::sleep(SHORT / 4).await;
        }
    };
    tokio::time::timeout(PATIENCE, metric).await.expect("the server cuts the connection");
    let mut read = Vec::new();
    let cut = stream.read_to_end(&mut read).await.is_err() || read.len() < LARGE;
    assert!(cut, "{}", read.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_has_its_share_of_connections() {
    let running = run(ConnectionLimits { per_source: 2, ..ConnectionLimits::default() }).await;
    let (first, second) = (running.tls(b"http/1.1").await, running.tls(b"http/1.1").await);
    let mut third = TcpStream::connect(running.address).await.unwrap();
    until_closed(&mut third).await;
    drop((first, second));
    // The places come back when the server has seen the peers leave.
    let served = tokio::time::timeout(PATIENCE, async {
        loop {
            let stream = TcpStream::connect(running.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            if (running.connector)(&running.ca, b"http/1.1").connect(name, stream).await.is_ok() {
                return;
            }
        }
    });
    served.await.expect("places are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_every_connection_and_the_server() {
    let drain = Duration::from_secs(2);
    let running = run(ConnectionLimits { drain, ..ConnectionLimits::default() }).await;
    let mut idle = running.tls(b"http/1.1").await;
    let mut stuck = running.tls(b"http/1.1").await;
    stuck.write_all(b"POST /api/v3/session HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{").await.unwrap();
    running.stop.send(()).unwrap();
    until_closed(&mut idle).await;
    until_closed(&mut stuck).await;
    tokio::time::timeout(PATIENCE, running.server).await.expect("the server ends").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
