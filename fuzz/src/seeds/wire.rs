//! Packets and tables by hand: DHCPv6 (RFC 8415), router advertisements (RFC 4861, RFC 8106), LLDP
//! (IEEE 802.1AB), SMBIOS (DMTF DSP0134).

use super::{Seed, seed};
use std::net::Ipv6Addr;

const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15);
const SERVER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x53);
/// `example.com`, as DNS writes it.
const DOMAIN: &[u8] = b"\x07example\x03com\x00";

pub(super) fn all() -> Vec<Seed> {
    vec![
        seed("dhcp4", "offer", offer()),
        seed("dhcp6", "reply", reply()),
        seed("dhcp6", "refusal", refusal()),
        seed("router", "options", router_options()),
        seed("router", "message", router_message()),
        seed("lldp", "switch", switch()),
        seed("smbios", "two-modules", table()),
    ]
}

/// An offer as the target `dhcp4` takes it, field by field.
fn offer() -> Vec<u8> {
    let mut offer = vec![10, 0, 2, 15, 10, 0, 2, 2, 255, 255, 255, 0, 0, 1, 81, 128];
    // MTU, two name servers, a router, a route.
    offer.extend([1, 0x05, 0xdc, 3, 10, 0, 2, 3, 10, 0, 2, 4, 2, 10, 0, 2, 2]);
    offer.extend([2, 8, 10, 0, 0, 0, 10, 0, 2, 2]);
    offer.extend(b"\x01\x04Web1\x01\x0bexample.com\x02\x04corp");
    offer
}

/// A DHCPv6 option (21.1).
fn option(code: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or_default();
    [&code.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

fn association(inner: &[u8]) -> Vec<u8> {
    let times = [7_u32, 1_800, 2_880].map(u32::to_be_bytes);
    option(3, &[times.as_flattened(), inner].concat())
}

fn reply() -> Vec<u8> {
    let times = [3_600_u32, 7_200].map(u32::to_be_bytes);
    let address = option(5, &[ADDRESS.octets().as_slice(), times.as_flattened()].concat());
    [
        vec![7, 1, 2, 3],
        option(1, &[0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56]),
        option(2, &[0, 1, 0, 1, 9, 9, 9, 9]),
        association(&address),
        option(23, &SERVER.octets()),
        option(24, DOMAIN),
        option(32, &86_400_u32.to_be_bytes()),
    ]
    .concat()
}

fn refusal() -> Vec<u8> {
    let status = option(13, b"\x00\x02no address is free");
    [vec![7, 1, 2, 3], option(1, &[1]), option(2, &[2]), association(&status)].concat()
}

/// An option of a router's advertisement, padded to units of eight bytes (RFC 4861 4.6).
fn router_option(kind: u8, lifetime: u32, body: &[u8]) -> Vec<u8> {
    let mut option = [&[kind, 0, 0, 0], lifetime.to_be_bytes().as_slice(), body].concat();
    option.resize(option.len().next_multiple_of(8), 0);
    let units = u8::try_from(option.len() / 8).unwrap_or_default();
    if let Some(length) = option.get_mut(1) {
        *length = units;
    }
    option
}

fn router_options() -> Vec<u8> {
    [router_option(25, 600, &SERVER.octets()), router_option(31, 900, DOMAIN)].concat()
}

/// The kernel's `RTM_NEWNDUSEROPT`: nlmsghdr, nduseroptmsg, options.
fn router_message() -> Vec<u8> {
    let options = router_options();
    let length = u16::try_from(options.len()).unwrap_or_default();
    let mut message = vec![0; 32];
    let parts: [(usize, &[u8]); 4] =
        [(4, &68_u16.to_le_bytes()), (18, &length.to_le_bytes()), (20, &[7]), (24, &[134])];
    for (at, bytes) in parts {
        for (slot, byte) in message.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    }
    message.extend(options);
    message
}

/// A TLV: seven bits of type, nine of length (8.4).
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let head = u16::from(kind) << 9 | u16::try_from(value.len()).unwrap_or_default();
    [head.to_be_bytes().as_slice(), value].concat()
}

fn switch() -> Vec<u8> {
    [
        tlv(1, b"\x04\x02\x00\x00\x00\x00\x01"),
        tlv(2, b"\x05Eth1/7"),
        tlv(3, &120_u16.to_be_bytes()),
        tlv(4, b"to rack 12"),
        tlv(5, b"sw-3"),
        tlv(6, b"a switch"),
        tlv(8, b"\x05\x01\x0a\x00\x00\x03\x02\x00\x00\x00\x01\x00"),
        tlv(127, b"\x00\x80\xc2\x01\x00\x78"),
        tlv(0, b""),
    ]
    .concat()
}

/// A structure: type, length, handle, body, strings (6.1.2, 6.1.3).
fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
    let length = u8::try_from(body.len() + 4).unwrap_or_default();
    let mut structure = [&[kind, length, 1, 0], body].concat();
    for text in strings {
        structure.extend(text.as_bytes());
        structure.push(0);
    }
    structure.push(0);
    if strings.is_empty() {
        structure.push(0);
    }
    structure
}

/// A memory device of version 3.2 (7.18) of so many MiB.
fn memory(mib: u16) -> Vec<u8> {
    let mut body = vec![0; 0x5c - 4];
    let [low, high] = mib.to_le_bytes();
    for (at, byte) in [(0x0c, low), (0x0d, high), (0x10, 1), (0x12, 0x22), (0x17, 2), (0x18, 3), (0x1a, 4)] {
        if let Some(slot) = body.get_mut(at - 4) {
            *slot = byte;
        }
    }
    structure(17, &body, &["DIMM 0", "Maker", "SN1", "PN1"])
}

fn table() -> Vec<u8> {
    [
        structure(1, &[0; 23], &["QEMU"]),
        memory(8_192),
        memory(0x8000 | 512),
        structure(38, &[1; 12], &[]),
        structure(127, &[], &[]),
    ]
    .concat()
}
