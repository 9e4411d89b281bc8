//! Reads an archive as an [`Unpacker`](super::Unpacker) would, and writes nothing.

use super::archive::{Archive, Entry, Kind};
use super::path::Path;
use super::remove::Hashes;
use super::{Counts, LayerError, Limits, MAX_NAME, Problem, shown};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::Read;

/// What an archive brings, by the hashes of its paths.
#[derive(Default)]
struct Known {
    hashes: Hashes,
    paths: HashMap<u128, What>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Folder,
    Link,
    Other,
}

/// Reads a tar archive of a root to its end and refuses what an [`Unpacker`](super::Unpacker) would refuse in an empty folder,
/// so that it is known before a machine is asked to unpack it. An archive of nothing is refused, too.
///
/// # Errors
/// [`LayerError`].
pub fn inspect(source: impl Read, limits: Limits) -> Result<Counts, LayerError> {
    let mut archive = Archive::new(source);
    let mut known = Known::default();
    let mut counts = Counts::default();
    while let Some(entry) = archive.next()? {
        counts.entries += 1;
        if counts.entries > limits.entries {
            return Err(LayerError::Entries(limits.entries));
        }
        counts.bytes = counts.bytes.saturating_add(archive.stored());
        if counts.bytes > limits.bytes {
            return Err(LayerError::Bytes(limits.bytes));
        }
        known.take(&entry).map_err(|problem| LayerError::at(&entry.path, problem))?;
    }
    if counts.entries == 0 { Err(LayerError::Archive("nothing is in it")) } else { Ok(counts) }
}

impl Known {
    fn take(&mut self, entry: &Entry) -> Result<(), Problem> {
        let path = Path::entry(&entry.path)?;
        let is_folder = matches!(entry.kind, Kind::Directory);
        if path.is_root() && is_folder {
            return Ok(());
        }
        path.file_name()?;
        self.walk(&path.folder())?;
        let what = match &entry.kind {
            Kind::Directory => What::Folder,
            Kind::Symlink(target) if target.is_empty() || target.len() >= MAX_NAME => {
                return Err(Problem::LinkTarget);
            }
            Kind::Symlink(_) => What::Link,
            Kind::HardLink(target) => {
                let leads = |problem| Problem::HardLink { target: shown(target), problem: Box::new(problem) };
                self.linked(target).map_err(leads)?
            }
            Kind::File { .. } | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                What::Other
            }
        };
        self.paths.insert(self.hashes.of(&path), what);
        Ok(())
    }

    /// Checks that a folder can be walked to, and notes it and those on the way.
    fn walk(&mut self, folder: &Path) -> Result<(), Problem> {
        let mut so_far = Path::default();
        for part in folder.components() {
            so_far = so_far.join(part);
            match self.paths.entry(self.hashes.of(&so_far)).or_insert(What::Folder) {
                What::Folder => {}
                What::Link => return Err(Problem::ThroughLink(shown(so_far.as_bytes()))),
                What::Other => return Err(Problem::NotAFolder(shown(so_far.as_bytes()))),
            }
        }
        Ok(())
    }

    /// What a hard link becomes.
    fn linked(&mut self, target: &[u8]) -> Result<What, Problem> {
        let target = Path::parse(target)?;
        target.file_name()?;
        self.walk(&target.folder())?;
        match self.paths.get(&self.hashes.of(&target)) {
            Some(What::Folder) => Err(Errno::PERM.into()),
            Some(&what) => Ok(what),
            None => Err(Errno::NOENT.into()),
        }
    }
}
