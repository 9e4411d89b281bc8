//! What a switch says about itself: one LLDP frame (IEEE 802.1AB-2016, clauses 8 and 9).
//!
//! A frame is a row of TLVs: seven bits of type, nine of length. Chassis, port and time to live
//! come first and in that order; what follows is optional. Anybody on the wire can send one.

use protocol::inventory::{Lldp, MAX_TEXT};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Largest frame that is looked at, in bytes: an Ethernet payload.
pub(crate) const MAX_FRAME: usize = 1_500;

const END: u8 = 0;
const CHASSIS_ID: u8 = 1;
const PORT_ID: u8 = 2;
const TIME_TO_LIVE: u8 = 3;
const PORT_DESCRIPTION: u8 = 4;
const SYSTEM_NAME: u8 = 5;
const SYSTEM_DESCRIPTION: u8 = 6;
const MANAGEMENT_ADDRESS: u8 = 8;
const ORGANISATION: u8 = 127;
/// IEEE 802.1 (`00-80-c2`), subtype 1: port VLAN id (802.1Q-2018 D.2.1).
const PORT_VLAN: [u8; 4] = [0x00, 0x80, 0xc2, 1];
/// Address families of the IANA registry: IPv4 and IPv6.
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// A neighbour and how long its word holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Who it is.
    pub(crate) lldp: Lldp,
    /// Zero when it says goodbye.
    pub(crate) holds: Duration,
}

/// Reads the payload of a frame; `None` when it is not LLDP's.
pub(crate) fn parse(frame: &[u8]) -> Option<Heard> {
    let mut tlvs = Tlvs { rest: frame.get(..MAX_FRAME).unwrap_or(frame) };
    let mut wanted = |kind: u8| tlvs.next().filter(|tlv| tlv.kind == kind).map(|tlv| tlv.value);
    let chassis = wanted(CHASSIS_ID)?;
    let port = wanted(PORT_ID)?;
    let seconds = u16::from_be_bytes(*wanted(TIME_TO_LIVE)?.first_chunk()?);
    let mut lldp = Lldp { chassis_id: id(chassis, [4, 5])?, port_id: id(port, [3, 4])?, ..Lldp::default() };
    for Tlv { kind, value } in tlvs {
        match kind {
            END => break,
            PORT_DESCRIPTION => lldp.port_description = text(value),
            SYSTEM_NAME => lldp.system_name = text(value),
            SYSTEM_DESCRIPTION => lldp.system_description = text(value),
            // The first is the preferred one.
            MANAGEMENT_ADDRESS if lldp.management_address.is_empty() => {
                lldp.management_address = management_address(value).unwrap_or_default();
            }
            ORGANISATION => lldp.vlan = port_vlan(value).or(lldp.vlan),
            _ => {}
        }
    }
    Some(Heard { lldp, holds: Duration::from_secs(seconds.into()) })
}

/// One TLV.
struct Tlv<'a> {
    kind: u8,
    value: &'a [u8],
}

/// Cuts a frame into TLVs; one that is longer than the frame ends it.
struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let ([high, low], rest) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high & 1, *low]));
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Tlv { kind: high >> 1, value })
    }
}

/// A chassis or port id; `binary` are the subtypes of hardware and network addresses, which the
/// two count differently (8.5.2.2, 8.5.3.2).
fn id(value: &[u8], binary: [u8; 2]) -> Option<String> {
    let (&subtype, value) = value.split_first()?;
    if value.is_empty() {
        return None;
    }
    let [hardware, network] = binary;
    if subtype == hardware {
        return Some(hexadecimal(value));
    }
    if subtype == network {
        let (&family, address) = value.split_first()?;
        return Some(address_of(family, address).unwrap_or_else(|| hexadecimal(value)));
    }
    // Names, mostly; some switches put numbers here.
    let is_text = value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    Some(if is_text { text(value) } else { hexadecimal(value) })
}

/// Length, family and address, then an interface number and an object id (8.5.9).
fn management_address(value: &[u8]) -> Option<String> {
    let (&length, rest) = value.split_first()?;
    let (&family, address) = rest.get(..usize::from(length))?.split_first()?;
    address_of(family, address)
}

fn address_of(family: u8, address: &[u8]) -> Option<String> {
    match family {
        IPV4 => <[u8; 4]>::try_from(address).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        IPV6 => <[u8; 16]>::try_from(address).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        _ => None,
    }
}

/// The untagged VLAN; zero says that there is none.
fn port_vlan(value: &[u8]) -> Option<u16> {
    let vlan = value.strip_prefix(&PORT_VLAN)?.first_chunk()?;
    Some(u16::from_be_bytes(*vlan)).filter(|vlan| (1..=4_094).contains(vlan))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// `02:00:00:00:00:01`, as far as a text value goes.
fn hexadecimal(value: &[u8]) -> String {
    let octets: Vec<String> = value.iter().take(MAX_TEXT / 3).map(|byte| format!("{byte:02x}")).collect();
    octets.join(":")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap();
        let head = u16::from(kind) << 9 | length;
        [&head.to_be_bytes()[..], value].concat()
    }

    /// The three that every frame begins with, and more.
    pub(in crate::lldp) fn frame(seconds: u16, more: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = tlv(CHASSIS_ID, &[4, 2, 0, 0, 0, 0, 1]);
        frame.extend(tlv(PORT_ID, b"\x05Eth1/7"));
        frame.extend(tlv(TIME_TO_LIVE, &seconds.to_be_bytes()));
        frame.extend(more.concat());
        frame.extend(tlv(END, &[]));
        frame
    }

    #[test]
    fn a_switch_tells_its_name_port_vlan_and_address() {
        let more = [
            tlv(PORT_DESCRIPTION, b"db-07 left"),
            tlv(SYSTEM_NAME, b"sw-3"),
            tlv(SYSTEM_DESCRIPTION, b"Arista EOS 4.31"),
            tlv(7, &[0, 20, 0, 20]),
            tlv(MANAGEMENT_ADDRESS, &[5, 1, 10, 0, 0, 3, 2, 0, 0, 0, 1, 0]),
            tlv(MANAGEMENT_ADDRESS, &[5, 1, 10, 9, 9, 9, 2, 0, 0, 0, 1, 0]),
            tlv(ORGANISATION, &[0x00, 0x12, 0x0f, 1, 3, 0]),
            tlv(ORGANISATION, &[0x00, 0x80, 0xc2, 1, 0, 120]),
        ];
        let heard = parse(&frame(120, &more)).unwrap();
        assert_eq!(heard.holds, Duration::from_secs(120));
        let expected = Lldp {
            chassis_id: "02:00:00:00:00:01".to_owned(),
            port_id: "Eth1/7".to_owned(),
            port_description: "db-07 left".to_owned(),
            system_name: "sw-3".to_owned(),
            system_description: "Arista EOS 4.31".to_owned(),
            management_address: "10.0.0.3".to_owned(),
            vlan: Some(120),
        };
        assert_eq!(heard.lldp, expected);
    }

    #[test]
    fn ids_are_addresses_names_or_plain_bytes() {
        let chassis = |value: &[u8]| id(value, [4, 5]);
        assert_eq!(chassis(&[5, 1, 10, 0, 0, 3]).unwrap(), "10.0.0.3");
        assert_eq!(chassis(&[[5, 2].as_slice(), &[0; 15], &[1]].concat()).unwrap(), "::1");
        assert_eq!(chassis(b"\x07rack 4").unwrap(), "rack 4");
        assert_eq!(chassis(&[7, 0, 255]).unwrap(), "00:ff");
        assert_eq!(id(&[3, 2, 0, 0, 0, 0, 9], [3, 4]).unwrap(), "02:00:00:00:00:09");
        assert_eq!(chassis(&[4]), None, "an id of nothing is none");
    }

    #[test]
    fn a_frame_without_its_first_three_is_not_lldp() {
        let whole = frame(120, &[]);
        assert!(parse(&whole).is_some());
        for cut in [0, 1, 2, 8, 9, 12, 17, 18] {
            assert_eq!(parse(whole.get(..cut).unwrap()), None, "{cut} bytes");
        }
        let turned = [tlv(PORT_ID, b"\x05a"), tlv(CHASSIS_ID, b"\x07b"), tlv(TIME_TO_LIVE, &[0, 9])].concat();
        assert_eq!(parse(&turned), None);
    }

    #[test]
    fn an_optional_part_that_lies_about_its_length_ends_the_frame() {
        let mut lying = tlv(SYSTEM_NAME, b"sw-3");
        *lying.get_mut(1).unwrap() = 200;
        let heard = parse(&frame(120, &[tlv(PORT_DESCRIPTION, b"left"), lying])).unwrap();
        assert_eq!((heard.lldp.port_description.as_str(), heard.lldp.system_name.as_str()), ("left", ""));
    }

    #[test]
    fn vlans_that_cannot_be_are_not_told() {
        for vlan in [0_u16, 4_095, u16::MAX] {
            let value = [&PORT_VLAN[..], &vlan.to_be_bytes()].concat();
            assert_eq!(parse(&frame(120, &[tlv(ORGANISATION, &value)])).unwrap().lldp.vlan, None);
        }
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), seconds: u16) {
            assert!(parse(&bytes).is_none_or(|heard| !heard.lldp.chassis_id.is_empty()));
            assert!(parse(&frame(seconds, &[bytes])).is_some());
        }
    }
}
