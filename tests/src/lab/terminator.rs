//! A TLS-terminating proxy as companies have them: it answers for the server under a CA of its own,
//! reads everything, and speaks to the server on its own behalf.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::SERVER_ID_SUFFIX;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use super::Lab;
use super::door::Door;
use crate::certificate::Identity;

/// Longest silence; held polls take half of it.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of plain text carried at once.
const PIECE: usize = 16 * 1_024;

/// A terminating proxy in a lab. Closed when dropped.
#[derive(Debug)]
pub struct Terminator {
    ca_pem: String,
    door: Door,
}

impl Terminator {
    /// Answers at `address` of the lab under a new CA's certificate for that address, for the server
    /// `server_id` with CA `server_ca` at a port of the host's loopback.
    ///
    /// # Errors
    /// When no certificate can be made or nobody can listen there.
    pub fn start(
        lab: &Lab,
        address: SocketAddr,
        server_id: &str,
        server_ca: &[u8],
        port: u16,
    ) -> Result<Self> {
        let identity = Identity::of(&[address.ip().to_string()], "Contoso inspection CA")?;
        let name =
            ServerName::try_from(format!("{server_id}{SERVER_ID_SUFFIX}")).context("not a server id")?;
        let (front, back) = (Arc::clone(&identity.config), trusting(server_ca)?);
        let serve = move |stream: TcpStream| {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("no server")?;
            inspect(stream, &front, server, &back, &name)
        };
        Ok(Self { ca_pem: identity.ca_pem, door: Door::open(lab, address, Arc::new(serve))? })
    }

    /// Certificate of the CA that vouches for it.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where it answers.
    ///
    /// # Errors
    /// Never: it listens as long as it lives.
    pub fn address(&self) -> Result<SocketAddr> {
        self.door.address()
    }
}

fn trusting(ca_pem: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(ca_pem).context("the CA is not PEM")?;
    roots.add(ca).context("not a CA")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// One side of the inspection.
struct Side {
    tls: Connection,
    socket: TcpStream,
}

impl Side {
    /// Takes in what arrived; `false` at the end.
    fn take(&mut self) -> Result<bool> {
        let count = self.tls.read_tls(&mut self.socket).context("the connection broke")?;
        self.tls.process_new_packets().context("not TLS")?;
        Ok(count > 0)
    }

    fn flush(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).context("the connection broke")?;
        }
        Ok(())
    }
}

/// Carries plain text between two TLS connections until one ends.
fn inspect(
    client: TcpStream,
    front: &Arc<ServerConfig>,
    server: TcpStream,
    back: &Arc<ClientConfig>,
    name: &ServerName<'static>,
) -> Result<()> {
    let front = ServerConnection::new(Arc::clone(front)).context("no TLS")?;
    let back = ClientConnection::new(Arc::clone(back), name.clone()).context("no TLS")?;
    let mut client = Side { tls: front.into(), socket: client };
    let mut server = Side { tls: back.into(), socket: server };
    loop {
        client.flush()?;
        server.flush()?;
        let wait = PollTimeout::try_from(IDLE).context("too long a time")?;
        let mut ready = [&client, &server].map(|side| PollFd::new(side.socket.as_fd(), PollFlags::POLLIN));
        if poll(&mut ready, wait).context("cannot wait")? == 0 {
            bail!("idle for {} s", IDLE.as_secs());
        }
        let [of_client, of_server] = ready.map(|fd| fd.any().unwrap_or_default());
        if of_client && !(client.take()? && carry(&mut client, &mut server)?) {
            return Ok(());
        }
        if of_server && !(server.take()? && carry(&mut server, &mut client)?) {
            return Ok(());
        }
    }
}

/// Hands on all plain text there is; `false` after the sender's goodbye.
fn carry(from: &mut Side, to: &mut Side) -> Result<bool> {
    use std::io::{ErrorKind, Read as _, Write as _};
    let mut piece = [0; PIECE];
    loop {
        match from.tls.reader().read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                to.tls.writer().write_all(piece.get(..count).unwrap_or_default()).context("no room")?;
                to.flush()?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error).context("the connection broke"),
        }
    }
}
