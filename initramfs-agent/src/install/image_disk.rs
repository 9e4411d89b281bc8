//! A disk image on the disk: its partitions, found in what was written. Until `boot` puts the first bytes there the disk
//! has no table, so the partitions are mapped by device mapper from the table that is held back.

use super::Install;
use super::mount::{MountError, Target};
use super::state::{Held, Mount, State, StateError};
use super::system::Esp;
use super::target::{Tree, TreeError};
use super::tool::{Tool, ToolError};
use crate::disk::{Blocks, Window, contents};
use protocol::install::{Contents, PartitionFound};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Types of an EFI system partition, in GPT and MBR.
const ESP: [&str; 2] = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"];
/// "Linux root (x86-64)" of the Discoverable Partitions Specification.
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
/// File systems that a root may have.
const FILESYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];
/// What a system has that is one (os-release(5)).
const RELEASES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const SECTOR: u64 = 512;

/// Why a disk image is not a system that we can finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageDiskError {
    /// The disk cannot be read or written.
    #[error("cannot use {0}; look at its SMART data")]
    Disk(PathBuf, #[source] io::Error),
    /// What was held back is gone.
    #[error("the first bytes of the disk image are not kept in {0}; start the run again")]
    Held(String),
    /// No table at all.
    #[error("the disk image has no partition table: {0}; use one that boots by itself")]
    NoTable(String),
    /// No root that we know.
    #[error(
        "no partition of the disk image has a system that can be configured (/etc/os-release on ext4, xfs or btrfs): {0}; use an image without LVM, RAID and encryption"
    )]
    NoRoot(String),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A partition that the kernel does not show.
    #[error("the kernel does not show {0}; restart the machine and start the run again")]
    Hidden(PathBuf),
    /// What verbs leave each other is not there.
    #[error(transparent)]
    State(#[from] StateError),
    /// A partition cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A partition cannot be looked into.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// A disk with bytes laid over it that are not there yet.
struct Overlay {
    disk: File,
    held: Vec<(u64, Vec<u8>)>,
}

impl Blocks for Overlay {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.disk.read_exact_at(into, at)?;
        for (offset, bytes) in &self.held {
            lay(into, at, bytes, *offset);
        }
        Ok(())
    }
}

/// Copies bytes that begin at `from` over those that begin at `at`, as far as these reach.
pub(super) fn lay(over: &mut [u8], at: u64, bytes: &[u8], from: u64) {
    // One of the two begins first; the other begins so far within it.
    let within = |begin: u64, of: u64| usize::try_from(begin.saturating_sub(of)).unwrap_or(usize::MAX);
    let bytes = bytes.get(within(at, from)..).unwrap_or_default();
    let over = over.get_mut(within(from, at)..).unwrap_or_default();
    let (over, _) = over.split_at_mut(over.len().min(bytes.len()));
    over.copy_from_slice(bytes.split_at(over.len()).0);
}

/// The image's own system.
#[derive(Debug)]
pub(crate) struct ImageDisk {
    /// Its root.
    pub(crate) root: Mount,
    /// Its EFI system partitions.
    pub(crate) esps: Vec<Esp>,
    mapped: Vec<String>,
}

impl ImageDisk {
    /// Finds root and ESP; the mapping they need ends with the value.
    ///
    /// # Errors
    /// [`ImageDiskError`].
    pub(crate) fn open(install: &Install, disk: &Path, state: &State) -> Result<Self, ImageDiskError> {
        let held = state.written.as_ref().map(|written| written.held.as_slice()).unwrap_or_default();
        let found = look(install, disk, held)?;
        let mut image = Self { root: Mount::default(), esps: Vec::new(), mapped: Vec::new() };
        for partition in found.partitions.iter().filter(|partition| is_esp(partition)) {
            let device = image.device(disk, partition, !held.is_empty())?;
            image.esps.push(Esp { disk: disk.to_owned(), number: partition.number, device });
        }
        for partition in candidates(&found) {
            let device = image.device(disk, partition, !held.is_empty())?;
            let mount = Mount {
                device,
                place: "/".to_owned(),
                filesystem: partition.filesystem.clone(),
                uuid: partition.uuid.clone(),
            };
            let target = Target::mount(&install.target, std::slice::from_ref(&mount))?;
            let is_system = is_system(target.root())?;
            target.unmount()?;
            if is_system {
                image.root = mount;
                return Ok(image);
            }
        }
        Err(ImageDiskError::NoRoot(told(&found)))
    }

    /// The device of a partition: the kernel's, or a mapping of our own.
    fn device(
        &mut self,
        disk: &Path,
        partition: &PartitionFound,
        is_held: bool,
    ) -> Result<PathBuf, ImageDiskError> {
        if !is_held {
            let device = node(disk, partition.number);
            return if device.exists() { Ok(device) } else { Err(ImageDiskError::Hidden(device)) };
        }
        let name = format!("muster-image-{}", partition.number);
        let device = mapping(&name);
        if device.exists() {
            // An attempt that was cut off left it.
            unmap(&name)?;
        }
        let table =
            format!("0 {} linear {} {}", partition.size / SECTOR, disk.display(), partition.start / SECTOR);
        Tool::new("dmsetup", disk).with(["create", &name, "--table", &table]).run()?;
        self.mapped.push(name);
        Ok(device)
    }

    /// Ends the mapping.
    ///
    /// # Errors
    /// [`ImageDiskError::Tool`].
    pub(crate) fn close(mut self) -> Result<(), ImageDiskError> {
        while let Some(name) = self.mapped.pop() {
            unmap(&name)?;
        }
        Ok(())
    }
}

impl Drop for ImageDisk {
    fn drop(&mut self) {
        for name in self.mapped.drain(..) {
            // The next attempt removes what cannot be removed now.
            drop(unmap(&name));
        }
    }
}

/// Writes what was held back: from here on the disk has a table and, under BIOS, a loader. Called again it does nothing.
///
/// # Errors
/// [`ImageDiskError`].
pub(crate) fn release(install: &Install, state: &mut State) -> Result<(), ImageDiskError> {
    let disk = state.partitioned.as_ref().and_then(|partitioned| partitioned.disks.first().cloned());
    let (Some(disk), Some(written)) = (disk, state.written.as_mut()) else { return Ok(()) };
    if written.held.is_empty() {
        return Ok(());
    }
    let table = look(install, &disk, &written.held)?.table;
    let mut held = held_bytes(install, &written.held)?;
    // The first bytes last: whatever is cut off before them leaves a disk without a table.
    held.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    let failed = |error| ImageDiskError::Disk(disk.clone(), error);
    let file = OpenOptions::new().write(true).open(&disk).map_err(failed)?;
    for (offset, bytes) in held {
        file.write_all_at(&bytes, offset).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    drop(file);
    if table == "gpt" {
        // The image was made for a smaller disk; its second table belongs at the end of this one.
        Tool::new("sgdisk", &disk).arg("--move-second-header").on_device().run()?;
    }
    Tool::new("blockdev", &disk).arg("--flushbufs").on_device().run()?;
    Tool::new("blockdev", &disk).arg("--rereadpt").on_device().run()?;
    written.held.clear();
    Ok(install.folder.keep_state(state)?)
}

/// What the disk holds with the held bytes in place.
fn look(install: &Install, disk: &Path, held: &[Held]) -> Result<Contents, ImageDiskError> {
    let failed = |error| ImageDiskError::Disk(disk.to_owned(), error);
    let mut file = File::open(disk).map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let overlay = Overlay { disk: file, held: held_bytes(install, held)? };
    let found = contents(&Window::new(&overlay, size));
    if found.table.is_empty() {
        return Err(ImageDiskError::NoTable(told(&found)));
    }
    Ok(found)
}

fn held_bytes(install: &Install, held: &[Held]) -> Result<Vec<(u64, Vec<u8>)>, ImageDiskError> {
    let bytes = |held: &Held| -> Result<(u64, Vec<u8>), ImageDiskError> {
        let bytes = install.folder.bytes(&held.file)?;
        Ok((held.offset, bytes.ok_or_else(|| ImageDiskError::Held(held.file.clone()))?))
    };
    held.iter().map(bytes).collect()
}

fn is_esp(partition: &PartitionFound) -> bool {
    ESP.contains(&partition.kind.as_str()) && partition.filesystem == "vfat"
}

/// What may be the root: those that say so first, then the largest.
fn candidates(found: &Contents) -> Vec<&PartitionFound> {
    let known = |partition: &&PartitionFound| FILESYSTEMS.contains(&partition.filesystem.as_str());
    let mut roots: Vec<&PartitionFound> = found.partitions.iter().filter(known).collect();
    roots.sort_by_key(|partition| (partition.kind != ROOT, std::cmp::Reverse(partition.size)));
    roots
}

fn is_system(root: &Path) -> Result<bool, ImageDiskError> {
    let tree = Tree::open(root)?;
    for release in RELEASES {
        if tree.has(release)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What there is instead, for who has to choose another image.
fn told(found: &Contents) -> String {
    let one = |partition: &PartitionFound| {
        let holds = if partition.filesystem.is_empty() { "nothing known" } else { &partition.filesystem };
        format!("partition {} has {holds}", partition.number)
    };
    let parts: Vec<String> = found.partitions.iter().map(one).collect();
    match (parts.is_empty(), found.error.is_empty()) {
        (false, _) => parts.join(", "),
        (true, false) => found.error.clone(),
        (true, true) => "it has no partition".to_owned(),
    }
}

/// The kernel's name for a partition.
fn node(disk: &Path, number: u32) -> PathBuf {
    let disk = disk.to_string_lossy();
    let between = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    PathBuf::from(format!("{disk}{between}{number}"))
}

/// Ends a mapping.
fn unmap(name: &str) -> Result<(), ToolError> {
    Tool::new("dmsetup", &mapping(name)).with(["remove", "--retry", name]).run().map(|_| ())
}

fn mapping(name: &str) -> PathBuf {
    Path::new("/dev/mapper").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32, kind: &str, filesystem: &str, size: u64) -> PartitionFound {
        PartitionFound {
            number,
            kind: kind.to_owned(),
            filesystem: filesystem.to_owned(),
            size,
            ..PartitionFound::default()
        }
    }

    #[test]
    fn the_root_is_the_partition_that_says_so_or_the_largest_that_we_can_mount() {
        let mut found = Contents {
            partitions: vec![
                partition(1, "0fc63daf-8483-4772-8e79-3d69d8477de4", "ext4", 900),
                partition(14, "21686148-6449-6e6f-744e-656564454649", "", 3),
                partition(15, ESP[0], "vfat", 124),
                partition(16, "0fc63daf-8483-4772-8e79-3d69d8477de4", "ext4", 5_000),
            ],
            ..Contents::default()
        };
        let numbers = |found: &Contents| candidates(found).iter().map(|one| one.number).collect::<Vec<_>>();
        assert_eq!(numbers(&found), [16, 1]);
        found.partitions[0].kind = ROOT.to_owned();
        assert_eq!(numbers(&found), [1, 16]);
        assert_eq!(found.partitions.iter().filter(|one| is_esp(one)).count(), 1);
        found.partitions = vec![partition(1, "", "LVM2_member", 9), partition(2, "", "", 1)];
        assert!(candidates(&found).is_empty());
        let error = ImageDiskError::NoRoot(told(&found)).to_string();
        assert!(error.contains("partition 1 has LVM2_member, partition 2 has nothing known"), "{error}");
    }

    #[test]
    fn bytes_that_are_held_back_are_read_as_if_they_were_on_the_disk() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().write_all_at(&[7; 4_096], 0).unwrap();
        let held = vec![(0, vec![1; 512]), (4_000, vec![2; 50])];
        let overlay = Overlay { disk: disk.reopen().unwrap(), held };
        let mut bytes = [0; 4_096];
        overlay.read(0, &mut bytes).unwrap();
        assert_eq!((bytes[511], bytes[512], bytes[3_999], bytes[4_000], bytes[4_050]), (1, 7, 7, 2, 7));
        let mut part = [0; 4];
        overlay.read(510, &mut part).unwrap();
        assert_eq!(part, [1, 1, 7, 7]);
        assert!(overlay.read(4_090, &mut [0; 10]).is_err());
    }

    #[test]
    fn partitions_are_named_as_the_kernel_names_them() {
        assert_eq!(node(Path::new("/dev/sda"), 2), Path::new("/dev/sda2"));
        assert_eq!(node(Path::new("/dev/nvme0n1"), 2), Path::new("/dev/nvme0n1p2"));
    }
}
