//! A thread that brings files to clients: many transfers, each with a socket of its own, one wait for
//! all of them.

use super::File;
use super::admission::{Id, Pulse};
use super::options::{self, Agreed, Ceiling};
use super::packet::{self, Word};
use super::sender::{Manner, Sender, Sent};
use super::server::{Answer, Desk};
use super::session::{Blocks, Reason, Session, Shape, Step};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{getsockopt, sockopt};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Post, channel};
use std::time::{Duration, Instant};
use tftpd::{ErrorCode, TransferOption};

/// What the kernel tells about at once.
const EVENTS: usize = 128;
/// Time between two pieces of a window.
const PAUSE: Duration = Duration::from_millis(1);
/// Tells of the bell instead of a transfer; these count from 1.
const BELL: u64 = 0;

/// What a courier is told to do.
pub(super) enum Message {
    Bring(Box<Order>),
    /// This transfer has no place any more.
    End(Id),
    Stop,
}

/// An answer and whose it is.
pub(super) struct Order {
    pub(super) id: Id,
    pub(super) addressee: Addressee,
    pub(super) options: Vec<TransferOption>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) answer: Answer,
}

/// A client, and by which of our addresses it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addressee {
    pub(super) client: SocketAddr,
    pub(super) reached: IpAddr,
}

impl Addressee {
    /// A socket for this client alone, with a port of its own (RFC 1350 4).
    pub(super) fn socket(&self) -> io::Result<UdpSocket> {
        let mut own = SocketAddr::new(self.reached, 0);
        if let (SocketAddr::V6(own), SocketAddr::V6(client)) = (&mut own, &self.client) {
            own.set_scope_id(client.scope_id());
        }
        let socket = UdpSocket::bind(own)?;
        socket.connect(self.client)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Says no.
    pub(super) fn refuse(&self, code: ErrorCode, text: &str) {
        let said = self.socket().and_then(|socket| socket.send(&packet::error(code, text)));
        if let Err(error) = said {
            tracing::debug!(client = %self.client, %error, "a TFTP client cannot be told");
        }
    }
}

/// The way to a courier.
#[derive(Debug)]
pub(super) struct Inbox {
    post: Post<Message>,
    bell: Arc<EventFd>,
}

impl Inbox {
    /// Leaves a message.
    pub(super) fn leave(&self, message: Message) {
        // Whoever is not there any more has no transfers either.
        if self.post.send(message).is_ok()
            && let Err(error) = self.bell.write(1)
            && error != Errno::EAGAIN
        {
            tracing::error!(%error, "a TFTP thread cannot be woken");
        }
    }
}

/// A thread's state.
pub(super) struct Courier {
    epoll: Epoll,
    bell: Arc<EventFd>,
    messages: Receiver<Message>,
    transfers: HashMap<Id, Transfer>,
    /// One alarm for each transfer, at or before its deadline, and some that are out of date.
    alarms: BinaryHeap<Reverse<(Instant, Id)>>,
    sender: Sender,
}

/// A transfer under way.
struct Transfer {
    socket: UdpSocket,
    client: SocketAddr,
    file: Box<dyn File>,
    session: Session,
    acceptance: Vec<u8>,
    manner: Manner,
    rest: Rest,
    /// Whether the kernel was asked to tell when the socket has room.
    awaits_room: bool,
    alarm: Instant,
    pulse: Arc<Pulse>,
    began: Instant,
    /// Whether the client answered, and has a place of those who do.
    is_answered: bool,
}

/// What is left of the blocks that are to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The socket had no room for these.
    NoRoom(Blocks),
    /// These come a little later, that the client be not flooded.
    Later(Blocks, Instant),
}

/// How a transfer ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("complete")]
    Complete,
    #[error("the client wants no more")]
    Stopped,
    #[error("{0}")]
    GivenUp(Reason),
    #[error("too many transfers at once; try again")]
    NoPlace,
    #[error("nobody listens there: {0}")]
    Nobody(io::Error),
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("the server stops")]
    OurStop,
}

impl Courier {
    /// A courier and the way to it.
    pub(super) fn new() -> io::Result<(Self, Inbox)> {
        let bell =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let (post, messages) = channel();
        let inbox = Inbox { post, bell: Arc::clone(&bell) };
        let (transfers, alarms) = (HashMap::new(), BinaryHeap::new());
        Ok((Self { epoll, bell, messages, transfers, alarms, sender: Sender::new() }, inbox))
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, desk: &Desk) {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, self.until_alarm(Instant::now())) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "TFTP cannot wait for its clients");
                    break;
                }
            };
            let now = Instant::now();
            let mut is_rung = false;
            for event in events.iter().take(count) {
                match event.data() {
                    BELL => is_rung = true,
                    id => self.on_event(id, event.events(), now, desk),
                }
            }
            self.ring_alarms(now, desk);
            if is_rung && self.read_messages(desk) {
                break;
            }
        }
        for id in self.transfers.keys().copied().collect::<Vec<_>>() {
            self.end(id, &End::OurStop, desk);
        }
    }

    fn until_alarm(&self, now: Instant) -> EpollTimeout {
        let Some(Reverse((alarm, _))) = self.alarms.peek() else { return EpollTimeout::NONE };
        // Rounded up: a wait that ends too early is a second one.
        let millis = alarm.saturating_duration_since(now).as_micros().div_ceil(1_000);
        i32::try_from(millis).ok().and_then(|millis| millis.try_into().ok()).unwrap_or(EpollTimeout::MAX)
    }

    /// Does as told; true when told to stop.
    fn read_messages(&mut self, desk: &Desk) -> bool {
        if let Err(error) = self.bell.read()
            && error != Errno::EAGAIN
        {
            tracing::error!(%error, "a TFTP thread's bell cannot be read");
        }
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Bring(order) => self.begin(*order, desk),
                // Its place is another's already.
                Message::End(id) => drop(self.transfers.remove(&id)),
                Message::Stop => return true,
            }
        }
        false
    }

    fn begin(&mut self, order: Order, desk: &Desk) {
        let Order { id, addressee, options, pulse, answer } = order;
        let file = match answer {
            Answer::File(file) => file,
            Answer::Refuse(code, text) => {
                addressee.refuse(code, &text);
                desk.admission().end(id);
                return;
            }
        };
        let now = Instant::now();
        let opened = addressee.socket().and_then(|socket| {
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, id))?;
            Ok(socket)
        });
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(client = %addressee.client, %error, "a TFTP transfer has no socket");
                desk.admission().end(id);
                return;
            }
        };
        let ceiling = Ceiling {
            block: options::largest_block(mtu(&socket, addressee.client), desk.limits().max_block),
            window: desk.limits().max_window,
        };
        let Agreed { block, window, timeout, acceptance } = options::agree(&options, file.len(), ceiling);
        let shape = Shape { len: file.len(), block, window };
        let (session, step) = Session::new(shape, timeout, acceptance.is_some(), now);
        let transfer = Transfer {
            manner: Manner::of(&socket, shape),
            socket,
            client: addressee.client,
            file,
            alarm: session.deadline(),
            session,
            acceptance: acceptance.unwrap_or_default(),
            rest: Rest::Nothing,
            awaits_room: false,
            pulse,
            began: now,
            is_answered: false,
        };
        self.alarms.push(Reverse((transfer.alarm, id)));
        self.transfers.insert(id, transfer);
        self.take(id, step, now, desk);
    }

    /// A client said something, or its socket has room again.
    fn on_event(&mut self, id: Id, events: EpollFlags, now: Instant, desk: &Desk) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if events.contains(EpollFlags::EPOLLOUT)
            && let Rest::NoRoom(blocks) = transfer.rest
        {
            self.take(id, Step::Send(blocks), now, desk);
        }
        if !events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
            return;
        }
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let mut buffer = [0; packet::MAX_PACKET];
        let word = match transfer.socket.recv(&mut buffer) {
            Ok(len) => buffer.get(..len).and_then(packet::word),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => return self.end(id, &End::Nobody(error), desk),
        };
        match word {
            None => {}
            Some(Word::Stop) => self.end(id, &End::Stopped, desk),
            Some(Word::Ack(block)) => {
                let step = transfer.session.acknowledged(block, now);
                if !transfer.is_answered && transfer.session.is_answered() {
                    transfer.is_answered = true;
                    if !desk.admission().answers(id, now) {
                        return self.end(id, &End::NoPlace, desk);
                    }
                }
                transfer.pulse.beats(now, transfer.session.is_all_sent());
                self.take(id, step, now, desk);
            }
        }
    }

    fn ring_alarms(&mut self, now: Instant, desk: &Desk) {
        while let Some(Reverse((alarm, id))) = self.alarms.peek().copied() {
            if alarm > now {
                return;
            }
            self.alarms.pop();
            let Some(transfer) = self.transfers.get_mut(&id).filter(|transfer| transfer.alarm == alarm)
            else {
                continue;
            };
            let step = match transfer.rest {
                Rest::Later(blocks, at) if at <= now => Step::Send(blocks),
                Rest::Nothing | Rest::NoRoom(_) | Rest::Later(..) => transfer.session.expired(now),
            };
            transfer.alarm = transfer.due();
            self.alarms.push(Reverse((transfer.alarm, id)));
            self.take(id, step, now, desk);
        }
    }

    /// Does what a session decided.
    fn take(&mut self, id: Id, step: Step, now: Instant, desk: &Desk) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        let end = match step {
            Step::Wait => None,
            Step::Greet => transfer.greet(),
            Step::Send(blocks) => {
                let sent = transfer.send(blocks, now, &mut self.sender);
                sent.or_else(|| transfer.listen(&self.epoll, id))
            }
            Step::Done => Some(End::Complete),
            Step::GiveUp(reason) => Some(End::GivenUp(reason)),
        };
        if let Some(end) = end {
            return self.end(id, &end, desk);
        }
        let due = transfer.due();
        if due < transfer.alarm {
            transfer.alarm = due;
            self.alarms.push(Reverse((due, id)));
        }
    }

    fn end(&mut self, id: Id, end: &End, desk: &Desk) {
        if let Some(transfer) = self.transfers.remove(&id) {
            transfer.tell(end);
        }
        desk.admission().end(id);
    }
}

impl Transfer {
    fn greet(&self) -> Option<End> {
        match self.socket.send(&self.acceptance) {
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(End::Nobody(error)),
        }
    }

    /// Sends blocks, or a piece of them.
    fn send(&mut self, blocks: Blocks, now: Instant, sender: &mut Sender) -> Option<End> {
        let blocks = match self.rest {
            Rest::NoRoom(rest) if rest.last + 1 == blocks.first => Blocks { first: rest.first, ..blocks },
            Rest::Later(rest, at) if rest.last + 1 == blocks.first => {
                self.rest = Rest::Later(Blocks { first: rest.first, ..blocks }, at);
                return None;
            }
            Rest::Nothing | Rest::NoRoom(_) | Rest::Later(..) => blocks,
        };
        let end_of_piece = blocks.first.saturating_add(u64::from(self.session.piece()) - 1);
        let piece = Blocks { last: blocks.last.min(end_of_piece), ..blocks };
        let shape = self.session.shape();
        match sender.send(&self.socket, &mut self.manner, self.file.as_mut(), shape, piece) {
            Sent::All if piece == blocks => self.rest = Rest::Nothing,
            Sent::All => {
                self.rest = Rest::Later(Blocks { first: piece.last + 1, ..blocks }, now + PAUSE);
            }
            Sent::Until(next) => self.rest = Rest::NoRoom(Blocks { first: next, ..blocks }),
            Sent::Nobody(error) => return Some(End::Nobody(error)),
            Sent::Unreadable(error) => return Some(End::Unreadable(error)),
        }
        None
    }

    /// Waits for room where there was none, and no longer.
    fn listen(&mut self, epoll: &Epoll, id: Id) -> Option<End> {
        let needs_room = matches!(self.rest, Rest::NoRoom(_));
        if needs_room == self.awaits_room {
            return None;
        }
        self.awaits_room = needs_room;
        let room = if needs_room { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        let listened = epoll.modify(&self.socket, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, id));
        listened.err().map(|error| End::Nobody(error.into()))
    }

    /// When something is to be done even if nothing is heard.
    fn due(&self) -> Instant {
        match self.rest {
            Rest::Later(_, at) => at.min(self.session.deadline()),
            Rest::Nothing | Rest::NoRoom(_) => self.session.deadline(),
        }
    }

    /// Tells the client, where that helps it, and the log.
    fn tell(&self, end: &End) {
        let is_told = match end {
            End::Complete | End::Stopped | End::Nobody(_) => false,
            // One more packet for somebody who draws none.
            End::GivenUp(Reason::NeverHeard | Reason::Silent) => false,
            End::GivenUp(Reason::Slow) | End::NoPlace | End::Unreadable(_) | End::OurStop => true,
        };
        if is_told
            && let Err(error) = self.socket.send(&packet::error(ErrorCode::NotDefined, &end.to_string()))
        {
            tracing::debug!(client = %self.client, %error, "a TFTP client cannot be told");
        }
        let (client, bytes) = (self.client, self.session.arrived());
        let (of, millis) = (self.session.shape().len, self.began.elapsed().as_millis());
        match end {
            End::Complete | End::Stopped | End::GivenUp(Reason::NeverHeard) => {
                tracing::debug!(%client, bytes, of, millis, %end, "TFTP transfer ended");
            }
            End::GivenUp(Reason::Silent | Reason::Slow)
            | End::NoPlace
            | End::Nobody(_)
            | End::Unreadable(_)
            | End::OurStop => tracing::info!(%client, bytes, of, millis, %end, "TFTP transfer ended"),
        }
    }
}

/// The largest packet on the way to a client, in bytes, where the kernel tells.
fn mtu(socket: &UdpSocket, client: SocketAddr) -> Option<usize> {
    match client {
        SocketAddr::V4(_) => {
            getsockopt(socket, sockopt::IpMtu).ok().and_then(|mtu| usize::try_from(mtu).ok())
        }
        SocketAddr::V6(_) => None,
    }
}
