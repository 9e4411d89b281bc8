//! A client by the RFCs (1350, 2347 to 2349, 7440), as strict as boot firmware: it takes blocks in
//! order alone, and tells what it has at the end of each window and whenever something else comes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Longest silence after which it says again what it said.
const NUDGE: Duration = Duration::from_secs(2);
/// Longest transfer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest packet.
const LARGEST: usize = 65_600;

/// What it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) path: String,
    pub(crate) options: Vec<(&'static str, u64)>,
}

/// What it got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    File(Vec<u8>),
    Error(u16, String),
}

impl Got {
    pub(crate) fn file(self) -> Vec<u8> {
        match self {
            Self::File(bytes) => bytes,
            Self::Error(code, text) => panic!("refused: {code} {text}"),
        }
    }
}

impl Wish {
    /// A plain request.
    pub(crate) fn of(path: &str) -> Self {
        Self { path: path.to_owned(), options: Vec::new() }
    }

    /// With blocks of this size, and so many before an answer.
    pub(crate) fn sized(path: &str, block: u64, window: u64) -> Self {
        Self { path: path.to_owned(), options: vec![("blksize", block), ("windowsize", window)] }
    }

    /// The packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = b"\0\x01".to_vec();
        let options = self.options.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]);
        for text in [self.path.clone(), "octet".to_owned()].into_iter().chain(options) {
            packet.extend(text.bytes().chain([0]));
        }
        packet
    }
}

/// Where a client has come to.
struct Transfer {
    socket: UdpSocket,
    server: SocketAddr,
    /// The port that answers.
    peer: Option<SocketAddr>,
    request: Vec<u8>,
    block: usize,
    window: u64,
    file: Vec<u8>,
    has: u64,
    told: u64,
}

/// Fetches a file.
pub(crate) fn fetch(server: SocketAddr, wish: &Wish) -> io::Result<Got> {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    fetch_from(UdpSocket::bind(any)?, server, wish)
}

/// Fetches a file from a port of its own.
pub(crate) fn fetch_from(socket: UdpSocket, server: SocketAddr, wish: &Wish) -> io::Result<Got> {
    socket.set_read_timeout(Some(NUDGE))?;
    let (request, block, window) = (wish.packet(), 512, 1);
    let mut transfer =
        Transfer { socket, server, peer: None, request, block, window, file: Vec::new(), has: 0, told: 0 };
    transfer.run()
}

impl Transfer {
    fn run(&mut self) -> io::Result<Got> {
        let begun = Instant::now();
        let mut buffer = vec![0; LARGEST];
        self.say()?;
        loop {
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.say()?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if *self.peer.get_or_insert(from) != from {
                continue;
            }
            let (head, data) = buffer[..len].split_at(4.min(len));
            match head {
                [0, 3, high, low] if self.take(u16::from_be_bytes([*high, *low]), data)? => {
                    return Ok(Got::File(std::mem::take(&mut self.file)));
                }
                [0, 5, high, low] => {
                    let text = String::from_utf8_lossy(data).trim_end_matches('\0').to_owned();
                    return Ok(Got::Error(u16::from_be_bytes([*high, *low]), text));
                }
                [0, 6, ..] if self.has == 0 => {
                    self.agree(&buffer[2..len]);
                    self.say()?;
                }
                _ => {}
            }
        }
    }

    fn agree(&mut self, options: &[u8]) {
        let fields: Vec<_> = options.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        for pair in fields.chunks_exact(2) {
            match pair[0].as_ref() {
                "blksize" => self.block = pair[1].parse().unwrap(),
                "windowsize" => self.window = pair[1].parse().unwrap(),
                _ => {}
            }
        }
    }

    /// Takes a block; true when it was the last one.
    fn take(&mut self, number: u16, data: &[u8]) -> io::Result<bool> {
        let [.., high, low] = (self.has + 1).to_be_bytes();
        if number != u16::from_be_bytes([high, low]) {
            self.say()?;
            return Ok(false);
        }
        self.has += 1;
        self.file.extend_from_slice(data);
        let is_last = data.len() < self.block;
        if is_last || self.has - self.told >= self.window {
            self.say()?;
        }
        Ok(is_last)
    }

    /// Says what it has, or asks again.
    fn say(&mut self) -> io::Result<()> {
        let Some(peer) = self.peer else {
            return self.socket.send_to(&self.request, self.server).map(|_| ());
        };
        self.told = self.has;
        let [.., high, low] = self.has.to_be_bytes();
        self.socket.send_to(&[0, 4, high, low], peer).map(|_| ())
    }
}
