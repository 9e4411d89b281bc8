//! Asks firmware to boot something else than the installed disk, once: the EFI variable `BootNext`.
//!
//! Formats: UEFI specification 3.1.3 (`EFI_LOAD_OPTION`), 3.3 and 10.3 (device paths);
//! `Documentation/filesystems/efivarfs.rst` for the files.

use crate::sys;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `EFI_GLOBAL_VARIABLE`.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Attributes before the value of each variable, in bytes.
const ATTRIBUTES: usize = 4;
/// Non-volatile, boot services, runtime.
const ALL_TIMES: [u8; ATTRIBUTES] = [0x07, 0, 0, 0];
/// Longest variable that is read, in bytes.
const MAX_VARIABLE: u64 = 8 * 1_024;
/// `LOAD_OPTION_ACTIVE`.
const ACTIVE: u8 = 1;

/// Device path nodes: type and subtype.
const HARD_DRIVE: (u8, u8) = (4, 1);
const CD_ROM: (u8, u8) = (4, 2);
const USB: (u8, u8) = (3, 5);
const MAC_ADDRESS: (u8, u8) = (3, 11);
const URI: (u8, u8) = (3, 24);

/// Sets `BootNext` to an entry that is no disk: a drive for media first, then USB, then the network. Of several, the
/// one of this number, counted round. The entry's name, or none where firmware has no such entry.
///
/// # Errors
/// What the file system says; firmware without variables has no folder.
pub(super) fn set(variables: &Path, number: usize) -> io::Result<Option<String>> {
    let order = read(variables, "BootOrder")?;
    let mut entries: Vec<(u8, u16, String)> = Vec::new();
    for pair in order.chunks_exact(2) {
        let Some(id) = pair.try_into().ok().map(u16::from_le_bytes) else { continue };
        // An entry of the order may be missing.
        let Ok(option) = read(variables, &format!("Boot{id:04X}")) else { continue };
        if let Some((rank, name)) = judge(&option) {
            entries.push((rank, id, name));
        }
    }
    entries.sort_by_key(|(rank, ..)| *rank);
    let Some((_, id, name)) = number.checked_rem(entries.len()).and_then(|at| entries.get(at)) else {
        return Ok(None);
    };
    write(variables, "BootNext", &id.to_le_bytes())?;
    Ok(Some(name.clone()))
}

fn read(variables: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(variables.join(format!("{name}-{GLOBAL}")))?.take(MAX_VARIABLE).read_to_end(&mut bytes)?;
    Ok(bytes.get(ATTRIBUTES..).unwrap_or_default().to_vec())
}

fn write(variables: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let path = variables.join(format!("{name}-{GLOBAL}"));
    if path.try_exists()? {
        match sys::clear_immutable(&File::open(&path)?) {
            // Not a file system with flags: nothing protects the file there.
            Err(error) if error.raw_os_error() != Some(nix::libc::ENOTTY) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::remove_file(&path)?;
    }
    let record = [&ALL_TIMES, value].concat();
    // efivarfs takes one write as one variable.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(&record)
}

/// How much sooner than others this entry is tried, and its name; none for disks and what is switched off.
fn judge(option: &[u8]) -> Option<(u8, String)> {
    let (head, rest) = option.split_first_chunk::<6>()?;
    if head.first()? & ACTIVE == 0 {
        return None;
    }
    let units: Vec<u16> = rest
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok())
        .map(u16::from_le_bytes)
        .take_while(|unit| *unit != 0)
        .collect();
    let name: String =
        String::from_utf16_lossy(&units).chars().filter(|c| !c.is_control()).take(64).collect();
    let path = rest.get(units.len().checked_add(1)?.checked_mul(2)?..)?;
    let nodes = nodes(path);
    let has = |node| nodes.contains(&node);
    let upper = name.to_ascii_uppercase();
    let named = |words: [&str; 3]| words.iter().any(|word| upper.contains(word));
    let rank = if has(HARD_DRIVE) {
        return None;
    } else if has(CD_ROM) || named(["DVD", "CD-ROM", "CDROM"]) {
        0
    } else if has(USB) {
        1
    } else if has(MAC_ADDRESS) || has(URI) || named(["PXE", "HTTP", "IPV4"]) {
        2
    } else {
        return None;
    };
    Some((rank, name))
}

/// Type and subtype of each node, up to the end or what is broken.
fn nodes(mut path: &[u8]) -> Vec<(u8, u8)> {
    let mut found = Vec::new();
    while let Some(([kind, subtype, low, high], _)) = path.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if *kind == 0x7f || length < 4 {
            break;
        }
        found.push((*kind, *subtype));
        path = path.get(length..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry with these nodes.
    fn entry(active: bool, name: &str, path: &[(u8, u8)]) -> Vec<u8> {
        let mut bytes = vec![7, 0, 0, 0, u8::from(active), 0, 0, 0, 0, 0];
        bytes.extend(name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        for (kind, subtype) in path {
            bytes.extend([*kind, *subtype, 6, 0, 0xff, 0xff]);
        }
        bytes.extend([0x7f, 0xff, 4, 0]);
        bytes
    }

    fn firmware(entries: &[Vec<u8>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            fs::write(folder.path().join(format!("{name}-{GLOBAL}")), bytes).unwrap()
        };
        let mut order = ALL_TIMES.to_vec();
        for (id, bytes) in (0_u16..).zip(entries) {
            order.extend(id.to_le_bytes());
            put(&format!("Boot{id:04X}"), bytes);
        }
        // One that is not there any more.
        order.extend(0x00ab_u16.to_le_bytes());
        put("BootOrder", &order);
        folder
    }

    fn next(folder: &Path) -> Vec<u8> {
        fs::read(folder.join(format!("BootNext-{GLOBAL}"))).unwrap()
    }

    #[test]
    fn media_come_before_the_network_and_disks_never() {
        let folder = firmware(&[
            entry(true, "debian", &[(2, 1), (1, 1), HARD_DRIVE, (4, 4)]),
            entry(true, "UEFI PXEv4", &[(2, 1), (1, 1), MAC_ADDRESS]),
            entry(false, "UEFI DVD-ROM off", &[(2, 1)]),
            entry(true, "UEFI QEMU DVD-ROM QM00003", &[(2, 1), (1, 1), (3, 18)]),
            entry(true, "UEFI QEMU HARDDISK", &[(2, 1), (1, 1), (3, 18)]),
        ]);
        let set = |number| set(folder.path(), number).unwrap();
        assert_eq!(set(0).as_deref(), Some("UEFI QEMU DVD-ROM QM00003"));
        assert_eq!(next(folder.path()), [7, 0, 0, 0, 3, 0]);
        assert_eq!(set(1).as_deref(), Some("UEFI PXEv4"), "the drive was empty");
        assert_eq!(next(folder.path()), [7, 0, 0, 0, 1, 0]);
        assert_eq!(set(2).as_deref(), Some("UEFI QEMU DVD-ROM QM00003"));
    }

    #[test]
    fn firmware_without_such_an_entry_is_left_alone() {
        let folder = firmware(&[
            entry(true, "disk", &[HARD_DRIVE]),
            vec![1, 2],
            vec![7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 65],
        ]);
        assert_eq!(set(folder.path(), 0).unwrap(), None);
        assert!(!folder.path().join(format!("BootNext-{GLOBAL}")).exists());
        assert!(set(&folder.path().join("absent"), 0).is_err());
    }

    #[test]
    fn a_broken_device_path_ends_where_it_breaks() {
        assert_eq!(nodes(&[3, 11, 6, 0, 1, 1, 3, 5, 0, 0]), [(3, 11)]);
        assert_eq!(nodes(&[3, 11, 99, 0]), [(3, 11)]);
        assert_eq!(nodes(&[]), []);
    }
}
