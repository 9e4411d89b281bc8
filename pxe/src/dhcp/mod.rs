//! DHCP beside an existing server, for PXE and UEFI HTTP Boot (PXE 2.1, RFC 4578), and instead of
//! one on a lab's network.

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
