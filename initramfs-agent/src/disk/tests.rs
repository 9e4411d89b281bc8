//! Readers against what the real programs write: tables by sfdisk, superblocks by mkfs, mkswap, mdadm, lvm and
//! cryptsetup, on plain files.

use super::*;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

/// A folder with image files.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file of so many MiB, all holes.
    fn image(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.0.path().join(name);
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(mib * MIB)
            .unwrap();
        path
    }
}

/// Runs a program of Debian's, where they are for root.
fn run(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn held(image: &Path) -> Contents {
    let file = File::open(image).unwrap();
    let size = file.metadata().unwrap().len();
    contents(&Window::new(&file, size))
}

fn one(image: &Path) -> superblock::Found {
    let file = File::open(image).unwrap();
    let size = file.metadata().unwrap().len();
    superblock::probe(&Window::new(&file, size)).unwrap().unwrap_or_default()
}

fn patch(image: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(image).unwrap().write_all_at(bytes, at).unwrap();
}

const UUID: &str = "6f2d7bd5-4d0a-4f8e-9b6c-3a1f0e5d7c11";

#[test]
fn file_systems_tell_label_uuid_and_use() {
    let lab = Lab::new();
    let cases: [(&str, u64, &[&str]); 5] = [
        ("ext4", 64, &["-q", "-L", "data", "-U", UUID, "-M", "/srv/db"]),
        ("ext2", 64, &["-q", "-L", "data", "-U", UUID]),
        ("ext3", 64, &["-q", "-L", "data", "-U", UUID]),
        ("xfs", 320, &["-q", "-L", "data", "-m", &format!("uuid={UUID}")]),
        ("btrfs", 128, &["-q", "-L", "data", "-U", UUID]),
    ];
    for (name, mib, arguments) in cases {
        let image = lab.image(name, mib);
        let path = image.to_str().unwrap();
        run(&format!("mkfs.{name}"), &[arguments, &[path]].concat(), "");
        let found = one(&image);
        assert_eq!((found.filesystem, found.label.as_str(), found.uuid.as_str()), (name, "data", UUID));
        let used = found.used.unwrap();
        assert!(used > 0 && used < mib * MIB / 2, "{name}: {used}");
        assert_eq!(found.last_mounted, if name == "ext4" { "/srv/db" } else { "" });
    }
}

#[test]
fn fat_of_every_width_tells_label_and_serial() {
    let lab = Lab::new();
    for (width, mib) in [("12", 4), ("16", 16), ("32", 64)] {
        let image = lab.image("fat", mib);
        run("mkfs.vfat", &["-F", width, "-n", "ESP", "-i", "1234ABCD", image.to_str().unwrap()], "");
        let found = one(&image);
        assert_eq!(
            (found.filesystem, found.label.as_str(), found.uuid.as_str()),
            ("vfat", "ESP", "1234-ABCD")
        );
        assert_eq!(found.used.is_some_and(|used| used < MIB), width == "32");
        let whole = held(&image);
        assert_eq!((whole.table.as_str(), whole.filesystem.as_str()), ("", "vfat"), "no table is seen in it");
    }
}

#[test]
fn swap_ciphers_groups_and_arrays_are_told() {
    let lab = Lab::new();
    let image = lab.image("swap", 8);
    let path = image.to_str().unwrap();
    run("mkswap", &["-L", "sw", "-U", UUID, path], "");
    let found = one(&image);
    assert_eq!((found.filesystem, found.label.as_str(), found.uuid.as_str()), ("swap", "sw", UUID));

    for version in ["luks1", "luks2"] {
        let image = lab.image("luks", 32);
        let path = image.to_str().unwrap();
        let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
        let format = ["luksFormat", "-q", "--type", version, "--uuid", UUID, "--key-file", "-", path];
        run("cryptsetup", &[&cheap[..], &format].concat(), "a pass phrase");
        let found = one(&image);
        assert_eq!((found.filesystem, found.uuid.as_str()), ("crypto_LUKS", UUID));
    }

    let image = lab.image("zeroes", 8);
    assert_eq!(one(&image), superblock::Found::default());
}

/// Where md's superblocks are, as `mdadm` puts them, and what it writes there (`md_p.h`): nothing but a kernel
/// with md makes an array of devices.
#[test]
fn members_of_arrays_are_known_at_all_four_places() {
    let lab = Lab::new();
    let mut version_1 = vec![0; 256];
    version_1[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    version_1[4] = 1;
    version_1[16..32].copy_from_slice(uuid::Uuid::parse_str(UUID).unwrap().as_bytes());
    version_1[32..39].copy_from_slice(b"host:r1");
    let size = 10 * MIB + 5 * 512;
    for at in [0, 4_096, (size - 8_192) / 4_096 * 4_096] {
        let image = lab.image("md", 1);
        OpenOptions::new().write(true).open(&image).unwrap().set_len(size).unwrap();
        patch(&image, at, &version_1);
        let found = one(&image);
        assert_eq!(
            (found.filesystem, found.label.as_str(), found.uuid.as_str()),
            ("linux_raid_member", "host:r1", UUID),
            "{at}"
        );
    }
    let image = lab.image("md", 10);
    let mut version_0 = vec![0; 256];
    version_0[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    version_0[20..24].copy_from_slice(&0x6f2d_7bd5_u32.to_le_bytes());
    patch(&image, 10 * MIB - 65_536, &version_0);
    assert_eq!(one(&image).uuid, "6f2d7bd5:00000000:00000000:00000000");
}

#[test]
fn tables_of_both_kinds_are_read_with_what_is_in_their_partitions() {
    let lab = Lab::new();
    let image = lab.image("gpt", 300);
    let path = image.to_str().unwrap();
    run(
        "sfdisk",
        &["-q", path],
        "label: gpt\nstart=2048, size=131072, type=U, name=\"EFI part\"\nsize=131072, type=L, name=root\n",
    );
    let root = lab.image("root", 64);
    run("mkfs.ext4", &["-q", "-L", "root", "-M", "/", root.to_str().unwrap()], "");
    patch(&image, (2_048 + 131_072) * 512, &std::fs::read(&root).unwrap());
    let told = held(&image);
    assert_eq!((told.table.as_str(), told.error.as_str(), told.partitions.len()), ("gpt", "", 2));
    let [esp, root] = told.partitions.try_into().unwrap();
    assert_eq!((esp.number, esp.start, esp.size), (1, MIB, 64 * MIB));
    assert_eq!((esp.kind.as_str(), esp.name.as_str()), ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI part"));
    assert_eq!((esp.filesystem.as_str(), root.filesystem.as_str()), ("", "ext4"));
    assert_eq!((root.label.as_str(), root.last_mounted.as_str()), ("root", "/"));

    let image = lab.image("mbr", 300);
    run(
        "sfdisk",
        &["-q", image.to_str().unwrap()],
        "label: dos\nsize=64M, type=83\nsize=200M, type=5\n5: size=32M, type=82\n6: size=32M, type=83\n7: size=32M, type=8e\n",
    );
    let told = held(&image);
    assert_eq!((told.table.as_str(), told.error.as_str()), ("mbr", ""));
    let found: Vec<_> =
        told.partitions.iter().map(|found| (found.number, found.kind.as_str(), found.size / MIB)).collect();
    assert_eq!(found, [(1, "83", 64), (5, "82", 32), (6, "83", 32), (7, "8e", 32)]);
}

#[test]
fn gpt_on_large_blocks_and_its_backup_are_read() {
    let lab = Lab::new();
    let image = lab.image("backup", 64);
    run("sgdisk", &["-n", "1:0:+8M", "-c", "1:first", image.to_str().unwrap()], "");
    assert_eq!(held(&image).error, "");
    // A flipped bit in an entry, then in the header; at last both copies.
    for at in [1_024 + 33, 512 + 72] {
        let mut byte = [0];
        File::open(&image).unwrap().read_exact_at(&mut byte, at).unwrap();
        patch(&image, at, &[byte[0] ^ 1]);
        let told = held(&image);
        assert_eq!((told.table.as_str(), told.partitions.len()), ("gpt", 1));
        assert_eq!(told.error, "the first GPT is damaged, this is its backup");
    }
    patch(&image, 64 * MIB - 512, &[0; 8]);
    let told = held(&image);
    assert_eq!(
        (told.table.as_str(), told.error.as_str(), told.partitions.len()),
        ("gpt", "the GPT is damaged", 0)
    );
    assert!(!told.is_empty());
}

#[test]
fn chain_of_logical_partitions_that_bites_its_tail_ends() {
    let mut disk = vec![0; 1 << 20];
    let mut record = |at: usize, slots: &[(usize, u8, u32, u32)]| {
        disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
        for (slot, kind, start, size) in slots {
            let at = at + 446 + slot * 16;
            disk[at + 4] = *kind;
            disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            disk[at + 12..at + 16].copy_from_slice(&size.to_le_bytes());
        }
    };
    record(0, &[(0, 0x05, 100, 1_000), (1, 0x83, 1_500, 99_999_999)]);
    record(100 * 512, &[(0, 0x83, 1, 8), (1, 0x05, 50, 10)]);
    record(150 * 512, &[(0, 0x83, 1, 8), (1, 0x05, 50, 10)]);
    let told = contents(&Window::new(&disk.as_slice(), 1 << 20));
    assert_eq!(told.partitions.iter().map(|found| found.number).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(told.error, "the chain of logical partitions is broken");
}

#[test]
fn iso_and_what_else_has_no_table_are_told_by_their_label() {
    let mut disk = vec![0; 1 << 20];
    disk[32 * 1_024..32 * 1_024 + 6].copy_from_slice(b"\x01CD001");
    disk[32 * 1_024 + 40..32 * 1_024 + 46].copy_from_slice(b"MUSTER");
    let told = contents(&Window::new(&disk.as_slice(), 1 << 20));
    assert_eq!((told.filesystem.as_str(), told.label.as_str()), ("iso9660", "MUSTER"));
    disk.truncate(8);
    assert!(contents(&Window::new(&disk.as_slice(), 8)).is_empty(), "a tiny disk is no trouble");
    let told = contents(&Window::new(&disk.as_slice(), 4_096));
    assert!(told.error.starts_with("it cannot be read"), "a disk that is shorter than it says");
}

#[test]
fn use_is_told_roughly_and_never_as_nothing() {
    assert_eq!([0, 1, 7, 8, 9, 1_000].map(coarse), [0, 1, 7, 8, 10, 1_024]);
    assert_eq!(coarse(12_000_000_000) / (1 << 30), 12);
    assert_eq!(coarse(u64::MAX), u64::MAX);
}
