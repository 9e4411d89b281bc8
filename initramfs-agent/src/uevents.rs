//! Kernel events about devices that come and go (`NETLINK_KOBJECT_UEVENT`).
//!
//! Only messages of the kernel itself are heard: group 1, sender port 0. A USB stick may appear
//! seconds after the first walk over `/sys`; its event names the modalias to load drivers for.

use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket, sockopt,
};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// Longest message: the kernel's `UEVENT_BUFFER_SIZE` and its head, in bytes.
const MAX_MESSAGE: usize = 4_096;
/// Multicast group of the kernel; group 2 belongs to udev.
const KERNEL_GROUP: u32 = 1;
/// Room for events that come while a driver loads, in bytes. A machine with many disks sends
/// a few thousand at once.
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;

/// Why device events cannot be heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UeventError {
    /// No socket.
    #[error("cannot listen for device events; devices plugged in later are not seen")]
    Open(#[source] io::Error),
    /// Reading failed.
    #[error("cannot read device events; devices plugged in later are not seen")]
    Read(#[source] io::Error),
}

/// One thing that happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uevent {
    /// `add`, `remove`, `change`, `bind` and so on.
    pub(crate) action: String,
    /// Device below `/sys`, beginning with a slash.
    pub(crate) path: String,
    /// `pci`, `usb`, `input`, `net` and so on; empty when not told.
    pub(crate) subsystem: String,
    /// Alias to load modules by, where the device has one.
    pub(crate) modalias: Option<String>,
}

/// What the listener heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A device event.
    Event(Uevent),
    /// The kernel dropped events because we were slow: look at everything again.
    Overrun,
}

/// Reads one message; `None` when it is not a kernel event.
pub(crate) fn parse(message: &[u8]) -> Option<Uevent> {
    let mut parts = message.split(|&byte| byte == 0).map(|part| std::str::from_utf8(part).ok());
    // The head is ACTION@DEVPATH; udev's own messages begin with "libudev" and have none.
    let (action, path) = parts.next()??.split_once('@')?;
    let mut event =
        Uevent { action: action.to_owned(), path: path.to_owned(), subsystem: String::new(), modalias: None };
    for (key, value) in parts.flatten().filter_map(|part| part.split_once('=')) {
        match key {
            "SUBSYSTEM" => value.clone_into(&mut event.subsystem),
            "MODALIAS" => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(event)
}

/// Hears device events.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: AsyncFd<File>,
}

impl Listener {
    /// Begins to listen. Open it before the first walk over `/sys`, so that nothing falls
    /// between. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`UeventError::Open`].
    pub(crate) fn open() -> Result<Self, UeventError> {
        let open = |errno: Errno| UeventError::Open(errno.into());
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            flags,
            Some(SockProtocol::NetlinkKObjectUEvent),
        )
        .map_err(open)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP)).map_err(open)?;
        match setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
            // Without the right to a large buffer the default serves; an overrun is told.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(open(errno)),
        }
        Ok(Self { socket: sys::watch(File::from(socket)).map_err(UeventError::Open)? })
    }

    /// Waits for the next event. Cancel safe.
    ///
    /// # Errors
    /// [`UeventError::Read`] when the socket is broken.
    pub(crate) async fn next(&mut self) -> Result<Heard, UeventError> {
        let mut buffer = [0; MAX_MESSAGE];
        loop {
            let mut ready = self.socket.readable().await.map_err(UeventError::Read)?;
            let received =
                ready.try_io(|socket| Ok(recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?));
            match received {
                Err(_would_block) => {}
                Ok(Ok((len, sender))) => {
                    let from_kernel = sender.is_some_and(|address| address.pid() == 0);
                    let message = buffer.get(..len).filter(|_| from_kernel);
                    if let Some(event) = message.and_then(parse) {
                        return Ok(Heard::Event(event));
                    }
                }
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    return Ok(Heard::Overrun);
                }
                Ok(Err(error)) => return Err(UeventError::Read(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_device_tells_its_alias() {
        let message = b"add@/devices/pci0000:00/0000:00:03.0\0ACTION=add\0SUBSYSTEM=pci\0\
            MODALIAS=pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00\0SEQNUM=900\0";
        let event = parse(message).unwrap();
        assert_eq!((event.action.as_str(), event.subsystem.as_str()), ("add", "pci"));
        assert_eq!(event.path, "/devices/pci0000:00/0000:00:03.0");
        assert_eq!(event.modalias.as_deref(), Some("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00"));
    }

    #[test]
    fn messages_of_others_and_rubbish_are_passed_over() {
        for message in [&b""[..], b"libudev\0\xfe\xed\xca\xfe", b"add", b"\xff\xff@x\0"] {
            assert_eq!(parse(message), None, "{message:?}");
        }
    }

    #[tokio::test]
    async fn listener_waits_when_nothing_happens() {
        let Ok(mut listener) = Listener::open() else { panic!("kernel without device events") };
        let quiet = tokio::time::timeout(std::time::Duration::ZERO, listener.next()).await;
        // Either nothing happened on this machine just now, or something real did.
        assert!(matches!(quiet, Err(_) | Ok(Ok(_))));
    }
}
