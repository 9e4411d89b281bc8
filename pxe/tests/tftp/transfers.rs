//! Files arrive as they are.

use crate::client::{Got, Wish, fetch, fetch_from};
use crate::{answer, contents, serve};
use pxe::tftp::{Answer, Limits, Server};
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const EVERY: &str = "127.0.0.1:0";

#[test]
fn every_size_of_file_block_and_window_arrives_byte_for_byte() {
    let (_running, server) = serve(EVERY, Limits::default());
    for block in [8, 512, 1_428, 8_192] {
        for window in [1, 2, 7, 8, 64] {
            for blocks in [0, 1, 2, 7, 8, 9, 64, 65, 130] {
                for odd in [-1, 0, 1] {
                    let Ok(len) = usize::try_from(blocks * i64::try_from(block).unwrap() + odd) else {
                        continue;
                    };
                    let wish = Wish::sized(&len.to_string(), block, window);
                    let file = fetch(server, &wish).unwrap().file();
                    assert!(file == contents(len), "{len} bytes in blocks of {block}, {window} at once");
                }
            }
        }
    }
}

#[test]
fn plain_protocol_needs_no_options() {
    let (_running, server) = serve(EVERY, Limits::default());
    for len in [0, 1, 511, 512, 513, 5_120] {
        assert_eq!(fetch(server, &Wish::of(&format!("/{len}"))).unwrap().file(), contents(len));
    }
}

#[test]
fn numbers_of_blocks_go_on_after_the_last_one() {
    let (_running, server) = serve(EVERY, Limits::default());
    for (len, block, window) in [(65_536 * 8 + 3, 8, 64), (65_535 * 8, 8, 63), (131_080 * 8, 8, 8)] {
        let file = fetch(server, &Wish::sized(&len.to_string(), block, window)).unwrap().file();
        assert!(file == contents(len), "{len}");
    }
}

#[test]
fn what_is_agreed_arrives_in_one_piece_however_small_the_blocks_are() {
    let (_running, server) = serve(EVERY, Limits::default());
    for block in [8, 16, 64, 511, 512] {
        let client = UdpSocket::bind(EVERY).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let options = vec![("blksize", block), ("windowsize", 64), ("tsize", 0), ("timeout", 200)];
        let wish = Wish { path: "70000".to_owned(), options };
        client.send_to(&wish.packet(), server).unwrap();
        let mut buffer = [0; 600];
        let (len, _) = client.recv_from(&mut buffer).unwrap();
        let text = format!("\0\x06blksize\0{block}\0windowsize\x0064\0tsize\x0070000\0timeout\x00200\0");
        assert_eq!(String::from_utf8_lossy(&buffer[..len]), text);
    }
}

#[test]
fn firmware_that_asks_for_everything_is_told_what_it_gets() {
    let (_running, server) = serve(EVERY, Limits::default());
    let client = UdpSocket::bind(EVERY).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let options = vec![("tsize", 0), ("blksize", 65_464), ("timeout", 6), ("windowsize", 100), ("odd", 1)];
    let wish = Wish { path: "70000".to_owned(), options };
    client.send_to(&wish.packet(), server).unwrap();
    let mut buffer = [0; 600];
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    let text = "\0\x06tsize\x0070000\0blksize\x008192\0timeout\x006\0windowsize\x0064\0";
    assert_eq!(String::from_utf8_lossy(&buffer[..len]), text);
    assert_ne!(from.port(), server.port(), "a transfer has a port of its own");
    client.send_to(b"\0\x05\0\x08enough\0", from).unwrap();
}

#[test]
fn what_there_is_not_is_refused_in_words() {
    let (_running, server) = serve(EVERY, Limits::default());
    let got = fetch(server, &Wish::of("nothing")).unwrap();
    assert_eq!(got, Got::Error(1, "there is no nothing".to_owned()));
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    for (listening, asked) in
        [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "127.0.0.7"), ("[::]:0", "::1"), ("[::1]:0", "::1")]
    {
        let (_running, mut server) = serve(listening, Limits::default());
        server.set_ip(asked.parse().unwrap());
        let client = UdpSocket::bind((server.ip(), 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(&Wish::sized("3000", 1_024, 4).packet(), server).unwrap();
        let (_, from) = client.recv_from(&mut [0; 600]).unwrap();
        assert_eq!(from.ip(), server.ip(), "{listening}");
        client.send_to(b"\0\x05\0\0\0", from).unwrap();
        let file = fetch(server, &Wish::sized("3000", 1_024, 4)).unwrap().file();
        assert!(file == contents(3_000), "{listening} {asked}");
    }
}

#[test]
fn whoever_finds_files_hears_who_asks_and_by_which_address() {
    let server = Server::bind("0.0.0.0:0".parse().unwrap(), Limits::default()).unwrap();
    let mut address = server.address();
    address.set_ip("127.0.0.9".parse().unwrap());
    let (heard, requests) = channel();
    let _running = server
        .run(move |request, reply| {
            heard.send(request.clone()).unwrap();
            answer(request, reply);
        })
        .unwrap();
    let client = UdpSocket::bind("127.0.0.5:0").unwrap();
    let from = client.local_addr().unwrap();
    fetch_from(client, address, &Wish::of("10")).unwrap().file();
    let request = requests.recv().unwrap();
    assert_eq!((request.path.as_str(), request.client, request.reached), ("10", from, address.ip()));
}

#[test]
fn sixty_four_clients_get_a_ramdisk_at_once() {
    const LEN: usize = 30 << 20;
    let limits = Limits { per_client: 64, ..Limits::default() };
    let server = Server::bind(EVERY.parse().unwrap(), limits).unwrap();
    let address = server.address();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("initrd");
    std::fs::write(&path, contents(LEN)).unwrap();
    let open = path.clone();
    let running = server
        .run(move |_, reply| {
            let file = std::fs::File::open(&open).unwrap();
            reply.send(Answer::File(Box::new(OnDisk(file, LEN as u64))));
        })
        .unwrap();
    let clients: Vec<_> = (0..64)
        .map(|_| thread::spawn(move || fetch(address, &Wish::sized("initrd", 8_192, 8)).unwrap().file()))
        .collect();
    let expected = contents(LEN);
    for client in clients {
        assert!(client.join().unwrap() == expected);
    }
    running.stop();
}

#[test]
fn slow_finder_holds_up_nobody_else() {
    let server = Server::bind(EVERY.parse().unwrap(), Limits::default()).unwrap();
    let address = server.address();
    let (kept, late) = channel();
    let _running = server
        .run(move |request, reply| match request.path.as_str() {
            "slow" => kept.send(reply).unwrap(),
            _ => answer(request, reply),
        })
        .unwrap();
    let slow = thread::spawn(move || fetch(address, &Wish::of("slow")).unwrap().file());
    let reply = late.recv().unwrap();
    assert_eq!(fetch(address, &Wish::of("700")).unwrap().file(), contents(700));
    reply.send(Answer::File(Box::new(contents(900))));
    assert_eq!(slow.join().unwrap(), contents(900));
}

#[test]
fn clients_are_told_that_the_server_stops() {
    let (running, server) = serve(EVERY, Limits::default());
    let client = UdpSocket::bind(EVERY).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.send_to(&Wish::of("5000").packet(), server).unwrap();
    let mut buffer = [0; 600];
    client.recv_from(&mut buffer).unwrap();
    running.stop();
    let (len, _) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"\0\x05\0\0the server stops\0");
}

/// A file of the disk.
struct OnDisk(std::fs::File, u64);

impl pxe::tftp::File for OnDisk {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, position)
    }
}
