//! Programs of the target, run where they can touch the target alone: in mount and PID namespaces of their own, with the
//! target as root, a `/dev` that has the target's own devices and no others, and no network. They are the
//! image's programs, so they get nothing of ours: no environment but the mark by which a cancelled task's processes are
//! ended, no descriptors, no secrets, no process of ours to look at, and of root's capabilities those alone that handle
//! files. Where the layout has volumes of the device mapper, they administer the kernel too: GRUB asks it what such a
//! volume is made of, and the kernel answers nobody else. Of such a layout's image one must be sure.

use super::say;
use super::target::{Tree, TreeError};
use super::tool::attend_as;
use crate::reap::SEARCH;
use crate::report::printable;
use crate::sys::confined;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, stat};
use nix::unistd::{chdir, chroot};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

/// Last characters of messages that an error tells.
const MAX_TOLD: usize = 300;
/// Devices that are no disks: name, major and minor number.
const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    // By which GRUB sees what a logical volume is made of.
    ("mapper/control", 10, 236),
];
/// Capabilities that programs keep, by their bits in `include/uapi/linux/capability.h`: CHOWN, DAC_OVERRIDE, FOWNER,
/// FSETID, KILL, SETGID, SETUID, AUDIT_WRITE, SETFCAP. None of them makes a device, mounts, leaves a root, looks into
/// another's process or talks to hardware.
const CAPABILITIES: u64 = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40 | 0x80 | (1 << 29) | (1 << 31);
/// SYS_ADMIN, without which the device mapper answers nothing.
const OF_DEVICE_MAPPER: u64 = 1 << 21;
const DEV_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Why a program of the target did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChrootError {
    /// The target cannot be made its root.
    #[error("cannot give programs of the target a root of their own: {0}")]
    Room(&'static str, #[source] io::Error),
    /// The target lacks a folder for it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It cannot be started.
    #[error("cannot run the image's {0}")]
    Start(String, #[source] io::Error),
    /// It failed.
    #[error("the image's {program} failed ({status}): {said}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
    /// It takes too long.
    #[error("the image's {program} has not ended after {} seconds", .limit.as_secs())]
    Late {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// A thread of ours panicked.
    #[error("the thread that runs programs of the target ended early")]
    Thread,
}

/// A block device that programs may see.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    /// In `/dev`.
    pub(crate) path: PathBuf,
    /// UUID of its file system, under which it is found; empty for none.
    pub(crate) uuid: String,
}

/// The target, as its programs see it.
#[derive(Debug)]
pub(crate) struct Chroot<'a> {
    /// Where the target is mounted.
    pub(crate) root: &'a Path,
    /// Its disks and partitions.
    pub(crate) devices: &'a [Device],
    /// Whether volumes of the device mapper are among them.
    pub(crate) is_mapped: bool,
}

impl Chroot<'_> {
    /// Runs a program to its end. What it says goes to the job's log.
    ///
    /// # Errors
    /// [`ChrootError`].
    pub(crate) fn run(&self, words: &[&str], limit: Duration) -> Result<(), ChrootError> {
        thread::scope(|scope| {
            // The thread's namespace and root end with it.
            let apart = scope.spawn(|| {
                self.enter()?;
                run(words, limit, self.capabilities())
            });
            apart.join().unwrap_or(Err(ChrootError::Thread))
        })
    }

    /// What its programs may do.
    fn capabilities(&self) -> u64 {
        CAPABILITIES | if self.is_mapped { OF_DEVICE_MAPPER } else { 0 }
    }

    /// Takes this thread into the target.
    fn enter(&self) -> Result<(), ChrootError> {
        let failed = |what| move |error: Errno| ChrootError::Room(what, error.into());
        let apart = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
        unshare(apart).map_err(failed("unshare"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .map_err(failed("make mounts private"))?;
        // Opened again: descriptors from before belong to the other namespace.
        let tree = Tree::open(self.root)?;
        let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let of_devices = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        for (kind, path, flags, data) in [
            ("tmpfs", "dev", of_devices, "mode=0755,size=1m"),
            ("sysfs", "sys", strict | MsFlags::MS_RDONLY, ""),
            ("tmpfs", "run", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=0755,size=64m"),
        ] {
            // By its descriptor, so that it is the folder that was looked at.
            let folder = tree.folder(path)?;
            mount(Some(kind), Tree::path_of(&folder).as_str(), Some(kind), flags, Some(data))
                .map_err(failed(kind))?;
        }
        // The program mounts it, since it shows the processes of who does.
        tree.folder("proc")?;
        self.devices(&tree).map_err(|error| ChrootError::Room("make devices", error))?;
        // The tree's descriptor is of the root itself.
        chdir(self.root).and_then(|()| chroot(".")).map_err(failed("chroot"))
    }

    fn devices(&self, tree: &Tree) -> io::Result<()> {
        let folder = tree.folder("dev").map_err(io::Error::other)?;
        let dev = PathBuf::from(Tree::path_of(&folder));
        let mode = Mode::from_bits_truncate(0o666);
        std::fs::create_dir_all(dev.join("mapper"))?;
        for (name, major, minor) in DEVICES {
            mknod(&dev.join(name), SFlag::S_IFCHR, mode, makedev(major, minor))?;
        }
        for (name, target) in DEV_LINKS {
            symlink(target, dev.join(name))?;
        }
        let by_uuid = dev.join("disk/by-uuid");
        std::fs::create_dir_all(&by_uuid)?;
        for device in self.devices {
            let Ok(name) = device.path.strip_prefix("/dev") else { continue };
            let node = dev.join(name);
            if let Some(folder) = node.parent() {
                std::fs::create_dir_all(folder)?;
            }
            if !node.try_exists()? {
                let number = stat(&device.path)?.st_rdev;
                mknod(&node, SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), number)?;
            }
            if !device.uuid.is_empty() && !device.uuid.contains('/') {
                symlink(&device.path, by_uuid.join(&device.uuid))?;
            }
        }
        Ok(())
    }
}

/// Runs a program of this thread's root, the first of a PID namespace: what it leaves running ends with it.
fn run(words: &[&str], limit: Duration, capabilities: u64) -> Result<(), ChrootError> {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let program = || (*program).to_owned();
    let mut command = Command::new(program());
    command.args(arguments).env_clear().env("PATH", SEARCH).env("LC_ALL", "C").env("HOME", "/root");
    // It makes no devices in a ramdisk, where the kernel shows them all the same.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("DRACUT_NO_MKNOD", "1").current_dir("/");
    confined(&mut command, capabilities);
    let start = |command: &mut Command| {
        // Not earlier: from here on this thread can start no other.
        unshare(CloneFlags::CLONE_NEWPID)?;
        command.spawn()
    };
    let (said, status) =
        attend_as(command, &[], limit, start).map_err(|error| ChrootError::Start(program(), error))?;
    let words: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &words {
        say(&format!("  {}: {}", short(&program()), printable(line, 200)));
    }
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let last = words.get(words.len().saturating_sub(3)..).unwrap_or_default().join(" / ");
            Err(ChrootError::Failed { program: program(), status, said: printable(&last, MAX_TOLD) })
        }
        None => Err(ChrootError::Late { program: program(), limit }),
    }
}

fn short(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// What a script says as a program of this machine's own tree, seen as a target; none without the right to
    /// namespaces.
    fn said(script: &'static str) -> Option<String> {
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).ok()?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            // Nothing may ever empty it: no folder that removes itself, and not to be written.
            let root = std::env::temp_dir().join(format!("muster-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir(&root).unwrap();
            for flags in [MsFlags::MS_BIND, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY] {
                mount(Some("/"), &root, None::<&str>, flags, None::<&str>).unwrap();
            }
            let chroot = Chroot { root: &root, devices: &[], is_mapped: false };
            let script = format!("{script}\necho end; exit 9");
            let ended = chroot.run(&["/bin/sh", "-c", &script], LIMIT);
            nix::mount::umount2(&root, nix::mount::MntFlags::MNT_DETACH).unwrap();
            std::fs::remove_dir(&root).unwrap();
            let told = match ended {
                Err(ChrootError::Failed { said, .. }) => said,
                other => panic!("{other:?}"),
            };
            Some(told)
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_program_of_the_image_makes_no_device_mounts_nothing_and_leaves_no_root() {
        let Some(said) = said(
            "mknod /run/disk b 7 0 2>/dev/null && echo made
             mount -t tmpfs none /run 2>/dev/null && echo mounted
             chroot / true 2>/dev/null && echo left
             test -w /proc/sys/kernel/core_pattern && echo set
             test -w /proc/sysrq-trigger && echo restarted",
        ) else {
            return;
        };
        assert_eq!(said, "end");
    }

    #[test]
    fn a_program_of_the_image_sees_no_process_but_its_own() {
        let Some(said) = said(
            "grep -l CARGO /proc/[0-9]*/environ
             test $$ = 1 || echo other
             readlink /proc/1/root",
        ) else {
            return;
        };
        assert_eq!(said, "/ / end");
    }

    #[test]
    fn a_program_of_the_image_handles_files_as_package_scripts_do() {
        let Some(said) = said(
            "touch /run/file && chown 7:8 /run/file && chmod 4600 /run/file && cat /run/file && stat -c %u:%g /run/file
             echo written > /dev/stdout && : > /dev/null && head -c 1 /dev/urandom | wc -c",
        ) else {
            return;
        };
        assert_eq!(said, "written / 1 / end");
    }

    #[test]
    fn what_a_program_leaves_running_ends_with_it() {
        let Some(said) = said("sleep 600 & echo begun") else { return };
        assert_eq!(said, "begun / end");
    }
}
