//! The media themselves: a personalised download is the base image with its regions replaced.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;

use iso::region::CONFIG_REGION;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::config::{AgentConfig, MAX_CONFIG_LEN};
use reqwest::Method;
use tests::media::Profile;
use tests::operator::Answer;
use tests::output;

use crate::Site;

fn range(path: &Path, start: u64, length: u64) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Every byte of two files that differs lies in one of the windows.
fn differ_only_inside(one: &Path, other: &Path, windows: &[(u64, u64)]) {
    assert_eq!(one.metadata().unwrap().len(), other.metadata().unwrap().len());
    let end = one.metadata().unwrap().len();
    let mut from = 0;
    for (start, stop) in windows.iter().copied().chain([(end, end)]) {
        assert!(
            range(one, from, start - from) == range(other, from, start - from),
            "differ in {from}..{start}"
        );
        from = stop;
    }
}

#[test]
fn a_download_differs_from_the_base_only_inside_its_regions() {
    let site = Site::start("media-download", Profile::Cloud);
    let (base, iso) = (site.media.iso(), site.iso());
    let mut windows: Vec<(u64, u64)> =
        site.media.manifest.regions.iter().map(|region| (region.offset, region.end().unwrap())).collect();
    windows.sort_unstable();
    assert_eq!(windows.len(), 2);
    differ_only_inside(&base, &iso, &windows);

    // What is inside is this server's address and pins, and no secret.
    let region = site.media.manifest.region(CONFIG_REGION).unwrap();
    let bytes = range(&iso, region.offset, region.length);
    let text = String::from_utf8_lossy(&bytes);
    let json = &text[text.find('{').unwrap()..=text.rfind('}').unwrap()];
    let config = AgentConfig::parse(json.as_bytes()).unwrap();
    let info = site.operator.info().unwrap();
    assert_eq!(config.server.iter().map(ToString::to_string).collect::<Vec<_>>(), info.advertise);
    assert_eq!(config.ca_hash.iter().map(ToString::to_string).collect::<Vec<_>>(), info.ca_hash);
    assert!(config.token.is_none() && config.image_id.is_some());

    let length = iso.metadata().unwrap().len();
    let fetch = |from: u64, to: u64| -> Answer {
        let request = site.operator.request(Method::GET, "/media/muster.iso");
        site.operator.send(request.header("range", format!("bytes={from}-{to}"))).unwrap()
    };
    // Ranges all over the image, and on the edges of the regions. Each download has an image
    // id of its own, so inside the regions only the length is compared.
    let edge =
        proptest::sample::select(windows.iter().flat_map(|&(start, end)| [start, end]).collect::<Vec<_>>());
    let start = prop_oneof![0..length, edge.prop_flat_map(|at| at.saturating_sub(3_000)..at + 3_000)];
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&(start, 1_u64..200_000), |(start, count)| {
        let start = start.min(length - 1);
        let end = (start + count).min(length);
        let answer = fetch(start, end - 1);
        prop_assert_eq!(answer.status, 206);
        let announced = format!("bytes {start}-{}/{length}", end - 1);
        prop_assert_eq!(answer.header("content-range"), Some(announced.as_str()));
        prop_assert_eq!(answer.body.len() as u64, end - start);
        let base = range(&base, start, end - start);
        for (index, (one, other)) in answer.body.iter().zip(&base).enumerate() {
            let at = start + index as u64;
            let inside = windows.iter().any(|&(from, to)| (from..to).contains(&at));
            prop_assert!(one == other || inside, "byte {} differs", at);
        }
        Ok(())
    });
    checked.unwrap();
    assert_eq!(fetch(length, length + 10).status, 416);
    let head = site.operator.send(site.operator.request(Method::HEAD, "/media/muster.iso")).unwrap();
    assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    assert!(head.header("etag").is_some());
}

#[test]
fn xorriso_accepts_the_personalised_iso() {
    let site = Site::start("media-xorriso", Profile::Cloud);
    let checked = Command::new("xorriso")
        .args(["-indev"])
        .arg(site.iso())
        .args([
            "-report_el_torito",
            "plain",
            "-report_system_area",
            "plain",
            "-find",
            "/",
            "-exec",
            "report_lba",
        ])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    for word in ["El Torito boot img :   1  BIOS", "El Torito boot img :   2  UEFI", "GPT", "/boot/vmlinuz"] {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    for word in ["SORRY", "FAILURE", "FATAL", "damaged"] {
        assert!(!said.contains(word), "{said}");
    }
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_with_both_numbers() {
    let media = tests::media::Media::of(Profile::Cloud).unwrap();
    let folder = output::folder("media-customize").unwrap();
    let customize = |args: &str, to: &Path| {
        let mut command = Command::new(output::muster_binary().unwrap());
        command.args(["media", "customize"]).arg(media.iso()).arg("-o").arg(to);
        command.args(["--kernel-args", args]).output().unwrap()
    };
    let refused = folder.join("refused.iso");
    let answer = customize(&"x".repeat(1_500), &refused);
    assert_eq!(answer.status.code(), Some(1));
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(said.contains("1500") && said.contains("1024"), "{said}");
    assert!(!refused.exists(), "a refused image was written");

    // Larger than what an agent reads, as a file.
    let config = folder.join("large.json");
    let large = serde_json::json!({ "version": 1, "proxy": "x".repeat(70_000) }).to_string();
    std::fs::write(&config, &large).unwrap();
    let mut command = Command::new(output::muster_binary().unwrap());
    command
        .args(["media", "customize"])
        .arg(media.iso())
        .arg("-o")
        .arg(&refused)
        .arg("--config")
        .arg(&config);
    let answer = command.output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains(&large.len().to_string()) && said.contains(&MAX_CONFIG_LEN.to_string()), "{said}");
    assert!(!refused.exists(), "a refused image was written");

    let accepted = folder.join("accepted.iso");
    let answer = customize("muster.console=verbose", &accepted);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let mut windows: Vec<(u64, u64)> =
        media.manifest.regions.iter().map(|region| (region.offset, region.end().unwrap())).collect();
    windows.sort_unstable();
    differ_only_inside(&media.iso(), &accepted, &windows);
    std::fs::remove_file(accepted).unwrap();
}
