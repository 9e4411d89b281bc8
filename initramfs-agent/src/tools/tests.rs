//! Tools from real TLS servers in this process, over a root that is a temporary folder.

use super::*;
use crate::api::tls::Trust;
use crate::api::tls::tests::Authority;
use initrd::cpio::Tree;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

/// A server of one file, and the first bytes that were asked for.
struct Depot {
    url: String,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Depot {
    /// Serves `file`, and breaks off after `burst` bytes of each answer.
    async fn start(ca: &Authority, file: Vec<u8>, burst: usize) -> Self {
        let acceptor = ca.acceptor(&["dc1.agent.internal"], 2020..=2090);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<u64>>>::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A machine that does not believe the certificate goes away.
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, &file, burst, &seen).await;
                }
            }
        });
        Self { url, asked }
    }
}

/// The file from the first byte asked for, cut after `burst` bytes.
async fn answer(mut stream: TlsStream<TcpStream>, file: &[u8], burst: usize, seen: &Mutex<Vec<u64>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
    let from = range.map_or(0, |from| from.parse::<usize>().unwrap());
    seen.lock().unwrap().push(from as u64);
    let (rest, size) = (&file[from..], file.len());
    let status = match (request.starts_with("GET /media/tools.cpio.zst "), from) {
        (false, _) => "404 Not Found".to_owned(),
        (true, 0) => "200 OK".to_owned(),
        (true, _) => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{size}", size - 1),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", rest.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&rest[..burst.min(rest.len())]).await.unwrap();
    stream.shutdown().await.unwrap();
}

fn hex(bytes: &[u8]) -> String {
    ring::digest::digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An archive of some kilobytes that do not compress, packed, with its ticket.
fn packed() -> (Vec<u8>, Ticket) {
    let mut noise = Vec::new();
    let mut seed = 1_u32;
    for _ in 0..4_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push((seed >> 24) as u8);
    }
    let mut tree = Tree::new();
    tree.file("usr/sbin/mke2fs", 0o755, noise).unwrap();
    tree.symlink("usr/sbin/mkfs.ext4", "mke2fs").unwrap();
    let archive = tree.to_bytes(0).unwrap();
    let packed = zstd::bulk::compress(&archive, 3).unwrap();
    let ticket = Ticket {
        file: "tools.cpio.zst".to_owned(),
        size: packed.len() as u64,
        unpacked_size: archive.len() as u64,
        sha256: hex(&packed),
    };
    (packed, ticket)
}

/// A machine: its root, and the folder for what comes.
struct Machine {
    root: tempfile::TempDir,
    run: tempfile::TempDir,
    source: Source,
    said: Vec<String>,
}

impl Machine {
    fn new(ca: &Authority, ticket: Ticket, servers: &[&str]) -> Self {
        let (root, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let way = Way {
            servers: servers.iter().map(|url| url.parse().unwrap()).collect(),
            trust: Trust { pins: vec![ca.pin()], extra: None },
            proxy: watch::channel(None).1,
            network: watch::channel(crate::net::Status::default()).1,
        };
        let (folder, place) = (run.path().to_owned(), root.path().to_owned());
        let source = Source { ticket, way, folder, root: place, pause: Duration::ZERO };
        Self { root, run, source, said: Vec::new() }
    }

    async fn fetch(&mut self) -> Result<Vec<String>, String> {
        let said = &mut self.said;
        let outcome = self.source.fetch(&mut |text| said.push(text)).await;
        outcome.map_err(|error| chain(&error))
    }

    /// Fetches, which must fail and leave nothing behind.
    async fn fail(&mut self) -> String {
        let error = self.fetch().await.unwrap_err();
        for folder in [&self.root, &self.run] {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        }
        error
    }
}

#[tokio::test]
async fn tools_are_fetched_once_and_run_from_the_root() {
    let (ca, (file, ticket)) = (Authority::new(), packed());
    let depot = Depot::start(&ca, file, usize::MAX).await;
    let mut machine = Machine::new(&ca, ticket, &[&depot.url]);
    for _ in 0..2 {
        assert_eq!(machine.fetch().await.unwrap(), ["mke2fs", "mkfs.ext4"]);
    }
    assert_eq!(*depot.asked.lock().unwrap(), [0]);
    assert!(machine.root.path().join("usr/sbin/mkfs.ext4").is_file());
    assert!(machine.said.iter().any(|line| line.contains("KiB")), "{:?}", machine.said);
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_was_even_at_another_server() {
    let (ca, (file, ticket)) = (Authority::new(), packed());
    let size = file.len();
    let first = Depot::start(&ca, file.clone(), 1_500).await;
    let second = Depot::start(&ca, file, 1_500).await;
    let mut machine = Machine::new(&ca, ticket, &[&first.url, &second.url]);
    machine.fetch().await.unwrap();
    let asked: Vec<u64> =
        [&first, &second].iter().flat_map(|depot| depot.asked.lock().unwrap().clone()).collect();
    assert!(size > 3_000 && asked.len() >= 3, "{asked:?}");
    let mut begun = asked.clone();
    begun.sort_unstable();
    begun.dedup();
    assert_eq!(begun.len(), asked.len(), "nothing was asked for twice: {asked:?}");
}

#[tokio::test]
async fn another_digest_or_length_leaves_nothing_behind() {
    let (ca, (mut file, ticket)) = (Authority::new(), packed());
    let last = file.len() - 1;
    file[last] ^= 1;
    let depot = Depot::start(&ca, file.clone(), usize::MAX).await;
    let error = Machine::new(&ca, ticket.clone(), &[&depot.url]).fail().await;
    assert!(error.contains("nothing was unpacked") && error.contains(&ticket.sha256), "{error}");

    file.push(0);
    let depot = Depot::start(&ca, file, usize::MAX).await;
    let error = Machine::new(&ca, ticket, &[&depot.url]).fail().await;
    assert!(error.contains("another tools.cpio.zst than belongs to this image"), "{error}");
}

#[tokio::test]
async fn an_archive_that_is_longer_than_its_ticket_or_no_archive_is_refused() {
    let (ca, (file, ticket)) = (Authority::new(), packed());
    let short = Ticket { unpacked_size: ticket.unpacked_size - 1, ..ticket.clone() };
    let depot = Depot::start(&ca, file, usize::MAX).await;
    let error = Machine::new(&ca, short, &[&depot.url]).fail().await;
    assert!(error.contains("cannot be unpacked"), "{error}");

    let noise = vec![7; 900];
    let ticket = Ticket { size: 900, sha256: hex(&noise), ..ticket };
    let depot = Depot::start(&ca, noise, usize::MAX).await;
    let error = Machine::new(&ca, ticket, &[&depot.url]).fail().await;
    assert!(error.contains("cannot be unpacked"), "{error}");
}

#[tokio::test]
async fn a_server_without_the_file_or_with_a_foreign_key_is_named() {
    let (ca, (file, ticket)) = (Authority::new(), packed());
    let depot = Depot::start(&ca, file, usize::MAX).await;
    let other = Ticket { file: "other".to_owned(), ..ticket.clone() };
    let error = Machine::new(&ca, other, &[&depot.url]).fail().await;
    assert!(error.contains("does not have other"), "{error}");

    let error = Machine::new(&Authority::new(), ticket.clone(), &[&depot.url]).fail().await;
    assert!(error.contains("not signed by a pinned key"), "{error}");
    assert!(Machine::new(&ca, ticket, &[]).fail().await.contains("no server is known"));
}

#[test]
fn a_machine_without_the_memory_is_told_how_much_is_missing() {
    let (_, ticket) = packed();
    let ticket = Ticket { size: 10 * MEBIBYTE, unpacked_size: 30 * MEBIBYTE, ..ticket };
    let machine = Machine::new(&Authority::new(), ticket, &[]);
    let error = machine.source.fits(Some(134 * MEBIBYTE - 1)).unwrap_err().to_string();
    assert!(error.contains("need 135 MiB of memory and 133 MiB are free"), "{error}");
    assert!(machine.source.fits(Some(134 * MEBIBYTE)).is_ok());
    let meminfo = "MemTotal:  8000 kB\nMemFree:  1 kB\nMemAvailable:    5000 kB\n";
    assert_eq!(memory_in(meminfo), Some(5_120_000));
    assert_eq!(memory_in("MemFree: 1 kB\n"), None);
}

#[test]
fn an_image_of_an_older_builder_has_no_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.json");
    assert!(ticket(&path).unwrap().is_none());
    let (_, good) = packed();
    fs::write(&path, good.render().unwrap()).unwrap();
    assert_eq!(ticket(&path).unwrap(), Some(good));
    fs::write(&path, "{}").unwrap();
    assert!(ticket(&path).is_err());
}

#[tokio::test]
async fn whoever_asks_at_the_door_is_told_how_it_went() {
    let (ca, (file, ticket)) = (Authority::new(), packed());
    let depot = Depot::start(&ca, file, usize::MAX).await;
    let machine = Machine::new(&ca, ticket, &[&depot.url]);
    let socket = machine.run.path().join("tools.sock");
    let serving = tokio::spawn(door::serve(machine.source.clone()));
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    let asked = spawn_blocking(move || {
        let mut said = Vec::new();
        (door::ask_at(&socket, &mut said), String::from_utf8(said).unwrap())
    });
    let (code, said) = asked.await.unwrap();
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS), "{said}");
    assert!(said.ends_with("there are now: mke2fs mkfs.ext4\n"), "{said}");
    serving.abort();
}
