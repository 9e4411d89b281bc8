//! Boot loaders for network boot: what firmware fetches before anything of ours runs.
//!
//! They come unchanged out of Debian's packages, those of Secure Boot as Microsoft and Debian signed them, and lie
//! in a folder of the media directory under the names that firmware, shim and PXELINUX ask for. What Debian's
//! packages for this architecture do not have (loaders for arm64) an operator gives in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::apt::{Listed, Lists};
use crate::packages::{Contents, Deb, PackageError, Packages, is_terms};
use crate::plan::{GRUB_EFI, MOK_MANAGER, SHIM};
use crate::progress::Progress;
use crate::publish::PublishError;
use crate::store::{Parts, Store};

const IPXE: &str = "ipxe";
const PXELINUX: &str = "pxelinux";
const SYSLINUX: &str = "syslinux-common";
/// The packages, sorted.
pub(crate) const PACKAGES: &[&str] = &[GRUB_EFI, IPXE, PXELINUX, MOK_MANAGER, SHIM, SYSLINUX];

/// Packages, paths in them, and the names in our folder.
const FILES: &[(&str, &str, &str)] = &[
    (IPXE, "usr/lib/ipxe/undionly.kpxe", "undionly.kpxe"),
    (IPXE, "usr/lib/ipxe/ipxe.pxe", "ipxe.pxe"),
    (IPXE, "usr/lib/ipxe/snponly.efi", "snponly.efi"),
    (IPXE, "usr/lib/ipxe/ipxe.efi", "ipxe.efi"),
    (SHIM, "usr/lib/shim/shimx64.efi.signed", "shimx64.efi"),
    // The name that a boot server is asked for when nobody chose another one.
    (SHIM, "usr/lib/shim/shimx64.efi.signed", "bootx64.efi"),
    (MOK_MANAGER, "usr/lib/shim/mmx64.efi.signed", "mmx64.efi"),
    (GRUB_EFI, "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grubx64.efi"),
    (PXELINUX, "usr/lib/PXELINUX/pxelinux.0", "pxelinux.0"),
    (PXELINUX, "usr/lib/PXELINUX/lpxelinux.0", "lpxelinux.0"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/chain.c32", "chain.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/libcom32.c32", "libcom32.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/libutil.c32", "libutil.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/mboot.c32", "mboot.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/menu.c32", "menu.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/poweroff.c32", "poweroff.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/pxechn.c32", "pxechn.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/reboot.c32", "reboot.c32"),
    (SYSLINUX, "usr/lib/syslinux/modules/bios/vesamenu.c32", "vesamenu.c32"),
];
/// Where the package of iPXE has some of its files, with links to them where they used to be.
const IPXE_FOLDER: &str = "boot/";
/// Most files and bytes of an operator's own: all of Debian's have 9 MB.
const MAX_FILES: usize = 200;
const MAX_BYTES: u64 = 128 * 1024 * 1024;
const SHELF: &str = "loaders";
const FILE_PARTS: &str = "file/";
const TERMS_PARTS: &str = "terms/";
/// Changes whenever [`FILES`] does.
const REVISION: u32 = 1;

/// Why there are no boot loaders.
#[derive(Debug, Error)]
pub enum LoaderError {
    /// A package is missing or lacks something.
    #[error(
        "the boot loaders for network boot cannot be had from Debian's packages: --no-loaders builds without them, \
         --loaders takes them from a folder"
    )]
    Package(#[from] PackageError),
    /// A result could not be kept.
    #[error(transparent)]
    Keep(#[from] PublishError),
    /// A file or folder cannot be read.
    #[error("read the boot loader {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More than loaders have.
    #[error(
        "the folder of boot loaders {0} holds more than {MAX_FILES} files or {MAX_BYTES} bytes: give one that \
         holds loaders only"
    )]
    TooMuch(PathBuf),
    /// Not a file with a name that a boot server can be asked for.
    #[error(
        "{0} is no file with a plain name (letters, digits and `._-+`): the folder of boot loaders has them side by side"
    )]
    Kind(PathBuf),
    /// Nothing in it: a mistyped folder, most likely.
    #[error("the folder of boot loaders {0} holds no file")]
    Empty(PathBuf),
}

/// Debian's loaders, by the names firmware asks for, and where they come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loaders {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The packages, in the order of [`PACKAGES`].
    pub(crate) listed: Vec<Listed>,
    /// Their terms, by name.
    pub(crate) terms: BTreeMap<String, String>,
}

impl Loaders {
    /// Those of the newest packages, which are not even fetched when they were read before.
    pub(crate) fn gather(
        packages: &Packages,
        lists: &Lists<'_>,
        store: &Store,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LoaderError> {
        let listed = lists.look_up(PACKAGES)?;
        if let Some(kept) =
            store.load(SHELF, &key(&listed)).and_then(|parts| Self::from_parts(parts, &listed))
        {
            return Ok(kept);
        }
        let debs = packages.fetch(&listed, progress)?;
        let read = |deb: &Deb| deb.read(|path| is_read(&deb.listed.package.name, path));
        let contents = debs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let terms = packages.terms(&contents, lists, progress)?;
        let mut files = BTreeMap::new();
        for (package, path, name) in FILES {
            let bytes =
                contents.iter().find(|contents| contents.package == *package).and_then(|c| file(c, path));
            let missing =
                || PackageError::MissingFile { package: (*package).to_owned(), file: (*path).to_owned() };
            files.insert((*name).to_owned(), bytes.ok_or_else(missing)?.to_vec());
        }
        let loaders = Self { files, listed, terms };
        store.keep(SHELF, &key(&loaders.listed), &loaders.parts())?;
        Ok(loaders)
    }

    /// The files a package gave.
    pub(crate) fn of(package: &str) -> impl Iterator<Item = &'static str> {
        FILES.iter().filter(move |(owner, _, _)| *owner == package).map(|(_, _, name)| *name)
    }

    fn parts(&self) -> Parts {
        let files = self.files.iter().map(|(name, bytes)| (format!("{FILE_PARTS}{name}"), bytes.clone()));
        let terms =
            self.terms.iter().map(|(name, text)| (format!("{TERMS_PARTS}{name}"), text.clone().into_bytes()));
        files.chain(terms).collect()
    }

    fn from_parts(parts: Parts, listed: &[Listed]) -> Option<Self> {
        let (mut files, mut terms) = (BTreeMap::new(), BTreeMap::new());
        for (part, bytes) in parts {
            if let Some(name) = part.strip_prefix(FILE_PARTS) {
                files.insert(name.to_owned(), bytes);
            } else if let Some(name) = part.strip_prefix(TERMS_PARTS) {
                terms.insert(name.to_owned(), String::from_utf8(bytes).ok()?);
            }
        }
        let whole = FILES.iter().all(|(_, _, name)| files.contains_key(*name));
        whole.then(|| Self { files, listed: listed.to_vec(), terms })
    }
}

/// The files of an operator's folder, by name.
pub(crate) fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, LoaderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LoaderError::Read { path, source }
    };
    let mut files = BTreeMap::new();
    let mut room = MAX_BYTES;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        // Loaders are often links to a package's files.
        let kind = fs::metadata(&path).map_err(failed(&path))?;
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain(name));
        let Some(name) = name.filter(|_| kind.is_file()) else { return Err(LoaderError::Kind(path)) };
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(failed(&path))?;
        file.take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(&path))?;
        let too_much = || LoaderError::TooMuch(folder.to_owned());
        room = room.checked_sub(bytes.len() as u64).ok_or_else(too_much)?;
        files.insert(name.to_owned(), bytes);
        if files.len() > MAX_FILES {
            return Err(too_much());
        }
    }
    if files.is_empty() { Err(LoaderError::Empty(folder.to_owned())) } else { Ok(files) }
}

/// What the manifest accepts as a file's name.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
}

fn is_read(package: &str, path: &str) -> bool {
    let wanted = |file: &str| {
        file == path || path.strip_prefix(IPXE_FOLDER).is_some_and(|name| file.ends_with(&format!("/{name}")))
    };
    FILES.iter().any(|(owner, file, _)| *owner == package && wanted(file)) || is_terms(path)
}

/// A file of a package, or what an absolute link in its place leads to.
fn file<'a>(contents: &'a Contents, path: &str) -> Option<&'a [u8]> {
    let place = contents.links.get(path).and_then(|target| target.strip_prefix('/')).unwrap_or(path);
    contents.files.get(place).map(Vec::as_slice)
}

fn key(listed: &[Listed]) -> String {
    let digests: Vec<&str> = listed.iter().map(|listed| listed.package.sha256.as_str()).collect();
    format!("{REVISION} {}", digests.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_gives_a_file_and_no_name_comes_twice() {
        let mut names: Vec<&str> = FILES.iter().map(|(_, _, name)| *name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.iter().all(|name| is_plain(name)));
        assert!(PACKAGES.is_sorted());
        for package in PACKAGES {
            assert!(Loaders::of(package).next().is_some(), "{package}");
        }
        assert!(FILES.iter().all(|(package, _, _)| PACKAGES.contains(package)));
    }

    #[test]
    fn a_file_that_moved_is_found_behind_the_link_it_left() {
        let mut contents = Contents { package: IPXE.to_owned(), ..Contents::default() };
        contents.files.insert("boot/ipxe.efi".to_owned(), b"MZ".to_vec());
        contents.links.insert("usr/lib/ipxe/ipxe.efi".to_owned(), "/boot/ipxe.efi".to_owned());
        contents.links.insert("usr/lib/ipxe/ipxe.pxe".to_owned(), "../../../etc/passwd".to_owned());
        assert_eq!(file(&contents, "usr/lib/ipxe/ipxe.efi"), Some(b"MZ".as_slice()));
        assert_eq!(file(&contents, "usr/lib/ipxe/ipxe.pxe"), None);
        assert!(is_read(IPXE, "boot/ipxe.efi") && is_read(IPXE, "usr/lib/ipxe/ipxe.efi"));
        assert!(!is_read(IPXE, "boot/ipxe.lkrn") && !is_read(SHIM, "boot/ipxe.efi"));
    }

    #[test]
    fn a_folder_of_ones_own_is_taken_as_it_is_or_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_folder(dir.path()).unwrap_err().to_string();
        assert_eq!(error, format!("the folder of boot loaders {} holds no file", dir.path().display()));
        fs::write(dir.path().join("shimaa64.efi"), "MZ").unwrap();
        std::os::unix::fs::symlink("shimaa64.efi", dir.path().join("bootaa64.efi")).unwrap();
        let files = read_folder(dir.path()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["bootaa64.efi", "shimaa64.efi"]);
        assert!(files.values().all(|bytes| bytes == b"MZ"));
        for name in ["not plain", ".hidden"] {
            fs::write(dir.path().join(name), "").unwrap();
            assert!(
                read_folder(dir.path()).unwrap_err().to_string().contains("no file with a plain name"),
                "{name}"
            );
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("grub")).unwrap();
        assert!(matches!(read_folder(dir.path()), Err(LoaderError::Kind(path)) if path.ends_with("grub")));
        let missing = read_folder(&dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.starts_with("read the boot loader "), "{missing}");
    }
}
