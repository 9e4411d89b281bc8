//! Listens to the switches: the neighbour of each link, by LLDP (IEEE 802.1AB).
//!
//! One packet socket that takes LLDP frames only, a member of the group on every link: the
//! kernel wakes us when a switch speaks, every 30 seconds by default, and never otherwise. We
//! send nothing. Some network cards keep the frames to their own firmware; then nobody is heard.

pub(crate) mod frame;

use crate::inventory::{Learnt, hardware_links};
use crate::net::Status;
use crate::sys;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, recvfrom};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;

/// `ETH_P_LLDP` of `include/uapi/linux/if_ether.h`.
const ETHERTYPE: u16 = 0x88cc;
/// The nearest bridge (802.1AB 7.1), which no bridge passes on.
const GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e];
/// Most links that are listened on.
const MAX_LINKS: usize = 64;

/// Why no switch is heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LldpError {
    /// No socket.
    #[error("cannot listen for LLDP; the inventory names no switch")]
    Open(#[source] io::Error),
    /// Reading failed for good.
    #[error("cannot read LLDP frames any more; the inventory keeps the switches heard so far")]
    Read(#[source] io::Error),
}

/// Listens for ever on every link of `status`, and tells what it hears.
///
/// # Errors
/// [`LldpError`]; nothing else depends on it.
pub(crate) async fn listen(
    mut status: watch::Receiver<Status>,
    learnt: watch::Sender<Learnt>,
) -> Result<(), LldpError> {
    let mut ears = Ears::open()?;
    let mut follows = true;
    ears.join(&status.borrow_and_update());
    loop {
        tokio::select! {
            changed = status.changed(), if follows => match changed {
                Ok(()) => ears.join(&status.borrow_and_update()),
                // Nobody tells of new links any more; those there are go on.
                Err(_closed) => follows = false,
            },
            heard = ears.next() => {
                let (link, heard) = heard?;
                let now = Instant::now();
                learnt.send_if_modified(|learnt| learnt.hear(&link, heard.lldp, heard.holds, now));
            }
        }
    }
}

/// The socket and where it is a member of the group.
struct Ears {
    socket: AsyncFd<File>,
    /// Links by their index.
    joined: BTreeMap<u32, String>,
}

impl Ears {
    fn open() -> Result<Self, LldpError> {
        let socket = sys::frame_socket(ETHERTYPE).map_err(LldpError::Open)?;
        let socket = sys::watch(File::from(socket)).map_err(LldpError::Open)?;
        Ok(Self { socket, joined: BTreeMap::new() })
    }

    /// Joins the group on links that are new: those of the network, and the members of a bond,
    /// which the network does not tell of one by one.
    fn join(&mut self, status: &Status) {
        let known = std::mem::take(&mut self.joined);
        let names = status.links.iter().map(|link| link.name.clone()).chain(hardware_links());
        for name in names.take(2 * MAX_LINKS) {
            let Ok(index) = if_nametoindex(name.as_str()) else { continue };
            let is_member = known.contains_key(&index) || self.joined.contains_key(&index);
            // A link that went away meanwhile has no neighbour; the next change finds others.
            if is_member || sys::join_group(self.socket.get_ref().as_fd(), index, GROUP).is_ok() {
                self.joined.insert(index, name);
            }
        }
    }

    /// The next neighbour that speaks, and the link. Cancel safe.
    async fn next(&mut self) -> Result<(String, frame::Heard), LldpError> {
        let mut buffer = [0; frame::MAX_FRAME];
        loop {
            let mut ready = self.socket.readable().await.map_err(LldpError::Read)?;
            let receive =
                |socket: &AsyncFd<File>| Ok(recvfrom::<LinkAddr>(socket.get_ref().as_raw_fd(), &mut buffer)?);
            let Ok(outcome) = ready.try_io(receive) else { continue };
            let (length, sender) = match outcome {
                Ok(received) => received,
                Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => continue,
                // A link went down: the others go on.
                Err(error) if error.raw_os_error() == Some(Errno::ENETDOWN as i32) => continue,
                Err(error) => return Err(LldpError::Read(error)),
            };
            let index = sender.and_then(|sender| u32::try_from(sender.ifindex()).ok());
            let link = index.and_then(|index| self.joined.get(&index));
            let heard = buffer.get(..length).and_then(frame::parse);
            if let (Some(link), Some(heard)) = (link, heard) {
                return Ok((link.clone(), heard));
            }
        }
    }
}
