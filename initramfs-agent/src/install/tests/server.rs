//! A server for verbs, over real TLS: progress, an order, and files in ranges, with faults at will.

use crate::api::tls::tests::Authority;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What goes wrong with an answer. Progress is told without fault.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Broken off after so many bytes.
    Cut(usize),
    /// One bit of this byte of the file is another.
    Flip(usize),
    /// A status with words.
    Refuse(u16, &'static str),
    /// No time, with seconds to wait.
    Busy(u64),
    /// The whole file, whatever was asked for.
    Whole,
    /// The file is another since: its tag changes.
    Changed,
    /// More bytes than the file has.
    Longer,
    /// Nothing more is said after so many bytes.
    Stall(usize),
    /// Pieces of so many bytes, a moment apart.
    Slow(usize),
}

/// A call that was heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Its head.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Vec<Heard>,
    files: BTreeMap<String, Vec<u8>>,
    faults: VecDeque<Fault>,
    is_cancelled: bool,
    tag: u32,
    sent: usize,
}

/// The server. It ends with the value.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) pin: String,
    /// The certificate of its CA, as PEM.
    pub(crate) ca: String,
    /// Gone with the server.
    pub(crate) folder: tempfile::TempDir,
    shared: Arc<Mutex<Shared>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::named(&["dc1.agent.internal"])
    }

    /// A server with a certificate for these names.
    pub(crate) fn named(names: &[&str]) -> Self {
        let ca = Authority::new();
        let acceptor = ca.acceptor(names, 2020..=2090);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shared = Arc::<Mutex<Shared>>::default();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let state = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap(),
                        _ = &mut stopped => return,
                    };
                    let (acceptor, state) = (acceptor.clone(), state.clone());
                    // A client that goes away in the middle of an answer is no fault of the server.
                    tokio::spawn(async move { converse(acceptor, stream, &state).await.unwrap_or(()) });
                }
            });
        });
        Self {
            url,
            pin: ca.pin().to_string(),
            ca: ca.pem(),
            folder: tempfile::tempdir().unwrap(),
            shared,
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread)),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// Has a file at every path that ends so.
    pub(crate) fn give(&self, path: &str, file: Vec<u8>) {
        self.shared().files.insert(path.to_owned(), file);
    }

    /// The file at a path that ends so.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let shared = self.shared();
        let file = shared.files.iter().find(|(known, _)| known.ends_with(path));
        file.map(|(_, file)| file.clone()).unwrap()
    }

    /// Goes wrong with the next answer that has no fault yet.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared().faults.push_back(fault);
    }

    pub(crate) fn cancel(&self) {
        self.shared().is_cancelled = true;
    }

    /// Calls to paths that end so.
    pub(crate) fn heard(&self, path: &str) -> Vec<Heard> {
        let is_asked = |heard: &&Heard| target(&heard.head).ends_with(path);
        self.shared().heard.iter().filter(is_asked).cloned().collect()
    }

    /// Bytes of files that were sent.
    pub(crate) fn sent(&self) -> usize {
        self.shared().sent
    }

    /// Goes away for good.
    pub(crate) fn stop(&self) {
        drop(self.stop.lock().unwrap().take());
        if let Some(thread) = self.thread.lock().unwrap().take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

async fn converse(acceptor: TlsAcceptor, stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let heard = hear(&mut stream).await?;
    let (path, is_progress) = (target(&heard.head).to_owned(), target(&heard.head).ends_with("/progress"));
    let (file, fault, is_cancelled, tag) = {
        let mut shared = shared.lock().unwrap();
        shared.heard.push(heard.clone());
        let fault = if is_progress { None } else { shared.faults.pop_front() };
        if matches!(fault, Some(Fault::Changed)) {
            shared.tag += 1;
        }
        let file = shared.files.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, file)| file.clone());
        (file, fault, shared.is_cancelled, shared.tag)
    };
    if is_progress {
        let body = format!("{{\"Cancelled\":{is_cancelled}}}");
        return send(&mut stream, &format!("200 OK\r\ncontent-length: {}", body.len()), body.as_bytes())
            .await;
    }
    match (fault, file) {
        (Some(Fault::Refuse(status, words)), _) => {
            let body = format!("{{\"Messages\":[\"{words}\"]}}");
            let head = format!("{status} No\r\ncontent-length: {}", body.len());
            send(&mut stream, &head, body.as_bytes()).await
        }
        (Some(Fault::Busy(seconds)), _) => {
            let head = format!("503 Later\r\nretry-after: {seconds}\r\ncontent-length: 0");
            send(&mut stream, &head, b"").await
        }
        (_, None) => send(&mut stream, "404 Not Found\r\ncontent-length: 0", b"").await,
        (fault, Some(file)) => {
            let sent = answer(&mut stream, &heard.head, file, fault, tag, shared).await;
            sent.and(Ok(()))
        }
    }
}

/// A file from the first byte asked for.
async fn answer(
    stream: &mut TlsStream<TcpStream>,
    head: &str,
    mut file: Vec<u8>,
    fault: Option<Fault>,
    tag: u32,
    shared: &Mutex<Shared>,
) -> std::io::Result<()> {
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let range = header("range: bytes=").filter(|_| !matches!(fault, Some(Fault::Whole)));
    let range = range.filter(|_| header("if-range: ").is_none_or(|asked| asked == format!("\"{tag}\"")));
    let from = range.map_or(0, |range| range.strip_suffix('-').unwrap().parse::<usize>().unwrap());
    if let Some(Fault::Flip(at)) = fault {
        file[at] ^= 1 << (at % 8);
    }
    let size = file.len();
    if matches!(fault, Some(Fault::Longer)) {
        file.extend([0; 10]);
    }
    let rest = &file[from..];
    let status = if from == 0 {
        "200 OK".to_owned()
    } else {
        format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{size}", size - 1)
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{tag}\"\r\n\r\n", rest.len());
    stream.write_all(head.as_bytes()).await?;
    let (end, piece) = match fault {
        Some(Fault::Cut(at) | Fault::Stall(at)) => (at.min(rest.len()), rest.len()),
        Some(Fault::Slow(piece)) => (rest.len(), piece),
        _ => (rest.len(), rest.len()),
    };
    for piece in rest[..end].chunks(piece.max(1)) {
        stream.write_all(piece).await?;
        stream.flush().await?;
        shared.lock().unwrap().sent += piece.len();
        if matches!(fault, Some(Fault::Slow(_))) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    if matches!(fault, Some(Fault::Stall(_))) {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}

async fn hear(stream: &mut TlsStream<TcpStream>) -> std::io::Result<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Heard { head, body })
}

async fn send(stream: &mut TlsStream<TcpStream>, head: &str, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
