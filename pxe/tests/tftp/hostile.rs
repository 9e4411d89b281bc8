//! What nobody should send.

use crate::client::{Got, Wish, fetch, fetch_from};
use crate::{answer, contents, serve};
use pxe::tftp::{Limits, Server};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const EVERY: &str = "127.0.0.1:0";

fn client() -> UdpSocket {
    let client = UdpSocket::bind(EVERY).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

/// What a server says to one packet, within five seconds.
fn said(server: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
    said_within(server, packet, Duration::from_secs(5))
}

/// What it says in that time.
fn said_within(server: SocketAddr, packet: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let client = client();
    client.set_read_timeout(Some(patience)).unwrap();
    client.send_to(packet, server).unwrap();
    let mut buffer = vec![0; 2_000];
    let (len, _) = client.recv_from(&mut buffer).ok()?;
    buffer.truncate(len);
    Some(buffer)
}

fn request(opcode: u8, fields: &[&str]) -> Vec<u8> {
    let mut packet = vec![0, opcode];
    fields.iter().for_each(|field| packet.extend(field.bytes().chain([0])));
    packet
}

#[test]
fn everything_but_a_request_for_a_file_is_refused_or_not_heard() {
    let (_running, server) = serve(EVERY, Limits::default());
    let code = |packet: &[u8]| said(server, packet).map(|said| (said[1], said[3]));
    assert_eq!(code(&request(2, &["5", "octet"])), Some((5, 2)), "writing");
    for path in ["../../etc/passwd", "a/../b", "/etc/../../x", "x y", "x\\y", &"x".repeat(256)] {
        assert_eq!(code(&request(1, &[path, "octet"])), Some((5, 2)), "{path}");
    }
    assert_eq!(code(&request(1, &["5", "netascii"])), Some((5, 4)));
    let options = [["blksize", "8"]; 9];
    let nine: Vec<_> = ["5", "octet"].into_iter().chain(options.into_iter().flatten()).collect();
    assert_eq!(code(&request(1, &nine)), Some((5, 8)));
    assert_eq!(code(&request(1, &["5", "octet", "blksize", "many"])), Some((5, 8)));
    let oversize = request(1, &["5", "octet", "x", &"1".repeat(1_200)]);
    for silent in [&b""[..], b"\0", b"\0\x01", b"\0\x04\0\0", b"\0\x03\0\x01data", &[255; 500], &oversize] {
        assert_eq!(said_within(server, silent, Duration::from_millis(50)), None, "{silent:?}");
    }
    assert_eq!(fetch(server, &Wish::of("700")).unwrap().file(), contents(700));
}

#[test]
fn largest_numbers_cost_nothing() {
    let (_running, server) = serve(EVERY, Limits::default());
    let before = resident();
    let most = u64::MAX;
    let options = vec![("blksize", most), ("windowsize", most), ("tsize", most), ("timeout", most)];
    let wish = Wish { path: "5".to_owned(), options };
    let clients: Vec<_> = (0..16).map(|_| client()).collect();
    for client in &clients {
        client.send_to(&wish.packet(), server).unwrap();
        let mut buffer = [0; 600];
        let (len, _) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"\0\x06blksize\x008192\0windowsize\x0064\0tsize\x005\0");
    }
    assert!(resident() < before + (16 << 20));
}

#[test]
fn client_that_says_nothing_more_draws_six_packets() {
    let (running, server) = serve(EVERY, Limits::default());
    let stranger = client();
    stranger.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    stranger.send_to(&Wish::of("5000").packet(), server).unwrap();
    // Meanwhile another one vanishes in the middle of a window of eight.
    let other = thread::spawn(move || {
        let vanishing = client();
        vanishing.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
        vanishing.send_to(&Wish::sized("50000", 512, 8).packet(), server).unwrap();
        let (_, transfer) = vanishing.recv_from(&mut [0; 600]).unwrap();
        vanishing.send_to(&[0, 4, 0, 0], transfer).unwrap();
        count(&vanishing)
    });
    assert_eq!(count(&stranger), 6);
    assert_eq!(other.join().unwrap(), 8 + 5);
    assert_eq!(running.transfers(), 0);
}

/// Packets that come until none does.
fn count(client: &UdpSocket) -> usize {
    (0..100).take_while(|_| client.recv_from(&mut [0; 9_000]).is_ok()).count()
}

#[test]
fn request_that_comes_twice_begins_one_transfer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Server::bind(EVERY.parse().unwrap(), Limits::default()).unwrap();
    let (address, counted) = (server.address(), Arc::clone(&asked));
    let _running = server
        .run(move |request, reply| {
            counted.fetch_add(1, Ordering::Relaxed);
            answer(request, reply);
        })
        .unwrap();
    let client = client();
    for _ in 0..20 {
        client.send_to(&Wish::of("5000").packet(), address).unwrap();
    }
    client.recv_from(&mut [0; 600]).unwrap();
    // Once more when the others were surely read.
    assert_eq!(fetch(address, &Wish::of("5")).unwrap().file(), contents(5));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn acknowledgements_that_come_twice_draw_nothing_more() {
    let (_running, server) = serve(EVERY, Limits::default());
    let client = client();
    client.send_to(&Wish::sized("5000", 512, 2).packet(), server).unwrap();
    let (_, transfer) = client.recv_from(&mut [0; 600]).unwrap();
    let mut numbers = Vec::new();
    let mut buffer = [0; 600];
    for acknowledged in [0, 2, 4, 6, 8] {
        for _ in 0..3 {
            client.send_to(&[0, 4, 0, acknowledged], transfer).unwrap();
        }
        let last = acknowledged + 2;
        while numbers.last() != Some(&last) {
            client.recv_from(&mut buffer).unwrap();
            numbers.push(buffer[3]);
        }
    }
    client.send_to(&[0, 4, 0, 10], transfer).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while client.recv_from(&mut buffer).is_ok() {
        numbers.push(buffer[3]);
    }
    assert!(numbers.iter().copied().eq(1..=10) || is_late(&numbers), "{numbers:?}");
}

/// Whether a window that was acknowledged too late came again, and no block thrice, as three acknowledgements might draw it.
fn is_late(numbers: &[u8]) -> bool {
    let times = |block: u8| numbers.iter().filter(|number| **number == block).count();
    (1..=10).all(|block| times(block) > 0) && numbers.len() < 20
}

#[test]
fn word_of_a_stranger_does_not_reach_a_transfer() {
    let (_running, server) = serve(EVERY, Limits::default());
    let (good, bad) = (client(), client());
    good.send_to(&Wish::of("700").packet(), server).unwrap();
    let mut buffer = [0; 600];
    let (_, transfer) = good.recv_from(&mut buffer).unwrap();
    bad.send_to(b"\0\x05\0\0stop\0", transfer).unwrap();
    bad.send_to(&[0, 4, 0, 1], transfer).unwrap();
    good.send_to(&[0, 4, 0, 1], transfer).unwrap();
    let (len, _) = good.recv_from(&mut buffer).unwrap();
    assert_eq!((buffer[3], len), (2, 4 + 700 - 512));
}

#[test]
fn one_address_gets_sixteen_transfers() {
    let (_running, server) = serve(EVERY, Limits::default());
    let clients: Vec<_> = (0..16).map(|_| client()).collect();
    let mut buffer = [0; 600];
    for client in &clients {
        client.send_to(&Wish::of("5000").packet(), server).unwrap();
        let (_, transfer) = client.recv_from(&mut buffer).unwrap();
        client.send_to(&[0, 4, 0, 1], transfer).unwrap();
        client.recv_from(&mut buffer).unwrap();
    }
    let got = fetch(server, &Wish::of("5")).unwrap();
    assert_eq!(got, Got::Error(0, "too many transfers at once; try again".to_owned()));
    let elsewhere = UdpSocket::bind("127.0.0.2:0").unwrap();
    assert_eq!(fetch_from(elsewhere, server, &Wish::of("5")).unwrap().file(), contents(5));
}

#[test]
fn flood_under_wrong_names_costs_little_and_good_clients_are_served() {
    let (running, server) = serve(EVERY, Limits { unanswered: 100, ..Limits::default() });
    let least = Instant::now() + Duration::from_secs(3);
    // Who once ended a transfer is no stranger: what is under the flood is the server, not the first word of this client.
    assert_eq!(fetch(server, &Wish::of("1500")).unwrap().file(), contents(1_500));
    let (before, over) = (resident(), Arc::new(AtomicBool::new(false)));
    let long = thread::spawn(move || fetch(server, &Wish::sized("3000000", 512, 4)).unwrap().file());
    let flood = |part| {
        let over = Arc::clone(&over);
        thread::spawn(move || flood(server, part, &over))
    };
    let flood: Vec<_> = (1..3).map(flood).collect();
    let mut fetched = 0;
    while fetched < 10 || Instant::now() < least {
        assert_eq!(fetch(server, &Wish::of("1500")).unwrap().file(), contents(1_500));
        fetched += 1;
    }
    over.store(true, Ordering::Relaxed);
    flood.into_iter().for_each(|flood| flood.join().unwrap());
    assert!(long.join().unwrap() == contents(3_000_000));
    assert!(resident() < before + (32 << 20), "memory");
    assert!(running.transfers() <= 1);
}

/// Asks from a hundred addresses that never answer, until it is over.
fn flood(server: SocketAddr, part: u8, over: &AtomicBool) {
    let sources = (1..=100).map(|host| UdpSocket::bind((Ipv4Addr::new(127, 1, part, host), 0)).unwrap());
    let sources: Vec<_> = sources.collect();
    let packet = Wish::sized("50000", 1_428, 64).packet();
    while !over.load(Ordering::Relaxed) {
        for some in sources.chunks(10) {
            for source in some {
                source.send_to(&packet, server).unwrap();
            }
            // What is more than the kernel can queue is lost whatever we do.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
