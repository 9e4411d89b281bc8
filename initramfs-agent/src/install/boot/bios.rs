//! Starting the disk under BIOS: GRUB's 440 bytes in the first sector, which load its core from the partition that is
//! there for it. What `grub-bios-setup` does, as far as a GPT with such a partition needs it: no search of
//! the disk, no device map, no udev.
//!
//! Sources: GRUB 2.06 `include/grub/i386/pc/boot.h` (offsets), `util/setup.c` (what is written there).

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A sector, in bytes: what BIOS counts in. Disks with larger ones it does not boot.
const SECTOR: usize = 512;
/// Code of the first sector; the disk's signature and the protective table follow.
const CODE: usize = 440;
/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`: where the core begins.
const KERNEL_SECTOR: usize = 0x5c;
/// `GRUB_BOOT_MACHINE_BOOT_DRIVE`: which drive it is on, and the value for the one that BIOS started.
const BOOT_DRIVE: usize = 0x64;
const STARTED_DRIVE: u8 = 0xff;
/// `GRUB_BOOT_MACHINE_DRIVE_CHECK`: a jump around a check that some BIOS need on hard disks.
const DRIVE_CHECK: usize = 0x66;
const NO_JUMP: [u8; 2] = [0x90; 2];
/// The last entry of the core's first sector: where the rest lies. `struct grub_pc_bios_boot_blocklist`.
const REST: usize = SECTOR - 12;
/// Most sectors that one entry counts.
const MAX_SECTORS: u64 = 0xffff;

/// Why the disk does not start under BIOS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BiosError {
    /// The image is not GRUB's.
    #[error("GRUB's {0} is not what this version knows; use a GRUB 2 of i386-pc")]
    Shape(&'static str),
    /// The partition is too small.
    #[error("GRUB's core has {core} bytes and its partition {room}; make the partition larger")]
    Room {
        /// Bytes of the core.
        core: usize,
        /// Bytes of the partition.
        room: u64,
    },
    /// The disk cannot be written.
    #[error("cannot write GRUB to {0}")]
    Write(PathBuf, #[source] io::Error),
}

/// Where the core goes, in sectors of 512 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// GRUB, ready for one disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grub {
    code: Vec<u8>,
    core: Vec<u8>,
}

impl Grub {
    /// GRUB's `boot.img` and a core made by `grub-mkimage`, told where they will lie.
    ///
    /// # Errors
    /// [`BiosError`].
    pub(super) fn at(room: Room, boot: &[u8], core: &[u8]) -> Result<Self, BiosError> {
        let code = patched(boot, room.start).ok_or(BiosError::Shape("boot.img"))?;
        let fits = u64::try_from(core.len()).is_ok_and(|length| length.div_ceil(512) <= room.length);
        if !fits {
            return Err(BiosError::Room { core: core.len(), room: room.length.saturating_mul(512) });
        }
        let core = core_patched(core, room.start).ok_or(BiosError::Shape("core image"))?;
        Ok(Self { code, core })
    }

    /// Writes it: the core first, so that the code never leads to half of one.
    ///
    /// # Errors
    /// [`BiosError::Write`].
    pub(super) fn write(&self, disk: &Path, room: Room) -> Result<(), BiosError> {
        let write = || {
            let disk = OpenOptions::new().write(true).open(disk)?;
            disk.write_all_at(&self.core, room.start.saturating_mul(512))?;
            disk.sync_all()?;
            disk.write_all_at(&self.code, 0)?;
            disk.sync_all()
        };
        write().map_err(|error| BiosError::Write(disk.to_owned(), error))
    }
}

fn patched(boot: &[u8], core: u64) -> Option<Vec<u8>> {
    let mut code =
        boot.get(..CODE).filter(|_| boot.len() == SECTOR && boot.ends_with(&[0x55, 0xaa]))?.to_vec();
    code.get_mut(KERNEL_SECTOR..KERNEL_SECTOR + 8)?.copy_from_slice(&core.to_le_bytes());
    *code.get_mut(BOOT_DRIVE)? = STARTED_DRIVE;
    code.get_mut(DRIVE_CHECK..DRIVE_CHECK + 2)?.copy_from_slice(&NO_JUMP);
    Some(code)
}

fn core_patched(core: &[u8], at: u64) -> Option<Vec<u8>> {
    let mut core = core.to_vec();
    let rest = u64::try_from(core.len()).ok()?.div_ceil(512).checked_sub(1)?;
    let count = u16::try_from(rest).ok().filter(|_| (1..MAX_SECTORS).contains(&rest))?;
    let entry = core.get_mut(REST..SECTOR)?;
    // grub-mkimage leaves the rest's place in memory there, and where it would lie on a floppy.
    let (start, count_at) = entry.split_at_mut(8);
    start.copy_from_slice(&at.checked_add(1)?.to_le_bytes());
    count_at.get_mut(..2)?.copy_from_slice(&count.to_le_bytes());
    core.resize(core.len().checked_next_multiple_of(SECTOR)?, 0);
    Some(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Room = Room { start: 2_048, length: 2_048 };

    fn boot() -> Vec<u8> {
        let mut boot = vec![0x11; SECTOR];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        boot
    }

    #[test]
    fn code_and_core_are_told_where_the_core_lies_and_nothing_else_is_changed() {
        let grub = Grub::at(PLACE, &boot(), &[0x22; 3_000]).unwrap();
        assert_eq!(grub.code[0x5c..0x64], 2_048_u64.to_le_bytes());
        assert_eq!(grub.code[0x64..0x68], [0xff, 0x11, 0x90, 0x90]);
        assert!(grub.code.len() == 440 && grub.code[..0x5c].iter().all(|byte| *byte == 0x11));
        assert_eq!(grub.core[500..508], 2_049_u64.to_le_bytes());
        assert_eq!(grub.core[508..512], [5, 0, 0x22, 0x22], "five sectors more, to where mkimage said");
        assert_eq!(grub.core.len(), 3_072);
    }

    #[test]
    fn the_table_beside_the_code_and_everything_around_the_core_stay() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().write_all_at(&vec![0x33; 4 * 1_024 * 1_024], 0).unwrap();
        let grub = Grub::at(PLACE, &boot(), &[0x22; 3_000]).unwrap();
        grub.write(disk.path(), PLACE).unwrap();
        let bytes = std::fs::read(disk.path()).unwrap();
        assert_eq!((&bytes[..440], bytes[440]), (grub.code.as_slice(), 0x33));
        let at = 2_048 * 512;
        assert_eq!((bytes[at - 1], bytes[at], bytes[at + 3_071], bytes[at + 3_072]), (0x33, 0x22, 0, 0x33));
    }

    #[test]
    fn what_is_not_grubs_and_what_does_not_fit_is_refused() {
        assert!(matches!(Grub::at(PLACE, &[0; 512], &[0; 3_000]), Err(BiosError::Shape("boot.img"))));
        assert!(matches!(Grub::at(PLACE, &boot(), &[0; 100]), Err(BiosError::Shape("core image"))));
        let small = Room { length: 5, ..PLACE };
        let error = Grub::at(small, &boot(), &[0; 3_000]).unwrap_err().to_string();
        assert_eq!(error, "GRUB's core has 3000 bytes and its partition 2560; make the partition larger");
    }
}
