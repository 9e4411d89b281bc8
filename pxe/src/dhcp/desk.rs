//! One message in, at most one out: whom it is from, whether it is for us, what is said.

use super::client::{Caller, caller};
use super::guests::{Admission, Guests};
use super::lab::{self, Verdict};
use super::lease::{Lease, Leases};
use super::network::Network;
use super::packet::{self, BootFile, Hardware, Message, Reply};
use super::proxy::{self, Door};
use crate::question::{Answer, Client, Firmware};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Other servers of addresses that are remembered, so that each is complained of once.
const MAX_RIVALS: usize = 16;
/// Complaints of one kind are at least this far apart.
const SELDOM: Duration = Duration::from_secs(60);

/// Whoever runs the server.
pub trait Host: Send {
    /// What a client should boot.
    fn what_boots(&mut self, client: &Client) -> Answer;

    /// Keeps the leases where a restart finds them, in place of those that were kept.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn keep(&mut self, leases: &[Lease]) -> io::Result<()>;
}

/// What answers, and what it remembers.
#[derive(Debug)]
pub struct Desk {
    network: Network,
    leases: Option<Leases>,
    guests: Guests,
    rivals: BTreeSet<Ipv4Addr>,
    full: Seldom,
    busy: Seldom,
    unkept: Seldom,
}

impl Desk {
    /// A desk that gives boot files alone, or addresses as well.
    pub fn new(network: Network, leases: Option<Leases>, now: Duration) -> Self {
        Self {
            network,
            leases,
            guests: Guests::new(now),
            rivals: BTreeSet::new(),
            full: Seldom::default(),
            busy: Seldom::default(),
            unkept: Seldom::default(),
        }
    }

    /// The network it stands on.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What is said to a packet, if anything.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        came_from: (Door, SocketAddrV4),
        now: Duration,
        host: &mut dyn Host,
    ) -> Option<Reply> {
        let message = match packet::decode(bytes) {
            Ok(message) if message.from_client => message,
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(target: "muster::boot", from = %came_from.1, %error, "no DHCP message");
                return None;
            }
        };
        let near = message.giaddr.is_unspecified() || self.network.contains(message.giaddr);
        let written = if came_from.0 == Door::Dhcp && near && self.leases.is_some() {
            self.lease(&message, now, host)
        } else {
            self.propose(&message, came_from, now, host)
        };
        written.unwrap_or_else(|error| {
            tracing::error!(target: "muster::boot", %error, "an answer cannot be written");
            None
        })
    }

    /// Beside another server: boot files, for firmware alone.
    fn propose(
        &mut self,
        message: &Message,
        came_from: (Door, SocketAddrV4),
        now: Duration,
        host: &mut dyn Host,
    ) -> Result<Option<Reply>, dhcproto::error::EncodeError> {
        let Some(kind) = proxy::takes(message, came_from.0, self.network.address) else { return Ok(None) };
        let Some(client) = self.client(message) else { return Ok(None) };
        if !self.admits(message, now) {
            return Ok(None);
        }
        let Some(name) = self.asked(message, &client, host) else { return Ok(None) };
        let file = BootFile { name: &name, server: self.network.address };
        proxy::reply(message, kind, client.firmware, file, came_from).map(Some)
    }

    /// Instead of another server: addresses for everybody, and boot files for firmware.
    fn lease(
        &mut self,
        message: &Message,
        now: Duration,
        host: &mut dyn Host,
    ) -> Result<Option<Reply>, dhcproto::error::EncodeError> {
        if !self.admits(message, now) {
            return Ok(None);
        }
        let Some(leases) = &mut self.leases else { return Ok(None) };
        let verdict = lab::decide(message, &self.network, leases, now);
        // Before the client hears of it: what it is given now must be known after a restart.
        if let Some(kept) = leases.kept()
            && let Err(error) = host.keep(&kept)
        {
            leases.keep_again();
            if self.unkept.is_due(now) {
                tracing::error!(
                    target: "muster::boot", %error,
                    "the DHCP leases cannot be kept; a restart may give one address to two machines"
                );
            }
        }
        self.tell(message, verdict, now);
        let answered = matches!(verdict, Verdict::Offer(_) | Verdict::Give(_) | Verdict::Tell);
        let client = if answered { self.client(message) } else { None };
        let name = client.as_ref().and_then(|client| self.asked(message, client, host));
        let boot = client
            .zip(name.as_deref())
            .map(|(client, name)| (client.firmware, BootFile { name, server: self.network.address }));
        lab::reply(message, verdict, &self.network, boot)
    }

    /// The machine that looks for something to boot, if the message is from one.
    fn client(&self, message: &Message) -> Option<Client> {
        match caller(message, self.network.address) {
            Caller::Boots(client) => Some(client),
            Caller::Unknown(why) => {
                let mac = Mac(message.hardware);
                tracing::debug!(target: "muster::boot", %mac, %why, "nothing to boot");
                None
            }
            Caller::Other => None,
        }
    }

    fn admits(&mut self, message: &Message, now: Duration) -> bool {
        match self.guests.admit(message.hardware, now) {
            Admission::Granted => true,
            Admission::TooOften => {
                tracing::debug!(target: "muster::boot", mac = %Mac(message.hardware), "asks too often");
                false
            }
            Admission::TooMany => {
                if self.busy.is_due(now) {
                    tracing::warn!(target: "muster::boot", "more DHCP messages than are answered");
                }
                false
            }
        }
    }

    /// Asks what a client should boot, and logs it once.
    fn asked(&mut self, message: &Message, client: &Client, host: &mut dyn Host) -> Option<String> {
        let answer = match host.what_boots(client) {
            Answer::Load(name) if !is_nameable(&name) => {
                let length = name.len();
                let most = packet::MAX_VALUE;
                let why =
                    format!("a boot file's name of {length} bytes, or with control characters; {most} fit");
                Answer::Silence(why)
            }
            answer @ (Answer::Load(_) | Answer::Silence(_)) => answer,
        };
        let news = self.guests.is_news(message.hardware, client.firmware, &answer);
        let (mac, uuid) = (Mac(message.hardware), Uuid(client.uuid));
        let firmware = firmware_name(client.firmware);
        match (&answer, news) {
            (Answer::Load(file), true) => {
                tracing::info!(target: "muster::boot", %mac, %uuid, firmware, %file, "told what to boot");
            }
            (Answer::Load(file), false) => {
                tracing::debug!(target: "muster::boot", %mac, firmware, %file, "told again what to boot");
            }
            (Answer::Silence(why), true) => {
                tracing::info!(target: "muster::boot", %mac, %uuid, firmware, %why, "not told what to boot");
            }
            (Answer::Silence(why), false) => {
                tracing::debug!(target: "muster::boot", %mac, firmware, %why, "still not told what to boot");
            }
        }
        match answer {
            Answer::Load(name) => Some(name),
            Answer::Silence(_) => None,
        }
    }

    /// What an operator should know of a decision about an address.
    fn tell(&mut self, message: &Message, verdict: Verdict, now: Duration) {
        let mac = Mac(message.hardware);
        match verdict {
            Verdict::Give(address) if message.ciaddr.is_unspecified() => {
                tracing::info!(target: "muster::boot", %mac, %address, "leased");
            }
            Verdict::Give(address) => {
                tracing::debug!(target: "muster::boot", %mac, %address, "lease renewed")
            }
            Verdict::Offer(address) => tracing::debug!(target: "muster::boot", %mac, %address, "offered"),
            Verdict::Refuse => {
                tracing::debug!(target: "muster::boot", %mac, "asks for an address that it cannot have");
            }
            Verdict::Declined(address) => {
                tracing::warn!(
                    target: "muster::boot", %mac, %address,
                    "this address is in use by somebody else; it is not leased for an hour"
                );
            }
            Verdict::Full => {
                if self.full.is_due(now) {
                    tracing::warn!(target: "muster::boot", %mac, "every address of --dhcp-range is in use");
                }
            }
            Verdict::Elsewhere(server) => {
                if self.rivals.len() < MAX_RIVALS && self.rivals.insert(server) {
                    tracing::warn!(
                        target: "muster::boot", %server, %mac,
                        "another DHCP server gives addresses on this network; leave --dhcp-range out or stop it"
                    );
                }
            }
            Verdict::Tell | Verdict::Silence => {}
        }
    }
}

/// A name that fits into an option, and that nobody's terminal or menu obeys.
fn is_nameable(name: &str) -> bool {
    (1..=packet::MAX_VALUE).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn firmware_name(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "PXE BIOS",
        Firmware::Uefi(crate::question::Cpu::X64) => "PXE UEFI x86-64",
        Firmware::Uefi(crate::question::Cpu::Arm64) => "PXE UEFI arm64",
        Firmware::UefiHttp(crate::question::Cpu::X64) => "HTTP Boot x86-64",
        Firmware::UefiHttp(crate::question::Cpu::Arm64) => "HTTP Boot arm64",
        Firmware::Ipxe => "iPXE",
    }
}

/// A hardware address in words.
struct Mac(Hardware);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.address().iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A machine's UUID in words.
struct Uuid(Option<[u8; 16]>);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("none") };
        for (at, byte) in bytes.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Something that is said now and then at most.
#[derive(Debug, Default)]
struct Seldom(Option<Duration>);

impl Seldom {
    fn is_due(&mut self, now: Duration) -> bool {
        let due = self.0.is_none_or(|last| now.saturating_sub(last) >= SELDOM);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
