//! A DHCPv4 server (RFC 2131) that says whatever a test wants.

use nix::sys::socket::{AddressFamily, SockaddrIn};
use nix::sys::socket::{SockFlag, SockType, bind, setsockopt, socket, sockopt};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// Message types (RFC 2132 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
/// What begins the options (RFC 2131 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// How one client is treated, from its DISCOVER to the next.
#[derive(Debug, Clone)]
pub(super) struct Lie {
    /// The address.
    pub(super) address: Ipv4Addr,
    /// How long it lasts, in seconds.
    pub(super) seconds: u32,
    /// Further options: code and body.
    pub(super) options: Vec<(u8, Vec<u8>)>,
    /// How many requests are granted before the server falls silent; none is refused at once.
    pub(super) grants: u32,
}

/// Serves for ever, one lie after the other; the last one stays.
pub(super) fn serve(link: &str, script: Vec<Lie>) {
    let socket = listen(link);
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
    let mut script = script.into_iter();
    let (mut lie, mut granted) = (None, 0);
    let mut buffer = [0; 1_500];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        let Some(question) = buffer.get(..length).filter(|question| question.len() > 240) else { continue };
        match kind(question) {
            Some(DISCOVER) => {
                (lie, granted) = (script.next().or(lie), 0);
                let lie = lie.as_ref().unwrap();
                socket.send_to(&answer(question, OFFER, lie), everybody).unwrap();
            }
            Some(REQUEST) => {
                let lie = lie.as_ref().unwrap();
                granted += 1;
                if lie.grants == 0 {
                    socket.send_to(&answer(question, NAK, lie), everybody).unwrap();
                } else if granted <= lie.grants {
                    socket.send_to(&answer(question, ACK, lie), everybody).unwrap();
                }
            }
            _ => {}
        }
    }
}

fn listen(link: &str) -> UdpSocket {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from(link)).unwrap();
    setsockopt(&socket, sockopt::Broadcast, &true).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67))).unwrap();
    UdpSocket::from(socket)
}

/// Type of a message: option 53.
fn kind(message: &[u8]) -> Option<u8> {
    let mut options = message.get(240..)?;
    while let Some((&[code, length], rest)) = options.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at_checked(length.into())?;
        if code == 53 {
            return body.first().copied();
        }
        options = rest;
    }
    None
}

fn answer(question: &[u8], kind: u8, lie: &Lie) -> Vec<u8> {
    let mut message = vec![0; 236];
    // A reply, by Ethernet, with the client's number and hardware address.
    message.splice(..4, [2, 1, 6, 0]);
    message.splice(4..8, question.get(4..8).unwrap().to_vec());
    message.splice(28..44, question.get(28..44).unwrap().to_vec());
    message.splice(16..20, lie.address.octets());
    message.extend(COOKIE);
    let server = [10, 77, 0, 1].to_vec();
    let usual = [(53, vec![kind]), (54, server), (51, lie.seconds.to_be_bytes().to_vec())];
    for (code, body) in usual.iter().chain(&lie.options) {
        message.extend([*code, u8::try_from(body.len()).unwrap()]);
        message.extend(body);
    }
    message.push(255);
    message
}
