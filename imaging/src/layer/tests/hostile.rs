//! Archives that nobody should write.

use super::*;
use proptest::prelude::*;

fn refused(archive: Tar) -> String {
    let mut target = Target::new();
    let error = target.apply(&archive.clone().end()).expect_err("it is refused");
    if !error.contains("whiteout") && !error.contains("attribute") {
        let seen = inspect(archive.clone().end().as_slice(), Limits::default());
        assert!(seen.is_err() || archive.0.windows(4).any(|bytes| bytes == b".wh."), "inspected: {error}");
    }
    let outside: Vec<_> = fs::read_dir(target.root.parent().unwrap()).unwrap().collect();
    assert_eq!(outside.len(), 1, "nothing is beside the root");
    error
}

#[test]
fn paths_that_lead_outside_are_refused() {
    for path in ["../evil", "a/../../evil", "/../evil", "..", "./..", "a/.."] {
        let error = refused(Tar::default().folder("a").file(path, "x"));
        assert!(error.ends_with("its path leads outside by `..`"), "{error}");
        assert!(error.contains(&format!("`{path}`")), "{error}");
    }
    let error = refused(Tar::default().pax(&[("path", "x/../../evil")]).file("x", ""));
    assert!(error.starts_with("`x/../../evil` in the archive cannot be unpacked"), "{error}");
}

#[test]
fn absolute_paths_are_refused() {
    for path in ["/etc/passwd", "//x", "/./x"] {
        let error = refused(Tar::default().file(path, "x"));
        assert!(error.contains("its path is absolute; make the archive from within its root"), "{error}");
    }
}

#[test]
fn leading_dots_and_a_slash_alone_mean_the_root() {
    let mut target = Target::new();
    let archive = Tar::default().folder("./").folder("/").file("./etc//x/./y", "1").file("././z", "2").end();
    target.apply(&archive).unwrap();
    assert_eq!(target.names(), ["etc", "etc/x", "etc/x/y", "z"]);
    assert_eq!(fs::metadata(target.root.join("etc")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "safe").unwrap();
    let to = outside.path().to_str().unwrap();
    let short = outside.path().join("s");
    let linked = |target: &str| Tar::default().link(b'2', "evil", target);
    for target in [to, "../..", "."] {
        for tar in [
            linked(target).file("evil/file", "x"),
            linked(target).folder("evil/new"),
            linked(target).link(b'2', "evil/file", "x"),
            linked(target).link(b'1', "mine", "evil/file"),
            linked(target).entry(b'6', "evil/file", b""),
            linked(target).file("evil/.wh.file", ""),
            linked(target).file("evil/.wh..wh..opq", ""),
            linked(target).file("x", "").link(b'1', "evil/hard", "x"),
        ] {
            let error = refused(tar);
            assert!(error.contains("`evil` on its way is a symbolic link"), "{error}");
        }
    }
    // A link is replaced, never followed: by a file, a folder, and another link.
    for tar in [
        linked(to).file("evil", "x"),
        linked(to).folder("evil").file("evil/file", "x"),
        linked(short.to_str().unwrap()).link(b'2', "evil", "other"),
        linked(to).file(".wh.evil", ""),
    ] {
        Target::new().apply(&tar.end()).unwrap();
    }
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "safe");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn links_of_earlier_layers_are_not_followed_either() {
    let mut target = Target::new();
    target.apply(&Tar::default().link(b'2', "evil", "/etc").end()).unwrap();
    let error = target.apply(&Tar::default().file("evil/passwd", "x").end()).unwrap_err();
    assert!(error.contains("nothing is written through links"), "{error}");
}

#[test]
fn hard_links_stay_inside() {
    for target in ["../outside", "/../x", "", "nothing", "a/nothing"] {
        let error = refused(Tar::default().folder("a").link(b'1', "evil", target));
        assert!(
            error.contains("`evil` in the archive cannot be unpacked: its hard link leads to"),
            "{error}"
        );
    }
    let error = refused(Tar::default().folder("a").link(b'1', "evil", "a"));
    assert!(error.contains("`evil`"), "{error}");
    Target::new().apply(&Tar::default().file("x", "").link(b'1', "x", "./x").end()).unwrap();
}

#[test]
fn what_is_on_the_way_must_be_a_folder() {
    let error = refused(Tar::default().file("a", "").file("a/b", ""));
    assert_eq!(error, "`a/b` in the archive cannot be unpacked: `a` on its way is not a folder");
}

#[test]
fn names_have_limits() {
    let part = "p".repeat(256);
    let deep = "d/".repeat(MAX_DEPTH + 1);
    let long = "long/".repeat(MAX_NAME / 5 + 1);
    for name in [part.as_str(), &deep, &long] {
        assert!(refused(Tar::default().pax(&[("path", name)]).file("x", "")).contains("cannot be"), "{name}");
    }
    assert!(refused(Tar::default().entry(b'L', "l", long.as_bytes()).file("x", "")).contains("too long"));
    assert!(refused(Tar::default().file("", "x")).contains("its path is empty"));
    assert!(refused(Tar::default().file(".", "x")).contains("its path is empty"));
    assert!(refused(Tar::default().file(".wh.", "")).contains("a whiteout of nothing"));
    assert!(refused(Tar::default().file(".wh...", "")).contains("a whiteout of nothing"));
    assert!(refused(Tar::default().link(b'2', "x", "")).contains("the target of its link is empty"));
    assert!(
        refused(Tar::default().file("\u{1b}]0;x", "").file("\u{1b}/x", "").file("\u{1b}/x/y", ""))
            .contains("\\u{1b}")
    );
}

#[test]
fn deep_folders_can_be_made_and_removed() {
    let deep = vec!["d"; MAX_DEPTH].join("/");
    let mut target = Target::new();
    target.apply(&Tar::default().pax(&[("path", &deep)]).file("x", "").end()).unwrap();
    assert!(target.root.join(&deep).exists());
    target.apply(&Tar::default().file(".wh.d", "").end()).unwrap();
    assert!(target.names().is_empty());
}

#[test]
fn there_are_limits_of_files_and_bytes() {
    let files =
        (0..11).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), "0123456789")).end();
    let mut few = Target::within(Limits { entries: 10, bytes: 1_000 });
    assert_eq!(few.apply(&files).unwrap_err(), "there are more than 10 files in the image");
    let mut small = Target::within(Limits { entries: 100, bytes: 109 });
    assert_eq!(small.apply(&files).unwrap_err(), "the files of the image have more than 109 bytes");
    let mut right = Target::within(Limits { entries: 11, bytes: 110 });
    assert_eq!(right.apply(&files), Ok(Counts { entries: 11, bytes: 110 }));
    assert!(right.apply(&files).is_err(), "they hold for all layers together");
}

#[test]
fn unknown_types_are_refused_by_name() {
    for kind in *b"89DMNXAZz\x01\xff" {
        let error = refused(Tar::default().entry(kind, "strange", b""));
        assert!(error.starts_with("`strange` in the archive is of type"), "{error}");
    }
    // Those of a contiguous file, and of a volume's label, are known.
    Target::new().apply(&Tar::default().entry(b'V', "label", b"").entry(b'7', "file", b"x").end()).unwrap();
}

#[test]
fn archives_that_are_damaged_are_refused() {
    let good = Tar::default().file("a", &"x".repeat(600)).file("b", "y").end();
    for length in [1, 511, 600, 1_000, 1_300, 1_536, 1_700, 2_100] {
        let whole_entries = length == 1_536;
        assert_eq!(Target::new().apply(&good[..length]).is_err(), !whole_entries, "{length} bytes");
    }
    let mut damaged = good.clone();
    damaged[3] ^= 1;
    assert!(Target::new().apply(&damaged).unwrap_err().contains("a header is damaged"));
    let mut midst = [0; BLOCK].to_vec();
    midst.extend(&good);
    assert!(Target::new().apply(&midst).unwrap_err().contains("zeros is in its midst"));
    assert!(Target::new().apply(&[b'x'; 2_000]).is_err());
    assert!(refused(Tar::default().pax(&[("path", "x")])).contains("ends behind an extended header"));
    let many = (0..17).fold(Tar::default(), |tar, _| tar.pax(&[("path", "x")])).file("x", "");
    assert!(refused(many).contains("too many extended headers"));
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let with = |at: usize, bytes: &[u8]| {
        let mut block = Tar::header(b'0', "x", 0, "");
        block[at..at + bytes.len()].copy_from_slice(bytes);
        Tar::default().raw(block, b"")
    };
    assert!(refused(with(124, b"0000000000x\0")).contains("the size of an entry cannot be"));
    assert!(refused(with(124, &[0xff; 12])).contains("the size of an entry cannot be"));
    assert!(refused(with(108, b"\x80\0\0\0\xff\xff\xff\xff")).contains("the owner of an entry cannot be"));
    assert!(refused(with(116, b"\x80\0\0\x01\0\0\0\0")).contains("the group of an entry cannot be"));
    let huge = [&[0x80, 0, 0, 0, 0x7f][..], &[0xff; 7]].concat();
    assert!(refused(with(124, &huge)).contains("more than 1099511627776 bytes"));
    for (key, value) in
        [("uid", "-1"), ("gid", "x"), ("mtime", "1.x"), ("mtime", ""), ("size", "99999999999999999999999")]
    {
        let result = Target::new().apply(&Tar::default().pax(&[(key, value)]).file("x", "").end());
        assert_eq!(result.is_err(), !value.is_empty(), "{key}={value}");
    }
    for records in [
        &b"5 a=b\n"[..],
        b"99 a=b\n",
        b"6 ab\n",
        b"x a=b\n",
        b"0 a=b\n",
        b"18446744073709551616 a=b\n",
        b"6 a=b",
    ] {
        let tar = Tar::default().entry(b'x', "pax", records).file("x", "");
        assert!(refused(tar).contains("an extended header is damaged"), "{records:?}");
    }
}

#[test]
fn maps_of_sparse_files_that_lie_are_refused() {
    let one = |records: &[(&str, &str)], data: &str| {
        let records = [&[("GNU.sparse.name", "s"), ("GNU.sparse.realsize", "100")], records].concat();
        Target::new().apply(&Tar::default().pax(&records).file("x", data).end())
    };
    let map = |map: &str, data: &str| one(&[("GNU.sparse.map", map)], data);
    assert_eq!(map("0,2,50,2", "abcd"), Ok(Counts { entries: 1, bytes: 4 }));
    for wrong in
        ["0,2,50", "0,2,1,2", "0,2,99,2", "50,2,0,2", "0,1,50,2", "0,18446744073709551615,1,5", "x", ",", ""]
    {
        assert!(map(wrong, "abcd").unwrap_err().contains("the archive is not valid"), "{wrong}");
    }
    let inline = |text: &str| {
        let mut data = text.to_owned();
        let length = data.len().next_multiple_of(BLOCK);
        data.extend(std::iter::repeat_n('\0', length - text.len()));
        one(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")], &(data + "abcd"))
    };
    assert_eq!(inline("2\n0\n2\n50\n2\n"), Ok(Counts { entries: 1, bytes: 4 }));
    for wrong in ["2\n0\n2\n50\n3\n", "99999999\n", "1\n0\n", "-1\n", "\n", "", "1\n0\n4\n9\n"] {
        let result = inline(wrong);
        assert_eq!(result.is_err(), wrong != "1\n0\n4\n9\n", "{wrong:?}: {result:?}");
    }
    let mut old = Tar::header(b'S', "old", 4, "");
    old[257..265].copy_from_slice(b"ustar  \0");
    old[386..410].copy_from_slice(b"00000000000\x0000000000004\0");
    old[483..495].copy_from_slice(b"00000000144\0");
    Target::new().apply(&Tar::default().raw(old, b"abcd").end()).unwrap();
    old[386..410].copy_from_slice(b"00000000143\x0000000000004\0");
    assert!(refused(Tar::default().raw(old, b"abcd")).contains("sparse"));
    old[482] = 1;
    assert!(refused(Tar::default().raw(old, b"")).contains("sparse"));
}

#[test]
fn what_the_source_complains_of_is_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let good = Tar::default().file("a", &"x".repeat(600)).end();
    for length in [0, 100, 700, 1_536, 2_048] {
        let source = good[..length].chain(Broken);
        let error = Target::new().unpacker.layer(source, Whiteouts::Apply).unwrap_err();
        assert!(matches!(error, LayerError::Source(_)), "{length} bytes: {error}");
    }
}

#[test]
fn what_is_unpacked_is_found_good_before() {
    let archive = Tar::default()
        .folder("./")
        .file("a/b", "12345")
        .link(b'1', "c", "/a/b")
        .link(b'2', "d", "/etc")
        .folder("d")
        .file("d/e", "678")
        .end();
    let counts = Target::new().apply(&archive).unwrap();
    assert_eq!(inspect(archive.as_slice(), Limits::default()).unwrap(), counts);
    assert_eq!(counts, Counts { entries: 6, bytes: 8 });
    let nothing = inspect(Tar::default().end().as_slice(), Limits::default()).unwrap_err();
    assert_eq!(nothing.to_string(), "the archive is not valid: nothing is in it");
    let few = inspect(archive.as_slice(), Limits { entries: 5, bytes: 100 }).unwrap_err();
    assert_eq!(few.to_string(), "there are more than 5 files in the image");
    let small = inspect(archive.as_slice(), Limits { entries: 6, bytes: 7 }).unwrap_err();
    assert_eq!(small.to_string(), "the files of the image have more than 7 bytes");
}

#[test]
fn what_the_file_system_says_is_told_with_the_file() {
    let size = i64::MAX.to_string();
    let records = [("GNU.sparse.realsize", size.as_str()), ("GNU.sparse.map", "0,1")];
    let archive = Tar::default().pax(&records).file("usr/huge", "x").end();
    let error = Target::new().unpacker.layer(archive.as_slice(), Whiteouts::Apply).unwrap_err();
    assert_eq!(error.io().map(io::Error::kind), Some(io::ErrorKind::FileTooLarge));
    assert!(error.to_string().starts_with("`usr/huge` in the archive cannot be unpacked: File too large"));
}

#[test]
fn attributes_of_other_worlds_are_left_out() {
    let mut target = Target::new();
    let tar = Tar::default()
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y"), ("SCHILY.xattr.user.mine", "z")])
        .file("x", "");
    target.apply(&tar.end()).unwrap();
    assert_eq!(attributes(&target.root.join("x")).into_keys().collect::<Vec<_>>(), ["user.mine"]);
    let many: Vec<(String, String)> =
        (0..300).map(|n| (format!("SCHILY.xattr.user.{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert!(refused(Tar::default().pax(&many).file("x", "")).contains("too many attributes"));
    assert!(
        refused(Tar::default().pax(&[("SCHILY.xattr.user.", "x")]).file("x", ""))
            .contains("`user.` cannot be set")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entries_stay_inside(
        entries in proptest::collection::vec(
            (
                prop_oneof![Just(b'0'), Just(b'1'), Just(b'2'), Just(b'5'), Just(b'6')],
                "(\\.\\./|/|\\./|a/|b/|l/){0,4}(a|b|l|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq|\\.\\.)",
                "(\\.\\./|/|a/|b/|l/){0,4}(a|b|l|\\.\\.)",
            ),
            0..16,
        )
    ) {
        let mut target = Target::new();
        let beside = target.root.parent().unwrap().join("a");
        fs::write(&beside, "safe").unwrap();
        for (kind, path, link) in entries {
            let tar = Tar::default().link(kind, &path, &link);
            if target.apply(&tar.end()).is_ok() {
                prop_assert!(!path.split('/').any(|part| part == ".."));
            }
        }
        prop_assert_eq!(fs::read_to_string(&beside).unwrap(), "safe");
        prop_assert_eq!(fs::metadata(&beside).unwrap().nlink(), 1);
        prop_assert_eq!(fs::read_dir(target.root.parent().unwrap()).unwrap().count(), 2);
    }
}
