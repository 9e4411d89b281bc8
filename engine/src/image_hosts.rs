//! Hosts that images may come from although their addresses are the server's own or a link's: the
//! preference `imageHosts`. Whoever may make an Image may not make the server ask those by itself.

use protocol::cidr::Cidr;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest text, in bytes, and most hosts in it.
const MAX_LEN: usize = 4_096;
const MAX_HOSTS: usize = 64;
/// Longest name of a host (RFC 1035).
const MAX_NAME: usize = 253;

/// Hosts that are excepted, such as `registry.local:5000 127.0.0.1 10.20.0.0/16`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageHosts(Vec<Excepted>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excepted {
    host: Host,
    /// Of this port alone, or of any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// By its name, whatever addresses that has.
    Name(String),
    /// By its address.
    Address(IpAddr),
    /// All in a network.
    Network(Cidr),
}

/// Why a text names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageHostsError {
    /// Too long.
    #[error("the hosts take more than {MAX_LEN} bytes; name a network instead, such as 10.20.0.0/16")]
    TooLong,
    /// Too many.
    #[error("there are more than {MAX_HOSTS} hosts; name a network instead, such as 10.20.0.0/16")]
    TooMany,
    /// Not a host.
    #[error("{0:?} is no host: write NAME, NAME:PORT, an address or a network, separated by spaces")]
    NoHost(String),
}

impl ImageHosts {
    /// Whether this host may be asked at this address and port, whatever address it is.
    pub fn except(&self, host: &str, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.0.iter().filter(|excepted| excepted.port.is_none_or(|its| its == port)).any(|excepted| {
            match &excepted.host {
                Host::Name(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
                Host::Address(its) => *its == address,
                Host::Network(network) => network.contains(address),
            }
        })
    }
}

impl FromStr for ImageHosts {
    type Err = ImageHostsError;

    fn from_str(text: &str) -> Result<Self, ImageHostsError> {
        if text.len() > MAX_LEN {
            return Err(ImageHostsError::TooLong);
        }
        let words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let hosts = words.map(str::parse).collect::<Result<Vec<Excepted>, _>>()?;
        if hosts.len() > MAX_HOSTS { Err(ImageHostsError::TooMany) } else { Ok(Self(hosts)) }
    }
}

impl FromStr for Excepted {
    type Err = ImageHostsError;

    fn from_str(word: &str) -> Result<Self, ImageHostsError> {
        let wrong = || ImageHostsError::NoHost(word.chars().take(64).collect());
        if word.contains('/') {
            let network = word.parse().map_err(|_| wrong())?;
            return Ok(Self { host: Host::Network(network), port: None });
        }
        // An address with colons is one, unless brackets say that its port follows.
        if let Ok(address) = word.parse::<IpAddr>() {
            return Ok(Self { host: Host::Address(address.to_canonical()), port: None });
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (word, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // As the resolver has it: a dot at the end says that the name is whole.
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self { host: Host::Address(address.to_canonical()), port });
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if bare.is_empty() || bare.ends_with('.') || bare.len() > MAX_NAME || !bare.bytes().all(named) {
            return Err(wrong());
        }
        Ok(Self { host: Host::Name(bare.to_owned()), port })
    }
}

impl fmt::Display for ImageHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Excepted { host, port }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match host {
                Host::Name(name) => f.write_str(name)?,
                Host::Address(IpAddr::V6(address)) if port.is_some() => write!(f, "[{address}]")?,
                Host::Address(address) => write!(f, "{address}")?,
                Host::Network(network) => write!(f, "{network}")?,
            }
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> ImageHosts {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_are_excepted_by_name_address_and_network() {
        let hosts = hosts("registry.local:5000, 127.0.0.1 [::1]:80\n169.254.0.0/24 mirror");
        let at = |host: &str, address: &str, port| hosts.except(host, address.parse().unwrap(), port);
        assert!(at("registry.local", "10.0.0.1", 5_000) && !at("registry.local", "10.0.0.1", 443));
        assert!(at("REGISTRY.local.", "127.0.0.9", 5_000) && at("mirror", "127.0.0.9", 1));
        assert!(at("x", "127.0.0.1", 1) && at("x", "::ffff:127.0.0.1", 1) && !at("x", "127.0.0.2", 1));
        assert!(at("x", "::1", 80) && !at("x", "::1", 81));
        assert!(at("x", "169.254.0.7", 443) && !at("x", "169.254.1.7", 443));
        assert!(!ImageHosts::default().except("mirror", [127, 0, 0, 1].into(), 443));
    }

    #[test]
    fn hosts_are_written_as_they_are_read() {
        for text in ["", "registry.local:5000 127.0.0.1 [::1]:80 ::1 169.254.0.0/24"] {
            assert_eq!(hosts(text).to_string(), text);
        }
        assert_eq!(hosts("10.0.0.1. mirror.:80").to_string(), "10.0.0.1 mirror:80");
    }

    #[test]
    fn what_is_no_host_is_told() {
        for word in ["http://mirror", "10.0.0.0/99", "a b:x", "host:70000", "*", "[::1", "ä.de", ".", "a.."]
        {
            let told = word.parse::<ImageHosts>().unwrap_err().to_string();
            assert!(told.contains("is no host: write NAME"), "{told}");
        }
        assert_eq!("a ".repeat(65).parse::<ImageHosts>(), Err(ImageHostsError::TooMany));
        assert_eq!("a".repeat(5_000).parse::<ImageHosts>(), Err(ImageHostsError::TooLong));
    }
}
