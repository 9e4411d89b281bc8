//! proxyDHCP: something to boot beside a server that gives addresses (PXE 2.1, 2.2). Pure.
//!
//! What firmware does with an offer without an address, as read in its source:
//!
//! - BIOS boot ROMs take the file of the offer at once when option 43 says so (`PXE_DISCOVERY_CONTROL`,
//!   bit 3), and else look for boot servers.
//! - iPXE takes the file of an offer, and asks on port 4011 only when there is none (`dhcp.c`). With an
//!   address and such an offer in hand it does not wait for more.
//! - UEFI (edk2 `PxeBcDhcp4.c`) loses proxy offers with option 43 in versions up to 2017; one without it
//!   (a "BINL" offer) makes every version ask on port 4011, where the acknowledgement holds the file.
//!   shim then reads `siaddr` and `file` of that acknowledgement.
//! - UEFI HTTP Boot (edk2 `HttpBootDhcp4.c`) takes the URL of an offer whose option 60 is `HTTPClient`,
//!   and asks no more.

use super::client::{HTTP, PXE};
use super::packet::{self, BootFile, Kind, Message, Reply};
use crate::question::Firmware;
use dhcproto::error::EncodeError;
use dhcproto::v4::{self, DhcpOption};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Option 43: `PXE_DISCOVERY_CONTROL` (6), one byte, "boot the file of this offer" (8), end.
const BOOT_AT_ONCE: [u8; 4] = [6, 1, 8, 255];

/// The port that a message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// 67, everybody's.
    Dhcp,
    /// 4011, for boot files alone.
    Boot,
}

/// What kind of answer a message takes from a proxy at `server`, if any. A request on port 67 is for an
/// address, and whoever gave that answers: it may name our own, when both are on one host.
pub(super) fn takes(message: &Message, door: Door, server: Ipv4Addr) -> Option<Kind> {
    match (door, message.kind) {
        (Door::Dhcp, Kind::Discover) => Some(Kind::Offer),
        (Door::Boot, Kind::Request | Kind::Inform) => {
            message.server.is_none_or(|named| named == server).then_some(Kind::Ack)
        }
        (Door::Boot, Kind::Discover)
        | (Door::Dhcp, Kind::Request | Kind::Inform)
        | (Door::Dhcp | Door::Boot, Kind::Offer | Kind::Ack | Kind::Nak | Kind::Decline | Kind::Release) => {
            None
        }
    }
}

/// The answer of a proxy: no address, something to load.
///
/// # Errors
/// When it cannot be written.
pub(super) fn reply(
    to: &Message,
    kind: Kind,
    firmware: Firmware,
    file: BootFile<'_>,
    came_from: (Door, SocketAddrV4),
) -> Result<Reply, EncodeError> {
    let mut message = packet::answer(to, kind, file.server);
    message.set_ciaddr(if kind == Kind::Ack { to.ciaddr } else { Ipv4Addr::UNSPECIFIED });
    packet::name_boot_file(&mut message, file);
    classify(&mut message, firmware);
    if !to.machine.is_empty() && to.machine.len() <= packet::MAX_VALUE {
        message.opts_mut().insert(DhcpOption::ClientMachineIdentifier(to.machine.clone()));
    }
    let mut reply = Reply::new(to, kind, &message)?;
    match came_from {
        // Whoever asks on this port has an address, and listens where it speaks from: iPXE on port
        // 68, UEFI on 4011.
        (Door::Boot, from) if !from.ip().is_unspecified() => reply.to = from,
        (Door::Boot | Door::Dhcp, _) => {}
    }
    Ok(reply)
}

/// Says which firmware an answer is for.
fn classify(message: &mut v4::Message, firmware: Firmware) {
    let (class, control) = match firmware {
        Firmware::Bios | Firmware::Ipxe => (PXE, Some(BOOT_AT_ONCE)),
        Firmware::Uefi(_) => (PXE, None),
        Firmware::UefiHttp(_) => (HTTP, None),
    };
    message.opts_mut().insert(DhcpOption::ClassIdentifier(class.to_vec()));
    if let Some(control) = control {
        message.opts_mut().insert(DhcpOption::VendorExtensions(control.to_vec()));
    }
}
