//! `tools.cpio.zst`: programs for disks and firmware that the boot image leaves out, and fetches when they are
//! wanted. Behind them is a second archive, with our own installer.
//!
//! Programs come from Debian's packages, libraries from the packages those depend on: as long as a file needs a
//! library that is not there yet, the library packages its own package depends on are read. The archive is
//! unpacked over the root of the boot image, which has none of these paths; its ticket, with the digest, is in the
//! initial ramdisk.

mod grub;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use initrd::cpio::{Tree, WriteError};
use protocol::tools::{TOOLS_FILE, Ticket, TicketError};
use thiserror::Error;

use crate::apt::{Listed, Lists};
use crate::digest::sha256;
use crate::needed::Needs;
use crate::packages::{Contents, PackageError, Packages, is_terms};
use crate::progress::Progress;
use crate::publish::PublishError;
use crate::store::{Parts, Store};

/// Packages and the files of each, as if `/usr` were merged into the root. Links come with what they lead to.
const WANTED: &[(&str, &[&str])] = &[
    ("btrfs-progs", &["bin/btrfs", "sbin/mkfs.btrfs"]),
    ("cryptsetup-bin", &["sbin/cryptsetup"]),
    ("dmsetup", &["sbin/dmsetup"]),
    ("dosfstools", &["sbin/fatlabel", "sbin/fsck.fat", "sbin/mkfs.fat", "sbin/fsck.vfat", "sbin/mkfs.vfat"]),
    (
        "e2fsprogs",
        &[
            "etc/mke2fs.conf",
            "sbin/e2fsck",
            "sbin/e2label",
            "sbin/fsck.ext2",
            "sbin/fsck.ext3",
            "sbin/fsck.ext4",
            "sbin/mke2fs",
            "sbin/mkfs.ext2",
            "sbin/mkfs.ext3",
            "sbin/mkfs.ext4",
            "sbin/resize2fs",
            "sbin/tune2fs",
        ],
    ),
    ("efibootmgr", &["bin/efibootmgr"]),
    ("fdisk", &["sbin/sfdisk"]),
    ("gdisk", &["sbin/sgdisk"]),
    ("grub-common", &["bin/grub-mkimage"]),
    ("grub-pc-bin", grub::MODULES),
    // Threads that are ended ask for it by name when they are (btrfs, cryptsetup): no file says so.
    ("libgcc-s1", &["lib/x86_64-linux-gnu/libgcc_s.so.1"]),
    (
        "lvm2",
        &[
            "sbin/lvm",
            "sbin/lvchange",
            "sbin/lvcreate",
            "sbin/lvextend",
            "sbin/lvremove",
            "sbin/lvs",
            "sbin/pvcreate",
            "sbin/pvremove",
            "sbin/pvs",
            "sbin/vgchange",
            "sbin/vgcreate",
            "sbin/vgremove",
            "sbin/vgs",
        ],
    ),
    ("mdadm", &["sbin/mdadm", "sbin/mdmon"]),
    ("nvme-cli", &["sbin/nvme"]),
    ("smartmontools", &["sbin/smartctl"]),
    (
        "util-linux",
        &[
            "bin/findmnt",
            "bin/lsblk",
            "bin/partx",
            "sbin/blkdiscard",
            "sbin/blkid",
            "sbin/blockdev",
            "sbin/mkswap",
            "sbin/wipefs",
        ],
    ),
    ("xfsprogs", &["sbin/mkfs.xfs", "sbin/xfs_growfs", "sbin/xfs_repair"]),
];
/// Where Debian keeps libraries, and what a library package is called.
const LIBRARIES: &str = "lib/x86_64-linux-gnu/";
const LIBRARY_PACKAGES: &[&str] = &["lib", "zlib1g"];
/// Large packages that only programs not wanted here need (`xfs_scrub`).
const NOT_READ: &str = "libicu";
/// The dynamic loader where programs name it, and in its package.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LOADER_NAME: &str = "ld-linux-x86-64.so.2";
/// Packages depend on packages: rounds after which something must be wrong.
const MAX_ROUNDS: usize = 8;
/// A link may lead to a link.
const MAX_HOPS: usize = 4;
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;
/// An eighth larger than level 19 makes it (11.5 MB against 10.2), in a tenth of the time.
const ZSTD_LEVEL: i32 = 12;
const SHELF: &str = "tools";
const NAMES_SHELF: &str = "tool-names";
const NAMES: &str = "names";
const ARCHIVE: &str = "archive";
const UNPACKED: &str = "unpacked-size";
const TERMS_PARTS: &str = "terms/";
/// Changes whenever [`WANTED`] or anything else does that decides on the archive.
const REVISION: u32 = 2;

/// Why there are no tools.
#[derive(Debug, Error)]
pub enum ToolsError {
    /// A package is missing or lacks something.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A library is in none of the packages.
    #[error("`{file}` of the package `{package}` needs {library}, which no package it depends on has")]
    Library {
        /// The package.
        package: String,
        /// The program or library.
        file: String,
        /// What it needs.
        library: String,
    },
    /// A file is no program this reader understands.
    #[error("`{file}` of the package `{package}` is a damaged program")]
    Damaged {
        /// The package.
        package: String,
        /// The file.
        file: String,
    },
    /// The archive cannot be made.
    #[error(transparent)]
    Archive(#[from] WriteError),
    /// The compressor failed.
    #[error("compress the tools")]
    Compress(#[source] io::Error),
    /// The archive is larger than agents accept.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// A result could not be kept.
    #[error(transparent)]
    Keep(#[from] PublishError),
}

/// The packed archive and where it comes from.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) archive: Vec<u8>,
    pub(crate) ticket: Ticket,
    /// The packages something was taken from, sorted by name.
    pub(crate) listed: Vec<Listed>,
    /// Their terms, by name.
    pub(crate) terms: BTreeMap<String, String>,
}

impl Tools {
    /// The tools of the newest packages, not even fetched when they were packed before.
    pub(crate) fn gather(
        packages: &Packages,
        lists: &Lists<'_>,
        store: &Store,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, ToolsError> {
        let names: Vec<&str> = WANTED.iter().map(|(package, _)| *package).collect();
        let roots = lists.look_up(&names)?;
        if let Some(kept) = Self::kept(&roots, lists, store)? {
            return Ok(kept);
        }
        let mut closure = Closure::default();
        closure.complete(
            roots.clone(),
            |listed| {
                let debs = packages.fetch(listed, progress)?;
                debs.iter().map(|deb| deb.read(|path| is_read(&deb.listed.package.name, path))).collect()
            },
            |names| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lists.known(&names)
            },
        )?;
        let (listed, contents) = closure.used();
        let terms = packages.terms(&contents, lists, progress)?;
        let archive = closure.tree()?.to_bytes(0)?;
        let packed = zstd::bulk::compress(&archive, ZSTD_LEVEL).map_err(ToolsError::Compress)?;
        let names: Vec<&str> = listed.iter().map(|listed| listed.package.name.as_str()).collect();
        let names = Parts::from([(NAMES.to_owned(), names.join(" ").into_bytes())]);
        store.keep(NAMES_SHELF, &key(&roots), &names)?;
        let mut parts = Parts::from([
            (UNPACKED.to_owned(), archive.len().to_string().into_bytes()),
            (ARCHIVE.to_owned(), packed.clone()),
        ]);
        let text =
            |(name, text): (&String, &String)| (format!("{TERMS_PARTS}{name}"), text.clone().into_bytes());
        parts.extend(terms.iter().map(text));
        store.keep(SHELF, &key(&listed), &parts)?;
        Self::new(packed, archive.len() as u64, listed, terms)
    }

    /// What was packed before from exactly these versions of all packages, if it is still there.
    fn kept(roots: &[Listed], lists: &Lists<'_>, store: &Store) -> Result<Option<Self>, ToolsError> {
        let names = store.load(NAMES_SHELF, &key(roots)).and_then(|mut parts| parts.remove(NAMES));
        let Some(names) = names.and_then(|names| String::from_utf8(names).ok()) else { return Ok(None) };
        let listed = lists.look_up(&names.split(' ').collect::<Vec<_>>())?;
        let Some(mut parts) = store.load(SHELF, &key(&listed)) else { return Ok(None) };
        let unpacked = parts.remove(UNPACKED).and_then(|len| String::from_utf8(len).ok()?.parse().ok());
        let (Some(archive), Some(unpacked)) = (parts.remove(ARCHIVE), unpacked) else { return Ok(None) };
        let text = |(name, text): (String, Vec<u8>)| {
            Some((name.strip_prefix(TERMS_PARTS)?.to_owned(), String::from_utf8_lossy(&text).into_owned()))
        };
        let terms = parts.into_iter().filter_map(text).collect();
        Self::new(archive, unpacked, listed, terms).map(Some)
    }

    /// The same with a program of our own, in an archive behind Debian's, which stays as it was kept.
    pub(crate) fn with_program(self, name: &str, program: &[u8]) -> Result<Self, ToolsError> {
        let mut tree = Tree::new();
        tree.file(&format!("usr/sbin/{name}"), PROGRAM, program)?;
        let archive = tree.to_bytes(0)?;
        let mut packed = self.archive;
        packed.extend(zstd::bulk::compress(&archive, ZSTD_LEVEL).map_err(ToolsError::Compress)?);
        let unpacked_size = self.ticket.unpacked_size.saturating_add(archive.len() as u64);
        Self::new(packed, unpacked_size, self.listed, self.terms)
    }

    fn new(
        archive: Vec<u8>,
        unpacked_size: u64,
        listed: Vec<Listed>,
        terms: BTreeMap<String, String>,
    ) -> Result<Self, ToolsError> {
        let (size, sha256) = (archive.len() as u64, sha256(&archive));
        let ticket = Ticket { file: TOOLS_FILE.to_owned(), size, unpacked_size, sha256 };
        Ok(Self { archive, ticket, listed, terms })
    }
}

fn key(listed: &[Listed]) -> String {
    let one = |listed: &Listed| format!("{} {}", listed.package.name, listed.package.sha256);
    let settings = format!("{REVISION} {ZSTD_LEVEL} {}", zstd::zstd_safe::version_number());
    format!("{settings}\n{}", listed.iter().map(one).collect::<Vec<_>>().join("\n"))
}

/// A path as if `/usr` were merged into the root, which Debian does from release 13 on.
fn merged(path: &str) -> &str {
    path.strip_prefix("usr/").unwrap_or(path)
}

fn is_wanted(package: &str, path: &str) -> bool {
    let files = WANTED.iter().find(|(name, _)| *name == package).map(|(_, files)| *files);
    files.unwrap_or_default().contains(&merged(path))
}

fn is_read(package: &str, path: &str) -> bool {
    let library = merged(path).strip_prefix(LIBRARIES);
    is_wanted(package, path) || library.is_some_and(|name| !name.contains('/')) || is_terms(path)
}

/// A file on its way into the archive.
#[derive(Debug, Clone)]
enum Taken {
    File { permissions: u32, bytes: Vec<u8> },
    Link(String),
}

/// The files taken so far, and what they still need.
#[derive(Debug, Default)]
struct Closure {
    read: BTreeMap<String, (Listed, Contents)>,
    /// By path in the archive: the package and the file.
    taken: BTreeMap<String, (String, Taken)>,
    /// Libraries nobody had yet: the package and the file that need each.
    missing: BTreeMap<String, (String, String)>,
}

impl Closure {
    /// Takes what is wanted of `roots`, then libraries until nothing is missing. `read` gives packages' files, in
    /// order; `known` what apt knows of some names.
    fn complete(
        &mut self,
        roots: Vec<Listed>,
        mut read: impl FnMut(&[Listed]) -> Result<Vec<Contents>, PackageError>,
        known: impl Fn(&[String]) -> Result<Vec<Listed>, PackageError>,
    ) -> Result<(), ToolsError> {
        let mut next = roots;
        for _ in 0..MAX_ROUNDS {
            let contents = read(&next)?;
            for (listed, contents) in next.into_iter().zip(contents) {
                self.read.insert(listed.package.name.clone(), (listed, contents));
            }
            self.take_wanted()?;
            self.take_libraries()?;
            let names = self.candidates();
            if names.is_empty() {
                break;
            }
            next = known(&names)?;
        }
        match self.missing.pop_first() {
            None => Ok(()),
            Some((library, (package, file))) => Err(ToolsError::Library { package, file, library }),
        }
    }

    fn take_wanted(&mut self) -> Result<(), ToolsError> {
        for (package, files) in WANTED {
            for file in *files {
                self.take_program(package, file)?;
            }
        }
        Ok(())
    }

    /// Takes one wanted file, unless it is there.
    fn take_program(&mut self, package: &str, file: &str) -> Result<(), ToolsError> {
        let place = if file.starts_with("etc/") { file.to_owned() } else { format!("usr/{file}") };
        let Some((_, contents)) = self.read.get(package).filter(|_| !self.taken.contains_key(&place)) else {
            return Ok(());
        };
        let own = |path: &&String| merged(path) == file;
        let link = contents.links.iter().find(|(path, _)| own(path)).map(|(_, target)| target);
        let taken = if let Some((_, bytes)) = contents.files.iter().find(|(path, _)| own(path)) {
            let permissions = if file.contains("bin/") { PROGRAM } else { FILE };
            Taken::File { permissions, bytes: bytes.clone() }
        } else if let Some(target) = link.filter(|target| !target.contains('/')) {
            Taken::Link(target.clone())
        } else {
            let (package, file) = (package.to_owned(), file.to_owned());
            return Err(PackageError::MissingFile { package, file }.into());
        };
        self.add(package, place, taken)
    }

    /// Takes the libraries that are missing and that some package read so far has; those may miss others.
    fn take_libraries(&mut self) -> Result<(), ToolsError> {
        let mut found = true;
        while found {
            found = false;
            for name in self.missing.keys().cloned().collect::<Vec<_>>() {
                let had = self.read.iter().find_map(|(package, (_, contents))| {
                    library(contents, &name).map(|bytes| (package.clone(), bytes.to_vec()))
                });
                if let Some((package, bytes)) = had {
                    found = true;
                    self.missing.remove(&name);
                    let is_loader = name == LOADER_NAME;
                    let place = if is_loader { LOADER.to_owned() } else { format!("usr/{LIBRARIES}{name}") };
                    let permissions = if is_loader { PROGRAM } else { FILE };
                    self.add(&package, place, Taken::File { permissions, bytes })?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, package: &str, place: String, taken: Taken) -> Result<(), ToolsError> {
        if let Taken::File { bytes, .. } = &taken {
            let damaged = || ToolsError::Damaged { package: package.to_owned(), file: place.clone() };
            let needs = Needs::of(bytes).ok_or_else(damaged)?;
            let loader = needs.loader.map(|path| path.rsplit('/').next().unwrap_or(&path).to_owned());
            for name in needs.libraries.into_iter().chain(loader) {
                if !self.has(&name) && !place.ends_with(&format!("/{name}")) {
                    self.missing.entry(name).or_insert_with(|| (package.to_owned(), place.clone()));
                }
            }
        }
        self.taken.insert(place, (package.to_owned(), taken));
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        let place = if name == LOADER_NAME { LOADER.to_owned() } else { format!("usr/{LIBRARIES}{name}") };
        self.taken.contains_key(&place)
    }

    /// Library packages not read yet, on which packages depend whose files miss something.
    fn candidates(&self) -> Vec<String> {
        let is_library = |name: &&String| {
            LIBRARY_PACKAGES.iter().any(|start| name.starts_with(start)) && !name.starts_with(NOT_READ)
        };
        let needy: BTreeSet<&String> = self.missing.values().map(|(package, _)| package).collect();
        let depends = needy.into_iter().filter_map(|package| self.read.get(package));
        let names: BTreeSet<&String> = depends
            .flat_map(|(listed, _)| &listed.depends)
            .filter(is_library)
            .filter(|name| !self.read.contains_key(*name))
            .collect();
        names.into_iter().cloned().collect()
    }

    /// The packages something was taken from, and their files.
    fn used(&self) -> (Vec<Listed>, Vec<Contents>) {
        let used: BTreeSet<&String> = self.taken.values().map(|(package, _)| package).collect();
        used.into_iter().filter_map(|package| self.read.get(package).cloned()).unzip()
    }

    fn tree(&self) -> Result<Tree<'_>, WriteError> {
        let mut tree = Tree::new();
        for (place, (_, taken)) in &self.taken {
            match taken {
                Taken::File { permissions, bytes } => tree.file(place, *permissions, bytes.as_slice())?,
                Taken::Link(target) => tree.symlink(place, target)?,
            }
        }
        Ok(tree)
    }
}

/// A library of a package by the name programs ask for: mostly a link to a file with more digits in its name.
fn library<'a>(contents: &'a Contents, name: &str) -> Option<&'a [u8]> {
    let mut name = name;
    for _ in 0..MAX_HOPS {
        let own = |path: &&String| merged(path).strip_prefix(LIBRARIES) == Some(name);
        if let Some((_, bytes)) = contents.files.iter().find(|(path, _)| own(path)) {
            return Some(bytes);
        }
        let (_, target) = contents.links.iter().find(|(path, _)| own(path))?;
        name = target.rsplit('/').next()?;
    }
    None
}

#[cfg(test)]
mod tests;
