//! Why DHCP cannot be answered.

use super::Range;
use super::network::MAX_LEASES;
use nix::errno::Errno;
use std::net::Ipv4Addr;
use thiserror::Error;

/// Why nobody can be answered; what there is to do about it is part of the text.
#[derive(Debug, Error)]
pub enum BindError {
    /// The system does not tell its addresses.
    #[error("the addresses of this host cannot be listed")]
    Interfaces(#[source] Errno),
    /// Our address is nowhere.
    #[error("no interface has the address {address}; this host has {others}")]
    NoInterface {
        /// Which.
        address: Ipv4Addr,
        /// Those there are, with their interfaces.
        others: String,
    },
    /// Nobody but root and the privileged listens on these ports.
    #[error("port {port} takes rights: run muster as root, or give it the capability CAP_NET_BIND_SERVICE")]
    Rights {
        /// Which.
        port: u16,
    },
    /// Somebody else listens.
    #[error(
        "another program of this host holds port {port} on {interface}, and shares it with nobody: stop it there"
    )]
    Held {
        /// Which.
        port: u16,
        /// Where.
        interface: String,
    },
    /// A socket cannot be had for another reason.
    #[error("cannot listen on port {port} of {interface}")]
    Socket {
        /// Which.
        port: u16,
        /// Where.
        interface: String,
        /// What the system says.
        source: Errno,
    },
    /// The range is of another network.
    #[error("the range {range} is not inside {network}, the network of {interface}")]
    RangeElsewhere {
        /// What was asked for.
        range: Range,
        /// What there is.
        network: String,
        /// Where.
        interface: String,
    },
    /// The range is too large.
    #[error("a range of {0} addresses; at most {MAX_LEASES} are leased")]
    RangeTooLarge(u32),
    /// Nothing of the range can be given to anybody.
    #[error("the range {0} has no address to lease: only this host's own, or the network's")]
    RangeReserved(Range),
    /// Somebody gives addresses already.
    #[error(
        "the DHCP server {server} gives addresses on {interface} already: leave --dhcp-range out, so that \
         boot files are offered beside it, or stop that server"
    )]
    AnotherServer {
        /// Who.
        server: Ipv4Addr,
        /// Where.
        interface: String,
    },
    /// The search for another server failed.
    #[error("cannot look for another DHCP server on {interface}")]
    Probe {
        /// Where.
        interface: String,
        /// What the system says.
        source: Errno,
    },
    /// The question to other servers cannot be written.
    #[error("a DHCP message cannot be written")]
    Encode(#[from] dhcproto::error::EncodeError),
}
