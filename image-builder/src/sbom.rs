//! `sbom.spdx.json`: what the media are made of, as SPDX 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! One package stands for the media directory and contains its files. Files contain Debian's packages; the agent
//! is linked with crates, Rust's standard library and the C library. Name, namespace and dates derive from the
//! contents and the build time, so the same media have the same document.

use std::collections::{BTreeMap, BTreeSet};

use iso::manifest::Identity;
use serde_json::{Value, json};

use crate::build::Ingredient;
use crate::crates::{Crate, Linked};
use crate::digest::{sha1, sha256};
use crate::licenses::{percent, source_page};
use crate::plan::{AGENT_FILE, INITRD_FILE, ISO_FILE, KERNEL_FILE};
use crate::terms::Licences;

const UNKNOWN: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const MEDIA: &str = "SPDXRef-Package-media";
/// Hexadecimal digits in the namespace.
const NAMESPACE_DIGITS: usize = 32;
const SECONDS_A_DAY: u64 = 86_400;

/// A file of the media directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha1: String,
    pub(crate) sha256: String,
}

impl Digests {
    /// Of a file's bytes. SPDX asks for SHA-1 beside anything better.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { sha1: sha1(bytes), sha256: sha256(bytes) }
    }
}

/// What the document is about.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// What was built, by which version and when.
    pub(crate) identity: &'a Identity,
    /// The files of the directory but those that list the others.
    pub(crate) files: &'a BTreeMap<&'a str, Digests>,
    pub(crate) ingredients: &'a [Ingredient],
    pub(crate) linked: &'a Linked,
}

/// The document, indented, ending in a line feed.
pub(crate) fn document(facts: &Facts<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut sbom = Sbom::default();
    sbom.media(facts);
    facts.ingredients.iter().for_each(|ingredient| sbom.debian(ingredient));
    if !facts.ingredients.iter().any(|ingredient| ingredient.files.iter().any(|file| file == KERNEL_FILE)) {
        sbom.kernel(&facts.identity.kernel);
    }
    sbom.linked(facts.linked);
    let digests: Vec<&str> = facts.files.values().map(|file| file.sha256.as_str()).collect();
    let id = sha256(format!("{} {}", facts.identity.build_time, digests.join(" ")).as_bytes());
    let id = id.get(..NAMESPACE_DIGITS).unwrap_or(&id);
    let value = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("muster-media-{}-{}-{}", facts.identity.version, facts.identity.profile, facts.identity.arch),
        "documentNamespace": format!("https://spdx.org/spdxdocs/muster-media-{}-{id}", facts.identity.version),
        "creationInfo": {
            "created": rfc3339(facts.identity.build_time),
            "creators": [format!("Tool: muster-{}", facts.identity.version)],
        },
        "packages": sbom.packages,
        "files": sbom.files,
        "hasExtractedLicensingInfos": sbom.extracted(),
        "relationships": sbom.relationships,
    });
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Debug, Default)]
struct Sbom {
    packages: Vec<Value>,
    files: Vec<Value>,
    relationships: Vec<Value>,
    /// Identifiers of licences that SPDX has no name for, with the name they have elsewhere.
    other: BTreeSet<(String, String)>,
}

impl Sbom {
    fn relate(&mut self, from: &str, kind: &str, to: &str) {
        self.relationships.push(json!({
            "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to,
        }));
    }

    fn extracted(&self) -> Vec<Value> {
        let text = |name: &str| {
            format!(
                "What copyright files of Debian's packages call \"{name}\"; they stand whole in licenses.txt."
            )
        };
        self.other
            .iter()
            .map(|(id, name)| json!({ "licenseId": id, "name": name, "extractedText": text(name) }))
            .collect()
    }

    /// The directory and its files.
    fn media(&mut self, facts: &Facts<'_>) {
        let mut sums: Vec<&str> = facts.files.values().map(|file| file.sha1.as_str()).collect();
        sums.sort_unstable();
        let mut media = package(MEDIA, "muster-media", &facts.identity.version);
        let fields = json!({
            "filesAnalyzed": true,
            "packageVerificationCode": { "packageVerificationCodeValue": sha1(sums.concat().as_bytes()) },
            "licenseInfoFromFiles": [UNKNOWN],
            "primaryPackagePurpose": "OPERATING-SYSTEM",
            "summary": format!("Boot media, profile {}, {}, kernel {}", facts.identity.profile, facts.identity.arch, facts.identity.kernel),
        });
        merge(&mut media, fields);
        self.packages.push(media);
        self.relate(DOCUMENT, "DESCRIBES", MEDIA);
        for (name, digests) in facts.files {
            let id = file_id(name);
            self.files.push(json!({
                "SPDXID": id,
                "fileName": format!("./{name}"),
                "fileTypes": [if name.ends_with(".txt") { "TEXT" } else { "BINARY" }],
                "checksums": [
                    { "algorithm": "SHA1", "checksumValue": digests.sha1 },
                    { "algorithm": "SHA256", "checksumValue": digests.sha256 },
                ],
                "licenseConcluded": UNKNOWN,
                "licenseInfoInFiles": [UNKNOWN],
                "copyrightText": UNKNOWN,
            }));
            self.relate(MEDIA, "CONTAINS", &id);
        }
        for (outer, inner) in [(ISO_FILE, KERNEL_FILE), (ISO_FILE, INITRD_FILE), (INITRD_FILE, AGENT_FILE)] {
            self.relate(&file_id(outer), "CONTAINS", &file_id(inner));
        }
    }

    fn debian(&mut self, ingredient: &Ingredient) {
        let listed = &ingredient.listed;
        let (name, version) = (&listed.package.name, &listed.package.version);
        let (source, source_version) = &listed.source;
        let id = format!("SPDXRef-Package-deb-{}", plain(name));
        let mut found = package(&id, name, version);
        let purl =
            format!("pkg:deb/debian/{}@{}?arch={}", percent(name), percent(version), listed.architecture);
        let fields = json!({
            "supplier": supplier(&listed.maintainer),
            "downloadLocation": source_page(source, source_version),
            "packageFileName": listed.file_name,
            "checksums": [{ "algorithm": "SHA256", "checksumValue": listed.package.sha256 }],
            "sourceInfo": format!("built from the Debian source package {source} {source_version}"),
            "externalRefs": [purl_ref(&purl)],
        });
        merge(&mut found, fields);
        if let Some(licences) = Licences::read(&ingredient.terms) {
            merge(&mut found, json!({ "licenseDeclared": licences.spdx() }));
            self.other.extend(licences.other);
        }
        self.packages.push(found);
        ingredient.files.iter().for_each(|file| self.relate(&file_id(file), "CONTAINS", &id));
    }

    /// A kernel that came as files: nothing is known but its version.
    fn kernel(&mut self, release: &str) {
        let id = "SPDXRef-Package-kernel";
        let mut found = package(id, "linux", release);
        merge(&mut found, json!({ "licenseDeclared": "GPL-2.0-only WITH Linux-syscall-note" }));
        self.packages.push(found);
        self.relate(&file_id(KERNEL_FILE), "GENERATED_FROM", id);
    }

    fn linked(&mut self, linked: &Linked) {
        linked.crates.iter().for_each(|one| self.link_crate(one));
        if let Some(version) = &linked.rustc {
            let id = "SPDXRef-Package-rust-std";
            let mut found = package(id, "rust-std", version);
            merge(
                &mut found,
                json!({
                    "supplier": "Organization: The Rust Project",
                    "downloadLocation": "https://github.com/rust-lang/rust",
                    "licenseDeclared": "MIT OR Apache-2.0",
                }),
            );
            self.packages.push(found);
            self.relate(&file_id(AGENT_FILE), "STATIC_LINK", id);
        }
        if let Some(version) = &linked.glibc {
            let id = "SPDXRef-Package-glibc-static";
            let mut found = package(id, "glibc", version);
            let purl = format!("pkg:deb/debian/glibc@{}?arch=source", percent(version));
            merge(
                &mut found,
                json!({
                    "supplier": "Organization: Debian",
                    "downloadLocation": source_page("glibc", version),
                    "licenseDeclared": "LGPL-2.1-or-later",
                    "externalRefs": [purl_ref(&purl)],
                }),
            );
            self.packages.push(found);
            self.relate(&file_id(AGENT_FILE), "STATIC_LINK", id);
        }
    }

    fn link_crate(&mut self, one: &Crate) {
        let Crate { name, version, .. } = one;
        let id = format!("SPDXRef-Package-crate-{}-{}", plain(name), plain(version));
        let mut found = package(&id, name, version);
        merge(&mut found, json!({ "licenseDeclared": one.license }));
        if let Some(checksum) = &one.checksum {
            let fields = json!({
                "downloadLocation": format!("https://crates.io/api/v1/crates/{name}/{version}/download"),
                "checksums": [{ "algorithm": "SHA256", "checksumValue": checksum }],
                "externalRefs": [purl_ref(&format!("pkg:cargo/{name}@{}", percent(version)))],
            });
            merge(&mut found, fields);
        }
        self.packages.push(found);
        self.relate(&file_id(AGENT_FILE), "STATIC_LINK", &id);
    }
}

/// A package of which nothing else is known.
fn package(id: &str, name: &str, version: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
    })
}

fn merge(value: &mut Value, fields: Value) {
    if let (Value::Object(value), Value::Object(fields)) = (value, fields) {
        value.extend(fields);
    }
}

fn purl_ref(purl: &str) -> Value {
    json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl })
}

/// `Organization: NAME (ADDRESS)` of `NAME <ADDRESS>`.
fn supplier(maintainer: &str) -> String {
    match maintainer.trim_end_matches('>').split_once(" <") {
        Some((name, address)) => format!("Organization: {name} ({address})"),
        None => UNKNOWN.to_owned(),
    }
}

fn file_id(name: &str) -> String {
    format!("SPDXRef-File-{}", plain(name))
}

/// Identifiers have letters, digits, dots and hyphens.
fn plain(name: &str) -> String {
    let one = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    name.replace('+', "-plus").chars().map(one).collect()
}

/// `2023-11-14T22:13:20Z`, in the proleptic Gregorian calendar.
fn rfc3339(seconds: u64) -> String {
    let (mut days, rest) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    // Four centuries always have the same length.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::ingredient;

    fn sbom(ingredients: &[Ingredient], linked: &Linked) -> Value {
        let digests = Digests::of(b"abc");
        let names = [ISO_FILE, KERNEL_FILE, INITRD_FILE, AGENT_FILE];
        let files = names.into_iter().map(|name| (name, digests.clone())).collect();
        let identity = Identity {
            version: "0.1.0".into(),
            arch: "x86_64".into(),
            kernel: "6.1-test".into(),
            profile: "cloud".into(),
            build_time: 1_700_000_000,
            marker: "MUSTER-00".into(),
        };
        let facts = Facts { identity: &identity, files: &files, ingredients, linked };
        let bytes = document(&facts).unwrap();
        assert_eq!(bytes, document(&facts).unwrap());
        serde_json::from_slice(&bytes).unwrap()
    }

    fn find<'a>(sbom: &'a Value, name: &str) -> &'a Value {
        let packages = sbom["packages"].as_array().unwrap();
        packages.iter().find(|package| package["name"] == name).unwrap()
    }

    #[test]
    fn a_debian_package_is_named_by_version_digest_supplier_and_licence() {
        let terms = "Format: copyright-format/1.0\n\nFiles: *\nLicense: GPL-2+ and odd\n";
        let sbom = sbom(&[ingredient("libstdc++6", terms)], &Linked::default());
        let found = find(&sbom, "libstdc++6");
        assert_eq!(found["SPDXID"], "SPDXRef-Package-deb-libstdc-plus-plus6");
        assert_eq!(found["versionInfo"], "1:2+b1");
        assert_eq!(found["supplier"], "Organization: A Team (team@example.org)");
        assert_eq!(
            found["licenseDeclared"],
            "(GPL-2.0-or-later AND LicenseRef-debian-odd)".trim_matches(['(', ')'])
        );
        assert_eq!(found["checksums"][0]["checksumValue"], "ab".repeat(32));
        let purl = "pkg:deb/debian/libstdc%2B%2B6@1%3A2%2Bb1?arch=amd64";
        assert_eq!(found["externalRefs"][0]["referenceLocator"], purl);
        assert_eq!(sbom["hasExtractedLicensingInfos"][0]["licenseId"], "LicenseRef-debian-odd");
        assert_eq!(find(&sbom, "linux")["versionInfo"], "6.1-test");
    }

    #[test]
    fn crates_are_linked_into_the_agent() {
        let one = Crate {
            name: "zstd-sys".into(),
            version: "2.1.2+zstd.1.5.7".into(),
            license: "BSD-3-Clause".into(),
            checksum: Some("00".repeat(32)),
            texts: vec![],
        };
        let linked = Linked { crates: vec![one], rustc: Some("1.95.0".into()), ..Linked::default() };
        let sbom = sbom(&[], &linked);
        let found = find(&sbom, "zstd-sys");
        assert_eq!(found["externalRefs"][0]["referenceLocator"], "pkg:cargo/zstd-sys@2.1.2%2Bzstd.1.5.7");
        let link = json!({
            "spdxElementId": "SPDXRef-File-muster-agent",
            "relationshipType": "STATIC_LINK",
            "relatedSpdxElement": "SPDXRef-Package-crate-zstd-sys-2.1.2-pluszstd.1.5.7",
        });
        assert!(sbom["relationships"].as_array().unwrap().contains(&link));
        assert_eq!(find(&sbom, "rust-std")["versionInfo"], "1.95.0");
    }

    #[test]
    fn dates_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (13_569_465_600, "2400-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
