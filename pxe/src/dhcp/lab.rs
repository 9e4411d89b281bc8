//! A lab's DHCP server: addresses for everybody from one range, by the letter of RFC 2131 4.3. Pure.
//!
//! No router and no name server are named: machines of such a network find what they need on it.

use super::client::HTTP;
use super::lease::{Holder, LEASE, Leases};
use super::network::Network;
use super::packet::{self, BootFile, Kind, Message, Reply};
use crate::question::Firmware;
use dhcproto::error::EncodeError;
use dhcproto::v4::{self, DhcpOption, OptionCode, UnknownOption};
use std::net::Ipv4Addr;
use std::time::Duration;

/// iPXE's own options (175): `no-pxedhcp` (176), one byte, yes. It waits for no proxy then.
const NO_PROXY: [u8; 3] = [176, 1, 1];
/// iPXE's encapsulated options.
const IPXE_OPTIONS: u8 = 175;

/// What is done about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This address is offered.
    Offer(Ipv4Addr),
    /// This address is given.
    Give(Ipv4Addr),
    /// The client has an address, and hears what else there is to know.
    Tell,
    /// The client cannot have the address that it asks for, and begins anew.
    Refuse,
    /// Every address is in use.
    Full,
    /// An address was found taken: it is left alone for a while.
    Declined(Ipv4Addr),
    /// The client took the address of another server.
    Elsewhere(Ipv4Addr),
    /// There is nothing to say.
    Silence,
}

/// Decides about a client's message, and notes in the table what follows.
pub(super) fn decide(message: &Message, network: &Network, leases: &mut Leases, now: Duration) -> Verdict {
    let Some(holder) = Holder::of(message) else { return Verdict::Silence };
    // A relay's clients are on the relay's network: ours has no addresses for others.
    if !message.giaddr.is_unspecified() && !network.contains(message.giaddr) {
        return Verdict::Silence;
    }
    match message.kind {
        Kind::Discover => match leases.offer(&holder, message.requested, now) {
            Some(address) => Verdict::Offer(address),
            None => Verdict::Full,
        },
        Kind::Request => request(message, &holder, network.address, leases, now),
        Kind::Decline => match message.requested {
            Some(address) if leases.decline(&holder, address, now) => Verdict::Declined(address),
            Some(_) | None => Verdict::Silence,
        },
        Kind::Release => {
            leases.release(&holder, message.ciaddr, now);
            Verdict::Silence
        }
        Kind::Inform if network.contains(message.ciaddr) => Verdict::Tell,
        Kind::Inform | Kind::Offer | Kind::Ack | Kind::Nak => Verdict::Silence,
    }
}

/// RFC 2131 4.3.2: which address a request means says in which state the client is.
fn request(message: &Message, holder: &Holder, us: Ipv4Addr, leases: &mut Leases, now: Duration) -> Verdict {
    let asked = match (message.server, message.requested) {
        // SELECTING: somebody's offer is taken.
        (Some(server), _) if server != us => {
            leases.forget_offer(holder);
            return Verdict::Elsewhere(server);
        }
        (Some(_), Some(address)) => address,
        // INIT-REBOOT: the client remembers an address.
        (None, Some(address)) if message.ciaddr.is_unspecified() => address,
        // RENEWING, REBINDING: it uses one.
        (Some(_) | None, None) | (None, Some(_)) if !message.ciaddr.is_unspecified() => message.ciaddr,
        (Some(_) | None, None) | (None, Some(_)) => return Verdict::Silence,
    };
    if leases.give(holder, asked, now) { Verdict::Give(asked) } else { Verdict::Refuse }
}

/// The message that a verdict asks for, if any.
///
/// # Errors
/// When it cannot be written.
pub(super) fn reply(
    to: &Message,
    verdict: Verdict,
    network: &Network,
    boot: Option<(Firmware, BootFile<'_>)>,
) -> Result<Option<Reply>, EncodeError> {
    let (kind, address) = match verdict {
        Verdict::Offer(address) => (Kind::Offer, Some(address)),
        Verdict::Give(address) => (Kind::Ack, Some(address)),
        Verdict::Tell => (Kind::Ack, None),
        Verdict::Refuse => {
            let mut message = packet::answer(to, Kind::Nak, network.address);
            if !to.giaddr.is_unspecified() {
                // The relay is to broadcast it: the client's address may be of another network.
                message.set_flags(v4::Flags::default().set_broadcast());
            }
            return Reply::new(to, Kind::Nak, &message).map(Some);
        }
        Verdict::Full | Verdict::Declined(_) | Verdict::Elsewhere(_) | Verdict::Silence => return Ok(None),
    };
    let mut message = packet::answer(to, kind, network.address);
    if kind == Kind::Ack {
        message.set_ciaddr(to.ciaddr);
    }
    let options = message.opts_mut();
    options.insert(DhcpOption::SubnetMask(network.mask()));
    options.insert(DhcpOption::BroadcastAddr(network.broadcast()));
    if let Some(address) = address {
        let seconds = u32::try_from(LEASE.as_secs()).unwrap_or(u32::MAX);
        options.insert(DhcpOption::AddressLeaseTime(seconds));
        options.insert(DhcpOption::Renewal(seconds / 2));
        options.insert(DhcpOption::Rebinding(seconds / 8 * 7));
        message.set_yiaddr(address);
    }
    if let Some((firmware, file)) = boot {
        name_boot(&mut message, firmware, file);
    }
    Reply::new(to, kind, &message).map(Some)
}

/// A plain server's way: file and next server. Option 60 would only make PXE firmware ask again; UEFI
/// HTTP Boot insists on it.
fn name_boot(message: &mut v4::Message, firmware: Firmware, file: BootFile<'_>) {
    packet::name_boot_file(message, file);
    match firmware {
        Firmware::Bios | Firmware::Uefi(_) => {}
        Firmware::UefiHttp(_) => {
            message.opts_mut().insert(DhcpOption::ClassIdentifier(HTTP.to_vec()));
        }
        Firmware::Ipxe => {
            let code = OptionCode::from(IPXE_OPTIONS);
            let option = UnknownOption::new(code, NO_PROXY.to_vec());
            message.opts_mut().insert(DhcpOption::Unknown(option));
        }
    }
}
