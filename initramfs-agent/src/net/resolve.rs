//! Names to addresses, by the name servers of the leases and nobody else.
//!
//! An IP address as host needs no name server at all.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// How long one question may take; two are asked of each server.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Most addresses that are tried of one name.
const MAX_ADDRESSES: usize = 8;

/// Families of addresses that the machine has one of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Families {
    /// IPv4.
    pub(crate) v4: bool,
    /// IPv6.
    pub(crate) v6: bool,
}

/// Somebody to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameServer {
    /// Address of the server.
    pub(crate) address: IpAddr,
    /// Our own address on its link, for a server whose address is good on that link only.
    from: Option<SocketAddrV6>,
}

impl NameServer {
    /// A server behind whatever route leads to it.
    pub(crate) fn anywhere(address: IpAddr) -> Self {
        Self { address, from: None }
    }

    /// A server with a link-local address, on the link of this number where the machine has the
    /// address `own`.
    pub(crate) fn on_link(address: IpAddr, own: Ipv6Addr, link: u32) -> Self {
        Self { address, from: Some(SocketAddrV6::new(own, 0, 0, link)) }
    }

    /// Number of the link that a link-local address is good on.
    pub(crate) fn link(&self) -> Option<u32> {
        self.from.map(|own| own.scope_id())
    }

    fn config(&self) -> NameServerConfig {
        let mut config = NameServerConfig::udp_and_tcp(self.address);
        for connection in &mut config.connections {
            connection.bind_addr = self.from.map(SocketAddr::V6);
        }
        config
    }
}

/// Whom to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dns {
    /// Name servers, best first.
    pub(crate) servers: Vec<NameServer>,
    /// Domains that short names are looked up in.
    pub(crate) search: Vec<String>,
    /// What answers can be used.
    pub(crate) families: Families,
    /// This system has names of its own, in `/etc/hosts`.
    pub(crate) has_hosts: bool,
}

impl Dns {
    /// Adds what is not there yet.
    pub(crate) fn join(&mut self, servers: &[NameServer], search: &[String]) {
        for server in servers {
            if !self.servers.contains(server) {
                self.servers.push(*server);
            }
        }
        for domain in search {
            if !self.search.contains(domain) {
                self.search.push(domain.clone());
            }
        }
    }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// Nobody to ask.
    #[error(
        "no name server known to look up {0}; use an IP address in muster.server= or give dns= in muster.net="
    )]
    NoServer(String),
    /// The servers do not know it or do not answer.
    #[error("cannot look up {host} at {servers}; check the name and the name servers")]
    Lookup {
        /// Name.
        host: String,
        /// Who was asked.
        servers: String,
        /// What they said.
        #[source]
        source: NetError,
    },
    /// The name exists and has no address.
    #[error("{0} has no address; check its A and AAAA records")]
    Empty(String),
}

/// Looks up a host. Addresses of a family that the machine has none of come last: they only
/// serve to say that there is no route.
///
/// # Errors
/// [`ResolveError`] names the host and who was asked.
pub(crate) async fn lookup(host: &str, dns: &Dns) -> Result<Vec<IpAddr>, ResolveError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if dns.servers.is_empty() {
        return Err(ResolveError::NoServer(host.to_owned()));
    }
    let failed = |source| ResolveError::Lookup {
        host: host.to_owned(),
        servers: dns.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(", "),
        source,
    };
    let servers = dns.servers.iter().map(NameServer::config).collect();
    let found = resolver(servers, dns).map_err(failed)?.lookup_ip(host).await.map_err(failed)?;
    let addresses = in_order(found.iter().take(MAX_ADDRESSES).collect(), dns.families);
    if addresses.is_empty() { Err(ResolveError::Empty(host.to_owned())) } else { Ok(addresses) }
}

/// What can be used first, IPv4 and IPv6 in turns: where one family leads nowhere, the other is
/// not kept waiting behind all of its addresses.
fn in_order(addresses: Vec<IpAddr>, families: Families) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let in_turns = |list: Vec<IpAddr>, has_one: bool, second: u8| {
        list.into_iter().enumerate().map(move |(place, address)| ((!has_one, place, second), address))
    };
    let mut ranked: Vec<_> = in_turns(v4, families.v4, 0).chain(in_turns(v6, families.v6, 1)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

fn resolver(servers: Vec<NameServerConfig>, dns: &Dns) -> Result<TokioResolver, NetError> {
    // A search domain that is no name finds nothing; the lease has dropped those already.
    let search = dns.search.iter().filter_map(|name| Name::from_utf8(name).ok()).collect();
    let mut options = ResolverOpts::default();
    options.timeout = TIMEOUT;
    options.attempts = 2;
    // The resolver's own choice of a port forgets the link of a link-local address.
    options.os_port_selection = true;
    options.use_hosts_file = if dns.has_hosts { ResolveHosts::Always } else { ResolveHosts::Never };
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let config = ResolverConfig::from_parts(None, search, servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn address_needs_no_name_server() {
        for (host, expected) in [("10.0.2.2", "10.0.2.2"), ("fd00::1", "fd00::1")] {
            let found = lookup(host, &Dns::default()).await.unwrap();
            assert_eq!(found, [expected.parse::<IpAddr>().unwrap()]);
        }
    }

    #[tokio::test]
    async fn name_without_a_name_server_says_what_to_do() {
        let error = lookup("muster.example", &Dns::default()).await.unwrap_err();
        assert!(error.to_string().contains("use an IP address in muster.server="), "{error}");
    }

    #[test]
    fn usable_family_comes_first_and_both_in_turns() {
        let all = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"].map(|text| text.parse().unwrap()).to_vec();
        let shown = |v4, v6| {
            let list = in_order(all.clone(), Families { v4, v6 });
            list.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(true, true), "10.0.0.1 fd00::1 10.0.0.2 fd00::2");
        assert_eq!(shown(false, true), "fd00::1 fd00::2 10.0.0.1 10.0.0.2");
        assert_eq!(shown(true, false), "10.0.0.1 10.0.0.2 fd00::1 fd00::2");
    }

    /// Answers every A question with one address, the way RFC 1035 4.1 lays it out.
    async fn name_server(socket: tokio::net::UdpSocket, address: Ipv4Addr) {
        let mut buffer = [0; 512];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
            let question = buffer.get(..len).unwrap();
            // Up to the end of the question: 12 bytes of head, the name, type and class.
            let name_len = question.get(12..).unwrap().iter().position(|&b| b == 0).unwrap() + 1;
            let mut answer = question.get(..12 + name_len + 4).unwrap().to_vec();
            answer.splice(2..12, [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address.octets());
            socket.send_to(&answer, peer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn answer_of_the_given_server_is_used() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let server = tokio::spawn(name_server(socket, Ipv4Addr::new(192, 0, 2, 7)));
        let mut config = NameServerConfig::udp(at.ip());
        for connection in &mut config.connections {
            connection.port = at.port();
        }
        let found =
            resolver(vec![config], &Dns::default()).unwrap().lookup_ip("muster.example.").await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))]);
        server.abort();
    }
}
