//! The listener: requests in, questions to whoever runs the server, answers to the couriers.

use super::File;
use super::admission::{Admission, Bucket, Id, Pulse, Verdict};
use super::courier::{Addressee, Courier, Inbox, Message, Order};
use super::limits::Limits;
use super::packet::{self, ReadRequest, Rejected};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tftpd::{ErrorCode, TransferOption};

/// Refusals in a second that are told without asking anybody.
const REFUSALS_PER_SECOND: u32 = 200;
/// Requests that are read before anything else is looked at.
const REQUESTS: usize = 64;
/// Bytes of requests that may wait to be read, where the system allows so many: a rack that is switched
/// on asks all at once.
const QUEUE: usize = 4 << 20;
/// Milliseconds of rest after the system could not give a packet.
const REST: u16 = 100;

/// Somebody wants a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its path: at most 255 letters, digits and `._/:-`, without `..`.
    pub path: String,
    /// Who.
    pub client: SocketAddr,
    /// By which of our addresses.
    pub reached: IpAddr,
}

/// What is said to it.
pub enum Answer {
    /// Here it is.
    File(Box<dyn File>),
    /// No, and why. The text is cut at 160 bytes.
    Refuse(ErrorCode, String),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "File({} bytes)", file.len()),
            Self::Refuse(code, text) => write!(f, "Refuse({code:?}, {text:?})"),
        }
    }
}

/// Where an answer goes. Dropped without one, the client hears nothing and asks again.
#[derive(Debug)]
pub struct Reply {
    desk: Arc<Desk>,
    id: Id,
    addressee: Addressee,
    options: Vec<TransferOption>,
    pulse: Arc<Pulse>,
    is_sent: bool,
}

impl Reply {
    /// Sends the answer. Never waits, whatever the client does.
    pub fn send(mut self, answer: Answer) {
        self.is_sent = true;
        let order = Order {
            id: self.id,
            addressee: self.addressee,
            options: std::mem::take(&mut self.options),
            pulse: Arc::clone(&self.pulse),
            answer,
        };
        // In one turn, so that an end comes after the begin.
        let admission = self.desk.admission();
        if admission.has(self.id) {
            self.desk.tell(self.id, Message::Bring(Box::new(order)));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.desk.asked.fetch_sub(1, Ordering::Relaxed);
        if !self.is_sent {
            self.desk.admission().end(self.id);
        }
    }
}

/// What all threads share.
#[derive(Debug)]
pub(super) struct Desk {
    limits: Limits,
    admission: Mutex<Admission>,
    couriers: Vec<Inbox>,
    /// Requests whose answer is waited for.
    asked: AtomicUsize,
}

impl Desk {
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the courier of a transfer.
    fn tell(&self, id: Id, message: Message) {
        let count = self.couriers.len().max(1) as u64;
        let courier = usize::try_from(id % count).ok().and_then(|at| self.couriers.get(at));
        if let Some(courier) = courier {
            courier.leave(message);
        }
    }
}

/// A bound server that hears nobody yet.
#[derive(Debug)]
pub struct Server {
    socket: UdpSocket,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Binds an address; port 0 takes any free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        setsockopt(&socket, sockopt::RcvBuf, &QUEUE)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, limits })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on threads of its own until the handle is dropped or told to stop. `open` is called for
    /// each request and must not wait: it hands the [`Reply`] to whoever finds the file.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn run(self, open: impl Fn(Request, Reply) + Send + 'static) -> io::Result<Running> {
        let couriers = (0..self.limits.threads.max(1)).map(|_| Courier::new());
        let (couriers, inboxes): (Vec<_>, Vec<_>) =
            couriers.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let now = Instant::now();
        let desk = Arc::new(Desk {
            admission: Mutex::new(Admission::new(self.limits.clone(), now)),
            limits: self.limits,
            couriers: inboxes,
            asked: AtomicUsize::new(0),
        });
        let bell =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let mut running = Running { desk: Arc::clone(&desk), bell: Arc::clone(&bell), threads: Vec::new() };
        for courier in couriers {
            let desk = Arc::clone(&desk);
            let thread = thread::Builder::new().name("tftp".into()).spawn(move || courier.run(&desk))?;
            running.threads.push(thread);
        }
        let refusals = Bucket::new(REFUSALS_PER_SECOND, now);
        let mut listener =
            Listener { socket: self.socket, desk, bell, digests: RandomState::new(), refusals, open };
        let thread = thread::Builder::new().name("tftp-listen".into()).spawn(move || listener.run())?;
        running.threads.push(thread);
        Ok(running)
    }
}

/// A server at work. It stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    desk: Arc<Desk>,
    bell: Arc<EventFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Transfers to clients that answered.
    #[must_use]
    pub fn transfers(&self) -> usize {
        self.desk.admission().answered()
    }

    /// Stops: clients are told, threads are waited for.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.bell.write(1) {
            tracing::error!(%error, "the TFTP listener cannot be stopped");
        }
        self.desk.couriers.iter().for_each(|courier| courier.leave(Message::Stop));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a TFTP thread failed");
            }
        }
    }
}

struct Listener<F> {
    socket: UdpSocket,
    desk: Arc<Desk>,
    bell: Arc<EventFd>,
    digests: RandomState,
    refusals: Bucket,
    open: F,
}

impl<F: Fn(Request, Reply)> Listener<F> {
    fn run(&mut self) {
        while self.wait(PollFlags::POLLIN, PollTimeout::NONE) {
            // Until there are no more, or it is time to look whether to stop.
            for _ in 0..REQUESTS {
                match receive(&self.socket) {
                    Ok(Received::Packet(packet, addressee)) => self.hear(&packet, addressee),
                    Ok(Received::Other) => {}
                    Ok(Received::Nothing) => break,
                    Err(error) => {
                        tracing::warn!(%error, "TFTP cannot receive requests");
                        self.wait(PollFlags::empty(), REST.into());
                        break;
                    }
                }
            }
        }
    }

    /// Waits for the socket; false when it is time to stop.
    fn wait(&self, socket: PollFlags, timeout: PollTimeout) -> bool {
        let mut waits =
            [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN), PollFd::new(self.socket.as_fd(), socket)];
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "TFTP cannot wait for requests");
                return false;
            }
        }
        let [bell, _] = &waits;
        bell.any() == Some(false)
    }

    fn hear(&mut self, packet: &[u8], addressee: Addressee) {
        let now = Instant::now();
        let ReadRequest { path, options } = match packet::request(packet) {
            Ok(request) => request,
            Err(Rejected::Noise) => return,
            Err(Rejected::Refused(code, text)) => return self.refuse(addressee, code, text, now),
        };
        if self.desk.asked.load(Ordering::Relaxed) >= self.desk.limits.asked {
            return;
        }
        let verdict = self.desk.admission().ask(addressee.client, self.digests.hash_one(packet), now);
        let (id, pulse, ended) = match verdict {
            Verdict::Begin { id, pulse, ended } => (id, pulse, ended),
            Verdict::Ignore => return,
            Verdict::Busy => {
                let text = "too many transfers at once; try again";
                return self.refuse(addressee, ErrorCode::NotDefined, text, now);
            }
        };
        ended.into_iter().for_each(|id| self.desk.tell(id, Message::End(id)));
        self.desk.asked.fetch_add(1, Ordering::Relaxed);
        let desk = Arc::clone(&self.desk);
        let reply = Reply { desk, id, addressee, options, pulse, is_sent: false };
        (self.open)(Request { path, client: addressee.client, reached: addressee.reached }, reply);
    }

    /// Says no, unless too many are told: whoever hears it may be somebody else.
    fn refuse(&mut self, addressee: Addressee, code: ErrorCode, text: &str, now: Instant) {
        if self.refusals.take(now) {
            addressee.refuse(code, text);
        }
    }
}

/// What the listener's socket had.
enum Received {
    Packet(Vec<u8>, Addressee),
    /// One to everybody, which nobody answers (RFC 1123 4.2.3.5).
    Other,
    Nothing,
}

fn receive(socket: &UdpSocket) -> io::Result<Received> {
    // One byte more, by which a longer one is known.
    let mut buffer = [0; packet::MAX_PACKET + 1];
    let mut control = cmsg_space!(in_pktinfo, in6_pktinfo);
    let (len, client, reached) = {
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let received = match recvmsg::<SockaddrStorage>(fd, &mut pieces, Some(&mut control), flags) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
        };
        let reached = received.cmsgs()?.find_map(own_address);
        (received.bytes, received.address.as_ref().and_then(client_address), reached)
    };
    let (Some(client), Some(reached)) = (client, reached) else { return Ok(Received::Other) };
    let packet = buffer.get(..len).unwrap_or_default().to_vec();
    Ok(Received::Packet(packet, Addressee { client, reached }))
}

fn client_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::new(address.ip(), address.port())));
    }
    let address = address.as_sockaddr_in6()?;
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, address.port())),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, address.port(), 0, address.scope_id())),
    })
}

/// Our address that a packet was sent to.
fn own_address(message: ControlMessageOwned) -> Option<IpAddr> {
    if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
        let [own, sent_to] =
            [info.ipi_spec_dst, info.ipi_addr].map(|ip| Ipv4Addr::from(ip.s_addr.to_ne_bytes()));
        return (own == sent_to).then_some(IpAddr::V4(own));
    }
    let ControlMessageOwned::Ipv6PacketInfo(info) = message else { return None };
    let own = Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical();
    (!own.is_multicast()).then_some(own)
}
