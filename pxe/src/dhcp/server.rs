//! The sockets: ports 67 and 4011 of one interface, served by one thread.

use super::Range;
use super::desk::{Desk, Host};
use super::error::BindError;
use super::lease::{Lease, Leases};
use super::network::Network;
use super::packet::{BOOT_PORT, MAX_PACKET, SERVER_PORT};
use super::probe::{Probe, RANDOM};
use super::proxy::Door;
use super::socket::{self, Socket};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packets that are read from one socket before the other gets its turn.
const TURN: usize = 64;

/// How DHCP is answered.
#[derive(Debug)]
pub struct Options {
    /// Our address on the network whose machines are answered.
    pub address: Ipv4Addr,
    /// Addresses to lease; none beside an existing server.
    pub range: Option<Range>,
    /// What [`Host::keep`] was told last before a restart.
    pub leases: Vec<Lease>,
    /// Random bytes, by which a search for other servers knows its answers.
    pub random: [u8; RANDOM],
}

/// A server that listens and answers nobody yet.
#[derive(Debug)]
pub struct Server {
    desk: Desk,
    dhcp: Socket,
    boot: Socket,
    stop: Arc<EventFd>,
    start: Instant,
}

/// Ends [`Server::run`].
#[derive(Debug, Clone)]
pub struct Stop(Arc<EventFd>);

impl Stop {
    /// Has the server end as soon as it has said what it is about to say.
    ///
    /// # Errors
    /// When the system takes no notice.
    pub fn stop(&self) -> io::Result<()> {
        self.0.write(1).map(drop).map_err(io::Error::from)
    }
}

impl Server {
    /// Finds the interface, and listens on ports 67 and 4011 there. With a range, it first looks for
    /// another server, which takes five seconds when there is none.
    ///
    /// # Errors
    /// [`BindError`], with what there is to do about it.
    pub fn bind(options: Options) -> Result<Self, BindError> {
        let network = Network::find(options.address)?;
        let interface = &network.interface;
        let now = Duration::ZERO;
        let leases = match options.range {
            None => None,
            Some(range) => {
                network.check(range)?;
                tracing::info!(target: "muster::boot", %interface, "looking for another DHCP server");
                // Before port 67 is ours: the question would wait there for ourselves.
                Probe::new(options.random)?.run(&network)?;
                let mut leases = Leases::new(range, network.reserved());
                leases.restore(options.leases, now);
                Some(leases)
            }
        };
        let dhcp = socket::open(&network, Ipv4Addr::UNSPECIFIED, SERVER_PORT)?;
        let boot = socket::open(&network, network.address, BOOT_PORT)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|source| {
            BindError::Socket { port: SERVER_PORT, interface: network.interface.clone(), source }
        })?;
        let desk = Desk::new(network, leases, now);
        Ok(Self { desk, dhcp, boot, stop: Arc::new(stop), start: Instant::now() })
    }

    /// The network that it answers on.
    pub fn network(&self) -> &Network {
        self.desk.network()
    }

    /// What ends it.
    pub fn stop_handle(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Answers until stopped. Blocks.
    ///
    /// # Errors
    /// When the system no longer says what has arrived.
    pub fn run(mut self, host: &mut dyn Host) -> io::Result<()> {
        loop {
            let mut ready = [
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.dhcp.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.boot.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [stopped, dhcp, boot] = ready.map(|fd| fd.any() == Some(true));
            if stopped {
                return Ok(());
            }
            let now = self.start.elapsed();
            if dhcp {
                serve(&self.dhcp, Door::Dhcp, &mut self.desk, now, host);
            }
            if boot {
                serve(&self.boot, Door::Boot, &mut self.desk, now, host);
            }
        }
    }
}

/// Answers what waits at one socket. One byte more than a packet may have is read, so that a longer
/// one is not taken for whole.
fn serve(socket: &Socket, door: Door, desk: &mut Desk, now: Duration, host: &mut dyn Host) {
    let mut buffer = [0; MAX_PACKET + 1];
    for _ in 0..TURN {
        let (bytes, from) = match socket.receive(&mut buffer) {
            Ok(Some(packet)) => packet,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(target: "muster::boot", %error, "a DHCP socket says nothing");
                return;
            }
        };
        let Some(reply) = desk.receive(bytes, (door, from), now, host) else { continue };
        if let Err(error) = socket.send(&reply.bytes, desk.network().address, reply.to) {
            let to = reply.to;
            tracing::warn!(target: "muster::boot", %error, %to, "a DHCP answer cannot be sent");
        }
    }
}
