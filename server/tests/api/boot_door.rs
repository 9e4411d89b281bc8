//! The door for boot files over real sockets: plain HTTP, its deadlines, its end, and what is logged.

use crate::support::{Fixture, logged, options, start_with};
use server::{ConnectionLimits, ServeError, ServeOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Short enough to wait for, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(400);
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
    // The address that the firmware came to is the one it is told.
    assert!(answer.contains(&format!("chain --autofree http://{address}/")), "{answer}");
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
