//! What the server lets itself be sent to (`spec/security.md` 6, T10): whoever may make an Image names a
//! URL, and must not reach by it what only the server reaches: itself, its link, the metadata service of
//! its cloud. The name is resolved, every address judged, and the connection goes to an address that
//! was judged, so that a second answer of the name server changes nothing.
//!
//! Private networks are not refused: a site's registry stands in one. What is refused may be excepted
//! by the preference `imageHosts`.

use engine::image_hosts::ImageHosts;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// Longest URL, in bytes.
pub(crate) const MAX_URL: usize = 4_096;
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Addresses at which clouds tell machines who they are, beside those of the link.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Why the server does not go there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    /// Not a URL.
    #[error("the URL cannot be read: {0}")]
    Unreadable(String),
    /// Longer than any URL.
    #[error("the URL has more than {MAX_URL} bytes")]
    TooLong,
    /// Files of the server, for one.
    #[error("{0}: URLs are not fetched; images come by https: or http:")]
    Scheme(String),
    /// A secret in a URL gets into logs.
    #[error("the URL has a user or password in it; put them into a registry credential")]
    Secret,
    /// A URL of nobody.
    #[error("the URL names no host")]
    NoHost,
    /// An address that only the server reaches.
    #[error(
        "{host} is {address}, {what}, which images are not fetched from; if it is meant, add {host} to \
         the preference imageHosts"
    )]
    Address {
        /// As it was named.
        host: String,
        /// What it stands for.
        address: IpAddr,
        /// What that is.
        what: &'static str,
    },
    /// The name server knows no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// Reads a URL that somebody wrote down or a server redirects to.
///
/// # Errors
/// What is wrong with it, without the URL itself.
pub(crate) fn read_url(text: &str) -> Result<Url, GuardError> {
    if text.len() > MAX_URL {
        return Err(GuardError::TooLong);
    }
    let url = Url::parse(text).map_err(|error| GuardError::Unreadable(error.to_string()))?;
    check_url(&url)?;
    Ok(url)
}

/// Refuses other schemes, secrets and URLs without a host.
///
/// # Errors
/// Which of them it is.
pub(crate) fn check_url(url: &Url) -> Result<(), GuardError> {
    if url.as_str().len() > MAX_URL {
        return Err(GuardError::TooLong);
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(GuardError::Scheme(url.scheme().chars().take(16).collect()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(GuardError::Secret);
    }
    url.host_str().filter(|host| !host.is_empty()).map(|_| ()).ok_or(GuardError::NoHost)
}

/// Refuses a URL whose host is an address that may not be asked; names are judged when they are
/// resolved.
///
/// # Errors
/// [`GuardError::Address`].
pub(crate) fn check_literal(url: &Url, hosts: &ImageHosts) -> Result<(), GuardError> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => check_address(bare, address, port_of(url), hosts),
        Err(_) => Ok(()),
    }
}

/// The port that a URL goes to.
pub(crate) fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(443)
}

fn check_address(host: &str, address: IpAddr, port: u16, hosts: &ImageHosts) -> Result<(), GuardError> {
    match danger(address) {
        Some(what) if !hosts.except(host, address, port) => {
            Err(GuardError::Address { host: host.to_owned(), address: address.to_canonical(), what })
        }
        Some(_) | None => Ok(()),
    }
}

/// What an address is that images may not come from; none where they may.
pub(crate) fn danger(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => danger_v4(address),
        IpAddr::V6(address) => danger_v6(address),
    }
}

fn danger_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, second, third, _] = address.octets();
    match first {
        _ if METADATA_V4.contains(&address) => Some("a metadata service"),
        0 => Some("no host's address"),
        127 => Some("this server itself"),
        169 if second == 254 => Some("an address of the link, where metadata services are"),
        192 if (second, third) == (0, 0) => Some("a reserved address"),
        224..=239 => Some("a multicast address"),
        240..=255 => Some("a reserved address"),
        _ => None,
    }
}

fn danger_v6(address: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&address) {
        return Some("a metadata service");
    }
    if address.is_loopback() {
        return Some("this server itself");
    }
    if address.is_unspecified() {
        return Some("no host's address");
    }
    let [first, second, third, ..] = address.segments();
    match first {
        0xfe80..=0xfebf => Some("an address of the link"),
        0xff00..=0xffff => Some("a multicast address"),
        // Ways into IPv4: NAT64 (RFC 6052, also the local prefix of RFC 8215), what was compatible
        // with IPv4, and 6to4.
        0x64 if second == 0xff9b => danger_v4(low_v4(address)),
        0 => danger_v4(low_v4(address)),
        0x2002 => danger_v4(Ipv4Addr::from_bits(u32::from(second) << 16 | u32::from(third))),
        _ => None,
    }
}

/// The last 32 bits as an IPv4 address.
fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// The future of a look-up.
pub(crate) type Answering = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
/// Finds the addresses of a name.
pub(crate) type Lookup = Arc<dyn Fn(String) -> Answering + Send + Sync>;

/// The system's way to find addresses.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Gives a client the addresses of a name, and of these only what it may go to.
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    lookup: Lookup,
    hosts: Arc<ImageHosts>,
    port: u16,
}

impl GuardedResolver {
    /// For connections to this port.
    pub(crate) fn new(lookup: Lookup, hosts: Arc<ImageHosts>, port: u16) -> Self {
        Self { lookup, hosts, port }
    }

    async fn permitted(
        self,
        name: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = (self.lookup)(name.clone()).await?;
        let mut refused = GuardError::NoAddress(name.clone());
        let mut permitted = Vec::new();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            match check_address(&name, address, self.port, &self.hosts) {
                // Port 0: that of the URL.
                Ok(()) => permitted.push(SocketAddr::new(address, 0)),
                Err(error) => refused = error,
            }
        }
        if permitted.is_empty() { Err(refused.into()) } else { Ok(permitted) }
    }
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = self.clone().permitted(name.as_str().to_owned());
        Box::pin(async move { permitted.await.map(|found| Box::new(found.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        let none = ImageHosts::default();
        let judged = read_url(text).and_then(|url| check_literal(&url, &none));
        judged.err().map(|error| error.to_string())
    }

    #[test]
    fn url_to_what_only_the_server_reaches_is_refused_however_it_is_written() {
        for text in [
            "http://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[ff02::1]/",
            "http://[fd00:ec2::254]/latest/meta-data/",
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.169.254./latest/meta-data/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://255.255.255.255/",
            "http://239.0.0.1/",
        ] {
            let told = refused(text).unwrap_or_else(|| panic!("{text} was let through"));
            assert!(told.contains("add ") && told.contains("to the preference imageHosts"), "{told}");
        }
    }

    #[test]
    fn url_of_a_public_or_private_host_is_fetched() {
        for text in [
            "https://images.example.org/debian.raw.xz",
            "http://10.0.0.5:5000/x",
            "https://192.168.1.1/",
            "https://172.16.0.1/",
            "https://[2001:db8::1]/",
            "https://[fd12::1]:8443/",
            "https://localhost/",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn url_that_is_no_way_to_an_image_is_refused_without_being_shown() {
        for (text, told) in [
            ("file:///etc/shadow", "file: URLs are not fetched; images come by https: or http:"),
            ("ftp://host/x", "ftp: URLs are not fetched; images come by https: or http:"),
            ("gopher://host/", "gopher: URLs are not fetched; images come by https: or http:"),
            (
                "https://user:hunter2@host/x",
                "the URL has a user or password in it; put them into a registry credential",
            ),
            ("https://", "the URL cannot be read: empty host"),
            ("no url", "the URL cannot be read: relative URL without a base"),
        ] {
            assert_eq!(refused(text).as_deref(), Some(told));
        }
        assert_eq!(
            refused(&format!("https://host/{}", "x".repeat(5_000))).unwrap(),
            "the URL has more than 4096 bytes"
        );
    }

    #[test]
    fn excepted_host_is_fetched_at_its_port_alone() {
        let hosts: ImageHosts = "127.0.0.1:5000".parse().unwrap();
        let check = |text: &str| check_literal(&read_url(text).unwrap(), &hosts);
        assert_eq!(check("http://127.0.0.1:5000/v2/"), Ok(()));
        assert!(check("http://127.0.0.1:8092/").is_err() && check("http://127.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn name_is_judged_by_its_addresses() {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                Ok(match name.as_str() {
                    "mixed" => vec![[127, 0, 0, 1].into(), [10, 0, 0, 1].into()],
                    "inside" => vec![[169, 254, 169, 254].into(), Ipv6Addr::LOCALHOST.into()],
                    _ => Vec::new(),
                })
            })
        });
        let ask = |name: &str, hosts: &str| {
            let hosts = Arc::new(hosts.parse().unwrap());
            GuardedResolver::new(Arc::clone(&lookup), hosts, 443).permitted(name.to_owned())
        };
        assert_eq!(ask("mixed", "").await.unwrap(), ["10.0.0.1:0".parse().unwrap()]);
        let told = ask("inside", "").await.unwrap_err().to_string();
        assert!(told.starts_with("inside is ::1, this server itself"), "{told}");
        assert_eq!(ask("inside", "inside:443").await.unwrap().len(), 2);
        assert!(ask("inside", "inside:80").await.is_err());
        assert_eq!(ask("nobody", "").await.unwrap_err().to_string(), "nobody has no address");
    }
}
