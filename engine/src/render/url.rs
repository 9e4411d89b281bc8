//! Addresses of the server, and small questions about URLs and netmasks.

use super::scene::Addresses;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use template::{CallError, Value};

impl Addresses {
    /// URL of the boot files.
    pub fn http(&self) -> String {
        format!("http://{}", SocketAddr::new(self.ip, self.http_port))
    }

    /// URL by which network loaders get boot files: plain HTTP where there is such a door, else TFTP.
    pub fn loading(&self) -> String {
        match self.ip {
            _ if self.http_open => self.http(),
            IpAddr::V4(address) => format!("tftp://{address}"),
            IpAddr::V6(address) => format!("tftp://[{address}]"),
        }
    }

    /// URL of REST.
    pub fn https(&self) -> String {
        format!("https://{}", SocketAddr::new(self.ip, self.https_port))
    }

    pub(super) fn http_by_name(&self) -> String {
        format!("http://{}:{}", self.authority(), self.http_port)
    }

    pub(super) fn https_by_name(&self) -> String {
        format!("https://{}:{}", self.authority(), self.https_port)
    }

    fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(_)) | Err(_) => self.host.clone(),
        }
    }
}

/// `scheme`, `host` (with its port) or `path` of a URL.
pub(super) fn part(part: &str, url: &str) -> Result<Value, CallError> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("", url),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        _ if scheme.is_empty() => ("", rest),
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match part {
        "scheme" => Ok(Value::from(scheme.to_ascii_lowercase())),
        "host" => Ok(Value::from(host)),
        "path" => Ok(Value::from(path)),
        stranger => {
            Err(CallError::failed(format!("{stranger:?} is no part of a URL; use scheme, host or path")))
        }
    }
}

/// How many bits a netmask has: 24 for 255.255.255.0.
pub(super) fn prefix_length(netmask: &str) -> Result<Value, CallError> {
    let mask = netmask.parse::<Ipv4Addr>().map(u32::from).ok();
    let bits = mask.filter(|mask| mask.leading_ones() == mask.count_ones()).map(u32::count_ones);
    bits.map(|bits| Value::from(i64::from(bits)))
        .ok_or_else(|| CallError::failed(format!("{netmask:?} is no netmask such as 255.255.255.0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_url() {
        let part = |name, url| part(name, url).unwrap().as_text().unwrap().to_owned();
        let url = "HTTPS://user:pass@mirror.example:8443/debian/dists?x=1#y";
        assert_eq!(part("scheme", url), "https");
        assert_eq!(part("host", url), "mirror.example:8443");
        assert_eq!(part("path", url), "/debian/dists");
        assert_eq!(part("path", "http://mirror.example"), "");
        assert_eq!(part("host", "http://[2001:db8::1]:80/a"), "[2001:db8::1]:80");
        assert_eq!((part("host", "a/b"), part("path", "a/b")), (String::new(), "a/b".to_owned()));
        assert!(super::part("port", url).unwrap_err().to_string().contains("\"port\" is no part"));
    }

    #[test]
    fn netmask_is_counted() {
        for (mask, bits) in
            [("255.255.255.0", 24), ("0.0.0.0", 0), ("255.255.255.255", 32), ("255.255.254.0", 23)]
        {
            assert!(matches!(prefix_length(mask), Ok(Value::Int(found)) if found == bits), "{mask}");
        }
        for mask in ["255.0.255.0", "24", "", "255.255.255.256"] {
            assert!(prefix_length(mask).is_err(), "{mask}");
        }
    }

    #[test]
    fn addresses_are_urls_in_both_families() {
        let v4 = Addresses {
            ip: "10.0.0.1".parse().unwrap(),
            host: "muster.example".into(),
            http_port: 8091,
            http_open: true,
            https_port: 8092,
        };
        assert_eq!((v4.http(), v4.https()), ("http://10.0.0.1:8091".into(), "https://10.0.0.1:8092".into()));
        assert_eq!(v4.http_by_name(), "http://muster.example:8091");
        assert_eq!(v4.loading(), v4.http());
        assert_eq!(Addresses { http_open: false, ..v4.clone() }.loading(), "tftp://10.0.0.1");
        let v6 = Addresses { ip: "2001:db8::1".parse().unwrap(), host: "2001:db8::1".into(), ..v4 };
        assert_eq!(Addresses { http_open: false, ..v6.clone() }.loading(), "tftp://[2001:db8::1]");
        assert_eq!(v6.http(), "http://[2001:db8::1]:8091");
        assert_eq!(v6.https_by_name(), "https://[2001:db8::1]:8092");
    }
}
