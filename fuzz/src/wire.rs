//! What anybody on the wire, or the firmware, tells a machine: DHCP, router advertisements, LLDP,
//! SMBIOS. The agent runs as process 1: a panic here is a machine that does not boot.

use crate::text::is_tame;
use initramfs_agent::fuzzing::{self, Told};
use mozim::{DhcpV4ClasslessRoute, DhcpV4Lease};
use protocol::inventory::{Inventory, Link, MAX_MODULES};
use protocol::net::{MAX_DNS, MAX_MTU, MAX_SEARCH, MIN_IPV6_MTU, dns_name, is_host};
use std::net::Ipv4Addr;

/// Most addresses that one answer gives.
const MAX_GIVEN: usize = 8;
/// Most routes of a server that are taken.
const MAX_ROUTES: usize = 64;
/// Longest text of firmware that is kept before cleaning, in bytes: each may become three.
const MAX_FIRMWARE_TEXT: usize = 3 * 256;

/// Whatever was said, a machine can do it: addresses are some machine's, names are names, lists are
/// short, and no word of it would be obeyed by a terminal.
fn is_doable(told: &Told) {
    assert!(told.addresses.len() <= MAX_GIVEN && told.routes.len() <= MAX_ROUTES);
    assert!(told.dns.len() <= MAX_DNS && told.search.len() <= MAX_SEARCH);
    for own in &told.addresses {
        let longest = if own.address.is_ipv4() { 32 } else { 128 };
        assert!(is_host(own.address) && (1..=longest).contains(&own.length), "{own}");
    }
    assert!(told.dns.iter().copied().all(is_host), "{:?}", told.dns);
    for (to, via) in &told.routes {
        assert_eq!(to.network(), *to);
        assert!(via.is_none_or(is_host), "{via:?}");
    }
    for name in told.search.iter().chain(&told.names) {
        is_tame(name);
        assert_eq!(dns_name(name).as_ref(), Some(name));
    }
    assert!(told.mtu.is_none_or(|mtu| (MIN_IPV6_MTU..=MAX_MTU).contains(&mtu)));
    told.refusal.iter().for_each(|words| is_tame(words));
}

/// A DHCPv4 offer. `mozim` takes the packet apart; the input is what it hands on, field by field.
pub fn dhcp4(data: &[u8]) -> bool {
    let mut fields = Fields(data);
    let mut offer = DhcpV4Lease::default();
    offer.yiaddr = fields.address();
    offer.srv_id = fields.address();
    offer.subnet_mask = fields.address();
    offer.lease_time_sec = fields.address().to_bits();
    offer.mtu = fields.given().then(|| u16::from_be_bytes(fields.take()));
    offer.dns_srvs = fields.list(Fields::address);
    offer.gateways = fields.list(Fields::address);
    offer.classless_routes = fields.list(|fields| DhcpV4ClasslessRoute {
        prefix_length: fields.take::<1>()[0],
        destination: fields.address(),
        router: fields.address(),
    });
    offer.host_name = fields.given().then(|| fields.text());
    offer.domain_name = fields.given().then(|| fields.text());
    offer.domain_search = fields.list(Fields::text);
    let told = fuzzing::dhcp4(&offer);
    is_doable(&told);
    assert_eq!(told.addresses.len(), usize::from(told.refusal.is_none()));
    told.refusal.is_none()
}

/// A DHCPv6 message.
pub fn dhcp6(data: &[u8]) -> bool {
    let Some(told) = fuzzing::dhcp6(data) else { return false };
    assert!(data.len() <= 1_500);
    is_doable(&told);
    true
}

/// Options of a router's advertisement, and the kernel's message about some.
pub fn router(data: &[u8]) -> bool {
    let told = fuzzing::router_options(data);
    is_doable(&told);
    let message = fuzzing::router_message(data);
    message.iter().for_each(is_doable);
    message.is_some() || told != Told::default()
}

/// The payload of an LLDP frame. Cleaned as every inventory is, it is fit to be shown.
pub fn lldp(data: &[u8]) -> bool {
    let Some((neighbour, holds)) = fuzzing::lldp(data) else { return false };
    assert!(holds.as_secs() <= u64::from(u16::MAX));
    assert!(neighbour.vlan.is_none_or(|vlan| (1..=4_094).contains(&vlan)));
    let mut link = Link::new("eth0", protocol::ids::MacAddr([2; 6]));
    link.lldp = Some(neighbour);
    shown(Inventory { links: vec![link], ..Inventory::default() });
    true
}

/// An SMBIOS table.
pub fn smbios(data: &[u8]) -> bool {
    let (modules, has_bmc) = fuzzing::smbios(data);
    // The smallest structure has a head of four bytes and an end of two.
    assert!(modules.len() <= data.len() / 6);
    for module in &modules {
        let texts = [&module.slot, &module.manufacturer, &module.part_number, &module.serial];
        assert!(texts.iter().all(|text| text.len() <= MAX_FIRMWARE_TEXT));
        assert!(module.size_bytes > 0, "an empty slot is no module");
    }
    let understood = has_bmc || !modules.is_empty();
    shown(Inventory { memory_modules: modules, ..Inventory::default() });
    understood
}

fn shown(mut inventory: Inventory) {
    inventory.clean();
    assert!(inventory.memory_modules.len() <= MAX_MODULES);
    crate::documents::is_clean(&inventory);
}

/// Bytes as fields, one after the other; zeros when there are no more.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().map_or(([0; N], &[][..]), |(head, rest)| (*head, rest));
        self.0 = rest;
        head
    }

    fn address(&mut self) -> Ipv4Addr {
        Ipv4Addr::from(self.take::<4>())
    }

    fn given(&mut self) -> bool {
        self.take::<1>() != [0]
    }

    /// Its length in one byte, then text.
    fn text(&mut self) -> String {
        let [length] = self.take();
        let (text, rest) = self.0.split_at(self.0.len().min(length.into()));
        self.0 = rest;
        crate::text::lossy(text)
    }

    /// Nothing for a zero, else one element less than the byte says.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> T) -> Option<Vec<T>> {
        let [count] = self.take();
        count.checked_sub(1).map(|count| (0..count).map(|_| one(self)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn fields_end_with_zeros() {
        let mut fields = Fields(&[1, 2, 3, 4, 2, b'h', b'i', 2, 9]);
        assert_eq!(fields.address(), Ipv4Addr::new(1, 2, 3, 4));
        assert_eq!(fields.text(), "hi");
        assert_eq!(fields.list(Fields::address), Some(vec![Ipv4Addr::UNSPECIFIED]));
        assert_eq!(fields.list(Fields::address), None);
        assert!(!is_host(IpAddr::V4(fields.address())));
    }
}
