//! The system's tables of what it is on: `fstab`, `crypttab` and `mdadm.conf`, by UUID.

use super::super::state::{Array, Cipher, Mount, Partitioned};
use super::super::target::{Tree, TreeError};

const HEAD: &str = "# Written by Muster when it installed this system.\n";
const FSTAB: &str = "/etc/fstab";
const CRYPTTAB: &str = "/etc/crypttab";
/// Debian's, and everybody else's.
const MDADM: [(&str, &str); 2] = [("/etc/mdadm", "/etc/mdadm/mdadm.conf"), ("", "/etc/mdadm.conf")];

/// Writes those that the layout needs. The image's own ones are of no use here.
///
/// # Errors
/// [`TreeError`].
pub(super) fn put(tree: &Tree, layout: &Partitioned) -> Result<(), TreeError> {
    tree.put(FSTAB, fstab(&layout.mounts).as_bytes(), 0o644)?;
    for mount in layout.mounts.iter().filter(|mount| mount.place.starts_with('/')) {
        tree.folder(&mount.place)?;
    }
    if !layout.ciphers.is_empty() {
        tree.put(CRYPTTAB, crypttab(&layout.ciphers).as_bytes(), 0o600)?;
    }
    if !layout.arrays.is_empty() {
        let there =
            |folder: &str| Ok::<bool, TreeError>(folder.is_empty() || !tree.names(folder)?.is_empty());
        for (folder, path) in MDADM {
            if there(folder)? {
                return tree.put(path, mdadm(&layout.arrays).as_bytes(), 0o644);
            }
        }
    }
    Ok(())
}

fn fstab(mounts: &[Mount]) -> String {
    let line = |mount: &Mount| {
        let Mount { place, filesystem, uuid, .. } = mount;
        let (options, pass) = match (place.as_str(), filesystem.as_str()) {
            (_, "swap") => ("sw,nofail", 0),
            // Without it the system starts all the same: it is the firmware's.
            (_, "vfat") => ("umask=0077,nofail,x-systemd.device-timeout=10s", 0),
            ("/", "ext4") => ("errors=remount-ro", 1),
            (_, "ext4") => ("defaults", 2),
            _ => ("defaults", 0),
        };
        format!("UUID={uuid} {place} {filesystem} {options} 0 {pass}\n")
    };
    format!("{HEAD}{}", mounts.iter().map(line).collect::<String>())
}

fn crypttab(ciphers: &[Cipher]) -> String {
    let line = |cipher: &Cipher| format!("{} UUID={} none luks,discard\n", cipher.name, cipher.uuid);
    format!("{HEAD}{}", ciphers.iter().map(line).collect::<String>())
}

fn mdadm(arrays: &[Array]) -> String {
    let line = |array: &Array| format!("ARRAY {} UUID={}\n", array.name, array.uuid);
    format!("{HEAD}HOMEHOST <ignore>\nMAILADDR root\n{}", arrays.iter().map(line).collect::<String>())
}
