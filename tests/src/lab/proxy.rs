//! An HTTP proxy that knows one method, CONNECT (RFC 9110 9.3.6), and has moods.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::door::{Door, join};
use super::{HOST, Lab};

/// Largest head of a request that is read, in bytes.
const MAX_HEAD: u64 = 8 * 1_024;
/// Longest silence of a client before it has asked.
const IDLE: Duration = Duration::from_secs(20);

/// How a proxy takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// Carries them.
    Good,
    /// Wants user name and password, and takes these two joined by a colon in base64.
    Wants(&'static str),
    /// Forbids the target.
    Forbids,
    /// Answers in another language.
    Babbles,
}

#[derive(Debug)]
struct Desk {
    temper: Temper,
    asked: Vec<String>,
}

/// A proxy in a lab whose every tunnel leads to one port of the host, whatever it was asked for:
/// the machines behind it have no other way there.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    door: Option<Door>,
}

impl Proxy {
    /// Starts one at a free port of the lab.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn start(lab: &Lab, target: SocketAddr, temper: Temper) -> Result<Self> {
        let desk = Arc::new(Mutex::new(Desk { temper, asked: Vec::new() }));
        let mut proxy = Self { address: SocketAddr::from((HOST, 0)), target, desk, door: None };
        proxy.open(lab)?;
        proxy.address = proxy.door.as_ref().context("no door")?.address()?;
        Ok(proxy)
    }

    /// Nobody listens any more, and open tunnels break.
    pub fn close(&mut self) {
        self.door = None;
    }

    /// Takes connections again, at the same address.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn open(&mut self, lab: &Lab) -> Result<()> {
        let (desk, target) = (Arc::clone(&self.desk), self.target);
        let serve = move |stream: TcpStream| serve(stream, &desk, target);
        self.door = Some(Door::open(lab, self.address, Arc::new(serve))?);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes its temper.
    ///
    /// # Errors
    /// Never, unless one of its threads panicked.
    pub fn set_temper(&self, temper: Temper) -> Result<()> {
        self.desk.lock().map_err(|_| anyhow!("a connection's thread panicked"))?.temper = temper;
        Ok(())
    }

    /// First lines of the requests it got: `CONNECT 10.0.0.1:8092 HTTP/1.1`.
    ///
    /// # Errors
    /// Never, unless one of its threads panicked.
    pub fn asked(&self) -> Result<Vec<String>> {
        Ok(self.desk.lock().map_err(|_| anyhow!("a connection's thread panicked"))?.asked.clone())
    }
}

fn serve(mut stream: TcpStream, desk: &Mutex<Desk>, target: SocketAddr) -> Result<()> {
    stream.set_read_timeout(Some(IDLE)).context("cannot set a time limit")?;
    let head = read_head(&stream)?;
    let first = head.first().context("an empty request")?.clone();
    let temper = {
        let mut desk = desk.lock().map_err(|_| anyhow!("a connection's thread panicked"))?;
        desk.asked.push(first.clone());
        desk.temper
    };
    let granted = match temper {
        Temper::Good => true,
        Temper::Wants(secret) => head.iter().any(|line| {
            line.split_once(": ").is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("proxy-authorization") && value == format!("Basic {secret}")
            })
        }),
        Temper::Forbids | Temper::Babbles => false,
    };
    if !first.starts_with("CONNECT ") {
        return say(&mut stream, "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
    }
    if granted {
        let server = TcpStream::connect(target).with_context(|| format!("cannot reach {target}"))?;
        say(&mut stream, "HTTP/1.1 200 Connection established\r\n\r\n")?;
        stream.set_read_timeout(None).context("cannot lift a time limit")?;
        return join(&stream, &server);
    }
    say(
        &mut stream,
        match temper {
            Temper::Good | Temper::Forbids => {
                "HTTP/1.1 403 Blocked by policy 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
            Temper::Wants(_) => {
                "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"lab\"\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
            }
            Temper::Babbles => "220 mail.lab ESMTP at your service\r\n",
        },
    )
}

fn say(stream: &mut TcpStream, words: &str) -> Result<()> {
    stream.write_all(words.as_bytes()).context("the client broke off")
}

/// The request's lines up to the empty one. Nothing is read beyond it: a client that waits for
/// the answer has sent nothing more.
fn read_head(stream: &TcpStream) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_HEAD));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).context("the client broke off")? == 0 {
            bail!("a request without an end");
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line.to_owned());
    }
}
