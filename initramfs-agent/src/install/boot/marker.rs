//! The marker: the file by which our media's GRUB finds this disk and starts it. It is written last of all, and without
//! it the machine starts our image.

use super::super::target::{Tree, TreeError};
use std::io;

/// Where the medium looks (`iso::menu`): on an ESP, or on a disk without one.
const ON_ESP: &str = "/muster";
const ON_ROOT: &str = "/boot/muster";
const NAME: &str = "local.cfg";
const MARKER: &str = "\
# Written by Muster: how GRUB of another medium starts the system of this disk. GRUB's root is where this file is.
if test \"$grub_platform\" = efi ; then
    chainloader @LOADER@
else
    regexp --set=1:drive '^([^,]+)' \"$root\"
    set root=$drive
    chainloader +1
fi
boot
";

/// Which tree the marker lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An ESP.
    Esp,
    /// The root of a system without one.
    Root,
}

/// The marker's path for a server.
pub(super) fn path(place: Place, server_id: &str) -> String {
    let folder = match place {
        Place::Esp => ON_ESP,
        Place::Root => ON_ROOT,
    };
    format!("{folder}/{server_id}/{NAME}")
}

/// Writes it and has it on the disk. `loader` is the path that UEFI starts.
///
/// # Errors
/// [`TreeError`].
pub(super) fn put(tree: &Tree, place: Place, server_id: &str, loader: &str) -> Result<(), TreeError> {
    if !protocol::config::is_server_id(server_id) {
        return Err(TreeError::of(
            "name the marker in",
            server_id,
            io::Error::from(io::ErrorKind::InvalidInput),
        ));
    }
    let text = MARKER.replace("@LOADER@", &format!("/{loader}"));
    tree.put(&path(place, server_id), text.as_bytes(), 0o700)?;
    tree.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_says_how_both_kinds_of_firmware_start_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        put(&tree, Place::Esp, "dc1", "EFI/debian/shimx64.efi").unwrap();
        let text = tree.text("/muster/dc1/local.cfg", 4_096).unwrap();
        assert!(text.contains("chainloader /EFI/debian/shimx64.efi\n") && text.ends_with("fi\nboot\n"));
        put(&tree, Place::Root, "dc1", "").unwrap();
        assert!(tree.has("/boot/muster/dc1/local.cfg").unwrap());
        for bad in ["", "..", "a/b", "DC"] {
            assert!(put(&tree, Place::Esp, bad, "x").is_err(), "{bad}");
        }
    }
}
