//! The DHCPv6 client of one link (RFC 8415), started when a router's advertisement asks for it.
//!
//! 1. SOLICIT, and the first ADVERTISE that offers an address is taken: a machine that boots
//!    wants an address, not the best one.
//! 2. REQUEST to that server; its REPLY is the lease.
//! 3. RENEW at T1, REBIND at T2, and from the start when nobody answers until the lease ends.
//!
//! Where routers make the addresses, INFORMATION-REQUEST asks for name servers alone.
//!
//! `mozim` has a DHCPv6 client, but it cannot ask for name servers alone, and what reads the
//! answers is not ours to test. `schedule` holds what is decided by time alone.

pub(crate) mod message;
mod schedule;

use super::dhcp::{ATTEMPT, Asker, DhcpProblem, PAUSE, Report};
use super::lease::Lease;
use message::{Answer, Kind, MAX_ANSWER, Question};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, socket, sockopt};
use protocol::net::is_link_local_v6;
use ring::rand::{SecureRandom, SystemRandom};
use schedule::{Backoff, Lifetime};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// All relay agents and servers on the link (RFC 8415 7.1).
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Ports (RFC 8415 7.2).
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Name servers: the router's O flag.
    Names,
    /// An address and name servers: the router's M flag.
    Address,
}

/// Asks for ever; ends when nobody listens to its reports any more.
pub(super) async fn run(asker: Asker, want: Want, reports: mpsc::Sender<(u32, Report)>) {
    let mut waited = Duration::ZERO;
    // RFC 8415 18.2.1: not all machines of a rack at once.
    sleep(Duration::from_millis(u64::from(random16() % 1_000))).await;
    loop {
        let ended = match Client::open(&asker) {
            Ok(mut client) => match want {
                Want::Address => client.hold(&reports).await,
                Want::Names => client.keep_informed(&reports).await,
            },
            Err(error) => Ended::Failed(error),
        };
        let (link, mac) = (asker.name.clone(), asker.mac);
        let report = match ended {
            Ended::Unheard => return,
            Ended::Expired(address) => {
                waited = Duration::ZERO;
                Report::Expired(IpAddr::V6(address))
            }
            Ended::Silence => {
                waited += ATTEMPT;
                Report::Problem(DhcpProblem::Silence6 { link, mac, waited })
            }
            Ended::Refused(code, words) => {
                sleep(PAUSE).await;
                Report::Problem(DhcpProblem::Refused6 { link, mac, code, words })
            }
            Ended::Failed(error) => {
                sleep(PAUSE).await;
                Report::Problem(DhcpProblem::Socket6 { link, kind: error.kind() })
            }
        };
        if reports.send((asker.index, report)).await.is_err() {
            return;
        }
    }
}

/// How one attempt ended.
enum Ended {
    Silence,
    Refused(u16, String),
    Expired(Ipv6Addr),
    Failed(io::Error),
    Unheard,
}

/// Why an exchange has no answer.
enum NoAnswer {
    /// Nobody answered in time.
    Late,
    /// Nothing can be sent or received.
    Broken(io::Error),
}

impl From<NoAnswer> for Ended {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Late => Self::Silence,
            NoAnswer::Broken(error) => Self::Failed(error),
        }
    }
}

struct Client<'a> {
    asker: &'a Asker,
    socket: UdpSocket,
    identifier: Vec<u8>,
    association: u32,
}

impl<'a> Client<'a> {
    fn open(asker: &'a Asker) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
        // Bound to its link, so that every link can have a client on the same port.
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(&asker.name))?;
        let here = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, CLIENT_PORT, 0, 0);
        bind(socket.as_raw_fd(), &SockaddrIn6::from(here))?;
        let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
        // DUID-LL (RFC 8415 11.4) for Ethernet: the same at every boot, without a disk.
        let mut identifier = vec![0, 3, 0, 1];
        identifier.extend(asker.mac.0);
        let [_, _, a, b, c, d] = asker.mac.0;
        Ok(Self { asker, socket, identifier, association: u32::from_be_bytes([a, b, c, d]) })
    }

    /// Gets an address and keeps it until nobody renews it any more.
    async fn hold(&mut self, reports: &mpsc::Sender<(u32, Report)>) -> Ended {
        let mut reply = match self.acquire().await {
            Ok(reply) => reply,
            Err(ended) => return ended,
        };
        loop {
            let Some((lease, lifetime)) = self.lease(&reply) else {
                return Ended::Refused(0, "no usable address".to_owned());
            };
            let IpAddr::V6(held) = lease.address else { return Ended::Silence };
            if reports.send((self.asker.index, Report::Lease(lease))).await.is_err() {
                return Ended::Unheard;
            }
            reply = match self.renew(held, &reply.server, lifetime).await {
                Some(reply) => reply,
                None => return Ended::Expired(held),
            };
        }
    }

    fn lease(&self, reply: &Answer) -> Option<(Lease, Lifetime)> {
        reply.given.iter().find_map(|given| {
            let lease = Lease::from_dhcp6(&self.asker.name, self.asker.mac, given, reply)?;
            Some((lease, Lifetime::new(reply, given, Instant::now())))
        })
    }

    /// SOLICIT and REQUEST.
    async fn acquire(&self) -> Result<Answer, Ended> {
        let end = Instant::now() + ATTEMPT;
        let mut refusal = None;
        let solicit = Asked { kind: Kind::Solicit, server: None, address: None };
        let mut offers = |answer: &Answer| {
            refusal = refusal.take().or_else(|| answer.refusal.clone());
            answer.given.iter().any(|given| !is_link_local_v6(IpAddr::V6(given.address)))
        };
        let offer = match self.exchange(solicit, Backoff::SOLICIT, end, &mut offers).await {
            Ok(offer) => offer,
            // Somebody answered, if only to say no.
            Err(NoAnswer::Late) => {
                return Err(refusal.map_or(Ended::Silence, |(code, words)| Ended::Refused(code, words)));
            }
            Err(reason) => return Err(reason.into()),
        };
        let address = offer.given.first().map(|given| given.address);
        let request = Asked { kind: Kind::Request, server: Some(&offer.server), address };
        let reply = self.exchange(request, Backoff::REQUEST, end, &mut |_| true).await?;
        match &reply.refusal {
            Some((code, words)) if reply.given.is_empty() => Err(Ended::Refused(*code, words.clone())),
            Some(_) | None => Ok(reply),
        }
    }

    /// Waits for T1, then renews and rebinds. `None` when the address may no longer be used.
    async fn renew(&self, held: Ipv6Addr, server: &[u8], lifetime: Lifetime) -> Option<Answer> {
        match lifetime.renew_at {
            Some(time) => sleep_until(time).await,
            // Given for ever.
            None => std::future::pending().await,
        }
        let stages = [
            (Asked { kind: Kind::Renew, server: Some(server), address: Some(held) }, lifetime.rebind_at),
            (Asked { kind: Kind::Rebind, server: None, address: Some(held) }, lifetime.ends_at),
        ];
        for (asked, end) in stages {
            match self.exchange(asked, Backoff::RENEW, end, &mut |_| true).await {
                Ok(reply) if reply.given.iter().any(|given| given.address == held) => return Some(reply),
                // The server knows no such lease, or takes it back.
                Ok(_) => return None,
                Err(NoAnswer::Late) => {}
                Err(NoAnswer::Broken(_)) => {
                    // The link may be back before the lease ends.
                    sleep_until(end).await;
                }
            }
        }
        None
    }

    /// Asks for name servers, and again when what was told is old.
    async fn keep_informed(&mut self, reports: &mpsc::Sender<(u32, Report)>) -> Ended {
        loop {
            let end = Instant::now() + ATTEMPT;
            let asked = Asked { kind: Kind::Information, server: None, address: None };
            let reply = match self.exchange(asked, Backoff::INFORMATION, end, &mut |_| true).await {
                Ok(reply) => reply,
                Err(reason) => return reason.into(),
            };
            let servers = reply.dns.iter().copied().map(IpAddr::V6).collect();
            let names = Report::Names((servers, reply.search));
            if reports.send((self.asker.index, names)).await.is_err() {
                return Ended::Unheard;
            }
            sleep(schedule::refresh_after(reply.refresh)).await;
        }
    }

    /// Sends a question, again and again, until an answer is good enough or the time is up.
    async fn exchange(
        &self,
        asked: Asked<'_>,
        backoff: Backoff,
        end: Instant,
        good: &mut impl FnMut(&Answer) -> bool,
    ) -> Result<Answer, NoAnswer> {
        let begun = Instant::now();
        let [a, b] = random16().to_be_bytes();
        let [c, _] = random16().to_be_bytes();
        let servers = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, self.asker.index);
        let mut pause = backoff.first(random16());
        while Instant::now() < end {
            let question = Question {
                kind: asked.kind,
                transaction: [a, b, c],
                client: &self.identifier,
                server: asked.server,
                association: (asked.kind != Kind::Information).then_some(self.association),
                address: asked.address,
                elapsed: u16::try_from(begun.elapsed().as_millis() / 10).unwrap_or(u16::MAX),
            };
            self.socket.send_to(&question.compose(), servers).await.map_err(NoAnswer::Broken)?;
            let again = (Instant::now() + pause).min(end);
            while let Ok(received) = timeout_at(again, self.receive()).await {
                let answer = received.map_err(NoAnswer::Broken)?;
                if let Some(answer) = answer.filter(|answer| answer.answers(&question) && good(answer)) {
                    return Ok(answer);
                }
            }
            pause = backoff.next(pause, random16());
        }
        Err(NoAnswer::Late)
    }

    /// One message; `None` when it is no DHCPv6 message, which anybody may send.
    async fn receive(&self) -> io::Result<Option<Answer>> {
        // One byte more than the limit, so that the parser sees what is too long.
        let mut buffer = [0; MAX_ANSWER + 1];
        let length = self.socket.recv(&mut buffer).await?;
        Ok(Answer::parse(buffer.get(..length).unwrap_or_default()).ok())
    }
}

/// What differs between the questions of an exchange.
#[derive(Clone, Copy)]
struct Asked<'a> {
    kind: Kind,
    server: Option<&'a [u8]>,
    address: Option<Ipv6Addr>,
}

/// Sixteen random bits. Without randomness the middle of every interval will do, as for retries.
fn random16() -> u16 {
    let mut bytes = [0; 2];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        Err(_) => 32_768,
    }
}
