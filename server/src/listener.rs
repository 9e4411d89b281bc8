//! The listeners: our own accept loop, because every limit has to be really set
//! (`spec/security.md` 6). HTTPS for everybody, and plain HTTP for firmware that fetches boot files.
//!
//! 1. Accept, count against the whole listener and against the source.
//! 2. TLS alone: handshake under a deadline; ALPN chooses the HTTP/1 or HTTP/2 builder. The automatic
//!    builder has no header timeout while it detects the version, and hyper silently has none
//!    at all without a timer. Plain connections speak HTTP/1, on threads of their own, and the
//!    kernel sends their files.
//! 3. Serve until the peer leaves, idles or stalls too long, or the server stops. Stopping lets running
//!    requests end within [`ConnectionLimits::drain`], then cuts.

mod activity;
mod drivers;
mod sendfile;

pub(crate) use sendfile::{FileLane, MAX_STRETCH, Stretch};

use crate::places::{Place, Places};
use activity::Activity;
use axum::Router;
use axum::body::Body;
use drivers::Drivers;
use futures_util::FutureExt;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use sendfile::FileStream;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Limits of the listener. The defaults are those of `spec/security.md` 6.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Most connections at once.
    pub connections: usize,
    /// Most connections of one IPv4 address or IPv6 /64.
    pub per_source: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for a request's head.
    pub header: Duration,
    /// Longest silence between two requests of an HTTP/2 connection.
    pub idle: Duration,
    /// Longest time without a peer taking the next part of an answer.
    pub stalled: Duration,
    /// Longest time unacknowledged bytes may lie in a socket.
    pub unacknowledged: Duration,
    /// Longest wait for running requests when the server stops.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_source: 512,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(60),
            unacknowledged: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// Longest request head that is served, in bytes: name and value of every field.
pub(crate) const MAX_HEAD: usize = 16 * 1_024;
/// Longest that is read at all: far enough to say what was wrong with it.
const READ_HEAD: usize = 72 * 1_024;
/// Most header fields of a request.
pub(crate) const MAX_HEADERS: usize = 64;
/// Most requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 16;
/// Bytes of bodies that an HTTP/2 peer may send before somebody reads them: of one request, and
/// of all on the connection.
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 256 * 1_024;
/// Most bytes of one answer that wait for an HTTP/2 peer to take them.
const SEND_BUFFER: usize = 128 * 1_024;
/// Resets a peer may send ahead of us before its connection ends (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// Pause after a failed accept: file descriptors ran out, and come back when peers leave.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end, and the connection's place among the limits. Websockets keep a
/// clone, so that they count until they close.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Address and port of the peer.
    pub(crate) address: SocketAddr,
    /// Our own address that it came to; none for requests that came over no socket.
    pub(crate) reached: Option<SocketAddr>,
    _place: Option<Arc<Place>>,
    _alive: Option<mpsc::Sender<()>>,
}

impl Peer {
    /// A peer that takes no place: for requests that came over no socket.
    pub(crate) fn unconnected(address: SocketAddr) -> Self {
        Self { address, reached: None, _place: None, _alive: None }
    }
}

/// A request as if it had come over a connection from this address: for routers that are called
/// without a socket.
pub fn from_address<B>(mut request: hyper::Request<B>, address: SocketAddr) -> hyper::Request<B> {
    request.extensions_mut().insert(Peer::unconnected(address));
    request
}

/// Accepts and serves until `stopping`, then lets running requests end. Without `tls`, plain HTTP.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: ConnectionLimits,
    stopping: CancellationToken,
) {
    let places = Places::new(limits.connections, limits.per_source);
    let limits = Arc::new(limits);
    let door = Door { router, limits: Arc::clone(&limits), home: Handle::current(), stopping };
    let mut way = tls.map_or_else(|| Way::Plain(Drivers::start()), Way::Tls);
    let mut connections = JoinSet::new();
    // Every peer holds a sender, websockets too: the channel ends with the last of them.
    let (alive, mut ended) = mpsc::channel(1);
    loop {
        let accepted = tokio::select! {
            () = door.stopping.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(address.ip()) else {
            tracing::debug!(%address, "too many connections");
            continue;
        };
        let reached = stream.local_addr().ok();
        let peer = Peer { address, reached, _place: Some(Arc::new(place)), _alive: Some(alive.clone()) };
        let door = door.clone();
        match &mut way {
            Way::Tls(tls) => {
                let tls = tls.clone();
                connections.spawn(async move { door.by_tls(tls, stream, peer).await })
            }
            Way::Plain(drivers) => {
                let stream = stream.into_std();
                connections.spawn_on(async move { door.plainly(stream, peer).await }, drivers.next())
            }
        };
    }
    drop((listener, alive));
    drain(connections, &mut ended, limits.drain).await;
    match way {
        Way::Tls(_) => {}
        Way::Plain(drivers) => drivers.end().await,
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn drain(mut connections: JoinSet<()>, ended: &mut mpsc::Receiver<()>, patience: Duration) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
        // Nothing is ever sent: this waits for the last peer.
        ended.recv().await
    };
    if timeout(patience, all_ended).await.is_err() {
        tracing::info!("cutting connections that did not end in {} s", patience.as_secs());
        connections.shutdown().await;
    }
}

/// How peers come in.
enum Way {
    /// Served by the runtime that accepts them.
    Tls(TlsAcceptor),
    /// Served by others.
    Plain(Drivers),
}

/// What connections are served with.
#[derive(Clone)]
struct Door {
    router: Router,
    limits: Arc<ConnectionLimits>,
    /// The runtime that answers requests.
    home: Handle,
    stopping: CancellationToken,
}

/// What is said over a connection, with whom and how.
struct Talk {
    peer: Peer,
    activity: Arc<Activity>,
    /// Where the kernel can send files: over a plain connection, which another runtime drives.
    lane: Option<FileLane>,
    http2: bool,
}

impl Door {
    /// Serves plain HTTP on a runtime that the stream was not accepted on.
    async fn plainly(self, stream: io::Result<std::net::TcpStream>, peer: Peer) {
        let stream = match stream.and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(address = %peer.address, %error, "a connection cannot be driven");
                return;
            }
        };
        prepare(&stream, peer.address, &self.limits);
        let activity = Activity::new();
        let lane = FileLane::new(Arc::clone(&activity));
        let stream = FileStream::new(stream, lane.clone());
        self.serve(stream, Talk { peer, activity, lane: Some(lane), http2: false }).await;
    }

    /// Serves HTTP over TLS.
    async fn by_tls(self, tls: TlsAcceptor, stream: TcpStream, peer: Peer) {
        let (address, activity) = (peer.address, Activity::new());
        prepare(&stream, address, &self.limits);
        let handshake = tokio::select! {
            () = self.stopping.cancelled() => return,
            handshake = timeout(self.limits.handshake, tls.accept(stream)) => handshake,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.serve(stream, Talk { peer, activity, lane: None, http2 }).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        }
    }
}

fn prepare(stream: &TcpStream, address: SocketAddr, limits: &ConnectionLimits) {
    let millis = u32::try_from(limits.unacknowledged.as_millis()).unwrap_or(u32::MAX);
    let set = setsockopt(stream, sockopt::TcpUserTimeout, &millis)
        .and_then(|()| setsockopt(stream, sockopt::TcpNoDelay, &true));
    if let Err(error) = set {
        tracing::debug!(%address, %error, "socket options");
    }
}

impl Door {
    /// Talks until the peer leaves, idles or stalls too long, or the server stops.
    async fn serve<S>(&self, stream: S, talk: Talk)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Talk { peer, activity, lane, http2 } = talk;
        let (address, limits, stopping) = (peer.address, &*self.limits, self.stopping.clone());
        let sends_files = lane.is_some();
        let (router, home) = (TowerToHyperService::new(self.router.clone()), self.home.clone());
        let watched = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            let running = watched.begin();
            request.extensions_mut().insert(peer.clone());
            if let Some(lane) = &lane {
                request.extensions_mut().insert(lane.clone());
            }
            let answer = hyper::service::Service::call(&router, request);
            let answer = match &lane {
                None => Either::Left(answer.map(Ok)),
                Some(_) => Either::Right(AbortOnDropHandle::new(home.spawn(answer))),
            };
            async move {
                let answer: Result<Result<hyper::Response<Body>, Infallible>, JoinError> = answer.await;
                let Ok(answer) =
                    answer.inspect_err(|error| tracing::error!(%error, "a request's task failed"))?;
                Ok::<_, JoinError>(answer.map(|body| running.watch(body)))
            }
        });
        let io = TokioIo::new(stream);
        let ended = if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_pending_accept_reset_streams(MAX_RESETS)
                .max_header_list_size(u32::try_from(READ_HEAD).unwrap_or(u32::MAX))
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER);
            // No pings: behind a slow download their answers come too late, and a peer that is gone
            // is found by idling, stalling or TCP.
            let connection = pin!(builder.serve_connection(io, service));
            let over = async {
                tokio::select! {
                    () = activity.idle(limits) => {}
                    () = activity.stalled(limits) => {}
                }
            };
            until_stopped(connection, |c| c.graceful_shutdown(), over, stopping).await
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header)
                .max_headers(MAX_HEADERS)
                .max_header_size(READ_HEAD);
            if sends_files {
                // What bodies yield must come to the stream as it is, see `sendfile`. And GRUB 2.06 knows
                // a length only when it is written `Content-Length` (`grub-core/net/http.c`).
                builder.writev(true).title_case_headers(true);
            }
            let connection = pin!(builder.serve_connection(io, service).with_upgrades());
            until_stopped(connection, |c| c.graceful_shutdown(), activity.stalled(limits), stopping).await
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "connection ended");
        }
    }
}

/// Drives a connection; cuts it when it is over, asks it to end when the server stops.
async fn until_stopped<C>(
    mut connection: std::pin::Pin<&mut C>,
    end: impl Fn(std::pin::Pin<&mut C>),
    over: impl Future<Output = ()>,
    stopping: CancellationToken,
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    tokio::select! {
        ended = connection.as_mut() => return ended,
        // An idle peer has no running request to wait for, a stalled one takes nothing.
        () = over => return Ok(()),
        () = stopping.cancelled() => end(connection.as_mut()),
    }
    connection.await
}
