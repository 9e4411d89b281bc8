//! DHCP beside an existing server, for PXE and UEFI HTTP Boot (PXE 2.1, RFC 4578), and instead of
//! one on a lab's network.
//!
//! [`Desk`] decides: bytes in, a message out, with the time as an argument and everything that it wants
//! to know asked of a [`Host`]. [`Server`] is the sockets around it.

mod client;
mod desk;
mod error;
mod guests;
mod lab;
mod lease;
mod network;
mod packet;
mod probe;
mod proxy;
mod server;
mod socket;

pub use desk::{Desk, Host};
pub use error::BindError;
pub use lease::{Holder, LEASE, Lease, Leases, MAX_NAME};
pub use network::{MAX_LEASES, Network};
pub use packet::{Hardware, Kind, MAX_PACKET, Message, PacketError, Reply, decode};
pub use probe::RANDOM as PROBE_RANDOM;
pub use proxy::Door;
pub use server::{Options, Server, Stop};

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Addresses to lease, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The lowest.
    pub first: Ipv4Addr,
    /// The highest, not below the first.
    pub last: Ipv4Addr,
}

impl Range {
    /// Whether an address is in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Its addresses, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from_bits)
    }

    /// How many there are.
    pub fn size(&self) -> u32 {
        self.last.to_bits().saturating_sub(self.first.to_bits()).saturating_add(1)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no range of addresses such as 10.0.0.100-10.0.0.199");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last {
            return Err(format!("the range ends at {last}, below its beginning {first}"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}
