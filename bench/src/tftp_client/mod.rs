//! TFTP clients for the suite `tftp`: one thread, any number of clients, each with a loopback
//! address and a port of its own, as machines that boot have. Every byte is held against the
//! file as it comes.
//!
//! Datagrams are taken as many at a time as there are, but one by one as a network card hands
//! them over: a client that let the kernel join them (`UDP_GRO`) would spare the server the work
//! of taking them apart.

mod transfer;

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};

pub(crate) use transfer::Terms;
use transfer::{HEAD, Next, Transfer, acknowledgement, request};

/// Datagrams that are taken in one call.
const TAKEN: usize = 64;
/// Sockets that are looked at in one turn.
const READY: usize = 64;
/// Address of the first client; the others follow.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Room for datagrams that wait: a window of 64 blocks of 8,192 bytes, as the kernel counts them,
/// several times over.
const ROOM: usize = 8 << 20;
/// Silence after which the last packet is sent again.
const SILENCE_MS: u16 = 500;
/// How often it is sent again before a client gives up.
const PATIENCE: u32 = 20;

/// What the clients are to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// Who has the file.
    pub(crate) server: SocketAddrV4,
    /// The file's name there.
    pub(crate) path: &'a str,
    /// What is in it.
    pub(crate) expected: &'a [u8],
    /// What is asked for.
    pub(crate) terms: Terms,
    /// Clients at the same time.
    pub(crate) clients: u16,
    /// How often each fetches the file.
    pub(crate) times: u16,
}

/// What came out, each byte of it right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Haul {
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Time that passed.
    pub(crate) wall: Duration,
    /// What the server agreed to.
    pub(crate) agreed: Terms,
    /// How often a block was missing between others, or nothing came for a while.
    pub(crate) accidents: u64,
}

/// Fetches the file with all clients at once, as often as was ordered.
///
/// # Errors
/// When a transfer fails, a byte is wrong, or clients were not treated alike.
pub(crate) fn fetch(order: Order<'_>) -> Result<Haul> {
    let mut clients = Clients::new(order)?;
    let begun = Instant::now();
    for _ in 0..order.times {
        clients.fetch()?;
    }
    let bytes = order.expected.len() as u64 * u64::from(order.times) * u64::from(order.clients);
    let agreed = clients.agreed.context("nothing was fetched")?;
    Ok(Haul { bytes, wall: begun.elapsed(), agreed, accidents: clients.accidents })
}

struct Clients<'a> {
    order: Order<'a>,
    epoll: Epoll,
    inbox: Inbox,
    agreed: Option<Terms>,
    accidents: u64,
}

impl<'a> Clients<'a> {
    fn new(order: Order<'a>) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot watch sockets")?;
        let inbox = Inbox::new(order.terms);
        Ok(Self { order, epoll, inbox, agreed: None, accidents: 0 })
    }

    /// Each client fetches the file once.
    fn fetch(&mut self) -> Result<()> {
        let mut sessions = Vec::new();
        for client in 0..self.order.clients {
            let mut session = Session::new(self.order, client)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, client.into());
            self.epoll.add(&session.socket, event).context("cannot watch a socket")?;
            session.say(request(self.order.path, self.order.terms))?;
            sessions.push(session);
        }
        let mut events = [EpollEvent::empty(); READY];
        let mut left = sessions.len();
        while left > 0 {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::from(SILENCE_MS)) {
                Ok(0) => {
                    self.accidents += 1;
                    sessions.iter_mut().filter(|session| !session.done).try_for_each(Session::say_again)?;
                    continue;
                }
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("cannot watch sockets"),
            };
            for event in events.iter().take(ready) {
                let place = usize::try_from(event.data()).context("an event of no socket")?;
                let session = sessions.get_mut(place).context("an event of no socket")?;
                session.listen(&mut self.inbox)?;
                if session.done {
                    self.epoll.delete(&session.socket).context("cannot leave a socket")?;
                    left -= 1;
                }
            }
        }
        sessions.iter().try_for_each(|session| self.count(&session.transfer))
    }

    fn count(&mut self, transfer: &Transfer<'_>) -> Result<()> {
        self.accidents += transfer.gaps();
        let agreed = transfer.agreed().context("a transfer ended before it began")?;
        if *self.agreed.get_or_insert(agreed) != agreed {
            bail!("the server agreed to {:?}, then to {agreed:?}", self.agreed);
        }
        Ok(())
    }
}

/// Where datagrams go. Nothing is copied out of it.
struct Inbox {
    bytes: Vec<u8>,
    /// Longest datagram; one that is longer shows by a byte too many.
    size: usize,
    heads: MultiHeaders<()>,
    lockstep: bool,
}

impl Inbox {
    fn new(terms: Terms) -> Self {
        let size = HEAD + usize::from(terms.block.max(512)) + 1;
        let heads = MultiHeaders::preallocate(TAKEN, None);
        Self { bytes: vec![0; TAKEN * size], size, heads, lockstep: terms.window == 1 }
    }

    /// Takes what has come and shows each datagram, until `show` says that it was the last.
    fn take(&mut self, socket: &UdpSocket, mut show: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        if self.lockstep {
            let length = match socket.recv(&mut self.bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                length => length.context("cannot receive")?,
            };
            return show(self.bytes.get(..length).unwrap_or_default()).map(drop);
        }
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            self.bytes.chunks_exact_mut(self.size).map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let taken = match recvmmsg(socket.as_raw_fd(), &mut self.heads, slots.iter_mut(), flags, None) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            taken => taken.context("cannot receive")?,
        };
        for datagram in taken {
            if show(datagram.iovs().next().unwrap_or_default())? {
                break;
            }
        }
        Ok(())
    }
}

/// One client and its file.
struct Session<'a> {
    server: SocketAddrV4,
    socket: UdpSocket,
    transfer: Transfer<'a>,
    /// Whether the server answered: from then on only its answering port is listened to.
    heard: bool,
    said: Vec<u8>,
    repeated: u32,
    done: bool,
}

impl<'a> Session<'a> {
    fn new(order: Order<'a>, client: u16) -> Result<Self> {
        let address = Ipv4Addr::from(u32::from(FIRST) + u32::from(client));
        let socket = UdpSocket::bind((address, 0)).with_context(|| format!("cannot bind {address}"))?;
        socket.set_nonblocking(true).context("cannot prepare a socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM)
            .context("cannot make room for a window: not root")?;
        let transfer = Transfer::new(order.expected, order.terms);
        let (server, said) = (order.server, Vec::new());
        Ok(Self { server, socket, transfer, heard: false, said, repeated: 0, done: false })
    }

    fn listen(&mut self, inbox: &mut Inbox) -> Result<()> {
        if !self.heard {
            return self.hear_first(inbox);
        }
        let Self { socket, transfer, said, repeated, done, .. } = self;
        inbox.take(socket, |packet| {
            let (block, last) = match transfer.read(packet)? {
                Next::Wait => return Ok(false),
                Next::Acknowledge(block) => (block, false),
                Next::Finish(block) => (block, true),
            };
            let answer = acknowledgement(block);
            socket.send(&answer).context("cannot send")?;
            said.clear();
            said.extend_from_slice(&answer);
            (*repeated, *done) = (0, last);
            Ok(last)
        })
    }

    /// The first packet says which port the server chose for this transfer.
    fn hear_first(&mut self, inbox: &mut Inbox) -> Result<()> {
        let (length, from) = match self.socket.recv_from(&mut inbox.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            heard => heard.context("cannot receive")?,
        };
        let SocketAddr::V4(from) = from else { bail!("an answer from {from}") };
        if from.ip() != self.server.ip() {
            bail!("an answer from {from}, not from {}", self.server.ip());
        }
        self.socket.connect(from).with_context(|| format!("cannot answer {from}"))?;
        (self.heard, self.server) = (true, from);
        let packet = inbox.bytes.get(..length).unwrap_or_default();
        match self.transfer.read(packet)? {
            Next::Wait => Ok(()),
            Next::Acknowledge(block) => self.say(acknowledgement(block).to_vec()),
            Next::Finish(block) => {
                self.done = true;
                self.say(acknowledgement(block).to_vec())
            }
        }
    }

    fn say(&mut self, packet: Vec<u8>) -> Result<()> {
        self.said = packet;
        self.send()
    }

    fn say_again(&mut self) -> Result<()> {
        self.repeated += 1;
        if self.repeated > PATIENCE {
            bail!("nothing came from {} {PATIENCE} times", self.server);
        }
        self.send()
    }

    fn send(&self) -> Result<()> {
        let sent = match self.heard {
            true => self.socket.send(&self.said),
            false => self.socket.send_to(&self.said, self.server),
        };
        sent.map(drop).with_context(|| format!("cannot send to {}", self.server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::{JoinHandle, spawn};

    const DATA: u16 = 3;

    /// A server of RFC 1350 without options, for one file and so many transfers.
    fn lockstep(file: Vec<u8>, transfers: usize) -> (SocketAddrV4, JoinHandle<()>) {
        let door = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = door.local_addr().unwrap() else { panic!() };
        let serve = move || {
            let mut packet = [0; 600];
            for _ in 0..transfers {
                let (_, client) = door.recv_from(&mut packet).unwrap();
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(client).unwrap();
                let blocks = file.len() / 512 + 1;
                for number in 1..=blocks {
                    let data = &file[(number - 1) * 512..file.len().min(number * 512)];
                    let number = u16::try_from(number).unwrap().to_be_bytes();
                    socket.send(&[&DATA.to_be_bytes()[..], &number, data].concat()).unwrap();
                    assert_eq!(socket.recv(&mut packet).unwrap(), HEAD);
                    assert_eq!(packet[..HEAD], [0, 4, number[0], number[1]]);
                }
            }
        };
        (address, spawn(serve))
    }

    #[test]
    fn clients_fetch_a_file_and_hold_every_byte_against_it() {
        let file: Vec<u8> = (0..3_000_u16).map(|at| at.to_be_bytes()[1]).collect();
        let (server, serving) = lockstep(file.clone(), 6);
        let terms = Terms { block: 512, window: 1 };
        let order = Order { server, path: "file", expected: &file, terms, clients: 3, times: 2 };
        let haul = fetch(order).unwrap();
        assert_eq!((haul.bytes, haul.agreed, haul.accidents), (18_000, terms, 0));
        serving.join().unwrap();
    }

    #[test]
    fn another_file_is_refused() {
        let (server, _serving) = lockstep(vec![1; 700], 1);
        let terms = Terms { block: 512, window: 8 };
        let order = Order { server, path: "file", expected: &[2; 700], terms, clients: 1, times: 1 };
        assert_eq!(fetch(order).unwrap_err().to_string(), "wrong bytes after byte 0");
    }
}
