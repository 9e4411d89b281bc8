//! Firmware that an operator adds: files that network cards and storage controllers ask for and that Debian's kernel
//! package does not hold. The kernel reads them from `/lib/firmware` of the initial ramdisk by itself.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use initrd::cpio::{Tree, WriteError};
use thiserror::Error;

/// Where the kernel looks (`drivers/base/firmware_loader/main.c`), relative to the root.
const FOLDER: &str = "lib/firmware";
/// Most files: the manifest names each. linux-firmware as a whole has thousands, and half a gigabyte.
const MAX_FILES: usize = 1_000;
/// Most bytes altogether: they are in the memory of every machine that boots.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Deepest folder below the one that is given.
const MAX_DEPTH: usize = 8;
const PERMISSIONS: u32 = 0o644;
const ZSTD_SUFFIX: &str = ".zst";

/// Why firmware cannot be added.
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// A file or folder cannot be read.
    #[error("read the firmware {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More than anybody boots with.
    #[error(
        "the firmware folder {0} holds more than {MAX_FILES} files, {MAX_BYTES} bytes or {MAX_DEPTH} folders deep: \
         give one with what your machines need"
    )]
    TooMuch(PathBuf),
    /// A link that leads out of the folder, or to an absolute path.
    #[error("the link {0} leads out of the firmware folder: replace it by the file")]
    Link(PathBuf),
    /// Neither file, folder nor link; or a name that is not text.
    #[error("{0} is neither a file nor a folder nor a link with a plain name")]
    Kind(PathBuf),
    /// Nothing in it: a mistyped folder, most likely.
    #[error("the firmware folder {0} holds no file")]
    Empty(PathBuf),
}

/// One entry, by its path below the firmware folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A file's bytes.
    File(Vec<u8>),
    /// A link's target.
    Link(String),
}

/// Everything in a firmware folder, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Firmware(Vec<(String, Item)>);

impl Firmware {
    /// Reads a folder laid out as `/lib/firmware`. Files compressed with zstd are unpacked, because Debian's kernels
    /// read plain firmware and xz only (`CONFIG_FW_LOADER_COMPRESS_XZ`).
    ///
    /// # Errors
    /// [`FirmwareError`] names the file and the limit.
    pub(crate) fn read(root: &Path) -> Result<Self, FirmwareError> {
        let mut items = Vec::new();
        let mut room = MAX_BYTES;
        let mut waiting = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = waiting.pop() {
            for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
                let entry = entry.map_err(failed(&folder))?;
                let path = entry.path();
                let kind = entry.file_type().map_err(failed(&path))?;
                let name = entry.file_name().into_string().map_err(|_| FirmwareError::Kind(path.clone()))?;
                let name = format!("{prefix}{name}");
                if kind.is_dir() {
                    waiting.push((path, format!("{name}/"), depth + 1));
                } else if kind.is_symlink() {
                    let target = link(&path, depth)?;
                    items.push((unpacked(&name).to_owned(), Item::Link(unpacked(&target).to_owned())));
                } else if kind.is_file() {
                    let (name, bytes) = file(&path, &name, room)?;
                    room = room.checked_sub(bytes.len() as u64).ok_or_else(|| too_much(root))?;
                    items.push((name, Item::File(bytes)));
                } else {
                    return Err(FirmwareError::Kind(path));
                }
                if items.len() > MAX_FILES || waiting.len() > MAX_FILES || depth >= MAX_DEPTH {
                    return Err(too_much(root));
                }
            }
        }
        items.sort_by(|one, other| one.0.cmp(&other.0));
        if items.is_empty() { Err(FirmwareError::Empty(root.to_owned())) } else { Ok(Self(items)) }
    }

    /// Adds it where the kernel looks.
    ///
    /// # Errors
    /// [`WriteError`] for a name that an archive cannot hold, or one that comes twice.
    pub(crate) fn add_to<'a>(&'a self, tree: &mut Tree<'a>) -> Result<(), WriteError> {
        for (name, item) in &self.0 {
            let path = format!("{FOLDER}/{name}");
            match item {
                Item::File(bytes) => tree.file(&path, PERMISSIONS, bytes.as_slice())?,
                Item::Link(target) => tree.symlink(&path, target)?,
            }
        }
        Ok(())
    }

    /// The files and their bytes, for the manifest.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|(name, item)| match item {
            Item::File(bytes) => Some((name.as_str(), bytes.as_slice())),
            Item::Link(_) => None,
        })
    }
}

fn file(path: &Path, name: &str, room: u64) -> Result<(String, Vec<u8>), FirmwareError> {
    let file = fs::File::open(path).map_err(failed(path))?;
    let mut bytes = Vec::new();
    let limit = room.saturating_add(1);
    let read = if name.ends_with(ZSTD_SUFFIX) {
        let packed = zstd::stream::read::Decoder::new(file);
        packed.and_then(|stream| stream.take(limit).read_to_end(&mut bytes))
    } else {
        file.take(limit).read_to_end(&mut bytes)
    };
    read.map_err(failed(path))?;
    Ok((unpacked(name).to_owned(), bytes))
}

/// A link's target, as text that stays below the firmware folder.
fn link(path: &Path, depth: usize) -> Result<String, FirmwareError> {
    let target = fs::read_link(path).map_err(failed(path))?;
    let outside = || FirmwareError::Link(path.to_owned());
    let mut level = depth;
    for part in target.components() {
        level = match part {
            Component::Normal(_) => level + 1,
            Component::CurDir => level,
            Component::ParentDir => level.checked_sub(1).ok_or_else(outside)?,
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        };
    }
    target.into_os_string().into_string().map_err(|_| FirmwareError::Kind(path.to_owned()))
}

/// The name of a file once it is unpacked, which links follow.
fn unpacked(name: &str) -> &str {
    name.strip_suffix(ZSTD_SUFFIX).unwrap_or(name)
}

fn too_much(root: &Path) -> FirmwareError {
    FirmwareError::TooMuch(root.to_owned())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FirmwareError {
    let path = path.to_owned();
    |source| FirmwareError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use initrd::cpio::{Kind, Reader};
    use std::os::unix::fs::symlink;

    #[test]
    fn files_links_and_packed_files_come_where_the_kernel_looks() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bnx2")).unwrap();
        fs::write(root.path().join("bnx2/mips.fw"), "mips").unwrap();
        fs::write(root.path().join("rtl.fw.zst"), zstd::bulk::compress(b"rtl", 3).unwrap()).unwrap();
        fs::write(root.path().join("e100.fw.xz"), "stays packed").unwrap();
        symlink("../e100.fw.xz", root.path().join("bnx2/same.fw.xz")).unwrap();
        symlink("rtl.fw.zst", root.path().join("other.fw.zst")).unwrap();
        let firmware = Firmware::read(root.path()).unwrap();
        let mut tree = Tree::new();
        firmware.add_to(&mut tree).unwrap();
        let archive = tree.to_bytes(0).unwrap();
        let found: Vec<(String, String)> = Reader::new(&archive)
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let contents = match entry.kind {
                    Kind::File(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    Kind::Symlink(target) => format!("-> {target}"),
                    Kind::Directory | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Other => {
                        return None;
                    }
                };
                Some((entry.path.to_owned(), contents))
            })
            .collect();
        let expected = [
            ("lib/firmware/bnx2/mips.fw", "mips"),
            ("lib/firmware/bnx2/same.fw.xz", "-> ../e100.fw.xz"),
            ("lib/firmware/e100.fw.xz", "stays packed"),
            ("lib/firmware/other.fw", "-> rtl.fw"),
            ("lib/firmware/rtl.fw", "rtl"),
        ];
        assert_eq!(found, expected.map(|(path, contents)| (path.to_owned(), contents.to_owned())));
        assert_eq!(firmware.files().count(), 3);
    }

    #[test]
    fn link_that_leads_out_is_refused_by_name() {
        for target in ["/etc/shadow", "../secret", "a/../../secret"] {
            let root = tempfile::tempdir().unwrap();
            symlink(target, root.path().join("fw")).unwrap();
            let error = Firmware::read(root.path()).unwrap_err();
            assert!(matches!(error, FirmwareError::Link(_)), "{target}: {error}");
        }
    }

    #[test]
    fn bombs_empty_folders_and_missing_ones_are_told() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Firmware::read(root.path()), Err(FirmwareError::Empty(_))));
        assert!(matches!(Firmware::read(&root.path().join("none")), Err(FirmwareError::Read { .. })));
        let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut io::repeat(0).take(MAX_BYTES + 1), &mut bomb).unwrap();
        fs::write(root.path().join("bomb.zst"), bomb.finish().unwrap()).unwrap();
        assert!(matches!(Firmware::read(root.path()), Err(FirmwareError::TooMuch(_))));
    }
}
