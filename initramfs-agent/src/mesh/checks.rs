//! Whether something that may be held is healthy here: a connection, a request, or a command, each within its time.
//! Whom a test of health talks to is chosen by an operator and learns nothing: certificates are not looked at.

use crate::net::resolve::{Dns, lookup};
use crate::reap::{Reaper, SEARCH, SHELL};
use crate::report::printable;
use crate::runtime::beside;
use crate::sys;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::Builder;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::mesh::{CheckKind, HealthCheck, MAX_MESSAGE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1_024;
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Makes one test. `reaper` starts commands.
///
/// # Errors
/// What was wrong, in words.
pub(super) async fn test(check: &HealthCheck, reaper: &Reaper) -> Result<(), String> {
    let limit = Duration::from_secs(check.timeout.into());
    let outcome = match check.kind {
        CheckKind::None => return Ok(()),
        CheckKind::Tcp => timeout(limit, connect(&check.target)).await.map(|done| done.map(drop)),
        CheckKind::Http => timeout(limit, ask(&check.target)).await,
        CheckKind::Exec => Ok(run(&check.target, limit, reaper).await),
    };
    let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())));
    outcome.map_err(|words| printable(&words, MAX_MESSAGE))
}

/// A connection to `HOST:PORT`, or to `:PORT` of the machine itself.
async fn connect(target: &str) -> Result<TcpStream, String> {
    let (host, port) = target.rsplit_once(':').ok_or("no HOST:PORT")?;
    let port: u16 = port.parse().map_err(|_| "no HOST:PORT".to_owned())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<IpAddr> = match host {
        "" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => lookup(host, &Dns::of_system()).await.map_err(|error| crate::report::chain(&error))?,
    };
    let mut why = format!("{host} has no address");
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{target}: {error}"),
        }
    }
    Err(why)
}

/// A request that is answered with 200 to 399.
async fn ask(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
    let host = uri.host().ok_or_else(|| format!("{url} names no host"))?;
    let is_secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = connect(&format!("{host}:{port}")).await?;
    let status = if is_secure {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned());
        let name = name.map_err(|_| format!("{host} is no name of a host"))?;
        let config = anybody().map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        status_of(&uri, stream.map_err(|error| format!("no TLS: {error}"))?).await?
    } else {
        status_of(&uri, stream).await?
    };
    if (200..400).contains(&status) { Ok(()) } else { Err(format!("HTTP {status}")) }
}

async fn status_of(
    uri: &Uri,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<u16, String> {
    let words = |error: &dyn std::error::Error| crate::report::chain(error);
    let (mut requests, connection) = Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| words(&error))?;
    // Ends with the request, whose error it is, too.
    let carrying = beside(async move { drop(connection.await) });
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("muster-agent/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| words(&error))?;
    let answer = requests.send_request(request).await.map_err(|error| words(&error));
    carrying.abort();
    Ok(answer?.status().as_u16())
}

/// Whoever answers.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn anybody() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

/// A command of the shell that ends with 0. One that takes too long is ended, with all that it started.
async fn run(command: &str, limit: Duration, reaper: &Reaper) -> Result<(), String> {
    let mut shell = Command::new(SHELL);
    shell
        .args(["-c", command])
        .env_clear()
        .env("PATH", SEARCH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running =
        reaper.spawn(sys::in_own_session(&mut shell)).map_err(|error| crate::report::chain(&error))?;
    match timeout(limit, running.wait()).await {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("the command ended with {status}")),
        Ok(None) => Err("nobody knows how the command ended".to_owned()),
        Err(_) => {
            if let Ok(group) = i32::try_from(running.pid()) {
                // Gone meanwhile is gone.
                killpg(Pid::from_raw(group), Signal::SIGKILL).unwrap_or(());
            }
            Err(format!("the command took longer than {} s", limit.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reap::tests::reaper;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn check(kind: CheckKind, target: &str) -> HealthCheck {
        HealthCheck { kind, target: target.to_owned(), timeout: 2, ..HealthCheck::default() }
    }

    /// A server that gives this answer to whoever asks.
    fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 1_024];
                let count = stream.read(&mut asked).unwrap_or(0);
                let asked = String::from_utf8_lossy(asked.get(..count).unwrap_or_default()).into_owned();
                let fits = asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n")
                    && asked.contains("host: 127.0.0.1:");
                let answer = if fits || count == 0 { answer } else { "HTTP/1.1 400 Odd\r\n\r\n" };
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        port
    }

    async fn tested(kind: CheckKind, target: &str) -> Result<(), String> {
        test(&check(kind, target), &reaper()).await
    }

    #[tokio::test]
    async fn connection_is_enough_for_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(tested(CheckKind::Tcp, &format!("127.0.0.1:{port}")).await, Ok(()));
        assert_eq!(tested(CheckKind::Tcp, &format!(":{port}")).await, Ok(()), "the machine itself");
        // Bound, and nobody listens: the port is nobody else's.
        let bound = tokio::net::TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = bound.local_addr().unwrap().port();
        let refused = tested(CheckKind::Tcp, &format!(":{port}")).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
        assert!(tested(CheckKind::Tcp, "nonsense").await.is_err());
    }

    #[tokio::test]
    async fn answers_of_two_and_three_hundred_are_good() {
        for (answer, expected) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
            ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", Ok(())),
            ("HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n", Err("HTTP 503".to_owned())),
        ] {
            let url = format!("http://127.0.0.1:{}/health?deep=1", serve(answer));
            assert_eq!(tested(CheckKind::Http, &url).await, expected, "{answer}");
        }
        let url = format!("http://127.0.0.1:{}/health?deep=1", serve("nonsense\r\n\r\n"));
        assert!(tested(CheckKind::Http, &url).await.is_err());
        let url = format!("https://127.0.0.1:{}/", serve("HTTP/1.1 200 OK\r\n\r\n"));
        let no_tls = tested(CheckKind::Http, &url).await.unwrap_err();
        assert!(no_tls.starts_with("no TLS: "), "{no_tls}");
    }

    #[tokio::test]
    async fn commands_say_it_by_how_they_end() {
        assert_eq!(tested(CheckKind::Exec, "test -d /").await, Ok(()));
        let failed = tested(CheckKind::Exec, "exit 7").await.unwrap_err();
        assert_eq!(failed, "the command ended with exit status: 7");
        let mut slow = check(CheckKind::Exec, "sleep 77 & sleep 77");
        slow.timeout = 1;
        let late = test(&slow, &reaper()).await.unwrap_err();
        assert_eq!(late, "the command took longer than 1 s");
    }

    #[tokio::test]
    async fn commands_know_nothing_of_the_machines_token() {
        assert_eq!(tested(CheckKind::Exec, "test -z \"$RS_TOKEN$CARGO\" && test -n \"$PATH\"").await, Ok(()));
    }

    #[tokio::test]
    async fn silence_is_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut silent = check(CheckKind::Http, &url);
        silent.timeout = 1;
        assert_eq!(test(&silent, &reaper()).await.unwrap_err(), "no answer within 1 s");
        assert_eq!(tested(CheckKind::None, "").await, Ok(()));
    }
}
