use super::*;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

const TOLD: &str = "#!/bin/sh\n\
    case \"$*\" in *--create*) touch DIR/ordered; esac\n\
    printf 'BootCurrent: 0001\\nBoot0007* Muster installed system\\n'\n";

fn loaders() -> Loaders {
    Loaders {
        files: vec![
            ("EFI/debian/shimx64.efi".to_owned(), b"shim".to_vec()),
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), b"shim".to_vec()),
        ],
        first: "EFI/debian/shimx64.efi".to_owned(),
    }
}

fn ordered() -> BootOrder {
    BootOrder { set_firmware_order: true, server_id: "dc1".to_owned(), ..BootOrder::default() }
}

/// A program in place of `efibootmgr`.
fn firmware(folder: &Path, text: &str) -> Firmware {
    let program = folder.join("efibootmgr");
    crate::reap::tests::program(&program, &text.replace("DIR", &folder.display().to_string()));
    Firmware::by(program)
}

fn esp() -> Esp {
    Esp { disk: "/dev/sda".into(), number: 2, device: "/dev/sda2".into() }
}

#[test]
fn loaders_come_first_the_boot_order_next_and_the_marker_last_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("esp");
    for name in ["EFI/debian", "EFI/BOOT", "muster/dc1"] {
        fs::create_dir_all(place.join(name)).unwrap();
    }
    let log = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let firmware = firmware(folder.path(), TOLD);
    for name in ["esp/EFI/debian", "esp/EFI/BOOT", "esp/muster/dc1", ""] {
        let written = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY;
        log.add_watch(&folder.path().join(name), written).unwrap();
    }
    let tree = Tree::open(&place).unwrap();
    seal(&tree, &esp(), Some(&loaders()), &ordered(), Some(&firmware)).unwrap();
    let events = log.read_events().unwrap();
    let moved = |name: &str| {
        let is_it =
            |event: &nix::sys::inotify::InotifyEvent| event.name.as_deref().is_some_and(|at| at == name);
        events.iter().rposition(is_it).unwrap_or_else(|| panic!("nobody wrote {name}: {events:?}"))
    };
    let (shim, fallback) = (moved("shimx64.efi"), moved("BOOTX64.EFI"));
    let (order, marker) = (moved("ordered"), moved("local.cfg"));
    assert!(shim < order && fallback < order && order < marker, "{events:?}");
    assert_eq!(marker, events.len() - 1, "nothing is written after it");
}

#[test]
fn a_boot_order_that_firmware_refuses_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let firmware = firmware(folder.path(), "#!/bin/sh\necho 'Could not prepare Boot variable' >&2\nexit 5\n");
    let tree = Tree::open(folder.path()).unwrap();
    seal(&tree, &esp(), Some(&loaders()), &ordered(), Some(&firmware)).unwrap();
    assert!(tree.has("/muster/dc1/local.cfg").unwrap());
}

#[test]
fn under_uefi_an_esp_without_a_loader_gets_no_marker() {
    let folder = tempfile::tempdir().unwrap();
    let firmware = firmware(folder.path(), TOLD);
    let tree = Tree::open(folder.path()).unwrap();
    let refused = seal(&tree, &esp(), None, &ordered(), Some(&firmware)).unwrap_err();
    assert!(refused.to_string().contains("shim-signed"), "{refused}");
    assert!(!tree.has("/muster/dc1/local.cfg").unwrap());
    assert!(!folder.path().join("ordered").exists());
    // Under BIOS the disk itself is started.
    seal(&tree, &esp(), None, &ordered(), None).unwrap();
    assert!(tree.has("/muster/dc1/local.cfg").unwrap());
}
