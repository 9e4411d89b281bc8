//! The machine's key in an EFI variable, so that a machine that boots from an ISO again is the
//! same machine (`architecture.md` section 4, Reboots).
//!
//! The variable is non-volatile and visible at run time. Firmware keeps it in flash, so it is
//! written only when absent or different. efivarfs marks variables it does not know immutable
//! to protect firmware from `rm -rf`; the flag is cleared before a rewrite. Format of a file:
//! `Documentation/filesystems/efivarfs.rst` (four bytes of attributes, then the data), written
//! in one call.

use crate::sys;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// File name of the variable: its name and our vendor GUID.
const VARIABLE: &str = "MusterMachineKey-8f1c2d0e-64b7-4f9a-9a35-2c7e5bd0a911";
/// Non-volatile, boot services, runtime (UEFI specification 8.2).
const ATTRIBUTES: [u8; 4] = [0x07, 0, 0, 0];
/// Longest key, in bytes: a PKCS#8 document of an Ed25519 key has 48 to 85.
pub(crate) const MAX_KEY: usize = 128;

/// Secret key material, a PKCS#8 document or a seed; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyBytes(Vec<u8>);

impl KeyBytes {
    /// Takes 32 to 128 bytes.
    ///
    /// # Errors
    /// [`EfivarError::Length`].
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, EfivarError> {
        if (32..=MAX_KEY).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(EfivarError::Length(bytes.len()))
        }
    }

    /// The bytes, for the signer.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBytes([redacted], {} bytes)", self.0.len())
    }
}

/// Why a key is not kept over reboots.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EfivarError {
    /// The variable has no attributes or its key has an impossible length.
    #[error("machine key has {0} bytes instead of 32 to {MAX_KEY}; a new key is made")]
    Length(usize),
    /// The variable cannot be read.
    #[error("cannot read the machine key from the EFI variable")]
    Read(#[source] io::Error),
    /// The variable cannot be written.
    #[error(
        "cannot keep the machine key in an EFI variable; the machine is new after a reboot unless firmware allows it"
    )]
    Write(#[source] io::Error),
}

/// Where the key is kept: a directory with efivarfs on it.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore {
    file: PathBuf,
}

impl KeyStore {
    /// The store of this machine, `None` where firmware is not UEFI or efivarfs is not mounted.
    pub(crate) fn of_this_machine() -> Option<Self> {
        Self::beneath(Path::new("/"))
    }

    /// The same in the tree beneath `root`.
    pub(crate) fn beneath(root: &Path) -> Option<Self> {
        let directory = root.join(crate::mounts::EFIVARS.trim_start_matches('/'));
        // The bare sysfs directory is empty; firmware always has variables such as BootOrder.
        let mounted = fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
        mounted.then(|| Self::in_directory(&directory))
    }

    /// A store in any directory.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { file: directory.join(VARIABLE) }
    }

    /// The key, `None` when there is none yet.
    ///
    /// # Errors
    /// [`EfivarError::Length`] for a variable that is not ours, [`EfivarError::Read`].
    pub(crate) fn load(&self) -> Result<Option<KeyBytes>, EfivarError> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EfivarError::Read(error)),
        };
        let limit = u64::try_from(ATTRIBUTES.len() + MAX_KEY + 1).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(EfivarError::Read)?;
        let key = bytes.get(ATTRIBUTES.len()..).ok_or(EfivarError::Length(bytes.len()))?;
        KeyBytes::new(key.to_vec()).map(Some)
    }

    /// Keeps the key. Does not touch the flash when it already holds this key.
    ///
    /// # Errors
    /// [`EfivarError::Write`]: full or write-protected flash; the machine goes on without.
    pub(crate) fn store(&self, key: &KeyBytes) -> Result<(), EfivarError> {
        if matches!(self.load(), Ok(Some(kept)) if kept == *key) {
            return Ok(());
        }
        self.unprotect().map_err(EfivarError::Write)?;
        let mut record = ATTRIBUTES.to_vec();
        record.extend_from_slice(key.reveal());
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.file)
            .map_err(EfivarError::Write)?;
        // efivarfs takes one write as one SetVariable call; a second would be another value.
        let written = file.write(&record).map_err(EfivarError::Write)?;
        if written != record.len() {
            return Err(EfivarError::Write(io::ErrorKind::WriteZero.into()));
        }
        Ok(())
    }

    /// Removes the variable, if it holds this key.
    ///
    /// # Errors
    /// [`EfivarError::Write`].
    pub(crate) fn discard(&self, key: &KeyBytes) -> Result<(), EfivarError> {
        if !matches!(self.load(), Ok(Some(kept)) if kept == *key) {
            return Ok(());
        }
        self.unprotect().and_then(|()| fs::remove_file(&self.file)).map_err(EfivarError::Write)
    }

    /// Makes an existing variable writable, and readable by root alone.
    fn unprotect(&self) -> io::Result<()> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match sys::clear_immutable(&file) {
            Ok(()) => {}
            // Not a file system with flags: nothing protects the file there.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOTTY) => {}
            Err(error) => return Err(error),
        }
        file.set_permissions(Permissions::from_mode(0o600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> KeyBytes {
        KeyBytes::new(vec![byte; 32]).unwrap()
    }

    #[test]
    fn key_survives_and_is_readable_by_root_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::in_directory(folder.path());
        assert_eq!(store.load().unwrap(), None);
        store.store(&key(7)).unwrap();
        assert_eq!(store.load().unwrap(), Some(key(7)));
        store.store(&key(8)).unwrap();
        assert_eq!(store.load().unwrap(), Some(key(8)));
        store.discard(&key(7)).unwrap();
        assert_eq!(store.load().unwrap(), Some(key(8)), "another's is left alone");
        let file = folder.path().join(VARIABLE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&file).unwrap().get(..4).unwrap(), ATTRIBUTES);
    }

    #[test]
    fn same_key_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::in_directory(folder.path());
        store.store(&key(7)).unwrap();
        let file = folder.path().join(VARIABLE);
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        // A write would fail loudly: the file is now a directory's read-only entry.
        File::options().write(true).open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        store.store(&key(7)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), std::time::UNIX_EPOCH);
        assert_ne!(before, std::time::UNIX_EPOCH);
    }

    #[test]
    fn variable_of_another_shape_is_refused_with_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::in_directory(folder.path());
        for (len, seen) in [(2, 2), (14, 10), (4_000, MAX_KEY + 1)] {
            fs::write(folder.path().join(VARIABLE), vec![0; len]).unwrap();
            assert_eq!(
                store.load().unwrap_err().to_string(),
                format!("machine key has {seen} bytes instead of 32 to 128; a new key is made")
            );
        }
    }

    #[test]
    fn key_is_never_shown() {
        assert_eq!(format!("{:?}", key(7)), "KeyBytes([redacted], 32 bytes)");
    }
}
