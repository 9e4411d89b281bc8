//! GRUB in the target: its menu, its modules, and the core that BIOS starts.

use super::super::chroot::Chroot;
use super::super::target::Tree;
use super::super::tool::Tool;
use super::BootError;
use super::bios::{Grub, Room};
use super::kernel::{self, Kernel};
use crate::install::say;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MENU: &str = "/boot/grub/grub.cfg";
/// Read by Debian's and Ubuntu's `grub-mkconfig` after `/etc/default/grub`.
const DEFAULTS: &str = "/etc/default/grub.d/zz-muster.cfg";
const MKCONFIG: &str = "/usr/sbin/grub-mkconfig";
const MKIMAGE: &str = "/usr/bin/grub-mkimage";
/// GRUB for BIOS: in the target, and in our tools.
const MODULES: &str = "/usr/lib/grub/i386-pc";
/// GRUB for UEFI, unsigned.
const EFI_MODULES: &str = "/usr/lib/grub/x86_64-efi";
/// Where Fedora's family keeps its GRUB, which reads another kind of menu.
const OTHER_GRUB: &str = "/usr/sbin/grub2-mkconfig";
/// What GRUB loads modules from, below the folder of its menu.
const LOADED: &str = "/boot/grub/i386-pc";
const EARLY: &str = "/boot/grub/i386-pc/load.cfg";
const CORE_IMAGE: &str = "/boot/grub/i386-pc/core.img";
/// What the core has built in: file systems and tables of our layouts, the search for them, and menus.
const CORE: &[&str] = &[
    "part_gpt",
    "part_msdos",
    "fat",
    "ext2",
    "xfs",
    "btrfs",
    "search",
    "search_fs_uuid",
    "normal",
    "configfile",
    "linux",
    "echo",
    "test",
    "boot",
    "minicmd",
    "serial",
    "terminal",
    "sleep",
];
const BIOS_CORE: &[&str] = &["biosdisk"];
/// Largest module or image, in bytes.
const MAX_FILE: u64 = 4 * 1_024 * 1_024;
const MAX_MENU: u64 = 1_024 * 1_024;
const MENU_LIMIT: Duration = Duration::from_secs(180);
const CORE_LIMIT: Duration = Duration::from_secs(60);

/// Where GRUB finds its folder: a file system, and the path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    /// UUID of the file system that holds `/boot`.
    pub(super) uuid: String,
    /// `/boot/grub`, or `/grub` where `/boot` has a file system of its own.
    pub(super) folder: &'static str,
}

impl Home {
    /// What brings a GRUB that was just started to its menu.
    pub(super) fn early(&self) -> String {
        let Self { uuid, folder } = self;
        format!("search.fs_uuid {uuid} root\nset prefix=($root)'{folder}'\nconfigfile $prefix/grub.cfg\n")
    }

    /// The same for a core, which goes on with its menu by itself.
    fn core(&self) -> String {
        let Self { uuid, folder } = self;
        format!("search.fs_uuid {uuid} root\nset prefix=($root)'{folder}'\n")
    }
}

/// Writes the menu: by the image's own program, so that it is kept when kernels come and go, or else the little that
/// it takes.
///
/// # Errors
/// [`BootError`].
pub(super) fn menu(
    tree: &Tree,
    chroot: &Chroot<'_>,
    kernel: &Kernel,
    root: &str,
    arguments: &str,
) -> Result<(), BootError> {
    if !tree.has(MKCONFIG)? {
        if tree.has(OTHER_GRUB)? {
            return Err(BootError::OtherGrub);
        }
        say("the image has no grub-mkconfig: its menu has the newest kernel and will not follow updates");
        let menu = plain_menu(tree, kernel, root, arguments)?;
        return Ok(tree.put(MENU, menu.as_bytes(), 0o600)?);
    }
    tree.put(DEFAULTS, defaults(arguments).as_bytes(), 0o644)?;
    tree.folder("/boot/grub")?;
    chroot.run(&[MKCONFIG, "-o", MENU], MENU_LIMIT)?;
    let menu = tree.text(MENU, MAX_MENU)?;
    if menu.contains("linux\t") || menu.contains("linux ") { Ok(()) } else { Err(BootError::EmptyMenu) }
}

/// Arguments are quoted in it, and checked where they come from.
fn defaults(arguments: &str) -> String {
    let mut text = format!(
        "# Written by Muster when it installed this system.\n\
         GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {arguments}\"\n\
         GRUB_TIMEOUT=2\nGRUB_RECORDFAIL_TIMEOUT=2\nGRUB_DISABLE_OS_PROBER=true\n"
    );
    if let Some(unit) = kernel::serial(arguments) {
        text.push_str(&format!(
            "GRUB_TERMINAL=\"console serial\"\n\
             GRUB_SERIAL_COMMAND=\"serial --unit={unit} --speed=115200\"\n"
        ));
    }
    text
}

/// Paths of the kernel are those within the file system of `/boot`, wherever that is.
fn plain_menu(tree: &Tree, kernel: &Kernel, root: &str, arguments: &str) -> Result<String, BootError> {
    let ramdisk = kernel.ramdisk.as_deref().ok_or(BootError::NoRamdisk)?;
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let (file, ramdisk) = (name(&kernel.file), name(ramdisk));
    let release = tree.text("/etc/os-release", MAX_FILE)?;
    let title = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    let title: String = title.chars().filter(|c| c.is_ascii_alphanumeric() || " .-()".contains(*c)).collect();
    let mut menu =
        String::from("# Written by Muster when it installed this system.\nset default=0\nset timeout=2\n");
    if let Some(unit) = kernel::serial(arguments) {
        menu.push_str(&format!(
            "if serial --unit={unit} --speed=115200 ; then\n    terminal_input console serial\n    \
             terminal_output console serial\nfi\n"
        ));
    }
    menu.push_str(&format!(
        "menuentry \"{title}\" {{\n    linux $prefix/../{file} root={root} ro {arguments}\n    \
         initrd $prefix/../{ramdisk}\n}}\n"
    ));
    Ok(menu)
}

/// A set of GRUB's programs and modules for BIOS.
enum Source<'a> {
    /// The image's own.
    Target(&'a Tree, &'a Chroot<'a>),
    /// Ours, which works in a folder apart from the target.
    Tools(&'a Path),
}

impl Source<'_> {
    fn names(&self) -> Result<Vec<String>, BootError> {
        match self {
            Self::Target(tree, _) => Ok(tree.names(MODULES)?),
            Self::Tools(_) => {
                let unreadable = |error| BootError::Tools(MODULES.into(), error);
                let mut names = Vec::new();
                for entry in fs::read_dir(MODULES).map_err(unreadable)? {
                    names.extend(entry.map_err(unreadable)?.file_name().into_string());
                }
                Ok(names)
            }
        }
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, BootError> {
        let path = format!("{MODULES}/{name}");
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        match self {
            Self::Target(tree, _) => {
                tree.bytes(&path, MAX_FILE)?.ok_or_else(|| BootError::Tools(PathBuf::from(&path), missing()))
            }
            Self::Tools(_) => fs::read(&path).map_err(|error| BootError::Tools(path.into(), error)),
        }
    }

    fn core(&self, home: &Home) -> Result<Vec<u8>, BootError> {
        match self {
            Self::Target(tree, chroot) => {
                tree.put(EARLY, home.core().as_bytes(), 0o644)?;
                chroot.run(&mkimage("i386-pc", MODULES, home, EARLY, CORE_IMAGE), CORE_LIMIT)?;
                made(tree, CORE_IMAGE)
            }
            Self::Tools(apart) => {
                let [early, core] = ["load.cfg", "core.img"].map(|name| apart.join(name));
                let failed = |path: &Path| {
                    let path = path.to_owned();
                    move |error| BootError::Tools(path, error)
                };
                fs::write(&early, home.core()).map_err(failed(&early))?;
                let (early, image) = (early.to_string_lossy(), core.to_string_lossy());
                let words = mkimage("i386-pc", MODULES, home, &early, &image);
                Tool::new(MKIMAGE, apart).with(words.iter().skip(1)).run()?;
                fs::read(&core).map_err(failed(&core))
            }
        }
    }
}

/// Words that make a core. It is written to a file: the program does not end well with a pipe.
fn mkimage<'w>(
    format: &'w str,
    modules: &'w str,
    home: &Home,
    early: &'w str,
    image: &'w str,
) -> Vec<&'w str> {
    let mut words = vec![MKIMAGE, "-O", format, "-d", modules, "-p", home.folder, "-c", early, "-o", image];
    if format == "i386-pc" {
        words.extend(BIOS_CORE);
    }
    words.extend(CORE);
    words
}

fn made(tree: &Tree, path: &str) -> Result<Vec<u8>, BootError> {
    let gone = || BootError::Tools(path.into(), io::ErrorKind::NotFound.into());
    tree.bytes(path, MAX_FILE)?.ok_or_else(gone)
}

/// Makes the disks start under BIOS: modules beside the menu, and code and core on each disk. The image's own
/// GRUB is taken, or ours where it has none.
///
/// # Errors
/// [`BootError`].
pub(super) fn bios(
    tree: &Tree,
    chroot: &Chroot<'_>,
    home: &Home,
    disks: &[(PathBuf, Room)],
    apart: &Path,
) -> Result<(), BootError> {
    let is_whole = tree.has(MKIMAGE)? && tree.has(&format!("{MODULES}/kernel.img"))?;
    let source = if is_whole { Source::Target(tree, chroot) } else { Source::Tools(apart) };
    for name in source.names()?.iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst")) {
        tree.put(&format!("{LOADED}/{name}"), &source.bytes(name)?, 0o644)?;
    }
    let (boot, core) = (source.bytes("boot.img")?, source.core(home)?);
    tree.sync()?;
    for (disk, room) in disks {
        Grub::at(*room, &boot, &core)?.write(disk, *room)?;
    }
    Ok(())
}

/// GRUB for UEFI made by the image's own program, for firmware without Secure Boot; `None` where the image has no such
/// GRUB.
///
/// # Errors
/// [`BootError`].
pub(super) fn efi(tree: &Tree, chroot: &Chroot<'_>, home: &Home) -> Result<Option<Vec<u8>>, BootError> {
    let kernel =
        tree.has(&format!("{EFI_MODULES}/kernel.img"))? || tree.has(&format!("{EFI_MODULES}/normal.mod"))?;
    if !(kernel && tree.has(MKIMAGE)?) {
        return Ok(None);
    }
    const LOADED: &str = "/boot/grub/x86_64-efi";
    let [early, image] = ["load.cfg", "core.efi"].map(|name| format!("{LOADED}/{name}"));
    tree.put(&early, home.core().as_bytes(), 0o644)?;
    for name in
        tree.names(EFI_MODULES)?.iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst"))
    {
        let bytes = tree.bytes(&format!("{EFI_MODULES}/{name}"), MAX_FILE)?.unwrap_or_default();
        tree.put(&format!("{LOADED}/{name}"), &bytes, 0o644)?;
    }
    chroot.run(&mkimage("x86_64-efi", EFI_MODULES, home, &early, &image), CORE_LIMIT)?;
    made(tree, &image).map(Some)
}

/// Whether BIOS can start from a disk: it counts in sectors of 512 bytes.
pub(super) fn has_bios_sectors(disk: &Path) -> bool {
    let name = disk.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let size = fs::read_to_string(format!("/sys/class/block/{name}/queue/logical_block_size"));
    size.map_or(true, |size| size.trim() == "512")
}
