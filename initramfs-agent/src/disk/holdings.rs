//! What the disks of a machine hold, kept from one inventory to the next: a disk is read again once something was
//! written to it. Each is read by a thread of its own, since a dying disk may take minutes to say nothing, and a
//! machine must not fall silent over that.

use super::{Window, contents};
use protocol::install::Contents;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long an inventory waits for disks that are read.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what a disk holds is told at least before it is looked at again: disks in use are written all the
/// time.
const AGE: Duration = Duration::from_secs(60);

/// By what a disk is known to be the same, with the same on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Size in bytes.
    pub(crate) size: u64,
    /// Its serial number, or what it has of that kind.
    pub(crate) serial: String,
    /// What the kernel has counted of writes to it.
    pub(crate) written: Vec<u64>,
}

#[derive(Debug)]
struct Seen {
    mark: Mark,
    at: Instant,
    /// None while it is read for the first time.
    contents: Option<Contents>,
    is_read: bool,
}

/// What is known of each disk, by its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings(Arc<(Mutex<BTreeMap<String, Seen>>, Condvar)>);

impl Holdings {
    /// Fills in what each of these disks holds. Takes [`PATIENCE`] at most.
    pub(crate) fn look(&self, devices: &Path, disks: &[(String, Mark)], now: Instant) -> Vec<Contents> {
        let (_, told) = &*self.0;
        let mut seen = self.seen();
        seen.retain(|name, _| disks.iter().any(|(other, _)| other == name));
        for (name, mark) in disks {
            if is_due(seen.get(name), mark, now) {
                self.read(&mut seen, devices.join(name), name, mark, now);
            }
        }
        let is_busy = |seen: &mut BTreeMap<String, Seen>| seen.values().any(|seen| seen.is_read);
        let (seen, _) =
            told.wait_timeout_while(seen, PATIENCE, is_busy).unwrap_or_else(PoisonError::into_inner);
        let held = |(name, _): &(String, Mark)| {
            let known = seen.get(name).and_then(|seen| seen.contents.clone());
            known
                .unwrap_or_else(|| Contents { error: "it does not answer".to_owned(), ..Contents::default() })
        };
        disks.iter().map(held).collect()
    }

    fn read(
        &self,
        seen: &mut BTreeMap<String, Seen>,
        device: PathBuf,
        name: &str,
        mark: &Mark,
        now: Instant,
    ) {
        let before = seen.remove(name).filter(|seen| is_same(&seen.mark, mark));
        let contents = before.and_then(|seen| seen.contents);
        let size = mark.size;
        let mut entry = Seen { mark: mark.clone(), at: now, contents, is_read: true };
        let (shared, own, stamp) = (self.clone(), name.to_owned(), mark.clone());
        let reader = thread::Builder::new().name(format!("disk {name}")).spawn(move || {
            let found = open(&device, size);
            let (_, told) = &*shared.0;
            if let Some(seen) = shared.seen().get_mut(&own).filter(|seen| seen.mark == stamp) {
                seen.contents = Some(found);
                seen.is_read = false;
            }
            told.notify_all();
        });
        if let Err(error) = reader {
            let error = format!("nobody is there to read it: {error}");
            entry.contents = Some(Contents { error, ..Contents::default() });
            entry.is_read = false;
        }
        seen.insert(name.to_owned(), entry);
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        // A reader that panicked has ended the agent already.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a disk is to be read.
fn is_due(seen: Option<&Seen>, mark: &Mark, now: Instant) -> bool {
    let Some(seen) = seen else { return true };
    !is_same(&seen.mark, mark)
        || (!seen.is_read && seen.mark != *mark && now.saturating_duration_since(seen.at) >= AGE)
}

/// Whether this is the same disk, whatever was written to it.
fn is_same(a: &Mark, b: &Mark) -> bool {
    (a.size, &a.serial) == (b.size, &b.serial)
}

fn open(device: &Path, size: u64) -> Contents {
    let read = || -> io::Result<Contents> { Ok(contents(&Window::new(&File::open(device)?, size))) };
    let failed = |error| Contents { error: format!("it cannot be opened: {error}"), ..Contents::default() };
    read().unwrap_or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn mark(written: u64) -> Mark {
        Mark { size: 1 << 20, serial: "S1".to_owned(), written: vec![written] }
    }

    fn swap_space() -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes[4_086..4_096].copy_from_slice(b"SWAPSPACE2");
        bytes
    }

    #[test]
    fn disk_is_read_again_when_it_was_written_and_not_more_often_than_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("sda");
        fs::write(&device, vec![0; 1 << 20]).unwrap();
        let (holdings, start) = (Holdings::default(), Instant::now());
        let look = |written, after: u64| {
            let disks = [("sda".to_owned(), mark(written))];
            let held = holdings.look(folder.path(), &disks, start + Duration::from_secs(after));
            held.first().unwrap().filesystem.clone()
        };
        assert_eq!(look(1, 0), "");
        fs::write(&device, swap_space()).unwrap();
        assert_eq!(look(1, 600), "", "the kernel counted no write");
        assert_eq!(look(2, 10), "", "it was read ten seconds ago");
        assert_eq!(look(2, 61), "swap");
    }

    #[test]
    fn another_disk_of_the_same_name_is_read_at_once_and_a_lost_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (holdings, now) = (Holdings::default(), Instant::now());
        let look = |serial: &str| {
            let mark = Mark { serial: serial.to_owned(), ..mark(1) };
            holdings.look(folder.path(), &[("sda".to_owned(), mark)], now).remove(0)
        };
        assert!(look("S1").error.starts_with("it cannot be opened"));
        fs::write(folder.path().join("sda"), swap_space()).unwrap();
        assert_eq!(look("S2").filesystem, "swap");
        assert!(holdings.look(folder.path(), &[], now).is_empty());
    }
}
