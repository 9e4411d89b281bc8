//! DHCP messages as bytes (RFC 2131, RFC 2132): read within limits, written for everybody.
//!
//! `dhcproto` walks over the options and writes ours. What is read is taken option by option from its
//! bytes: a host name that is no text, say, must not cost a machine its address.

use dhcproto::v4::borrowed::{self, DhcpOptionIterator};
use dhcproto::v4::{self, DhcpOption, HType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Encodable as _, error::EncodeError};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use thiserror::Error;

/// Where servers and relays listen.
pub(super) const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub(super) const CLIENT_PORT: u16 = 68;
/// Where a client asks whoever offered it nothing but something to boot (PXE 2.1, 2.2.5).
pub(super) const BOOT_PORT: u16 = 4_011;
/// Longest message that is read, in bytes: what an Ethernet frame carries.
pub const MAX_PACKET: usize = 1_500;
/// Header and magic cookie.
const MIN_PACKET: usize = 240;
/// Shortest message that is sent: what BOOTP relays expect (RFC 1542 2.1).
const MIN_REPLY: usize = 300;
/// Longest value that one option holds.
pub(super) const MAX_VALUE: usize = 255;
/// Longest text in `file` and `sname`, with room for the NUL.
const MAX_FILE_FIELD: usize = 127;
/// The longest hardware address there is room for.
const MAX_HARDWARE: usize = 16;
/// Ethernet (IANA "Hardware Types").
const ETHERNET: u8 = 1;

/// What a message is (RFC 2132 9.6). Those of other protocols over the same port are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client looks for servers.
    Discover,
    /// A server offers.
    Offer,
    /// A client takes an offer, or asks for more time.
    Request,
    /// A client found its address taken.
    Decline,
    /// A server gives.
    Ack,
    /// A server refuses.
    Nak,
    /// A client is done.
    Release,
    /// A client with an address asks for the rest.
    Inform,
}

/// A hardware address of any kind, as messages have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hardware {
    kind: u8,
    length: u8,
    bytes: [u8; MAX_HARDWARE],
}

impl Hardware {
    /// An Ethernet address.
    pub fn ethernet(mac: [u8; 6]) -> Self {
        let mut bytes = [0; MAX_HARDWARE];
        for (slot, byte) in bytes.iter_mut().zip(mac) {
            *slot = byte;
        }
        Self { kind: ETHERNET, length: 6, bytes }
    }

    /// As the Ethernet address of one card, where it is such.
    pub fn mac(&self) -> Option<[u8; 6]> {
        let mac: [u8; 6] = self.address().try_into().ok()?;
        let one_card = mac.first().is_some_and(|first| first & 1 == 0) && mac != [0; 6];
        (self.kind == ETHERNET && one_card).then_some(mac)
    }

    /// Its bytes.
    pub fn address(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    /// What it is an address of (IANA "Hardware Types").
    pub fn kind(&self) -> u8 {
        self.kind
    }
}

/// A message that was read: what matters here, each part of the length its kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Whether it is from a client, by its operation code.
    pub from_client: bool,
    /// Which exchange it belongs to.
    pub xid: u32,
    /// The client cannot be reached but by broadcast.
    pub broadcast: bool,
    /// The address that the client has and answers at, or 0.0.0.0.
    pub ciaddr: Ipv4Addr,
    /// The address that it is given.
    pub yiaddr: Ipv4Addr,
    /// The relay it came by, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The client's card.
    pub hardware: Hardware,
    /// The address it would like (option 50).
    pub requested: Option<Ipv4Addr>,
    /// The server it speaks of (option 54).
    pub server: Option<Ipv4Addr>,
    /// Who made the client (option 60).
    pub class: Vec<u8>,
    /// What it calls itself (option 61).
    pub id: Vec<u8>,
    /// Whose it is (option 77).
    pub user_class: Vec<u8>,
    /// Processor architectures (option 93).
    pub architectures: Vec<u16>,
    /// The machine (option 97), to be echoed.
    pub machine: Vec<u8>,
    /// What the relay noted (option 82), to be echoed.
    pub relay_notes: Vec<u8>,
}

/// Why bytes are no message that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// Too short or too long.
    #[error("{0} bytes are no DHCP message: {MIN_PACKET} to {MAX_PACKET} are read")]
    Length(usize),
    /// Another protocol.
    #[error("no DHCP message: operation or magic cookie are of another protocol")]
    Foreign,
    /// An address of hardware that is longer than its field.
    #[error("a hardware address of {0} bytes; {MAX_HARDWARE} fit")]
    Hardware(u8),
    /// No message type, or one that is not for us.
    #[error("no message type that is read")]
    Kind,
    /// An option whose value has another length than its kind.
    #[error("option {0} has a value of the wrong length")]
    Option(u8),
    /// An address of the header that no host has.
    #[error("{0} is no host's address")]
    Address(Ipv4Addr),
}

/// Reads a message.
///
/// # Errors
/// [`PacketError`] for whatever is no message of a client or server with proper options.
pub fn decode(bytes: &[u8]) -> Result<Message, PacketError> {
    let length = PacketError::Length(bytes.len());
    if bytes.len() > MAX_PACKET {
        return Err(length);
    }
    let header = borrowed::Message::new(bytes).map_err(|_| length)?;
    let cookie = bytes.get(236..MIN_PACKET).ok_or(length)?;
    let from_client = match header.opcode() {
        Opcode::BootRequest => true,
        Opcode::BootReply => false,
        Opcode::Unknown(_) => return Err(PacketError::Foreign),
    };
    if cookie != v4::MAGIC {
        return Err(PacketError::Foreign);
    }
    let mut hardware = Hardware { kind: 0, length: header.hlen(), bytes: [0; MAX_HARDWARE] };
    if usize::from(hardware.length) > MAX_HARDWARE {
        return Err(PacketError::Hardware(hardware.length));
    }
    hardware.kind = bytes.get(1).copied().unwrap_or_default();
    for (slot, byte) in hardware.bytes.iter_mut().zip(header.chaddr()) {
        *slot = *byte;
    }
    let (ciaddr, yiaddr, giaddr) = (header.ciaddr(), header.yiaddr(), header.giaddr());
    if let Some(address) = [ciaddr, yiaddr, giaddr].into_iter().find(|address| !is_host_or_none(*address)) {
        return Err(PacketError::Address(address));
    }
    let mut options = Options::read(bytes)?;
    Ok(Message {
        kind: options.kind()?,
        from_client,
        xid: header.xid(),
        broadcast: header.flags().broadcast(),
        ciaddr,
        yiaddr,
        giaddr,
        hardware,
        requested: options.address(OptionCode::RequestedIpAddress)?,
        server: options.address(OptionCode::ServerIdentifier)?,
        class: options.take(OptionCode::ClassIdentifier),
        id: options.take(OptionCode::ClientIdentifier),
        user_class: options.take(OptionCode::UserClass),
        architectures: options.architectures()?,
        machine: options.take(OptionCode::ClientMachineIdentifier),
        relay_notes: options.take(OptionCode::RelayAgentInformation),
    })
}

/// An answer is sent to these: never to a group, to this host itself or to everybody.
fn is_host_or_none(address: Ipv4Addr) -> bool {
    !(address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

/// The options that are read, each in one piece (RFC 3396).
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Those of the options field, then those that overflow into `file` and `sname` (RFC 2131 4.1).
    fn read(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut options = Self(BTreeMap::new());
        options.gather(bytes.get(MIN_PACKET..).unwrap_or_default());
        let (file, sname) = match options.take(OptionCode::OptionOverload).as_slice() {
            [] => (false, false),
            [1] => (true, false),
            [2] => (false, true),
            [3] => (true, true),
            _ => return Err(PacketError::Option(OptionCode::OptionOverload.into())),
        };
        for (overloaded, field) in [(file, 108..236), (sname, 44..108)] {
            if overloaded {
                options.gather(bytes.get(field).unwrap_or_default());
            }
        }
        Ok(options)
    }

    /// Bounded by the packet: every byte is kept once at most.
    fn gather(&mut self, field: &[u8]) {
        for option in DhcpOptionIterator::new(field) {
            self.0.entry(option.code().into()).or_default().extend_from_slice(option.data());
        }
    }

    /// An option's value; nothing when there is none.
    fn take(&mut self, code: OptionCode) -> Vec<u8> {
        self.0.remove(&code.into()).unwrap_or_default()
    }

    fn kind(&mut self) -> Result<Kind, PacketError> {
        Ok(match self.take(OptionCode::MessageType).as_slice() {
            [1] => Kind::Discover,
            [2] => Kind::Offer,
            [3] => Kind::Request,
            [4] => Kind::Decline,
            [5] => Kind::Ack,
            [6] => Kind::Nak,
            [7] => Kind::Release,
            [8] => Kind::Inform,
            _ => return Err(PacketError::Kind),
        })
    }

    fn address(&mut self, code: OptionCode) -> Result<Option<Ipv4Addr>, PacketError> {
        match self.take(code).as_slice() {
            [] => Ok(None),
            &[a, b, c, d] => Ok(Some(Ipv4Addr::new(a, b, c, d))),
            _ => Err(PacketError::Option(code.into())),
        }
    }

    fn architectures(&mut self) -> Result<Vec<u16>, PacketError> {
        let code = OptionCode::ClientSystemArchitecture;
        let value = self.take(code);
        match value.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()),
            _ => Err(PacketError::Option(code.into())),
        }
    }
}

/// What a client is to load, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BootFile<'a> {
    /// Path on the server, or URL; at most 255 bytes.
    pub name: &'a str,
    /// The server.
    pub server: Ipv4Addr,
}

/// Begins an answer to a message: what every answer has (RFC 2131 4.3.1, table 3).
pub(super) fn answer(to: &Message, kind: Kind, server: Ipv4Addr) -> v4::Message {
    let mut answer = v4::Message::default();
    answer.set_opcode(Opcode::BootReply).set_htype(HType::from(to.hardware.kind()));
    answer.set_xid(to.xid).set_chaddr(to.hardware.address()).set_giaddr(to.giaddr);
    if to.broadcast {
        answer.set_flags(v4::Flags::default().set_broadcast());
    }
    let options = answer.opts_mut();
    options.insert(DhcpOption::MessageType(match kind {
        Kind::Discover => v4::MessageType::Discover,
        Kind::Offer => v4::MessageType::Offer,
        Kind::Request => v4::MessageType::Request,
        Kind::Decline => v4::MessageType::Decline,
        Kind::Ack => v4::MessageType::Ack,
        Kind::Nak => v4::MessageType::Nak,
        Kind::Release => v4::MessageType::Release,
        Kind::Inform => v4::MessageType::Inform,
    }));
    options.insert(DhcpOption::ServerIdentifier(server));
    // RFC 3046 2.2: what a relay noted goes back to it.
    if !to.giaddr.is_unspecified() && !to.relay_notes.is_empty() && to.relay_notes.len() <= MAX_VALUE {
        let code = OptionCode::RelayAgentInformation;
        options.insert(DhcpOption::Unknown(UnknownOption::new(code, to.relay_notes.clone())));
    }
    answer
}

/// Says what to load, in every place where firmware looks: shim and GRUB read `file` and `siaddr`,
/// others the options.
pub(super) fn name_boot_file(answer: &mut v4::Message, file: BootFile<'_>) {
    let server = file.server.to_string();
    answer.set_siaddr(file.server).set_sname_str(&server);
    if file.name.len() <= MAX_FILE_FIELD {
        answer.set_fname_str(file.name);
    }
    answer.opts_mut().insert(DhcpOption::TFTPServerName(server.into_bytes()));
    answer.opts_mut().insert(DhcpOption::BootfileName(file.name.as_bytes().to_vec()));
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it is.
    pub kind: Kind,
    /// Where to.
    pub to: SocketAddrV4,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// A message to the client that `to` came from, by the way that reaches it (RFC 2131 4.1):
    /// through the relay, to the address that it has, or to everybody on the network: a client
    /// without an address hears broadcasts whether it said so or not.
    pub(super) fn new(to: &Message, kind: Kind, message: &v4::Message) -> Result<Self, EncodeError> {
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
        let way = if !to.giaddr.is_unspecified() {
            SocketAddrV4::new(to.giaddr, SERVER_PORT)
        } else if to.ciaddr.is_unspecified() || kind == Kind::Nak {
            everybody
        } else {
            SocketAddrV4::new(to.ciaddr, CLIENT_PORT)
        };
        Ok(Self { kind, to: way, bytes: encode(message)? })
    }
}

/// A message as bytes, long enough for every relay.
pub(super) fn encode(message: &v4::Message) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = message.to_vec()?;
    if bytes.len() < MIN_REPLY {
        bytes.resize(MIN_REPLY, 0);
    }
    Ok(bytes)
}
