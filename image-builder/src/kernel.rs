//! The kernel and its modules, packed for an initial ramdisk.
//!
//! Packing the modules takes most of a build's time and depends only on the kernel package and the profile, so
//! the result is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use initrd::cpio::Tree;
use iso::manifest::Package;
use protocol::module_index;
use thiserror::Error;

use crate::modules::ModuleError;
use crate::modules::packer::{self, Packer};
use crate::modules::profile::{self, Profile};
use crate::modules::select::{Selection, plain_path, select};
use crate::modules::tree::ModuleTree;
use crate::packages::{Deb, PackageError};
use crate::progress::Progress;
use crate::publish::PublishError;
use crate::store::Store;

/// What a packed module's name ends in.
pub(crate) const PACKED_SUFFIX: &str = ".zst";
/// Permission bits of modules and the index.
const MODULE_PERMISSIONS: u32 = 0o644;

const IMAGE: &str = "vmlinuz";
const RELEASE: &str = "release";
const ARCHIVE: &str = "modules.cpio";
const DICTIONARY: &str = "dictionary";
const INDEX: &str = "muster.index";
const TERMS: &str = "copyright";
const SHELF: &str = "kernel";

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
    /// A plain archive with `lib/modules/VERSION/kernel/...`, each module compressed by itself.
    pub(crate) modules: Vec<u8>,
    /// What the modules were compressed with; empty for nothing.
    pub(crate) dictionary: Vec<u8>,
    /// The module index as text.
    pub(crate) index: String,
    /// The terms it is under, as its package says; `None` for files of unknown origin.
    pub(crate) terms: Option<String>,
}

impl Kernel {
    /// What was made of this package for this profile before, if it is still there.
    pub(crate) fn kept(package: &Package, profile: Profile, store: &Store) -> Option<Self> {
        let mut parts = store.load(SHELF, &key(package, profile))?;
        let mut text = |name| parts.remove(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let (release, index, terms) = (text(RELEASE)?, text(INDEX)?, text(TERMS)?);
        let (image, modules, dictionary) =
            (parts.remove(IMAGE)?, parts.remove(ARCHIVE)?, parts.remove(DICTIONARY)?);
        Some(Self { image, release, modules, dictionary, index, terms: Some(terms) })
    }

    /// From a Debian package; the result is kept.
    pub(crate) fn from_package(
        deb: &Deb,
        profile: Profile,
        store: &Store,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, KernelError> {
        let name = &deb.listed.package.name;
        let root = store.scratch()?;
        progress(Progress::Unpacking { package: name.clone() });
        let terms = format!("usr/share/doc/{name}/copyright");
        let wanted =
            |path: &str| path.starts_with("boot/vmlinuz-") || path.contains("lib/modules/") || path == terms;
        deb.unpack(root.path(), wanted)?;
        let image = image_in(deb, root.path())?;
        let mut kernel = Self::from_files(&image, root.path(), profile, progress)?;
        let terms = root.path().join(terms);
        let text = fs::read(&terms).map_err(failed("read", &terms))?;
        kernel.terms = Some(String::from_utf8_lossy(&text).into_owned());
        kernel.keep(&key(&deb.listed.package, profile), store)?;
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
        let selection = select(&tree, profile, PACKED_SUFFIX)?;
        progress(Progress::Selected { modules: selection.names.len(), of: tree.modules.len() });
        let dictionary = dictionary(&tree, &selection)?;
        let modules = pack(&tree, &selection, &dictionary, progress)?;
        let index = selection.index.render();
        Ok(Self { image: bytes, release: tree.release, modules, dictionary, index, terms: None })
    }

    fn keep(&self, key: &str, store: &Store) -> Result<(), PublishError> {
        let terms = self.terms.clone().unwrap_or_default();
        let parts = [
            (RELEASE, self.release.as_bytes()),
            (INDEX, self.index.as_bytes()),
            (TERMS, terms.as_bytes()),
            (IMAGE, &self.image),
            (ARCHIVE, &self.modules),
            (DICTIONARY, &self.dictionary),
        ];
        store.keep(SHELF, key, &parts.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into())
    }
}

/// Everything a packed kernel depends on.
fn key(package: &Package, profile: Profile) -> String {
    let (revision, index) = (profile::REVISION, module_index::VERSION);
    format!("{} {profile} {revision} {index} {}", package.sha256, packer::settings())
}

fn image_in(deb: &Deb, root: &Path) -> Result<PathBuf, KernelError> {
    let boot = root.join("boot");
    let missing = || PackageError::MissingFile {
        package: deb.listed.package.name.clone(),
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

/// What the selected modules have in common.
fn dictionary(tree: &ModuleTree, selection: &Selection) -> Result<Vec<u8>, ModuleError> {
    let samples = selection.names.iter().map(|name| Ok(packer::sample(&tree.bytes(tree.module(name)?)?)));
    packer::dictionary(&samples.collect::<Result<Vec<_>, ModuleError>>()?).map_err(ModuleError::Compress)
}

/// The archive of the selected modules.
fn pack(
    tree: &ModuleTree,
    selection: &Selection,
    dictionary: &[u8],
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, ModuleError> {
    let mut archive = Tree::new();
    let total = selection.names.len();
    let mut add = |done: usize, (path, bytes): (String, Vec<u8>)| -> Result<(), ModuleError> {
        let path = format!("lib/modules/{}/{path}{PACKED_SUFFIX}", tree.release);
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
                let mut packer = match Packer::new(dictionary) {
                    Ok(packer) => packer,
                    Err(error) => return drop(sender.send(Err(ModuleError::Compress(error)))),
                };
                while let Some(name) = selection.names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(pack_one(tree, name, &mut packer)).is_err() {
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

fn pack_one(tree: &ModuleTree, name: &str, packer: &mut Packer) -> Result<(String, Vec<u8>), ModuleError> {
    let found = tree.module(name)?;
    let packed = packer.pack(&tree.bytes(found)?).map_err(ModuleError::Compress)?;
    Ok((plain_path(found), packed))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KernelError {
    let path = path.to_owned();
    move |source| KernelError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::modinfo::elf_with_modinfo;
    use protocol::module_index::ModuleIndex;

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
    fn a_kept_kernel_is_read_back_for_its_own_profile() {
        let dir = files("6.1-test ");
        let kernel = Kernel { terms: Some("GPL-2".to_owned()), ..kernel(dir.path()).unwrap() };
        let store = Store::new(dir.path());
        let package = Package { name: "linux".into(), version: "1".into(), sha256: "00".into() };
        kernel.keep(&key(&package, Profile::Cloud), &store).unwrap();
        let back = Kernel::kept(&package, Profile::Cloud, &store).unwrap();
        assert_eq!((back.release, back.modules, back.index), (kernel.release, kernel.modules, kernel.index));
        assert_eq!((back.image, back.terms), (kernel.image, kernel.terms));
        assert!(Kernel::kept(&package, Profile::Generic, &store).is_none());
    }
}
