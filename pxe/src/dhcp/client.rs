//! What a message says about the machine it came from (PXE 2.1, RFC 4578, UEFI 2.10 24.7).

use super::packet::Message;
use crate::question::{Client, Cpu, Firmware};
use std::net::Ipv4Addr;

/// What PXE firmware and iPXE call themselves (option 60 begins so).
pub(super) const PXE: &[u8] = b"PXEClient";
/// What UEFI HTTP Boot calls itself.
pub(super) const HTTP: &[u8] = b"HTTPClient";
/// The user class of iPXE. It writes the bare name; others put a length before it (RFC 3004).
const IPXE: [&[u8]; 2] = [b"iPXE", b"\x04iPXE"];

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A machine that looks for something to boot.
    Boots(Client),
    /// A machine that looks for something to boot, and why there is nothing for it.
    Unknown(String),
    /// Anybody else.
    Other,
}

/// Who sent a message that reached us at this address.
pub(super) fn caller(message: &Message, reached: Ipv4Addr) -> Caller {
    let http = message.class.starts_with(HTTP);
    if !http && !message.class.starts_with(PXE) {
        return Caller::Other;
    }
    let Some(mac) = message.hardware.mac() else {
        return Caller::Unknown("its hardware address is not that of an Ethernet card".to_owned());
    };
    let known = message.architectures.iter().find_map(|number| architecture(*number, http));
    let Some(machine) = known else {
        let class = if http { "UEFI HTTP Boot" } else { "PXE" };
        let told = &message.architectures;
        return Caller::Unknown(format!("there is no loader for {class} of its architecture {told:?}"));
    };
    let firmware = if IPXE.contains(&message.user_class.as_slice()) { Firmware::Ipxe } else { machine };
    Caller::Boots(Client { mac, uuid: uuid(&message.machine), firmware, reached })
}

/// IANA "Processor Architecture Types" that there is a loader for.
fn architecture(number: u16, http: bool) -> Option<Firmware> {
    match (http, number) {
        (false, 0) => Some(Firmware::Bios),
        // 7 is EFI byte code by the letter of RFC 4578 and x86-64 in everybody's firmware (erratum 4625).
        (false, 7 | 9) => Some(Firmware::Uefi(Cpu::X64)),
        (false, 11) => Some(Firmware::Uefi(Cpu::Arm64)),
        (true, 16) => Some(Firmware::UefiHttp(Cpu::X64)),
        (true, 19) => Some(Firmware::UefiHttp(Cpu::Arm64)),
        _ => None,
    }
}

/// Option 97: type 0, then the UUID as it stands in SMBIOS (7.2.1), three fields little-endian: OVMF and
/// iPXE were seen to send it so. Firmware without one says all zeros or all ones.
fn uuid(machine: &[u8]) -> Option<[u8; 16]> {
    let told = <[u8; 16]>::try_from(machine.strip_prefix(&[0])?).ok()?;
    let [a, b, c, d, e, f, g, h, rest @ ..] = told;
    let [i, j, k, l, m, n, o, p] = rest;
    let uuid = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
    (uuid != [0; 16] && uuid != [0xff; 16]).then_some(uuid)
}
