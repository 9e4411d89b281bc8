//! Debian packages: downloaded and verified by apt, unpacked without being installed.
//!
//! apt checks the archive's signature and the package's hash. A package is kept in a cache directory and used
//! again while its SHA-256 is the one apt's lists name; nothing is written outside that directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::apt::{Listed, Lists};
use crate::digest::sha256_file;
use crate::progress::Progress;
use crate::publish::PublishError;
use crate::tool::{Tool, ToolError};

/// Most bytes that are read of one package's files into memory.
const MAX_CONTENTS_LEN: u64 = 256 * 1024 * 1024;
/// Where packages say under which terms they are.
const DOC_DIR: &str = "usr/share/doc";

/// Why a package could not be had.
#[derive(Debug, Error)]
pub enum PackageError {
    /// apt does not know it.
    #[error(
        "apt knows no package `{0}`: run `apt-get update`, or check that Debian's main archive is in its sources"
    )]
    Unknown(String),
    /// apt could not fetch it.
    #[error("download {names}: if they are no longer in the archive, run `apt-get update`")]
    Download {
        /// The packages.
        names: String,
        /// What apt said.
        #[source]
        source: ToolError,
    },
    /// The file is not what apt's lists promise.
    #[error(
        "the package file {path} has another SHA-256 than apt's lists name: remove it and run `apt-get update`"
    )]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// The package lacks a file it should have.
    #[error("the package `{package}` has no {file}: it may be of a release this program does not know")]
    MissingFile {
        /// The package.
        package: String,
        /// The file or what it is for.
        file: String,
    },
    /// More than any package this program knows unpacks to.
    #[error("the package `{package}` unpacks to more than {MAX_CONTENTS_LEN} bytes of files that are used")]
    TooLarge {
        /// The package.
        package: String,
    },
    /// A meta package that depends on no kernel.
    #[error("the package `{0}` depends on no kernel image")]
    NoKernel(String),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A result could not be kept.
    #[error(transparent)]
    Keep(#[from] PublishError),
    /// A file could not be read or written.
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

/// A package file in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Deb {
    pub(crate) listed: Listed,
    pub(crate) path: PathBuf,
}

/// Files of a package in memory, by their path without a leading `./`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) package: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Symbolic links and where they lead, as written; hard links as symbolic ones to `/PATH`.
    pub(crate) links: BTreeMap<String, String>,
}

impl Contents {
    /// Takes out one file.
    pub(crate) fn take(&mut self, file: &str) -> Result<Vec<u8>, PackageError> {
        let missing = || PackageError::MissingFile { package: self.package.clone(), file: file.to_owned() };
        self.files.remove(file).ok_or_else(missing)
    }

    fn terms(&self) -> Terms<'_> {
        let dir = format!("{DOC_DIR}/{}", self.package);
        let file = format!("{dir}/copyright");
        if let Some(text) = self.files.get(&file) {
            return Terms::Text(String::from_utf8_lossy(text).into_owned());
        }
        let of_file =
            self.links.get(&file).and_then(|target| target.strip_prefix("../")?.strip_suffix("/copyright"));
        match self.links.get(&dir).map(String::as_str).or(of_file) {
            Some(other) if !other.contains('/') => Terms::Of(other),
            _ => Terms::None,
        }
    }
}

/// Where packages are kept.
#[derive(Debug)]
pub(crate) struct Packages {
    dir: PathBuf,
}

impl Packages {
    /// Packages below the cache directory.
    pub(crate) fn new(cache: &Path) -> Result<Self, PackageError> {
        let dir = cache.join("packages");
        fs::create_dir_all(&dir).map_err(file_error("create", &dir))?;
        Ok(Self { dir })
    }

    /// The packages' files, in the order asked for; those that are not there are downloaded together.
    pub(crate) fn fetch(
        &self,
        wanted: &[Listed],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Deb>, PackageError> {
        let mut missing = Vec::new();
        for listed in wanted {
            let cached = self.has(listed)?;
            if !cached {
                missing.push(listed);
            }
            let (name, version) = (listed.package.name.clone(), listed.package.version.clone());
            progress(Progress::Package { name, version, cached });
        }
        self.download(&missing)?;
        let deb = |listed: &Listed| Deb { listed: listed.clone(), path: self.dir.join(&listed.file_name) };
        Ok(wanted.iter().map(deb).collect())
    }

    fn has(&self, listed: &Listed) -> Result<bool, PackageError> {
        let path = self.dir.join(&listed.file_name);
        Ok(path.exists() && digest(&path)? == listed.package.sha256)
    }

    fn download(&self, missing: &[&Listed]) -> Result<(), PackageError> {
        if missing.is_empty() {
            return Ok(());
        }
        // Downloaded aside and renamed, so that builds at the same time do not meet half a file.
        let aside = tempfile::Builder::new().prefix(".download-").tempdir_in(&self.dir);
        let aside = aside.map_err(file_error("create a directory in", &self.dir))?;
        let names =
            || missing.iter().map(|listed| listed.package.name.as_str()).collect::<Vec<_>>().join(", ");
        let version = |listed: &&Listed| format!("{}={}", listed.package.name, listed.package.version);
        // The sandbox is a user of apt's own who cannot write here; what is verified is the same.
        Tool::APT_GET
            .command()
            .dir(aside.path())
            .args(["--quiet", "-o", "APT::Sandbox::User=", "download"])
            .args(missing.iter().map(version))
            .run()
            .map_err(|source| match source {
                ToolError::Missing { .. } | ToolError::Run { .. } => PackageError::Tool(source),
                ToolError::Failed { .. } => PackageError::Download { names: names(), source },
            })?;
        for listed in missing {
            let downloaded = aside.path().join(&listed.file_name);
            if digest(&downloaded)? != listed.package.sha256 {
                return Err(PackageError::Digest { path: downloaded });
            }
            let path = self.dir.join(&listed.file_name);
            fs::rename(&downloaded, &path).map_err(file_error("keep", &path))?;
        }
        Ok(())
    }

    /// Terms of each package, by name, out of what was read of it with [`is_terms`].
    ///
    /// Packages of one source share a directory: all but one have a link to it, which is followed.
    pub(crate) fn terms(
        &self,
        read: &[Contents],
        lists: &Lists<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<String, String>, PackageError> {
        let mut terms = BTreeMap::new();
        for contents in read {
            let text = match contents.terms() {
                Terms::Text(text) => Some(text),
                Terms::Of(other) => match read.iter().find(|contents| contents.package == other) {
                    Some(contents) => contents.terms().text(),
                    None => {
                        let debs = self.fetch(&[lists.look_up_one(other)?], progress)?;
                        let read =
                            debs.iter().map(|deb| deb.read(is_terms)).collect::<Result<Vec<_>, _>>()?;
                        read.iter().find_map(|contents| contents.terms().text())
                    }
                },
                Terms::None => None,
            };
            let missing = || PackageError::MissingFile {
                package: contents.package.clone(),
                file: "copyright file".to_owned(),
            };
            terms.insert(contents.package.clone(), text.ok_or_else(missing)?);
        }
        Ok(terms)
    }
}

/// Whether a path may say under which terms a package is.
pub(crate) fn is_terms(path: &str) -> bool {
    path.strip_prefix(DOC_DIR).is_some_and(|rest| {
        let depth = rest.matches('/').count();
        depth == 1 || (depth == 2 && rest.ends_with("/copyright"))
    })
}

/// What a package says about its terms.
enum Terms<'a> {
    Text(String),
    /// In another package.
    Of(&'a str),
    None,
}

impl Terms<'_> {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Of(_) | Self::None => None,
        }
    }
}

impl Deb {
    /// Unpacks the regular files whose path (without a leading `./`) is wanted.
    pub(crate) fn unpack(&self, into: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), PackageError> {
        self.stream(|stream| unpack_tar(stream, into, wanted))
    }

    /// Reads the files whose path (without a leading `./`) is wanted.
    pub(crate) fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<Contents, PackageError> {
        let package = self.listed.package.name.clone();
        let mut contents = Contents { package, ..Contents::default() };
        let complete = self.stream(|stream| read_tar(stream, wanted, &mut contents))?;
        if !complete {
            return Err(PackageError::TooLarge { package: contents.package });
        }
        Ok(contents)
    }

    fn stream<T>(&self, take: impl FnOnce(&mut dyn io::Read) -> io::Result<T>) -> Result<T, PackageError> {
        let mut stream = Tool::DPKG_DEB.command().arg("--fsys-tarfile").arg(&self.path).stream()?;
        let taken = take(&mut stream.stdout());
        // A program that failed explains a tar stream that stops.
        stream.finish()?;
        taken.map_err(file_error("unpack", &self.path))
    }
}

fn unpack_tar(stream: &mut dyn io::Read, into: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && wanted(&plain(&entry.path()?)) {
            // Refuses `..` and goes through no link, whatever the archive says.
            entry.unpack_in(into)?;
        }
    }
    Ok(())
}

/// Whether everything wanted fitted.
fn read_tar(
    stream: &mut dyn io::Read,
    wanted: impl Fn(&str) -> bool,
    contents: &mut Contents,
) -> io::Result<bool> {
    let mut left = MAX_CONTENTS_LEN;
    let mut archive = tar::Archive::new(stream);
    let mut fits = true;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = plain(&entry.path()?);
        // What does not fit is passed over, so that the program at the other end can finish.
        if !fits || !wanted(&name) {
            continue;
        }
        let kind = entry.header().entry_type();
        if let Some(target) = entry.link_name()?.filter(|_| kind.is_symlink() || kind.is_hard_link()) {
            let target = target.to_string_lossy();
            let target = if kind.is_symlink() {
                target.into_owned()
            } else {
                format!("/{}", plain(Path::new(&*target)))
            };
            contents.links.insert(name, target);
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            let len = entry.by_ref().take(left.saturating_add(1)).read_to_end(&mut bytes)?;
            match left.checked_sub(len as u64) {
                Some(rest) => {
                    left = rest;
                    contents.files.insert(name, bytes);
                }
                None => fits = false,
            }
        }
    }
    Ok(fits)
}

fn plain(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).to_string_lossy().trim_end_matches('/').to_owned()
}

fn digest(path: &Path) -> Result<String, PackageError> {
    let file = File::open(path).map_err(file_error("open", path))?;
    sha256_file(file).map_err(file_error("read", path))
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackageError {
    let path = path.to_owned();
    move |source| PackageError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(files: &[&str]) -> tar::Builder<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, b"abc".as_slice()).unwrap();
        }
        builder
    }

    #[test]
    fn only_wanted_files_are_unpacked_and_none_outside() {
        let mut builder = tar_of(&["./boot/vmlinuz", "./boot/config", "./x"]);
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        header.as_mut_bytes()[..11].copy_from_slice(b"../boot/bad");
        header.set_cksum();
        builder.append(&header, b"bad".as_slice()).unwrap();
        let bytes = builder.into_inner().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let wanted = |name: &str| name.contains("boot/") && !name.ends_with("config");
        unpack_tar(&mut bytes.as_slice(), &root, wanted).unwrap();
        assert!(root.join("boot/vmlinuz").exists());
        assert!(!root.join("boot/config").exists());
        assert!(!root.join("x").exists());
        assert!(!dir.path().join("boot").exists());
    }

    fn contents(package: &str, files: &[&str], links: &[(tar::EntryType, &str, &str)]) -> Contents {
        let mut builder = tar_of(files);
        for (kind, name, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(0);
            builder.append_link(&mut header, name, target).unwrap();
        }
        let mut contents = Contents { package: package.to_owned(), ..Contents::default() };
        assert!(read_tar(&mut builder.into_inner().unwrap().as_slice(), |_| true, &mut contents).unwrap());
        contents
    }

    #[test]
    fn files_and_both_kinds_of_links_are_read() {
        let links = [(tar::EntryType::Symlink, "./bin/b", "a"), (tar::EntryType::Link, "./bin/c", "./bin/a")];
        let mut contents = contents("p", &["./bin/a"], &links);
        assert_eq!(contents.take("bin/a").unwrap(), b"abc");
        assert_eq!(contents.links.get("bin/b").unwrap(), "a");
        assert_eq!(contents.links.get("bin/c").unwrap(), "/bin/a");
        assert!(contents.take("bin/a").is_err());
    }

    #[test]
    fn terms_are_found_through_the_links_of_packages_of_one_source() {
        let symlink = tar::EntryType::Symlink;
        let own = contents("a", &["./usr/share/doc/a/copyright"], &[]);
        assert!(matches!(own.terms(), Terms::Text(text) if text == "abc"));
        let linked = contents("b", &[], &[(symlink, "./usr/share/doc/b", "a")]);
        assert!(matches!(linked.terms(), Terms::Of("a")));
        let linked = contents("b", &[], &[(symlink, "./usr/share/doc/b/copyright", "../a/copyright")]);
        assert!(matches!(linked.terms(), Terms::Of("a")));
        let outside = contents("b", &[], &[(symlink, "./usr/share/doc/b", "../../../etc")]);
        assert!(matches!(outside.terms(), Terms::None));
        assert!(is_terms("usr/share/doc/b") && is_terms("usr/share/doc/b/copyright"));
        assert!(!is_terms("usr/share/doc/b/changelog.gz") && !is_terms("usr/share/docs"));
    }
}
