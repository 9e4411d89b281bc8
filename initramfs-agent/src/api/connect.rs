//! How a connection to a server is made: directly or through a proxy, and always through the TLS
//! of [`super::tls`], which decides before a byte of HTTP is sent.

use super::proxy::tunnel;
use super::tls::{PinVerifier, Trust, TrustError, config};
use super::{ClockTrust, ConnectError, Peer};
use crate::net::resolve::{Dns, lookup};
use crate::report::chain;
use crate::runtime::beside;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use protocol::AGENT_SNI;
use protocol::config::{ProxyUrl, ServerUrl};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

pub(super) const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Most addresses of one name that are tried.
pub(super) const MAX_ADDRESSES: usize = 3;
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1_024;
const MAX_HEADERS: usize = 64;

/// Where requests of one connection go in.
pub(super) type Requests = SendRequest<Full<Bytes>>;
/// A connection to a server that was recognised, before a byte of HTTP.
pub(super) type Recognised = TlsStream<TcpStream>;

/// The way to servers.
pub(super) struct Road<'a> {
    /// Whom to believe at the end of it.
    pub(super) trust: &'a Trust,
    /// Through whom, if not directly.
    pub(super) proxy: Option<&'a ProxyUrl>,
    /// Whom to ask for names.
    pub(super) dns: Dns,
}

impl Road<'_> {
    /// Connects, and speaks HTTP.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn lead_to(
        &self,
        server: &ServerUrl,
        clock: ClockTrust,
    ) -> Result<(Requests, Peer), ConnectError> {
        let (stream, peer) = self.recognise(server, clock).await?;
        let (requests, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ConnectError::Unreachable(format!("{} {error}", server.authority())))?;
        // Ends with the connection; what goes wrong in it reaches the request it happens to.
        beside(async move { drop(connection.await) });
        Ok((requests, peer))
    }

    /// Connects. Of several addresses the first that works; when none does, the error that tells
    /// most is told.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn recognise(
        &self,
        server: &ServerUrl,
        clock: ClockTrust,
    ) -> Result<(Recognised, Peer), ConnectError> {
        if let Some(proxy) = self.proxy {
            let stream = tunnel(proxy, server, &self.dns)
                .await
                .map_err(|error| ConnectError::Proxy(format!("{proxy} {error}")))?;
            return self.secure(stream, server, &server.authority(), clock).await;
        }
        let found = timeout(RESOLVE_LIMIT, lookup(server.host(), &self.dns)).await;
        let name = |cause: String| ConnectError::Name { host: server.host().to_owned(), cause };
        let addresses =
            found.map_err(|_| name("no answer".to_owned()))?.map_err(|error| name(chain(&error)))?;
        let mut worst = name("no address".to_owned());
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.try_address(SocketAddr::new(address, server.port()), server, clock).await {
                Ok(connected) => return Ok(connected),
                Err(error) if telling(&error) >= telling(&worst) => worst = error,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    async fn try_address(
        &self,
        address: SocketAddr,
        server: &ServerUrl,
        clock: ClockTrust,
    ) -> Result<(Recognised, Peer), ConnectError> {
        let stream = dial(address).await.map_err(|error| {
            let words = format!("{address} {}", told(&error));
            if is_no_route(error.kind()) {
                ConnectError::NoRoute(words)
            } else {
                ConnectError::Unreachable(words)
            }
        })?;
        self.secure(stream, server, &address.to_string(), clock).await
    }

    /// Greets whoever is at the end of `stream`, called `place` when something is wrong.
    async fn secure(
        &self,
        stream: TcpStream,
        server: &ServerUrl,
        place: &str,
        clock: ClockTrust,
    ) -> Result<(Recognised, Peer), ConnectError> {
        let unreachable = |what: &str| ConnectError::Unreachable(format!("{place} {what}"));
        let (config, verifier) =
            config(self.trust, clock).map_err(|error| unreachable(&error.to_string()))?;
        // A proxy that ends TLS chooses its certificate by the name it is asked for.
        let name = if self.trust.extra.is_some() { server.host() } else { AGENT_SNI };
        let name = ServerName::try_from(name.to_owned()).map_err(|error| unreachable(&error.to_string()))?;
        let shaken =
            timeout(HANDSHAKE_LIMIT, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
        let stream = match shaken {
            Err(_) => return Err(unreachable("does not finish the TLS handshake")),
            Ok(Err(error)) => return Err(handshake_error(place, &verifier, &error)),
            Ok(Ok(stream)) => stream,
        };
        let Some(Ok(verified)) = verifier.verdict() else {
            return Err(unreachable("finished TLS without a certificate"));
        };
        let peer = Peer {
            server_id: verified.server_id.clone(),
            authority: verified.authority.clone(),
            time_problem: verified.time_problem.clone(),
        };
        Ok((stream, peer))
    }
}

/// How much an error says, when each of a name's addresses failed in its own way.
fn telling(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Pin { .. } => 4,
        ConnectError::CertificateTime(_) => 3,
        ConnectError::Proxy(_) | ConnectError::Unreachable(_) => 2,
        ConnectError::NoRoute(_) => 1,
        ConnectError::Name { .. } => 0,
    }
}

/// Opens a TCP connection.
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await.map_err(late)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn handshake_error(place: &str, verifier: &PinVerifier, error: &io::Error) -> ConnectError {
    match verifier.verdict() {
        Some(Err(TrustError::Pin { got, authority })) => {
            ConnectError::Pin { got: *got, authority: authority.clone() }
        }
        Some(Err(TrustError::Time(cause))) => ConnectError::CertificateTime(cause.clone()),
        Some(Err(error @ (TrustError::NoServerId | TrustError::TooLarge))) => {
            ConnectError::Unreachable(format!("{place} is not a Muster server: {error}"))
        }
        Some(Ok(_)) | None => ConnectError::Unreachable(format!("{place} breaks off TLS: {}", told(error))),
    }
}

/// Whether an error means that packets do not even leave this network. Without an address of
/// the target's family there is no way either.
fn is_no_route(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(kind, HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable)
}

/// An I/O error in words for a console: without the number that only a programmer reads.
pub(super) fn told(error: &io::Error) -> String {
    const PLAIN: [(io::ErrorKind, &str); 4] = [
        (io::ErrorKind::ConnectionRefused, "refuses the connection"),
        (io::ErrorKind::ConnectionReset, "resets the connection"),
        (io::ErrorKind::TimedOut, "does not answer"),
        (io::ErrorKind::UnexpectedEof, "closes the connection"),
    ];
    if is_no_route(error.kind()) {
        return "cannot be reached from this network".to_owned();
    }
    let plain = PLAIN.iter().find(|(kind, _)| *kind == error.kind());
    plain
        .map_or_else(|| protocol::inventory::clean_text(&error.to_string()), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    #[test]
    fn a_network_that_leads_nowhere_is_told_apart_from_a_server_that_is_away() {
        for (number, no_route, words) in [
            (libc::ENETUNREACH, true, "cannot be reached from this network"),
            (libc::EHOSTUNREACH, true, "cannot be reached from this network"),
            (libc::EADDRNOTAVAIL, true, "cannot be reached from this network"),
            (libc::ECONNREFUSED, false, "refuses the connection"),
            (libc::ETIMEDOUT, false, "does not answer"),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!((is_no_route(error.kind()), told(&error).as_str()), (no_route, words));
        }
    }

    #[test]
    fn of_several_addresses_the_one_that_answered_tells_most() {
        let words = || "x".to_owned();
        let least_first = [
            ConnectError::Name { host: words(), cause: words() },
            ConnectError::NoRoute(words()),
            ConnectError::Unreachable(words()),
            ConnectError::CertificateTime(words()),
            ConnectError::Pin { got: None, authority: None },
        ];
        assert!(least_first.iter().is_sorted_by_key(telling));
    }
}
