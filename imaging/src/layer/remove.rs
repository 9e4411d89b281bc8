//! Removes what an entry replaces, and what a whiteout hides.

use super::path::Path;
use super::place::{is_folder, open_folder};
use super::{MAX_DEPTH, Problem};
use rustix::fs::{AtFlags, Dir, unlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd, BorrowedFd};

/// Hashes of paths, of 128 bits and under keys of this process: 16 bytes for each path, and no two that an image
/// could make equal.
#[derive(Debug, Default)]
pub(super) struct Hashes(RandomState, RandomState);

impl Hashes {
    pub(super) fn of(&self, path: &Path) -> u128 {
        let (high, low) = (self.0.hash_one(path), self.1.hash_one(path));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The paths that the current layer brought.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hashes: Hashes,
    paths: HashSet<u128>,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        self.paths.clear();
    }

    pub(super) fn insert(&mut self, path: &Path) {
        self.paths.insert(self.hashes.of(path));
    }

    fn contains(&self, path: &Path) -> bool {
        self.paths.contains(&self.hashes.of(path))
    }
}

/// Removes a name and all that is below.
pub(super) fn whole(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Problem> {
    let remove_all = |_: &Path| false;
    below(parent, name, &Path::default(), &remove_all, 0).map(|_| ())
}

/// Removes what lower layers have under a path, whose folder is `parent`.
pub(super) fn lower(parent: BorrowedFd<'_>, path: &Path, seen: &Seen) -> Result<(), Problem> {
    below(parent, path.file_name()?, path, &|path: &Path| seen.contains(path), 0).map(|_| ())
}

/// Removes what lower layers have in an open folder.
pub(super) fn lower_contents(folder: BorrowedFd<'_>, path: &Path, seen: &Seen) -> Result<(), Problem> {
    inside(folder, path, &|path: &Path| seen.contains(path), 0).map(|_| ())
}

/// Removes a name, but what is kept and the folders on the way to that. Answers whether anything was removed.
fn below(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &Path,
    keeps: &dyn Fn(&Path) -> bool,
    depth: usize,
) -> Result<bool, Problem> {
    match is_folder(parent, name) {
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
        Ok(false) if keeps(path) => Ok(false),
        Ok(false) => Ok(unlinkat(parent, name, AtFlags::empty()).map(|()| true)?),
        Ok(true) => {
            let removed = inside(open_folder(parent, name)?.as_fd(), path, keeps, depth)?;
            if keeps(path) {
                return Ok(removed);
            }
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(true),
                // Something in it is kept.
                Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(removed),
                Err(errno) => Err(errno.into()),
            }
        }
    }
}

/// Reads a folder again after names were removed, since it need not show all then.
fn inside(
    folder: BorrowedFd<'_>,
    path: &Path,
    keeps: &dyn Fn(&Path) -> bool,
    depth: usize,
) -> Result<bool, Problem> {
    // Nothing that we unpack is deeper.
    if depth > MAX_DEPTH {
        return Err(Problem::Path);
    }
    let mut any = false;
    loop {
        let mut removed = false;
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                removed |= below(folder, name, &path.join(name), keeps, depth + 1)?;
            }
        }
        if !removed {
            return Ok(any);
        }
        any = true;
    }
}
