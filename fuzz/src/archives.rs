//! Archives and images that operators hand in: cpio and ISO 9660.

use initrd::cpio::{Kind, Reader, Tree, check_path};
use initrd::segment::config_json;
use iso::reader::{Image, Kind as IsoKind, MAX_DEPTH};
use std::collections::BTreeMap;
use std::io::Cursor;

/// Bytes of a cpio header: no entry takes fewer.
const CPIO_HEADER: usize = 110;
/// Sectors before the first volume descriptor (ECMA-119 6.2.1).
const SYSTEM_AREA: usize = 16;
/// Bytes of a sector.
const SECTOR_LEN: usize = 2_048;
/// Most sectors of an image that [`iso9660`] lays out.
const MAX_SECTORS: usize = 512;
/// Largest file of an image that is read, in bytes.
const MAX_READ: u64 = 4_096;
/// Most entries of an image that are looked up again.
const MAX_FOUND: usize = 64;

/// A cpio archive: every entry's name and bytes lie inside, and what can be written again reads back
/// the same.
pub fn cpio(data: &[u8]) -> bool {
    let mut reader = Reader::new(data);
    let mut tree = Tree::new();
    let mut kept = BTreeMap::new();
    let mut entries = 0;
    for entry in reader.by_ref() {
        let Ok(entry) = entry else { break };
        entries += 1;
        assert_eq!(check_path(entry.path), Ok(entry.path));
        let added = match entry.kind {
            Kind::Directory => tree.directory(entry.path, entry.permissions),
            Kind::File(bytes) => {
                assert!(data.as_ptr_range().contains(&bytes.as_ptr()) || bytes.is_empty());
                tree.file(entry.path, entry.permissions, bytes)
            }
            Kind::Symlink(target) => tree.symlink(entry.path, target),
            Kind::CharDevice { major, minor } => {
                tree.char_device(entry.path, entry.permissions, major, minor)
            }
            Kind::BlockDevice { .. } | Kind::Other => continue,
        };
        if added.is_ok() {
            kept.insert(entry.path, entry.kind);
        }
    }
    assert!(entries <= data.len() / CPIO_HEADER);
    assert!(data.ends_with(reader.rest()));
    if let Ok(json) = config_json(data) {
        assert!(json.len() < data.len());
    }
    let written = tree.to_bytes(0).expect("what was read can be written");
    let again: BTreeMap<&str, Kind<'_>> = Reader::new(&written)
        .map(|entry| entry.expect("what was written is read"))
        .map(|e| (e.path, e.kind))
        .collect();
    // Parents that were missing are added.
    assert!(kept.iter().all(|(path, kind)| again.get(path) == Some(kind)));
    entries > 0
}

/// An ISO 9660 image: everything found lies inside it, under a name that is safe to unpack, and is
/// found again by that name.
///
/// The input is the sectors behind the system area, each as its length (two bytes, low first) and
/// its bytes; the rest of a sector is zeros. So a small input is a whole image.
pub fn iso9660(data: &[u8]) -> bool {
    let image = laid_out(data);
    let length = image.len() as u64;
    let Ok(mut image) = Image::open(Cursor::new(image)) else { return false };
    let Ok(entries) = image.entries() else { return false };
    let mut first = BTreeMap::new();
    for entry in &entries {
        let end = entry.extent.offset.checked_add(entry.extent.length);
        assert!(end.is_some_and(|end| end <= length), "{entry:?} lies outside of {length} bytes");
        let unsafe_name = |name: &str| matches!(name, "" | "." | "..") || name.contains(['\\', '\0']);
        assert!(!entry.path.split('/').any(unsafe_name), "{entry:?}");
        assert!(entry.path.matches('/').count() <= MAX_DEPTH as usize);
        first.entry(entry.path.clone()).or_insert(entry);
    }
    for (path, entry) in first.into_iter().take(MAX_FOUND) {
        assert_eq!(&image.find(&path).expect("what is listed is found"), entry);
        if entry.kind == IsoKind::File && entry.extent.length <= MAX_READ {
            let bytes = image.read(entry, MAX_READ).expect("a file inside the image can be read");
            assert_eq!(bytes.len() as u64, entry.extent.length);
        }
    }
    !entries.is_empty()
}

/// The image that an input stands for.
fn laid_out(mut data: &[u8]) -> Vec<u8> {
    let mut sectors = vec![[0; SECTOR_LEN]; SYSTEM_AREA];
    while let Some((&[low, high], rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(SECTOR_LEN).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        let mut sector = [0; SECTOR_LEN];
        sector[..length].copy_from_slice(bytes);
        sectors.push(sector);
        data = rest;
        if sectors.len() == MAX_SECTORS {
            break;
        }
    }
    sectors.concat()
}
