//! What verbs leave each other: files of root alone, in memory. They are gone with the boot, and then the
//! stage begins anew.

use protocol::install::InstallOrder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const ORDER: &str = "order.json";
const STATE: &str = "state.json";
/// Longest file, in bytes: the longest index of a disk image.
const MAX_FILE: u64 = 32 * 1_024 * 1_024;

/// Why verbs cannot leave each other anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// A file cannot be kept or read.
    #[error("cannot use {path}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file is not one of ours. What is in it is not told.
    #[error("{0} is damaged; remove it, and start the run again")]
    Damaged(PathBuf),
}

/// What verbs of one run did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The run.
    pub(crate) run: Uuid,
    /// What `partition` made; none before it is done.
    pub(crate) partitioned: Option<Partitioned>,
    /// How far `write` has come with a disk image.
    pub(crate) blocks: Option<Blocks>,
    /// What `write` wrote; none before it is done.
    pub(crate) written: Option<Written>,
}

/// What `partition` made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Partitioned {
    /// The disks that were permitted, in `/dev`; several mirror each other.
    pub(crate) disks: Vec<PathBuf>,
    /// Their partitions; none under a disk image, which brings its own.
    pub(crate) partitions: Vec<Partition>,
    /// The target's file systems in the order in which they are mounted, the root first; none under a disk image.
    pub(crate) mounts: Vec<Mount>,
    /// Arrays that the file systems lie on.
    pub(crate) arrays: Vec<Array>,
    /// Encrypted devices that they lie on.
    pub(crate) ciphers: Vec<Cipher>,
    /// Volume groups that they lie on.
    pub(crate) groups: Vec<String>,
}

/// An array of mirrors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Array {
    /// Its name: `/dev/md/NAME`.
    pub(crate) name: String,
    /// Its UUID, as `mdadm --detail` writes it.
    pub(crate) uuid: String,
}

/// An encrypted device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cipher {
    /// Its name when it is open: `/dev/mapper/NAME`.
    pub(crate) name: String,
    /// UUID of its LUKS header.
    pub(crate) uuid: String,
}

/// One partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Partition {
    /// Its disk, in `/dev`.
    pub(crate) disk: PathBuf,
    /// Its number, from 1.
    pub(crate) number: u32,
    /// The partition, in `/dev`.
    pub(crate) device: PathBuf,
    /// What it is for.
    pub(crate) role: Role,
    /// Its own GUID.
    pub(crate) guid: String,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The EFI system partition.
    Esp,
    /// GRUB's own, under BIOS.
    BiosBoot,
    /// Files of the boot loader and kernels, where the root is nothing that every loader reads.
    Boot,
    /// Root, or what it is made of.
    #[default]
    Root,
    /// Swap.
    Swap,
    /// A volume of the layout.
    Volume,
}

/// A file system of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mount {
    /// The device, in `/dev`.
    pub(crate) device: PathBuf,
    /// Where the target has it: `/`, `/boot/efi`.
    pub(crate) place: String,
    /// `ext4`, `xfs`, `btrfs`, `vfat`.
    pub(crate) filesystem: String,
    /// UUID of the file system, for `fstab`.
    pub(crate) uuid: String,
}

/// What `write` wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    /// Digest of the image.
    pub(crate) digest: String,
    /// Bytes that were downloaded.
    pub(crate) downloaded: u64,
    /// Bytes of a disk image that are not on the disk, so that nothing boots from it: `boot` writes them.
    pub(crate) held: Vec<Held>,
}

/// Bytes that are held back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Held {
    /// Name of a file in the folder.
    pub(crate) file: String,
    /// Where on the disk they belong.
    pub(crate) offset: u64,
}

/// How much of a disk image is on the disk for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Blocks {
    /// Digest of the image's index.
    pub(crate) index: String,
    /// The frame to go on with.
    pub(crate) next: usize,
}

/// The folder that they are in.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(crate) fn make(path: &Path) -> Result<Self, StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| StateError::File { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }

    /// Where a file of this name is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The order that was kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn order(&self) -> Result<Option<InstallOrder>, StateError> {
        self.document(ORDER)
    }

    /// Keeps an order.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(crate) fn keep_order(&self, order: &InstallOrder) -> Result<(), StateError> {
        self.keep_document(ORDER, order)
    }

    /// The state that was kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn state(&self) -> Result<Option<State>, StateError> {
        self.document(STATE)
    }

    /// Keeps a state.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(crate) fn keep_state(&self, state: &State) -> Result<(), StateError> {
        self.keep_document(STATE, state)
    }

    /// A file's bytes; none where there is no such file.
    ///
    /// # Errors
    /// [`StateError::File`], also for a file longer than any of ours.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(&path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            if u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_FILE) {
                Ok(bytes)
            } else {
                Err(io::ErrorKind::FileTooLarge.into())
            }
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::File { path, source }),
        }
    }

    /// Keeps bytes, whole or not at all, for root alone.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(crate) fn keep_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let (path, new) = (self.file(name), self.file(&format!(".{name}.new")));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| StateError::File { path: path.clone(), source })
    }

    fn document<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| StateError::Damaged(self.file(name)))
    }

    fn keep_document(&self, name: &str, document: &impl Serialize) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(document)
            .map_err(|error| StateError::File { path: self.file(name), source: error.into() })?;
        self.keep_bytes(name, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_roots_alone_and_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::make(&root.path().join("a/install")).unwrap();
        assert_eq!(folder.state().unwrap(), None);
        let state = State {
            run: Uuid::from_u128(7),
            written: Some(Written { digest: "sha256:00".to_owned(), downloaded: 5, held: Vec::new() }),
            ..State::default()
        };
        folder.keep_state(&state).unwrap();
        assert_eq!(folder.state().unwrap(), Some(state));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.file(STATE)), mode(&folder.0)), (0o600, 0o700));
        let order = InstallOrder { hostname: "db-07".to_owned(), ..InstallOrder::default() };
        folder.keep_order(&order).unwrap();
        assert_eq!(folder.order().unwrap().unwrap().hostname, "db-07");
    }

    #[test]
    fn a_damaged_file_is_named_and_not_shown() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::make(root.path()).unwrap();
        folder.keep_bytes(ORDER, b"{\"Seed\": hunter2").unwrap();
        let error = folder.order().err().unwrap().to_string();
        assert!(error.contains("order.json is damaged") && !error.contains("hunter2"), "{error}");
    }
}
