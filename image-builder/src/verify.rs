//! A media directory held against itself: are the files those that were built?
//!
//! The manifest names every file with its length and digest, the checksums name the manifest too, the SBOM repeats
//! both for files and packages, and the image says where its regions are. Whoever changes a file has to change all
//! of them; the digest of the manifest is what to compare with whoever built the media.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use iso::locate;
use iso::manifest::{LOADERS_FOLDER, MAX_MANIFEST_LEN, Manifest, ManifestError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::{sha256, sha256_file};
use crate::inspect::{ImageError, open};
use crate::plan::{CHECKSUMS_FILE, ISO_FILE, MANIFEST_FILE, SBOM_FILE};

/// Largest of the documents beside the manifest, in bytes.
const MAX_DOCUMENT_LEN: u64 = 16 * 1024 * 1024;

/// Why a directory cannot be verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The manifest is unreadable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file or the directory cannot be read.
    #[error("read {path}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How a file stands to the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Length and digest are right.
    Ok,
    /// Another length or digest, or a document that disagrees with the manifest.
    Differs,
    /// Named and not there.
    Missing,
    /// There and not named; no server gives it out.
    Unlisted,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifiedFile {
    /// Its path in the directory.
    pub name: String,
    /// How it stands.
    pub state: FileState,
    /// Its SHA-256; empty when it is missing or nothing is said about it.
    pub sha256: String,
    /// What differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A verified directory.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Verification {
    /// All files, by name.
    pub files: Vec<VerifiedFile>,
}

impl Verification {
    /// Files that are not as they were built.
    #[must_use]
    pub fn differing(&self) -> usize {
        let bad = |file: &&VerifiedFile| matches!(file.state, FileState::Differs | FileState::Missing);
        self.files.iter().filter(bad).count()
    }
}

/// Reads every file of a media directory and compares.
///
/// # Errors
/// [`VerifyError`] when there is no readable manifest or the disk fails. Differences are no error.
pub fn verify(directory: &Path) -> Result<Verification, VerifyError> {
    let manifest_bytes = read(&directory.join(MANIFEST_FILE), MAX_MANIFEST_LEN as u64)?;
    let manifest = Manifest::parse(&manifest_bytes)?;
    let mut files: BTreeMap<String, VerifiedFile> = BTreeMap::new();
    for (name, listed) in manifest.paths() {
        let path = directory.join(&name);
        let mut file =
            VerifiedFile { name: name.clone(), state: FileState::Ok, sha256: String::new(), problem: None };
        match digest(&path)? {
            None => file.state = FileState::Missing,
            Some((size, sha256)) => {
                if size != listed.size {
                    differ(&mut file, format!("has {size} bytes, the manifest says {}", listed.size));
                } else if sha256 != listed.sha256 {
                    differ(&mut file, format!("the manifest says {}", listed.sha256));
                }
                file.sha256 = sha256;
            }
        }
        files.insert(name, file);
    }
    for (name, problem) in
        [(ISO_FILE, regions(directory, &manifest)), (SBOM_FILE, sbom(directory, &manifest)?)]
    {
        if let (Some(file), Some(problem)) = (files.get_mut(name), problem)
            && file.state == FileState::Ok
        {
            differ(file, problem);
        }
    }
    let manifest_digest = sha256(&manifest_bytes);
    let checksums = checksums(directory, &manifest, &manifest_digest)?;
    files.insert(CHECKSUMS_FILE.to_owned(), checksums);
    let own = VerifiedFile {
        name: MANIFEST_FILE.to_owned(),
        state: FileState::Ok,
        sha256: manifest_digest,
        problem: None,
    };
    files.insert(MANIFEST_FILE.to_owned(), own);
    for name in names(directory)? {
        let unlisted = || VerifiedFile {
            name: name.clone(),
            state: FileState::Unlisted,
            sha256: String::new(),
            problem: None,
        };
        files.entry(name.clone()).or_insert_with(unlisted);
    }
    Ok(Verification { files: files.into_values().collect() })
}

fn differ(file: &mut VerifiedFile, problem: String) {
    file.state = FileState::Differs;
    file.problem = Some(problem);
}

/// Whether the image has its regions where the manifest says.
fn regions(directory: &Path, manifest: &Manifest) -> Option<String> {
    let located = open(&directory.join(ISO_FILE))
        .and_then(|mut image| locate::locate(&mut image).map_err(ImageError::from));
    match located {
        Ok(regions) if regions == manifest.regions => None,
        Ok(_) => Some("has its regions elsewhere than the manifest says".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// The fields of the SBOM that are compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sbom {
    #[serde(default)]
    files: Vec<SbomFile>,
    #[serde(default)]
    packages: Vec<SbomPackage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SbomFile {
    file_name: String,
    checksums: Vec<Checksum>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SbomPackage {
    name: String,
    version_info: String,
    #[serde(default)]
    checksums: Vec<Checksum>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: String,
    checksum_value: String,
}

/// What the SBOM says otherwise than the manifest.
fn sbom(directory: &Path, manifest: &Manifest) -> Result<Option<String>, VerifyError> {
    if !manifest.files.contains_key(SBOM_FILE) {
        return Ok(None);
    }
    let path = directory.join(SBOM_FILE);
    let bytes = match read(&path, MAX_DOCUMENT_LEN) {
        Err(VerifyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let sbom: Sbom = match serde_json::from_slice(&bytes) {
        Ok(sbom) => sbom,
        Err(error) => return Ok(Some(format!("is no SBOM: {error}"))),
    };
    let has = |sums: &[Checksum], sha256: &str| {
        sums.iter().any(|sum| sum.algorithm == "SHA256" && sum.checksum_value == sha256)
    };
    for (name, listed) in manifest.paths().filter(|(name, _)| name != SBOM_FILE) {
        let found = sbom.files.iter().find(|file| file.file_name.strip_prefix("./") == Some(&name));
        if !found.is_some_and(|file| has(&file.checksums, &listed.sha256)) {
            return Ok(Some(format!("says otherwise about the file {name} than the manifest")));
        }
    }
    for package in &manifest.packages {
        let same = |found: &SbomPackage| {
            found.name == package.name
                && found.version_info == package.version
                && has(&found.checksums, &package.sha256)
        };
        if !sbom.packages.iter().any(same) {
            return Ok(Some(format!("says otherwise about the package {} than the manifest", package.name)));
        }
    }
    Ok(None)
}

/// The checksum file, which names the manifest and all that it names.
fn checksums(
    directory: &Path,
    manifest: &Manifest,
    manifest_digest: &str,
) -> Result<VerifiedFile, VerifyError> {
    let name = CHECKSUMS_FILE.to_owned();
    let mut file = VerifiedFile { name, state: FileState::Ok, sha256: String::new(), problem: None };
    let bytes = match read(&directory.join(CHECKSUMS_FILE), MAX_DOCUMENT_LEN) {
        Err(VerifyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            file.state = FileState::Missing;
            return Ok(file);
        }
        bytes => bytes?,
    };
    file.sha256 = sha256(&bytes);
    let text = String::from_utf8_lossy(&bytes);
    let said: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("  ").map(|(digest, name)| (name, digest))).collect();
    let mut expected: BTreeMap<String, &str> =
        manifest.paths().map(|(name, listed)| (name, listed.sha256.as_str())).collect();
    expected.insert(MANIFEST_FILE.to_owned(), manifest_digest);
    if let Some((name, _)) = expected.iter().find(|(name, digest)| said.get(name.as_str()) != Some(*digest)) {
        differ(&mut file, format!("says otherwise about {name} than the manifest"));
    } else if said.len() != expected.len() {
        differ(&mut file, "names files that the manifest does not".to_owned());
    }
    Ok(file)
}

/// Length and digest; `None` when there is no such file.
fn digest(path: &Path) -> Result<Option<(u64, String)>, VerifyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(VerifyError::Read { path: path.to_owned(), source }),
    };
    let read_error = |source| VerifyError::Read { path: path.to_owned(), source };
    let size = file.metadata().map_err(read_error)?.len();
    Ok(Some((size, sha256_file(file).map_err(read_error)?)))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, VerifyError> {
    let read_error = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than a document has: what is too long is then refused by its parser.
    let file = File::open(path).map_err(read_error)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
    Ok(bytes)
}

/// Paths of everything in the directory; of folders, only that of the loaders is looked into.
fn names(directory: &Path) -> Result<Vec<String>, VerifyError> {
    let mut names = names_in(directory)?;
    let folder = directory.join(LOADERS_FOLDER);
    if folder.is_dir() {
        names.retain(|name| name != LOADERS_FOLDER);
        names.extend(names_in(&folder)?.into_iter().map(|name| format!("{LOADERS_FOLDER}/{name}")));
    }
    Ok(names)
}

fn names_in(folder: &Path) -> Result<Vec<String>, VerifyError> {
    let read_error = |source| VerifyError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(read_error)?;
    entries.map(|entry| Ok(entry.map_err(read_error)?.file_name().to_string_lossy().into_owned())).collect()
}
