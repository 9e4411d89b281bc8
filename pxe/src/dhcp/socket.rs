//! UDP sockets of one interface, which say by which of our addresses they speak.

use super::error::BindError;
use super::network::Network;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrIn, bind, recvfrom, sendmsg,
    setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// A socket that never blocks.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// Listens on an interface: broadcasts, too, when `at` is 0.0.0.0. The port may be shared with another
/// program that shares it, so that a proxy and a server of addresses can be on one host.
pub(super) fn open(network: &Network, at: Ipv4Addr, port: u16) -> Result<Socket, BindError> {
    let interface = || network.interface.clone();
    let failed = |source| {
        if matches!(source, Errno::EACCES | Errno::EPERM) {
            BindError::Rights { port }
        } else if source == Errno::EADDRINUSE {
            BindError::Held { port, interface: interface() }
        } else {
            BindError::Socket { port, interface: interface(), source }
        }
    };
    let prepare = || {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        setsockopt(&socket, sockopt::Broadcast, &true)?;
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(interface()))?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(at, port)))?;
        Ok(Socket(socket))
    };
    prepare().map_err(failed)
}

impl Socket {
    /// The next packet that waits, and from whom; one that is longer than the buffer is cut.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
    ) -> Result<Option<(&'a [u8], SocketAddrV4)>, Errno> {
        match recvfrom::<SockaddrIn>(self.0.as_raw_fd(), buffer) {
            Ok((length, from)) => {
                let from = from.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from);
                Ok(Some((buffer.get(..length).unwrap_or_default(), from)))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends from an address of ours: an interface may have several, and firmware compares.
    pub(super) fn send(&self, bytes: &[u8], from: Ipv4Addr, to: SocketAddrV4) -> Result<(), Errno> {
        let address = |address: Ipv4Addr| in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
        let (from, none) = (address(from), address(Ipv4Addr::UNSPECIFIED));
        let by = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: none };
        let control = [ControlMessage::Ipv4PacketInfo(&by)];
        let to = SockaddrIn::from(to);
        let parts = [IoSlice::new(bytes)];
        sendmsg(self.0.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&to)).map(drop)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
