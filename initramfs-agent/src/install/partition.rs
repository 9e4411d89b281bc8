//! `muster-installer partition`: takes the chosen disks out of use, wipes what is on them, divides them and makes
//! file systems. Of the other disks none is opened for writing, by us or by a program that we call.
//!
//! Nothing that is made here boots: the ESP is empty, and nobody has written GRUB. A disk image brings partitions
//! of its own, so under one the disks are wiped and no more. Begun anew after a power cut, everything is done
//! again; the key of a cipher is made anew and is with the server before the cipher is on the disk.

use super::fail::InstallError;
use super::layout::{Holds, NOWHERE, Scheme, Vessel, scheme};
use super::mount::unmount_below;
use super::order::path;
use super::permit::{self, Granted, PermitError};
use super::progress::Cancelled;
use super::release::{self, ReleaseError};
use super::state::{Array, Cipher, Mount, Partition, Partitioned};
use super::survey;
use super::tool::{Tool, ToolError};
use super::{Install, InstallOrder};
use crate::api::rest::Call;
use crate::inventory::disks_now;
use crate::runner::AskError;
use hyper::Method;
use protocol::install::{EscrowedKey, Fate, Filesystem, Layout, Way};
use protocol::inventory::Disk;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use uuid::{Builder, Uuid};

/// Name of the open cipher, in `/dev/mapper` and in `crypttab`.
const CIPHER: &str = "muster-crypt";
/// Letters of a pass phrase: none that looks like another, all where every keyboard has them.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters in a group, and groups: 150 bits, and still typed by a person.
const GROUP: usize = 5;
const GROUPS: usize = 6;
/// How long the kernel may take to show a partition.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(50);

/// Why disks are not divided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartitionError {
    /// They cannot be taken.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A program fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel does not show a partition.
    #[error("the kernel shows no {0} after {limit} seconds; restart the machine and start the run again", limit = PATIENCE.as_secs())]
    Missing(PathBuf),
    /// Something has the name of the volume group.
    #[error("cannot make a volume group where {0} is: give Lvm.Group of the disk layout another name")]
    Links(PathBuf, #[source] io::Error),
    /// A kept disk has a group of the same name.
    #[error(
        "{0}, which is kept, has a volume group {1}, too: give Lvm.Group of the disk layout another name"
    )]
    GroupTaken(String, String),
    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes")]
    Random,
    /// The server does not take the key.
    #[error("the server does not take the key of the encrypted disk, so nothing is encrypted with it")]
    Escrow(#[source] AskError),
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// The verb.
///
/// # Errors
/// [`PartitionError`], `E60` without a permit, and what keeps it from order and server.
pub(super) fn partition(install: &Install) -> Result<(), InstallError> {
    let order = install.order()?;
    install.progress.tell(5, "asking for the wipe permit")?;
    let granted = permit::obtain(install, &order)?;
    let devices = devices(&order, &granted, &disks_now())?;
    let mut state = install.state()?;
    (state.partitioned, state.blocks, state.written) = (None, None, None);
    install.keep(&state)?;
    unmount_below(&install.target)?;
    let work = Work {
        disks: &devices,
        run: install.settings.run,
        tell: &|percent, words| install.progress.tell(percent, words),
        escrow: &|volume, key| escrow(install, volume, key),
    };
    state.partitioned = Some(match order.image.way {
        Way::Layers | Way::Tar => work.divide(&order.layout)?,
        Way::BlockMap => work.clear()?,
    });
    install.keep(&state)?;
    Ok(install.progress.tell(100, "partitions and file systems are made")?)
}

/// The disks that are both permitted and planned, in `/dev`; nothing is written for it.
///
/// # Errors
/// [`PermitError`] and what [`survey::hold`] says where permit, plan and disks differ.
pub(super) fn devices(
    order: &InstallOrder,
    granted: &Granted,
    present: &[Disk],
) -> Result<Vec<PathBuf>, InstallError> {
    let chosen = granted.disks(present)?;
    // The run has a permit: what is on the disks was looked at by `survey`.
    let planned = survey::hold(&order.plan, present, true)?;
    if chosen.len() != planned.len() || !chosen.iter().all(|disk| planned.contains(disk)) {
        return Err(PermitError::Other("disk than the plan's").into());
    }
    if order.layout.has_group() {
        free_name(order, order.layout.group())?;
    }
    Ok(chosen.iter().map(|disk| permit::device(disk)).collect())
}

/// Refuses a group's name that a kept disk has: the installed system would see both.
fn free_name(order: &InstallOrder, group: &str) -> Result<(), PartitionError> {
    let has = |disk: &Disk| {
        let contents = &disk.contents;
        let whole = contents.filesystem == "LVM2_member" && contents.label == group;
        whole
            || contents.partitions.iter().any(|part| part.filesystem == "LVM2_member" && part.label == group)
    };
    let kept = order.plan.disks.iter().filter(|planned| planned.fate == Fate::Keep);
    match kept.map(|planned| &planned.disk).find(|disk| has(disk)) {
        Some(disk) => Err(PartitionError::GroupTaken(disk.name.clone(), group.to_owned())),
        None => Ok(()),
    }
}

/// Gives a key to the server, which seals it.
fn escrow(install: &Install, volume: &str, key: &str) -> Result<(), PartitionError> {
    let escrowed = EscrowedKey { volume: volume.to_owned(), key: key.to_owned(), ..EscrowedKey::default() };
    // Plain texts always serialise.
    let body = serde_json::to_vec(&escrowed).unwrap_or_default();
    let call = Call::new(Method::POST, format!("{}/escrow", path(install.settings.run))).body(body);
    install.network.ask(&install.settings, call).map(|_| ()).map_err(PartitionError::Escrow)
}

/// What is done to chosen disks, apart from who chose them.
pub(super) struct Work<'a> {
    /// The disks, in `/dev`.
    pub(super) disks: &'a [PathBuf],
    /// The run, which becomes the GUID of each table.
    pub(super) run: Uuid,
    /// Hears how far it has come, in percent.
    pub(super) tell: &'a dyn Fn(u8, &str) -> Result<(), Cancelled>,
    /// Takes the key of a volume.
    pub(super) escrow: &'a dyn Fn(&str, &str) -> Result<(), PartitionError>,
}

impl Work<'_> {
    /// Takes the disks out of use and wipes every signature on them and on their partitions.
    pub(super) fn clear(&self) -> Result<Partitioned, PartitionError> {
        (self.tell)(10, "taking the disks out of use")?;
        let names: Vec<String> = self.disks.iter().map(|disk| name_of(disk)).collect();
        release::release(&names)?;
        for (disk, name) in self.disks.iter().zip(&names) {
            (self.tell)(20, &format!("wiping {}", disk.display()))?;
            let partitions = release::partitions(name)?;
            for partition in &partitions {
                wipe(&Path::new("/dev").join(partition))?;
            }
            if !partitions.is_empty() {
                Tool::new("partx", disk).arg("--delete").on_device().run()?;
            }
            wipe(disk)?;
        }
        Ok(Partitioned { disks: self.disks.to_vec(), ..Partitioned::default() })
    }

    /// Does all that a layout asks for.
    pub(super) fn divide(&self, layout: &Layout) -> Result<Partitioned, PartitionError> {
        let scheme = scheme(layout);
        let mut made = self.clear()?;
        for disk in self.disks {
            (self.tell)(30, &format!("dividing {}", disk.display()))?;
            made.partitions.extend(self.slice(disk, &scheme)?);
        }
        for (number, slice) in (1..).zip(&scheme.slices) {
            (self.tell)(50, &format!("making {}", slice.name))?;
            let devices: Vec<PathBuf> = made
                .partitions
                .iter()
                .filter(|partition| partition.number == number)
                .map(|partition| partition.device.clone())
                .collect();
            match &slice.holds {
                Holds::Nothing => {}
                Holds::Esp => esps(&devices, &mut made)?,
                Holds::Plain(vessel) => {
                    let device = whole(&devices, vessel, &mut made)?;
                    made.mounts.push(fill(vessel, &device)?);
                }
                Holds::Sealed(vessel) => {
                    let device = whole(&devices, vessel, &mut made)?;
                    let device = self.seal(&device, &mut made)?;
                    made.mounts.push(fill(vessel, &device)?);
                }
                Holds::Group { sealed } => {
                    let mut device = whole_named(&devices, "system", "1.2", &mut made)?;
                    if *sealed {
                        device = self.seal(&device, &mut made)?;
                    }
                    group(layout.group(), &device, &scheme.volumes, &mut made)?;
                }
            }
        }
        // The root first, what lies in something behind it, swap last.
        made.mounts.sort_by_key(|mount| (mount.place == NOWHERE, mount.place.clone()));
        Ok(made)
    }

    /// Writes the table of one disk: in one call, so that it is there whole or not at all.
    fn slice(&self, disk: &Path, scheme: &Scheme) -> Result<Vec<Partition>, PartitionError> {
        let mut tool = Tool::new("sgdisk", disk).with(["--clear", "--set-alignment=2048"]);
        // Mirrors have a table each, and no two disks may have one GUID.
        let first = self.disks.first().is_some_and(|first| first == disk);
        tool = tool.arg(format!("--disk-guid={}", if first { self.run } else { fresh()? }));
        let mut partitions = Vec::new();
        for (number, slice) in (1_u32..).zip(&scheme.slices) {
            let guid = fresh()?;
            let end = if slice.mib == 0 { "0".to_owned() } else { format!("+{}M", slice.mib) };
            tool = tool.with([
                format!("--new={number}:0:{end}"),
                format!("--typecode={number}:{}", slice.kind),
                format!("--change-name={number}:{}", slice.name),
                format!("--partition-guid={number}:{guid}"),
            ]);
            partitions.push(Partition {
                disk: disk.to_owned(),
                number,
                device: device_of(disk, number),
                role: slice.role,
                guid: guid.to_string(),
            });
        }
        tool.on_device().run()?;
        Tool::new("partx", disk).arg("--update").on_device().run()?;
        for partition in &partitions {
            appears(&partition.device)?;
            // What lay there before the old table, or between its partitions.
            wipe(&partition.device)?;
        }
        Ok(partitions)
    }

    /// Encrypts a device and opens it.
    fn seal(&self, device: &Path, made: &mut Partitioned) -> Result<PathBuf, PartitionError> {
        let (uuid, key) = (fresh()?, pass_phrase()?);
        (self.tell)(60, "giving the key of the encrypted disk to the server")?;
        (self.escrow)(&uuid.to_string(), &key)?;
        (self.tell)(65, &format!("encrypting {}", device.display()))?;
        Tool::new("cryptsetup", device)
            .with(["luksFormat", "--batch-mode", "--type=luks2", "--key-file=-"])
            .arg(format!("--uuid={uuid}"))
            .on_device()
            .reads(key.as_bytes())
            .run()?;
        Tool::new("cryptsetup", device)
            .with(["open", "--type=luks2", "--key-file=-", "--allow-discards"])
            .on_device()
            .arg(CIPHER)
            .reads(key.as_bytes())
            .run()?;
        made.ciphers.push(Cipher { name: CIPHER.to_owned(), uuid: uuid.to_string() });
        let open = Path::new("/dev/mapper").join(CIPHER);
        appears(&open)?;
        Ok(open)
    }
}

fn wipe(device: &Path) -> Result<(), PartitionError> {
    Tool::new("wipefs", device).with(["--all", "--force"]).on_device().run()?;
    Ok(())
}

/// One FAT for each disk; that of the first is mounted.
fn esps(devices: &[PathBuf], made: &mut Partitioned) -> Result<(), PartitionError> {
    for (index, device) in devices.iter().enumerate() {
        let serial = random::<4>()?.map(|byte| format!("{byte:02X}")).concat();
        Tool::new("mkfs.vfat", device).with(["-F", "32", "-n", "ESP", "-i", &serial]).on_device().run()?;
        if index == 0 {
            let (high, low) = serial.split_at(4);
            made.mounts.push(Mount {
                device: device.clone(),
                place: "/boot/efi".to_owned(),
                filesystem: "vfat".to_owned(),
                uuid: format!("{high}-{low}"),
            });
        }
    }
    Ok(())
}

/// The partition, or the array of several.
fn whole(devices: &[PathBuf], vessel: &Vessel, made: &mut Partitioned) -> Result<PathBuf, PartitionError> {
    // Each half of /boot reads as what it holds: its superblock is at the end.
    let version = if vessel.place == "/boot" { "1.0" } else { "1.2" };
    whole_named(devices, &vessel.name, version, made)
}

fn whole_named(
    devices: &[PathBuf],
    name: &str,
    version: &str,
    made: &mut Partitioned,
) -> Result<PathBuf, PartitionError> {
    if let [device] = devices {
        return Ok(device.clone());
    }
    let array = Path::new("/dev/md").join(name);
    // As `mdadm --detail` writes it: four words.
    let uuid = random::<16>()?.chunks(4).map(hex).collect::<Vec<_>>().join(":");
    Tool::new("mdadm", &array)
        .arg("--create")
        .on_device()
        .with(["--run", "--quiet", "--level=1", "--bitmap=internal", "--homehost=any"])
        .with([format!("--metadata={version}"), format!("--name={name}"), format!("--uuid={uuid}")])
        .arg(format!("--raid-devices={}", devices.len()))
        .with(devices.iter().map(|device| device.display()))
        .run()?;
    appears(&array)?;
    wipe(&array)?;
    made.arrays.push(Array { name: array.display().to_string(), uuid });
    Ok(array)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a volume group on a device, and its volumes.
fn group(
    name: &str,
    device: &Path,
    vessels: &[Vessel],
    made: &mut Partitioned,
) -> Result<(), PartitionError> {
    // LVM sees this device and no other, and leaves no copies of what it does.
    let config = format!(
        "--config=devices {{ filter=[ \"a|^{}$|\", \"r|.*|\" ] use_devicesfile=0 }} backup {{ backup=0 archive=0 }}",
        device.display()
    );
    let lvm = |verb: &str| Tool::new("lvm", device).arg(verb).arg(&config);
    forget_links(&Path::new("/dev").join(name))?;
    lvm("pvcreate").with(["--yes", "-ff"]).on_device().run()?;
    lvm("vgcreate").with(["--yes", name]).on_device().run()?;
    made.groups.push(name.to_owned());
    for vessel in vessels {
        let size = if vessel.mib == 0 { "-l100%FREE".to_owned() } else { format!("-L{}m", vessel.mib) };
        lvm("lvcreate").with(["--yes", "--wipesignatures", "y", &size, "-n", &vessel.name, name]).run()?;
        let volume = Path::new("/dev").join(name).join(&vessel.name);
        appears(&volume)?;
        made.mounts.push(fill(vessel, &volume)?);
    }
    Ok(())
}

/// Removes the links to volumes that are gone: LVM makes no group whose folder is there, and without udev nobody
/// else removes it.
fn forget_links(folder: &Path) -> Result<(), PartitionError> {
    let forget = || {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_symlink() && !path.exists() {
                fs::remove_file(path)?;
            }
        }
        fs::remove_dir(folder)
    };
    match forget() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PartitionError::Links(folder.to_owned(), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a file system, or swap. Nothing is discarded first: some disks take hours over that.
fn fill(vessel: &Vessel, device: &Path) -> Result<Mount, PartitionError> {
    let uuid = fresh()?;
    let label = |most: usize| vessel.name.get(..most).unwrap_or(&vessel.name).to_owned();
    let (program, arguments) = match vessel.filesystem {
        Some(Filesystem::Ext4) => {
            let arguments = ["-F", "-q", "-E", "nodiscard", "-L", &label(16), "-U", &uuid.to_string()];
            ("mkfs.ext4", arguments.map(str::to_owned).to_vec())
        }
        Some(Filesystem::Xfs) => {
            let arguments = ["-f", "-q", "-K", "-L", &label(12), "-m", &format!("uuid={uuid}")];
            ("mkfs.xfs", arguments.map(str::to_owned).to_vec())
        }
        Some(Filesystem::Btrfs) => {
            let arguments = ["-f", "-q", "-K", "-L", &label(32), "-U", &uuid.to_string()];
            ("mkfs.btrfs", arguments.map(str::to_owned).to_vec())
        }
        None => ("mkswap", ["-L", &label(15), "-U", &uuid.to_string()].map(str::to_owned).to_vec()),
    };
    Tool::new(program, device).with(arguments).on_device().run()?;
    Ok(Mount {
        device: device.to_owned(),
        place: vessel.place.clone(),
        filesystem: vessel.filesystem.map_or("swap", Filesystem::word).to_owned(),
        uuid: uuid.to_string(),
    })
}

/// Waits until a device is there.
fn appears(device: &Path) -> Result<(), PartitionError> {
    let end = Instant::now() + PATIENCE;
    while !device.exists() {
        if Instant::now() >= end {
            return Err(PartitionError::Missing(device.to_owned()));
        }
        thread::sleep(TICK);
    }
    Ok(())
}

fn name_of(disk: &Path) -> String {
    disk.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The partition of a number: behind a digit stands a `p` (`block/partitions/core.c`).
fn device_of(disk: &Path, number: u32) -> PathBuf {
    let name = name_of(disk);
    let p = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    disk.with_file_name(format!("{name}{p}{number}"))
}

fn random<const N: usize>() -> Result<[u8; N], PartitionError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| PartitionError::Random)?;
    Ok(bytes)
}

fn fresh() -> Result<Uuid, PartitionError> {
    Ok(Builder::from_random_bytes(random()?).into_uuid())
}

/// A new pass phrase, such as `k3x9a-...`.
fn pass_phrase() -> Result<String, PartitionError> {
    let bytes = random::<{ GROUP * GROUPS }>()?;
    let letter = |byte: &u8| char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'a'));
    let groups = bytes.chunks(GROUP).map(|group| group.iter().map(letter).collect::<String>());
    Ok(groups.collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests;
