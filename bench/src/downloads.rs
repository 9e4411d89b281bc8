//! Clients that download: plain HTTP/1.1 over kept connections, each a thread that reads into one
//! buffer again and again. They cost little and both sides the same.
//!
//! Each connection fetches the file once before anything is timed, and every byte of that is
//! compared. While it is timed, lengths and the ends of every read are: that costs next to nothing
//! and finds whatever is shifted, missing or twice.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Bytes of a client's buffer.
const BUFFER: usize = 256 * 1_024;
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 8 * 1_024;
/// Bytes at each end of a read that are compared while it is timed.
const ENDS: usize = 32;
/// Longest wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(60);

/// A file somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) address: SocketAddr,
    /// With the slash in front.
    pub(crate) path: &'a str,
    /// What it holds, unless each answer may be another.
    pub(crate) contents: Option<&'a [u8]>,
}

/// So many clients at once, and how often each asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) clients: usize,
    pub(crate) requests: usize,
}

/// What they got.
#[derive(Debug)]
pub(crate) struct Got<M> {
    pub(crate) bytes: u64,
    /// From the moment at which all may ask until the last has everything.
    pub(crate) took: Duration,
    /// What the meter said before and after.
    pub(crate) meter: (M, M),
}

/// Lets a crowd download; `meter` is read before and after.
///
/// # Errors
/// When an answer is not 200, broken off, or not the file.
pub(crate) fn download<M>(asked: Asked<'_>, crowd: Crowd, meter: impl Fn() -> Result<M>) -> Result<Got<M>> {
    let ready = Barrier::new(crowd.clients + 1);
    let over = Barrier::new(crowd.clients + 1);
    thread::scope(|scope| {
        let client = || -> Result<u64> {
            let client = Client::greet(asked);
            ready.wait();
            let got = client.and_then(|mut client| {
                (0..crowd.requests).try_fold(0, |sum, _| Ok(sum + client.get(asked, Look::AtEnds)?))
            });
            over.wait();
            got
        };
        let clients: Vec<_> = (0..crowd.clients).map(|_| scope.spawn(client)).collect();
        ready.wait();
        let (before, begun) = (meter(), Instant::now());
        over.wait();
        let (took, after) = (begun.elapsed(), meter());
        let mut bytes = 0;
        for client in clients {
            bytes += client.join().map_err(|_| anyhow::anyhow!("a client failed"))??;
        }
        Ok(Got { bytes, took, meter: (before?, after?) })
    })
}

/// How closely a body is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Whole,
    AtEnds,
}

struct Client {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and fetches the file once, comparing all of it.
    fn greet(asked: Asked<'_>) -> Result<Self> {
        let stream = TcpStream::connect(asked.address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", asked.path, asked.address);
        let mut client = Self { stream, request, buffer: vec![0; BUFFER] };
        client.get(asked, Look::Whole)?;
        Ok(client)
    }

    /// Fetches the file; gives back its length.
    fn get(&mut self, asked: Asked<'_>, look: Look) -> Result<u64> {
        self.stream.write_all(self.request.as_bytes())?;
        let (head, mut filled) = self.head()?;
        let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
        if let Some(contents) = asked.contents {
            ensure!(length == contents.len(), "{} has {length} bytes", asked.path);
        }
        let (mut begin, mut position) = (head, 0);
        loop {
            let part = self.buffer.get(begin..filled).unwrap_or_default();
            compare(asked, look, position, part)?;
            position += part.len();
            if position >= length {
                ensure!(position == length, "{} goes on behind its end", asked.path);
                return Ok(length as u64);
            }
            (begin, filled) = (0, self.stream.read(&mut self.buffer)?);
            ensure!(filled > 0, "{} broke off after {position} bytes", asked.path);
        }
    }

    /// Reads a head: its length, and how many bytes lie in the buffer.
    fn head(&mut self) -> Result<(usize, usize)> {
        let mut filled = 0;
        loop {
            let free = self.buffer.get_mut(filled..).unwrap_or_default();
            let count = self.stream.read(free)?;
            ensure!(count > 0, "the server hung up");
            filled += count;
            let bytes = self.buffer.get(..filled.min(MAX_HEAD)).unwrap_or_default();
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((at + 4, filled));
            }
            ensure!(filled < MAX_HEAD, "an answer's head has no end");
        }
    }
}

/// The length that the head of a 200 announces.
fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("an answer's head is no text")?;
    let (status, fields) = head.split_once("\r\n").context("an answer has no head")?;
    ensure!(status.starts_with("HTTP/1.1 200 "), "the server answered {status}");
    let length = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.context("an answer has no length")
}

/// Compares a part of a body with what the file holds there.
fn compare(asked: Asked<'_>, look: Look, position: usize, part: &[u8]) -> Result<()> {
    let Some(contents) = asked.contents else { return Ok(()) };
    let windows: [Range<usize>; 2] = match look {
        Look::Whole => [0..part.len(), 0..0],
        Look::AtEnds => [0..part.len().min(ENDS), part.len().saturating_sub(ENDS)..part.len()],
    };
    for window in windows {
        let there = contents.get(position + window.start..position + window.end);
        ensure!(there == part.get(window), "{} is another file near byte {position}", asked.path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves these answers to one connection each, one to every request.
    fn serve(answers: [&'static [u8]; 3], connections: usize) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    for answer in answers {
                        let count = stream.read(&mut [0; 1_024]).unwrap();
                        assert!(count > 0);
                        stream.write_all(answer).unwrap();
                    }
                });
            }
        });
        address
    }

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef";
    const CROWD: Crowd = Crowd { clients: 2, requests: 2 };

    fn fetch(answers: [&'static [u8]; 3]) -> Result<Got<()>> {
        let address = serve(answers, CROWD.clients);
        download(Asked { address, path: "/f", contents: Some(b"abcdef") }, CROWD, || Ok(()))
    }

    #[test]
    fn the_timed_answers_are_counted_and_the_first_is_not() {
        let got = fetch([WHOLE, WHOLE, WHOLE]).unwrap();
        assert_eq!(got.bytes, 2 * 2 * 6);
    }

    #[test]
    fn an_answer_that_is_not_the_file_counts_for_nothing() {
        let other: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdeX";
        let short: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
        let absent: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let broken: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc";
        for (answers, reason) in [
            ([WHOLE, WHOLE, other], "/f is another file near byte 0"),
            ([other, WHOLE, WHOLE], "/f is another file near byte 0"),
            ([short, WHOLE, WHOLE], "/f has 5 bytes"),
            ([WHOLE, absent, WHOLE], "the server answered HTTP/1.1 404 Not Found"),
            ([WHOLE, WHOLE, broken], "/f broke off after 3 bytes"),
        ] {
            assert_eq!(fetch(answers).unwrap_err().to_string(), reason);
        }
    }
}
