//! Files that lie on disk: the boot tree (kernels, initial ramdisks and installers, in a folder of the
//! data directory), our boot media and network loaders.

use super::super::App;
use super::super::error::AppError;
use super::super::media::Download;
use super::{BootFile, Requester};
use engine::bootenv;
use engine::content::Content;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use protocol::config::AgentConfig;
use protocol::tools::TOOLS_FILE;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The files of our media that are served like the boot tree's.
const MEDIA: [&str; 3] = ["vmlinuz", "initrd", TOOLS_FILE];

impl App {
    /// A file that lies somewhere: in the boot tree, among our media, among the loaders. Nothing when
    /// there is none.
    pub(super) async fn stored_file(
        self: &Arc<Self>,
        path: &str,
        requester: Requester,
    ) -> Result<Option<BootFile>, AppError> {
        let (app, path) = (Arc::clone(self), path.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            if let Some(found) = open(&app.boot.settings.tree, &path)? {
                return app.send(found, requester).map(Some);
            }
            if let Some(name) = medium(&path)
                && app.media.has(name)?
            {
                let admit = |len| app.boot.admission.admit(len, requester);
                return app.media.open_as(name, AgentConfig::unpersonalised(), &app.keys, admit).map(Some);
            }
            let loader = app.boot.settings.loaders.open(&path)?;
            loader.map(|found| app.send(found, requester)).transpose()
        });
        let found = found.await.map_err(AppError::internal)??;
        Ok(found.map(|download| BootFile::Tree(Box::new(download))))
    }

    /// An open file as a download.
    fn send(&self, (file, metadata): (File, Metadata), requester: Requester) -> Result<Download, AppError> {
        let place = self.boot.admission.admit(metadata.len(), requester)?;
        Download::of_file(file, metadata.len(), etag(&metadata), place)
    }

    /// Which of the files that bootenvs name are nowhere. Asks the disk.
    pub(crate) fn missing_files(&self, content: &Content) -> BTreeSet<String> {
        let needed = content.bootenvs.iter().flat_map(|env| bootenv::needed_files(env));
        let needed: BTreeSet<String> = needed.collect();
        needed.into_iter().filter(|path| !self.is_there(path)).collect()
    }

    fn is_there(&self, path: &str) -> bool {
        matches!(open(&self.boot.settings.tree, path), Ok(Some(_)))
            || medium(path).is_some_and(|name| matches!(self.media.has(name), Ok(true)))
    }
}

/// The file of our media that a path stands for.
fn medium(path: &str) -> Option<&str> {
    path.strip_prefix(bootenv::MEDIA_FOLDER).filter(|name| MEDIA.contains(name))
}

/// Opens a regular file below a folder. Links lead where they like within it, and nowhere else.
pub(super) fn open(tree: &Path, path: &str) -> Result<Option<(File, Metadata)>, AppError> {
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
