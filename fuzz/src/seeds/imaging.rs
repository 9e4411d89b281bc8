//! Small images of every kind, by hand but for what needs a compressor.

use super::{Seed, seed};
use imaging::blockmap::{Options, pack_raw};
use std::io::Cursor;

const BLOCK: usize = 512;
/// Bytes of the head of a block map, which the target makes itself.
const MAP_HEAD: usize = 48;
/// Where in the head the length of the index is.
const INDEX_LEN: usize = 12;
/// `abc`, as gzip and xz pack it.
const GZIP: [u8; 23] = *b"\x1f\x8b\x08\0\0\0\0\0\0\x03KLJ\x06\0\xc2A$5\x03\0\0\0";
const XZ: [u8; 56] =
    *b"\xfd7zXZ\0\0\x01i\"\xde6\x02\0!\x01\x16\0\0\0t/\xe5\xa3\x01\0\x02abc\0\0\xc2A$5\0\x01\x17\x03\x07\
    `\x0c\xbc\x90B\x99\r\x01\0\0\0\0\x01YZ";
/// The same as zstd packs it: one block as it is.
const ZSTD: [u8; 12] = *b"\x28\xb5\x2f\xfd\x20\x03\x19\0\0abc";

pub(super) fn all() -> Vec<Seed> {
    vec![
        seed("compress", "gzip", GZIP),
        seed("compress", "gzip-twice", [GZIP, GZIP].concat()),
        seed("compress", "xz", XZ),
        seed("compress", "zstd", ZSTD),
        seed("tar_like", "root", root()),
        seed("tar_like", "sparse", sparse()),
        seed("qcow2_header", "one-cluster", qcow2()),
        seed("oci_manifest", "manifest", manifest()),
        seed("oci_manifest", "index", index()),
        seed("block_map", "two-extents", block_map()),
    ]
}

/// An entry of a tar archive.
fn entry(kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name);
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{:011o}\x0014523000000\0        ", data.len()).as_bytes());
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let digits = format!("{sum:06o}\0 ");
    for (to, from) in block.iter_mut().skip(148).zip(digits.as_bytes()) {
        *to = *from;
    }
    block.extend(data);
    block.resize(block.len().next_multiple_of(BLOCK), 0);
    block
}

fn root() -> Vec<u8> {
    let end = vec![0; 2 * BLOCK];
    [
        entry(b'5', b"./etc/", b"", b""),
        entry(b'0', b"./etc/hostname", b"", b"host\n"),
        entry(b'2', b"./link", b"etc", b""),
        entry(b'1', b"./hard", b"./etc/hostname", b""),
        entry(b'0', b"./etc/.wh.gone", b"", b""),
        end,
    ]
    .concat()
}

fn sparse() -> Vec<u8> {
    let records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=s\n\
        28 GNU.sparse.realsize=8192\n";
    let mut data = b"1\n4096\n3\n".to_vec();
    data.resize(BLOCK, 0);
    data.extend(b"abc");
    [entry(b'x', b"pax", b"", records), entry(b'0', b"GNUSparseFile/s", b"", &data)].concat()
}

/// Version 2, clusters of 512 bytes: header, first table, second table, data.
fn qcow2() -> Vec<u8> {
    let mut header = b"QFI\xfb\0\0\0\x02".to_vec();
    header.extend([0; 12]);
    header.extend(9_u32.to_be_bytes());
    header.extend(1_024_u64.to_be_bytes());
    header.extend([0; 4]);
    header.extend(1_u32.to_be_bytes());
    header.extend(512_u64.to_be_bytes());
    let mut image = header;
    for (cluster, entry) in [(1_usize, 1_024_u64), (2, 1_536)] {
        image.resize(cluster * BLOCK, 0);
        image.extend((entry | 1 << 63).to_be_bytes());
    }
    image.resize(3 * BLOCK, 0);
    image.resize(4 * BLOCK, b'x');
    image
}

fn descriptor(media_type: &str, more: &str) -> String {
    format!(r#"{{"mediaType":"application/vnd.{media_type}","digest":"sha256:{:064}","size":7{more}}}"#, 0)
}

fn manifest() -> String {
    let config = descriptor("oci.image.config.v1+json", "");
    let layer = descriptor("oci.image.layer.v1.tar+zstd", "");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
}

fn index() -> String {
    let platform = r#","platform":{"os":"linux","architecture":"amd64","variant":"v1"}"#;
    let attestation = r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#;
    let one = descriptor("oci.image.manifest.v1+json", platform);
    let other = descriptor("oci.image.manifest.v1+json", attestation);
    format!(r#"{{"schemaVersion":2,"manifests":[{one},{other}]}}"#)
}

fn block_map() -> Vec<u8> {
    let mut image = vec![0; 5 * 64 * 1_024 + 100];
    for place in [0, 3 * 64 * 1_024, 5 * 64 * 1_024] {
        image.iter_mut().skip(place).take(3).for_each(|byte| *byte = 7);
    }
    let mut file = Vec::new();
    let options = Options { level: 3, threads: 1 };
    pack_raw(image.as_slice(), Cursor::new(Vec::new()), &mut file, options).expect("a small image packs");
    let (head, rest) = file.split_at(MAP_HEAD);
    let length = head.iter().skip(INDEX_LEN).take(2).copied();
    length.chain(rest.iter().copied()).collect()
}
