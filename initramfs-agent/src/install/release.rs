//! Takes chosen disks out of use: arrays, groups and ciphers on them are stopped, unless something is mounted from
//! them, or they are on a disk as well that is kept.

use super::tool::{Tool, ToolError};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BLOCK: &str = "/sys/class/block";
const MOUNTS: &str = "/proc/thread-self/mountinfo";
const SWAPS: &str = "/proc/swaps";

/// Why a disk cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// Something is mounted from it.
    #[error("{device} is in use: {what}; unmount it, or restart the machine, and start the run again")]
    InUse {
        /// The device.
        device: String,
        /// How it is used.
        what: String,
    },
    /// A part of something that is on a kept disk as well.
    #[error("{device} is also on {other}, which is kept: stop it first, or choose that disk as well")]
    Shared {
        /// Array or group.
        device: String,
        /// The other disk.
        other: String,
    },
    /// Something on it that nobody knows to stop.
    #[error("{0} is on the disk, and nobody knows how to stop it; restart the machine")]
    Unknown(String),
    /// The kernel does not tell.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A program fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Takes these disks out of use.
///
/// # Errors
/// [`ReleaseError`]; nothing was stopped unless a program fails.
pub(super) fn release(disks: &[String]) -> Result<(), ReleaseError> {
    let mut own: Vec<String> = Vec::new();
    for disk in disks {
        own.push(disk.clone());
        own.extend(partitions(disk)?);
    }
    let bare = own.len();
    let mut at = 0;
    while let Some(device) = own.get(at).cloned() {
        for holder in names(&place(&device).join("holders"))? {
            if !own.contains(&holder) {
                own.push(holder);
            }
        }
        at += 1;
    }
    let held: BTreeSet<&String> = own.iter().collect();
    for holder in own.iter().skip(bare) {
        if let Some(other) =
            names(&place(holder).join("slaves"))?.into_iter().find(|name| !held.contains(name))
        {
            return Err(ReleaseError::Shared { device: holder.clone(), other });
        }
    }
    for device in &own {
        if let Some(what) = usage(device)? {
            return Err(ReleaseError::InUse { device: device.clone(), what });
        }
    }
    // What was found last lies on what was found before.
    own.iter().skip(bare).rev().try_for_each(|holder| stop(holder))
}

fn stop(holder: &str) -> Result<(), ReleaseError> {
    let device = Path::new("/dev").join(holder);
    if place(holder).join("md").exists() {
        Tool::new("mdadm", &device).arg("--stop").on_device().run()?;
        return Ok(());
    }
    let path = place(holder).join("dm/name");
    match fs::read_to_string(&path) {
        Ok(name) => {
            Tool::new("dmsetup", &device).with(["remove", "--retry", name.trim()]).run()?;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ReleaseError::Unknown(holder.to_owned()))
        }
        Err(error) => Err(ReleaseError::Read(path, error)),
    }
}

/// Partitions of a disk, as the kernel knows them.
pub(super) fn partitions(disk: &str) -> Result<Vec<String>, ReleaseError> {
    let folder = place(disk);
    let is_partition = |name: &String| folder.join(name).join("partition").exists();
    Ok(names(&folder)?.into_iter().filter(is_partition).collect())
}

fn place(device: &str) -> PathBuf {
    Path::new(BLOCK).join(device)
}

/// Names in a folder; none where it is not there.
fn names(folder: &Path) -> Result<Vec<String>, ReleaseError> {
    let failed = |error| ReleaseError::Read(folder.to_owned(), error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // The kernel's names are plain ASCII.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// How a device is used now.
fn usage(device: &str) -> Result<Option<String>, ReleaseError> {
    let read =
        |path: &Path| fs::read_to_string(path).map_err(|error| ReleaseError::Read(path.to_owned(), error));
    let number = read(&place(device).join("dev"))?;
    let path = format!("/dev/{device}");
    let mounts = read(Path::new(MOUNTS))?;
    let swaps = match fs::read_to_string(SWAPS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        swaps => swaps.map_err(|error| ReleaseError::Read(SWAPS.into(), error))?,
    };
    Ok(mounted_at(&mounts, number.trim(), &path).or_else(|| {
        let own = |line: &str| line.split_whitespace().next() == Some(&path);
        swaps.lines().any(own).then(|| "it is swap".to_owned())
    }))
}

/// Where a device is mounted by `mountinfo`: by its number, or by its name, since Btrfs has a number of its own
/// (`Documentation/filesystems/proc.rst` 3.5).
fn mounted_at(mounts: &str, number: &str, path: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(2);
        let own = head.next()? == number || tail.split(' ').nth(1)? == path;
        own.then(|| head.nth(1).map(|place| format!("it is mounted at {place}")))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number_and_by_name() {
        let mounts =
            "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n23 22 0:31 /sub /srv rw shared:1 - btrfs /dev/sdb1 rw\n";
        assert_eq!(mounted_at(mounts, "8:2", "/dev/sda2").as_deref(), Some("it is mounted at /"));
        assert_eq!(mounted_at(mounts, "8:17", "/dev/sdb1").as_deref(), Some("it is mounted at /srv"));
        assert_eq!(mounted_at(mounts, "8:1", "/dev/sda1"), None);
    }
}
