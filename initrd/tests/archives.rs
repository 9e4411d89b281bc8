//! Archives as others see them: Debian's cpio, and a hostile hand.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use initrd::cpio::{Entry, Kind, PathError, ReadError, Reader, Tree};
use initrd::segment::{Compression, compress};
use proptest::prelude::*;

const MTIME: u32 = 1_700_000_000;

fn sample() -> Vec<u8> {
    let mut tree = Tree::new();
    tree.file("init", 0o755, b"#!/bin/sh\n".as_slice()).unwrap();
    tree.file("bin/busybox", 0o755, vec![7; 4_097]).unwrap();
    tree.symlink("bin/sh", "busybox").unwrap();
    tree.directory("proc", 0o555).unwrap();
    tree.char_device("dev/console", 0o600, 5, 1).unwrap();
    tree.to_bytes(MTIME).unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ReadError> {
    Reader::new(bytes).collect()
}

#[test]
fn debian_cpio_lists_what_was_written() {
    let mut cpio = Command::new("cpio")
        .args(["--list", "--verbose", "--numeric-uid-gid"])
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cpio runs (Debian package `cpio`)");
    cpio.stdin.take().unwrap().write_all(&sample()).unwrap();
    let output = cpio.wait_with_output().unwrap();
    assert!(output.status.success());
    let listing = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<(String, String)> = listing
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].to_owned(), words[8..].join(" "))
        })
        .collect();
    let expected = [
        ("drwxr-xr-x", "bin"),
        ("-rwxr-xr-x", "bin/busybox"),
        ("lrwxrwxrwx", "bin/sh -> busybox"),
        ("drwxr-xr-x", "dev"),
        ("-rwxr-xr-x", "init"),
        ("dr-xr-xr-x", "proc"),
    ];
    let mut seen = fields.clone();
    // A device line has "5, 1" where others have one size word, which moves the name by one.
    seen.retain(|(mode, _)| !mode.starts_with('c'));
    assert_eq!(seen, expected.map(|(mode, name)| (mode.to_owned(), name.to_owned())));
    assert!(listing.lines().any(|line| line.starts_with("crw-------")
        && line.contains("5,   1")
        && line.ends_with("dev/console")));
    assert!(listing.contains("Nov 14  2023"), "{listing}");
}

#[test]
fn the_reader_gives_back_what_was_written() {
    let bytes = sample();
    let entries = read(&bytes).unwrap();
    let console = entries.iter().find(|entry| entry.path == "dev/console").unwrap();
    assert_eq!(console.kind, Kind::CharDevice { major: 5, minor: 1 });
    assert_eq!(console.permissions, 0o600);
    assert_eq!(console.mtime, MTIME);
    let busybox = entries.iter().find(|entry| entry.path == "bin/busybox").unwrap();
    assert_eq!(busybox.kind, Kind::File(&[7; 4_097]));
    let inodes: Vec<u32> = entries.iter().map(|entry| entry.inode).collect();
    assert_eq!(inodes, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_follows_the_trailer_is_left_for_the_caller() {
    let mut bytes = sample();
    let len = bytes.len();
    bytes.extend_from_slice(b"next segment");
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 7);
    assert_eq!(reader.rest(), bytes.get(len..).unwrap());
}

#[test]
fn names_that_leave_the_root_are_refused() {
    let mut tree = Tree::new();
    tree.file("abcdefg", 0o644, b"".as_slice()).unwrap();
    let bytes = tree.to_bytes(0).unwrap();
    for (name, why) in
        [("../etc/", PathError::NotPlain), ("/etc/pw", PathError::Absolute), ("a/../..", PathError::NotPlain)]
    {
        let mut hostile = bytes.clone();
        hostile[110..117].copy_from_slice(name.as_bytes());
        assert_eq!(read(&hostile), Err(ReadError::Path { offset: 0, source: why }), "{name}");
    }
}

#[test]
fn a_header_that_promises_four_gigabytes_is_cut_off() {
    let mut bytes = sample();
    // Word 7 is the file size; the first entry is a directory of size 0.
    bytes[54..62].copy_from_slice(b"ffffffff");
    assert!(matches!(read(&bytes), Err(ReadError::Truncated(_))));
}

#[test]
fn signs_and_spaces_are_not_hexadecimal() {
    let mut bytes = sample();
    bytes[6..14].copy_from_slice(b"+0000001");
    assert_eq!(read(&bytes), Err(ReadError::Number(0)));
}

#[test]
fn zstd_segments_unpack_to_the_archive() {
    let archive = sample();
    let packed = compress(&archive, Compression::Zstd).unwrap();
    assert!(packed.len() < archive.len());
    assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), archive);
}

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    // Directories are d*, files f*, so that no file is ever another's parent.
    let path = "(d[a-z0-9._-]{0,8}/){0,4}f[a-zA-Z0-9._ -]{0,12}";
    proptest::collection::btree_map(path, proptest::collection::vec(any::<u8>(), 0..300), 0..20)
}

proptest! {
    #[test]
    fn files_survive_a_round_trip(files in files(), permissions in 0_u32..0o10_000, mtime in any::<u32>()) {
        let mut tree = Tree::new();
        for (path, data) in &files {
            tree.file(path, permissions, data.as_slice()).unwrap();
        }
        let bytes = tree.to_bytes(mtime).unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        let mut back = BTreeMap::new();
        for entry in Reader::new(&bytes) {
            let entry = entry.unwrap();
            prop_assert_eq!(entry.mtime, mtime);
            if let Kind::File(data) = entry.kind {
                prop_assert_eq!(entry.permissions, permissions);
                back.insert(entry.path.to_owned(), data.to_vec());
            }
        }
        prop_assert_eq!(back, files);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let entries = Reader::new(&bytes).count();
        prop_assert!(entries <= 1 + bytes.len() / 110);
    }

    #[test]
    fn a_damaged_archive_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] = value;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let mut reader = Reader::new(&bytes);
        for entry in reader.by_ref().flatten() {
            prop_assert!(!entry.path.starts_with('/') && !entry.path.split('/').any(|name| name == ".."));
        }
        prop_assert!(reader.rest().len() <= bytes.len());
    }
}
