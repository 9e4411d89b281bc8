//! Images of operating systems: compressed streams, archives, manifests and disk images.

use imaging::blockmap::{Extent, Map, MapError};
use imaging::compress::{Decoder, Format, Limits as Room, detect};
use imaging::digest::Digest;
use imaging::layer::{Limits, Unpacker, Whiteouts, inspect};
use imaging::oci::{Config, Document, MAX_LAYERS, MAX_MANIFESTS, Platform, Reference};
use imaging::qcow2::{Image, MAX_SIZE};
use std::fs::{self, File};
use std::io::{Cursor, Read};

/// Bytes of a block of tar.
const BLOCK: usize = 512;
/// Where in a header of tar its type is.
const KIND: usize = 156;
/// What may come out of a compressed stream here, so that it takes no time.
const ROOM: Room = Room { total: 1 << 20, ratio: 200, floor: 1 << 18 };
/// Most clusters of a disk image that are read.
const MAX_CLUSTERS: usize = 8;
/// Largest cluster, in bytes.
const MAX_CLUSTER: usize = 2 << 20;

/// A compressed stream: never more comes out than may, and what is not compressed comes as it is.
pub fn compress(data: &[u8]) -> bool {
    let mut decoder = Decoder::open(data, ROOM).expect("a slice can be read");
    assert_eq!(decoder.format(), detect(data));
    let mut out = Vec::new();
    let read = decoder.read_to_end(&mut out);
    assert!(out.len() as u64 <= ROOM.total);
    assert!(decoder.consumed() <= data.len() as u64);
    if decoder.format() == Format::None {
        assert!(out == data || read.is_err());
    }
    read.is_ok() && decoder.format() != Format::None
}

/// A tar archive: entries and bytes are no more than it has room for, whether it is only looked at or unpacked, and
/// nothing appears outside of the folder that it is unpacked beneath.
pub fn tar_like(data: &[u8]) -> bool {
    let fits = |entries, bytes| {
        assert!(entries <= (data.len() / BLOCK) as u64);
        assert!(bytes <= data.len() as u64);
    };
    let inspected = inspect(data, Limits::default());
    if let Ok(counts) = inspected {
        fits(counts.entries, counts.bytes);
    }
    // No input shall make a device, not even in a folder of its own.
    if data.chunks(BLOCK).any(|block| matches!(block.get(KIND), Some(b'3' | b'4'))) {
        return inspected.is_ok();
    }
    let outside = tempfile::tempdir().expect("there is a folder for what passes");
    let root = outside.path().join("root");
    fs::create_dir(&root).expect("a folder can be made in a new one");
    let opened = File::open(&root).expect("a new folder can be opened");
    let unpacked = Unpacker::beneath(opened.into(), Limits::default()).layer(data, Whiteouts::Apply);
    if let Ok(counts) = unpacked {
        fits(counts.entries, counts.bytes);
    }
    assert_eq!(fs::read_dir(outside.path()).expect("it is a folder").count(), 1);
    inspected.is_ok() && unpacked.is_ok()
}

/// A header of qcow2 with what follows: clusters come in order, inside the disk, and none is larger than it may be.
pub fn qcow2_header(data: &[u8]) -> bool {
    let Ok(mut image) = Image::open(Cursor::new(data)) else { return false };
    assert!((1..=MAX_SIZE).contains(&image.size()));
    let (mut buffer, mut behind) = (Vec::new(), 0);
    for _ in 0..MAX_CLUSTERS {
        match image.next_extent(&mut buffer) {
            Ok(Some(offset)) => {
                assert!(offset >= behind && !buffer.is_empty() && buffer.len() <= MAX_CLUSTER);
                behind = offset + buffer.len() as u64;
                assert!(behind <= image.size());
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// A manifest or index, and a reference: what is understood is within limits, and what is chosen is for the machine.
pub fn oci_manifest(data: &[u8]) -> bool {
    if let Some(reference) = str::from_utf8(data).ok().and_then(|text| text.parse::<Reference>().ok()) {
        assert_eq!(reference.to_string().parse(), Ok(reference));
    }
    let machine = Platform::linux("amd64");
    match Document::parse(None, data) {
        Ok(Document::Manifest(manifest)) => {
            assert!((1..=MAX_LAYERS).contains(&manifest.layers.len()));
            if let Ok(config) = Config::parse(data, &manifest) {
                assert_eq!(config.diff_ids().len(), manifest.layers.len());
            }
            true
        }
        Ok(Document::Index(index)) => {
            assert!(index.manifests.len() <= MAX_MANIFESTS);
            if let Ok(chosen) = index.choose(&machine) {
                let platform = chosen.platform.as_ref();
                assert!(platform.is_none_or(|p| p.os.eq_ignore_ascii_case("linux")), "{platform:?}");
            }
            true
        }
        Err(_) => false,
    }
}

/// A block map: pieces come in order, inside extents, and are all of the data; the rest are holes.
///
/// The input is the index of a block map, with its length before it (two bytes, low first), and what follows it. So
/// nobody has to guess a digest of it.
pub fn block_map(data: &[u8]) -> bool {
    let Some((&[low, high], rest)) = data.split_first_chunk() else { return false };
    let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (index, frames) = rest.split_at(length);
    let mut head = b"MUSTERBM\x01\0\0\0".to_vec();
    head.extend(u32::try_from(length).unwrap_or_default().to_le_bytes());
    head.extend(Digest::of(index).as_bytes());
    let Ok(map) = Map::read(&mut head.chain(index)) else { return false };
    let sum = |extents: &[Extent]| extents.iter().map(|extent| extent.length).sum::<u64>();
    let holes: Vec<Extent> = map.holes().collect();
    assert_eq!(sum(&holes) + sum(map.extents()), map.size());
    assert_eq!(map.frame_start(map.frames()), Some(map.file_len()));
    let (mut behind, mut written) = (0, 0);
    let unpacked = map.unpack(frames, 0, 1, |piece| {
        let length = piece.bytes.len() as u64;
        let end = piece.offset + length;
        assert!(piece.offset >= behind && length > 0);
        let inside = |extent: &Extent| extent.offset <= piece.offset && end <= extent.end();
        assert!(map.extents().iter().any(inside));
        behind = end;
        written += length;
        Ok(())
    });
    match unpacked {
        Ok(()) => assert_eq!(written, map.data()),
        Err(error) => assert!(!matches!(error, MapError::Write(_))),
    }
    true
}
