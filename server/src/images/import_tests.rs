//! Imports, from a web server and by upload.

use super::scripted::noise;
use super::*;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use imaging::blockmap::Map;
use protocol::install::{ImportPhase, ImportState, Way};
use protocol::model::ImageFormat;
use std::collections::HashMap;
use std::io::{Read as _, Seek as _};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Files by their names; `stalls` begins and never ends.
async fn web_server(files: &[(&str, Vec<u8>)]) -> SocketAddr {
    let files: HashMap<String, Vec<u8>> =
        files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{name}", axum::routing::get(file)).with_state(Arc::new(files));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn file(State(files): State<Arc<HashMap<String, Vec<u8>>>>, Path(name): Path<String>) -> Response {
    if name == "stalls" {
        let parts = stream::unfold(0, |count| async move {
            if count > 0 {
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, io::Error>(vec![0; 1_000]), count + 1))
        });
        return Body::from_stream(parts).into_response();
    }
    files.get(&name).map_or(StatusCode::NOT_FOUND.into_response(), |bytes| bytes.clone().into_response())
}

struct Bench {
    images: Images,
    server: SocketAddr,
    folder: TempDir,
}

impl Bench {
    async fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path().to_owned(), None, system_lookup()).unwrap();
        Self { images, server: web_server(files).await, folder }
    }

    fn wish(&self, name: &str, format: ImageFormat, digest: Option<Digest>) -> Wish {
        let source = format!("http://{}/{name}", self.server);
        Wish { image: name.to_owned(), source, format, digest, keep: HashSet::new() }
    }

    fn begin(&self, wish: &Wish) {
        let trust = Trust { hosts: Arc::new(self.server.to_string().parse().unwrap()), ca: "".into() };
        self.images.import(wish.clone(), &read_url(&wish.source).unwrap(), None, &trust);
    }

    fn state(&self, wish: &Wish) -> ImportState {
        self.images.imports.state(&wish.image, &wish.source, wish.format, wish.digest)
    }

    async fn end(&self, wish: &Wish) -> ImportState {
        let mut changes = self.images.imports.changes();
        while self.state(wish).state.is_active() {
            changes.changed().await.unwrap();
        }
        self.state(wish)
    }

    async fn import(&self, wish: &Wish) -> ImportState {
        self.begin(wish);
        self.end(wish).await
    }

    /// What is written and was not finished.
    fn left_over(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("partial")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn held(&self, state: &ImportState) -> std::fs::File {
        match self.images.held(&state.digest.parse().unwrap(), true).await.unwrap() {
            Some(Blob::Whole(file, size)) if size == state.size => file,
            other => panic!("{other:?}"),
        }
    }
}

/// A disk with a partition table's mark, some data and holes.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 5 * 1_024 * 1_024];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[2_000_000..2_300_000].copy_from_slice(&noise(300_000));
    disk
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A tar with one file of this name.
fn tar(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(contents);
    tar.resize(tar.len().next_multiple_of(512) + 1_024, 0);
    tar
}

/// The head of a qcow2 image that builds on another file.
fn qcow2_with_backing_file() -> Vec<u8> {
    let mut image = vec![0; 131_072];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    image[8..16].copy_from_slice(&512_u64.to_be_bytes());
    image[16..20].copy_from_slice(&11_u32.to_be_bytes());
    image[20..24].copy_from_slice(&16_u32.to_be_bytes());
    image[24..32].copy_from_slice(&(1_u64 << 20).to_be_bytes());
    image[36..40].copy_from_slice(&1_u32.to_be_bytes());
    image[40..48].copy_from_slice(&65_536_u64.to_be_bytes());
    image[48..56].copy_from_slice(&65_536_u64.to_be_bytes());
    image[56..60].copy_from_slice(&1_u32.to_be_bytes());
    image[96..100].copy_from_slice(&4_u32.to_be_bytes());
    image[100..104].copy_from_slice(&104_u32.to_be_bytes());
    image[512..523].copy_from_slice(b"/etc/shadow");
    image
}

/// A disk image as an installer reads it.
fn unpacked(mut file: std::fs::File) -> Vec<u8> {
    file.rewind().unwrap();
    let map = Map::read(&mut file).unwrap();
    let mut disk = vec![0; usize::try_from(map.size()).unwrap()];
    map.unpack(file, 0, 1, |piece| {
        let at = usize::try_from(piece.offset).unwrap();
        disk[at..at + piece.bytes.len()].copy_from_slice(piece.bytes);
        Ok(())
    })
    .unwrap();
    disk
}

#[tokio::test]
async fn disk_image_becomes_a_block_map_and_stays_one_over_a_restart() {
    let (disk, packed) = (disk(), zst(&disk()));
    let bench = Bench::with(&[("disk.raw", disk.clone()), ("disk.raw.zst", packed.clone())]).await;
    for (name, file) in [("disk.raw", &disk), ("disk.raw.zst", &packed)] {
        let wish = bench.wish(name, ImageFormat::Raw, Some(Digest::of(file)));
        let done = bench.import(&wish).await;
        assert_eq!(done.state, ImportPhase::Done, "{done:?}");
        assert_eq!(
            (done.unpacked_size, done.source_digest.clone()),
            (disk.len() as u64, Digest::of(file).to_string())
        );
        assert!(unpacked(bench.held(&done).await) == disk);
        let record = bench.images.imports.record(name, &wish.source, wish.format, wish.digest).unwrap();
        assert!(record.way == Way::BlockMap && record.index.is_some());
    }
    assert!(bench.left_over().is_empty(), "{:?}", bench.left_over());
    let wish = bench.wish("disk.raw", ImageFormat::Raw, Some(Digest::of(&disk)));
    let again = Images::open(bench.folder.path().to_owned(), None, system_lookup()).unwrap();
    let state = again.imports.state(&wish.image, &wish.source, wish.format, wish.digest);
    assert_eq!(state, bench.state(&wish));
    // Another source is another image.
    assert!(again.imports.record("disk.raw", "upload", wish.format, wish.digest).is_none());
    again.imports.forget_others(|_| false).unwrap();
    assert!(again.imports.record("disk.raw", &wish.source, wish.format, wish.digest).is_none());
}

#[tokio::test]
async fn root_tar_is_looked_through_and_compressed_anew() {
    let tar = tar("etc/hostname", b"machine\n");
    let bench = Bench::with(&[("root.tar", tar.clone()), ("root.tar.zst", zst(&tar))]).await;
    for name in ["root.tar", "root.tar.zst"] {
        let wish = bench.wish(name, ImageFormat::Auto, None);
        let done = bench.import(&wish).await;
        assert_eq!(done.state, ImportPhase::Done, "{done:?}");
        let mut packed = Vec::new();
        bench.held(&done).await.read_to_end(&mut packed).unwrap();
        assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), tar);
        let record = bench.images.imports.record(name, &wish.source, wish.format, None).unwrap();
        assert_eq!((record.way, record.index), (Way::Tar, None));
    }
    assert!(bench.left_over().is_empty(), "{:?}", bench.left_over());
}

#[tokio::test]
async fn what_cannot_be_installed_is_refused_in_words_and_leaves_nothing() {
    let mut cut = zst(&disk());
    cut.truncate(cut.len() / 2);
    let bench = Bench::with(&[
        ("traversal", tar("../../etc/passwd", b"root::0:0")),
        ("backed", qcow2_with_backing_file()),
        ("text", b"no image at all".repeat(100)),
        ("disk", disk()),
        ("cut", cut),
        ("empty", Vec::new()),
    ])
    .await;
    let other = Digest::of(b"other");
    for (name, format, digest, part) in [
        ("traversal", ImageFormat::Tar, None, "the tar cannot be installed"),
        ("backed", ImageFormat::Qcow2, None, "has a backing file"),
        ("text", ImageFormat::Auto, None, "is no tar, no qcow2 image and no disk image"),
        ("empty", ImageFormat::Auto, None, "is no tar, no qcow2 image and no disk image"),
        ("disk", ImageFormat::Qcow2, None, "is declared as qcow2 and the file is raw"),
        ("disk", ImageFormat::Raw, Some(other), "was asked for: it was changed or damaged"),
        ("cut", ImageFormat::Raw, None, "cut off"),
        ("nowhere", ImageFormat::Raw, None, "answers 404"),
    ] {
        let wish = bench.wish(name, format, digest);
        let failed = bench.import(&wish).await;
        assert_eq!(failed.state, ImportPhase::Failed, "{name}: {failed:?}");
        assert!(failed.message.contains(part), "{name}: {}", failed.message);
        assert!(bench.images.imports.record(name, &wish.source, format, digest).is_none());
        assert!(!bench.images.imports.may_try_again(name), "all who wait see that it failed");
    }
    // Emptied where it was known by its digest.
    let left: u64 = bench
        .left_over()
        .iter()
        .map(|name| bench.folder.path().join("partial").join(name).metadata().unwrap().len())
        .sum();
    assert_eq!(left, 0);
    let kept = std::fs::read_dir(bench.folder.path().join("sha256")).unwrap().count();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn cancelled_import_ends_and_leaves_nothing() {
    let bench = Bench::with(&[]).await;
    let wish = bench.wish("stalls", ImageFormat::Raw, None);
    bench.begin(&wish);
    let mut changes = bench.images.imports.changes();
    while bench.state(&wish).bytes == 0 {
        // Bytes are no change that anybody is woken for.
        drop(tokio::time::timeout(std::time::Duration::from_millis(5), changes.changed()).await);
    }
    assert!(bench.images.imports.cancel("stalls") && !bench.images.imports.cancel("other"));
    let ended = bench.end(&wish).await;
    assert_eq!((ended.state, ended.message.as_str()), (ImportPhase::Failed, "the import was cancelled"));
    assert!(bench.left_over().is_empty(), "{:?}", bench.left_over());
    assert!(!bench.images.imports.cancel("stalls"), "it is over");
}

fn upload_wish(digest: Option<Digest>) -> Wish {
    let (image, source) = ("mine".to_owned(), "upload".to_owned());
    Wish { image, source, format: ImageFormat::Auto, digest, keep: HashSet::new() }
}

#[tokio::test]
async fn upload_is_converted_and_never_dropped_to_make_room() {
    let (bench, disk) = (Bench::with(&[]).await, disk());
    let wish = upload_wish(Some(Digest::of(&disk)));
    let mut upload = bench.images.imports.receive(wish.clone(), Some(disk.len() as u64)).await.unwrap();
    let second = bench.images.imports.receive(wish.clone(), None).await.unwrap_err();
    assert!(matches!(second, ImportError::Running(_)), "{second:?}");
    for part in disk.chunks(100_000) {
        upload = upload.more(Bytes::copy_from_slice(part)).await.unwrap();
    }
    assert_eq!(bench.state(&wish).state, ImportPhase::Downloading);
    assert!(bench.images.imports.received(upload).await.unwrap().state.is_active());
    let done = bench.end(&wish).await;
    assert_eq!(done.state, ImportPhase::Done, "{done:?}");
    assert!(unpacked(bench.held(&done).await) == disk);
    assert_eq!(bench.images.imports.uploaded("upload"), HashSet::from([done.digest.parse().unwrap()]));
    assert!(bench.left_over().is_empty(), "{:?}", bench.left_over());
}

#[tokio::test]
async fn upload_that_breaks_off_or_is_another_file_is_no_import() {
    let bench = Bench::with(&[]).await;
    let wish = upload_wish(Some(Digest::of(b"expected")));
    let upload = bench.images.imports.receive(wish.clone(), None).await.unwrap();
    let upload = upload.more(Bytes::from_static(b"other")).await.unwrap();
    let refused = bench.images.imports.received(upload).await.unwrap_err();
    assert!(matches!(refused, ImportError::Download(DownloadError::Mismatch { .. })), "{refused:?}");
    let upload = bench.images.imports.receive(wish.clone(), None).await.unwrap();
    let upload = upload.more(Bytes::from_static(b"expec")).await.unwrap();
    drop(upload);
    assert_eq!(bench.state(&wish).state, ImportPhase::None);
    assert!(bench.images.imports.receive(wish, None).await.is_ok(), "the next one may begin");
    assert!(bench.left_over().is_empty(), "{:?}", bench.left_over());
}

#[tokio::test]
async fn cache_that_is_full_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::open(folder.path().to_owned(), Some(1_000), system_lookup()).unwrap();
    let too_long = images.imports.receive(upload_wish(None), Some(1_001)).await.unwrap_err();
    assert!(
        matches!(too_long, ImportError::Download(DownloadError::TooLong { limit: 1_000 })),
        "{too_long:?}"
    );
    let upload = images.imports.receive(upload_wish(None), None).await.unwrap();
    let too_long = upload.more(Bytes::from(vec![0; 1_001])).await.unwrap_err();
    assert!(
        matches!(too_long, ImportError::Download(DownloadError::TooLong { limit: 1_000 })),
        "{too_long:?}"
    );
    let upload = images.imports.receive(upload_wish(None), Some(900)).await.unwrap();
    let full = images.imports.receive(Wish { image: "other".into(), ..upload_wish(None) }, Some(900)).await;
    assert!(matches!(full.unwrap_err(), ImportError::Cache(CacheError::Full { .. })));
    drop(upload);
    assert!(images.imports.receive(upload_wish(None), Some(900)).await.is_ok());
}
