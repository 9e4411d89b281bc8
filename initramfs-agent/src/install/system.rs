//! The written system as `configure` and `boot` work on it: its file systems mounted, whether the layout made them or a
//! disk image brought them, and its EFI system partitions beside it, never below.

use super::chroot::Device;
use super::image_disk::{ImageDisk, ImageDiskError};
use super::mount::{MountError, Target};
use super::state::{Mount, Partitioned, Role, State};
use super::{Install, InstallOrder};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use protocol::install::Way;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Modes mean nothing to FAT: that they cannot be kept is no error.
const ESP_OPTIONS: &str = "quiet,umask=0077";

/// Why the written system cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    /// Earlier verbs did not do theirs.
    #[error("nothing was {0} in this boot of the machine; start the run again")]
    TooEarly(&'static str),
    /// A file system cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The disk image's partitions are not what we know.
    #[error(transparent)]
    Image(#[from] ImageDiskError),
    /// An ESP cannot be mounted.
    #[error("cannot mount the EFI system partition {device}")]
    Esp {
        /// The partition.
        device: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// An EFI system partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Esp {
    /// Its disk, in `/dev`.
    pub(crate) disk: PathBuf,
    /// Its number.
    pub(crate) number: u32,
    /// The partition itself.
    pub(crate) device: PathBuf,
}

/// The system.
#[derive(Debug)]
pub(crate) struct System {
    target: Target,
    mounts: Vec<Mount>,
    layout: Option<Partitioned>,
    esps: Vec<Esp>,
    /// A disk image whose partitions are not on the disk yet; the mapping ends with it.
    image: Option<ImageDisk>,
}

impl System {
    /// Mounts it.
    ///
    /// # Errors
    /// [`SystemError`].
    pub(crate) fn open(install: &Install, order: &InstallOrder, state: &State) -> Result<Self, SystemError> {
        let partitioned = state.partitioned.clone().ok_or(SystemError::TooEarly("partitioned"))?;
        if state.written.is_none() {
            return Err(SystemError::TooEarly("written"));
        }
        let (mounts, layout, esps, image) = match order.image.way {
            Way::Layers | Way::Tar => {
                let esps = of_layout(&partitioned);
                (partitioned.mounts.clone(), Some(partitioned), esps, None)
            }
            Way::BlockMap => {
                let disk = partitioned.disks.first().ok_or(SystemError::TooEarly("partitioned"))?;
                let image = ImageDisk::open(install, disk, state)?;
                (vec![image.root.clone()], None, image.esps.clone(), Some(image))
            }
        };
        let target = Target::mount(&install.target, &mounts)?;
        Ok(Self { target, mounts, layout, esps, image })
    }

    /// Where its root is mounted.
    pub(crate) fn root(&self) -> &Path {
        self.target.root()
    }

    /// The layout that made it; none for a disk image.
    pub(crate) fn layout(&self) -> Option<&Partitioned> {
        self.layout.as_ref()
    }

    /// Its EFI system partitions; the first is the one that firmware starts.
    pub(crate) fn esps(&self) -> &[Esp] {
        &self.esps
    }

    /// UUID of the file system that holds `/boot`, and whether that is one of its own.
    pub(crate) fn boot(&self) -> (&str, bool) {
        let of = |place: &str| self.mounts.iter().find(|mount| mount.place == place);
        let (boot, root) = (of("/boot"), of("/"));
        (boot.or(root).map_or("", |mount| mount.uuid.as_str()), boot.is_some())
    }

    /// UUID of its root.
    pub(crate) fn root_uuid(&self) -> &str {
        self.mounts.iter().find(|mount| mount.place == "/").map_or("", |mount| mount.uuid.as_str())
    }

    /// What its programs may see.
    pub(crate) fn devices(&self) -> Vec<Device> {
        let mut devices = Vec::new();
        for mount in self.mounts.iter().filter(|mount| mount.place != "none") {
            devices.push(Device { path: mount.device.clone(), uuid: mount.uuid.clone() });
        }
        let layout = self.layout.iter().flat_map(|layout| {
            layout.disks.iter().chain(layout.partitions.iter().map(|partition| &partition.device))
        });
        for path in layout {
            if !devices.iter().any(|device| device.path == *path) {
                devices.push(Device { path: path.clone(), uuid: String::new() });
            }
        }
        devices
    }

    /// Has everything on the disk and unmounts it.
    ///
    /// # Errors
    /// [`SystemError`].
    pub(crate) fn close(self) -> Result<(), SystemError> {
        self.target.sync()?;
        self.target.unmount()?;
        Ok(self.image.map_or(Ok(()), ImageDisk::close)?)
    }
}

fn of_layout(layout: &Partitioned) -> Vec<Esp> {
    let esps = layout.partitions.iter().filter(|partition| partition.role == Role::Esp);
    let esp = |partition: &super::state::Partition| Esp {
        disk: partition.disk.clone(),
        number: partition.number,
        device: partition.device.clone(),
    };
    esps.map(esp).collect()
}

/// A mounted ESP. It is unmounted with the value.
#[derive(Debug)]
pub(crate) struct MountedEsp {
    point: PathBuf,
    device: PathBuf,
}

impl MountedEsp {
    /// Mounts it beside the target.
    ///
    /// # Errors
    /// [`SystemError::Esp`].
    pub(crate) fn mount(install: &Install, esp: &Esp) -> Result<Self, SystemError> {
        let point = install.folder.file("esp");
        let refused = |source| SystemError::Esp { device: esp.device.clone(), source };
        fs::create_dir_all(&point).map_err(refused)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some(&esp.device), &point, Some("vfat"), flags, Some(ESP_OPTIONS))
            .map_err(|error| refused(error.into()))?;
        Ok(Self { point, device: esp.device.clone() })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        &self.point
    }

    /// Unmounts it; what was written is on the disk then.
    ///
    /// # Errors
    /// [`SystemError::Esp`].
    pub(crate) fn unmount(self) -> Result<(), SystemError> {
        umount2(&self.point, MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|error| SystemError::Esp { device: self.device.clone(), source: error.into() })
    }
}

impl Drop for MountedEsp {
    fn drop(&mut self) {
        // Gone already where it was unmounted; nobody is left to hear of more.
        umount2(&self.point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).unwrap_or(());
    }
}
