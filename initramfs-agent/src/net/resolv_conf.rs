//! `resolv.conf(5)`: the agent of process 1 writes it for the programs of the boot image, and a
//! runner of jobs reads it, there as on any Linux.

use super::resolve::{Dns, Families, NameServer};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// Where programs look for it.
pub(crate) const PATH: &str = "/etc/resolv.conf";
/// The kernel's IPv6 addresses: address, number of the link, prefix, scope, flags, link.
const ADDRESSES: &str = "/proc/net/if_inet6";
/// Scope of an address that is good on its own link only (`include/net/ipv6.h`).
const SCOPE_LINK: &str = "20";
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1_024;
/// Most name servers and search domains that are taken.
const MAX_ENTRIES: usize = 6;

impl Dns {
    /// Whom this system asks.
    pub(crate) fn of_system() -> Self {
        // A system without these files asks nobody: a name then says so.
        let text = |path: &str| read(Path::new(path)).unwrap_or_default();
        parse(&text(PATH), &text(ADDRESSES))
    }

    /// The same as a file.
    pub(crate) fn to_resolv_conf(&self) -> String {
        let mut text = String::new();
        for server in self.servers.iter().take(MAX_ENTRIES) {
            let zone = server.link().map_or_else(String::new, |link| format!("%{link}"));
            // Writing to a String does not fail.
            writeln!(text, "nameserver {}{zone}", server.address).unwrap_or(());
        }
        if !self.search.is_empty() {
            writeln!(text, "search {}", self.search.join(" ")).unwrap_or(());
        }
        text
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(conf: &str, addresses: &str) -> Dns {
    let mut dns = Dns { families: Families { v4: true, v6: true }, has_hosts: true, ..Dns::default() };
    for line in conf.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                dns.servers.extend(words.next().and_then(|word| name_server(word, addresses)));
            }
            // The last one counts.
            Some("search" | "domain") => {
                dns.search = words.take(MAX_ENTRIES).map(str::to_owned).collect();
            }
            Some(_) | None => {}
        }
    }
    dns.servers.truncate(MAX_ENTRIES);
    dns
}

/// A server; with a zone, from our own address on that link, by its number or name.
fn name_server(word: &str, addresses: &str) -> Option<NameServer> {
    let Some((address, zone)) = word.split_once('%') else {
        return Some(NameServer::anywhere(word.parse().ok()?));
    };
    let address: IpAddr = address.parse().ok()?;
    addresses.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [own, link, _prefix, SCOPE_LINK, _flags, name] = fields.as_slice() else { return None };
        let link = u32::from_str_radix(link, 16).ok()?;
        if zone != *name && zone.parse() != Ok(link) {
            return None;
        }
        let own = Ipv6Addr::from(u128::from_str_radix(own, 16).ok()?);
        Some(NameServer::on_link(address, own, link))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
        fd000000000000000000000000000015 02 40 00 80     eth0\n\
        fe80000000000000505400fffe123456 02 40 20 80     eth0\n";

    #[test]
    fn what_is_written_is_read_again() {
        let own = "fe80::5054:ff:fe12:3456".parse().unwrap();
        let dns = Dns {
            servers: vec![
                NameServer::anywhere("10.0.2.3".parse().unwrap()),
                NameServer::on_link("fe80::1".parse().unwrap(), own, 2),
            ],
            search: vec!["dc1.example".to_owned(), "example".to_owned()],
            families: Families { v4: true, v6: true },
            has_hosts: true,
        };
        let text = dns.to_resolv_conf();
        assert_eq!(text, "nameserver 10.0.2.3\nnameserver fe80::1%2\nsearch dc1.example example\n");
        assert_eq!(parse(&text, ADDRESSES), dns);
    }

    #[test]
    fn lines_of_others_are_understood_and_nonsense_is_left_out() {
        let text = "# by hand\noptions edns0\ndomain old\nnameserver\nnameserver nonsense\n\
            nameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver fe80::1%eth9\nsearch a b\n";
        let dns = parse(text, ADDRESSES);
        let servers: Vec<String> = dns.servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(servers, ["127.0.0.53", "fe80::1"]);
        assert_eq!(dns.search, ["a", "b"]);
        assert_eq!(
            parse("", ""),
            Dns { families: Families { v4: true, v6: true }, has_hosts: true, ..Dns::default() }
        );
    }
}
