//! Owners, modes, extended attributes and times.

use super::archive::{Entry, Kind};
use super::pax::Time;
use super::{Problem, shown};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, lsetxattr, utimensat,
};
use rustix::process::geteuid;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Attributes that only root may set: a program's rights, and SELinux' label.
const PRIVILEGED: [&[u8]; 2] = [b"security.capability", b"security.selinux"];
/// Access lists, as Linux stores them.
const ACCESS_LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
const USER: &[u8] = b"user.";

/// What an archive says of a file beside its contents and time.
#[derive(Debug)]
pub(super) struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, xattrs: entry.xattrs.clone() }
    }

    /// Memory for them, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.xattrs.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
    }
}

/// Whether owners can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ownership {
    is_root: bool,
}

impl Ownership {
    pub(super) fn of_this_process() -> Self {
        Self { is_root: geteuid().is_root() }
    }

    /// Everything of an open file.
    pub(super) fn apply_file(self, file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Problem> {
        self.apply_parts(file, entry.mode, (entry.uid, entry.gid), &entry.xattrs)?;
        self.set_time(file, entry.mtime)
    }

    /// Everything of an open folder but its time.
    pub(super) fn apply(self, folder: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Problem> {
        let owner = (attributes.uid, attributes.gid);
        self.apply_parts(folder, attributes.mode, owner, &attributes.xattrs)
    }

    /// A change of owner takes set-user-id and capabilities away: those come after it.
    fn apply_parts(
        self,
        file: BorrowedFd<'_>,
        mode: u32,
        (uid, gid): (u32, u32),
        xattrs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), Problem> {
        if self.is_root {
            fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        fchmod(file, Mode::from_raw_mode(mode))?;
        for (name, value) in xattrs.iter().filter(|(name, _)| self.takes(name)) {
            let set = fsetxattr(file, name.as_slice(), value, XattrFlags::empty());
            set.map_err(|errno| attribute(name, errno))?;
        }
        Ok(())
    }

    /// Everything of what has no contents.
    pub(super) fn apply_special(
        self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Problem> {
        let is_link = matches!(entry.kind, Kind::Symlink(_));
        if self.is_root {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !is_link {
            chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        }
        for (attribute_name, value) in entry.xattrs.iter().filter(|(name, _)| self.takes(name)) {
            // There is no such call relative to a folder; /proc leads to it, and its name is not followed.
            let folder = format!("/proc/self/fd/{}/", parent.as_raw_fd());
            let path = [folder.as_bytes(), name].concat();
            let set = lsetxattr(path.as_slice(), attribute_name.as_slice(), value, XattrFlags::empty());
            set.map_err(|errno| attribute(attribute_name, errno))?;
        }
        utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    pub(super) fn set_time(self, file: BorrowedFd<'_>, mtime: Time) -> Result<(), Problem> {
        Ok(futimens(file, &times(mtime))?)
    }

    /// Which attributes belong to a system. Those of overlayfs and of other systems do not.
    fn takes(self, name: &[u8]) -> bool {
        let privileged = self.is_root && PRIVILEGED.contains(&name);
        privileged || ACCESS_LISTS.contains(&name) || name.starts_with(USER)
    }
}

fn attribute(name: &[u8], errno: rustix::io::Errno) -> Problem {
    Problem::Attribute { name: shown(name), source: errno.into() }
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}
