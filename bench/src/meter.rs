//! Processor time of a server and of everything it starts, as the kernel's control groups count
//! it: a server that forks for each client is charged for its children too.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::{number, read};

const MOUNTS: &str = "/proc/self/mounts";
/// Where a group lists its processes, and takes new ones.
const MEMBERS: &str = "cgroup.procs";
const NANOSECOND: f64 = 1e-9;
const MICROSECOND: f64 = 1e-6;
/// What a server that is done may still take between two looks, in seconds.
const REST: f64 = 1e-4;
/// Time between the looks, and how many there are at most.
const LOOK: Duration = Duration::from_millis(4);
const LOOKS: usize = 50;

/// Where a kind of control groups is mounted, and how it counts.
#[derive(Debug, Clone, PartialEq)]
struct Kind {
    root: PathBuf,
    file: &'static str,
    /// What stands before the number in the file.
    field: &'static str,
    unit: f64,
}

/// A process and all it starts from now on. When dropped, whatever is left of them is ended.
#[derive(Debug)]
pub(crate) struct Meter {
    kind: Kind,
    folder: PathBuf,
}

impl Meter {
    /// Measures a running process, under a name that no other meter has.
    ///
    /// # Errors
    /// When no group can be made: that needs root.
    pub(crate) fn of(name: &str, pid: u32) -> Result<Self> {
        let mounts = read(Path::new(MOUNTS))?;
        let kind = kind(&String::from_utf8_lossy(&mounts))
            .context("no control groups are mounted that count processor time")?;
        let folder = kind.root.join(format!("bench-{}-{name}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make the group {}", folder.display()))?;
        let meter = Self { kind, folder };
        fs::write(meter.folder.join(MEMBERS), pid.to_string())
            .with_context(|| format!("cannot put process {pid} into {}", meter.folder.display()))?;
        Ok(meter)
    }

    /// Processor time so far, in seconds.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let path = self.folder.join(self.kind.file);
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        count(&text, self.kind.field)
            .map(|count| number(count) * self.kind.unit)
            .with_context(|| format!("{} has no number", path.display()))
    }

    /// The same once the server has come to rest: children end after their last packet.
    pub(crate) fn settled(&self) -> Result<f64> {
        let mut last = self.seconds()?;
        for _ in 0..LOOKS {
            sleep(LOOK);
            let now = self.seconds()?;
            if now - last < REST {
                return Ok(now);
            }
            last = now;
        }
        bail!("the server does not come to rest")
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        for _ in 0..LOOKS {
            let members = fs::read_to_string(self.folder.join(MEMBERS)).unwrap_or_default();
            // 0 stands for a process that is not to be seen from here.
            for pid in members.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
                match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    // It ended by itself meanwhile, or will be found again.
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(_) => return,
                }
            }
            // A group with members cannot be removed.
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            sleep(LOOK);
        }
    }
}

/// The best kind of groups among the mounted ones: version 2, which also counts where it does not
/// limit, else version 1 with its controller `cpuacct`.
fn kind(mounts: &str) -> Option<Kind> {
    let mounted = |filesystem: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (root, kind, options) = (words.next()?, words.next()?, words.next()?);
            let fits = kind == filesystem && options.split(',').any(|word| word == option);
            fits.then(|| PathBuf::from(root))
        })
    };
    let second = mounted("cgroup2", "rw");
    let second = second.map(|root| Kind { root, file: "cpu.stat", field: "usage_usec ", unit: MICROSECOND });
    second.or_else(|| {
        let root = mounted("cgroup", "cpuacct")?;
        Some(Kind { root, file: "cpuacct.usage", field: "", unit: NANOSECOND })
    })
}

fn count(text: &str, field: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_taken_before_version_1() {
        let old = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n";
        let new = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let root = |mounts: &str| kind(mounts).map(|kind| kind.root.display().to_string());
        assert_eq!(root(&format!("{old}{new}")).unwrap(), "/sys/fs/cgroup/unified");
        assert_eq!(root(old).unwrap(), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(root("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"), None);
        assert_eq!(root("cgroup2 /sys/fs/cgroup cgroup2 ro 0 0\n"), None, "nothing can be made there");
    }

    #[test]
    fn both_kinds_of_counts_are_read() {
        assert_eq!(count("usage_usec 1234\nuser_usec 1000\n", "usage_usec "), Some(1_234));
        assert_eq!(count("98765432\n", ""), Some(98_765_432));
        assert_eq!(count("nothing\n", ""), None);
    }
}
