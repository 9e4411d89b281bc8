//! Debian packages: downloaded and verified by apt, unpacked without being installed.
//!
//! apt checks the archive's signature and the package's hash. A package is kept in a cache directory and used
//! again while its SHA-256 is the one apt's lists name; nothing is written outside that directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use iso::manifest::Package;
use thiserror::Error;

use crate::digest::sha256_file;
use crate::tool::{Tool, ToolError};

/// Why a package could not be had.
#[derive(Debug, Error)]
pub enum PackageError {
    /// apt does not know it.
    #[error(
        "apt knows no package `{0}`: run `apt-get update`, or check that Debian's main archive is in its sources"
    )]
    Unknown(String),
    /// apt could not fetch it.
    #[error("download the package `{name}`: if it is no longer in the archive, run `apt-get update`")]
    Download {
        /// The package.
        name: String,
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
    /// A meta package that depends on no kernel.
    #[error("the package `{0}` depends on no kernel image")]
    NoKernel(String),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
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
    pub(crate) package: Package,
    pub(crate) path: PathBuf,
    /// Whether it was there before.
    pub(crate) cached: bool,
}

/// What apt's lists say about a package's candidate version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) package: Package,
    file_name: String,
    depends: String,
}

impl Listed {
    /// The kernel package behind a meta package such as `linux-image-amd64`.
    pub(crate) fn kernel_behind(&self) -> Result<&str, PackageError> {
        self.depends
            .split([',', '|'])
            .filter_map(|part| part.split_whitespace().next())
            .find(|name| name.starts_with("linux-image-"))
            .ok_or_else(|| PackageError::NoKernel(self.package.name.clone()))
    }
}

/// Looks packages up in apt's lists, in the order asked for.
pub(crate) fn look_up(names: &[&str]) -> Result<Vec<Listed>, PackageError> {
    let unknown = |name: &&str| PackageError::Unknown((*name).to_owned());
    let text = match Tool::APT_CACHE.command().args(["show", "--no-all-versions"]).args(names).output() {
        Ok(text) => text,
        // apt-cache fails only when it knows none of them; find out below which.
        Err(ToolError::Failed { .. }) => String::new(),
        Err(error @ (ToolError::Missing { .. } | ToolError::Run { .. })) => return Err(error.into()),
    };
    let listed: Vec<Listed> = text.split("\n\n").filter_map(parse_listed).collect();
    let find = |name: &&str| listed.iter().find(|listed| listed.package.name == *name).cloned();
    names.iter().map(|name| find(name).ok_or_else(|| unknown(name))).collect()
}

/// Looks one package up in apt's lists.
pub(crate) fn look_up_one(name: &str) -> Result<Listed, PackageError> {
    look_up(&[name])?.pop().ok_or_else(|| PackageError::Unknown(name.to_owned()))
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

    /// The package's file, downloaded unless it is there already.
    pub(crate) fn fetch(&self, listed: &Listed) -> Result<Deb, PackageError> {
        let package = listed.package.clone();
        let path = self.dir.join(&listed.file_name);
        if path.exists() && digest(&path)? == package.sha256 {
            return Ok(Deb { package, path, cached: true });
        }
        // Downloaded aside and renamed, so that builds at the same time do not meet half a file.
        let aside = tempfile::Builder::new().prefix(".download-").tempdir_in(&self.dir);
        let aside = aside.map_err(file_error("create a directory in", &self.dir))?;
        // The sandbox is a user of apt's own who cannot write here; what is verified is the same.
        Tool::APT_GET
            .command()
            .dir(aside.path())
            .args(["--quiet", "-o", "APT::Sandbox::User=", "download"])
            .arg(format!("{}={}", package.name, package.version))
            .run()
            .map_err(|source| match source {
                ToolError::Missing { .. } | ToolError::Run { .. } => PackageError::Tool(source),
                ToolError::Failed { .. } => PackageError::Download { name: package.name.clone(), source },
            })?;
        let downloaded = aside.path().join(&listed.file_name);
        if digest(&downloaded)? != package.sha256 {
            return Err(PackageError::Digest { path: downloaded });
        }
        fs::rename(&downloaded, &path).map_err(file_error("keep", &path))?;
        Ok(Deb { package, path, cached: false })
    }
}

impl Deb {
    /// Unpacks the regular files whose path (without a leading `./`) is wanted.
    pub(crate) fn unpack(&self, into: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), PackageError> {
        let mut stream = Tool::DPKG_DEB.command().arg("--fsys-tarfile").arg(&self.path).stream()?;
        let unpacked = unpack_tar(stream.stdout(), into, wanted);
        // A program that failed explains a tar stream that stops.
        stream.finish()?;
        unpacked.map_err(file_error("unpack", &self.path))
    }

    /// One file of the package after [`Deb::unpack`].
    pub(crate) fn read(&self, root: &Path, file: &str) -> Result<Vec<u8>, PackageError> {
        let path = root.join(file);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(PackageError::MissingFile { package: self.package.name.clone(), file: file.to_owned() })
            }
            other => other.map_err(file_error("read", &path)),
        }
    }
}

fn unpack_tar(stream: impl io::Read, into: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.strip_prefix(".").unwrap_or(&path).to_string_lossy().into_owned();
        if entry.header().entry_type().is_file() && wanted(&name) {
            // Refuses `..` and goes through no link, whatever the archive says.
            entry.unpack_in(into)?;
        }
    }
    Ok(())
}

/// Reads one paragraph of `apt-cache show`.
fn parse_listed(text: &str) -> Option<Listed> {
    let field =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::trim);
    let (name, version, arch) = (field("Package")?, field("Version")?, field("Architecture")?);
    let sha256 = field("SHA256")?;
    // The name apt gives a downloaded file: the epoch's colon is written as in a URL.
    let file_name = format!("{name}_{}_{arch}.deb", version.replace(':', "%3a"));
    if file_name.contains('/') {
        return None;
    }
    Some(Listed {
        package: Package { name: name.to_owned(), version: version.to_owned(), sha256: sha256.to_owned() },
        file_name,
        depends: field("Depends").unwrap_or_default().to_owned(),
    })
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

    const SHOW: &str = "Package: busybox-static\nVersion: 1:1.35.0-4+deb12u1+b1\nArchitecture: amd64\n\
        Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2), other\nDescription: Standalone rescue shell\n\
        SHA256: 00ff\n\nPackage: other\nVersion: 2\n";

    #[test]
    fn the_candidate_version_is_read_from_apts_lists() {
        let listed = parse_listed(SHOW).unwrap();
        assert_eq!(listed.package.name, "busybox-static");
        assert_eq!(listed.package.version, "1:1.35.0-4+deb12u1+b1");
        assert_eq!(listed.file_name, "busybox-static_1%3a1.35.0-4+deb12u1+b1_amd64.deb");
        assert_eq!(listed.package.sha256, "00ff");
        assert_eq!(listed.kernel_behind().unwrap(), "linux-image-6.1.0-56-amd64");
    }

    #[test]
    fn an_answer_without_a_hash_is_no_package() {
        assert_eq!(parse_listed("Package: a\nVersion: 1\nArchitecture: all\n"), None);
        assert_eq!(parse_listed(""), None);
    }

    #[test]
    fn a_package_nobody_has_says_what_to_do() {
        let error = look_up(&["muster-no-such-package"]).unwrap_err().to_string();
        assert!(error.contains("`muster-no-such-package`: run `apt-get update`"), "{error}");
    }

    #[test]
    fn only_wanted_files_are_unpacked_and_none_outside() {
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["./boot/vmlinuz", "./boot/config", "./x"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, b"abc".as_slice()).unwrap();
        }
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
        unpack_tar(bytes.as_slice(), &root, |name| name.contains("boot/") && !name.ends_with("config"))
            .unwrap();
        assert!(root.join("boot/vmlinuz").exists());
        assert!(!root.join("boot/config").exists());
        assert!(!root.join("x").exists());
        assert!(!dir.path().join("boot").exists());
    }
}
