//! Downloads: personalised inside the regions only, by any range, with nothing copied.

use crate::support::{Answer, Fixture, start, start_with};
use axum::http::{StatusCode, header};
use iso::manifest::{FileDigest, Identity, Manifest, SCHEMA};
use iso::region::{CONFIG_REGION, KERNEL_ARGS_REGION, KERNEL_ARGS_REGION_LEN, Region};
use proptest::prelude::*;
use protocol::agent_api::Origin;
use protocol::config::AgentConfig;
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ISO_LEN: usize = 700_001;
/// Where its configuration is.
pub(crate) const REGION: std::ops::Range<usize> = 4_096..4_096 + 65_536;
/// Where its kernel arguments are.
const ARGS: std::ops::Range<usize> = 2_048..2_048 + KERNEL_ARGS_REGION_LEN;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn region(name: &str, bytes: &std::ops::Range<usize>) -> Region {
    Region { name: name.into(), offset: bytes.start as u64, length: bytes.len() as u64 }
}

/// A media directory with an image of noise and a small second file.
fn media(directory: &Path) -> PathBuf {
    media_of(directory, 8)
}

/// The same with a second file, `vmlinuz`, of this length.
pub(crate) fn media_of(directory: &Path, kernel_len: usize) -> PathBuf {
    let kernel: Vec<u8> = b"a kernel".iter().copied().cycle().take(kernel_len).collect();
    let media = directory.join("media");
    std::fs::create_dir(&media).unwrap();
    let iso: Vec<u8> = (0..ISO_LEN).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    let mut files = BTreeMap::new();
    for (name, bytes) in [("muster.iso", iso.as_slice()), ("vmlinuz", kernel.as_slice())] {
        std::fs::write(media.join(name), bytes).unwrap();
        let sha256 = hex(digest(&SHA256, bytes).as_ref());
        files.insert(name.to_owned(), FileDigest { size: bytes.len() as u64, sha256 });
    }
    let manifest = Manifest {
        schema: SCHEMA,
        identity: Identity {
            version: "0.1.0".into(),
            arch: "x86_64".into(),
            kernel: "6.1.0".into(),
            profile: "cloud".into(),
            build_time: 1_700_000_000,
            marker: "MUSTER-0011aabb".into(),
        },
        files,
        loaders: BTreeMap::new(),
        regions: vec![region(CONFIG_REGION, &REGION), region(KERNEL_ARGS_REGION, &ARGS)],
        packages: vec![],
        firmware: BTreeMap::new(),
    };
    std::fs::write(media.join("manifest.json"), manifest.to_json().unwrap()).unwrap();
    media
}

async fn with_media(advertise: &[&str]) -> Fixture {
    start_with(|directory, options| {
        options.media_dir = Some(media(directory));
        options.advertise = advertise.iter().map(|url| url.parse().unwrap()).collect();
    })
    .await
}

async fn get(fixture: &Fixture, name: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = Fixture::request("GET", &format!("/media/{name}"), "");
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.parse().unwrap());
    }
    fixture.call(request).await
}

fn config(image: &[u8]) -> AgentConfig {
    AgentConfig::parse(initrd::segment::config_json(&image[REGION]).unwrap()).unwrap()
}

#[tokio::test]
async fn image_differs_from_its_base_in_its_regions_only() {
    let fixture = with_media(&["https://10.0.2.2:8092"]).await;
    let answer = get(&fixture, "muster.iso", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(header::CONTENT_LENGTH), ISO_LEN.to_string());
    let base = std::fs::read(fixture.directory.path().join("media/muster.iso")).unwrap();
    assert_eq!(answer.body.len(), base.len());
    assert_eq!(answer.body[..ARGS.start], base[..ARGS.start]);
    assert_eq!(answer.body[ARGS.end..REGION.start], base[ARGS.end..REGION.start]);
    let args = std::str::from_utf8(&answer.body[ARGS]).unwrap();
    let server_id = fixture.server_id().await;
    assert_eq!(args.trim_end(), format!("muster.local={server_id}"), "for disks that this server installed");
    assert_eq!(answer.body[REGION.end..], base[REGION.end..]);
    let config = config(&answer.body);
    assert_eq!(config.server, vec!["https://10.0.2.2:8092".parse().unwrap()]);
    assert_eq!(config.ca_hash.len(), 2);
    assert_eq!(config.built_at, Some(1_700_000_000));
    assert!(config.token.is_none() && config.image_id.is_some());
}

#[tokio::test]
async fn overlay_is_the_config_alone_and_says_that_a_boot_server_was_used() {
    let fixture = with_media(&["https://10.0.2.2:8092"]).await;
    let overlay = get(&fixture, "overlay.cpio", &[]).await;
    assert_eq!((overlay.status, overlay.body.len()), (StatusCode::OK, REGION.len()));
    let config = |archive| AgentConfig::parse(initrd::segment::config_json(archive).unwrap()).unwrap();
    let told = config(&overlay.body);
    let image = get(&fixture, "muster.iso", &[]).await;
    let of_image = config(&image.body[REGION]);
    assert_eq!((told.origin, of_image.origin), (Some(Origin::Pxe), None));
    assert_eq!((&told.server, &told.ca_hash), (&of_image.server, &of_image.ca_hash));
    assert_ne!(overlay.header(header::ETAG), image.header(header::ETAG));
    let part = get(&fixture, "overlay.cpio", &[(header::RANGE, "bytes=100-199")]).await;
    assert_eq!(part.body, overlay.body[100..200]);
}

#[tokio::test]
async fn image_names_the_server_as_it_was_called_unless_that_is_only_itself() {
    let fixture = with_media(&[]).await;
    let image = get(&fixture, "muster.iso", &[]).await;
    assert_eq!(config(&image.body).server, vec!["https://muster.test:8092".parse().unwrap()]);
    for own in ["localhost:8092", "127.0.0.1:8092", "[::1]:8092"] {
        let image = get(&fixture, "muster.iso", &[(header::HOST, own)]).await;
        assert_ne!(image.header(header::ETAG), "");
        for server in config(&image.body).server {
            assert!(!["localhost", "127.0.0.1", "::1"].contains(&server.host()), "{server}");
        }
    }
}

#[tokio::test]
async fn conditions_and_ranges_follow_the_entity_tag() {
    let fixture = with_media(&["https://10.0.2.2:8092"]).await;
    let etag = get(&fixture, "muster.iso", &[]).await.header(header::ETAG).to_owned();
    let other = "\"another\"";
    let part = (header::RANGE, "bytes=5-9");
    for (headers, status, length) in [
        (vec![part.clone()], 206, 5),
        (vec![part.clone(), (header::IF_RANGE, etag.as_str())], 206, 5),
        (vec![part.clone(), (header::IF_RANGE, other)], 200, ISO_LEN),
        (vec![(header::IF_NONE_MATCH, etag.as_str())], 304, 0),
        (vec![(header::IF_MATCH, other)], 412, 0),
        (vec![(header::RANGE, "bytes=700001-")], 416, 0),
    ] {
        let answer = get(&fixture, "muster.iso", &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.body.len(), length, "{headers:?}");
        assert_eq!(answer.header(header::ETAG), etag, "{headers:?}");
    }
    let unsatisfiable = get(&fixture, "muster.iso", &[(header::RANGE, "bytes=700001-")]).await;
    assert_eq!(unsatisfiable.header(header::CONTENT_RANGE), "bytes */700001");
}

#[tokio::test]
async fn other_files_are_sent_as_they_are_with_their_digest() {
    let fixture = with_media(&[]).await;
    let answer = get(&fixture, "vmlinuz", &[]).await;
    assert_eq!(answer.body, b"a kernel");
    let sha256 = hex(digest(&SHA256, b"a kernel").as_ref());
    assert_eq!(answer.header(header::ETAG), format!("\"SHA256:{sha256}\""));
    assert_eq!(answer.header("x-drp-sha256sum"), sha256);
    assert_eq!(get(&fixture, "manifest.json", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_but_the_manifests_files_is_served() {
    let fixture = with_media(&[]).await;
    let outside = fixture.directory.path().join("media/notes.txt");
    std::fs::write(outside, "private").unwrap();
    for name in ["notes.txt", "..%2Fdata%2Fadmin-password", "%2e%2e", ".", "muster.iso%00"] {
        let answer = get(&fixture, name, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn half_written_media_are_not_served() {
    let fixture = with_media(&[]).await;
    std::fs::write(fixture.directory.path().join("media/vmlinuz"), b"half").unwrap();
    let answer = get(&fixture, "vmlinuz", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(header::RETRY_AFTER), "10");
}

#[tokio::test]
async fn server_without_media_says_how_to_get_some() {
    let fixture = start().await;
    let answer = get(&fixture, "muster.iso", &[]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.json()["Messages"][0].as_str().unwrap().contains("muster media build"));
}

#[tokio::test]
async fn downloads_of_one_source_are_bounded_and_end_with_their_reader() {
    use tower::ServiceExt;
    let fixture = with_media(&[]).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let request = Fixture::request("GET", "/media/muster.iso", "");
        let response = fixture.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        held.push(response);
    }
    let answer = get(&fixture, "muster.iso", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header(header::RETRY_AFTER).is_empty());
    drop(held);
    assert_eq!(get(&fixture, "muster.iso", &[]).await.status, StatusCode::OK);
}

#[test]
fn any_range_is_the_same_part_of_the_whole() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(with_media(&["https://10.0.2.2:8092"]));
    let whole = runtime.block_on(get(&fixture, "muster.iso", &[])).body;
    let near = |at: usize| at.saturating_sub(40)..at + 40;
    // Anywhere, and often around the region's ends and the chunks in which the disk is read.
    let place =
        prop_oneof![0..ISO_LEN + 10, near(REGION.start), near(REGION.end), near(256 * 1_024), near(ISO_LEN),];
    let pair = (place.clone(), place);
    proptest!(ProptestConfig::with_cases(150), |((a, b) in pair)| {
        let (first, last) = (a.min(b), a.max(b));
        let range = format!("bytes={first}-{last}");
        let answer = runtime.block_on(get(&fixture, "muster.iso", &[(header::RANGE, &range)]));
        if first >= ISO_LEN {
            prop_assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
        } else {
            let last = last.min(ISO_LEN - 1);
            prop_assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
            prop_assert_eq!(answer.header(header::CONTENT_RANGE), format!("bytes {first}-{last}/{ISO_LEN}"));
            prop_assert!(answer.body == whole[first..=last]);
        }
    });
}
