//! A system as a disk image that somebody else made: GPT, an ESP with Debian's signed loaders, GRUB for BIOS, and
//! ext4. Made without loop devices, so that it takes no rights.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{Debian, run};

const SECTOR: u64 = 512;
const MIB: u64 = 1_024 * 1_024;
/// Where partitions begin and end, in MiB: GRUB for BIOS, the ESP, the root up to the end of the disk.
const BIOS_BOOT: (u64, u64) = (1, 2);
const ESP: (u64, u64) = (2, 66);
const ROOT: u64 = 66;
/// Label of the root, by which everything finds it.
const LABEL: &str = "muster-test";
/// Modules that GRUB for BIOS needs to find its configuration.
const MODULES: &[&str] = &[
    "biosdisk",
    "part_gpt",
    "ext2",
    "normal",
    "linux",
    "configfile",
    "search",
    "search_label",
    "serial",
    "echo",
];
/// Fields of GRUB's images: where `boot.img` has the sector of `core.img`, and where the first sector of that one has
/// the sector of the rest (grub-core/boot/i386/pc/{boot,diskboot}.S).
const KERNEL_SECTOR: u64 = 0x5c;
const FIRST_BLOCK: u64 = 0x1f4;
/// Bytes of code in a master boot record, before what the disk's table keeps there.
const BOOT_CODE: usize = 440;

/// A disk image.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Makes one of `mib` MiB.
    ///
    /// # Errors
    /// When a program fails; with what it said.
    pub fn of(system: &Debian, path: &Path, mib: u64) -> Result<Self> {
        let work = tempfile::tempdir().context("cannot make a folder")?;
        let root = work.path().join("root");
        fs::create_dir(&root).context("cannot make a folder")?;
        run(Command::new("tar").arg("-C").arg(&root).arg("-xf").arg(system.archive()))?;
        let config = configuration(&root)?;
        fs::create_dir_all(root.join("boot/grub")).context("cannot make a folder")?;
        fs::write(root.join("boot/grub/grub.cfg"), &config).context("cannot write a configuration")?;
        fs::write(root.join("etc/fstab"), format!("LABEL={LABEL} / ext4 defaults 0 1\n"))
            .context("cannot write fstab")?;
        divide(path, mib)?;
        let size = format!("{}k", (mib - ROOT - 1) * 1_024);
        let mut mkfs = Command::new("mke2fs");
        mkfs.args(["-q", "-F", "-t", "ext4", "-L", LABEL, "-E", &format!("offset={}", ROOT * MIB), "-d"]);
        run(mkfs.arg(&root).arg(path).arg(size))?;
        for_uefi(path, &root, &work, &config)?;
        for_bios(path, &root, &work)?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// The same in xz.
    ///
    /// # Errors
    /// When xz fails.
    pub fn xz(&self) -> Result<PathBuf> {
        run(Command::new("xz").args(["--keep", "--force", "-1", "-T2"]).arg(&self.path))?;
        Ok(self.path.with_extension("raw.xz"))
    }

    /// The same as qcow2.
    ///
    /// # Errors
    /// When qemu-img fails.
    pub fn qcow2(&self) -> Result<PathBuf> {
        let path = self.path.with_extension("qcow2");
        run(Command::new("qemu-img").args(["convert", "-c", "-O", "qcow2"]).arg(&self.path).arg(&path))?;
        Ok(path)
    }

    /// The raw image.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What boots the newest kernel of the root.
fn configuration(root: &Path) -> Result<String> {
    let mut kernels: Vec<String> = fs::read_dir(root.join("boot"))
        .context("the system has no /boot")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))
        .collect();
    kernels.sort();
    let version = kernels.pop().context("the system has no kernel")?;
    Ok(format!(
        "search --no-floppy --label --set=root {LABEL}\n\
         linux /boot/vmlinuz-{version} root=LABEL={LABEL} ro quiet console=tty0 console=ttyS0,115200\n\
         initrd /boot/initrd.img-{version}\nboot\n"
    ))
}

fn divide(path: &Path, mib: u64) -> Result<()> {
    fs::File::create(path).and_then(|file| file.set_len(mib * MIB)).context("cannot make a disk image")?;
    let sector = |mib: u64| mib * MIB / SECTOR;
    let part = |number: u32, from: u64, to: u64, kind: &str| {
        vec![
            format!("--new={number}:{}:{}", sector(from), sector(to) - 1),
            format!("--typecode={number}:{kind}"),
        ]
    };
    let parts = [
        part(1, BIOS_BOOT.0, BIOS_BOOT.1, "ef02"),
        part(2, ESP.0, ESP.1, "ef00"),
        part(3, ROOT, mib - 1, "8304"),
    ];
    run(Command::new("sgdisk").args(parts.concat()).arg(path))
}

fn for_uefi(path: &Path, root: &Path, work: &TempDir, config: &str) -> Result<()> {
    let size = ((ESP.1 - ESP.0) * 1_024).to_string();
    let sector = (ESP.0 * MIB / SECTOR).to_string();
    run(Command::new("mkfs.vfat").args(["-F", "32", "-s", "1", "--offset", &sector]).arg(path).arg(size))?;
    let mut image = path.as_os_str().to_owned();
    image.push(format!("@@{}", ESP.0 * MIB));
    let file = work.path().join("grub.cfg");
    fs::write(&file, config).context("cannot write a configuration")?;
    run(Command::new("mmd").arg("-i").arg(&image).args(["::/EFI", "::/EFI/BOOT", "::/EFI/debian"]))?;
    for (from, to) in [
        (root.join("usr/lib/shim/shimx64.efi.signed"), "::/EFI/BOOT/BOOTX64.EFI"),
        (root.join("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"), "::/EFI/BOOT/grubx64.efi"),
        (file, "::/EFI/debian/grub.cfg"),
    ] {
        run(Command::new("mcopy").arg("-i").arg(&image).arg(from).arg(to))?;
    }
    Ok(())
}

fn for_bios(path: &Path, root: &Path, work: &TempDir) -> Result<()> {
    let early = work.path().join("early.cfg");
    let find =
        format!("search --no-floppy --label --set=root {LABEL}\nconfigfile ($root)/boot/grub/grub.cfg\n");
    fs::write(&early, find).context("cannot write a configuration")?;
    let modules = root.join("usr/lib/grub/i386-pc");
    let core = work.path().join("core.img");
    let mut mkimage = Command::new("grub-mkimage");
    mkimage.args(["-O", "i386-pc", "-p", "/boot/grub", "-d"]).arg(&modules).arg("-c").arg(&early);
    run(mkimage.arg("-o").arg(&core).args(MODULES))?;
    let disk = fs::File::options().write(true).open(path).context("cannot open the disk image")?;
    let at = BIOS_BOOT.0 * MIB;
    let boot = fs::read(modules.join("boot.img")).context("no boot.img")?;
    let core = fs::read(&core).context("no core.img")?;
    ensure!(core.len() as u64 <= (BIOS_BOOT.1 - BIOS_BOOT.0) * MIB, "core.img is too large");
    let code = boot.get(..BOOT_CODE).context("boot.img is too short")?;
    let written = disk
        .write_all_at(code, 0)
        .and_then(|()| disk.write_all_at(&(at / SECTOR).to_le_bytes(), KERNEL_SECTOR))
        .and_then(|()| disk.write_all_at(&core, at))
        .and_then(|()| disk.write_all_at(&(at / SECTOR + 1).to_le_bytes(), at + FIRST_BLOCK));
    written.context("cannot write the boot code")
}
