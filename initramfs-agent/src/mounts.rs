//! The pseudo file systems every later phase stands on, as one table.
//!
//! Order matters: `/dev` comes first because in a static binary the random number generators
//! fall back to `/dev/urandom` (measured: they panic without it), and `/proc` before whatever
//! reads it. The kernel does not mount devtmpfs by itself for an initramfs.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where EFI variables live once [`mount_efivars`] succeeded.
pub(crate) const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// One row of the table.
struct Row {
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
}

const STRICT: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Mounted in this order.
const TABLE: [Row; 7] = [
    Row {
        target: "/dev",
        kind: "devtmpfs",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: "mode=0755",
    },
    Row { target: "/proc", kind: "proc", flags: STRICT, data: "" },
    Row { target: "/sys", kind: "sysfs", flags: STRICT, data: "" },
    Row {
        target: "/run",
        kind: "tmpfs",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        data: "mode=0755",
    },
    Row {
        target: "/tmp",
        kind: "tmpfs",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        data: "mode=1777",
    },
    Row {
        target: "/dev/pts",
        kind: "devpts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: "mode=0620,ptmxmode=0666",
    },
    Row { target: "/sys/kernel/security", kind: "securityfs", flags: STRICT, data: "" },
];

/// Links that programs expect in `/dev`: name and target.
const DEV_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Why a file system is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The mount point cannot be made.
    #[error("cannot make the directory {target}; the image is damaged, download the medium again")]
    Directory {
        /// Mount point.
        target: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses the mount.
    #[error("cannot mount {kind} on {target}; this kernel lacks {kind}, use the kernel of the medium")]
    Refused {
        /// File system type.
        kind: &'static str,
        /// Mount point.
        target: String,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A copy without secrets cannot be put in place.
    #[error("cannot hide the token of the kernel command line from {target}")]
    Cover {
        /// What should have been covered.
        target: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Mounts everything in the table. Goes on after a failure: a machine without `/tmp` can still
/// show why it is stuck. What was already mounted is fine.
pub(crate) fn mount_all() -> Vec<MountError> {
    let mut problems: Vec<MountError> = TABLE.iter().filter_map(|row| mount_row(row).err()).collect();
    for (name, target) in DEV_LINKS {
        match symlink(target, name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => problems.push(MountError::Directory { target: name.to_owned(), source }),
        }
    }
    problems
}

/// Mounts efivarfs where firmware is UEFI; `false` on BIOS. The `efivarfs` module must be
/// loaded first: it is not built into Debian's kernel.
///
/// # Errors
/// [`MountError::Refused`] when the kernel has no efivarfs.
pub(crate) fn mount_efivars() -> Result<bool, MountError> {
    if !Path::new("/sys/firmware/efi").is_dir() {
        return Ok(false);
    }
    // sysfs offers the directory; making it is neither needed nor possible.
    mount_one("efivarfs", EFIVARS, STRICT, "")?;
    Ok(true)
}

/// Covers `/proc/cmdline` with a copy that has no secrets (`spec/security.md` 3.5), so that a
/// task's log or a shell cannot carry the token away by accident.
///
/// # Errors
/// [`MountError::Cover`] with the step's cause.
pub(crate) fn cover_cmdline(redacted: &str) -> Result<(), MountError> {
    let (copy, target) = ("/run/cmdline", "/proc/cmdline");
    fs::write(copy, redacted).map_err(|source| MountError::Cover { target, source })?;
    cover(copy, target)
}

/// Puts the file `copy` over `target`, to be read and not written.
///
/// # Errors
/// [`MountError::Cover`] with the step's cause.
pub(crate) fn cover(copy: &str, target: &'static str) -> Result<(), MountError> {
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(Some(copy), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .and_then(|()| mount(None::<&str>, target, None::<&str>, read_only, None::<&str>))
        .map_err(|errno| MountError::Cover { target, source: errno.into() })
}

fn mount_row(row: &Row) -> Result<(), MountError> {
    // The kernel makes the mount points below /sys by itself.
    if !row.target.starts_with("/sys/") {
        fs::create_dir_all(row.target)
            .map_err(|source| MountError::Directory { target: row.target.to_owned(), source })?;
    }
    mount_one(row.kind, row.target, row.flags, row.data)
}

fn mount_one(kind: &'static str, target: &str, flags: MsFlags, data: &'static str) -> Result<(), MountError> {
    match mount(Some(kind), target, Some(kind), flags, Some(data)) {
        // EBUSY: mounted already, by an earlier stage or by a container.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(source) => Err(MountError::Refused { kind, target: target.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_is_mounted_before_anything_that_wants_randomness() {
        assert_eq!(TABLE.first().unwrap().target, "/dev");
        let position = |target: &str| TABLE.iter().position(|row| row.target == target).unwrap();
        assert!(position("/dev") < position("/dev/pts"));
        assert!(position("/sys") < position("/sys/kernel/security"));
    }

    #[test]
    fn refused_mount_names_the_file_system_and_the_remedy() {
        let error =
            MountError::Refused { kind: "devtmpfs", target: "/dev".to_owned(), source: Errno::ENODEV };
        assert_eq!(
            error.to_string(),
            "cannot mount devtmpfs on /dev; this kernel lacks devtmpfs, use the kernel of the medium"
        );
    }
}
