//! Which machines a path may be about, by what stands in it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Most parts of a path that are looked at, and most machines that one may name.
const MAX_PARTS: usize = 8;
const MAX_IDENTITIES: usize = 24;
/// Characters of an id, of a hardware address, and of an address in hexadecimal.
const ID: usize = 36;
const MAC: usize = 17;
const HEX_ADDRESS: usize = 8;
/// Longest name of a machine, in characters.
const MAX_NAME: usize = engine::names::MAX_NAME;

/// What names a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// Its id.
    Id(Uuid),
    /// Its IPv4 address.
    Address(Ipv4Addr),
    /// A hardware address: lower case, colons.
    Mac(String),
    /// Its name.
    Name(String),
}

/// Everything in a path that may name a machine, each once.
pub(super) fn in_path(path: &str) -> BTreeSet<Identity> {
    let mut found = BTreeSet::new();
    for part in path.split('/').take(MAX_PARTS) {
        let ids = windows(part, ID).filter_map(|text| Uuid::try_parse(text).ok()).map(Identity::Id);
        let macs = windows(part, MAC).filter_map(mac).map(Identity::Mac);
        let dotted = part.split(|c: char| !c.is_ascii_digit() && c != '.').map(|text| text.trim_matches('.'));
        let addresses = dotted.filter_map(|text| text.parse().ok()).map(Identity::Address);
        let words = part.split(|c: char| !c.is_ascii_alphanumeric());
        let hex_addresses = words.filter_map(hex_address).map(Identity::Address);
        let stem = part.rsplit_once('.').map(|(stem, _)| stem);
        let names = [Some(part), stem].into_iter().flatten().filter(|name| is_name(name));
        let names = names.map(|name| Identity::Name(name.to_owned()));
        found.extend(ids.chain(macs).chain(addresses).chain(hex_addresses).chain(names));
    }
    // In the order of how surely each names a machine.
    found.into_iter().take(MAX_IDENTITIES).collect()
}

fn windows(text: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..=text.len().saturating_sub(length)).filter_map(move |start| text.get(start..start + length))
}

fn mac(text: &str) -> Option<String> {
    let separator = text.chars().nth(2).filter(|c| matches!(c, ':' | '-'))?;
    let mut octets = text.split(separator);
    let is_octet = |octet: &str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    (octets.by_ref().take(6).filter(|octet| is_octet(octet)).count() == 6 && octets.next().is_none())
        .then(|| text.to_ascii_lowercase().replace('-', ":"))
}

fn hex_address(word: &str) -> Option<Ipv4Addr> {
    let digits = word.len() == HEX_ADDRESS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(word, 16).ok().map(Ipv4Addr::from)).flatten()
}

/// Whether it may be a machine's name; what it may not be is not worth a question to the store.
fn is_name(text: &str) -> bool {
    (2..=MAX_NAME).contains(&text.chars().count()) && text.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Identity {
        Identity::Address(text.parse().unwrap())
    }

    #[test]
    fn conventional_paths_name_their_machine() {
        let id = "8e8a2d0c-1f6c-4d7e-9a53-0a4f2b1c9d77";
        for (path, identity) in [
            ("pxelinux.cfg/0A000005", address("10.0.0.5")),
            ("pxelinux.cfg/0a000005", address("10.0.0.5")),
            ("0A000005.conf", address("10.0.0.5")),
            ("10.0.0.5.ipxe", address("10.0.0.5")),
            ("grub/10.0.0.5.cfg", address("10.0.0.5")),
            ("pxelinux.cfg/01-52-54-00-AB-cd-ef", Identity::Mac("52:54:00:ab:cd:ef".into())),
            ("52:54:00:ab:cd:ef.ipxe", Identity::Mac("52:54:00:ab:cd:ef".into())),
            ("grub/52:54:00:ab:cd:ef.cfg", Identity::Mac("52:54:00:ab:cd:ef".into())),
            (&format!("machines/{id}/file"), Identity::Id(id.parse().unwrap())),
            (&format!("seed-{id}.cfg"), Identity::Id(id.parse().unwrap())),
            ("kickstart/db-07.example.org.ks", Identity::Name("db-07.example.org".into())),
            ("kickstart/db-07/answers", Identity::Name("db-07".into())),
        ] {
            assert!(in_path(path).contains(&identity), "{path}: {:?}", in_path(path));
        }
    }

    #[test]
    fn strange_paths_name_few_machines() {
        assert!(in_path("").is_empty());
        assert!(in_path(&"1.2.3.4/".repeat(200)).len() <= MAX_IDENTITIES);
        assert!(in_path(&"52:54:00:ab:cd:".repeat(60)).len() <= MAX_IDENTITIES);
        assert!(in_path(&"é".repeat(500)).len() <= MAX_IDENTITIES);
        assert!(!in_path("vmlinuz").iter().any(|identity| matches!(identity, Identity::Address(_))));
        assert!(!in_path("52-54:00-ab:cd-ef").iter().any(|identity| matches!(identity, Identity::Mac(_))));
    }
}
