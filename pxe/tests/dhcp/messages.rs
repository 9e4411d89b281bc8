//! Messages of clients by hand, and answers in words.

use dhcproto::v4::{self, DhcpOption, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Encodable as _};
use pxe::dhcp::{Desk, Door, Host, Lease, Leases, Network, Reply};
use pxe::question::{Answer, Client};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Our own address.
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// An address that somebody else gave.
pub(crate) const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 150);
/// The card of most clients.
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
/// A machine, as firmware tells it.
pub(crate) const MACHINE: [u8; 17] =
    [0, 0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

pub(crate) fn network() -> Network {
    Network { interface: "br0".to_owned(), address: US, prefix: 24 }
}

/// A host that always has the same to say, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Says {
    pub(crate) answer: Answer,
    pub(crate) asked: Vec<Client>,
    pub(crate) kept: Option<Vec<Lease>>,
    pub(crate) full_disk: bool,
}

impl Says {
    pub(crate) fn load(name: &str) -> Self {
        Self { answer: Answer::Load(name.to_owned()), asked: Vec::new(), kept: None, full_disk: false }
    }

    pub(crate) fn nothing() -> Self {
        Self {
            answer: Answer::Silence("not today".to_owned()),
            asked: Vec::new(),
            kept: None,
            full_disk: false,
        }
    }
}

impl Host for Says {
    fn what_boots(&mut self, client: &Client) -> Answer {
        self.asked.push(client.clone());
        self.answer.clone()
    }

    fn keep(&mut self, leases: &[Lease]) -> std::io::Result<()> {
        if self.full_disk {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.kept = Some(leases.to_vec());
        Ok(())
    }
}

/// Beside another server.
pub(crate) fn proxy() -> Desk {
    Desk::new(network(), None, Duration::ZERO)
}

/// Instead of another server.
pub(crate) fn lab(range: &str) -> Desk {
    let leases = Leases::new(range.parse().unwrap(), network().reserved());
    Desk::new(network(), Some(leases), Duration::ZERO)
}

/// A message of a client.
#[derive(Debug, Clone)]
pub(crate) struct Draft(pub(crate) v4::Message);

impl Draft {
    pub(crate) fn new(kind: v4::MessageType, mac: [u8; 6]) -> Self {
        let mut message = v4::Message::default();
        message.set_xid(0x1234_5678).set_chaddr(&mac);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        Self(message)
    }

    pub(crate) fn discover(mac: [u8; 6]) -> Self {
        Self::new(v4::MessageType::Discover, mac)
    }

    pub(crate) fn request(mac: [u8; 6]) -> Self {
        Self::new(v4::MessageType::Request, mac)
    }

    pub(crate) fn with(mut self, option: DhcpOption) -> Self {
        self.0.opts_mut().insert(option);
        self
    }

    pub(crate) fn raw(self, code: u8, value: &[u8]) -> Self {
        self.with(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), value.to_vec())))
    }

    /// As firmware of this class and architecture says it.
    pub(crate) fn firmware(self, class: &str, architecture: u16) -> Self {
        let class = format!("{class}:Arch:{architecture:05}:UNDI:003001");
        self.raw(60, class.as_bytes()).raw(93, &architecture.to_be_bytes()).raw(97, &MACHINE)
    }

    pub(crate) fn ipxe(self) -> Self {
        self.raw(77, b"iPXE")
    }

    pub(crate) fn wants(self, address: Ipv4Addr) -> Self {
        self.with(DhcpOption::RequestedIpAddress(address))
    }

    pub(crate) fn of(self, server: Ipv4Addr) -> Self {
        self.with(DhcpOption::ServerIdentifier(server))
    }

    pub(crate) fn at(mut self, address: Ipv4Addr) -> Self {
        self.0.set_ciaddr(address);
        self
    }

    pub(crate) fn through(mut self, relay: Ipv4Addr) -> Self {
        self.0.set_giaddr(relay);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.to_vec().unwrap()
    }
}

/// A packet from nowhere to port 67.
pub(crate) fn broadcast() -> (Door, SocketAddrV4) {
    (Door::Dhcp, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68))
}

/// Says something to a desk, in the first second.
pub(crate) fn say(desk: &mut Desk, draft: &Draft, host: &mut Says) -> Option<Reply> {
    desk.receive(&draft.bytes(), broadcast(), Duration::from_millis(500), host)
}

/// What an answer has in it, by `dhcproto`'s own reader.
pub(crate) fn read(reply: &Reply) -> v4::Message {
    v4::Message::from_bytes(&reply.bytes).unwrap()
}

/// An answer in words: where it goes, the header's fields that say something, and the options.
pub(crate) fn words(reply: &Reply) -> String {
    let message = read(reply);
    let mut words = format!("{:?} to {}\n", message.opts().msg_type().unwrap(), reply.to);
    let addresses =
        [("ciaddr", message.ciaddr()), ("yiaddr", message.yiaddr()), ("siaddr", message.siaddr())];
    for (name, address) in addresses.into_iter().chain([("giaddr", message.giaddr())]) {
        if !address.is_unspecified() {
            writeln!(words, "{name} {address}").unwrap();
        }
    }
    let text = |bytes: Option<&[u8]>| {
        bytes.map(|bytes| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
    };
    for (name, field) in
        [("sname", text(reply_field(reply, 44, 64))), ("file", text(reply_field(reply, 108, 128)))]
    {
        if let Some(field) = field.filter(|field| !field.is_empty()) {
            writeln!(words, "{name} {field}").unwrap();
        }
    }
    for (code, option) in message.opts() {
        let value = option.to_vec().unwrap();
        let (_, value) = value.split_at(2);
        let shown = match value.iter().all(u8::is_ascii_graphic) {
            true => String::from_utf8_lossy(value).into_owned(),
            false => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        writeln!(words, "{} {shown}", u8::from(*code)).unwrap();
    }
    words
}

fn reply_field(reply: &Reply, at: usize, length: usize) -> Option<&[u8]> {
    reply.bytes.get(at..at + length)
}
