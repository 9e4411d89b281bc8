//! Archives of real `tar`, and of our own where no program would write them.

mod hostile;
mod programs;
mod whiteouts;

use super::*;
use crate::digest::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path as FilePath;
use std::process::Command;
use tempfile::TempDir;

const BLOCK: usize = archive::BLOCK;

/// A folder to unpack beneath, in another one that nothing may touch.
struct Target {
    _outside: TempDir,
    root: std::path::PathBuf,
    unpacker: Unpacker,
}

impl Target {
    fn new() -> Self {
        Self::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir(&root).unwrap();
        let unpacker = Unpacker::beneath(fs::File::open(&root).unwrap().into(), limits);
        Self { _outside: outside, root, unpacker }
    }

    fn apply(&mut self, archive: &[u8]) -> Result<Counts, String> {
        self.unpacker.layer(archive, Whiteouts::Apply).map_err(|error| error.to_string())
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn names(&self) -> Vec<String> {
        listed(&self.root).into_keys().filter(|name| !name.is_empty()).collect()
    }
}

/// Everything there is to know of each file below a folder; contents as digests, and hard links by the first name.
fn listed(root: &FilePath) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut links = BTreeMap::new();
    list(root, root, &mut found, &mut links);
    found
}

fn list(
    root: &FilePath,
    path: &FilePath,
    found: &mut BTreeMap<String, String>,
    links: &mut BTreeMap<u64, String>,
) {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let what = if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap())
    } else if kind.is_dir() {
        "folder".to_owned()
    } else if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
        format!("{kind:?} {}", meta.rdev())
    } else {
        format!("file {} {:?}", meta.len(), Digest::of(&fs::read(path).unwrap()))
    };
    let first = if meta.nlink() > 1 && !kind.is_dir() {
        links.entry(meta.ino()).or_insert_with(|| name.clone()).clone()
    } else {
        String::new()
    };
    let time = (meta.mtime(), meta.mtime_nsec());
    let about = format!(
        "{what} {:o} {}:{} {time:?} {first} {:?}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        attributes(path)
    );
    found.insert(name, about);
    if kind.is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        inside.sort();
        inside.iter().for_each(|path| list(root, path, found, links));
    }
}

fn attributes(path: &FilePath) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4_096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or_default();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = vec![0; 4_096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value[..length].to_vec()
    };
    names.split_terminator('\0').map(|name| (name.to_owned(), value(name))).collect()
}

/// Whether tests may make devices and give files away.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let said = "not root: owners, devices and privileged attributes are not looked at";
        writeln!(io::stderr(), "{said}").unwrap();
    }
    is_root
}

fn run(folder: &FilePath, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

/// An archive made by hand.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(kind: u8, name: &str, size: usize, link: &str) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"00000000144\0");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(329, b"0000001\0");
        put(337, b"0000003\0");
        block
    }

    /// Adds a header after setting its sum.
    fn raw(mut self, mut block: [u8; BLOCK], data: &[u8]) -> Self {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(block);
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn entry(self, kind: u8, name: &str, data: &[u8]) -> Self {
        self.raw(Self::header(kind, name, data.len(), ""), data)
    }

    fn file(self, name: &str, text: &str) -> Self {
        self.entry(b'0', name, text.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.entry(b'5', name, b"")
    }

    fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.raw(Self::header(kind, name, 0, target), b"")
    }

    /// An extended header for what follows.
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let records: Vec<u8> =
            records.iter().flat_map(|(key, value)| record(key, value.as_bytes())).collect();
        self.entry(b'x', "pax", &records)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
