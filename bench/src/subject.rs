//! What runs under callgrind: pieces of our own code, driven in this process without sockets and
//! without TLS, so that nothing but the piece is counted. `bench subject ...`.

use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use iso::manifest::Manifest;
use iso::patch::{Patch, PatchedImage};
use iso::region::CONFIG_REGION;
use server::ServeOptions;
use tower::ServiceExt as _;

use crate::install;
use crate::stage::read;

/// Bytes read at a time: what the server reads.
const CHUNK: usize = 64 * 1_024;
/// What machines are told; an address for documentation.
const ADVERTISED: &str = "https://192.0.2.1:8092";

/// A piece of work.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Piece {
    /// Starts a server and asks it for the first byte of a file, so many times.
    Requests {
        /// Media directory
        media: PathBuf,
        /// Name of the file
        file: String,
        /// How often
        count: usize,
    },
    /// Reads the image once from end to end, as a download does.
    Stream {
        /// Media directory
        media: PathBuf,
        /// Lays something over the config region meanwhile
        #[arg(long)]
        patched: bool,
    },
    /// Writes a block map of this digest over a file in place of a disk
    Write {
        /// The block map
        map: PathBuf,
        /// Digest of its index
        digest: String,
        /// The file
        disk: PathBuf,
    },
    /// Unpacks a layer of this digest into a folder
    Unpack {
        /// The layer
        layer: PathBuf,
        /// Its SHA-256
        digest: String,
        /// The folder
        folder: PathBuf,
    },
    /// Unpacks a file into nothing
    Decode {
        /// The file
        file: PathBuf,
    },
}

/// Does the work.
pub(crate) fn run(piece: &Piece) -> Result<()> {
    match piece {
        Piece::Requests { media, file, count } => requests(media, file, *count),
        Piece::Stream { media, patched } => stream(media, *patched),
        Piece::Write { map, digest, disk } => install::write(map, digest, disk),
        Piece::Unpack { layer, digest, folder } => install::unpack(layer, digest, folder),
        Piece::Decode { file } => install::decode(file),
    }
}

fn requests(media: &Path, file: &str, count: usize) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mut options = ServeOptions::new(folder.path().join("data"), (Ipv4Addr::LOCALHOST, 0).into());
    options.media_dir = Some(media.to_path_buf());
    options.advertise = vec![ADVERTISED.parse().context("the advertised address")?];
    options.reverse_dns = false;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = server::start(options).await?;
        let router = server.router();
        for _ in 0..count {
            let request = Request::get(format!("/media/{file}"))
                .header(header::HOST, "192.0.2.1:8092")
                .header(header::RANGE, "bytes=0-0")
                .body(Body::empty())?;
            let response = router.clone().oneshot(request).await?;
            ensure!(response.status() == StatusCode::PARTIAL_CONTENT, "{file}: {}", response.status());
            let body = response.into_body().collect().await.context("the body broke off")?;
            ensure!(body.to_bytes().len() == 1, "{file}: not one byte");
        }
        Ok(())
    })
}

fn stream(media: &Path, patched: bool) -> Result<()> {
    let manifest = Manifest::parse(&read(&media.join(image_builder::MANIFEST_FILE))?)?;
    let path = media.join(image_builder::ISO_FILE);
    let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // Made in either case: making it is counted with the requests.
    let region = manifest.region(CONFIG_REGION).context("the image has no config region")?;
    let length = usize::try_from(region.length).context("a long region")?;
    let patch = Patch::new(region, vec![b'\n'; length])?;
    let mut image = PatchedImage::new(file, if patched { vec![patch] } else { Vec::new() })?;
    let mut left = image.len();
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let mut chunk = vec![0; count];
        image.read_exact(&mut chunk).context("the image broke off")?;
        left -= count as u64;
    }
    Ok(())
}
