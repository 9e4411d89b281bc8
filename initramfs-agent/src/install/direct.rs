//! A disk that is written past the page cache: what is written once and not read again would only push out
//! what is needed, and an error is heard where it happens.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use nix::libc::off_t;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What O_DIRECT wants of offsets, lengths and memory: the largest logical block of any disk.
pub(super) const ALIGNMENT: u64 = 4_096;
/// Bytes of zeros that are asked for at once, so that a cancelled run is heard of.
const ZEROS: u64 = 64 * 1_024 * 1_024;
/// Bytes of zeros that are written at once where the kernel makes none.
const BUFFER: usize = 1_024 * 1_024;

/// Why a disk is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// It cannot be opened.
    #[error("cannot open the disk {disk} for writing; if something uses it, restart the machine")]
    Open {
        /// The disk.
        disk: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It does not take what is written.
    #[error(
        "cannot write the disk {disk} at byte {offset}; it fails: look at its SMART data, then take another one by the param muster/disk"
    )]
    Write {
        /// The disk.
        disk: PathBuf,
        /// Where.
        offset: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is too small.
    #[error(
        "the disk {disk} has {size} bytes and the image needs {need}; take a larger one by the param muster/disk"
    )]
    Small {
        /// The disk.
        disk: PathBuf,
        /// What it has.
        size: u64,
        /// What the image needs.
        need: u64,
    },
}

/// A disk, or a file in place of one.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    path: PathBuf,
    size: u64,
    is_direct: bool,
}

impl Disk {
    /// Opens a disk that nothing else uses.
    ///
    /// # Errors
    /// [`DiskError::Open`].
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let open = |flags: OFlag| -> io::Result<(File, u64)> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).custom_flags(flags.bits()).open(path)?;
            let size = file.seek(SeekFrom::End(0))?;
            Ok((file, size))
        };
        let failed = |source| DiskError::Open { disk: path.to_owned(), source };
        let is_block = path.metadata().map_err(failed)?.file_type().is_block_device();
        // For a block device it means that nobody else has it, mounts included (block/bdev.c).
        let alone = if is_block { OFlag::O_EXCL } else { OFlag::empty() };
        let (opened, is_direct) = match open(alone | OFlag::O_DIRECT) {
            // File systems in memory have no way past their cache.
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => (open(alone), false),
            opened => (opened, true),
        };
        let (file, size) = opened.map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), size, is_direct })
    }

    /// Its size in bytes.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Whether an image of so many bytes fits.
    ///
    /// # Errors
    /// [`DiskError::Small`].
    pub(super) fn fits(&self, need: u64) -> Result<(), DiskError> {
        if need <= self.size {
            return Ok(());
        }
        Err(DiskError::Small { disk: self.path.clone(), size: self.size, need })
    }

    /// Writes bytes at their place. What does not lie on whole blocks goes through the page cache.
    ///
    /// # Errors
    /// [`DiskError::Write`].
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let is_whole = |number: u64| number.is_multiple_of(ALIGNMENT);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let address = u64::try_from(bytes.as_ptr().addr()).unwrap_or(u64::MAX);
        let aligned = is_whole(offset) && is_whole(length) && is_whole(address);
        let write = |disk: &mut Self| -> io::Result<()> {
            disk.set_direct(aligned)?;
            disk.file.write_all_at(bytes, offset)
        };
        write(self).map_err(|source| self.failed(offset, source))
    }

    /// Has zeros there. Where the disk can, they cost nothing.
    ///
    /// # Errors
    /// [`DiskError::Write`], and what `go_on` fails with, which is asked now and then.
    pub(super) fn zero<E: From<DiskError>>(
        &mut self,
        offset: u64,
        length: u64,
        go_on: impl Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        let end = offset.saturating_add(length).min(self.size);
        let mut at = offset;
        while at < end {
            go_on()?;
            let next = at.saturating_add(ZEROS).min(end);
            self.zero_stretch(at, next - at).map_err(|source| self.failed(at, source))?;
            at = next;
        }
        Ok(())
    }

    fn zero_stretch(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // For a block device the first is what the disk does by itself, the second what it does or else the
        // kernel writes (`blkdev_fallocate` in block/fops.c); both leave zeros.
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let ways = [FallocateFlags::FALLOC_FL_PUNCH_HOLE | keep, FallocateFlags::FALLOC_FL_ZERO_RANGE | keep];
        let (Ok(from), Ok(count)) = (off_t::try_from(offset), off_t::try_from(length)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for way in ways {
            match fallocate(&self.file, way, from, count) {
                Ok(()) => return Ok(()),
                // Not this disk, or not on these blocks.
                Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.set_direct(false)?;
        let zeros = vec![0; BUFFER];
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            self.file.write_all_at(zeros.get(..count).unwrap_or_default(), at)?;
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Has everything that was written on the disk.
    ///
    /// # Errors
    /// [`DiskError::Write`].
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|source| self.failed(self.size, source))
    }

    fn set_direct(&mut self, wanted: bool) -> io::Result<()> {
        if wanted == self.is_direct {
            return Ok(());
        }
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
        let flags = if wanted { flags | OFlag::O_DIRECT } else { flags - OFlag::O_DIRECT };
        match fcntl(&self.file, FcntlArg::F_SETFL(flags)) {
            Ok(_) => self.is_direct = wanted,
            // As in `open`: then everything goes through the cache.
            Err(Errno::EINVAL) if wanted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn failed(&self, offset: u64, source: io::Error) -> DiskError {
        DiskError::Write { disk: self.path.clone(), offset, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn disk(size: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::write(&path, vec![0xee; size]).unwrap();
        (folder, path)
    }

    #[test]
    fn whole_blocks_and_odd_ends_are_both_written() {
        let (_folder, path) = disk(40_000);
        let mut disk = Disk::open(&path).unwrap();
        assert_eq!(disk.size(), 40_000);
        let mut bytes = vec![7; 12_288];
        let at = bytes.as_ptr().align_offset(4_096);
        bytes.truncate(at + 8_192);
        disk.write(4_096, &bytes[at..]).unwrap();
        disk.write(39_995, &[1, 2, 3, 4, 5]).unwrap();
        disk.write(16_384, &bytes[at..]).unwrap();
        disk.sync().unwrap();
        let now = fs::read(&path).unwrap();
        let is = |range: std::ops::Range<usize>, byte| now[range].iter().all(|&b| b == byte);
        assert!(
            is(0..4_096, 0xee) && is(4_096..12_288, 7) && is(12_288..16_384, 0xee) && is(16_384..24_576, 7)
        );
        assert_eq!(&now[39_994..], [0xee, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn zeros_are_where_they_are_wanted_and_nowhere_else() {
        let (_folder, path) = disk(300_000);
        let mut disk = Disk::open(&path).unwrap();
        disk.zero::<DiskError>(65_536, 131_072, || Ok(())).unwrap();
        // Behind the end there is nothing.
        disk.zero::<DiskError>(299_990, 131_072, || Ok(())).unwrap();
        let now = fs::read(&path).unwrap();
        let zeros: Vec<usize> = (0..now.len()).filter(|&at| now[at] == 0).collect();
        assert_eq!(zeros, (65_536..196_608).chain(299_990..300_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_disk_that_is_too_small_is_named() {
        let (_folder, path) = disk(1_000);
        let disk = Disk::open(&path).unwrap();
        disk.fits(1_000).unwrap();
        let error = disk.fits(1_001).unwrap_err().to_string();
        assert!(error.ends_with(
            "has 1000 bytes and the image needs 1001; take a larger one by the param muster/disk"
        ));
        assert!(error.contains(path.to_str().unwrap()));
    }

    #[test]
    fn a_full_disk_is_named_with_the_place() {
        // Every write to it fails so.
        let mut disk = Disk::open(Path::new("/dev/full")).unwrap();
        let error = disk.write(4_096, &[1]).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the disk /dev/full at byte 4096"), "{error}");
        assert!(
            matches!(error, DiskError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
        );
    }
}
