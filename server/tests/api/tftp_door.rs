//! The door for boot files by TFTP over real sockets: the same files as by HTTP, what is logged, its end.

use crate::media::media_of;
use crate::support::{Fixture, logged, options, start_with};
use protocol::cmdline::KernelArgs;
use serde_json::json;
use server::{ServeError, ServeOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a kernel: some blocks and a piece.
const KERNEL: usize = 70_001;

/// A server with both doors, at work.
struct Doors {
    http: SocketAddr,
    tftp: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// With boot media, a kernel in the boot tree, and tokens for strangers.
async fn start() -> Doors {
    let fixture = start_with(|directory, options| {
        let tree = options.data_dir.join("boot/march");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("vmlinuz"), vec![7; KERNEL]).unwrap();
        options.media_dir = Some(media_of(directory, KERNEL));
        options.http_listen = Some(ANY_PORT.into());
        options.tftp_listen = Some(ANY_PORT.into());
    })
    .await;
    let prefs = json!({"unknownBootEnv": "discovery"}).to_string();
    let mut request = fixture.admin("POST", "/api/v3/prefs", &prefs);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    assert!(fixture.call(request).await.status.is_success());
    let Fixture { router, server, directory, .. } = fixture;
    drop(router);
    let (http, tftp) = (server.boot_address().unwrap(), server.tftp_address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
    Doors { http, tftp, stop, running, _directory: directory }
}

/// A file by TFTP in its plain form, or the number and text of the refusal.
async fn by_tftp(server: SocketAddr, path: &str) -> Result<Vec<u8>, (u8, String)> {
    let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
    socket.send_to(format!("\0\x01{path}\0octet\0").as_bytes(), server).await.unwrap();
    let (mut file, mut next, mut buffer) = (Vec::new(), 1_u16, [0; 600]);
    loop {
        let received = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("an answer");
        let (len, from) = received.unwrap();
        match &buffer[..len] {
            [0, 3, high, low, data @ ..] => {
                if u16::from_be_bytes([*high, *low]) == next {
                    file.extend_from_slice(data);
                    next += 1;
                }
                socket.send_to(&[0, 4, *high, *low], from).await.unwrap();
                if data.len() < 512 {
                    return Ok(file);
                }
            }
            [0, 5, _, code, text @ ..] => {
                return Err((*code, String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A file by HTTP, or the status.
async fn by_http(server: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes").unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    if head.starts_with("HTTP/1.1 200") { Ok(body) } else { Err(head) }
}

/// A text without the token that is another one in each.
fn without_token(file: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(file) else { return file.to_vec() };
    let is_other = |word: &&str| !word.contains("muster.token=");
    text.split(' ').filter(is_other).collect::<Vec<_>>().join(" ").into_bytes()
}

#[tokio::test]
async fn both_doors_have_the_same_behind_every_path() {
    let doors = start().await;
    for path in [
        "default.ipxe",
        "/default.ipxe",
        "grub/grub.cfg",
        "pxelinux.cfg/default",
        "march/vmlinuz",
        "muster/vmlinuz",
        "muster/muster.iso",
        "muster/52-54-00-00-00-09/muster.iso",
    ] {
        let (http, tftp) = (by_http(doors.http, path).await, by_tftp(doors.tftp, path).await);
        let (http, tftp) = (http.expect(path), tftp.expect(path));
        assert!(!http.is_empty() && without_token(&http) == without_token(&tftp), "{path}");
    }
    assert_eq!(by_tftp(doors.tftp, "march/vmlinuz").await.unwrap(), vec![7; KERNEL]);
    for path in ["march/absent", "march", "52:54:00:00:00:09.ipxe"] {
        assert!(by_http(doors.http, path).await.unwrap_err().starts_with("HTTP/1.1 404"), "{path}");
        let (code, text) = by_tftp(doors.tftp, path).await.unwrap_err();
        assert!(code == 1 && text.contains(path), "{path}: {code} {text}");
    }
}

#[tokio::test]
async fn tokens_that_go_by_tftp_are_in_no_log() {
    let doors = start().await;
    let file = String::from_utf8(by_tftp(doors.tftp, "grub/grub.cfg").await.unwrap()).unwrap();
    let token = file.lines().find_map(|line| KernelArgs::parse(line).token).expect("a token");
    let named = format!("x/{}", token.reveal());
    by_tftp(doors.tftp, &named).await.unwrap_err();
    let log = logged();
    assert!(log.contains("boot file by TFTP"), "it is logged who got what");
    assert!(!log.contains(token.reveal()));
}

#[tokio::test]
async fn tftp_ends_with_the_server() {
    let doors = start().await;
    let client = UdpSocket::bind(ANY_PORT).await.unwrap();
    client.send_to(b"\0\x01march/vmlinuz\0octet\0", doors.tftp).await.unwrap();
    let mut buffer = [0; 600];
    let (len, _) = timeout(PATIENCE, client.recv_from(&mut buffer)).await.expect("a block").unwrap();
    assert_eq!((len, &buffer[..4]), (516, &[0, 3, 0, 1][..]));
    doors.stop.send(()).unwrap();
    timeout(PATIENCE, doors.running).await.expect("the server stops").unwrap();
    let (len, _) = timeout(PATIENCE, client.recv_from(&mut buffer)).await.expect("a word").unwrap();
    assert_eq!(&buffer[..len], b"\0\x05\0\0the server stops\0");
}

#[tokio::test]
async fn taken_port_of_tftp_is_told_with_the_remedy() {
    let taken = UdpSocket::bind(ANY_PORT).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let tftp_listen = Some(taken.local_addr().unwrap());
    let error = server::start(ServeOptions { tftp_listen, ..options(directory.path()) }).await.unwrap_err();
    assert!(matches!(error, ServeError::ListenTftp { .. }), "{error}");
    assert!(error.to_string().contains("--tftp-listen"), "{error}");
}
