//! Messages of DHCP clients by hand (RFC 2131, RFC 4578).

use super::{Seed, seed};

const US: [u8; 4] = [10, 77, 0, 4];
const FIRST: [u8; 4] = [10, 77, 0, 5];
const MACHINE: [u8; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

pub(super) fn all() -> Vec<Seed> {
    let bios = option(60, b"PXEClient:Arch:00000:UNDI:002001");
    let proxied = [
        packet(1, 1, [0; 4], &[bios.clone(), option(93, &[0, 0]), option(97, &MACHINE)].concat()),
        packet(1, 1, [0; 4], &[bios.clone(), option(93, &[0, 0]), option(77, b"iPXE")].concat()),
        packet(2, 1, [0; 4], &[option(60, b"PXEClient"), option(93, &[0, 7])].concat()),
        packet(3, 1, [0; 4], &[option(60, b"HTTPClient"), option(93, &[0, 16])].concat()),
    ];
    let leased = [
        packet(1, 1, [0; 4], &[bios, option(93, &[0, 0])].concat()),
        packet(1, 3, [0; 4], &[option(54, &US), option(50, &FIRST)].concat()),
        packet(1, 3, FIRST, &[]),
        packet(2, 1, [0; 4], &option(50, &FIRST)),
        packet(2, 3, [0; 4], &option(50, &FIRST)),
        packet(2, 8, [10, 77, 0, 9], &[]),
        packet(1, 4, [0; 4], &[option(54, &US), option(50, &FIRST)].concat()),
        packet(1, 7, FIRST, &option(54, &US)),
    ];
    let asked = packet(2, 3, FIRST, &[option(60, b"PXEClient"), option(93, &[0, 7])].concat());
    vec![
        seed("dhcp_server", "proxy", [vec![0], proxied.concat()].concat()),
        seed("dhcp_server", "leases", [vec![1], leased.concat()].concat()),
        seed("dhcp_server", "boot-port", [vec![2], asked].concat()),
    ]
}

fn option(code: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap_or_default();
    [&[code, length], value].concat()
}

/// A message of a card after its length: header (RFC 2131 2), cookie, type, options.
fn packet(card: u8, kind: u8, ciaddr: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0];
    bytes.extend(ciaddr);
    bytes.resize(28, 0);
    bytes.extend([0x52, 0x54, 0, 0, 0, card]);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind]);
    bytes.extend(options);
    bytes.push(255);
    let length = u16::try_from(bytes.len()).unwrap_or_default();
    [length.to_be_bytes().as_slice(), &bytes].concat()
}
