//! The door for boot files over real sockets: plain HTTP, its deadlines, its end, and what is logged.

use crate::support::{Fixture, logged, options, start_with};
use axum::http::{StatusCode, header};
use server::{ConnectionLimits, ServeError, ServeOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Short enough to wait for, long enough for a busy machine.
const SHORT: Duration = Duration::from_secs(1);
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn start() -> Fixture {
    let limits = ConnectionLimits { header: SHORT, ..ConnectionLimits::default() };
    start_with(|_, options| {
        options.http_listen = Some(ANY_PORT.into());
        options.limits = limits;
    })
    .await
}

/// Everything the server says to these bytes, until it closes.
async fn say(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn firmware_is_served_over_plain_http_until_the_server_stops() {
    let Fixture { router, server, directory: _directory, .. } = start().await;
    drop(router);
    let address = server.boot_address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
    let answer = say(address, &get("/default.ipxe")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: "), "GRUB minds the letters' case: {answer}");
    // The address that the firmware came to is the one it is told.
    assert!(answer.contains(&format!("chain --autofree --replace http://{address}/")), "{answer}");
    assert!(say(address, &get("/api/v3/info")).await.starts_with("HTTP/1.1 404"));
    let post = "POST /default.ipxe HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(say(address, post).await.starts_with("HTTP/1.1 405"));
    // Half a head is not waited for.
    assert!(!say(address, "GET /default.ipxe HT").await.contains("200"));
    stop.send(()).unwrap();
    timeout(PATIENCE, running).await.expect("the server stops").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn taken_port_is_told_with_the_remedy() {
    let taken = TcpListener::bind(ANY_PORT).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let http_listen = Some(taken.local_addr().unwrap());
    let error = server::start(ServeOptions { http_listen, ..options(directory.path()) }).await.unwrap_err();
    assert!(matches!(error, ServeError::ListenHttp { .. }), "{error}");
    assert!(error.to_string().contains("--http-listen off"), "{error}");
}

#[tokio::test]
async fn token_in_a_file_is_in_no_log() {
    let fixture = start().await;
    for (method, path, body) in [
        (
            "POST",
            "/api/v3/bootenvs",
            r##"{"Name": "discover", "OnlyUnknown": true, "Templates":
                [{"Name": "t", "Path": "discover.ipxe", "Contents": "{{.GenerateToken}}"}]}"##,
        ),
        ("POST", "/api/v3/prefs", r#"{"unknownBootEnv": "discover"}"#),
    ] {
        let mut request = fixture.admin(method, path, body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let answer = fixture.call(request).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    let door = Fixture { router: fixture.server.boot_router(), ..fixture };
    let answer = door.call(Fixture::request("GET", "/discover.ipxe", "")).await;
    let token = String::from_utf8(answer.body).unwrap();
    assert!(token.starts_with("eyJ"), "{token}");
    let log = logged();
    assert!(log.contains("discover.ipxe") && !log.contains(&token));
}

#[tokio::test]
async fn rendered_text_is_a_file_like_any_other() {
    let fixture = start().await;
    let door = Fixture { router: fixture.server.boot_router(), ..fixture };
    let ask = |method: &str, fields: &[(&str, &str)]| {
        let mut request = Fixture::request(method, "/default.ipxe", "");
        for (name, value) in fields {
            let name = header::HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        door.call(request)
    };
    let whole = ask("GET", &[]).await;
    assert_eq!(whole.status, StatusCode::OK);
    let (etag, len) = (whole.header("etag").to_owned(), whole.body.len());
    assert!(etag.len() > 40 && len > 10, "{whole:?}");
    assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), (&*len.to_string(), "bytes"));
    assert_eq!(
        (whole.header("cache-control"), whole.header("content-type")),
        ("no-store", "text/plain; charset=utf-8")
    );
    let head = ask("HEAD", &[]).await;
    assert_eq!((head.header("content-length"), head.header("etag")), (&*len.to_string(), &*etag));
    assert!(head.body.is_empty());
    let part = ask("GET", &[("range", "bytes=2-5"), ("if-range", &etag)]).await;
    assert_eq!((part.status, part.header("content-length")), (StatusCode::PARTIAL_CONTENT, "4"));
    assert_eq!(part.header("content-range"), format!("bytes 2-5/{len}"));
    assert_eq!(part.body, &whole.body[2..=5]);
    let known = ask("GET", &[("if-none-match", &etag)]).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let beyond = ask("GET", &[("range", &format!("bytes={len}-"))]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let other = ask("GET", &[("range", "bytes=2-5"), ("if-range", "\"another\"")]).await;
    assert_eq!((other.status, other.body), (StatusCode::OK, whole.body));
}

/// A client that asks for a file and takes next to nothing of it.
async fn hold(address: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1_024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(get(path).as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("an answer").unwrap();
    assert_eq!(status, *b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_beyond_the_limit_come_later_and_small_files_at_once() {
    let fixture = start_with(|directory, options| {
        options.http_listen = Some(ANY_PORT.into());
        options.boot_downloads = 1;
        let tree = directory.join("data/boot");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::File::create(tree.join("initrd")).unwrap().set_len(64 << 20).unwrap();
        std::fs::write(tree.join("kernel"), vec![7; 2 << 20]).unwrap();
        std::fs::write(tree.join("menu"), "small").unwrap();
    })
    .await;
    let Fixture { router, server, directory: _directory, .. } = fixture;
    drop(router);
    let address = server.boot_address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
    let first = hold(address, "/initrd").await;
    let refused = say(address, &get("/kernel")).await.to_lowercase();
    assert!(refused.starts_with("http/1.1 503") && refused.contains("\r\nretry-after: 5\r\n"), "{refused}");
    let refused = say(address, &get("/kernel")).await.to_lowercase();
    assert!(refused.contains("\r\nretry-after: 6\r\n"), "a herd comes back one by one: {refused}");
    assert!(logged().contains("too many boot files are on their way"));
    for small in ["/menu", "/default.ipxe"] {
        assert!(say(address, &get(small)).await.starts_with("HTTP/1.1 200"), "{small}");
    }
    drop(first);
    let until_free = async { while !say(address, &get("/kernel")).await.starts_with("HTTP/1.1 200") {} };
    timeout(PATIENCE, until_free).await.expect("a place becomes free when its client goes");
    stop.send(()).unwrap();
    timeout(PATIENCE, running).await.expect("the server stops").unwrap();
}
