//! A server that is not Muster: an impostor with a CA of its own that counts what a client
//! tells it, or a pinned one that answers whatever a test wants.
//!
//! Real TLS by rustls under certificates made like the real server's: a CA, and a leaf for
//! `<server-id>.agent.internal`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use protocol::SERVER_ID_SUFFIX;
use protocol::ids::SpkiPin;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificate::Identity;
use crate::qemu::HOST_FROM_GUEST;

/// Longest silence of a client before its connection is closed.
const IDLE: Duration = Duration::from_secs(20);
/// Largest request that is read.
const MAX_REQUEST: usize = 256 * 1_024;

/// What clients did.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    bytes: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

/// A running fake; stops when dropped.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    pin: SpkiPin,
    ca_pem: String,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts one on a free loopback port. Every request is answered with `status` (such as
    /// `426 Upgrade Required`) and a JSON body.
    ///
    /// # Errors
    /// When no certificate can be made or no port is free.
    pub fn start(server_id: &str, status: &str, body: &str) -> Result<Self> {
        let identity = Identity::of(&[format!("{server_id}{SERVER_ID_SUFFIX}")], "Somebody's CA")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let address = listener.local_addr().context("a listener without an address")?;
        let seen = Arc::new(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ));
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || accept(&listener, &identity.config, &seen, &stop, &answer)
        });
        Ok(Self { address, pin: identity.pin, ca_pem: identity.ca_pem, seen, stop, thread: Some(thread) })
    }

    /// Where a machine on QEMU's user network reaches it.
    #[must_use]
    pub fn guest_url(&self) -> String {
        format!("https://{HOST_FROM_GUEST}:{}", self.address.port())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pin of its CA.
    #[must_use]
    pub fn pin(&self) -> SpkiPin {
        self.pin
    }

    /// Its CA's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// TCP connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// TLS handshakes that clients completed.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.seen.handshakes.load(Ordering::SeqCst)
    }

    /// Bytes of application data that it could decrypt.
    #[must_use]
    pub fn application_bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    /// Requests it received, whole, as text.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().map(|requests| requests.clone()).unwrap_or_default()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; when that fails it is not waiting.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn accept(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    seen: &Arc<Seen>,
    stop: &AtomicBool,
    answer: &Arc<String>,
) {
    while let Ok((stream, _)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (config, seen, answer) = (Arc::clone(config), Arc::clone(seen), Arc::clone(answer));
        std::thread::spawn(move || {
            // A client that breaks off is what tests look for: it shows in the counters.
            drop(serve(stream, &config, &seen, &answer));
        });
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, seen: &Seen, answer: &str) -> Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    seen.handshakes.fetch_add(1, Ordering::SeqCst);
    let request = read_request(&mut tls, seen)?;
    if let Ok(mut requests) = seen.requests.lock() {
        requests.push(request);
    }
    tls.write_all(answer.as_bytes())?;
    tls.conn.send_close_notify();
    tls.flush()?;
    Ok(())
}

fn read_request(tls: &mut StreamOwned<ServerConnection, TcpStream>, seen: &Seen) -> Result<String> {
    let end = Instant::now() + IDLE;
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    while request.len() < MAX_REQUEST && Instant::now() < end && !is_complete(&request) {
        match tls.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                seen.bytes.fetch_add(count, Ordering::SeqCst);
                request.extend(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the client broke off"),
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Whether an HTTP/1.1 request has arrived with its announced body.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= announced.unwrap_or(0)
}
