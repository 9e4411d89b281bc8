//! URLs that whoever makes an image has the server fetch.

use crate::text::{is_tame, lossy};
use engine::image_hosts::ImageHosts;
use server::fuzzing::image_url;
use std::net::{IpAddr, Ipv4Addr};

/// A URL and, on the lines behind it, the hosts that are excepted: what is let through is http or https,
/// carries no password, reads back the same, and is no address that only the server reaches, unless that
/// was excepted. Judged a second way, by the standard library's words for addresses.
pub fn url_guard(data: &[u8]) -> bool {
    let text = lossy(data);
    let (url, hosts) = text.split_once('\n').unwrap_or((&text, ""));
    let hosts = hosts.parse::<ImageHosts>();
    if let Ok(hosts) = &hosts {
        assert_eq!(hosts.to_string().parse().as_ref(), Ok(hosts), "{hosts}");
    }
    let hosts = hosts.unwrap_or_default();
    let target = match image_url(url, &hosts) {
        Ok(target) => target,
        Err(sentence) => {
            is_tame(&sentence);
            return false;
        }
    };
    assert!(target.url.starts_with("https://") || target.url.starts_with("http://"), "{}", target.url);
    let authority = target.url.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    assert!(
        authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@')),
        "{}",
        target.url
    );
    let again = image_url(&target.url, &hosts);
    assert_eq!(again.as_ref(), Ok(&target));
    if let Some(address) = target.address.filter(|address| is_the_servers_own(*address)) {
        assert!(hosts.except(&target.host, address, target.port), "{} is let through", target.url);
    }
    true
}

fn is_the_servers_own(address: IpAddr) -> bool {
    let own_v4 = |address: Ipv4Addr| {
        address.is_loopback()
            || address.is_link_local()
            || address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
    };
    match address {
        IpAddr::V4(address) => own_v4(address),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.to_ipv4().is_some_and(own_v4)
        }
    }
}
