//! `manifest.json`: what a media directory holds, and where `muster.iso` may be patched.
//!
//! It is written by whoever builds the media and read by whoever serves them, possibly of another version, so
//! unknown keys are ignored and everything that is used is checked when it is parsed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::region::Region;

/// The only version of the document so far.
pub const SCHEMA: u32 = 1;
/// Largest document read.
pub const MAX_MANIFEST_LEN: usize = 1024 * 1024;
/// Name of the image in [`Manifest::files`], the one that regions belong to.
pub const ISO_FILE: &str = "muster.iso";
/// The config region of a personalised image by itself, to be given beside the initial ramdisk. No file: it is cut
/// out when somebody asks.
pub const OVERLAY_FILE: &str = "overlay.cpio";
/// The folder of the media directory that holds [`Manifest::loaders`].
pub const LOADERS_FOLDER: &str = "loaders";
/// Most files, regions or packages named.
const MAX_ITEMS: usize = 1_000;

/// Why a manifest is not believed.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_LEN`].
    #[error("the manifest has {0} bytes, at most {MAX_MANIFEST_LEN}")]
    TooLong(usize),
    /// Not JSON, or JSON of another shape.
    #[error("the manifest is not readable: build the media again")]
    Json(#[from] serde_json::Error),
    /// A later version of the document.
    #[error(
        "the manifest has schema {0} and this program reads {SCHEMA}: build the media with the same version"
    )]
    Schema(u32),
    /// More than 1,000 of something.
    #[error("the manifest names more than {MAX_ITEMS} {0}")]
    TooMany(&'static str),
    /// A file name with a directory in it, or a digest that is none.
    #[error("the manifest's entry for the file `{0}` is malformed")]
    File(String),
    /// A region outside `muster.iso`, or overlapping another.
    #[error("the manifest's region `{0}` does not lie in {ISO_FILE} or overlaps another")]
    Region(String),
}

/// Length and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A Debian package whose contents went into the media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the `.deb` file in 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What was built, in short; also on the medium as `/.disk/muster.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of the program that built it.
    pub version: String,
    /// Machine architecture, `x86_64`.
    pub arch: String,
    /// Kernel release, such as `6.1.0-56-amd64`.
    pub kernel: String,
    /// Which drivers are in it: `generic` or `cloud`.
    pub profile: String,
    /// When, in seconds since 1970.
    pub build_time: u64,
    /// The file in `/.disk` that this build alone has.
    pub marker: String,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was built.
    #[serde(flatten)]
    pub identity: Identity,
    /// Every file of the directory itself but the manifest and the checksums, by name.
    pub files: BTreeMap<String, FileDigest>,
    /// Boot loaders for network boot in [`LOADERS_FOLDER`], by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub loaders: BTreeMap<String, FileDigest>,
    /// The windows of `muster.iso`.
    pub regions: Vec<Region>,
    /// The packages used, sorted by name.
    pub packages: Vec<Package>,
    /// Firmware that the operator added, by path below `/lib/firmware`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub firmware: BTreeMap<String, FileDigest>,
}

impl Manifest {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`ManifestError`] names what is wrong; a manifest that parses is safe to use.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_LEN {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The document, indented, ending in a newline.
    ///
    /// # Errors
    /// [`ManifestError`] for a manifest that [`Manifest::parse`] would refuse.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The region of this name.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// Every file named, by its path in the directory.
    pub fn paths(&self) -> impl Iterator<Item = (String, &FileDigest)> {
        let loaders = self.loaders.iter().map(|(name, file)| (format!("{LOADERS_FOLDER}/{name}"), file));
        self.files.iter().map(|(name, file)| (name.clone(), file)).chain(loaders)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.schema != SCHEMA {
            return Err(ManifestError::Schema(self.schema));
        }
        let counts = [
            ("files", self.files.len()),
            ("loaders", self.loaders.len()),
            ("regions", self.regions.len()),
            ("packages", self.packages.len()),
            ("firmware files", self.firmware.len()),
        ];
        for (what, count) in counts {
            if count > MAX_ITEMS {
                return Err(ManifestError::TooMany(what));
            }
        }
        for (name, file) in self.files.iter().chain(&self.loaders) {
            if !is_file_name(name) || !is_sha256(&file.sha256) {
                return Err(ManifestError::File(printable(name)));
            }
        }
        check_regions(&self.regions, self.files.get(ISO_FILE).map_or(0, |iso| iso.size))
    }
}

/// The beginning of a name as it may stand in a message, whatever it is made of.
fn printable(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

fn check_regions(regions: &[Region], iso_len: u64) -> Result<(), ManifestError> {
    let mut sorted: Vec<&Region> = regions.iter().collect();
    sorted.sort_by_key(|region| region.offset);
    let mut free_from = 0;
    for region in sorted {
        let bad = || ManifestError::Region(printable(&region.name));
        let end = region.end().filter(|end| *end <= iso_len).ok_or_else(bad)?;
        if region.offset < free_from || regions.iter().filter(|r| r.name == region.name).count() > 1 {
            return Err(bad());
        }
        free_from = end;
    }
    Ok(())
}

fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    !name.starts_with('.') && (1..=255).contains(&name.len()) && name.chars().all(plain)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        let iso = FileDigest { size: 1_000_000, sha256: "ab".repeat(32) };
        Manifest {
            schema: SCHEMA,
            identity: Identity {
                version: "0.1.0".into(),
                arch: "x86_64".into(),
                kernel: "6.1.0-56-amd64".into(),
                profile: "generic".into(),
                build_time: 1_700_000_000,
                marker: "MUSTER-0011aabb".into(),
            },
            files: BTreeMap::from([(ISO_FILE.to_owned(), iso)]),
            loaders: BTreeMap::new(),
            regions: vec![
                Region { name: "config".into(), offset: 4_096, length: 65_536 },
                Region { name: "kernel-args".into(), offset: 2_059, length: 1_024 },
            ],
            packages: vec![],
            firmware: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_survives_its_document() {
        let manifest = manifest();
        let json = manifest.to_json().unwrap();
        assert_eq!(Manifest::parse(&json).unwrap(), manifest);
        assert_eq!(manifest.region("config").unwrap().length, 65_536);
    }

    #[test]
    fn unknown_keys_of_a_later_version_are_ignored() {
        let json = String::from_utf8(manifest().to_json().unwrap()).unwrap();
        let later = json.replacen('{', "{\"sbom\": \"sbom.spdx.json\",", 1);
        assert_eq!(Manifest::parse(later.as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn regions_that_could_damage_an_image_are_refused() {
        type Damage = fn(&mut Manifest);
        let cases: [Damage; 4] = [
            |m| m.regions[0].offset = 999_999,
            |m| m.regions[0].offset = u64::MAX - 10,
            |m| m.regions[1].offset = 4_000,
            |m| m.regions[1].name = "config".into(),
        ];
        for damage in cases {
            let mut manifest = manifest();
            damage(&mut manifest);
            let json = serde_json::to_vec(&manifest).unwrap();
            assert!(matches!(Manifest::parse(&json), Err(ManifestError::Region(_))));
        }
    }

    #[test]
    fn file_names_and_digests_are_checked() {
        for name in ["../muster.iso", "a/b", "", ".hidden"] {
            let mut manifest = manifest();
            let digest = FileDigest { size: 1, sha256: "00".repeat(32) };
            let mut other = manifest.clone();
            manifest.files.insert(name.to_owned(), digest.clone());
            other.loaders.insert(name.to_owned(), digest);
            for manifest in [manifest, other] {
                let json = serde_json::to_vec(&manifest).unwrap();
                assert!(matches!(Manifest::parse(&json), Err(ManifestError::File(_))), "{name}");
            }
        }
        let mut manifest = manifest();
        manifest.files.get_mut(ISO_FILE).unwrap().sha256 = "AB".repeat(32);
        assert!(matches!(manifest.to_json(), Err(ManifestError::File(_))));
    }

    #[test]
    fn loaders_are_named_by_their_path_behind_the_other_files() {
        let digest = FileDigest { size: 1, sha256: "00".repeat(32) };
        let loaders = BTreeMap::from([("ipxe.efi".to_owned(), digest)]);
        let manifest = Manifest { loaders, ..manifest() };
        let paths: Vec<String> = manifest.paths().map(|(path, _)| path).collect();
        assert_eq!(paths, [ISO_FILE, "loaders/ipxe.efi"]);
        assert_eq!(Manifest::parse(&manifest.to_json().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn another_schema_is_refused_with_both_numbers() {
        let mut manifest = manifest();
        manifest.schema = 2;
        let json = serde_json::to_vec(&manifest).unwrap();
        let error = Manifest::parse(&json).unwrap_err().to_string();
        assert_eq!(
            error,
            "the manifest has schema 2 and this program reads 1: build the media with the same version"
        );
    }

    proptest! {
        #[test]
        fn damaged_documents_never_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
            let mut json = manifest().to_json().unwrap();
            let at = at.index(json.len());
            json[at] = value;
            if let Ok(manifest) = Manifest::parse(&json) {
                prop_assert!(manifest.regions.iter().all(|region| region.end().is_some()));
            }
        }
    }
}
