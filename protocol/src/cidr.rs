//! A network as an address and a prefix length, such as `10.20.0.0/16`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network such as `10.20.0.0/16`. Bits behind the prefix are kept as written and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write an address and a prefix length, such as 10.20.0.0/16")]
pub struct CidrError(String);

impl Cidr {
    /// The address as it was written.
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many of its first bits are the network's.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether they have an address in common: of two networks, one is then in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// Whether the address lies in the network. IPv4 written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let ignored = 32_u32.saturating_sub(self.prefix.into());
                let bits = network.to_bits() ^ address.to_bits();
                bits.checked_shr(ignored).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let ignored = 128_u32.saturating_sub(self.prefix.into());
                let bits = network.to_bits() ^ address.to_bits();
                bits.checked_shr(ignored).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        // A wrong one is told back; nobody means more than this many characters.
        let wrong = || CidrError(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let network: IpAddr = address.parse().map_err(|_| wrong())?;
        if prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        if prefix > longest { Err(wrong()) } else { Ok(Self { network, prefix }) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn network_holds_its_addresses_in_either_family() {
        for (network, address, inside) in [
            ("10.20.0.0/16", "10.20.255.255", true),
            ("10.20.0.0/16", "::ffff:10.20.4.17", true),
            ("10.20.0.0/16", "10.21.0.0", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            assert_eq!(cidr(network).contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn networks_overlap_when_one_is_in_the_other() {
        for (one, other, overlap) in [
            ("10.20.0.0/16", "10.20.4.0/24", true),
            ("10.20.4.0/24", "10.20.0.0/16", true),
            ("10.20.0.0/16", "10.21.0.0/16", false),
            ("fd00:1::/64", "fd00:1::/48", true),
            ("fd00:1::/64", "fd00:2::/64", false),
            ("0.0.0.0/0", "::/0", false),
        ] {
            assert_eq!(cidr(one).overlaps(&cidr(other)), overlap, "{one} {other}");
        }
    }

    #[test]
    fn text_that_is_no_network_is_told_back_with_an_example() {
        for text in
            ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/", "x/8", "10.0.0.0/8/8"]
        {
            let told = text.parse::<Cidr>().unwrap_err().to_string();
            assert_eq!(
                told,
                format!("{text:?} is no network: write an address and a prefix length, such as 10.20.0.0/16")
            );
        }
    }

    proptest! {
        #[test]
        fn membership_is_agreement_in_the_first_bits(network: u32, address: u32, prefix in 0_u8..=32) {
            let written = cidr(&format!("{}/{prefix}", Ipv4Addr::from_bits(network)));
            let agree = (0..u32::from(prefix)).all(|bit| (network ^ address) >> (31 - bit) & 1 == 0);
            prop_assert_eq!(written.contains(Ipv4Addr::from_bits(address).into()), agree);
            prop_assert_eq!(written.to_string().parse::<Cidr>().unwrap(), written);
        }
    }
}
