//! Packets of TFTP clients by hand (RFC 1350, 2347, 7440), and transfers.

use super::{Seed, seed};

pub(super) fn all() -> Vec<Seed> {
    let firmware = b"\0\x01muster/vmlinuz\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";
    let curl = b"\0\x01default.ipxe\0OCTET\0tsize\x000\0blksize\x00512\0timeout\x006\0";
    let odd = b"\0\x01/grub/52:54:00:12:34:56.cfg\0octet\0multicast\0\0blksize\x008\0blksize\x0099\0";
    // 12,345 bytes in blocks of 264, eight at once.
    let shape = [0, 0x30, 0x39, 0, 7, 1];
    let good = [[1, 0, 0], [1, 0, 8], [1, 0, 8], [1, 0, 8]];
    // A gap, silence, an answer to the probe, old words.
    let bad = [[1, 0, 0], [1, 0, 3], [5, 0, 0], [40, 0, 0], [1, 0, 0], [1, 0, 8], [1, 0, 0], [1, 255, 255]];
    vec![
        seed("tftp_packet", "firmware", *firmware),
        seed("tftp_packet", "curl", *curl),
        seed("tftp_packet", "odd-options", *odd),
        seed("tftp_packet", "ack", [0, 4, 255, 255]),
        seed("tftp_packet", "error", *b"\0\x05\0\0aborted\0"),
        seed("tftp_session", "good", [&shape[..], good.as_flattened()].concat()),
        seed("tftp_session", "bad", [&shape[..], bad.as_flattened()].concat()),
    ]
}
