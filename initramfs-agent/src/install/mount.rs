//! The target's file systems, mounted one below another for as long as a verb works on them.
//!
//! Nothing in the target leads out of it: mount points are walked to without following a link.

use super::state::Mount;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::syncfs;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// The kernel's list of what is mounted where.
const MOUNTS: &str = "/proc/thread-self/mounts";
/// What ext4 makes in an empty file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Why the target is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// A place that is none.
    #[error(
        "the target cannot have a file system at {0:?}; name a folder from the root on in the disk layout"
    )]
    Place(String),
    /// The mount point cannot be made, or is a link.
    #[error("cannot make the mount point {0}")]
    Point(PathBuf, #[source] io::Error),
    /// The kernel refuses.
    #[error("cannot mount {device} ({filesystem}) at {point}")]
    Mount {
        /// The device.
        device: PathBuf,
        /// Its file system.
        filesystem: String,
        /// Where.
        point: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// What was written is not on the disk.
    #[error(
        "cannot write {device} to its end; the disk is full or fails: look at its SMART data, then take another one by the param muster/disk"
    )]
    Sync {
        /// The device.
        device: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The kernel does not say what is mounted.
    #[error("cannot read {0}")]
    List(&'static str, #[source] io::Error),
    /// Something still uses it.
    #[error("cannot unmount {0}")]
    Unmount(PathBuf, #[source] Errno),
    /// What an attempt left behind cannot be removed.
    #[error("cannot empty {0}")]
    Empty(PathBuf, #[source] io::Error),
}

/// Mounted file systems, the root first. They are unmounted with the value.
#[derive(Debug)]
pub(crate) struct Target {
    root: PathBuf,
    mounted: Vec<Mounted>,
}

#[derive(Debug)]
struct Mounted {
    device: PathBuf,
    point: PathBuf,
    folder: OwnedFd,
}

impl Target {
    /// Mounts the file systems that make up the installed system's tree: swap is none, and the ESP is not
    /// among them, so that nothing that is unpacked becomes bootable. What an earlier verb left mounted
    /// here is unmounted first.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub(crate) fn mount(root: &Path, mounts: &[Mount]) -> Result<Self, MountError> {
        unmount_below(root)?;
        fs::create_dir_all(root).map_err(|error| MountError::Point(root.to_owned(), error))?;
        let mut target = Self { root: root.to_owned(), mounted: Vec::new() };
        for mount in mounts.iter().filter(|mount| is_of_the_tree(mount)) {
            let mounted = target.add(mount)?;
            target.mounted.push(mounted);
        }
        Ok(target)
    }

    /// Where the root is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn add(&self, wanted: &Mount) -> Result<Mounted, MountError> {
        let folder = folder_beneath(&self.root, &wanted.place)?;
        let point = self.root.join(wanted.place.trim_start_matches('/'));
        let refused = |source| MountError::Mount {
            device: wanted.device.clone(),
            filesystem: wanted.filesystem.clone(),
            point: point.clone(),
            source,
        };
        // By its descriptor, so that it is the folder that was looked at.
        let place = format!("/proc/self/fd/{}", folder.as_raw_fd());
        // Devices that an image brings lead to this machine's disks.
        let flags = MsFlags::MS_NOATIME | MsFlags::MS_NODEV;
        let kind = Some(wanted.filesystem.as_str());
        mount(Some(&wanted.device), place.as_str(), kind, flags, None::<&str>).map_err(refused)?;
        // The folder of the mounted file system, in place of the one below it.
        let opened = open(&point, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        match opened {
            Ok(folder) => Ok(Mounted { device: wanted.device.clone(), point, folder }),
            Err(error) => {
                umount2(&point, MntFlags::MNT_DETACH).map_err(refused)?;
                Err(refused(error))
            }
        }
    }

    /// The same file systems for who works on them in the meantime.
    ///
    /// # Errors
    /// [`MountError::Point`] when there are no descriptors left.
    pub(crate) fn volumes(&self) -> Result<Volumes, MountError> {
        let clone = |mounted: &Mounted| {
            let folder = mounted.folder.try_clone();
            let folder = folder.map_err(|error| MountError::Point(mounted.point.clone(), error))?;
            Ok((mounted.device.clone(), folder))
        };
        Ok(Volumes(self.mounted.iter().map(clone).collect::<Result<_, MountError>>()?))
    }

    /// Has everything that was written on the disks.
    ///
    /// # Errors
    /// [`MountError::Sync`].
    pub(crate) fn sync(&self) -> Result<(), MountError> {
        self.mounted.iter().try_for_each(|mounted| synced(&mounted.device, &mounted.folder))
    }

    /// Unmounts everything, the root last.
    ///
    /// # Errors
    /// [`MountError::Unmount`].
    pub(crate) fn unmount(mut self) -> Result<(), MountError> {
        while let Some(Mounted { point, folder, .. }) = self.mounted.pop() {
            drop(folder);
            umount2(&point, MntFlags::UMOUNT_NOFOLLOW).map_err(|error| MountError::Unmount(point, error))?;
        }
        Ok(())
    }

    /// Removes every file of these file systems, each by itself, and leaves none of them mounted.
    ///
    /// # Errors
    /// [`MountError`].
    pub(crate) fn empty(root: &Path, mounts: &[Mount]) -> Result<(), MountError> {
        for mount in mounts.iter().filter(|mount| is_of_the_tree(mount)) {
            let alone = Mount { place: "/".to_owned(), ..mount.clone() };
            let target = Self::mount(root, &[alone])?;
            remove_content(root).map_err(|error| MountError::Empty(root.to_owned(), error))?;
            target.unmount()?;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        while let Some(Mounted { point, folder, .. }) = self.mounted.pop() {
            drop(folder);
            // Busy, it goes when its last user does. Nobody is left to hear of more.
            umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).unwrap_or(());
        }
    }
}

/// Mounted file systems by their devices, the root first.
#[derive(Debug)]
pub(crate) struct Volumes(pub(super) Vec<(PathBuf, OwnedFd)>);

impl Volumes {
    /// The folder of the root; none where nothing is mounted.
    pub(crate) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.0.first().map(|(_, folder)| folder.as_fd())
    }

    /// Has what was written so far on the disks.
    ///
    /// # Errors
    /// [`MountError::Sync`].
    pub(crate) fn sync(&self) -> Result<(), MountError> {
        self.0.iter().try_for_each(|(device, folder)| synced(device, folder))
    }

    /// The device with the least room left.
    pub(crate) fn fullest(&self) -> PathBuf {
        let room = |folder: &OwnedFd| fstatvfs(folder).map_or(u64::MAX, |stat| stat.blocks_available());
        let fullest = self.0.iter().min_by_key(|(_, folder)| room(folder));
        fullest.map(|(device, _)| device.clone()).unwrap_or_default()
    }
}

fn synced(device: &Path, folder: &OwnedFd) -> Result<(), MountError> {
    syncfs(folder.as_fd()).map_err(|source| MountError::Sync { device: device.to_owned(), source })
}

fn is_of_the_tree(mount: &Mount) -> bool {
    mount.place.starts_with('/') && mount.filesystem != "vfat"
}

/// The folder at `place` below `root`, made where it is missing; no part of the way is a link.
fn folder_beneath(root: &Path, place: &str) -> Result<OwnedFd, MountError> {
    let point = root.join(place.trim_start_matches('/'));
    let refused = |error: Errno| MountError::Point(point.clone(), error.into());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut folder = open(root, flags, Mode::empty()).map_err(refused)?;
    for part in Path::new(place).components() {
        let name = match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::ParentDir | Component::Prefix(_) => return Err(MountError::Place(place.to_owned())),
        };
        match mkdirat(folder.as_fd(), name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(refused(error)),
        }
        folder = openat(folder.as_fd(), name, flags, Mode::empty()).map_err(refused)?;
    }
    Ok(folder)
}

fn remove_content(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == LOST_AND_FOUND {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Unmounts what is mounted at `root` and below, the last first.
///
/// # Errors
/// [`MountError`] when the kernel does not tell, or something uses it.
pub(super) fn unmount_below(root: &Path) -> Result<(), MountError> {
    let list = fs::read_to_string(MOUNTS).map_err(|error| MountError::List(MOUNTS, error))?;
    for point in points_below(root, &list).into_iter().rev() {
        umount2(&point, MntFlags::UMOUNT_NOFOLLOW).map_err(|error| MountError::Unmount(point, error))?;
    }
    Ok(())
}

/// Mount points at `root` and below, in the order in which they were mounted.
fn points_below(root: &Path, list: &str) -> Vec<PathBuf> {
    let points = list.lines().filter_map(|line| line.split(' ').nth(1));
    // The kernel writes blanks as numbers (`mangle` in fs/proc_namespace.c); layouts have no others.
    points.map(|point| PathBuf::from(point.replace("\\040", " "))).filter(|at| at.starts_with(root)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::stat::{SFlag, makedev, mknod};
    use std::os::unix::fs::symlink;

    fn memory(place: &str) -> Mount {
        Mount {
            device: format!("at{place}").into(),
            place: place.to_owned(),
            filesystem: "tmpfs".to_owned(),
            ..Mount::default()
        }
    }

    /// In a mount namespace of its own, which goes with the thread; not at all without the right to one.
    fn apart(test: impl FnOnce(&Path) + Send + 'static) {
        let thread = std::thread::spawn(move || {
            if unshare(CloneFlags::CLONE_NEWNS).is_err() {
                return;
            }
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .unwrap();
            let folder = tempfile::tempdir().unwrap();
            test(&folder.path().join("target"));
        });
        thread.join().unwrap();
    }

    /// What is mounted below, by the thread's own list.
    fn below(root: &Path) -> Vec<PathBuf> {
        points_below(root, &fs::read_to_string(MOUNTS).unwrap())
    }

    #[test]
    fn file_systems_are_mounted_one_below_another_and_go_again() {
        apart(|root| {
            let mounts = [memory("/"), memory("/var"), memory("/var/lib data")];
            let target = Target::mount(root, &mounts).unwrap();
            assert_eq!(below(root), [root.to_owned(), root.join("var"), root.join("var/lib data")]);
            fs::write(root.join("var/lib data/file"), "x").unwrap();
            let volumes = target.volumes().unwrap();
            volumes.sync().unwrap();
            assert!(volumes.root().is_some());
            assert_eq!(volumes.fullest(), Path::new("at/var/lib data"));
            drop(volumes);
            target.unmount().unwrap();
            assert_eq!(below(root), [] as [PathBuf; 0]);
            assert_eq!(fs::read_dir(root).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_device_that_an_image_brings_cannot_be_opened() {
        apart(|root| {
            let target = Target::mount(root, &[memory("/")]).unwrap();
            let node = root.join("disk");
            mknod(&node, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
            let error = fs::File::open(&node).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            target.unmount().unwrap();
        });
    }

    #[test]
    fn neither_swap_nor_the_esp_is_part_of_the_tree() {
        let esp = Mount { place: "/boot/efi".to_owned(), filesystem: "vfat".to_owned(), ..Mount::default() };
        let swap = Mount { place: "none".to_owned(), filesystem: "swap".to_owned(), ..Mount::default() };
        assert!(!is_of_the_tree(&esp) && !is_of_the_tree(&swap) && is_of_the_tree(&memory("/")));
    }

    #[test]
    fn no_link_and_no_parent_leads_out_of_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("target"), folder.path().join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("var")).unwrap();
        assert!(matches!(folder_beneath(&root, "/var/lib"), Err(MountError::Point(..))));
        assert!(matches!(folder_beneath(&root, "/../outside"), Err(MountError::Place(_))));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        folder_beneath(&root, "/srv/./data").unwrap();
        assert!(root.join("srv/data").is_dir());
    }

    #[test]
    fn each_file_system_is_emptied_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lost+found", "usr/lib"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("usr/lib/file"), "x").unwrap();
        symlink("/nowhere", folder.path().join("bin")).unwrap();
        remove_content(folder.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lost+found"]);
    }

    #[test]
    fn what_is_mounted_below_is_found_whatever_its_name() {
        let list =
            "/dev/sda2 /t ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/sda3 /t/a\\040b xfs rw 0 0\nx /tt x x";
        assert_eq!(points_below(Path::new("/t"), list), [Path::new("/t"), Path::new("/t/a b")]);
    }
}
