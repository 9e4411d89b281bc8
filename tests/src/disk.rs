//! Disks that boot and say so on the serial line, for machines that are told to boot their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::media::Media;

/// What a disk says when it is booted.
pub const DISK_BOOTED: &str = "the disk of this machine was booted";
/// Bytes of a disk: room for a FAT file system with a boot loader.
const SIZE: u64 = 16 * 1_024 * 1_024;
/// x86 code at 0000:7C00, real mode: writes the text behind it to the first serial port, waiting for
/// room before each character, and halts.
const BOOT_CODE: [u8; 29] = [
    0x31, 0xC0, // xor ax, ax
    0x8E, 0xD8, // mov ds, ax
    0xBE, 0x1D, 0x7C, // mov si, text
    0xBA, 0xFD, 0x03, // next: mov dx, 0x3FD (line status)
    0xEC, // full: in al, dx
    0xA8, 0x20, // test al, 0x20
    0x74, 0xFB, // jz full
    0xAC, // lodsb
    0x84, 0xC0, // test al, al
    0x74, 0x06, // jz end
    0xBA, 0xF8, 0x03, // mov dx, 0x3F8 (data)
    0xEE, // out dx, al
    0xEB, 0xED, // jmp next
    0xF4, // end: hlt
    0xEB, 0xFD, // jmp end
];
/// Where a boot sector ends in its signature.
const SIGNATURE_AT: usize = 510;

/// Writes a disk that a BIOS boots.
///
/// # Errors
/// When the file cannot be written.
pub fn for_bios(path: &Path) -> Result<()> {
    let mut sector = [BOOT_CODE.as_slice(), b"\r\n", DISK_BOOTED.as_bytes(), b"\r\n\0"].concat();
    sector.resize(SIGNATURE_AT, 0);
    sector.extend([0x55, 0xAA]);
    fs::write(path, sector).with_context(|| format!("cannot write {}", path.display()))?;
    resize(path)
}

/// Writes a disk that UEFI firmware boots, Secure Boot or not: a FAT file system with Debian's signed
/// loaders, which come with boot media.
///
/// # Errors
/// When the file cannot be written (packages `dosfstools`, `mtools`).
pub fn for_uefi(path: &Path, media: &Media) -> Result<()> {
    fs::write(path, []).with_context(|| format!("cannot write {}", path.display()))?;
    resize(path)?;
    let config = path.with_extension("grub.cfg");
    let text = format!("serial\nterminal_output console serial\necho \"{DISK_BOOTED}\"\nsleep 600\n");
    fs::write(&config, text).context("cannot write a configuration")?;
    let loaders = media.folder().join("loaders");
    run(Command::new("mkfs.vfat").args(["-F", "12"]).arg(path))?;
    run(Command::new("mmd").arg("-i").arg(path).args(["::/EFI", "::/EFI/BOOT", "::/grub"]))?;
    for (from, to) in [
        (loaders.join("shimx64.efi"), "::/EFI/BOOT/BOOTX64.EFI"),
        (loaders.join("grubx64.efi"), "::/EFI/BOOT/grubx64.efi"),
        (config, "::/grub/grub.cfg"),
    ] {
        run(Command::new("mcopy").arg("-i").arg(path).arg(from).arg(to))?;
    }
    Ok(())
}

fn resize(path: &Path) -> Result<()> {
    let file = fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_len(SIZE)).with_context(|| format!("cannot resize {}", path.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
