//! The kernel and its modules, packed for an initial ramdisk.
//!
//! Packing the modules takes most of a build's time and depends only on the kernel package and the profile, so
//! the result is kept in the cache directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use initrd::cpio::Tree;
use iso::manifest::Package;
use protocol::module_index::ModuleIndex;
use thiserror::Error;

use crate::digest::sha256;
use crate::modules::ModuleError;
use crate::modules::profile::{self, Profile};
use crate::modules::select::{Selection, plain_path, select};
use crate::modules::tree::ModuleTree;
use crate::packages::{Deb, PackageError};
use crate::plan::parent_dir;
use crate::progress::Progress;
use crate::publish::{PublishError, publish_new_dir};

/// How modules are stored in the initial ramdisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModuleStorage {
    /// Each compressed by itself in a plain archive: the kernel copies the archive as it is, and the agent
    /// unpacks the few modules that the machine needs.
    Single,
    /// Plain modules in one compressed archive: smaller, but the kernel unpacks all of them at every boot.
    #[cfg_attr(not(test), expect(dead_code, reason = "kept to measure against; see MODULE_STORAGE"))]
    Solid,
}

/// Chosen by measured time from power-on to the agent (generic profile, QEMU without KVM, three runs a path): the
/// kernel reaches `/init` in 1.8 to 3.6 s against 3.6 to 5.0 s with `Solid`. Reading 3.5 MB more (23.3 against
/// 19.8 MB) eats a part of that: the whole boot is sooner in six of nine pairs, on CD in all three. A build with
/// nothing new takes seconds instead of a minute.
pub(crate) const MODULE_STORAGE: ModuleStorage = ModuleStorage::Single;
/// zstd level for modules and everything else in the ramdisk.
pub(crate) const ZSTD_LEVEL: i32 = 19;
/// Permission bits of modules and the index.
const MODULE_PERMISSIONS: u32 = 0o644;

const IMAGE: &str = "vmlinuz";
const RELEASE: &str = "release";
const ARCHIVE: &str = "modules.cpio";
const INDEX: &str = "muster.index";

impl ModuleStorage {
    fn suffix(self) -> &'static str {
        match self {
            Self::Single => ".zst",
            Self::Solid => "",
        }
    }
}

/// Why there is no kernel to boot.
#[derive(Debug, Error)]
pub enum KernelError {
    /// Not a kernel image.
    #[error("{0} is not an x86 kernel image (vmlinuz, bzImage)")]
    NotAKernel(PathBuf),
    /// Image and modules do not belong together.
    #[error(
        "the kernel image is version `{image}` and the modules are for `{modules}`: use those that were built with it"
    )]
    Mismatch {
        /// Version in the image.
        image: String,
        /// Name of the module directory.
        modules: String,
    },
    /// The modules are unusable.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// The package is unusable.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The cache cannot be written.
    #[error("keep the packed kernel")]
    Cache(#[from] PublishError),
    /// A file cannot be read or made.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A kernel ready to go into media.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The image, as signed.
    pub(crate) image: Vec<u8>,
    /// `uname -r`.
    pub(crate) release: String,
    /// An archive with `lib/modules/VERSION/kernel/...`, stored as [`MODULE_STORAGE`] says.
    pub(crate) modules: Vec<u8>,
    /// The module index as text.
    pub(crate) index: String,
}

impl Kernel {
    /// What was made of this package for this profile before, if it is still there.
    pub(crate) fn kept(package: &Package, profile: Profile, cache: &Path) -> Option<Self> {
        Self::load(&kept_dir(package, profile, cache))
    }

    /// From a Debian package; the result is kept in the cache.
    pub(crate) fn from_package(
        deb: &Deb,
        profile: Profile,
        cache: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, KernelError> {
        let kept = kept_dir(&deb.package, profile, cache);
        let kernels = parent_dir(&kept);
        fs::create_dir_all(kernels).map_err(failed("create", kernels))?;
        let root = tempfile::Builder::new().prefix(".unpack-").tempdir_in(kernels);
        let root = root.map_err(failed("create a directory in", kernels))?;
        progress(Progress::Unpacking { package: deb.package.name.clone() });
        deb.unpack(root.path(), |path| path.starts_with("boot/vmlinuz-") || path.contains("lib/modules/"))?;
        let image = image_in(deb, root.path())?;
        let kernel = Self::from_files(&image, root.path(), profile, progress)?;
        kernel.keep(&kept)?;
        Ok(kernel)
    }

    /// From an image and a module directory.
    pub(crate) fn from_files(
        image: &Path,
        modules: &Path,
        profile: Profile,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, KernelError> {
        let bytes = fs::read(image).map_err(failed("read", image))?;
        let version = image_version(&bytes).ok_or_else(|| KernelError::NotAKernel(image.to_owned()))?;
        let tree = ModuleTree::read(modules)?;
        if version != tree.release {
            return Err(KernelError::Mismatch { image: version, modules: tree.release });
        }
        let selection = select(&tree, profile, MODULE_STORAGE.suffix())?;
        progress(Progress::Selected { modules: selection.names.len(), of: tree.modules.len() });
        let modules = pack(&tree, &selection, MODULE_STORAGE, progress)?;
        Ok(Self { image: bytes, release: tree.release, modules, index: selection.index.render() })
    }

    /// A kernel packed before; `None` when there is none or it is not whole.
    fn load(dir: &Path) -> Option<Self> {
        let release = fs::read_to_string(dir.join(RELEASE)).ok()?;
        let index = fs::read_to_string(dir.join(INDEX)).ok()?;
        // An index of another version of this program is made again.
        ModuleIndex::parse(&index).ok().filter(|index| index.kernel() == release)?;
        let image = fs::read(dir.join(IMAGE)).ok()?;
        let modules = fs::read(dir.join(ARCHIVE)).ok()?;
        Some(Self { image, release, modules, index })
    }

    fn keep(&self, dir: &Path) -> Result<(), PublishError> {
        publish_new_dir(
            dir,
            &[
                (RELEASE, self.release.as_bytes()),
                (INDEX, self.index.as_bytes()),
                (IMAGE, &self.image),
                (ARCHIVE, &self.modules),
            ],
        )
    }
}

/// Where the packed kernel is kept: named after everything it depends on.
fn kept_dir(package: &Package, profile: Profile, cache: &Path) -> PathBuf {
    let revision = profile::REVISION;
    let key = format!("{} {profile} {revision} {MODULE_STORAGE:?} {ZSTD_LEVEL}", package.sha256);
    cache.join("kernels").join(sha256(key.as_bytes()))
}

fn image_in(deb: &Deb, root: &Path) -> Result<PathBuf, KernelError> {
    let boot = root.join("boot");
    let missing = || PackageError::MissingFile {
        package: deb.package.name.clone(),
        file: "boot/vmlinuz-VERSION".to_owned(),
    };
    let mut entries = fs::read_dir(&boot).map_err(|_| missing())?;
    let entry = entries.next().ok_or_else(missing)?;
    Ok(entry.map_err(failed("read", &boot))?.path())
}

/// The version in an x86 kernel's boot header (`Documentation/arch/x86/boot.rst`), such as `6.1.0-56-amd64`.
fn image_version(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    let text = image.get(usize::from(pointer).checked_add(0x200)?..)?;
    let end = text.iter().take(256).position(|&byte| byte == b' ' || byte == 0)?;
    String::from_utf8(text.get(..end)?.to_vec()).ok()
}

/// The archive of the selected modules.
fn pack(
    tree: &ModuleTree,
    selection: &Selection,
    storage: ModuleStorage,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, ModuleError> {
    let mut archive = Tree::new();
    let total = selection.names.len();
    let mut add = |done: usize, (path, bytes): (String, Vec<u8>)| -> Result<(), ModuleError> {
        let path = format!("lib/modules/{}/{path}{}", tree.release, storage.suffix());
        archive.file(&path, MODULE_PERMISSIONS, bytes)?;
        progress(Progress::Packing { done, total });
        Ok(())
    };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(name) = selection.names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(pack_one(tree, name, storage)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        (1..).zip(&receiver).try_for_each(|(done, packed)| add(done, packed?))
    })?;
    Ok(archive.to_bytes(0)?)
}

fn pack_one(tree: &ModuleTree, name: &str, storage: ModuleStorage) -> Result<(String, Vec<u8>), ModuleError> {
    let missing = || ModuleError::Missing {
        user: "selection".to_owned(),
        name: name.to_owned(),
        path: tree.dir.clone(),
    };
    let found = tree.modules.get(name).ok_or_else(missing)?;
    let bytes = tree.bytes(found)?;
    let bytes = match storage {
        ModuleStorage::Single => zstd::bulk::compress(&bytes, ZSTD_LEVEL).map_err(ModuleError::Compress)?,
        ModuleStorage::Solid => bytes,
    };
    Ok((plain_path(found), bytes))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KernelError {
    let path = path.to_owned();
    move |source| KernelError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::modinfo::elf_with_modinfo;

    /// A kernel image reduced to its boot header.
    fn image(version: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        bytes[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        bytes
    }

    fn files(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let nic = dir.path().join("lib/modules/6.1-test/kernel/drivers/net/virtio_net.ko");
        fs::create_dir_all(nic.parent().unwrap()).unwrap();
        fs::write(nic, elf_with_modinfo(b"alias=virtio:d1v*\0")).unwrap();
        fs::write(dir.path().join("vmlinuz"), image(version)).unwrap();
        dir
    }

    fn kernel(dir: &Path) -> Result<Kernel, KernelError> {
        Kernel::from_files(&dir.join("vmlinuz"), dir, Profile::Cloud, &mut |_| ())
    }

    #[test]
    fn image_and_modules_of_one_build_become_a_kernel() {
        let dir = files("6.1-test (builder@example) #1 SMP");
        let kernel = kernel(dir.path()).unwrap();
        assert_eq!(kernel.release, "6.1-test");
        let index = ModuleIndex::parse(&kernel.index).unwrap();
        let path = format!("lib/modules/6.1-test/{}", index.module("virtio_net").unwrap().path);
        let entries: Vec<_> = initrd::cpio::Reader::new(&kernel.modules).map(Result::unwrap).collect();
        let module = entries.iter().find(|entry| entry.path == path).unwrap();
        let initrd::cpio::Kind::File(packed) = module.kind else { panic!("{module:?}") };
        assert_eq!(zstd::decode_all(packed).unwrap(), elf_with_modinfo(b"alias=virtio:d1v*\0"));
    }

    #[test]
    fn modules_of_another_build_are_refused_with_both_versions() {
        let dir = files("6.2-other (builder) #1");
        let error = kernel(dir.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("the kernel image is version `6.2-other` and the modules are for `6.1-test`")
        );
    }

    #[test]
    fn what_is_no_kernel_is_named() {
        let dir = files("6.1-test ");
        fs::write(dir.path().join("vmlinuz"), "text").unwrap();
        assert!(
            kernel(dir.path())
                .unwrap_err()
                .to_string()
                .ends_with("is not an x86 kernel image (vmlinuz, bzImage)")
        );
        for len in 0..0x400 {
            let cut = image("6.1-test ");
            assert!(image_version(cut.get(..len).unwrap()).is_none_or(|version| version == "6.1-test"));
        }
    }

    #[test]
    fn a_kept_kernel_is_read_back_and_a_broken_one_is_not() {
        let dir = files("6.1-test ");
        let kernel = kernel(dir.path()).unwrap();
        let kept = dir.path().join("kept");
        kernel.keep(&kept).unwrap();
        let back = Kernel::load(&kept).unwrap();
        assert_eq!((back.release, back.modules, back.index), (kernel.release, kernel.modules, kernel.index));
        fs::write(kept.join(INDEX), "muster-modules 9 6.1-test\n").unwrap();
        assert!(Kernel::load(&kept).is_none());
    }

    #[test]
    fn solid_storage_keeps_modules_as_they_are() {
        let dir = files("6.1-test ");
        let tree = ModuleTree::read(dir.path()).unwrap();
        let selection = select(&tree, Profile::Cloud, ModuleStorage::Solid.suffix()).unwrap();
        let archive = pack(&tree, &selection, ModuleStorage::Solid, &mut |_| ()).unwrap();
        let names: Vec<_> = initrd::cpio::Reader::new(&archive).map(|entry| entry.unwrap().path).collect();
        assert_eq!(names.last(), Some(&"lib/modules/6.1-test/kernel/drivers/net/virtio_net.ko"));
    }
}
