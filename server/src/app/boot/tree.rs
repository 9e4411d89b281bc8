//! The boot tree: kernels, initial ramdisks and installers, in a folder of the data directory.

use super::super::App;
use super::super::error::{AppError, AppErrorKind};
use super::super::media::Download;
use super::{BootFile, RETRY_AFTER};
use engine::bootenv;
use engine::content::Content;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl App {
    /// A file of the boot tree; nothing when there is none.
    pub(super) async fn tree_file(&self, path: &str, source: IpAddr) -> Result<Option<BootFile>, AppError> {
        let (tree, path) = (self.boot.settings.tree.clone(), path.to_owned());
        let opened = tokio::task::spawn_blocking(move || open(&tree, &path));
        let Some((file, metadata)) = opened.await.map_err(AppError::internal)?? else { return Ok(None) };
        let busy = "too many boot files are on their way; try again";
        let place = self.boot.downloads.take(source);
        let place = place.ok_or_else(|| AppError::new(AppErrorKind::Unavailable, busy).after(RETRY_AFTER))?;
        let download = Download::of_file(file, metadata.len(), etag(&metadata), place)?;
        Ok(Some(BootFile::Tree(Box::new(download))))
    }

    /// Which of the files that bootenvs name the boot tree does not have. Asks the disk.
    pub(crate) fn missing_files(&self, content: &Content) -> BTreeSet<String> {
        let needed = content.bootenvs.iter().flat_map(|env| bootenv::needed_files(env));
        let needed: BTreeSet<String> = needed.collect();
        let tree = &self.boot.settings.tree;
        needed.into_iter().filter(|path| !matches!(open(tree, path), Ok(Some(_)))).collect()
    }
}

/// Opens a regular file below a folder. Links lead where they like within it, and nowhere else.
fn open(tree: &Path, path: &str) -> Result<Option<(File, Metadata)>, AppError> {
    let root = match File::open(tree) {
        Ok(root) => root,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AppError::internal(error)),
    };
    // A pipe or a device would hold whoever opens it.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match openat2(&root, path, how) {
        Ok(file) => File::from(file),
        // Nothing there, something that is no folder on the way, a way out, a name no disk takes, a
        // socket or device nobody answers.
        Err(
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EXDEV
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::EACCES
            | Errno::ENXIO
            | Errno::ENODEV,
        ) => return Ok(None),
        Err(error) => return Err(AppError::internal(error)),
    };
    let metadata = file.metadata().map_err(AppError::internal)?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// Another one whenever the file is another.
fn etag(metadata: &Metadata) -> String {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    format!("\"{:x}-{:x}-{seconds:x}.{nanos:x}\"", metadata.ino(), metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_below_the_tree_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("boot");
        fs::create_dir_all(tree.join("march/install")).unwrap();
        fs::write(directory.path().join("secret"), "no").unwrap();
        fs::write(tree.join("march/install/vmlinuz"), "kernel").unwrap();
        symlink("vmlinuz", tree.join("march/install/linux")).unwrap();
        symlink("../../../secret", tree.join("march/up")).unwrap();
        symlink("/etc/passwd", tree.join("march/absolute")).unwrap();
        symlink("loop", tree.join("loop")).unwrap();
        nix::unistd::mkfifo(&tree.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found = |path: &str| open(&tree, path).unwrap().is_some();
        assert!(found("march/install/vmlinuz") && found("march/install/linux"));
        for path in [
            "march/up",
            "march/absolute",
            "../secret",
            "march/../../secret",
            "march",
            "march/install/vmlinuz/x",
            "absent",
            "loop",
            "pipe",
            &"a".repeat(300),
        ] {
            assert!(!found(path), "{path}");
        }
        assert!(open(&directory.path().join("none"), "a").unwrap().is_none());
    }
}
