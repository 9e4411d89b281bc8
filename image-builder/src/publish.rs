//! Files and directories that appear whole or not at all: temporary name, flush, rename.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::{Builder, TempDir};
use thiserror::Error;

use crate::plan::{MANIFEST_FILE, parent_dir};

/// Why something was not published; what was there before is still there.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The target holds something else.
    #[error("{0} exists and is no media directory (it has no {MANIFEST_FILE}): name another, or remove it")]
    NotMedia(PathBuf),
    /// A file system operation failed.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PublishError {
    /// A failed operation.
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

/// Writes a media directory, replacing an older one in a single step where the file system can.
pub(crate) fn publish_media(out: &Path, files: &[(&str, &[u8])]) -> Result<(), PublishError> {
    // A link to a directory stays a link; what it leads to is replaced.
    let out = match fs::canonicalize(out) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            settle(stage(out, files)?, out)?;
            return sync_dir(parent_dir(out));
        }
        Err(error) => return Err(failed("find", out)(error)),
    };
    let mut entries = fs::read_dir(&out).map_err(failed("read", &out))?;
    if entries.next().is_some() && !out.join(MANIFEST_FILE).is_file() {
        return Err(PublishError::NotMedia(out));
    }
    let staged = stage(&out, files)?;
    match renameat2(AT_FDCWD, staged.path(), AT_FDCWD, &out, RenameFlags::RENAME_EXCHANGE) {
        // The old directory now has the temporary name and goes with it.
        Ok(()) => staged.close().map_err(failed("remove the old", &out))?,
        // File systems of other machines cannot exchange.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => replace_in_two_steps(staged, &out)?,
        Err(error) => return Err(failed("replace", &out)(error.into())),
    }
    sync_dir(parent_dir(&out))
}

/// Moves the old directory aside and the new one in; the old one comes back when that fails.
fn replace_in_two_steps(staged: TempDir, out: &Path) -> Result<(), PublishError> {
    let dir = parent_dir(out);
    let aside = Builder::new().prefix(".muster-").tempdir_in(dir);
    let aside = aside.map_err(failed("create a directory in", dir))?;
    let old = aside.path().join("old");
    fs::rename(out, &old).map_err(failed("move aside", out))?;
    if let Err(error) = settle(staged, out) {
        fs::rename(&old, out).map_err(failed("bring back", out))?;
        return Err(error);
    }
    aside.close().map_err(failed("remove the old", out))
}

/// Permission bits of a file that its owner alone may read: it may hold a token.
pub(crate) const PRIVATE: u32 = 0o600;
/// Permission bits of media, whatever the umask: whoever serves them may be another user.
pub(crate) const PUBLIC: u32 = 0o644;
/// The same of folders.
const PUBLIC_FOLDER: u32 = 0o755;

/// Writes one file with these permission bits.
pub(crate) fn publish_file(
    out: &Path,
    permissions: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), PublishError> {
    let dir = parent_dir(out);
    let mut staged =
        Builder::new().prefix(".muster-").tempfile_in(dir).map_err(failed("create a file in", dir))?;
    fill(staged.as_file_mut()).map_err(failed("write", out))?;
    let permissions = fs::Permissions::from_mode(permissions);
    staged.as_file().set_permissions(permissions).map_err(failed("set the permissions of", out))?;
    staged.as_file().sync_all().map_err(failed("flush", out))?;
    staged.persist(out).map_err(|error| failed("replace", out)(error.error))?;
    sync_dir(dir)
}

/// A finished directory beside `out`, under a temporary name. Files may lie in folders, one deep.
fn stage(out: &Path, files: &[(&str, &[u8])]) -> Result<TempDir, PublishError> {
    let dir = parent_dir(out);
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let staged = Builder::new()
        .prefix(".muster-")
        .permissions(fs::Permissions::from_mode(PUBLIC_FOLDER))
        .tempdir_in(dir)
        .map_err(failed("create a directory in", dir))?;
    for (name, bytes) in files {
        let path = staged.path().join(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir(folder).map_err(failed("create", folder))?;
            let open = fs::set_permissions(folder, fs::Permissions::from_mode(PUBLIC_FOLDER));
            open.map_err(failed("set the permissions of", folder))?;
        }
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(PUBLIC))?;
            file.sync_all()
        };
        write().map_err(failed("write", &path))?;
    }
    let folders = files.iter().filter_map(|(name, _)| Path::new(name).parent());
    let folders: BTreeSet<PathBuf> = folders.map(|folder| staged.path().join(folder)).collect();
    folders.iter().map(PathBuf::as_path).chain([staged.path()]).try_for_each(sync_dir)?;
    Ok(staged)
}

/// Gives a staged directory its name, which nothing may have.
fn settle(staged: TempDir, out: &Path) -> Result<(), PublishError> {
    fs::rename(staged.path(), out).map_err(failed("create", out))?;
    // It is no longer there under its temporary name.
    drop(staged.keep());
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<(), PublishError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("flush", dir))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| PublishError::new(action, &path, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_media_directory_replaces_an_older_one_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/media");
        publish_media(&out, &[(MANIFEST_FILE, b"1"), ("old", b"")]).unwrap();
        let files: [(&str, &[u8]); 4] =
            [(MANIFEST_FILE, b"2"), ("new", b""), ("folder/a", b"3"), ("folder/b", b"4")];
        publish_media(&out, &files).unwrap();
        assert_eq!(names(&out), ["folder", MANIFEST_FILE, "new"]);
        assert_eq!(names(&out.join("folder")), ["a", "b"]);
        assert_eq!(fs::metadata(out.join("folder")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(out.join(MANIFEST_FILE)).unwrap(), b"2");
        assert_eq!(names(out.parent().unwrap()), ["media"]);
    }

    #[test]
    fn a_link_to_a_media_directory_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        publish_media(&real, &[(MANIFEST_FILE, b"1")]).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        publish_media(&link, &[(MANIFEST_FILE, b"2")]).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(real.join(MANIFEST_FILE)).unwrap(), b"2");
        assert_eq!(names(dir.path()), ["link", "real"]);
    }

    #[test]
    fn a_file_system_that_cannot_exchange_still_gets_the_new_directory() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("media");
        publish_media(&out, &[(MANIFEST_FILE, b"1"), ("old", b"")]).unwrap();
        replace_in_two_steps(stage(&out, &[(MANIFEST_FILE, b"2")]).unwrap(), &out).unwrap();
        assert_eq!(names(&out), [MANIFEST_FILE]);
        assert_eq!(names(dir.path()), ["media"]);
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "years").unwrap();
        let error = publish_media(dir.path(), &[(MANIFEST_FILE, b"")]).unwrap_err();
        assert!(matches!(error, PublishError::NotMedia(_)));
        assert_eq!(names(dir.path()), ["thesis.tex"]);
    }

    #[test]
    fn a_file_that_fails_half_way_does_not_appear() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("x.iso");
        let error = publish_file(&out, PRIVATE, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::UnexpectedEof.into())
        });
        assert!(error.is_err());
        assert_eq!(names(dir.path()), Vec::<String>::new());
        publish_file(&out, PRIVATE, |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"whole");
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
