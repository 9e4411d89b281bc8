//! Downloads over real sockets: what the kernel sends and what is laid over it arrive as one file,
//! byte by byte, whatever the peer does.

use super::*;
use crate::listener::{self, ConnectionLimits};
use crate::places::Places;
use axum::Router;
use axum::routing::get;
use iso::patch::Patch;
use iso::region::Region;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than two stretches, and no multiple of anything.
const LEN: usize = 2 * MAX_STRETCH + 54_321;
/// Bytes that the sockets of both ends take, about.
const SOCKET: u32 = 32 * 1_024;
/// Far longer than that.
const LONG: usize = 8 << 20;
const ETAG: &str = "\"v1\"";
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short enough to wait for, long enough for a busy machine.
const SHORT: Duration = Duration::from_secs(1);

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()).collect()
}

/// A door that serves one file, with patches, under every path.
#[derive(Clone)]
struct Shelf {
    file: PathBuf,
    patches: Vec<Patch>,
    places: Arc<Places>,
}

async fn hand_out(State(shelf): State<Shelf>, parts: Parts) -> Response {
    let file = File::open(&shelf.file).unwrap();
    let place = shelf.places.take(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    let download = Download::patched(file, shelf.patches, ETAG.to_owned(), place).unwrap();
    respond("f", download, &parts)
}

struct Door {
    address: SocketAddr,
    places: Arc<Places>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Door {
    async fn open(file: &Path, patches: Vec<Patch>) -> Self {
        Self::open_with(file, patches, ConnectionLimits::default(), None).await
    }

    /// A door whose sockets hold little, and at which nobody may stall for long.
    async fn open_narrow(file: &Path) -> Self {
        let limits = ConnectionLimits { stalled: SHORT, ..ConnectionLimits::default() };
        Self::open_with(file, Vec::new(), limits, Some(SOCKET)).await
    }

    async fn open_with(
        file: &Path,
        patches: Vec<Patch>,
        limits: ConnectionLimits,
        send_buffer: Option<u32>,
    ) -> Self {
        let places = Places::new(1_000, 1_000);
        let shelf = Shelf { file: file.to_owned(), patches, places: Arc::clone(&places) };
        let router = Router::new().route("/{*path}", get(hand_out)).with_state(shelf);
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = send_buffer {
            // Connections inherit it.
            socket.set_send_buffer_size(bytes).unwrap();
        }
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(128).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let running = tokio::spawn(listener::run(listener, None, router, limits, stop.clone()));
        Self { address, places, stop, running }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Stops, which waits for every connection; then nobody holds a place.
    async fn close(self) {
        self.everything_is_free().await;
        self.stop.cancel();
        timeout(PATIENCE, self.running).await.expect("the door closes").unwrap();
    }

    async fn everything_is_free(&self) {
        let mut ticks = interval(SHORT / 40);
        let free = async {
            while self.places.taken() > 0 {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, free).await.expect("every place is free again");
    }
}

/// A file with these bytes in a folder that lasts as long as it is held.
fn stored(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

struct Client(TcpStream);

impl Client {
    async fn ask(&mut self, method: &str, fields: &str) {
        let request = format!("{method} /f HTTP/1.1\r\nHost: boot\r\n{fields}\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// An answer's status line and its fields, lower-case.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, self.0.read_u8()).await.expect("an answer").unwrap());
        }
        String::from_utf8(head).unwrap().to_lowercase()
    }

    async fn body(&mut self, head: &str) -> Vec<u8> {
        let mut body = vec![0; usize::try_from(length(head)).unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.expect("the body").unwrap();
        body
    }

    async fn get(&mut self, fields: &str) -> (String, Vec<u8>) {
        self.ask("GET", fields).await;
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// Everything until the server closes, however it does.
    async fn rest(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1_024];
        let mut count = 0;
        while let Ok(more @ 1..) = timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("an end") {
            count += more;
        }
        count
    }
}

fn length(head: &str) -> u64 {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.unwrap_or_else(|| panic!("no length: {head}")).parse().unwrap()
}

/// Gaps and patches, alternating, all over a file of [`LEN`] bytes.
fn layouts() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let pieces = proptest::collection::vec((0_usize..500_000, 1_usize..200_000, any::<u8>()), 0..6);
    pieces.prop_map(|pieces| {
        let mut end = 0;
        let placed = pieces.into_iter().map(|(gap, len, byte)| {
            let begin = end + gap;
            end = begin + len;
            (begin, vec![byte; len])
        });
        placed.filter(|(begin, bytes)| begin + bytes.len() <= LEN).collect()
    })
}

fn patch(begin: usize, bytes: &[u8]) -> Patch {
    let region = Region { name: "p".into(), offset: begin as u64, length: bytes.len() as u64 };
    Patch::new(&region, bytes.to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_range_arrives_as_it_lies_in_the_patched_file(
        patches in layouts(),
        ranges in proptest::collection::vec((0..LEN, 1..LEN), 1..5),
    ) {
        let base = noise(LEN);
        let mut expected = base.clone();
        for (begin, bytes) in &patches {
            expected[*begin..begin + bytes.len()].copy_from_slice(bytes);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async {
            let (_folder, file) = stored(&base);
            let patches = patches.iter().map(|(begin, bytes)| patch(*begin, bytes)).collect();
            let door = Door::open(&file, patches).await;
            let mut client = door.connect().await;
            let (_, whole) = client.get("").await;
            assert!(whole == expected, "the whole file");
            // One after the other over one connection, then all asked at once.
            for (first, count) in &ranges {
                let last = (first + count - 1).min(LEN - 1);
                let (head, part) = client.get(&format!("Range: bytes={first}-{last}\r\n")).await;
                assert!(head.starts_with("http/1.1 206"), "{head}");
                assert!(head.contains(&format!("content-range: bytes {first}-{last}/{LEN}\r\n")), "{head}");
                assert!(part == expected[*first..=last], "{first}-{last}");
            }
            for (first, _) in &ranges {
                client.ask("GET", &format!("Range: bytes={first}-\r\n")).await;
            }
            for (first, _) in &ranges {
                let head = client.head().await;
                assert!(client.body(&head).await == expected[*first..], "{first}-");
            }
            drop(client);
            door.close().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernel_sends_what_it_has_in_memory() {
    let (_folder, file) = stored(&noise(LEN));
    // Not every file system can say; the one of this test's folder has to, or nothing here is tested.
    let known = in_memory(&File::open(&file).unwrap(), 0, LEN as u64);
    assert!(known, "{}: set TMPDIR to a folder on ext4, xfs or btrfs", file.display());
    assert!(!in_memory(&File::open(&file).unwrap(), 0, LEN as u64 + 1), "beyond the end there is nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_goes_on_after_every_kind_of_answer() {
    let base = noise(LEN);
    let (_folder, file) = stored(&base);
    let door = Door::open(&file, Vec::new()).await;
    let mut client = door.connect().await;
    for (method, fields, status, has_body) in [
        ("GET", "", "200", true),
        ("HEAD", "", "200", false),
        ("GET", "Range: bytes=-100000\r\n", "206", true),
        ("HEAD", "Range: bytes=0-9\r\n", "206", false),
        ("GET", "If-None-Match: \"v1\"\r\n", "304", false),
        ("GET", "If-Match: \"v0\"\r\n", "412", true),
        ("GET", "Range: bytes=99999999-\r\n", "416", true),
        ("GET", "Range: bytes=0-99\r\nIf-Range: \"v0\"\r\n", "200", true),
        ("GET", "Range: bytes=0-99\r\nIf-Range: \"v1\"\r\n", "206", true),
        ("GET", "Range: bytes=0-1,5-9\r\n", "200", true),
    ] {
        client.ask(method, fields).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{method} {fields}: {head}");
        assert!(head.contains("accept-ranges: bytes\r\n") && head.contains("etag: \"v1\"\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        if method == "HEAD" {
            assert!(length(&head) > 0, "{head}");
        }
        if has_body {
            let body = client.body(&head).await;
            assert!(body.is_empty() || body == base || body.len() < base.len());
        }
    }
    let (_, whole) = client.get("").await;
    assert!(whole == base);
    drop(client);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_at_once_get_the_same_file() {
    let base = Arc::new(noise(LEN));
    let (_folder, file) = stored(&base);
    let door = Door::open(&file, Vec::new()).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (mut client, base) = (door.connect().await, Arc::clone(&base));
        clients.spawn(async move {
            for _ in 0..2 {
                assert!(client.get("").await.1 == *base);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    door.close().await;
}

/// A client whose socket takes little at a time.
async fn narrow(door: &Door) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET).unwrap();
    Client(socket.connect(door.address).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_is_served_as_long_as_it_reads() {
    let (_folder, file) = stored(&noise(LONG));
    let door = Door::open_narrow(&file).await;
    let mut client = narrow(&door).await;
    client.ask("GET", "").await;
    let head = client.head().await;
    // Much longer than anybody may stall, and a little all the time.
    let (begun, mut body, mut ticks) = (Instant::now(), Vec::new(), interval(SHORT / 40));
    while begun.elapsed() < 3 * SHORT {
        let mut part = vec![0; 64 * 1_024];
        timeout(PATIENCE, client.0.read_exact(&mut part)).await.expect("more").unwrap();
        body.extend(part);
        ticks.tick().await;
    }
    let mut rest = vec![0; usize::try_from(length(&head)).unwrap() - body.len()];
    timeout(PATIENCE, client.0.read_exact(&mut rest)).await.expect("the rest").unwrap();
    body.extend(rest);
    assert!(body == noise(LONG));
    drop(client);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_stops_loses_its_connection_and_its_place() {
    let (_folder, file) = stored(&noise(LONG));
    let door = Door::open_narrow(&file).await;
    let mut others = door.connect().await;
    // One that takes nothing, and one that stops before the last part, whose body is over by then.
    let (mut early, mut late) = (narrow(&door).await, narrow(&door).await);
    early.ask("GET", "").await;
    late.ask("GET", &format!("Range: bytes=-{MAX_STRETCH}\r\n")).await;
    let head = late.head().await;
    assert_eq!(length(&head), MAX_STRETCH as u64);
    assert!(others.get("").await.1 == noise(LONG), "others are served meanwhile");
    door.everything_is_free().await;
    assert!(early.rest().await < LONG && late.rest().await < MAX_STRETCH);
    drop((early, late, others));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_goes_away_leaves_nothing_behind() {
    let (_folder, file) = stored(&noise(LONG));
    let door = Door::open(&file, Vec::new()).await;
    for _ in 0..20 {
        let mut client = door.connect().await;
        client.ask("GET", "").await;
        assert!(client.head().await.starts_with("http/1.1 200"));
    }
    let mut client = door.connect().await;
    assert!(client.get("").await.1 == noise(LONG));
    drop(client);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_becomes_shorter_breaks_the_connection() {
    let (_folder, path) = stored(&noise(LONG));
    let door = Door::open(&path, Vec::new()).await;
    let mut client = narrow(&door).await;
    client.ask("GET", "").await;
    let head = client.head().await;
    File::options().write(true).open(&path).unwrap().set_len(1_000_000).unwrap();
    let got = client.rest().await;
    assert!((got as u64) < length(&head), "{got} bytes");
    door.close().await;
}
