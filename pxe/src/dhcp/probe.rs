//! Is there another DHCP server? A machine that is none asks for an address, and takes none (RFC 2131
//! 4.4.1): two servers that know nothing of each other would give one address to two machines.

use super::error::BindError;
use super::network::Network;
use super::packet::{self, CLIENT_PORT, Hardware, Kind, MAX_PACKET, Message, SERVER_PORT};
use super::socket::{self, Socket};
use dhcproto::error::EncodeError;
use dhcproto::v4::{self, DhcpOption, OptionCode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long answers are waited for: servers that first look whether an address is in use take three
/// seconds for that (dnsmasq, `PING_WAIT`).
const PATIENCE: Duration = Duration::from_secs(5);
/// The question is asked again, as packets get lost.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Random bytes that a probe takes.
pub const RANDOM: usize = 9;

/// A question of a machine that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    xid: u32,
    hardware: Hardware,
    question: Vec<u8>,
}

impl Probe {
    /// A question by a card that nobody makes (locally administered).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(random: [u8; RANDOM]) -> Result<Self, EncodeError> {
        let [a, b, c, d, e, f, g, h, i] = random;
        let (xid, mac) = (u32::from_be_bytes([a, b, c, d]), [0x02, e, f, g, h, i]);
        let mut message = v4::Message::default();
        message.set_xid(xid).set_chaddr(&mac).set_flags(v4::Flags::default().set_broadcast());
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(v4::MessageType::Discover));
        options.insert(DhcpOption::ParameterRequestList(vec![OptionCode::SubnetMask]));
        let question = packet::encode(&message)?;
        Ok(Self { xid, hardware: Hardware::ethernet(mac), question })
    }

    /// The server that answers it with an offer of an address.
    pub(super) fn answer(&self, bytes: &[u8], from: Ipv4Addr) -> Option<Ipv4Addr> {
        let Message { kind, xid, hardware, yiaddr, server, from_client, .. } = packet::decode(bytes).ok()?;
        let ours = !from_client && xid == self.xid && hardware == self.hardware;
        (ours && kind == Kind::Offer && !yiaddr.is_unspecified()).then_some(server.unwrap_or(from))
    }

    /// Asks, and waits for somebody to answer.
    ///
    /// # Errors
    /// When another server answers, and when nobody can be asked.
    pub(super) fn run(&self, network: &Network) -> Result<(), BindError> {
        let interface = || network.interface.clone();
        let failed = |source| BindError::Probe { interface: interface(), source };
        let socket = socket::open(network, Ipv4Addr::UNSPECIFIED, CLIENT_PORT)?;
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
        let start = Instant::now();
        let mut asked = None;
        while start.elapsed() < PATIENCE {
            if asked.is_none_or(|asked: Instant| asked.elapsed() >= AGAIN_AFTER) {
                socket.send(&self.question, network.address, everybody).map_err(failed)?;
                asked = Some(Instant::now());
            }
            if let Some(server) = self.listen(&socket).map_err(failed)? {
                return Err(BindError::AnotherServer { server, interface: interface() });
            }
        }
        Ok(())
    }

    /// Waits a moment for packets, and reads those that came.
    fn listen(&self, socket: &Socket) -> Result<Option<Ipv4Addr>, Errno> {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(200_u8)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let mut buffer = [0; MAX_PACKET + 1];
        while let Some((bytes, from)) = socket.receive(&mut buffer)? {
            if let Some(server) = self.answer(bytes, *from.ip()) {
                return Ok(Some(server));
            }
        }
        Ok(None)
    }
}
