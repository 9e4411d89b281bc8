//! The way through an HTTP proxy: `CONNECT` (RFC 9110 9.3.6), and then the same TLS as without.
//!
//! The proxy is told the server's host as it was given, so that it looks up the name: machines
//! behind a proxy often have no DNS. Nothing but the server's address and the proxy's own login
//! is said to it; the pin decides about what answers at the other end of the tunnel.

use super::connect::{MAX_ADDRESSES, RESOLVE_LIMIT, dial, told};
use crate::net::resolve::{Dns, lookup};
use crate::report::chain;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::config::{ProxyUrl, ServerUrl};
use protocol::inventory::clean_text;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a proxy may take to reach the server.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 8 * 1_024;
/// Longest reason that is passed on, in characters.
const MAX_REASON: usize = 120;

/// Why a proxy leads nowhere: the second half of a sentence that begins with its address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    /// Its own name has no address.
    #[error("has no address: {0}")]
    Name(String),
    /// It does not answer, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// 407 without a login.
    #[error("wants a user name and password ({0})")]
    LoginWanted(String),
    /// 407 with one.
    #[error("does not accept the user name and password ({0})")]
    LoginRefused(String),
    /// Any other answer but 2xx.
    #[error("refuses the way to {target}: {said}")]
    Refused {
        /// Server's host and port.
        target: String,
        /// Status and reason, cleaned.
        said: String,
    },
    /// Not an HTTP answer, or one longer than anybody's.
    #[error("does not speak HTTP")]
    NotHttp,
}

/// A connection to `server` through `proxy`.
///
/// # Errors
/// [`ProxyError`]; whatever is wrong with the server itself is the proxy's answer, too.
pub(super) async fn tunnel(proxy: &ProxyUrl, server: &ServerUrl, dns: &Dns) -> Result<TcpStream, ProxyError> {
    let found = timeout(RESOLVE_LIMIT, lookup(proxy.host(), dns)).await;
    let addresses = found
        .map_err(|_| ProxyError::Name("no name server answers".to_owned()))?
        .map_err(|error| ProxyError::Name(chain(&error)))?;
    let mut last = ProxyError::Name("no address".to_owned());
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match dial(SocketAddr::new(address, proxy.port())).await {
            Ok(mut stream) => {
                let answered = timeout(ANSWER_LIMIT, ask(&mut stream, proxy, server)).await;
                let slow = || ProxyError::Unreachable("does not answer".to_owned());
                return answered.unwrap_or_else(|_| Err(slow())).map(|()| stream);
            }
            Err(error) => last = broken(&error),
        }
    }
    Err(last)
}

fn broken(error: &io::Error) -> ProxyError {
    ProxyError::Unreachable(told(error))
}

/// Asks for the way and reads the head of the answer.
async fn ask(stream: &mut TcpStream, proxy: &ProxyUrl, server: &ServerUrl) -> Result<(), ProxyError> {
    let broken = |error| broken(&error);
    let target = server.authority();
    stream.write_all(request(proxy, &target).as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() >= MAX_HEAD {
            return Err(ProxyError::NotHttp);
        }
        let mut room = [0; 1_024];
        let length = stream.read(&mut room).await.map_err(broken)?;
        match room.get(..length) {
            Some(bytes) if length > 0 => head.extend_from_slice(bytes),
            _ if head.is_empty() => {
                return Err(ProxyError::Unreachable("closes the connection".to_owned()));
            }
            _ => return Err(ProxyError::NotHttp),
        }
    };
    judge(&head, target, proxy.login().is_some())?;
    // A server waits for our greeting: whoever speaks first is not one.
    if end == head.len() { Ok(()) } else { Err(ProxyError::NotHttp) }
}

fn request(proxy: &ProxyUrl, target: &str) -> String {
    let mut request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: muster-agent/{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some((user, password)) = proxy.login() {
        let login = STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
    }
    request + "\r\n"
}

/// What the status line says.
fn judge(head: &[u8], target: String, with_login: bool) -> Result<(), ProxyError> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let said =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split_once(' ')).map(|(_, said)| said.trim());
    let status = said.and_then(|said| said.get(..3)?.parse::<u16>().ok()).ok_or(ProxyError::NotHttp)?;
    let said = clean_text(said.unwrap_or_default()).chars().take(MAX_REASON).collect();
    match status {
        200..=299 => Ok(()),
        407 if with_login => Err(ProxyError::LoginRefused(said)),
        407 => Err(ProxyError::LoginWanted(said)),
        _ => Err(ProxyError::Refused { target, said }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    /// A proxy on a loopback port that says `answer` to whatever it is asked, and passes bytes on
    /// when that is a yes. Returns where it is and what it was asked.
    pub(in crate::api) async fn proxy(answer: &'static [u8]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                heard.lock().unwrap().push(head);
                client.write_all(answer).await.unwrap();
                if answer.starts_with(b"HTTP/1.1 200") {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    tokio::spawn(async move {
                        // Ends when either side does, however that is.
                        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                    });
                }
            }
        });
        (at, asked)
    }

    async fn met(login: &str, answer: &'static [u8]) -> Result<(), String> {
        let (at, _) = proxy(answer).await;
        let url = format!("http://{login}{at}").parse().unwrap();
        let server = "https://muster.example:8092".parse().unwrap();
        tunnel(&url, &server, &Dns::default()).await.map(|_| ()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn proxys_own_words_reach_the_console_without_its_tricks() {
        let long = format!("HTTP/1.1 403 {}\r\n\r\n", "x".repeat(500)).leak();
        for (answer, told) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"[..],
                "wants a user name and password (407 Proxy Authentication Required)",
            ),
            (
                b"HTTP/1.0 403 Forbidden \x1b[2J\xff\r\nContent-Length: 4\r\n\r\nbody",
                "refuses the way to muster.example:8092: 403 Forbidden [2J",
            ),
            (b"HTTP/1.1 502\r\n\r\n", "refuses the way to muster.example:8092: 502"),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 20\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 OK fine\r\n\r\n", "does not speak HTTP"),
        ] {
            assert_eq!(met("", answer).await.unwrap_err(), told);
        }
        let told = met("", long.as_bytes()).await.unwrap_err();
        assert!(told.len() < 200, "{told}");
        let told = met("ann:wrong@", b"HTTP/1.1 407 No\r\n\r\n").await.unwrap_err();
        assert_eq!(told, "does not accept the user name and password (407 No)");
    }

    #[tokio::test]
    async fn endless_and_premature_talk_is_cut_off() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2 * MAX_HEAD)).into_bytes().leak();
        assert_eq!(met("", b"SSH").await.unwrap_err(), "does not speak HTTP");
        assert_eq!(met("", endless).await.unwrap_err(), "does not speak HTTP");
    }

    #[tokio::test]
    async fn proxy_that_is_away_or_nameless_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        let server = "https://muster.example".parse().unwrap();
        let away = format!("http://{at}").parse().unwrap();
        let told = tunnel(&away, &server, &Dns::default()).await.unwrap_err();
        assert_eq!(told.to_string(), "refuses the connection");
        let nameless = "http://proxy.example:3128".parse().unwrap();
        let told = tunnel(&nameless, &server, &Dns::default()).await.unwrap_err().to_string();
        assert!(told.starts_with("has no address: no name server known to look up proxy.example"), "{told}");
    }

    #[test]
    fn proxy_is_asked_for_the_host_as_it_was_given() {
        let proxy: ProxyUrl = "http://ann:s3cret@proxy:3128".parse().unwrap();
        let server: ServerUrl = "https://[fd00::1]:8092".parse().unwrap();
        let asked = request(&proxy, &server.authority());
        let lines: Vec<&str> = asked.split("\r\n").collect();
        assert_eq!(lines.first(), Some(&"CONNECT [fd00::1]:8092 HTTP/1.1"));
        assert!(lines.contains(&"Host: [fd00::1]:8092"));
        // RFC 7617 section 2: base64 of user:password.
        assert!(lines.contains(&"Proxy-Authorization: Basic YW5uOnMzY3JldA=="));
        assert!(asked.ends_with("\r\n\r\n"));
    }
}
