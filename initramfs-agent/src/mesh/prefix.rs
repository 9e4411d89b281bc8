//! A network as the kernel has it: without bits behind the prefix, so that two that are the same are equal.

use protocol::cidr::Cidr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The network of that many bits that an address is in; more bits than there are stand for the address itself.
    pub(super) fn new(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), length }
            }
        }
    }

    /// One address.
    pub(super) fn host(address: IpAddr) -> Self {
        Self::new(address, u8::MAX)
    }

    /// Its first address.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits are the network's.
    pub(super) const fn length(&self) -> u8 {
        self.length
    }

    /// Whether it is one address alone.
    pub(super) const fn is_host(&self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether every address of `other` is in it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let same_family = self.address.is_ipv4() == other.address.is_ipv4();
        same_family && self.length <= other.length && Self::new(other.address, self.length) == *self
    }
}

impl From<Cidr> for Prefix {
    fn from(cidr: Cidr) -> Self {
        Self::new(cidr.network(), cidr.prefix())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The prefix that a text says, for tests.
#[cfg(test)]
pub(super) fn prefix(text: &str) -> Prefix {
    text.parse::<Cidr>().unwrap().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_the_same_whatever_stands_behind_the_prefix() {
        assert_eq!(prefix("10.20.3.4/16"), prefix("10.20.0.0/16"));
        assert_eq!(prefix("fd00::1:2/64").to_string(), "fd00::/64");
        assert_eq!(prefix("10.20.3.4/0").to_string(), "0.0.0.0/0");
        assert!(Prefix::host("10.0.0.1".parse().unwrap()).is_host());
        assert!(!prefix("fd00::/127").is_host());
    }

    proptest! {
        #[test]
        fn a_network_covers_what_the_protocol_says_it_contains(
            own in any::<IpAddr>(), bits in 0..=128_u8, other in any::<IpAddr>(), near in any::<bool>(),
        ) {
            let other = if near { own } else { other };
            let bits = if own.is_ipv4() { bits % 33 } else { bits };
            let cidr: Cidr = format!("{own}/{bits}").parse().unwrap();
            // IPv4 written as IPv6 is IPv4 to the protocol, and never comes here.
            prop_assume!(other.to_canonical() == other);
            prop_assert_eq!(Prefix::from(cidr).covers(&Prefix::host(other)), cidr.contains(other));
        }
    }
}
