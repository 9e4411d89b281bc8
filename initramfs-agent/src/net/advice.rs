//! Reads what routers say about names: the options that the kernel hands on (RFC 8106).
//!
//! Pure. The kernel has checked that the advertisement comes from a router on the link; what is
//! in it may still be anything.

use super::dhcp6::message::domains;
use protocol::net::{MAX_DNS, MAX_SEARCH, is_host};
use std::net::{IpAddr, Ipv6Addr};

/// `RTM_NEWNDUSEROPT` of `include/uapi/linux/rtnetlink.h`.
const NEW_USER_OPTION: u16 = 68;
/// ICMPv6 type of a router advertisement.
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Recursive DNS server option (RFC 8106 5.1).
const RDNSS: u8 = 25;
/// DNS search list option (RFC 8106 5.2).
const DNSSL: u8 = 31;

/// What a router said about names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Kernel's number of the link it was heard on.
    pub(crate) link: u32,
    /// Name servers, each with how long it may be asked, in seconds; 0 takes it back.
    pub(crate) dns: Vec<(Ipv6Addr, u32)>,
    /// Search domains, likewise.
    pub(crate) search: Vec<(String, u32)>,
}

/// Reads one netlink message; `None` when it is something else or damaged.
pub(crate) fn parse(message: &[u8]) -> Option<Advice> {
    // struct nlmsghdr: length, type, flags, sequence, port.
    let (head, rest) = message.split_first_chunk::<16>()?;
    let [_, _, _, _, kind_low, kind_high, ..] = *head;
    if u16::from_ne_bytes([kind_low, kind_high]) != NEW_USER_OPTION {
        return None;
    }
    // struct nduseroptmsg: family, pad, length of the options, link, ICMP type and code, pads.
    let (head, rest) = rest.split_first_chunk::<16>()?;
    let [_, _, length_low, length_high, a, b, c, d, icmp_type, ..] = *head;
    if icmp_type != ROUTER_ADVERTISEMENT {
        return None;
    }
    let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
    let mut advice = options(rest.get(..length)?);
    advice.link = u32::from_ne_bytes([a, b, c, d]);
    Some(advice)
}

/// Reads the options of a router advertisement (RFC 4861 4.6). Ends at the first that is cut.
pub(crate) fn options(mut bytes: &[u8]) -> Advice {
    let mut advice = Advice::default();
    // Type, length in units of eight bytes, two bytes reserved, lifetime.
    while let Some(&[kind, units, ..]) = bytes.first_chunk::<2>() {
        let Some((option, rest)) = bytes.split_at_checked(usize::from(units) * 8).filter(|_| units > 0)
        else {
            break;
        };
        bytes = rest;
        let Some((head, body)) = option.split_first_chunk::<8>() else { break };
        let [_, _, _, _, a, b, c, d] = *head;
        let lifetime = u32::from_be_bytes([a, b, c, d]);
        if kind == RDNSS {
            let servers = body.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets));
            let usable = servers.filter(|server| is_host(IpAddr::V6(*server)));
            advice.dns.extend(usable.take(MAX_DNS).map(|server| (server, lifetime)));
        } else if kind == DNSSL {
            advice.search.extend(domains(body).into_iter().map(|domain| (domain, lifetime)));
        }
    }
    advice.dns.truncate(MAX_DNS);
    advice.search.truncate(MAX_SEARCH);
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An option of a router advertisement, padded to units of eight bytes.
    fn option(kind: u8, lifetime: u32, body: &[u8]) -> Vec<u8> {
        let mut option = vec![kind, 0, 0, 0];
        option.extend(lifetime.to_be_bytes());
        option.extend(body);
        option.resize(option.len().next_multiple_of(8), 0);
        *option.get_mut(1).unwrap() = u8::try_from(option.len() / 8).unwrap();
        option
    }

    fn message(link: u32, options: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 4];
        message.extend(NEW_USER_OPTION.to_ne_bytes());
        message.resize(16, 0);
        message.extend([10, 0]);
        message.extend(u16::try_from(options.len()).unwrap().to_ne_bytes());
        message.extend(link.to_ne_bytes());
        message.extend([ROUTER_ADVERTISEMENT, 0]);
        message.resize(32, 0);
        message.extend(options);
        message.extend([0xaa; 24]);
        message
    }

    #[test]
    fn name_servers_and_domains_are_read_with_their_lifetimes() {
        let server = "fd00::53".parse::<Ipv6Addr>().unwrap();
        let mut options = option(RDNSS, 600, &server.octets());
        options.extend(option(5, 0, &[0; 8]));
        options.extend(option(DNSSL, 900, b"\x07example\x03com\x00"));
        let advice = parse(&message(7, &options)).unwrap();
        assert_eq!(
            advice,
            Advice { link: 7, dns: vec![(server, 600)], search: vec![("example.com".to_owned(), 900)] }
        );
    }

    #[test]
    fn other_messages_and_cut_ones_are_passed_over() {
        let whole = message(7, &option(RDNSS, 600, &[0xfd; 16]));
        assert_eq!(parse(whole.get(..40).unwrap()), None);
        let mut other = whole.clone();
        *other.get_mut(4).unwrap() = 16;
        assert_eq!(parse(&other), None);
        let mut redirect = whole;
        *redirect.get_mut(24).unwrap() = 137;
        assert_eq!(parse(&redirect), None);
        assert_eq!(options(&[RDNSS, 0, 0, 0, 0, 0, 0, 0]), Advice::default(), "an option without a length");
        let multicast = "ff02::1".parse::<Ipv6Addr>().unwrap();
        assert!(options(&option(RDNSS, 600, &multicast.octets())).dns.is_empty());
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..300), link: u32) {
            drop(parse(&bytes));
            let advice = options(&bytes);
            prop_assert!(advice.dns.len() <= MAX_DNS && advice.search.len() <= MAX_SEARCH);
            prop_assert!(bytes.len() > 250 || parse(&message(link, &bytes)).is_some());
        }
    }
}
