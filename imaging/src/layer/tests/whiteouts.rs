//! Layers over layers.

use super::*;

fn layers(layers: &[Tar]) -> Target {
    let mut target = Target::new();
    for layer in layers {
        target.apply(&layer.clone().end()).unwrap();
    }
    target
}

fn base() -> Tar {
    Tar::default()
        .folder("a")
        .file("a/one", "1")
        .file("a/two", "2")
        .folder("a/b")
        .file("a/b/three", "3")
        .folder("a/b/c")
        .file("a/b/c/four", "4")
        .file("five", "5")
        .link(b'2', "link", "a")
}

fn left(layer: Tar) -> Vec<String> {
    layers(&[base(), layer]).names()
}

const ALL: [&str; 9] = ["a", "a/b", "a/b/c", "a/b/c/four", "a/b/three", "a/one", "a/two", "five", "link"];

fn without(gone: &[&str]) -> Vec<String> {
    ALL.iter().filter(|name| !gone.contains(name)).map(ToString::to_string).collect()
}

#[test]
fn whiteouts_remove_files_links_and_folders() {
    assert_eq!(left(Tar::default()), without(&[]));
    assert_eq!(
        left(Tar::default().file(".wh.five", "").file("./a/.wh.one", "")),
        without(&["five", "a/one"])
    );
    assert_eq!(left(Tar::default().file(".wh.link", "")), without(&["link"]));
    let b = ["a/b", "a/b/c", "a/b/c/four", "a/b/three"];
    assert_eq!(left(Tar::default().file("a/.wh.b", "")), without(&b));
    assert_eq!(left(Tar::default().file("a/.wh.nothing", "").file("no/where/.wh.x", "")), without(&[]));
}

#[test]
fn opaque_folders_lose_what_lower_layers_brought() {
    let inside = ["a/b", "a/b/c", "a/b/c/four", "a/b/three", "a/one", "a/two"];
    assert_eq!(left(Tar::default().file("a/.wh..wh..opq", "")), without(&inside));
    let names = left(Tar::default().file(".wh..wh..opq", "").file("new", ""));
    assert_eq!(names, ["new"]);
}

#[test]
fn whiteouts_leave_their_own_layer_alone_in_any_order() {
    let opaque = |tar: Tar| tar.file("a/.wh..wh..opq", "");
    let files = |tar: Tar| tar.folder("a").file("a/two", "new").file("a/b/c/six", "6");
    let wanted = ["a", "a/b", "a/b/c", "a/b/c/six", "a/two", "five", "link"];
    for layer in [files(opaque(Tar::default())), opaque(files(Tar::default()))] {
        let target = layers(&[base(), layer]);
        assert_eq!(target.names(), wanted);
        assert_eq!(target.text("a/two").as_deref(), Some("new"));
    }
    for layer in [
        Tar::default().file("a/.wh.b", "").file("a/b/x", "").file(".wh.five", "").file("five", "new"),
        Tar::default().file("five", "new").file(".wh.five", "").file("a/b/x", "").file("a/.wh.b", ""),
    ] {
        let target = layers(&[base(), layer]);
        assert_eq!(target.names(), ["a", "a/b", "a/b/x", "a/one", "a/two", "five", "link"]);
        assert_eq!(target.text("five").as_deref(), Some("new"));
    }
}

#[test]
fn whiteouts_are_for_lower_layers_only_once() {
    let target = layers(&[base(), Tar::default().file(".wh.five", ""), Tar::default().file("five", "again")]);
    assert_eq!(target.text("five").as_deref(), Some("again"));
}

#[test]
fn things_are_replaced_by_others() {
    let target = layers(&[
        base(),
        Tar::default().file("a", "now a file").folder("link").file("link/inside", "").folder("five"),
    ]);
    assert_eq!(target.names(), ["a", "five", "link", "link/inside"]);
    assert_eq!(target.text("a").as_deref(), Some("now a file"));

    let target =
        layers(&[base(), Tar::default().file("a", ""), Tar::default().folder("a").file("a/x", "back")]);
    assert_eq!(target.names(), ["a", "a/x", "five", "link"]);
    let in_one = Tar::default().folder("d").file("d/x", "").file("d", "").folder("d").file("d/y", "");
    assert_eq!(layers(&[in_one]).names(), ["d", "d/y"]);
}

#[test]
fn a_file_that_is_replaced_keeps_its_other_names() {
    let first = Tar::default().file("one", "old").link(b'1', "two", "./one");
    let target =
        layers(&[first, Tar::default().file("one", "new"), Tar::default().link(b'1', "three", "/two")]);
    let text = |path| target.text(path).unwrap();
    assert_eq!((text("one"), text("two"), text("three")), ("new".into(), "old".into(), "old".into()));
}

#[test]
fn folders_that_only_get_something_keep_their_time() {
    let target = layers(&[base(), Tar::default().file("a/b/new", "").file("a/.wh.one", "")]);
    for path in ["a", "a/b"] {
        assert_eq!(fs::metadata(target.root.join(path)).unwrap().mtime(), 100, "{path}");
    }
}

#[test]
fn a_tar_that_is_no_layer_has_no_whiteouts() {
    let mut target = Target::new();
    let archive = Tar::default().file("x", "").file(".wh.x", "").end();
    target.unpacker.layer(archive.as_slice(), Whiteouts::Plain).unwrap();
    assert_eq!(target.names(), [".wh.x", "x"]);
}

#[test]
fn what_aufs_kept_is_passed_over() {
    let target = layers(&[Tar::default().folder(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "").file("x", "")]);
    assert_eq!(target.names(), ["x"]);
}
