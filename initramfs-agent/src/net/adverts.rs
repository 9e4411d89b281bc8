//! Hears what routers say beside addresses: name servers and search domains.
//!
//! The kernel receives and checks router advertisements (RFC 4861), makes addresses of them
//! (RFC 4862) and sets the default route. The options it has no use for it hands out as
//! `RTM_NEWNDUSEROPT` messages, which `netlink-packet-route` does not know.

use super::advice::{Advice, parse};
use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// Longest message that is looked at, in bytes: an advertisement fits an Ethernet frame.
const MAX_MESSAGE: usize = 2_048;
/// Bit of the multicast group `RTNLGRP_ND_USEROPT` (20) of `include/uapi/linux/rtnetlink.h`.
const USER_OPTIONS: u32 = 1 << 19;

/// Hears what routers say.
#[derive(Debug)]
pub(super) struct Listener {
    socket: AsyncFd<File>,
}

impl Listener {
    /// Begins to listen. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel has no netlink.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, USER_OPTIONS))?;
        Ok(Self { socket: sys::watch(File::from(socket))? })
    }

    /// Waits for the next advice. Cancel safe.
    ///
    /// # Errors
    /// When the socket is broken. Messages that were lost come again: routers repeat themselves.
    pub(super) async fn next(&mut self) -> io::Result<Advice> {
        let mut buffer = [0; MAX_MESSAGE];
        loop {
            let mut ready = self.socket.readable().await?;
            let received =
                ready.try_io(|socket| Ok(recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?));
            match received {
                Err(_would_block) => {}
                Ok(Ok((length, sender))) => {
                    let from_kernel = sender.is_some_and(|address| address.pid() == 0);
                    let message = buffer.get(..length).filter(|_| from_kernel);
                    if let Some(advice) = message.and_then(parse) {
                        return Ok(advice);
                    }
                }
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}
