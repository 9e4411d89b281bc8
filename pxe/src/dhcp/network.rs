//! The network that is answered on: the interface that has our address, and what may be leased there.

use super::Range;
use super::error::BindError;
use nix::ifaddrs::getifaddrs;
use std::net::Ipv4Addr;

/// Most addresses in a range. A lab has fewer; the table is kept whole in a file.
pub const MAX_LEASES: u32 = 1_024;

/// Our place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Name of the interface.
    pub interface: String,
    /// Our own address there.
    pub address: Ipv4Addr,
    /// Bits of it that are the network's.
    pub prefix: u8,
}

impl Network {
    /// The network of our address.
    ///
    /// # Errors
    /// When no interface has it; with those there are.
    pub fn find(address: Ipv4Addr) -> Result<Self, BindError> {
        let mut others = Vec::new();
        for entry in getifaddrs().map_err(BindError::Interfaces)? {
            let own = entry.address.as_ref().and_then(|own| own.as_sockaddr_in()).map(|own| own.ip());
            let Some(own) = own else { continue };
            if own == address {
                let mask = entry.netmask.as_ref().and_then(|mask| mask.as_sockaddr_in());
                let ones = mask.map_or(32, |mask| mask.ip().to_bits().count_ones());
                let prefix = u8::try_from(ones).unwrap_or(32);
                return Ok(Self { interface: entry.interface_name, address, prefix });
            }
            others.push(format!("{own} ({})", entry.interface_name));
        }
        Err(BindError::NoInterface { address, others: others.join(", ") })
    }

    fn bits(&self) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0)
    }

    /// Its mask.
    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.bits())
    }

    /// The address of all hosts on it.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.bits())
    }

    /// The address of the network itself.
    pub fn base(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.bits())
    }

    /// Whether an address is on it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.bits() == self.base().to_bits()
    }

    /// Whether a range can be leased here.
    ///
    /// # Errors
    /// When it is not of this network, too large, or nothing but addresses that cannot be given.
    pub fn check(&self, range: Range) -> Result<(), BindError> {
        let Range { first, last } = range;
        let network = format!("{}/{}", self.base(), self.prefix);
        if !self.contains(first) || !self.contains(last) {
            return Err(BindError::RangeElsewhere { range, network, interface: self.interface.clone() });
        }
        if range.size() > MAX_LEASES {
            return Err(BindError::RangeTooLarge(range.size()));
        }
        if !range.iter().any(|address| !self.reserved().contains(&address)) {
            return Err(BindError::RangeReserved(range));
        }
        Ok(())
    }

    /// Addresses that nobody is given.
    pub fn reserved(&self) -> [Ipv4Addr; 3] {
        [self.address, self.base(), self.broadcast()]
    }
}
