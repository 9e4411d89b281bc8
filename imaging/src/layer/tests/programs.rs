//! What real programs write and read.

use super::*;
use proptest::prelude::*;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

const FORMATS: [&str; 4] = ["gnu", "pax", "ustar", "v7"];

/// What GNU tar makes of a folder, and what it makes of that again.
fn round_trip(source: &FilePath, pack: &[&str]) {
    let archive = run(source, "tar", &[pack, &["-cf", "-", "."]].concat());
    let theirs = tempfile::tempdir().unwrap();
    let file = theirs.path().join("archive");
    fs::write(&file, &archive).unwrap();
    let root = theirs.path().join("root");
    fs::create_dir(&root).unwrap();
    let extract = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "../archive"];
    run(&root, "tar", &extract);

    let mut target = Target::new();
    target.apply(&archive).unwrap();
    assert_eq!(listed(&target.root), listed(&root), "{pack:?}");
}

fn at(path: &FilePath, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// A small system with something of everything.
fn a_system() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in ["etc/empty", "usr/bin", "var/log/deep/er"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("etc/hostname"), "host\n").unwrap();
    fs::write(root.join("usr/bin/large"), vec![7; 700_001]).unwrap();
    fs::write(root.join("usr/bin/none"), "").unwrap();
    fs::hard_link(root.join("usr/bin/large"), root.join("etc/same")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink("/nowhere/at/all", root.join("usr/broken")).unwrap();
    let mode =
        |path: &str, mode| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("usr/bin/large", 0o4755);
    mode("usr/bin/none", 0o2751);
    mode("etc/empty", 0o1777);
    mode("var/log", 0o2750);
    at(&root.join("etc/hostname"), 1_000_000_000, 0);
    at(&root.join("var/log/deep"), 1, 0);
    at(&root.join("usr/bin/large"), 2_000_000_000, 0);
    folder
}

#[test]
fn a_system_comes_out_as_tar_would_unpack_it() {
    let system = a_system();
    for format in FORMATS {
        round_trip(system.path(), &[&format!("--format={format}")]);
    }
}

#[test]
fn owners_devices_and_attributes_come_back() {
    if !is_root() {
        return;
    }
    let system = a_system();
    let root = system.path();
    let own =
        |path: &str, uid, gid| std::os::unix::fs::lchown(root.join(path), Some(uid), Some(gid)).unwrap();
    own("etc/hostname", 1_234, 5_678);
    own("usr/bin/large", 0, 42);
    own("bin", 7, 8);
    own("var/log", 9, 10);
    // A change of owner took it.
    fs::set_permissions(root.join("usr/bin/large"), fs::Permissions::from_mode(0o6755)).unwrap();
    run(root, "mknod", &["null", "c", "1", "3"]);
    run(root, "mknod", &["loop", "b", "7", "300"]);
    run(root, "mkfifo", &["pipe"]);
    own("pipe", 3, 4);
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set("usr/bin/none", "security.capability", &capability);
    set("usr/bin/none", "user.text", b"a\0b");
    set("etc/hostname", "security.selinux", b"system_u:object_r:etc_t:s0\0");
    set("bin", "security.selinux", b"system_u:object_r:bin_t:s0\0");
    set("etc", "user.folder", b"x");
    at(&root.join("etc"), 5, 0);
    round_trip(root, &["--format=pax", "--xattrs", "--xattrs-include=*"]);
    own("etc/hostname", 3_000_000, 4_000_000);
    round_trip(root, &["--format=gnu"]);
}

#[test]
fn long_names_and_times_with_fractions_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let long = "n".repeat(250);
    let deep = folder.path().join(&long).join(&long).join(&long);
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "x").unwrap();
    fs::write(deep.join(format!("ü{}", "é".repeat(100))), "y").unwrap();
    symlink("t".repeat(300), folder.path().join("link")).unwrap();
    fs::hard_link(deep.join("file"), folder.path().join("hard")).unwrap();
    at(&deep.join("file"), 1_000_000_000, 123_456_789);
    for format in ["gnu", "pax"] {
        round_trip(folder.path(), &[&format!("--format={format}")]);
    }
}

#[test]
fn sparse_files_of_every_kind_come_back_with_their_holes() {
    const MIB: u64 = 1_024 * 1_024;
    let folder = tempfile::tempdir().unwrap();
    let holes = |name: &str, parts: &[u64], size: u64| {
        let mut file = fs::File::create(folder.path().join(name)).unwrap();
        for &at in parts {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(format!("at {at}").as_bytes()).unwrap();
        }
        file.set_len(size).unwrap();
        at(&folder.path().join(name), size, 0);
    };
    holes("middle", &[0, 40 * MIB], 41 * MIB);
    holes("end", &[8 * MIB], 64 * MIB);
    holes("nothing", &[], 64 * MIB);
    let many: Vec<u64> = (0..60).map(|number| number * MIB).collect();
    holes(&format!("many-{}", "x".repeat(120)), &many, 61 * MIB);
    at(folder.path(), 1, 0);
    for kind in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let archive = run(folder.path(), "tar", &[kind, &["--sparse", "-cf", "-", "."]].concat());
        assert!(archive.len() < 2_000_000, "{kind:?} is sparse");
        let mut target = Target::new();
        target.apply(&archive).unwrap();
        assert_eq!(listed(&target.root), listed(folder.path()), "{kind:?}");
        for name in ["middle", "end", "nothing"] {
            let blocks = fs::metadata(target.root.join(name)).unwrap().blocks();
            assert!(blocks < 200, "{name} takes {blocks} blocks");
        }
    }
    // Also where the archive has all of the zeros.
    let archive = run(folder.path(), "tar", &["-cf", "-", "."]);
    let mut target = Target::new();
    target.apply(&archive).unwrap();
    assert_eq!(listed(&target.root), listed(folder.path()));
    assert!(fs::metadata(target.root.join("end")).unwrap().blocks() < 200);
}

#[test]
fn what_other_programs_write_is_read() {
    let system = a_system();
    let script = "import tarfile, sys\nwith tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=FORMAT) as t: t.add('.')";
    for format in ["tarfile.PAX_FORMAT", "tarfile.GNU_FORMAT", "tarfile.USTAR_FORMAT"] {
        let archive = run(system.path(), "python3", &["-c", &script.replace("FORMAT", format)]);
        let mut target = Target::new();
        target.apply(&archive).unwrap();
        let kept = |root: &FilePath| -> Vec<_> {
            // Its times have fractions of their own.
            listed(root)
                .into_iter()
                .map(|(name, about)| (name, about.split(" (").next().unwrap().to_owned()))
                .collect()
        };
        assert_eq!(kept(&target.root), kept(system.path()), "{format}");
    }
}

#[test]
fn an_unprivileged_folder_is_closed_after_it_is_filled() {
    let archive = Tar::default()
        .raw(with_mode(Tar::header(b'5', "closed", 0, ""), b"0000555\0"), b"")
        .file("closed/file", "x")
        .end();
    let mut target = Target::new();
    target.apply(&archive).unwrap();
    assert_eq!(target.text("closed/file").as_deref(), Some("x"));
    let meta = fs::metadata(target.root.join("closed")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o555, 100));
}

fn with_mode(mut block: [u8; BLOCK], mode: &[u8; 8]) -> [u8; BLOCK] {
    block[100..108].copy_from_slice(mode);
    block
}

#[derive(Debug, Clone)]
enum Made {
    File(usize, u32),
    Folder(u32),
    Link(String),
}

fn a_tree() -> impl Strategy<Value = Vec<(String, Made)>> {
    let made = prop_oneof![
        (0..300_000_usize, 0..0o10000_u32).prop_map(|(length, mode)| Made::File(length, mode | 0o400)),
        (0..0o10000_u32).prop_map(|mode| Made::Folder(mode | 0o700)),
        "[a-z/.]{1,120}".prop_map(Made::Link),
    ];
    proptest::collection::vec(("[a-zé]{1,3}(/[a-z]{1,120}){0,2}", made), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_comes_out_as_tar_would_unpack_it(tree in a_tree(), format in 0..2_usize) {
        let folder = tempfile::tempdir().unwrap();
        for (path, made) in tree {
            let path = folder.path().join(path);
            if fs::create_dir_all(path.parent().unwrap()).is_err() || path.symlink_metadata().is_ok() {
                continue;
            }
            let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match made {
                Made::File(length, bits) => {
                    fs::write(&path, vec![b'x'; length]).unwrap();
                    mode(bits);
                }
                Made::Folder(bits) => {
                    fs::create_dir(&path).unwrap();
                    mode(bits);
                }
                Made::Link(target) => symlink(target, &path).unwrap(),
            }
        }
        round_trip(folder.path(), &[["--format=gnu", "--format=pax"][format]]);
    }
}
