//! The SBOM of a whole build, held against the rules of SPDX 2.3 that need no list of its own.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use fixture::Fixture;
use serde_json::Value;

/// Kinds of relationships that are used, of those that SPDX 2.3 section 11.1 knows.
const RELATIONSHIPS: [&str; 4] = ["DESCRIBES", "CONTAINS", "STATIC_LINK", "GENERATED_FROM"];

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {value}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is missing in {value}"))
}

/// Section 7.2 and its kin: letters, digits, `.` and `-` behind the prefix.
fn is_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    })
}

fn is_digest(value: &Value) -> bool {
    let length = match text(value, "algorithm") {
        "SHA1" => 40,
        "SHA256" => 64,
        other => panic!("{other}"),
    };
    let digits = text(value, "checksumValue");
    digits.len() == length && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// Annex D: identifiers joined by AND, OR and WITH, in balanced parentheses.
fn check_expression(text: &str, refs: &BTreeSet<&str>) {
    if text == "NOASSERTION" {
        return;
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let (mut depth, mut wants_name) = (0_i32, true);
    for word in spaced.split_whitespace() {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "AND" | "OR" | "WITH" => {
                assert!(!wants_name, "{text}");
                wants_name = true;
            }
            name => {
                assert!(wants_name, "{text}");
                wants_name = false;
                let name = name.trim_end_matches('+');
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')), "{text}");
                assert!(!name.starts_with("LicenseRef-") || refs.contains(name), "{name} is not explained");
            }
        }
        assert!(depth >= 0, "{text}");
    }
    assert!(depth == 0 && !wants_name, "{text}");
}

fn check_packages(sbom: &Value, refs: &BTreeSet<&str>) {
    for package in list(sbom, "packages") {
        assert!(!text(package, "name").is_empty());
        assert!(!text(package, "versionInfo").is_empty());
        let location = text(package, "downloadLocation");
        assert!(location == "NOASSERTION" || location.starts_with("https://"), "{location}");
        let supplier = package.get("supplier").and_then(Value::as_str).unwrap_or("NOASSERTION");
        assert!(supplier == "NOASSERTION" || supplier.starts_with("Organization: "), "{supplier}");
        for key in ["licenseConcluded", "licenseDeclared"] {
            check_expression(text(package, key), refs);
        }
        let analyzed = package["filesAnalyzed"].as_bool().unwrap();
        assert_eq!(analyzed, package.get("packageVerificationCode").is_some());
        let checksums = package.get("checksums").and_then(Value::as_array);
        assert!(checksums.into_iter().flatten().all(is_digest), "{package}");
        for reference in package.get("externalRefs").and_then(Value::as_array).into_iter().flatten() {
            let purl = text(reference, "referenceLocator");
            assert!(purl.starts_with("pkg:") && !purl.contains([' ', '+']), "{purl}");
        }
    }
}

#[test]
fn the_sbom_keeps_the_rules_of_spdx_and_names_everything() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let sbom: Value = serde_json::from_slice(&fs::read(out.join("sbom.spdx.json")).unwrap()).unwrap();
    assert_eq!(text(&sbom, "spdxVersion"), "SPDX-2.3");
    assert_eq!(text(&sbom, "dataLicense"), "CC0-1.0");
    assert_eq!(text(&sbom, "SPDXID"), "SPDXRef-DOCUMENT");
    assert!(text(&sbom, "documentNamespace").starts_with("https://"));
    assert!(!text(&sbom, "documentNamespace").contains('#'));
    assert_eq!(text(&sbom["creationInfo"], "created"), "2023-11-14T22:13:20Z");
    assert!(
        list(&sbom["creationInfo"], "creators").iter().all(|one| one.as_str().unwrap().starts_with("Tool: "))
    );

    let refs = list(&sbom, "hasExtractedLicensingInfos");
    assert!(refs.iter().all(|one| is_id(text(one, "licenseId"), "LicenseRef-") && !text(one, "extractedText").is_empty()));
    let refs: BTreeSet<&str> = refs.iter().map(|one| text(one, "licenseId")).collect();
    check_packages(&sbom, &refs);

    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT"]);
    for element in list(&sbom, "packages").iter().chain(list(&sbom, "files")) {
        let id = text(element, "SPDXID");
        assert!(is_id(id, "SPDXRef-"), "{id}");
        assert!(ids.insert(id), "{id} is there twice");
    }
    let mut related = BTreeSet::from(["SPDXRef-DOCUMENT"]);
    for relationship in list(&sbom, "relationships") {
        assert!(RELATIONSHIPS.contains(&text(relationship, "relationshipType")), "{relationship}");
        for key in ["spdxElementId", "relatedSpdxElement"] {
            assert!(ids.contains(text(relationship, key)), "{relationship}");
        }
        related.insert(text(relationship, "relatedSpdxElement"));
    }
    assert_eq!(related, ids, "everything hangs together");

    let digests: BTreeMap<&str, &str> = list(&sbom, "files")
        .iter()
        .map(|file| {
            assert!(list(file, "checksums").iter().all(is_digest));
            (text(file, "fileName"), text(&file["checksums"][1], "checksumValue"))
        })
        .collect();
    for (name, file) in manifest.paths().filter(|(name, _)| name != "sbom.spdx.json") {
        assert_eq!(digests.get(format!("./{name}").as_str()), Some(&file.sha256.as_str()), "{name}");
    }
    for package in &manifest.packages {
        let found = list(&sbom, "packages").iter().find(|found| text(found, "name") == package.name).unwrap();
        assert_eq!(text(found, "versionInfo"), package.version);
        assert_eq!(text(&found["checksums"][0], "checksumValue"), package.sha256);
    }
    let crates: BTreeSet<&str> =
        list(&sbom, "packages").iter().map(|package| text(package, "name")).collect();
    assert!(crates.contains("ring") && crates.contains("initramfs-agent"), "{crates:?}");
}

#[test]
fn every_package_has_its_terms_and_its_source_in_the_licence_list() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let text = fs::read_to_string(out.join("licenses.txt")).unwrap();
    for package in &manifest.packages {
        let heading = format!("\n{} {}\n", package.name, package.version);
        let (_, section) = text.split_once(&heading).unwrap_or_else(|| panic!("{heading} is missing"));
        // In the paragraph below the heading, before the package's own terms begin.
        let source = section.split("\n\n").nth(1).is_some_and(|facts| facts.contains("apt-get source "));
        assert!(source, "{heading}");
    }
    assert!(text.contains("\nring 0."), "crates are missing");
    assert!(text.contains("Permission is hereby granted, free of charge"));
}
