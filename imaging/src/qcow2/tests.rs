use super::*;
use proptest::prelude::*;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

const KIB: usize = 1_024;

fn qemu_img(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new("qemu-img").args(arguments).current_dir(folder).output().expect("it is installed");
    assert!(output.status.success(), "qemu-img {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `qemu-img convert` makes of a raw image.
pub(crate) fn converted(folder: &Path, image: &[u8], options: &[&str]) -> Vec<u8> {
    std::fs::write(folder.join("raw"), image).unwrap();
    qemu_img(folder, &[&["convert", "-f", "raw"], options, &["raw", "out"]].concat());
    std::fs::read(folder.join("out")).unwrap()
}

fn contents(qcow2: &[u8]) -> Result<Vec<u8>, Qcow2Error> {
    let mut image = Image::open(Cursor::new(qcow2))?;
    let mut disk = vec![0; usize::try_from(image.size()).unwrap()];
    let (mut buffer, mut behind) = (Vec::new(), 0);
    while let Some(offset) = image.next_extent(&mut buffer)? {
        let begin = usize::try_from(offset).unwrap();
        assert!(begin >= behind && !buffer.is_empty());
        behind = begin + buffer.len();
        disk[begin..behind].copy_from_slice(&buffer);
    }
    Ok(disk)
}

/// A megabyte with data here and there.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1_024 * KIB + 512];
    for (offset, length) in [(0, 512), (100 * KIB, 300 * KIB), (700 * KIB + 5, 1), (1_024 * KIB, 512)] {
        let bytes = disk[offset..offset + length].iter_mut().enumerate();
        bytes.for_each(|(number, byte)| *byte = u8::try_from((number / 3) % 251).unwrap() + 1);
    }
    disk
}

fn refused(qcow2: &[u8]) -> String {
    contents(qcow2).map(|disk| disk.len()).expect_err("it is refused").to_string()
}

fn a_qcow2() -> Vec<u8> {
    converted(tempfile::tempdir().unwrap().path(), &disk(), &["-O", "qcow2"])
}

fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut qcow2 = a_qcow2();
    qcow2[offset..offset + bytes.len()].copy_from_slice(bytes);
    qcow2
}

#[test]
fn what_qemu_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    for options in [
        &["-O", "qcow2"][..],
        &["-O", "qcow2", "-o", "compat=0.10"],
        &["-O", "qcow2", "-o", "cluster_size=512"],
        &["-O", "qcow2", "-o", "cluster_size=2M"],
        &["-O", "qcow2", "-o", "preallocation=metadata"],
        &["-O", "qcow2", "-o", "lazy_refcounts=on"],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-c", "-o", "compat=0.10"],
        &["-O", "qcow2", "-c", "-o", "cluster_size=4k"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"],
        &["-O", "qcow2", "-S", "0"],
    ] {
        let qcow2 = converted(folder.path(), &disk, options);
        assert!(contents(&qcow2).unwrap() == disk, "{options:?}");
    }
}

#[test]
fn what_guests_write_is_read_and_snapshots_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    qemu_img(folder.path(), &["create", "-q", "-f", "qcow2", "image", "4M"]);
    let write = |command: &str| {
        let output =
            Command::new("qemu-io").args(["-c", command, "image"]).current_dir(folder.path()).output();
        assert!(output.expect("it is installed").status.success(), "{command}");
    };
    write("write -P 1 0 100k");
    qemu_img(folder.path(), &["snapshot", "-c", "before", "image"]);
    write("write -P 2 50k 100k");
    write("write -z 2M 64k");
    write("write -P 3 3M 1");
    qemu_img(folder.path(), &["convert", "-O", "raw", "image", "raw"]);
    let image = std::fs::read(folder.path().join("image")).unwrap();
    assert!(contents(&image).unwrap() == std::fs::read(folder.path().join("raw")).unwrap());
}

#[test]
fn what_leads_elsewhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let created = |options: &[&str]| {
        qemu_img(folder.path(), &[&["create", "-q", "-f", "qcow2"], options, &["image", "1M"]].concat());
        std::fs::read(folder.path().join("image")).unwrap()
    };
    let backing = created(&["-b", "/etc/passwd", "-F", "raw", "-u"]);
    assert!(refused(&backing).contains("has a backing file"));
    let external = created(&["-o", "data_file=elsewhere,data_file_raw=on"]);
    assert!(refused(&external).contains("keeps its data in another file"));
    let extended = created(&["-o", "extended_l2=on,cluster_size=128k"]);
    assert!(refused(&extended).contains("(incompatible bits 0x10)"));
    assert!(refused(&patched(32, &1_u32.to_be_bytes())).contains("is encrypted"));
    assert!(refused(&patched(72, &2_u64.to_be_bytes())).contains("marked as corrupt"));
    assert!(refused(&patched(72, &(1_u64 << 63).to_be_bytes())).contains("0x8000000000000000"));
    assert!(contents(&patched(72, &1_u64.to_be_bytes())).is_ok(), "a dirty image can be read");
}

#[test]
fn headers_that_lie_are_refused() {
    for (offset, bytes) in [
        (0, &b"QFI\x00"[..]),
        (4, &[0, 0, 0, 1]),
        (4, &[0, 0, 0, 4]),
        (20, &[0, 0, 0, 8]),
        (20, &[0, 0, 0, 22]),
        (20, &[0xff; 4]),
        (24, &[0; 8]),
        (24, &[0xff; 8]),
        (36, &[0; 4]),
        (36, &[0xff; 4]),
        (40, &[0xff; 8]),
        (40, &[0, 0, 0, 0, 0, 0, 0, 8]),
    ] {
        assert!(contents(&patched(offset, bytes)).is_err(), "{bytes:?} at {offset}");
    }
    assert_eq!(refused(b"QFI\xfb"), "this is no qcow2 image of version 2 or 3");
    assert_eq!(refused(b""), "this is no qcow2 image of version 2 or 3");
    let whole = a_qcow2();
    assert_eq!(
        refused(&whole[..whole.len() / 2]),
        "the qcow2 image is not valid: it leads beyond its end, or was cut off"
    );
}

/// A gigantic disk whose every table is the same one.
#[test]
fn tables_and_clusters_that_overlap_are_refused() {
    let mut qcow2 = a_qcow2();
    let number = |at: usize| u64::from_be_bytes(qcow2[at..at + 8].try_into().unwrap());
    let l1 = usize::try_from(number(40)).unwrap();
    let l2 = usize::try_from(number(l1) & OFFSET).unwrap();
    let (table, cluster) = (number(l1), number(l2));
    let mut one_table = qcow2.clone();
    one_table[24..32].copy_from_slice(&(64_u64 << 30).to_be_bytes());
    one_table[36..40].copy_from_slice(&128_u32.to_be_bytes());
    for entry in 0..128 {
        one_table[l1 + entry * 8..][..8].copy_from_slice(&table.to_be_bytes());
    }
    one_table[l2..l2 + 64 * KIB].fill(0);
    let error = Image::open(Cursor::new(&one_table)).unwrap().next_extent(&mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the qcow2 image is not valid: its tables overlap");

    qcow2[24..32].copy_from_slice(&(512_u64 << 20).to_be_bytes());
    for entry in 0..8_192 {
        qcow2[l2 + entry * 8..][..8].copy_from_slice(&cluster.to_be_bytes());
    }
    assert_eq!(refused(&qcow2), "the qcow2 image is not valid: its clusters overlap");
}

#[test]
fn compressed_clusters_that_are_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["compression_type=zlib", "compression_type=zstd"] {
        let good = converted(folder.path(), &disk(), &["-O", "qcow2", "-c", "-o", kind]);
        let mut caught = 0;
        // Its data begin behind the tables.
        for at in (5 * 64 * KIB..good.len()).step_by(97) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            match contents(&bad) {
                Ok(disk) => assert_eq!(disk.len(), 1_024 * KIB + 512),
                Err(error) => {
                    assert!(matches!(error, Qcow2Error::Cluster(_)), "{error}");
                    caught += 1;
                }
            }
        }
        assert!(caught > 0, "{kind}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), at in 0..120_usize) {
        let mut qcow2 = HEADER.to_vec();
        qcow2.resize(at, 0);
        qcow2.extend(bytes);
        if let Ok(mut image) = Image::open(Cursor::new(&qcow2)) {
            let mut buffer = Vec::new();
            while let Ok(Some(_)) = image.next_extent(&mut buffer) {
                prop_assert!(buffer.len() as u64 <= 2 << 20);
            }
        }
    }
}

/// Version 2, clusters of 512 bytes, a disk of 64 KiB, first table at 512.
const HEADER: [u8; 48] = [
    b'Q', b'F', b'I', 0xfb, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 0,
];
