//! Results kept between builds, each under a name made of everything it depends on.
//!
//! Compressing takes most of a build's time and gives the same bytes from the same input, so what was made
//! before is used again. An entry is one file: a line with the digest, the length and the name of each part, an
//! empty line, then the parts. A file that was damaged or cut is as good as none. Nothing is right or wrong
//! because of the store, only sooner there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::digest::sha256;
use crate::publish::{PUBLIC, PublishError, publish_file};

/// Changes whenever the form of entries changes.
const FORMAT: u32 = 1;
/// Most parts of an entry, longest line about one, and longest part: a packed kernel has 30 MB.
const MAX_PARTS: usize = 10_000;
const MAX_LINE_LEN: u64 = 1_024;
const MAX_PART_LEN: u64 = 1024 * 1024 * 1024;
/// Entries of one shelf; those not used for longest make room for new ones.
const ENTRIES: usize = 16;

/// What one entry holds, by name.
pub(crate) type Parts = BTreeMap<String, Vec<u8>>;

/// The directory of kept results.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Below the cache directory.
    pub(crate) fn new(cache: &Path) -> Self {
        Self { dir: cache.join("kept") }
    }

    /// What was kept on this shelf under this key, if it is there and whole.
    pub(crate) fn load(&self, shelf: &str, key: &str) -> Option<Parts> {
        let file = File::open(self.path(shelf, key)).ok()?;
        let parts = read(&mut BufReader::new(&file))?;
        // Where the date cannot be set the entry is only the sooner forgotten.
        drop(file.set_modified(SystemTime::now()));
        Some(parts)
    }

    /// Keeps parts, whose names have no line feed.
    pub(crate) fn keep(&self, shelf: &str, key: &str, parts: &Parts) -> Result<(), PublishError> {
        let path = self.path(shelf, key);
        let shelf = self.dir.join(shelf);
        fs::create_dir_all(&shelf).map_err(|error| PublishError::new("create", &shelf, error))?;
        publish_file(&path, PUBLIC, |file| {
            for (name, bytes) in parts {
                writeln!(file, "{} {} {name}", sha256(bytes), bytes.len())?;
            }
            writeln!(file)?;
            parts.values().try_for_each(|bytes| file.write_all(bytes))
        })?;
        self.tidy(&shelf).map_err(|error| PublishError::new("tidy", &shelf, error))
    }

    /// A directory for large files on their way into the store; it goes when it is dropped.
    pub(crate) fn scratch(&self) -> Result<TempDir, PublishError> {
        fs::create_dir_all(&self.dir).map_err(|error| PublishError::new("create", &self.dir, error))?;
        let dir = tempfile::Builder::new().prefix(".scratch-").tempdir_in(&self.dir);
        dir.map_err(|error| PublishError::new("create a directory in", &self.dir, error))
    }

    fn path(&self, shelf: &str, key: &str) -> PathBuf {
        self.dir.join(shelf).join(sha256(format!("{FORMAT} {shelf} {key}").as_bytes()))
    }

    fn tidy(&self, shelf: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(shelf)? {
            let entry = entry?;
            match entry.metadata().and_then(|data| data.modified()) {
                Ok(used) => entries.push((used, entry.path())),
                // Another build put it in its place meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES);
        for (_, path) in entries.into_iter().take(surplus) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads an entry; `None` unless every part is what its line says.
fn read(file: &mut BufReader<&File>) -> Option<Parts> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        file.by_ref().take(MAX_LINE_LEN).read_line(&mut line).ok()?;
        if line == "\n" {
            break;
        }
        let (digest, rest) = line.strip_suffix('\n')?.split_once(' ')?;
        let (len, name) = rest.split_once(' ')?;
        let len: u64 = len.parse().ok().filter(|len| *len <= MAX_PART_LEN)?;
        lines.push((digest.to_owned(), len, name.to_owned()));
        if lines.len() > MAX_PARTS {
            return None;
        }
    }
    let mut parts = Parts::new();
    for (digest, len, name) in lines {
        let mut bytes = Vec::new();
        file.by_ref().take(len).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 != len || sha256(&bytes) != digest {
            return None;
        }
        parts.insert(name, bytes);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        Parts::from([("a".to_owned(), text.as_bytes().to_vec()), ("b".to_owned(), Vec::new())])
    }

    #[test]
    fn what_was_kept_comes_back_under_its_own_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.keep("kernel", "one", &parts("1")).unwrap();
        assert_eq!(store.load("kernel", "one"), Some(parts("1")));
        assert_eq!(store.load("kernel", "two"), None);
        assert_eq!(store.load("segment", "one"), None);
        store.keep("kernel", "one", &parts("2")).unwrap();
        assert_eq!(store.load("kernel", "one"), Some(parts("2")));
    }

    #[test]
    fn a_damaged_or_cut_entry_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.keep("kernel", "one", &parts("text")).unwrap();
        let path = store.path("kernel", "one");
        let whole = fs::read(&path).unwrap();
        for len in [0, 10, 70, whole.len() - 1] {
            fs::write(&path, whole.get(..len).unwrap()).unwrap();
            assert_eq!(store.load("kernel", "one"), None, "{len}");
        }
        let mut damaged = whole;
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.load("kernel", "one"), None);
    }

    #[test]
    fn the_entries_not_used_for_longest_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        for number in 0..ENTRIES + 3 {
            store.keep("kernel", &number.to_string(), &parts("")).unwrap();
            // Used last whatever the resolution of the file system's clock.
            let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            File::open(store.path("kernel", &number.to_string())).unwrap().set_modified(later).unwrap();
        }
        store.tidy(&dir.path().join("kept/kernel")).unwrap();
        let left = fs::read_dir(dir.path().join("kept/kernel")).unwrap().count();
        assert_eq!(left, ENTRIES);
        assert_eq!(store.load("kernel", "0"), None);
        assert!(store.load("kernel", &(ENTRIES + 2).to_string()).is_some());
    }
}
