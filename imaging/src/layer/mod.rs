//! Tar archives and OCI layers, unpacked beneath a folder and never beside it.
//!
//! Every path is walked from the folder's descriptor, component by component and without following a symbolic
//! link, so that nothing in an archive or in an earlier layer leads outside, whatever it is. An entry that would go
//! through a symbolic link is an error: tools that make images write the place where the file really is.
//! Layers come in one pass: nothing is kept but the hash of every path of the current layer (whiteouts
//! are for the layers below alone, in whatever order they stand) and its folders, whose times are set at its end.

mod archive;
mod contents;
mod folders;
mod inspect;
mod metadata;
mod path;
mod pax;
mod place;
mod remove;
mod sparse;

pub use inspect::inspect;

use archive::{Archive, Entry, Kind};
use contents::Contents;
use folders::Folders;
use metadata::Ownership;
use path::Path;
use place::Walker;
use remove::Seen;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use thiserror::Error;

/// Longest path, and longest target of a symbolic link, in bytes (Linux' `PATH_MAX`).
pub const MAX_NAME: usize = 4_096;
/// Most components of a path.
pub const MAX_DEPTH: usize = 128;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// What an [`Unpacker`] takes in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of files as they are stored in the archives, so without holes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, bytes: 1 << 40 }
    }
}

/// What `.wh.` names mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// They remove what is in lower layers (image-spec, `layer.md`).
    Apply,
    /// They are names like others: this is no layer.
    Plain,
}

/// What came out of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
}

/// Why an archive is not unpacked.
#[derive(Debug, Error)]
pub enum LayerError {
    /// What the archive comes from: the network, its digest or its compression.
    #[error("the archive could not be read")]
    Source(#[source] io::Error),
    /// Not tar, or not as it must be.
    #[error("the archive is not valid: {0}")]
    Archive(&'static str),
    /// A field of a header.
    #[error("the archive is not valid: the {0} of an entry cannot be")]
    Field(&'static str),
    /// Something that is no file.
    #[error("`{entry}` in the archive is of type `{}`, which is not known", .kind.escape_default())]
    Kind {
        /// Its path.
        entry: String,
        /// The type in its header.
        kind: char,
    },
    /// Too many.
    #[error("there are more than {0} files in the image")]
    Entries(u64),
    /// Too much.
    #[error("the files of the image have more than {0} bytes")]
    Bytes(u64),
    /// An entry that is not taken, or cannot be made.
    #[error("`{entry}` in the archive cannot be unpacked: {problem}")]
    Entry {
        /// Its path.
        entry: String,
        /// Why.
        problem: Problem,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Error)]
pub enum Problem {
    /// `..` in a path.
    #[error("its path leads outside by `..`")]
    Traversal,
    /// `/` before a path.
    #[error("its path is absolute; make the archive from within its root")]
    Absolute,
    /// A path that cannot be.
    #[error(
        "its path is empty, has more than {MAX_NAME} bytes, more than {MAX_DEPTH} parts, or one of more than 255 bytes"
    )]
    Path,
    /// A symbolic link on the way.
    #[error("`{0}` on its way is a symbolic link, and nothing is written through links")]
    ThroughLink(String),
    /// Something else on the way.
    #[error("`{0}` on its way is not a folder")]
    NotAFolder(String),
    /// A whiteout without a name.
    #[error("it is a whiteout of nothing")]
    Whiteout,
    /// A link that cannot be.
    #[error("the target of its link is empty or too long")]
    LinkTarget,
    /// A hard link whose target is not taken.
    #[error("its hard link leads to `{target}`: {problem}")]
    HardLink {
        /// The target.
        target: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// An attribute that cannot be set.
    #[error("its attribute `{name}` cannot be set: {source}")]
    Attribute {
        /// Name of the attribute.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its folders take too much memory.
    #[error("the layer has too many folders")]
    Folders,
    /// What the file system says.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl LayerError {
    /// What the file system said, where it is at fault: a full disk, or a broken one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Entry { problem: Problem::Io(error), .. } => Some(error),
            Self::Entry { .. } | Self::Source(_) | Self::Archive(_) => None,
            Self::Field(_) | Self::Kind { .. } | Self::Entries(_) | Self::Bytes(_) => None,
        }
    }

    fn at(path: &[u8], problem: Problem) -> Self {
        Self::Entry { entry: shown(path), problem }
    }
}

/// Unpacks archives beneath a folder.
#[derive(Debug)]
pub struct Unpacker {
    walker: Walker,
    /// Walks to the targets of hard links, which are elsewhere.
    targets: Walker,
    folders: Folders,
    seen: Seen,
    contents: Contents,
    ownership: Ownership,
    limits: Limits,
    total: Counts,
}

impl Unpacker {
    /// Unpacks beneath an open folder, which is the root of every path. As root, owners are set as well.
    pub fn beneath(root: OwnedFd, limits: Limits) -> Self {
        let root = Arc::new(root);
        Self {
            walker: Walker::new(root.clone()),
            targets: Walker::new(root),
            folders: Folders::default(),
            seen: Seen::default(),
            contents: Contents::default(),
            ownership: Ownership::of_this_process(),
            limits,
            total: Counts::default(),
        }
    }

    /// Unpacks an archive over what is there, and reads `source` to its end. Layers come lowest first.
    ///
    /// Nothing is flushed to the disk.
    ///
    /// # Errors
    /// [`LayerError`]; what was unpacked before stays.
    pub fn layer(&mut self, source: impl Read, whiteouts: Whiteouts) -> Result<Counts, LayerError> {
        let before = self.total;
        let mut archive = Archive::new(source);
        self.seen.clear();
        while let Some(entry) = archive.next()? {
            self.total.entries += 1;
            if self.total.entries > self.limits.entries {
                return Err(LayerError::Entries(self.limits.entries));
            }
            self.entry(&mut archive, entry, whiteouts)?;
        }
        self.folders.finish(&mut self.walker, self.ownership)?;
        Ok(Counts { entries: self.total.entries - before.entries, bytes: self.total.bytes - before.bytes })
    }

    fn entry<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        entry: Entry,
        whiteouts: Whiteouts,
    ) -> Result<(), LayerError> {
        let at = |problem| LayerError::at(&entry.path, problem);
        let path = Path::entry(&entry.path).map_err(at)?;
        if whiteouts == Whiteouts::Apply {
            if path.components().any(|part| part.starts_with(AUFS) && part != OPAQUE) {
                return Ok(());
            }
            if path.name().starts_with(WHITEOUT) {
                return self.whiteout(&path).map_err(at);
            }
        }
        match &entry.kind {
            Kind::File { size, fragments } => {
                let file = self.create(&path).map_err(at)?;
                let left = self.limits.bytes - self.total.bytes;
                let stored = self.contents.write(archive, &file, *size, fragments.as_deref(), left);
                self.total.bytes += stored.map_err(|failure| failure.of(&entry.path, self.limits.bytes))?;
                self.ownership.apply_file(file.as_fd(), &entry).map_err(at)
            }
            Kind::Directory => self.folder(&path, &entry).map_err(at),
            Kind::HardLink(target) => self.hard_link(&path, target).map_err(at),
            Kind::Symlink(_) | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                self.special(&path, &entry).map_err(at)
            }
        }
    }

    /// Makes something in its folder; what is there already is removed first.
    fn make<T>(
        &mut self,
        path: &Path,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Problem> {
        let name = path.file_name()?;
        self.seen.insert(path);
        let parent = self.walker.parent(path, Some((&mut self.folders, &mut self.seen)))?;
        match make(parent.as_fd(), name) {
            Err(Errno::EXIST) => {}
            made => return made.map_err(Problem::from),
        }
        remove::whole(parent.as_fd(), name)?;
        self.forget(path);
        make(parent.as_fd(), name).map_err(Problem::from)
    }

    /// Forgets what was below a path that is no more.
    fn forget(&mut self, path: &Path) {
        self.walker.forget(path);
        self.targets.forget(path);
        self.folders.forget(path);
    }

    fn create(&mut self, path: &Path) -> Result<std::fs::File, Problem> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.make(path, |parent, name| openat(parent, name, flags, Mode::RUSR | Mode::WUSR))?;
        Ok(file.into())
    }

    fn folder(&mut self, path: &Path, entry: &Entry) -> Result<(), Problem> {
        if path.is_root() {
            return self.folders.announce(path, entry);
        }
        let name = path.file_name()?;
        self.seen.insert(path);
        let parent = self.walker.parent(path, Some((&mut self.folders, &mut self.seen)))?;
        let made = mkdirat(parent.as_fd(), name, Mode::RWXU);
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) if place::is_folder(parent.as_fd(), name)? => {}
            Err(Errno::EXIST) => {
                remove::whole(parent.as_fd(), name)?;
                self.forget(path);
                mkdirat(parent.as_fd(), name, Mode::RWXU)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.folders.announce(path, entry)
    }

    /// A second name for what this archive or an earlier one brought.
    fn hard_link(&mut self, path: &Path, target: &[u8]) -> Result<(), Problem> {
        let leads = |problem| Problem::HardLink { target: shown(target), problem: Box::new(problem) };
        let to = Path::parse(target).map_err(leads)?;
        if to == *path {
            return Ok(());
        }
        let to_name = to.file_name().map_err(leads)?;
        let to_parent = self.targets.parent(&to, None).map_err(leads)?;
        place::exists(to_parent.as_fd(), to_name).map_err(leads)?;
        self.make(path, |parent, name| linkat(&to_parent, to_name, parent, name, AtFlags::empty()))
    }

    /// What has no contents.
    fn special(&mut self, path: &Path, entry: &Entry) -> Result<(), Problem> {
        let private = Mode::RUSR | Mode::WUSR;
        match &entry.kind {
            Kind::Symlink(target) => {
                if target.is_empty() || target.len() >= MAX_NAME {
                    return Err(Problem::LinkTarget);
                }
                self.make(path, |parent, name| symlinkat(target.as_slice(), parent, name))?;
            }
            Kind::CharDevice { major, minor } => {
                let device = makedev(*major, *minor);
                let kind = FileType::CharacterDevice;
                self.make(path, |parent, name| mknodat(parent, name, kind, private, device))?;
            }
            Kind::BlockDevice { major, minor } => {
                let device = makedev(*major, *minor);
                self.make(path, |parent, name| {
                    mknodat(parent, name, FileType::BlockDevice, private, device)
                })?;
            }
            Kind::Fifo => {
                self.make(path, |parent, name| mknodat(parent, name, FileType::Fifo, private, 0))?;
            }
            Kind::File { .. } | Kind::HardLink(_) | Kind::Directory => return Ok(()),
        }
        let parent = self.walker.parent(path, None)?;
        self.ownership.apply_special(parent.as_fd(), path.file_name()?, entry)
    }

    /// Removes what lower layers brought: one name, or what is in a folder.
    fn whiteout(&mut self, path: &Path) -> Result<(), Problem> {
        let folder = path.folder();
        let opened = match self.walker.open(&folder, None) {
            // There is nothing to hide.
            Err(Problem::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        self.folders.touch(&folder, opened.as_fd())?;
        let hidden = match path.name().strip_prefix(WHITEOUT) {
            Some(b"" | b"." | b"..") | None => return Err(Problem::Whiteout),
            Some(_) if path.name() == OPAQUE => {
                remove::lower_contents(opened.as_fd(), &folder, &self.seen)?;
                folder
            }
            Some(name) => {
                let hidden = folder.join(name);
                remove::lower(opened.as_fd(), &hidden, &self.seen)?;
                hidden
            }
        };
        self.walker.forget(&hidden);
        self.targets.forget(&hidden);
        Ok(())
    }
}

/// Text of an archive in an error: short, and no control characters.
fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests;
