//! A bad network: a relay between one client at a time and the server, which loses, doubles and delays
//! packets of both directions, by a seed.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// Of a hundred packets so many are lost, so many come twice, and so many are overtaken by the next.
const TROUBLED: u64 = 5;
/// Milliseconds after which a packet goes on that none overtook.
const LATE: u8 = 3;

/// A relay at work.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    counted: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Sides {
    /// Where the client sends.
    front: UdpSocket,
    /// From where the server hears us: another one for each transfer.
    back: UdpSocket,
    server: SocketAddr,
    client: Option<SocketAddr>,
    /// The server's port of the transfer.
    peer: Option<SocketAddr>,
    random: u64,
    counted: Arc<AtomicU64>,
    /// What is to be overtaken, towards the server and towards the client.
    held: [Option<Vec<u8>>; 2],
}

#[derive(Clone, Copy, PartialEq)]
enum To {
    Server,
    Client,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr, seed: u64) -> Self {
        let [front, back] = [(); 2].map(|()| socket());
        let address = front.local_addr().unwrap();
        let (counted, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peer, client, held) = (None, None, [None, None]);
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut sides =
            Sides { front, back, server, client, peer, random, counted: Arc::clone(&counted), held };
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                sides.carry();
            }
        });
        Self { address, counted, is_over, thread: Some(thread) }
    }

    /// Packets that the server sent.
    pub(crate) fn server_packets(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Sides {
    /// Waits for packets, and carries one of each side.
    fn carry(&mut self) {
        let wait = if self.held.iter().any(Option::is_some) { LATE } else { 20 };
        let mut sides =
            [&self.front, &self.back].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        if poll(&mut sides, PollTimeout::from(wait)).unwrap() == 0 {
            for to in [To::Server, To::Client] {
                let held = self.held(to).take();
                held.into_iter().for_each(|packet| self.deliver(to, &packet));
            }
        }
        let mut buffer = [0; 2_000];
        if let Some((len, client)) = received(self.front.recv_from(&mut buffer)) {
            if buffer.starts_with(&[0, 1]) && self.client != Some(client) {
                self.client = Some(client);
                (self.back, self.peer, self.held) = (socket(), None, [None, None]);
            }
            if self.client == Some(client) {
                self.trouble(To::Server, &buffer[..len]);
            }
        }
        if let Some((len, peer)) = received(self.back.recv_from(&mut buffer)) {
            self.counted.fetch_add(1, Ordering::Relaxed);
            self.peer = Some(peer);
            self.trouble(To::Client, &buffer[..len]);
        }
    }

    fn held(&mut self, to: To) -> &mut Option<Vec<u8>> {
        let [server, client] = &mut self.held;
        if to == To::Server { server } else { client }
    }

    fn is_troubled(&mut self) -> bool {
        // Xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < TROUBLED
    }

    fn trouble(&mut self, to: To, packet: &[u8]) {
        let [is_lost, is_doubled, is_late] = [(); 3].map(|()| self.is_troubled());
        if is_lost {
            return;
        }
        if is_late && self.held(to).is_none() {
            *self.held(to) = Some(packet.to_vec());
            return;
        }
        self.deliver(to, packet);
        if is_doubled {
            self.deliver(to, packet);
        }
        if let Some(overtaken) = self.held(to).take() {
            self.deliver(to, &overtaken);
        }
    }

    fn deliver(&self, to: To, packet: &[u8]) {
        let sent = match to {
            To::Server => self.back.send_to(packet, self.peer.unwrap_or(self.server)),
            To::Client => self.client.map_or(Ok(0), |client| self.front.send_to(packet, client)),
        };
        // Whoever closed the port is done.
        assert!(sent.is_ok() || sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn received(result: io::Result<(usize, SocketAddr)>) -> Option<(usize, SocketAddr)> {
    match result {
        Ok(received) => Some(received),
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused), "{error}");
            None
        }
    }
}
