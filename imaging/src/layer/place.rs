//! Walks from the root to a folder, one component at a time, and never through a link.

use super::folders::Folders;
use super::path::Path;
use super::remove::Seen;
use super::{Problem, shown};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, mkdirat, openat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What to do on the way where it is new.
pub(super) type Making<'a> = Option<(&'a mut Folders, &'a mut Seen)>;

/// Keeps the folders on the way to where it was last: archives go on where they were.
#[derive(Debug)]
pub(super) struct Walker {
    root: Arc<OwnedFd>,
    stack: Vec<(Vec<u8>, Arc<OwnedFd>)>,
}

impl Walker {
    pub(super) fn new(root: Arc<OwnedFd>) -> Self {
        Self { root, stack: Vec::new() }
    }

    /// The folder that a path is in.
    pub(super) fn parent(&mut self, path: &Path, making: Making<'_>) -> Result<Arc<OwnedFd>, Problem> {
        self.open(&path.folder(), making)
    }

    /// A folder. When making, what is missing on the way is made, and what is there is noted, since its time will
    /// change.
    pub(super) fn open(&mut self, folder: &Path, mut making: Making<'_>) -> Result<Arc<OwnedFd>, Problem> {
        let known = self.stack.iter().zip(folder.components()).take_while(|((name, _), part)| name == part);
        let known = known.count();
        self.stack.truncate(known);
        let mut current = self.stack.last().map_or_else(|| self.root.clone(), |(_, fd)| fd.clone());
        if let Some((folders, _)) = making.as_mut().filter(|_| folder.is_root()) {
            folders.touch(folder, current.as_fd())?;
        }
        let mut so_far = Path::default();
        for (number, part) in folder.components().enumerate() {
            so_far = so_far.join(part);
            if number < known {
                continue;
            }
            current = Arc::new(step(current.as_fd(), part, &so_far, &mut making)?);
            self.stack.push((part.to_vec(), current.clone()));
            if let Some((folders, _)) = &mut making {
                folders.touch(&so_far, current.as_fd())?;
            }
        }
        Ok(current)
    }

    /// Lets go of a path and what is below.
    pub(super) fn forget(&mut self, path: &Path) {
        let same = self.stack.iter().zip(path.components()).take_while(|((name, _), part)| name == part);
        let (same, depth) = (same.count(), path.components().count());
        if same == depth {
            self.stack.truncate(depth.saturating_sub(1));
        }
    }
}

fn step(
    parent: BorrowedFd<'_>,
    part: &[u8],
    path: &Path,
    making: &mut Making<'_>,
) -> Result<OwnedFd, Problem> {
    match (open_folder(parent, part), making) {
        (Err(Errno::NOENT), Some((_, seen))) => {
            mkdirat(parent, part, Mode::RWXU)?;
            seen.insert(path);
            let made = open_folder(parent, part)?;
            fchmod(&made, Mode::from_raw_mode(0o755))?;
            Ok(made)
        }
        (Err(Errno::NOTDIR | Errno::LOOP), _) => {
            let found = statat(parent, part, AtFlags::SYMLINK_NOFOLLOW)?;
            let at = shown(path.as_bytes());
            let is_link = FileType::from_raw_mode(found.st_mode).is_symlink();
            Err(if is_link { Problem::ThroughLink(at) } else { Problem::NotAFolder(at) })
        }
        (opened, _) => Ok(opened?),
    }
}

/// Opens a folder itself, and nothing that a link of this name leads to.
pub(super) fn open_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Whether there is a folder of this name.
pub(super) fn is_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode).is_dir())
}

/// Fails when there is nothing of this name.
pub(super) fn exists(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Problem> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
