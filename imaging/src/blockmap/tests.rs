use super::*;
use crate::digest::{Digest, Verifying};
use crate::qcow2::Image;
use proptest::prelude::*;
use std::io::{Cursor, Read};

const ONE: Options = Options { level: 1, threads: 1 };
const THREE: Options = Options { level: 1, threads: 3 };
const BLOCK_LEN: usize = 64 * 1_024;
const FRAME_LEN: usize = 2 * 1_024 * 1_024;

/// Bytes that do not pack to nothing.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&(state & 0x3f3f_3f3f | 0x4040_4040).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An image with data at some places.
fn image(size: usize, parts: &[(usize, usize)]) -> Vec<u8> {
    let mut image = vec![0; size];
    for (number, &(offset, length)) in parts.iter().enumerate() {
        image[offset..offset + length].copy_from_slice(&noise(length, u32::try_from(number).unwrap() + 7));
    }
    image
}

fn packed(image: &[u8], options: Options) -> (Vec<u8>, Summary) {
    let mut out = Vec::new();
    let summary = pack_raw(image, Cursor::new(Vec::new()), &mut out, options).unwrap();
    (out, summary)
}

/// What comes out when it is written from a frame on, over noise where the holes were zeroed before.
fn unpacked(file: &[u8], first: usize, threads: usize) -> Result<Vec<u8>, MapError> {
    let map = Map::read(&mut Cursor::new(file))?;
    let mut disk = noise(usize::try_from(map.size()).unwrap(), 99);
    for hole in map.holes() {
        let (begin, end) = (usize::try_from(hole.offset).unwrap(), usize::try_from(hole.end()).unwrap());
        disk[begin..end].fill(0);
    }
    let start = usize::try_from(map.frame_start(first).unwrap()).unwrap();
    let (mut behind, mut next) = (0, first);
    map.unpack(&file[start..], first, threads, |piece| {
        assert_eq!(piece.bytes.as_ptr().align_offset(4_096), 0);
        assert!(piece.offset >= behind && !piece.bytes.is_empty());
        assert_eq!(piece.frame, next);
        behind = piece.offset + piece.bytes.len() as u64;
        next += usize::from(piece.ends_frame);
        let begin = usize::try_from(piece.offset).unwrap();
        disk[begin..begin + piece.bytes.len()].copy_from_slice(piece.bytes);
        Ok(())
    })?;
    assert_eq!(next, map.frames());
    Ok(disk)
}

fn text(error: &MapError) -> String {
    error.to_string()
}

#[test]
fn images_come_out_as_they_went_in() {
    let end = 9 * FRAME_LEN + 777;
    let sizes = [1, 511, 512, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, FRAME_LEN, 3 * FRAME_LEN + 5];
    let mut images: Vec<Vec<u8>> = sizes.iter().flat_map(|&size| [vec![0; size], noise(size, 3)]).collect();
    images.push(image(end, &[(0, 446), (BLOCK_LEN * 3 - 1, 2), (FRAME_LEN, 3 * FRAME_LEN), (end - 1, 1)]));
    for image in images {
        let (file, summary) = packed(&image, THREE);
        assert_eq!(summary.digest, Digest::of(&file));
        assert_eq!((summary.length, summary.size), (file.len() as u64, image.len() as u64));
        for threads in [1, 4] {
            assert!(unpacked(&file, 0, threads).unwrap() == image, "{} bytes", image.len());
        }
    }
}

#[test]
fn the_file_depends_on_the_data_alone() {
    let image = image(20 * FRAME_LEN, &[(5, 6 * FRAME_LEN), (9 * FRAME_LEN, 7 * FRAME_LEN)]);
    let one = packed(&image, ONE);
    assert!(one == packed(&image, THREE) && one == packed(&image, THREE));

    let mut writer = Writer::new(Cursor::new(Vec::new()), THREE).unwrap();
    for (number, bytes) in image.chunks(70_001).enumerate() {
        writer.put(number as u64 * 70_001, bytes).unwrap();
    }
    let mut in_pieces = Vec::new();
    writer.finish(image.len() as u64, &mut in_pieces).unwrap();
    assert!(one.0 == in_pieces);
}

#[test]
fn writing_can_begin_again_at_any_frame() {
    let image = image(9 * FRAME_LEN, &[(70_000, FRAME_LEN * 2), (6 * FRAME_LEN + 3, 2 * FRAME_LEN)]);
    let (file, _) = packed(&image, ONE);
    let map = Map::read(&mut Cursor::new(&file)).unwrap();
    assert_eq!(map.file_len(), file.len() as u64);
    assert_eq!(map.frame_start(map.frames()), Some(map.file_len()));
    for first in 0..=map.frames() {
        let disk = unpacked(&file, first, 2).unwrap();
        let after = map.pieces(first).next().map_or(image.len(), |(at, _)| usize::try_from(at).unwrap());
        assert!(disk[after..] == image[after..], "from frame {first} on");
    }
    let beyond = map.unpack(&[][..], map.frames() + 1, 1, |_| Ok(())).unwrap_err();
    assert!(text(&beyond).contains("cannot begin"));
}

#[test]
fn every_flipped_bit_is_caught_before_it_is_written() {
    let image = image(FRAME_LEN + BLOCK_LEN, &[(0, 3_000), (FRAME_LEN, 9_000)]);
    let (file, _) = packed(&image, ONE);
    for bit in (0..file.len() * 8).step_by(file.len() * 8 / 1_000) {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut source = flipped.as_slice();
        let caught = Map::read(&mut source).and_then(|map| map.unpack(source, 0, 1, |_| Ok(())));
        assert!(caught.is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_refused() {
    let (file, summary) = packed(&noise(5 * FRAME_LEN, 1), ONE);
    for length in [0, 10, 47, 60, file.len() / 2, file.len() - 1] {
        assert!(unpacked(&file[..length], 0, 2).is_err(), "{length} bytes");
    }
    let more = [&file[..], b"x"].concat();
    assert_eq!(text(&unpacked(&more, 0, 2).unwrap_err()), "something follows behind the image's last frame");

    // The digest of the whole is judged at the end of the source, which is read.
    let mut wrong = Verifying::new(file.as_slice(), Digest::of(b"something else"), None);
    let map = Map::read(&mut wrong).unwrap();
    assert!(matches!(map.unpack(&mut wrong, 0, 2, |_| Ok(())), Err(MapError::Read(_))));
    let mut right = Verifying::new(file.as_slice(), summary.digest, Some(summary.length));
    map.unpack(Map::read(&mut right).map(|_| &mut right).unwrap(), 0, 2, |_| Ok(())).unwrap();
    assert!(right.verified());
}

#[test]
fn a_sink_that_fails_ends_it() {
    let (file, _) = packed(&noise(20 * FRAME_LEN, 1), ONE);
    let mut source = Cursor::new(file);
    let map = Map::read(&mut source).unwrap();
    let mut seen = 0;
    let full = map.unpack(&mut source, 0, 2, |_| {
        seen += 1;
        if seen < 3 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    });
    assert!(matches!(full, Err(MapError::Write(error)) if error.kind() == io::ErrorKind::StorageFull));
    assert_eq!(seen, 3);
}

#[test]
fn parts_out_of_order_and_beyond_the_end_are_refused() {
    let mut writer = Writer::new(Cursor::new(Vec::new()), ONE).unwrap();
    writer.put(100, b"abc").unwrap();
    assert!(matches!(writer.put(102, b"d"), Err(PackError::Order)));
    assert!(matches!(writer.put(MAX_SIZE, b"d"), Err(PackError::Limits)));
    assert!(matches!(writer.finish(102, io::sink()), Err(PackError::Limits)));
    assert!(matches!(packed_empty(), Err(PackError::Limits)));
}

fn packed_empty() -> Result<Summary, PackError> {
    pack_raw(&[][..], Cursor::new(Vec::new()), io::sink(), ONE)
}

#[test]
fn an_index_that_lies_is_refused_without_its_memory() {
    /// A source that has no end.
    struct Zeros;
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let head =
        |length: u32| [&b"MUSTERBM"[..], &1_u32.to_le_bytes(), &length.to_le_bytes(), &[0; 32]].concat();
    let refused = |length| Map::read(&mut Cursor::new(head(length)).chain(Zeros)).unwrap_err();
    assert_eq!(text(&refused(u32::MAX)), "the image's block map is not valid: it is too long");
    assert_eq!(text(&refused(1_000)), "the index of the image's block map is damaged");
}

#[test]
fn indexes_that_cannot_be_are_refused() {
    let extent = |offset, length| Extent { offset, length };
    let frame = |length| map::Packed { length, digest: [0; 32] };
    let refused = |size, extents: &[Extent], frames: &[map::Packed]| {
        Map::lay_out(size, extents.to_vec(), frames.to_vec()).map(|_| ()).map_err(|error| text(&error))
    };
    let (one, two) = ([frame(1)], [frame(1), frame(1)]);
    assert_eq!(refused(4 * BLOCK, &[extent(0, BLOCK), extent(2 * BLOCK, BLOCK)], &one), Ok(()));
    assert_eq!(refused(4 * BLOCK, &[], &[]), Ok(()));
    for (size, extents, frames) in [
        (0, &[][..], &[][..]),
        (MAX_SIZE + 1, &[], &[]),
        (BLOCK, &[extent(0, 2 * BLOCK)], &one),
        (BLOCK, &[extent(0, 0)], &[]),
        (4 * BLOCK, &[extent(1, BLOCK)], &one),
        (4 * BLOCK, &[extent(0, BLOCK + 1)], &one),
        (4 * BLOCK, &[extent(2 * BLOCK, BLOCK), extent(0, BLOCK)], &one),
        (4 * BLOCK, &[extent(0, BLOCK), extent(BLOCK, BLOCK)], &one),
        (4 * BLOCK, &[extent(u64::MAX - BLOCK + 1, BLOCK)], &one),
        (4 * BLOCK, &[extent(0, BLOCK)], &two),
        (4 * BLOCK, &[extent(0, BLOCK)], &[]),
        (4 * BLOCK, &[extent(0, BLOCK)], &[frame(0)]),
        (4 * BLOCK, &[extent(0, BLOCK)], &[frame(3_000_000)]),
    ] {
        assert!(refused(size, extents, frames).is_err(), "{size} {extents:?} {frames:?}");
    }
}

#[test]
fn frames_that_unpack_to_something_else_are_refused() {
    let extent = Extent { offset: 0, length: BLOCK };
    for bytes in [noise(BLOCK_LEN - 1, 1), noise(BLOCK_LEN + 1, 1), vec![0; 40 * FRAME_LEN]] {
        let frame = zstd::bulk::compress(&bytes, 1).unwrap();
        let digest = Digest::of(&frame).as_bytes().try_into().unwrap();
        let length = u32::try_from(frame.len()).unwrap();
        let (_, head) = Map::lay_out(BLOCK, vec![extent], vec![map::Packed { length, digest }]).unwrap();
        let error = unpacked(&[head, frame].concat(), 0, 1).unwrap_err();
        assert_eq!(text(&error), "frame 0 of the image does not unpack to what its block map says");
    }
}

#[test]
fn a_qcow2_image_packs_to_the_same_file_as_a_raw_one() {
    let image = image(10 * FRAME_LEN + 512, &[(0, 100), (4 * FRAME_LEN, 9 * BLOCK_LEN)]);
    let folder = tempfile::tempdir().unwrap();
    let qcow2 = crate::qcow2::tests::converted(folder.path(), &image, &["-O", "qcow2"]);
    let mut out = Vec::new();
    let mut source = Image::open(Cursor::new(qcow2)).unwrap();
    let summary = pack_qcow2(&mut source, tempfile::tempfile().unwrap(), &mut out, THREE).unwrap();
    assert!((out, summary) == packed(&image, ONE));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_image_comes_back(
        parts in proptest::collection::vec((0..3 * FRAME_LEN, 1..FRAME_LEN), 0..6),
        cut in 1..4 * FRAME_LEN,
        threads in 1..5_usize,
    ) {
        let mut image = image(4 * FRAME_LEN, &parts);
        image.truncate(cut);
        let (file, summary) = packed(&image, ONE);
        prop_assert!(unpacked(&file, 0, threads).unwrap() == image);
        let map = Map::read(&mut Cursor::new(&file)).unwrap();
        let holes: u64 = map.holes().map(|hole| hole.length).sum();
        prop_assert_eq!(holes + summary.data, image.len() as u64);
    }
}
