//! Folders of a layer: their times, owners and modes are set at its end, since everything written into
//! them changes their time, and a folder may be closed to those who fill it.

use super::archive::Entry;
use super::metadata::{Attributes, Ownership};
use super::path::Path;
use super::pax::Time;
use super::place::Walker;
use super::{LayerError, Problem};
use rustix::fs::fstat;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

/// Most memory for paths and attributes of folders, in bytes.
const MAX_MEMORY: usize = 64 * 1_024 * 1_024;
/// What a record takes beside.
const RECORD: usize = 160;

#[derive(Debug)]
struct Record {
    mtime: Time,
    /// What the archive says of it; nothing where it only brings something inside.
    attributes: Option<Attributes>,
}

/// Folders that this layer brings, or brings something into.
#[derive(Debug, Default)]
pub(super) struct Folders {
    records: BTreeMap<Path, Record>,
    memory: usize,
}

impl Folders {
    /// Notes what the archive says of a folder.
    pub(super) fn announce(&mut self, path: &Path, entry: &Entry) -> Result<(), Problem> {
        let attributes = Attributes::of(entry);
        let bytes = attributes.bytes();
        self.records.remove(path);
        self.insert(path, Record { mtime: entry.mtime, attributes: Some(attributes) }, bytes)
    }

    /// Notes the time of a folder before something in it changes.
    pub(super) fn touch(&mut self, path: &Path, folder: BorrowedFd<'_>) -> Result<(), Problem> {
        if self.records.contains_key(path) {
            return Ok(());
        }
        let found = fstat(folder)?;
        let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or_default();
        let mtime = Time { seconds: found.st_mtime, nanos };
        self.insert(path, Record { mtime, attributes: None }, 0)
    }

    fn insert(&mut self, path: &Path, record: Record, bytes: usize) -> Result<(), Problem> {
        self.memory += RECORD + path.as_bytes().len() + bytes;
        if self.memory > MAX_MEMORY {
            return Err(Problem::Folders);
        }
        self.records.insert(path.clone(), record);
        Ok(())
    }

    /// Forgets a path and what is below, which is no more.
    pub(super) fn forget(&mut self, path: &Path) {
        let within = self.records.range(path.clone()..).map(|(known, _)| known);
        // Names such as `a-b` stand between `a` and `a/b`.
        let prefix = path.as_bytes();
        let gone: Vec<Path> = within
            .take_while(|known| known.as_bytes().starts_with(prefix))
            .filter(|known| known.is_within(path))
            .cloned()
            .collect();
        for path in gone {
            self.records.remove(&path);
        }
    }

    /// Sets what was noted, what is deepest first.
    pub(super) fn finish(&mut self, walker: &mut Walker, ownership: Ownership) -> Result<(), LayerError> {
        self.memory = 0;
        for (path, record) in std::mem::take(&mut self.records).into_iter().rev() {
            let at = |problem| LayerError::at(path.as_bytes(), problem);
            let folder = match walker.open(&path, None) {
                Ok(folder) => folder,
                // A whiteout took it.
                Err(_) if record.attributes.is_none() => continue,
                Err(problem) => return Err(at(problem)),
            };
            if let Some(attributes) = &record.attributes {
                ownership.apply(folder.as_fd(), attributes).map_err(at)?;
            }
            ownership.set_time(folder.as_fd(), record.mtime).map_err(at)?;
        }
        Ok(())
    }
}
