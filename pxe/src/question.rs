//! The question that a machine's firmware asks the network, and what it can be told.

use std::net::Ipv4Addr;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Hardware address of the card that it boots from.
    pub mac: [u8; 6],
    /// SMBIOS UUID (RFC 4578, option 97) in the order in which people write it, where firmware tells
    /// one that is not all zeros or ones.
    pub uuid: Option<[u8; 16]>,
    /// What runs on the machine now.
    pub firmware: Firmware,
    /// Our own address on the client's network.
    pub reached: Ipv4Addr,
}

/// What runs on a machine that asks for something to boot (RFC 4578 2.1, IANA "Processor
/// Architecture Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// PXE in a BIOS: architecture 0.
    Bios,
    /// PXE in UEFI.
    Uefi(Cpu),
    /// UEFI HTTP Boot.
    UefiHttp(Cpu),
    /// iPXE, in a BIOS or in UEFI: told by its user class.
    Ipxe,
}

/// Processors that have a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// x86-64: architectures 7, 9 and 16.
    X64,
    /// 64-bit Arm: architectures 11 and 19.
    Arm64,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To load this: the path of a file on our TFTP server, or a URL.
    Load(String),
    /// Nothing: firmware goes on with its next boot device. With the reason, for the log.
    Silence(String),
}
