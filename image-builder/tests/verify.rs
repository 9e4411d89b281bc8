//! A media directory says by itself whether anybody changed it.

mod fixture;

use std::fs;
use std::path::Path;

use fixture::Fixture;
use image_builder::{FileState, verify};

fn states(dir: &Path) -> Vec<(String, FileState)> {
    verify(dir).unwrap().files.into_iter().map(|file| (file.name, file.state)).collect()
}

fn differing(dir: &Path) -> Vec<(String, FileState)> {
    states(dir).into_iter().filter(|(_, state)| *state != FileState::Ok).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_fresh_directory_is_all_right_and_every_change_is_found() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let all = states(&out);
    let paths: Vec<String> = manifest.paths().map(|(path, _)| path).collect();
    assert_eq!(all.len(), paths.len() + 2, "{all:?}");
    assert!(all.iter().all(|(_, state)| *state == FileState::Ok), "{all:?}");

    for mine in ["mine.iso", "loaders/mine.efi"] {
        fs::write(out.join(mine), "x").unwrap();
        assert_eq!(differing(&out), [(mine.to_owned(), FileState::Unlisted)]);
        assert_eq!(verify(&out).unwrap().differing(), 0);
        fs::remove_file(out.join(mine)).unwrap();
    }

    for name in &paths {
        let before = fs::read(out.join(name)).unwrap();
        edit(&out.join(name), |bytes| *bytes.last_mut().unwrap() ^= 1);
        assert_eq!(differing(&out), [(name.clone(), FileState::Differs)]);
        edit(&out.join(name), |bytes| bytes.push(0));
        assert_eq!(differing(&out), [(name.clone(), FileState::Differs)]);
        fs::remove_file(out.join(name)).unwrap();
        assert_eq!(differing(&out), [(name.clone(), FileState::Missing)]);
        assert_eq!(verify(&out).unwrap().differing(), 1);
        fs::write(out.join(name), before).unwrap();
    }
    edit(&out.join("manifest.json"), |bytes| bytes.push(b'\n'));
    assert_eq!(differing(&out), [("SHA256SUMS".to_owned(), FileState::Differs)]);
}

#[test]
fn documents_that_disagree_are_found_even_when_the_digests_were_made_to_fit() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let region = manifest.region("config").unwrap();
    edit(&out.join("manifest.json"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (here, there) =
            (format!("\"offset\": {}", region.offset), format!("\"offset\": {}", region.offset + 4));
        let package = manifest.packages.first().unwrap();
        let other = package.sha256.chars().rev().collect::<String>();
        *bytes = text.replacen(&here, &there, 1).replacen(&package.sha256, &other, 1).into_bytes();
    });
    let verified = verify(&out).unwrap();
    let problem = |name: &str| {
        let file = verified.files.iter().find(|file| file.name == name).unwrap();
        file.problem.clone().unwrap_or_default()
    };
    assert_eq!(problem("muster.iso"), "has its regions elsewhere than the manifest says");
    assert_eq!(
        problem("sbom.spdx.json"),
        format!("says otherwise about the package {} than the manifest", manifest.packages[0].name)
    );
    assert_eq!(problem("SHA256SUMS"), "says otherwise about manifest.json than the manifest");
}

#[test]
fn a_directory_without_a_manifest_is_no_media_directory() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify(dir.path()).unwrap_err().to_string();
    assert_eq!(error, format!("read {}", dir.path().join("manifest.json").display()));
}
