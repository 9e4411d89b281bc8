//! Files of the target's tree. Whoever made the image chose every name and link in it, so each path is opened
//! beneath the tree by the kernel: a link to `/` or `../..` leads to the tree's own root and never out of it.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, syncfs, unlinkat};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Most names of a folder that are looked at.
const MAX_NAMES: usize = 10_000;
/// What a file is called until it is whole.
const NEW: &str = ".muster-new";
const FOLDER: Mode = Mode::from_bits_truncate(0o755);

/// Why a file of the target cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path} in the target")]
pub(crate) struct TreeError {
    /// What was tried.
    what: &'static str,
    /// Its path in the tree.
    path: String,
    /// What the kernel said.
    #[source]
    source: io::Error,
}

impl TreeError {
    pub(super) fn of(what: &'static str, path: &str, source: impl Into<io::Error>) -> Self {
        Self { what, path: path.to_owned(), source: source.into() }
    }
}

/// A tree of files. Paths are from its root on, with or without a `/` before them.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

impl Tree {
    /// The tree at `place`.
    ///
    /// # Errors
    /// [`TreeError`] when there is no such folder.
    pub(crate) fn open(place: &Path) -> Result<Self, TreeError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(place, flags, Mode::empty());
        let root = root.map_err(|error| TreeError::of("open", &place.display().to_string(), error))?;
        Ok(Self { root })
    }

    /// Opens something that is there, wherever links within the tree lead; `None` where nothing is.
    fn look(&self, path: &str, flags: OFlag) -> Result<Option<OwnedFd>, Errno> {
        // A pipe or a device would hold whoever opens it.
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let path = if path.is_empty() { "/" } else { path };
        match openat2(&self.root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A regular file to read; `None` where there is none.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn file(&self, path: &str) -> Result<Option<File>, TreeError> {
        let failed = |error: io::Error| TreeError::of("read", path, error);
        let Some(found) = self.look(path, OFlag::O_RDONLY).map_err(|error| failed(error.into()))? else {
            return Ok(None);
        };
        let file = File::from(found);
        let is_file = file.metadata().map_err(failed)?.is_file();
        Ok(is_file.then_some(file))
    }

    /// A file's bytes, at most `most`; `None` where there is none.
    ///
    /// # Errors
    /// [`TreeError`], also for a longer file.
    pub(crate) fn bytes(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let Some(file) = self.file(path)? else { return Ok(None) };
        let failed = |error| TreeError::of("read", path, error);
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
            Ok(Some(bytes))
        } else {
            Err(failed(io::ErrorKind::FileTooLarge.into()))
        }
    }

    /// A file's text; empty where there is none. What is no text is replaced.
    ///
    /// # Errors
    /// As [`Tree::bytes`].
    pub(crate) fn text(&self, path: &str, most: u64) -> Result<String, TreeError> {
        let bytes = self.bytes(path, most)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is a regular file.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn has(&self, path: &str) -> Result<bool, TreeError> {
        Ok(self.file(path)?.is_some())
    }

    /// Names in a folder, sorted; none where there is none. Names that are no text are left out.
    ///
    /// # Errors
    /// [`TreeError`], also for more names than any folder has that we look into.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let failed = |error: Errno| TreeError::of("list", path, error);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let Some(folder) = self.look(path, flags).map_err(failed)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in Dir::from_fd(folder).map_err(failed)? {
            if names.len() >= MAX_NAMES {
                return Err(failed(Errno::E2BIG));
            }
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | ".."));
            names.extend(name.map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A folder, made with those above it where they are missing.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn folder(&self, path: &str) -> Result<OwnedFd, TreeError> {
        self.folder_of_mode(path, FOLDER)
    }

    /// The same; what is made of it is for nobody but its mode.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn folder_of_mode(&self, path: &str, mode: Mode) -> Result<OwnedFd, TreeError> {
        let failed = |error: Errno| TreeError::of("make the folder", path, error);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let mut way = String::from("/");
        let mut folder = self.look(&way, flags).map_err(failed)?.ok_or_else(|| failed(Errno::ENOENT))?;
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            if matches!(part, "." | "..") {
                return Err(failed(Errno::EINVAL));
            }
            way.push_str(part);
            folder = match self.look(&way, flags).map_err(failed)? {
                Some(there) => there,
                None => {
                    let mode = if parts.peek().is_some() { FOLDER } else { mode };
                    mkdirat(folder.as_fd(), part, mode).map_err(failed)?;
                    self.look(&way, flags).map_err(failed)?.ok_or_else(|| failed(Errno::ENOENT))?
                }
            };
            way.push('/');
        }
        Ok(folder)
    }

    /// Puts a file, whole or not at all, in place of whatever had its name; a link there is replaced, not
    /// followed. It is on the disk after [`Tree::sync`].
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn put(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), TreeError> {
        self.put_from(path, &mut io::Cursor::new(bytes), mode)
    }

    /// The same from a reader.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn put_from(&self, path: &str, from: &mut impl Read, mode: u32) -> Result<(), TreeError> {
        let failed = |error: io::Error| TreeError::of("write", path, error);
        let (folder, name) = self.parent(path)?;
        let mut write = || -> io::Result<()> {
            remove(&folder, NEW, UnlinkatFlags::NoRemoveDir)?;
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut file = File::from(openat(&folder, NEW, flags, Mode::from_bits_truncate(0o600))?);
            io::copy(from, &mut file)?;
            file.flush()?;
            fchmod(&file, Mode::from_bits_truncate(mode))?;
            drop(file);
            Ok(renameat(&folder, NEW, &folder, name)?)
        };
        write().map_err(failed)
    }

    /// Puts a link that leads to `target`, in place of whatever had its name.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn link(&self, path: &str, target: &str) -> Result<(), TreeError> {
        let failed = |error: Errno| TreeError::of("link", path, error);
        let (folder, name) = self.parent(path)?;
        remove(&folder, name, UnlinkatFlags::NoRemoveDir).map_err(failed)?;
        symlinkat(target, &folder, name).map_err(failed)
    }

    /// Removes a file or a link, if it is there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn remove(&self, path: &str) -> Result<(), TreeError> {
        let failed = |error: Errno| TreeError::of("remove", path, error);
        let (way, name) = split(path);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        match self.look(way, flags).map_err(failed)? {
            Some(folder) => remove(&folder, name, UnlinkatFlags::NoRemoveDir).map_err(failed),
            None => Ok(()),
        }
    }

    /// What has this name itself, a link not followed; `None` where nothing has it.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn kind(&self, path: &str) -> Result<Option<SFlag>, TreeError> {
        let failed = |error: Errno| TreeError::of("look at", path, error);
        let (way, name) = split(path);
        let Some(folder) = self.look(way, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)? else {
            return Ok(None);
        };
        match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(FileStat { st_mode, .. }) => {
                Ok(Some(SFlag::from_bits_truncate(st_mode & SFlag::S_IFMT.bits())))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Has everything of the root's file system on the disk.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn sync(&self) -> Result<(), TreeError> {
        syncfs(&self.root).map_err(|error| TreeError::of("keep", "/", error))
    }

    /// Where the kernel finds an open folder of the tree by a path.
    pub(crate) fn path_of(folder: &OwnedFd) -> String {
        format!("/proc/self/fd/{}", folder.as_raw_fd())
    }

    fn parent<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), TreeError> {
        let (way, name) = split(path);
        if matches!(name, "" | "." | "..") {
            return Err(TreeError::of("write", path, Errno::EINVAL));
        }
        Ok((self.folder(way)?, name))
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn remove(folder: &OwnedFd, name: &str, flags: UnlinkatFlags) -> Result<(), Errno> {
    match unlinkat(folder, name, flags) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    /// A folder with `target` and `outside` in it.
    fn yard() -> (tempfile::TempDir, Tree, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["target", "outside"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let tree = Tree::open(&folder.path().join("target")).unwrap();
        let outside = folder.path().join("outside");
        (folder, tree, outside)
    }

    #[test]
    fn links_of_a_hostile_image_lead_nowhere_but_into_the_image() {
        let (folder, tree, outside) = yard();
        let root = folder.path().join("target");
        fs::create_dir_all(root.join("var/lib")).unwrap();
        symlink("/", root.join("var/lib/cloud")).unwrap();
        symlink("../../../../outside", root.join("etc")).unwrap();
        symlink(&outside, root.join("boot")).unwrap();
        fs::write(outside.join("secret"), "no").unwrap();

        tree.put("/var/lib/cloud/seed/nocloud/user-data", b"data", 0o600).unwrap();
        assert_eq!(fs::read(root.join("seed/nocloud/user-data")).unwrap(), b"data");
        // Both lead to a folder that the image does not have.
        for path in ["/etc/hostname", "/boot/grub/grub.cfg"] {
            assert!(tree.put(path, b"x", 0o644).is_err(), "{path}");
            assert_eq!(tree.bytes(path, 10).unwrap(), None);
        }
        assert_eq!(tree.text("/boot/secret", 10).unwrap(), "");
        assert_eq!(tree.text("../outside/secret", 10).unwrap(), "");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert!(tree.folder("/a/../b").is_err());
    }

    #[test]
    fn a_file_takes_the_place_of_a_link_and_of_a_pipe_without_touching_what_they_lead_to() {
        let (folder, tree, outside) = yard();
        let root = folder.path().join("target");
        fs::write(outside.join("passwd"), "host").unwrap();
        symlink(outside.join("passwd"), root.join("hostname")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(!tree.has("pipe").unwrap(), "and nobody waits for it");
        for name in ["hostname", "pipe"] {
            tree.put(name, b"db-07\n", 0o640).unwrap();
            let metadata = fs::symlink_metadata(root.join(name)).unwrap();
            assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o640);
        }
        assert_eq!(fs::read_to_string(outside.join("passwd")).unwrap(), "host");
        tree.link("hostname", "/etc/other").unwrap();
        assert_eq!(fs::read_link(root.join("hostname")).unwrap(), Path::new("/etc/other"));
        tree.remove("hostname").unwrap();
        tree.remove("hostname").unwrap();
        tree.remove("nowhere/at/all").unwrap();
        assert_eq!(tree.names("/").unwrap(), ["pipe"]);
        assert_eq!(tree.kind("pipe").unwrap(), Some(SFlag::S_IFREG));
        assert_eq!(tree.kind("nowhere/at/all").unwrap(), None);
    }

    #[test]
    fn what_an_attempt_left_behind_is_no_hindrance_and_a_long_file_is_refused() {
        let (folder, tree, _) = yard();
        let root = folder.path().join("target");
        symlink("/etc/passwd", root.join(NEW)).unwrap();
        tree.put("/note", b"12345", 0o644).unwrap();
        assert_eq!(tree.bytes("/note", 5).unwrap().unwrap(), b"12345");
        assert!(tree.bytes("/note", 4).is_err());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        tree.sync().unwrap();
    }
}
