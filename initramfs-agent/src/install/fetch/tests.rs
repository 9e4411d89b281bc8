//! Downloads over real TLS from servers that break off, lie and stall.

use super::*;
use crate::install::Install;
use crate::install::tests::{Fault, Server, install};
use imaging::digest::{Digest, Verifying};
use std::time::Instant;

const PATH: &str = "/api/v3/images/blobs/x";
const QUICK: Patience = Patience { silence: Duration::from_secs(1), fruitless: Duration::from_secs(5) };

/// Bytes that do not repeat.
pub(in crate::install) fn noise(length: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn ours() -> Source {
    Source { url: PATH.to_owned(), ..Source::default() }
}

fn layer(file: &[u8], sources: &[Source]) -> Layer {
    Layer {
        digest: Digest::of(file).to_string(),
        size: file.len() as u64,
        sources: sources.to_vec(),
        ..Layer::default()
    }
}

fn fetch(install: &Install, layer: &Layer, from: u64) -> (Result<Vec<u8>, String>, u64) {
    let fetcher = Fetcher::new(install, QUICK, layer.size);
    let mut bytes = Vec::new();
    let read = fetcher.open(layer, from, 0).map_err(io::Error::other);
    let read = read.and_then(|mut download| download.read_to_end(&mut bytes));
    (read.map(|_| bytes).map_err(|error| chain(&error)), fetcher.received())
}

#[test]
fn a_download_cut_at_any_bytes_goes_on_where_it_was() {
    let (server, install) = install();
    let file = noise(8_000_000, 1);
    server.give(PATH, file.clone());
    for at in noise(40, 9) {
        server.fault(Fault::Cut(65_536 + usize::from(at) * 400));
    }
    let (bytes, received) = fetch(&install, &layer(&file, &[ours()]), 0);
    assert!(bytes.unwrap() == file);
    assert!(server.heard(PATH).len() > 40);
    assert_eq!(received, file.len() as u64, "no byte came twice");
    assert!(server.sent() * 100 < file.len() * 105, "{} of {}", server.sent(), file.len());
    let heads: Vec<String> = server.heard(PATH).into_iter().map(|heard| heard.head).collect();
    assert!(heads[0].contains("authorization: Bearer mmt_job") && !heads[0].contains("range:"), "{heads:?}");
    assert!(heads[1].contains("range: bytes=") && heads[1].contains("if-range: \"0\""), "{heads:?}");
}

#[test]
fn the_rest_of_a_file_is_all_that_is_asked_for() {
    let (server, install) = install();
    let file = noise(100_000, 1);
    server.give(PATH, file.clone());
    let (bytes, received) = fetch(&install, &layer(&file, &[ours()]), 99_000);
    assert!(bytes.unwrap() == file[99_000..]);
    assert_eq!(received, 1_000);
}

#[test]
fn a_server_without_ranges_or_with_another_file_since_sends_all_again() {
    let (server, install) = install();
    let file = noise(1_000_000, 1);
    server.give(PATH, file.clone());
    for fault in [Fault::Cut(300_000), Fault::Whole, Fault::Cut(400_000), Fault::Changed] {
        server.fault(fault);
    }
    for _ in 0..2 {
        let (bytes, _) = fetch(&install, &layer(&file, &[ours()]), 0);
        assert!(bytes.unwrap() == file);
    }
    assert_eq!(server.heard(PATH).len(), 4);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let (server, install) = install();
    let file = noise(1_000, 1);
    server.give(PATH, file.clone());
    server.fault(Fault::Busy(1));
    let begun = Instant::now();
    let (bytes, _) = fetch(&install, &layer(&file, &[ours()]), 0);
    assert!(bytes.unwrap() == file);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_falls_silent_is_left_and_one_that_is_slow_is_not() {
    let (server, install) = install();
    let file = noise(300_000, 1);
    server.give(PATH, file.clone());
    server.fault(Fault::Stall(100_000));
    server.fault(Fault::Slow(2_000));
    let (bytes, received) = fetch(&install, &layer(&file, &[ours()]), 0);
    assert!(bytes.unwrap() == file);
    assert_eq!((received, server.heard(PATH).len()), (file.len() as u64, 2));
}

#[test]
fn a_file_of_another_length_is_not_taken() {
    let (server, install) = install();
    let file = noise(1_000, 1);
    server.give(PATH, file.clone());
    let mut other = layer(&file, &[ours()]);
    other.size = 999;
    let error = fetch(&install, &other, 0).0.unwrap_err();
    assert!(error.ends_with("has a file of 1000 bytes where one of 999 is wanted"), "{error}");
    server.fault(Fault::Longer);
    let error = fetch(&install, &layer(&file, &[ours()]), 0).0.unwrap_err();
    assert!(error.contains("has a file of 1010 bytes"), "{error}");
    assert_eq!(server.heard(PATH).len(), 2, "asking again would not help");
}

#[test]
fn who_has_not_got_the_file_is_passed_over() {
    let (server, install) = install();
    let file = noise(10_000, 1);
    server.give(PATH, file.clone());
    let absent = Source { url: "/api/v3/images/blobs/y".to_owned(), ..Source::default() };
    let (bytes, _) = fetch(&install, &layer(&file, &[absent.clone(), ours()]), 0);
    assert!(bytes.unwrap() == file);
    let error = fetch(&install, &layer(&file, &[absent]), 0).0.unwrap_err();
    assert!(error.starts_with("cannot download sha256:") && error.ends_with("HTTP 404 Not Found"), "{error}");
}

#[test]
fn a_server_that_never_comes_back_is_given_up() {
    let (server, install) = install();
    let file = noise(1_000, 1);
    server.stop();
    let begun = Instant::now();
    let error = fetch(&install, &layer(&file, &[ours()]), 0).0.unwrap_err();
    assert!(error.contains("refuses the connection"), "{error}");
    assert!(begun.elapsed() >= QUICK.fruitless);
}

#[test]
fn a_cancelled_run_ends_a_download_that_waits() {
    let (server, install) = install();
    server.give(PATH, noise(100_000, 1));
    server.fault(Fault::Stall(50_000));
    server.cancel();
    let fetcher = Fetcher::new(&install, Patience::default(), 100_000);
    let mut download = fetcher.open(&layer(&noise(100_000, 1), &[ours()]), 0, 0).unwrap();
    let error = download.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the run was cancelled, or a step took too long; nothing more is written");
}

#[test]
fn a_foreign_server_is_believed_by_its_ca_alone_and_never_hears_our_token() {
    let (_server, install) = install();
    let registry = Server::named(&["localhost"]);
    let file = noise(10_000, 1);
    registry.give(PATH, file.clone());
    let url = registry.url.replace("127.0.0.1", "localhost") + PATH;
    let authorization = "Basic c2VjcmV0".to_owned();
    let direct = Source { url: url.clone(), authorization, ca: registry.ca.clone() };
    let (bytes, _) = fetch(&install, &layer(&file, std::slice::from_ref(&direct)), 0);
    assert!(bytes.unwrap() == file);
    let head = &registry.heard(PATH)[0].head;
    assert!(head.contains("authorization: Basic c2VjcmV0") && !head.contains("mmt_job"), "{head}");

    for (source, words) in [
        (Source { ca: String::new(), ..direct.clone() }, "nobody vouches for https://localhost"),
        (Source { ca: "none".to_owned(), ..direct.clone() }, "holds no certificate"),
        (Source { ca: Server::start().ca.clone(), ..direct.clone() }, "not signed by a pinned key"),
        (Source { url: url.replace("https", "http"), ..direct }, "neither https:// nor /"),
    ] {
        let error = fetch(&install, &layer(&file, &[source]), 0).0.unwrap_err();
        assert!(error.contains(words) && !error.contains("c2VjcmV0"), "{error}");
    }
    assert_eq!(registry.heard(PATH).len(), 1);
    assert!(fetch(&install, &layer(&file, &[]), 0).0.unwrap_err().contains("names no place"));
}

#[test]
fn what_came_is_proven_by_its_digest_however_it_came() {
    let (server, install) = install();
    let file = noise(500_000, 1);
    server.give(PATH, file.clone());
    server.fault(Fault::Cut(200_000));
    server.fault(Fault::Flip(300_000));
    let layer = layer(&file, &[ours()]);
    let read = || {
        let fetcher = Fetcher::new(&install, QUICK, layer.size);
        let download = fetcher.open(&layer, 0, 0).unwrap();
        let mut proven = Verifying::new(download, layer.digest.parse().unwrap(), Some(layer.size));
        proven.read_to_end(&mut Vec::new())
    };
    let error = read().unwrap_err();
    assert!(error.to_string().contains(&layer.digest), "{error}");
    assert_eq!(read().unwrap(), file.len());
}
