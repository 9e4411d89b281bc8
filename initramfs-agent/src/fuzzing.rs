//! Doors for the fuzz targets (crate `fuzz`): what the agent makes of bytes that anybody on the wire,
//! or the firmware, may send. Nothing else uses them.

use crate::api::tls::Trust;
use crate::disk::{self, Window};
use crate::install::permit::{Bearer, verify};
use crate::inventory::smbios;
use crate::lldp::frame;
use crate::net::dhcp6::message::{Answer, AnswerError};
use crate::net::{Lease, advice};
use crate::report::chain;
use mozim::DhcpV4Lease;
use protocol::ids::{MacAddr, SpkiPin};
use protocol::install::{Contents, PartitionFound};
use protocol::inventory::{Lldp, MemoryModule};
use protocol::net::Prefix;
use rustls::pki_types::UnixTime;
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// 1 January 2026, in seconds since 1970.
const NOW: u64 = 1_767_225_600;
const LINK: &str = "eth0";
const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

/// What a machine would set up because somebody said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Addresses with their prefixes.
    pub addresses: Vec<Prefix>,
    /// Routes; without a next hop, on the link.
    pub routes: Vec<(Prefix, Option<IpAddr>)>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// The machine's name and domain, as they are shown.
    pub names: Vec<String>,
    /// MTU of the link, in bytes.
    pub mtu: Option<u32>,
    /// Why nothing is given, for the console.
    pub refusal: Option<String>,
}

impl Told {
    fn of(lease: Lease) -> Self {
        Self {
            addresses: vec![Prefix { address: lease.address, length: lease.prefix }],
            names: lease.fqdn().into_iter().chain(lease.domain).chain(lease.host_name).collect(),
            routes: lease.routes.iter().map(|route| (route.to, route.via)).collect(),
            dns: lease.dns,
            search: lease.search,
            mtu: lease.mtu,
            refusal: None,
        }
    }
}

/// A DHCPv4 offer as `mozim` read it.
pub fn dhcp4(offer: &DhcpV4Lease) -> Told {
    match Lease::from_dhcp(LINK, MAC, offer) {
        Ok(lease) => Told::of(lease),
        Err(error) => Told { refusal: Some(error.to_string()), ..Told::default() },
    }
}

/// A DHCPv6 message; `None` when it is none.
pub fn dhcp6(message: &[u8]) -> Option<Told> {
    let answer = match Answer::parse(message) {
        Ok(answer) => answer,
        Err(AnswerError::TooLong(_) | AnswerError::Cut | AnswerError::Identifier(_)) => return None,
    };
    let leases = answer.given.iter().filter_map(|given| Lease::from_dhcp6(LINK, MAC, given, &answer));
    Some(Told {
        addresses: leases.flat_map(|lease| Told::of(lease).addresses).collect(),
        dns: answer.dns.iter().copied().map(IpAddr::V6).collect(),
        search: answer.search.clone(),
        refusal: answer.refusal.map(|(code, words)| format!("{code} {words}")),
        ..Told::default()
    })
}

/// What a disk of these bytes holds.
pub fn disk(bytes: &[u8]) -> Contents {
    disk::contents(&Window::new(&bytes, length(bytes)))
}

/// What a partition of these bytes holds; `None` when nothing is recognised.
pub fn superblock(bytes: &[u8]) -> Option<PartitionFound> {
    disk::found(&Window::new(&bytes, length(bytes)))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A wipe permit under these pins, for a machine, run and job that are all zero, on 1 January 2026.
///
/// # Errors
/// Why it is refused.
pub fn permit(text: &str, pins: &[SpkiPin]) -> Result<(), String> {
    let bearer = Bearer {
        machine: Uuid::nil(),
        thumbprint: "",
        run: Uuid::nil(),
        job: Uuid::nil(),
        epoch: 0,
        image: "",
    };
    let trust = Trust { pins: pins.to_vec(), extra: None };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    verify(text, &trust, &bearer, now).map(|_| ()).map_err(|error| chain(&error))
}

/// The options of a router's advertisement.
pub fn router_options(options: &[u8]) -> Told {
    told_by_router(advice::options(options))
}

/// The kernel's message about such options; `None` when it is about something else.
pub fn router_message(message: &[u8]) -> Option<Told> {
    advice::parse(message).map(told_by_router)
}

fn told_by_router(advice: advice::Advice) -> Told {
    Told {
        dns: advice.dns.into_iter().map(|(server, _)| IpAddr::V6(server)).collect(),
        search: advice.search.into_iter().map(|(domain, _)| domain).collect(),
        ..Told::default()
    }
}

/// The payload of an LLDP frame: the neighbour, and how long its word holds.
pub fn lldp(payload: &[u8]) -> Option<(Lldp, Duration)> {
    frame::parse(payload).map(|heard| (heard.lldp, heard.holds))
}

/// An SMBIOS table: memory modules, and whether it describes a management controller.
pub fn smbios(table: &[u8]) -> (Vec<MemoryModule>, bool) {
    let length = usize::try_from(smbios::MAX_TABLE).unwrap_or(table.len());
    let found = smbios::parse(table.get(..length).unwrap_or(table));
    (found.modules, found.has_bmc)
}
