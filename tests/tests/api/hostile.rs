//! Clients that mean harm at the level of sockets and HTTP (`spec/security.md` 6, 7 R13).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tests::muster::Server;

use crate::Site;

/// Hostile sockets of each kind, all at once; one address may hold 512.
const SOCKETS: usize = 100;
/// Every one must be closed after this time (10 s for a handshake or a header, 15 s for a
/// body), with room for a busy machine.
const REAPED_WITHIN: Duration = Duration::from_secs(60);

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn tcp(server: &Server) -> Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

fn tls(server: &Server) -> Result<Tls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&server.ca_pem()?).context("not PEM")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut tls = StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, tcp(server)?);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// Reads until the server closes; gives back what it said.
fn until_closed(mut stream: impl Read) -> Result<String> {
    let mut said = Vec::new();
    match (&mut stream).take(64 * 1_024).read_to_end(&mut said) {
        Ok(_) => {}
        // A reset or a missing close_notify ends a connection too; a timeout does not.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(error).context("the server keeps a hostile connection open");
        }
        Err(_) => {}
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The server's answer to a raw request, head and body.
fn raw_answer(server: &Server, request: &[u8]) -> String {
    let mut stream = tls(server).unwrap();
    // The server may answer and close before the last byte of an oversized request.
    if let Err(error) = stream.write_all(request).and_then(|()| stream.flush()) {
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    }
    until_closed(&mut stream).unwrap()
}

fn status(answer: &str) -> &str {
    answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
}

#[test]
fn slow_and_silent_sockets_are_closed_while_others_are_served() {
    let mut site = Site::start("hostile-slow");
    let start = Instant::now();
    let silent: Vec<TcpStream> = (0..SOCKETS).map(|_| tcp(&site.server).unwrap()).collect();
    let open = |request: &str| -> Vec<Tls> {
        (0..SOCKETS)
            .map(|_| {
                let mut stream = tls(&site.server).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                stream.flush().unwrap();
                stream
            })
            .collect()
    };
    let idle = open("");
    let headers = open("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let bodies = open(
        "POST /api/v3/session HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    let opened = start.elapsed();
    // Everybody else goes on: a machine gets in while all of them hang around.
    let mut machine = site.machine();
    let asked = Instant::now();
    let pending = machine.enroll().unwrap();
    site.operator.approve(&pending.code.unwrap().to_string()).unwrap();
    machine.collect(pending.id).unwrap();
    assert!(asked.elapsed() < Duration::from_secs(15), "an enrolment took {:?}", asked.elapsed());

    for stream in silent {
        until_closed(stream).unwrap();
    }
    for stream in idle.into_iter().chain(headers).chain(bodies) {
        until_closed(stream).unwrap();
    }
    let reaped = start.elapsed();
    assert!(reaped < opened + REAPED_WITHIN, "opened in {opened:?}, the last was closed after {reaped:?}");
    site.operator.machines().unwrap();
}

#[test]
fn requests_beyond_the_limits_of_http_are_refused() {
    let server = Server::builder("hostile-http").start().unwrap();
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
    };
    assert_eq!(status(&raw_answer(&server, get("/healthz", "").as_bytes())), "200");
    let smuggled = "POST /api/v3/session HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, request) in [
        ("a header of 64 KiB", get("/healthz", &format!("X-Long: {}\r\n", "a".repeat(64 * 1_024)))),
        ("200 headers", get("/healthz", &"X-Many: 1\r\n".repeat(200))),
        ("an address of 8 KiB", get(&format!("/{}", "a".repeat(8 * 1_024)), "")),
        ("no HTTP at all", "\0\0\0\0 HELLO\r\n\r\n".to_owned()),
        ("two lengths", smuggled.to_owned()),
    ] {
        let answer = raw_answer(&server, request.as_bytes());
        // A connection closed without a word is a refusal as well.
        let refused = status(&answer).starts_with('4') || answer.is_empty();
        assert!(refused && !answer.contains("200 OK"), "{what}: {answer}");
    }
    assert_eq!(status(&raw_answer(&server, get("/healthz", "").as_bytes())), "200");
}

#[test]
fn no_address_leads_out_of_the_folders_that_are_served() {
    let server = Server::builder("hostile-paths").start().unwrap();
    let password = server.admin_password().unwrap();
    for path in [
        "/media/../admin-password",
        "/media/..%2fadmin-password",
        "/media/..%2f..%2fdata%2fadmin-password",
        "/media/%2e%2e/ca.pem",
        "/media//etc/passwd",
        "/assets/../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/media/muster.iso%00.txt",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw_answer(&server, request.as_bytes());
        let leaked = answer.contains(&password) || answer.contains("root:") || answer.contains("BEGIN CERT");
        assert!(!leaked && !answer.is_empty(), "{path}: {answer}");
        assert!(!path.starts_with("/media/") || status(&answer).starts_with('4'), "{path}: {answer}");
    }
}

#[test]
fn the_dashboard_cannot_be_framed_or_fed_scripts() {
    let site = Site::start("hostile-headers");
    let page = site.operator.get("/").unwrap();
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src")).unwrap();
    assert_eq!(scripts.trim(), "script-src 'self'");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!page.text().contains("<script>"), "an inline script in the page");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn a_session_changes_nothing_without_its_token_and_origin() {
    let site = Site::start("hostile-csrf");
    let anonymous = tests::operator::Operator::anonymous(&site.server.url(), &site.target.ca_pem).unwrap();
    let password = site.server.admin_password().unwrap();
    let login = serde_json::json!({ "Username": "admin", "Password": password });
    let answer = anonymous.post("/api/v3/session", &login).unwrap();
    let session: protocol::rest::Session = answer.expect(201).unwrap();
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for word in ["Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let create = |csrf: Option<&str>, origin: &str| {
        let request = anonymous.request(reqwest::Method::POST, "/api/v3/bootstrap/tokens");
        let mut request = request.header("cookie", &cookie).header("origin", origin);
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        anonymous.send(request.json(&serde_json::json!({ "Lifetime": 600 }))).unwrap().status
    };
    let own = site.server.url();
    assert_eq!(create(None, &own), 403);
    assert_eq!(create(Some("guessed"), &own), 403);
    assert_eq!(create(Some(&session.csrf_token), "https://evil.example"), 403);
    assert!(matches!(create(Some(&session.csrf_token), &own), 200 | 201));
}

#[test]
fn hostile_firmware_strings_reach_nobody() {
    let mut site = Site::start("hostile-strings");
    let mut machine = site.machine();
    machine.inventory.serial =
        "\u{1b}]0;x\u{7}<img src=x onerror=alert(1)>\u{202e}{{ .GenerateToken }}\n".to_owned();
    machine.inventory.vendor = "A".repeat(10_000);
    let pending = machine.enroll().unwrap();
    let preview = site.operator.lookup(&pending.code.unwrap().to_string()).unwrap();
    assert!(preview.serial.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{:?}", preview.serial);
    assert!(preview.vendor.len() <= 128);
    let logs = site.server.logs().unwrap();
    assert!(!logs.contains('\u{1b}') && !logs.contains('\u{202e}'), "control characters in the log");
}
