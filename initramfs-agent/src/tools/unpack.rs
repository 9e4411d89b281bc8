//! An archive over a running root: everything is judged first, then everything is written.
//!
//! Only directories, files and links within one directory; nothing that is there is replaced, and
//! no link is gone through, because a path's directory must be one the archive itself names before.
//! Several archives one after another are one, as for the kernel.

use initrd::cpio::{Entry, Kind, ReadError, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Most entries: the archive has a hundred.
const MAX_ENTRIES: usize = 4_096;
/// Permission bits that are taken over: nobody gains rights by a file of an archive.
const PERMISSIONS: u32 = 0o755;
/// Two entries that may have one path.
const BOTH: (Kind<'_>, Kind<'_>) = (Kind::Directory, Kind::Directory);

/// Why an archive is not unpacked. Nothing of it is there then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// Not an archive, or one with an unsafe name.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More than [`MAX_ENTRIES`].
    #[error("the archive has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// A device, a pipe or something unknown.
    #[error("{0} in the archive is neither a file, a directory nor a link")]
    Kind(String),
    /// A link to somewhere else.
    #[error("the link {0} in the archive leads out of its directory")]
    Link(String),
    /// An entry in a directory that the archive does not have, or that is none.
    #[error("{0} in the archive is in no directory of it")]
    Stray(String),
    /// The path is taken.
    #[error("{0} is there already and is not replaced")]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Unpacks an archive and gives back the names of its programs.
///
/// # Errors
/// [`UnpackError`]; what had been written is removed again.
pub(super) fn unpack(archive: &[u8], root: &Path) -> Result<Vec<String>, UnpackError> {
    let entries = judged(archive, root)?;
    let mut made = Vec::new();
    if let Err(error) = entries.values().try_for_each(|entry| make(entry, root, &mut made)) {
        for path in made.iter().rev() {
            // Files first, so directories are empty by now. The first error is the one to tell.
            drop(if path.is_dir() && !path.is_symlink() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            });
        }
        return Err(error);
    }
    let names = entries.keys().filter_map(|path| path.rsplit_once('/'));
    let programs = names.filter(|(folder, _)| matches!(*folder, "usr/bin" | "usr/sbin"));
    let mut programs: Vec<String> = programs.map(|(_, name)| name.to_owned()).collect();
    programs.sort();
    Ok(programs)
}

/// The entries by path, if all of them may be written. A directory comes before what is in it.
fn judged<'a>(archive: &'a [u8], root: &Path) -> Result<BTreeMap<&'a str, Entry<'a>>, UnpackError> {
    let mut entries = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for entry in all_entries(archive) {
        let entry = entry?;
        let path = entry.path;
        if path.rsplit_once('/').is_some_and(|(folder, _)| !directories.contains(folder)) {
            return Err(UnpackError::Stray(path.to_owned()));
        }
        let place = root.join(path);
        let there = fs::symlink_metadata(&place);
        let is_free = match entry.kind {
            Kind::Directory => {
                directories.insert(path);
                there.as_ref().map_or(true, fs::Metadata::is_dir)
            }
            Kind::File(_) => there.is_err(),
            Kind::Symlink(target) if target.is_empty() || target.contains('/') || target == ".." => {
                return Err(UnpackError::Link(path.to_owned()));
            }
            Kind::Symlink(_) => there.is_err(),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Other => {
                return Err(UnpackError::Kind(path.to_owned()));
            }
        };
        let kind = entry.kind;
        // Each archive names the directories that it needs.
        let is_again = entries.insert(path, entry).is_some_and(|before| (before.kind, kind) != BOTH);
        if !is_free || is_again {
            return Err(UnpackError::Exists(place));
        }
        if entries.len() > MAX_ENTRIES {
            return Err(UnpackError::TooMany);
        }
    }
    Ok(entries)
}

/// The entries of all archives.
fn all_entries(bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, ReadError>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        reader.next().or_else(|| {
            let rest = Some(reader.rest()).filter(|rest| !rest.is_empty())?;
            reader = Reader::new(rest);
            reader.next()
        })
    })
}

/// Makes one entry and remembers it, unless it was there.
fn make(entry: &Entry<'_>, root: &Path, made: &mut Vec<PathBuf>) -> Result<(), UnpackError> {
    let place = root.join(entry.path);
    let failed = |source| UnpackError::Write { path: place.clone(), source };
    match entry.kind {
        Kind::Directory if place.is_dir() => return Ok(()),
        Kind::Directory => {
            fs::create_dir(&place).map_err(failed)?;
            made.push(place);
        }
        Kind::Symlink(target) => {
            symlink(target, &place).map_err(failed)?;
            made.push(place);
        }
        Kind::File(bytes) => {
            // Never through a link, never over a file: what appeared meanwhile stays.
            let mut file = File::create_new(&place).map_err(failed)?;
            made.push(place.clone());
            let permissions = fs::Permissions::from_mode(entry.permissions & PERMISSIONS);
            file.write_all(bytes).and_then(|()| file.set_permissions(permissions)).map_err(failed)?;
        }
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Other => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use initrd::cpio::Tree;

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn good() -> Tree<'static> {
        let mut tree = Tree::new();
        tree.file("usr/sbin/mke2fs", 0o4755, b"program".as_slice()).unwrap();
        tree.symlink("usr/sbin/mkfs.ext4", "mke2fs").unwrap();
        tree.file("usr/lib/libc.so.6", 0o644, b"library".as_slice()).unwrap();
        tree
    }

    #[test]
    fn archives_one_after_another_are_one() {
        let root = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for name in ["mke2fs", "muster-installer"] {
            let mut tree = Tree::new();
            tree.file(&format!("usr/sbin/{name}"), 0o755, name.as_bytes()).unwrap();
            bytes.extend(tree.to_bytes(0).unwrap());
        }
        assert_eq!(unpack(&bytes, root.path()).unwrap(), ["mke2fs", "muster-installer"]);
        assert_eq!(fs::read(root.path().join("usr/sbin/muster-installer")).unwrap(), b"muster-installer");

        let mut other = Tree::new();
        other.file("usr/sbin", 0o755, b"").unwrap();
        bytes.extend(other.to_bytes(0).unwrap());
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(unpack(&bytes, root.path()), Err(UnpackError::Exists(_))));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn programs_are_there_afterwards_and_gain_no_rights() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/tools"), "ours").unwrap();
        let programs = unpack(&good().to_bytes(0).unwrap(), root.path()).unwrap();
        assert_eq!(programs, ["mke2fs", "mkfs.ext4"]);
        let program = root.path().join("usr/sbin/mkfs.ext4");
        assert_eq!(fs::read(&program).unwrap(), b"program");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read(root.path().join("usr/bin/tools")).unwrap(), b"ours");
    }

    #[test]
    fn what_may_not_be_written_leaves_nothing_behind() {
        let with = |change: &dyn Fn(&mut Tree<'static>)| {
            let mut tree = good();
            change(&mut tree);
            tree.to_bytes(0).unwrap()
        };
        // The writer refuses these itself, so a good archive is bent: names of the same length.
        let bent = |from: &str, to: &str| {
            let text = good().to_bytes(0).unwrap();
            let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let mut text = text.clone();
            text[at..at + from.len()].copy_from_slice(to.as_bytes());
            text
        };
        for (archive, words) in [
            (with(&|tree| tree.char_device("usr/null", 0o666, 1, 3).unwrap()), "neither a file"),
            (with(&|tree| tree.symlink("usr/up", "../etc").unwrap()), "leads out"),
            (with(&|tree| tree.symlink("usr/up", "..").unwrap()), "leads out"),
            (with(&|tree| tree.symlink("usr/etc", "/etc").unwrap()), "leads out"),
            (with(&|tree| tree.file("init", 0o755, b"".as_slice()).unwrap()), "there already"),
            (bent("usr/sbin/mke2fs", "../sbin//mke2fs"), "unsafe name"),
            (bent("usr/sbin/mke2fs", "/sr/sbin/mke2fs"), "unsafe name"),
            (bent("usr/sbin/mke2fs", "usr/sbin/../e2f"), "unsafe name"),
            (bent("usr/sbin/mke2fs", "usr/else/mke2fs"), "in no directory"),
            (b"070701".to_vec(), "cut off"),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("init"), "ours").unwrap();
            let error = unpack(&archive, root.path()).unwrap_err();
            assert!(crate::report::chain(&error).contains(words), "{words}: {error}");
            assert_eq!(names(root.path()), ["init"]);
            assert_eq!(fs::read(root.path().join("init")).unwrap(), b"ours");
        }
    }

    #[test]
    fn a_link_of_the_root_is_not_gone_through() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(elsewhere.path(), root.path().join("usr")).unwrap();
        let error = unpack(&good().to_bytes(0).unwrap(), root.path()).unwrap_err();
        assert!(matches!(error, UnpackError::Exists(path) if path.ends_with("usr")));
        assert!(names(elsewhere.path()).is_empty());
    }
}
