//! `boot`: makes the disk start, whatever firmware starts it. Nothing that was written before makes a machine start
//! from it; this is the order in which it becomes a system of its own, and a cut at any point leaves a disk that
//! starts whole or a machine that comes back to our image:
//!
//! 1. in the target: initial ramdisk where the layout needs one, GRUB's menu and modules;
//! 2. GRUB's code for BIOS, and the loaders on every ESP (the first MiB and the table of a disk image);
//! 3. the type of the root partition;
//! 4. the firmware's boot order;
//! 5. last of all the marker, by which our media start the disk.

mod bios;
mod efi;
mod firmware;
mod grub;
mod kernel;
mod marker;

use super::chroot::{Chroot, ChrootError};
use super::fail::InstallError;
use super::image_disk::{self, ImageDiskError};
use super::state::{Partitioned, Role};
use super::system::{Esp, MountedEsp, System, SystemError};
use super::target::{Tree, TreeError};
use super::tool::{Tool, ToolError};
use super::write::permitted;
use super::{Install, say};
use crate::kexec::{self, KexecError};
use crate::report::chain;
use bios::{BiosError, Room};
use efi::Loaders;
use firmware::{Entry, Firmware};
use grub::Home;
use marker::Place;
use protocol::install::{BootOrder, InstallOrder, Reboot, Way};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "Linux root (x86-64)" of the Discoverable Partitions Specification.
const ROOT_TYPE: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
/// Where the number of the firmware entry is kept that our image was started by: who comes back sets it as next.
const BOOT_CURRENT: &str = "/etc/muster/boot-current";
/// FAT has no modes; this is what it shows.
const ON_ESP: u32 = 0o700;
/// What making a ramdisk may take at the very most: how long the step may take is the server's to say.
const RAMDISK_LIMIT: Duration = Duration::from_secs(3_600);

/// Why the disk does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The system is not there.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A file of it cannot be used.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A program of it failed.
    #[error(transparent)]
    Chroot(#[from] ChrootError),
    /// GRUB for BIOS cannot be written.
    #[error(transparent)]
    Bios(#[from] BiosError),
    /// The disk image cannot be finished.
    #[error(transparent)]
    Image(#[from] ImageDiskError),
    /// The new kernel cannot be loaded.
    #[error(transparent)]
    Kexec(#[from] KexecError),
    /// The image boots nothing.
    #[error(
        "the image has no kernel in /boot; use one with a kernel, such as one with Debian's linux-image-amd64"
    )]
    NoKernel,
    /// The kernel has no ramdisk.
    #[error(
        "the image's kernel has no initial ramdisk in /boot; install initramfs-tools or dracut in the image"
    )]
    NoRamdisk,
    /// The layout needs what the image does not have.
    #[error(
        "the disk layout needs {0}, which the image lacks; install it in the image, or change the param muster/disk-layout"
    )]
    Lacks(&'static str),
    /// Another family's GRUB.
    #[error(
        "the image has the GRUB of Fedora's family, whose menus (BLS) are not made here; import its disk image instead"
    )]
    OtherGrub,
    /// The menu names no kernel.
    #[error("the image's grub-mkconfig made a menu without a kernel")]
    EmptyMenu,
    /// The signed GRUB does not say where its menu is.
    #[error("the image's signed GRUB does not say in which folder of the ESP it looks for its menu")]
    Vendor,
    /// The firmware here is UEFI, and nothing for it is there.
    #[error(
        "this machine starts by UEFI and the image has no loader for it; install shim-signed and grub-efi-amd64-signed, or systemd-boot with a unified kernel image"
    )]
    NoLoader,
    /// The firmware is UEFI and the disk has no partition for it.
    #[error("this machine starts by UEFI and the disk has no EFI system partition; use another image")]
    NoEsp,
    /// An argument that no menu carries.
    #[error(
        "the kernel arguments hold {0:?}, which boot loaders would not pass on; change the param muster/kernel-args"
    )]
    Arguments(char),
    /// The consoles are not told.
    #[error("cannot read which consoles this machine has")]
    Consoles(#[source] io::Error),
    /// Our own GRUB fails.
    #[error("cannot use {0} of the tools")]
    Tools(PathBuf, #[source] io::Error),
    /// A program of the tools fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel to go on with cannot be read.
    #[error("cannot read the installed kernel {0}")]
    Kernel(PathBuf, #[source] io::Error),
}

/// The verb.
///
/// # Errors
/// [`InstallError`].
pub(crate) fn boot(install: &Install) -> Result<(), InstallError> {
    let (order, mut state) = (install.order()?, install.state()?);
    let firmware = Firmware::here();
    install.progress.tell(0, "making the disk bootable")?;
    permitted(install, &order, &state)?;
    if order.image.way == Way::BlockMap {
        image_disk::release(install, &mut state).map_err(BootError::from)?;
    }
    let system = System::open(install, &order, &state).map_err(BootError::from)?;
    let esps = system.esps().to_vec();
    let loaders = match system.layout() {
        Some(layout) => {
            prepare(&system, layout, &order.boot, firmware.is_some(), &install.folder.file("grub"))?
        }
        None if order.boot.kernel_args.trim().is_empty() => None,
        None => {
            say("the disk image brings its own kernel arguments; those of muster/kernel-args are not used");
            None
        }
    };
    remember(&system, firmware.as_ref())?;
    if firmware.is_some() && esps.is_empty() {
        return Err(BootError::NoEsp.into());
    }
    system.close().map_err(BootError::from)?;
    install.progress.tell(70, "the boot loader")?;
    if let Some(layout) = state.partitioned.as_ref().filter(|_| order.image.way != Way::BlockMap) {
        set_types(layout)?;
    }
    if esps.is_empty() {
        let system = System::open(install, &order, &state).map_err(BootError::from)?;
        let tree = Tree::open(system.root()).map_err(BootError::from)?;
        marker::put(&tree, Place::Root, &order.boot.server_id, "").map_err(BootError::from)?;
        drop(tree);
        system.close().map_err(BootError::from)?;
    } else {
        finish(install, &esps, loaders.as_ref(), &order.boot, firmware.as_ref())?;
    }
    if order.boot.reboot == Reboot::Kexec {
        load(install, &order, &state)?;
    }
    install.progress.tell(100, "the disk starts the system")?;
    Ok(())
}

/// Refuses an order whose system could not be started, whatever is in the image.
///
/// # Errors
/// [`BootError::Arguments`]; [`BootError::Consoles`] when the kernel does not tell of them.
pub(super) fn check(order: &InstallOrder) -> Result<(), BootError> {
    // Disk images keep their own.
    let is_ours = order.image.way != Way::BlockMap;
    if is_ours { kernel::arguments(&order.boot.kernel_args).map(drop) } else { Ok(()) }
}

/// Makes the target able to start from its disk, and gives back what belongs on the ESPs: none where the image has
/// nothing for UEFI and the machine needs nothing.
fn prepare(
    system: &System,
    layout: &Partitioned,
    ordered: &BootOrder,
    is_uefi: bool,
    apart: &Path,
) -> Result<Option<Loaders>, BootError> {
    let tree = Tree::open(system.root())?;
    let devices = system.devices();
    let is_mapped = !(layout.groups.is_empty() && layout.ciphers.is_empty());
    let chroot = Chroot { root: system.root(), devices: &devices, is_mapped };
    let mut kernel = kernel::newest(&tree)?;
    let needs = kernel::needs(layout);
    if kernel.ramdisk.is_none() || !needs.is_empty() {
        let words = kernel::ramdisk_maker(&tree, &kernel, &needs)?;
        chroot.run(&words.iter().map(String::as_str).collect::<Vec<_>>(), RAMDISK_LIMIT)?;
        kernel = kernel::newest(&tree)?;
    }
    if kernel.ramdisk.is_none() {
        return Err(BootError::NoRamdisk);
    }
    let (uuid, has_boot) = system.boot();
    let home = Home { uuid: uuid.to_owned(), folder: if has_boot { "/grub" } else { "/boot/grub" } };
    let arguments = kernel::arguments(&ordered.kernel_args)?;
    let root = format!("UUID={}", system.root_uuid());
    let loaders = match efi::of_image(&tree, &home)? {
        Some(loaders) => Some(loaders),
        None => grub::efi(&tree, &chroot, &home)?.map(efi::unsigned),
    };
    match &loaders {
        None if is_uefi => return Err(BootError::NoLoader),
        None => say("the image has no loader for UEFI: the disk starts under BIOS alone"),
        Some(_) => {}
    }
    // Unified kernels bring their own command line and menu.
    grub::menu(&tree, &chroot, &kernel, &root, &arguments)?;
    let rooms = rooms(layout)?;
    if rooms.is_empty() {
        say("the disk has no partition for GRUB under BIOS: it starts under UEFI alone");
    } else {
        fs::create_dir_all(apart).map_err(|error| BootError::Tools(apart.to_owned(), error))?;
        grub::bios(&tree, &chroot, &home, &rooms, apart)?;
    }
    Ok(loaders)
}

/// The partitions for GRUB's core under BIOS, on disks that BIOS can start from.
fn rooms(layout: &Partitioned) -> Result<Vec<(PathBuf, Room)>, BootError> {
    let mut rooms = Vec::new();
    for partition in layout.partitions.iter().filter(|partition| partition.role == Role::BiosBoot) {
        if grub::has_bios_sectors(&partition.disk) {
            let name = partition.device.file_name().unwrap_or_default();
            let number = |file: &str| -> Result<u64, BootError> {
                let path = Path::new("/sys/class/block").join(name).join(file);
                let failed = |error| BootError::Tools(path.clone(), error);
                let text = fs::read_to_string(&path).map_err(failed)?;
                text.trim().parse().map_err(|error| failed(io::Error::other(error)))
            };
            rooms.push((partition.disk.clone(), Room { start: number("start")?, length: number("size")? }));
        }
    }
    Ok(rooms)
}

/// Keeps by which entry of the firmware our image was started.
fn remember(system: &System, firmware: Option<&Firmware>) -> Result<(), BootError> {
    let current = match firmware.map(Firmware::current).transpose() {
        Ok(current) => current.flatten(),
        Err(error) => {
            say(&format!("warning: the firmware does not tell how this boot began: {}", chain(&error)));
            None
        }
    };
    let tree = Tree::open(system.root())?;
    match current {
        Some(number) => tree.put(BOOT_CURRENT, format!("{number}\n").as_bytes(), 0o600)?,
        None => tree.remove(BOOT_CURRENT)?,
    }
    Ok(())
}

/// From now on a root is one.
fn set_types(layout: &Partitioned) -> Result<(), BootError> {
    for partition in layout.partitions.iter().filter(|partition| partition.role == Role::Root) {
        if !(layout.arrays.is_empty() && layout.groups.is_empty() && layout.ciphers.is_empty()) {
            break;
        }
        let kind = format!("--typecode={}:{ROOT_TYPE}", partition.number);
        Tool::new("sgdisk", &partition.disk).arg(kind).on_device().run()?;
    }
    Ok(())
}

/// Loaders, boot order, marker, in this order.
fn finish(
    install: &Install,
    esps: &[Esp],
    loaders: Option<&Loaders>,
    ordered: &BootOrder,
    firmware: Option<&Firmware>,
) -> Result<(), BootError> {
    let (Some(first), others) = (esps.first(), esps.get(1..).unwrap_or_default()) else { return Ok(()) };
    for esp in others {
        let mounted = MountedEsp::mount(install, esp)?;
        put_loaders(&Tree::open(mounted.place())?, loaders)?;
        mounted.unmount()?;
    }
    let mounted = MountedEsp::mount(install, first)?;
    let tree = Tree::open(mounted.place())?;
    seal(&tree, first, loaders, ordered, firmware)?;
    drop(tree);
    Ok(mounted.unmount()?)
}

/// What happens on the first ESP; the marker is the last that is written.
fn seal(
    tree: &Tree,
    esp: &Esp,
    loaders: Option<&Loaders>,
    ordered: &BootOrder,
    firmware: Option<&Firmware>,
) -> Result<(), BootError> {
    put_loaders(tree, loaders)?;
    let loader = match loaders {
        Some(loaders) => Some(loaders.first.clone()),
        None => efi::on_esp(tree)?,
    };
    match (firmware, &loader) {
        (Some(_), None) => return Err(BootError::NoLoader),
        (Some(firmware), Some(loader)) if ordered.set_firmware_order => {
            let entry = Entry { disk: &esp.disk, partition: esp.number, loader };
            if let Err(error) = firmware.put_first(&entry) {
                say(&format!("warning: the firmware's boot order stays as it is: {}", chain(&error)));
            }
        }
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    Ok(marker::put(tree, Place::Esp, &ordered.server_id, loader.as_deref().unwrap_or_default())?)
}

fn put_loaders(tree: &Tree, loaders: Option<&Loaders>) -> Result<(), BootError> {
    for (path, bytes) in loaders.iter().flat_map(|loaders| &loaders.files) {
        tree.put(path, bytes, ON_ESP)?;
    }
    Ok(tree.sync()?)
}

/// Has the installed kernel loaded, for a restart without the firmware.
fn load(install: &Install, order: &InstallOrder, state: &super::state::State) -> Result<(), BootError> {
    if order.image.way == Way::BlockMap {
        say("a disk image starts by its own loader: the machine restarts by its firmware instead of kexec");
        return Ok(());
    }
    let system = System::open(install, order, state)?;
    let tree = Tree::open(system.root())?;
    let kernel = kernel::newest(&tree)?;
    let open = |path: &str| -> Result<File, BootError> {
        let gone = || BootError::Kernel(path.into(), io::ErrorKind::NotFound.into());
        tree.file(path)?.ok_or_else(gone)
    };
    let ramdisk = open(kernel.ramdisk.as_deref().ok_or(BootError::NoRamdisk)?)?;
    let arguments = kernel::arguments(&order.boot.kernel_args)?;
    let line = format!("root=UUID={} ro {arguments}", system.root_uuid());
    kexec::load(open(&kernel.file)?, ramdisk, &line)?;
    drop(tree);
    Ok(system.close()?)
}

#[cfg(test)]
mod tests;
